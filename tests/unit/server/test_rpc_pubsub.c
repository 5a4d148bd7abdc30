#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker_fixture.h"

/* publish, subscribe, unsubscribe, unsubscribeAll, list. */

static struct broker_fixture fixture;
static struct peer one, two; /* on different workers */

static int start(const char *const *env) {
  broker_fixture_init(&fixture, env);
  return 0;
}

static int set_up(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1", "MAX_SUBSCRIPTIONS=3"));
  client_connect(&one, &fixture, 0);
  client_connect(&two, &fixture, 1);
  return 0;
}

static int set_up_tokens(void **state) {
  (void)state;
  return start(ENV("JWT_SECRET=" BROKER_SECRET));
}

static int tear_down(void **state) {
  (void)state;
  broker_fixture_done(&fixture);
  peer_close(&one);
  peer_close(&two);
  return 0;
}

#define SUBSCRIBE(id, topic) REQUEST(id, "subscribe", "{\"topic\":\"" topic "\"}")
#define PUBLISH(id, topic, message)                                                                \
  REQUEST(id, "publish", "{\"topic\":\"" topic "\",\"message\":" message "}")
#define UNSUBSCRIBED(count) "{\"unsubscribe_count\":" count "}"

static void a_message_reaches_subscribers_of_all_workers(void **state) {
  (void)state;
  assert_answer(&fixture, &one, SUBSCRIBE("1", "a/b"), RESULT("1", SUBSCRIBED("a/b")) " ");
  assert_answer(&fixture, &two, SUBSCRIBE("\"s\"", "a/+"), RESULT("\"s\"", SUBSCRIBED("a/+")) " ");
  client_ask(&fixture, &two, PUBLISH("3", "a/b", "{\"n\": 1.50}"));
  assert_frames(&one, MESSAGE("1", ITEM("1700000000000-0", "{\"n\": 1.50}", "a/b")));
  AUTO(buf) struct buf got = BUF_INIT;
  peer_describe(&two, &got);
  buf_append_char(&got, '\0');
  assert_non_null(strstr(got.data, RESULT("3", PUBLISHED("1700000000000-0", "a/b"))));
  assert_non_null(
      strstr(got.data, MESSAGE("\"s\"", ITEM("1700000000000-0", "{\"n\": 1.50}", "a/b"))));
}

static void subscribing_again_replaces_the_id(void **state) {
  (void)state;
  client_ask(&fixture, &one, SUBSCRIBE("1", "a"));
  client_ask(&fixture, &one, SUBSCRIBE("2", "a"));
  assert_answer(
      &fixture, &one, REQUEST("3", "list", "[]"),
      RESULT("1", SUBSCRIBED("a")) " " RESULT("2", SUBSCRIBED("a")) " " RESULT("3", "[\"a\"]") " ");
  client_ask(&fixture, &two, PUBLISH("1", "a", "1"));
  assert_frames(&one, MESSAGE("2", ITEM("1700000000000-0", "1", "a")));
}

static void what_may_not_be_published(void **state) {
  (void)state;
  static const char no_message[] =
      INVALID_PARAMS("1", "You need to specify topic and message to publish to: parameter "
                          "'message' is missing, null or empty.") " ";
  assert_answer(&fixture, &one, PUBLISH("1", "a", "null"), no_message);
  assert_answer(&fixture, &one, PUBLISH("1", "a", "\"\""), no_message);
  assert_answer(&fixture, &one, REQUEST("1", "publish", "{\"topic\":\"a\"}"), no_message);
  assert_answer(&fixture, &one, REQUEST("1", "publish", "[]"),
                INVALID_PARAMS("1", "Parameter 'topic' is missing.") " ");
  assert_answer(&fixture, &one, PUBLISH("1", "a/#", "1"),
                INVALID_PARAMS("1", "Invalid topic in request: a/#") " ");
  assert_answer(
      &fixture, &one, REQUEST("1", "publish", "{\"topic\":\"a\",\"message\":1,\"ttl\":-1}"),
      INVALID_PARAMS("1", "Parameter 'ttl' must be a whole number from 0 to 3153600000.") " ");
}

static void a_message_may_be_any_other_value(void **state) {
  (void)state;
  static const char *const values[] = {"false", "0",      "\" \"",   "[]",
                                       "{}",    "[null]", "-1.0e+5", "\"\\ud83d\\ude00 \\u0000\""};
  client_ask(&fixture, &one, SUBSCRIBE("1", "a"));
  buf_clear(&one.in);
  for (size_t i = 0; i < ARRAY_LEN(values); i++) {
    AUTO(buf) struct buf request = BUF_INIT;
    AUTO(buf) struct buf message = BUF_INIT;
    buf_printf(&request, PUBLISH("1", "a", "%s"), values[i]);
    buf_printf(&message, MESSAGE("1", ITEM("1700000000000-%zu", "%s", "a")), i, values[i]);
    client_ask(&fixture, &two, request.data);
    assert_frames(&one, message.data);
  }
}

