#ifndef EVENTHUB_STORE_EVENTLOG_H
#define EVENTHUB_STORE_EVENTLOG_H

/*
 * The eventlog: every topic's newest messages, in memory; with a journal older ones on its disk
 * (log_old.h). It gives out ids, keeps, trims and
 * expires; reading is log_read.h. Single-threaded, and it has no clock: time is an argument.
 *
 * A topic that has lost all its messages stays as a small memory of its last and its dropped id.
 * These are limited; when the oldest is forgotten, what it knew goes into two ids that hold for
 * every topic the eventlog knows nothing of:
 *
 *   floor       ids are above it, so that they go on increasing
 *   forgotten   messages up to it may be missing, so that no reader is told the contrary
 *
 * Topics whose last id is ahead of the clock are counted apart, since they drag the floor along.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/list.h"
#include "eventhub/base/map.h"
#include "eventhub/base/slice.h"
#include "eventhub/store/expiry_heap.h"
#include "eventhub/store/id_source.h"
#include "eventhub/store/journal.h"
#include "eventhub/store/log_index.h"
#include "eventhub/store/log_keeper.h"
#include "eventhub/store/log_old.h"
#include "eventhub/store/log_topic.h"
#include "eventhub/store/store_metrics.h"
#include "eventhub/topic/message.h"

enum { EVENTLOG_REMEMBERED_MAX = 65536 };

struct eventlog_config {
  bool keeps_messages;     /* false: it only gives ids */
  uint32_t max_length;     /* messages per topic; 0 = no limit */
  uint32_t max_remembered; /* topics without messages, of either kind */
  uint64_t birth_ms;       /* messages older than that were never seen, whatever their ids */
  struct journal *journal; /* told of what is lost; NULL = none */
};

/* Topics without messages, the one that became so first in front. */
struct log_memory {
  struct list topics;
  uint32_t count;
};

struct eventlog {
  struct eventlog_config config;
  struct store_metrics *metrics;
  struct id_source ids;
  struct map topics;
  struct log_index index;
  struct expiry_heap expiries; /* of topics, in whole seconds */
  struct log_memory remembered;
  struct log_memory ahead; /* those whose last id was ahead of the clock when they came in */
  struct message_id floor, forgotten;
  struct log_keeper keeper;
  struct log_old old;
};

/* The metrics outlive it. */
void eventlog_init(struct eventlog *log, const struct eventlog_config *config,
                   struct store_metrics *metrics);
void eventlog_done(struct eventlog *log);

/* NULL when nothing is known of the topic. */
struct log_topic *eventlog_find(const struct eventlog *log, struct slice name);

/* Publishing goes by steps, so that a commit may lie before the append:
 *
 *   topic = eventlog_hold(log, name)      found or made; it stays until released
 *   eventlog_next_id(log, topic, ...)     an id for the message, which no other will get
 *   eventlog_append(log, topic, message, block)
 *                                         visible to readers; in the order of the ids
 *   eventlog_release(log, topic, ...)
 *
 * Where the commit fails there is no append. */
struct log_topic *eventlog_hold(struct eventlog *log, struct slice name);
/* wished_ms: 0 = none; see id_source.h. */
struct message_id eventlog_next_id(struct eventlog *log, struct log_topic *topic,
                                   uint64_t wished_ms, uint64_t now_ms);
/* The message has its id and expires_ms (0 = never). Takes a reference of its own. `block`: of the
 * journal, 0 = none. */
void eventlog_append(struct eventlog *log, struct log_topic *topic, struct message *message,
                     uint64_t block);
void eventlog_release(struct eventlog *log, struct log_topic *topic, uint64_t now_ms);

/* Removes what expired, looking at about max_work messages and topics. True: there is more to do
 * now. */
bool eventlog_expire(struct eventlog *log, uint64_t now_ms, size_t max_work);
/* From a journal, before anything is published: a topic that has a row there; a message, in the
 * order of its topic's ids, which has expired and is not wanted any more where the answer is false;
 * and behind all of them what holds for all topics. Takes no more than max_length of a topic. */
void eventlog_restore_topic(struct eventlog *log, uint64_t row, const struct journal_topic *stored);
bool eventlog_restore_message(struct eventlog *log, const struct journal_message *stored,
                              uint64_t block, uint64_t now_ms);
void eventlog_restore_state(struct eventlog *log, const struct journal_state *state,
                            uint64_t now_ms);
struct journal_state eventlog_state(const struct eventlog *log);

/* Will anything ever expire? */
bool eventlog_has_expiries(const struct eventlog *log);

#endif
