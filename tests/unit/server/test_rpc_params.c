#include "eventhub/server/rpc_params.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker_fixture.h"
#include "eventhub/proto/json.h"

/* Reading one parameter: what is taken, and what is answered where it is wrong. */

enum { MIN = -10, MAX = 100 };

static struct broker_fixture fixture;
static struct peer peer;
static struct rpc_request rpc;
static struct buf scratch;

static int set_up(void **state) {
  (void)state;
  broker_fixture_init(&fixture, ENV("DISABLE_AUTH=1"));
  struct connection *connection = client_connect(&peer, &fixture, 0);
  rpc = (struct rpc_request){
      .session = connection->session,
      .reply = {.worker = &fixture.broker.workers[0], .connection = connection->ref},
      .batch_size = 1};
  rpc.reply.id = SLICE("1");
  scratch = (struct buf)BUF_INIT;
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  buf_done(&scratch);
  broker_fixture_done(&fixture);
  peer_close(&peer);
  return 0;
}

/* The parameter `p` of these params. */
static struct rpc_param find(const char *params) {
  struct rpc_param param = RPC_PARAM("p");
  struct rpc_request request = {0};
  assert_int_equal(json_parse(slice_str(params), 8, &request.params), 0);
  rpc_params_find(&request, &param, 1);
  return param;
}

static void assert_no_answer(void) {
  broker_settle(&fixture);
  assert_frames(&peer, "");
}

static void assert_refused(const char *data) {
  AUTO(buf) struct buf expected = BUF_INIT;
  buf_printf(&expected, INVALID_PARAMS("1", "%s") " ", data);
  broker_settle(&fixture);
  assert_frames(&peer, expected.data);
}

static void a_parameter_is_found_by_its_decoded_name(void **state) {
  (void)state;
  assert_int_equal(find("{}").value.type, JSON_NULL);
  assert_int_equal(find("[1,2]").value.type, JSON_NULL);
  assert_int_equal(find("{\"p\":null}").value.type, JSON_NULL);
  assert_int_equal(find("{\"P\":1}").value.type, JSON_NULL);
  assert_int_equal(find("{\"a\":{\"p\":1}}").value.type, JSON_NULL);
  assert_int_equal(find("{\"a\":0,\"p\":true}").value.type, JSON_TRUE);
  assert_int_equal(find("{\"\\u0070\":[]}").value.type, JSON_ARRAY);
}

static void the_last_of_the_same_name_counts(void **state) {
  (void)state;
  assert_true(slice_equal(find("{\"p\":1,\"p\":2}").value.text, SLICE("2")));
}

static void one_walk_finds_all(void **state) {
  (void)state;
  struct rpc_param params[] = {RPC_PARAM("a"), RPC_PARAM("b"), RPC_PARAM("c")};
  struct rpc_request request = {0};
  assert_int_equal(json_parse(SLICE("{\"c\":3,\"x\":0,\"a\":1}"), 8, &request.params), 0);
  rpc_params_find(&request, params, 3);
  assert_true(slice_equal(params[0].value.text, SLICE("1")));
  assert_int_equal(params[1].value.type, JSON_NULL);
  assert_true(slice_equal(params[2].value.text, SLICE("3")));
}

static void assert_string(const char *params, const char *expected) {
  struct rpc_param param = find(params);
  struct slice text;
  assert_true(rpc_param_string(&rpc, &param, &scratch, &text));
  assert_true(slice_equal(text, slice_str(expected)));
}

static void a_string_is_decoded(void **state) {
  (void)state;
  assert_string("{\"p\":\"plain\"}", "plain");
  assert_string("{\"p\":\"\\u00e9\\n\\/\"}", "\xc3\xa9\n/");
  assert_string("{\"p\":\" \"}", " ");
  assert_no_answer();
}

static void what_is_no_string_is_refused(void **state) {
  (void)state;
  static const char *const others[] = {"{\"p\":1}", "{\"p\":[\"a\"]}", "{\"p\":{}}",
                                       "{\"p\":true}"};
  struct slice text = SLICE("untouched");
  for (size_t i = 0; i < ARRAY_LEN(others); i++) {
    struct rpc_param param = find(others[i]);
    assert_false(rpc_param_string(&rpc, &param, &scratch, &text));
    assert_refused("Parameter 'p' must be a string.");
  }
  struct rpc_param absent = find("{}"), empty = find("{\"p\":\"\"}");
  assert_false(rpc_param_string(&rpc, &absent, &scratch, &text));
  assert_refused("Parameter 'p' is missing.");
  assert_false(rpc_param_string(&rpc, &empty, &scratch, &text));
  assert_refused("Parameter 'p' must not be empty.");
}

