/* The grammar by a table and against a naive recursive checker, and the walk over what was
 * accepted. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/proto/json.h"

/* Parses a copy that ends where its memory ends, so that a sanitizer sees every byte too far. */
static int parse_copy(struct slice text, unsigned max_depth) {
  char *copy = x_memdup(text.ptr, text.len);
  struct json_value value;
  int err = json_parse(slice_of(copy, text.len), max_depth, &value);
  free(copy);
  return err;
}

static struct json_value parse_ok(struct slice text) {
  struct json_value value;
  assert_int_equal(json_parse(text, JSON_DEPTH_MAX, &value), ERR_OK);
  return value;
}

static void assert_slice(struct slice actual, const char *expected) {
  assert_int_equal(actual.len, strlen(expected));
  assert_memory_equal(actual.ptr, expected, actual.len);
}

static const struct {
  enum json_type type;
  struct slice text;
} valid[] = {
    {JSON_NULL, SLICE_INIT("null")},
    {JSON_TRUE, SLICE_INIT("true")},
    {JSON_FALSE, SLICE_INIT("false")},
    {JSON_NUMBER, SLICE_INIT("0")},
    {JSON_NUMBER, SLICE_INIT("-0")},
    {JSON_NUMBER, SLICE_INIT("-0.0")},
    {JSON_NUMBER, SLICE_INIT("1234567890")},
    {JSON_NUMBER, SLICE_INIT("-12")},
    {JSON_NUMBER, SLICE_INIT("0.5")},
    {JSON_NUMBER, SLICE_INIT("10.25")},
    {JSON_NUMBER, SLICE_INIT("1e2")},
    {JSON_NUMBER, SLICE_INIT("1E2")},
    {JSON_NUMBER, SLICE_INIT("1e+2")},
    {JSON_NUMBER, SLICE_INIT("1e-2")},
    {JSON_NUMBER, SLICE_INIT("0e0")},
    {JSON_NUMBER, SLICE_INIT("0E+007")},
    {JSON_NUMBER, SLICE_INIT("1.5e300")},
    {JSON_NUMBER, SLICE_INIT("-1e99999999")},
    {JSON_NUMBER, SLICE_INIT("123456789012345678901234567890")},
    {JSON_STRING, SLICE_INIT("\"\"")},
    {JSON_STRING, SLICE_INIT("\"a\"")},
    {JSON_STRING, SLICE_INIT("\" \"")},
    {JSON_STRING, SLICE_INIT("\"seven b\"")},
    {JSON_STRING, SLICE_INIT("\"eight by\"")},
    {JSON_STRING, SLICE_INIT("\"longer than two words of memory\"")},
    {JSON_STRING, SLICE_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")},
    {JSON_STRING, SLICE_INIT("\"\\u0000\"")},
    {JSON_STRING, SLICE_INIT("\"\\u00e9\\u00C9\\uFFFF\"")},
    {JSON_STRING, SLICE_INIT("\"\\ud83d\\ude00\"")},
    {JSON_STRING, SLICE_INIT("\"\\ud800\"")},
    {JSON_STRING, SLICE_INIT("\"\\udc00\\ud800\"")},
    {JSON_STRING, SLICE_INIT("\"\\ud800x\\u0041\"")},
    {JSON_STRING, SLICE_INIT("\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"")},
    {JSON_STRING, SLICE_INIT("\"\x7f\"")},
    {JSON_STRING, SLICE_INIT("\"{[,:]}//\"")},
    {JSON_STRING, SLICE_INIT("\"\\\\\"")},
    {JSON_STRING, SLICE_INIT("\"\\\\\\\"\"")},
    {JSON_ARRAY, SLICE_INIT("[]")},
    {JSON_ARRAY, SLICE_INIT("[ \t\r\n]")},
    {JSON_ARRAY, SLICE_INIT("[null]")},
    {JSON_ARRAY, SLICE_INIT("[1,2,3]")},
    {JSON_ARRAY, SLICE_INIT("[ 1 , \"2\" , [ ] , { } ]")},
    {JSON_ARRAY, SLICE_INIT("[[[[]]],[[]]]")},
    {JSON_ARRAY, SLICE_INIT("[{}]")},
    {JSON_OBJECT, SLICE_INIT("{}")},
    {JSON_OBJECT, SLICE_INIT("{ }")},
    {JSON_OBJECT, SLICE_INIT("{\"\":0}")},
    {JSON_OBJECT, SLICE_INIT("{\"a\":1,\"a\":2}")},
    {JSON_OBJECT, SLICE_INIT("{ \"a\" : [ ] , \"b\" : { \"c\" : null } }")},
    {JSON_OBJECT, SLICE_INIT("{\"a\\u0062\":true}")},
};

static const struct slice invalid[] = {
    SLICE_INIT(""),
    SLICE_INIT(" "),
    SLICE_INIT("\n\t "),
    SLICE_INIT("\xef\xbb\xbf{}"),
    SLICE_INIT("nul"),
    SLICE_INIT("nulL"),
    SLICE_INIT("NULL"),
    SLICE_INIT("nullx"),
    SLICE_INIT("truefalse"),
    SLICE_INIT("True"),
    SLICE_INIT("NaN"),
    SLICE_INIT("Infinity"),
    SLICE_INIT("-Infinity"),
    SLICE_INIT("undefined"),
    SLICE_INIT("-"),
    SLICE_INIT("+1"),
    SLICE_INIT("--1"),
    SLICE_INIT("- 1"),
    SLICE_INIT("00"),
    SLICE_INIT("01"),
    SLICE_INIT("-01"),
    SLICE_INIT("1."),
    SLICE_INIT(".5"),
    SLICE_INIT("-.5"),
    SLICE_INIT("1.e2"),
    SLICE_INIT("1.2.3"),
    SLICE_INIT("1e"),
    SLICE_INIT("1e+"),
    SLICE_INIT("1e1.5"),
    SLICE_INIT("1ee2"),
    SLICE_INIT("0x10"),
    SLICE_INIT("1_000"),
    SLICE_INIT("1a"),
    SLICE_INIT("1 2"),
    SLICE_INIT("1,"),
    SLICE_INIT("\""),
    SLICE_INIT("\"a"),
    SLICE_INIT("\"exactly 8"),
    SLICE_INIT("'a'"),
    SLICE_INIT("a"),
    SLICE_INIT("\"a\"b"),
    SLICE_INIT("\"a\"\"b\""),
    SLICE_INIT("\"\\\""),
    SLICE_INIT("\"\\"),
    SLICE_INIT("\"\\x41\""),
    SLICE_INIT("\"\\a\""),
    SLICE_INIT("\"\\U0041\""),
    SLICE_INIT("\"\\'\""),
    SLICE_INIT("\"\\0\""),
    SLICE_INIT("\"\\u\""),
    SLICE_INIT("\"\\u12\""),
    SLICE_INIT("\"\\u123\""),
    SLICE_INIT("\"\\u123"),
    SLICE_INIT("\"\\u1234"),
    SLICE_INIT("\"\\u123g\""),
    SLICE_INIT("\"\\u12@4\""),
    SLICE_INIT("\"\\u 123\""),
    SLICE_INIT("\"\\u+123\""),
    SLICE_INIT("\"\\ud83d\\u\""),
    SLICE_INIT("\"\\\n\""),
    SLICE_INIT("\"\n\""),
    SLICE_INIT("\"tab\there\""),
    SLICE_INIT("\"\x1f\""),
    SLICE_INIT("\"\0\""),
    SLICE_INIT("\"after eight bytes\x01\""),
    SLICE_INIT("\0"),
    SLICE_INIT("1\0"),
    SLICE_INIT("[]\0"),
    SLICE_INIT("["),
    SLICE_INIT("]"),
    SLICE_INIT("[1"),
    SLICE_INIT("[1,"),
    SLICE_INIT("[1,]"),
    SLICE_INIT("[,]"),
    SLICE_INIT("[,1]"),
    SLICE_INIT("[1,,2]"),
    SLICE_INIT("[1 2]"),
    SLICE_INIT("[1:2]"),
    SLICE_INIT("[\"a\":1]"),
    SLICE_INIT("[1}"),
    SLICE_INIT("[]]"),
    SLICE_INIT("[[]"),
    SLICE_INIT("[],"),
    SLICE_INIT("[][]"),
    SLICE_INIT("[\v]"),
    SLICE_INIT("[\f]"),
    SLICE_INIT("[\xc2\xa0]"),
    SLICE_INIT("[1] // comment"),
    SLICE_INIT("/**/[]"),
    SLICE_INIT("{"),
    SLICE_INIT("}"),
    SLICE_INIT("{]"),
    SLICE_INIT("{1:2}"),
    SLICE_INIT("{a:1}"),
    SLICE_INIT("{null:1}"),
    SLICE_INIT("{'a':1}"),
    SLICE_INIT("{[]:1}"),
    SLICE_INIT("{\"a\"}"),
    SLICE_INIT("{\"a\":}"),
    SLICE_INIT("{\"a\" 1}"),
    SLICE_INIT("{\"a\",1}"),
    SLICE_INIT("{\"a\"::1}"),
    SLICE_INIT("{\"a\":1,}"),
    SLICE_INIT("{,}"),
    SLICE_INIT("{,\"a\":1}"),
    SLICE_INIT("{\"a\":1 \"b\":2}"),
    SLICE_INIT("{\"a\":1,\"b\"}"),
    SLICE_INIT("{\"a\":1]"),
    SLICE_INIT("{\"a\":1}}"),
    SLICE_INIT("{\"a\n\":1}"),
    SLICE_INIT("{\"a\":1}{}"),
    SLICE_INIT("{\"a\":[}]"),
};

static void valid_texts_are_accepted(void **state) {
  (void)state;
  for (size_t i = 0; i < ARRAY_LEN(valid); i++) {
    AUTO(buf) struct buf spaced = BUF_INIT;
    buf_append_str(&spaced, " \t\r\n");
    buf_append_slice(&spaced, valid[i].text);
    buf_append_str(&spaced, "\n\r\t ");
    struct json_value value = parse_ok(buf_slice(&spaced));

    assert_int_equal(value.type, valid[i].type);
    assert_true(slice_equal(value.text, valid[i].text));
    assert_int_equal(parse_copy(valid[i].text, JSON_DEPTH_MAX), ERR_OK);
  }
}

static void invalid_texts_are_refused(void **state) {
  (void)state;
  for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
    if (parse_copy(invalid[i], JSON_DEPTH_MAX) != ERR_INVALID)
      fail_msg("accepted: %.*s", SLICE_PRINTF(invalid[i]));
  }
}

static void a_refusal_leaves_the_result_untouched(void **state) {
  (void)state;
  struct json_value value = {JSON_TRUE, SLICE("true")};
  assert_int_equal(json_parse(SLICE("[1,2"), JSON_DEPTH_MAX, &value), ERR_INVALID);
  assert_int_equal(json_parse(SLICE("[[]]"), 1, &value), ERR_TOO_BIG);
  assert_int_equal(value.type, JSON_TRUE);
  assert_slice(value.text, "true");
}

static void every_prefix_is_invalid(void **state) {
  (void)state;
  struct slice text = SLICE("{\"id\":7,\"jsonrpc\":\"2.0\",\"method\":\"publish\",\"params\":{"
                            "\"topic\":\"a/b\",\"message\":[true,false,null,-1.5e+3,\"\\ud83d"
                            "\\ude00\\n a longer string\",{},[]]}}");
  for (size_t len = 0; len < text.len; len++)
    assert_int_equal(parse_copy(slice_of(text.ptr, len), JSON_DEPTH_MAX), ERR_INVALID);
  assert_int_equal(parse_copy(text, JSON_DEPTH_MAX), ERR_OK);
}

/* Strings are scanned a word at a time: each byte at each place in the words must count. */
static void each_byte_counts_at_each_place_in_a_string(void **state) {
  (void)state;
  enum { LEN = 27 };
  for (int c = 0; c < 256; c++) {
    for (size_t place = 1; place < LEN - 1; place++) {
      char text[LEN];
      memset(text, 'x', sizeof text);
      text[0] = text[LEN - 1] = '"';
      text[place] = (char)c;
      int expected = c < 0x20 || c == '"' || c == '\\' ? ERR_INVALID : ERR_OK;
      assert_int_equal(parse_copy(slice_of(text, LEN), JSON_DEPTH_MAX), expected);
    }
  }
}

static void append_nested(struct buf *text, size_t levels, const char *open, const char *inner,
                          const char *close) {
  for (size_t i = 0; i < levels; i++)
    buf_append_str(text, open);
  buf_append_str(text, inner);
  for (size_t i = 0; i < levels; i++)
    buf_append_str(text, close);
}

static int parse_nested(size_t levels, const char *open, const char *close, unsigned max_depth) {
  AUTO(buf) struct buf text = BUF_INIT;
  append_nested(&text, levels, open, "7", close);
  return parse_copy(buf_slice(&text), max_depth);
}

static void nesting_is_limited_exactly(void **state) {
  (void)state;
  for (unsigned max_depth = 0; max_depth <= JSON_DEPTH_MAX; max_depth++) {
    assert_int_equal(parse_nested(max_depth, "[", "]", max_depth), ERR_OK);
    assert_int_equal(parse_nested(max_depth, "{\"a\":", "}", max_depth), ERR_OK);
    assert_int_equal(parse_nested(max_depth + 1, "[", "]", max_depth), ERR_TOO_BIG);
    assert_int_equal(parse_nested(max_depth + 1, "{\"a\":", "}", max_depth), ERR_TOO_BIG);
  }
  assert_int_equal(parse_copy(SLICE("[[],[],[[]],{\"a\":[]}]"), 3), ERR_OK);
  assert_int_equal(parse_copy(SLICE("[[],[],[[]],{\"a\":[]}]"), 2), ERR_TOO_BIG);
}

static void containers_close_as_they_were_opened_down_to_the_last_level(void **state) {
  (void)state;
  for (size_t wrong = 0; wrong < JSON_DEPTH_MAX; wrong++) {
    AUTO(buf) struct buf text = BUF_INIT;
    append_nested(&text, JSON_DEPTH_MAX / 2, "[{\"\":", "0", "}]");
    assert_int_equal(parse_copy(buf_slice(&text), JSON_DEPTH_MAX), ERR_OK);
    char *closing = &text.data[text.len - 1 - wrong];
    *closing = *closing == '}' ? ']' : '}';
    assert_int_equal(parse_copy(buf_slice(&text), JSON_DEPTH_MAX), ERR_INVALID);
  }
}

static void a_hundred_thousand_brackets_end_at_the_limit(void **state) {
  (void)state;
  assert_int_equal(parse_nested(100000, "[", "", JSON_DEPTH_MAX), ERR_TOO_BIG);
  assert_int_equal(parse_nested(100000, "[", "]", JSON_DEPTH_MAX), ERR_TOO_BIG);
  assert_int_equal(parse_nested(100000, "{\"a\":", "}", JSON_DEPTH_MAX), ERR_TOO_BIG);
  assert_int_equal(parse_nested(100000, "[]", "", JSON_DEPTH_MAX), ERR_INVALID);
}

static void members_come_in_order_with_their_raw_text(void **state) {
  (void)state;
  struct json_iter it;
  struct json_value key, value;
  json_iter_init(&it,
                 parse_ok(SLICE(" { \"a\" : 1e2 ,\"b\\n\":\"}\\\"\" , \"\" :[1,{\"x\":2}] } ")));

  assert_true(json_object_next(&it, &key, &value));
  assert_slice(key.text, "\"a\"");
  assert_slice(value.text, "1e2");
  assert_true(json_object_next(&it, &key, &value));
  assert_slice(key.text, "\"b\\n\"");
  assert_slice(value.text, "\"}\\\"\"");
  assert_true(json_object_next(&it, &key, &value));
  assert_slice(key.text, "\"\"");
  assert_int_equal(value.type, JSON_ARRAY);
  assert_slice(value.text, "[1,{\"x\":2}]");
  assert_false(json_object_next(&it, &key, &value));
  assert_false(json_object_next(&it, &key, &value));
}

static void elements_come_in_order(void **state) {
  (void)state;
  static const char *const expected[] = {"null", "-0", "\"]\"", "[[],[]]", "{\"a\":\"[\"}", "true"};
  struct json_iter it;
  struct json_value value;
  json_iter_init(&it, parse_ok(SLICE("[null, -0,\"]\" , [[],[]],{\"a\":\"[\"}\n,true ]")));
  for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
    assert_true(json_array_next(&it, &value));
    assert_slice(value.text, expected[i]);
  }
  assert_false(json_array_next(&it, &value));
  assert_false(json_array_next(&it, &value));
}

static void empty_containers_and_scalars_have_no_members(void **state) {
  (void)state;
  static const struct slice texts[] = {SLICE_INIT("{}"), SLICE_INIT("{ }"),
                                       SLICE_INIT("[]"), SLICE_INIT("[\n]"),
                                       SLICE_INIT("7"),  SLICE_INIT("\"[1]\"")};
  for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
    struct json_iter it;
    struct json_value key, value;
    json_iter_init(&it, parse_ok(texts[i]));
    assert_false(json_object_next(&it, &key, &value));
    json_iter_init(&it, parse_ok(texts[i]));
    assert_false(json_array_next(&it, &value));
  }

  struct json_iter it;
  struct json_value value = {0};
  json_iter_init(&it, value);
  assert_false(json_array_next(&it, &value));
}

