#include "eventhub/store/log_read.h"

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/log.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/journal_old.h"
#include "eventhub/topic/name.h"

/* What is left to merge of one topic: messages first .. left - 1 of the ring, and behind them those
 * on the disk. */
struct cursor {
  const struct log_topic *topic;
  struct message_id id; /* of the newest that is left; of one on the disk that is not found yet: at
                         * least that */
  uint32_t first, left;
  uint32_t rest; /* more than that the topic may not have */
  bool has_old;
  bool is_found; /* there is such a message on the disk */
};

/* Cursors as a heap, the one with the newest message on top. */
struct merge {
  struct cursor *cursors;
  size_t count, cap;
};

struct reading {
  const struct eventlog *log;
  const struct log_query *query;
  struct message_id after; /* messages above are asked for */
  struct merge merge;
  struct message **messages; /* newest first */
  size_t count, cap, bytes;
  struct journal_reader reader;
  struct journal_old found; /* by the reader, the last one */
  bool has_reader;
  bool is_known; /* a topic has given the id that is the point */
  bool missing;
};

static bool is_newer(const struct cursor *a, const struct cursor *b) {
  int order = message_id_compare(a->id, b->id);
  if (order != 0) return order > 0;
  /* Wished times can give two topics the same id. Any order will do, if it is always the same. */
  struct slice left = log_topic_name(a->topic), right = log_topic_name(b->topic);
  size_t len = left.len < right.len ? left.len : right.len;
  order = memcmp(left.ptr, right.ptr, len);
  return order != 0 ? order > 0 : left.len > right.len;
}

static void merge_push(struct merge *merge, struct cursor cursor) {
  if (merge->count == merge->cap) {
    merge->cap = merge->cap ? merge->cap * 2 : 8;
    merge->cursors = x_realloc(merge->cursors, merge->cap * sizeof cursor);
  }
  merge->cursors[merge->count++] = cursor;
}

static void merge_sift(struct merge *merge, size_t index) {
  struct cursor moving = merge->cursors[index];
  for (;;) {
    size_t child = 2 * index + 1;
    if (child >= merge->count) break;
    if (child + 1 < merge->count && is_newer(&merge->cursors[child + 1], &merge->cursors[child])) {
      child++;
    }
    if (!is_newer(&merge->cursors[child], &moving)) break;
    merge->cursors[index] = merge->cursors[child];
    index = child;
  }
  merge->cursors[index] = moving;
}

static void merge_build(struct merge *merge) {
  for (size_t i = merge->count / 2; i-- > 0;)
    merge_sift(merge, i);
}

static struct message_id id_before(struct message_id id) {
  if (id.seq > 0) return (struct message_id){id.ms, id.seq - 1};
  if (id.ms > 0) return (struct message_id){id.ms - 1, UINT64_MAX};
  return id;
}

/* Moves on to what is left. False: nothing is. */
static bool cursor_aim(struct cursor *cursor, struct message_id after) {
  const struct log_topic *topic = cursor->topic;
  if (cursor->left > cursor->first) {
    cursor->id = message_id(log_topic_at(topic, cursor->left - 1)->message);
    return true;
  }
  if (!cursor->has_old) return false;
  struct message_id at_most = topic->old->last;
  if (cursor->is_found) {
    at_most = id_before(cursor->id);
  } else if (log_topic_count(topic) > 0) {
    /* What is in the ring as well was taken from there. */
    struct message_id oldest = message_id(log_topic_at(topic, 0)->message);
    if (message_id_compare(oldest, at_most) <= 0) at_most = id_before(oldest);
  }
  cursor->is_found = false;
  cursor->id = at_most;
  return message_id_compare(at_most, after) > 0;
}

static bool begin_reader(struct reading *reading) {
  if (!reading->has_reader) {
    reading->has_reader = true;
    journal_reader_begin(&reading->reader, journal_file(reading->log->config.journal));
  }
  return reading->reader.txn != NULL;
}

/* Looks for the newest on the disk up to cursor->id. False: there is none, or it is not to be had.
 */
static bool cursor_find(struct reading *reading, struct cursor *cursor) {
  int got = begin_reader(reading) ? journal_read_last(&reading->reader, cursor->topic->row,
                                                      cursor->id, &reading->found)
                                  : ERR_SYSTEM;
  if (got < 0) {
    log_limited(LOG_WARN, "a message cannot be read from the journal: history ends there",
                LOG_SLICE("topic", log_topic_name(cursor->topic)));
    reading->missing = true;
  }
  if (got <= 0) return false;
  cursor->is_found = true;
  cursor->id = reading->found.id;
  return message_id_compare(cursor->id, reading->after) > 0;
}

static bool cursor_is_old(const struct cursor *cursor) {
  return cursor->left == cursor->first;
}

static void merge_drop_top(struct merge *merge) {
  merge->cursors[0] = merge->cursors[--merge->count];
}

static bool has_found(const struct reading *reading, const struct cursor *cursor) {
  const struct journal_old *found = &reading->found;
  return cursor->is_found && found->row == cursor->topic->row &&
         message_id_compare(found->id, cursor->id) == 0;
}

/* The one with the newest message; where that is on the disk, it has been found. */
static struct cursor *merge_top(struct reading *reading) {
  struct merge *merge = &reading->merge;
  while (merge->count > 0) {
    struct cursor *top = &merge->cursors[0];
    if (!cursor_is_old(top) || has_found(reading, top)) return top;
    if (!cursor_find(reading, top)) merge_drop_top(merge);
    if (merge->count > 1) merge_sift(merge, 0);
  }
  return NULL;
}

