/*
 * Input: a byte of limits, a byte that seeds how the rest is cut, then a client's bytes after the
 * handshake. Checked: pieces give the same events as the whole, memory stays within the limit, and
 * what comes out as text is UTF-8.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/mem.h"
#include "eventhub/proto/utf8.h"
#include "eventhub/proto/ws_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STRUCT_MAX = 512 };

struct run {
  struct ws_decoder decoder;
  struct ws_limits limits;
  struct buf log; /* of events, each with all that it says */
  bool is_over;
};

/* Compressed, a message may be a little longer. */
static size_t max_payload(const struct run *run) {
  size_t max = run->limits.max_message;
  return run->limits.allow_compressed ? max + max / 1024 + 128 : max;
}

static void record(struct run *run, enum ws_event event, const struct ws_item *item) {
  run->is_over = event == WS_EVENT_FAIL || event == WS_EVENT_CLOSE;
  buf_append_char(&run->log, (char)event);
  buf_append_u64(&run->log, item->close_code);
  buf_append_char(&run->log, ':');
  if (event == WS_EVENT_FAIL) {
    buf_append_str(&run->log, item->reason);
    return;
  }
  assert(item->data != NULL);
  if (event == WS_EVENT_TEXT && !item->is_compressed) assert(utf8_is_valid(item->data, item->len));
  if (event == WS_EVENT_BINARY) assert(run->limits.allow_binary);
  bool is_message = event == WS_EVENT_TEXT || event == WS_EVENT_BINARY;
  if (item->is_compressed) assert(is_message && run->limits.allow_compressed);
  size_t max = item->is_compressed ? max_payload(run) : run->limits.max_message;
  assert(item->len <= (is_message ? max : WS_CONTROL_MAX));
  buf_append_char(&run->log, item->is_compressed ? 'z' : '-');
  buf_append_u64(&run->log, item->len);
  buf_append_char(&run->log, ':');
  buf_append(&run->log, item->data, item->len);
}

/* A copy on the heap, of exactly these bytes: the decoder writes to it. */
static void feed(struct run *run, const uint8_t *data, size_t len) {
  AUTO(mem) char *bytes = x_memdup(data, len);
  size_t at = 0;
  while (at < len && !run->is_over) {
    struct ws_item item;
    size_t consumed;
    enum ws_event event =
        ws_decoder_feed(&run->decoder, &run->limits, bytes + at, len - at, &consumed, &item);
    assert(consumed <= len - at);
    assert(ws_decoder_memory(&run->decoder) <= max_payload(run) + STRUCT_MAX);
    at += consumed;
    if (event == WS_EVENT_NONE) assert(at == len);
    if (event != WS_EVENT_NONE) record(run, event, &item);
  }
}

static void feed_in_pieces(struct run *run, const uint8_t *data, size_t len, uint32_t seed) {
  while (len > 0 && !run->is_over) {
    seed = seed * 1664525 + 1013904223;
    size_t piece = 1 + (seed >> 24) % (1 + (seed >> 16) % 40);
    if (piece > len) piece = len;
    feed(run, data, piece);
    if (seed & 0x8000) ws_decoder_rest(&run->decoder);
    data += piece;
    len -= piece;
  }
}

static void run_done(struct run *run) {
  ws_decoder_done(&run->decoder);
  buf_done(&run->log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  struct run whole = {.limits = {.max_message = (size_t)1 << data[0] % 18,
                                 .allow_binary = (data[0] & 0x80) != 0,
                                 .allow_compressed = (data[0] & 0x40) != 0}};
  struct run pieces = whole;
  feed(&whole, data + 2, size - 2);
  feed_in_pieces(&pieces, data + 2, size - 2, data[1]);
  assert(whole.is_over == pieces.is_over);
  assert(slice_equal(buf_slice(&whole.log), buf_slice(&pieces.log)));
  run_done(&whole);
  run_done(&pieces);
  return 0;
}
