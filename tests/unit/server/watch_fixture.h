#ifndef EVENTHUB_TESTS_SERVER_WATCH_FIXTURE_H
#define EVENTHUB_TESTS_SERVER_WATCH_FIXTURE_H

/*
 * A broker whose store watches: the embedded backend, but its answers to the requests that a test
 * wants to keep come when the test gives them, as those of another machine do. Include after
 * cmocka.h.
 */

#include "broker_fixture.h"

enum { WATCH_OPEN_MAX = 64 };

static struct {
  struct broker_fixture broker;
  struct store_backend_ops ops;
  const struct store_backend_ops *own_ops;
  struct store_request *open[WATCH_OPEN_MAX]; /* not answered, oldest first */
  size_t open_count;
  struct buf ended; /* the filters that were unwatched, a blank behind each */
} watching;

static inline void watch_keep(struct store_backend *backend, struct store_request *request) {
  (void)backend;
  assert_true(watching.open_count < WATCH_OPEN_MAX);
  watching.open[watching.open_count++] = request;
}

static inline void watch_note_end(struct store_backend *backend, struct store_request *request) {
  (void)backend;
  buf_append_slice(&watching.ended, request->watch.filter);
  buf_append_char(&watching.ended, ' ');
  store_finish(request, STORE_OK);
}

static inline void watch_fixture_init(const char *const *env) {
  memset(&watching, 0, sizeof watching);
  broker_fixture_init(&watching.broker, env);
  watching.own_ops = watching.broker.backend->ops;
  watching.ops = *watching.own_ops;
  watching.ops.run[STORE_WATCH] = watch_keep;
  watching.ops.run[STORE_UNWATCH] = watch_note_end;
  watching.broker.backend->ops = &watching.ops;
}

/* Answers the oldest open request: run by the backend where it is one of its own and `status` is
 * STORE_OK. */
static inline void watch_answer_unsettled(enum store_status status) {
  assert_true(watching.open_count > 0);
  struct store_request *request = watching.open[0];
  memmove(&watching.open[0], &watching.open[1], --watching.open_count * sizeof request);
  store_run_fn *run = watching.own_ops->run[request->op];
  if (status == STORE_OK && run != NULL) {
    run(watching.broker.backend, request);
  } else {
    store_finish(request, status);
  }
}

static inline void watch_answer(enum store_status status) {
  watch_answer_unsettled(status);
  turn_store(&watching.broker);
  broker_settle(&watching.broker);
}

/* What is open is answered, but no worker reads that before it ends. */
static inline void watch_fixture_done(void) {
  while (watching.open_count > 0)
    watch_answer_unsettled(STORE_UNKNOWN);
  turn_store(&watching.broker);
  broker_fixture_done(&watching.broker);
  buf_done(&watching.ended);
}

/* Which filters were unwatched since the last time. */
#define assert_ended(filters)                                                                      \
  do {                                                                                             \
    buf_append_char(&watching.ended, '\0');                                                        \
    assert_string_equal(watching.ended.data, filters);                                             \
    buf_clear(&watching.ended);                                                                    \
  } while (0)

#endif
