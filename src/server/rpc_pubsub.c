#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/proto/json.h"
#include "eventhub/server/rpc.h"
#include "eventhub/server/rpc_log.h"
#include "eventhub/server/rpc_params.h"
#include "eventhub/server/session.h"
#include "eventhub/server/worker.h"
#include "eventhub/topic/acl.h"
#include "eventhub/topic/message.h"
#include "eventhub/topic/rate_limit.h"

/* ---- publish ---- */

static void answer_published(const struct rpc_call *call) {
  char id[MESSAGE_ID_MAX];
  size_t id_len = message_id_format(call->request.publish.id, id);
  AUTO(buf) struct buf result = BUF_INIT;
  buf_append_str(&result, "{\"action\":\"publish\",\"id\":\"");
  buf_append(&result, id, id_len);
  buf_append_str(&result, "\",\"status\":\"ok\",\"topic\":\"");
  buf_append_slice(&result, call->subject);
  buf_append_str(&result, "\"}");
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
  if (message.type != JSON_NULL && !json_string_equals(message, SLICE(""))) return true;
  rpc_fail(&rpc->reply, JSONRPC_INVALID_PARAMS,
           SLICE("You need to specify topic and message to publish to: parameter 'message' is "
                 "missing, null or empty."));
  return false;
}

struct publish_params {
  struct slice topic;
  struct json_value message;
  uint64_t ttl_ms;
  int64_t timestamp_ms; /* 0: not given */
};

static bool read_publish_params(const struct rpc_request *rpc, struct buf *scratch,
                                struct publish_params *ret) {
  struct rpc_param params[] = {RPC_PARAM("topic"), RPC_PARAM("message"), RPC_PARAM("ttl"),
                               RPC_PARAM("timestamp")};
  rpc_params_find(rpc->params, params, ARRAY_LEN(params));
  ret->timestamp_ms = 0;
  ret->message = params[1].value;
  return rpc_param_topic(rpc, &params[0], scratch, &ret->topic) &&
         message_is_there(rpc, ret->message) && rpc_param_ttl(rpc, &params[2], &ret->ttl_ms) &&
         rpc_param_number(rpc, &params[3], 0, rpc_integer_max, &ret->timestamp_ms);
}

void rpc_publish(struct rpc_request *rpc) {
  struct session *session = rpc->session;
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct publish_params params;
  if (!read_publish_params(rpc, &scratch, &params)) return;
  if (!acl_may_write(session->token, params.topic)) {
    rpc_fail_about(&rpc->reply, JSONRPC_INVALID_PARAMS,
                   "Insufficient access to topic: ", params.topic);
    return;
  }
  struct slice origin = session->token != NULL ? session->token->sub : SLICE("");
  struct rpc_call *call = rpc_call_new(rpc, STORE_PUBLISH, params.topic, on_published);
  struct store_publish *publish = &call->request.publish;
  publish->message = message_new(params.topic, params.message.text, origin);
  publish->timestamp_ms = (uint64_t)params.timestamp_ms;
  publish->ttl_ms = params.ttl_ms;
  publish->limit = rate_limit_find(session->token, params.topic);
  if (publish->limit != NULL) {
    publish->subject = origin;
    call->token = token_ref(session->token);
  }
  rpc_call_submit(call, session);
}

/* ---- subscribe ---- */

static void answer_subscribed(const struct rpc_reply *reply, struct slice filter,
                              const char *recovered) {
  AUTO(buf) struct buf result = BUF_INIT;
  buf_append_str(&result, "{\"action\":\"subscribe\",\"status\":\"ok\",\"topic\":\"");
  buf_append_slice(&result, filter);
  buf_append_char(&result, '"');
  if (recovered != NULL) {
    buf_append_str(&result, ",\"recovered\":");
    buf_append_str(&result, recovered);
  }
  buf_append_char(&result, '}');
  rpc_result(reply, buf_slice(&result));
}

