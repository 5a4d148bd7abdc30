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

bool admission_allows_origin(struct exchange *exchange) {
  struct slice origin = http_request_header(exchange->request, SLICE("Origin"));
  /* Only browsers send an origin, and only browsers carry somebody else's credentials. */
  if (origin.ptr == NULL || options_origin_is_allowed(exchange->worker->broker->options, origin))
    return true;
  exchange_reject(exchange, 403, METRIC_REFUSED_ORIGIN, SLICE("this origin is not allowed"));
  return false;
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

struct slice admission_text_of_bad_token(int err) {
  if (err == ERR_EXPIRED) return SLICE("the token has expired");
  if (err == ERR_DENIED)
    return SLICE("the token is not valid yet, or has no valid entry in read or write");
  return SLICE("the token does not verify");
}

bool admission_verifies(struct exchange *exchange, struct slice protocol_token,
                        struct token **ret_token) {
  struct broker *broker = exchange->worker->broker;
  *ret_token = NULL;
  if (broker->options->disable_auth) return true;
  AUTO(buf) struct buf scratch = BUF_INIT;
  struct slice text = find_token(exchange->request, protocol_token, &scratch);
  if (text.len == 0) {
    exchange_reject(exchange, 401, METRIC_REFUSED_UNAUTHORIZED,
                    SLICE("a token is needed: send it as Authorization header, as query "
                          "parameter auth or as subprotocol eventhub.auth.<token>"));
    return false;
  }
  AUTO(jws_keys) struct jws_keys *keys = jws_keyring_get(&broker->keys);
  int err = token_verify(keys, text, (int64_t)(clock_wall_ms() / 1000), ret_token);
  if (err == 0) return true;
  exchange_reject(exchange, 401, METRIC_REFUSED_UNAUTHORIZED, admission_text_of_bad_token(err));
  return false;
}

bool admission_is_open(struct exchange *exchange) {
  if (!atomic_load(&exchange->worker->broker->is_draining)) return true;
  exchange_reject(exchange, 503, METRIC_REFUSED_DRAINING, SLICE("the server is stopping"));
  return false;
}

static bool address_has_place(struct exchange *exchange) {
  struct address_table *addresses = &exchange->worker->broker->addresses;
  if (address_table_take(addresses, exchange->connection->peer_address)) return true;
  exchange_reject(exchange, 429, METRIC_REFUSED_ADDRESS_LIMIT,
                  SLICE("your address has as many connections as one may have"));
  char peer[CONNECTION_PEER_TEXT_MAX];
  connection_peer_text(exchange->connection, peer, sizeof peer);
  log_limited(LOG_WARN, "connection limit of an address reached", LOG_STR("peer", peer),
              LOG_UINT("max_connections_per_address", addresses->max));
  return false;
}

bool admission_takes_place(struct exchange *exchange) {
  struct broker *broker = exchange->worker->broker;
  if (atomic_fetch_add(&broker->sessions, 1) < broker->max_sessions) {
    if (address_has_place(exchange)) return true;
    atomic_fetch_sub(&broker->sessions, 1);
    return false;
  }
  atomic_fetch_sub(&broker->sessions, 1);
  exchange_reject(exchange, 503, METRIC_REFUSED_CONNECTION_LIMIT,
                  SLICE("the server has as many connections as it may have"));
  log_limited(LOG_WARN, "connection limit reached",
              LOG_UINT("max_connections", broker->max_sessions));
  return false;
}

void admission_give_place(struct broker *broker, const struct connection *connection) {
  address_table_give(&broker->addresses, connection->peer_address);
  atomic_fetch_sub(&broker->sessions, 1);
}

void admission_upgrade(struct exchange *exchange) {
  struct worker *worker = exchange->worker;
  struct ws_handshake handshake;
  AUTO(token) struct token *token = NULL;
  int status = ws_handshake_check(exchange->request, &handshake);
  if (status != 101) {
    exchange_reject(exchange, status,
                    status == 426 ? METRIC_REFUSED_VERSION : METRIC_REFUSED_MALFORMED,
                    slice_str(handshake.reason));
    return;
  }
  if (!admission_allows_origin(exchange) ||
      !admission_verifies(exchange, handshake.protocol_token, &token) ||
      !admission_is_open(exchange) || !admission_takes_place(exchange)) {
    return;
  }
  if (worker->broker->options->enable_compression)
    ws_deflate_negotiate(exchange->request, &handshake.deflate);
  connection_upgrade(exchange->connection, &handshake);
  session_open(worker, exchange->connection, SESSION_WEBSOCKET, token);
  token = NULL; /* the session's now */
}
