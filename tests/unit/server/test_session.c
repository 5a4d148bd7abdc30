#include "eventhub/server/session.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker_fixture.h"

static struct broker_fixture fixture;
static struct peer one, two;

static int set_up(void **state) {
  (void)state;
  broker_fixture_init(&fixture, ENV("DISABLE_AUTH=1"));
  client_connect(&one, &fixture, 0);
  client_connect(&two, &fixture, 1);
  return 0;
}

static int set_up_tokens(void **state) {
  (void)state;
  broker_fixture_init(&fixture, ENV("JWT_SECRET=" BROKER_SECRET));
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  broker_fixture_done(&fixture);
  peer_close(&one);
  peer_close(&two);
  return 0;
}

static struct connection *connection_of(unsigned worker) {
  return fixture.broker.workers[worker].pool.slots[0];
}

static struct session *session_of(unsigned worker) {
  return connection_of(worker)->session;
}

/* The tick of worker 0 that comes by the clock. */
static void tick(void) {
  struct expiry *expiry = &fixture.broker.workers[0].expiry;
  assert_true(list_is_linked(&expiry->tick.link));
  expiry->tick.at_ms = 0;
  broker_settle(&fixture);
}

/* ---- requests in flight ---- */

#define GOODBYE       "close:1000,disconnected at the client's request "
#define WAS_PUBLISHED RESULT("1", PUBLISHED("1700000000000-0", "a"))
#define PUBLISH       REQUEST("1", "publish", "{\"topic\":\"a\",\"message\":1}")

static void who_has_too_many_requests_in_flight_is_not_read(void **state) {
  (void)state;
  enum { REQUESTS = SESSION_PENDING_MAX + 500 };
  for (int i = 0; i < REQUESTS; i++)
    append_text_frame(&one.out, FIN | WS_TEXT, PUBLISH);
  struct worker *worker = &fixture.broker.workers[0];
  for (int i = 0; i < 20; i++) {
    peer_flush(&one);
    turn(&worker->loop);
  }
  assert_int_equal(session_of(0)->pending, SESSION_PENDING_MAX);
  assert_int_equal(connection_of(0)->pauses, CONNECTION_PAUSE_REQUESTS);
  size_t answers = 0;
  while (answers < REQUESTS) {
    struct slice rest;
    struct peer_frame frame;
    peer_flush(&one);
    broker_settle(&fixture);
    assert_true(peer_read_some(&one, SIZE_MAX) > 0);
    for (rest = buf_slice(&one.in); next_frame(&rest, &frame);)
      answers++;
    buf_consume(&one.in, one.in.len - rest.len);
  }
  assert_int_equal(answers, REQUESTS);
  assert_int_equal(session_of(0)->pending, 0);
  assert_int_equal(connection_of(0)->pauses, 0);
}

/* ---- leaving ---- */

static void disconnect_closes_with_1000(void **state) {
  (void)state;
  assert_answer(&fixture, &one, REQUEST("1", "disconnect", "[]"), GOODBYE);
}

static void disconnect_waits_for_the_answers_to_what_came_before(void **state) {
  (void)state;
  append_text_frame(&one.out, FIN | WS_TEXT, PUBLISH);
  append_text_frame(&one.out, FIN | WS_TEXT, REQUEST("2", "disconnect", "[]"));
  append_text_frame(&one.out, FIN | WS_TEXT, REQUEST("3", "ping", "[]"));
  peer_flush(&one);
  turn(&fixture.broker.workers[0].loop);
  assert_int_equal(connection_of(0)->state, CONNECTION_WEBSOCKET);
  broker_settle(&fixture);
  assert_frames(&one, WAS_PUBLISHED " " GOODBYE);
}

static void disconnect_in_a_batch_waits_for_the_batch(void **state) {
  (void)state;
  assert_answer(&fixture, &one, BATCH2(PUBLISH, REQUEST("2", "disconnect", "[]")),
                "[" WAS_PUBLISHED "] " GOODBYE);
}

/* ---- batches that take longer than a turn ---- */

enum { LONG_BATCH = 94 }; /* with two more it ends with a step */

/* `first`, publishes with 1, 2, ... as their message, `last`, in an array. */
static void append_long_batch(struct buf *out, const char *first, const char *last) {
  buf_printf(out, "[%s", first);
  for (int i = 1; i <= LONG_BATCH; i++)
    buf_printf(out, "," REQUEST("%d", "publish", "{\"topic\":\"a\",\"message\":%d}"), i, i);
  buf_printf(out, ",%s]", last);
}

