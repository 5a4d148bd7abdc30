#include "eventhub/base/buf.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>

static void assert_content(const struct buf *buf, const char *expected) {
  assert_int_equal(buf->len, strlen(expected));
  assert_memory_equal(buf_slice(buf).ptr, expected, buf->len);
}

static void an_empty_one_holds_no_memory(void **state) {
  (void)state;
  struct buf buf;
  buf_init(&buf);
  buf_append(&buf, NULL, 0);
  buf_append_slice(&buf, SLICE(""));
  buf_consume(&buf, 0);
  assert_null(buf.data);
  assert_non_null(buf_slice(&buf).ptr);
  buf_done(&buf);
  buf_done(&buf);
}

static void what_is_appended_is_there_in_order(void **state) {
  (void)state;
  AUTO(buf) struct buf buf = BUF_INIT;
  buf_append(&buf, "ab", 2);
  buf_append_slice(&buf, SLICE("c"));
  buf_append_str(&buf, "def");
  buf_append_char(&buf, '-');
  buf_append_u64(&buf, 42);
  buf_append_i64(&buf, -7);
  assert_content(&buf, "abcdef-42-7");
  buf_clear(&buf);
  assert_content(&buf, "");
}

static void growing_keeps_the_content(void **state) {
  (void)state;
  AUTO(buf) struct buf buf = BUF_INIT;
  for (unsigned i = 0; i < 100000; i++)
    buf_append_char(&buf, (char)(i % 251));
  assert_int_equal(buf.len, 100000);
  assert_true(buf.cap < 200000);
  for (unsigned i = 0; i < 100000; i++)
    assert_int_equal((unsigned char)buf.data[i], i % 251);
}

static void reserved_room_becomes_content_by_commit(void **state) {
  (void)state;
  AUTO(buf) struct buf buf = BUF_INIT;
  memset(buf_reserve(&buf, 1000), 'x', 1000);
  assert_int_equal(buf.len, 0);
  buf_commit(&buf, 3);
  assert_content(&buf, "xxx");
  assert_true(buf.cap >= 1000);
}

static void numbers_are_printed_as_printf_does(void **state) {
  (void)state;
  for (unsigned shift = 0; shift < 64; shift++) {
    for (int delta = -1; delta <= 1; delta++) {
      uint64_t number = ((uint64_t)1 << shift) + (uint64_t)delta;
      AUTO(buf) struct buf ours = BUF_INIT;
      buf_append_u64(&ours, number);
      buf_append_char(&ours, ' ');
      buf_append_i64(&ours, (int64_t)number);
      char expected[64];
      snprintf(expected, sizeof expected, "%" PRIu64 " %" PRId64, number, (int64_t)number);
      assert_content(&ours, expected);
    }
  }
}

static void powers_of_ten_have_all_their_digits(void **state) {
  (void)state;
  uint64_t number = 1;
  for (size_t digits = 1; digits <= BUF_U64_MAX; digits++, number *= 10) {
    char out[BUF_U64_MAX];
    assert_int_equal(buf_format_u64(out, number), digits);
    assert_int_equal(out[0], '1');
    assert_int_equal(buf_format_u64(out, number - 1), digits == 1 ? 1 : digits - 1);
  }
}

static void printf_text_of_any_length_fits(void **state) {
  (void)state;
  for (int len = 0; len < 300; len++) {
    AUTO(buf) struct buf buf = BUF_INIT;
    buf_append_str(&buf, "<");
    buf_printf(&buf, "%*s%s", len, "", ">");
    assert_int_equal(buf.len, len + 2);
    assert_int_equal(buf.data[0], '<');
    assert_int_equal(buf.data[buf.len - 1], '>');
  }
}

static void consuming_drops_from_the_front(void **state) {
  (void)state;
  AUTO(buf) struct buf buf = BUF_INIT;
  buf_append_str(&buf, "abcdef");
  buf_consume(&buf, 0);
  buf_consume(&buf, 2);
  assert_content(&buf, "cdef");
  buf_consume(&buf, 4);
  assert_content(&buf, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_empty_one_holds_no_memory),
      cmocka_unit_test(what_is_appended_is_there_in_order),
      cmocka_unit_test(growing_keeps_the_content),
      cmocka_unit_test(reserved_room_becomes_content_by_commit),
      cmocka_unit_test(numbers_are_printed_as_printf_does),
      cmocka_unit_test(powers_of_ten_have_all_their_digits),
      cmocka_unit_test(printf_text_of_any_length_fits),
      cmocka_unit_test(consuming_drops_from_the_front),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
