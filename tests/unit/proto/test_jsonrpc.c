#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/err.h"
#include "eventhub/proto/jsonrpc.h"

static void assert_slice(struct slice actual, const char *expected) {
  if (!slice_equal(actual, slice_str(expected)))
    fail_msg("got %.*s, expected %s", SLICE_PRINTF(actual), expected);
}

static int open_code(struct slice text) {
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
  return jsonrpc_open(&reader, text);
}

/* The only request of `text`, which lives as long as `reader`. */
static int read_single(struct jsonrpc_reader *reader, struct slice text,
                       struct jsonrpc_request *ret) {
  int code = 1;
  assert_int_equal(jsonrpc_open(reader, text), 0);
  assert_false(reader->is_batch);
  assert_int_equal(reader->count, 1);
  assert_true(jsonrpc_next(reader, ret, &code));

  struct jsonrpc_request none;
  int none_code;
  assert_false(jsonrpc_next(reader, &none, &none_code));
  return code;
}

static void a_request_is_read(void **state) {
  (void)state;
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
  struct jsonrpc_request request;
  struct slice text = SLICE("{\"id\":7,\"jsonrpc\":\"2.0\",\"method\":\"publish\",\"params\":{"
                            "\"topic\":\"a/b\",\"message\":\"hello\"}}");
  assert_int_equal(read_single(&reader, text, &request), 0);
  assert_slice(request.id, "7");
  assert_slice(request.method, "publish");
  assert_int_equal(request.params.type, JSON_OBJECT);
  assert_slice(request.params.text, "{\"topic\":\"a/b\",\"message\":\"hello\"}");
}

static void members_come_in_any_order_among_others(void **state) {
  (void)state;
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
  struct jsonrpc_request request;
  struct slice text =
      SLICE(" { \"x\" : {\"id\":1} , \"params\" : [ 1 ] ,\"ID\":2, \"method\":\"m\","
            "\"jsonrpc\":\"2.0\" , \"id\" : \"i\" } ");
  assert_int_equal(read_single(&reader, text, &request), 0);
  assert_slice(request.id, "\"i\"");
  assert_slice(request.method, "m");
  assert_slice(request.params.text, "[ 1 ]");
}

static void without_an_id_it_is_a_notification(void **state) {
  (void)state;
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
  struct jsonrpc_request request;
  struct slice text = SLICE("{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"params\":[]}");
  assert_int_equal(read_single(&reader, text, &request), 0);
  assert_null(request.id.ptr);
  assert_slice(request.method, "ping");
}

static void params_may_be_absent_or_null(void **state) {
  (void)state;
  static const struct slice texts[] = {
      SLICE_INIT("{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"list\"}"),
      SLICE_INIT("{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"list\",\"params\":null}"),
  };
  for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
    AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
    struct jsonrpc_request request;
    assert_int_equal(read_single(&reader, texts[i], &request), 0);
    assert_int_equal(request.params.type, JSON_NULL);
    assert_slice(request.params.text, "null");
  }
}

static void of_equal_names_the_last_counts(void **state) {
  (void)state;
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
  struct jsonrpc_request request;
  struct slice text = SLICE("{\"jsonrpc\":\"1.0\",\"id\":{},\"id\":1,\"method\":\"a\",\"params\":7,"
                            "\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"b\",\"params\":[2]}");
  assert_int_equal(read_single(&reader, text, &request), 0);
  assert_slice(request.id, "2");
  assert_slice(request.method, "b");
  assert_slice(request.params.text, "[2]");
}

static void names_may_be_written_with_escapes(void **state) {
  (void)state;
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
  struct jsonrpc_request request;
  struct slice text = SLICE("{\"\\u0069d\":1,\"json\\u0072pc\":\"\\u0032.0\","
                            "\"metho\\u0064\":\"pub\\u006cish\\\"\",\"p\\u0061rams\":{}}");
  assert_int_equal(read_single(&reader, text, &request), 0);
  assert_slice(request.id, "1");
  assert_slice(request.method, "publish\"");
  assert_slice(request.params.text, "{}");
}

