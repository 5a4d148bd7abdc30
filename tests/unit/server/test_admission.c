#include "eventhub/server/admission.h"

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
}

static int tear_down(void **state) {
  (void)state;
  broker_fixture_done(&fixture);
  peer_close(&peer);
  return 0;
}

static void start_with_tokens(void) {
  start(ENV("JWT_SECRET=" BROKER_SECRET));
}

static uint64_t count_of(enum metric metric) {
  return metrics_get(&fixture.broker.workers[0].metrics, metric);
}

/* Everybody who knocked with these, and with the next ones, has left. */
static void leave(void) {
  peer_close(&peer);
  broker_settle(&fixture);
}

static void assert_admitted(const char *target, const char *headers) {
  const struct connection *connection = client_knock(&peer, &fixture, 0, target, headers);
  assert_int_equal(connection->state, CONNECTION_WEBSOCKET);
  assert_non_null(connection->session);
  assert_int_equal(atomic_load(&fixture.broker.sessions), 1);
  peer_take_upgrade(&peer);
  leave();
  assert_int_equal(atomic_load(&fixture.broker.sessions), 0);
}

/* `answer` stands somewhere in it. */
static void assert_refused(const char *target, const char *headers, const char *status,
                           const char *answer) {
  client_knock(&peer, &fixture, 0, target, headers);
  const char *text = peer_text(&peer);
  assert_true(slice_starts_with(slice_str(text), slice_str(status)));
  assert_non_null(strstr(text, answer));
  assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
  assert_non_null(strstr(text, "\r\n\r\n{\"error\":\""));
  assert_true(peer.is_at_end);
  assert_int_equal(atomic_load(&fixture.broker.sessions), 0);
  leave();
}

static void without_authentication_everybody_comes_in(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  assert_admitted("/", "");
  assert_admitted("/any/path?auth=nonsense", "Authorization: nonsense\r\n");
}

/* ---- tokens ---- */

#define CLAIMS "{\"sub\":\"me\",\"read\":[\"a\"]}"

static void a_token_may_come_in_four_places(void **state) {
  (void)state;
  start_with_tokens();
  static const struct {
    const char *target, *headers;
  } places[] = {
      {"/", "Authorization: %s\r\n"},
      {"/", "Authorization: Bearer %s\r\n"},
      {"/", "authorization: bEARER  %s\r\n"},
      {"/?auth=%s", ""},
      {"/?x=1&auth=%s&auth=x", ""},
      {"/", "Sec-WebSocket-Protocol: eventhub.v1, eventhub.auth.%s\r\n"},
      {"/?auth=undefined", "Sec-WebSocket-Protocol: eventhub.auth.%s, eventhub.v1\r\n"},
  };
  AUTO(mem) char *token = make_token(CLAIMS);
  for (size_t i = 0; i < ARRAY_LEN(places); i++) {
    char target[1000], headers[1000];
    /* Each has the token in one of the two. */
    const char *at = strstr(places[i].target, "%s"), *in = strstr(places[i].headers, "%s");
    snprintf(target, sizeof target, "%.*s%s%s", (int)(at ? at - places[i].target : 999),
             places[i].target, at ? token : "", at ? at + 2 : "");
    snprintf(headers, sizeof headers, "%.*s%s%s", (int)(in ? in - places[i].headers : 999),
             places[i].headers, in ? token : "", in ? in + 2 : "");
    assert_admitted(target, headers);
  }
}

static void the_first_place_with_a_token_counts(void **state) {
  (void)state;
  start_with_tokens();
  AUTO(mem) char *token = make_token(CLAIMS);
  AUTO(buf) struct buf target = BUF_INIT;
  buf_printf(&target, "/?auth=%s", token);
  assert_refused(target.data, "Authorization: Bearer nonsense\r\n", "HTTP/1.1 401 ",
                 "the token does not verify");
  assert_admitted(target.data, "Authorization: \r\n");
}

static void the_token_is_never_sent_back(void **state) {
  (void)state;
  start_with_tokens();
  AUTO(mem) char *token = make_token(CLAIMS);
  AUTO(buf) struct buf headers = BUF_INIT;
  buf_printf(&headers, "Sec-WebSocket-Protocol: eventhub.auth.%s, eventhub.v1\r\n", token);
  client_knock(&peer, &fixture, 0, "/", headers.data);
  assert_non_null(strstr(peer_text(&peer), "Sec-WebSocket-Protocol: eventhub.v1\r\n"));
  assert_null(strstr(peer_text(&peer), token));
}

