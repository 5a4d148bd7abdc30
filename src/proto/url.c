#include "eventhub/proto/url.h"

#include <stdint.h>
#include <string.h>

#include "eventhub/base/err.h"

/* Value of a hex digit plus one, so that 0 is everything else. */
static const uint8_t hex_digits[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

enum { ESCAPE_LEN = 3 };

/* The byte that the escape at `at` stands for; 0 where it is bad, cut off, or stands for NUL. */
static unsigned char escaped_byte(const char *at, const char *end) {
  if (end - at < ESCAPE_LEN) return 0;
  unsigned high = hex_digits[(unsigned char)at[1]], low = hex_digits[(unsigned char)at[2]];
  if (high == 0 || low == 0) return 0;
  return (unsigned char)((high - 1) << 4 | (low - 1));
}

static const char *find_escape(const char *at, const char *end) {
  const char *found = at == end ? NULL : memchr(at, '%', (size_t)(end - at));
  return found == NULL ? end : found;
}

bool url_escapes_are_valid(struct slice text) {
  const char *end = text.ptr + text.len;
  for (const char *at = find_escape(text.ptr, end); at < end;
       at = find_escape(at + ESCAPE_LEN, end)) {
    if (escaped_byte(at, end) == 0) return false;
  }
  return true;
}

static bool has_nul(struct slice text) {
  return text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL;
}

/* Of valid text. `out` has room for as many bytes as `text` has; returns where the decoded text
 * ends. */
static char *decode(struct slice text, char *out) {
  const char *at = text.ptr, *end = text.ptr + text.len;
  while (at < end) {
    const char *escape = find_escape(at, end);
    size_t plain = (size_t)(escape - at);
    memcpy(out, at, plain);
    out += plain;
    if (escape == end) break;
    *out++ = (char)escaped_byte(escape, end);
    at = escape + ESCAPE_LEN;
  }
  return out;
}

int url_decode(struct slice text, struct buf *ret) {
  if (has_nul(text) || !url_escapes_are_valid(text)) return ERR_INVALID;
  if (text.len == 0) return 0;
  char *out = buf_reserve(ret, text.len);
  buf_commit(ret, (size_t)(decode(text, out) - out));
  return 0;
}

/* Without decoding into memory. A bad escape is equal to nothing. */
static bool equals_decoded(struct slice text, struct slice plain) {
  const char *at = text.ptr, *end = text.ptr + text.len;
  size_t i = 0;
  for (; at < end && i < plain.len; i++) {
    bool is_escape = *at == '%';
    unsigned char byte = is_escape ? escaped_byte(at, end) : (unsigned char)*at;
    if (byte != (unsigned char)plain.ptr[i] || byte == 0) return false;
    at += is_escape ? ESCAPE_LEN : 1;
  }
  return at == end && i == plain.len;
}

int url_query_find(struct slice query, struct slice name, struct buf *ret_value) {
  struct slice pair;
  while (slice_next_token(&query, '&', &pair)) {
    const char *equals = pair.len == 0 ? NULL : memchr(pair.ptr, '=', pair.len);
    size_t name_len = equals == NULL ? pair.len : (size_t)(equals - pair.ptr);
    if (!equals_decoded(slice_of(pair.ptr, name_len), name)) continue;
    if (equals == NULL) return 0;
    return url_decode(slice_of(equals + 1, pair.len - name_len - 1), ret_value);
  }
  return ERR_NOT_FOUND;
}
