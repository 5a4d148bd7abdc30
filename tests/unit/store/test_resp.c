#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <string.h>

#include "eventhub/store/resp.h"

static void a_command_is_its_words(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  resp_begin(&text, 3);
  resp_str(&text, "SET");
  resp_slice(&text, SLICE("a/b"));
  resp_slice(&text, SLICE(""));
  assert_true(slice_equal(buf_slice(&text), SLICE("*3\r\n$3\r\nSET\r\n$3\r\na/b\r\n$0\r\n\r\n")));
}

static void a_command_goes_behind_what_is_there(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  for (int i = 0; i < 2; i++) {
    resp_begin(&text, 1);
    resp_str(&text, "PING");
  }
  assert_true(slice_equal(buf_slice(&text), SLICE("*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n")));
}

static bool is_written(void (*write)(struct buf *out), const char *expected) {
  AUTO(buf) struct buf text = BUF_INIT;
  write(&text);
  return slice_equal(buf_slice(&text), slice_str(expected));
}

static void write_zero(struct buf *out) {
  resp_u64(out, 0);
}

static void write_largest(struct buf *out) {
  resp_u64(out, UINT64_MAX);
}

static void write_minus_one(struct buf *out) {
  resp_i64(out, -1);
}

static void write_signed_zero(struct buf *out) {
  resp_i64(out, 0);
}

static void write_highest(struct buf *out) {
  resp_i64(out, INT64_MAX);
}

static void write_lowest(struct buf *out) {
  resp_i64(out, INT64_MIN);
}

static void write_in_parts(struct buf *out) {
  resp_word_begin(out, 3);
  buf_append_char(out, 'a');
  buf_append_str(out, "bc");
  resp_word_end(out);
}

static void numbers_are_decimal_words(void **state) {
  (void)state;
  assert_true(is_written(write_zero, "$1\r\n0\r\n"));
  assert_true(is_written(write_largest, "$20\r\n18446744073709551615\r\n"));
  assert_true(is_written(write_signed_zero, "$1\r\n0\r\n"));
  assert_true(is_written(write_minus_one, "$2\r\n-1\r\n"));
  assert_true(is_written(write_highest, "$19\r\n9223372036854775807\r\n"));
  assert_true(is_written(write_lowest, "$20\r\n-9223372036854775808\r\n"));
}

static void a_word_may_be_written_in_parts(void **state) {
  (void)state;
  assert_true(is_written(write_in_parts, "$3\r\nabc\r\n"));
}

/* hiredis reads a command as Redis does. */
static redisReply *read_back(const struct buf *text) {
  redisReader *reader = redisReaderCreate();
  void *reply = NULL;
  redisReaderFeed(reader, text->data, text->len);
  assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
  assert_non_null(reply);
  redisReaderFree(reader);
  return reply;
}

static void any_bytes_come_out_as_they_went_in(void **state) {
  (void)state;
  static const char bytes[] = "\0\r\n$5\r\n*1\r\n\xff\x80 ";
  AUTO(buf) struct buf text = BUF_INIT;
  resp_begin(&text, sizeof bytes);
  for (size_t len = 0; len < sizeof bytes; len++)
    resp_slice(&text, slice_of(bytes, len));
  redisReply *reply = read_back(&text);
  assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
  assert_int_equal(reply->elements, sizeof bytes);
  for (size_t len = 0; len < sizeof bytes; len++) {
    assert_int_equal(reply->element[len]->len, len);
    assert_memory_equal(reply->element[len]->str, bytes, len);
  }
  freeReplyObject(reply);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_command_is_its_words),
      cmocka_unit_test(a_command_goes_behind_what_is_there),
      cmocka_unit_test(numbers_are_decimal_words),
      cmocka_unit_test(a_word_may_be_written_in_parts),
      cmocka_unit_test(any_bytes_come_out_as_they_went_in),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
