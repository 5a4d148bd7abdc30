#ifndef EVENTHUB_SERVER_CONNECTION_H
#define EVENTHUB_SERVER_CONNECTION_H

/*
 * One client's connection, from accept to close: HTTP requests, then perhaps WebSocket frames or a
 * stream of server-sent events. What the bytes mean is the handler's business (the broker's
 * session, or an echo server); this module reads, answers pings, closes properly, and never holds
 * more for a client than the limits say.
 *
 *          connection_upgrade
 *   HTTP ----------------------> WEBSOCKET --- connection_close, peer's close, failure ---> CLOSING
 *    | |   connection_stream                                                                 ^  |
 *    | +-----------------------> STREAM ------ connection_close -----------------------------+  |
 *    +-- response with Connection: close, bad request ---------------------------------------+  |
 *                                                                                               |
 *                  CLOSED (freed at the end of the turn) <--- flushed, peer closed or time is up +
 *
 * HTTP requests are answered one after the other, in order: while the handler owes an answer, what
 * the client has sent behind its request (pipelining) waits.
 *
 * All functions belong to the thread of the pool's loop. A connection is freed only at the end of a
 * turn, so a pointer stays good for as long as the callback that got it runs; across turns and
 * threads a connection is named by its connection_ref.
 */

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/slice.h"
#include "eventhub/net/loop.h"
#include "eventhub/net/out_queue.h"
#include "eventhub/net/stream.h"
#include "eventhub/proto/http_request.h"
#include "eventhub/proto/http_response.h"
#include "eventhub/proto/proxy_header.h"
#include "eventhub/proto/ws_deflate.h"
#include "eventhub/proto/ws_frame.h"
#include "eventhub/proto/ws_handshake.h"
#include "eventhub/proto/ws_message.h"
#include "eventhub/server/metrics.h"

struct connection;
struct connection_body;
struct connection_pool;
struct sockaddr_storage;

enum connection_state {
  CONNECTION_HTTP,
  CONNECTION_CLOSING, /* nothing more is accepted; what is queued leaves, then the peer's end is
                         awaited */
  CONNECTION_CLOSED,
  /* Messages flow to the client: */
  CONNECTION_WEBSOCKET,
  CONNECTION_STREAM
};

/* Why a connection does not read at the moment; any number of them. */
enum connection_pause {
  CONNECTION_PAUSE_REQUESTS = 1, /* too many requests wait for the store */
  CONNECTION_PAUSE_OUTPUT = 2,   /* the client reads too slowly for what it asks */
  CONNECTION_PAUSE_READS = 4,    /* a request for a long answer waits for another such answer */
  CONNECTION_PAUSE_DRAIN = 8,    /* the server stops */
  CONNECTION_PAUSE_ANSWER = 16,  /* an HTTP request is not answered yet */
  CONNECTION_PAUSE_BATCH = 32    /* the requests of a batch are not all run yet */
};

/* What the handler owes for the HTTP request that it has. */
enum connection_debt {
  CONNECTION_DEBT_NONE,
  CONNECTION_DEBT_ANSWER,
  CONNECTION_DEBT_BODY /* an answer, and nobody has taken the body: nothing can be read behind it */
};

/* A name that outlives the connection: never refers to another one. */
struct connection_ref {
  uint32_t slot, generation;
};

struct connection_handler {
  /* A request's head, gone after the call. It gets one answer, now or later: connection_respond,
   * _refuse, _upgrade or _stream. Where it announces a body (has_body) that is wanted,
   * connection_take_body comes first; answered without it, the connection closes. */
  void (*on_request)(struct connection *connection, const struct http_request *request);
  /* The whole body that connection_take_body has asked for, gone after the call. The answer is
   * still owed. NULL where no body is ever taken. */
  void (*on_body)(struct connection *connection, struct slice body);
  /* A whole message; data may be written to and is gone after the call. `opcode` is WS_TEXT or
   * WS_BINARY. */
  void (*on_message)(struct connection *connection, enum ws_opcode opcode, char *data, size_t len);
  /* At the end of the turn in which the connection closed, once for each that was accepted,
   * whatever the reason. Nothing can be sent any more. */
  void (*on_closed)(struct connection *connection);
};

