#include "eventhub/server/connection.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "connection_fixture.h"

static struct pool_fixture fixture;
static struct peer peer;

static int set_up(void **state) {
  (void)state;
  struct connection_limits limits = fixture_limits();
  pool_fixture_init(&fixture, &limits);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  pool_fixture_done(&fixture);
  peer_close(&peer);
  return 0;
}

/* ---- HTTP ---- */

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void a_request_is_answered_and_the_connection_kept(void **state) {
  (void)state;
  struct connection *connection = peer_connect(&peer, &fixture);
  peer_write_text(&peer, GET("/a"));
  settle(&fixture);
  assert_recorded(&fixture, "/a ");
  assert_non_null(strstr(peer_text(&peer), "HTTP/1.1 200 OK\r\n"));
  assert_non_null(strstr(peer_text(&peer), "\r\n\r\n/a"));
  assert_false(peer.is_at_end);
  assert_int_equal(connection->state, CONNECTION_HTTP);
  assert_null(connection->pending_input);
}

static void pipelined_requests_are_answered_in_order(void **state) {
  (void)state;
  peer_connect(&peer, &fixture);
  peer_write_text(&peer, GET("/one") GET("/two") GET("/three") "GET /fo");
  settle(&fixture);
  assert_recorded(&fixture, "/one /two /three ");
  peer_write_text(&peer, "ur HTTP/1.1\r\nHost: a\r\n\r\n");
  settle(&fixture);
  assert_recorded(&fixture, "/four ");
  const char *at = peer_text(&peer);
  const char *const bodies[] = {"\r\n\r\n/one", "\r\n\r\n/two", "\r\n\r\n/three", "\r\n\r\n/four"};
  for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
    at = strstr(at, bodies[i]);
    assert_non_null(at);
  }
  assert_int_equal(count_of(&fixture, METRIC_TOTAL_CONNECT_COUNT), 1);
}

static void a_request_that_comes_in_single_bytes_is_the_same(void **state) {
  (void)state;
  peer_connect(&peer, &fixture);
  const char *request = GET("/a") GET("/b");
  for (const char *at = request; *at != '\0'; at++) {
    peer_write(&peer, at, 1);
    settle(&fixture);
  }
  assert_recorded(&fixture, "/a /b ");
}

