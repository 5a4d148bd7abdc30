#include "eventhub/base/log_line.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <jansson.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"

enum { WHEN_SECONDS = 1767323045, TOO_LONG = 2 * LOG_LINE_MAX };

static const uint64_t when_ms = WHEN_SECONDS * 1000ULL + 678;

static size_t format_line(enum log_format format, uint64_t suppressed,
                          const struct log_field *fields, char out[LOG_LINE_MAX + 1]) {
  struct log_event event = {
      .level = LOG_WARN, .wall_ms = when_ms, .suppressed = suppressed, .fields = fields};
  size_t len = log_line_format(format, &event, out);
  assert_in_range(len, 1, LOG_LINE_MAX);
  assert_int_equal(out[len - 1], '\n');
  assert_null(memchr(out, '\n', len - 1));
  out[len - 1] = '\0';
  return len;
}

static void assert_text(const struct log_field *fields, const char *expected) {
  char line[LOG_LINE_MAX + 1];
  format_line(LOG_TEXT, 0, fields, line);
  assert_string_equal(line, expected);
}

static json_t *parsed_line(uint64_t suppressed, const struct log_field *fields) {
  char line[LOG_LINE_MAX + 1];
  format_line(LOG_JSON, suppressed, fields, line);
  json_t *object = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
  assert_true(json_is_object(object));
  return object;
}

static void text_is_time_level_event_and_fields(void **state) {
  (void)state;
  assert_text(LOG_FIELDS("stopped"), "2026-01-02T03:04:05.678Z warn stopped");
  assert_text(LOG_FIELDS("taken over", LOG_STR("address", "*"), LOG_UINT("port", 8080),
                         LOG_INT("delta", -3), LOG_SLICE("topic", slice_of("a/b/c", 3))),
              "2026-01-02T03:04:05.678Z warn taken over address=* port=8080 delta=-3 topic=a/b");
}

static void errno_is_put_in_words(void **state) {
  (void)state;
  assert_text(LOG_FIELDS("x", LOG_ERRNO("error", EADDRINUSE)),
              "2026-01-02T03:04:05.678Z warn x error=\"Address already in use\"");
}

static void values_that_could_confuse_are_quoted(void **state) {
  (void)state;
  static const struct {
    const char *value;
    const char *shown;
  } rows[] = {
      {"plain-1/2#+*", "plain-1/2#+*"},
      {"", "\"\""},
      {NULL, "\"\""},
      {"two words", "\"two words\""},
      {"a=b", "\"a=b\""},
      {"say \"no\"", "\"say \\\"no\\\"\""},
      {"back\\slash", "\"back\\\\slash\""},
      {"line\nbreak\r\t", "\"line\\nbreak\\u000d\\u0009\""},
      {"\x1b[31m\x7f", "\"\\u001b[31m\\u007f\""},
      {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\""},
      {"\xf0\x9f\x90\xa6", "\"\xf0\x9f\x90\xa6\""},
      {"\xc2\x9b", "\"\\u009b\""},                              /* a C1 control */
      {"\xff", "\"\\ufffd\""},                                  /* never a byte of UTF-8 */
      {"\xc0\x80", "\"\\ufffd\\ufffd\""},                       /* overlong */
      {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},            /* surrogate */
      {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* over U+10FFFF */
      {"\xe2\x82", "\"\\ufffd\\ufffd\""},                       /* cut short */
  };
  for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
    char expected[200];
    snprintf(expected, sizeof expected, "2026-01-02T03:04:05.678Z warn x k=%s", rows[i].shown);
    assert_text(LOG_FIELDS("x", LOG_STR("k", rows[i].value)), expected);
  }
}

static void json_is_one_object_with_the_same_fields(void **state) {
  (void)state;
  char line[LOG_LINE_MAX + 1];
  format_line(LOG_JSON, 0,
              LOG_FIELDS("listening", LOG_STR("address", "*"), LOG_UINT("port", 8080),
                         LOG_INT("delta", INT64_MIN)),
              line);
  assert_string_equal(line, "{\"time\":\"2026-01-02T03:04:05.678Z\",\"level\":\"warn\","
                            "\"event\":\"listening\",\"address\":\"*\",\"port\":8080,"
                            "\"delta\":-9223372036854775808}");
}

