#include "eventhub/store/log_old.h"

#include <assert.h>
#include <stdlib.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/log.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/eventlog.h"
#include "eventhub/store/journal_old.h"

/* What a message takes in memory beside its bytes: a slot of a ring that is three quarters full,
 * and what malloc rounds up. */
enum { MESSAGE_OVERHEAD_BYTES = 64 };

static struct slice row_key(const struct map_node *node) {
  const struct log_old_topic *old = container_of(node, const struct log_old_topic, node);
  return slice_of((const char *)&old->topic->row, sizeof old->topic->row);
}

void log_old_init(struct log_old *old) {
  *old = (struct log_old){.next_block = 1};
  map_init(&old->topics, row_key);
  list_init(&old->moving);
  list_init(&old->too_long);
}

void log_old_done(struct log_old *old) {
  map_done(&old->topics);
}

void log_old_free(struct log_old_topic *topic) {
  free(topic);
}

/* ---- topics ---- */

static struct log_old_topic *old_of(struct eventlog *log, struct log_topic *topic) {
  if (topic->old != NULL) return topic->old;
  if (topic->row == 0) topic->row = journal_new_row(log->config.journal);
  struct log_old_topic *old = x_calloc(1, sizeof *old);
  old->topic = topic;
  list_init(&old->moving);
  list_init(&old->too_long);
  topic->old = old;
  map_add(&log->old.topics, &old->node);
  return old;
}

static struct log_old_topic *find_row(const struct eventlog *log, uint64_t row) {
  struct map_node *node = map_find(&log->old.topics, slice_of((const char *)&row, sizeof row));
  return node == NULL ? NULL : container_of(node, struct log_old_topic, node);
}

/* A topic that has nothing on the disk any more may be one to forget. */
static void let_go(struct eventlog *log, struct log_topic *topic, uint64_t now_ms) {
  struct log_old_topic *old = topic->old;
  if (old->count > 0 || list_is_linked(&old->moving)) return;
  list_remove(&old->too_long);
  map_remove(&log->old.topics, &old->node);
  topic->old = NULL;
  free(old);
  topic->holds++;
  eventlog_release(log, topic, now_ms);
}

void log_old_restore(struct eventlog *log, struct log_topic *topic, uint64_t count,
                     struct message_id last) {
  if (count == 0) return;
  struct log_old_topic *old = old_of(log, topic);
  old->count = count;
  old->last = last;
  if (log->config.max_length != 0 && count > log->config.max_length)
    log_old_note_too_long(log, topic);
  store_metric_add(&log->metrics->log_messages, count);
  store_metric_add(&log->metrics->log_disk_messages, count);
}

bool log_old_has(const struct log_topic *topic, struct message_id id) {
  return topic->old != NULL && message_id_compare(id, topic->old->last) <= 0;
}

void log_old_note_too_long(struct eventlog *log, struct log_topic *topic) {
  if (!list_is_linked(&topic->old->too_long))
    list_add_tail(&log->old.too_long, &topic->old->too_long);
}

/* ---- messages that leave memory ---- */

static uint64_t memory_of(const struct eventlog *log) {
  const struct store_metrics *metrics = log->metrics;
  uint64_t messages =
      store_metric_get(&metrics->log_messages) - store_metric_get(&metrics->log_disk_messages);
  return store_metric_get(&metrics->log_bytes) + messages * MESSAGE_OVERHEAD_BYTES;
}

bool log_old_is_far_behind(const struct eventlog *log, uint64_t max_memory) {
  enum { FAR_BYTES = 256 << 20 };
  return max_memory != 0 && log->old.next_block != UINT64_MAX &&
         memory_of(log) > 2 * max_memory + FAR_BYTES;
}

static bool is_over(const struct eventlog *log, uint64_t max_memory) {
  return max_memory != 0 && log->old.next_block != UINT64_MAX && memory_of(log) > max_memory;
}

bool log_old_has_work(const struct eventlog *log, uint64_t max_memory) {
  return log->old.is_behind || is_over(log, max_memory);
}

struct moving {
  struct eventlog *log;
  const struct log_old_limits *limits;
  uint64_t excess; /* bytes */
  size_t messages, bytes;
  struct log_topic **topics; /* of these messages */
  size_t topic_count, topic_cap;
};

