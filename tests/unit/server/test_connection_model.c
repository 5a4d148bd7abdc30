#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "connection_fixture.h"

/*
 * Random steps of both sides: frames whole and cut, nonsense, pauses, closing from either end,
 * slow reading, time that is up. Whatever happens: each connection is told of as closed once; a
 * peer gets whole frames, numbered without a gap, and nothing behind a close frame; the messages
 * that arrive are those that were sent, in order.
 */

enum { RUNS = 60, STEPS = 1500, PEERS = 5, QUEUE_MAX = 60000 };

struct side {
  struct peer peer;
  bool is_open; /* the peer's end of it */
  struct connection_ref ref;
  int to_peer, from_server; /* numbers sent by the server, and seen by the peer */
  int to_server, received;  /* numbers sent by the peer, and seen by the server */
  bool is_closed;           /* the peer has seen a close frame */
  bool is_foul;             /* the peer has sent something wrong, or has stopped sending */
};

struct model {
  struct pool_fixture fixture;
  uint64_t random;
  struct side sides[PEERS];
  int opened;
};

static struct model model;
static uint64_t seed; /* of the run that is going on */

static uint64_t pick(uint64_t below) {
  model.random = model.random * 6364136223846793005u + 1442695040888963407u;
  return (model.random >> 33) % below;
}

static struct connection *connection_of(const struct side *side) {
  return connection_find(&model.fixture.pool, side->ref);
}

/* ---- the server's side ---- */

static struct side *side_of(const struct connection *connection) {
  for (int i = 0; i < PEERS; i++) {
    struct side *side = &model.sides[i];
    if (side->ref.slot == connection->ref.slot &&
        side->ref.generation == connection->ref.generation)
      return side;
  }
  return NULL; /* replaced by a new connection of the peer's */
}

static void do_something(struct connection *connection) {
  enum connection_pause why = CONNECTION_PAUSE_REQUESTS << pick(2);
  switch (pick(24)) {
  case 0: connection_drop(connection); break;
  case 1: connection_close(connection, WS_CLOSE_GOING_AWAY, SLICE("going")); break;
  case 2:
  case 3:
  case 4: connection_pause(connection, why); break;
  default: connection_resume(connection, why);
  }
}

static void on_message(struct connection *connection, enum ws_opcode opcode, char *data,
                       size_t len) {
  struct side *side = side_of(connection);
  assert_int_equal(opcode, WS_TEXT);
  assert_int_equal(connection->state, CONNECTION_WEBSOCKET);
  assert_int_equal(connection->pauses, 0);
  if (side != NULL) {
    assert_true(len >= 8);
    assert_int_equal(strtol(data, NULL, 10), side->received);
    side->received++;
  }
  do_something(connection);
}

static const struct connection_handler handler = {
    .on_request = fixture_on_request, .on_message = on_message, .on_closed = fixture_on_closed};

static void send_numbered(struct side *side) {
  static char text[20000];
  struct connection *connection = connection_of(side);
  if (connection == NULL || connection->state != CONNECTION_WEBSOCKET) return;
  size_t len = 8 + pick(pick(8) == 0 ? sizeof text - 8 : 300);
  memset(text, '.', len);
  snprintf(text, sizeof text, "%07d", side->to_peer++);
  text[7] = ':';
  connection_send(connection, WS_TEXT, slice_of(text, len));
}

static void act(struct side *side) {
  struct connection *connection = connection_of(side);
  if (connection != NULL) do_something(connection);
}

/* Time is up for whoever waits longest in one of the lists. */
static void let_time_pass(void) {
  struct connection_pool *pool = &model.fixture.pool;
  struct deadline_list *lists[] = {&pool->handshakes, &pool->pings, &pool->closings,
                                   &pool->lingers};
  struct list *first = list_first(&lists[pick(ARRAY_LEN(lists))]->items);
  if (first != NULL) container_of(first, struct deadline, link)->at_ms = 0;
}

/* ---- the peer's side ---- */

