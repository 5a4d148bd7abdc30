/*
 * Input: the data of an event. Checked by a reader written after the standard (WHATWG HTML 9.2.6):
 * whatever the data is, it sees one event with the id that was given and that data, its line ends
 * all LF; and the event's end is found from everywhere inside.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/proto/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reader {
  struct buf id, data;
  unsigned events, fields;
};

static void take_line(struct reader *reader, struct slice line) {
  if (line.len == 0) {
    reader->events++;
    return;
  }
  assert(reader->events == 0);
  reader->fields++;
  if (slice_starts_with(line, SLICE("id: "))) {
    buf_append_slice(&reader->id, slice_of(line.ptr + 4, line.len - 4));
  } else {
    assert(slice_starts_with(line, SLICE("data: ")));
    buf_append_slice(&reader->data, slice_of(line.ptr + 6, line.len - 6));
    buf_append_char(&reader->data, '\n');
  }
}

static void read_stream(struct reader *reader, struct slice text) {
  size_t start = 0;
  for (size_t i = 0; i < text.len; i++) {
    char byte = text.ptr[i];
    if (byte != '\n' && byte != '\r') continue;
    take_line(reader, slice_of(text.ptr + start, i - start));
    if (byte == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n') i++;
    start = i + 1;
  }
  assert(start == text.len);
}

static void normalise(struct slice data, struct buf *out) {
  for (size_t i = 0; i < data.len; i++) {
    bool is_crlf = data.ptr[i] == '\r' && i + 1 < data.len && data.ptr[i + 1] == '\n';
    if (is_crlf) i++;
    buf_append_char(out, data.ptr[i] == '\r' ? '\n' : data.ptr[i]);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice text = slice_of((const char *)data, size);
  struct reader reader = {.id = BUF_INIT, .data = BUF_INIT};
  AUTO(buf) struct buf out = BUF_INIT, expected = BUF_INIT;
  sse_append_event(&out, SLICE(""), SLICE("1-0"), text);
  read_stream(&reader, buf_slice(&out));
  normalise(text, &expected);
  buf_append_char(&expected, '\n');
  assert(reader.events == 1);
  assert(slice_equal(buf_slice(&reader.id), SLICE("1-0")));
  assert(slice_equal(buf_slice(&reader.data), buf_slice(&expected)));
  size_t len = out.len;
  sse_append_comment(&out, SLICE("x"));
  for (size_t at = 1; at < len; at += 1 + len / 64)
    assert(sse_event_boundary(out.data, out.len, at) == len);
  assert(sse_event_boundary(out.data, out.len, len) == len);
  buf_done(&reader.id);
  buf_done(&reader.data);
  return 0;
}
