#include "eventhub/server/exchange.h"

#include "eventhub/base/cleanup.h"
#include "eventhub/base/log.h"
#include "eventhub/proto/url.h"
#include "eventhub/proto/utf8.h"
#include "eventhub/server/worker.h"
#include "eventhub/topic/name.h"

void exchange_add_cors(struct exchange *exchange) {
  struct slice origin = http_request_header(exchange->request, SLICE("Origin"));
  const struct options *options = exchange->worker->broker->options;
  if (options_origin_is_allowed(options, SLICE("*"))) {
    buf_append_str(&exchange->headers, "Access-Control-Allow-Origin: *\r\n");
  } else if (origin.ptr != NULL && options_origin_is_allowed(options, origin)) {
    buf_append_str(&exchange->headers, "Vary: Origin\r\nAccess-Control-Allow-Origin: ");
    buf_append_slice(&exchange->headers, origin);
    buf_append_str(&exchange->headers, "\r\n");
  }
}

bool exchange_is_head(const struct exchange *exchange) {
  return slice_equal(exchange->request->method, SLICE("HEAD"));
}

void exchange_respond(struct exchange *exchange, int status, struct slice content_type,
                      struct slice body) {
  const struct http_response response = {
      .status = status,
      .content_type = content_type,
      .extra_headers = buf_slice(&exchange->headers),
      .body = body,
      .keep_alive = exchange->request->keep_alive,
      .head_only = exchange_is_head(exchange),
  };
  connection_respond(exchange->connection, &response);
}

void exchange_respond_json(struct exchange *exchange, int status, struct slice body) {
  exchange_respond(exchange, status, SLICE("application/json"), body);
}

/* RFC 9110 9.3.2: the same without the body. */
static void refuse_head(struct exchange *exchange, int status, struct slice message) {
  AUTO(buf) struct buf body = BUF_INIT;
  http_error_body(&body, message);
  const struct http_response response = {
      .status = status,
      .content_type = SLICE("application/json"),
      .extra_headers = buf_slice(&exchange->headers),
      .body = buf_slice(&body),
      .head_only = true,
  };
  connection_respond(exchange->connection, &response);
}

void exchange_refuse(struct exchange *exchange, int status, struct slice message) {
  /* RFC 9110 15.5.2. No browser asks its user for this kind of credentials. */
  if (status == 401) buf_append_str(&exchange->headers, "WWW-Authenticate: Bearer\r\n");
  if (status == 426) buf_append_str(&exchange->headers, WS_VERSION_HEADER);
  if (status == 503) buf_append_str(&exchange->headers, HTTP_RETRY_LATER);
  if (exchange_is_head(exchange)) {
    refuse_head(exchange, status, message);
  } else {
    connection_refuse(exchange->connection, status, buf_slice(&exchange->headers), message);
  }
}

void exchange_refuse_about(struct exchange *exchange, int status, const char *message,
                           struct slice about) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_append_str(&text, message);
  buf_append_slice(&text, slice_of(about.ptr, about.len < TOPIC_MAX ? about.len : TOPIC_MAX));
  exchange_refuse(exchange, status, buf_slice(&text));
}

bool exchange_read_topic(struct exchange *exchange, bool (*is_valid)(struct slice topic),
                         struct buf *ret) {
  struct slice path = exchange->request->path;
  int err = url_decode(slice_skip(path, 1), ret);
  if (err == 0 && is_valid(buf_slice(ret))) return true;
  bool is_text = err == 0 && utf8_is_valid(buf_slice(ret).ptr, ret->len);
  exchange_refuse_about(exchange, 400,
                        "Invalid topic in request: ", is_text ? buf_slice(ret) : path);
  return false;
}

void exchange_reject(struct exchange *exchange, int status, enum metric reason,
                     struct slice message) {
  metrics_add(&exchange->worker->metrics, reason, 1);
  char peer[CONNECTION_PEER_TEXT_MAX];
  connection_peer_text(exchange->connection, peer, sizeof peer);
  log_debug("request refused", LOG_STR("peer", peer), LOG_INT("status", status),
            LOG_SLICE("reason", message));
  exchange_refuse(exchange, status, message);
}
