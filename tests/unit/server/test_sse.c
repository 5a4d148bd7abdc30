#include "eventhub/server/sse.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "http_client.h"

static struct broker_fixture fixture;
static struct peer peer, publisher;

static void start(const char *const *env) {
  broker_fixture_init(&fixture, env);
  peer_open(&peer, &fixture.broker.workers[0].pool);
  client_connect(&publisher, &fixture, 1);
}

static int tear_down(void **state) {
  (void)state;
  broker_fixture_done(&fixture);
  peer_close(&peer);
  peer_close(&publisher);
  return 0;
}

static void publish(const char *topic, const char *message) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_printf(&text, REQUEST("1", "publish", "{\"topic\":\"%s\",\"message\":%s}"), topic, message);
  client_ask(&fixture, &publisher, text.data);
  buf_clear(&publisher.in);
}

#define EVENTS          "Accept: text/event-stream\r\n"
#define STREAM(target)  HTTP_REQUEST("GET " target, EVENTS)
#define EVENT(id, data) "id: 1700000000000-" id "\ndata: " data "\n\n"

/* Opens a stream; what has come behind the retry hint. */
static const char *listen_with(const char *request) {
  static const char start[] = "\r\n\r\n:ok\n\nretry: ";
  const char *answer = http_ask(&fixture, &peer, request);
  assert_true(http_is(answer, 200));
  const char *body = strstr(answer, start);
  assert_non_null(body);
  return strstr(body + strlen(start), "\n\n") + 2;
}

static const char *next(void) {
  buf_clear(&peer.in);
  broker_settle(&fixture);
  return peer_text(&peer);
}

static void messages_come_as_events(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  assert_string_equal(listen_with(STREAM("/a/b")), "");
  publish("a/b", "\"hello\"");
  publish("a/c", "\"other\"");
  publish("a/b", "{\"x\": 1}");
  assert_string_equal(next(), EVENT("0", "hello") EVENT("2", "{\"x\": 1}"));
}

static void a_client_says_that_it_wants_events(void **state) {
  (void)state;
  static const char *const accepted[] = {
      HTTP_REQUEST("GET /a", "Accept: text/html, Text/Event-Stream;q=0.5\r\n"),
      HTTP_REQUEST("GET /a", "Accept: text/html\r\nAccept:text/event-stream ; x=y\r\n"),
  };
  static const char *const refused[] = {
      HTTP_REQUEST("GET /a", ""),
      HTTP_REQUEST("GET /a", "Accept: */*\r\n"),
      HTTP_REQUEST("GET /a", "Accept: text/event-stream2, text/*\r\n"),
  };
  start(ENV("DISABLE_AUTH=1"));
  for (size_t i = 0; i < ARRAY_LEN(refused); i++)
    assert_true(http_is(http_ask(&fixture, &peer, refused[i]), 404));
  for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
    peer_close(&peer);
    broker_settle(&fixture);
    peer_open(&peer, &fixture.broker.workers[0].pool);
    listen_with(accepted[i]);
  }
}

static void patterns_are_escaped(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  listen_with(STREAM("/a/+/%23"));
  publish("a/b", "1");
  publish("a", "2");
  assert_string_equal(next(), EVENT("0", "1"));
}

/* Each kind of line end is one for the client, so none can start a field of its own. */
static void a_message_cannot_forge_a_field(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  listen_with(STREAM("/a"));
  publish("a", "\"1\\nid: 7\\r\\ndata: 2\\r\\n\\n3\"");
  assert_string_equal(next(), "id: 1700000000000-0\ndata: 1\ndata: id: 7\ndata: data: 2\ndata: "
                              "\ndata: 3\n\n");
}

static void json_tells_topic_and_origin(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  listen_with(STREAM("/%23?format=json"));
  publish("a/b", "\"x\"");
  assert_string_equal(next(), EVENT("0", ITEM("1700000000000-0", "\"x\"", "a/b")));
}

static void history_comes_first(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  publish("a", "1");
  publish("a", "2");
  assert_string_equal(listen_with(STREAM("/a?since=-1000")), EVENT("0", "1") EVENT("1", "2"));
  publish("a", "3");
  assert_string_equal(next(), EVENT("2", "3"));
}

/* The next connection: the one before stays open. */
static void change_peer(void) {
  peer_close(&peer);
  broker_settle(&fixture);
  peer_open(&peer, &fixture.broker.workers[0].pool);
}

static void the_last_id_may_come_in_many_ways(void **state) {
  (void)state;
  static const char *const requests[] = {
      HTTP_REQUEST("GET /a", EVENTS "Last-Event-ID: 1700000000000-0\r\n"),
      HTTP_REQUEST("GET /a?lastEventId=1700000000000-2",
                   EVENTS "Last-Event-ID: 1700000000000-0\r\n"),
      STREAM("/a?lastEventId=1700000000000-0"),
      STREAM("/a?since=1700000000000-0"),
      STREAM("/a?since=-1000&limit=1"),
  };
  start(ENV("DISABLE_AUTH=1"));
  publish("a", "1");
  publish("a", "2");
  for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
    const char *gap = i + 1 == ARRAY_LEN(requests) ? "event: gap\ndata: {\"topic\":\"a\"}\n\n" : "";
    AUTO(buf) struct buf expected = BUF_INIT;
    buf_printf(&expected, "%s" EVENT("1", "2"), gap);
    assert_string_equal(listen_with(requests[i]), expected.data);
    change_peer();
  }
}

