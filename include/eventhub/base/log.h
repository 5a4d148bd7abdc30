/* The log: one event, one line, one write(2) to stderr. Any thread.
 *
 *   log_info("listening", LOG_STR("address", address), LOG_UINT("port", port));
 *
 *   text   2026-01-02T03:04:05.678Z info listening address=* port=8080
 *   json   {"time":"2026-01-02T03:04:05.678Z","level":"info","event":"listening",...}
 *
 * The event is lower case and says what happened; what varies goes into fields. Field values are
 * not evaluated when the level is off. Tokens and payloads are never logged. What a peer can cause
 * is logged with log_limited, and never as an error. errno is kept. */
#ifndef EVENTHUB_BASE_LOG_H
#define EVENTHUB_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/log_line.h"
#include "eventhub/base/slice.h"

/* From `level` on lines are written; LOG_OFF writes none. The default is LOG_INFO. */
void log_set_level(enum log_level level);

/* The default is LOG_TEXT. */
void log_set_format(enum log_format format);

extern atomic_int log_threshold;

static inline bool log_is_on(enum log_level level) {
  return (int)level >= atomic_load_explicit(&log_threshold, memory_order_relaxed);
}

#define log_trace(...) LOG_AT(LOG_TRACE, __VA_ARGS__)
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__)

/* log_limited(LOG_WARN, "accept failed", LOG_ERRNO("error", errno));
 *
 * At most LOG_LIMIT_LINES a second from this place in the code, all threads together; the next
 * line that passes says suppressed=N for those that did not. */
#define log_limited(level, ...)                                                                    \
  do {                                                                                             \
    static struct log_limit log_limit_here;                                                        \
    if (log_is_on(level)) log_write_limited(&log_limit_here, (level), LOG_FIELDS(__VA_ARGS__));    \
  } while (0)

/* The rest is what the macros above are made of. */

#define LOG_AT(level, ...)                                                                         \
  do {                                                                                             \
    if (log_is_on(level)) log_write((level), LOG_FIELDS(__VA_ARGS__));                             \
  } while (0)

enum { LOG_LIMIT_LINES = 5 };

/* All zero at first. */
struct log_limit {
  _Atomic uint64_t window; /* second of the clock, shifted left by 8, and lines written in it */
  _Atomic uint64_t suppressed;
};

/* May a line be written now? If so, ret_suppressed is how many were refused since the last. */
bool log_limit_take(struct log_limit *limit, uint64_t now_ms, uint64_t *ret_suppressed);

/* fields: LOG_FIELDS(event, field...). Do not ask log_is_on. */
void log_write(enum log_level level, const struct log_field *fields);
void log_write_limited(struct log_limit *limit, enum log_level level,
                       const struct log_field *fields);

#endif
