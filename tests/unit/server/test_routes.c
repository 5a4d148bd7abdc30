#include "eventhub/server/routes.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker_fixture.h"

static struct broker_fixture fixture;
static struct peer peer;

static void start(const char *const *env) {
  broker_fixture_init(&fixture, env);
  peer_open(&peer, &fixture.broker.workers[0].pool);
}

static int tear_down(void **state) {
  (void)state;
  broker_fixture_done(&fixture);
  peer_close(&peer);
  return 0;
}

/* What is answered, as text; the connection is opened again where it was closed. */
static const char *ask(const char *request) {
  if (peer.is_at_end) {
    peer_close(&peer);
    broker_settle(&fixture);
    peer_open(&peer, &fixture.broker.workers[0].pool);
  }
  buf_clear(&peer.in);
  peer_write_text(&peer, request);
  broker_settle(&fixture);
  return peer_text(&peer);
}

#define HEAD(request, headers) request " HTTP/1.1\r\nHost: a\r\n" headers "\r\n"

static void assert_status(const char *request, const char *status) {
  assert_true(slice_starts_with(slice_str(ask(request)), slice_str(status)));
}

static void assert_has(const char *request, const char *part) {
  assert_non_null(strstr(ask(request), part));
}

static void assert_lacks(const char *request, const char *part) {
  assert_null(strstr(ask(request), part));
}

static void health_is_told_while_the_process_serves(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  assert_status(HEAD("GET /healthz", ""), "HTTP/1.1 200 ");
  assert_has(HEAD("GET /healthz", ""), "\r\n\r\n{\"status\":\"ok\"}");
  atomic_store(&fixture.broker.is_draining, true);
  assert_status(HEAD("GET /healthz", ""), "HTTP/1.1 200 ");
}

static void readiness_is_the_store_s_and_ends_with_draining(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  assert_has(HEAD("GET /readyz", ""), "{\"status\":\"ready\"}");
  store_set_ready(fixture.broker.store, false);
  assert_status(HEAD("GET /readyz", ""), "HTTP/1.1 503 ");
  assert_has(HEAD("GET /readyz", ""), "{\"status\":\"store unreachable\"}");
  store_set_ready(fixture.broker.store, true);
  atomic_store(&fixture.broker.is_draining, true);
  assert_status(HEAD("GET /readyz", ""), "HTTP/1.1 503 ");
  assert_has(HEAD("GET /readyz", ""), "{\"status\":\"draining\"}");
}

static void metrics_come_as_text_and_as_json(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1", "PROMETHEUS_METRIC_PREFIX=hub"));
  static struct peer client;
  client_connect(&client, &fixture, 1);
  client_ask(&fixture, &client, REQUEST("1", "subscribe", "{\"topic\":\"a\"}"));
  client_ask(&fixture, &client, REQUEST("1", "publish", "{\"topic\":\"a\",\"message\":1}"));
  assert_has(HEAD("GET /metrics", ""), "Content-Type: text/plain; version=0.0.4");
  assert_has(HEAD("GET /metrics/", ""), "\n# TYPE hub_worker_count gauge\n");
  assert_has(HEAD("GET /metrics", ""), "\nhub_publish_count{instance=\"here:1\"} 1\n");
  assert_has(HEAD("GET /metrics?x=1&format=json", ""), "Content-Type: application/json");
  assert_has(HEAD("GET /metrics?format=json", ""), "\"current_connections_count\": 2");
  assert_has(HEAD("GET /metrics?format=json", ""), "\"worker_count\": 2");
  peer_close(&client);
}

static void head_tells_the_length_and_sends_no_body(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  const char *answer = ask(HEAD("HEAD /healthz", ""));
  assert_non_null(strstr(answer, "\r\nContent-Length: 15\r\n"));
  assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
  answer = ask(HEAD("HEAD /nowhere", ""));
  assert_true(slice_starts_with(slice_str(answer), SLICE("HTTP/1.1 404 ")));
  assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
  assert_true(peer.is_at_end);
}

static void a_connection_is_kept_as_the_client_asks(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  ask(HEAD("GET /healthz", ""));
  assert_false(peer.is_at_end);
  ask("GET /healthz HTTP/1.0\r\n\r\n");
  assert_true(peer.is_at_end);
  ask(HEAD("GET /healthz", "Connection: close\r\n"));
  assert_true(peer.is_at_end);
}