/* Whatever the bytes: the line parses, and stays one line. */
static void any_bytes_make_valid_json(void **state) {
  (void)state;
  char bytes[3];
  for (unsigned i = 0; i < 256 * 256; i += 3) {
    bytes[0] = (char)(i >> 8);
    bytes[1] = (char)i;
    bytes[2] = (char)(i * 7);
    json_t *object = parsed_line(0, LOG_FIELDS("x", LOG_SLICE("k", slice_of(bytes, 3))));
    assert_true(json_is_string(json_object_get(object, "k")));
    json_decref(object);
  }
}

static void suppressed_lines_are_counted(void **state) {
  (void)state;
  char line[LOG_LINE_MAX + 1];
  format_line(LOG_TEXT, 17, LOG_FIELDS("x", LOG_INT("a", 1)), line);
  assert_string_equal(line, "2026-01-02T03:04:05.678Z warn x a=1 suppressed=17");
  json_t *object = parsed_line(17, LOG_FIELDS("x"));
  assert_int_equal(json_integer_value(json_object_get(object, "suppressed")), 17);
  json_decref(object);
}

/* Never too long, and marked exactly if the field behind is gone. */
static void assert_cut_is_marked(struct slice value) {
  const struct log_field *fields = LOG_FIELDS("x", LOG_SLICE("k", value), LOG_INT("last", 1));
  json_t *object = parsed_line(UINT64_MAX / 2, fields);
  bool is_marked = json_is_true(json_object_get(object, "truncated"));
  assert_int_equal(is_marked, json_object_get(object, "last") == NULL);
  assert_non_null(json_object_get(object, "k"));
  assert_non_null(json_object_get(object, "suppressed"));
  json_decref(object);

  char line[LOG_LINE_MAX + 1];
  format_line(LOG_TEXT, UINT64_MAX, fields, line);
  assert_int_equal(!strstr(line, " last=1"), !!strstr(line, " truncated=true"));
}

/* Every length around the limit, of characters that become one, two and six bytes. */
static void a_line_that_is_too_long_is_cut_and_says_so(void **state) {
  (void)state;
  static const struct {
    char c;
    size_t bytes;
  } fills[] = {{'a', 1}, {'"', 2}, {'\x01', 6}, {'\xff', 6}};
  AUTO(mem) char *value = x_malloc(TOO_LONG);
  for (size_t i = 0; i < ARRAY_LEN(fills); i++) {
    memset(value, fills[i].c, TOO_LONG);
    size_t most = LOG_LINE_MAX / fills[i].bytes;
    assert_cut_is_marked(slice_of(value, TOO_LONG));
    for (size_t len = most - 200 / fills[i].bytes; len <= most; len++)
      assert_cut_is_marked(slice_of(value, len));
  }
}

static void an_endless_event_is_cut_too(void **state) {
  (void)state;
  AUTO(mem) char *event = x_calloc(1, TOO_LONG);
  memset(event, 'e', TOO_LONG - 1);
  char line[LOG_LINE_MAX + 1];
  format_line(LOG_TEXT, 0, LOG_FIELDS(event, LOG_INT("a", 1)), line);
  assert_non_null(strstr(line, " truncated=true"));
  json_t *object = parsed_line(0, LOG_FIELDS(event, LOG_INT("a", 1)));
  assert_true(json_is_true(json_object_get(object, "truncated")));
  json_decref(object);
}

static void levels_are_known_by_their_names(void **state) {
  (void)state;
  for (int level = LOG_TRACE; level <= LOG_OFF; level++) {
    enum log_level parsed;
    const char *name = log_level_name((enum log_level)level);
    assert_int_equal(log_level_parse(slice_str(name), &parsed), 0);
    assert_int_equal((int)parsed, level);
  }
  enum log_level untouched = LOG_WARN;
  assert_int_equal(log_level_parse(SLICE("INFO"), &untouched), ERR_INVALID);
  assert_int_equal(log_level_parse(SLICE(""), &untouched), ERR_INVALID);
  assert_int_equal((int)untouched, LOG_WARN);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(text_is_time_level_event_and_fields),
      cmocka_unit_test(errno_is_put_in_words),
      cmocka_unit_test(values_that_could_confuse_are_quoted),
      cmocka_unit_test(json_is_one_object_with_the_same_fields),
      cmocka_unit_test(any_bytes_make_valid_json),
      cmocka_unit_test(suppressed_lines_are_counted),
      cmocka_unit_test(a_line_that_is_too_long_is_cut_and_says_so),
      cmocka_unit_test(an_endless_event_is_cut_too),
      cmocka_unit_test(levels_are_known_by_their_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
