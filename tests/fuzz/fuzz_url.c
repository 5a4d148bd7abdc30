/*
 * Input: text, which is taken as a path and as a query. Checked against a byte-by-byte decoder; and
 * decoding what was encoded gives the same again.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/err.h"
#include "eventhub/proto/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int naive_digit(char digit) {
  const char *digits = "0123456789abcdef0123456789ABCDEF";
  const char *found = digit == '\0' ? NULL : strchr(digits, digit);
  return found == NULL ? -1 : (int)(found - digits) % 16;
}

static int naive_decode(struct slice text, struct buf *ret) {
  for (size_t i = 0; i < text.len; i++) {
    char byte = text.ptr[i];
    if (byte == '%') {
      if (i + 2 >= text.len) return ERR_INVALID;
      int high = naive_digit(text.ptr[i + 1]), low = naive_digit(text.ptr[i + 2]);
      if (high < 0 || low < 0) return ERR_INVALID;
      byte = (char)(high * 16 + low);
      i += 2;
    }
    if (byte == '\0') return ERR_INVALID;
    buf_append_char(ret, byte);
  }
  return 0;
}

static void check_decode(struct slice text) {
  AUTO(buf) struct buf fast = BUF_INIT, naive = BUF_INIT;
  int err = url_decode(text, &fast);
  assert(err == naive_decode(text, &naive));
  if (err == 0) assert(url_escapes_are_valid(text));
  if (err == 0) assert(slice_equal(buf_slice(&fast), buf_slice(&naive)));
  if (err < 0) assert(fast.len == 0);
}

static void check_encoded(struct slice text) {
  AUTO(buf) struct buf encoded = BUF_INIT, decoded = BUF_INIT;
  if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL) return;
  for (size_t i = 0; i < text.len; i++)
    buf_printf(&encoded, i % 2 ? "%%%02x" : "%%%02X", (unsigned char)text.ptr[i]);
  assert(url_decode(buf_slice(&encoded), &decoded) == 0);
  assert(slice_equal(buf_slice(&decoded), text));
}

/* The value of the first pair whose name is that of `pair`. */
static int naive_find(struct slice query, struct slice name, struct buf *ret_value) {
  struct slice pair, found;
  while (slice_next_token(&query, '&', &pair)) {
    AUTO(buf) struct buf decoded = BUF_INIT;
    struct slice rest = pair;
    slice_next_token(&rest, '=', &found);
    if (naive_decode(found, &decoded) < 0 || !slice_equal(buf_slice(&decoded), name)) continue;
    return rest.ptr == NULL ? 0 : naive_decode(rest, ret_value);
  }
  return ERR_NOT_FOUND;
}

static void check_name(struct slice query, struct slice name) {
  AUTO(buf) struct buf fast = BUF_INIT, naive = BUF_INIT;
  int err = url_query_find(query, name, &fast);
  assert(err == naive_find(query, name, &naive));
  if (err == 0) assert(slice_equal(buf_slice(&fast), buf_slice(&naive)));
}

static void check_query(struct slice query) {
  struct slice rest = query, pair, name;
  check_name(query, SLICE("auth"));
  for (int i = 0; i < 8 && slice_next_token(&rest, '&', &pair); i++) {
    AUTO(buf) struct buf decoded = BUF_INIT;
    slice_next_token(&pair, '=', &name);
    if (url_decode(name, &decoded) == 0) check_name(query, buf_slice(&decoded));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice text = slice_of((const char *)data, size);
  check_decode(text);
  check_encoded(text);
  check_query(text);
  return 0;
}
