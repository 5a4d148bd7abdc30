#include "eventhub/server/worker.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "broker_fixture.h"

/* How workers leave: deaf, then closed, and nobody misses what was for them. */

static struct broker_fixture fixture;
static struct peer one, two;

static int set_up(void **state) {
  (void)state;
  broker_fixture_init(&fixture, ENV("DISABLE_AUTH=1", "SHUTDOWN_TIMEOUT=1"));
  client_connect(&one, &fixture, 0);
  client_connect(&two, &fixture, 1);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  broker_fixture_done(&fixture);
  peer_close(&one);
  peer_close(&two);
  return 0;
}

static bool all_are(enum worker_phase phase) {
  for (unsigned i = 0; i < BROKER_WORKERS; i++) {
    if (atomic_load(&fixture.broker.workers[i].phase) < (int)phase) return false;
  }
  return true;
}

static void make_deaf(void) {
  atomic_store(&fixture.broker.is_draining, true);
  for (unsigned i = 0; i < BROKER_WORKERS; i++)
    worker_stop_reading(&fixture.broker.workers[i]);
  turn_workers(&fixture);
  assert_true(all_are(WORKER_DEAF));
}

static void close_all(void) {
  for (unsigned i = 0; i < BROKER_WORKERS; i++)
    worker_close_all(&fixture.broker.workers[i]);
}

/* A client that answers our close frame and hangs up. */
static void answer_close(struct peer *peer) {
  peer_send_close(peer, WS_CLOSE_GOING_AWAY);
  peer_hang_up(peer);
}

/* Turns that also wait for deadlines: closing is spread by the clock. */
static void wait_until_closed(struct worker *worker) {
  while (atomic_load(&worker->phase) < WORKER_CLOSED) {
    turn_and_wait(&worker->loop);
    turn_store(&fixture);
  }
}

#define GOING_AWAY "close:1001,the server is going away "

static void a_deaf_worker_accepts_and_reads_nothing(void **state) {
  (void)state;
  make_deaf();
  assert_int_equal(fixture.broker.workers[0].listener.io.fd, -1);
  peer_send_text(&one, REQUEST("1", "ping", "[]"));
  broker_settle(&fixture);
  assert_frames(&one, "");
}

/* It was read in the turn in which the order came. */
static void what_was_read_before_is_with_the_store(void **state) {
  (void)state;
  client_ask(&fixture, &two, REQUEST("1", "subscribe", "{\"topic\":\"a\"}"));
  buf_clear(&two.in);
  peer_send_text(&one, REQUEST("1", "publish", "{\"topic\":\"a\",\"message\":1}"));
  make_deaf();
  close_all();
  broker_settle(&fixture);
  AUTO(buf) struct buf answers = BUF_INIT;
  assert_frames(&two, MESSAGE("1", ITEM("1700000000000-0", "1", "a")) GOING_AWAY);
  peer_describe(&one, &answers);
  buf_append_char(&answers, '\0');
  assert_string_equal(answers.data, RESULT("1", PUBLISHED("1700000000000-0", "a")) " " GOING_AWAY);
}

/* Another worker's client published it: the barrier stands behind that too. */
static void messages_of_other_workers_come_before_the_close_frame(void **state) {
  (void)state;
  client_ask(&fixture, &one, REQUEST("1", "subscribe", "{\"topic\":\"a\"}"));
  buf_clear(&one.in);
  peer_send_text(&two, REQUEST("1", "publish", "{\"topic\":\"a\",\"message\":1}"));
  turn(&fixture.broker.workers[1].loop);
  make_deaf();
  close_all();
  turn(&fixture.broker.workers[0].loop);
  broker_settle(&fixture);
  assert_frames(&one, MESSAGE("1", ITEM("1700000000000-0", "1", "a")) GOING_AWAY);
}

static void a_worker_is_closed_when_its_last_connection_is(void **state) {
  (void)state;
  make_deaf();
  close_all();
  broker_settle(&fixture);
  assert_frames(&one, GOING_AWAY);
  assert_frames(&two, GOING_AWAY);
  assert_false(all_are(WORKER_CLOSED));
  answer_close(&one);
  wait_until_closed(&fixture.broker.workers[0]);
  assert_false(all_are(WORKER_CLOSED));
  answer_close(&two);
  wait_until_closed(&fixture.broker.workers[1]);
  assert_true(all_are(WORKER_CLOSED));
}

