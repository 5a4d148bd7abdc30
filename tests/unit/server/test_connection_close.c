#include "eventhub/server/connection.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "connection_fixture.h"

/* Every way in which a connection ends. */

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

/* A connection that has sent its end and waits for the peer's. */
static void assert_waits_for_the_peer(void) {
  peer_read(&peer);
  assert_true(peer.is_at_end);
  assert_int_equal(fixture.closed, 0);
}

static void assert_ends_with_the_peer(void) {
  peer_hang_up(&peer);
  settle(&fixture);
  assert_int_equal(fixture.closed, 1);
}

/* ---- the peer closes ---- */

static void a_close_frame_is_answered_with_its_code(void **state) {
  (void)state;
  peer_connect_ws(&peer, &fixture);
  peer_send(&peer, WS_CLOSE, SLICE("\x0f\xa0\x62ye"));
  settle(&fixture);
  assert_frames(&peer, "close:4000 ");
  assert_waits_for_the_peer();
  assert_ends_with_the_peer();
}

static void a_close_frame_without_a_code_is_answered_without(void **state) {
  (void)state;
  peer_connect_ws(&peer, &fixture);
  peer_send(&peer, WS_CLOSE, SLICE(""));
  settle(&fixture);
  assert_frames(&peer, "close: ");
  assert_waits_for_the_peer();
  assert_ends_with_the_peer();
}

static void what_comes_behind_a_close_frame_is_not_looked_at(void **state) {
  (void)state;
  peer_connect_ws(&peer, &fixture);
  append_text_frame(&peer.out, FIN | WS_TEXT, "before");
  append_text_frame(&peer.out, FIN | WS_CLOSE, "\x03\xe8");
  append_text_frame(&peer.out, FIN | WS_TEXT, "behind");
  peer_write(&peer, "\xff\xff", 2);
  settle(&fixture);
  peer_send_text(&peer, "later");
  settle(&fixture);
  assert_recorded(&fixture, "t:before ");
  assert_frames(&peer, "close:1000 ");
  assert_ends_with_the_peer();
}

static void an_end_without_a_close_frame_ends_the_connection(void **state) {
  (void)state;
  peer_connect_ws(&peer, &fixture);
  peer_hang_up(&peer);
  settle(&fixture);
  assert_int_equal(fixture.closed, 1);
}

static void what_came_before_the_end_is_handled(void **state) {
  (void)state;
  peer_connect_ws(&peer, &fixture);
  peer_send_text(&peer, "one");
  peer_send_text(&peer, "two");
  peer_hang_up(&peer);
  settle(&fixture);
  assert_recorded(&fixture, "t:one t:two ");
  assert_int_equal(fixture.closed, 1);
}

static void a_half_closed_peer_gets_its_answers(void **state) {
  (void)state;
  peer_connect(&peer, &fixture);
  peer_write_text(&peer, "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
  shutdown(peer.fd, SHUT_WR);
  settle(&fixture);
  assert_recorded(&fixture, "/a /b ");
  assert_non_null(strstr(peer_text(&peer), "\r\n\r\n/b"));
  assert_true(peer.is_at_end);
  assert_int_equal(fixture.closed, 1);
}

static void a_half_closed_peer_that_reads_slowly_gets_all_of_it(void **state) {
  (void)state;
  int size = 1;
  fixture.response_padding = 100000;
  struct connection *connection = peer_connect(&peer, &fixture);
  setsockopt(connection->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  peer_write_text(&peer, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
  shutdown(peer.fd, SHUT_WR);
  settle(&fixture);
  assert_int_equal(fixture.closed, 0);
  while (!peer.is_at_end) {
    peer_read(&peer);
    settle(&fixture);
  }
  assert_true(peer.in.len > 100000);
  assert_false(peer.is_reset);
  assert_int_equal(fixture.closed, 1);
}

static int tcp_pair(int fds[2]) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t len = sizeof address;
  int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listening, (struct sockaddr *)&address, len) != 0 || listen(listening, 1) != 0 ||
      getsockname(listening, (struct sockaddr *)&address, &len) != 0) {
    return -1;
  }
  fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fds[1], (struct sockaddr *)&address, len) != 0) return -1;
  fds[0] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  close(listening);
  return fds[0] < 0 ? -1 : 0;
}

static void a_reset_ends_the_connection(void **state) {
  (void)state;
  int fds[2] = {-1, -1};
  assert_int_equal(tcp_pair(fds), 0);
  peer_init(&peer, fds[1]);
  struct connection *connection = connection_open(&fixture.pool, fds[0], &peer.address, NULL);
  peer_write_text(&peer, PEER_UPGRADE);
  while (connection->state == CONNECTION_HTTP)
    turn_and_wait(&fixture.loop);
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  peer_hang_up(&peer);
  while (fixture.closed == 0)
    turn_and_wait(&fixture.loop);
}

static void a_peer_that_is_gone_when_we_send_ends_the_connection(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  peer_hang_up(&peer);
  connection_send(connection, WS_TEXT, SLICE("x"));
  connection_pool_flush(&fixture.pool);
  assert_int_equal(fixture.closed, 1);
}

