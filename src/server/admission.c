#include "eventhub/server/admission.h"

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/log.h"
#include "eventhub/proto/url.h"
#include "eventhub/server/session.h"
#include "eventhub/server/worker.h"

bool admission_is_asked(const struct http_request *request) {
  return ws_handshake_is_upgrade(request) ||
         http_request_header(request, SLICE("Sec-WebSocket-Key")).ptr != NULL ||
         http_request_header(request, SLICE("Sec-WebSocket-Version")).ptr != NULL;
}

static void refuse(struct worker *worker, struct connection *connection, int status,
                   enum metric reason, struct slice message) {
  metrics_add(&worker->metrics, reason, 1);
  char peer[CONNECTION_PEER_TEXT_MAX];
  connection_peer_text(connection, peer, sizeof peer);
  log_debug("handshake refused", LOG_STR("peer", peer), LOG_INT("status", status),
            LOG_SLICE("reason", message));
  struct slice headers = SLICE("");
  if (status == 426) headers = SLICE(WS_VERSION_HEADER);
  if (status == 503) headers = SLICE("Retry-After: 5\r\n");
  connection_refuse(connection, status, headers, message);
}

static bool origin_is_allowed(const struct worker *worker, const struct http_request *request) {
  struct slice origin = http_request_header(request, SLICE("Origin"));
  /* Only browsers send an origin, and only browsers carry somebody else's credentials. */
  return origin.ptr == NULL || options_origin_is_allowed(worker->broker->options, origin);
}

/* The token of the Authorization header, with or without the word Bearer. */
static struct slice bearer(struct slice value) {
  enum { BEARER_LEN = 7 };
  if (value.len >= BEARER_LEN &&
      slice_equal_nocase(slice_of(value.ptr, BEARER_LEN), SLICE("Bearer "))) {
    value = slice_trim(slice_of(value.ptr + BEARER_LEN, value.len - BEARER_LEN));
  }
  return value;
}

/* The token from the first place that has one; empty where none has. `scratch` holds a decoded one.
 */
static struct slice find_token(const struct http_request *request, struct slice protocol_token,
                               struct buf *scratch) {
  struct slice header = bearer(http_request_header(request, SLICE("Authorization")));
  if (header.len > 0) return header;
  /* Clients that have no token send auth=undefined. */
  int err = url_query_find(request->query, SLICE("auth"), scratch);
  struct slice query = buf_slice(scratch);
  if (err == 0 && query.len > 0 && !slice_equal(query, SLICE("undefined"))) return query;
  return protocol_token;
}

static struct slice text_of_bad_token(int err) {
  if (err == ERR_EXPIRED) return SLICE("the token has expired");
  if (err == ERR_DENIED)
    return SLICE("the token is not valid yet, or has no valid entry in read or write");
  return SLICE("the token does not verify");
}

/* False: refused. `ret_token` stays NULL where authentication is off. */
static bool authenticate(struct worker *worker, struct connection *connection,
                         const struct http_request *request, struct slice protocol_token,
                         struct token **ret_token) {
  if (worker->broker->options->disable_auth) return true;
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct slice text = find_token(request, protocol_token, &scratch);
  if (text.len == 0) {
    refuse(worker, connection, 401, METRIC_REFUSED_UNAUTHORIZED,
           SLICE("a token is needed: send it as Authorization header, as query "
                 "parameter auth or as subprotocol eventhub.auth.<token>"));
    return false;
  }
  int err = token_verify(&worker->broker->keys, text, (int64_t)(clock_wall_ms() / 1000), ret_token);
  if (err == 0) return true;
  refuse(worker, connection, 401, METRIC_REFUSED_UNAUTHORIZED, text_of_bad_token(err));
  return false;
}

/* Takes one of the process' places, which the session gives back when it ends. */
static bool take_place(struct worker *worker, struct connection *connection) {
  struct broker *broker = worker->broker;
  if (atomic_load(&broker->is_draining)) {
    refuse(worker, connection, 503, METRIC_REFUSED_DRAINING, SLICE("the server is stopping"));
    return false;
  }
  if (atomic_fetch_add(&broker->sessions, 1) < broker->max_sessions) return true;
  atomic_fetch_sub(&broker->sessions, 1);
  refuse(worker, connection, 503, METRIC_REFUSED_CONNECTION_LIMIT,
         SLICE("the server has as many connections as it may have"));
  log_limited(LOG_WARN, "connection limit reached",
              LOG_UINT("max_connections", broker->max_sessions));
  return false;
}

void admission_decide(struct worker *worker, struct connection *connection,
                      const struct http_request *request) {
  struct ws_handshake handshake;
  struct token *token = NULL;
  int status = ws_handshake_check(request, &handshake);
  if (status != 101) {
    refuse(worker, connection, status,
           status == 426 ? METRIC_REFUSED_VERSION : METRIC_REFUSED_MALFORMED,
           slice_str(handshake.reason));
    return;
  }
  if (!origin_is_allowed(worker, request)) {
    refuse(worker, connection, 403, METRIC_REFUSED_ORIGIN, SLICE("this origin is not allowed"));
    return;
  }
  if (!authenticate(worker, connection, request, handshake.protocol_token, &token)) return;
  if (!take_place(worker, connection)) {
    token_unref(token);
    return;
  }
  connection_upgrade(connection, &handshake);
  session_open(worker, connection, token);
}
