#include "eventhub/server/connection.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/net/send_ring.h"
#include "eventhub/proto/sse.h"
#include "eventhub/server/connection_input.h"

enum {
  CLOSE_TIMEOUT_MS = 10000,  /* for the peer to read what is queued and to send its close frame */
  LINGER_TIMEOUT_MS = 4000,  /* after that, for the peer to close its end of the connection */
  FLUSH_STEP = 16,           /* connections between two looks at the clock, ... */
  FLUSH_STEP_BYTES = 131072, /* ... fewer where each gets much */
  RING_WORTH = 8,            /* connections with something to send */
  OUTPUT_PAUSE_BYTES = 256 * 1024, /* waiting for a blocked client: read no more of its requests */
  CLOSE_REASON_MAX = WS_CONTROL_MAX - 2
};

/* ---- slots: the names of connections ---- */

static uint32_t slot_take(struct connection_pool *pool) {
  if (pool->free_count > 0) return pool->free_slots[--pool->free_count];
  if (pool->slot_count == pool->slot_cap) {
    pool->slot_cap = pool->slot_cap ? pool->slot_cap * 2 : 64;
    pool->slots = x_realloc(pool->slots, pool->slot_cap * sizeof *pool->slots);
    pool->generations = x_realloc(pool->generations, pool->slot_cap * sizeof *pool->generations);
    pool->free_slots = x_realloc(pool->free_slots, pool->slot_cap * sizeof *pool->free_slots);
  }
  pool->generations[pool->slot_count] = 0;
  return pool->slot_count++;
}

static void slot_give(struct connection_pool *pool, uint32_t slot) {
  pool->slots[slot] = NULL;
  pool->generations[slot]++;
  pool->free_slots[pool->free_count++] = slot;
}

struct connection *connection_find(struct connection_pool *pool, struct connection_ref ref) {
  if (ref.slot >= pool->slot_count || pool->generations[ref.slot] != ref.generation) return NULL;
  struct connection *connection = pool->slots[ref.slot];
  return connection != NULL && connection->state != CONNECTION_CLOSED ? connection : NULL;
}

/* ---- deadlines ---- */

static void on_handshake_due(struct deadline *deadline, void *context) {
  (void)context;
  struct connection *connection = container_of(deadline, struct connection, deadline);
  if (connection->pending_input == NULL && connection->body == NULL) {
    connection_drop(connection); /* silent, or kept alive and not used again */
    return;
  }
  metrics_add(connection->pool->metrics, METRIC_REFUSED_TIMEOUT, 1);
  connection_refuse(connection, 408, SLICE(""), SLICE("the request did not arrive in time"));
}

/* Nothing came for two intervals, though we asked. Where it was us who stood still, what the peer
 * sent meanwhile may wait in the socket for its turn. */
static bool is_dead(const struct connection *connection) {
  const struct connection_pool *pool = connection->pool;
  uint32_t silent_ms = (uint32_t)pool->loop->now_ms - connection->last_received_ms;
  if (!connection->was_pinged || silent_ms < 2 * pool->limits.ping_interval_ms) return false;
  /* A connection that we do not read for reasons of our own cannot be blamed for silence. */
  if ((connection->pauses & ~(unsigned)CONNECTION_PAUSE_OUTPUT) != 0) return false;
  return connection->pauses != 0 || !stream_has_bytes(&connection->stream);
}

static void on_ping_due(struct deadline *deadline, void *context) {
  (void)context;
  struct connection *connection = container_of(deadline, struct connection, deadline);
  struct connection_pool *pool = connection->pool;
  if (is_dead(connection)) {
    metrics_add(pool->metrics, METRIC_DEAD_PEERS, 1);
    connection_drop(connection);
    return;
  }
  deadline_arm(pool->loop, &pool->pings, deadline);
  if (connection->state == CONNECTION_STREAM) {
    /* No answer will tell that the peer lives: of that the socket's own timeout takes care. */
    connection_stream_bytes(connection, SLICE(":\n\n"));
  } else {
    connection->was_pinged = true;
    connection_send(connection, WS_PING, SLICE(""));
  }
}

static void on_closing_due(struct deadline *deadline, void *context) {
  (void)context;
  connection_drop(container_of(deadline, struct connection, deadline));
}

/* ---- the pool ---- */

