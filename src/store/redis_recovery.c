#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/redis_backend.h"
#include "eventhub/store/redis_script.h"
#include "eventhub/store/resp.h"
#include "eventhub/topic/name.h"

/*
 *   of everything       changed.lua in each bucket --> topics with news, that somebody waits for
 *                                                        |
 *   of one topic -----------------------------------> missed.lua, until there is no more
 *                                                        |
 *                       all messages together, in the order of their ids, to the subscribers
 *
 * What is gone from the stream is told with message_new_gap, before what is still there.
 */

enum {
  ENTRIES_MAX = 500,            /* that one answer brings */
  ENTRIES_MAX_BYTES = 4 << 20,  /* and about how large it is */
  COLLECT_MAX_BYTES = 256 << 20 /* beyond, what there is goes to the subscribers at once */
};

struct found {
  struct redis_entry entry;
  unsigned bucket;
};

struct redis_recovery {
  struct redis *redis;
  bool is_whole;
  size_t asked;       /* commands whose answers are still to come */
  struct list out;    /* their parts */
  struct list topics; /* all parts that are topics */
  struct found *found;
  size_t count, cap, bytes;
  uint64_t reached[REDIS_BUCKETS]; /* all topics with news up to here are read; 0 = not known */
};

/* A bucket, or a topic in it, that is read. */
struct part {
  struct redis_command command;
  struct redis_recovery *recovery; /* NULL: it was cancelled */
  struct list out;                 /* in the recovery, while an answer is to come */
  struct list link;                /* a topic: in the recovery */
  unsigned bucket;
  uint64_t from;
  uint64_t newest;         /* position of the topic's last message, as far as known */
  bool has_begun;          /* something was found */
  bool is_lost;            /* something was gone */
  struct redis_place told; /* the last message that subscribers have had */
  bool has_after;
  struct message_id after; /* read on behind it */
  size_t topic_len;        /* 0 = it is a bucket */
  char topic[];
};

static struct part *part_of(struct redis_command *command) {
  return container_of(command, struct part, command);
}

static struct slice part_topic(const struct part *part) {
  return slice_of(part->topic, part->topic_len);
}

static void free_part(struct part *part) {
  list_remove(&part->out);
  list_remove(&part->link);
  free(part);
}

static void finish_when_done(struct redis_recovery *recovery);

static bool on_lost(struct redis_command *command) {
  struct part *part = part_of(command);
  if (part->recovery != NULL) return true;
  free_part(part);
  return false;
}

/* ---- one topic ---- */

static void encode_missed(struct redis_command *command, struct buf *out) {
  const struct part *part = part_of(command);
  char after[MESSAGE_ID_MAX];
  size_t after_len = part->has_after ? message_id_format(part->after, after) : 0;
  redis_script_call(out, REDIS_SCRIPT_MISSED, 1, 4);
  redis_word_key(part->recovery->redis, out, part->bucket, REDIS_KEY_STREAM, part_topic(part));
  resp_u64(out, part->from);
  resp_slice(out, slice_of(after, after_len));
  resp_u64(out, ENTRIES_MAX);
  resp_u64(out, ENTRIES_MAX_BYTES);
}

static void collect(struct part *part, const struct redis_entry *entry) {
  struct redis_recovery *recovery = part->recovery;
  if (recovery->count == recovery->cap) {
    recovery->cap = recovery->cap ? recovery->cap * 2 : 64;
    recovery->found = x_realloc(recovery->found, recovery->cap * sizeof recovery->found[0]);
  }
  recovery->found[recovery->count++] = (struct found){*entry, part->bucket};
  recovery->bytes += message_size(entry->message);
  if (!part->has_begun && entry->previous_position > part->from) part->is_lost = true;
  part->has_begun = true;
}

/* An entry that no broker has written still says where to read on. */
static void read_entry(struct part *part, const redisReply *reply) {
  struct redis_entry entry;
  struct message_id id;
  if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
      reply->element[0]->type == REDIS_REPLY_STRING &&
      message_id_parse(slice_of(reply->element[0]->str, reply->element[0]->len), &id) == 0) {
    part->after = id;
    part->has_after = true;
  }
  if (redis_entry_parse(part_topic(part), reply, &entry) == 0) {
    collect(part, &entry);
  } else {
    redis_skip(part->recovery->redis);
  }
}

static void deliver_found(struct redis_recovery *recovery);

static const struct redis_command_type missed_type;

