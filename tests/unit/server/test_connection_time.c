#include "eventhub/server/connection.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "connection_fixture.h"

/* Handshakes that take too long, and peers that say nothing. */

enum { SHORT_MS = 20, LONG_MS = 60000 };

static struct pool_fixture fixture;
static struct peer peer;

static void start(uint32_t handshake_timeout_ms, uint32_t ping_interval_ms) {
  struct connection_limits limits = fixture_limits();
  limits.handshake_timeout_ms = handshake_timeout_ms;
  limits.ping_interval_ms = ping_interval_ms;
  pool_fixture_init(&fixture, &limits);
}

static int tear_down(void **state) {
  (void)state;
  pool_fixture_done(&fixture);
  peer_close(&peer);
  return 0;
}

/* ---- handshakes ---- */

static void who_sends_nothing_is_dropped(void **state) {
  (void)state;
  start(SHORT_MS, LONG_MS);
  peer_connect(&peer, &fixture);
  while (fixture.closed == 0)
    turn_and_wait(&fixture.loop);
  peer_read(&peer);
  assert_true(peer.is_at_end);
  assert_int_equal(peer.in.len, 0);
  assert_int_equal(count_of(&fixture, METRIC_REFUSED_TIMEOUT), 0); /* nothing was asked */
}

/* A byte every turn does not move the end. */
static void a_dripped_request_is_refused_in_time(void **state) {
  (void)state;
  start(SHORT_MS, LONG_MS);
  const struct connection *connection = peer_connect(&peer, &fixture);
  peer_write_text(&peer, "GET / HTTP/1.1\r\nX-Drip: ");
  while (connection->state == CONNECTION_HTTP) {
    peer_write(&peer, "x", 1);
    turn_and_wait(&fixture.loop);
  }
  settle(&fixture);
  assert_true(slice_starts_with(slice_str(peer_text(&peer)), SLICE("HTTP/1.1 408 ")));
  assert_true(peer.is_at_end);
  assert_int_equal(count_of(&fixture, METRIC_REFUSED_TIMEOUT), 1);
}

static void each_response_starts_the_time_again(void **state) {
  (void)state;
  start(LONG_MS, LONG_MS);
  struct connection *connection = peer_connect(&peer, &fixture);
  for (int i = 0; i < 3; i++) {
    uint64_t before_ms = fixture.loop.now_ms;
    connection->deadline.at_ms = before_ms + 1000;
    peer_write_text(&peer, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    turn(&fixture.loop);
    assert_true(connection->deadline.at_ms >= before_ms + LONG_MS);
  }
  assert_recorded(&fixture, "/a /a /a ");
  connection->deadline.at_ms = 0;
  turn(&fixture.loop);
  assert_int_equal(fixture.closed, 1);
}

static void an_upgraded_connection_has_no_handshake_to_miss(void **state) {
  (void)state;
  start(SHORT_MS, LONG_MS);
  const struct connection *connection = peer_connect_ws(&peer, &fixture);
  assert_true(list_is_empty(&fixture.pool.handshakes.items));
  assert_ptr_equal(list_first(&fixture.pool.pings.items), &connection->deadline.link);
}

/* ---- pings ---- */

/* As if so much time had passed; then a turn. */
static void pass(struct connection *connection, uint32_t ms) {
  connection->last_received_ms -= ms;
  connection->deadline.at_ms -= ms;
  turn(&fixture.loop);
}

static void a_silent_peer_is_pinged_and_then_dropped(void **state) {
  (void)state;
  start(LONG_MS, LONG_MS);
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  pass(connection, LONG_MS - 1000);
  assert_frames(&peer, "");
  pass(connection, 1000);
  assert_frames(&peer, "ping: ");
  assert_int_equal(fixture.closed, 0);
  pass(connection, LONG_MS);
  assert_int_equal(fixture.closed, 1);
  assert_int_equal(count_of(&fixture, METRIC_DEAD_PEERS), 1);
}

static void a_peer_that_answers_pings_stays(void **state) {
  (void)state;
  start(LONG_MS, LONG_MS);
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  for (int pings = 0; pings < 5; pings++) {
    pass(connection, LONG_MS);
    assert_frames(&peer, "ping: ");
    peer_send(&peer, WS_PONG, SLICE(""));
    turn(&fixture.loop);
  }
  assert_int_equal(fixture.closed, 0);
}

/* The loop stood still for longer than two intervals: the ping was never sent. */
static void nobody_dies_of_a_stall_of_ours(void **state) {
  (void)state;
  start(LONG_MS, LONG_MS);
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  pass(connection, 10 * LONG_MS);
  assert_int_equal(fixture.closed, 0);
  assert_frames(&peer, "ping: ");
}

/* After such a stall there may be more events than one turn takes: the deadline comes first. */
static void an_answer_that_is_not_read_yet_counts(void **state) {
  (void)state;
  start(LONG_MS, LONG_MS);
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  pass(connection, LONG_MS);
  assert_frames(&peer, "ping: ");
  peer_send(&peer, WS_PONG, SLICE(""));
  connection->last_received_ms -= 10 * LONG_MS;
  deadline_disarm(&connection->deadline);
  fixture.pool.pings.on_expired(&connection->deadline, fixture.pool.pings.context);
  assert_int_equal(connection->state, CONNECTION_WEBSOCKET);
  settle(&fixture);
  assert_frames(&peer, "ping: ");
  assert_int_equal(fixture.closed, 0);
}

/* What it sends waits in the socket: that it is silent is our doing. */
static void a_peer_that_we_do_not_read_is_not_dead(void **state) {
  (void)state;
  start(LONG_MS, LONG_MS);
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  connection_pause(connection, CONNECTION_PAUSE_REQUESTS);
  for (int i = 0; i < 5; i++)
    pass(connection, LONG_MS);
  assert_int_equal(fixture.closed, 0);
  connection_resume(connection, CONNECTION_PAUSE_REQUESTS);
  pass(connection, LONG_MS);
  assert_int_equal(fixture.closed, 1);
}

/* Our pings wait behind what it has not read yet; that the queue moves is life enough. */
static void a_slow_reader_whose_queue_moves_is_alive(void **state) {
  (void)state;
  start(LONG_MS, LONG_MS);
  static char many[800000];
  int size = 1;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  setsockopt(connection->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  connection_send(connection, WS_BINARY, slice_of(many, sizeof many));
  settle(&fixture);
  for (int i = 0; i < 5; i++) {
    pass(connection, LONG_MS);
    buf_clear(&peer.in);
    peer_read_some(&peer, 6000);
    settle(&fixture);
  }
  assert_true(connection->out.bytes > 0);
  assert_int_equal(fixture.closed, 0);
  pass(connection, LONG_MS);
  pass(connection, LONG_MS);
  assert_int_equal(fixture.closed, 1);
}

#define POOL_TEST(function) cmocka_unit_test_teardown(function, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      POOL_TEST(who_sends_nothing_is_dropped),
      POOL_TEST(a_dripped_request_is_refused_in_time),
      POOL_TEST(each_response_starts_the_time_again),
      POOL_TEST(an_upgraded_connection_has_no_handshake_to_miss),
      POOL_TEST(a_silent_peer_is_pinged_and_then_dropped),
      POOL_TEST(a_peer_that_answers_pings_stays),
      POOL_TEST(nobody_dies_of_a_stall_of_ours),
      POOL_TEST(an_answer_that_is_not_read_yet_counts),
      POOL_TEST(a_peer_that_we_do_not_read_is_not_dead),
      POOL_TEST(a_slow_reader_whose_queue_moves_is_alive),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