/* Once, however many of its messages move in this step. */
static void note_topic(struct moving *moving, struct log_topic *topic) {
  if (topic->old->step == moving->log->old.step) return;
  topic->old->step = moving->log->old.step;
  if (moving->topic_count == moving->topic_cap) {
    moving->topic_cap = moving->topic_cap ? moving->topic_cap * 2 : 64;
    moving->topics = x_realloc(moving->topics, moving->topic_cap * sizeof(struct log_topic *));
  }
  moving->topics[moving->topic_count++] = topic;
}

/* The entry of the ring that the message of the block is in; NULL when it is not wanted any more.
 */
static const struct log_entry *entry_of(const struct log_topic *topic, struct message_id id,
                                        uint64_t block) {
  uint32_t after = log_topic_after(topic, id);
  if (after == 0) return NULL;
  const struct log_entry *entry = log_topic_at(topic, after - 1);
  bool is_it = entry->block == block && message_id_compare(message_id(entry->message), id) == 0;
  return is_it ? entry : NULL;
}

static void move(struct moving *moving, const struct journal_message *stored, uint64_t block) {
  struct eventlog *log = moving->log;
  struct log_topic *topic = eventlog_find(log, stored->topic);
  const struct log_entry *entry = topic == NULL ? NULL : entry_of(topic, stored->id, block);
  if (entry == NULL) return;
  struct log_old_topic *old = old_of(log, topic);
  journal_put_old(log->config.journal, topic->row, entry->message);
  old->last = stored->id;
  old->count++;
  old->moving_count++;
  if (!list_is_linked(&old->moving)) list_add_tail(&log->old.moving, &old->moving);
  note_topic(moving, topic);
  store_metric_add(&log->metrics->log_disk_messages, 1);
  moving->messages++;
  moving->bytes += message_size(entry->message) + MESSAGE_OVERHEAD_BYTES;
}

static int move_block(void *context, uint64_t number, struct slice bytes) {
  struct moving *moving = context;
  struct journal_record record;
  int got;
  while ((got = journal_next_record(&bytes, &record)) > 0)
    if (record.kind == JOURNAL_MESSAGE) move(moving, &record.message, number);
  if (got < 0) return got;
  moving->log->old.next_block = number + 1;
  const struct log_old_limits *limits = moving->limits;
  bool is_enough = moving->bytes >= moving->excess || moving->bytes >= limits->max_bytes ||
                   moving->messages >= limits->max_messages;
  return is_enough ? 1 : 0;
}

/* The disk returns something else than was written. */
static void give_up(struct eventlog *log) {
  log_error("a block of the journal cannot be read: from now on all messages stay in memory");
  log->old.next_block = UINT64_MAX;
}

static bool move_some(struct eventlog *log, const struct log_old_limits *limits) {
  if (!is_over(log, limits->max_memory)) return false;
  log->old.step++;
  struct moving moving = {
      .log = log, .limits = limits, .excess = memory_of(log) - limits->max_memory};
  int err = journal_walk_blocks(log->config.journal, log->old.next_block, move_block, &moving);
  if (err == ERR_INVALID) give_up(log); /* else it may go better the next time */
  for (size_t i = 0; i < moving.topic_count; i++)
    log_keeper_put(&log->keeper, moving.topics[i]);
  free(moving.topics);
  return moving.messages > 0;
}

static bool starts_with_moved(const struct log_topic *topic) {
  return log_topic_count(topic) > 0 &&
         log_old_has(topic, message_id(log_topic_at(topic, 0)->message));
}

/* At most `max`, which counts down. False: there are more. */
static bool drop_moved(struct eventlog *log, struct log_topic *topic, size_t *max) {
  struct log_old_topic *old = topic->old;
  uint64_t bytes = 0;
  for (; *max > 0 && starts_with_moved(topic); (*max)--) {
    struct log_entry entry = log_ring_pop(&topic->ring);
    bytes += message_size(entry.message);
    journal_lose(log->config.journal, entry.block);
    message_unref(entry.message);
    old->moving_count--;
  }
  store_metric_sub(&log->metrics->log_bytes, bytes);
  if (starts_with_moved(topic)) return false;
  /* Those that the ring has lost meanwhile are on the disk all the same, to be removed in time. */
  store_metric_add(&log->metrics->log_messages, old->moving_count);
  old->moving_count = 0;
  return true;
}

/* ---- messages that go for good ---- */

