/*
 * Input: a byte that says how the rest is cut, one that says how long the body is (0: in chunks),
 * then a body. Checked: cut in any way it is the same body with the same end; what is accepted in
 * chunks is what a reader that only looks for line ends sees, too.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/proto/http_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum http_body_event feed(const struct http_request *request, struct slice text, size_t step,
                                 struct buf *ret, size_t *ret_used) {
  struct http_body body;
  size_t at = 0, end = 0;
  http_body_begin(&body, request);
  for (;;) {
    size_t used = 0;
    struct slice piece;
    enum http_body_event event = http_body_feed(&body, text.ptr + at, end - at, &used, &piece);
    assert(used <= end - at);
    if (event == HTTP_BODY_DATA) {
      assert(piece.len > 0 && piece.len <= used);
      assert(piece.ptr + piece.len == text.ptr + at + used);
      buf_append_slice(ret, piece);
    }
    at += used;
    *ret_used = at;
    if (event == HTTP_BODY_END || event == HTTP_BODY_BAD) return event;
    if (event == HTTP_BODY_DATA) continue;
    assert(at == end);
    if (end == text.len) return event;
    end = end + step < text.len ? end + step : text.len;
  }
}

/* A lenient reader: strtoull, and whatever stands up to the line feed. Of what the strict one
 * accepts it must see the same. */
static void check_lenient(struct slice text, size_t used, struct slice body) {
  AUTO(buf) struct buf copy = BUF_INIT;
  AUTO(buf) struct buf got = BUF_INIT;
  buf_append_slice(&copy, slice_of(text.ptr, used));
  buf_append_char(&copy, '\0');
  char *at = copy.data, *end = copy.data + used;
  for (;;) {
    char *line_end = memchr(at, '\n', (size_t)(end - at));
    assert(line_end != NULL);
    size_t len = strtoull(at, NULL, 16);
    at = line_end + 1;
    if (len == 0) break;
    assert(len + 2 <= (size_t)(end - at));
    buf_append(&got, at, len);
    at += len + 2;
  }
  assert(slice_equal(buf_slice(&got), body));
  for (size_t len = 1; len > 0;) {
    char *line_end = memchr(at, '\n', (size_t)(end - at));
    assert(line_end != NULL);
    len = (size_t)(line_end - at) - 1; /* without its CR */
    at = line_end + 1;
  }
  assert(at == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  const struct http_request request = {
      .has_body = true, .chunked = data[1] == 0, .content_length = data[1]};
  struct slice text = slice_of((const char *)data + 2, size - 2);
  AUTO(buf) struct buf whole = BUF_INIT, cut = BUF_INIT;
  size_t used = 0, cut_used = 0;
  enum http_body_event event = feed(&request, text, text.len + 1, &whole, &used);
  assert(feed(&request, text, 1 + data[0] % 16, &cut, &cut_used) == event);
  assert(used == cut_used && whole.len <= used);
  assert(slice_equal(buf_slice(&whole), buf_slice(&cut)));
  if (event == HTTP_BODY_END && request.chunked) check_lenient(text, used, buf_slice(&whole));
  if (event == HTTP_BODY_END && !request.chunked) assert(whole.len == data[1] && used == data[1]);
  return 0;
}
