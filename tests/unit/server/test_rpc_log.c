#include "eventhub/server/rpc_log.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker_fixture.h"

/* History: eventlog, and subscribe with a point in time or a message id. */

static struct broker_fixture fixture;
static struct peer one, two;

static int start(const char *const *env) {
  broker_fixture_init(&fixture, env);
  client_connect(&one, &fixture, 0);
  client_connect(&two, &fixture, 1);
  return 0;
}

static int set_up(void **state) {
  (void)state;
  return start(ENV("DISABLE_AUTH=1", "MAX_CACHE_LENGTH=5", "MAX_CACHE_REQUEST_LIMIT=4"));
}

static int set_up_without_log(void **state) {
  (void)state;
  return start(ENV("DISABLE_AUTH=1", "ENABLE_CACHE=0"));
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

/* Publishes numbers from `from` to `to` to a topic, a millisecond apart: number n has the id
 * 170000000000n-0. */
static void publish(const char *topic, int from, int to) {
  for (int n = from; n <= to; n++) {
    AUTO(buf) struct buf request = BUF_INIT;
    broker_wall_ms = BROKER_START_MS + (uint64_t)n;
    buf_printf(&request, REQUEST("0", "publish", "{\"topic\":\"%s\",\"message\":%d,\"ttl\":1}"),
               topic, n);
    client_ask(&fixture, &two, request.data);
  }
  buf_clear(&two.in);
}

#define ID(n)             "170000000000" n "-0"
#define A(n)              ITEM(ID(n), n, "a")
#define LOG(params)       REQUEST("1", "eventlog", "{\"topic\":\"a\"," params "}")
#define SUBSCRIBE(params) REQUEST("1", "subscribe", "{\"topic\":\"a\"," params "}")
#define LOGGED(items, recovered)                                                                   \
  RESULT("1", "{\"action\":\"eventlog\",\"status\":\"ok\",\"topic\":\"a\",\"items\":[" items       \
              "],\"recovered\":" recovered "}")                                                    \
  " "

static void every_form_of_a_point_means_what_it_says(void **state) {
  (void)state;
  publish("a", 1, 3);
  broker_wall_ms = BROKER_START_MS + 5;
  assert_answer(&fixture, &one, LOG("\"sinceEventId\":\"" ID("2") "\""), LOGGED(A("3"), "true"));
  assert_answer(&fixture, &one, LOG("\"since\":\"" ID("1") "\""),
                LOGGED(A("2") "," A("3"), "true"));
  assert_answer(&fixture, &one, LOG("\"since\":1700000000002"), LOGGED(A("2") "," A("3"), "true"));
  assert_answer(&fixture, &one, LOG("\"since\":-2"), LOGGED(A("3"), "true"));
  assert_answer(&fixture, &one, LOG("\"since\":-9007199254740991"),
                LOGGED(A("1") "," A("2") "," A("3"), "true"));
  assert_answer(&fixture, &one, LOG("\"since\":0"), LOGGED("", "true"));
  assert_answer(&fixture, &one, LOG("\"since\":9007199254740991"), LOGGED("", "true"));
}

static void an_id_counts_before_a_time(void **state) {
  (void)state;
  publish("a", 1, 3);
  assert_answer(&fixture, &one, LOG("\"since\":1,\"sinceEventId\":\"" ID("2") "\""),
                LOGGED(A("3"), "true"));
  /* Clients that have no id yet send an empty one. */
  assert_answer(&fixture, &one, LOG("\"since\":1700000000003,\"sinceEventId\":\"\""),
                LOGGED(A("3"), "true"));
}

static void what_is_cut_by_a_limit_is_not_recovered(void **state) {
  (void)state;
  publish("a", 1, 5);
  assert_answer(&fixture, &one, LOG("\"since\":1,\"limit\":2"), LOGGED(A("4") "," A("5"), "false"));
  assert_answer(&fixture, &one, LOG("\"since\":1,\"limit\":0"), LOGGED("", "false"));
  assert_answer(&fixture, &one, LOG("\"since\":1,\"limit\":1000000"),
                LOGGED(A("2") "," A("3") "," A("4") "," A("5"), "false"));
  assert_answer(&fixture, &one, LOG("\"since\":1700000000004,\"limit\":2"),
                LOGGED(A("4") "," A("5"), "true"));
}

static void what_is_trimmed_or_expired_is_not_recovered(void **state) {
  (void)state;
  publish("a", 1, 7);
  assert_answer(&fixture, &one, LOG("\"sinceEventId\":\"" ID("1") "\",\"limit\":1"),
                LOGGED(A("7"), "false"));
  assert_answer(&fixture, &one, LOG("\"sinceEventId\":\"" ID("5") "\""),
                LOGGED(A("6") "," A("7"), "true"));
  broker_wall_ms = BROKER_START_MS + 1006;
  assert_answer(&fixture, &one, LOG("\"sinceEventId\":\"" ID("5") "\""), LOGGED(A("7"), "false"));
}

static void a_point_is_needed(void **state) {
  (void)state;
  assert_answer(&fixture, &one, LOG("\"limit\":1"),
                INVALID_PARAMS("1", "You must specify either 'since' or 'sinceEventId'.") " ");
  assert_answer(&fixture, &one, LOG("\"since\":null"),
                INVALID_PARAMS("1", "You must specify either 'since' or 'sinceEventId'.") " ");
}

static void wrong_parameters_are_told(void **state) {
  (void)state;
  static const struct {
    const char *params, *data;
  } rows[] = {
      {"\"sinceEventId\":\"x\"", "Invalid message id in request: x"},
      {"\"since\":\"1-\"", "Invalid message id in request: 1-"},
      {"\"sinceEventId\":5", "Parameter 'sinceEventId' must be a string."},
      {"\"since\":true",
       "Parameter 'since' must be a whole number from -9007199254740991 to 9007199254740991."},
      {"\"since\":1.5",
       "Parameter 'since' must be a whole number from -9007199254740991 to 9007199254740991."},
      {"\"since\":1,\"limit\":-1",
       "Parameter 'limit' must be a whole number from 0 to 9007199254740991."},
  };
  for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
    AUTO(buf) struct buf request = BUF_INIT;
    AUTO(buf) struct buf answer = BUF_INIT;
    buf_printf(&answer, INVALID_PARAMS("1", "%s") " ", rows[i].data);
    buf_printf(&request, LOG("%s"), rows[i].params);
    assert_answer(&fixture, &one, request.data, answer.data);
    buf_clear(&request);
    buf_printf(&request, SUBSCRIBE("%s"), rows[i].params);
    assert_answer(&fixture, &one, request.data, answer.data);
  }
  assert_answer(&fixture, &one, REQUEST("1", "list", "[]"), RESULT("1", "[]") " ");
}

