#include "eventhub/server/connection_input.h"

#include <stdlib.h>
#include <sys/epoll.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/log.h"
#include "eventhub/base/mem.h"
#include "eventhub/proto/utf8.h"

void connection_free_input(struct connection *connection) {
  if (connection->pending_input == NULL) return;
  buf_done(connection->pending_input);
  free(connection->pending_input);
  connection->pending_input = NULL;
}

/* The end of the turn sends our end, once what is queued has left. */
static void await_no_close(struct connection *connection) {
  connection->awaits_close = false;
  connection_mark_dirty(connection);
}

/* RFC 6455 5.5.1: a close frame is answered with the code that it had. */
static void on_ws_close(struct connection *connection, const struct ws_item *item) {
  if (connection->state == CONNECTION_WEBSOCKET) {
    connection_close(connection, item->close_code, SLICE(""));
  }
  await_no_close(connection);
}

static void fail(struct connection *connection, enum ws_close_code code, struct slice reason) {
  connection_close(connection, code, reason);
  await_no_close(connection);
}

/* Puts the message in the place of its compressed form. False: the connection fails. */
static bool inflate(struct connection *connection, enum ws_event event, struct ws_item *item) {
  struct connection_pool *pool = connection->pool;
  if (pool->inflater == NULL) pool->inflater = ws_inflater_new();
  int err = ws_inflater_run(pool->inflater, &connection->deflate, &connection->window,
                            slice_of(item->data, item->len), pool->limits.message.max_message,
                            &item->data, &item->len);
  if (err == ERR_TOO_BIG) {
    fail(connection, WS_CLOSE_TOO_BIG, SLICE("message too big"));
  } else if (err < 0) {
    fail(connection, WS_CLOSE_BAD_DATA, SLICE("compressed data is damaged"));
  } else if (event == WS_EVENT_TEXT && !utf8_is_valid(item->data, item->len)) {
    fail(connection, WS_CLOSE_BAD_DATA, SLICE("text is not UTF-8"));
  } else {
    return true;
  }
  return false;
}

static void on_ws_message(struct connection *connection, enum ws_event event,
                          struct ws_item *item) {
  metrics_add(connection->pool->metrics, METRIC_MESSAGES_RECEIVED, 1);
  if (item->is_compressed && !inflate(connection, event, item)) return;
  connection->pool->handler->on_message(connection, event == WS_EVENT_TEXT ? WS_TEXT : WS_BINARY,
                                        item->data, item->len);
}

static void on_ws_item(struct connection *connection, enum ws_event event, struct ws_item *item) {
  if (event == WS_EVENT_CLOSE) {
    on_ws_close(connection, item);
  } else if (connection->state != CONNECTION_WEBSOCKET) {
    /* Messages that cross our close frame are not for us any more, and behind nonsense no close
     * frame will come. */
    if (event == WS_EVENT_FAIL) await_no_close(connection);
  } else if (event == WS_EVENT_FAIL) {
    fail(connection, item->close_code, slice_str(item->reason));
  } else if (event == WS_EVENT_PING) {
    connection_send(connection, WS_PONG, slice_of(item->data, item->len));
  } else if (event == WS_EVENT_TEXT || event == WS_EVENT_BINARY) {
    on_ws_message(connection, event, item);
  }
}

static size_t consume_ws(struct connection *connection, char *bytes, size_t len) {
  struct ws_limits limits = connection->pool->limits.message;
  struct ws_item item;
  size_t used = 0;
  limits.allow_compressed = connection->deflate.server_bits != 0;
  enum ws_event event = ws_decoder_feed(&connection->decoder, &limits, bytes, len, &used, &item);
  if (event != WS_EVENT_NONE) on_ws_item(connection, event, &item);
  return used;
}

static bool is_deaf(const struct connection *connection) {
  return connection->state == CONNECTION_CLOSED || connection->state == CONNECTION_STREAM ||
         (connection->state == CONNECTION_CLOSING && !connection->awaits_close);
}

/* Uses as many bytes as it can; what is left waits for more bytes or for the end of a pause. */
static size_t consume(struct connection *connection, char *bytes, size_t len) {
  size_t at = 0;
  while (at < len && connection->pauses == 0) {
    if (is_deaf(connection)) return len;
    bool is_http = connection->state == CONNECTION_HTTP;
    size_t used = is_http ? connection_consume_http(connection, bytes + at, len - at)
                          : consume_ws(connection, bytes + at, len - at);
    if (used == 0 && is_http) break;
    at += used;
  }
  if (at == len) ws_decoder_rest(&connection->decoder);
  return at;
}

static void keep_input(struct connection *connection, const char *bytes, size_t len) {
  connection->pending_input = x_calloc(1, sizeof(struct buf));
  buf_append(connection->pending_input, bytes, len);
}

static void feed(struct connection *connection, char *bytes, size_t len) {
  if (connection->pending_input == NULL) {
    size_t used = consume(connection, bytes, len);
    if (used < len) keep_input(connection, bytes + used, len - used);
    return;
  }
  /* Taken out meanwhile: closing the connection inside frees what is pending. */
  struct buf *pending = connection->pending_input;
  connection->pending_input = NULL;
  buf_append(pending, bytes, len);
  size_t used = consume(connection, pending->data, pending->len);
  buf_consume(pending, used);
  if (pending->len > 0) {
    connection->pending_input = pending;
    return;
  }
  buf_done(pending);
  free(pending);
}