static void get_finds_the_last_of_equal_names(void **state) {
  (void)state;
  struct json_value object = parse_ok(SLICE("{\"a\":1,\"b\":{\"c\":2},\"a\":3,\"aa\":4,\"A\":5}"));
  struct json_value value;
  assert_int_equal(json_object_find(object, SLICE("a"), &value), ERR_OK);
  assert_slice(value.text, "3");
  assert_int_equal(json_object_find(object, SLICE("b"), &value), ERR_OK);
  assert_slice(value.text, "{\"c\":2}");
  assert_int_equal(json_object_find(object, SLICE("c"), &value), ERR_NOT_FOUND);
  assert_int_equal(json_object_find(object, SLICE(""), &value), ERR_NOT_FOUND);
  assert_slice(value.text, "{\"c\":2}");
}

static void get_compares_names_decoded(void **state) {
  (void)state;
  struct json_value object = parse_ok(SLICE("{\"topic\":1,\"t\\u006fpi\\u0063\":2,\"\\u0000\":3}"));
  struct json_value value;
  assert_int_equal(json_object_find(object, SLICE("topic"), &value), ERR_OK);
  assert_slice(value.text, "2");
  assert_int_equal(json_object_find(object, SLICE("\0"), &value), ERR_OK);
  assert_slice(value.text, "3");
  assert_int_equal(json_object_find(object, SLICE("t\\u006fpi\\u0063"), &value), ERR_NOT_FOUND);
}

