#include "eventhub/server/http_post.h"

#include <stdlib.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/json_escape.h"
#include "eventhub/base/mem.h"
#include "eventhub/proto/json.h"
#include "eventhub/proto/url.h"
#include "eventhub/proto/utf8.h"
#include "eventhub/server/admission.h"
#include "eventhub/server/rpc.h"
#include "eventhub/server/rpc_params.h"
#include "eventhub/server/worker.h"
#include "eventhub/topic/acl.h"
#include "eventhub/topic/name.h"

enum post_kind { POST_TOPIC, POST_RPC };

/* From the request's head to its answer. */
struct post {
  struct session session;
  enum post_kind kind;
  bool is_json;    /* the body, by its Content-Type */
  bool keep_alive; /* as the request asks */
  bool is_running; /* the methods of a batch are being called: the answer may grow yet */
  uint64_t ttl_ms;
  struct buf topic;   /* decoded */
  struct buf headers; /* of the answer, complete lines */
  int status;         /* of the answer, 0: none yet */
  struct buf body;
};

static struct post *post_of(struct session *session) {
  return container_of(session, struct post, session);
}

void post_free(struct session *session) {
  struct post *post = post_of(session);
  session_done(session);
  buf_done(&post->topic);
  buf_done(&post->headers);
  buf_done(&post->body);
  free(post);
}

/* ---- the answer ---- */

static void set_error(struct post *post, int status, struct slice message) {
  post->status = status;
  buf_clear(&post->body);
  http_error_body(&post->body, message);
}

static void set_error_about(struct post *post, int status, const char *message,
                            struct slice about) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_append_str(&text, message);
  buf_append_slice(&text, about);
  set_error(post, status, buf_slice(&text));
}

void post_answer(struct session *session, struct slice text) {
  struct post *post = post_of(session);
  post->status = 200;
  buf_append_slice(&post->body, text);
}

void post_settle(struct session *session) {
  struct post *post = post_of(session);
  struct connection *connection = session->connection;
  if (post->is_running || session->pending > 0) return;
  bool is_empty = post->status == 0; /* JSON-RPC: notifications only */
  const struct http_response response = {
      .status = is_empty ? 204 : post->status,
      .content_type = is_empty ? SLICE("") : SLICE("application/json"),
      .extra_headers = buf_slice(&post->headers),
      .body = buf_slice(&post->body),
      .keep_alive = post->keep_alive,
  };
  connection_respond(connection, &response);
  post_free(session);
}

/* ---- the head ---- */

static struct slice media_type(const struct http_request *request) {
  struct slice value = http_request_header(request, SLICE("Content-Type")), type = SLICE("");
  slice_next_token(&value, ';', &type);
  return slice_trim(type);
}

static bool is_json(const struct http_request *request) {
  return slice_equal_nocase(media_type(request), SLICE("application/json"));
}

/* What every POST must satisfy. `ret_token` is the caller's reference. */
static bool is_admitted(struct exchange *exchange, struct token **ret_token) {
  const struct options *options = exchange->worker->broker->options;
  *ret_token = NULL;
  if (!options->enable_http_publish) {
    exchange_refuse(exchange, 404,
                    SLICE("publishing over HTTP is switched off (ENABLE_HTTP_PUBLISH)"));
    return false;
  }
  if (!admission_allows_origin(exchange) || !admission_verifies(exchange, SLICE(""), ret_token) ||
      !admission_is_open(exchange))
    return false;
  if (exchange->request->content_length <= options->max_message_size) return true;
  exchange_refuse(exchange, 413, SLICE("the body is larger than MAX_MESSAGE_SIZE"));
  return false;
}

/* The token's reference passes to the post, which becomes the connection's session. */
static struct post *post_new(struct exchange *exchange, enum post_kind kind, struct token *token) {
  struct post *post = x_calloc(1, sizeof *post);
  session_init(&post->session, SESSION_POST, exchange->worker, exchange->connection, token);
  post->kind = kind;
  post->is_json = is_json(exchange->request);
  post->keep_alive = exchange->request->keep_alive;
  buf_append_slice(&post->headers, buf_slice(&exchange->headers));
  return post;
}

static void read_body(struct exchange *exchange) {
  if (exchange->request->has_body) {
    connection_take_body(exchange->connection, exchange->request);
  } else {
    post_on_body(exchange->connection, SLICE(""));
  }
}

/* `ttl`, in seconds, of the query; 0 where it is absent. */
static bool read_ttl(struct exchange *exchange, uint64_t *ret_ms) {
  AUTO(buf) struct buf text = BUF_INIT;
  uint64_t seconds = 0;
  int err = url_query_find(exchange->request->query, SLICE("ttl"), &text);
  bool is_absent = err == ERR_NOT_FOUND;
  if (!is_absent && (err < 0 || slice_to_u64(buf_slice(&text), &seconds) < 0 ||
                     seconds > (uint64_t)rpc_ttl_max_s)) {
    exchange_refuse(exchange, 400,
                    SLICE("ttl must be a whole number of seconds from 0 on, at most "
                          "100 years"));
    return false;
  }
  *ret_ms = seconds * 1000;
  return true;
}

