#include "eventhub/base/json_escape.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

static void assert_escaped(struct slice text, const char *expected) {
  AUTO(buf) struct buf out = BUF_INIT;
  buf_append_str(&out, "before:");
  buf_append_json_string(&out, text);
  struct slice json = slice_skip(buf_slice(&out), 7);
  assert_int_equal(json.len, strlen(expected));
  assert_memory_equal(json.ptr, expected, json.len);
}

static void plain_text_is_only_quoted(void **state) {
  (void)state;
  assert_escaped(SLICE(""), "\"\"");
  assert_escaped(slice_of(NULL, 0), "\"\"");
  assert_escaped(SLICE("a/b <c> 'd' e\x7f"), "\"a/b <c> 'd' e\x7f\"");
}

static void utf8_passes(void **state) {
  (void)state;
  assert_escaped(SLICE("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa6"),
                 "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa6\"");
}

static void quotes_backslashes_and_controls_are_escaped(void **state) {
  (void)state;
  assert_escaped(SLICE("\"\\"), "\"\\\"\\\\\"");
  assert_escaped(SLICE("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\"");
  assert_escaped(SLICE("\0\x01\x0b\x1f"), "\"\\u0000\\u0001\\u000b\\u001f\"");
}

/* Every ASCII character at every place of texts around the word size comes back from a parser. */
static void what_is_escaped_parses_to_the_same(void **state) {
  (void)state;
  for (size_t len = 1; len <= 20; len++) {
    for (size_t place = 0; place < len; place++) {
      for (int c = 0; c < 128; c++) {
        char text[20];
        memset(text, 'a', sizeof text);
        text[place] = (char)c;
        AUTO(buf) struct buf out = BUF_INIT;
        buf_append_json_string(&out, slice_of(text, len));
        json_t *parsed = json_loadb(out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(parsed);
        assert_int_equal(json_string_length(parsed), len);
        assert_memory_equal(json_string_value(parsed), text, len);
        json_decref(parsed);
      }
    }
  }
}

static void high_bytes_next_to_special_ones_confuse_nothing(void **state) {
  (void)state;
  assert_escaped(SLICE("\xc2\x80\xc2\xa2\xc3\x9c\xc2\x9f"
                       "\"\xc3\xbf\xc2\xa2"),
                 "\"\xc2\x80\xc2\xa2\xc3\x9c\xc2\x9f\\\"\xc3\xbf\xc2\xa2\"");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plain_text_is_only_quoted),
      cmocka_unit_test(utf8_passes),
      cmocka_unit_test(quotes_backslashes_and_controls_are_escaped),
      cmocka_unit_test(what_is_escaped_parses_to_the_same),
      cmocka_unit_test(high_bytes_next_to_special_ones_confuse_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