void connection_pool_init(struct connection_pool *pool, struct loop *loop,
                          const struct connection_limits *limits, struct metrics *metrics,
                          const struct connection_handler *handler, void *context) {
  memset(pool, 0, sizeof *pool);
  pool->loop = loop;
  pool->limits = *limits;
  pool->metrics = metrics;
  pool->handler = handler;
  pool->context = context;
  pool->flush_ns = LOOP_SHARE_NS;
  pool->recv_buffer = x_malloc(CONNECTION_RECV_SIZE);
  chunk_arena_init(&pool->arena);
  deadline_list_add(loop, &pool->handshakes, limits->handshake_timeout_ms, on_handshake_due, pool);
  deadline_list_add(loop, &pool->pings, limits->ping_interval_ms, on_ping_due, pool);
  deadline_list_add(loop, &pool->closings, CLOSE_TIMEOUT_MS, on_closing_due, pool);
  deadline_list_add(loop, &pool->lingers, LINGER_TIMEOUT_MS, on_closing_due, pool);
}

bool connection_pool_use_ring(struct connection_pool *pool) {
  pool->ring = send_ring_new();
  return pool->ring != NULL;
}

struct ws_deflater *connection_pool_deflater(struct connection_pool *pool) {
  if (pool->deflater == NULL) pool->deflater = ws_deflater_new();
  return pool->deflater;
}

static void free_dead(struct connection_pool *pool) {
  while (pool->dead != NULL) {
    struct connection *connection = pool->dead;
    pool->dead = connection->next_dirty;
    free(connection);
  }
}

void connection_pool_done(struct connection_pool *pool) {
  for (uint32_t i = 0; i < pool->slot_count; i++) {
    if (pool->slots[i] != NULL) connection_drop(pool->slots[i]);
  }
  pool->flush_ns = UINT64_MAX;
  while (pool->answers.first != NULL || pool->deliveries.first != NULL)
    connection_pool_flush(pool);
  deadline_list_remove(&pool->handshakes);
  deadline_list_remove(&pool->pings);
  deadline_list_remove(&pool->closings);
  deadline_list_remove(&pool->lingers);
  send_ring_free(pool->ring);
  chunk_arena_done(&pool->arena);
  ws_inflater_free(pool->inflater);
  ws_deflater_free(pool->deflater);
  free(pool->recv_buffer);
  free(pool->slots);
  free(pool->generations);
  free(pool->free_slots);
}

/* ---- sending ---- */

static bool is_finished(const struct connection *connection) {
  return connection->state == CONNECTION_CLOSING && !connection->awaits_close;
}

/* All that was queued has left a connection that has nothing more to say. Closing the descriptor
 * now could reset the connection and destroy what the peer has not read yet: send our end and wait
 * for the peer's. */
static void on_finished(struct connection *connection) {
  if (connection->has_hung_up) {
    connection_drop(connection);
    return;
  }
  if (connection->is_shut) return;
  connection->is_shut = true;
  stream_shutdown(&connection->stream);
  deadline_arm(connection->pool->loop, &connection->pool->lingers, &connection->deadline);
}

/* After a flush, with what it answered and has sent; a peer that is gone is dropped. */
static inline void note_sent(struct connection *connection, bool was_blocked, int err,
                             size_t sent) {
  struct connection_pool *pool = connection->pool;
  metrics_add(pool->metrics, METRIC_SENT_BYTES, sent);
  /* A slow reader whose queue moves is alive, even if our pings wait in that queue. */
  if (was_blocked && sent > 0) connection->last_received_ms = (uint32_t)pool->loop->now_ms;
  if (err == ERR_CLOSED) connection_drop(connection);
}

/* What out_queue_flush answers. */
static inline int send_some(struct connection *connection) {
  bool was_blocked = connection->out.blocked;
  size_t sent = 0;
  int err = out_queue_flush(&connection->out, &connection->stream, &sent);
  note_sent(connection, was_blocked, err, sent);
  return err;
}

/* Everything that can be is sent. */
static inline void settle_sent(struct connection *connection, int err) {
  if (err == ERR_CLOSED) return;
  if (err == ERR_AGAIN) {
    if (connection->out.bytes > OUTPUT_PAUSE_BYTES)
      connection_pause(connection, CONNECTION_PAUSE_OUTPUT);
    return;
  }
  if (connection->pauses & CONNECTION_PAUSE_OUTPUT)
    connection_resume(connection, CONNECTION_PAUSE_OUTPUT);
  if (is_finished(connection)) on_finished(connection);
}