/* ---- we close ---- */

static void our_close_frame_stands_behind_what_is_queued(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  connection_send(connection, WS_TEXT, SLICE("one"));
  connection_close(connection, WS_CLOSE_GOING_AWAY, SLICE("going"));
  connection_send(connection, WS_TEXT, SLICE("two"));
  settle(&fixture);
  assert_frames(&peer, "one close:1001,going ");
  assert_false(peer.is_at_end); /* it may still answer */
  peer_send_close(&peer, WS_CLOSE_GOING_AWAY);
  settle(&fixture);
  assert_frames(&peer, "");
  assert_waits_for_the_peer();
  assert_ends_with_the_peer();
  assert_int_equal(count_of(&fixture, METRIC_CLOSED_1001), 1);
}

static void messages_that_cross_our_close_frame_are_not_handled(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  connection_close(connection, WS_CLOSE_NORMAL, SLICE(""));
  peer_send_text(&peer, "crossing");
  peer_send(&peer, WS_PING, SLICE("crossing"));
  peer_send_close(&peer, WS_CLOSE_NORMAL);
  settle(&fixture);
  assert_recorded(&fixture, "");
  assert_frames(&peer, "close:1000 ");
  assert_waits_for_the_peer();
  assert_ends_with_the_peer();
}

static void nonsense_in_answer_to_our_close_frame_ends_it_too(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  connection_close(connection, WS_CLOSE_NORMAL, SLICE(""));
  settle(&fixture);
  assert_frames(&peer, "close:1000 ");
  peer_write(&peer, "\xff\xff\xff\xff", 4);
  settle(&fixture);
  assert_waits_for_the_peer();
  assert_ends_with_the_peer();
}

static void closing_twice_sends_one_frame(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  connection_close(connection, WS_CLOSE_NORMAL, SLICE("first"));
  connection_close(connection, WS_CLOSE_POLICY, SLICE("second"));
  settle(&fixture);
  connection_close(connection, WS_CLOSE_POLICY, SLICE("third"));
  settle(&fixture);
  assert_frames(&peer, "close:1000,first ");
  assert_ends_with_the_peer();
}

static void a_long_reason_is_cut(void **state) {
  (void)state;
  char reason[200], expected[200];
  memset(reason, 'r', sizeof reason);
  snprintf(expected, sizeof expected, "close:1000,%.123s ", reason);
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  connection_close(connection, WS_CLOSE_NORMAL, slice_of(reason, sizeof reason));
  settle(&fixture);
  assert_frames(&peer, expected);
}

static void a_connection_that_is_no_websocket_yet_just_ends(void **state) {
  (void)state;
  struct connection *connection = peer_connect(&peer, &fixture);
  connection_close(connection, WS_CLOSE_GOING_AWAY, SLICE("going"));
  settle(&fixture);
  assert_int_equal(peer.in.len, 0);
  assert_waits_for_the_peer();
  assert_ends_with_the_peer();
}

/* The deadline that the connection waits for comes now. */
static void let_time_pass(struct connection *connection, const struct deadline_list *list) {
  assert_ptr_equal(list_first(&list->items), &connection->deadline.link);
  connection->deadline.at_ms = 0;
  turn(&fixture.loop);
}

static void who_does_not_answer_our_close_frame_is_dropped_in_time(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  connection_close(connection, WS_CLOSE_NORMAL, SLICE(""));
  settle(&fixture);
  assert_frames(&peer, "close:1000 ");
  assert_false(peer.is_at_end);
  let_time_pass(connection, &fixture.pool.closings);
  assert_int_equal(fixture.closed, 1);
}

static void who_does_not_send_its_end_is_dropped_in_time(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  peer_send_close(&peer, WS_CLOSE_NORMAL);
  settle(&fixture);
  assert_frames(&peer, "close:1000 ");
  assert_waits_for_the_peer();
  let_time_pass(connection, &fixture.pool.lingers);
  assert_int_equal(fixture.closed, 1);
}

/* ---- failures ---- */

static void assert_fails(const char *bytes, size_t len, const char *frames) {
  int closed = fixture.closed;
  peer_connect_ws(&peer, &fixture);
  peer_write(&peer, bytes, len);
  settle(&fixture);
  peer_write(&peer, bytes, len);
  settle(&fixture);
  assert_frames(&peer, frames);
  assert_true(peer.is_at_end); /* without waiting for a close frame */
  assert_false(peer.is_reset);
  peer_close(&peer);
  settle(&fixture);
  assert_int_equal(fixture.closed, closed + 1);
}

static void bad_frames_end_with_their_code(void **state) {
  (void)state;
  assert_fails("\x81\x01x", 3, "close:1002,invalid frame ");
  assert_fails("\xf1\x80", 2, "close:1002,invalid frame ");
  assert_fails("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14,
               "close:1009,message too big ");
  assert_fails("\x81\xff\0\0\0\0\0\x10\0\x01\0\0\0\0", 14, "close:1009,message too big ");
  assert_fails("\x81\x81\0\0\0\0\xff", 7, "close:1007,text is not UTF-8 ");
  assert_fails("\x88\x81\0\0\0\0\x03", 7, "close:1002,invalid close frame ");
  assert_recorded(&fixture, "");
  assert_int_equal(count_of(&fixture, METRIC_CLOSED_1002), 3);
}

