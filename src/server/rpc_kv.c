#include "eventhub/base/blob.h"
#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/json_escape.h"
#include "eventhub/server/rpc.h"
#include "eventhub/server/rpc_params.h"
#include "eventhub/server/session.h"
#include "eventhub/server/worker.h"
#include "eventhub/topic/acl.h"
#include "eventhub/topic/name.h"

static const int64_t ttl_max_s = INT64_C(100) * 365 * 24 * 3600;

static bool kv_is_on(const struct rpc_request *rpc) {
  if (rpc->session->worker->broker->options->enable_kvstore) return true;
  rpc_fail(&rpc->reply, JSONRPC_INVALID_PARAMS, SLICE("KVStore is not enabled."));
  return false;
}

/* A key is any text as long as a topic may be. */
static bool read_key(const struct rpc_request *rpc, const struct rpc_param *param,
                     struct buf *scratch, struct slice *ret) {
  if (!rpc_param_string(rpc, param, scratch, ret)) return false;
  if (ret->len <= TOPIC_MAX) return true;
  rpc_fail_about(&rpc->reply, JSONRPC_INVALID_PARAMS,
                 "A key has at most 1024 bytes; this one is longer: ", *ret);
  return false;
}

static bool may_use(const struct rpc_request *rpc, bool is_allowed, const char *sentence,
                    struct slice key) {
  if (!is_allowed) rpc_fail_about(&rpc->reply, JSONRPC_INVALID_PARAMS, sentence, key);
  return is_allowed;
}

static void begin_result(struct buf *result, const char *action, struct slice key) {
  buf_append_str(result, "{\"action\":\"");
  buf_append_str(result, action);
  buf_append_str(result, "\",\"key\":");
  buf_append_json_string(result, key);
}

static void answer_success(const struct rpc_call *call, const char *action, bool success) {
  AUTO(buf) struct buf result = BUF_INIT;
  begin_result(&result, action, call->subject);
  buf_append_str(&result, success ? ",\"success\":true}" : ",\"success\":false}");
  rpc_result(&call->reply, buf_slice(&result));
}

static void on_get(struct rpc_call *call, struct session *session) {
  (void)session;
  if (call->request.status == STORE_NOT_FOUND) {
    rpc_fail(&call->reply, JSONRPC_INVALID_PARAMS, SLICE("KVStore: key not found"));
    return;
  }
  if (call->request.status != STORE_OK) {
    rpc_fail_status(&call->reply, call->request.status);
    return;
  }
  AUTO(buf) struct buf result = BUF_INIT;
  begin_result(&result, "get", call->subject);
  buf_append_str(&result, ",\"value\":");
  buf_append_slice(&result, blob_slice(call->request.kv.value));
  buf_append_char(&result, '}');
  rpc_result(&call->reply, buf_slice(&result));
}

static void on_set(struct rpc_call *call, struct session *session) {
  (void)session;
  if (call->request.status == STORE_OK) {
    answer_success(call, "set", true);
  } else {
    rpc_fail_status(&call->reply, call->request.status);
  }
}

static void on_del(struct rpc_call *call, struct session *session) {
  (void)session;
  if (call->request.status == STORE_OK || call->request.status == STORE_NOT_FOUND) {
    answer_success(call, "del", call->request.status == STORE_OK);
  } else {
    rpc_fail_status(&call->reply, call->request.status);
  }
}

static struct rpc_call *new_call(struct rpc_request *rpc, enum store_op op, struct slice key,
                                 void (*finish)(struct rpc_call *call, struct session *session)) {
  struct rpc_call *call = rpc_call_new(rpc, op, key, finish);
  call->request.kv.key = call->subject;
  return call;
}

void rpc_get(struct rpc_request *rpc) {
  struct rpc_param params[] = {RPC_PARAM("key")};
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct slice key;
  if (!kv_is_on(rpc)) return;
  rpc_params_find(rpc->params, params, ARRAY_LEN(params));
  if (!read_key(rpc, &params[0], &scratch, &key)) return;
  bool is_allowed = acl_may_read_key(rpc->session->token, key);
  if (!may_use(rpc, is_allowed, "You are not allowed to read key ", key)) return;
  rpc_call_submit(new_call(rpc, STORE_KV_GET, key, on_get), rpc->session);
}

void rpc_set(struct rpc_request *rpc) {
  struct rpc_param params[] = {RPC_PARAM("key"), RPC_PARAM("value"), RPC_PARAM("ttl")};
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct slice key;
  int64_t ttl_s = 0;
  if (!kv_is_on(rpc)) return;
  rpc_params_find(rpc->params, params, ARRAY_LEN(params));
  if (!read_key(rpc, &params[0], &scratch, &key)) return;
  bool is_allowed = acl_may_write_key(rpc->session->token, key);
  if (!may_use(rpc, is_allowed, "You are not allowed to write key ", key)) return;
  if (!rpc_param_number(rpc, &params[2], 0, ttl_max_s, &ttl_s)) return;
  struct slice value = params[1].value.text;
  if (params[1].value.type == JSON_NULL) {
    rpc_fail(&rpc->reply, JSONRPC_INVALID_PARAMS, SLICE("Parameter 'value' is missing or null."));
    return;
  }
  struct rpc_call *call = new_call(rpc, STORE_KV_SET, key, on_set);
  call->request.kv.value = blob_new(value.ptr, value.len);
  call->request.kv.ttl_ms = (uint64_t)ttl_s * 1000;
  rpc_call_submit(call, rpc->session);
}

void rpc_del(struct rpc_request *rpc) {
  struct rpc_param params[] = {RPC_PARAM("key")};
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct slice key;
  if (!kv_is_on(rpc)) return;
  rpc_params_find(rpc->params, params, ARRAY_LEN(params));
  if (!read_key(rpc, &params[0], &scratch, &key)) return;
  bool is_allowed = acl_may_write_key(rpc->session->token, key);
  if (!may_use(rpc, is_allowed, "You are not allowed to delete key ", key)) return;
  rpc_call_submit(new_call(rpc, STORE_KV_DEL, key, on_del), rpc->session);
}