static void bury(struct connection *connection) {
  struct connection_pool *pool = connection->pool;
  slot_give(pool, connection->ref.slot);
  pool->open_count--;
  metrics_set(pool->metrics, METRIC_CURRENT_CONNECTIONS_COUNT, pool->open_count);
  metrics_add(pool->metrics, METRIC_TOTAL_DISCONNECT_COUNT, 1);
  pool->handler->on_closed(connection);
  connection->next_dirty = pool->dead;
  pool->dead = connection;
}

static void on_ring_sent(void *owner, ssize_t result) {
  struct connection *connection = owner;
  bool was_blocked = connection->out.blocked;
  size_t sent = 0;
  int err = out_queue_continue(&connection->out, &connection->stream, result, &sent);
  note_sent(connection, was_blocked, err, sent);
  settle_sent(connection, err);
}

static inline void flush_first(struct dirty_list *list, struct send_ring *ring) {
  struct connection *connection = list->first;
  list->first = connection->next_dirty;
  list->count--;
  connection->is_dirty = false;
  if (connection->state == CONNECTION_CLOSED) {
    bury(connection);
    return;
  }
  struct slice piece = ring != NULL ? out_queue_piece(&connection->out) : (struct slice){NULL, 0};
  if (piece.ptr != NULL) {
    send_ring_add(ring, connection->stream.fd, piece, connection);
  } else {
    settle_sent(connection, send_some(connection));
  }
}

/* TLS makes records of what is to be sent, and sends them itself. */
static bool suits_ring(const struct connection_pool *pool, const struct dirty_list *list) {
  return pool->ring != NULL && list->first->stream.tls == NULL;
}

static void flush_by_ring(struct connection_pool *pool, struct dirty_list *list) {
  while (list->first != NULL && suits_ring(pool, list) && send_ring_takes(pool->ring))
    flush_first(list, pool->ring);
  send_ring_submit(pool->ring, on_ring_sent);
}

static inline void flush_one_by_one(struct dirty_list *list) {
  size_t bytes = 0;
  for (int i = 0; i < FLUSH_STEP && bytes < FLUSH_STEP_BYTES && list->first != NULL; i++) {
    bytes += list->first->out.bytes;
    flush_first(list, NULL);
  }
}

static void flush_list(struct connection_pool *pool, struct dirty_list *list) {
  uint64_t start_ns = list->first != NULL ? clock_monotonic_ns() : 0;
  while (list->first != NULL) {
    if (list->count >= RING_WORTH && suits_ring(pool, list)) {
      flush_by_ring(pool, list);
    } else {
      flush_one_by_one(list);
    }
    if (list->first != NULL && clock_monotonic_ns() - start_ns > pool->flush_ns) {
      loop_hurry(pool->loop);
      break;
    }
  }
}

void connection_pool_flush(struct connection_pool *pool) {
  flush_list(pool, &pool->answers);
  flush_list(pool, &pool->deliveries);
  /* Sending may have closed or answered somebody. */
  if (pool->answers.first != NULL) loop_hurry(pool->loop);
  free_dead(pool);
  chunk_arena_rewind(&pool->arena);
}

void connection_queue(struct connection *connection, struct slice head, struct slice body) {
  struct chunk_arena *arena = &connection->pool->arena;
  char *at = chunk_arena_reserve(arena, head.len + body.len);
  memcpy(at, head.ptr, head.len);
  if (body.len > 0) memcpy(at + head.len, body.ptr, body.len);
  struct span span = chunk_arena_commit(arena, head.len + body.len);
  out_queue_push(&connection->out, &span);
  connection_mark_dirty(connection);
}

void connection_pace(struct connection *connection) {
  if (connection->out.bytes > OUTPUT_PAUSE_BYTES) {
    connection_pause(connection, CONNECTION_PAUSE_OUTPUT);
  }
}

static void queue_frame(struct connection *connection, enum ws_opcode opcode,
                        struct slice payload) {
  char header[WS_FRAME_HEADER_MAX];
  size_t header_len = ws_frame_header_encode(header, opcode, payload.len);
  connection_queue(connection, slice_of(header, header_len), payload);
}

/* False: not worth it. */
static bool queue_compressed(struct connection *connection, enum ws_opcode opcode,
                             struct slice payload) {
  AUTO(buf) struct buf compressed = BUF_INIT;
  struct ws_deflater *deflater = connection_pool_deflater(connection->pool);
  if (!ws_deflater_run(deflater, connection->deflate.server_bits, &payload, 1, &compressed))
    return false;
  metrics_add(connection->pool->metrics, METRIC_COMPRESSIONS, 1);
  char header[WS_FRAME_HEADER_MAX];
  size_t header_len = ws_frame_header_encode_compressed(header, opcode, compressed.len);
  connection_queue(connection, slice_of(header, header_len), buf_slice(&compressed));
  return true;
}

