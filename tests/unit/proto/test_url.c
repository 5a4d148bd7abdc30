#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/proto/url.h"

static void assert_text(const struct buf *buf, const char *expected) {
  assert_true(slice_equal(buf_slice(buf), slice_str(expected)));
}

static void escapes_become_their_bytes(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"", ""},         {"plain", "plain"}, {"a%2Fb", "a/b"},     {"a%2fb", "a/b"},
      {"%23", "#"},     {"%2B+", "++"},     {"%25%32%35", "%25"}, {"%e2%82%AC", "\xe2\x82\xac"},
      {"%41%42", "AB"}, {"x%20", "x "},     {"%ff", "\xff"},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    AUTO(buf) struct buf out = BUF_INIT;
    assert_int_equal(url_decode(slice_str(cases[i][0]), &out), 0);
    assert_text(&out, cases[i][1]);
    assert_true(url_escapes_are_valid(slice_str(cases[i][0])));
  }
}

static void bad_escapes_are_refused_and_leave_nothing(void **state) {
  (void)state;
  static const char *const cases[] = {"%",    "%1",  "abc%", "abc%4", "%zz",   "%4z",  "%z4",
                                      "%%41", "%-1", "% 1",  "%00",   "a%00b", "%4%41"};
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    AUTO(buf) struct buf out = BUF_INIT;
    buf_append_str(&out, "kept");
    assert_int_equal(url_decode(slice_str(cases[i]), &out), ERR_INVALID);
    assert_text(&out, "kept");
    assert_false(url_escapes_are_valid(slice_str(cases[i])));
  }
}

static void a_raw_nul_is_refused(void **state) {
  (void)state;
  AUTO(buf) struct buf out = BUF_INIT;
  assert_int_equal(url_decode(slice_of("a\0b", 3), &out), ERR_INVALID);
  assert_int_equal(out.len, 0);
}

static void every_byte_but_nul_survives_encoding(void **state) {
  (void)state;
  for (unsigned byte = 1; byte < 256; byte++) {
    char lower[8], upper[8];
    snprintf(lower, sizeof lower, "%%%02x", byte);
    snprintf(upper, sizeof upper, "%%%02X", byte);
    AUTO(buf) struct buf out = BUF_INIT;
    assert_int_equal(url_decode(slice_str(lower), &out), 0);
    assert_int_equal(url_decode(slice_str(upper), &out), 0);
    assert_int_equal(out.len, 2);
    assert_int_equal((uint8_t)out.data[0], byte);
    assert_int_equal((uint8_t)out.data[1], byte);
  }
}

static void decoding_appends(void **state) {
  (void)state;
  AUTO(buf) struct buf out = BUF_INIT;
  assert_int_equal(url_decode(SLICE("a%20"), &out), 0);
  assert_int_equal(url_decode(SLICE("b"), &out), 0);
  assert_text(&out, "a b");
}

static void a_query_gives_the_first_value_of_a_name(void **state) {
  (void)state;
  static const struct {
    const char *query, *name, *value;
  } cases[] = {
      {"auth=x", "auth", "x"},
      {"a=1&auth=x&b=2", "auth", "x"},
      {"auth=x&auth=y", "auth", "x"},
      {"xauth=1&auth=x", "auth", "x"},
      {"authx=1&auth=x", "auth", "x"},
      {"auth=", "auth", ""},
      {"auth", "auth", ""},
      {"auth&auth=x", "auth", ""},
      {"auth=a=b", "auth", "a=b"},
      {"auth=a+b%2B%26", "auth", "a+b+&"},
      {"%61uth=x", "auth", "x"},
      {"a%zz=1&auth=x", "auth", "x"},
      {"&&auth=x&", "auth", "x"},
      {"a%26=x", "a&", "x"},
      {"format=json", "format", "json"},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    AUTO(buf) struct buf value = BUF_INIT;
    int err = url_query_find(slice_str(cases[i].query), slice_str(cases[i].name), &value);
    assert_int_equal(err, 0);
    assert_text(&value, cases[i].value);
  }
}

static void a_query_without_the_name_says_so(void **state) {
  (void)state;
  static const char *const queries[] = {"",        "a=b",       "AUTH=x",  "aut=x",
                                        "authx=1", "auth%00=x", "auth%=x", "=auth"};
  for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
    AUTO(buf) struct buf value = BUF_INIT;
    assert_int_equal(url_query_find(slice_str(queries[i]), SLICE("auth"), &value), ERR_NOT_FOUND);
    assert_int_equal(value.len, 0);
  }
  AUTO(buf) struct buf value = BUF_INIT;
  assert_int_equal(url_query_find(slice_of(NULL, 0), SLICE("auth"), &value), ERR_NOT_FOUND);
}

static void a_query_value_that_cannot_be_decoded_is_invalid(void **state) {
  (void)state;
  AUTO(buf) struct buf value = BUF_INIT;
  assert_int_equal(url_query_find(SLICE("auth=%zz&auth=x"), SLICE("auth"), &value), ERR_INVALID);
  assert_int_equal(url_query_find(SLICE("auth=%00"), SLICE("auth"), &value), ERR_INVALID);
  assert_int_equal(value.len, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(escapes_become_their_bytes),
      cmocka_unit_test(bad_escapes_are_refused_and_leave_nothing),
      cmocka_unit_test(a_raw_nul_is_refused),
      cmocka_unit_test(every_byte_but_nul_survives_encoding),
      cmocka_unit_test(decoding_appends),
      cmocka_unit_test(a_query_gives_the_first_value_of_a_name),
      cmocka_unit_test(a_query_without_the_name_says_so),
      cmocka_unit_test(a_query_value_that_cannot_be_decoded_is_invalid),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
