#ifndef EVENTHUB_STORE_LOG_TOPIC_H
#define EVENTHUB_STORE_LOG_TOPIC_H

/*
 * One topic of the eventlog: its messages, the last id it gave, and up to where messages are gone.
 * It holds a reference to each of its messages. Made, indexed and freed by the eventlog; pure,
 * single-threaded.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/list.h"
#include "eventhub/base/map.h"
#include "eventhub/base/slice.h"
#include "eventhub/store/expiry_heap.h"
#include "eventhub/store/log_ring.h"
#include "eventhub/topic/message.h"

struct log_keeper;
struct log_memory;
struct log_old_topic;

struct log_topic {
  struct map_node node;      /* eventlog.topics */
  struct log_memory *memory; /* where it waits to be forgotten; NULL = it does not */
  struct list link;          /* in there */
  struct expiry expiry;      /* in the eventlog's heap while messages can expire */
  struct message_id last;    /* every further id is above */
  struct message_id dropped; /* nothing is missing above; 0-0 = nothing was ever dropped */
  struct log_ring ring;
  struct log_old_topic *old; /* what it has on the disk only; NULL = nothing */
  uint64_t scan_earliest_ms; /* of what the running scan has kept */
  struct list dirty;         /* log_keeper: its row is behind */
  uint64_t dirty_stamp;      /* ... since */
  uint64_t row;              /* in the journal; 0 = none yet */
  uint32_t holds;            /* it may not be forgotten */
  uint32_t slot;             /* in the index */
  bool unordered;            /* some message expires before an older one */
  bool scan_unordered;       /* the same, of what the running scan has kept */
  uint16_t name_len;
  char name[];
};

/* What a change took out, and who is told of each message. */
struct log_loss {
  struct log_keeper *keeper;
  size_t messages;
  size_t bytes;
};

struct log_topic *log_topic_new(struct slice name);
void log_topic_free(struct log_topic *topic);

static inline struct slice log_topic_name(const struct log_topic *topic) {
  return slice_of(topic->name, topic->name_len);
}

static inline uint32_t log_topic_count(const struct log_topic *topic) {
  return log_ring_count(&topic->ring);
}

static inline const struct log_entry *log_topic_at(const struct log_topic *topic, uint32_t index) {
  return log_ring_at(&topic->ring, index);
}

/* The index of the first message behind the id; count when there is none. */
uint32_t log_topic_after(const struct log_topic *topic, struct message_id id);

/* Did a message of this topic have exactly this id, as far as it still knows? */
bool log_topic_has_given(const struct log_topic *topic, struct message_id id);

/* Takes a reference. The message's id is above all others of the topic. `block`: of the journal, 0
 * = none. */
void log_topic_push(struct log_topic *topic, struct message *message, uint64_t block);

/* Removes the oldest until at most `max_length` are left. */
void log_topic_trim(struct log_topic *topic, uint32_t max_length, struct log_loss *loss);

/* Removes what expired, looking at no more than *work messages and counting that down. The answer
 * is when to look next: UINT64_MAX = nothing is left that could expire; now_ms or before = it has
 * not finished. */
uint64_t log_topic_expire(struct log_topic *topic, uint64_t now_ms, size_t *work,
                          struct log_loss *loss);

#endif