static bool may_compress(const struct connection *connection, enum ws_opcode opcode,
                         struct slice payload) {
  return connection->deflate.server_bits != 0 && payload.len >= WS_DEFLATE_MIN &&
         !ws_opcode_is_control(opcode);
}

void connection_send(struct connection *connection, enum ws_opcode opcode, struct slice payload) {
  if (connection->state != CONNECTION_WEBSOCKET) return;
  if (!may_compress(connection, opcode, payload) || !queue_compressed(connection, opcode, payload))
    queue_frame(connection, opcode, payload);
  connection_pace(connection);
  if (connection->out.bytes > connection->pool->limits.max_send_queue)
    connection_overflow(connection);
}

void connection_stream_bytes(struct connection *connection, struct slice bytes) {
  if (connection->state != CONNECTION_STREAM) return;
  connection_queue(connection, bytes, SLICE(""));
  if (connection->out.bytes > connection->pool->limits.max_send_queue)
    connection_overflow(connection);
}

/* End of the frame of ours that contains byte `at`; see out_queue_boundary_fn. */
static size_t frame_boundary(const char *bytes, size_t len, size_t at) {
  size_t end = 0;
  while (end < at) {
    const unsigned char *p = (const unsigned char *)bytes + end;
    uint64_t payload = p[1];
    if (payload == 126) payload = (uint64_t)p[2] << 8 | p[3];
    if (p[1] == 127) {
      payload = 0;
      for (int i = 0; i < 8; i++)
        payload = payload << 8 | p[2 + i];
    }
    end += ws_frame_header_len(payload) + payload;
  }
  assert(end <= len);
  return end;
}

void connection_start_closing(struct connection *connection) {
  connection->state = CONNECTION_CLOSING;
  connection->pauses = 0;
  deadline_arm(connection->pool->loop, &connection->pool->closings, &connection->deadline);
  connection_mark_dirty(connection);
  if (connection->is_readable) loop_again(connection->pool->loop, &connection->io);
}

static void queue_close_frame(struct connection *connection, enum ws_close_code code,
                              struct slice reason) {
  metrics_add(connection->pool->metrics, metrics_of_close_code(code), 1);
  char payload[WS_CONTROL_MAX];
  size_t len = reason.len < CLOSE_REASON_MAX ? reason.len : CLOSE_REASON_MAX;
  if (code == WS_CLOSE_NO_STATUS) {
    queue_frame(connection, WS_CLOSE, SLICE(""));
    return;
  }
  payload[0] = (char)((unsigned)code >> 8);
  payload[1] = (char)((unsigned)code & 0xff);
  memcpy(payload + 2, reason.ptr, len);
  queue_frame(connection, WS_CLOSE, slice_of(payload, len + 2));
}

/* The last words on a stream. */
static void queue_last_comment(struct connection *connection, enum ws_close_code code,
                               struct slice reason) {
  metrics_add(connection->pool->metrics, metrics_of_close_code(code), 1);
  AUTO(buf) struct buf comment = BUF_INIT;
  sse_append_comment(&comment, reason);
  connection_queue(connection, buf_slice(&comment), SLICE(""));
}

/* Tells a client with which messages flow why they end, and closes. */
static void part(struct connection *connection, enum ws_close_code code, struct slice reason) {
  if (connection->state == CONNECTION_WEBSOCKET) {
    queue_close_frame(connection, code, reason);
    connection->awaits_close = true;
  } else {
    queue_last_comment(connection, code, reason);
  }
  connection_start_closing(connection);
}

void connection_overflow(struct connection *connection) {
  struct connection_pool *pool = connection->pool;
  /* Much was queued within this turn; the client may well be able to take it, also one that could
   * not the last time. */
  if (send_some(connection) == ERR_CLOSED) return;
  if (connection->out.bytes <= pool->limits.max_send_queue) return;
  metrics_add(pool->metrics, METRIC_SLOW_CONSUMERS, 1);
  out_queue_truncate(&connection->out,
                     connection->state == CONNECTION_STREAM ? sse_event_boundary : frame_boundary);
  part(connection, WS_CLOSE_TRY_AGAIN, SLICE("the client reads too slowly"));
}

