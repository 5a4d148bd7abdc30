#include "eventhub/store/eventlog.h"

#include <assert.h>

#include "eventhub/base/cleanup.h"

enum { EXPIRY_GRAIN_MS = 1000 };

static struct slice topic_key(const struct map_node *node) {
  return log_topic_name(container_of(node, const struct log_topic, node));
}

static void raise_id(struct message_id *id, struct message_id to) {
  if (message_id_compare(to, *id) > 0) *id = to;
}

static void count_topics(struct eventlog *log) {
  uint64_t empty = (uint64_t)log->remembered.count + log->ahead.count;
  store_metric_set(&log->metrics->log_remembered, empty);
  store_metric_set(&log->metrics->log_topics, log->topics.count - empty);
}

static void count_loss(struct eventlog *log, const struct log_loss *loss,
                       atomic_uint_least64_t *why) {
  if (loss->messages == 0) return;
  store_metric_add(why, loss->messages);
  store_metric_sub(&log->metrics->log_messages, loss->messages);
  store_metric_sub(&log->metrics->log_bytes, loss->bytes);
}

static void memory_init(struct log_memory *memory) {
  list_init(&memory->topics);
  memory->count = 0;
}

static void memory_add(struct log_memory *memory, struct log_topic *topic) {
  list_add_tail(&memory->topics, &topic->link);
  topic->memory = memory;
  memory->count++;
}

static void memory_remove(struct log_topic *topic) {
  if (topic->memory == NULL) return;
  list_remove(&topic->link);
  topic->memory->count--;
  topic->memory = NULL;
}

static void forget(struct eventlog *log, struct log_topic *topic, uint64_t now_ms) {
  raise_id(&log->floor, topic->last);
  raise_id(&log->forgotten, topic->dropped);
  /* Keeps the ids of different topics apart that both start at the floor. */
  if (log->floor.ms <= now_ms) id_source_raise(&log->ids, log->floor);
  log_keeper_forgot(&log->keeper, topic);
  memory_remove(topic);
  map_remove(&log->topics, &topic->node);
  log_index_remove(&log->index, topic);
  log_topic_free(topic);
}

/* A topic that nobody holds and that has no messages becomes one to forget. */
static void settle(struct eventlog *log, struct log_topic *topic, uint64_t now_ms) {
  if (topic->holds > 0 || topic->memory != NULL || topic->old != NULL) return;
  if (log_topic_count(topic) > 0) return;
  expiry_heap_remove(&log->expiries, &topic->expiry);
  struct log_memory *memory = topic->last.ms > now_ms ? &log->ahead : &log->remembered;
  memory_add(memory, topic);
  if (memory->count > log->config.max_remembered) {
    forget(log, container_of(list_first(&memory->topics), struct log_topic, link), now_ms);
  }
  count_topics(log);
}

/* What holds for topics of which nothing is known. */
static void begin_topic(const struct eventlog *log, struct log_topic *topic) {
  raise_id(&topic->last, log->floor);
  raise_id(&topic->dropped, log->forgotten);
}

static struct log_topic *make_topic(struct eventlog *log, struct slice name, uint64_t hash) {
  struct log_topic *topic = log_topic_new(name);
  begin_topic(log, topic);
  map_add_hashed(&log->topics, &topic->node, hash);
  log_index_add(&log->index, topic);
  count_topics(log);
  return topic;
}

void eventlog_init(struct eventlog *log, const struct eventlog_config *config,
                   struct store_metrics *metrics) {
  *log = (struct eventlog){.config = *config, .metrics = metrics};
  map_init(&log->topics, topic_key);
  log_index_init(&log->index);
  expiry_heap_init(&log->expiries);
  log_keeper_init(&log->keeper, config->journal);
  log_old_init(&log->old);
  memory_init(&log->remembered);
  memory_init(&log->ahead);
}

void eventlog_done(struct eventlog *log) {
  for (size_t i = 0; i < log->index.count; i++)
    log_topic_free(log->index.slots[i].topic);
  log_index_done(&log->index);
  map_done(&log->topics);
  expiry_heap_done(&log->expiries);
  log_keeper_done(&log->keeper);
  log_old_done(&log->old);
}

struct log_topic *eventlog_find(const struct eventlog *log, struct slice name) {
  struct map_node *node = map_find(&log->topics, name);
  return node == NULL ? NULL : container_of(node, struct log_topic, node);
}

struct log_topic *eventlog_hold(struct eventlog *log, struct slice name) {
  uint64_t hash = map_hash(name.ptr, name.len);
  struct map_node *node = map_find_hashed(&log->topics, name, hash);
  struct log_topic *topic =
      node != NULL ? container_of(node, struct log_topic, node) : make_topic(log, name, hash);
  if (topic->memory != NULL) {
    memory_remove(topic);
    count_topics(log);
  }
  topic->holds++;
  return topic;
}

struct message_id eventlog_next_id(struct eventlog *log, struct log_topic *topic,
                                   uint64_t wished_ms, uint64_t now_ms) {
  topic->last = id_source_next(&log->ids, topic->last, wished_ms, now_ms);
  return topic->last;
}

/* Topics that expire within the same second wait in the heap for its end, so that a busy topic
 * moves at most once a second. */
