#include <assert.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/proto/json.h"
#include "eventhub/server/rpc.h"
#include "eventhub/server/rpc_log.h"
#include "eventhub/server/rpc_params.h"
#include "eventhub/server/session.h"
#include "eventhub/server/sse.h"
#include "eventhub/server/worker.h"
#include "eventhub/topic/acl.h"

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

/* Messages for a subscription that nobody gave an id carry null. */
static struct slice id_of(const struct rpc_reply *reply) {
  return reply->id.ptr != NULL ? reply->id : SLICE("null");
}

static struct subscription *find(const struct session *session, struct slice filter) {
  return fanout_find(&session->worker->fanout, session->connection, filter);
}

static struct subscription *add(const struct rpc_request *rpc, struct slice filter,
                                enum subscription_state state, uint64_t serial) {
  struct session *session = rpc->session;
  struct subscription *subscription = fanout_subscribe(
      &session->worker->fanout, session->connection, filter, id_of(&rpc->reply), state);
  subscription->born = serial;
  list_add_tail(&session->subscriptions, &subscription->link);
  session->subscription_count++;
  return subscription;
}

void rpc_end_subscription(struct session *session, struct subscription *subscription) {
  list_remove(&subscription->link);
  session->subscription_count--;
  fanout_unsubscribe(&session->worker->fanout, subscription);
}

/* The subscription that this call was about, also where a later request was granted before it; NULL
 * where it has ended. */
static struct subscription *find_asked(const struct rpc_call *call, const struct session *session) {
  struct subscription *subscription = session == NULL ? NULL : find(session, call->subject);
  return subscription != NULL && subscription->born <= call->serial ? subscription : NULL;
}

void rpc_join(const struct rpc_call *call, struct session *session) {
  struct subscription *subscription = find_asked(call, session);
  if (subscription == NULL || subscription->serial != call->serial) return;
  if (call->request.op == STORE_READ_LOG) {
    const struct store_read_log *read = &call->request.read_log;
    fanout_send(&session->worker->fanout, subscription, read->messages, read->count);
  }
  fanout_activate(&session->worker->fanout, subscription);
}

/* The store's answer is a cut (store.h, law 3): messages that have passed by until now are in the
 * history, where it was asked for; those that come after it are not. So each is sent once, in
 * order. Until here a subscription that was live before went on as it was. */
static void grant(const struct rpc_call *call, struct session *session) {
  struct subscription *subscription = find_asked(call, session);
  if (subscription == NULL) return;
  subscription->waiting--;
  if (subscription->serial > call->serial) return;
  struct fanout *fanout = &session->worker->fanout;
  bool has_history = call->request.op == STORE_READ_LOG;
  fanout_change(fanout, subscription, id_of(&call->reply),
                has_history ? SUBSCRIPTION_CATCHING_UP : SUBSCRIPTION_HELD);
  fanout_hold(fanout, subscription);
  subscription->serial = call->serial;
}

/* A subscription that was live before stays so, and one that another request is away for waits for
 * that. In no case had this one an effect, though the store may not know what it did. */
static void refuse(const struct rpc_call *call, struct session *session) {
  struct subscription *subscription = find_asked(call, session);
  if (subscription != NULL && --subscription->waiting == 0 &&
      subscription_is_catching_up(subscription)) {
    rpc_end_subscription(session, subscription);
  }
  enum store_status status = call->request.status;
  if (session != NULL && session->kind == SESSION_STREAM) sse_fail(session);
  rpc_fail_status(&call->reply, status == STORE_UNKNOWN ? STORE_UNAVAILABLE : status);
}

static void finish_subscribe(struct rpc_call *call, struct session *session) {
  if (call->request.status != STORE_OK) {
    refuse(call, session);
    return;
  }
  grant(call, session);
  bool is_in_batch = call->reply.batch != NULL;
  if (is_in_batch) rpc_join_later(call);
  if (session != NULL && session->kind == SESSION_STREAM)
    sse_start(session, call->subject, call->recovered);
  answer_subscribed(&call->reply, call->subject, call->recovered);
  if (!is_in_batch) rpc_join(call, session);
}

static void on_history(struct rpc_call *call, struct session *session) {
  call->recovered = call->request.read_log.recovered ? "true" : "false";
  finish_subscribe(call, session);
}

static void on_watched(struct rpc_call *call, struct session *session) {
  struct rpc_call *read = call->then;
  if (read == NULL || session == NULL || call->request.status != STORE_OK) {
    finish_subscribe(call, session);
    return;
  }
  call->then = NULL;
  rpc_call_submit(read, session);
}

/* What flows to a subscription already is watched. */
static bool needs_watch(const struct session *session, struct slice filter) {
  if (!store_watches(session->worker->broker->store)) return false;
  const struct subscription *subscription = find(session, filter);
  return subscription == NULL || subscription_is_catching_up(subscription);
}

