/* Text as (pointer, length), borrowed from somebody else.
 *
 * A slice owns nothing and is passed by value; it is valid as long as the bytes that it points
 * into. There is no NUL at its end. ptr NULL means "absent", which is not the same as empty but
 * has length 0 and compares equal to it. Pure functions, any thread. */
#ifndef EVENTHUB_BASE_SLICE_H
#define EVENTHUB_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
  const char *ptr;
  size_t len;
};

/* Of a string literal; also a constant initialiser: static const struct slice s = SLICE_INIT("").
 */
#define SLICE(literal) ((struct slice)SLICE_INIT(literal))
#define SLICE_INIT(literal)                                                                        \
  { "" literal, sizeof(literal) - 1 }

/* For printf's "%.*s". The length must fit an int. */
#define SLICE_PRINTF(slice) (int)(slice).len, (slice).ptr

static inline struct slice slice_of(const char *ptr, size_t len) {
  return (struct slice){ptr, len};
}

/* NULL becomes the absent slice. */
static inline struct slice slice_str(const char *cstr) {
  return (struct slice){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool slice_equal(struct slice a, struct slice b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_starts_with(struct slice text, struct slice prefix) {
  return text.len >= prefix.len &&
         (prefix.len == 0 || memcmp(text.ptr, prefix.ptr, prefix.len) == 0);
}

/* text without its first n bytes; n must not be over its length. */
static inline struct slice slice_skip(struct slice text, size_t n) {
  return (struct slice){n ? text.ptr + n : text.ptr, text.len - n};
}

/* Equal when A-Z and a-z are taken as the same; every other byte counts. */
bool slice_equal_nocase(struct slice a, struct slice b);

/* Without spaces and tabs at both ends. */
struct slice slice_trim(struct slice text);

/* Strict decimal: digits only, no blanks, no '+'; leading zeros are allowed. 0; ERR_INVALID for
 * anything else; ERR_TOO_BIG when the number does not fit. slice_to_i64 also takes one '-'. */
int slice_to_u64(struct slice text, uint64_t *ret_number);
int slice_to_i64(struct slice text, int64_t *ret_number);

/* Cuts the next token off *rest; false when there is none left.
 *
 * n separators make n + 1 tokens, empty ones included: "a//" split at '/' is "a", "", "". Empty
 * text is one empty token, absent text is none. *rest becomes absent with the last token. */
bool slice_next_token(struct slice *rest, char separator, struct slice *ret_token);

#endif
