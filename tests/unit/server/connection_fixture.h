#ifndef EVENTHUB_TESTS_SERVER_CONNECTION_FIXTURE_H
#define EVENTHUB_TESTS_SERVER_CONNECTION_FIXTURE_H

/*
 * A loop with a pool of connections, driven by hand. Its handler answers requests with their path,
 * upgrades those that ask for it, records what comes, and obeys messages:
 *
 *   echo...  is sent back      close  connection_close     drop   connection_drop
 *   pause    ... is paused     both   is paused and dropped
 *
 * Include after cmocka.h.
 */

#include <string.h>

#include "../net/turn.h"
#include "eventhub/server/connection.h"
#include "peer.h"

struct pool_fixture {
  struct loop loop;
  struct metrics metrics;
  struct connection_pool pool;
  struct buf record;       /* requests, messages and ends, a blank behind each */
  size_t response_padding; /* bytes behind the path in each response */
  int closed;              /* connections that on_closed has told of */
};

static inline void note(struct connection *connection, const char *what, struct slice text) {
  struct pool_fixture *fixture = connection->pool->context;
  buf_append_str(&fixture->record, what);
  if (text.len <= 64) {
    buf_append_slice(&fixture->record, text);
  } else {
    buf_printf(&fixture->record, "<%zu>", text.len);
  }
  buf_append_char(&fixture->record, ' ');
}

static inline void fixture_on_request(struct connection *connection,
                                      const struct http_request *request) {
  struct pool_fixture *fixture = connection->pool->context;
  struct ws_handshake handshake;
  if (ws_handshake_is_upgrade(request) && ws_handshake_check(request, &handshake) == 101) {
    connection_upgrade(connection, &handshake);
    return;
  }
  note(connection, "", request->path);
  AUTO(buf) struct buf body = BUF_INIT;
  buf_append_slice(&body, request->path);
  memset(buf_reserve(&body, fixture->response_padding + 1), '.', fixture->response_padding);
  buf_commit(&body, fixture->response_padding);
  struct http_response response = {.status = 200,
                                   .content_type = SLICE("text/plain"),
                                   .body = buf_slice(&body),
                                   .keep_alive = request->keep_alive};
  connection_respond(connection, &response);
}

static inline void fixture_on_message(struct connection *connection, enum ws_opcode opcode,
                                      char *data, size_t len) {
  struct slice text = slice_of(data, len);
  note(connection, opcode == WS_TEXT ? "t:" : "b:", text);
  bool both = slice_equal(text, SLICE("both"));
  if (both || slice_equal(text, SLICE("pause")))
    connection_pause(connection, CONNECTION_PAUSE_REQUESTS);
  if (both || slice_equal(text, SLICE("drop"))) connection_drop(connection);
  if (slice_equal(text, SLICE("close")))
    connection_close(connection, WS_CLOSE_NORMAL, SLICE("bye"));
  if (slice_starts_with(text, SLICE("echo"))) connection_send(connection, opcode, text);
}

static inline void fixture_on_closed(struct connection *connection) {
  struct pool_fixture *fixture = connection->pool->context;
  assert_int_equal(connection->state, CONNECTION_CLOSED);
  assert_null(connection->session); /* told of once */
  connection->session = fixture;
  fixture->closed++;
}

static inline void fixture_on_turn_end(void *context) {
  struct pool_fixture *fixture = context;
  connection_pool_flush(&fixture->pool);
}

static const struct connection_handler fixture_handler = {.on_request = fixture_on_request,
                                                          .on_message = fixture_on_message,
                                                          .on_closed = fixture_on_closed};

static inline struct connection_limits fixture_limits(void) {
  return (struct connection_limits){
      .message = {.max_message = 1 << 20, .allow_binary = true},
      .max_send_queue = 1 << 20,
      .handshake_timeout_ms = 60000,
      .ping_interval_ms = 60000,
  };
}

static inline void pool_fixture_init(struct pool_fixture *fixture,
                                     const struct connection_limits *limits) {
  memset(fixture, 0, sizeof *fixture);
  assert_int_equal(loop_init(&fixture->loop, fixture_on_turn_end, fixture), 0);
  connection_pool_init(&fixture->pool, &fixture->loop, limits, &fixture->metrics, &fixture_handler,
                       fixture);
}

static inline void pool_fixture_done(struct pool_fixture *fixture) {
  uint32_t open = fixture->pool.open_count;
  int before = fixture->closed;
  connection_pool_done(&fixture->pool);
  assert_int_equal(fixture->closed, before + (int)open);
  loop_done(&fixture->loop);
  buf_done(&fixture->record);
}

/* Turns until there is nothing to do at the moment. */
static inline void settle(struct pool_fixture *fixture) {
  do
    turn(&fixture->loop);
  while (has_work(&fixture->loop));
}

#define assert_recorded(fixture, text)                                                             \
  do {                                                                                             \
    buf_append_char(&(fixture)->record, '\0');                                                     \
    assert_string_equal((fixture)->record.data, text);                                             \
    buf_clear(&(fixture)->record);                                                                 \
  } while (0)

/* A connection in the pool, with the peer's end of it. */
static inline struct connection *peer_connect(struct peer *peer, struct pool_fixture *fixture) {
  return peer_open(peer, &fixture->pool);
}

/* ... that is upgraded. */
static inline struct connection *peer_connect_ws(struct peer *peer, struct pool_fixture *fixture) {
  struct connection *connection = peer_open(peer, &fixture->pool);
  peer_write_text(peer, PEER_UPGRADE);
  settle(fixture);
  peer_take_upgrade(peer);
  return connection;
}

static inline uint64_t count_of(const struct pool_fixture *fixture, enum metric metric) {
  return metrics_get(&fixture->metrics, metric);
}

#endif