static void on_missed(struct redis_command *command, const redisReply *reply) {
  struct part *part = part_of(command);
  struct redis_recovery *recovery = part->recovery;
  if (recovery == NULL) {
    free_part(part);
    return;
  }
  bool is_more = false;
  if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0) {
    for (size_t i = 1; i < reply->elements; i++)
      read_entry(part, reply->element[i]);
    is_more = reply->element[0]->integer == 1 && reply->elements > 1;
  } else if (reply->type == REDIS_REPLY_ERROR) {
    redis_refused(recovery->redis, reply->str);
  }
  if (recovery->bytes > COLLECT_MAX_BYTES) deliver_found(recovery);
  if (is_more) {
    redis_lane_submit(command->lane, command, &missed_type);
    return;
  }
  list_remove(&part->out);
  recovery->asked--;
  finish_when_done(recovery);
}

static const struct redis_command_type missed_type = {
    .encode = encode_missed, .on_reply = on_missed, .on_lost = on_lost};

static struct part *new_part(struct redis_recovery *recovery, unsigned bucket, struct slice topic) {
  struct part *part = x_calloc(1, sizeof *part + topic.len);
  part->recovery = recovery;
  part->bucket = bucket;
  part->topic_len = topic.len;
  if (topic.len > 0) memcpy(part->topic, topic.ptr, topic.len);
  list_add_tail(&recovery->out, &part->out);
  recovery->asked++;
  return part;
}

static void ask_topic(struct redis_recovery *recovery, unsigned bucket, struct slice topic,
                      uint64_t from, uint64_t newest) {
  struct redis *redis = recovery->redis;
  struct part *part = new_part(recovery, bucket, topic);
  part->from = from;
  part->newest = newest;
  part->has_after = redis_track_find(&redis->inbox.track, topic, &part->told);
  part->after = part->told.id;
  list_add_tail(&recovery->topics, &part->link);
  redis_lane_submit(redis_lane_of(redis, bucket), &part->command, &missed_type);
}

/* ---- a bucket ---- */

static void encode_changed(struct redis_command *command, struct buf *out) {
  const struct part *part = part_of(command);
  struct redis *redis = part->recovery->redis;
  redis_script_call(out, REDIS_SCRIPT_CHANGED, 2, 1);
  redis_word_key(redis, out, part->bucket, REDIS_KEY_TOPICS, SLICE(""));
  redis_word_key(redis, out, part->bucket, REDIS_KEY_INDEX, SLICE(""));
  resp_u64(out, part->from);
}

static void read_changed(const struct part *part, const redisReply *name,
                         const redisReply *position) {
  struct redis *redis = part->recovery->redis;
  uint64_t since = 0, newest = 0;
  if (name->type != REDIS_REPLY_STRING || position->type != REDIS_REPLY_STRING) return;
  struct slice topic = slice_of(name->str, name->len);
  if (!topic_is_valid(topic) ||
      slice_to_u64(slice_of(position->str, position->len), &newest) != 0) {
    redis_skip(redis);
    return;
  }
  if (!redis_watch_covers(redis, topic, &since)) return;
  struct redis_place told;
  redis_track_find(&redis->inbox.track, topic, &told);
  uint64_t from = since > part->from ? since : part->from;
  if (told.position > from) from = told.position; /* by a recovery before this one */
  if (newest > from) ask_topic(part->recovery, part->bucket, topic, from, newest);
}

static void read_reached(const struct part *part, const redisReply *reply) {
  const redisReply *position = reply->element[0];
  uint64_t reached = 0;
  if (position->type != REDIS_REPLY_STRING) return;
  if (slice_to_u64(slice_of(position->str, position->len), &reached) != 0) return;
  part->recovery->reached[part->bucket] = reached;
}

static void on_changed(struct redis_command *command, const redisReply *reply) {
  struct part *part = part_of(command);
  struct redis_recovery *recovery = part->recovery;
  if (recovery != NULL) {
    if (reply->type == REDIS_REPLY_ERROR) redis_refused(recovery->redis, reply->str);
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0) read_reached(part, reply);
    for (size_t i = 1; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2)
      read_changed(part, reply->element[i], reply->element[i + 1]);
    recovery->asked--;
  }
  free_part(part);
  if (recovery != NULL) finish_when_done(recovery);
}

static const struct redis_command_type changed_type = {
    .encode = encode_changed, .on_reply = on_changed, .on_lost = on_lost};

/* ---- the end ---- */

