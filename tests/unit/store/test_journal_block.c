#include "eventhub/store/journal_block.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eventhub/base/err.h"

#define assert_slice(got, wanted) assert_true(slice_equal(got, wanted))

static const struct journal_state state_of_all = {
    .last = {1700000000000, 7}, .floor = {UINT64_MAX, 1}, .forgotten = {0, 0}};

static struct message *some_message(const char *topic, const char *payload, const char *origin) {
  struct message *message = message_new(slice_str(topic), slice_str(payload), slice_str(origin));
  message_set_id(message, (struct message_id){1700000000000, 3});
  message->expires_ms = 1700000060000;
  return message;
}

static void fill(struct buf *block) {
  AUTO(message) struct message *first = some_message("a/b", "{\"x\":[1]}", "joe");
  AUTO(message) struct message *second = some_message("c", "2", "");
  journal_value_begin(block);
  journal_append_message(block, first);
  journal_append_state(block, &state_of_all);
  journal_append_message(block, second);
  journal_value_seal(block, JOURNAL_BLOCKS, 5);
}

static void a_block_gives_back_what_was_put_into_it(void **state) {
  (void)state;
  AUTO(buf) struct buf block = BUF_INIT;
  struct journal_record record;
  struct slice rest;
  fill(&block);
  assert_int_equal(journal_value_open(buf_slice(&block), JOURNAL_BLOCKS, 5, &rest), 0);
  assert_int_equal(journal_next_record(&rest, &record), 1);
  assert_int_equal(record.kind, JOURNAL_MESSAGE);
  assert_slice(record.message.topic, SLICE("a/b"));
  assert_slice(record.message.payload, SLICE("{\"x\":[1]}"));
  assert_slice(record.message.origin, SLICE("\"joe\""));
  assert_int_equal(record.message.id.seq, 3);
  assert_int_equal(record.message.expires_ms, 1700000060000);
  assert_int_equal(journal_next_record(&rest, &record), 1);
  assert_int_equal(record.kind, JOURNAL_STATE);
  assert_memory_equal(&record.state, &state_of_all, sizeof state_of_all);
  assert_int_equal(journal_next_record(&rest, &record), 1);
  assert_slice(record.message.origin, SLICE(""));
  assert_int_equal(journal_next_record(&rest, &record), 0);
}

static void a_message_takes_as_much_as_it_says(void **state) {
  (void)state;
  AUTO(message) struct message *message = some_message("topic", "\"text\"", "me");
  AUTO(buf) struct buf block = BUF_INIT;
  journal_append_message(&block, message);
  assert_int_equal(block.len, journal_message_size(message));
}

static void every_flipped_bit_is_noticed(void **state) {
  (void)state;
  AUTO(buf) struct buf block = BUF_INIT;
  struct slice rest;
  fill(&block);
  for (size_t bit = 0; bit < block.len * 8; bit++) {
    block.data[bit / 8] ^= (char)(1 << bit % 8);
    assert_int_equal(journal_value_open(buf_slice(&block), JOURNAL_BLOCKS, 5, &rest), ERR_INVALID);
    block.data[bit / 8] ^= (char)(1 << bit % 8);
  }
}

static void a_value_belongs_to_its_place(void **state) {
  (void)state;
  AUTO(buf) struct buf block = BUF_INIT;
  struct slice rest;
  fill(&block);
  assert_int_equal(journal_value_open(buf_slice(&block), JOURNAL_BLOCKS, 6, &rest), ERR_INVALID);
  assert_int_equal(journal_value_open(buf_slice(&block), JOURNAL_TOPICS, 5, &rest), ERR_INVALID);
  assert_int_equal(journal_value_open(slice_of(block.data, 7), JOURNAL_BLOCKS, 5, &rest),
                   ERR_INVALID);
}

static void records_that_end_too_early_are_noticed(void **state) {
  (void)state;
  AUTO(buf) struct buf block = BUF_INIT;
  AUTO(message) struct message *message = some_message("topic", "\"text\"", "me");
  journal_append_message(&block, message);
  for (size_t len = 1; len < block.len; len++) {
    struct journal_record record;
    struct slice rest = slice_of(block.data, len);
    assert_int_equal(journal_next_record(&rest, &record), ERR_INVALID);
  }
  struct journal_record record;
  struct slice unknown = SLICE("\x09 what");
  assert_int_equal(journal_next_record(&unknown, &record), ERR_INVALID);
}