static struct subscription *subscribe(struct rpc_request *rpc, struct slice filter,
                                      enum subscription_state state) {
  struct session *session = rpc->session;
  struct fanout *fanout = &session->worker->fanout;
  /* Messages for a subscription that nobody gave an id carry null. */
  struct slice id = rpc->reply.id.ptr != NULL ? rpc->reply.id : SLICE("null");
  struct subscription *subscription = fanout_find(fanout, session->connection, filter);
  if (subscription != NULL) {
    fanout_change(fanout, subscription, id, state);
  } else {
    subscription = fanout_subscribe(fanout, session->connection, filter, id, state);
    list_add_tail(&session->subscriptions, &subscription->link);
    session->subscription_count++;
  }
  subscription->serial = ++session->last_serial;
  return subscription;
}

static void unsubscribe(struct session *session, struct subscription *subscription) {
  list_remove(&subscription->link);
  session->subscription_count--;
  fanout_unsubscribe(&session->worker->fanout, subscription);
}

/* The subscription that this answer is for; NULL where it has ended or was replaced meanwhile. */
static struct subscription *find_waiting(const struct rpc_call *call, struct session *session) {
  if (session == NULL) return NULL;
  struct subscription *subscription =
      fanout_find(&session->worker->fanout, session->connection, call->subject);
  return subscription != NULL && subscription->serial == call->serial ? subscription : NULL;
}

void rpc_join(const struct rpc_call *call, struct session *session) {
  struct subscription *subscription = find_waiting(call, session);
  if (subscription == NULL) return;
  if (call->request.op == STORE_READ_LOG) {
    const struct store_read_log *read = &call->request.read_log;
    fanout_send(&session->worker->fanout, subscription, read->messages, read->count);
  }
  fanout_activate(&session->worker->fanout, subscription);
}

/* Live messages have passed the subscription by until now, and all of them are in this answer;
 * those that come after it are not (store.h, law 3). So each is sent once, in order. */
static void on_history(struct rpc_call *call, struct session *session) {
  const struct store_read_log *read = &call->request.read_log;
  struct subscription *subscription = find_waiting(call, session);
  if (call->request.status != STORE_OK) {
    if (subscription != NULL) unsubscribe(session, subscription);
    rpc_fail_status(&call->reply, call->request.status);
    return;
  }
  const char *recovered = read->recovered ? "true" : "false";
  if (call->reply.batch == NULL) {
    answer_subscribed(&call->reply, call->subject, recovered);
    rpc_join(call, session);
    return;
  }
  if (subscription != NULL) fanout_hold(&session->worker->fanout, subscription);
  answer_subscribed(&call->reply, call->subject, recovered);
}

static void subscribe_with_history(struct rpc_request *rpc, struct slice filter,
                                   const struct history_wish *wish) {
  struct subscription *subscription = subscribe(rpc, filter, SUBSCRIPTION_CATCHING_UP);
  struct rpc_call *call = rpc_call_new(rpc, STORE_READ_LOG, filter, on_history);
  call->serial = subscription->serial;
  history_read(call, rpc, wish);
  rpc_call_submit(call, rpc->session);
}

static void subscribe_live(struct rpc_request *rpc, struct slice filter) {
  if (rpc->reply.batch == NULL) {
    subscribe(rpc, filter, SUBSCRIPTION_LIVE);
    return;
  }
  const struct subscription *subscription = subscribe(rpc, filter, SUBSCRIPTION_HELD);
  struct rpc_call *call = rpc_call_new(rpc, STORE_BARRIER, filter, NULL); /* never submitted */
  call->serial = subscription->serial;
  rpc_join_later(call);
}

