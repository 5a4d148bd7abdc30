#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/proto/ws_message.h"
#include "ws_client.h"
#include "ws_events.h"

enum { MIB = 1024 * KIB, STRUCT_MAX = 512 };

static void too_big_is_told_by_the_header_before_memory_is_taken(void **state) {
  (void)state;
  static const uint64_t lens[] = {100 * KIB + 1, UINT32_MAX, 1ull << 62,
                                  INT64_MAX,     1ull << 63, UINT64_MAX};
  for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
    AUTO(ws_decoder) struct ws_decoder decoder = {0};
    AUTO(buf) struct buf bytes = BUF_INIT, log = BUF_INIT;
    append_header(&bytes, FIN | WS_TEXT, lens[i], 8);
    feed_piece(&decoder, &limits, buf_slice(&bytes), &log);
    assert_true(slice_equal(buf_slice(&log), SLICE("fail 1009\n")));
    assert_int_equal(ws_decoder_memory(&decoder), 0);
  }
}

static void an_endless_message_fails_with_flat_memory(void **state) {
  (void)state;
  AUTO(ws_decoder) struct ws_decoder decoder = {0};
  AUTO(buf) struct buf log = BUF_INIT;
  static const char payload[1000];
  size_t fed = 0;
  unsigned first = WS_BINARY;
  for (;; fed += sizeof payload, first = WS_CONTINUATION) {
    AUTO(buf) struct buf bytes = BUF_INIT;
    append_frame(&bytes, first, payload, sizeof payload);
    bool is_alive = feed_piece(&decoder, &limits, buf_slice(&bytes), &log);
    assert_true(ws_decoder_memory(&decoder) <= limits.max_message + STRUCT_MAX);
    if (!is_alive) break;
  }
  assert_int_equal(fed, limits.max_message / sizeof payload * sizeof payload);
  assert_true(slice_equal(buf_slice(&log), SLICE("fail 1009\n")));
}

static void an_announced_length_costs_nothing_until_it_comes(void **state) {
  (void)state;
  const struct ws_limits large = {.max_message = 64 * MIB, .allow_binary = true};
  AUTO(ws_decoder) struct ws_decoder decoder = {0};
  AUTO(buf) struct buf bytes = BUF_INIT, log = BUF_INIT;
  append_header(&bytes, FIN | WS_BINARY, 64 * MIB, 8);
  feed_piece(&decoder, &large, buf_slice(&bytes), &log);
  assert_true(ws_decoder_memory(&decoder) <= STRUCT_MAX);
  for (size_t fed = 0; fed < 100 * KIB; fed += 100) {
    static const char payload[100];
    feed_piece(&decoder, &large, slice_of(payload, sizeof payload), &log);
    assert_true(ws_decoder_memory(&decoder) <= 2 * (fed + 100) + STRUCT_MAX);
  }
}

static void a_message_in_one_frame_ends_without_slack(void **state) {
  (void)state;
  AUTO(ws_decoder) struct ws_decoder decoder = {0};
  AUTO(buf) struct buf payload = BUF_INIT, bytes = BUF_INIT, log = BUF_INIT;
  for (size_t i = 0; i < 70000; i++)
    buf_append_char(&payload, 'x');
  append_frame(&bytes, FIN | WS_TEXT, payload.data, payload.len);
  for (size_t at = 0; at < bytes.len; at += 1000) {
    size_t len = bytes.len - at < 1000 ? bytes.len - at : 1000;
    feed_piece(&decoder, &limits, slice_of(bytes.data + at, len), &log);
    assert_true(ws_decoder_memory(&decoder) <= payload.len + STRUCT_MAX);
  }
  assert_int_equal(log.len, payload.len + strlen("text:\n"));
}

static void an_idle_decoder_holds_no_memory(void **state) {
  (void)state;
  AUTO(ws_decoder) struct ws_decoder decoder = {0};
  AUTO(buf) struct buf bytes = BUF_INIT, log = BUF_INIT;
  append_text_frame(&bytes, FIN | WS_TEXT, "whole");
  append_text_frame(&bytes, FIN | WS_PING, "whole");
  feed_piece(&decoder, &limits, buf_slice(&bytes), &log);
  assert_null(decoder.assembly);
  for (size_t cut = 1; cut < bytes.len; cut++) {
    feed_piece(&decoder, &limits, slice_of(bytes.data, cut), &log);
    feed_piece(&decoder, &limits, slice_of(bytes.data + cut, bytes.len - cut), &log);
    ws_decoder_rest(&decoder);
    assert_null(decoder.assembly);
    assert_int_equal(ws_decoder_memory(&decoder), 0);
  }
}