static void what_there_is_not_is_refused(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  assert_status(HEAD("GET /", ""), "HTTP/1.1 404 ");
  assert_status(HEAD("GET /healthz/", ""), "HTTP/1.1 404 ");
  assert_status(HEAD("GET /", "Accept: text/event-stream\r\n"), "HTTP/1.1 400 ");
  assert_status(HEAD("POST /healthz", "Content-Length: 3\r\n"), "HTTP/1.1 405 ");
  assert_has(HEAD("DELETE /healthz", ""), "\r\nAllow: GET, HEAD, OPTIONS\r\n");
  assert_has(HEAD("PUT /a/b", ""), "\r\nAllow: GET, HEAD, POST, OPTIONS\r\n");
  assert_status(HEAD("GET *", ""), "HTTP/1.1 400 ");
}

static void what_is_switched_off_is_not_there(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1", "ENABLE_SSE=0", "ENABLE_HTTP_PUBLISH=0"));
  assert_has(HEAD("GET /a", "Accept: text/event-stream\r\n"), "(ENABLE_SSE)");
  assert_status(HEAD("POST /a", "Content-Length: 1\r\n") "x", "HTTP/1.1 404 ");
  assert_has(HEAD("POST /", "Content-Length: 1\r\n") "x", "(ENABLE_HTTP_PUBLISH)");
}

/* The bytes behind the head would be taken for the next request. */
static void a_body_is_never_taken_for_a_request(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  assert_status(HEAD("GET /healthz", "Content-Length: 35\r\n") HEAD("GET /readyz", ""),
                "HTTP/1.1 413 ");
  assert_lacks(HEAD("GET /healthz", "Transfer-Encoding: chunked\r\n") HEAD("GET /readyz", ""),
               "ready");
  assert_true(peer.is_at_end);
}

static void pages_of_allowed_origins_may_read_answers(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1", "ALLOWED_ORIGINS=https://a.example"));
  assert_has(HEAD("GET /healthz", "Origin: https://a.example\r\n"),
             "\r\nAccess-Control-Allow-Origin: https://a.example\r\n");
  assert_has(HEAD("GET /healthz", "Origin: https://a.example\r\n"), "\r\nVary: Origin\r\n");
  assert_lacks(HEAD("GET /healthz", "Origin: https://b.example\r\n"), "Access-Control");
  assert_lacks(HEAD("GET /healthz", ""), "Access-Control");
  assert_has(HEAD("GET /nowhere", "Origin: https://a.example\r\n"),
             "\r\nAccess-Control-Allow-Origin: https://a.example\r\n");
}

static void all_pages_may_where_all_origins_are_allowed(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  assert_has(HEAD("GET /healthz", ""), "\r\nAccess-Control-Allow-Origin: *\r\n");
}

static void options_tells_what_is_allowed(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  assert_status(HEAD("OPTIONS /a/b", ""), "HTTP/1.1 204 ");
  assert_has(HEAD("OPTIONS *", ""),
             "\r\nAccess-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n");
  assert_has(HEAD("OPTIONS /a", ""), "\r\nAllow: GET, HEAD, POST, OPTIONS\r\n");
  assert_has(HEAD("OPTIONS /healthz", ""), "\r\nAllow: GET, HEAD, OPTIONS\r\n");
  assert_lacks(HEAD("OPTIONS /", ""), "Content-Length");
}

#define BROKER_TEST(function) cmocka_unit_test_teardown(function, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BROKER_TEST(health_is_told_while_the_process_serves),
      BROKER_TEST(readiness_is_the_store_s_and_ends_with_draining),
      BROKER_TEST(metrics_come_as_text_and_as_json),
      BROKER_TEST(head_tells_the_length_and_sends_no_body),
      BROKER_TEST(a_connection_is_kept_as_the_client_asks),
      BROKER_TEST(what_there_is_not_is_refused),
      BROKER_TEST(what_is_switched_off_is_not_there),
      BROKER_TEST(a_body_is_never_taken_for_a_request),
      BROKER_TEST(pages_of_allowed_origins_may_read_answers),
      BROKER_TEST(all_pages_may_where_all_origins_are_allowed),
      BROKER_TEST(options_tells_what_is_allowed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
