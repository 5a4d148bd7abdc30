#include "eventhub/server/sse.h"

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/json_escape.h"
#include "eventhub/base/random.h"
#include "eventhub/proto/sse.h"
#include "eventhub/proto/url.h"
#include "eventhub/server/admission.h"
#include "eventhub/server/encoder.h"
#include "eventhub/server/rpc.h"
#include "eventhub/server/rpc_log.h"
#include "eventhub/server/session.h"
#include "eventhub/server/worker.h"
#include "eventhub/topic/acl.h"
#include "eventhub/topic/name.h"

/* How long a client waits before it connects again: not all at the same moment. */
enum { RETRY_MIN_MS = 1000, RETRY_SPREAD_MS = 2000 };

/* ---- what is asked for ---- */

static bool may_read(struct exchange *exchange, const struct token *token, struct slice filter) {
  if (acl_may_read(token, filter)) return true;
  exchange_refuse_about(exchange, 403, "You are not allowed to subscribe to topic: ", filter);
  return false;
}

/* A parameter of the query; empty where it is absent. False: it cannot be decoded. */
static bool find_query(struct exchange *exchange, const char *name, struct buf *ret) {
  int err = url_query_find(exchange->request->query, slice_str(name), ret);
  return err == 0 || err == ERR_NOT_FOUND;
}

static bool read_limit(struct exchange *exchange, struct history_wish *ret) {
  AUTO(buf) struct buf text = BUF_INIT;
  int64_t limit = rpc_integer_max;
  bool is_found = find_query(exchange, "limit", &text);
  if (!is_found || (text.len > 0 && slice_to_i64(buf_slice(&text), &limit) < 0) || limit < 0) {
    exchange_refuse(exchange, 400, SLICE("limit must be a whole number from 0 on"));
    return false;
  }
  history_init(ret, exchange->worker, limit);
  return true;
}

/* The id of the last event that the client has got: an EventSource that reconnects sends the
 * header. */
static bool find_last_id(struct exchange *exchange, struct buf *ret) {
  struct slice header = http_request_header(exchange->request, SLICE("Last-Event-ID"));
  if (header.len == 0) return find_query(exchange, "lastEventId", ret);
  buf_append_slice(ret, header);
  return true;
}

static bool refuse_id(struct exchange *exchange) {
  exchange_refuse(exchange, 400,
                  SLICE("Last-Event-ID and lastEventId must be the id of a message"));
  return false;
}

static bool refuse_since(struct exchange *exchange) {
  exchange_refuse(exchange, 400,
                  SLICE("since must be milliseconds since the epoch, a negative number for that "
                        "long ago, or the id of a message"));
  return false;
}

static bool read_history(struct exchange *exchange, struct history_wish *ret) {
  AUTO(buf) struct buf id = BUF_INIT;
  AUTO(buf) struct buf since = BUF_INIT;
  int64_t ms = 0;
  if (!read_limit(exchange, ret)) return false;
  if (!find_last_id(exchange, &id)) return refuse_id(exchange);
  if (id.len > 0) return history_since_id(ret, buf_slice(&id)) == 0 ? true : refuse_id(exchange);
  if (!find_query(exchange, "since", &since)) return refuse_since(exchange);
  if (since.len == 0) return true;
  if (slice_to_i64(buf_slice(&since), &ms) < 0)
    return history_since_id(ret, buf_slice(&since)) == 0 ? true : refuse_since(exchange);
  history_since_time(ret, ms);
  return true;
}

/* False: the request names a form that there is not. */
static bool read_format(struct exchange *exchange, enum message_format *ret) {
  AUTO(buf) struct buf format = BUF_INIT;
  bool is_found = find_query(exchange, "format", &format);
  *ret = format.len > 0 ? FORMAT_SSE_JSON : FORMAT_SSE;
  if (is_found && (format.len == 0 || slice_equal(buf_slice(&format), SLICE("json")))) return true;
  exchange_refuse(exchange, 400, SLICE("format may be json, or be left out"));
  return false;
}

/* ---- the stream ---- */

static void hint_retry(struct connection *connection) {
  AUTO(buf) struct buf text = BUF_INIT;
  uint32_t retry_ms = RETRY_MIN_MS + (uint32_t)(random_u64() % RETRY_SPREAD_MS);
  buf_printf(&text, "retry: %u\n\n", retry_ms);
  connection_stream_bytes(connection, buf_slice(&text));
}

/* Ends a stream that will work later. */
static void put_off(struct connection *connection, struct slice headers, enum ws_close_code code,
                    struct slice reason) {
  connection_stream(connection, headers);
  hint_retry(connection);
  connection_close(connection, code, reason);
}

static void subscribe(struct session *session, struct slice filter,
                      const struct history_wish *wish) {
  struct rpc_request rpc = {
      .session = session,
      .reply = {.worker = session->worker, .connection = session->connection->ref},
      .batch_size = 1,
  };
  rpc_subscribe_to(&rpc, filter, wish);
}

void sse_open(struct exchange *exchange) {
  AUTO(token) struct token *token = NULL;
  AUTO(buf) struct buf filter = BUF_INIT;
  struct connection *connection = exchange->connection;
  struct history_wish wish;
  enum message_format format;
  if (!admission_allows_origin(exchange) || !admission_verifies(exchange, SLICE(""), &token) ||
      !exchange_read_topic(exchange, filter_is_valid, &filter) ||
      !may_read(exchange, token, buf_slice(&filter)) || !read_history(exchange, &wish) ||
      !read_format(exchange, &format))
    return;
  if (exchange_is_head(exchange)) {
    exchange_respond(exchange, 200, SLICE("text/event-stream"), SLICE(""));
    return;
  }
  if (atomic_load(&exchange->worker->broker->is_draining)) {
    put_off(connection, buf_slice(&exchange->headers), WS_CLOSE_GOING_AWAY,
            SLICE("the server is stopping"));
    return;
  }
  if (!admission_takes_place(exchange)) return;
  connection->format = (uint8_t)format;
  struct session *session = session_open(exchange->worker, connection, SESSION_STREAM, token);
  token = NULL; /* the session's now */
  buf_append_slice(&session->kept, buf_slice(&exchange->headers));
  subscribe(session, buf_slice(&filter), &wish);
}

void sse_start(struct session *session, struct slice filter, const char *recovered) {
  connection_stream(session->connection, buf_slice(&session->kept));
  buf_done(&session->kept);
  connection_stream_bytes(session->connection, SLICE(":ok\n\n"));
  hint_retry(session->connection);
  if (recovered == NULL || recovered[0] == 't') return;
  AUTO(buf) struct buf data = BUF_INIT;
  AUTO(buf) struct buf event = BUF_INIT;
  buf_append_str(&data, "{\"topic\":");
  buf_append_json_string(&data, filter);
  buf_append_char(&data, '}');
  sse_append_event(&event, SLICE("gap"), SLICE(""), buf_slice(&data));
  connection_stream_bytes(session->connection, buf_slice(&event));
}

void sse_fail(struct session *session) {
  put_off(session->connection, buf_slice(&session->kept), WS_CLOSE_INTERNAL,
          SLICE("the store is not available at the moment"));
}
