#include "eventhub/server/rpc.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker_fixture.h"

/* What holds for every method: who is answered, how, and in which order. */

static struct broker_fixture fixture;
static struct peer peer;

static int start(const char *const *env) {
  broker_fixture_init(&fixture, env);
  client_connect(&peer, &fixture, 0);
  return 0;
}

static int set_up(void **state) {
  (void)state;
  return start(ENV("DISABLE_AUTH=1"));
}

static int set_up_small(void **state) {
  (void)state;
  return start(ENV("DISABLE_AUTH=1", "MAX_SEND_QUEUE=4000"));
}

static int tear_down(void **state) {
  (void)state;
  broker_fixture_done(&fixture);
  peer_close(&peer);
  return 0;
}

#define PONG "{\"pong\":1700000000000}"
#define NO_MESSAGE                                                                                 \
  "A message is one request, an object, or an array of 1 to 10000 of them, nested no deeper than " \
  "64 levels."
#define NO_REQUEST                                                                                 \
  "A request is an object with \\\"jsonrpc\\\":\\\"2.0\\\", a \\\"method\\\", \\\"params\\\" that" \
  " are an object or an array, and an \\\"id\\\" that is a string or a number."
#define BATCH_LIMITS "A batch holds 1 to 10000 requests, nested no deeper than 64 levels."

static void ids_come_back_as_they_were_written(void **state) {
  (void)state;
  static const char *const ids[] = {"1",    "\"x\"", "9007199254740991",
                                    "1e2",  "-0.0",  "\"\\\"\\u0041\"",
                                    "null", "\"\"",  "\"\xc3\xa9\""};
  for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
    AUTO(buf) struct buf request = BUF_INIT;
    AUTO(buf) struct buf answer = BUF_INIT;
    buf_printf(&request, "{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"id\":%s}", ids[i]);
    buf_printf(&answer, "{\"id\":%s,\"jsonrpc\":\"2.0\",\"result\":" PONG "} ", ids[i]);
    assert_answer(&fixture, &peer, request.data, answer.data);
  }
}

static void method_names_have_no_case(void **state) {
  (void)state;
  assert_answer(&fixture, &peer, REQUEST("1", "PiNG", "[]"), RESULT("1", PONG) " ");
  assert_answer(&fixture, &peer, REQUEST("1", "unSUBscribeALL", "[]"),
                RESULT("1", "{\"unsubscribe_count\":0}") " ");
}

static void a_method_that_there_is_not(void **state) {
  (void)state;
  assert_answer(&fixture, &peer, REQUEST("1", "pin\\\"g", "[]"),
                ERROR("1", "-32601", "Method not found", "There is no method named pin\\\"g") " ");
  assert_answer(&fixture, &peer, NOTIFICATION("pins", "[]"), "");
}

static void what_is_not_json_is_answered_with_id_null(void **state) {
  (void)state;
  static const char *const texts[] = {"", "{", "[1,]", "nul", "{\"id\":1}}"};
  for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
    assert_answer(&fixture, &peer, texts[i],
                  ERROR("null", "-32700", "Parse error", "The message is not valid JSON.") " ");
  }
}

static void what_is_no_request_is_answered_with_its_id_if_it_has_one(void **state) {
  (void)state;
  assert_answer(&fixture, &peer, "1", INVALID_REQUEST("null", NO_MESSAGE) " ");
  assert_answer(&fixture, &peer, "{}", INVALID_REQUEST("null", NO_REQUEST) " ");
  assert_answer(&fixture, &peer, "{\"id\":5,\"method\":\"ping\"}",
                INVALID_REQUEST("5", NO_REQUEST) " ");
  assert_answer(&fixture, &peer, "{\"id\":{},\"method\":\"ping\",\"jsonrpc\":\"2.0\"}",
                INVALID_REQUEST("null", NO_REQUEST) " ");
  assert_answer(&fixture, &peer, REQUEST("6", "ping", "7"), INVALID_REQUEST("6", NO_REQUEST) " ");
}

