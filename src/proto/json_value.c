#include "eventhub/proto/json_value.h"

#include <string.h>

#include "eventhub/base/err.h"
#include "eventhub/base/json_escape.h"

enum { ESCAPE_UNICODE_LEN = 6 /* \uXXXX */, REPLACEMENT_CHARACTER = 0xFFFD };

/* What the letter after a backslash stands for; 0 for 'u', which stands for nothing by itself. */
static const char simple_escape[256] = {
    ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
    ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
};

static unsigned hex_digit(char c) {
  return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* The code unit of the \uXXXX at the start of `raw`; 0 where there is no such escape. */
static uint32_t unicode_escape(struct slice raw) {
  if (raw.len < ESCAPE_UNICODE_LEN || raw.ptr[0] != '\\' || raw.ptr[1] != 'u') return 0;

  uint32_t unit = 0;
  for (int i = 2; i < ESCAPE_UNICODE_LEN; i++)
    unit = unit << 4 | hex_digit(raw.ptr[i]);
  return unit;
}

static size_t utf8_encode(uint32_t c, char out[4]) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  if (c < 0x800) {
    out[0] = (char)(0xC0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3F));
    return 2;
  }
  if (c < 0x10000) {
    out[0] = (char)(0xE0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3F));
    out[2] = (char)(0x80 | (c & 0x3F));
    return 3;
  }
  out[0] = (char)(0xF0 | c >> 18);
  out[1] = (char)(0x80 | (c >> 12 & 0x3F));
  out[2] = (char)(0x80 | (c >> 6 & 0x3F));
  out[3] = (char)(0x80 | (c & 0x3F));
  return 4;
}

static bool is_high_surrogate(uint32_t unit) {
  return (unit & 0xFC00) == 0xD800;
}

static bool is_low_surrogate(uint32_t unit) {
  return (unit & 0xFC00) == 0xDC00;
}

/* Takes the escape at the start of `raw` and returns how many bytes of UTF-8 it made. */
static size_t take_escape(struct slice *raw, char out[4]) {
  char simple = simple_escape[(unsigned char)raw->ptr[1]];
  if (simple != 0) {
    *raw = slice_skip(*raw, 2);
    out[0] = simple;
    return 1;
  }

  uint32_t c = unicode_escape(*raw);
  *raw = slice_skip(*raw, ESCAPE_UNICODE_LEN);
  if (is_low_surrogate(c)) c = REPLACEMENT_CHARACTER;
  if (!is_high_surrogate(c)) return utf8_encode(c, out);

  uint32_t low = unicode_escape(*raw);
  if (!is_low_surrogate(low)) return utf8_encode(REPLACEMENT_CHARACTER, out);
  *raw = slice_skip(*raw, ESCAPE_UNICODE_LEN);
  return utf8_encode(0x10000 + ((c & 0x3FF) << 10 | (low & 0x3FF)), out);
}

/* Takes the bytes before the next escape, or all that are left. */
static struct slice take_plain(struct slice *raw) {
  const char *escape = raw->len == 0 ? NULL : memchr(raw->ptr, '\\', raw->len);
  size_t len = escape == NULL ? raw->len : (size_t)(escape - raw->ptr);
  struct slice plain = slice_of(raw->ptr, len);
  *raw = slice_skip(*raw, len);
  return plain;
}

/* Takes `prefix` off the front of `text`, if it is there. */
static bool take_prefix(struct slice *text, struct slice prefix) {
  if (!slice_starts_with(*text, prefix)) return false;
  *text = slice_skip(*text, prefix.len);
  return true;
}

/* Compares piece by piece, so that nothing has to be allocated. */
static bool decoded_equals(struct slice raw, struct slice text) {
  for (;;) {
    if (!take_prefix(&text, take_plain(&raw))) return false;
    if (raw.len == 0) return text.len == 0;

    char piece[4];
    size_t len = take_escape(&raw, piece);
    if (!take_prefix(&text, slice_of(piece, len))) return false;
  }
}

bool json_string_has_escapes(struct json_value value) {
  return value.type == JSON_STRING && memchr(value.text.ptr, '\\', value.text.len) != NULL;
}

bool json_string_decodes_to(struct json_value value, struct slice text) {
  return json_string_has_escapes(value) && decoded_equals(json_string_raw(value), text);
}

int json_string_decode(struct json_value value, struct buf *ret) {
  if (value.type != JSON_STRING) return ERR_INVALID;

  struct slice raw = json_string_raw(value);
  buf_reserve(ret, raw.len);
  for (;;) {
    buf_append_slice(ret, take_plain(&raw));
    if (raw.len == 0) return ERR_OK;

    char piece[4];
    size_t len = take_escape(&raw, piece);
    buf_append(ret, piece, len);
  }
}

/* A number as ±digits × 10^exponent, where digits ends with no zero. */
struct decimal {
  bool is_negative;
  uint64_t digits; /* meaningless where count > DECIMAL_DIGITS_MAX */
  size_t count;    /* of decimal digits in digits, without leading zeros */
  size_t pending;  /* zeros read since then, which count only if another digit follows */
  int64_t exponent;
};

enum { DECIMAL_DIGITS_MAX = 19 /* 10^19 - 1 is less than 2^64 */ };

static uint64_t power_of_ten(size_t exponent) {
  uint64_t power = 1;
  while (exponent-- > 0)
    power *= 10;
  return power;
}

static void decimal_add_digit(struct decimal *d, unsigned digit) {
  if (digit == 0) {
    if (d->count > 0) d->pending++;
    return;
  }
  d->count += d->pending + 1;
  if (d->count <= DECIMAL_DIGITS_MAX) d->digits = d->digits * power_of_ten(d->pending + 1) + digit;
  d->pending = 0;
}

/* Stops counting where the text cannot be long enough to make up for it. */
static int64_t exponent_parse(const char *at, const char *end) {
  static const int64_t huge = INT64_C(1) << 56;
  bool is_negative = *at == '-';
  if (*at == '-' || *at == '+') at++;

  int64_t exponent = 0;
  for (; at < end && exponent < huge; at++)
    exponent = exponent * 10 + (*at - '0');
  return is_negative ? -exponent : exponent;
}

static struct decimal decimal_parse(struct slice number) {
  struct decimal d = {0};
  const char *at = number.ptr, *end = number.ptr + number.len;
  d.is_negative = *at == '-';
  if (d.is_negative) at++;

  int64_t fraction_step = 0;
  for (; at < end && (*at | 0x20) != 'e'; at++) {
    if (*at == '.') {
      fraction_step = 1;
      continue;
    }
    decimal_add_digit(&d, (unsigned)(*at - '0'));
    d.exponent -= fraction_step;
  }
  if (at < end) d.exponent += exponent_parse(at + 1, end);
  d.exponent += (int64_t)d.pending;
  return d;
}

int json_to_i64(struct json_value value, int64_t *ret) {
  if (value.type != JSON_NUMBER) return ERR_INVALID;

  struct decimal d = decimal_parse(value.text);
  if (d.count == 0) {
    *ret = 0;
    return ERR_OK;
  }
  if (d.exponent < 0) return ERR_INVALID;
  if ((int64_t)d.count + d.exponent > DECIMAL_DIGITS_MAX) return ERR_TOO_BIG;

  uint64_t magnitude = d.digits * power_of_ten((size_t)d.exponent);
  uint64_t limit = (uint64_t)INT64_MAX + d.is_negative;
  if (magnitude > limit) return ERR_TOO_BIG;
  *ret = d.is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
  return ERR_OK;
}

void json_append_string(struct buf *out, struct slice text) {
  buf_append_json_string(out, text);
}
