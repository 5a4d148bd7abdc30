#include "eventhub/base/json_escape.h"

#include <stdbool.h>
#include <stdint.h>

/* Letter behind the backslash of the two-character escapes. */
static const char short_escapes[256] = {
    ['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\t'] = 't',
    ['\n'] = 'n', ['\f'] = 'f',  ['\r'] = 'r',
};

static bool needs_escape(char c) {
  return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

/* Is any of the eight bytes one that needs_escape? The classic tests for "less than" and "zero"
 * in each byte of a word. */
static bool word_needs_escape(uint64_t word) {
  const uint64_t ones = 0x0101010101010101U;
  uint64_t quote = word ^ (ones * '"');
  uint64_t backslash = word ^ (ones * '\\');
  uint64_t controls = (word - ones * 0x20) & ~word;
  uint64_t found = controls | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash);
  return found & (ones * 0x80);
}

/* How many bytes at the front can be copied as they are. */
static size_t plain_prefix(const char *ptr, size_t len) {
  size_t n = 0;
  uint64_t word;
  for (; len - n >= sizeof word; n += sizeof word) {
    memcpy(&word, ptr + n, sizeof word);
    if (word_needs_escape(word)) break;
  }
  while (n < len && !needs_escape(ptr[n]))
    n++;
  return n;
}

static void append_escaped(struct buf *out, char c) {
  static const char digits[] = "0123456789abcdef";
  unsigned char byte = (unsigned char)c;
  if (short_escapes[byte]) {
    buf_append(out, (char[]){'\\', short_escapes[byte]}, 2);
    return;
  }
  buf_append(out, (char[]){'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]}, 6);
}

void buf_append_json_string(struct buf *out, struct slice text) {
  buf_reserve(out, text.len + 2);
  buf_append_char(out, '"');
  while (text.len > 0) {
    size_t plain = plain_prefix(text.ptr, text.len);
    buf_append(out, text.ptr, plain);
    text = slice_skip(text, plain);
    if (text.len == 0) break;
    append_escaped(out, text.ptr[0]);
    text = slice_skip(text, 1);
  }
  buf_append_char(out, '"');
}
