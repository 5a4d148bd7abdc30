#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/proto/ws_message.h"
#include "ws_client.h"
#include "ws_events.h"

static const struct ws_limits text_only = {.max_message = 100 * KIB, .allow_binary = false};

/* The events, however the bytes are cut. */
static void assert_events_within(const struct ws_limits *bounds, const struct buf *bytes,
                                 const char *expected) {
  for (size_t piece = 1; piece <= bytes->len; piece += piece < 20 ? 1 : piece) {
    AUTO(buf) struct buf log = BUF_INIT;
    run(bounds, buf_slice(bytes), piece, &log);
    buf_append_char(&log, '\0');
    assert_string_equal(log.data, expected);
  }
  AUTO(buf) struct buf log = BUF_INIT;
  run(bounds, buf_slice(bytes), bytes->len, &log);
  buf_append_char(&log, '\0');
  assert_string_equal(log.data, expected);
}

static void assert_events(const struct buf *bytes, const char *expected) {
  assert_events_within(&limits, bytes, expected);
}

static void one_frame(unsigned first, const char *payload, size_t len, const char *expected) {
  AUTO(buf) struct buf bytes = BUF_INIT;
  append_frame(&bytes, first, payload, len);
  assert_events(&bytes, expected);
}

static void messages_of_one_frame(void **state) {
  (void)state;
  one_frame(FIN | WS_TEXT, "hello", 5, "text:hello\n");
  one_frame(FIN | WS_TEXT, "", 0, "text:\n");
  one_frame(FIN | WS_BINARY, "\xff\xfe", 2, "binary:\xff\xfe\n");
  one_frame(FIN | WS_BINARY, "", 0, "binary:\n");
  one_frame(FIN | WS_PING, "", 0, "ping:\n");
  one_frame(FIN | WS_PING, "\xff!", 2, "ping:\xff!\n");
  one_frame(FIN | WS_PONG, "x", 1, "pong:x\n");
}

static void several_messages_come_one_by_one(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  append_text_frame(&bytes, FIN | WS_TEXT, "one");
  append_text_frame(&bytes, FIN | WS_PING, "p");
  append_text_frame(&bytes, FIN | WS_TEXT, "");
  append_text_frame(&bytes, FIN | WS_BINARY, "two");
  assert_events(&bytes, "text:one\nping:p\ntext:\nbinary:two\n");
}

static void every_length_form_carries_its_payload(void **state) {
  (void)state;
  static const size_t lens[] = {124, 125, 126, 127, 65535, 65536, 65537, 100 * KIB};
  for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
    AUTO(buf) struct buf payload = BUF_INIT, bytes = BUF_INIT, expected = BUF_INIT;
    for (size_t j = 0; j < lens[i]; j++)
      buf_append_char(&payload, (char)('a' + j % 26));
    append_frame(&bytes, FIN | WS_TEXT, payload.data, payload.len);
    buf_append_str(&expected, "text:");
    buf_append_slice(&expected, buf_slice(&payload));
    buf_append(&expected, "\n", 2);
    assert_events(&bytes, expected.data);
  }
}

static void fragments_become_one_message(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  append_text_frame(&bytes, WS_TEXT, "a");
  append_text_frame(&bytes, WS_CONTINUATION, "bc");
  append_text_frame(&bytes, WS_CONTINUATION, "");
  append_text_frame(&bytes, FIN | WS_CONTINUATION, "def");
  append_text_frame(&bytes, WS_BINARY, "");
  append_text_frame(&bytes, FIN | WS_CONTINUATION, "");
  append_text_frame(&bytes, FIN | WS_TEXT, "next");
  assert_events(&bytes, "text:abcdef\nbinary:\ntext:next\n");
}

static void control_frames_may_stand_between_fragments(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  append_text_frame(&bytes, WS_TEXT, "a");
  append_text_frame(&bytes, FIN | WS_PING, "1");
  append_text_frame(&bytes, FIN | WS_PONG, "");
  append_text_frame(&bytes, WS_CONTINUATION, "b");
  append_text_frame(&bytes, FIN | WS_PING, "2");
  append_text_frame(&bytes, FIN | WS_CONTINUATION, "c");
  append_text_frame(&bytes, WS_TEXT, "never");
  append_frame(&bytes, FIN | WS_CLOSE, "\x03\xe8", 2);
  assert_events(&bytes, "ping:1\npong:\nping:2\ntext:abc\nclose 1000:\n");
}