static bool may_write(struct exchange *exchange, const struct token *token, struct slice topic) {
  if (acl_may_write(token, topic)) return true;
  exchange_refuse_about(exchange, 403, "Insufficient access to topic: ", topic);
  return false;
}

void post_topic(struct exchange *exchange) {
  AUTO(token) struct token *token = NULL;
  AUTO(buf) struct buf topic = BUF_INIT;
  uint64_t ttl_ms = 0;
  if (!is_admitted(exchange, &token) || !exchange_read_topic(exchange, topic_is_valid, &topic) ||
      !may_write(exchange, token, buf_slice(&topic)) || !read_ttl(exchange, &ttl_ms))
    return;
  struct post *post = post_new(exchange, POST_TOPIC, token);
  token = NULL; /* the post's now */
  post->ttl_ms = ttl_ms;
  buf_append_slice(&post->topic, buf_slice(&topic));
  read_body(exchange);
}

void post_rpc(struct exchange *exchange) {
  AUTO(token) struct token *token = NULL;
  if (!is_admitted(exchange, &token)) return;
  if (!is_json(exchange->request)) {
    exchange_refuse(exchange, 415,
                    SLICE("JSON-RPC needs Content-Type: application/json; to publish text, name "
                          "the topic in the path"));
    return;
  }
  post_new(exchange, POST_RPC, token);
  token = NULL; /* the post's now */
  read_body(exchange);
}

/* ---- the body ---- */

/* When the window of the limit that was hit is over: windows start at multiples of their length. */
static void append_retry_after(struct buf *headers, const struct token_limit *limit) {
  uint64_t interval_s = limit->interval_s > 0 ? limit->interval_s : 1;
  buf_printf(headers, "Retry-After: %llu\r\n",
             (unsigned long long)(interval_s - clock_wall_ms() / 1000 % interval_s));
}

static void set_unpublished(struct post *post, const struct rpc_call *call) {
  switch (call->request.status) {
  case STORE_RATE_LIMITED:
    append_retry_after(&post->headers, call->request.publish.limit);
    set_error_about(post, 429, "The rate limit is used up for topic: ", call->subject);
    return;
  case STORE_UNKNOWN: /* no Retry-After: it may be there already */
    set_error(post, 503,
              SLICE("The store did not answer in time. It is unknown whether the message "
                    "was published."));
    return;
  case STORE_DISK_FULL:
    buf_append_str(&post->headers, HTTP_RETRY_LATER);
    set_error(post, 503,
              SLICE("The server's disk is full. Nothing was published; try again later."));
    return;
  default:
    buf_append_str(&post->headers, HTTP_RETRY_LATER);
    set_error(post, 503,
              SLICE("The store is not available at the moment. Nothing was published; "
                    "try again later."));
  }
}

static void on_posted(struct rpc_call *call, struct session *session) {
  if (session == NULL) return;
  struct post *post = post_of(session);
  if (call->request.status != STORE_OK) {
    set_unpublished(post, call);
    return;
  }
  post->status = 200;
  rpc_append_published(&post->body, call);
}

/* The body as a JSON value, appended to ret. */
static bool read_message(struct post *post, struct slice body, struct buf *ret) {
  if (!post->is_json) {
    buf_append_json_string(ret, body);
    if (body.len > 0) return true;
    set_error(post, 400, SLICE("the body is empty: it is the message"));
    return false;
  }
  struct json_value value;
  if (json_parse(body, JSON_DEPTH_MAX, &value) < 0) {
    set_error(post, 400,
              SLICE("the body is not one valid JSON value, nested no deeper than 64 "
                    "levels"));
    return false;
  }
  if (json_is_blank(value)) {
    set_error(post, 400, SLICE("a message is neither null nor the empty string"));
    return false;
  }
  buf_append_slice(ret, value.text);
  return true;
}

static void publish(struct post *post, struct rpc_request *rpc, struct slice body) {
  AUTO(buf) struct buf message = BUF_INIT;
  if (!read_message(post, body, &message)) return;
  const struct rpc_publish publish = {
      .topic = buf_slice(&post->topic), .message = buf_slice(&message), .ttl_ms = post->ttl_ms};
  rpc_publish_start(rpc, &publish, on_posted);
}

void post_on_body(struct connection *connection, struct slice body) {
  struct session *session = connection->session;
  struct post *post = post_of(session);
  struct rpc_request rpc = {
      .session = session,
      .reply = {.worker = session->worker, .connection = connection->ref},
      .batch_size = 1,
  };
  post->is_running = true;
  if (atomic_load(&session->worker->broker->is_draining)) {
    buf_append_str(&post->headers, HTTP_RETRY_LATER);
    set_error(post, 503, SLICE("the server is stopping"));
  } else if (!utf8_is_valid(body.ptr, body.len)) {
    set_error(post, 400, SLICE("the body is not UTF-8"));
  } else if (post->kind == POST_RPC) {
    rpc_handle(session, body);
  } else {
    publish(post, &rpc, body);
  }
  post->is_running = false;
  post_settle(session);
}
