#include "eventhub/proto/sse.h"

#include <string.h>

static void append_field(struct buf *out, const char *name, struct slice value) {
  buf_append_str(out, name);
  buf_append_slice(out, value);
  buf_append_char(out, '\n');
}

static const char *find(const char *at, const char *end, char byte) {
  const char *found = at == end ? NULL : memchr(at, byte, (size_t)(end - at));
  return found == NULL ? end : found;
}

/* Data without CR, which is nearly all: only LF ends its lines. */
static void append_lines(struct buf *out, const char *at, const char *end) {
  for (;;) {
    const char *line_end = find(at, end, '\n');
    append_field(out, "data: ", slice_of(at, (size_t)(line_end - at)));
    if (line_end == end) return;
    at = line_end + 1;
  }
}

/* The same with each CR, and each LF that does not follow one, ending a line. */
static void append_mixed_lines(struct buf *out, const char *at, const char *end) {
  for (;;) {
    const char *line_end = at;
    while (line_end < end && *line_end != '\n' && *line_end != '\r')
      line_end++;
    append_field(out, "data: ", slice_of(at, (size_t)(line_end - at)));
    if (line_end == end) return;
    bool is_crlf = line_end[0] == '\r' && line_end + 1 < end && line_end[1] == '\n';
    at = line_end + (is_crlf ? 2 : 1);
  }
}

void sse_append_event(struct buf *out, struct slice event, struct slice id, struct slice data) {
  if (event.len > 0) append_field(out, "event: ", event);
  if (id.len > 0) append_field(out, "id: ", id);
  const char *end = data.ptr + data.len;
  if (find(data.ptr, end, '\r') == end) {
    append_lines(out, data.ptr, end);
  } else {
    append_mixed_lines(out, data.ptr, end);
  }
  buf_append_char(out, '\n');
}

void sse_append_comment(struct buf *out, struct slice text) {
  append_field(out, ": ", text);
  buf_append_char(out, '\n');
}

/* No line of ours but the last of an event is empty. */
size_t sse_event_boundary(const char *bytes, size_t len, size_t at) {
  static const char blank_line[] = "\n\n";
  if (at == 0 || at == len) return at;
  /* From one byte before, in case that `at` stands right between the two. */
  size_t from = at >= 2 && memcmp(bytes + at - 2, blank_line, 2) == 0 ? at - 2 : at - 1;
  const char *found = memmem(bytes + from, len - from, blank_line, 2);
  return found == NULL ? len : (size_t)(found - bytes) + 2;
}
