#include "load_crowd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"

enum {
  EVENTS = 512,
  CONNECTING_MAX = 128, /* at once: no more than any listener's backlog */
  OTHER_DESCRIPTORS = 16,
  NS_PER_S = 1000000000
};

static const uint64_t open_timeout_ns = 120ULL * NS_PER_S;
static const uint64_t open_wait_ns = NS_PER_S / 10;

static int raise_descriptor_limit(uint32_t needed) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max >= needed) return 0;
  fprintf(stderr, "eventhub-load: %u descriptors needed, but the hard limit is %llu\n", needed,
          (unsigned long long)limit.rlim_max);
  return ERR_SYSTEM;
}

static int watch_timer(struct load_crowd *crowd) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
  return epoll_ctl(crowd->shared.epoll_fd, EPOLL_CTL_ADD, crowd->timer_fd, &event);
}

int load_crowd_init(struct load_crowd *crowd, const struct load_options *options) {
  *crowd = (struct load_crowd){.shared = {.options = options}};
  crowd->count = options->subscribers + options->publishers;
  if (raise_descriptor_limit(crowd->count + OTHER_DESCRIPTORS) < 0) return ERR_SYSTEM;
  crowd->shared.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  crowd->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (crowd->shared.epoll_fd < 0 || crowd->timer_fd < 0 || watch_timer(crowd) < 0) {
    perror("eventhub-load");
    return ERR_SYSTEM;
  }
  if (options->transport == LOAD_TLS) crowd->shared.tls = load_tls_new();
  crowd->shared.recv_buffer = x_malloc(LOAD_RECV_SIZE);
  crowd->connections = x_calloc(crowd->count, sizeof(struct load_connection));
  return 0;
}

void load_crowd_done(struct load_crowd *crowd) {
  for (uint32_t i = 0; i < crowd->opened; i++)
    load_connection_done(&crowd->connections[i]);
  free(crowd->connections);
  free(crowd->shared.recv_buffer);
  load_shared_done(&crowd->shared);
  load_tls_free(crowd->shared.tls);
  close(crowd->timer_fd);
  close(crowd->shared.epoll_fd);
}

/* ---- the loop ---- */

static void set_timer(struct load_crowd *crowd, uint64_t at_ns) {
  if (crowd->wake_ns == at_ns) return;
  struct itimerspec when = {
      .it_value = {.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)}};
  timerfd_settime(crowd->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
  crowd->wake_ns = at_ns;
}

void load_crowd_wait(struct load_crowd *crowd, uint64_t until_ns) {
  struct epoll_event events[EVENTS];
  bool is_due = until_ns <= clock_monotonic_ns();
  if (!is_due) set_timer(crowd, until_ns);
  int count = epoll_wait(crowd->shared.epoll_fd, events, EVENTS, is_due ? 0 : -1);
  for (int i = 0; i < count; i++) {
    struct load_connection *connection = events[i].data.ptr;
    if (connection == NULL) {
      crowd->wake_ns = 0; /* the timer fired */
    } else {
      load_connection_on_ready(connection, events[i].events);
    }
  }
}

/* ---- connecting ---- */

static int open_next(struct load_crowd *crowd) {
  const struct load_options *options = crowd->shared.options;
  uint32_t index = crowd->opened;
  bool is_publisher = index >= options->subscribers;
  int err = load_connection_open(&crowd->connections[index], &crowd->shared, is_publisher, index);
  if (err < 0) {
    perror("eventhub-load: connecting");
    return err;
  }
  crowd->opened++;
  return 0;
}

static uint32_t settled(const struct load_crowd *crowd) {
  return crowd->shared.ready + crowd->shared.lost;
}

int load_crowd_open(struct load_crowd *crowd) {
  uint64_t end_ns = clock_monotonic_ns() + open_timeout_ns;
  while (settled(crowd) < crowd->count && clock_monotonic_ns() < end_ns) {
    while (crowd->opened < crowd->count && crowd->opened - settled(crowd) < CONNECTING_MAX) {
      int err = open_next(crowd);
      if (err < 0) return err;
    }
    load_crowd_wait(crowd, clock_monotonic_ns() + open_wait_ns);
  }
  if (crowd->shared.ready == crowd->count) return 0;
  fprintf(stderr, "eventhub-load: only %u of %u connections are ready\n", crowd->shared.ready,
          crowd->count);
  return ERR_UNAVAILABLE;
}

/* ---- publishing ---- */

static uint64_t next_burst(const struct load_crowd *crowd) {
  return crowd->published / crowd->shared.options->burst;
}

static uint32_t next_topic(const struct load_crowd *crowd) {
  return (uint32_t)(next_burst(crowd) % crowd->shared.options->topics);
}

uint32_t load_crowd_fan(const struct load_crowd *crowd) {
  const struct load_options *options = crowd->shared.options;
  if (options->protocol == LOAD_FLOOR) return crowd->count;
  uint32_t topic = next_topic(crowd);
  uint32_t more = topic < options->subscribers % options->topics;
  return options->subscribers / options->topics + more;
}

struct load_connection *load_crowd_publisher(const struct load_crowd *crowd, uint32_t index) {
  return &crowd->connections[crowd->shared.options->subscribers + index];
}

void load_crowd_publish_by(struct load_crowd *crowd, struct load_connection *publisher,
                           uint64_t due_ns) {
  const struct load_options *options = crowd->shared.options;
  struct load_message message = {.id = crowd->published + 1,
                                 .due_ns = due_ns,
                                 .topic = next_topic(crowd),
                                 .size = options->size};
  crowd->expected += load_crowd_fan(crowd);
  crowd->published++;
  load_connection_publish(publisher, &message);
}

void load_crowd_publish(struct load_crowd *crowd, uint64_t due_ns) {
  uint32_t turn = (uint32_t)(next_burst(crowd) % crowd->shared.options->publishers);
  load_crowd_publish_by(crowd, load_crowd_publisher(crowd, turn), due_ns);
}

void load_crowd_flush(struct load_crowd *crowd) {
  for (uint32_t i = crowd->shared.options->subscribers; i < crowd->count; i++)
    load_connection_flush(&crowd->connections[i]);
}

int load_crowd_reconnect(struct load_crowd *crowd) {
  for (uint32_t i = 0; i < crowd->count; i++) {
    struct load_connection *connection = &crowd->connections[i];
    if (connection->state != LOAD_READY) continue;
    crowd->handshakes++;
    crowd->shared.ready--;
    load_connection_done(connection);
    int err = load_connection_open(connection, &crowd->shared, connection->is_publisher, i);
    if (err < 0) return err;
  }
  return 0;
}

uint64_t load_crowd_segments(const struct load_crowd *crowd) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < crowd->shared.options->subscribers; i++)
    sum += load_connection_segments(&crowd->connections[i]);
  return sum;
}

uint64_t load_crowd_outstanding(const struct load_crowd *crowd) {
  return crowd->expected - crowd->shared.delivered;
}

uint64_t load_crowd_unanswered(const struct load_crowd *crowd) {
  if (crowd->shared.options->protocol != LOAD_BROKER) return 0;
  return crowd->published - crowd->shared.acknowledged - crowd->shared.refused;
}
