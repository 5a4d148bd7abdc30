#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/err.h"
#include "eventhub/proto/json.h"

static struct json_value parse_ok(struct slice text) {
  struct json_value value;
  assert_int_equal(json_parse(text, JSON_DEPTH_MAX, &value), ERR_OK);
  return value;
}

static const struct {
  struct slice json, decoded;
} strings[] = {
    {SLICE_INIT("\"\""), SLICE_INIT("")},
    {SLICE_INIT("\"abc\""), SLICE_INIT("abc")},
    {SLICE_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), SLICE_INIT("\"\\/\b\f\n\r\t")},
    {SLICE_INIT("\"a\\nb\\nc\""), SLICE_INIT("a\nb\nc")},
    {SLICE_INIT("\"\\u0041\\u005a\""), SLICE_INIT("AZ")},
    {SLICE_INIT("\"a\\u0000b\""), SLICE_INIT("a\0b")},
    {SLICE_INIT("\"\\u007f\\u0080\""), SLICE_INIT("\x7f\xc2\x80")},
    {SLICE_INIT("\"\\u07ff\\u0800\""), SLICE_INIT("\xdf\xbf\xe0\xa0\x80")},
    {SLICE_INIT("\"\\uFFFF\\uffff\""), SLICE_INIT("\xef\xbf\xbf\xef\xbf\xbf")},
    {SLICE_INIT("\"\\ud7ff\\ue000\""), SLICE_INIT("\xed\x9f\xbf\xee\x80\x80")},
    {SLICE_INIT("\"\\ud800\\udc00\""), SLICE_INIT("\xf0\x90\x80\x80")},
    {SLICE_INIT("\"\\ud83d\\uDE00\""), SLICE_INIT("\xf0\x9f\x98\x80")},
    {SLICE_INIT("\"\\udbff\\udfff\""), SLICE_INIT("\xf4\x8f\xbf\xbf")},
    {SLICE_INIT("\"\xf0\x9f\x98\x80\xc3\xa9\""), SLICE_INIT("\xf0\x9f\x98\x80\xc3\xa9")},
    /* lone surrogates: at the end, before text, before other escapes, in the wrong order */
    {SLICE_INIT("\"\\ud83d\""), SLICE_INIT("\xef\xbf\xbd")},
    {SLICE_INIT("\"\\udc00\""), SLICE_INIT("\xef\xbf\xbd")},
    {SLICE_INIT("\"\\ud83dx\""), SLICE_INIT("\xef\xbf\xbdx")},
    {SLICE_INIT("\"\\ud83ddc00\""), SLICE_INIT("\xef\xbf\xbd"
                                               "dc00")},
    {SLICE_INIT("\"\\ud83d\\n\""), SLICE_INIT("\xef\xbf\xbd\n")},
    {SLICE_INIT("\"\\ud83d\\u0041\""), SLICE_INIT("\xef\xbf\xbd"
                                                  "A")},
    {SLICE_INIT("\"\\ud83d\\ud83d\\ude00\""), SLICE_INIT("\xef\xbf\xbd\xf0\x9f\x98\x80")},
    {SLICE_INIT("\"\\ude00\\ud83d\""), SLICE_INIT("\xef\xbf\xbd\xef\xbf\xbd")},
};

static void strings_decode(void **state) {
  (void)state;
  for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
    AUTO(buf) struct buf decoded = BUF_INIT;
    buf_append_char(&decoded, '>');
    assert_int_equal(json_string_decode(parse_ok(strings[i].json), &decoded), ERR_OK);
    buf_consume(&decoded, 1);
    assert_true(slice_equal(buf_slice(&decoded), strings[i].decoded));
  }
}

static void strings_equal_their_decoded_text_and_no_other(void **state) {
  (void)state;
  for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
    AUTO(buf) struct buf longer = BUF_INIT;
    struct json_value value = parse_ok(strings[i].json);
    struct slice text = strings[i].decoded;
    buf_append_slice(&longer, text);
    buf_append_char(&longer, '!');

    assert_true(json_string_equals(value, text));
    assert_false(json_string_equals(value, buf_slice(&longer)));
    if (text.len > 0) assert_false(json_string_equals(value, slice_of(text.ptr, text.len - 1)));
    if (text.len > 0) assert_false(json_string_equals(value, slice_skip(text, 1)));
    for (size_t at = 0; at < text.len; at++) {
      longer.data[at] ^= 1;
      assert_false(json_string_equals(value, slice_of(longer.data, text.len)));
      longer.data[at] ^= 1;
    }
  }
}

static void an_escape_does_not_equal_its_own_spelling(void **state) {
  (void)state;
  assert_false(json_string_equals(parse_ok(SLICE("\"a\\nb\"")), SLICE("a\\nb")));
  assert_false(json_string_equals(parse_ok(SLICE("\"\\u0041\"")), SLICE("\\u0041")));
  assert_true(json_string_equals(parse_ok(SLICE("\"a\\\\nb\"")), SLICE("a\\nb")));
}

static void only_strings_are_strings(void **state) {
  (void)state;
  static const struct slice texts[] = {SLICE_INIT("1"), SLICE_INIT("null"), SLICE_INIT("[\"\\n\"]"),
                                       SLICE_INIT("{\"\\n\":1}")};
  AUTO(buf) struct buf decoded = BUF_INIT;
  for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
    struct json_value value = parse_ok(texts[i]);
    assert_false(json_string_has_escapes(value));
    assert_false(json_string_equals(value, texts[i]));
    assert_int_equal(json_string_decode(value, &decoded), ERR_INVALID);
  }
  assert_int_equal(decoded.len, 0);
}