static void rows_give_back_what_was_put_into_them(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  const struct journal_topic topic = {
      .name = SLICE("a/b"), .last = {9, 1}, .dropped = {8, 2}, .old_count = 3, .old_last = {7, 4}};
  const struct journal_pair pair = {.expires_ms = 5, .key = SLICE("k"), .value = SLICE("")};
  struct journal_topic topic_read;
  struct journal_pair pair_read;
  journal_append_topic(&bytes, &topic);
  assert_int_equal(journal_read_topic(buf_slice(&bytes), &topic_read), 0);
  assert_slice(topic_read.name, topic.name);
  assert_int_equal(topic_read.last.ms, 9);
  assert_int_equal(topic_read.dropped.seq, 2);
  assert_int_equal(topic_read.old_count, 3);
  assert_int_equal(topic_read.old_last.seq, 4);
  assert_int_equal(journal_read_topic(slice_of(bytes.data, 55), &topic_read), ERR_INVALID);
  buf_clear(&bytes);
  journal_append_pair(&bytes, &pair);
  assert_int_equal(journal_read_pair(buf_slice(&bytes), &pair_read), 0);
  assert_slice(pair_read.key, pair.key);
  assert_int_equal(pair_read.value.len, 0);
  assert_int_equal(journal_read_pair(slice_of(bytes.data, bytes.len - 1), &pair_read), ERR_INVALID);
}

static void old_messages_give_back_what_was_put_into_them(void **state) {
  (void)state;
  AUTO(buf) struct buf value = BUF_INIT;
  char key[JOURNAL_OLD_KEY_BYTES], later[JOURNAL_OLD_KEY_BYTES], other[JOURNAL_OLD_KEY_BYTES];
  const struct journal_old old = {.row = 255,
                                  .id = {256, 7},
                                  .expires_ms = 99,
                                  .origin = SLICE("\"me\""),
                                  .payload = SLICE("{\"a\":1}")};
  struct journal_old read;
  journal_old_key(key, old.row, old.id);
  journal_append_old(&value, &old);
  assert_int_equal(journal_read_old(slice_of(key, sizeof key), buf_slice(&value), &read), 0);
  assert_int_equal(read.row, 255);
  assert_int_equal(read.id.ms, 256);
  assert_int_equal(read.id.seq, 7);
  assert_int_equal(read.expires_ms, 99);
  assert_slice(read.origin, old.origin);
  assert_slice(read.payload, old.payload);
  journal_old_key(later, 255, (struct message_id){256, 8});
  journal_old_key(other, 256, (struct message_id){1, 1});
  assert_true(memcmp(key, later, sizeof key) < 0);
  assert_true(memcmp(later, other, sizeof key) < 0);
  assert_int_equal(journal_read_old(slice_of(later, sizeof later), buf_slice(&value), &read),
                   ERR_INVALID);
  for (size_t i = 0; i < value.len; i++) {
    value.data[i] ^= 4;
    assert_int_equal(journal_read_old(slice_of(key, sizeof key), buf_slice(&value), &read),
                     ERR_INVALID);
    value.data[i] ^= 4;
  }
  for (size_t len = 0; len < value.len; len++)
    assert_int_equal(journal_read_old(slice_of(key, sizeof key), slice_of(value.data, len), &read),
                     ERR_INVALID);
}

static void expiries_lie_in_the_order_of_time(void **state) {
  (void)state;
  char first[JOURNAL_EXPIRY_KEY_BYTES], second[JOURNAL_EXPIRY_KEY_BYTES];
  const struct journal_old soon = {.row = 900, .id = {5, 6}, .expires_ms = 255},
                           late = {.row = 1, .id = {1, 1}, .expires_ms = 256};
  struct journal_old read;
  journal_expiry_key(first, &soon);
  journal_expiry_key(second, &late);
  assert_true(memcmp(first, second, sizeof first) < 0);
  assert_int_equal(journal_read_expiry_key(slice_of(first, sizeof first), &read), 0);
  assert_int_equal(read.row, 900);
  assert_int_equal(read.id.seq, 6);
  assert_int_equal(read.expires_ms, 255);
  assert_int_equal(journal_read_expiry_key(slice_of(first, sizeof first - 1), &read), ERR_INVALID);
}

static void of_another_format_only_the_format_is_read(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  const struct journal_meta meta = {.format = JOURNAL_FORMAT, .is_open = true, .birth_ms = 77};
  struct journal_meta read;
  journal_append_meta(&bytes, &meta);
  assert_int_equal(journal_read_meta(buf_slice(&bytes), &read), 0);
  assert_true(read.is_open);
  assert_int_equal(read.birth_ms, 77);
  bytes.data[0]++;
  assert_int_equal(journal_read_meta(slice_of(bytes.data, 4), &read), 0);
  assert_int_equal(read.format, JOURNAL_FORMAT + 1);
  assert_int_equal(journal_read_meta(slice_of(bytes.data, 3), &read), ERR_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_block_gives_back_what_was_put_into_it),
      cmocka_unit_test(a_message_takes_as_much_as_it_says),
      cmocka_unit_test(every_flipped_bit_is_noticed),
      cmocka_unit_test(a_value_belongs_to_its_place),
      cmocka_unit_test(records_that_end_too_early_are_noticed),
      cmocka_unit_test(rows_give_back_what_was_put_into_them),
      cmocka_unit_test(old_messages_give_back_what_was_put_into_them),
      cmocka_unit_test(expiries_lie_in_the_order_of_time),
      cmocka_unit_test(of_another_format_only_the_format_is_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