static void check_id_comes_back(struct slice id) {
  AUTO(buf) struct buf text = BUF_INIT;
  AUTO(buf) struct buf reply = BUF_INIT;
  AUTO(buf) struct buf expected = BUF_INIT;
  buf_append_str(&text, "{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"id\": ");
  buf_append_slice(&text, id);
  buf_append_str(&text, " }");
  buf_append_str(&expected, "{\"id\":");
  buf_append_slice(&expected, id);
  buf_append_str(&expected, ",\"jsonrpc\":\"2.0\",\"result\":[]}");

  AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
  struct jsonrpc_request request;
  assert_int_equal(read_single(&reader, buf_slice(&text), &request), 0);
  jsonrpc_append_result(&reply, request.id, SLICE("[]"));
  assert_true(slice_equal(buf_slice(&reply), buf_slice(&expected)));
}

static void ids_come_back_byte_for_byte(void **state) {
  (void)state;
  static const struct slice ids[] = {
      SLICE_INIT("0"),
      SLICE_INIT("-0"),
      SLICE_INIT("-1"),
      SLICE_INIT("1e2"),
      SLICE_INIT("1.50"),
      SLICE_INIT("1E+2"),
      SLICE_INIT("9007199254740991"),
      SLICE_INIT("9007199254740993"),
      SLICE_INIT("123456789012345678901234567890"),
      SLICE_INIT("null"),
      SLICE_INIT("\"\""),
      SLICE_INIT("\"null\""),
      SLICE_INIT("\"with \\\"quotes\\\"\""),
      SLICE_INIT("\"\\u00e9\\/\\ud83d\""),
      SLICE_INIT("\"\xc3\xa9\""),
  };
  for (size_t i = 0; i < ARRAY_LEN(ids); i++)
    check_id_comes_back(ids[i]);
}

static void append_id_of(struct buf *text, size_t id_len) {
  buf_append_str(text, "{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"id\":\"");
  for (size_t i = 2; i < id_len; i++)
    buf_append_char(text, 'i');
  buf_append_str(text, "\"}");
}

static void ids_have_a_longest_length(void **state) {
  (void)state;
  for (size_t id_len = JSONRPC_ID_MAX_BYTES; id_len <= JSONRPC_ID_MAX_BYTES + 1; id_len++) {
    AUTO(buf) struct buf text = BUF_INIT;
    AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
    struct jsonrpc_request request;
    append_id_of(&text, id_len);
    bool fits = id_len <= JSONRPC_ID_MAX_BYTES;
    assert_int_equal(read_single(&reader, buf_slice(&text), &request),
                     fits ? 0 : JSONRPC_INVALID_REQUEST);
    assert_int_equal(request.id.len, fits ? id_len : 0);
  }
}

static const struct {
  struct slice text;
  const char *id; /* NULL: to be answered with null */
} invalid_requests[] = {
    {SLICE_INIT("{}"), NULL},
    {SLICE_INIT("{\"id\":1}"), "1"},
    {SLICE_INIT("{\"id\":null}"), "null"},
    {SLICE_INIT("{\"id\":1,\"method\":\"ping\"}"), "1"},
    {SLICE_INIT("{\"id\":1,\"jsonrpc\":\"2.0\"}"), "1"},
    {SLICE_INIT("{\"id\":1,\"jsonrpc\":2.0,\"method\":\"ping\"}"), "1"},
    {SLICE_INIT("{\"id\":1,\"jsonrpc\":\"1.0\",\"method\":\"ping\"}"), "1"},
    {SLICE_INIT("{\"id\":1,\"jsonrpc\":\"2.00\",\"method\":\"ping\"}"), "1"},
    {SLICE_INIT("{\"id\":1,\"jsonrpc\":null,\"method\":\"ping\"}"), "1"},
    {SLICE_INIT("{\"id\":\"x\",\"jsonrpc\":\"2.0\",\"method\":1}"), "\"x\""},
    {SLICE_INIT("{\"id\":\"x\",\"jsonrpc\":\"2.0\",\"method\":null}"), "\"x\""},
    {SLICE_INIT("{\"id\":\"x\",\"jsonrpc\":\"2.0\",\"method\":[\"ping\"]}"), "\"x\""},
    {SLICE_INIT("{\"jsonrpc\":\"2.0\",\"method\":1,\"params\":\"bar\"}"), NULL},
    {SLICE_INIT("{\"id\":2,\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"params\":\"bar\"}"), "2"},
    {SLICE_INIT("{\"id\":2,\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"params\":0}"), "2"},
    {SLICE_INIT("{\"id\":2,\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"params\":true}"), "2"},
    {SLICE_INIT("{\"id\":{},\"jsonrpc\":\"2.0\",\"method\":\"ping\"}"), NULL},
    {SLICE_INIT("{\"id\":[1],\"jsonrpc\":\"2.0\",\"method\":\"ping\"}"), NULL},
    {SLICE_INIT("{\"id\":true,\"jsonrpc\":\"2.0\",\"method\":\"ping\"}"), NULL},
    {SLICE_INIT("{\"id\":false,\"jsonrpc\":\"2.0\",\"method\":\"ping\"}"), NULL},
    {SLICE_INIT("{\"id\":1,\"id\":{},\"jsonrpc\":\"2.0\",\"method\":\"ping\"}"), NULL},
};

