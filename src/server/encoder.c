#include "eventhub/server/encoder.h"

#include <assert.h>
#include <string.h>

#include "eventhub/proto/json_value.h"
#include "eventhub/proto/sse.h"
#include "eventhub/topic/message.h"

enum { RUN_MAX_BYTES = 256 * 1024 }; /* encoded as one span, unless one message is larger */

/* {"id":<id>,"jsonrpc":"2.0","result":<item>} */
static const char before_id[] = "{\"id\":";
static const char before_item[] = ",\"jsonrpc\":\"2.0\",\"result\":";
/* Of a gap, which is for no subscription alone: {"jsonrpc":"2.0","method":"gap","params":<item>} */
static const char before_gap[] = "{\"jsonrpc\":\"2.0\",\"method\":\"gap\",\"params\":";
enum {
  BEFORE_ID_LEN = sizeof before_id - 1,
  BEFORE_ITEM_LEN = sizeof before_item - 1,
  BEFORE_GAP_LEN = sizeof before_gap - 1
};

void encoder_init(struct encoder *encoder, struct connection_pool *pool) {
  *encoder = (struct encoder){.pool = pool};
  buf_init(&encoder->run);
  buf_init(&encoder->text);
}

void encoder_done(struct encoder *encoder) {
  buf_done(&encoder->run);
  buf_done(&encoder->text);
}

/* ---- frames ---- */

static size_t payload_len(struct slice id, const struct message *message) {
  size_t before =
      message_is_gap(message) ? (size_t)BEFORE_GAP_LEN : BEFORE_ID_LEN + id.len + BEFORE_ITEM_LEN;
  return before + message_item(message).len + 1;
}

static size_t frame_len(struct slice id, const struct message *message) {
  size_t len = payload_len(id, message);
  return ws_frame_header_len(len) + len;
}

static char *put(char *at, const char *bytes, size_t len) {
  memcpy(at, bytes, len);
  return at + len;
}

static char *put_before_item(char *at, struct slice id, const struct message *message) {
  if (message_is_gap(message)) return put(at, before_gap, BEFORE_GAP_LEN);
  at = put(at, before_id, BEFORE_ID_LEN);
  at = put(at, id.ptr, id.len);
  return put(at, before_item, BEFORE_ITEM_LEN);
}

static char *encode_frame(char *at, struct slice id, const struct message *message) {
  struct slice item = message_item(message);
  at += ws_frame_header_encode(at, WS_TEXT, payload_len(id, message));
  at = put_before_item(at, id, message);
  at = put(at, item.ptr, item.len);
  *at++ = '}';
  return at;
}

/* How many messages from the first on go into one span, and their size as frames. */
static size_t measure_frames(struct slice id, struct message *const *messages, size_t count,
                             size_t *ret_bytes) {
  size_t bytes = 0, taken = 0;
  while (taken < count) {
    size_t more = frame_len(id, messages[taken]);
    if (taken > 0 && bytes + more > RUN_MAX_BYTES) break;
    bytes += more;
    taken++;
  }
  *ret_bytes = bytes;
  return taken;
}

static struct span encode_frames(struct chunk_arena *arena, struct slice id,
                                 struct message *const *messages, size_t count, size_t bytes) {
  char *start = chunk_arena_reserve(arena, bytes);
  char *at = start;
  for (size_t i = 0; i < count; i++)
    at = encode_frame(at, id, messages[i]);
  assert((size_t)(at - start) == bytes);
  return chunk_arena_commit(arena, bytes);
}

/* ---- compressed frames ---- */

/* The item and the brace behind it, compressed in a window of that size; lasts until the next call.
 * Empty where that is not shorter. */
static struct slice compress(struct encoder *encoder, const struct message *message,
                             unsigned bits) {
  const struct slice parts[] = {message_item(message), SLICE("}")};
  buf_clear(&encoder->text);
  ws_deflater_run(connection_pool_deflater(encoder->pool), bits, parts, ARRAY_LEN(parts),
                  &encoder->text);
  metrics_add(encoder->pool->metrics, METRIC_COMPRESSIONS, 1);
  return buf_slice(&encoder->text);
}

/* The form that all clients share, in the largest window. */
static struct slice compress_once(struct encoder *encoder, struct message *message) {
  struct blob *blob = message_compressed(message);
  if (blob == NULL) {
    struct slice bytes = compress(encoder, message, WS_WINDOW_BITS_MAX);
    blob = message_keep_compressed(message, blob_new(bytes.ptr, bytes.len));
  }
  return blob_slice(blob);
}

