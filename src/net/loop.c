#include "eventhub/net/loop.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"

enum { LOOP_EVENTS = 512, SLACK_SHIFT = 6, SLACK_MAX_MS = 250 };

static void on_mailbox_ready(struct loop_io *io, uint32_t events) {
  /* Waking up was all: the turn drains the mailbox in any case. */
  (void)io;
  (void)events;
}

void loop_assert_owner(const struct loop *loop) {
#ifndef NDEBUG
  assert(pthread_equal(loop->owner, pthread_self()));
#else
  (void)loop;
#endif
}

int loop_init(struct loop *loop, void (*on_turn_end)(void *context), void *context) {
  memset(loop, 0, sizeof *loop);
  loop->owner = pthread_self();
  loop->on_turn_end = on_turn_end;
  loop->context = context;
  loop->now_ms = clock_monotonic_ms();
  list_init(&loop->deadline_lists);
  loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (loop->epoll_fd < 0) return ERR_SYSTEM;
  int err = mailbox_init(&loop->mailbox, context);
  if (err < 0) goto fail_epoll;
  loop->mailbox_io = (struct loop_io){.on_ready = on_mailbox_ready, .fd = loop->mailbox.event_fd};
  err = loop_add(loop, &loop->mailbox_io, EPOLLIN);
  if (err < 0) goto fail_mailbox;
  return 0;

fail_mailbox:
  mailbox_done(&loop->mailbox);
fail_epoll:
  close(loop->epoll_fd);
  return err;
}

void loop_done(struct loop *loop) {
  mailbox_done(&loop->mailbox);
  close(loop->epoll_fd);
  free(loop->again);
}

static int control(struct loop *loop, int operation, struct loop_io *io, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = io};
  return epoll_ctl(loop->epoll_fd, operation, io->fd, &event) == 0 ? 0 : ERR_SYSTEM;
}

int loop_add(struct loop *loop, struct loop_io *io, uint32_t events) {
  return control(loop, EPOLL_CTL_ADD, io, events);
}

int loop_modify(struct loop *loop, struct loop_io *io, uint32_t events) {
  return control(loop, EPOLL_CTL_MOD, io, events);
}

static void on_removed_ready(struct loop_io *io, uint32_t events) {
  (void)io;
  (void)events;
}

void loop_remove(struct loop *loop, struct loop_io *io) {
  loop_assert_owner(loop);
  epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
  io->on_ready = on_removed_ready;
  if (!io->again) return;
  for (size_t i = 0; i < loop->again_count; i++) {
    if (loop->again[i] == io) loop->again[i] = NULL;
  }
  io->again = false;
}

void loop_again(struct loop *loop, struct loop_io *io) {
  loop_assert_owner(loop);
  if (io->again) return;
  io->again = true;
  if (loop->again_count == loop->again_cap) {
    loop->again_cap = loop->again_cap ? loop->again_cap * 2 : 16;
    loop->again = x_realloc(loop->again, loop->again_cap * sizeof(struct loop_io *));
  }
  loop->again[loop->again_count++] = io;
}

/* Ios that ask again meanwhile stand behind the counted ones and wait for the next turn. */
static void run_again(struct loop *loop, size_t count) {
  if (count == 0) return;
  for (size_t i = 0; i < count; i++) {
    struct loop_io *io = loop->again[i];
    if (io == NULL) continue;
    io->again = false;
    loop->again[i] = NULL;
    io->on_ready(io, EPOLLIN);
  }
  loop->again_count -= count;
  memmove(loop->again, loop->again + count, loop->again_count * sizeof(struct loop_io *));
}

void deadline_list_add(struct loop *loop, struct deadline_list *list, uint32_t timeout_ms,
                       deadline_fn *on_expired, void *context) {
  list->timeout_ms = timeout_ms;
  list->on_expired = on_expired;
  list->context = context;
  list_init(&list->items);
  list_add_tail(&loop->deadline_lists, &list->link);
}

void deadline_list_remove(struct deadline_list *list) {
  list_remove(&list->link);
}