void connection_close(struct connection *connection, enum ws_close_code code, struct slice reason) {
  if (connection_is_live(connection)) {
    part(connection, code, reason);
  } else if (connection->state == CONNECTION_HTTP) {
    connection_start_closing(connection);
  }
}

void connection_drop(struct connection *connection) {
  if (connection->state == CONNECTION_CLOSED) return;
  struct connection_pool *pool = connection->pool;
  connection->state = CONNECTION_CLOSED;
  connection->pauses = 0; /* no input is kept for later */
  deadline_disarm(&connection->deadline);
  loop_remove(pool->loop, &connection->io);
  stream_close(&connection->stream);
  out_queue_done(&connection->out);
  ws_decoder_done(&connection->decoder);
  connection_free_input(connection);
  if (connection->deflate.server_bits != 0) {
    ws_window_free(connection->window);
  } else {
    connection_free_body(connection);
  }
  connection_mark_dirty(connection); /* buried at the end of the turn */
}

/* ---- accepting ---- */

static void set_peer(struct connection *connection, const struct sockaddr_storage *peer) {
  if (peer->ss_family == AF_INET6) {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;
    memcpy(connection->peer_address, &v6->sin6_addr, sizeof connection->peer_address);
    connection->peer_port = ntohs(v6->sin6_port);
  } else if (peer->ss_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
    address_from_v4((const uint8_t *)&v4->sin_addr, connection->peer_address);
    connection->peer_port = ntohs(v4->sin_port);
  }
}

static bool is_proxy(const struct connection *connection) {
  return network_list_holds(&connection->pool->proxies, connection->peer_address);
}

void connection_set_client(struct connection *connection, const struct proxied *client) {
  memcpy(connection->peer_address, client->address, sizeof connection->peer_address);
  connection->peer_port = client->port;
}

void connection_peer_text(const struct connection *connection, char *out, size_t cap) {
  address_text(connection->peer_address, out, cap);
}

/* Edge-triggered for both directions, once: waiting for room to write needs no epoll_ctl. */
static int start(struct connection *connection, struct tls_config *tls) {
  int err = tls == NULL ? 0 : stream_start_tls(&connection->stream, tls);
  if (err < 0) return err;
  return loop_add(connection->pool->loop, &connection->io,
                  EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static struct connection *new_connection(struct connection_pool *pool, int fd) {
  struct connection *connection = x_calloc(1, sizeof *connection);
  connection->io.fd = fd;
  connection->io.on_ready = connection_on_ready;
  connection->pool = pool;
  connection->state = CONNECTION_HTTP;
  connection->last_received_ms = (uint32_t)pool->loop->now_ms;
  stream_open(&connection->stream, fd);
  out_queue_init(&connection->out);
  deadline_init(&connection->deadline);
  ws_decoder_init(&connection->decoder);
  return connection;
}

struct connection *connection_open(struct connection_pool *pool, int fd,
                                   const struct sockaddr_storage *peer, struct tls_config *tls) {
  struct connection *connection = new_connection(pool, fd);
  set_peer(connection, peer);
  if (is_proxy(connection)) connection->proxy = CONNECTION_PROXY_BEGINS;
  if (start(connection, tls) < 0) {
    stream_close(&connection->stream);
    free(connection);
    return NULL;
  }
  connection->ref.slot = slot_take(pool);
  connection->ref.generation = pool->generations[connection->ref.slot];
  pool->slots[connection->ref.slot] = connection;
  pool->open_count++;
  metrics_set(pool->metrics, METRIC_CURRENT_CONNECTIONS_COUNT, pool->open_count);
  metrics_add(pool->metrics, METRIC_TOTAL_CONNECT_COUNT, 1);
  deadline_arm(pool->loop, &pool->handshakes, &connection->deadline);
  return connection;
}

/* ---- back-pressure ---- */

void connection_pause(struct connection *connection, enum connection_pause why) {
  if (connection_is_ending(connection)) return;
  connection->pauses |= (uint8_t)why;
}

void connection_resume(struct connection *connection, enum connection_pause why) {
  bool was_paused = connection->pauses != 0;
  connection->pauses &= (uint8_t)~why;
  bool may_read = connection->is_readable || connection->pending_input != NULL;
  if (!was_paused || connection->pauses != 0 || connection->state == CONNECTION_CLOSED || !may_read)
    return;
  loop_again(connection->pool->loop, &connection->io);
}
