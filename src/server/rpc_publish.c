#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/proto/json.h"
#include "eventhub/server/rpc.h"
#include "eventhub/server/rpc_params.h"
#include "eventhub/server/session.h"
#include "eventhub/topic/acl.h"
#include "eventhub/topic/message.h"
#include "eventhub/topic/rate_limit.h"
#include "eventhub/topic/token.h"

void rpc_append_published(struct buf *out, const struct rpc_call *call) {
  enum { AROUND = 96 }; /* the topic */
  const struct store_publish *publish = &call->request.publish;
  char text[MESSAGE_ID_MAX];
  struct slice id = message_id_text(publish->message);
  /* Some stores do not set the message's own. */
  if (message_id_compare(message_id(publish->message), publish->id) != 0)
    id = slice_of(text, message_id_format(publish->id, text));
  buf_reserve(out, call->subject.len + AROUND);
  buf_append_str(out, "{\"action\":\"publish\",\"id\":\"");
  buf_append_slice(out, id);
  buf_append_str(out, "\",\"status\":\"ok\",\"topic\":\"");
  buf_append_slice(out, call->subject);
  buf_append_str(out, "\"}");
}

static void answer_published(const struct rpc_call *call) {
  AUTO(buf) struct buf result = BUF_INIT;
  rpc_append_published(&result, call);
  rpc_result(&call->reply, buf_slice(&result));
}

static void answer_limited(const struct rpc_call *call) {
  AUTO(buf) struct buf result = BUF_INIT;
  buf_append_str(&result, "{\"action\":\"publish\",\"topic\":\"");
  buf_append_slice(&result, call->subject);
  buf_append_str(&result, "\",\"status\":\"ERR_RATE_LIMIT_EXCEEDED\"}");
  rpc_result(&call->reply, buf_slice(&result));
}

static void on_published(struct rpc_call *call, struct session *session) {
  (void)session;
  if (call->request.status == STORE_OK) {
    answer_published(call);
  } else if (call->request.status == STORE_RATE_LIMITED) {
    answer_limited(call);
  } else {
    rpc_fail_status(&call->reply, call->request.status);
  }
}

static bool message_is_there(const struct rpc_request *rpc, struct json_value message) {
  if (!json_is_blank(message)) return true;
  rpc_fail(&rpc->reply, JSONRPC_INVALID_PARAMS,
           SLICE("You need to specify topic and message to publish to: parameter 'message' is "
                 "missing, null or empty."));
  return false;
}

static bool read_params(const struct rpc_request *rpc, struct buf *scratch,
                        struct rpc_publish *ret) {
  struct rpc_param params[] = {RPC_PARAM("topic"), RPC_PARAM("message"), RPC_PARAM("ttl"),
                               RPC_PARAM("timestamp")};
  int64_t timestamp_ms = 0;
  rpc_params_find(rpc, params, ARRAY_LEN(params));
  if (!rpc_param_topic(rpc, &params[0], scratch, &ret->topic) ||
      !message_is_there(rpc, params[1].value) || !rpc_param_ttl(rpc, &params[2], &ret->ttl_ms) ||
      !rpc_param_number(rpc, &params[3], 0, rpc_integer_max, &timestamp_ms)) {
    return false;
  }
  ret->message = params[1].value.text;
  ret->timestamp_ms = (uint64_t)timestamp_ms;
  return true;
}

void rpc_publish_start(const struct rpc_request *rpc, const struct rpc_publish *publish,
                       void (*finish)(struct rpc_call *call, struct session *session)) {
  struct session *session = rpc->session;
  struct slice origin = session->token != NULL ? session->token->sub : SLICE("");
  struct rpc_call *call = rpc_call_new(rpc, STORE_PUBLISH, publish->topic, finish);
  struct store_publish *request = &call->request.publish;
  request->message = message_new(publish->topic, publish->message, origin);
  request->timestamp_ms = publish->timestamp_ms;
  request->ttl_ms = publish->ttl_ms;
  request->limit = rate_limit_find(session->token, publish->topic);
  if (request->limit != NULL) {
    request->subject = origin;
    call->token = token_ref(session->token);
  }
  rpc_call_submit(call, session);
}

void rpc_publish(struct rpc_request *rpc) {
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct rpc_publish publish;
  if (!read_params(rpc, &scratch, &publish)) return;
  if (acl_may_write(rpc->session->token, publish.topic)) {
    rpc_publish_start(rpc, &publish, on_published);
  } else {
    rpc_fail_about(&rpc->reply, JSONRPC_INVALID_PARAMS,
                   "Insufficient access to topic: ", publish.topic);
  }
}