static void invalid_requests_keep_their_id_where_it_is_one(void **state) {
  (void)state;
  for (size_t i = 0; i < ARRAY_LEN(invalid_requests); i++) {
    AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
    struct jsonrpc_request request;
    assert_int_equal(read_single(&reader, invalid_requests[i].text, &request),
                     JSONRPC_INVALID_REQUEST);
    assert_slice(request.id, invalid_requests[i].id);
    assert_true((request.id.ptr == NULL) == (invalid_requests[i].id == NULL));
  }
}

static void what_is_not_json_is_a_parse_error(void **state) {
  (void)state;
  static const struct slice texts[] = {
      SLICE_INIT(""),
      SLICE_INIT("  "),
      SLICE_INIT("hello"),
      SLICE_INIT("{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"ping\""),
      SLICE_INIT("{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"ping\"},"),
      SLICE_INIT("{\"id\":01,\"jsonrpc\":\"2.0\",\"method\":\"ping\"}"),
      SLICE_INIT("[{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"ping\"},{\"id\"]"),
      SLICE_INIT("[1,]"),
      SLICE_INIT("[]]"),
  };
  for (size_t i = 0; i < ARRAY_LEN(texts); i++)
    assert_int_equal(open_code(texts[i]), JSONRPC_PARSE_ERROR);
}

static void scalars_and_empty_batches_are_invalid_requests(void **state) {
  (void)state;
  static const struct slice texts[] = {
      SLICE_INIT("1"),      SLICE_INIT("null"), SLICE_INIT("true"),
      SLICE_INIT("\"{}\""), SLICE_INIT("[]"),   SLICE_INIT(" [ ] "),
  };
  for (size_t i = 0; i < ARRAY_LEN(texts); i++)
    assert_int_equal(open_code(texts[i]), JSONRPC_INVALID_REQUEST);
}

static int open_nested(size_t levels, const char *start, const char *end) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_append_str(&text, start);
  for (size_t i = 0; i < levels; i++)
    buf_append_char(&text, '[');
  for (size_t i = 0; i < levels; i++)
    buf_append_char(&text, ']');
  buf_append_str(&text, end);
  return open_code(buf_slice(&text));
}

static void nesting_is_limited_over_the_whole_text(void **state) {
  (void)state;
  static const char single[] = "{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"params\":";
  static const char batch[] = "[{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"params\":";
  assert_int_equal(open_nested(JSONRPC_DEPTH_MAX - 1, single, "}"), 0);
  assert_int_equal(open_nested(JSONRPC_DEPTH_MAX, single, "}"), JSONRPC_INVALID_REQUEST);
  assert_int_equal(open_nested(JSONRPC_DEPTH_MAX - 2, batch, "}]"), 0);
  assert_int_equal(open_nested(JSONRPC_DEPTH_MAX - 1, batch, "}]"), JSONRPC_INVALID_REQUEST);
  assert_int_equal(open_nested(100000, "", ""), JSONRPC_INVALID_REQUEST);
}