struct connection_limits {
  struct ws_limits message;      /* max_message is the limit of an HTTP body, too */
  size_t max_send_queue;         /* bytes that wait for one client; beyond it 1013 */
  uint32_t handshake_timeout_ms; /* from accept, or from the last response, to the next complete
                                    request */
  uint32_t ping_interval_ms;
};

/* What is known of a trusted proxy at the other end. */
enum connection_proxy {
  CONNECTION_NO_PROXY,
  CONNECTION_PROXY_BEGINS, /* its first bytes may be a header of the PROXY protocol */
  CONNECTION_PROXY         /* its requests may name clients */
};

/* Connections with something to send, the oldest first. A connection stands in one of the pool's
 * lists: who is served by a wide fan-out waits for its turn, and others do not wait behind it. */
struct dirty_list {
  struct connection *first, *last;
  uint32_t count;
};

struct connection_pool {
  struct loop *loop;
  const struct connection_handler *handler;
  void *context; /* the handler's */
  struct connection_limits limits;
  struct metrics *metrics; /* of this thread */
  struct chunk_arena arena;
  struct deadline_list handshakes, pings, closings, lingers;
  struct connection **slots; /* NULL where free */
  uint32_t *generations;
  uint32_t slot_count, slot_cap;
  uint32_t *free_slots;
  uint32_t free_count;
  uint32_t open_count;
  /* To flush at the end of the turn: what was asked for, and what came by fan-out. */
  struct dirty_list answers, deliveries;
  struct network_list proxies; /* that are trusted; the caller's memory */
  uint64_t flush_ns;           /* that sending each of them may take of a turn */
  struct send_ring *ring;      /* NULL: sends are made one by one */
  struct connection *dead;     /* to free at the end of the turn */
  char *recv_buffer;
  struct ws_inflater *inflater; /* for all connections; NULL before the first use */
  struct ws_deflater *deflater;
};

struct connection {
  struct loop_io io;
  struct connection_pool *pool;
  struct out_queue out;
  struct connection *next_dirty;
  uint8_t state;     /* enum connection_state */
  uint8_t pauses;    /* enum connection_pause */
  bool is_dirty;     /* stands in one of the pool's lists */
  bool is_readable;  /* bytes may wait in the socket that no further event tells of */
  bool has_hung_up;  /* the peer has sent its end */
  bool awaits_close; /* our close frame is sent or queued, the peer's is still to come */
  bool is_shut;      /* we have sent our end */
  bool was_pinged;   /* nothing has come since the last ping */
  struct stream stream;
  struct connection_ref ref;
  struct deadline deadline;
  struct ws_decoder decoder;
  struct buf *pending_input; /* bytes that could not be used yet; NULL without any */
  union {
    struct connection_body *body; /* of an HTTP request, while it comes; else NULL */
    struct ws_window *window;     /* with compression: what a client with context refers to */
  };
  void *session;                       /* the handler's */
  uint8_t peer_address[ADDRESS_BYTES]; /* the client's, where a trusted proxy has told it */
  uint16_t peer_port;
  struct ws_deflate deflate; /* compression, as it was negotiated */
  uint8_t debt;              /* enum connection_debt */
  uint8_t proxy;             /* enum connection_proxy */
  uint8_t format;            /* the handler's: in which form messages go out; 0 at first */
  uint32_t last_received_ms; /* of the loop's clock, cut to 32 bits */
};

/* The loop and everything passed must outlive the pool. */
void connection_pool_init(struct connection_pool *pool, struct loop *loop,
                          const struct connection_limits *limits, struct metrics *metrics,
                          const struct connection_handler *handler, void *context);
/* From now on many sends are made in one system call (send_ring.h). False: that is not offered. */
bool connection_pool_use_ring(struct connection_pool *pool);
/* Closes what is still open, without ceremony. */
void connection_pool_done(struct connection_pool *pool);
/* Belongs at the end of each turn: sends what is queued, one system call per connection, and frees
 * what was closed. Where that takes too long the rest is left for the next turn, which does not
 * sleep. */