static void assert_number(const char *params, int64_t expected) {
  struct rpc_param param = find(params);
  int64_t number = 55;
  assert_true(rpc_param_number(&rpc, &param, MIN, MAX, &number));
  assert_int_equal(number, expected);
}

static void a_number_is_whole_and_within_its_limits(void **state) {
  (void)state;
  assert_number("{\"p\":7}", 7);
  assert_number("{\"p\":-10}", -10);
  assert_number("{\"p\":1e2}", 100);
  assert_number("{\"p\":3.0}", 3);
  assert_number("{\"p\":-0}", 0);
  assert_number("{}", 55);
  assert_number("{\"p\":null}", 55);
  assert_no_answer();
}

static void any_other_number_is_refused(void **state) {
  (void)state;
  static const char *const others[] = {
      "{\"p\":101}",   "{\"p\":-11}",  "{\"p\":1.5}", "{\"p\":\"7\"}",
      "{\"p\":1e999}", "{\"p\":true}", "{\"p\":[]}",  "{\"p\":99999999999999999999}",
      "{\"p\":1e-1}"};
  for (size_t i = 0; i < ARRAY_LEN(others); i++) {
    struct rpc_param param = find(others[i]);
    int64_t number = 55;
    assert_false(rpc_param_number(&rpc, &param, MIN, MAX, &number));
    assert_int_equal(number, 55);
    assert_refused("Parameter 'p' must be a whole number from -10 to 100.");
  }
}

static void a_filter_may_be_a_pattern_and_a_topic_may_not(void **state) {
  (void)state;
  struct slice text;
  struct rpc_param topic = find("{\"p\":\"a/b\"}"), pattern = find("{\"p\":\"a/+\"}");
  assert_true(rpc_param_filter(&rpc, &topic, &scratch, &text));
  assert_true(rpc_param_filter(&rpc, &pattern, &scratch, &text));
  assert_true(slice_equal(text, SLICE("a/+")));
  assert_true(rpc_param_topic(&rpc, &topic, &scratch, &text));
  assert_no_answer();
  assert_false(rpc_param_topic(&rpc, &pattern, &scratch, &text));
  assert_refused("Invalid topic in request: a/+");
}

static void an_invalid_name_is_told_as_far_as_it_may_be_long(void **state) {
  (void)state;
  struct slice text;
  char params[4000], data[4000], name[2001] = {0};
  struct rpc_param wrong = find("{\"p\":\"a//\\\"\"}");
  assert_false(rpc_param_filter(&rpc, &wrong, &scratch, &text));
  assert_refused("Invalid topic in request: a//\\\"");
  /* Cut between characters: two bytes each, behind a first of one. */
  name[0] = 'x';
  for (size_t i = 1; i + 1 < sizeof name; i += 2)
    memcpy(name + i, "\xc3\xa9", 2);
  name[1999] = '\0';
  snprintf(params, sizeof params, "{\"p\":\"%s\"}", name);
  struct rpc_param longer = find(params);
  assert_false(rpc_param_topic(&rpc, &longer, &scratch, &text));
  snprintf(data, sizeof data, "Invalid topic in request: %.1023s...", name);
  assert_refused(data);
}

#define BROKER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BROKER_TEST(a_parameter_is_found_by_its_decoded_name),
      BROKER_TEST(the_last_of_the_same_name_counts),
      BROKER_TEST(one_walk_finds_all),
      BROKER_TEST(a_string_is_decoded),
      BROKER_TEST(what_is_no_string_is_refused),
      BROKER_TEST(a_number_is_whole_and_within_its_limits),
      BROKER_TEST(any_other_number_is_refused),
      BROKER_TEST(a_filter_may_be_a_pattern_and_a_topic_may_not),
      BROKER_TEST(an_invalid_name_is_told_as_far_as_it_may_be_long),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