/* The peer will send nothing more. What is queued for it may still leave. */
static void on_end(struct connection *connection) {
  connection->is_readable = false;
  connection->has_hung_up = true;
  connection->awaits_close = false;
  if (out_queue_is_empty(&connection->out) || connection->state == CONNECTION_STREAM) {
    connection_drop(connection);
    return;
  }
  connection->state = CONNECTION_CLOSING;
  deadline_arm(connection->pool->loop, &connection->pool->closings, &connection->deadline);
  connection_mark_dirty(connection);
}

/* ---- TLS ---- */

static void note_failure(struct connection *connection) {
  const char *why = stream_failure(&connection->stream);
  if (why == NULL) return;
  char peer[CONNECTION_PEER_TEXT_MAX];
  connection_peer_text(connection, peer, sizeof peer);
  bool is_handshake = !stream_is_established(&connection->stream);
  if (is_handshake) metrics_add(connection->pool->metrics, METRIC_REFUSED_TLS, 1);
  log_limited(LOG_DEBUG, is_handshake ? "TLS handshake failed" : "TLS failed",
              LOG_STR("client", peer), LOG_STR("reason", why));
}

/* A header of the PROXY protocol stands in front of the handshake, in the clear. What stream_recv
 * would answer; 0: TLS comes next. */
static ssize_t skip_proxy_header(struct connection *connection) {
  char *bytes = connection->pool->recv_buffer;
  ssize_t len = stream_peek(&connection->stream, bytes, PROXY_HEADER_MAX);
  if (len < 0) return len;
  int used = connection_learn_proxied(connection, bytes, (size_t)len);
  /* Who sends but a part of it and its end will not send the rest. */
  if (used == ERR_AGAIN && !connection->has_hung_up) return ERR_AGAIN;
  if (used < 0) {
    metrics_add(connection->pool->metrics, METRIC_REFUSED_MALFORMED, 1);
    return ERR_CLOSED;
  }
  stream_skip(&connection->stream, (size_t)used);
  return 0;
}

static ssize_t recv_tls(struct connection *connection) {
  if (connection->proxy == CONNECTION_PROXY_BEGINS) {
    ssize_t err = skip_proxy_header(connection);
    if (err < 0) return err;
  }
  bool was_established = stream_is_established(&connection->stream);
  ssize_t len =
      stream_recv(&connection->stream, connection->pool->recv_buffer, CONNECTION_RECV_SIZE);
  if (!was_established && stream_is_established(&connection->stream))
    metrics_add(connection->pool->metrics, METRIC_TLS_HANDSHAKES, 1);
  if (len == ERR_CLOSED) note_failure(connection);
  if (stream_has_ended(&connection->stream)) connection->has_hung_up = true;
  return len;
}

static inline ssize_t recv_some(struct connection *connection) {
  if (connection->stream.tls != NULL) return recv_tls(connection);
  return stream_recv(&connection->stream, connection->pool->recv_buffer, CONNECTION_RECV_SIZE);
}

/* False when reading is over for this turn. */
static bool read_once(struct connection *connection) {
  struct connection_pool *pool = connection->pool;
  ssize_t len = recv_some(connection);
  if (len == ERR_AGAIN) {
    connection->is_readable = false;
    return false;
  }
  if (len < 0) {
    on_end(connection);
    return false;
  }
  connection->last_received_ms = (uint32_t)pool->loop->now_ms;
  connection->was_pinged = false;
  metrics_add(pool->metrics, METRIC_RECEIVED_BYTES, (uint64_t)len);
  feed(connection, pool->recv_buffer, (size_t)len);
  if (connection->state == CONNECTION_CLOSED || connection->pauses != 0) return false;
  /* Less than asked for: the socket is empty, and edge-triggered epoll will tell of the next byte.
   * Of an end that came together with the last bytes it has told already. */
  if (len < CONNECTION_RECV_SIZE && !connection->has_hung_up) connection->is_readable = false;
  return connection->is_readable;
}

static void read_input(struct connection *connection) {
  if (loop_is_late(connection->pool->loop)) {
    loop_again(connection->pool->loop, &connection->io);
    return;
  }
  if (connection->pending_input != NULL) feed(connection, NULL, 0);
  for (int i = 0; i < CONNECTION_READS_PER_TURN; i++) {
    if (connection->state == CONNECTION_CLOSED || connection->pauses != 0) return;
    if (!connection->is_readable || !read_once(connection)) return;
  }
  loop_again(connection->pool->loop, &connection->io);
}

void connection_on_ready(struct loop_io *io, uint32_t events) {
  struct connection *connection = container_of(io, struct connection, io);
  if ((events & EPOLLOUT) && connection->out.blocked) connection_mark_dirty(connection);
  if (events & (EPOLLHUP | EPOLLERR)) {
    if (connection->debt != CONNECTION_DEBT_NONE) {
      connection_drop(connection); /* nobody is there to be answered */
      return;
    }
    connection->pauses &= CONNECTION_PAUSE_BATCH;
  }
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) connection->has_hung_up = true;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
    connection->is_readable = true;
    if (connection->pauses == 0) read_input(connection);
  }
}