static void fragments_out_of_order_are_a_protocol_error(void **state) {
  (void)state;
  static const uint8_t sequences[][3] = {
      {FIN | WS_CONTINUATION}, {WS_CONTINUATION},    {WS_TEXT, FIN | WS_TEXT},
      {WS_TEXT, WS_TEXT},      {WS_TEXT, WS_BINARY}, {WS_BINARY, FIN | WS_BINARY},
  };
  for (size_t i = 0; i < ARRAY_LEN(sequences); i++) {
    AUTO(buf) struct buf bytes = BUF_INIT;
    append_text_frame(&bytes, sequences[i][0], "a");
    if (sequences[i][1] != 0) append_text_frame(&bytes, sequences[i][1], "b");
    assert_events(&bytes, "fail 1002\n");
  }
  AUTO(buf) struct buf bytes = BUF_INIT;
  append_text_frame(&bytes, WS_TEXT, "a");
  append_text_frame(&bytes, FIN | WS_CONTINUATION, "b");
  append_text_frame(&bytes, FIN | WS_CONTINUATION, "c");
  assert_events(&bytes, "text:ab\nfail 1002\n");
}

static void malformed_frames_are_a_protocol_error(void **state) {
  (void)state;
  for (unsigned first = 0; first < 256; first++) {
    unsigned opcode = first & 0x0f;
    bool is_known = opcode <= 2 || (opcode >= 8 && opcode <= 10);
    if (is_known && (first & 0x70) == 0 && (opcode < 8 || (first & FIN))) continue;
    one_frame(first, "abc", 3, "fail 1002\n");
  }
  AUTO(buf) struct buf unmasked = BUF_INIT, longer = BUF_INIT, control = BUF_INIT;
  buf_append(&unmasked,
             "\x81\x03"
             "abc",
             5);
  assert_events(&unmasked, "fail 1002\n");
  append_header(&longer, FIN | WS_TEXT, 125, 2);
  assert_events(&longer, "fail 1002\n");
  append_header(&control, FIN | WS_PING, 126, 2);
  assert_events(&control, "fail 1002\n");
}

static void what_came_before_a_failure_is_delivered(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  append_text_frame(&bytes, FIN | WS_TEXT, "good");
  append_text_frame(&bytes, FIN | 0x40 | WS_TEXT, "bad");
  append_text_frame(&bytes, FIN | WS_TEXT, "late");
  assert_events(&bytes, "text:good\nfail 1002\n");
}

static void binary_data_may_be_refused(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT, fragment = BUF_INIT, control = BUF_INIT;
  append_text_frame(&bytes, FIN | WS_BINARY, "x");
  assert_events_within(&text_only, &bytes, "fail 1003\n");
  append_text_frame(&fragment, WS_BINARY, "x");
  assert_events_within(&text_only, &fragment, "fail 1003\n");
  append_text_frame(&control, FIN | WS_PING, "\xff");
  append_text_frame(&control, FIN | WS_TEXT, "x");
  assert_events_within(&text_only, &control, "ping:\xff\ntext:x\n");
}

static void close_frames_are_judged(void **state) {
  (void)state;
  one_frame(FIN | WS_CLOSE, "", 0, "close 1005:\n");
  one_frame(FIN | WS_CLOSE, "\x03", 1, "fail 1002\n");
  one_frame(FIN | WS_CLOSE, "\x03\xe8", 2, "close 1000:\n");
  one_frame(FIN | WS_CLOSE,
            "\x03\xe9"
            "bye \xe2\x82\xac",
            9, "close 1001:bye \xe2\x82\xac\n");
  one_frame(FIN | WS_CLOSE, "\x03\xe8\xff", 3, "fail 1007\n");
  one_frame(FIN | WS_CLOSE, "\x03\xe8\xe2\x82", 4, "fail 1007\n");
  one_frame(FIN | WS_CLOSE, "\x03\xed\xff", 3, "fail 1002\n");
}

static void every_close_code_is_judged(void **state) {
  (void)state;
  for (unsigned code = 0; code <= UINT16_MAX; code += code < 5100 ? 1 : 997) {
    AUTO(buf) struct buf bytes = BUF_INIT, log = BUF_INIT;
    const uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    append_frame(&bytes, FIN | WS_CLOSE, payload, sizeof payload);
    run(&limits, buf_slice(&bytes), bytes.len, &log);
    bool is_accepted = slice_starts_with(buf_slice(&log), SLICE("close"));
    assert_int_equal(is_accepted, ws_close_code_is_valid(code));
  }
}

static void close_reasons_fill_the_frame(void **state) {
  (void)state;
  char payload[WS_CONTROL_MAX] = "\x03\xe8";
  memset(payload + 2, 'r', sizeof payload - 2);
  AUTO(buf) struct buf expected = BUF_INIT;
  buf_append_str(&expected, "close 1000:");
  buf_append(&expected, payload + 2, sizeof payload - 2);
  buf_append(&expected, "\n", 2);
  one_frame(FIN | WS_CLOSE, payload, sizeof payload, expected.data);
}