static void what_is_asked_wrongly_is_refused(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  assert_true(http_is(http_ask(&fixture, &peer, STREAM("/")), 400));
  assert_true(http_is(http_ask(&fixture, &peer, STREAM("/a/")), 400));
  assert_true(http_is(http_ask(&fixture, &peer, STREAM("/a?since=x")), 400));
  assert_true(http_is(http_ask(&fixture, &peer, STREAM("/a?lastEventId=x")), 400));
  assert_true(http_is(http_ask(&fixture, &peer, STREAM("/a?limit=-1")), 400));
  assert_true(http_is(http_ask(&fixture, &peer, STREAM("/a?format=xml")), 400));
}

static void a_token_is_asked_for_and_ends_the_stream(void **state) {
  (void)state;
  broker_fixture_init(&fixture, ENV(NULL));
  peer_open(&peer, &fixture.broker.workers[0].pool);
  client_connect_as(&publisher, &fixture, 1, "{\"write\":[\"#\"]}");
  assert_true(http_is(http_ask(&fixture, &peer, STREAM("/a")), 401));
  char *token = make_token("{\"read\":[\"a/+\"],\"exp\":1700000010}");
  AUTO(buf) struct buf request = BUF_INIT;
  buf_printf(&request, STREAM("/a/%%23?auth=%s"), token);
  assert_true(http_is(http_ask(&fixture, &peer, request.data), 403));
  buf_clear(&request);
  buf_printf(&request, STREAM("/a/b?auth=%s"), token);
  listen_with(request.data);
  publish("a/b", "1");
  assert_string_equal(next(), EVENT("0", "1"));
  session_expire(fixture.broker.workers[0].pool.slots[0]->session);
  assert_string_equal(next(), ": the token has expired\n\n");
  assert_true(peer.is_at_end);
  free(token);
}

static void streams_take_places(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1", "MAX_CONNECTIONS=2"));
  listen_with(STREAM("/a"));
  static struct peer third;
  peer_open(&third, &fixture.broker.workers[0].pool);
  const char *answer = http_ask(&fixture, &third, STREAM("/a"));
  assert_true(http_is(answer, 503));
  assert_has_text(answer, "\r\nRetry-After: 5\r\n");
  assert_int_equal(metrics_get(&fixture.broker.workers[0].metrics, METRIC_SSE_STREAMS), 1);
  peer_hang_up(&peer);
  broker_settle(&fixture);
  assert_int_equal(metrics_get(&fixture.broker.workers[0].metrics, METRIC_SSE_STREAMS), 0);
  assert_true(http_is(http_ask(&fixture, &third, STREAM("/a")), 200));
  peer_close(&third);
  change_peer();
}

static void a_stopping_server_lets_clients_try_again(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  atomic_store(&fixture.broker.is_draining, true);
  const char *answer = http_ask(&fixture, &peer, STREAM("/a"));
  assert_true(http_is(answer, 200));
  assert_has_text(answer, "\r\n\r\nretry: ");
  assert_has_text(answer, "\n\n: the server is stopping\n\n");
  assert_true(peer.is_at_end);
}

static void head_opens_no_stream(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  const char *answer = http_ask(&fixture, &peer, HTTP_REQUEST("HEAD /a", EVENTS));
  assert_true(http_is(answer, 200));
  assert_has_text(answer, "Content-Type: text/event-stream\r\n");
  assert_int_equal(metrics_get(&fixture.broker.workers[0].metrics, METRIC_SSE_STREAMS), 0);
}

/* A browser sends nothing; whoever does is not listened to. */
static void what_a_client_sends_is_not_looked_at(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  listen_with(STREAM("/a"));
  assert_string_equal(http_ask(&fixture, &peer, HTTP_REQUEST("GET /healthz", "")), "");
  publish("a", "1");
  assert_string_equal(next(), EVENT("0", "1"));
}

static void a_slow_client_loses_its_stream_between_events(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1", "MAX_SEND_QUEUE=200000"));
  AUTO(buf) struct buf message = BUF_INIT;
  listen_with(STREAM("/a"));
  buf_append_char(&message, '"');
  memset(buf_reserve(&message, 100000), 'x', 100000);
  buf_commit(&message, 100000);
  buf_append(&message, "\"", 2);
  for (int i = 0; i < 20; i++)
    publish("a", message.data);
  assert_int_equal(metrics_get(&fixture.broker.workers[0].metrics, METRIC_SLOW_CONSUMERS), 1);
  buf_clear(&peer.in);
  do {
    broker_settle(&fixture);
  } while (peer_read_some(&peer, SIZE_MAX) > 0);
  buf_append_char(&peer.in, '\0');
  assert_has_text(peer.in.data, "x\n\n: the client reads too slowly\n\n");
  assert_true(peer.is_at_end);
}

#define BROKER_TEST(function) cmocka_unit_test_teardown(function, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BROKER_TEST(messages_come_as_events),
      BROKER_TEST(a_client_says_that_it_wants_events),
      BROKER_TEST(patterns_are_escaped),
      BROKER_TEST(a_message_cannot_forge_a_field),
      BROKER_TEST(json_tells_topic_and_origin),
      BROKER_TEST(history_comes_first),
      BROKER_TEST(the_last_id_may_come_in_many_ways),
      BROKER_TEST(what_is_asked_wrongly_is_refused),
      BROKER_TEST(a_token_is_asked_for_and_ends_the_stream),
      BROKER_TEST(streams_take_places),
      BROKER_TEST(a_stopping_server_lets_clients_try_again),
      BROKER_TEST(head_opens_no_stream),
      BROKER_TEST(what_a_client_sends_is_not_looked_at),
      BROKER_TEST(a_slow_client_loses_its_stream_between_events),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
