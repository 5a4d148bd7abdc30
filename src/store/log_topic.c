#include "eventhub/store/log_topic.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/mem.h"
#include "eventhub/store/log_keeper.h"
#include "eventhub/store/log_old.h"

static bool is_none(struct message_id id) {
  return id.ms == 0 && id.seq == 0;
}

static struct message_id id_at(const struct log_topic *topic, uint32_t index) {
  return message_id(log_topic_at(topic, index)->message);
}

/* The entry has left the ring. */
static void lose(struct log_topic *topic, struct log_entry entry, struct log_loss *loss) {
  struct message *message = entry.message;
  struct message_id id = message_id(message);
  if (message_id_compare(id, topic->dropped) > 0) topic->dropped = id;
  loss->messages++;
  loss->bytes += message_size(message);
  if (entry.block != 0) log_keeper_lost(loss->keeper, topic, entry.block);
  message_unref(message);
}

struct log_topic *log_topic_new(struct slice name) {
  assert(name.len <= UINT16_MAX);
  struct log_topic *topic = x_calloc(1, sizeof *topic + name.len);
  list_init(&topic->link);
  list_init(&topic->dirty);
  log_ring_init(&topic->ring);
  topic->name_len = (uint16_t)name.len;
  if (name.len > 0) memcpy(topic->name, name.ptr, name.len);
  return topic;
}

void log_topic_free(struct log_topic *topic) {
  if (topic == NULL) return;
  for (uint32_t i = 0; i < log_topic_count(topic); i++)
    message_unref(log_topic_at(topic, i)->message);
  log_ring_done(&topic->ring);
  log_old_free(topic->old);
  free(topic);
}

uint32_t log_topic_after(const struct log_topic *topic, struct message_id id) {
  uint32_t low = 0, high = log_topic_count(topic);
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (message_id_compare(id_at(topic, middle), id) > 0) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

static bool is_same(struct message_id one, struct message_id other) {
  return message_id_compare(one, other) == 0;
}

bool log_topic_has_given(const struct log_topic *topic, struct message_id id) {
  if (is_none(id)) return false;
  if (topic->old != NULL && is_same(id, topic->old->last)) return true;
  if (is_same(id, topic->last) || is_same(id, topic->dropped)) return true;
  uint32_t after = log_topic_after(topic, id);
  return after > 0 && is_same(id, id_at(topic, after - 1));
}

void log_topic_push(struct log_topic *topic, struct message *message, uint64_t block) {
  uint64_t expires_ms = message->expires_ms == 0 ? UINT64_MAX : message->expires_ms;
  uint32_t count = log_topic_count(topic);
  if (count > 0 && expires_ms < log_topic_at(topic, count - 1)->expires_ms) topic->unordered = true;
  log_ring_push(&topic->ring, (struct log_entry){message_ref(message), expires_ms, block});
}

void log_topic_trim(struct log_topic *topic, uint32_t max_length, struct log_loss *loss) {
  while (log_topic_count(topic) > max_length)
    lose(topic, log_ring_pop(&topic->ring), loss);
}

/* Messages expire in the order in which they came. */
static uint64_t expire_front(struct log_topic *topic, uint64_t now_ms, size_t *work,
                             struct log_loss *loss) {
  while (log_topic_count(topic) > 0) {
    uint64_t expires_ms = log_topic_at(topic, 0)->expires_ms;
    if (expires_ms > now_ms) return expires_ms;
    if (*work == 0) return now_ms;
    (*work)--;
    lose(topic, log_ring_pop(&topic->ring), loss);
  }
  return UINT64_MAX;
}

static void scan_keep(struct log_topic *topic, uint64_t expires_ms) {
  uint32_t kept = topic->ring.gap_at;
  if (kept > 0 && expires_ms < log_topic_at(topic, kept - 1)->expires_ms) {
    topic->scan_unordered = true;
  }
  if (expires_ms < topic->scan_earliest_ms) topic->scan_earliest_ms = expires_ms;
  log_ring_scan_keep(&topic->ring);
}

/* Messages expire in any order. A scan in which nothing is kept, or nothing any more, is as good as
 * new. */
static uint64_t expire_scan(struct log_topic *topic, uint64_t now_ms, size_t *work,
                            struct log_loss *loss) {
  if (topic->ring.gap_at == 0) {
    topic->scan_earliest_ms = UINT64_MAX;
    topic->scan_unordered = false;
  }
  struct log_entry *entry;
  while ((entry = log_ring_scan(&topic->ring)) != NULL) {
    if (*work == 0) return now_ms;
    (*work)--;
    if (entry->expires_ms > now_ms) {
      scan_keep(topic, entry->expires_ms);
    } else {
      struct log_entry lost = *entry;
      log_ring_scan_drop(&topic->ring);
      lose(topic, lost, loss);
    }
  }
  topic->unordered = topic->scan_unordered;
  return topic->scan_earliest_ms;
}

uint64_t log_topic_expire(struct log_topic *topic, uint64_t now_ms, size_t *work,
                          struct log_loss *loss) {
  if (topic->unordered) return expire_scan(topic, now_ms, work, loss);
  return expire_front(topic, now_ms, work, loss);
}