void deadline_init(struct deadline *deadline) {
  list_init(&deadline->link);
}

void deadline_arm(struct loop *loop, struct deadline_list *list, struct deadline *deadline) {
  loop_assert_owner(loop);
  list_remove(&deadline->link);
  deadline->at_ms = loop->now_ms + list->timeout_ms;
  list_add_tail(&list->items, &deadline->link);
}

void deadline_disarm(struct deadline *deadline) {
  list_remove(&deadline->link);
}

static struct deadline *first_deadline(struct deadline_list *list) {
  if (list_is_empty(&list->items)) return NULL;
  return container_of(list_first(&list->items), struct deadline, link);
}

static uint32_t slack_ms(const struct deadline_list *list) {
  uint32_t slack = list->timeout_ms >> SLACK_SHIFT;
  return slack < SLACK_MAX_MS ? slack : SLACK_MAX_MS;
}

/* Milliseconds to sleep, -1 for as long as nothing happens. */
static int sleep_ms(struct loop *loop) {
  if (loop->again_count > 0 || loop->is_hurried) return 0;
  uint64_t earliest = UINT64_MAX;
  LIST_FOREACH (link, &loop->deadline_lists) {
    struct deadline_list *list = container_of(link, struct deadline_list, link);
    struct deadline *first = first_deadline(list);
    if (first == NULL) continue;
    uint64_t at = first->at_ms + slack_ms(list);
    if (at < earliest) earliest = at;
  }
  if (earliest == UINT64_MAX) return -1;
  uint64_t now = clock_monotonic_ms();
  if (earliest <= now) return 0;
  return earliest - now > INT32_MAX ? INT32_MAX : (int)(earliest - now);
}

static void expire_list(struct loop *loop, struct deadline_list *list) {
  for (;;) {
    struct deadline *deadline = first_deadline(list);
    if (deadline == NULL || deadline->at_ms > loop->now_ms) return;
    list_remove(&deadline->link);
    list->on_expired(deadline, list->context);
  }
}

static void expire_deadlines(struct loop *loop) {
  LIST_FOREACH_SAFE (link, next, &loop->deadline_lists) {
    expire_list(loop, container_of(link, struct deadline_list, link));
  }
}

static int wait_for_events(struct loop *loop, struct epoll_event *events) {
  int timeout = sleep_ms(loop);
  if (timeout != 0 && !mailbox_prepare_sleep(&loop->mailbox)) timeout = 0;
  int count = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, timeout);
  mailbox_woke(&loop->mailbox);
  assert(count >= 0 || errno == EINTR);
  return count < 0 ? 0 : count;
}

static void account_turn(struct loop *loop) {
  uint64_t spent = clock_monotonic_ns() - loop->turn_start_ns;
  loop->busy_ns += spent;
  if (spent > loop->longest_ns) loop->longest_ns = spent;
}

static void run_turn(struct loop *loop) {
  struct epoll_event events[LOOP_EVENTS];
  int count = wait_for_events(loop, events);
  loop->turn_start_ns = clock_monotonic_ns();
  loop->now_ms = loop->turn_start_ns / 1000000;
  loop->is_hurried = false;
  run_again(loop, loop->again_count);
  for (int i = 0; i < count; i++) {
    struct loop_io *io = events[i].data.ptr;
    io->on_ready(io, events[i].events);
  }
  mailbox_drain(&loop->mailbox);
  expire_deadlines(loop);
  if (loop->on_turn_end != NULL) loop->on_turn_end(loop->context);
  account_turn(loop);
}

bool loop_is_late(const struct loop *loop) {
  return clock_monotonic_ns() - loop->turn_start_ns > LOOP_SHARE_NS;
}

void loop_adopt(struct loop *loop) {
  loop->owner = pthread_self();
}

void loop_run(struct loop *loop) {
  loop_adopt(loop);
  while (!loop->stopping)
    run_turn(loop);
}

void loop_stop(struct loop *loop) {
  loop_assert_owner(loop);
  loop->stopping = true;
}
