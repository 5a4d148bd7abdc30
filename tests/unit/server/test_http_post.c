#include "eventhub/server/http_post.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "http_client.h"

static struct broker_fixture fixture;
static struct peer peer, subscriber;
static bool has_subscriber;

static void start(const char *const *env) {
  broker_fixture_init(&fixture, env);
  peer_open(&peer, &fixture.broker.workers[0].pool);
  has_subscriber = false;
}

/* ... to everything, on another worker. */
static void subscribe(void) {
  client_connect(&subscriber, &fixture, 1);
  client_ask(&fixture, &subscriber, REQUEST("1", "subscribe", "{\"topic\":\"#\"}"));
  buf_clear(&subscriber.in);
  has_subscriber = true;
}

static int tear_down(void **state) {
  (void)state;
  broker_fixture_done(&fixture);
  peer_close(&peer);
  if (has_subscriber) peer_close(&subscriber);
  return 0;
}

static const char *post(const char *target, const char *headers, const char *body) {
  return http_post(&fixture, &peer, target, headers, body);
}

#define JSON      "Content-Type: application/json\r\n"
#define FIRST_ID  "1700000000000-0"
#define SECOND_ID "1700000000000-1"
#define assert_received(text)                                                                      \
  do {                                                                                             \
    peer_read(&subscriber);                                                                        \
    assert_frames(&subscriber, text);                                                              \
  } while (0)

static void a_body_is_published_as_text(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  subscribe();
  const char *answer = post("/news/%61", "", "say \"hello\"\n");
  assert_true(http_is(answer, 200));
  assert_has_text(answer, "\r\n\r\n" PUBLISHED(FIRST_ID, "news/a"));
  assert_received(MESSAGE("1", ITEM(FIRST_ID, "\"say \\\"hello\\\"\\n\"", "news/a")));
  assert_false(peer.is_at_end);
}

static void json_is_published_as_the_value(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  subscribe();
  assert_true(http_is(
      post("/a", "Content-Type: Application/JSON; charset=utf-8\r\n", " {\"b\": 1} "), 200));
  assert_received(MESSAGE("1", ITEM(FIRST_ID, "{\"b\": 1}", "a")));
}

static void a_chunked_body_is_put_together(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  subscribe();
  const char *answer = http_ask(
      &fixture, &peer,
      HTTP_REQUEST("POST /a",
                   "Transfer-Encoding: chunked\r\n") "3\r\none\r\n3;x=y\r\ntwo\r\n0\r\n\r\n");
  assert_true(http_is(answer, 200));
  assert_received(MESSAGE("1", ITEM(FIRST_ID, "\"onetwo\"", "a")));
}

static void pipelined_requests_are_answered_in_order(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  const char *answer = http_ask(&fixture, &peer,
                                HTTP_REQUEST("POST /a", "Content-Length: 1\r\n") "x" //
                                HTTP_REQUEST("GET /healthz", "")                     //
                                HTTP_REQUEST("POST /b", "Content-Length: 1\r\n") "y" //
                                HTTP_REQUEST("GET /readyz", ""));
  const char *a = strstr(answer, PUBLISHED(FIRST_ID, "a"));
  const char *health = strstr(answer, "{\"status\":\"ok\"}");
  const char *b = strstr(answer, "\"topic\":\"b\"");
  const char *ready = strstr(answer, "{\"status\":\"ready\"}");
  assert_non_null(a);
  assert_non_null(health);
  assert_non_null(b);
  assert_non_null(ready);
  assert_true(a < health && health < b && b < ready);
}

static void a_body_may_come_in_pieces(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  static const char text[] = HTTP_REQUEST("POST /a", "Content-Length: 10\r\n") "0123456789";
  for (size_t i = 0; i + 1 < sizeof text; i++) {
    assert_string_equal(peer_text(&peer), "");
    peer_write(&peer, text + i, 1);
    broker_settle(&fixture);
  }
  assert_true(http_is(peer_text(&peer), 200));
}

static void a_client_that_waits_is_told_to_continue(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  const char *answer = http_ask(
      &fixture, &peer, HTTP_REQUEST("POST /a", "Expect: 100-continue\r\nContent-Length: 1\r\n"));
  assert_string_equal(answer, "HTTP/1.1 100 Continue\r\n\r\n");
  assert_true(http_is(http_ask(&fixture, &peer, "x"), 200));
  answer = http_ask(&fixture, &peer,
                    HTTP_REQUEST("POST /a/", "Expect: 100-continue\r\nContent-Length: 1\r\n"));
  assert_true(http_is(answer, 400));
}

