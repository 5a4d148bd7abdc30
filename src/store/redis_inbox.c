#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/redis_backend.h"
#include "eventhub/topic/name.h"

/*
 *   pub/sub connection --> event --> nothing missing before it --> subscribers
 *                            |
 *                            +--> something is: a recovery begins; this event and all that come
 *                                 after it are held until it ends, so that nothing overtakes
 */

enum {
  HELD_MAX_BYTES = 64 << 20, /* beyond, the connection is made anew and all is read again */
  FUTURE_MAX_S = 86400       /* a position further ahead is nobody's of ours */
};

struct event {
  struct list link;
  unsigned bucket;
  bool is_mark;
  bool is_checked; /* what was missing before it has been looked for */
  struct redis_entry entry;
  uint64_t position, number; /* of a mark */
};

void redis_inbox_init(struct redis_inbox *inbox) {
  redis_track_init(&inbox->track, REDIS_TRACK_TOPICS_MAX);
  list_init(&inbox->held);
}

static void free_event(struct event *event) {
  message_unref(event->entry.message);
  free(event);
}

static void drop_held(struct redis_inbox *inbox) {
  LIST_FOREACH_SAFE (link, next, &inbox->held) {
    list_remove(link);
    free_event(container_of(link, struct event, link));
  }
  inbox->held_bytes = 0;
}

void redis_inbox_done(struct redis *redis) {
  drop_held(&redis->inbox);
  redis_track_done(&redis->inbox.track);
}

static size_t held_size(const struct event *event) {
  size_t message = event->is_mark ? 0 : message_size(event->entry.message);
  return sizeof *event + message;
}

/* Takes the event's reference. */
static void hold(struct redis *redis, const struct event *event) {
  struct redis_inbox *inbox = &redis->inbox;
  struct event *copy = x_malloc(sizeof *copy);
  *copy = *event;
  copy->link = (struct list){NULL, NULL};
  list_add_tail(&inbox->held, &copy->link);
  inbox->held_bytes += held_size(copy);
  if (inbox->held_bytes > HELD_MAX_BYTES)
    redis_conn_drop(&redis->pubsub, "too much came before what was missing");
}

/* ---- marks ---- */

static void take_mark(struct redis *redis, const struct event *event) {
  struct redis_bucket *bucket = &redis->buckets[event->bucket];
  struct redis_inbox *inbox = &redis->inbox;
  if (event->position > inbox->server_us) inbox->server_us = event->position;
  redis_track_mark(&inbox->track, event->bucket, event->position);
  if (event->number > bucket->marked) bucket->marked = event->number;
}

/* ---- messages ---- */

void redis_inbox_deliver(struct redis *redis, unsigned bucket, const struct redis_entry *entry) {
  struct redis_track *track = &redis->inbox.track;
  struct slice topic = message_topic(entry->message);
  struct redis_place place;
  bool is_known = redis_track_find(track, topic, &place);
  bool is_copy = is_known && entry->position <= place.position &&
                 message_id_compare(message_id(entry->message), place.id) <= 0;
  if (is_copy) return; /* channels and globs overlap, and so do recoveries and what comes live */
  redis_read_record(redis, bucket, entry);
  store_dispatch(redis->backend.store, entry->message);
  place = (struct redis_place){message_id(entry->message), entry->position};
  redis_track_advance(track, topic, place);
}

/* Behind which position is something missing before this message? Of a topic that is not tracked
 * its bucket says how far it has been seen. What was published before anybody here was promised
 * the topic is not missing. */
static bool is_missing_before(struct redis *redis, const struct event *event, uint64_t *ret_from) {
  const struct redis_track *track = &redis->inbox.track;
  struct slice topic = message_topic(event->entry.message);
  struct redis_place place;
  uint64_t since = 0;
  uint64_t from =
      redis_track_find(track, topic, &place) ? place.position : track->seen[event->bucket];
  uint64_t previous = event->entry.previous_position;
  if (previous <= from || event->entry.position <= from) return false;
  if (!redis_watch_covers(redis, topic, &since) || previous <= since) return false;
  *ret_from = from > since ? from : since;
  return true;
}

/* Takes the event's reference. */
static void take_message(struct redis *redis, struct event *event) {
  uint64_t from = 0;
  if (!event->is_checked && is_missing_before(redis, event, &from)) {
    event->is_checked = true;
    struct message *message = message_ref(event->entry.message);
    hold(redis, event);
    redis_recover_topic(redis, event->bucket, message_topic(message), from);
    message_unref(message);
    return;
  }
  redis_inbox_deliver(redis, event->bucket, &event->entry);
  redis_track_mark(&redis->inbox.track, event->bucket, event->entry.position);
  message_unref(event->entry.message);
}

