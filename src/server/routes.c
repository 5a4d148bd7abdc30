#include "eventhub/server/routes.h"

#include "eventhub/base/cleanup.h"
#include "eventhub/proto/url.h"
#include "eventhub/server/admission.h"
#include "eventhub/server/exchange.h"
#include "eventhub/server/http_post.h"
#include "eventhub/server/scrape.h"
#include "eventhub/server/sse.h"
#include "eventhub/server/worker.h"

static void get_healthz(struct exchange *exchange) {
  exchange_respond_json(exchange, 200, SLICE("{\"status\":\"ok\"}"));
}

static void get_readyz(struct exchange *exchange) {
  struct broker *broker = exchange->worker->broker;
  if (atomic_load(&broker->is_draining)) {
    exchange_respond_json(exchange, 503, SLICE("{\"status\":\"draining\"}"));
  } else if (!store_is_ready(broker->store)) {
    exchange_respond_json(exchange, 503, SLICE("{\"status\":\"store unreachable\"}"));
  } else {
    exchange_respond_json(exchange, 200, SLICE("{\"status\":\"ready\"}"));
  }
}

static void get_metrics(struct exchange *exchange) {
  AUTO(buf) struct buf format = BUF_INIT;
  AUTO(buf) struct buf body = BUF_INIT;
  struct metrics_snapshot snapshot;
  scrape_take(exchange->worker->broker, &snapshot);
  url_query_find(exchange->request->query, SLICE("format"), &format);
  if (slice_equal(buf_slice(&format), SLICE("json"))) {
    metrics_render_json(&snapshot, &body);
    exchange_respond_json(exchange, 200, buf_slice(&body));
    return;
  }
  const struct broker *broker = exchange->worker->broker;
  metrics_render_prometheus(&snapshot, broker->options->prometheus_metric_prefix,
                            slice_str(broker->instance), &body);
  exchange_respond(exchange, 200, SLICE("text/plain; version=0.0.4; charset=utf-8"),
                   buf_slice(&body));
}

/* By name: whoever takes anything at all (as curl says) hardly expects an answer without an end. */
static bool asks_for_events(const struct http_request *request) {
  for (size_t i = 0; i < request->header_count; i++) {
    struct slice rest = request->headers[i].value, range;
    if (!slice_equal_nocase(request->headers[i].name, SLICE("Accept"))) continue;
    while (slice_next_token(&rest, ',', &range)) {
      struct slice type = SLICE("");
      slice_next_token(&range, ';', &type);
      if (slice_equal_nocase(slice_trim(type), SLICE("text/event-stream"))) return true;
    }
  }
  return false;
}

static void get_topic(struct exchange *exchange) {
  if (!asks_for_events(exchange->request)) {
    exchange_refuse(exchange, 404,
                    SLICE("there is nothing here; connect by WebSocket, listen to a topic with "
                          "Accept: text/event-stream, or see /healthz, /readyz and /metrics"));
  } else if (!exchange->worker->broker->options->enable_sse) {
    exchange_refuse(exchange, 404, SLICE("server-sent events are switched off (ENABLE_SSE)"));
  } else {
    sse_open(exchange);
  }
}

/* ---- the table ---- */

/* For each request the first row that fits. What is open to GET is open to HEAD. */
static const struct route {
  struct slice path; /* ptr NULL: any that begins with '/' */
  struct slice method;
  void (*run)(struct exchange *exchange);
} routes[] = {
    {SLICE_INIT("/healthz"), SLICE_INIT("GET"), get_healthz},
    {SLICE_INIT("/readyz"), SLICE_INIT("GET"), get_readyz},
    {SLICE_INIT("/metrics"), SLICE_INIT("GET"), get_metrics},
    {SLICE_INIT("/metrics/"), SLICE_INIT("GET"), get_metrics},
    {SLICE_INIT("/"), SLICE_INIT("POST"), post_rpc},
    {{NULL, 0}, SLICE_INIT("GET"), get_topic},
    {{NULL, 0}, SLICE_INIT("POST"), post_topic},
};

static bool has_own_rows(struct slice path) {
  for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
    if (routes[i].path.ptr != NULL && slice_equal(routes[i].path, path)) return true;
  }
  return false;
}

static bool route_fits_path(const struct route *route, struct slice path) {
  if (route->path.ptr != NULL) return slice_equal(route->path, path);
  bool is_get_of_root = slice_equal(path, SLICE("/")) && slice_equal(route->method, SLICE("GET"));
  return path.ptr[0] == '/' && (!has_own_rows(path) || is_get_of_root);
}

static const struct route *find_route(struct slice path, struct slice method) {
  if (slice_equal(method, SLICE("HEAD"))) method = SLICE("GET");
  for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
    if (slice_equal(routes[i].method, method) && route_fits_path(&routes[i], path))
      return &routes[i];
  }
  return NULL;
}

/* ---- by method ---- */

/* `Allow`, and the same for preflights, as the table has it for the path; "*" is the server as a
 * whole. */
static void append_methods(struct buf *out, const char *name, struct slice path) {
  bool is_all = slice_equal(path, SLICE("*"));
  buf_append_str(out, name);
  if (is_all || find_route(path, SLICE("GET")) != NULL) buf_append_str(out, "GET, HEAD, ");
  if (is_all || find_route(path, SLICE("POST")) != NULL) buf_append_str(out, "POST, ");
  buf_append_str(out, "OPTIONS\r\n");
}

static void answer_options(struct exchange *exchange) {
  struct buf *headers = &exchange->headers;
  append_methods(headers, "Allow: ", exchange->request->path);
  append_methods(headers, "Access-Control-Allow-Methods: ", exchange->request->path);
  buf_append_str(headers,
                 "Access-Control-Allow-Headers: Authorization, Content-Type, Last-Event-ID\r\n"
                 "Access-Control-Max-Age: 86400\r\n");
  exchange_respond(exchange, 204, SLICE(""), SLICE(""));
}

static void refuse_method(struct exchange *exchange) {
  append_methods(&exchange->headers, "Allow: ", exchange->request->path);
  exchange_refuse(exchange, 405, SLICE("this method is not allowed here"));
}

static void route_request(struct exchange *exchange) {
  struct slice method = exchange->request->method;
  bool is_options = slice_equal(method, SLICE("OPTIONS"));
  const struct route *route = find_route(exchange->request->path, method);
  if (route == NULL && !is_options) {
    refuse_method(exchange);
  } else if (exchange->request->has_body && !slice_equal(method, SLICE("POST"))) {
    exchange_refuse(exchange, 413, SLICE("no body is expected here"));
  } else if (is_options) {
    answer_options(exchange);
  } else {
    route->run(exchange);
  }
}

/* For the log, and for limits of an address. */
static void note_client(struct connection *connection, const struct http_request *request) {
  struct proxied client;
  if (connection->proxy == CONNECTION_PROXY &&
      proxied_client(request, &connection->pool->proxies, &client))
    connection_set_client(connection, &client);
}

void routes_on_request(struct connection *connection, const struct http_request *request) {
  note_client(connection, request);
  struct exchange exchange = {
      .worker = connection->pool->context, .connection = connection, .request = request};
  if (admission_is_asked(request)) {
    admission_upgrade(&exchange);
  } else {
    metrics_add(&exchange.worker->metrics, METRIC_HTTP_REQUESTS, 1);
    exchange_add_cors(&exchange);
    route_request(&exchange);
  }
  buf_done(&exchange.headers);
}