/* One message, its text cut into two fragments at each place. */
static void utf8_may_be_split_anywhere(void **state) {
  (void)state;
  static const char text[] =
      "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5 \xf0\x9f\x98\x80\xf4\x8f\xbf\xbf.";
  for (size_t cut = 0; cut < sizeof text; cut++) {
    AUTO(buf) struct buf bytes = BUF_INIT, expected = BUF_INIT;
    append_frame(&bytes, WS_TEXT, text, cut);
    append_text_frame(&bytes, FIN | WS_PING, "");
    append_frame(&bytes, FIN | WS_CONTINUATION, text + cut, sizeof text - 1 - cut);
    buf_printf(&expected, "ping:\ntext:%s\n", text);
    assert_events(&bytes, expected.data);
  }
}

static void text_that_is_not_utf8_fails(void **state) {
  (void)state;
  static const char *const texts[] = {
      "\xff", "abc\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "abc\xe2\x82", "\x80"};
  for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
    size_t len = strlen(texts[i]);
    one_frame(FIN | WS_TEXT, texts[i], len, "fail 1007\n");
    for (size_t cut = 0; cut <= len; cut++) {
      AUTO(buf) struct buf bytes = BUF_INIT;
      append_frame(&bytes, WS_TEXT, texts[i], cut);
      append_frame(&bytes, FIN | WS_CONTINUATION, texts[i] + cut, len - cut);
      assert_events(&bytes, "fail 1007\n");
    }
  }
}

/* RFC 6455 8.1 only asks for the end; failing early spares the rest. */
static void bad_utf8_fails_before_its_frame_ends(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  append_text_frame(&bytes, FIN | WS_TEXT, "ab\xf4\x90 and much more");
  bytes.len = 6 + 4;
  assert_events(&bytes, "fail 1007\n");
}

static void nothing_is_checked_in_binary_data(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  append_text_frame(&bytes, WS_BINARY, "\xff\xc0");
  append_text_frame(&bytes, FIN | WS_CONTINUATION, "\xe2");
  assert_events(&bytes, "binary:\xff\xc0\xe2\n");
}

static void a_message_may_fill_its_limit_and_not_more(void **state) {
  (void)state;
  const struct ws_limits ten = {.max_message = 10};
  for (size_t first = 0; first <= 10; first++) {
    for (size_t over = 0; over < 2; over++) {
      AUTO(buf) struct buf bytes = BUF_INIT;
      append_frame(&bytes, WS_TEXT, "0123456789", first);
      append_frame(&bytes, FIN | WS_PING, "a ping does not count", 21);
      append_frame(&bytes, FIN | WS_CONTINUATION, &"0123456789x"[first], 10 - first + over);
      assert_events_within(&ten, &bytes,
                           over ? "ping:a ping does not count\nfail 1009\n"
                                : "ping:a ping does not count\ntext:0123456789\n");
    }
  }
}

static void a_length_over_the_limit_fails_however_large(void **state) {
  (void)state;
  static const uint64_t lens[] = {100 * KIB + 1, UINT32_MAX, 1ull << 62,
                                  INT64_MAX,     1ull << 63, UINT64_MAX};
  for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
    AUTO(buf) struct buf bytes = BUF_INIT;
    append_header(&bytes, FIN | WS_TEXT, lens[i], 8);
    assert_events(&bytes, "fail 1009\n");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(messages_of_one_frame),
      cmocka_unit_test(several_messages_come_one_by_one),
      cmocka_unit_test(every_length_form_carries_its_payload),
      cmocka_unit_test(fragments_become_one_message),
      cmocka_unit_test(control_frames_may_stand_between_fragments),
      cmocka_unit_test(fragments_out_of_order_are_a_protocol_error),
      cmocka_unit_test(malformed_frames_are_a_protocol_error),
      cmocka_unit_test(what_came_before_a_failure_is_delivered),
      cmocka_unit_test(binary_data_may_be_refused),
      cmocka_unit_test(close_frames_are_judged),
      cmocka_unit_test(every_close_code_is_judged),
      cmocka_unit_test(close_reasons_fill_the_frame),
      cmocka_unit_test(utf8_may_be_split_anywhere),
      cmocka_unit_test(text_that_is_not_utf8_fails),
      cmocka_unit_test(bad_utf8_fails_before_its_frame_ends),
      cmocka_unit_test(nothing_is_checked_in_binary_data),
      cmocka_unit_test(a_message_may_fill_its_limit_and_not_more),
      cmocka_unit_test(a_length_over_the_limit_fails_however_large),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