/* By id, so that one who comes back with the last id that he saw has seen all before it. */
static int compare_found(const void *a, const void *b) {
  const struct found *left = a, *right = b;
  int order = message_id_compare(message_id(left->entry.message), message_id(right->entry.message));
  if (order != 0) return order;
  return left->entry.position < right->entry.position ? -1 : 1;
}

static void deliver_found(struct redis_recovery *recovery) {
  if (recovery->count > 0)
    qsort(recovery->found, recovery->count, sizeof recovery->found[0], compare_found);
  for (size_t i = 0; i < recovery->count; i++) {
    redis_inbox_deliver(recovery->redis, recovery->found[i].bucket, &recovery->found[i].entry);
    message_unref(recovery->found[i].entry.message);
  }
  recovery->count = recovery->bytes = 0;
}

static void tell_gap(const struct part *part) {
  struct redis *redis = part->recovery->redis;
  AUTO(message) struct message *gap = message_new_gap(part_topic(part), part->told.id);
  store_dispatch(redis->backend.store, gap);
}

/* What is nowhere: neither in the stream, nor among what came meanwhile. */
static bool is_gone(const struct part *part) {
  if (part->has_begun) return part->is_lost;
  return part->newest > part->from &&
         !redis_inbox_continues(part->recovery->redis, part_topic(part), part->from);
}

static void judge(struct part *part) {
  struct store_metrics *metrics = part->recovery->redis->metrics;
  bool gone = is_gone(part);
  if (!gone && !part->has_begun) return;
  store_metric_add(&metrics->redis_gaps_found, 1);
  store_metric_add(gone ? &metrics->redis_gaps_lost : &metrics->redis_gaps_filled, 1);
  if (gone) tell_gap(part);
}

static void free_recovery(struct redis_recovery *recovery) {
  LIST_FOREACH_SAFE (link, next, &recovery->topics) {
    free_part(container_of(link, struct part, link));
  }
  for (size_t i = 0; i < recovery->count; i++)
    message_unref(recovery->found[i].entry.message);
  free(recovery->found);
  free(recovery);
}

static void finish_when_done(struct redis_recovery *recovery) {
  struct redis *redis = recovery->redis;
  if (recovery->asked > 0) return;
  LIST_FOREACH (link, &recovery->topics) {
    judge(container_of(link, struct part, link));
  }
  deliver_found(recovery);
  for (unsigned bucket = 0; bucket < REDIS_BUCKETS; bucket++)
    redis_track_mark(&redis->inbox.track, bucket, recovery->reached[bucket]);
  bool is_whole = recovery->is_whole;
  redis->inbox.recovery = NULL;
  free_recovery(recovery);
  if (is_whole) redis->inbox.is_synced = true;
  if (is_whole) redis_cut_renew(redis);
  redis_inbox_resume(redis);
}

/* ---- the beginning ---- */

static struct redis_recovery *begin(struct redis *redis) {
  struct redis_recovery *recovery = x_calloc(1, sizeof *recovery);
  recovery->redis = redis;
  list_init(&recovery->out);
  list_init(&recovery->topics);
  redis->inbox.recovery = recovery;
  return recovery;
}

void redis_recover_topic(struct redis *redis, unsigned bucket, struct slice topic, uint64_t from) {
  ask_topic(begin(redis), bucket, topic, from, UINT64_MAX);
}

void redis_recover_all(struct redis *redis) {
  struct redis_recovery *recovery = begin(redis);
  recovery->is_whole = true;
  recovery->asked++; /* by us, until all is asked for */
  for (unsigned bucket = 0; bucket < REDIS_BUCKETS; bucket++) {
    uint64_t seen = redis->inbox.track.seen[bucket];
    if (seen == 0) continue;
    struct part *part = new_part(recovery, bucket, SLICE(""));
    part->from = seen;
    redis_lane_submit(redis_lane_of(redis, bucket), &part->command, &changed_type);
  }
  recovery->asked--;
  finish_when_done(recovery);
}

/* Parts that are with Redis go when their answers come, or the connection goes. */
static void disown(struct part *part) {
  list_remove(&part->out);
  list_remove(&part->link);
  part->recovery = NULL;
  if (!part->command.is_waiting) return;
  redis_lane_withdraw(&part->command);
  free_part(part);
}

void redis_recovery_cancel(struct redis *redis) {
  struct redis_recovery *recovery = redis->inbox.recovery;
  redis->inbox.recovery = NULL;
  if (recovery == NULL) return;
  LIST_FOREACH_SAFE (link, next, &recovery->out) {
    disown(container_of(link, struct part, out));
  }
  free_recovery(recovery);
}