/* ---- subscribing ---- */

static void history_comes_behind_the_answer_and_live_messages_behind_that(void **state) {
  (void)state;
  publish("a", 1, 3);
  assert_answer(&fixture, &one, SUBSCRIBE("\"since\":\"" ID("1") "\""),
                RESULT("1", RECOVERED("a", "true")) " " MESSAGE("1", A("2")) MESSAGE("1", A("3")));
  publish("a", 4, 4);
  assert_frames(&one, MESSAGE("1", A("4")));
}

static void messages_published_while_it_catches_up_come_once(void **state) {
  (void)state;
  publish("a", 1, 1);
  peer_send_text(&one, SUBSCRIBE("\"since\":1"));
  turn(&fixture.broker.workers[0].loop); /* the read is on its way */
  publish("a", 2, 3);
  assert_frames(&one, RESULT("1", RECOVERED("a", "true")) " " MESSAGE("1", A("1"))
                          MESSAGE("1", A("2")) MESSAGE("1", A("3")));
}

static void no_history_is_recovered_and_live(void **state) {
  (void)state;
  publish("a", 1, 1);
  assert_answer(&fixture, &one, SUBSCRIBE("\"since\":0"), RESULT("1", RECOVERED("a", "true")) " ");
  publish("a", 2, 2);
  assert_frames(&one, MESSAGE("1", A("2")));
}

static void subscribing_again_with_a_point_brings_history_again(void **state) {
  (void)state;
  publish("a", 1, 1);
  client_ask(&fixture, &one, SUBSCRIBE("\"since\":0"));
  buf_clear(&one.in);
  assert_answer(&fixture, &one, REQUEST("2", "subscribe", "{\"topic\":\"a\",\"since\":1}"),
                RESULT("2", RECOVERED("a", "true")) " " MESSAGE("2", A("1")));
  publish("a", 2, 2);
  assert_frames(&one, MESSAGE("2", A("2")));
}

static void an_answer_that_comes_too_late_brings_no_history(void **state) {
  (void)state;
  publish("a", 1, 2);
  peer_send_text(&one,
                 BATCH3(SUBSCRIBE("\"since\":1"), REQUEST("2", "unsubscribe", "[\"a\"]"),
                        REQUEST("3", "subscribe", "{\"topic\":\"a\",\"since\":\"" ID("1") "\"}")));
  broker_settle(&fixture);
  assert_frames(&one, BATCH3(RESULT("1", RECOVERED("a", "true")),
                             RESULT("2", "{\"unsubscribe_count\":1}"),
                             RESULT("3", RECOVERED("a", "true"))) " " MESSAGE("3", A("2")));
}

static void a_batch_sends_history_and_what_came_meanwhile_behind_its_answers(void **state) {
  (void)state;
  publish("a", 1, 1);
  broker_wall_ms = BROKER_START_MS + 2;
  assert_answer(
      &fixture, &one,
      BATCH2(SUBSCRIBE("\"since\":1"), REQUEST("2", "publish", "{\"topic\":\"a\",\"message\":2}")),
      BATCH2(RESULT("1", RECOVERED("a", "true")), RESULT("2", PUBLISHED(ID("2"), "a"))) " " //
      MESSAGE("1", A("1")) MESSAGE("1", A("2")));
}

