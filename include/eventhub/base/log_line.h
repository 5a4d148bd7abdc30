/* One line of the log as bytes: levels, fields, quoting. Pure, any thread.
 *
 * A line is bounded. A value that does not fit is cut, what follows it is left out, and the line
 * ends in truncated=true. Bytes that are not UTF-8, and control characters, never get through
 * as they are: a peer cannot forge a line or talk to a terminal. */
#ifndef EVENTHUB_BASE_LOG_LINE_H
#define EVENTHUB_BASE_LOG_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/slice.h"

enum { LOG_LINE_MAX = 4096 }; /* bytes, the newline included */

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_TEXT, LOG_JSON };

enum log_field_kind { LOG_FIELD_TEXT, LOG_FIELD_INT, LOG_FIELD_UINT, LOG_FIELD_ERRNO };

/* Borrowed: key and text must live until the call returns. Keys are plain words. */
struct log_field {
  const char *key; /* NULL ends an array of fields */
  enum log_field_kind kind;
  union {
    struct slice text;
    int64_t number;
    uint64_t unsigned_number;
    int error;
  };
};

#define LOG_STR(k, cstr)                                                                           \
  ((struct log_field){.key = (k), .kind = LOG_FIELD_TEXT, .text = slice_str(cstr)})
#define LOG_SLICE(k, slice)                                                                        \
  ((struct log_field){.key = (k), .kind = LOG_FIELD_TEXT, .text = (slice)})
#define LOG_INT(k, value) ((struct log_field){.key = (k), .kind = LOG_FIELD_INT, .number = (value)})
#define LOG_UINT(k, value)                                                                         \
  ((struct log_field){.key = (k), .kind = LOG_FIELD_UINT, .unsigned_number = (value)})
/* The system's words for an errno value. */
#define LOG_ERRNO(k, value)                                                                        \
  ((struct log_field){.key = (k), .kind = LOG_FIELD_ERRNO, .error = (value)})

/* An array of fields for log_line_format and log_write: the event first, then the others. */
#define LOG_FIELDS(event, ...)                                                                     \
  ((const struct log_field[]){LOG_STR("event", event), ##__VA_ARGS__, {.key = NULL}})

struct log_event {
  enum log_level level;
  uint64_t wall_ms;
  uint64_t suppressed;            /* lines left out before this one; 0 is not shown */
  const struct log_field *fields; /* the event first; ended by a NULL key */
};

/* Writes the line, with its newline and without a NUL; answers its length. */
size_t log_line_format(enum log_format format, const struct log_event *event,
                       char out[LOG_LINE_MAX]);

/* "trace" ... "off". */
const char *log_level_name(enum log_level level);

/* 0 or ERR_INVALID. */
int log_level_parse(struct slice name, enum log_level *ret_level);

#endif