static void after_the_last_response_the_server_sends_its_end(void **state) {
  (void)state;
  struct connection *connection = peer_connect(&peer, &fixture);
  struct connection_ref ref = connection->ref;
  peer_write_text(&peer, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/b"));
  settle(&fixture);
  assert_recorded(&fixture, "/a ");
  assert_non_null(strstr(peer_text(&peer), "Connection: close\r\n"));
  assert_true(peer.is_at_end);
  assert_ptr_equal(connection_find(&fixture.pool, ref), connection);
  peer_hang_up(&peer);
  settle(&fixture);
  assert_null(connection_find(&fixture.pool, ref));
  assert_int_equal(fixture.closed, 1);
}

static void assert_refused(const char *request, const char *status, enum metric metric) {
  uint64_t before = count_of(&fixture, metric);
  int closed = fixture.closed;
  peer_connect(&peer, &fixture);
  peer_write_text(&peer, request);
  settle(&fixture);
  assert_true(slice_starts_with(slice_str(peer_text(&peer)), slice_str(status)));
  assert_non_null(strstr(peer_text(&peer), "\r\n\r\n{\"error\":\""));
  assert_true(peer.is_at_end);
  assert_int_equal(count_of(&fixture, metric), before + 1);
  peer_close(&peer);
  settle(&fixture);
  assert_int_equal(fixture.closed, closed + 1);
}

static void what_is_no_request_is_refused(void **state) {
  (void)state;
  assert_refused("\x16\x03\x01\x02", "HTTP/1.1 400 ", METRIC_REFUSED_MALFORMED);
  assert_refused("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 ", METRIC_REFUSED_MALFORMED);
  assert_refused("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 ", METRIC_REFUSED_MALFORMED);
  assert_recorded(&fixture, "");
}

static void a_head_without_end_is_refused(void **state) {
  (void)state;
  static char head[HTTP_HEAD_MAX + 100] = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  memset(head + strlen(head), 'x', sizeof head - 1 - strlen(head));
  assert_refused(head, "HTTP/1.1 431 ", METRIC_REFUSED_HEAD_TOO_BIG);
}

/* ---- WebSocket ---- */

static void frames_in_the_packet_of_the_request_are_not_lost(void **state) {
  (void)state;
  struct connection *connection = peer_connect(&peer, &fixture);
  buf_append_str(&peer.out, PEER_UPGRADE);
  append_text_frame(&peer.out, FIN | WS_TEXT, "echo one");
  peer_send_text(&peer, "two");
  settle(&fixture);
  assert_recorded(&fixture, "t:echo one t:two ");
  assert_int_equal(connection->state, CONNECTION_WEBSOCKET);
  peer_take_upgrade(&peer);
  assert_frames(&peer, "echo one ");
}

static void requests_and_frames_come_out_the_same_however_they_are_cut(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  buf_append_str(&bytes, GET("/a") PEER_UPGRADE);
  append_text_frame(&bytes, FIN | WS_TEXT, "echo one");
  append_text_frame(&bytes, WS_TEXT, "frag");
  append_text_frame(&bytes, FIN | WS_PING, "p");
  append_text_frame(&bytes, FIN | WS_CONTINUATION, "ment");
  for (size_t step = 1; step < bytes.len; step = step < 8 ? step + 1 : step * 2) {
    peer_connect(&peer, &fixture);
    for (size_t at = 0; at < bytes.len; at += step) {
      peer_write(&peer, bytes.data + at, bytes.len - at < step ? bytes.len - at : step);
      settle(&fixture);
    }
    assert_recorded(&fixture, "/a t:echo one t:fragment ");
    const char *upgrade = strstr(peer_text(&peer), "HTTP/1.1 101 ");
    assert_non_null(upgrade);
    buf_consume(&peer.in, (size_t)(upgrade - peer.in.data));
    peer_take_upgrade(&peer);
    assert_frames(&peer, "echo one pong:p ");
    peer_close(&peer);
    settle(&fixture);
  }
}

static void an_idle_connection_holds_nothing_but_itself(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  append_text_frame(&peer.out, WS_TEXT, "echo ");
  peer_flush(&peer);
  settle(&fixture);
  assert_true(ws_decoder_memory(&connection->decoder) > 0);
  append_text_frame(&peer.out, FIN | WS_CONTINUATION, "one");
  peer_flush(&peer);
  settle(&fixture);
  assert_frames(&peer, "echo one ");
  assert_int_equal(ws_decoder_memory(&connection->decoder), 0);
  assert_null(connection->pending_input);
  assert_null(connection->out.head.chunk);
  assert_null(connection->out.rest);
}

static void a_ping_is_answered_with_what_it_carried(void **state) {
  (void)state;
  peer_connect_ws(&peer, &fixture);
  peer_send(&peer, WS_PING, SLICE("hello"));
  peer_send(&peer, WS_PONG, SLICE("nobody asked"));
  peer_send(&peer, WS_PING, SLICE(""));
  settle(&fixture);
  assert_frames(&peer, "pong:hello pong: ");
  assert_recorded(&fixture, "");
}

static void text_and_binary_are_told_apart(void **state) {
  (void)state;
  peer_connect_ws(&peer, &fixture);
  peer_send(&peer, WS_BINARY, SLICE("echo b"));
  peer_send(&peer, WS_TEXT, SLICE(""));
  settle(&fixture);
  assert_recorded(&fixture, "b:echo b t: ");
  assert_int_equal(count_of(&fixture, METRIC_MESSAGES_RECEIVED), 2);
  peer_read(&peer);
  assert_int_equal((unsigned char)peer.in.data[0], FIN | WS_BINARY);
}

static void the_frames_of_a_turn_leave_together(void **state) {
  (void)state;
  peer_connect_ws(&peer, &fixture);
  for (int i = 0; i < 50; i++)
    append_text_frame(&peer.out, FIN | WS_TEXT, "echo");
  peer_flush(&peer);
  turn(&fixture.loop);
  peer_read(&peer);
  assert_int_equal(peer.in.len, 50 * 6);
}

/* ---- names ---- */

static void a_name_never_means_another_connection(void **state) {
  (void)state;
  struct connection_ref old = peer_connect(&peer, &fixture)->ref;
  peer_close(&peer);
  settle(&fixture);
  assert_null(connection_find(&fixture.pool, old));
  struct connection *next = peer_connect(&peer, &fixture);
  assert_int_equal(next->ref.slot, old.slot);
  assert_int_not_equal(next->ref.generation, old.generation);
  assert_null(connection_find(&fixture.pool, old));
  assert_ptr_equal(connection_find(&fixture.pool, next->ref), next);
  assert_null(connection_find(&fixture.pool, (struct connection_ref){.slot = 1000}));
}

static void many_connections_have_names_of_their_own(void **state) {
  (void)state;
  enum { MANY = 150 };
  static struct peer peers[MANY];
  static struct connection *connections[MANY];
  for (int i = 0; i < MANY; i++)
    connections[i] = peer_connect(&peers[i], &fixture);
  for (int i = 0; i < MANY; i++)
    assert_ptr_equal(connection_find(&fixture.pool, connections[i]->ref), connections[i]);
  assert_int_equal(count_of(&fixture, METRIC_CURRENT_CONNECTIONS_COUNT), MANY);
  for (int i = 0; i < MANY; i++)
    peer_close(&peers[i]);
  settle(&fixture);
  assert_int_equal(fixture.closed, MANY);
  assert_int_equal(count_of(&fixture, METRIC_CURRENT_CONNECTIONS_COUNT), 0);
  assert_int_equal(count_of(&fixture, METRIC_TOTAL_DISCONNECT_COUNT), MANY);
}

static void assert_peer_text(const struct sockaddr_storage *address, const char *expected) {
  int fds[2];
  char text[64];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  struct connection *connection = connection_open(&fixture.pool, fds[0], address, NULL);
  connection_peer_text(connection, text, sizeof text);
  assert_string_equal(text, expected);
  close(fds[1]);
}

static void the_peer_s_address_is_told(void **state) {
  (void)state;
  struct sockaddr_storage storage = {0};
  struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
  v4->sin_family = AF_INET;
  inet_pton(AF_INET, "192.0.2.1", &v4->sin_addr);
  assert_peer_text(&storage, "192.0.2.1");
  v6->sin6_family = AF_INET6;
  inet_pton(AF_INET6, "2001:db8::1", &v6->sin6_addr);
  assert_peer_text(&storage, "2001:db8::1");
  inet_pton(AF_INET6, "::ffff:192.0.2.7", &v6->sin6_addr);
  assert_peer_text(&storage, "192.0.2.7");
}

#define POOL_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      POOL_TEST(a_request_is_answered_and_the_connection_kept),
      POOL_TEST(pipelined_requests_are_answered_in_order),
      POOL_TEST(a_request_that_comes_in_single_bytes_is_the_same),
      POOL_TEST(after_the_last_response_the_server_sends_its_end),
      POOL_TEST(what_is_no_request_is_refused),
      POOL_TEST(a_head_without_end_is_refused),
      POOL_TEST(frames_in_the_packet_of_the_request_are_not_lost),
      POOL_TEST(requests_and_frames_come_out_the_same_however_they_are_cut),
      POOL_TEST(an_idle_connection_holds_nothing_but_itself),
      POOL_TEST(a_ping_is_answered_with_what_it_carried),
      POOL_TEST(text_and_binary_are_told_apart),
      POOL_TEST(the_frames_of_a_turn_leave_together),
      POOL_TEST(a_name_never_means_another_connection),
      POOL_TEST(many_connections_have_names_of_their_own),
      POOL_TEST(the_peer_s_address_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