/* Sends one behind the others that are to be sent. Each turn takes up a few of its requests. */
static void send_long_batch(struct peer *peer, const char *first, const char *last) {
  AUTO(buf) struct buf text = BUF_INIT;
  append_long_batch(&text, first, last);
  for (unsigned i = 0; i < BROKER_WORKERS; i++)
    fixture.broker.workers[i].batch_share_ns = 0;
  append_text_frame(&peer->out, FIN | WS_TEXT, text.data);
  peer_flush(peer);
}

static void append_published(struct buf *out, const char *separator) {
  for (int i = 1; i <= LONG_BATCH; i++)
    buf_printf(out, "%s" RESULT("%d", PUBLISHED("1700000000000-%d", "a")), i == 1 ? "" : separator,
               i, i - 1);
}

static bool has_jobs(unsigned worker) {
  return !list_is_empty(&fixture.broker.workers[worker].jobs);
}

#define PONG(id)    REQUEST(id, "pong", "[]")
#define NO_PONG(id) ERROR(id, "-32601", "Method not found", "There is no method named pong")

static void a_long_batch_is_answered_in_its_order(void **state) {
  (void)state;
  AUTO(buf) struct buf answers = BUF_INIT;
  send_long_batch(&one, PONG("\"first\""), PONG("\"last\""));
  peer_send_text(&one, PONG("\"next\""));
  turn(&fixture.broker.workers[0].loop);
  assert_true(has_jobs(0));
  assert_int_equal(connection_of(0)->pauses, CONNECTION_PAUSE_BATCH);
  broker_settle(&fixture);
  assert_false(has_jobs(0));
  /* What comes next is read when all of the batch runs, and need not wait for the store. */
  buf_append_str(&answers, NO_PONG("\"next\"") " [" NO_PONG("\"first\"") ",");
  append_published(&answers, ",");
  buf_append_str(&answers, "," NO_PONG("\"last\"") "] ");
  buf_append_char(&answers, 0);
  do {
    broker_settle(&fixture);
  } while (peer_read_some(&one, SIZE_MAX) > 0);
  assert_frames(&one, answers.data);
}

static void others_have_their_turn_while_a_batch_runs(void **state) {
  (void)state;
  struct peer other;
  client_connect(&other, &fixture, 0);
  send_long_batch(&one, "1", "1");
  turn(&fixture.broker.workers[0].loop);
  peer_send_text(&other, PONG("7"));
  turn(&fixture.broker.workers[0].loop);
  assert_true(has_jobs(0));
  peer_read_some(&other, SIZE_MAX);
  assert_frames(&other, NO_PONG("7") " ");
  broker_settle(&fixture);
  peer_close(&other);
}

static void disconnect_in_a_long_batch_waits_for_its_end(void **state) {
  (void)state;
  AUTO(buf) struct buf answers = BUF_INIT;
  send_long_batch(&one, REQUEST("0", "disconnect", "[]"), PONG("\"last\""));
  broker_settle(&fixture);
  buf_append_str(&answers, "[");
  append_published(&answers, ",");
  buf_append_str(&answers, "," NO_PONG("\"last\"") "] " GOODBYE);
  buf_append_char(&answers, 0);
  assert_frames(&one, answers.data);
}

static void a_client_that_goes_takes_the_rest_of_its_batch_along(void **state) {
  (void)state;
  send_long_batch(&one, "1", "1");
  turn(&fixture.broker.workers[0].loop);
  assert_true(has_jobs(0));
  connection_drop(connection_of(0));
  turn(&fixture.broker.workers[0].loop);
  assert_false(has_jobs(0));
  broker_settle(&fixture);
  assert_int_equal(atomic_load(&fixture.broker.sessions), 1);
}

static void a_batch_of_who_was_told_goodbye_runs_no_further(void **state) {
  (void)state;
  send_long_batch(&one, "1", "1");
  turn(&fixture.broker.workers[0].loop);
  session_expire(session_of(0));
  turn(&fixture.broker.workers[0].loop);
  assert_false(has_jobs(0));
  broker_settle(&fixture);
  assert_frames(&one, "close:1008,the token has expired ");
}

static void a_worker_is_deaf_when_its_batches_are_run(void **state) {
  (void)state;
  struct worker *worker = &fixture.broker.workers[0];
  send_long_batch(&one, "1", "1");
  turn(&worker->loop);
  worker_stop_reading(worker);
  turn(&worker->loop);
  assert_true(has_jobs(0));
  assert_int_equal(atomic_load(&worker->phase), WORKER_SERVING);
  while (has_jobs(0))
    turn(&worker->loop);
  assert_int_equal(atomic_load(&worker->phase), WORKER_DEAF);
}

