#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker_fixture.h"

/* get, set, del. */

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
  return start(ENV("DISABLE_AUTH=1"));
}

static int set_up_without_kv(void **state) {
  (void)state;
  return start(ENV("DISABLE_AUTH=1", "ENABLE_KVSTORE=0"));
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

#define GET(key)        REQUEST("1", "get", "{\"key\":\"" key "\"}")
#define DEL(key)        REQUEST("1", "del", "{\"key\":\"" key "\"}")
#define SET(key, value) REQUEST("1", "set", "{\"key\":\"" key "\",\"value\":" value "}")
#define GOT(key, value)                                                                            \
  RESULT("1", "{\"action\":\"get\",\"key\":\"" key "\",\"value\":" value "}") " "
#define WAS_SET(key) RESULT("1", "{\"action\":\"set\",\"key\":\"" key "\",\"success\":true}") " "
#define DELETED(key, success)                                                                      \
  RESULT("1", "{\"action\":\"del\",\"key\":\"" key "\",\"success\":" success "}") " "
#define NOT_FOUND INVALID_PARAMS("1", "KVStore: key not found") " "

static void a_value_comes_back_as_it_was_written(void **state) {
  (void)state;
  assert_answer(&fixture, &one, GET("k"), NOT_FOUND);
  assert_answer(&fixture, &one, SET("k", "{ \"a\": [1.0, \"\\u0041\"] }"), WAS_SET("k"));
  assert_answer(&fixture, &two, GET("k"), GOT("k", "{ \"a\": [1.0, \"\\u0041\"] }"));
  assert_answer(&fixture, &two, SET("k", "\"\""), WAS_SET("k"));
  assert_answer(&fixture, &one, GET("k"), GOT("k", "\"\""));
}

static void a_deleted_key_is_gone(void **state) {
  (void)state;
  client_ask(&fixture, &one, SET("k", "1"));
  buf_clear(&one.in);
  assert_answer(&fixture, &two, DEL("k"), DELETED("k", "true"));
  assert_answer(&fixture, &two, DEL("k"), DELETED("k", "false"));
  assert_answer(&fixture, &one, GET("k"), NOT_FOUND);
}

static void a_key_lives_for_its_ttl(void **state) {
  (void)state;
  assert_answer(&fixture, &one, REQUEST("1", "set", "{\"key\":\"k\",\"value\":1,\"ttl\":10}"),
                WAS_SET("k"));
  broker_wall_ms += 9999;
  assert_answer(&fixture, &one, GET("k"), GOT("k", "1"));
  broker_wall_ms += 1;
  assert_answer(&fixture, &one, GET("k"), NOT_FOUND);
  assert_answer(&fixture, &one, REQUEST("1", "set", "{\"key\":\"k\",\"value\":1,\"ttl\":0}"),
                WAS_SET("k"));
  broker_wall_ms += UINT64_C(1000000000000);
  assert_answer(&fixture, &one, GET("k"), GOT("k", "1"));
}

static void a_key_is_any_text_and_comes_back_escaped(void **state) {
  (void)state;
  assert_answer(&fixture, &one, SET("#/ \\\"\\n\xc3\xa9", "1"), WAS_SET("#/ \\\"\\n\xc3\xa9"));
  assert_answer(&fixture, &one, GET("\\u0023/ \\u0022\\n\\u00e9"), GOT("#/ \\\"\\n\xc3\xa9", "1"));
}

static void wrong_parameters_are_told(void **state) {
  (void)state;
  assert_answer(&fixture, &one, GET(""),
                INVALID_PARAMS("1", "Parameter 'key' must not be empty.") " ");
  assert_answer(&fixture, &one, REQUEST("1", "del", "[]"),
                INVALID_PARAMS("1", "Parameter 'key' is missing.") " ");
  assert_answer(&fixture, &one, SET("k", "null"),
                INVALID_PARAMS("1", "Parameter 'value' is missing or null.") " ");
  assert_answer(&fixture, &one, REQUEST("1", "set", "{\"key\":\"k\"}"),
                INVALID_PARAMS("1", "Parameter 'value' is missing or null.") " ");
  assert_answer(
      &fixture, &one, REQUEST("1", "set", "{\"key\":\"k\",\"value\":1,\"ttl\":\"1\"}"),
      INVALID_PARAMS("1", "Parameter 'ttl' must be a whole number from 0 to 3153600000.") " ");
}

static void a_key_may_be_as_long_as_a_topic(void **state) {
  (void)state;
  AUTO(buf) struct buf request = BUF_INIT;
  AUTO(buf) struct buf answer = BUF_INIT;
  char key[1026] = {0};
  memset(key, 'k', 1024);
  buf_printf(&request, SET("%s", "1"), key);
  buf_printf(&answer, WAS_SET("%s"), key);
  assert_answer(&fixture, &one, request.data, answer.data);
  buf_clear(&request);
  buf_clear(&answer);
  buf_printf(&request, SET("%sk", "1"), key);
  buf_printf(&answer,
             INVALID_PARAMS("1", "A key has at most 1024 bytes; this one is longer: %s...") " ",
             key);
  assert_answer(&fixture, &one, request.data, answer.data);
}

static void it_can_be_switched_off(void **state) {
  (void)state;
  static const char is_off[] = INVALID_PARAMS("1", "KVStore is not enabled.") " ";
  assert_answer(&fixture, &one, GET("k"), is_off);
  assert_answer(&fixture, &one, SET("k", "1"), is_off);
  assert_answer(&fixture, &one, DEL("k"), is_off);
}

/* Keys are checked like topics, their levels taken literally. */
static void a_token_says_which_keys(void **state) {
  (void)state;
  client_connect_as(&one, &fixture, 0, "{\"read\":[\"a/+\"],\"write\":[\"a/b\"]}");
  assert_answer(&fixture, &one, GET("a/c"), NOT_FOUND);
  assert_answer(&fixture, &one, GET("a/#"), NOT_FOUND);
  assert_answer(&fixture, &one, GET("a"),
                INVALID_PARAMS("1", "You are not allowed to read key a") " ");
  assert_answer(&fixture, &one, SET("a/c", "1"),
                INVALID_PARAMS("1", "You are not allowed to write key a/c") " ");
  assert_answer(&fixture, &one, DEL("a/+"),
                INVALID_PARAMS("1", "You are not allowed to delete key a/+") " ");
  assert_answer(&fixture, &one, SET("a/b", "1"), WAS_SET("a/b"));
}

#define BROKER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define NO_KV_TEST(function)  cmocka_unit_test_setup_teardown(function, set_up_without_kv, tear_down)
#define TOKEN_TEST(function)  cmocka_unit_test_setup_teardown(function, set_up_tokens, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BROKER_TEST(a_value_comes_back_as_it_was_written),
      BROKER_TEST(a_deleted_key_is_gone),
      BROKER_TEST(a_key_lives_for_its_ttl),
      BROKER_TEST(a_key_is_any_text_and_comes_back_escaped),
      BROKER_TEST(wrong_parameters_are_told),
      BROKER_TEST(a_key_may_be_as_long_as_a_topic),
      NO_KV_TEST(it_can_be_switched_off),
      TOKEN_TEST(a_token_says_which_keys),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