void connection_pool_flush(struct connection_pool *pool);
/* Made with the first use. */
struct ws_deflater *connection_pool_deflater(struct connection_pool *pool);
struct connection *connection_find(struct connection_pool *pool, struct connection_ref ref);

/* Takes over an accepted socket, on which TLS is spoken unless `tls` is NULL. NULL (and the
 * descriptor closed) where the loop does not take it. */
struct connection *connection_open(struct connection_pool *pool, int fd,
                                   const struct sockaddr_storage *peer, struct tls_config *tls);

/* From on_request: the body is wanted. on_body gets it, at once or later; where it is too large or
 * malformed the connection answers by itself and closes. */
void connection_take_body(struct connection *connection, const struct http_request *request);
/* Queues a response; closes after it unless response->keep_alive. */
void connection_respond(struct connection *connection, const struct http_response *response);
/* Queues a refusal with a JSON body and closes. `extra_headers` are complete lines. */
void connection_refuse(struct connection *connection, int status, struct slice extra_headers,
                       struct slice message);
/* Answers 101; from now on messages come. */
void connection_upgrade(struct connection *connection, const struct ws_handshake *handshake);

/* Answers 200 with a body that has no end until the connection closes, text/event-stream; from now
 * on only connection_push and connection_stream_bytes send, and what the client sends is not looked
 * at. `extra_headers` are complete lines. */
void connection_stream(struct connection *connection, struct slice extra_headers);
/* Queues whole events or comments (sse.h). Ignored once the connection is closing. */
void connection_stream_bytes(struct connection *connection, struct slice bytes);

/* Was the client told goodbye, or is it gone? Then nothing is done for it any more. */
static inline bool connection_is_ending(const struct connection *connection) {
  return connection->state == CONNECTION_CLOSING || connection->state == CONNECTION_CLOSED;
}

/* Is it open for messages? */
static inline bool connection_is_live(const struct connection *connection) {
  return connection->state >= CONNECTION_WEBSOCKET;
}

/* Queues one whole message, compressed where that was negotiated and makes it shorter. Ignored once
 * the connection is closing. */
void connection_send(struct connection *connection, enum ws_opcode opcode, struct slice payload);
/* Queues encoded frames or events; they lie in the pool's arena, or in a chunk of this thread. The
 * hot path of a fan-out: nothing is copied. */
static inline void connection_push(struct connection *connection, const struct span *frames);

/* Sends a close frame (RFC 6455 5.5.1) behind what is queued and waits for the peer's; a stream
 * ends with a comment that holds the reason. `reason` is at most 123 bytes of UTF-8, without line
 * ends. */
void connection_close(struct connection *connection, enum ws_close_code code, struct slice reason);
/* Ends it now; what is queued is lost. */
void connection_drop(struct connection *connection);

void connection_pause(struct connection *connection, enum connection_pause why);
void connection_resume(struct connection *connection, enum connection_pause why);

enum { CONNECTION_PEER_TEXT_MAX = 46 };
/* From here on the peer is the client that its proxy speaks for. */
void connection_set_client(struct connection *connection, const struct proxied *client);
/* "192.0.2.1" or "2001:db8::1" for logs; `cap` at least CONNECTION_PEER_TEXT_MAX. */
void connection_peer_text(const struct connection *connection, char *out, size_t cap);

/* The parts of connection_push that are not the common case. */
void connection_overflow(struct connection *connection);

static inline void connection_make_dirty(struct connection *connection, struct dirty_list *list) {
  if (connection->is_dirty) return;
  connection->is_dirty = true;
  connection->next_dirty = NULL;
  if (list->first == NULL) {
    list->first = connection;
  } else {
    list->last->next_dirty = connection;
  }
  list->last = connection;
  list->count++;
}

static inline void connection_mark_dirty(struct connection *connection) {
  connection_make_dirty(connection, &connection->pool->answers);
}

static inline void connection_push(struct connection *connection, const struct span *frames) {
  if (!connection_is_live(connection)) return;
  out_queue_push(&connection->out, frames);
  connection_make_dirty(connection, &connection->pool->deliveries);
  if (connection->out.bytes > connection->pool->limits.max_send_queue)
    connection_overflow(connection);
}

#endif