/* The one on top is done with. */
static void merge_advance(struct reading *reading) {
  struct merge *merge = &reading->merge;
  struct cursor *top = &merge->cursors[0];
  if (!cursor_is_old(top)) top->left--;
  if (--top->rest == 0 && reading->log->config.max_length != 0) {
    bool has_more = cursor_aim(top, reading->after);
    if (has_more && (!cursor_is_old(top) || cursor_find(reading, top))) reading->missing = true;
    merge_drop_top(merge);
  } else if (!cursor_aim(top, reading->after)) {
    merge_drop_top(merge);
  }
  if (merge->count > 1) merge_sift(merge, 0);
}

static void add_topic(struct reading *reading, const struct log_topic *topic) {
  if (message_id_compare(topic->dropped, reading->after) > 0) reading->missing = true;
  if (log_topic_has_given(topic, reading->query->point.id)) reading->is_known = true;
  uint32_t count = log_topic_count(topic);
  if (message_id_compare(topic->last, reading->after) <= 0) return;
  struct cursor cursor = {.topic = topic,
                          .first = log_topic_after(topic, reading->after),
                          .left = count,
                          .rest = reading->log->config.max_length,
                          .has_old = log_old_count(topic->old) > 0};
  if (cursor.first > 0) cursor.has_old = false; /* all of that is before the point */
  if (cursor_aim(&cursor, reading->after)) merge_push(&reading->merge, cursor);
}

static void add_topics(struct reading *reading) {
  const struct eventlog *log = reading->log;
  struct slice filter = reading->query->filter;
  bool forgot = message_id_compare(log->forgotten, reading->after) > 0;
  if (!filter_is_pattern(filter)) {
    const struct log_topic *topic = eventlog_find(log, filter);
    if (topic != NULL) add_topic(reading, topic);
    if (topic == NULL && forgot) reading->missing = true;
    return;
  }
  if (forgot) reading->missing = true;
  struct log_walk walk;
  log_walk_init(&walk, &log->index, filter);
  for (const struct log_topic *topic; (topic = log_walk_next(&walk)) != NULL;)
    add_topic(reading, topic);
  merge_build(&reading->merge);
}

/* Is there room for it? */
static bool collect(struct reading *reading, struct message *message) {
  const struct log_query *query = reading->query;
  size_t len = message_item(message).len;
  if (query->max_bytes != 0 && len > query->max_bytes - reading->bytes) return false;
  if (reading->count == reading->cap) {
    reading->cap = reading->cap ? reading->cap * 2 : 16;
    reading->messages = x_realloc(reading->messages, reading->cap * sizeof reading->messages[0]);
  }
  reading->bytes += len;
  reading->messages[reading->count++] = message_ref(message);
  return true;
}

static uint64_t expiry_of_top(const struct reading *reading, const struct cursor *top) {
  if (!cursor_is_old(top)) return log_topic_at(top->topic, top->left - 1)->expires_ms;
  return reading->found.expires_ms == 0 ? UINT64_MAX : reading->found.expires_ms;
}

static bool collect_top(struct reading *reading, const struct cursor *top) {
  if (!cursor_is_old(top))
    return collect(reading, log_topic_at(top->topic, top->left - 1)->message);
  const struct journal_old *found = &reading->found;
  AUTO(message)
  struct message *message =
      message_new_stored(log_topic_name(top->topic), found->payload, found->origin, found->id);
  message->expires_ms = found->expires_ms;
  return collect(reading, message);
}

static void collect_all(struct reading *reading) {
  struct cursor *top;
  while ((top = merge_top(reading)) != NULL) {
    if (expiry_of_top(reading, top) <= reading->query->now_ms) {
      reading->missing = true;
    } else if (reading->count == reading->query->limit || !collect_top(reading, top)) {
      reading->missing = true;
      return;
    }
    merge_advance(reading);
  }
}

static struct message_id point_after(const struct log_point *point) {
  if (point->since == LOG_SINCE_ID) return point->id;
  if (point->id.ms == 0) return (struct message_id){0, 0};
  return (struct message_id){point->id.ms - 1, UINT64_MAX};
}

/* An id from before this eventlog's time, which it did not give. */
static bool is_prehistoric(const struct log_point *point, uint64_t birth_ms) {
  return point->since == LOG_SINCE_ID && point->id.ms < birth_ms &&
         birth_ms - point->id.ms <= LOG_READ_PREHISTORY_MS;
}

static void reverse(struct message **messages, size_t count) {
  for (size_t i = 0; i < count / 2; i++) {
    struct message *swap = messages[i];
    messages[i] = messages[count - 1 - i];
    messages[count - 1 - i] = swap;
  }
}

void log_read(const struct eventlog *log, const struct log_query *query, struct log_answer *ret) {
  struct reading reading = {.log = log, .query = query, .after = point_after(&query->point)};
  add_topics(&reading);
  collect_all(&reading);
  if (reading.has_reader) journal_reader_end(&reading.reader);
  free(reading.merge.cursors);
  if (!reading.is_known && is_prehistoric(&query->point, log->config.birth_ms)) {
    reading.missing = true;
  }
  reverse(reading.messages, reading.count);
  *ret = (struct log_answer){.messages = reading.messages, .count = reading.count};
  ret->recovered = !reading.missing;
}

void log_answer_done(struct log_answer *answer) {
  for (size_t i = 0; i < answer->count; i++)
    message_unref(answer->messages[i]);
  free(answer->messages);
  *answer = (struct log_answer){0};
}
