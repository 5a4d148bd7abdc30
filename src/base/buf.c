#include "eventhub/base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "eventhub/base/mem.h"

enum { BUF_CAP_FIRST = 64 };

/* "000102...99": two digits per division. */
static const char digit_pairs[201] = "00010203040506070809101112131415161718192021222324"
                                     "25262728293031323334353637383940414243444546474849"
                                     "50515253545556575859606162636465666768697071727374"
                                     "75767778798081828384858687888990919293949596979899";

void buf_done(struct buf *buf) {
  free(buf->data);
  buf_init(buf);
}

void buf_grow(struct buf *buf, size_t more) {
  assert(more <= SIZE_MAX / 4 && buf->len <= SIZE_MAX / 4);
  size_t needed = buf->len + more;
  size_t cap = buf->cap * 2;
  if (cap < BUF_CAP_FIRST) cap = BUF_CAP_FIRST;
  if (cap < needed) cap = needed;
  buf->data = x_realloc(buf->data, cap);
  buf->cap = cap;
}

/* Digits are written from the right; answers the first one. */
static char *format_backwards(char *end, uint64_t number) {
  while (number >= 100) {
    end -= 2;
    memcpy(end, digit_pairs + number % 100 * 2, 2);
    number /= 100;
  }
  if (number >= 10) {
    end -= 2;
    memcpy(end, digit_pairs + number * 2, 2);
    return end;
  }
  *--end = (char)('0' + number);
  return end;
}

size_t buf_format_u64(char out[BUF_U64_MAX], uint64_t number) {
  char digits[BUF_U64_MAX];
  const char *start = format_backwards(digits + BUF_U64_MAX, number);
  size_t len = (size_t)(digits + BUF_U64_MAX - start);
  memcpy(out, start, len);
  return len;
}

void buf_append_u64(struct buf *buf, uint64_t number) {
  buf->len += buf_format_u64(buf_reserve(buf, BUF_U64_MAX), number);
}

void buf_append_i64(struct buf *buf, int64_t number) {
  if (number < 0) buf_append_char(buf, '-');
  buf_append_u64(buf, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

void buf_vprintf(struct buf *buf, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  size_t room = buf->cap - buf->len;
  /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): buf_printf started it. */
  int len = vsnprintf(buf_reserve(buf, 0), room, format, again);
  va_end(again);
  assert(len >= 0);
  if ((size_t)len >= room) {
    char *out = buf_reserve(buf, (size_t)len + 1);
    vsnprintf(out, (size_t)len + 1, format, args);
  }
  buf->len += (size_t)len;
}

void buf_printf(struct buf *buf, const char *format, ...) {
  va_list args;
  va_start(args, format);
  buf_vprintf(buf, format, args);
  va_end(args);
}

void buf_consume(struct buf *buf, size_t n) {
  assert(n <= buf->len);
  buf->len -= n;
  if (buf->len > 0) memmove(buf->data, buf->data + n, buf->len);
}
