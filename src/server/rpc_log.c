#include "eventhub/server/rpc_log.h"

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/server/session.h"
#include "eventhub/server/worker.h"
#include "eventhub/topic/acl.h"
#include "eventhub/topic/message.h"

void history_since_time(struct history_wish *wish, int64_t ms) {
  int64_t at = ms;
  if (ms < 0) {
    at = (int64_t)clock_wall_ms() + ms;
    if (at < 0) at = 0;
  }
  wish->kind = ms == 0 ? HISTORY_NONE : HISTORY_WANTED;
  wish->point = (struct log_point){.since = LOG_SINCE_TIME, .id = {.ms = (uint64_t)at}};
}

int history_since_id(struct history_wish *wish, struct slice id) {
  wish->kind = HISTORY_WANTED;
  wish->point.since = LOG_SINCE_ID;
  return message_id_parse(id, &wish->point.id);
}

void history_init(struct history_wish *wish, const struct worker *worker, int64_t limit) {
  int64_t max = (int64_t)worker->broker->options->max_cache_request_limit;
  *wish = (struct history_wish){.kind = HISTORY_UNASKED,
                                .limit = (uint32_t)(limit < max ? limit : max)};
}

static bool parse_since_time(const struct rpc_request *rpc, const struct rpc_param *since,
                             struct history_wish *ret) {
  int64_t ms = 0;
  if (!rpc_param_number(rpc, since, -rpc_integer_max, rpc_integer_max, &ms)) return false;
  history_since_time(ret, ms);
  return true;
}

static bool parse_since_id(const struct rpc_request *rpc, const struct rpc_param *param,
                           struct history_wish *ret) {
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct slice text;
  if (!rpc_param_string(rpc, param, &scratch, &text)) return false;
  if (history_since_id(ret, text) == 0) return true;
  rpc_fail_about(&rpc->reply, JSONRPC_INVALID_PARAMS, "Invalid message id in request: ", text);
  return false;
}

bool history_parse(const struct rpc_request *rpc, const struct rpc_param *since,
                   const struct rpc_param *since_id, const struct rpc_param *limit,
                   struct history_wish *ret) {
  int64_t wanted = rpc_integer_max;
  if (!rpc_param_number(rpc, limit, 0, rpc_integer_max, &wanted)) return false;
  history_init(ret, rpc->session->worker, wanted);
  /* Existing clients that have received nothing yet send an empty id: the same as none. */
  if (!json_is_blank(since_id->value)) return parse_since_id(rpc, since_id, ret);
  if (json_is_blank(since->value)) return true;
  if (since->value.type == JSON_STRING) return parse_since_id(rpc, since, ret);
  return parse_since_time(rpc, since, ret);
}

/* Bytes around an item when it is sent to a subscription: frame header, members, the request's id.
 */
static size_t envelope_bytes(const struct rpc_request *rpc) {
  enum { FIXED = 64 };
  return FIXED + rpc->reply.id.len;
}

void history_read(struct rpc_call *call, const struct rpc_request *rpc,
                  const struct history_wish *wish) {
  size_t budget = rpc_answer_budget(rpc->session->worker) / rpc->batch_size;
  size_t most = budget / 2 / envelope_bytes(rpc);
  struct store_read_log *read = &call->request.read_log;
  read->filter = call->subject;
  read->point = wish->point;
  read->limit = wish->limit < most ? wish->limit : (uint32_t)most;
  read->max_bytes = budget - read->limit * envelope_bytes(rpc);
  if (read->max_bytes == 0) read->max_bytes = 1; /* 0 would mean no limit */
}

static void answer_items(const struct rpc_reply *reply, struct slice filter,
                         const struct store_read_log *read) {
  AUTO(buf) struct buf result = BUF_INIT;
  buf_append_str(&result, "{\"action\":\"eventlog\",\"status\":\"ok\",\"topic\":\"");
  buf_append_slice(&result, filter);
  buf_append_str(&result, "\",\"items\":[");
  for (size_t i = 0; i < read->count; i++) {
    if (i > 0) buf_append_char(&result, ',');
    buf_append_slice(&result, message_item(read->messages[i]));
  }
  buf_append_str(&result, "],\"recovered\":");
  buf_append_str(&result, read->recovered ? "true}" : "false}");
  rpc_long_result(reply, buf_slice(&result));
}

static void on_eventlog(struct rpc_call *call, struct session *session) {
  (void)session;
  if (call->request.status == STORE_OK) {
    answer_items(&call->reply, call->subject, &call->request.read_log);
  } else {
    rpc_fail_status(&call->reply, call->request.status);
  }
}

void rpc_eventlog(struct rpc_request *rpc) {
  struct rpc_param params[] = {RPC_PARAM("topic"), RPC_PARAM("since"), RPC_PARAM("sinceEventId"),
                               RPC_PARAM("limit")};
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct slice filter;
  struct history_wish wish;
  if (!rpc->session->worker->broker->options->enable_cache) {
    rpc_fail(&rpc->reply, JSONRPC_INVALID_PARAMS, SLICE("Cache is not enabled in server config"));
    return;
  }
  rpc_params_find(rpc, params, ARRAY_LEN(params));
  if (!rpc_param_filter(rpc, &params[0], &scratch, &filter)) return;
  if (!acl_may_read(rpc->session->token, filter)) {
    rpc_fail_about(&rpc->reply, JSONRPC_INVALID_PARAMS,
                   "You are not allowed to read from topic: ", filter);
    return;
  }
  if (!history_parse(rpc, &params[1], &params[2], &params[3], &wish)) return;
  if (wish.kind == HISTORY_UNASKED) {
    rpc_fail(&rpc->reply, JSONRPC_INVALID_PARAMS,
             SLICE("You must specify either 'since' or 'sinceEventId'."));
  } else if (wish.kind == HISTORY_NONE) {
    /* Asked for nothing, and nothing of that is missing. */
    const struct store_read_log nothing = {.recovered = true};
    answer_items(&rpc->reply, filter, &nothing);
  } else {
    struct rpc_call *call = rpc_call_new(rpc, STORE_READ_LOG, filter, on_eventlog);
    history_read(call, rpc, &wish);
    rpc_call_submit(call, rpc->session);
  }
}
