#include <stdlib.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/proto/http_body.h"
#include "eventhub/server/connection_input.h"

/* A body on its way. */
struct connection_body {
  struct http_body parser;
  struct buf bytes; /* of the body so far, decoded */
};

/* ---- answers ---- */

/* The answer leaves, so the next request may come. */
static void settle_debt(struct connection *connection) {
  connection->debt = CONNECTION_DEBT_NONE;
  connection_free_body(connection);
}

void connection_respond(struct connection *connection, const struct http_response *response) {
  if (connection->state != CONNECTION_HTTP) return;
  AUTO(buf) struct buf bytes = BUF_INIT;
  struct http_response honest = *response;
  if (connection->debt == CONNECTION_DEBT_BODY || connection->body != NULL)
    honest.keep_alive = false;
  http_response_encode(&bytes, &honest);
  connection_queue(connection, buf_slice(&bytes), SLICE(""));
  connection_pace(connection);
  settle_debt(connection);
  if (!honest.keep_alive) {
    connection_start_closing(connection);
    return;
  }
  deadline_arm(connection->pool->loop, &connection->pool->handshakes, &connection->deadline);
  connection_resume(connection, CONNECTION_PAUSE_ANSWER);
}

void connection_refuse(struct connection *connection, int status, struct slice extra_headers,
                       struct slice message) {
  if (connection->state != CONNECTION_HTTP) return;
  AUTO(buf) struct buf bytes = BUF_INIT;
  http_error_encode(&bytes, status, extra_headers, message);
  connection_queue(connection, buf_slice(&bytes), SLICE(""));
  settle_debt(connection);
  connection_start_closing(connection);
}

/* Messages flow from now on; what is queued before them is neither frame nor event. */
static void go_live(struct connection *connection, enum connection_state state) {
  settle_debt(connection);
  connection->out.unframed = (uint32_t)connection->out.bytes;
  connection->state = (uint8_t)state;
  deadline_arm(connection->pool->loop, &connection->pool->pings, &connection->deadline);
  connection_resume(connection, CONNECTION_PAUSE_ANSWER);
}

void connection_upgrade(struct connection *connection, const struct ws_handshake *handshake) {
  AUTO(buf) struct buf bytes = BUF_INIT;
  ws_handshake_encode(&bytes, handshake);
  connection_queue(connection, buf_slice(&bytes), SLICE(""));
  go_live(connection, CONNECTION_WEBSOCKET);
  connection->deflate = handshake->deflate;
}

void connection_stream(struct connection *connection, struct slice extra_headers) {
  if (connection->state != CONNECTION_HTTP) return;
  AUTO(buf) struct buf head = BUF_INIT;
  http_stream_head_encode(&head, SLICE("text/event-stream"), extra_headers);
  connection_queue(connection, buf_slice(&head), SLICE(""));
  go_live(connection, CONNECTION_STREAM);
  stream_set_timeout(&connection->stream, 2 * connection->pool->limits.ping_interval_ms);
}

/* ---- bodies ---- */

void connection_free_body(struct connection *connection) {
  if (connection->body == NULL) return;
  buf_done(&connection->body->bytes);
  free(connection->body);
  connection->body = NULL;
}

void connection_take_body(struct connection *connection, const struct http_request *request) {
  struct connection_body *body = x_calloc(1, sizeof *body);
  http_body_begin(&body->parser, request);
  connection->body = body;
  connection->debt = CONNECTION_DEBT_ANSWER;
  if (request->expect_continue) {
    connection_queue(connection, SLICE(HTTP_CONTINUE), SLICE(""));
  }
}

static void refuse_bad(struct connection *connection, int status, struct slice message) {
  enum metric metric = status == 431 ? METRIC_REFUSED_HEAD_TOO_BIG : METRIC_REFUSED_MALFORMED;
  metrics_add(connection->pool->metrics, metric, 1);
  connection_refuse(connection, status, SLICE(""), message);
}

/* The handler has had its turn. Where it has not answered, the client's next request waits, and
 * its time does not run. */