static void who_has_no_good_token_is_refused(void **state) {
  (void)state;
  start_with_tokens();
  static const struct {
    const char *claims, *answer;
  } rows[] = {
      {"{\"read\":[\"a\"],\"exp\":1700000000}", "the token has expired"},
      {"{\"read\":[\"a\"],\"nbf\":1700000001}", "the token is not valid yet"},
      {"{\"read\":[\"/\"]}", "has no valid entry in read or write"},
  };
  for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
    AUTO(mem) char *token = make_token(rows[i].claims);
    AUTO(buf) struct buf target = BUF_INIT;
    buf_printf(&target, "/?auth=%s", token);
    assert_refused(target.data, "", "HTTP/1.1 401 ", rows[i].answer);
  }
  assert_refused("/", "", "HTTP/1.1 401 ", "a token is needed");
  assert_refused("/?auth=undefined", "", "HTTP/1.1 401 ", "a token is needed");
  assert_refused("/?auth=", "", "HTTP/1.1 401 ", "a token is needed");
  assert_refused("/?auth=a.b.c", "", "HTTP/1.1 401 ", "the token does not verify");
  assert_int_equal(count_of(METRIC_REFUSED_UNAUTHORIZED), 7);
}

/* ---- origins ---- */

static void origins_that_are_not_allowed_are_refused(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1", "ALLOWED_ORIGINS=https://a.example,https://b.example"));
  assert_admitted("/", "");
  assert_admitted("/", "Origin: https://a.example\r\n");
  assert_admitted("/", "Origin: HTTPS://B.example\r\n");
  assert_refused("/", "Origin: https://a.example.evil.example\r\n", "HTTP/1.1 403 ",
                 "this origin is not allowed");
  assert_refused("/", "Origin: null\r\n", "HTTP/1.1 403 ", "this origin is not allowed");
  assert_refused("/", "Origin:\r\n", "HTTP/1.1 403 ", "this origin is not allowed");
  assert_int_equal(count_of(METRIC_REFUSED_ORIGIN), 3);
}

/* ---- room ---- */

static void there_is_room_for_so_many(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1", "MAX_CONNECTIONS=2"));
  static struct peer others[2];
  client_connect(&others[0], &fixture, 0);
  client_connect(&others[1], &fixture, 1);
  client_knock(&peer, &fixture, 0, "/", "");
  assert_true(slice_starts_with(slice_str(peer_text(&peer)), SLICE("HTTP/1.1 503 ")));
  assert_non_null(strstr(peer_text(&peer), "\r\nRetry-After: 5\r\n"));
  assert_int_equal(count_of(METRIC_REFUSED_CONNECTION_LIMIT), 1);
  assert_int_equal(atomic_load(&fixture.broker.sessions), 2);
  leave();
  peer_close(&others[1]);
  broker_settle(&fixture);
  client_connect(&peer, &fixture, 0);
  peer_close(&others[0]);
}

static void a_server_that_stops_takes_nobody_in(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  atomic_store(&fixture.broker.is_draining, true);
  assert_refused("/", "", "HTTP/1.1 503 ", "the server is stopping");
  assert_refused("/", "", "HTTP/1.1 503 ", "\r\nRetry-After: 5\r\n");
  assert_int_equal(count_of(METRIC_REFUSED_DRAINING), 2);
}

/* ---- malformed ---- */

static void assert_answered(const char *request, const char *status, const char *answer) {
  peer_open(&peer, &fixture.broker.workers[0].pool);
  peer_write_text(&peer, request);
  broker_settle(&fixture);
  assert_true(slice_starts_with(slice_str(peer_text(&peer)), slice_str(status)));
  assert_non_null(strstr(peer_text(&peer), answer));
  leave();
}

static void what_is_malformed_is_refused_before_anything_else(void **state) {
  (void)state;
  start(ENV("JWT_SECRET=x", "ALLOWED_ORIGINS=https://a.example"));
  assert_answered("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Origin: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
                  "HTTP/1.1 400 ", "{\"error\":\"");
  assert_answered("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                  "HTTP/1.1 426 ", "\r\nSec-WebSocket-Version: 13\r\n");
  /* One that only nearly asks for a WebSocket is told what is missing. */
  assert_answered(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      "HTTP/1.1 400 ", "{\"error\":\"");
  assert_int_equal(count_of(METRIC_REFUSED_MALFORMED), 2);
  assert_int_equal(count_of(METRIC_REFUSED_VERSION), 1);
}

#define BROKER_TEST(function) cmocka_unit_test_teardown(function, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BROKER_TEST(without_authentication_everybody_comes_in),
      BROKER_TEST(a_token_may_come_in_four_places),
      BROKER_TEST(the_first_place_with_a_token_counts),
      BROKER_TEST(the_token_is_never_sent_back),
      BROKER_TEST(who_has_no_good_token_is_refused),
      BROKER_TEST(origins_that_are_not_allowed_are_refused),
      BROKER_TEST(there_is_room_for_so_many),
      BROKER_TEST(a_server_that_stops_takes_nobody_in),
      BROKER_TEST(what_is_malformed_is_refused_before_anything_else),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
