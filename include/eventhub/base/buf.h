/* A growing run of bytes.
 *
 *   data           data + len                data + cap
 *   |  content     |  room to append         |
 *
 * Owned by whoever holds the struct; buf_done frees the bytes. An empty buf holds no memory, so
 * one can sit in every connection. Every append may move the bytes: slices into a buf are valid
 * until the next append, consume or done. Memory grows by doubling. Not shared between threads. */
#ifndef EVENTHUB_BASE_BUF_H
#define EVENTHUB_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/slice.h"

struct buf {
  char *data;
  size_t len;
  size_t cap;
};

#define BUF_INIT                                                                                   \
  { NULL, 0, 0 }

enum {
  BUF_U64_MAX = 20, /* digits of the longest uint64_t */
  BUF_I64_MAX = 20  /* the same with a sign */
};

static inline void buf_init(struct buf *buf) {
  *buf = (struct buf)BUF_INIT;
}

/* Frees the bytes; the buf is empty and usable afterwards. */
void buf_done(struct buf *buf);

/* AUTO(buf) struct buf text = BUF_INIT; */
static inline void buf_cleanup(struct buf *buf) {
  buf_done(buf);
}

/* Forgets the content, keeps the memory. */
static inline void buf_clear(struct buf *buf) {
  buf->len = 0;
}

/* The slow half of buf_reserve. */
void buf_grow(struct buf *buf, size_t more);

/* Makes room for `more` bytes and answers where they go; what was written there becomes content
 * with buf_commit. Never NULL when more > 0. */
static inline char *buf_reserve(struct buf *buf, size_t more) {
  if (unlikely(buf->cap - buf->len < more)) buf_grow(buf, more);
  return buf->data ? buf->data + buf->len : NULL;
}

/* n bytes were written at the address that buf_reserve gave; n must not be over what was asked. */
static inline void buf_commit(struct buf *buf, size_t n) {
  buf->len += n;
}

/* The bytes must not lie inside this same buf. ptr may be NULL when len is 0. */
static inline void buf_append(struct buf *buf, const void *ptr, size_t len) {
  if (len == 0) return;
  memcpy(buf_reserve(buf, len), ptr, len);
  buf->len += len;
}

static inline void buf_append_slice(struct buf *buf, struct slice text) {
  buf_append(buf, text.ptr, text.len);
}

static inline void buf_append_str(struct buf *buf, const char *cstr) {
  buf_append(buf, cstr, strlen(cstr));
}

static inline void buf_append_char(struct buf *buf, char c) {
  *buf_reserve(buf, 1) = c;
  buf->len++;
}

/* Decimal. */
void buf_append_u64(struct buf *buf, uint64_t number);
void buf_append_i64(struct buf *buf, int64_t number);

/* The same digits into plain memory, no NUL; answers how many. */
size_t buf_format_u64(char out[BUF_U64_MAX], uint64_t number);

/* For text that is not hot. A NUL is written behind the content but not counted. */
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *buf, const char *format, va_list args) PRINTF_LIKE(2, 0);

/* Drops n bytes from the front, moving the rest down; n must not be over len. */
void buf_consume(struct buf *buf, size_t n);

/* The content, borrowed. Never absent: an empty buf is an empty slice. */
static inline struct slice buf_slice(const struct buf *buf) {
  return (struct slice){buf->data ? buf->data : "", buf->len};
}

#endif
