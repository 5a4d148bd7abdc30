#include "eventhub/server/connection.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "connection_fixture.h"
#include "eventhub/base/mem.h"

/* Clients that read slowly, write slowly, write too much, or say nothing at all. */

enum { QUEUE_MAX = 100000, SMALL = 1000 };

static struct pool_fixture fixture;
static struct peer peer;
static char payload[1 << 20];

static int set_up(void **state) {
  (void)state;
  struct connection_limits limits = fixture_limits();
  limits.max_send_queue = QUEUE_MAX;
  pool_fixture_init(&fixture, &limits);
  memset(payload, '.', sizeof payload);
  memcpy(payload, "echo", 4);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  pool_fixture_done(&fixture);
  peer_close(&peer);
  return 0;
}

/* A WebSocket whose socket takes about as little as can be. */
static struct connection *connect_narrow(void) {
  int size = 1;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  setsockopt(connection->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  return connection;
}

/* A message of `len` bytes that begins with its number. */
static void send_numbered(struct connection *connection, int number, size_t len) {
  char text[16];
  int digits = snprintf(text, sizeof text, "%07d:", number);
  memcpy(payload, text, (size_t)digits);
  connection_send(connection, WS_TEXT, slice_of(payload, len));
}

/* Reads what came, which must be numbered on from `from`; returns the number of the next. */
static int read_numbered(int from) {
  peer_read(&peer);
  struct slice rest = buf_slice(&peer.in);
  struct peer_frame frame;
  while (next_frame(&rest, &frame) && frame.opcode == WS_TEXT)
    assert_int_equal(strtol(frame.payload.ptr, NULL, 10), from++);
  return from;
}

/* ---- slow readers ---- */

static void a_stalled_reader_is_closed_after_whole_frames(void **state) {
  (void)state;
  struct connection *connection = connect_narrow();
  int sent = 0;
  for (; connection->state == CONNECTION_WEBSOCKET; sent++) {
    send_numbered(connection, sent, SMALL);
    assert_true(connection->out.bytes <= QUEUE_MAX);
    if (sent % 7 == 0) settle(&fixture);
  }
  assert_true(sent * SMALL >= QUEUE_MAX - SMALL);
  assert_int_equal(connection->state, CONNECTION_CLOSING);
  assert_true(connection->out.bytes < 2 * SMALL);
  assert_int_equal(count_of(&fixture, METRIC_SLOW_CONSUMERS), 1);
  assert_int_equal(count_of(&fixture, METRIC_CLOSED_1013), 1);
  settle(&fixture);
  int received = 0;
  while (peer_read_some(&peer, SIZE_MAX) > 0)
    settle(&fixture);
  struct slice rest = buf_slice(&peer.in);
  struct peer_frame frame;
  while (next_frame(&rest, &frame) && frame.opcode == WS_TEXT)
    assert_int_equal(strtol(frame.payload.ptr, NULL, 10), received++);
  assert_int_equal(frame.opcode, WS_CLOSE);
  assert_memory_equal(frame.payload.ptr, "\x03\xf5", 2);
  assert_int_equal(rest.len, 0);
  peer_send_close(&peer, WS_CLOSE_TRY_AGAIN);
  peer_hang_up(&peer);
  settle(&fixture);
  assert_int_equal(fixture.closed, 1);
}

/* The answer to its handshake is not sent yet, and is no frame. */
static void a_stalled_reader_gets_the_whole_answer_to_its_handshake(void **state) {
  (void)state;
  int size = 1;
  fixture.response_padding = 20000;
  struct connection *connection = peer_connect(&peer, &fixture);
  setsockopt(connection->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  buf_append_str(&peer.out, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n" PEER_UPGRADE);
  append_frame(&peer.out, FIN | WS_TEXT, payload, QUEUE_MAX);
  while (connection->state != CONNECTION_CLOSING) {
    peer_flush(&peer);
    settle(&fixture);
  }
  while (peer_read_some(&peer, SIZE_MAX) > 0)
    settle(&fixture);
  char *upgrade = memmem(peer.in.data, peer.in.len, "HTTP/1.1 101", 12);
  assert_non_null(upgrade);
  assert_true(upgrade - peer.in.data > 20000);
  buf_consume(&peer.in, (size_t)(upgrade - peer.in.data));
  peer_take_upgrade(&peer);
  assert_frames(&peer, "close:1013,the client reads too slowly ");
}

static void a_stalled_reader_that_never_reads_again_is_dropped_in_time(void **state) {
  (void)state;
  struct connection *connection = connect_narrow();
  for (int i = 0; connection->state == CONNECTION_WEBSOCKET; i++) {
    send_numbered(connection, i, SMALL);
    if (i == 20) settle(&fixture);
  }
  settle(&fixture);
  assert_ptr_equal(list_first(&fixture.pool.closings.items), &connection->deadline.link);
  connection->deadline.at_ms = 0;
  turn(&fixture.loop);
  assert_int_equal(fixture.closed, 1);
  assert_int_equal(count_of(&fixture, METRIC_SLOW_CONSUMERS), 1);
}

static void a_burst_is_no_stall_where_the_socket_takes_it(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  int size = 4 * QUEUE_MAX, received = 0;
  setsockopt(connection->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  for (int i = 0; i < 150; i++)
    send_numbered(connection, i, SMALL);
  settle(&fixture);
  received = read_numbered(0);
  assert_int_equal(received, 150);
  assert_int_equal(connection->state, CONNECTION_WEBSOCKET);
}

/* It was blocked, and has read everything since: the room is there, only nobody has looked. */
static void a_burst_is_no_stall_where_the_reader_has_caught_up(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  int size = 4 * QUEUE_MAX, sent = 0, received = 0;
  setsockopt(connection->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  while (!connection->out.blocked) {
    send_numbered(connection, sent++, SMALL);
    connection_pool_flush(&fixture.pool);
  }
  peer_read(&peer);
  for (int i = 0; i < QUEUE_MAX / SMALL; i++)
    send_numbered(connection, sent++, SMALL);
  assert_int_equal(connection->state, CONNECTION_WEBSOCKET);
  settle(&fixture);
  received = read_numbered(0);
  assert_int_equal(received, sent);
}

/* Some 40 clients; FLUSH_STEP of connection.c. */
enum { PEERS = 40, STEP = 16 };

static struct peer peers[PEERS];
static struct connection *connections[PEERS];

static void open_crowd(void) {
  for (int i = 0; i < PEERS; i++)
    connections[i] = peer_connect_ws(&peers[i], &fixture);
}

static void close_crowd(void) {
  for (int i = 0; i < PEERS; i++)
    peer_close(&peers[i]);
}

/* Of the first `count`. */
static int count_unsent(int count) {
  int unsent = 0;
  for (int i = 0; i < count; i++)
    unsent += !out_queue_is_empty(&connections[i]->out);
  return unsent;
}

/* Sending is cut short where it takes long. Who was first is served first, also before what is
 * queued meanwhile. */
static void a_long_flush_goes_on_in_the_next_turn(void **state) {
  (void)state;
  open_crowd();
  for (int i = 0; i < PEERS; i++)
    send_numbered(connections[i], 0, SMALL);
  fixture.pool.flush_ns = 0;
  connection_pool_flush(&fixture.pool);
  assert_true(fixture.loop.is_hurried);
  assert_int_equal(count_unsent(STEP), 0);
  assert_int_equal(count_unsent(PEERS), PEERS - STEP);
  send_numbered(connections[0], 1, SMALL);
  connection_pool_flush(&fixture.pool);
  assert_int_equal(count_unsent(PEERS), PEERS - 2 * STEP + 1);
  assert_int_equal(count_unsent(1), 1);
  settle(&fixture);
  assert_int_equal(count_unsent(PEERS), 0);
  assert_false(fixture.loop.is_hurried);
  close_crowd();
}

/* Among them one that is gone, one that does not read, and one with more than one piece to send. */
static void many_sends_are_one_call(void **state) {
  (void)state;
  if (!connection_pool_use_ring(&fixture.pool)) skip();
  open_crowd();
  peer_close(&peers[1]);
  while (!connections[2]->out.blocked) {
    send_numbered(connections[2], 0, SMALL);
    connection_pool_flush(&fixture.pool);
  }
  for (int i = 0; i < PEERS; i++)
    send_numbered(connections[i], 0, SMALL);
  char *wide = x_calloc(1, CHUNK_SIZE);
  memset(wide, 'x', CHUNK_SIZE);
  connection_send(connections[3], WS_TEXT, slice_of(wide, CHUNK_SIZE));
  connection_send(connections[3], WS_TEXT, slice_of(wide, CHUNK_SIZE));
  free(wide);
  connection_pool_flush(&fixture.pool);
  assert_int_equal(fixture.pool.open_count, PEERS - 1);
  assert_false(out_queue_is_empty(&connections[2]->out));
  for (int i = 4; i < PEERS; i++) {
    assert_true(out_queue_is_empty(&connections[i]->out));
    peer_read(&peers[i]);
    assert_int_equal(peers[i].in.len, 4 + SMALL); /* one frame */
  }
  settle(&fixture);
  close_crowd();
}

/* Deliveries to many wait for each other, answers do not wait for them. */
static void an_answer_does_not_wait_behind_deliveries(void **state) {
  (void)state;
  open_crowd();
  char *at = chunk_arena_reserve(&fixture.pool.arena, SMALL);
  memset(at, 0, SMALL);
  struct span span = chunk_arena_commit(&fixture.pool.arena, SMALL);
  for (int i = 0; i < PEERS - 1; i++)
    connection_push(connections[i], &span);
  send_numbered(connections[PEERS - 1], 0, SMALL);
  fixture.pool.flush_ns = 0;
  connection_pool_flush(&fixture.pool);
  assert_true(out_queue_is_empty(&connections[PEERS - 1]->out));
  assert_int_equal(count_unsent(PEERS), PEERS - 1 - STEP);
  connection_pool_flush(&fixture.pool);
  connection_pool_flush(&fixture.pool);
  assert_int_equal(count_unsent(PEERS), 0);
  close_crowd();
}

static void one_that_reads_slowly_but_reads_gets_everything(void **state) {
  (void)state;
  struct connection *connection = connect_narrow();
  int sent = 0;
  for (int round = 0; round < 300; round++) {
    for (; connection->out.bytes < QUEUE_MAX / 2; sent++)
      send_numbered(connection, sent, (size_t)(20 + sent * 37 % 3000));
    settle(&fixture);
    peer_read_some(&peer, (size_t)(1 + round * 61 % 9000));
  }
  while (connection->out.bytes > 0) {
    peer_read(&peer);
    settle(&fixture);
  }
  assert_int_equal(read_numbered(0), sent);
  assert_int_equal(count_of(&fixture, METRIC_SLOW_CONSUMERS), 0);
}

static void closing_waits_for_a_slow_reader(void **state) {
  (void)state;
  struct connection *connection = connect_narrow();
  for (int i = 0; i < 50; i++)
    send_numbered(connection, i, SMALL);
  connection_close(connection, WS_CLOSE_GOING_AWAY, SLICE(""));
  settle(&fixture);
  while (!peer.is_at_end) {
    peer_read_some(&peer, 3000);
    if (peer.in.len > 50 * (SMALL + 4)) peer_send_close(&peer, WS_CLOSE_GOING_AWAY);
    settle(&fixture);
  }
  assert_false(peer.is_reset);
  assert_int_equal(read_numbered(0), 50);
}

/* ---- fast writers ---- */

/* Every answer is longer than what asks for it: what is read must wait for what is sent. */
static void requests_wait_while_answers_do(void **state) {
  (void)state;
  enum { REQUESTS = 2000, BODY = 20000 };
  fixture.response_padding = BODY;
  struct connection *connection = peer_connect(&peer, &fixture);
  int received = 0;
  for (int i = 0; i < REQUESTS; i++)
    buf_append_str(&peer.out, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
  while (received < REQUESTS) {
    peer_flush(&peer);
    turn(&fixture.loop);
    assert_true(connection->out.bytes < 300000);
    peer_read_some(&peer, 1 << 20);
    for (char *at; (at = memmem(peer.in.data, peer.in.len, "HTTP/1.1 200", 12)) != NULL;) {
      size_t end = (size_t)(at - peer.in.data) + BODY;
      if (end > peer.in.len) break;
      buf_consume(&peer.in, end);
      received++;
    }
  }
  assert_int_equal(received, REQUESTS);
}

static void messages_wait_while_echoes_do(void **state) {
  (void)state;
  enum { MESSAGES = 300, LEN = 20000 };
  fixture.pool.limits.max_send_queue = 1 << 20;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  for (int i = 0; i < MESSAGES; i++)
    append_frame(&peer.out, FIN | WS_TEXT, payload, LEN);
  /* The client writes all of it before it reads anything. */
  for (int i = 0; i < 100; i++) {
    peer_flush(&peer);
    turn(&fixture.loop);
  }
  assert_int_equal(connection->state, CONNECTION_WEBSOCKET);
  assert_true(connection->pauses & CONNECTION_PAUSE_OUTPUT);
  assert_true(peer.out.len > 0);
  size_t received = 0;
  while (received < MESSAGES * (LEN + 4)) {
    received += peer_read_some(&peer, 200000);
    peer_flush(&peer);
    settle(&fixture);
  }
  assert_int_equal(count_of(&fixture, METRIC_MESSAGES_RECEIVED), MESSAGES);
  assert_int_equal(connection->pauses, 0);
}

/* More than one turn reads: others have theirs in between. */
static void one_turn_reads_only_so_much(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  int size = 4 << 20;
  setsockopt(peer.fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  payload[0] = 'x';
  for (int i = 0; i < 8; i++)
    append_frame(&peer.out, FIN | WS_TEXT, payload, 60000);
  peer_flush(&peer);
  if (peer.out.len > 0) skip(); /* not allowed such a buffer */
  turn(&fixture.loop);
  assert_in_range(count_of(&fixture, METRIC_MESSAGES_RECEIVED), 4, 5);
  assert_true(connection->io.again);
  turn(&fixture.loop);
  assert_int_equal(count_of(&fixture, METRIC_MESSAGES_RECEIVED), 8);
}

static void no_byte_is_lost_in_a_pause(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  for (int i = 0; i < 20; i++) {
    append_text_frame(&bytes, FIN | WS_TEXT, "pause");
    append_text_frame(&bytes, FIN | WS_TEXT, "echo");
  }
  for (size_t step = 1; step <= bytes.len; step = step < 20 ? step + 1 : step * 3) {
    struct connection *connection = peer_connect_ws(&peer, &fixture);
    for (size_t at = 0; at < bytes.len; at += step) {
      peer_write(&peer, bytes.data + at, bytes.len - at < step ? bytes.len - at : step);
      settle(&fixture);
      if (at % 3 == 0) connection_resume(connection, CONNECTION_PAUSE_REQUESTS);
    }
    for (int i = 0; i < 40; i++) {
      connection_resume(connection, CONNECTION_PAUSE_REQUESTS);
      settle(&fixture);
    }
    for (int i = 0; i < 20; i++) {
      assert_true(slice_starts_with(buf_slice(&fixture.record), SLICE("t:pause t:echo ")));
      buf_consume(&fixture.record, strlen("t:pause t:echo "));
    }
    assert_int_equal(fixture.record.len, 0);
    assert_null(connection->pending_input);
    peer_close(&peer);
    settle(&fixture);
  }
}

static void a_pause_ends_when_its_last_reason_does(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  connection_pause(connection, CONNECTION_PAUSE_REQUESTS);
  connection_pause(connection, CONNECTION_PAUSE_DRAIN);
  peer_send_text(&peer, "one");
  settle(&fixture);
  connection_resume(connection, CONNECTION_PAUSE_REQUESTS);
  settle(&fixture);
  assert_recorded(&fixture, "");
  connection_resume(connection, CONNECTION_PAUSE_DRAIN);
  settle(&fixture);
  assert_recorded(&fixture, "t:one ");
}

static void what_a_paused_peer_sent_before_its_end_is_handled(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  peer_send_text(&peer, "pause");
  peer_send_text(&peer, "one");
  settle(&fixture);
  peer_send_text(&peer, "two");
  shutdown(peer.fd, SHUT_WR);
  settle(&fixture);
  assert_recorded(&fixture, "t:pause ");
  assert_int_equal(fixture.closed, 0);
  connection_resume(connection, CONNECTION_PAUSE_REQUESTS);
  settle(&fixture);
  assert_recorded(&fixture, "t:one t:two ");
  assert_int_equal(fixture.closed, 1);
}

/* Both of its directions: there is nobody whom a pause could slow down. */
static void a_paused_peer_that_is_gone_altogether_ends(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  connection_pause(connection, CONNECTION_PAUSE_REQUESTS);
  peer_hang_up(&peer);
  settle(&fixture);
  assert_int_equal(fixture.closed, 1);
}

static void a_paused_connection_that_closes_still_sees_the_answer(void **state) {
  (void)state;
  struct connection *connection = peer_connect_ws(&peer, &fixture);
  connection_pause(connection, CONNECTION_PAUSE_REQUESTS);
  peer_send_close(&peer, WS_CLOSE_NORMAL);
  settle(&fixture);
  connection_close(connection, WS_CLOSE_POLICY, SLICE(""));
  settle(&fixture);
  assert_frames(&peer, "close:1008 ");
  assert_true(peer.is_at_end);
}

#define POOL_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      POOL_TEST(a_stalled_reader_is_closed_after_whole_frames),
      POOL_TEST(a_stalled_reader_gets_the_whole_answer_to_its_handshake),
      POOL_TEST(a_stalled_reader_that_never_reads_again_is_dropped_in_time),
      POOL_TEST(a_long_flush_goes_on_in_the_next_turn),
      POOL_TEST(an_answer_does_not_wait_behind_deliveries),
      POOL_TEST(many_sends_are_one_call),
      POOL_TEST(a_burst_is_no_stall_where_the_socket_takes_it),
      POOL_TEST(a_burst_is_no_stall_where_the_reader_has_caught_up),
      POOL_TEST(one_that_reads_slowly_but_reads_gets_everything),
      POOL_TEST(closing_waits_for_a_slow_reader),
      POOL_TEST(requests_wait_while_answers_do),
      POOL_TEST(messages_wait_while_echoes_do),
      POOL_TEST(one_turn_reads_only_so_much),
      POOL_TEST(no_byte_is_lost_in_a_pause),
      POOL_TEST(a_pause_ends_when_its_last_reason_does),
      POOL_TEST(what_a_paused_peer_sent_before_its_end_is_handled),
      POOL_TEST(a_paused_peer_that_is_gone_altogether_ends),
      POOL_TEST(a_paused_connection_that_closes_still_sees_the_answer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