/* Distances never reach beyond the text, so the shared form also suits a client whose window is
 * smaller, as long as it takes the whole text. */
static struct slice compressed_item(struct encoder *encoder, struct message *message,
                                    unsigned bits) {
  size_t len = message_item(message).len + 1;
  if (len < WS_DEFLATE_MIN || message_is_gap(message)) return SLICE("");
  return ws_deflate_fits(bits, len) ? compress_once(encoder, message)
                                    : compress(encoder, message, bits);
}

static void append_plain_frame(struct buf *out, struct slice id, const struct message *message) {
  size_t len = frame_len(id, message);
  char *at = buf_reserve(out, len);
  assert(at != NULL);
  encode_frame(at, id, message);
  buf_commit(out, len);
}

static void append_compressed_frame(struct encoder *encoder, struct message_form form,
                                    struct slice id, struct message *message) {
  struct buf *out = &encoder->run;
  struct slice item = compressed_item(encoder, message, form.window_bits);
  size_t before_len = BEFORE_ID_LEN + id.len + BEFORE_ITEM_LEN;
  size_t len = WS_STORED_HEADER_LEN + before_len + item.len;
  if (item.len == 0 || before_len > WS_STORED_TEXT_MAX || len >= payload_len(id, message)) {
    append_plain_frame(out, id, message);
    return;
  }
  char *at = buf_reserve(out, WS_FRAME_HEADER_MAX + len);
  assert(at != NULL);
  size_t header_len = ws_frame_header_encode_compressed(at, WS_TEXT, len);
  at += header_len;
  at += ws_stored_header_encode(at, before_len);
  at = put_before_item(at, id, message);
  put(at, item.ptr, item.len);
  buf_commit(out, header_len + len);
}

/* ---- events ---- */

/* The text of a string, other values as they were written. */
static struct slice text_of(struct encoder *encoder, struct slice payload) {
  struct json_value value = {.type = JSON_STRING, .text = payload};
  if (payload.ptr[0] != '"') return payload;
  if (!json_string_has_escapes(value)) return json_string_raw(value);
  buf_clear(&encoder->text);
  json_string_decode(value, &encoder->text);
  return buf_slice(&encoder->text);
}

static void append_event(struct encoder *encoder, struct message_form form, struct slice id,
                         struct message *message) {
  (void)id;
  if (message_is_gap(message)) {
    sse_append_event(&encoder->run, SLICE("gap"), SLICE(""), message_item(message));
    return;
  }
  struct slice data = form.format == FORMAT_SSE_JSON ? message_item(message)
                                                     : text_of(encoder, message_payload(message));
  sse_append_event(&encoder->run, SLICE(""), message_id_text(message), data);
}

/* ---- runs ---- */

typedef void append_fn(struct encoder *encoder, struct message_form form, struct slice id,
                       struct message *message);

/* For forms whose length is known only when they are made. */
static size_t append_run(struct encoder *encoder, append_fn *append, struct message_form form,
                         struct slice id, struct message *const *messages, size_t count,
                         struct span *ret) {
  struct buf *run = &encoder->run;
  size_t taken = 0;
  buf_clear(run);
  while (taken < count && run->len < RUN_MAX_BYTES)
    append(encoder, form, id, messages[taken++]);
  memcpy(chunk_arena_reserve(&encoder->pool->arena, run->len), run->data, run->len);
  *ret = chunk_arena_commit(&encoder->pool->arena, run->len);
  if (run->cap > 2 * RUN_MAX_BYTES) buf_done(run);
  if (encoder->text.cap > RUN_MAX_BYTES) buf_done(&encoder->text);
  return taken;
}

size_t encoder_run(struct encoder *encoder, struct message_form form, struct slice id,
                   struct message *const *messages, size_t count, struct span *ret) {
  if (form.format != FORMAT_RPC)
    return append_run(encoder, append_event, form, id, messages, count, ret);
  if (form.window_bits != 0)
    return append_run(encoder, append_compressed_frame, form, id, messages, count, ret);
  size_t bytes = 0;
  size_t taken = measure_frames(id, messages, count, &bytes);
  *ret = encode_frames(&encoder->pool->arena, id, messages, taken, bytes);
  return taken;
}