static void escapes_are_seen(void **state) {
  (void)state;
  assert_false(json_string_has_escapes(parse_ok(SLICE("\"plain / text\""))));
  assert_true(json_string_has_escapes(parse_ok(SLICE("\"\\/\""))));
  assert_true(slice_equal(json_string_raw(parse_ok(SLICE(" \"a\\/\" "))), SLICE("a\\/")));
}

static void appended_strings_decode_to_what_they_were(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  for (int c = 0; c < 0x80; c++) {
    buf_append_char(&text, (char)c);
    buf_append_str(&text, c % 3 == 0 ? "\xc3\xa9" : "x");
    AUTO(buf) struct buf json = BUF_INIT;
    AUTO(buf) struct buf decoded = BUF_INIT;
    json_append_string(&json, buf_slice(&text));
    assert_int_equal(json_string_decode(parse_ok(buf_slice(&json)), &decoded), ERR_OK);
    assert_true(slice_equal(buf_slice(&decoded), buf_slice(&text)));
  }
}

static const struct {
  struct slice json;
  int64_t number;
} whole_numbers[] = {
    {SLICE_INIT("0"), 0},
    {SLICE_INIT("-0"), 0},
    {SLICE_INIT("0.000"), 0},
    {SLICE_INIT("-0e-400"), 0},
    {SLICE_INIT("0e999999999999999999999999"), 0},
    {SLICE_INIT("7"), 7},
    {SLICE_INIT("-42"), -42},
    {SLICE_INIT("1700000000123"), 1700000000123},
    {SLICE_INIT("1e3"), 1000},
    {SLICE_INIT("1E+3"), 1000},
    {SLICE_INIT("1.0"), 1},
    {SLICE_INIT("100e-2"), 1},
    {SLICE_INIT("-1.5e1"), -15},
    {SLICE_INIT("12.3400e2"), 1234},
    {SLICE_INIT("0.00000000000000000000000000000001e32"), 1},
    {SLICE_INIT("100000000000000000000000000000000e-32"), 1},
    {SLICE_INIT("9007199254740991"), 9007199254740991},
    {SLICE_INIT("9007199254740993"), 9007199254740993},
    {SLICE_INIT("9223372036854775807"), INT64_MAX},
    {SLICE_INIT("922337203685477580.7e1"), INT64_MAX},
    {SLICE_INIT("9223372036854775807.000"), INT64_MAX},
    {SLICE_INIT("-9223372036854775807"), -INT64_MAX},
    {SLICE_INIT("-9223372036854775808"), INT64_MIN},
    {SLICE_INIT("-9.223372036854775808e18"), INT64_MIN},
    {SLICE_INIT("1e18"), 1000000000000000000},
};

static void whole_numbers_are_read_in_every_spelling(void **state) {
  (void)state;
  for (size_t i = 0; i < ARRAY_LEN(whole_numbers); i++) {
    int64_t number = -1;
    assert_int_equal(json_to_i64(parse_ok(whole_numbers[i].json), &number), ERR_OK);
    assert_true(number == whole_numbers[i].number);
  }
}

static void assert_refused(const struct slice *texts, size_t count, int expected) {
  for (size_t i = 0; i < count; i++) {
    int64_t number = -1;
    if (json_to_i64(parse_ok(texts[i]), &number) != expected)
      fail_msg("not refused: %.*s", SLICE_PRINTF(texts[i]));
    assert_int_equal(number, -1);
  }
}

static void fractions_and_other_types_are_not_whole_numbers(void **state) {
  (void)state;
  static const struct slice texts[] = {
      SLICE_INIT("1.5"),
      SLICE_INIT("-0.1"),
      SLICE_INIT("1e-1"),
      SLICE_INIT("1e-999999999999999999999999"),
      SLICE_INIT("1.00000000000000000000000000001"),
      SLICE_INIT("12345678901234567890123.5"),
      SLICE_INIT("\"1\""),
      SLICE_INIT("null"),
      SLICE_INIT("true"),
      SLICE_INIT("[1]"),
  };
  assert_refused(texts, ARRAY_LEN(texts), ERR_INVALID);
}

static void whole_numbers_out_of_range_are_too_big(void **state) {
  (void)state;
  static const struct slice texts[] = {
      SLICE_INIT("9223372036854775808"),
      SLICE_INIT("-9223372036854775809"),
      SLICE_INIT("9999999999999999999"),
      SLICE_INIT("18446744073709551616"),
      SLICE_INIT("18446744073709551617"),
      SLICE_INIT("100000000000000000000"),
      SLICE_INIT("1000000000000000000000000000000007e0"),
      SLICE_INIT("1e19"),
      SLICE_INIT("-1e19"),
      SLICE_INIT("1e400"),
      SLICE_INIT("1.5e300"),
      SLICE_INIT("1e999999999999999999999999"),
  };
  assert_refused(texts, ARRAY_LEN(texts), ERR_TOO_BIG);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(strings_decode),
      cmocka_unit_test(strings_equal_their_decoded_text_and_no_other),
      cmocka_unit_test(an_escape_does_not_equal_its_own_spelling),
      cmocka_unit_test(only_strings_are_strings),
      cmocka_unit_test(escapes_are_seen),
      cmocka_unit_test(appended_strings_decode_to_what_they_were),
      cmocka_unit_test(whole_numbers_are_read_in_every_spelling),
      cmocka_unit_test(fractions_and_other_types_are_not_whole_numbers),
      cmocka_unit_test(whole_numbers_out_of_range_are_too_big),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
