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
 *   limit in another bucket:  limit.lua --> allowed --+
 *                                |                    v
 *                                |               publish.lua --> id
 *                                +--> used up        |
 *                                                    +--> used up (a limit of this bucket)
 *
 * A publish keeps its sequence when it is sent again, so that the script knows it.
 */
struct redis_publish {
  struct redis_call call;
  struct redis_command command;
  struct list unsettled; /* in its bucket */
  struct list early;     /* in redis.early, until it is sent */
  bool is_held;          /* by a watch */
  unsigned bucket, limit_bucket;
  uint64_t sequence; /* 0 = not yet at the stage of publishing */
};

enum { BASE_KEYS = 4, BASE_ARGS = 10, LIMIT_ARGS = 2, MS_PER_S = 1000 };

static struct redis_publish *publish_of(struct redis_command *command) {
  return container_of(command, struct redis_publish, command);
}

static struct store_publish *asked(const struct redis_publish *publish) {
  return &publish->call.request->publish;
}

static bool is_limited_here(const struct redis_publish *publish) {
  return asked(publish)->limit != NULL && publish->limit_bucket == publish->bucket;
}

static void settle(struct redis_publish *publish, enum store_status status) {
  list_remove(&publish->unsettled);
  list_remove(&publish->early);
  redis_call_finish(&publish->call, status);
}

static void settle_and_free(struct redis_publish *publish, enum store_status status) {
  settle(publish, status);
  free(publish);
}

/* ---- the limit ---- */

/* `<interval>:<topic or pattern>:<sub>`: what comes last may hold anything. */
static void append_window(struct redis *redis, struct buf *out, const struct store_publish *asked,
                          unsigned bucket) {
  AUTO(buf) struct buf name = BUF_INIT;
  buf_append_u64(&name, asked->limit->interval_s);
  buf_append_char(&name, ':');
  buf_append_slice(&name, asked->limit->topic);
  buf_append_char(&name, ':');
  buf_append_slice(&name, asked->subject);
  redis_word_key(redis, out, bucket, REDIS_KEY_RATE, buf_slice(&name));
}

static void append_limit(struct buf *out, const struct token_limit *limit) {
  uint64_t interval_s = limit->interval_s > 0 ? limit->interval_s : 1;
  resp_u64(out, limit->max);
  resp_u64(out, interval_s * MS_PER_S);
}

static void encode_limit(struct redis_command *command, struct buf *out) {
  const struct redis_publish *publish = publish_of(command);
  redis_script_call(out, REDIS_SCRIPT_LIMIT, 1, LIMIT_ARGS);
  append_window(publish->call.redis, out, asked(publish), publish->limit_bucket);
  append_limit(out, asked(publish)->limit);
}

/* ---- the publish ---- */

static uint64_t ttl_ms(const struct redis_publish *publish) {
  uint64_t ms = asked(publish)->ttl_ms;
  return ms != 0 ? ms : publish->call.redis->store_config.default_ttl_ms;
}

static int64_t messages_kept(const struct redis *redis) {
  return redis->store_config.log_enabled ? (int64_t)redis->store_config.max_log_length : -1;
}

/* All publishes of the bucket up to it have been answered. */
static uint64_t told_sequence(const struct redis_bucket *bucket) {
  struct list *first = list_first(&bucket->unsettled);
  if (first == NULL) return bucket->sequence;
  return container_of(first, struct redis_publish, unsettled)->sequence - 1;
}

static void append_keys(const struct redis_publish *publish, struct buf *out) {
  struct redis *redis = publish->call.redis;
  unsigned bucket = publish->bucket;
  struct slice topic = message_topic(asked(publish)->message);
  redis_word_key(redis, out, bucket, REDIS_KEY_STREAM, topic);
  redis_word_key(redis, out, bucket, REDIS_KEY_TOPICS, SLICE(""));
  redis_word_key(redis, out, bucket, REDIS_KEY_INDEX, SLICE(""));
  redis_word_key(redis, out, bucket, REDIS_KEY_ONCE, redis->producer);
  if (is_limited_here(publish)) append_window(redis, out, asked(publish), bucket);
}

static void append_args(const struct redis_publish *publish, struct buf *out) {
  struct redis *redis = publish->call.redis;
  const struct store_publish *asked_for = asked(publish);
  struct slice topic = message_topic(asked_for->message);
  resp_u64(out, publish->sequence);
  resp_u64(out, told_sequence(&redis->buckets[publish->bucket]));
  resp_slice(out, topic);
  redis_word_key(redis, out, publish->bucket, REDIS_KEY_LIVE, topic);
  resp_u64(out, publish->bucket);
  resp_slice(out, message_payload(asked_for->message));
  resp_slice(out, message_origin_json(asked_for->message));
  resp_u64(out, ttl_ms(publish));
  resp_u64(out, asked_for->timestamp_ms);
  resp_i64(out, messages_kept(redis));
  if (is_limited_here(publish)) append_limit(out, asked_for->limit);
}

static void encode_publish(struct redis_command *command, struct buf *out) {
  const struct redis_publish *publish = publish_of(command);
  size_t more = is_limited_here(publish) ? 1 : 0;
  if (command->was_sent) store_metric_add(&publish->call.redis->metrics->redis_resent, 1);
  redis_script_call(out, REDIS_SCRIPT_PUBLISH, BASE_KEYS + more, BASE_ARGS + LIMIT_ARGS * more);
  append_keys(publish, out);
  append_args(publish, out);
}