static void a_timestamp_becomes_the_id_while_ids_increase(void **state) {
  (void)state;
  assert_answer(&fixture, &one,
                REQUEST("1", "publish", "{\"topic\":\"a\",\"message\":1,\"timestamp\":1234}"),
                RESULT("1", PUBLISHED("1234-0", "a")) " ");
  assert_answer(&fixture, &one,
                REQUEST("1", "publish", "{\"topic\":\"a\",\"message\":1,\"timestamp\":1234}"),
                RESULT("1", PUBLISHED("1234-1", "a")) " ");
  assert_answer(&fixture, &one,
                REQUEST("1", "publish", "{\"topic\":\"a\",\"message\":1,\"timestamp\":1000}"),
                RESULT("1", PUBLISHED("1700000000000-0", "a")) " ");
}

static void unsubscribing_counts_what_there_was(void **state) {
  (void)state;
  client_ask(&fixture, &one, SUBSCRIBE("1", "a"));
  client_ask(&fixture, &one, SUBSCRIBE("1", "b/#"));
  buf_clear(&one.in);
  assert_answer(&fixture, &one,
                REQUEST("1", "unsubscribe", "[\"\\u0061\",\"a\",\"b/+\",\"/\",7,null,\"\"]"),
                RESULT("1", UNSUBSCRIBED("1")) " ");
  assert_answer(&fixture, &one, REQUEST("1", "list", "[]"), RESULT("1", "[\"b/#\"]") " ");
  assert_answer(&fixture, &one, REQUEST("1", "unsubscribe", "\"a\""),
                INVALID_REQUEST("1", "A request is an object with \\\"jsonrpc\\\":\\\"2.0\\\", a "
                                     "\\\"method\\\", \\\"params\\\" that are an object or an "
                                     "array, and an \\\"id\\\" that is a string or a number.") " ");
  assert_answer(&fixture, &one, REQUEST("1", "unsubscribe", "{\"topic\":\"a\"}"),
                INVALID_PARAMS("1", "Parameter is not array of topics to unsubscribe from.") " ");
  client_ask(&fixture, &two, PUBLISH("1", "a", "1"));
  assert_frames(&one, "");
  assert_answer(&fixture, &one, REQUEST("1", "unsubscribeAll", "[]"),
                RESULT("1", UNSUBSCRIBED("1")) " ");
  assert_int_equal(topic_trie_filter_count(fixture.broker.trie), 0);
}

static void subscriptions_are_limited(void **state) {
  (void)state;
  client_ask(&fixture, &one, SUBSCRIBE("1", "a"));
  client_ask(&fixture, &one, SUBSCRIBE("1", "b"));
  client_ask(&fixture, &one, SUBSCRIBE("1", "c"));
  buf_clear(&one.in);
  assert_answer(&fixture, &one, SUBSCRIBE("1", "d"),
                INVALID_PARAMS("1", "This connection has 3 subscriptions, the most that are "
                                    "allowed. Not subscribed to topic: d") " ");
  assert_answer(&fixture, &one, SUBSCRIBE("2", "b"), RESULT("2", SUBSCRIBED("b")) " ");
  client_ask(&fixture, &one, REQUEST("1", "unsubscribe", "[\"a\"]"));
  buf_clear(&one.in);
  assert_answer(&fixture, &one, SUBSCRIBE("1", "d"), RESULT("1", SUBSCRIBED("d")) " ");
}

static void a_subscription_ends_with_its_connection(void **state) {
  (void)state;
  client_ask(&fixture, &one, SUBSCRIBE("1", "a"));
  client_ask(&fixture, &one, SUBSCRIBE("1", "b/+"));
  assert_int_equal(topic_trie_filter_count(fixture.broker.trie), 2);
  peer_close(&one);
  broker_settle(&fixture);
  assert_int_equal(topic_trie_filter_count(fixture.broker.trie), 0);
}

/* ---- in a batch ---- */