static void select_finds_several_at_once(void **state) {
  (void)state;
  static const struct slice names[] = {SLICE_INIT("ttl"), SLICE_INIT("topic"), SLICE_INIT("none"),
                                       SLICE_INIT("t")};
  static const struct slice expected[] = {SLICE_INIT("null"), SLICE_INIT("\"b\""), {0}, {0}};
  struct json_value values[ARRAY_LEN(names)];
  struct slice text =
      SLICE("{\"topic\":\"a\",\"ttl\":null,\"x\":{\"none\":1},\"to\\u0070ic\":\"b\"}");
  json_object_select(parse_ok(text), names, ARRAY_LEN(names), values);
  for (size_t i = 0; i < ARRAY_LEN(names); i++) {
    assert_true(slice_equal(values[i].text, expected[i]));
    assert_int_equal(values[i].text.ptr == NULL, expected[i].ptr == NULL);
  }
  json_object_select(parse_ok(SLICE("[\"topic\",1]")), names, ARRAY_LEN(names), values);
  for (size_t i = 0; i < ARRAY_LEN(names); i++)
    assert_null(values[i].text.ptr);
}

static void assert_noted(const struct json_members *members, const char *expected) {
  AUTO(buf) struct buf found = BUF_INIT;
  if (members->object != NULL) buf_append_char(&found, '{');
  for (size_t i = 0; members->object != NULL && i < members->count; i++) {
    buf_append_slice(&found, members->items[i].name.text);
    buf_append_slice(&found, members->items[i].value.text);
  }
  assert_slice(buf_slice(&found), expected);
}