static void a_batch_gives_its_requests_in_order(void **state) {
  (void)state;
  static const struct {
    int code;
    const char *id, *method;
  } expected[] = {
      {0, "1", "a"},
      {JSONRPC_INVALID_REQUEST, NULL, NULL},
      {0, NULL, "note"},
      {JSONRPC_INVALID_REQUEST, NULL, NULL},
      {JSONRPC_INVALID_REQUEST, "\"]\"", NULL},
      {JSONRPC_INVALID_REQUEST, NULL, NULL},
      {JSONRPC_INVALID_REQUEST, NULL, NULL},
      {0, "null", "t\xc3\xa9"},
      {0, "3", "escaped"},
  };
  struct slice text = SLICE(" [ {\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"a\"} , 1,"
                            "{\"jsonrpc\":\"2.0\",\"method\":\"note\"},null,{\"id\":\"]\"},"
                            "[{\"id\":9,\"jsonrpc\":\"2.0\",\"method\":\"inner\"}],\"id\","
                            "{\"id\":null,\"jsonrpc\":\"2.0\",\"method\":\"t\\u00e9\"},"
                            "{\"id\":3,\"jsonrpc\":\"2.0\",\"method\":\"esc\\u0061ped\"}]");
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
  struct jsonrpc_request request;
  int code;
  assert_int_equal(jsonrpc_open(&reader, text), 0);
  assert_true(reader.is_batch);
  assert_int_equal(reader.count, ARRAY_LEN(expected));
  for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
    assert_true(jsonrpc_next(&reader, &request, &code));
    assert_int_equal(code, expected[i].code);
    assert_slice(request.id, expected[i].id);
    if (code == 0) assert_slice(request.method, expected[i].method);
  }
  assert_false(jsonrpc_next(&reader, &request, &code));
}

static void the_rest_of_a_batch_is_read_where_it_was_moved_to(void **state) {
  (void)state;
  char first[] = "[{\"id\":1},2, {\"id\":3}]", second[sizeof first];
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
  struct jsonrpc_request request;
  int code;
  assert_int_equal(jsonrpc_open(&reader, slice_of(first, sizeof first - 1)), 0);
  assert_true(jsonrpc_next(&reader, &request, &code));
  memcpy(second, first, sizeof first);
  memset(first, 0, sizeof first);
  jsonrpc_reader_move(&reader, first, second);
  assert_true(jsonrpc_next(&reader, &request, &code));
  assert_null(request.id.ptr);
  assert_true(jsonrpc_next(&reader, &request, &code));
  assert_slice(request.id, "3");
  assert_true(request.id.ptr > second && request.id.ptr < second + sizeof second);
  assert_false(jsonrpc_next(&reader, &request, &code));
}

static void a_batch_of_one_is_still_a_batch(void **state) {
  (void)state;
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
  assert_int_equal(jsonrpc_open(&reader, SLICE("[{}]")), 0);
  assert_true(reader.is_batch);
  assert_int_equal(reader.count, 1);
}

static int open_batch(size_t count) {
  AUTO(buf) struct buf text = BUF_INIT;
  for (size_t i = 0; i < count; i++)
    buf_append_str(&text, i == 0 ? "[1" : ",1");
  buf_append_char(&text, ']');
  return open_code(buf_slice(&text));
}

static void batches_have_a_longest_length(void **state) {
  (void)state;
  assert_int_equal(open_batch(JSONRPC_BATCH_MAX), 0);
  assert_int_equal(open_batch(JSONRPC_BATCH_MAX + 1), JSONRPC_INVALID_REQUEST);
  assert_int_equal(open_batch(5 * JSONRPC_BATCH_MAX), JSONRPC_INVALID_REQUEST);
}

static void every_prefix_is_a_parse_error(void **state) {
  (void)state;
  struct slice text = SLICE("[{\"id\":7,\"jsonrpc\":\"2.0\",\"method\":\"publish\",\"params\":{"
                            "\"topic\":\"a/b\",\"message\":\"\\u00e9\"}},{\"id\":-1e2}]");
  for (size_t len = 0; len < text.len; len++)
    assert_int_equal(open_code(slice_of(text.ptr, len)), JSONRPC_PARSE_ERROR);
  assert_int_equal(open_code(text), 0);
}

