/*
 * Input: a byte that says how the rest is cut, then the head of a request. Checked: what comes in
 * pieces gets the same verdict as the whole, and what is accepted is as the header promises.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/err.h"
#include "eventhub/proto/http_request.h"
#include "eventhub/proto/url.h"
#include "eventhub/proto/ws_handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_prefixes(const char *bytes, size_t len, size_t step, int whole) {
  struct http_request request;
  for (size_t end = 0; end < len; end += step) {
    int verdict = http_request_parse(bytes, end, &request);
    assert(verdict == ERR_AGAIN || verdict == whole);
  }
}

static void check_visible(struct slice text) {
  for (size_t i = 0; i < text.len; i++)
    assert(text.ptr[i] > ' ' && text.ptr[i] != 0x7f);
}

static void check_text(struct slice text) {
  for (size_t i = 0; i < text.len; i++) {
    unsigned char byte = (unsigned char)text.ptr[i];
    assert(byte >= ' ' || byte == '\t');
    assert(byte != 0x7f);
  }
}

static void check_target(const struct http_request *request) {
  check_visible(request->method);
  check_visible(request->target);
  bool is_asterisk = slice_equal(request->path, SLICE("*"));
  assert(is_asterisk || slice_starts_with(request->path, SLICE("/")));
  AUTO(buf) struct buf text = BUF_INIT;
  assert(url_decode(request->path, &text) == 0);
  assert(url_decode(request->query, &text) == 0);
}

static void check_headers(const struct http_request *request) {
  assert(request->header_count <= HTTP_HEADERS_MAX);
  for (size_t i = 0; i < request->header_count; i++) {
    const struct http_header *header = &request->headers[i];
    assert(header->name.len > 0);
    check_visible(header->name);
    check_text(header->value);
    assert(http_request_header(request, header->name).ptr != NULL);
  }
  size_t lengths = http_request_header_count(request, SLICE("Content-Length"));
  size_t encodings = http_request_header_count(request, SLICE("Transfer-Encoding"));
  assert(lengths + encodings <= 1);
  assert(request->chunked == (encodings == 1));
  assert(request->minor == 0 || http_request_header_count(request, SLICE("Host")) == 1);
}

static void check_handshake(const struct http_request *request) {
  struct ws_handshake handshake;
  AUTO(buf) struct buf out = BUF_INIT;
  int status = ws_handshake_check(request, &handshake);
  assert((status == 101) == (handshake.reason == NULL));
  if (status != 101) return;
  assert(strlen(handshake.accept) == WS_ACCEPT_LEN);
  ws_handshake_encode(&out, &handshake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  const char *bytes = (const char *)data + 1;
  size_t len = size - 1, step = 1 + data[0] % 64;
  struct http_request request;
  int verdict = http_request_parse(bytes, len, &request);
  check_prefixes(bytes, len, len > 4096 ? 997 : step, verdict);
  if (verdict < 0) return 0;
  assert((size_t)verdict <= len && verdict <= HTTP_HEAD_MAX);
  assert(memcmp(bytes + verdict - 4, "\r\n\r\n", 4) == 0);
  check_target(&request);
  check_headers(&request);
  check_handshake(&request);
  return 0;
}