static void expect_expiry(struct eventlog *log, struct log_topic *topic, uint64_t expires_ms) {
  if (expires_ms > UINT64_MAX - EXPIRY_GRAIN_MS) return;
  uint64_t at_ms = (expires_ms + EXPIRY_GRAIN_MS - 1) / EXPIRY_GRAIN_MS * EXPIRY_GRAIN_MS;
  if (topic->expiry.place != 0 && topic->expiry.at_ms <= at_ms) return;
  expiry_heap_set(&log->expiries, &topic->expiry, at_ms);
}

/* The message is the ring's, and counted. */
static void push(struct eventlog *log, struct log_topic *topic, struct message *message,
                 uint64_t block) {
  log_topic_push(topic, message, block);
  if (message->expires_ms != 0) expect_expiry(log, topic, message->expires_ms);
  store_metric_add(&log->metrics->log_messages, 1);
  store_metric_add(&log->metrics->log_bytes, message_size(message));
}

static void trim(struct eventlog *log, struct log_topic *topic) {
  uint32_t max_length = log->config.max_length;
  if (max_length == 0) return;
  if (topic->old != NULL && topic->old->count + log_topic_count(topic) > max_length)
    log_old_note_too_long(log, topic);
  if (log_topic_count(topic) <= max_length) return;
  struct log_loss loss = {.keeper = &log->keeper};
  log_topic_trim(topic, max_length, &loss);
  count_loss(log, &loss, &log->metrics->log_trimmed);
}

void eventlog_append(struct eventlog *log, struct log_topic *topic, struct message *message,
                     uint64_t block) {
  assert(topic->holds > 0);
  if (!log->config.keeps_messages) return;
  push(log, topic, message, block);
  trim(log, topic);
}

void eventlog_release(struct eventlog *log, struct log_topic *topic, uint64_t now_ms) {
  assert(topic->holds > 0);
  topic->holds--;
  settle(log, topic, now_ms);
}

/* False: the work is used up before the topic is done; it stays the first. */
static bool expire_topic(struct eventlog *log, struct log_topic *topic, uint64_t now_ms,
                         size_t *work) {
  struct log_loss loss = {.keeper = &log->keeper};
  uint64_t next_ms = log_topic_expire(topic, now_ms, work, &loss);
  count_loss(log, &loss, &log->metrics->log_expired);
  if (next_ms <= now_ms) return false;
  expiry_heap_remove(&log->expiries, &topic->expiry);
  expect_expiry(log, topic, next_ms);
  settle(log, topic, now_ms);
  return true;
}

bool eventlog_expire(struct eventlog *log, uint64_t now_ms, size_t max_work) {
  size_t work = max_work;
  struct expiry *first;
  while ((first = expiry_heap_first(&log->expiries)) != NULL && first->at_ms <= now_ms) {
    if (work == 0) return true;
    work--;
    if (!expire_topic(log, container_of(first, struct log_topic, expiry), now_ms, &work))
      return true;
  }
  return false;
}

bool eventlog_has_expiries(const struct eventlog *log) {
  return log->expiries.count > 0;
}

/* ---- from and for the journal ---- */

static struct log_topic *restore_topic(struct eventlog *log, struct slice name) {
  struct log_topic *topic = eventlog_hold(log, name);
  topic->holds--; /* settled when all is there */
  return topic;
}

void eventlog_restore_topic(struct eventlog *log, uint64_t row,
                            const struct journal_topic *stored) {
  struct log_topic *topic = restore_topic(log, stored->name);
  topic->row = row;
  raise_id(&topic->last, stored->last);
  raise_id(&topic->dropped, stored->dropped);
  log_old_restore(log, topic, stored->old_count, stored->old_last);
}

bool eventlog_restore_message(struct eventlog *log, const struct journal_message *stored,
                              uint64_t block, uint64_t now_ms) {
  struct log_topic *topic = restore_topic(log, stored->topic);
  raise_id(&topic->last, stored->id);
  if (log_old_has(topic, stored->id)) return false;
  bool is_expired = stored->expires_ms != 0 && stored->expires_ms <= now_ms;
  if (is_expired) {
    raise_id(&topic->dropped, stored->id);
    log_keeper_fell_behind(&log->keeper, topic);
    return false;
  }
  if (!log->config.keeps_messages) return true; /* it stays where it is, for another start */
  struct message *message =
      message_new_stored(stored->topic, stored->payload, stored->origin, stored->id);
  message->expires_ms = stored->expires_ms;
  push(log, topic, message, block);
  message_unref(message);
  trim(log, topic);
  return true;
}

void eventlog_restore_state(struct eventlog *log, const struct journal_state *state,
                            uint64_t now_ms) {
  id_source_raise(&log->ids, state->last);
  raise_id(&log->floor, state->floor);
  raise_id(&log->forgotten, state->forgotten);
  for (size_t i = log->index.count; i-- > 0;) {
    struct log_topic *topic = log->index.slots[i].topic;
    if (topic->row == 0) begin_topic(log, topic); /* it may have been forgotten once */
    settle(log, topic, now_ms);
  }
}

struct journal_state eventlog_state(const struct eventlog *log) {
  return (struct journal_state){
      .last = log->ids.last, .floor = log->floor, .forgotten = log->forgotten};
}
