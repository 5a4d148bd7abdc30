/*
 * Input: the value of a Sec-WebSocket-Extensions header, a line feed between several of them.
 * Checked: what is negotiated lies within what RFC 7692 allows and within our own limits, and the
 * answer, read as an offer, is acceptable in turn.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/proto/ws_extension.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_header(struct http_request *request, struct slice value) {
  request->headers[request->header_count++] =
      (struct http_header){SLICE("Sec-WebSocket-Extensions"), value};
}

static void check_answer(const struct ws_deflate *deflate) {
  AUTO(buf) struct buf answer = BUF_INIT;
  ws_deflate_append_header(&answer, deflate);
  struct slice line = buf_slice(&answer), name;
  assert(slice_next_token(&line, ':', &name));
  struct http_request request = {.header_count = 0};
  struct ws_deflate again;
  add_header(&request, slice_of(line.ptr, line.len - 2));
  assert(ws_deflate_negotiate(&request, &again));
  assert(again.server_bits == deflate->server_bits && again.client_bits == deflate->client_bits);
  assert(again.client_takeover == deflate->client_takeover);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const struct ws_deflate nothing;
  struct http_request request = {.header_count = 0};
  struct slice rest = slice_of((const char *)data, size), line;
  while (request.header_count < 10 && slice_next_token(&rest, '\n', &line))
    add_header(&request, line);
  struct ws_deflate deflate;
  if (!ws_deflate_negotiate(&request, &deflate)) {
    assert(memcmp(&deflate, &nothing, sizeof nothing) == 0);
    return 0;
  }
  assert(deflate.server_bits >= 8 && deflate.server_bits <= 15);
  assert((deflate.client_bits >= 8 && deflate.client_bits <= 12) || deflate.client_bits == 15);
  check_answer(&deflate);
  return 0;
}
