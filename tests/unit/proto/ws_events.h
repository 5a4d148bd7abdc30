/* What a decoder says to bytes, as text. Include it behind cmocka.h. */
#ifndef TESTS_UNIT_PROTO_WS_EVENTS_H
#define TESTS_UNIT_PROTO_WS_EVENTS_H

#include "eventhub/base/buf.h"
#include "eventhub/base/mem.h"
#include "eventhub/proto/ws_message.h"

enum { KIB = 1024 };

static const struct ws_limits limits = {.max_message = 100 * KIB, .allow_binary = true};

/* For AUTO(ws_decoder). */
static inline void ws_decoder_cleanup(struct ws_decoder *decoder) {
  ws_decoder_done(decoder);
}

/* One line per event: "text:hello\n", "close 1000:bye\n", "fail 1002\n". */
static inline void describe(struct buf *log, enum ws_event event, const struct ws_item *item) {
  static const char *const names[] = {"none", "text", "binary", "ping", "pong", "close", "fail"};
  buf_append_str(log, names[event]);
  if (event == WS_EVENT_CLOSE || event == WS_EVENT_FAIL) buf_printf(log, " %u", item->close_code);
  if (event == WS_EVENT_FAIL) {
    assert_non_null(item->reason);
    buf_append_char(log, '\n');
    return;
  }
  assert_non_null(item->data);
  buf_append_char(log, ':');
  buf_append(log, item->data, item->len);
  buf_append_char(log, '\n');
}

/* Feeds a copy on the heap, of exactly these bytes, until all are used. False once it is over. */
static inline bool feed_piece(struct ws_decoder *decoder, const struct ws_limits *bounds,
                              struct slice piece, struct buf *log) {
  AUTO(mem) char *copy = x_memdup(piece.ptr, piece.len);
  size_t at = 0;
  while (at < piece.len) {
    struct ws_item item;
    size_t consumed;
    enum ws_event event =
        ws_decoder_feed(decoder, bounds, copy + at, piece.len - at, &consumed, &item);
    assert_true(consumed <= piece.len - at);
    at += consumed;
    if (event == WS_EVENT_NONE) {
      assert_int_equal(at, piece.len);
      return true;
    }
    describe(log, event, &item);
    if (event == WS_EVENT_FAIL || event == WS_EVENT_CLOSE) return false;
  }
  return true;
}

/* The events of `bytes`, fed in pieces of that size. */
static inline void run(const struct ws_limits *bounds, struct slice bytes, size_t piece,
                       struct buf *log) {
  AUTO(ws_decoder) struct ws_decoder decoder = {0};
  for (size_t at = 0; at < bytes.len; at += piece) {
    size_t len = bytes.len - at < piece ? bytes.len - at : piece;
    if (!feed_piece(&decoder, bounds, slice_of(bytes.ptr + at, len), log)) return;
    ws_decoder_rest(&decoder);
  }
}

#endif