static void the_broker_may_stop_while_a_batch_runs(void **state) {
  (void)state;
  send_long_batch(&one, "1", "1");
  turn(&fixture.broker.workers[0].loop);
  assert_true(has_jobs(0));
}

static void a_client_that_goes_with_requests_in_flight_leaves_nothing(void **state) {
  (void)state;
  client_ask(&fixture, &one, REQUEST("1", "subscribe", "{\"topic\":\"a\"}"));
  peer_send_text(&one, PUBLISH);
  turn(&fixture.broker.workers[0].loop);
  assert_int_equal(session_of(0)->pending, 1);
  peer_close(&one);
  turn(&fixture.broker.workers[0].loop);
  assert_int_equal(atomic_load(&fixture.broker.sessions), 1);
  assert_int_equal(topic_trie_filter_count(fixture.broker.trie), 0);
  broker_settle(&fixture);
}

static void the_broker_may_stop_with_requests_in_flight(void **state) {
  (void)state;
  peer_send_text(&one, BATCH3(PUBLISH, REQUEST("2", "get", "{\"key\":\"k\"}"),
                              REQUEST("3", "subscribe", "{\"topic\":\"a\",\"since\":1}")));
  peer_send_text(&two, REQUEST("3", "subscribe", "{\"topic\":\"a\",\"since\":1}"));
  turn_workers(&fixture);
  assert_int_equal(session_of(0)->pending, 3);
}

static void a_stopped_store_answers_that_it_is_stopping(void **state) {
  (void)state;
  store_stop(fixture.broker.store);
  assert_answer(&fixture, &one, PUBLISH,
                ERROR("1", "-32603", "Internal error",
                      "The server is stopping. The request had no effect.") " ");
}

/* ---- tokens that run out ---- */

static void a_token_that_runs_out_ends_the_connection(void **state) {
  (void)state;
  client_connect_as(&one, &fixture, 0, "{\"read\":[\"a\"],\"exp\":1700000010}");
  broker_wall_ms += 9999;
  tick();
  assert_frames(&one, "");
  broker_wall_ms += 1;
  tick();
  assert_frames(&one, "close:1008,the token has expired ");
}

/* Also between two ticks. */
static void no_request_runs_on_a_token_that_has_run_out(void **state) {
  (void)state;
  client_connect_as(&one, &fixture, 0, "{\"write\":[\"a\"],\"exp\":1700000010}");
  broker_wall_ms += 10000;
  peer_send_text(&one, PUBLISH);
  turn(&fixture.broker.workers[0].loop);
  assert_frames(&one, "close:1008,the token has expired ");
  assert_int_equal(session_of(0)->pending, 0);
}

static void a_token_that_never_runs_out_needs_no_timer(void **state) {
  (void)state;
  client_connect_as(&one, &fixture, 0, "{\"read\":[\"a\"]}");
  assert_int_equal(fixture.broker.workers[0].expiry.count, 0);
  client_connect_as(&two, &fixture, 0, "{\"read\":[\"a\"],\"exp\":1700000010}");
  assert_int_equal(fixture.broker.workers[0].expiry.count, 1);
  peer_close(&two);
  broker_settle(&fixture);
  assert_int_equal(fixture.broker.workers[0].expiry.count, 0);
}

#define BROKER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define TOKEN_TEST(function)  cmocka_unit_test_setup_teardown(function, set_up_tokens, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BROKER_TEST(who_has_too_many_requests_in_flight_is_not_read),
      BROKER_TEST(disconnect_closes_with_1000),
      BROKER_TEST(disconnect_waits_for_the_answers_to_what_came_before),
      BROKER_TEST(disconnect_in_a_batch_waits_for_the_batch),
      BROKER_TEST(a_long_batch_is_answered_in_its_order),
      BROKER_TEST(others_have_their_turn_while_a_batch_runs),
      BROKER_TEST(disconnect_in_a_long_batch_waits_for_its_end),
      BROKER_TEST(a_client_that_goes_takes_the_rest_of_its_batch_along),
      BROKER_TEST(a_batch_of_who_was_told_goodbye_runs_no_further),
      BROKER_TEST(a_worker_is_deaf_when_its_batches_are_run),
      BROKER_TEST(the_broker_may_stop_while_a_batch_runs),
      BROKER_TEST(a_client_that_goes_with_requests_in_flight_leaves_nothing),
      BROKER_TEST(the_broker_may_stop_with_requests_in_flight),
      BROKER_TEST(a_stopped_store_answers_that_it_is_stopping),
      TOKEN_TEST(a_token_that_runs_out_ends_the_connection),
      TOKEN_TEST(no_request_runs_on_a_token_that_has_run_out),
      TOKEN_TEST(a_token_that_never_runs_out_needs_no_timer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