static void errors_are_written_in_full(void **state) {
  (void)state;
  AUTO(buf) struct buf out = BUF_INIT;
  jsonrpc_append_error(&out, SLICE("\"a\\\"b\""), JSONRPC_INVALID_PARAMS, SLICE("Not \"this\"\n"));
  assert_slice(buf_slice(&out), "{\"error\":{\"code\":-32602,\"message\":\"Invalid params\","
                                "\"data\":\"Not \\\"this\\\"\\n\"},\"id\":\"a\\\"b\","
                                "\"jsonrpc\":\"2.0\"}");
  buf_clear(&out);
  jsonrpc_append_error(&out, (struct slice){0}, JSONRPC_PARSE_ERROR, (struct slice){0});
  assert_slice(buf_slice(&out), "{\"error\":{\"code\":-32700,\"message\":\"Parse error\"},"
                                "\"id\":null,\"jsonrpc\":\"2.0\"}");
}

static void codes_have_the_standard_phrases(void **state) {
  (void)state;
  assert_string_equal(jsonrpc_code_text(-32700), "Parse error");
  assert_string_equal(jsonrpc_code_text(-32600), "Invalid request");
  assert_string_equal(jsonrpc_code_text(-32601), "Method not found");
  assert_string_equal(jsonrpc_code_text(-32602), "Invalid params");
  assert_string_equal(jsonrpc_code_text(-32603), "Internal error");
  assert_string_equal(jsonrpc_code_text(-32000), "Server error");
}

static void replies_are_json_that_reads_back(void **state) {
  (void)state;
  AUTO(buf) struct buf out = BUF_INIT;
  struct json_value reply, member;
  jsonrpc_append_result(&out, (struct slice){0}, SLICE("{\"pong\":1}"));
  assert_int_equal(json_parse(buf_slice(&out), JSON_DEPTH_MAX, &reply), ERR_OK);
  assert_int_equal(json_object_find(reply, SLICE("result"), &member), ERR_OK);
  assert_slice(member.text, "{\"pong\":1}");

  buf_clear(&out);
  jsonrpc_append_error(&out, SLICE("-0"), JSONRPC_INTERNAL_ERROR, SLICE("\x01\x7f\\ \xc3\xa9"));
  assert_int_equal(json_parse(buf_slice(&out), JSON_DEPTH_MAX, &reply), ERR_OK);
  assert_int_equal(json_object_find(reply, SLICE("error"), &member), ERR_OK);
  assert_int_equal(json_object_find(member, SLICE("data"), &member), ERR_OK);
  assert_true(json_string_equals(member, SLICE("\x01\x7f\\ \xc3\xa9")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_request_is_read),
      cmocka_unit_test(members_come_in_any_order_among_others),
      cmocka_unit_test(without_an_id_it_is_a_notification),
      cmocka_unit_test(params_may_be_absent_or_null),
      cmocka_unit_test(of_equal_names_the_last_counts),
      cmocka_unit_test(names_may_be_written_with_escapes),
      cmocka_unit_test(ids_come_back_byte_for_byte),
      cmocka_unit_test(ids_have_a_longest_length),
      cmocka_unit_test(invalid_requests_keep_their_id_where_it_is_one),
      cmocka_unit_test(what_is_not_json_is_a_parse_error),
      cmocka_unit_test(scalars_and_empty_batches_are_invalid_requests),
      cmocka_unit_test(nesting_is_limited_over_the_whole_text),
      cmocka_unit_test(a_batch_gives_its_requests_in_order),
      cmocka_unit_test(the_rest_of_a_batch_is_read_where_it_was_moved_to),
      cmocka_unit_test(a_batch_of_one_is_still_a_batch),
      cmocka_unit_test(batches_have_a_longest_length),
      cmocka_unit_test(every_prefix_is_a_parse_error),
      cmocka_unit_test(errors_are_written_in_full),
      cmocka_unit_test(codes_have_the_standard_phrases),
      cmocka_unit_test(replies_are_json_that_reads_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