static void resting_in_the_middle_loses_nothing(void **state) {
  (void)state;
  AUTO(ws_decoder) struct ws_decoder decoder = {0};
  AUTO(buf) struct buf bytes = BUF_INIT, log = BUF_INIT;
  append_text_frame(&bytes, WS_TEXT, "ab");
  append_text_frame(&bytes, FIN | WS_CONTINUATION, "cd");
  for (size_t i = 0; i < bytes.len; i++) {
    feed_piece(&decoder, &limits, slice_of(bytes.data + i, 1), &log);
    if (i + 1 < bytes.len) assert_non_null(decoder.assembly);
    ws_decoder_rest(&decoder);
  }
  assert_null(decoder.assembly);
  assert_true(slice_equal(buf_slice(&log), SLICE("text:abcd\n")));
}

static void whole_messages_are_lent_out_where_they_lie(void **state) {
  (void)state;
  AUTO(ws_decoder) struct ws_decoder decoder = {0};
  AUTO(buf) struct buf bytes = BUF_INIT;
  append_text_frame(&bytes, FIN | WS_TEXT, "first");
  append_text_frame(&bytes, FIN | WS_PING, "second");
  struct ws_item item;
  size_t consumed, second;
  assert_int_equal(ws_decoder_feed(&decoder, &limits, bytes.data, bytes.len, &consumed, &item),
                   WS_EVENT_TEXT);
  assert_ptr_equal(item.data, bytes.data + 6);
  assert_int_equal(consumed, 11);
  enum ws_event event = ws_decoder_feed(&decoder, &limits, bytes.data + consumed,
                                        bytes.len - consumed, &second, &item);
  assert_int_equal(event, WS_EVENT_PING);
  assert_ptr_equal(item.data, bytes.data + 17);
  assert_int_equal(consumed + second, bytes.len);
}

static void eight_megabytes_by_fragments(void **state) {
  (void)state;
  const struct ws_limits large = {.max_message = 8 * MIB, .allow_binary = true};
  static const size_t fragments[] = {1000, 65536, 4 * MIB};
  for (size_t i = 0; i < ARRAY_LEN(fragments); i++) {
    AUTO(ws_decoder) struct ws_decoder decoder = {0};
    AUTO(buf) struct buf log = BUF_INIT, payload = BUF_INIT;
    for (size_t j = 0; j < fragments[i]; j++)
      buf_append_char(&payload, (char)('a' + j % 26));
    for (size_t left = 8 * MIB; left > 0;) {
      AUTO(buf) struct buf bytes = BUF_INIT;
      size_t len = left < fragments[i] ? left : fragments[i];
      unsigned first = left == 8 * MIB ? WS_TEXT : WS_CONTINUATION;
      append_frame(&bytes, first | (len == left ? FIN : 0), payload.data, len);
      assert_true(feed_piece(&decoder, &large, buf_slice(&bytes), &log));
      left -= len;
    }
    assert_int_equal(log.len, 8 * MIB + strlen("text:\n"));
    for (size_t j = 0; j < 8 * MIB; j += 997)
      assert_int_equal(log.data[5 + j], 'a' + j % fragments[i] % 26);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(too_big_is_told_by_the_header_before_memory_is_taken),
      cmocka_unit_test(an_endless_message_fails_with_flat_memory),
      cmocka_unit_test(an_announced_length_costs_nothing_until_it_comes),
      cmocka_unit_test(a_message_in_one_frame_ends_without_slack),
      cmocka_unit_test(an_idle_decoder_holds_no_memory),
      cmocka_unit_test(resting_in_the_middle_loses_nothing),
      cmocka_unit_test(whole_messages_are_lent_out_where_they_lie),
      cmocka_unit_test(eight_megabytes_by_fragments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