static void lose(struct eventlog *log, struct log_topic *topic, const struct journal_old *gone) {
  journal_remove_old(log->config.journal, gone);
  if (message_id_compare(gone->id, topic->dropped) > 0) topic->dropped = gone->id;
  topic->old->count--;
  store_metric_sub(&log->metrics->log_messages, 1);
  store_metric_sub(&log->metrics->log_disk_messages, 1);
}

static bool expire(struct eventlog *log, struct journal_reader *reader, size_t max,
                   uint64_t now_ms) {
  struct journal_old gone;
  bool has_some = false;
  for (; max > 0 && journal_read_expiry(reader, &gone) > 0 && gone.expires_ms <= now_ms; max--) {
    struct log_old_topic *old = find_row(log, gone.row);
    has_some = true;
    if (old == NULL || old->count == 0) {
      journal_remove_old(log->config.journal, &gone); /* nobody knows of it */
      continue;
    }
    lose(log, old->topic, &gone);
    store_metric_add(&log->metrics->log_expired, 1);
    log_keeper_put(&log->keeper, old->topic);
    let_go(log, old->topic, now_ms);
  }
  if (max == 0) log->old.is_behind = true;
  return has_some;
}

/* The oldest of the topic, until it is as short as it may be. */
static bool shorten(struct eventlog *log, struct journal_reader *reader, struct log_topic *topic,
                    size_t *work) {
  struct journal_old gone;
  struct message_id from = {0, 0};
  uint32_t max = log->config.max_length;
  while (topic->old->count > 0 && topic->old->count + log_topic_count(topic) > max) {
    if (*work == 0) return false;
    (*work)--;
    int got = journal_read_first(reader, topic->row, from, &gone);
    if (got == 0) topic->old->count = 0; /* there are fewer than the row said */
    if (got == 0 || got == ERR_SYSTEM) return true;
    lose(log, topic, &gone);
    store_metric_add(&log->metrics->log_trimmed, 1);
    from = message_id_next(gone.id);
  }
  return true;
}

static bool shorten_some(struct eventlog *log, struct journal_reader *reader, size_t max,
                         uint64_t now_ms) {
  struct list *first;
  bool has_some = false;
  while (max > 0 && (first = list_first(&log->old.too_long)) != NULL) {
    struct log_topic *topic = container_of(first, struct log_old_topic, too_long)->topic;
    bool is_done = shorten(log, reader, topic, &max);
    log_keeper_put(&log->keeper, topic);
    has_some = true;
    if (!is_done) break;
    list_remove(first);
    let_go(log, topic, now_ms);
  }
  if (max == 0) log->old.is_behind = true;
  return has_some;
}

/* ---- steps ---- */

void log_old_settle(struct eventlog *log, size_t max) {
  struct log_old *old = &log->old;
  if (old->set == 0 || !journal_has_written(log->config.journal, old->set)) return;
  struct list *first;
  while ((first = list_first(&old->moving)) != NULL) {
    if (!drop_moved(log, container_of(first, struct log_old_topic, moving)->topic, &max)) return;
    list_remove(first);
  }
  old->set = 0;
}

/* One kind at a time, since the reader still sees what the other has removed. */
static bool remove_some(struct eventlog *log, size_t max, uint64_t now_ms) {
  struct journal_reader reader;
  bool has_some = false;
  log->old.is_expiry_next = !log->old.is_expiry_next;
  if (journal_reader_begin(&reader, journal_file(log->config.journal)) == 0) {
    if (!log->old.is_expiry_next) has_some = shorten_some(log, &reader, max, now_ms);
    if (!has_some) has_some = expire(log, &reader, max, now_ms);
    if (!has_some) has_some = shorten_some(log, &reader, max, now_ms);
  }
  journal_reader_end(&reader);
  return has_some;
}

bool log_old_move(struct eventlog *log, const struct log_old_limits *limits) {
  uint64_t set = journal_open_set(log->config.journal);
  if (!move_some(log, limits)) return false;
  log->old.set = set;
  return true;
}

bool log_old_step(struct eventlog *log, const struct log_old_limits *limits, uint64_t now_ms) {
  struct log_old *old = &log->old;
  uint64_t set = journal_open_set(log->config.journal);
  if (old->set == set) return move_some(log, limits); /* more of the same step */
  if (old->set != 0) return false;
  old->is_behind = false;
  bool has_removed = old->topics.count > 0 && remove_some(log, limits->max_messages, now_ms);
  bool has_moved = move_some(log, limits);
  if (has_removed || has_moved) old->set = set;
  return has_removed || has_moved;
}