static void open_side(struct side *side) {
  int size = 1;
  *side = (struct side){.is_open = true};
  model.opened++;
  struct connection *connection = peer_open(&side->peer, &model.fixture.pool);
  side->ref = connection->ref;
  if (pick(2) == 0) setsockopt(connection->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  peer_write_text(&side->peer, PEER_UPGRADE);
  settle(&model.fixture);
  peer_take_upgrade(&side->peer);
}

static void close_side(struct side *side) {
  peer_close(&side->peer);
  side->is_open = false;
}

/* In the buffer `out`: the socket gets it in pieces. */
static void write_message(struct side *side) {
  struct buf *out = &side->peer.out;
  char text[600];
  size_t len = 8 + pick(sizeof text - 8);
  if (side->is_foul || out->len > 100000) return;
  memset(text, '.', len);
  snprintf(text, sizeof text, "%07d", side->to_server++);
  text[7] = ':';
  if (pick(3) > 0) {
    append_frame(out, FIN | WS_TEXT, text, len);
    return;
  }
  append_frame(out, WS_TEXT, text, 5);
  if (pick(2) == 0) append_text_frame(out, FIN | WS_PING, "p");
  append_frame(out, FIN | WS_CONTINUATION, text + 5, len - 5);
}

static void write_wrong(struct side *side) {
  struct buf *out = &side->peer.out;
  if (side->is_foul) return;
  side->is_foul = true;
  switch (pick(4)) {
  case 0: append_frame(out, FIN | WS_CLOSE, "\x03\xe8", 2); break;
  case 1: append_frame(out, FIN | 3, "", 0); break;
  case 2: buf_append(out, "\x81\x01x", 3); break;
  default: shutdown(side->peer.fd, SHUT_WR);
  }
}

static void write_some(struct side *side) {
  struct buf *out = &side->peer.out;
  size_t len = 1 + pick(2000);
  if (len > out->len) len = out->len;
  if (len == 0) return;
  ssize_t sent = send(side->peer.fd, out->data, len, MSG_NOSIGNAL);
  if (sent > 0) buf_consume(out, (size_t)sent);
}

static void read_some(struct side *side, size_t most) {
  peer_read_some(&side->peer, most);
  struct slice rest = buf_slice(&side->peer.in);
  struct peer_frame frame;
  while (next_frame(&rest, &frame)) {
    assert_false(side->is_closed);
    side->is_closed = frame.opcode == WS_CLOSE;
    if (frame.opcode != WS_TEXT) continue;
    assert_int_equal(strtol(frame.payload.ptr, NULL, 10), side->from_server);
    side->from_server++;
  }
  buf_consume(&side->peer.in, side->peer.in.len - rest.len);
}

/* ---- a run ---- */

static void step(void) {
  struct side *side = &model.sides[pick(PEERS)];
  if (!side->is_open) open_side(side);
  switch (pick(40)) {
  case 0: close_side(side); break;
  case 1: write_wrong(side); break;
  case 2: act(side); break;
  case 3:
    if (pick(4) == 0) let_time_pass();
    break;
  case 4:
  case 5:
  case 6:
  case 7: read_some(side, 1 + pick(10000)); break;
  case 8:
  case 9:
  case 10:
  case 11: write_message(side); break;
  case 12:
  case 13:
  case 14:
  case 15:
  case 16: write_some(side); break;
  case 17:
  case 18:
  case 19:
  case 20: turn(&model.fixture.loop); break;
  default: send_numbered(side);
  }
}

static uint64_t bytes_moved(void) {
  return count_of(&model.fixture, METRIC_SENT_BYTES) +
         count_of(&model.fixture, METRIC_RECEIVED_BYTES) +
         count_of(&model.fixture, METRIC_MESSAGES_RECEIVED);
}

/* Who is still there gets everything, both ways. */
static void finish_side(struct side *side) {
  struct connection *connection;
  uint64_t before;
  if (!side->is_open) return;
  do {
    before = bytes_moved();
    connection = connection_of(side);
    if (connection != NULL) {
      connection_resume(connection, CONNECTION_PAUSE_REQUESTS);
      connection_resume(connection, CONNECTION_PAUSE_OUTPUT);
    }
    peer_flush(&side->peer);
    settle(&model.fixture);
    read_some(side, SIZE_MAX);
    settle(&model.fixture);
  } while (before != bytes_moved());
  connection = connection_of(side);
  if (connection == NULL || connection->state != CONNECTION_WEBSOCKET) return;
  assert_int_equal(side->from_server, side->to_peer);
  if (!side->is_foul) assert_int_equal(side->received, side->to_server);
}

static void run(void) {
  struct connection_limits limits = fixture_limits();
  memset(&model, 0, sizeof model);
  model.random = seed;
  limits.max_send_queue = QUEUE_MAX;
  pool_fixture_init(&model.fixture, &limits);
  model.fixture.pool.handler = &handler;
  for (int i = 0; i < PEERS; i++)
    model.sides[i].ref.slot = UINT32_MAX; /* nobody's */
  for (int i = 0; i < STEPS; i++)
    step();
  for (int i = 0; i < PEERS; i++)
    finish_side(&model.sides[i]);
  for (int i = 0; i < PEERS; i++)
    peer_close(&model.sides[i].peer);
  pool_fixture_done(&model.fixture);
  assert_int_equal(model.fixture.closed, model.opened);
}

static void whatever_both_sides_do_frames_stay_whole_and_in_order(void **state) {
  (void)state;
  for (seed = 1; seed <= RUNS; seed++)
    run();
}

static int tell_seed(void **state) {
  (void)state;
  if (seed <= RUNS) print_error("failed with seed %llu\n", (unsigned long long)seed);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(whatever_both_sides_do_frames_stay_whole_and_in_order, tell_seed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