static void what_is_not_a_message_is_refused(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  subscribe();
  assert_true(http_is(post("/a", "", ""), 400));
  assert_true(http_is(post("/a", "", "\xff"), 400));
  assert_true(http_is(post("/a", JSON, ""), 400));
  assert_true(http_is(post("/a", JSON, "{"), 400));
  assert_true(http_is(post("/a", JSON, "null"), 400));
  assert_true(http_is(post("/a", JSON, "\"\""), 400));
  assert_false(peer.is_at_end); /* these were read to their end */
  assert_true(http_is(post("/a/%23", "", "x"), 400));
  assert_true(http_is(post("/a?ttl=soon", "", "x"), 400));
  assert_true(http_is(post("/a?ttl=-1", "", "x"), 400));
  assert_received("");
}

static void too_large_a_body_is_refused(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1", "MAX_MESSAGE_SIZE=10"));
  assert_true(http_is(post("/a", "", "0123456789"), 200));
  assert_true(
      http_is(http_ask(&fixture, &peer, HTTP_REQUEST("POST /a", "Content-Length: 11\r\n")), 413));
  assert_true(peer.is_at_end);
  const char *answer = http_ask(
      &fixture, &peer,
      HTTP_REQUEST("POST /a", "Transfer-Encoding: chunked\r\n") "8\r\n01234567\r\n3\r\n012");
  assert_true(http_is(answer, 413));
  assert_true(peer.is_at_end);
}

static void a_malformed_body_ends_the_connection(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  const char *answer = http_ask(
      &fixture, &peer,
      HTTP_REQUEST("POST /a", "Transfer-Encoding: chunked\r\n") "1\r\nxx\r\n0\r\n\r\n" HTTP_REQUEST(
          "GET /healthz", ""));
  assert_true(http_is(answer, 400));
  assert_null(strstr(answer, "ok"));
  assert_true(peer.is_at_end);
}

static void a_token_is_asked_for(void **state) {
  (void)state;
  start(ENV(NULL));
  char *may = http_authorization("{\"write\":[\"a/#\"]}");
  char *reads = http_authorization("{\"read\":[\"#\"]}");
  assert_true(http_is(post("/a/b", "", "x"), 401));
  assert_true(http_is(post("/a/b", "Authorization: Bearer x\r\n", "x"), 401));
  assert_true(http_is(post("/a/b", reads, "x"), 403));
  assert_has_text(post("/b", may, "x"), "Insufficient access to topic: b");
  assert_true(http_is(post("/a/b", may, "x"), 200));
  free(may);
  free(reads);
}

static void a_used_up_limit_tells_when_it_begins_anew(void **state) {
  (void)state;
  start(ENV(NULL));
  char *token = http_authorization(
      "{\"sub\":\"x\",\"write\":[\"a\"],\"rlimit\":[{\"topic\":\"a\",\"interval\":60,\"max\":1}]}");
  assert_true(http_is(post("/a", token, "x"), 200));
  broker_wall_ms += 3000;
  const char *answer = post("/a", token, "x");
  assert_true(http_is(answer, 429));
  /* 1700000003 is 23 s into a minute. */
  assert_has_text(answer, "\r\nRetry-After: 37\r\n");
  assert_false(peer.is_at_end);
  free(token);
}

static void a_page_of_another_origin_does_nothing(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1", "ALLOWED_ORIGINS=https://a.example"));
  subscribe();
  assert_true(http_is(post("/a", "Origin: https://b.example\r\n", "x"), 403));
  const char *answer = post("/a", "Origin: https://a.example\r\n", "x");
  assert_true(http_is(answer, 200));
  assert_has_text(answer, "\r\nAccess-Control-Allow-Origin: https://a.example\r\n");
  assert_received(MESSAGE("1", ITEM(FIRST_ID, "\"x\"", "a")));
}

static void a_stopping_server_takes_nothing(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  http_ask(&fixture, &peer, HTTP_REQUEST("POST /a", "Content-Length: 2\r\n") "x");
  atomic_store(&fixture.broker.is_draining, true);
  const char *answer = http_ask(&fixture, &peer, "y");
  assert_true(http_is(answer, 503));
  assert_has_text(answer, "\r\nRetry-After: 5\r\n");
  assert_true(http_is(post("/a", "", "x"), 503));
  assert_true(peer.is_at_end);
}

static void a_client_may_go_before_its_answer(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  subscribe();
  peer_write_text(&peer, HTTP_REQUEST("POST /a", "Content-Length: 1\r\n") "x");
  turn_workers(&fixture);
  peer_hang_up(&peer);
  broker_settle(&fixture);
  assert_received(MESSAGE("1", ITEM(FIRST_ID, "\"x\"", "a")));
  peer_close(&peer);
  peer_open(&peer, &fixture.broker.workers[0].pool);
}

/* ---- JSON-RPC ---- */

