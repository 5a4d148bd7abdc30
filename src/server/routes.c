#include "eventhub/server/routes.h"

#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/proto/url.h"
#include "eventhub/server/admission.h"
#include "eventhub/server/scrape.h"
#include "eventhub/server/worker.h"

/* One request on its way to an answer. */
struct exchange {
  struct worker *worker;
  struct connection *connection;
  const struct http_request *request;
  struct buf headers; /* of the answer: CORS */
};

static void respond(struct exchange *exchange, int status, struct slice content_type,
                    struct slice body) {
  const struct http_response response = {
      .status = status,
      .content_type = content_type,
      .extra_headers = buf_slice(&exchange->headers),
      .body = body,
      .keep_alive = exchange->request->keep_alive,
      .head_only = slice_equal(exchange->request->method, SLICE("HEAD")),
  };
  connection_respond(exchange->connection, &response);
}

static void respond_json(struct exchange *exchange, int status, struct slice body) {
  respond(exchange, status, SLICE("application/json"), body);
}

/* Whom a browser may show our answers to. */
static void add_cors(struct exchange *exchange) {
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

static void get_healthz(struct exchange *exchange) {
  respond_json(exchange, 200, SLICE("{\"status\":\"ok\"}"));
}

static void get_readyz(struct exchange *exchange) {
  struct broker *broker = exchange->worker->broker;
  if (atomic_load(&broker->is_draining)) {
    respond_json(exchange, 503, SLICE("{\"status\":\"draining\"}"));
  } else if (!store_is_ready(broker->store)) {
    respond_json(exchange, 503, SLICE("{\"status\":\"store unreachable\"}"));
  } else {
    respond_json(exchange, 200, SLICE("{\"status\":\"ready\"}"));
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
    respond_json(exchange, 200, buf_slice(&body));
    return;
  }
  const struct broker *broker = exchange->worker->broker;
  metrics_render_prometheus(&snapshot, broker->options->prometheus_metric_prefix,
                            slice_str(broker->instance), &body);
  respond(exchange, 200, SLICE("text/plain; version=0.0.4; charset=utf-8"), buf_slice(&body));
}

static const struct route {
  struct slice path;
  void (*get)(struct exchange *exchange);
} routes[] = {
    {{"/healthz", 8}, get_healthz},
    {{"/readyz", 7}, get_readyz},
    {{"/metrics", 8}, get_metrics},
    {{"/metrics/", 9}, get_metrics},
};

static const struct route *find_route(struct slice path) {
  for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
    if (slice_equal(routes[i].path, path)) return &routes[i];
  }
  return NULL;
}

static void answer_options(struct exchange *exchange) {
  buf_append_str(&exchange->headers,
                 "Allow: GET, HEAD, OPTIONS\r\n"
                 "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"
                 "Access-Control-Allow-Headers: Authorization, Content-Type, Last-Event-ID\r\n"
                 "Access-Control-Max-Age: 86400\r\n");
  respond(exchange, 204, SLICE(""), SLICE(""));
}

static void refuse(struct exchange *exchange, int status, const char *message) {
  connection_refuse(exchange->connection, status, buf_slice(&exchange->headers),
                    slice_str(message));
}

static void answer_get(struct exchange *exchange) {
  const struct route *route = find_route(exchange->request->path);
  if (route != NULL) {
    route->get(exchange);
  } else if (http_request_has_token(exchange->request, SLICE("Accept"),
                                    SLICE("text/event-stream"))) {
    refuse(exchange, 501, "this version has no server-sent events yet; connect by WebSocket");
  } else {
    refuse(exchange, 404,
           "there is nothing here; connect by WebSocket, or see /healthz, /readyz and /metrics");
  }
}

static void answer_other(struct exchange *exchange) {
  if (slice_equal(exchange->request->method, SLICE("POST")) &&
      find_route(exchange->request->path) == NULL) {
    refuse(exchange, 501, "this version does not publish over HTTP yet; connect by WebSocket");
    return;
  }
  buf_append_str(&exchange->headers, "Allow: GET, HEAD, OPTIONS\r\n");
  refuse(exchange, 405, "this method is not allowed here");
}

static void route_request(struct exchange *exchange) {
  struct slice method = exchange->request->method;
  bool is_get = slice_equal(method, SLICE("GET")) || slice_equal(method, SLICE("HEAD"));
  if (!is_get && !slice_equal(method, SLICE("OPTIONS"))) {
    answer_other(exchange);
  } else if (exchange->request->has_body) {
    refuse(exchange, 413, "no body is expected here");
  } else if (is_get) {
    answer_get(exchange);
  } else {
    answer_options(exchange);
  }
}

void routes_on_request(struct connection *connection, const struct http_request *request) {
  struct exchange exchange = {
      .worker = connection->pool->context, .connection = connection, .request = request};
  if (admission_is_asked(request)) {
    admission_decide(exchange.worker, connection, request);
    return;
  }
  add_cors(&exchange);
  route_request(&exchange);
  buf_done(&exchange.headers);
}
