#include "eventhub/proto/ws_deflate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"

enum {
  OUTPUT_MIN = 4096,
  OUTPUT_KEEP = 256 * 1024, /* longer messages are rare: their memory is given back */
  /* Of 2 kB of JSON, level 5 saves nearly what level 9 does; of 20 kB it takes half of the time. */
  LEVEL = 5,
  MEM_LEVEL = 8,
  ZLIB_BITS_MIN = 9,
  TAIL_LEN = 4
};

/* RFC 7692 7.2.1: what every message ends in, and what is not sent. */
static const unsigned char tail[TAIL_LEN] = {0x00, 0x00, 0xff, 0xff};

/* ---- inflating ---- */

struct ws_inflater {
  z_stream stream;
  char *output;
  size_t cap;
};

struct ws_window {
  uint32_t len, cap;
  char text[];
};

/* zlib's memory comes from us, so that it cannot fail. */
static void *take_memory(void *opaque, unsigned count, unsigned size) {
  (void)opaque;
  return x_calloc(count, size);
}

static void give_memory(void *opaque, void *address) {
  (void)opaque;
  free(address);
}

struct ws_inflater *ws_inflater_new(void) {
  struct ws_inflater *inflater = x_calloc(1, sizeof *inflater);
  inflater->stream.zalloc = take_memory;
  inflater->stream.zfree = give_memory;
  int err = inflateInit2(&inflater->stream, -WS_WINDOW_BITS_MAX);
  assert(err == Z_OK);
  (void)err;
  return inflater;
}

void ws_inflater_free(struct ws_inflater *inflater) {
  if (inflater == NULL) return;
  inflateEnd(&inflater->stream);
  free(inflater->output);
  free(inflater);
}

void ws_window_free(struct ws_window *window) {
  free(window);
}

size_t ws_window_memory(const struct ws_window *window) {
  return window == NULL ? 0 : sizeof *window + window->cap;
}

/* One message on its way. */
struct inflating {
  struct ws_inflater *inflater;
  size_t len; /* of the output */
  size_t max;
};

static void give_input(z_stream *stream, const void *bytes, size_t len) {
  stream->next_in = (z_const Bytef *)bytes;
  stream->avail_in = (uInt)len;
}

/* Room for more output; the first byte over the limit has room, too, and shows that it is passed.
 */
static void grow_output(struct inflating *inflating) {
  struct ws_inflater *inflater = inflating->inflater;
  size_t cap = inflater->cap == 0 ? OUTPUT_MIN : inflater->cap * 2;
  if (cap > inflating->max + 1) cap = inflating->max + 1;
  if (cap <= inflater->cap) return;
  inflater->output = x_realloc(inflater->output, cap);
  inflater->cap = cap;
}

static int inflate_once(struct inflating *inflating) {
  struct ws_inflater *inflater = inflating->inflater;
  z_stream *stream = &inflater->stream;
  size_t most = inflater->cap <= inflating->max ? inflater->cap : inflating->max + 1;
  stream->next_out = (Bytef *)inflater->output + inflating->len;
  stream->avail_out = (uInt)(most - inflating->len);
  int err = inflate(stream, Z_SYNC_FLUSH);
  inflating->len = (size_t)((char *)stream->next_out - inflater->output);
  return err;
}

/* RFC 7692 7.2.3.4: a block that says to be the last one ends nothing; what follows may refer to
 * what came before. */
static void go_on_behind_last_block(struct inflating *inflating) {
  z_stream *stream = &inflating->inflater->stream;
  size_t most = (size_t)1 << WS_WINDOW_BITS_MAX;
  size_t len = inflating->len < most ? inflating->len : most;
  const char *end = inflating->inflater->output + inflating->len;
  inflateReset(stream);
  inflateSetDictionary(stream, (const Bytef *)end - len, (uInt)len);
}

/* Until all of the input is used. */
static int inflate_all(struct inflating *inflating, const void *bytes, size_t len) {
  z_stream *stream = &inflating->inflater->stream;
  give_input(stream, bytes, len);
  for (;;) {
    if (inflating->len == inflating->inflater->cap) grow_output(inflating);
    int err = inflate_once(inflating);
    if (inflating->len > inflating->max) return ERR_TOO_BIG;
    if (err != Z_OK && err != Z_STREAM_END && err != Z_BUF_ERROR) return ERR_INVALID;
    if (err == Z_STREAM_END) go_on_behind_last_block(inflating);
    if (stream->avail_in == 0 && stream->avail_out > 0) return 0;
  }
}

/* Does the input end where a block could begin? Else it was cut. */
static bool is_between_blocks(const struct ws_inflater *inflater) {
  enum { BETWEEN_BLOCKS = 128 }; /* of zlib's data_type, see inflate() in zlib.h */
  return (inflater->stream.data_type & BETWEEN_BLOCKS) != 0;
}

static size_t window_size(const struct ws_deflate *deflate) {
  /* Clients made with zlib use 9 bits where they mean 8. */
  unsigned bits = deflate->client_bits < ZLIB_BITS_MIN ? ZLIB_BITS_MIN : deflate->client_bits;
  return (size_t)1 << bits;
}

