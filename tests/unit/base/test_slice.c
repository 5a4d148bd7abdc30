#include "eventhub/base/slice.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"

static const struct slice absent = {NULL, 0};

static void equality_is_of_bytes(void **state) {
  (void)state;
  assert_true(slice_equal(SLICE("abc"), slice_str("abc")));
  assert_true(slice_equal(SLICE("a\0b"), slice_of("a\0b", 3)));
  assert_false(slice_equal(SLICE("a\0b"), SLICE("a\0c")));
  assert_false(slice_equal(SLICE("abc"), SLICE("ab")));
  assert_false(slice_equal(SLICE("abc"), SLICE("abC")));
  assert_true(slice_equal(SLICE(""), absent));
}

static void case_is_ignored_for_ascii_letters_only(void **state) {
  (void)state;
  assert_true(slice_equal_nocase(SLICE("Sec-WebSocket-Key"), SLICE("sEC-wEBsOCKET-kEY")));
  assert_true(slice_equal_nocase(SLICE("AZaz"), SLICE("azAZ")));
  assert_false(slice_equal_nocase(SLICE("@["), SLICE("`{")));
  assert_false(slice_equal_nocase(SLICE("\xc3\x84"), SLICE("\xc3\xa4")));
  assert_false(slice_equal_nocase(SLICE("ab"), SLICE("abc")));
  assert_true(slice_equal_nocase(absent, SLICE("")));
}

static void prefixes_are_found(void **state) {
  (void)state;
  assert_true(slice_starts_with(SLICE("eventhub.auth.x"), SLICE("eventhub.auth.")));
  assert_true(slice_starts_with(SLICE("abc"), SLICE("abc")));
  assert_true(slice_starts_with(absent, SLICE("")));
  assert_false(slice_starts_with(SLICE("ab"), SLICE("abc")));
  assert_false(slice_starts_with(SLICE("xbc"), SLICE("abc")));
}

static void trimming_takes_spaces_and_tabs_at_both_ends(void **state) {
  (void)state;
  assert_true(slice_equal(slice_trim(SLICE(" \t a b\t ")), SLICE("a b")));
  assert_true(slice_equal(slice_trim(SLICE("\na\r")), SLICE("\na\r")));
  assert_int_equal(slice_trim(SLICE(" \t ")).len, 0);
  assert_int_equal(slice_trim(absent).len, 0);
}

static void unsigned_numbers_are_strict_decimal(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int err;
    uint64_t number;
  } rows[] = {
      {"0", 0, 0},
      {"007", 0, 7},
      {"18446744073709551615", 0, UINT64_MAX},
      {"018446744073709551615", 0, UINT64_MAX},
      {"18446744073709551616", ERR_TOO_BIG, 0},
      {"18446744073709551620", ERR_TOO_BIG, 0},
      {"99999999999999999999999999", ERR_TOO_BIG, 0},
      {"99999999999999999999999999x", ERR_INVALID, 0},
      {"", ERR_INVALID, 0},
      {"-1", ERR_INVALID, 0},
      {"+1", ERR_INVALID, 0},
      {" 1", ERR_INVALID, 0},
      {"1 ", ERR_INVALID, 0},
      {"0x10", ERR_INVALID, 0},
      {"1e3", ERR_INVALID, 0},
  };
  for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
    uint64_t number = 4711;
    assert_int_equal(slice_to_u64(slice_str(rows[i].text), &number), rows[i].err);
    assert_true(number == (rows[i].err ? 4711 : rows[i].number));
  }
}

static void signed_numbers_reach_both_ends(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int err;
    int64_t number;
  } rows[] = {
      {"0", 0, 0},
      {"-0", 0, 0},
      {"-12", 0, -12},
      {"9223372036854775807", 0, INT64_MAX},
      {"-9223372036854775808", 0, INT64_MIN},
      {"9223372036854775808", ERR_TOO_BIG, 0},
      {"-9223372036854775809", ERR_TOO_BIG, 0},
      {"-99999999999999999999", ERR_TOO_BIG, 0},
      {"", ERR_INVALID, 0},
      {"-", ERR_INVALID, 0},
      {"--1", ERR_INVALID, 0},
      {"+1", ERR_INVALID, 0},
  };
  for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
    int64_t number = 4711;
    assert_int_equal(slice_to_i64(slice_str(rows[i].text), &number), rows[i].err);
    assert_true(number == (rows[i].err ? 4711 : rows[i].number));
  }
}

static void assert_tokens(struct slice text, size_t count, const char *const *expected) {
  struct slice token;
  for (size_t i = 0; i < count; i++) {
    assert_true(slice_next_token(&text, '/', &token));
    assert_true(slice_equal(token, slice_str(expected[i])));
  }
  token = SLICE("untouched");
  assert_false(slice_next_token(&text, '/', &token));
  assert_true(slice_equal(token, SLICE("untouched")));
}

static void n_separators_make_one_token_more(void **state) {
  (void)state;
  assert_tokens(SLICE("a/bc/d"), 3, (const char *const[]){"a", "bc", "d"});
  assert_tokens(SLICE("a"), 1, (const char *const[]){"a"});
  assert_tokens(SLICE("a//"), 3, (const char *const[]){"a", "", ""});
  assert_tokens(SLICE("/"), 2, (const char *const[]){"", ""});
  assert_tokens(SLICE(""), 1, (const char *const[]){""});
  assert_tokens(absent, 0, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equality_is_of_bytes),
      cmocka_unit_test(case_is_ignored_for_ascii_letters_only),
      cmocka_unit_test(prefixes_are_found),
      cmocka_unit_test(trimming_takes_spaces_and_tabs_at_both_ends),
      cmocka_unit_test(unsigned_numbers_are_strict_decimal),
      cmocka_unit_test(signed_numbers_reach_both_ends),
      cmocka_unit_test(n_separators_make_one_token_more),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
