#include "eventhub/store/log_read.h"

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/mem.h"
#include "eventhub/topic/name.h"

/* What is left to merge of one topic: messages first .. left - 1. */
struct cursor {
  const struct log_topic *topic;
  struct message_id id; /* of message left - 1 */
  uint32_t first, left;
};

/* Cursors as a heap, the one with the newest message on top. */
struct merge {
  struct cursor *cursors;
  size_t count, cap;
};

struct reading {
  const struct log_query *query;
  struct message_id after; /* messages above are asked for */
  struct merge merge;
  uint64_t available;        /* messages in all cursors together */
  struct message **messages; /* newest first */
  size_t count, bytes;
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

static void cursor_aim(struct cursor *cursor) {
  cursor->id = message_id(log_topic_at(cursor->topic, cursor->left - 1)->message);
}

/* The newest entry of all, which is then done with; NULL at the end. */
static const struct log_entry *merge_take(struct merge *merge) {
  if (merge->count == 0) return NULL;
  struct cursor *top = &merge->cursors[0];
  const struct log_entry *entry = log_topic_at(top->topic, --top->left);
  if (top->left > top->first) {
    cursor_aim(top);
  } else {
    *top = merge->cursors[--merge->count];
  }
  if (merge->count > 1) merge_sift(merge, 0);
  return entry;
}

static void add_topic(struct reading *reading, const struct log_topic *topic) {
  if (message_id_compare(topic->dropped, reading->after) > 0) reading->missing = true;
  if (log_topic_has_given(topic, reading->query->point.id)) reading->is_known = true;
  uint32_t count = log_topic_count(topic);
  if (count == 0 || message_id_compare(topic->last, reading->after) <= 0) return;
  struct cursor cursor = {topic, {0, 0}, log_topic_after(topic, reading->after), count};
  if (cursor.first == cursor.left) return;
  cursor_aim(&cursor);
  merge_push(&reading->merge, cursor);
  reading->available += cursor.left - cursor.first;
}

static void add_topics(struct reading *reading, const struct eventlog *log) {
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
  if (reading->count == query->limit) return false;
  size_t len = message_item(message).len;
  if (query->max_bytes != 0 && len > query->max_bytes - reading->bytes) return false;
  reading->bytes += len;
  reading->messages[reading->count++] = message_ref(message);
  return true;
}

static void collect_all(struct reading *reading) {
  uint64_t room = reading->available;
  if (room > reading->query->limit) room = reading->query->limit;
  if (room > 0) reading->messages = x_malloc(room * sizeof reading->messages[0]);
  const struct log_entry *entry;
  while ((entry = merge_take(&reading->merge)) != NULL) {
    if (entry->expires_ms <= reading->query->now_ms) {
      reading->missing = true;
    } else if (!collect(reading, entry->message)) {
      reading->missing = true;
      return;
    }
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
  struct reading reading = {.query = query, .after = point_after(&query->point)};
  add_topics(&reading, log);
  collect_all(&reading);
  free(reading.merge.cursors);
  if (!reading.is_known && is_prehistoric(&query->point, log->config.birth_ms)) {
    reading.missing = true;
  }
  reverse(reading.messages, reading.count);
  *ret = (struct log_answer){.messages = reading.messages, .count = reading.count};
  if (ret->count == 0) log_answer_done(ret); /* room for messages that all had expired */
  ret->recovered = !reading.missing;
}

void log_answer_done(struct log_answer *answer) {
  for (size_t i = 0; i < answer->count; i++)
    message_unref(answer->messages[i]);
  free(answer->messages);
  *answer = (struct log_answer){0};
}
