#include "eventhub/server/session.h"

#include <stdlib.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/log.h"
#include "eventhub/base/mem.h"
#include "eventhub/server/admission.h"
#include "eventhub/server/connection.h"
#include "eventhub/server/fanout.h"
#include "eventhub/server/http_post.h"
#include "eventhub/server/rpc.h"
#include "eventhub/server/worker.h"
#include "eventhub/topic/token.h"

/* At debug level: a peer decides how often this happens. */
static void log_session(const char *event, const struct session *session) {
  if (!log_is_on(LOG_DEBUG)) return;
  char peer[CONNECTION_PEER_TEXT_MAX];
  connection_peer_text(session->connection, peer, sizeof peer);
  log_debug(event, LOG_STR("peer", peer), LOG_UINT("port", session->connection->peer_port),
            LOG_UINT("subscriptions", session->subscription_count));
}

void session_init(struct session *session, enum session_kind kind, struct worker *worker,
                  struct connection *connection, struct token *token) {
  *session = (struct session){
      .kind = (uint8_t)kind, .worker = worker, .connection = connection, .token = token};
  list_init(&session->subscriptions);
  list_init(&session->expiry.link);
  connection->session = session;
}

void session_done(struct session *session) {
  struct worker *worker = session->worker;
  rpc_end_jobs(session);
  LIST_FOREACH_SAFE (link, next, &session->subscriptions) {
    fanout_unsubscribe(&worker->fanout, container_of(link, struct subscription, link));
  }
  expiry_remove(&worker->expiry, &session->expiry);
  token_unref(session->token);
  buf_done(&session->kept);
  session->connection->session = NULL;
}

struct session *session_open(struct worker *worker, struct connection *connection,
                             enum session_kind kind, struct token *token) {
  struct session *session = x_malloc(sizeof *session);
  session_init(session, kind, worker, connection, token);
  if (token != NULL && token->exp_s != 0)
    expiry_add(&worker->expiry, &session->expiry, token->exp_s);
  if (kind == SESSION_STREAM) metrics_add(&worker->metrics, METRIC_SSE_STREAMS, 1);
  log_session("connected", session);
  return session;
}

void session_close(struct session *session) {
  struct worker *worker = session->worker;
  if (session->kind == SESSION_POST) {
    post_free(session);
    return;
  }
  log_session("disconnected", session);
  if (session->kind == SESSION_STREAM) metrics_subtract(&worker->metrics, METRIC_SSE_STREAMS, 1);
  admission_give_place(worker->broker, session->connection);
  session_done(session);
  free(session);
}

void session_take_token(struct session *session, struct token *token) {
  struct worker *worker = session->worker;
  expiry_remove(&worker->expiry, &session->expiry);
  token_unref(session->token);
  session->token = token;
  if (token->exp_s != 0) expiry_add(&worker->expiry, &session->expiry, token->exp_s);
  log_session("authenticated anew", session);
}

static bool has_expired(const struct session *session) {
  const struct token *token = session->token;
  return token != NULL && token->exp_s != 0 && token->exp_s <= (int64_t)(clock_wall_ms() / 1000);
}

/* One message with long answers at a time; what is short goes on meanwhile. */
static bool must_wait(const struct session *session, struct slice text) {
  return session->pending_reads > 0 && rpc_reads(text);
}

static void handle(struct session *session, struct slice text) {
  if (has_expired(session)) {
    session_expire(session);
  } else if (must_wait(session, text)) {
    buf_append_slice(&session->kept, text);
    connection_pause(session->connection, CONNECTION_PAUSE_READS);
  } else {
    rpc_handle(session, text);
  }
}

void session_on_text(struct session *session, char *data, size_t len) {
  handle(session, slice_of(data, len));
}

/* The long answer has come: now the message that waited for it, and then what follows. */
static void take_up(struct session *session) {
  struct connection *connection = session->connection;
  AUTO(buf) struct buf text = session->kept;
  session->kept = (struct buf)BUF_INIT;
  if (text.len == 0) return;
  if (connection->state == CONNECTION_WEBSOCKET) handle(session, buf_slice(&text));
  connection_resume(connection, CONNECTION_PAUSE_READS);
}

void session_expire(struct session *session) {
  connection_close(session->connection, WS_CLOSE_POLICY, SLICE("the token has expired"));
}

static bool is_read(enum store_op op) {
  return op == STORE_READ_LOG || op == STORE_KV_GET;
}

void session_hold(struct session *session) {
  session->pending++;
  if (session->pending >= SESSION_PENDING_MAX) {
    connection_pause(session->connection, CONNECTION_PAUSE_REQUESTS);
  }
}

void session_request_started(struct session *session, enum store_op op) {
  session_hold(session);
  if (is_read(op)) session->pending_reads++;
}

void session_leave_when_idle(struct session *session) {
  if (!session->is_leaving || session->pending > 0) return;
  connection_close(session->connection, WS_CLOSE_NORMAL,
                   SLICE("disconnected at the client's request"));
}

void session_request_finished(struct session *session, enum store_op op) {
  if (is_read(op) && --session->pending_reads == 0) take_up(session);
  session_release(session);
}

void session_release(struct session *session) {
  session->pending--;
  if (session->is_leaving) {
    session_leave_when_idle(session);
  } else if (session->pending <= SESSION_PENDING_LOW) {
    connection_resume(session->connection, CONNECTION_PAUSE_REQUESTS);
  }
  if (session->kind == SESSION_POST) post_settle(session);
}

void session_leave(struct session *session) {
  session->is_leaving = true;
  connection_pause(session->connection, CONNECTION_PAUSE_REQUESTS);
}