static void a_parse_notes_the_members_of_requests(void **state) {
  (void)state;
  static const struct {
    const char *text, *outer, *inner;
  } cases[] = {
      {"{}", "{", ""},
      {" {\"a\" : 1 , \"b\":[{\"c\":2}]} ", "{\"a\"1\"b\"[{\"c\":2}]", ""},
      {"{\"a\":{\"b\":{\"c\":1}, \"d\":\"}\"}}", "{\"a\"{\"b\":{\"c\":1}, \"d\":\"}\"}",
       "{\"b\"{\"c\":1}\"d\"\"}\""},
      {"{\"a\":{\"b\":1},\"c\":{}}", "{\"a\"{\"b\":1}\"c\"{}", "{"},
      {"{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1}", "", ""},
      {"[{\"a\":1}]", "", ""},
      {"7", "", ""},
  };
  struct json_outline outline;
  struct json_value value;
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    assert_int_equal(json_parse_outline(slice_str(cases[i].text), 8, &value, &outline), 0);
    assert_noted(&outline.outer, cases[i].outer);
    assert_noted(&outline.inner, cases[i].inner);
  }
}

static void a_parse_that_notes_refuses_the_same(void **state) {
  (void)state;
  static const char *const bad[] = {"",
                                    "{",
                                    "{\"a\"}",
                                    "{\"a\":}",
                                    "{\"a\":1,}",
                                    "{,}",
                                    "{\"a\":1}}",
                                    "{\"a\":1 \"b\":2}",
                                    "{\"a\":{}",
                                    "{\"a\":[1}",
                                    "{\"a\":{\"b\":01}}",
                                    "{a:1}"};
  struct json_outline outline;
  struct json_value value;
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    assert_int_equal(json_parse_outline(slice_str(bad[i]), 8, &value, &outline), ERR_INVALID);
  struct slice deep = SLICE("{\"a\":{\"b\":[[]]}}");
  for (unsigned depth = 0; depth < 4; depth++)
    assert_int_equal(json_parse_outline(deep, depth, &value, &outline), ERR_TOO_BIG);
  assert_int_equal(json_parse_outline(deep, 4, &value, &outline), 0);
}

