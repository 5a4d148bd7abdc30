#include "eventhub/base/log.h"

#include <errno.h>
#include <unistd.h>

#include "eventhub/base/clock.h"

enum { WINDOW_COUNT_BITS = 8 };

atomic_int log_threshold = LOG_INFO;
static atomic_int log_current_format = LOG_TEXT;

void log_set_level(enum log_level level) {
  atomic_store(&log_threshold, (int)level);
}

void log_set_format(enum log_format format) {
  atomic_store(&log_current_format, (int)format);
}

bool log_limit_take(struct log_limit *limit, uint64_t now_ms, uint64_t *ret_suppressed) {
  uint64_t fresh = (now_ms / 1000) << WINDOW_COUNT_BITS;
  uint64_t window = atomic_load(&limit->window);
  uint64_t wanted;
  do {
    wanted = (window > fresh ? window : fresh) + 1;
    if ((wanted & ((1U << WINDOW_COUNT_BITS) - 1)) > LOG_LIMIT_LINES) {
      atomic_fetch_add(&limit->suppressed, 1);
      return false;
    }
  } while (!atomic_compare_exchange_weak(&limit->window, &window, wanted));
  *ret_suppressed = atomic_exchange(&limit->suppressed, 0);
  return true;
}

static void write_line(const struct log_event *event) {
  int saved_errno = errno;
  char line[LOG_LINE_MAX];
  enum log_format format = (enum log_format)atomic_load(&log_current_format);
  size_t len = log_line_format(format, event, line);
  /* One write of at most PIPE_BUF bytes, so that lines of several threads do not mix. Where it
   * fails there is nobody left to tell. */
  ssize_t ignored = write(STDERR_FILENO, line, len);
  (void)ignored;
  errno = saved_errno;
}

void log_write(enum log_level level, const struct log_field *fields) {
  write_line(&(struct log_event){.level = level, .wall_ms = clock_wall_ms(), .fields = fields});
}

void log_write_limited(struct log_limit *limit, enum log_level level,
                       const struct log_field *fields) {
  uint64_t suppressed;
  if (!log_limit_take(limit, clock_monotonic_ms(), &suppressed)) return;
  write_line(&(struct log_event){
      .level = level, .wall_ms = clock_wall_ms(), .suppressed = suppressed, .fields = fields});
}
