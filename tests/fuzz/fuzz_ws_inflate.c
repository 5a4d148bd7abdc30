/*
 * Input: a byte of flags, the length of the first message (2 bytes), then two compressed messages
 * of one client. Checked: no more comes out than is allowed, an error changes nothing, the same
 * messages give the same texts again, and what zlib itself makes of a message without context is
 * the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/proto/ws_deflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 10000 };

struct client {
  struct ws_deflate deflate;
  struct ws_window *window;
};

static int take(struct ws_inflater *inflater, struct client *client, struct slice payload,
                struct buf *ret) {
  char *text = NULL;
  size_t len = 0;
  size_t held = ws_window_memory(client->window);
  int err = ws_inflater_run(inflater, &client->deflate, &client->window, payload, MAX, &text, &len);
  assert(err == 0 || err == ERR_TOO_BIG || err == ERR_INVALID);
  if (err < 0) {
    assert(ws_window_memory(client->window) == held);
    return err;
  }
  assert(text != NULL && len <= MAX);
  buf_append(ret, text, len);
  if (len > 0) memset(text, 'x', len); /* it may be written to */
  return 0;
}

/* What zlib says to the whole of it, up to the first block that claims to be the last. */
static void check_zlib(struct slice payload, struct slice text) {
  z_stream stream = {0};
  AUTO(buf) struct buf input = BUF_INIT;
  AUTO(buf) struct buf output = BUF_INIT;
  buf_append_slice(&input, payload);
  buf_append(&input, "\0\0\xff\xff", 4);
  assert(inflateInit2(&stream, -15) == Z_OK);
  stream.next_in = (Bytef *)input.data;
  stream.avail_in = (uInt)input.len;
  stream.next_out = (Bytef *)buf_reserve(&output, MAX + 1);
  stream.avail_out = MAX + 1;
  int err = inflate(&stream, Z_SYNC_FLUSH);
  assert(err == Z_OK || err == Z_STREAM_END);
  buf_commit(&output, MAX + 1 - stream.avail_out);
  assert(output.len <= text.len);
  if (err == Z_OK) assert(output.len == text.len);
  if (output.len > 0) assert(memcmp(output.data, text.ptr, output.len) == 0);
  inflateEnd(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3) return 0;
  size_t first_len = (size_t)(data[1] << 8 | data[2]) % (size - 2);
  struct slice first = slice_of((const char *)data + 3, first_len);
  struct slice second = slice_of((const char *)data + 3 + first_len, size - 3 - first_len);
  struct buf texts[2] = {BUF_INIT, BUF_INIT};
  int errs[2][2];
  for (int round = 0; round < 2; round++) {
    struct ws_inflater *inflater = ws_inflater_new();
    struct client client = {.deflate = {.server_bits = 15,
                                        .client_bits = (uint8_t)(8 + (data[0] >> 1) % 8),
                                        .client_takeover = data[0] & 1}};
    errs[round][0] = take(inflater, &client, first, &texts[round]);
    if (errs[round][0] == 0) check_zlib(first, buf_slice(&texts[round]));
    errs[round][1] = take(inflater, &client, second, &texts[round]);
    size_t most = (size_t)1 << (client.deflate.client_bits < 9 ? 9 : client.deflate.client_bits);
    assert(ws_window_memory(client.window) <= most + 64);
    if (!client.deflate.client_takeover) assert(client.window == NULL);
    ws_window_free(client.window);
    ws_inflater_free(inflater);
  }
  assert(errs[0][0] == errs[1][0] && errs[0][1] == errs[1][1]);
  assert(slice_equal(buf_slice(&texts[0]), buf_slice(&texts[1])));
  buf_done(&texts[0]);
  buf_done(&texts[1]);
  return 0;
}
