/* What the wire costs in user space, per message: taking a client's frame apart (header, unmasking,
 * UTF-8) and making what subscribers get, in each form, one message at a time and in runs. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/proto/ws_message.h"
#include "eventhub/server/encoder.h"
#include "eventhub/topic/message.h"

#include "micro.h"

enum { FRAMES = 64, RUN = 32, STEP = 20, MASK_BIT = 0x80 };

struct work {
  struct buf frames, copy; /* of clients */
  struct encoder encoder;
  struct connection_pool pool; /* only its arena is used */
  struct message *messages[RUN];
  struct message_form form;
  size_t run_len; /* messages that are encoded together */
};

/* ---- frames ---- */

static void append_frames(struct buf *out, size_t size) {
  static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
  for (int i = 0; i < FRAMES; i++) {
    char *at = buf_reserve(out, WS_FRAME_CLIENT_HEADER_MAX + size);
    size_t len = ws_frame_header_encode(at, WS_TEXT, size);
    at[1] = (char)((unsigned char)at[1] | MASK_BIT);
    memcpy(at + len, mask, sizeof mask);
    memset(at + len + sizeof mask, 'x', size);
    ws_frame_unmask(at + len + sizeof mask, size, mask, 0);
    buf_commit(out, len + sizeof mask + size);
  }
}

/* Decoding writes to the bytes: each time to a new copy of them, whose making counts, too. */
static void decode(void *context) {
  struct work *work = context;
  static const struct ws_limits limits = {.max_message = 1 << 20};
  struct ws_decoder decoder;
  struct ws_item item;
  size_t used;
  ws_decoder_init(&decoder);
  buf_clear(&work->copy);
  buf_append_slice(&work->copy, buf_slice(&work->frames));
  for (size_t at = 0; at < work->copy.len; at += used) {
    if (ws_decoder_feed(&decoder, &limits, work->copy.data + at, work->copy.len - at, &used,
                        &item) != WS_EVENT_TEXT)
      abort();
    micro_sink = micro_sink + item.len;
  }
  ws_decoder_done(&decoder);
}

static void measure_frames(size_t size) {
  struct work work = {0};
  append_frames(&work.frames, size);
  double ns = micro_best_ns(decode, &work, STEP) / FRAMES;
  printf("a client's frame of %6zu bytes          %9.1f ns %8.2f GB/s\n", size, ns,
         (double)size / ns);
  buf_done(&work.frames);
  buf_done(&work.copy);
}

/* ---- messages ---- */

static void encode(void *context) {
  struct work *work = context;
  struct span span;
  for (size_t at = 0; at < RUN; at += work->run_len)
    encoder_run(&work->encoder, work->form, SLICE("7"), work->messages + at, work->run_len, &span);
  chunk_arena_rewind(&work->pool.arena);
}

static void measure_encoding(const char *name, struct message_form form, size_t run_len) {
  char payload[66];
  struct work work = {.form = form, .run_len = run_len};
  memset(payload, 'x', sizeof payload);
  payload[0] = payload[sizeof payload - 1] = '"';
  encoder_init(&work.encoder, &work.pool);
  chunk_arena_init(&work.pool.arena);
  for (size_t i = 0; i < RUN; i++) {
    work.messages[i] = message_new(SLICE("bench/t1"), slice_of(payload, sizeof payload), SLICE(""));
    message_set_id(work.messages[i], (struct message_id){1700000000000, i});
  }
  printf("%-40s %9.1f ns\n", name, micro_best_ns(encode, &work, STEP) / RUN);
  for (size_t i = 0; i < RUN; i++)
    message_unref(work.messages[i]);
  encoder_done(&work.encoder);
  chunk_arena_done(&work.pool.arena);
}

int main(void) {
  measure_frames(16);
  measure_frames(125);
  measure_frames(16384);
  measure_encoding("a message as a frame", (struct message_form){FORMAT_RPC, 0}, 1);
  measure_encoding("... 32 together", (struct message_form){FORMAT_RPC, 0}, RUN);
  measure_encoding("a message as an event", (struct message_form){FORMAT_SSE, 0}, 1);
  measure_encoding("... as JSON", (struct message_form){FORMAT_SSE_JSON, 0}, 1);
  return 0;
}
