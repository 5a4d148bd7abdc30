#include "eventhub/base/slice.h"

#include "eventhub/base/err.h"

static unsigned char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : (unsigned char)c;
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

bool slice_equal_nocase(struct slice a, struct slice b) {
  if (a.len != b.len) return false;
  for (size_t i = 0; i < a.len; i++)
    if (to_lower(a.ptr[i]) != to_lower(b.ptr[i])) return false;
  return true;
}

struct slice slice_trim(struct slice text) {
  while (text.len > 0 && is_blank(text.ptr[0]))
    text = slice_skip(text, 1);
  while (text.len > 0 && is_blank(text.ptr[text.len - 1]))
    text.len--;
  return text;
}

int slice_to_u64(struct slice text, uint64_t *ret_number) {
  if (text.len == 0) return ERR_INVALID;
  uint64_t number = 0;
  bool is_too_big = false;
  for (size_t i = 0; i < text.len; i++) {
    unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';
    if (digit > 9) return ERR_INVALID;
    is_too_big |= __builtin_mul_overflow(number, 10, &number);
    is_too_big |= __builtin_add_overflow(number, digit, &number);
  }
  if (is_too_big) return ERR_TOO_BIG;
  *ret_number = number;
  return 0;
}

int slice_to_i64(struct slice text, int64_t *ret_number) {
  bool is_negative = text.len > 0 && text.ptr[0] == '-';
  uint64_t magnitude;
  int err = slice_to_u64(is_negative ? slice_skip(text, 1) : text, &magnitude);
  if (err) return err;
  if (magnitude > (uint64_t)INT64_MAX + (is_negative ? 1 : 0)) return ERR_TOO_BIG;
  /* Unsigned negation wraps, so that INT64_MIN comes out right. */
  *ret_number = (int64_t)(is_negative ? 0 - magnitude : magnitude);
  return 0;
}

bool slice_next_token(struct slice *rest, char separator, struct slice *ret_token) {
  if (!rest->ptr) return false;
  const char *end = rest->len ? memchr(rest->ptr, separator, rest->len) : NULL;
  if (!end) {
    *ret_token = *rest;
    *rest = (struct slice){NULL, 0};
    return true;
  }
  *ret_token = slice_of(rest->ptr, (size_t)(end - rest->ptr));
  *rest = slice_skip(*rest, ret_token->len + 1);
  return true;
}