static void a_worker_without_connections_is_closed_at_once(void **state) {
  (void)state;
  peer_close(&one);
  peer_close(&two);
  broker_settle(&fixture);
  make_deaf();
  close_all();
  broker_settle(&fixture);
  assert_true(all_are(WORKER_CLOSED));
}

static void connections_that_are_no_websocket_yet_end_too(void **state) {
  (void)state;
  static struct peer http;
  peer_open(&http, &fixture.broker.workers[0].pool);
  peer_write_text(&http, "GET /");
  broker_settle(&fixture);
  make_deaf();
  close_all();
  while (!http.is_at_end) {
    turn_and_wait(&fixture.broker.workers[0].loop);
    turn_store(&fixture);
    peer_read(&http);
  }
  assert_int_equal(http.in.len, 0);
  peer_close(&http);
}

/* Not all at once: they would all come back at once. */
static void closing_is_spread(void **state) {
  (void)state;
  enum { MANY = 60 };
  static struct peer peers[MANY];
  struct worker *worker = &fixture.broker.workers[0];
  for (int i = 0; i < MANY; i++)
    client_connect(&peers[i], &fixture, 0);
  make_deaf();
  worker_close_all(worker);
  turn(&worker->loop);
  turn_store(&fixture);
  turn(&worker->loop);
  int closing = 0;
  for (uint32_t slot = 0; slot < worker->pool.slot_count; slot++)
    closing += worker->pool.slots[slot]->state == CONNECTION_CLOSING;
  assert_in_range(closing, 1, MANY - 1);
  while (worker->close_slot < worker->pool.slot_count)
    turn_and_wait(&worker->loop);
  for (int i = 0; i < MANY; i++) {
    assert_frames(&peers[i], GOING_AWAY);
    peer_close(&peers[i]);
  }
}

static void each_step_is_told(void **state) {
  (void)state;
  uint64_t steps = 0;
  make_deaf();
  assert_int_equal(read(fixture.phase_fd, &steps, sizeof steps), sizeof steps);
  assert_int_equal(steps, BROKER_WORKERS);
  peer_close(&one);
  peer_close(&two);
  close_all();
  broker_settle(&fixture);
  for (unsigned i = 0; i < BROKER_WORKERS; i++)
    wait_until_closed(&fixture.broker.workers[i]);
  assert_int_equal(read(fixture.phase_fd, &steps, sizeof steps), sizeof steps);
  assert_int_equal(steps, BROKER_WORKERS);
}

/* ---- on threads of their own ---- */

static void workers_and_store_on_threads_carry_a_message_and_stop(void **state) {
  (void)state;
  for (unsigned i = 0; i < BROKER_WORKERS; i++)
    assert_int_equal(worker_start(&fixture.broker.workers[i]), 0);
  peer_send_text(&one, REQUEST("1", "ping", "[]"));
  struct pollfd fd = {.fd = one.fd, .events = POLLIN};
  assert_int_equal(poll(&fd, 1, -1), 1);
  assert_frames(&one, RESULT("1", "{\"pong\":1700000000000}") " ");
  for (unsigned i = 0; i < BROKER_WORKERS; i++) {
    worker_join(&fixture.broker.workers[i]);
    worker_join(&fixture.broker.workers[i]);
  }
}

#define BROKER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BROKER_TEST(a_deaf_worker_accepts_and_reads_nothing),
      BROKER_TEST(what_was_read_before_is_with_the_store),
      BROKER_TEST(messages_of_other_workers_come_before_the_close_frame),
      BROKER_TEST(a_worker_is_closed_when_its_last_connection_is),
      BROKER_TEST(a_worker_without_connections_is_closed_at_once),
      BROKER_TEST(connections_that_are_no_websocket_yet_end_too),
      BROKER_TEST(closing_is_spread),
      BROKER_TEST(each_step_is_told),
      BROKER_TEST(workers_and_store_on_threads_carry_a_message_and_stop),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