/* What is short is answered meanwhile. */
static void requests_behind_a_read_do_not_wait_for_it(void **state) {
  (void)state;
  publish("a", 1, 1);
  const struct connection *connection = fixture.broker.workers[0].pool.slots[0];
  peer_send_text(&one, LOG("\"since\":1"));
  peer_send_text(&one, REQUEST("2", "list", "[]"));
  turn(&fixture.broker.workers[0].loop);
  assert_int_equal(connection->pauses, 0);
  assert_frames(&one, RESULT("2", "[]") " ");
  broker_settle(&fixture);
  assert_frames(&one, LOGGED(A("1"), "true"));
}

/* The length of the answers is not known: one message's at a time. What comes behind the message
 * that waits is not read. */
static void a_read_behind_a_read_waits_for_it_and_so_does_what_follows(void **state) {
  (void)state;
  publish("a", 1, 1);
  const struct connection *connection = fixture.broker.workers[0].pool.slots[0];
  peer_send_text(&one, LOG("\"since\":1"));
  peer_send_text(&one, REQUEST("2", "get", "{\"key\":\"none\"}"));
  peer_send_text(&one, REQUEST("3", "list", "[]"));
  turn(&fixture.broker.workers[0].loop);
  assert_int_equal(connection->pauses, CONNECTION_PAUSE_READS);
  assert_frames(&one, "");
  broker_settle(&fixture);
  assert_int_equal(connection->pauses, 0);
  assert_frames(&one, LOGGED(A("1"), "true")
                          RESULT("3", "[]") " " INVALID_PARAMS("2", "KVStore: key not found") " ");
}

static void a_client_that_leaves_with_a_read_kept_leaves_nothing(void **state) {
  (void)state;
  publish("a", 1, 1);
  peer_send_text(&one, LOG("\"since\":1"));
  peer_send_text(&one, REQUEST("2", "get", "{\"key\":\"none\"}"));
  turn(&fixture.broker.workers[0].loop);
  peer_hang_up(&one);
  broker_settle(&fixture);
  assert_int_equal(fixture.broker.workers[0].pool.open_count, 0);
}

/* ---- without ---- */

static void without_an_eventlog_a_subscription_is_live_and_not_recovered(void **state) {
  (void)state;
  assert_answer(&fixture, &one, LOG("\"since\":1"),
                INVALID_PARAMS("1", "Cache is not enabled in server config") " ");
  assert_answer(&fixture, &one, SUBSCRIBE("\"since\":1"), RESULT("1", RECOVERED("a", "false")) " ");
  publish("a", 1, 1);
  assert_frames(&one, MESSAGE("1", A("1")));
}

static void reading_needs_a_token_that_may_read_all_of_it(void **state) {
  (void)state;
  client_connect_as(&one, &fixture, 0, "{\"read\":[\"a\"]}");
  assert_answer(&fixture, &one, LOG("\"since\":1"), LOGGED("", "true"));
  assert_answer(&fixture, &one, REQUEST("1", "eventlog", "{\"topic\":\"+\",\"since\":1}"),
                INVALID_PARAMS("1", "You are not allowed to read from topic: +") " ");
}

#define BROKER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define NO_LOG_TEST(function)                                                                      \
  cmocka_unit_test_setup_teardown(function, set_up_without_log, tear_down)
#define TOKEN_TEST(function) cmocka_unit_test_setup_teardown(function, set_up_tokens, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BROKER_TEST(every_form_of_a_point_means_what_it_says),
      BROKER_TEST(an_id_counts_before_a_time),
      BROKER_TEST(what_is_cut_by_a_limit_is_not_recovered),
      BROKER_TEST(what_is_trimmed_or_expired_is_not_recovered),
      BROKER_TEST(a_point_is_needed),
      BROKER_TEST(wrong_parameters_are_told),
      BROKER_TEST(history_comes_behind_the_answer_and_live_messages_behind_that),
      BROKER_TEST(messages_published_while_it_catches_up_come_once),
      BROKER_TEST(no_history_is_recovered_and_live),
      BROKER_TEST(subscribing_again_with_a_point_brings_history_again),
      BROKER_TEST(an_answer_that_comes_too_late_brings_no_history),
      BROKER_TEST(a_batch_sends_history_and_what_came_meanwhile_behind_its_answers),
      BROKER_TEST(requests_behind_a_read_do_not_wait_for_it),
      BROKER_TEST(a_read_behind_a_read_waits_for_it_and_so_does_what_follows),
      BROKER_TEST(a_client_that_leaves_with_a_read_kept_leaves_nothing),
      NO_LOG_TEST(without_an_eventlog_a_subscription_is_live_and_not_recovered),
      TOKEN_TEST(reading_needs_a_token_that_may_read_all_of_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