static void members_are_selected_from_what_was_noted(void **state) {
  (void)state;
  static const struct slice names[] = {SLICE_INIT("b"), SLICE_INIT("none")};
  struct json_outline outline;
  struct json_value value, values[2], params;
  struct slice text = SLICE("{\"params\":{\"b\":1,\"\\u0062\":2}}");
  assert_int_equal(json_parse_outline(text, 8, &value, &outline), 0);
  assert_int_equal(json_object_find(value, SLICE("params"), &params), 0);
  const struct json_members *sources[] = {&outline.inner, &outline.outer, NULL};
  for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
    json_members_select(sources[i], params, names, 2, values);
    assert_slice(values[0].text, "2");
    assert_null(values[1].text.ptr);
  }
}

static void get_finds_nothing_in_other_types(void **state) {
  (void)state;
  struct json_value value;
  assert_int_equal(json_object_find(parse_ok(SLICE("[\"a\",1]")), SLICE("a"), &value),
                   ERR_NOT_FOUND);
  assert_int_equal(json_object_find(parse_ok(SLICE("\"a\"")), SLICE("a"), &value), ERR_NOT_FOUND);
  assert_int_equal(json_object_find(parse_ok(SLICE("null")), SLICE("a"), &value), ERR_NOT_FOUND);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(valid_texts_are_accepted),
      cmocka_unit_test(invalid_texts_are_refused),
      cmocka_unit_test(a_refusal_leaves_the_result_untouched),
      cmocka_unit_test(every_prefix_is_invalid),
      cmocka_unit_test(each_byte_counts_at_each_place_in_a_string),
      cmocka_unit_test(nesting_is_limited_exactly),
      cmocka_unit_test(containers_close_as_they_were_opened_down_to_the_last_level),
      cmocka_unit_test(a_hundred_thousand_brackets_end_at_the_limit),
      cmocka_unit_test(members_come_in_order_with_their_raw_text),
      cmocka_unit_test(elements_come_in_order),
      cmocka_unit_test(empty_containers_and_scalars_have_no_members),
      cmocka_unit_test(get_finds_the_last_of_equal_names),
      cmocka_unit_test(get_compares_names_decoded),
      cmocka_unit_test(a_parse_notes_the_members_of_requests),
      cmocka_unit_test(a_parse_that_notes_refuses_the_same),
      cmocka_unit_test(members_are_selected_from_what_was_noted),
      cmocka_unit_test(select_finds_several_at_once),
      cmocka_unit_test(get_finds_nothing_in_other_types),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