static void a_call_is_answered_as_over_websocket(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  const char *answer =
      post("/", JSON, REQUEST("7", "publish", "{\"topic\":\"a\",\"message\":[1]}"));
  assert_true(http_is(answer, 200));
  assert_has_text(answer, "\r\n\r\n" RESULT("7", PUBLISHED(FIRST_ID, "a")));
  assert_has_text(post("/", JSON, "{"), "\"code\":-32700");
  assert_has_text(post("/", JSON, "[]"), "\"code\":-32600");
  assert_has_text(post("/", JSON, REQUEST("8", "get", "{\"key\":\"k\"}")), "key not found");
}

static void a_batch_is_answered_by_one_array(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  const char *answer = post("/", JSON,
                            BATCH3(REQUEST("1", "publish", "{\"topic\":\"a\",\"message\":1}"),
                                   NOTIFICATION("publish", "{\"topic\":\"a\",\"message\":2}"),
                                   REQUEST("2", "eventlog", "{\"topic\":\"a\",\"since\":-1000}")));
  assert_has_text(answer, "\r\n\r\n[" RESULT("1", PUBLISHED(FIRST_ID, "a")) ",");
  assert_has_text(answer, ITEM(FIRST_ID, "1", "a") "," ITEM(SECOND_ID, "2", "a"));
}

static void a_long_batch_may_take_several_turns(void **state) {
  (void)state;
  enum { REQUESTS = 100 };
  start(ENV("DISABLE_AUTH=1"));
  AUTO(buf) struct buf text = BUF_INIT;
  AUTO(buf) struct buf answer = BUF_INIT;
  for (int i = 0; i < REQUESTS; i++) {
    buf_printf(&text, "%s" REQUEST("%d", "get", "{\"key\":\"%d\"}"), i == 0 ? "[" : ",", i, i);
    buf_printf(&answer, "%s" INVALID_PARAMS("%d", "KVStore: key not found"), i == 0 ? "[" : ",", i);
  }
  buf_append(&text, "]\0", 2);
  buf_append(&answer, "]\0", 2);
  for (unsigned i = 0; i < BROKER_WORKERS; i++)
    fixture.broker.workers[i].batch_share_ns = 0;
  assert_has_text(post("/", JSON, text.data), answer.data);
}

static void notifications_alone_are_answered_by_nothing(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  subscribe();
  const char *answer = post("/", JSON, NOTIFICATION("publish", "{\"topic\":\"a\",\"message\":1}"));
  assert_true(http_is(answer, 204));
  assert_received(MESSAGE("1", ITEM(FIRST_ID, "1", "a")));
  assert_false(peer.is_at_end);
}

static void what_needs_a_connection_is_not_there(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  assert_has_text(post("/", JSON, REQUEST("1", "subscribe", "{\"topic\":\"a\"}")),
                  "Only over a WebSocket is there a method named subscribe");
  assert_has_text(post("/", JSON, REQUEST("1", "disconnect", "[]")), "\"code\":-32601");
  assert_has_text(post("/", JSON, REQUEST("1", "ping", "[]")), "{\"pong\":1700000000000}");
}

static void rpc_is_json(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  assert_true(http_is(post("/", "", REQUEST("1", "ping", "[]")), 415));
  assert_true(http_is(post("/", "Content-Type: text/plain\r\n", "x"), 415));
}

#define BROKER_TEST(function) cmocka_unit_test_teardown(function, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BROKER_TEST(a_body_is_published_as_text),
      BROKER_TEST(json_is_published_as_the_value),
      BROKER_TEST(a_chunked_body_is_put_together),
      BROKER_TEST(pipelined_requests_are_answered_in_order),
      BROKER_TEST(a_body_may_come_in_pieces),
      BROKER_TEST(a_client_that_waits_is_told_to_continue),
      BROKER_TEST(what_is_not_a_message_is_refused),
      BROKER_TEST(too_large_a_body_is_refused),
      BROKER_TEST(a_malformed_body_ends_the_connection),
      BROKER_TEST(a_token_is_asked_for),
      BROKER_TEST(a_used_up_limit_tells_when_it_begins_anew),
      BROKER_TEST(a_page_of_another_origin_does_nothing),
      BROKER_TEST(a_stopping_server_takes_nothing),
      BROKER_TEST(a_client_may_go_before_its_answer),
      BROKER_TEST(a_call_is_answered_as_over_websocket),
      BROKER_TEST(a_batch_is_answered_by_one_array),
      BROKER_TEST(a_long_batch_may_take_several_turns),
      BROKER_TEST(notifications_alone_are_answered_by_nothing),
      BROKER_TEST(what_needs_a_connection_is_not_there),
      BROKER_TEST(rpc_is_json),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