static void take(struct redis *redis, struct event *event) {
  if (!redis->inbox.is_synced || redis->inbox.recovery != NULL) {
    hold(redis, event);
  } else if (event->is_mark) {
    take_mark(redis, event);
  } else {
    take_message(redis, event);
  }
}

/* An event that is held before the others because of what is missing goes on first. */
void redis_inbox_resume(struct redis *redis) {
  struct redis_inbox *inbox = &redis->inbox;
  struct list held;
  list_init(&held);
  list_append_all(&held, &inbox->held);
  inbox->held_bytes = 0;
  LIST_FOREACH_SAFE (link, next, &held) {
    struct event *event = container_of(link, struct event, link);
    list_remove(link);
    take(redis, event); /* copies what must be held again, behind what is held already */
    free(event);
  }
}

bool redis_inbox_continues(const struct redis *redis, struct slice topic, uint64_t position) {
  LIST_FOREACH (link, &redis->inbox.held) {
    const struct event *event = container_of(link, struct event, link);
    if (event->is_mark || !slice_equal(message_topic(event->entry.message), topic)) continue;
    return event->entry.previous_position <= position;
  }
  return false;
}

/* ---- what comes ---- */

/* By our clock or the server's, whichever is ahead. */
static bool is_future(const struct redis *redis, uint64_t position) {
  uint64_t now_s = clock_wall_ms() / 1000, server_s = redis->inbox.server_us / 1000000;
  return position / 1000000 > (now_s > server_s ? now_s : server_s) + FUTURE_MAX_S;
}

/* "<position> <number>" */
static bool parse_mark(struct slice text, struct event *ret) {
  struct slice position, number;
  return slice_next_token(&text, ' ', &position) && slice_next_token(&text, ' ', &number) &&
         text.ptr == NULL && slice_to_u64(position, &ret->position) == 0 &&
         slice_to_u64(number, &ret->number) == 0;
}

static bool parse_live(struct redis *redis, unsigned bucket, struct slice topic, struct slice text,
                       struct event *ret) {
  bool is_ours = topic_is_valid(topic) && redis_bucket_of(topic) == bucket &&
                 redis_live_parse(topic, text, &ret->entry) == 0;
  if (!is_ours) return false;
  if (!is_future(redis, ret->entry.position)) return true;
  message_unref(ret->entry.message);
  return false;
}

static void on_message(struct redis *redis, struct slice channel, struct slice text) {
  struct event event = {0};
  enum redis_key key;
  struct slice name;
  bool is_fine = false;
  if (redis_channel_parse(redis->prefix, channel, &event.bucket, &key, &name)) {
    event.is_mark = key == REDIS_KEY_NODE;
    is_fine = event.is_mark ? parse_mark(text, &event)
                            : parse_live(redis, event.bucket, name, text, &event);
  }
  if (is_fine) {
    take(redis, &event);
  } else {
    redis_skip(redis);
  }
}

static struct slice text_of(const redisReply *reply) {
  return reply->type == REDIS_REPLY_STRING ? slice_of(reply->str, reply->len) : SLICE("");
}

void redis_inbox_on_reply(const struct redisReply *reply, void *context) {
  struct redis *redis = context;
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3) return;
  struct slice kind = text_of(reply->element[0]);
  if (slice_equal(kind, SLICE("message"))) {
    on_message(redis, text_of(reply->element[1]), text_of(reply->element[2]));
  } else if (slice_equal(kind, SLICE("pmessage")) && reply->elements == 4) {
    on_message(redis, text_of(reply->element[2]), text_of(reply->element[3]));
  } else {
    redis_watch_on_confirmed(redis, kind, text_of(reply->element[1]));
  }
}

/* ---- the connection ---- */

void redis_inbox_on_down(struct redis *redis) {
  redis_recovery_cancel(redis);
  drop_held(&redis->inbox);
  redis->inbox.is_synced = false;
}

/* Buckets in which nothing is promised to anybody begin anew. */
void redis_inbox_sync(struct redis *redis) {
  for (unsigned bucket = 0; bucket < REDIS_BUCKETS; bucket++) {
    if (!redis_watch_covers_bucket(redis, bucket)) redis->inbox.track.seen[bucket] = 0;
  }
  redis_recover_all(redis);
}
