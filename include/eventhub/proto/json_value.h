/* One JSON value (RFC 8259) as the text that it was written as, and what that text means.
 *
 * A value owns nothing: its text points into the bytes that were parsed and lives as long as they
 * do. So numbers and strings can be sent on byte for byte as a client wrote them. Values come out
 * of json_parse and the iterators of json.h; the functions here rely on their text being valid.
 *
 * Pure functions of their arguments; any thread.
 */
#ifndef EVENTHUB_PROTO_JSON_VALUE_H
#define EVENTHUB_PROTO_JSON_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"

enum json_type {
  JSON_NULL,
  JSON_FALSE,
  JSON_TRUE,
  JSON_NUMBER,
  JSON_STRING,
  JSON_ARRAY,
  JSON_OBJECT,
};

struct json_value {
  enum json_type type;
  struct slice
      text; /* without surrounding space; a string with its quotes, all escapes as written */
};

/* Whether a string contains an escape. One without can be used as it is: json_string_raw. False
 * for what is not a string. */
bool json_string_has_escapes(struct json_value value);

/* The text between the quotes of a string, escapes as written. `value` must be a string. */
static inline struct slice json_string_raw(struct json_value value) {
  return slice_of(value.text.ptr + 1, value.text.len - 2);
}

/* json_string_equals for a raw text that is longer than `text`. */
bool json_string_decodes_to(struct json_value value, struct slice text);

/* Whether `value` is a string whose decoded text is `text`. */
static inline bool json_string_equals(struct json_value value, struct slice text) {
  if (value.type != JSON_STRING) return false;
  struct slice raw = json_string_raw(value);
  if (raw.len == 0 || text.len == 0) return raw.len == text.len;
  if (raw.ptr[0] != text.ptr[0] && raw.ptr[0] != '\\') return false;

  /* An escape is longer than what it stands for: of the same length means without any. */
  if (raw.len > text.len) return json_string_decodes_to(value, text);
  return slice_equal(raw, text) && memchr(text.ptr, '\\', text.len) == NULL;
}

/* Whether it is null or the empty string: neither is a message, and to existing clients both mean
 * that there is none. */
static inline bool json_is_blank(struct json_value value) {
  return value.type == JSON_NULL || json_string_equals(value, SLICE(""));
}

/* Appends a string's decoded text to `ret`. A surrogate pair becomes one character and a lone
 * surrogate U+FFFD (RFC 8259 8.2 leaves that open), so UTF-8 in gives UTF-8 out. The text may
 * contain NUL (\u0000). ERR_INVALID if `value` is not a string; then `ret` is unchanged. */
int json_string_decode(struct json_value value, struct buf *ret);

/* The whole number that `value` is, in any spelling: 1000, 1e3, 1000.0 and 10000e-1 are the same.
 * Exact over the whole range. ERR_INVALID if it is not a number or has a fraction, ERR_TOO_BIG if
 * it is whole but not an int64_t. */
int json_to_i64(struct json_value value, int64_t *ret);

/* Appends `text` (UTF-8) as a JSON string: in quotes, escaped. */
void json_append_string(struct buf *out, struct slice text);

#endif