static void a_batch_delivers_behind_its_answers(void **state) {
  (void)state;
  assert_answer(&fixture, &one,
                BATCH3(SUBSCRIBE("1", "a"), PUBLISH("2", "a", "1"), PUBLISH("3", "a", "2")),
                BATCH3(RESULT("1", SUBSCRIBED("a")), RESULT("2", PUBLISHED("1700000000000-0", "a")),
                       RESULT("3", PUBLISHED("1700000000000-1", "a"))) " " //
                MESSAGE("1", ITEM("1700000000000-0", "1", "a"))
                    MESSAGE("1", ITEM("1700000000000-1", "2", "a")));
  assert_answer(&fixture, &one, PUBLISH("4", "a", "3"),
                MESSAGE("1", ITEM("1700000000000-2", "3", "a"))
                    RESULT("4", PUBLISHED("1700000000000-2", "a")) " ");
}

static void a_subscription_that_leaves_in_its_batch_delivers_nothing(void **state) {
  (void)state;
  assert_answer(
      &fixture, &one,
      BATCH3(SUBSCRIBE("1", "a"), PUBLISH("2", "a", "1"), REQUEST("3", "unsubscribe", "[\"a\"]")),
      BATCH3(RESULT("1", SUBSCRIBED("a")), RESULT("2", PUBLISHED("1700000000000-0", "a")),
             RESULT("3", UNSUBSCRIBED("1"))) " ");
}

/* ---- tokens ---- */

static void a_token_says_what_may_be_read_and_written(void **state) {
  (void)state;
  client_connect_as(&one, &fixture, 0,
                    "{\"sub\":\"me \\\"x\\\"\",\"read\":[\"a/+\"],\"write\":[\"a/b\"]}");
  assert_answer(&fixture, &one, SUBSCRIBE("1", "a/#"),
                INVALID_PARAMS("1", "You are not allowed to subscribe to topic: a/#") " ");
  assert_answer(&fixture, &one, SUBSCRIBE("1", "a/+"), RESULT("1", SUBSCRIBED("a/+")) " ");
  assert_answer(&fixture, &one, PUBLISH("1", "a/c", "1"),
                INVALID_PARAMS("1", "Insufficient access to topic: a/c") " ");
  client_ask(&fixture, &one, PUBLISH("2", "a/b", "1"));
  AUTO(buf) struct buf got = BUF_INIT;
  peer_describe(&one, &got);
  buf_append_char(&got, '\0');
  assert_non_null(strstr(got.data, "\"topic\":\"a/b\",\"origin\":\"me \\\"x\\\"\"}"));
}

#define LIMITED(topic)                                                                             \
  "{\"action\":\"publish\",\"topic\":\"" topic "\",\"status\":\"ERR_RATE_LIMIT_EXCEEDED\"}"

static void a_limit_counts_a_subject_s_messages_over_all_connections(void **state) {
  (void)state;
  static const char claims[] = "{\"sub\":\"me\",\"write\":[\"#\"],\"rlimit\":["
                               "{\"topic\":\"a/#\",\"interval\":10,\"max\":2}]}";
  client_connect_as(&one, &fixture, 0, claims);
  client_connect_as(&two, &fixture, 1, claims);
  assert_answer(&fixture, &one, PUBLISH("1", "a/b", "1"),
                RESULT("1", PUBLISHED("1700000000000-0", "a/b")) " ");
  assert_answer(&fixture, &two, PUBLISH("1", "a/c", "1"),
                RESULT("1", PUBLISHED("1700000000000-1", "a/c")) " ");
  assert_answer(&fixture, &one, PUBLISH("1", "a/b", "1"), RESULT("1", LIMITED("a/b")) " ");
  assert_answer(&fixture, &one, PUBLISH("1", "b", "1"),
                RESULT("1", PUBLISHED("1700000000000-2", "b")) " ");
  broker_wall_ms += 10000;
  assert_answer(&fixture, &two, PUBLISH("1", "a/b", "1"),
                RESULT("1", PUBLISHED("1700000010000-0", "a/b")) " ");
}

#define BROKER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define TOKEN_TEST(function)  cmocka_unit_test_setup_teardown(function, set_up_tokens, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BROKER_TEST(a_message_reaches_subscribers_of_all_workers),
      BROKER_TEST(subscribing_again_replaces_the_id),
      BROKER_TEST(what_may_not_be_published),
      BROKER_TEST(a_message_may_be_any_other_value),
      BROKER_TEST(a_timestamp_becomes_the_id_while_ids_increase),
      BROKER_TEST(unsubscribing_counts_what_there_was),
      BROKER_TEST(subscriptions_are_limited),
      BROKER_TEST(a_subscription_ends_with_its_connection),
      BROKER_TEST(a_batch_delivers_behind_its_answers),
      BROKER_TEST(a_subscription_that_leaves_in_its_batch_delivers_nothing),
      TOKEN_TEST(a_token_says_what_may_be_read_and_written),
      TOKEN_TEST(a_limit_counts_a_subject_s_messages_over_all_connections),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
