#include "eventhub/base/log_line.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/err.h"

enum {
  /* Kept free behind the fields, so that these always fit:
   * ","suppressed":18446744073709551615,"truncated":true}\n */
  TAIL_ROOM = 64,
  BODY_MAX = LOG_LINE_MAX - TAIL_ROOM,
  /* What a field needs beside its key to be started at all; every number fits. */
  FIELD_ROOM = 32,
  PIECE_MAX = 6 /* one escaped character */
};

struct line {
  char *bytes;
  size_t len;
  enum log_format format;
  bool is_truncated;
};

static const char *const level_names[] = {
    [LOG_TRACE] = "trace", [LOG_DEBUG] = "debug", [LOG_INFO] = "info",
    [LOG_WARN] = "warn",   [LOG_ERROR] = "error", [LOG_OFF] = "off",
};

const char *log_level_name(enum log_level level) {
  return level_names[level];
}

int log_level_parse(struct slice name, enum log_level *ret_level) {
  for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
    if (!slice_equal(name, slice_str(level_names[i]))) continue;
    *ret_level = (enum log_level)i;
    return 0;
  }
  return ERR_INVALID;
}

/* Into room that the caller knows to be there. */
static void put(struct line *line, const char *ptr, size_t len) {
  memcpy(line->bytes + line->len, ptr, len);
  line->len += len;
}

static void put_str(struct line *line, const char *cstr) {
  put(line, cstr, strlen(cstr));
}

static bool has_room(struct line *line, size_t len) {
  if (line->len + len <= BODY_MAX) return true;
  line->is_truncated = true;
  return false;
}

/* Bytes of the UTF-8 sequence at the front and its code point; 0 when there is none. RFC 3629 4. */
static size_t utf8_decode(struct slice text, uint32_t *ret_code_point) {
  static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  unsigned char lead = (unsigned char)text.ptr[0];
  size_t len = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (len == 0 || len > text.len || lead > 0xf4) return 0;
  uint32_t code_point = len == 1 ? lead : lead & (0x7fU >> len);
  for (size_t i = 1; i < len; i++) {
    unsigned char byte = (unsigned char)text.ptr[i];
    if ((byte & 0xc0) != 0x80) return 0;
    code_point = code_point << 6 | (byte & 0x3f);
  }
  bool is_surrogate = code_point >= 0xd800 && code_point <= 0xdfff;
  if (code_point < smallest[len] || code_point > 0x10ffff || is_surrogate) return 0;
  *ret_code_point = code_point;
  return len;
}

/* The first character of text as it goes between quotes, in both formats: JSON's escapes. Answers
 * the length of `out` and how many bytes of text are done. */
static size_t escape_first(struct slice text, char out[PIECE_MAX + 1], size_t *ret_taken) {
  uint32_t c = 0xfffd; /* what stands for bytes that are no text */
  size_t taken = utf8_decode(text, &c);
  *ret_taken = taken ? taken : 1;
  if (c == '"' || c == '\\') return (size_t)snprintf(out, PIECE_MAX + 1, "\\%c", (char)c);
  if (c == '\n') return (size_t)snprintf(out, PIECE_MAX + 1, "\\n");
  bool is_control = c < 0x20 || (c >= 0x7f && c < 0xa0);
  if (is_control || taken == 0)
    return (size_t)snprintf(out, PIECE_MAX + 1, "\\u%04x", (unsigned)c & 0xffff);
  memcpy(out, text.ptr, taken);
  return taken;
}

static void put_quoted(struct line *line, struct slice text) {
  put(line, "\"", 1);
  while (text.len > 0) {
    char piece[PIECE_MAX + 1];
    size_t taken;
    size_t len = escape_first(text, piece, &taken);
    if (!has_room(line, len)) break;
    put(line, piece, len);
    text = slice_skip(text, taken);
  }
  put(line, "\"", 1); /* out of the tail's room if need be */
}

/* May the value stand in a text line without quotes? */
static bool is_bare(struct slice text) {
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    if (c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '=') return false;
  }
  return text.len > 0;
}

static void put_text(struct line *line, struct slice text) {
  bool is_plain = line->format == LOG_TEXT && is_bare(text) && text.len <= BODY_MAX - line->len;
  if (is_plain)
    put(line, text.ptr, text.len);
  else
    put_quoted(line, text);
}

static void put_u64(struct line *line, uint64_t number) {
  line->len += buf_format_u64(line->bytes + line->len, number);
}

static void put_i64(struct line *line, int64_t number) {
  if (number < 0) put(line, "-", 1);
  put_u64(line, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

static void put_errno(struct line *line, int error) {
  char room[64];
  put_text(line, slice_str(strerror_r(error, room, sizeof room)));
}

static void put_key(struct line *line, const char *key) {
  bool is_json = line->format == LOG_JSON;
  put_str(line, is_json ? ",\"" : " ");
  put_str(line, key);
  put_str(line, is_json ? "\":" : "=");
}

static void put_field(struct line *line, const struct log_field *field) {
  if (!has_room(line, strlen(field->key) + FIELD_ROOM)) return;
  put_key(line, field->key);
  switch (field->kind) {
  case LOG_FIELD_TEXT: put_text(line, field->text); break;
  case LOG_FIELD_INT: put_i64(line, field->number); break;
  case LOG_FIELD_UINT: put_u64(line, field->unsigned_number); break;
  case LOG_FIELD_ERRNO: put_errno(line, field->error); break;
  }
}

static void put_time(struct line *line, uint64_t wall_ms) {
  time_t seconds = (time_t)(wall_ms / 1000);
  struct tm utc;
  gmtime_r(&seconds, &utc);
  char text[40];
  size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  put(line, text, len);
  len = (size_t)snprintf(text, sizeof text, ".%03uZ", (unsigned)(wall_ms % 1000));
  put(line, text, len);
}

/* Time, level and event; the event stands bare in a text line, it is our own words. */
static void put_head(struct line *line, const struct log_event *event) {
  bool is_json = line->format == LOG_JSON;
  struct slice what = event->fields[0].text;
  put_str(line, is_json ? "{\"time\":\"" : "");
  put_time(line, event->wall_ms);
  put_str(line, is_json ? "\",\"level\":\"" : " ");
  put_str(line, log_level_name(event->level));
  put_str(line, is_json ? "\",\"event\":" : " ");
  if (is_json)
    put_quoted(line, what);
  else if (has_room(line, what.len))
    put(line, what.ptr, what.len);
}

static void put_tail(struct line *line, uint64_t suppressed) {
  if (suppressed) {
    put_key(line, "suppressed");
    put_u64(line, suppressed);
  }
  if (line->is_truncated) {
    put_key(line, "truncated");
    put_str(line, "true");
  }
  put_str(line, line->format == LOG_JSON ? "}\n" : "\n");
}

/* NOLINTNEXTLINE(readability-non-const-parameter): written through line.bytes. */
size_t log_line_format(enum log_format format, const struct log_event *event,
                       char out[LOG_LINE_MAX]) {
  struct line line = {.bytes = out, .format = format};
  put_head(&line, event);
  for (const struct log_field *field = event->fields + 1; field->key; field++) {
    if (line.is_truncated) break;
    put_field(&line, field);
  }
  put_tail(&line, event->suppressed);
  return line.len;
}
