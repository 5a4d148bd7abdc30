#ifndef EVENTHUB_STORE_LOG_READ_H
#define EVENTHUB_STORE_LOG_READ_H

/*
 * Reading the eventlog: the newest messages behind a point, of one topic or merged over all that a
 * pattern matches, oldest first.
 *
 * `recovered` is true only where nothing behind the point is missing: nothing trimmed, expired or
 * forgotten, nothing cut off by limit or max_bytes. A message id that looks like one from before
 * the eventlog was born, and that it cannot place, counts as missing too: it cannot know what came
 * between.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/store/eventlog.h"
#include "eventhub/store/store.h"

/* How far before the birth an id still looks like one that this broker gave. */
static const uint64_t LOG_READ_PREHISTORY_MS = 30ull * 24 * 3600 * 1000;

struct log_query {
  struct slice filter;
  struct log_point point;
  uint32_t limit;
  size_t max_bytes; /* of JSON items; 0 = no limit */
  uint64_t now_ms;  /* what expired by then is not returned */
};

struct log_answer {
  struct message **messages; /* a reference each; NULL when count is 0 */
  size_t count;
  bool recovered;
};

/* The answer is the caller's: log_answer_done. */
void log_read(const struct eventlog *log, const struct log_query *query, struct log_answer *ret);
void log_answer_done(struct log_answer *answer);

#endif
