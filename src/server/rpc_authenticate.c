#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/server/admission.h"
#include "eventhub/server/rpc.h"
#include "eventhub/server/rpc_params.h"
#include "eventhub/server/session.h"
#include "eventhub/server/worker.h"
#include "eventhub/topic/acl.h"
#include "eventhub/topic/token.h"

static void answer_authenticated(const struct rpc_reply *reply, const struct token *token) {
  AUTO(buf) struct buf result = BUF_INIT;
  buf_append_str(&result, "{\"action\":\"authenticate\",\"status\":\"ok\",\"expires\":");
  if (token != NULL && token->exp_s != 0) {
    buf_printf(&result, "%lld}", (long long)token->exp_s);
  } else {
    buf_append_str(&result, "null}");
  }
  rpc_result(reply, buf_slice(&result));
}

/* As a notification: the subscription was granted once, and nobody asks about it now. */
static void tell_of_end(const struct session *session, struct slice filter) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_append_str(&text,
                 "{\"jsonrpc\":\"2.0\",\"method\":\"unsubscribed\",\"params\":{\"topic\":\"");
  buf_append_slice(&text, filter); /* valid filters need no escapes */
  buf_append_str(&text, "\",\"reason\":\"the new token does not allow to read it\"}}");
  connection_send(session->connection, WS_TEXT, buf_slice(&text));
}

static void end_what_is_not_allowed(struct session *session) {
  LIST_FOREACH_SAFE (link, next, &session->subscriptions) {
    struct subscription *subscription = container_of(link, struct subscription, link);
    struct slice filter = subscription_filter(subscription);
    if (acl_may_read(session->token, filter)) continue;
    tell_of_end(session, filter);
    rpc_end_subscription(session, subscription);
  }
}

void rpc_authenticate(struct rpc_request *rpc) {
  struct rpc_param params[] = {RPC_PARAM("token")};
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct slice text;
  rpc_params_find(rpc, params, ARRAY_LEN(params));
  if (!rpc_param_string(rpc, &params[0], &scratch, &text)) return;
  struct session *session = rpc->session;
  struct broker *broker = session->worker->broker;
  if (broker->options->disable_auth) {
    answer_authenticated(&rpc->reply, NULL);
    return;
  }
  AUTO(jws_keys) struct jws_keys *keys = jws_keyring_get(&broker->keys);
  struct token *token = NULL;
  int err = token_verify(keys, text, (int64_t)(clock_wall_ms() / 1000), &token);
  if (err < 0) {
    rpc_fail_about(
        &rpc->reply, JSONRPC_INVALID_PARAMS,
        "The connection goes on with the token that it has: ", admission_text_of_bad_token(err));
    return;
  }
  session_take_token(session, token);
  end_what_is_not_allowed(session);
  answer_authenticated(&rpc->reply, token);
}
