/* What a publish costs the store thread: CPU time per publish of a thread that has nothing else to
 * do, from the request's arrival to the posted answer and delivery. A worker publishes in turns of
 * 64 requests, as one does that reads full sockets; its own time is not counted.
 *
 *   topics     messages go to that many topics in turn: with 1, all of a turn share a match
 *   workers    workers that have a subscriber for every message
 *   log        messages kept per topic */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "eventhub/base/clock.h"
#include "eventhub/store/store.h"

enum { PUBLISHES = 1000000, TURN = 64, WINDOW = 1024, WORKERS_MAX = 8 };

struct scenario {
  const char *name;
  uint32_t topics;
  unsigned workers;
  bool log_enabled;
  uint32_t max_log_length;
};

static const struct scenario scenarios[] = {
    {"nobody subscribed, no log", 1, 0, false, 0},
    {"nobody subscribed", 1, 0, true, 1000},
    {"1 topic, 1 worker", 1, 1, true, 1000},
    {"1 topic, 4 workers", 1, 4, true, 1000},
    {"1,000 topics, 1 worker", 1000, 1, true, 100},
    {"100,000 topics, 1 worker", 100000, 1, true, 10},
};

struct worker {
  struct mailbox mailbox;
  struct store_client client;
  pthread_t thread;
  struct store_request requests[WINDOW];
  uint32_t free[WINDOW];
  uint32_t free_count;
  atomic_bool stopping;
  uint64_t delivered;
};

static void on_done(struct store_request *request, void *context) {
  struct worker *worker = context;
  message_unref(request->publish.message);
  worker->free[worker->free_count++] = (uint32_t)(request - worker->requests);
}

static size_t on_deliver(const struct delivery *delivery, void *context) {
  struct worker *worker = context;
  worker->delivered += delivery->message_count;
  return 1;
}

static void wait_mail(struct worker *worker, int timeout_ms) {
  if (mailbox_prepare_sleep(&worker->mailbox)) {
    struct pollfd poll_fd = {.fd = worker->mailbox.event_fd, .events = POLLIN};
    poll(&poll_fd, 1, timeout_ms);
  }
  mailbox_woke(&worker->mailbox);
  mailbox_drain(&worker->mailbox);
}

static void *run_subscriber(void *context) {
  struct worker *worker = context;
  while (!atomic_load(&worker->stopping))
    wait_mail(worker, 10);
  return NULL;
}

static void init_worker(struct worker *worker, struct store *store, unsigned index) {
  static const struct store_callbacks callbacks = {on_done, on_deliver};
  mailbox_init(&worker->mailbox, worker);
  store_client_init(&worker->client, store, index, &worker->mailbox, &callbacks, worker);
  atomic_store(&worker->stopping, false);
  worker->delivered = 0;
  for (worker->free_count = 0; worker->free_count < WINDOW; worker->free_count++)
    worker->free[worker->free_count] = worker->free_count;
}

static void publish_one(struct worker *worker, uint32_t topic) {
  static const struct slice payload =
      SLICE_INIT("\"sixty-four bytes of text, more or less, as the figures are made\"");
  char name[32];
  int len = snprintf(name, sizeof name, "site/room%u/temperature", topic);
  struct store_request *request = &worker->requests[worker->free[--worker->free_count]];
  store_request_init(request, STORE_PUBLISH);
  request->publish.message = message_new(slice_of(name, (size_t)len), payload, SLICE("alice"));
  store_submit(&worker->client, request);
}

static void publish_all(struct worker *worker, uint32_t topics) {
  for (uint32_t i = 0; i < PUBLISHES; i++) {
    publish_one(worker, i * 7919u % topics);
    if (i % TURN == TURN - 1) store_client_flush(&worker->client);
    mailbox_drain(&worker->mailbox);
    while (worker->free_count == 0)
      wait_mail(worker, -1);
  }
  while (worker->free_count < WINDOW)
    wait_mail(worker, -1);
}

static uint64_t cpu_ns(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t thread_ns(pthread_t thread) {
  clockid_t clock;
  return pthread_getcpuclockid(thread, &clock) == 0 ? cpu_ns(clock) : 0;
}

/* What the process has spent on the store's thread: all that the others have not spent. */
static uint64_t store_ns(const struct worker *workers, unsigned subscribers) {
  uint64_t ns = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns(CLOCK_THREAD_CPUTIME_ID);
  for (unsigned i = 1; i <= subscribers; i++)
    ns -= thread_ns(workers[i].thread);
  return ns;
}

static void start_workers(struct worker *workers, unsigned subscribers, struct store *store,
                          struct topic_trie *trie) {
  for (unsigned i = 0; i <= subscribers; i++)
    init_worker(&workers[i], store, i);
  for (unsigned i = 1; i <= subscribers; i++) {
    topic_trie_add(trie, SLICE("site/+/temperature"), i);
    pthread_create(&workers[i].thread, NULL, run_subscriber, &workers[i]);
  }
}

static void stop_workers(struct worker *workers, unsigned subscribers) {
  for (unsigned i = 0; i <= subscribers; i++) {
    atomic_store(&workers[i].stopping, true);
    if (i > 0) pthread_join(workers[i].thread, NULL);
    mailbox_drain(&workers[i].mailbox);
    store_client_done(&workers[i].client);
    mailbox_done(&workers[i].mailbox);
  }
}

static void run(const struct scenario *scenario) {
  static struct worker workers[WORKERS_MAX];
  struct store_config config = {.log_enabled = scenario->log_enabled,
                                .max_log_length = scenario->max_log_length,
                                .default_ttl_ms = 60000};
  struct topic_trie *trie = topic_trie_new();
  struct store *store = store_new(&config, trie);
  start_workers(workers, scenario->workers, store, trie);
  store_start(store);
  uint64_t cpu_before = store_ns(workers, scenario->workers), before = clock_monotonic_ns();
  publish_all(&workers[0], scenario->topics);
  double wall = (double)(clock_monotonic_ns() - before);
  double cpu = (double)(store_ns(workers, scenario->workers) - cpu_before);
  const struct store_metrics *metrics = store_metrics(store);
  double requests = (double)store_metric_get(&metrics->requests);
  printf("%-28s %5.0f ns/publish  %8.0f publishes/s  %4.0f requests/turn\n", scenario->name,
         cpu / PUBLISHES, PUBLISHES * 1e9 / wall,
         requests / (double)store_metric_get(&metrics->turns));
  store_stop(store);
  stop_workers(workers, scenario->workers);
  store_free(store);
  topic_trie_free(trie);
}

int main(void) {
  for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
    run(&scenarios[i]);
  return 0;
}