static enum store_status read_answer(struct redis_publish *publish, const redisReply *reply) {
  if (reply->type == REDIS_REPLY_INTEGER) return STORE_RATE_LIMITED;
  if (reply->type != REDIS_REPLY_STRING) return STORE_UNAVAILABLE;
  struct message_id id;
  if (message_id_parse(slice_of(reply->str, reply->len), &id) != 0) return STORE_UNKNOWN;
  asked(publish)->id = id;
  return STORE_OK;
}

static void on_published(struct redis_command *command, const redisReply *reply) {
  struct redis_publish *publish = publish_of(command);
  struct redis *redis = publish->call.redis;
  if (publish->call.request == NULL) {
    free(publish);
    return;
  }
  enum store_status status = read_answer(publish, reply);
  if (status == STORE_OK) store_metric_add(&redis->metrics->publishes, 1);
  if (status == STORE_RATE_LIMITED) store_metric_add(&redis->metrics->publishes_limited, 1);
  if (reply->type == REDIS_REPLY_ERROR) redis_refused(redis, reply->str);
  settle_and_free(publish, status);
}

static bool on_publish_lost(struct redis_command *command) {
  struct redis_publish *publish = publish_of(command);
  if (publish->call.request != NULL) return true;
  free(publish);
  return false;
}

static const struct redis_command_type publish_type = {
    .encode = encode_publish, .on_reply = on_published, .on_lost = on_publish_lost};

static void send_publish(struct redis_publish *publish) {
  struct redis *redis = publish->call.redis;
  struct redis_bucket *bucket = &redis->buckets[publish->bucket];
  list_remove(&publish->early);
  publish->sequence = ++bucket->sequence;
  list_add_tail(&bucket->unsettled, &publish->unsettled);
  publish->command.was_sent = false;
  redis_lane_submit(redis_lane_of(redis, publish->bucket), &publish->command, &publish_type);
}

static void on_counted(struct redis_command *command, const redisReply *reply) {
  struct redis_publish *publish = publish_of(command);
  if (publish->call.request == NULL) {
    free(publish);
  } else if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 1) {
    send_publish(publish);
  } else if (reply->type == REDIS_REPLY_INTEGER) {
    store_metric_add(&publish->call.redis->metrics->publishes_limited, 1);
    settle_and_free(publish, STORE_RATE_LIMITED);
  } else {
    if (reply->type == REDIS_REPLY_ERROR) redis_refused(publish->call.redis, reply->str);
    settle_and_free(publish, STORE_UNAVAILABLE);
  }
}

static const struct redis_command_type limit_type = {
    .encode = encode_limit, .on_reply = on_counted, .on_lost = on_publish_lost};

/* Sent and not answered: nobody knows. A command that is with Redis stays until that has answered
 * or the connection has gone. */
static void on_timeout(struct redis_call *call) {
  struct redis_publish *publish = container_of(call, struct redis_publish, call);
  bool may_be_done = publish->sequence != 0 && publish->command.was_sent;
  bool is_here = publish->command.is_waiting || publish->is_held;
  if (publish->command.is_waiting) redis_lane_withdraw(&publish->command);
  settle(publish, may_be_done ? STORE_UNKNOWN : STORE_UNAVAILABLE);
  if (is_here) free(publish);
}

static void begin(struct redis_publish *publish) {
  struct redis *redis = publish->call.redis;
  publish->is_held = false;
  if (asked(publish)->limit == NULL || is_limited_here(publish)) {
    send_publish(publish);
  } else {
    redis_lane_submit(redis_lane_of(redis, publish->limit_bucket), &publish->command, &limit_type);
  }
}

static bool must_wait(const struct redis_publish *publish) {
  struct redis *redis = publish->call.redis;
  struct slice topic = message_topic(asked(publish)->message);
  return redis->watches.open_calls > 0 &&
         redis_watch_is_opening(redis, topic, publish->call.request->client->worker);
}

void redis_publish_flush(struct redis *redis) {
  LIST_FOREACH_SAFE (link, next, &redis->early) {
    struct redis_publish *publish = container_of(link, struct redis_publish, early);
    if (publish->is_held && !must_wait(publish)) begin(publish);
  }
}

bool redis_publish_is_before(const struct redis *redis, const struct redis_call *call,
                             struct slice filter) {
  LIST_FOREACH (link, &redis->early) {
    const struct redis_publish *publish = container_of(link, struct redis_publish, early);
    if (publish->call.serial > call->serial) continue;
    if (publish->call.request->client != call->request->client) continue;
    if (filter_matches(filter, message_topic(asked(publish)->message))) return true;
  }
  return false;
}

void redis_run_publish(struct store_backend *backend, struct store_request *request) {
  struct redis *redis = redis_of(backend);
  unsigned bucket = redis_bucket_of(message_topic(request->publish.message));
  if (redis_conn_is_gone(&redis_lane_of(redis, bucket)->conn)) {
    store_finish(request, STORE_UNAVAILABLE);
    return;
  }
  struct redis_publish *publish = x_calloc(1, sizeof *publish);
  redis_call_begin(&publish->call, redis, request, on_timeout);
  publish->bucket = bucket;
  const struct token_limit *limit = request->publish.limit;
  if (limit != NULL) publish->limit_bucket = redis_bucket_of(limit->topic);
  list_add_tail(&redis->early, &publish->early);
  publish->is_held = must_wait(publish);
  if (!publish->is_held) begin(publish);
}
