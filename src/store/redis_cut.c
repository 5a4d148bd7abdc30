#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/redis_backend.h"
#include "eventhub/store/redis_script.h"
#include "eventhub/store/resp.h"

/* ---- marks ---- */

struct mark {
  struct redis_command command;
  struct redis *redis;
  unsigned bucket;
  uint64_t number;
};

static struct mark *mark_of(struct redis_command *command) {
  return container_of(command, struct mark, command);
}

static void encode_mark(struct redis_command *command, struct buf *out) {
  const struct mark *mark = mark_of(command);
  struct redis *redis = mark->redis;
  redis_script_call(out, REDIS_SCRIPT_MARK, 1, 2);
  redis_word_key(redis, out, mark->bucket, REDIS_KEY_TOPICS, SLICE(""));
  redis_word_key(redis, out, mark->bucket, REDIS_KEY_NODE, redis->producer);
  resp_u64(out, mark->number);
}

static void on_marked(struct redis_command *command, const redisReply *reply) {
  struct mark *mark = mark_of(command);
  struct redis *redis = mark->redis;
  redis->buckets[mark->bucket].has_mark = false;
  if (reply->type == REDIS_REPLY_ERROR) redis_refused(redis, reply->str);
  free(mark);
}

static bool on_mark_lost(struct redis_command *command) {
  struct mark *mark = mark_of(command);
  if (!mark->redis->is_stopping) return true;
  free(mark);
  return false;
}

static const struct redis_command_type mark_type = {
    .encode = encode_mark, .on_reply = on_marked, .on_lost = on_mark_lost};

void redis_mark_later(struct redis *redis, unsigned bucket) {
  redis->buckets[bucket].wants_mark = true;
}

/* One at a time for each bucket: those that are asked for meanwhile are one, too. */
static void send_mark(struct redis *redis, unsigned bucket) {
  struct redis_bucket *state = &redis->buckets[bucket];
  if (!state->wants_mark || state->has_mark) return;
  struct mark *mark = x_calloc(1, sizeof *mark);
  mark->redis = redis;
  mark->bucket = bucket;
  mark->number = ++redis->mark_number;
  state->wants_mark = false;
  state->has_mark = true;
  redis_lane_submit(redis_lane_of(redis, bucket), &mark->command, &mark_type);
}

/* ---- cuts ---- */

void redis_cut_begin(struct redis_cut *cut, unsigned bucket,
                     void (*on_cut)(struct redis_cut *cut)) {
  struct redis *redis = cut->call.redis;
  cut->bucket = bucket;
  cut->behind = redis->mark_number;
  cut->on_cut = on_cut;
  list_add_tail(&redis->cuts, &cut->link);
  if (bucket < REDIS_BUCKETS) {
    redis_mark_later(redis, bucket);
    return;
  }
  for (unsigned each = 0; each < REDIS_BUCKETS; each++)
    redis_mark_later(redis, each);
}

static bool has_come(const struct redis *redis, const struct redis_cut *cut) {
  if (cut->bucket < REDIS_BUCKETS) return redis->buckets[cut->bucket].marked > cut->behind;
  for (unsigned each = 0; each < REDIS_BUCKETS; each++) {
    if (redis->buckets[each].marked <= cut->behind) return false;
  }
  return true;
}

void redis_cut_renew(struct redis *redis) {
  LIST_FOREACH (link, &redis->cuts) {
    const struct redis_cut *cut = container_of(link, struct redis_cut, link);
    for (unsigned each = 0; each < REDIS_BUCKETS; each++) {
      bool is_its = cut->bucket == each || cut->bucket == REDIS_BUCKETS;
      if (is_its && redis->buckets[each].marked <= cut->behind) redis_mark_later(redis, each);
    }
  }
}

/* ---- barriers ---- */

static void on_barrier_cut(struct redis_cut *cut) {
  redis_call_finish(&cut->call, STORE_OK);
  free(cut);
}

/* A barrier tells of an end of waiting, not of a success. */
static void on_barrier_timeout(struct redis_call *call) {
  struct redis_cut *cut = container_of(call, struct redis_cut, call);
  list_remove(&cut->link);
  redis_call_finish(call, STORE_OK);
  free(cut);
}

void redis_run_barrier(struct store_backend *backend, struct store_request *request) {
  struct redis *redis = redis_of(backend);
  struct redis_cut *barrier = x_calloc(1, sizeof *barrier);
  redis_call_begin(&barrier->call, redis, request, on_barrier_timeout);
  list_add_tail(&redis->barriers, &barrier->link);
}

static bool is_barrier(const struct redis *redis, const struct redis_call *call) {
  LIST_FOREACH (link, &redis->barriers) {
    if (&container_of(link, struct redis_cut, link)->call == call) return true;
  }
  return false;
}

/* Barriers that have nothing but barriers in front of them ask for their cut. */
static void release_barriers(struct redis *redis) {
  while (!list_is_empty(&redis->barriers)) {
    struct list *first = list_first(&redis->calls);
    struct redis_call *call = container_of(first, struct redis_call, link);
    if (!is_barrier(redis, call)) return;
    struct redis_cut *barrier = container_of(call, struct redis_cut, call);
    list_remove(&call->link);
    list_add_tail(&redis->calls, &call->link);
    list_remove(&barrier->link);
    if (redis->inbox.is_synced) {
      redis_cut_begin(barrier, REDIS_BUCKETS, on_barrier_cut);
    } else { /* no messages come that could stand before it */
      on_barrier_cut(barrier);
    }
  }
}

void redis_cut_flush(struct redis *redis) {
  LIST_FOREACH_SAFE (link, next, &redis->cuts) {
    struct redis_cut *cut = container_of(link, struct redis_cut, link);
    if (!has_come(redis, cut)) continue;
    list_remove(link);
    cut->on_cut(cut);
  }
  release_barriers(redis);
  for (unsigned bucket = 0; bucket < REDIS_BUCKETS; bucket++)
    send_mark(redis, bucket);
}