static struct ws_window *reserve_window(struct ws_window *window, size_t need, size_t size) {
  size_t cap = window == NULL ? 0 : window->cap;
  if (need <= cap) return window;
  if (cap == 0) cap = 128;
  while (cap < need)
    cap *= 2;
  if (cap > size) cap = size;
  struct ws_window *larger = x_realloc(window, sizeof *window + cap);
  if (window == NULL) larger->len = 0;
  larger->cap = (uint32_t)cap;
  return larger;
}

/* The text slides through the window. */
static void keep_text(struct ws_window **window, size_t size, const char *text, size_t len) {
  if (len == 0) return;
  size_t had = *window == NULL ? 0 : (*window)->len;
  size_t taken = len < size ? len : size;
  size_t kept = had < size - taken ? had : size - taken;
  *window = reserve_window(*window, kept + taken, size);
  assert(*window != NULL);
  memmove((*window)->text, (*window)->text + (had - kept), kept);
  memcpy((*window)->text + kept, text + (len - taken), taken);
  (*window)->len = (uint32_t)(kept + taken);
}

static void begin(struct ws_inflater *inflater, const struct ws_window *window) {
  if (inflater->cap > OUTPUT_KEEP) {
    free(inflater->output);
    inflater->output = NULL;
    inflater->cap = 0;
  }
  inflateReset(&inflater->stream);
  if (window != NULL)
    inflateSetDictionary(&inflater->stream, (const Bytef *)window->text, window->len);
}

int ws_inflater_run(struct ws_inflater *inflater, const struct ws_deflate *deflate,
                    struct ws_window **window, struct slice payload, size_t max, char **ret_data,
                    size_t *ret_len) {
  struct inflating inflating = {.inflater = inflater, .max = max};
  begin(inflater, deflate->client_takeover ? *window : NULL);
  int err = inflate_all(&inflating, payload.ptr, payload.len);
  if (err == 0) err = inflate_all(&inflating, tail, TAIL_LEN);
  if (err == 0 && !is_between_blocks(inflater)) err = ERR_INVALID;
  if (err < 0) return err;
  if (deflate->client_takeover)
    keep_text(window, window_size(deflate), inflater->output, inflating.len);
  *ret_data = inflater->output;
  *ret_len = inflating.len;
  return 0;
}

/* ---- deflating ---- */

struct ws_deflater {
  /* By the bits of the window; made with the first use. */
  z_stream *streams[WS_WINDOW_BITS_MAX + 1];
};

struct ws_deflater *ws_deflater_new(void) {
  return x_calloc(1, sizeof(struct ws_deflater));
}

void ws_deflater_free(struct ws_deflater *deflater) {
  if (deflater == NULL) return;
  for (size_t i = 0; i < ARRAY_LEN(deflater->streams); i++) {
    if (deflater->streams[i] == NULL) continue;
    deflateEnd(deflater->streams[i]);
    free(deflater->streams[i]);
  }
  free(deflater);
}

static z_stream *stream_for(struct ws_deflater *deflater, unsigned bits) {
  z_stream **place = &deflater->streams[bits < ZLIB_BITS_MIN ? ZLIB_BITS_MIN : bits];
  if (*place != NULL) {
    deflateReset(*place);
    return *place;
  }
  *place = x_calloc(1, sizeof **place);
  (*place)->zalloc = take_memory;
  (*place)->zfree = give_memory;
  int window_bits = (int)(bits < ZLIB_BITS_MIN ? ZLIB_BITS_MIN : bits);
  int err = deflateInit2(*place, LEVEL, Z_DEFLATED, -window_bits, MEM_LEVEL, Z_DEFAULT_STRATEGY);
  assert(err == Z_OK);
  (void)err;
  return *place;
}

static size_t length_of(const struct slice *texts, size_t count) {
  size_t len = 0;
  for (size_t i = 0; i < count; i++)
    len += texts[i].len;
  return len;
}

bool ws_deflater_run(struct ws_deflater *deflater, unsigned bits, const struct slice *texts,
                     size_t count, struct buf *out) {
  size_t len = length_of(texts, count);
  if (len == 0 || (bits < ZLIB_BITS_MIN && !ws_deflate_fits(bits, len))) return false;
  z_stream *stream = stream_for(deflater, bits);
  size_t room = deflateBound(stream, (uLong)len) + 2 * TAIL_LEN;
  stream->next_out = (Bytef *)buf_reserve(out, room);
  stream->avail_out = (uInt)room;
  for (size_t i = 0; i < count; i++) {
    give_input(stream, texts[i].ptr, texts[i].len);
    if (texts[i].len == 0 && i + 1 < count) continue;
    deflate(stream, i + 1 < count ? Z_NO_FLUSH : Z_SYNC_FLUSH);
  }
  assert(stream->avail_in == 0 && stream->avail_out > 0);
  size_t made = room - stream->avail_out - TAIL_LEN;
  if (made >= len) return false;
  buf_commit(out, made);
  return true;
}

size_t ws_stored_header_encode(char *out, size_t text_len) {
  assert(text_len <= WS_STORED_TEXT_MAX);
  out[0] = 0; /* not the last block, stored, padding to the byte */
  out[1] = (char)(text_len & 0xff);
  out[2] = (char)(text_len >> 8);
  out[3] = (char)~out[1];
  out[4] = (char)~out[2];
  return WS_STORED_HEADER_LEN;
}