static struct rpc_call *new_watch(const struct rpc_request *rpc, struct slice filter,
                                  struct rpc_call *then) {
  struct rpc_call *call = rpc_call_new(rpc, STORE_WATCH, filter, on_watched);
  call->request.watch.filter = call->subject;
  call->then = then;
  return call;
}

static struct rpc_call *new_read(const struct rpc_request *rpc, struct slice filter,
                                 const struct history_wish *wish) {
  struct rpc_call *call = rpc_call_new(rpc, STORE_READ_LOG, filter, on_history);
  history_read(call, rpc, wish);
  return call;
}

/* The subscription counts from here on, but nothing is sent to it before the store has answered:
 * that it watches the filter, or with what there was before, or one after the other. */
static void subscribe_by_store(struct rpc_request *rpc, struct slice filter,
                               const struct history_wish *wish, const char *recovered) {
  struct session *session = rpc->session;
  struct rpc_call *call = wish != NULL ? new_read(rpc, filter, wish) : NULL;
  if (needs_watch(session, filter)) call = new_watch(rpc, filter, call);
  assert(call != NULL);
  uint64_t serial = ++session->last_serial;
  struct subscription *subscription = find(session, filter);
  if (subscription == NULL) subscription = add(rpc, filter, SUBSCRIPTION_CATCHING_UP, serial);
  subscription->waiting++;
  for (struct rpc_call *step = call; step != NULL; step = step->then)
    step->serial = serial;
  call->recovered = recovered;
  rpc_call_submit(call, session);
}

static void subscribe_at_once(struct rpc_request *rpc, struct slice filter, const char *recovered) {
  struct session *session = rpc->session;
  bool is_in_batch = rpc->reply.batch != NULL;
  enum subscription_state state = is_in_batch ? SUBSCRIPTION_HELD : SUBSCRIPTION_LIVE;
  uint64_t serial = ++session->last_serial;
  struct subscription *subscription = find(session, filter);
  if (subscription != NULL) {
    fanout_change(&session->worker->fanout, subscription, id_of(&rpc->reply), state);
  } else {
    subscription = add(rpc, filter, state, serial);
  }
  subscription->serial = serial;
  if (session->kind == SESSION_STREAM) sse_start(session, filter, recovered);
  if (is_in_batch) {
    struct rpc_call *call = rpc_call_new(rpc, STORE_BARRIER, filter, NULL); /* never submitted */
    call->serial = serial;
    rpc_join_later(call);
  }
  answer_subscribed(&rpc->reply, filter, recovered);
}

static bool may_subscribe(const struct rpc_request *rpc, struct slice filter) {
  const struct session *session = rpc->session;
  const struct options *options = session->worker->broker->options;
  if (!acl_may_read(session->token, filter)) {
    rpc_fail_about(&rpc->reply, JSONRPC_INVALID_PARAMS,
                   "You are not allowed to subscribe to topic: ", filter);
    return false;
  }
  if (session->subscription_count < options->max_subscriptions || find(session, filter) != NULL) {
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

/* Without an eventlog a client that asks for history still gets what comes from now on. */
static const char *recovered_without_history(enum history_kind kind) {
  if (kind == HISTORY_UNASKED) return NULL;
  return kind == HISTORY_NONE ? "true" : "false";
}

void rpc_subscribe_to(struct rpc_request *rpc, struct slice filter,
                      const struct history_wish *wish) {
  const struct session *session = rpc->session;
  bool has_history = wish->kind == HISTORY_WANTED && session->worker->broker->options->enable_cache;
  const char *recovered = recovered_without_history(wish->kind);
  if (has_history || needs_watch(session, filter)) {
    subscribe_by_store(rpc, filter, has_history ? wish : NULL, recovered);
  } else {
    subscribe_at_once(rpc, filter, recovered);
  }
}

void rpc_subscribe(struct rpc_request *rpc) {
  struct rpc_param params[] = {RPC_PARAM("topic"), RPC_PARAM("since"), RPC_PARAM("sinceEventId"),
                               RPC_PARAM("limit")};
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct slice filter;
  struct history_wish wish;
  rpc_params_find(rpc, params, ARRAY_LEN(params));
  if (!rpc_param_filter(rpc, &params[0], &scratch, &filter) || !may_subscribe(rpc, filter) ||
      !history_parse(rpc, &params[1], &params[2], &params[3], &wish)) {
    return;
  }
  rpc_subscribe_to(rpc, filter, &wish);
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
  struct subscription *subscription = find(session, buf_slice(scratch));
  if (subscription == NULL) return 0;
  rpc_end_subscription(session, subscription);
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
    rpc_end_subscription(rpc->session, container_of(link, struct subscription, link));
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
