#ifndef EVENTHUB_STORE_LOG_OLD_H
#define EVENTHUB_STORE_LOG_OLD_H

/*
 * The messages of an eventlog that have left memory and are on the disk only, in the journal's
 * table of old ones. The oldest of all leave first, in steps: a step adds them to the journal's
 * open set, and when that is written they go from their topics' rings. So each message is to be had
 * at any time, from the ring where it is in both:
 *
 *   journal's blocks      old          ring
 *   1 2 3 4 5 6 7 8 9                  1 2 3 4 5 6 7 8 9
 *   1 2 3 4 5 6 7 8 9     1 2 3        1 2 3 4 5 6 7 8 9      step: 1, 2, 3
 *         4 5 6 7 8 9     1 2 3              4 5 6 7 8 9      written
 *
 * The topic's row goes with them, so that a start knows that what is in blocks up to its old_last
 * has gone. Of a topic there stay in memory: its name, two ids, and how many are on the disk.
 * Store turns only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/list.h"
#include "eventhub/base/map.h"
#include "eventhub/topic/message.h"

struct eventlog;
struct log_topic;

struct log_old_topic {
  struct log_topic *topic;
  struct map_node node;   /* log_old.topics, by the topic's row */
  struct list moving;     /* the ring still has what leaves */
  struct list too_long;   /* it has more than MAX_CACHE_LENGTH */
  uint64_t count;         /* messages on the disk */
  struct message_id last; /* the newest of them */
  uint32_t moving_count;
  uint64_t step; /* the last one that it had messages in */
};

struct log_old {
  struct map topics;
  struct list moving, too_long;
  uint64_t step;       /* how many there have been */
  uint64_t next_block; /* nothing in blocks before it is in memory */
  uint64_t set;        /* of the journal, with the last step's changes; 0 = none is under way */
  bool is_expiry_next; /* what the next step removes first */
  bool is_behind;      /* the last step has left something to be removed */
};

void log_old_init(struct log_old *old);
/* The topics' part is freed with them. */
void log_old_done(struct log_old *old);
/* Of a topic that is going to be freed. */
void log_old_free(struct log_old_topic *topic);

/* From the journal: so much of the topic is there. */
void log_old_restore(struct eventlog *log, struct log_topic *topic, uint64_t count,
                     struct message_id last);
/* Is the message there, or has it been? */
bool log_old_has(const struct log_topic *topic, struct message_id id);

/* How many the topic has. */
static inline uint64_t log_old_count(const struct log_old_topic *old) {
  return old == NULL ? 0 : old->count;
}
/* With them the topic has more than it may: the next steps remove the oldest. */
void log_old_note_too_long(struct eventlog *log, struct log_topic *topic);

/* After a write: what was moved leaves memory, at most `max` messages of it. No step begins before
 * all of them have. */
void log_old_settle(struct eventlog *log, size_t max);
/* A step: removes what has expired and what is too much, then moves what memory has above
 * `max_memory` (0 = no limit); about max_messages each, and max_bytes moved. True: the open set has
 * something of it. A second call with the same open set only moves more. Nothing happens from the
 * end of that set until it is settled. */
struct log_old_limits {
  uint64_t max_memory;
  size_t max_messages, max_bytes;
};
bool log_old_step(struct eventlog *log, const struct log_old_limits *limits, uint64_t now_ms);
/* Only the last part of a step. */
bool log_old_move(struct eventlog *log, const struct log_old_limits *limits);
/* Has the disk been so slow that memory has far more than it should? */
bool log_old_is_far_behind(const struct eventlog *log, uint64_t max_memory);
/* Would another step find something to do, as far as is known? */
bool log_old_has_work(const struct eventlog *log, uint64_t max_memory);

#endif
