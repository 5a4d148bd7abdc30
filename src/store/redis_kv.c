#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/proto/json.h"
#include "eventhub/proto/utf8.h"
#include "eventhub/store/redis_backend.h"
#include "eventhub/store/resp.h"

struct redis_kv {
  struct redis_call call;
  struct redis_command command;
};

static struct redis_kv *kv_of(struct redis_command *command) {
  return container_of(command, struct redis_kv, command);
}

static void append_key(const struct redis_kv *kv, struct buf *out) {
  struct slice key = kv->call.request->kv.key;
  redis_word_key(kv->call.redis, out, redis_bucket_of(key), REDIS_KEY_KV, key);
}

static void encode_get(struct redis_command *command, struct buf *out) {
  resp_begin(out, 2);
  resp_str(out, "GET");
  append_key(kv_of(command), out);
}

static void encode_del(struct redis_command *command, struct buf *out) {
  resp_begin(out, 2);
  resp_str(out, "DEL");
  append_key(kv_of(command), out);
}

static void encode_set(struct redis_command *command, struct buf *out) {
  const struct store_kv *asked = &kv_of(command)->call.request->kv;
  resp_begin(out, asked->ttl_ms != 0 ? 5 : 3);
  resp_str(out, "SET");
  append_key(kv_of(command), out);
  resp_slice(out, blob_slice(asked->value));
  if (asked->ttl_ms == 0) return;
  resp_str(out, "PX");
  resp_u64(out, asked->ttl_ms);
}

/* A value goes into answers as it is: what a stranger has put there must not. */
static enum store_status read_value(struct redis *redis, struct store_request *request,
                                    struct slice text) {
  struct json_value value;
  if (!utf8_is_valid(text.ptr, text.len) || json_parse(text, JSON_DEPTH_MAX, &value) != 0) {
    redis_skip(redis);
    return STORE_NOT_FOUND;
  }
  request->kv.value = blob_new(text.ptr, text.len);
  return STORE_OK;
}

static enum store_status read_answer(struct redis *redis, struct store_request *request,
                                     const redisReply *reply) {
  switch (reply->type) {
  case REDIS_REPLY_STRING: return read_value(redis, request, slice_of(reply->str, reply->len));
  case REDIS_REPLY_INTEGER: return reply->integer > 0 ? STORE_OK : STORE_NOT_FOUND;
  case REDIS_REPLY_STATUS: return STORE_OK;
  case REDIS_REPLY_NIL: return STORE_NOT_FOUND;
  default: return STORE_UNAVAILABLE;
  }
}

static void on_reply(struct redis_command *command, const redisReply *reply) {
  struct redis_kv *kv = kv_of(command);
  struct store_request *request = kv->call.request;
  if (reply->type == REDIS_REPLY_ERROR) redis_refused(kv->call.redis, reply->str);
  if (request != NULL) redis_call_finish(&kv->call, read_answer(kv->call.redis, request, reply));
  free(kv);
}

/* A read may be asked again. What changes something may not: between the two, somebody else may
 * have changed it. */
static bool on_lost(struct redis_command *command) {
  struct redis_kv *kv = kv_of(command);
  bool is_read = kv->call.request != NULL && kv->call.request->op == STORE_KV_GET;
  if (is_read) return true;
  redis_call_finish(&kv->call, STORE_UNKNOWN);
  free(kv);
  return false;
}

static void on_timeout(struct redis_call *call) {
  struct redis_kv *kv = container_of(call, struct redis_kv, call);
  bool is_waiting = kv->command.is_waiting;
  bool may_be_done = !is_waiting && call->request->op != STORE_KV_GET;
  if (is_waiting) redis_lane_withdraw(&kv->command);
  redis_call_finish(call, may_be_done ? STORE_UNKNOWN : STORE_UNAVAILABLE);
  if (is_waiting) free(kv);
}

static void run(struct store_backend *backend, struct store_request *request,
                const struct redis_command_type *type) {
  struct redis *redis = redis_of(backend);
  if (!redis->store_config.kv_enabled) {
    store_finish(request, STORE_DISABLED);
    return;
  }
  struct redis_lane *lane = redis_lane_of(redis, redis_bucket_of(request->kv.key));
  if (redis_conn_is_gone(&lane->conn)) {
    store_finish(request, STORE_UNAVAILABLE);
    return;
  }
  struct redis_kv *kv = x_calloc(1, sizeof *kv);
  redis_call_begin(&kv->call, redis, request, on_timeout);
  redis_lane_submit(lane, &kv->command, type);
}

void redis_run_kv_get(struct store_backend *backend, struct store_request *request) {
  static const struct redis_command_type get = {encode_get, on_reply, on_lost};
  run(backend, request, &get);
}

void redis_run_kv_set(struct store_backend *backend, struct store_request *request) {
  static const struct redis_command_type set = {encode_set, on_reply, on_lost};
  run(backend, request, &set);
}

void redis_run_kv_del(struct store_backend *backend, struct store_request *request) {
  static const struct redis_command_type del = {encode_del, on_reply, on_lost};
  run(backend, request, &del);
}