static void a_notification_runs_and_is_not_answered(void **state) {
  (void)state;
  assert_answer(&fixture, &peer, NOTIFICATION("subscribe", "{\"topic\":\"a\"}"), "");
  assert_answer(&fixture, &peer, NOTIFICATION("subscribe", "{\"topic\":\"/\"}"), "");
  assert_answer(&fixture, &peer, REQUEST("1", "list", "[]"), RESULT("1", "[\"a\"]") " ");
  assert_answer(&fixture, &peer, NOTIFICATION("publish", "{\"topic\":\"a\",\"message\":1}"),
                MESSAGE("null", ITEM("1700000000000-0", "1", "a")));
}

/* ---- batches ---- */

#define PUBLISH(id)   REQUEST(id, "publish", "{\"topic\":\"a\",\"message\":1}")
#define GET(id)       REQUEST(id, "get", "{\"key\":\"k\"}")
#define SUBSCRIBE(id) REQUEST(id, "subscribe", "{\"topic\":\"a\",\"since\":1}")

static void a_batch_is_answered_in_its_order(void **state) {
  (void)state;
  assert_answer(&fixture, &peer, BATCH3(PUBLISH("1"), REQUEST("2", "ping", "[]"), GET("3")),
                BATCH3(RESULT("1", PUBLISHED("1700000000000-0", "a")), RESULT("2", PONG),
                       INVALID_PARAMS("3", "KVStore: key not found")) " ");
}

static void each_element_of_a_batch_is_taken_by_itself(void **state) {
  (void)state;
  assert_answer(&fixture, &peer, BATCH3("7", NOTIFICATION("ping", "[]"), GET("1")),
                BATCH2(INVALID_REQUEST("null", NO_REQUEST),
                       INVALID_PARAMS("1", "KVStore: key not found")) " ");
}

static void a_batch_of_notifications_is_not_answered(void **state) {
  (void)state;
  assert_answer(&fixture, &peer,
                BATCH2(NOTIFICATION("ping", "[]"), NOTIFICATION("get", "{\"key\":\"k\"}")), "");
}

static void an_empty_batch_is_no_request(void **state) {
  (void)state;
  assert_answer(&fixture, &peer, "[]", INVALID_REQUEST("null", NO_MESSAGE) " ");
}

static void a_batch_may_be_long_but_not_too_long(void **state) {
  (void)state;
  AUTO(buf) struct buf batch = BUF_INIT;
  for (int i = 0; i < JSONRPC_BATCH_MAX; i++)
    buf_append_str(&batch, i == 0 ? "[1" : ",1");
  size_t len = batch.len;
  buf_append(&batch, "]\0", 2);
  client_ask(&fixture, &peer, batch.data);
  AUTO(buf) struct buf answers = BUF_INIT;
  peer_describe(&peer, &answers);
  assert_int_equal(answers.len,
                   JSONRPC_BATCH_MAX * (strlen(INVALID_REQUEST("null", NO_REQUEST)) + 1) + 2);
  batch.len = len;
  buf_append(&batch, ",1]\0", 4);
  assert_answer(&fixture, &peer, batch.data, INVALID_REQUEST("null", NO_MESSAGE) " ");
}

static void nesting_has_a_limit_and_the_connection_stays(void **state) {
  (void)state;
  enum { DEPTH = 100000 };
  static char deep[DEPTH + 1];
  memset(deep, '[', DEPTH);
  assert_answer(&fixture, &peer, deep, INVALID_REQUEST("null", NO_MESSAGE) " ");
  assert_answer(&fixture, &peer, REQUEST("1", "ping", "[]"), RESULT("1", PONG) " ");
}