static bool may_subscribe(const struct rpc_request *rpc, struct slice filter) {
  const struct session *session = rpc->session;
  const struct options *options = session->worker->broker->options;
  if (!acl_may_read(session->token, filter)) {
    rpc_fail_about(&rpc->reply, JSONRPC_INVALID_PARAMS,
                   "You are not allowed to subscribe to topic: ", filter);
    return false;
  }
  if (session->subscription_count < options->max_subscriptions ||
      fanout_find(&session->worker->fanout, session->connection, filter) != NULL) {
    return true;
  }
  AUTO(buf) struct buf data = BUF_INIT;
  buf_printf(&data,
             "This connection has %llu subscriptions, the most that are allowed. Not subscribed to "
             "topic: ",
             (unsigned long long)options->max_subscriptions);
  buf_append_slice(&data, filter);
  rpc_fail(&rpc->reply, JSONRPC_INVALID_PARAMS, buf_slice(&data));
  return false;
}

void rpc_subscribe(struct rpc_request *rpc) {
  struct rpc_param params[] = {RPC_PARAM("topic"), RPC_PARAM("since"), RPC_PARAM("sinceEventId"),
                               RPC_PARAM("limit")};
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct slice filter;
  struct history_wish wish;
  rpc_params_find(rpc->params, params, ARRAY_LEN(params));
  if (!rpc_param_filter(rpc, &params[0], &scratch, &filter) || !may_subscribe(rpc, filter) ||
      !history_parse(rpc, &params[1], &params[2], &params[3], &wish)) {
    return;
  }
  bool has_log = rpc->session->worker->broker->options->enable_cache;
  if (wish.kind == HISTORY_WANTED && has_log) {
    subscribe_with_history(rpc, filter, &wish);
    return;
  }
  subscribe_live(rpc, filter);
  /* Without an eventlog a client that asks for history still gets what comes from now on. */
  const char *recovered = wish.kind == HISTORY_NONE ? "true" : "false";
  answer_subscribed(&rpc->reply, filter, wish.kind == HISTORY_UNASKED ? NULL : recovered);
}

/* ---- unsubscribe, list ---- */

static void answer_count(const struct rpc_request *rpc, uint32_t count) {
  AUTO(buf) struct buf result = BUF_INIT;
  buf_printf(&result, "{\"unsubscribe_count\":%u}", count);
  rpc_result(&rpc->reply, buf_slice(&result));
}

static uint32_t unsubscribe_named(struct session *session, struct json_value name,
                                  struct buf *scratch) {
  if (name.type != JSON_STRING) return 0;
  buf_clear(scratch);
  json_string_decode(name, scratch);
  struct subscription *subscription =
      fanout_find(&session->worker->fanout, session->connection, buf_slice(scratch));
  if (subscription == NULL) return 0;
  unsubscribe(session, subscription);
  return 1;
}

void rpc_unsubscribe(struct rpc_request *rpc) {
  if (rpc->params.type != JSON_ARRAY) {
    rpc_fail(&rpc->reply, JSONRPC_INVALID_PARAMS,
             SLICE("Parameter is not array of topics to unsubscribe from."));
    return;
  }
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct json_iter it;
  struct json_value name;
  uint32_t count = 0;
  json_iter_init(&it, rpc->params);
  while (json_array_next(&it, &name))
    count += unsubscribe_named(rpc->session, name, &scratch);
  answer_count(rpc, count);
}

void rpc_unsubscribe_all(struct rpc_request *rpc) {
  uint32_t count = rpc->session->subscription_count;
  LIST_FOREACH_SAFE (link, next, &rpc->session->subscriptions) {
    unsubscribe(rpc->session, container_of(link, struct subscription, link));
  }
  answer_count(rpc, count);
}

void rpc_list(struct rpc_request *rpc) {
  AUTO(buf) struct buf result = BUF_INIT;
  buf_append_char(&result, '[');
  LIST_FOREACH (link, &rpc->session->subscriptions) {
    if (result.len > 1) buf_append_char(&result, ',');
    buf_append_char(&result, '"');
    buf_append_slice(&result, subscription_filter(container_of(link, struct subscription, link)));
    buf_append_char(&result, '"');
  }
  buf_append_char(&result, ']');
  rpc_long_result(&rpc->reply, buf_slice(&result));
}
