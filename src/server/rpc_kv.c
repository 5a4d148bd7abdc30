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
  rpc_long_result(&call->reply, buf_slice(&result));
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

/* What the methods differ in until the store has answered. */
struct kv_method {
  enum store_op op;
  bool (*is_allowed)(const struct token *token, struct slice key);
  const char *denial; /* the key follows */
  void (*finish)(struct rpc_call *call, struct session *session);
};

/* A call with its key, to be submitted; NULL where the request is refused and answered. */
static struct rpc_call *new_call(struct rpc_request *rpc, const struct kv_method *method,
                                 const struct rpc_param *param) {
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct slice key;
  if (!kv_is_on(rpc) || !read_key(rpc, param, &scratch, &key)) return NULL;
  if (!method->is_allowed(rpc->session->token, key)) {
    rpc_fail_about(&rpc->reply, JSONRPC_INVALID_PARAMS, method->denial, key);
    return NULL;
  }
  struct rpc_call *call = rpc_call_new(rpc, method->op, key, method->finish);
  call->request.kv.key = call->subject;
  return call;
}

static void run_with_key(struct rpc_request *rpc, const struct kv_method *method) {
  struct rpc_param params[] = {RPC_PARAM("key")};
  rpc_params_find(rpc, params, ARRAY_LEN(params));
  struct rpc_call *call = new_call(rpc, method, &params[0]);
  if (call != NULL) rpc_call_submit(call, rpc->session);
}

void rpc_get(struct rpc_request *rpc) {
  static const struct kv_method get = {STORE_KV_GET, acl_may_read_key,
                                       "You are not allowed to read key ", on_get};
  run_with_key(rpc, &get);
}

void rpc_del(struct rpc_request *rpc) {
  static const struct kv_method del = {STORE_KV_DEL, acl_may_write_key,
                                       "You are not allowed to delete key ", on_del};
  run_with_key(rpc, &del);
}

static bool value_is_there(const struct rpc_request *rpc, struct json_value value) {
  if (value.type != JSON_NULL) return true;
  rpc_fail(&rpc->reply, JSONRPC_INVALID_PARAMS, SLICE("Parameter 'value' is missing or null."));
  return false;
}

void rpc_set(struct rpc_request *rpc) {
  static const struct kv_method set = {STORE_KV_SET, acl_may_write_key,
                                       "You are not allowed to write key ", on_set};
  struct rpc_param params[] = {RPC_PARAM("key"), RPC_PARAM("value"), RPC_PARAM("ttl")};
  uint64_t ttl_ms = 0;
  rpc_params_find(rpc, params, ARRAY_LEN(params));
  if (!value_is_there(rpc, params[1].value) || !rpc_param_ttl(rpc, &params[2], &ttl_ms)) return;
  struct rpc_call *call = new_call(rpc, &set, &params[0]);
  if (call == NULL) return;
  call->request.kv.value = blob_new(params[1].value.text.ptr, params[1].value.text.len);
  call->request.kv.ttl_ms = ttl_ms;
  rpc_call_submit(call, rpc->session);
}