/* All answers wait in memory for the last one. */
static void the_answers_of_a_batch_have_a_limit_together(void **state) {
  (void)state;
  AUTO(buf) struct buf batch = BUF_INIT;
  AUTO(buf) struct buf answers = BUF_INIT;
  char topic[1001] = {0};
  memset(topic, 't', sizeof topic - 1);
  buf_printf(&batch, "{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"params\":{\"topic\":\"%s\"}}",
             topic);
  assert_answer(&fixture, &peer, batch.data, "");
  buf_clear(&batch);
  for (int i = 0; i < 5; i++)
    buf_append_str(&batch,
                   i == 0 ? "[" REQUEST("1", "list", "[]") : "," REQUEST("1", "list", "[]"));
  buf_append_str(&batch, "," NOTIFICATION("list", "[]") "]");
  buf_append_char(&batch, '\0');
  client_ask(&fixture, &peer, batch.data);
  peer_describe(&peer, &answers);
  int lists = 0, refusals = 0;
  buf_append_char(&answers, '\0');
  for (const char *at = answers.data; (at = strstr(at, "\"result\":")) != NULL; at++)
    lists++;
  for (const char *at = answers.data; (at = strstr(at, "\"error\":")) != NULL; at++)
    refusals++;
  assert_int_equal(lists, 1);
  assert_int_equal(refusals, 4);
  assert_answer(&fixture, &peer, REQUEST("1", "ping", "[]"), RESULT("1", PONG) " ");
}

/* However full the batch is. */
static void a_notification_is_not_answered_by_an_error_either(void **state) {
  (void)state;
  AUTO(buf) struct buf batch = BUF_INIT;
  AUTO(buf) struct buf answers = BUF_INIT;
  buf_append_str(&batch, "[");
  for (int i = 0; i < 20; i++)
    buf_append_str(&batch, REQUEST("1", "wrong", "[]") ",");
  buf_append_str(&batch, NOTIFICATION("list", "[]") "]");
  buf_append_char(&batch, '\0');
  client_ask(&fixture, &peer, batch.data);
  peer_describe(&peer, &answers);
  assert_int_equal(answers.len, 2 + 20 * (1 + strlen(ERROR("1", "-32601", "Method not found",
                                                           "There is no method named wrong"))));
}

static void answers_to_a_client_that_is_gone_go_nowhere(void **state) {
  (void)state;
  struct session *session = fixture.broker.workers[0].pool.slots[0]->session;
  peer_send_text(&peer, BATCH3(PUBLISH("1"), GET("2"), SUBSCRIBE("3")));
  turn_workers(&fixture);
  assert_true(session->pending > 0);
  peer_close(&peer);
  turn_workers(&fixture);
  assert_int_equal(atomic_load(&fixture.broker.sessions), 0);
  client_connect(&peer, &fixture, 0); /* in the same slot */
  assert_frames(&peer, "");
}

#define BROKER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define SMALL_TEST(function)  cmocka_unit_test_setup_teardown(function, set_up_small, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BROKER_TEST(ids_come_back_as_they_were_written),
      BROKER_TEST(method_names_have_no_case),
      BROKER_TEST(a_method_that_there_is_not),
      BROKER_TEST(what_is_not_json_is_answered_with_id_null),
      BROKER_TEST(what_is_no_request_is_answered_with_its_id_if_it_has_one),
      BROKER_TEST(a_notification_runs_and_is_not_answered),
      BROKER_TEST(a_batch_is_answered_in_its_order),
      BROKER_TEST(each_element_of_a_batch_is_taken_by_itself),
      BROKER_TEST(a_batch_of_notifications_is_not_answered),
      BROKER_TEST(an_empty_batch_is_no_request),
      BROKER_TEST(a_batch_may_be_long_but_not_too_long),
      BROKER_TEST(nesting_has_a_limit_and_the_connection_stays),
      SMALL_TEST(the_answers_of_a_batch_have_a_limit_together),
      SMALL_TEST(a_notification_is_not_answered_by_an_error_either),
      BROKER_TEST(answers_to_a_client_that_is_gone_go_nowhere),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