static void await_answer(struct connection *connection) {
  if (connection->state != CONNECTION_HTTP || connection->debt == CONNECTION_DEBT_NONE ||
      connection->body != NULL)
    return;
  connection_pause(connection, CONNECTION_PAUSE_ANSWER);
  deadline_disarm(&connection->deadline);
}

static void finish_body(struct connection *connection, struct slice bytes) {
  struct connection_body *body = connection->body;
  connection->body = NULL; /* an answer may be given at once: all of the request is there */
  connection->pool->handler->on_body(connection, bytes);
  buf_done(&body->bytes);
  free(body);
  await_answer(connection);
}

/* A body that lies whole in the bytes given is lent, not copied. */
static size_t consume_body(struct connection *connection, const char *bytes, size_t len) {
  struct connection_body *body = connection->body;
  size_t max = connection->pool->limits.message.max_message, at = 0;
  struct slice last = SLICE("");
  for (;;) {
    struct slice piece;
    size_t used = 0;
    enum http_body_event event = http_body_feed(&body->parser, bytes + at, len - at, &used, &piece);
    at += used;
    if (event == HTTP_BODY_END && body->bytes.len == 0) {
      finish_body(connection, last);
      return at;
    }
    buf_append_slice(&body->bytes, last);
    if (event == HTTP_BODY_END) finish_body(connection, buf_slice(&body->bytes));
    if (event == HTTP_BODY_BAD) refuse_bad(connection, 400, SLICE("malformed request body"));
    if (event != HTTP_BODY_DATA) return event == HTTP_BODY_BAD ? len : at;
    last = piece;
    if (body->bytes.len + piece.len > max) {
      connection_refuse(connection, 413, SLICE(""),
                        SLICE("the body is larger than MAX_MESSAGE_SIZE"));
      return len;
    }
  }
}

/* ---- requests ---- */

static int status_of_bad_head(int err) {
  if (err == ERR_TOO_BIG) return 431;
  return err == ERR_UNSUPPORTED ? 505 : 400;
}

static struct slice text_of_bad_head(int err) {
  if (err == ERR_TOO_BIG)
    return SLICE("the request head is larger than 16 KiB or has more than 100 headers");
  if (err == ERR_UNSUPPORTED) return SLICE("this server speaks HTTP/1.1");
  return SLICE("malformed HTTP request");
}

int connection_learn_proxied(struct connection *connection, const char *bytes, size_t len) {
  struct proxied client;
  int used = proxy_header_parse(bytes, len, &client);
  if (used < 0) return used;
  connection->proxy = CONNECTION_PROXY;
  if (!client.has_address) return used;
  connection_set_client(connection, &client);
  /* What it speaks for may be another proxy. */
  if (!network_list_holds(&connection->pool->proxies, client.address))
    connection->proxy = CONNECTION_NO_PROXY;
  return used;
}

/* Bytes that the header of the PROXY protocol takes; 0 where there is none, or not all of it. */
static size_t consume_proxy_header(struct connection *connection, const char *bytes, size_t len) {
  int used = connection_learn_proxied(connection, bytes, len);
  if (used == ERR_AGAIN) return 0;
  if (used >= 0) return (size_t)used;
  refuse_bad(connection, 400, SLICE("malformed header of the PROXY protocol"));
  return len;
}

size_t connection_consume_http(struct connection *connection, const char *bytes, size_t len) {
  if (connection->proxy == CONNECTION_PROXY_BEGINS) {
    size_t used = consume_proxy_header(connection, bytes, len);
    if (used > 0 || connection->proxy == CONNECTION_PROXY_BEGINS) return used;
  }
  if (connection->body != NULL) return consume_body(connection, bytes, len);
  struct http_request request;
  int used = http_request_parse(bytes, len, &request);
  if (used == ERR_AGAIN) return 0;
  if (used < 0) {
    refuse_bad(connection, status_of_bad_head(used), text_of_bad_head(used));
    return len;
  }
  connection->debt = request.has_body ? CONNECTION_DEBT_BODY : CONNECTION_DEBT_ANSWER;
  connection->pool->handler->on_request(connection, &request);
  await_answer(connection);
  return (size_t)used;
}