static void binary_is_refused_where_it_is_not_allowed(void **state) {
  (void)state;
  fixture.pool.limits.message.allow_binary = false;
  assert_fails("\x82\x80\0\0\0\0", 6, "close:1003,binary data ");
}

/* ---- inside a callback ---- */

static void dropping_itself_in_a_message_is_the_end_of_input(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  append_text_frame(&peer.out, FIN | WS_TEXT, "echo");
  append_text_frame(&peer.out, FIN | WS_TEXT, "drop");
  peer_send_text(&peer, "behind");
  turn(&fixture.loop);
  assert_recorded(&fixture, "t:echo t:drop ");
  assert_int_equal(fixture.closed, 1);
  assert_null(connection_find(&fixture.pool, (struct connection_ref){0, 0}));
  (void)connection;
}

static void pausing_and_dropping_keeps_no_input(void **state) {
  (void)state;
  peer_connect_ws(&peer, &fixture);
  append_text_frame(&peer.out, FIN | WS_TEXT, "both");
  peer_send_text(&peer, "behind");
  settle(&fixture);
  assert_recorded(&fixture, "t:both ");
  assert_int_equal(fixture.closed, 1);
}

static void closing_in_a_message_is_the_end_of_messages(void **state) {
  (void)state;
  peer_connect_ws(&peer, &fixture);
  append_text_frame(&peer.out, FIN | WS_TEXT, "close");
  append_text_frame(&peer.out, FIN | WS_TEXT, "behind");
  append_text_frame(&peer.out, FIN | WS_CLOSE, "\x03\xe8");
  peer_flush(&peer);
  settle(&fixture);
  assert_recorded(&fixture, "t:close ");
  assert_frames(&peer, "close:1000,bye ");
  assert_waits_for_the_peer();
  assert_ends_with_the_peer();
}

static void a_connection_stays_valid_until_the_end_of_the_turn(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  struct connection_ref ref = connection->ref;
  connection_drop(connection);
  connection_drop(connection);
  assert_null(connection_find(&fixture.pool, ref));
  connection_send(connection, WS_TEXT, SLICE("x"));
  connection_close(connection, WS_CLOSE_NORMAL, SLICE(""));
  connection_pause(connection, CONNECTION_PAUSE_DRAIN);
  connection_resume(connection, CONNECTION_PAUSE_DRAIN);
  assert_int_equal(connection->state, CONNECTION_CLOSED);
  assert_int_equal(fixture.closed, 0);
  settle(&fixture);
  assert_int_equal(fixture.closed, 1);
}

static void the_pool_s_end_is_the_end_of_all(void **state) {
  (void)state;
  static struct peer others[3];
  peer_connect_ws(&peer, &fixture);
  peer_connect(&others[0], &fixture);
  connection_close(peer_connect_ws(&others[1], &fixture), WS_CLOSE_NORMAL, SLICE(""));
  connection_drop(peer_connect_ws(&others[2], &fixture));
  for (int i = 0; i < 3; i++)
    peer_close(&others[i]);
}

#define POOL_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      POOL_TEST(a_close_frame_is_answered_with_its_code),
      POOL_TEST(a_close_frame_without_a_code_is_answered_without),
      POOL_TEST(what_comes_behind_a_close_frame_is_not_looked_at),
      POOL_TEST(an_end_without_a_close_frame_ends_the_connection),
      POOL_TEST(what_came_before_the_end_is_handled),
      POOL_TEST(a_half_closed_peer_gets_its_answers),
      POOL_TEST(a_half_closed_peer_that_reads_slowly_gets_all_of_it),
      POOL_TEST(a_reset_ends_the_connection),
      POOL_TEST(a_peer_that_is_gone_when_we_send_ends_the_connection),
      POOL_TEST(our_close_frame_stands_behind_what_is_queued),
      POOL_TEST(messages_that_cross_our_close_frame_are_not_handled),
      POOL_TEST(nonsense_in_answer_to_our_close_frame_ends_it_too),
      POOL_TEST(closing_twice_sends_one_frame),
      POOL_TEST(a_long_reason_is_cut),
      POOL_TEST(a_connection_that_is_no_websocket_yet_just_ends),
      POOL_TEST(who_does_not_answer_our_close_frame_is_dropped_in_time),
      POOL_TEST(who_does_not_send_its_end_is_dropped_in_time),
      POOL_TEST(bad_frames_end_with_their_code),
      POOL_TEST(binary_is_refused_where_it_is_not_allowed),
      POOL_TEST(dropping_itself_in_a_message_is_the_end_of_input),
      POOL_TEST(pausing_and_dropping_keeps_no_input),
      POOL_TEST(closing_in_a_message_is_the_end_of_messages),
      POOL_TEST(a_connection_stays_valid_until_the_end_of_the_turn),
      POOL_TEST(the_pool_s_end_is_the_end_of_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
