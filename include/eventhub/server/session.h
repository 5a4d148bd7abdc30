#ifndef EVENTHUB_SERVER_SESSION_H
#define EVENTHUB_SERVER_SESSION_H

/*
 * An authenticated client: its token, its subscriptions, its requests that wait for the store.
 * Lives on the worker's thread: that of a WebSocket or a stream of events from the upgrade to the
 * end of the connection, that of a POST from the request's head to its answer.
 */

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/list.h"
#include "eventhub/server/expiry.h"
#include "eventhub/store/store.h"

struct connection;
struct token;
struct worker;

enum {
  SESSION_PENDING_MAX = 1024, /* store requests in flight; past it the client is not read */
  SESSION_PENDING_LOW = 512   /* ... until there are no more than these */
};

enum session_kind {
  SESSION_WEBSOCKET,
  SESSION_STREAM, /* of server-sent events: one subscription, no requests */
  SESSION_POST    /* part of a struct post (http_post.h) */
};

struct session {
  struct worker *worker;
  struct connection *connection;
  struct token *token; /* a reference; NULL: authentication is off */
  struct list subscriptions;
  uint32_t subscription_count;
  uint32_t pending;       /* what it waits for: requests to the store, a batch that runs */
  uint32_t pending_reads; /* of these, those whose answers may be long */
  struct buf kept;        /* a message that asks for a long answer while one is on its way; of a
                             stream that waits for its subscription, its headers */
  uint64_t last_serial;   /* of its requests to subscribe */
  uint8_t kind;           /* enum session_kind */
  bool is_leaving;        /* asked to be disconnected: closes when nothing is pending any more */
  struct expiry_item expiry;
};

/* Makes it the connection's session. Takes over the token's reference. */
void session_init(struct session *session, enum session_kind kind, struct worker *worker,
                  struct connection *connection, struct token *token);
void session_done(struct session *session);

/* The session of a WebSocket or a stream, which is open. It has a place among the process'
 * connections (admission.h), and gives it back when it is closed. */
struct session *session_open(struct worker *worker, struct connection *connection,
                             enum session_kind kind, struct token *token);
/* The connection's handler calls these. */
void session_on_text(struct session *session, char *data, size_t len);
void session_close(struct session *session);

/* A request of the session goes to the store, or has come back. While too many are away, the client
 * is not read: what it asks for next waits in its socket. So it is while a message waits that asks
 * for a long answer (a value, a history) before another such answer has come. */
void session_request_started(struct session *session, enum store_op op);
void session_request_finished(struct session *session, enum store_op op);
/* The same for what keeps the session busy without asking the store. Releasing a session for a POST
 * may free it. */
void session_hold(struct session *session);
void session_release(struct session *session);

/* Reads nothing more, and closes with 1000 as soon as all pending requests are answered. */
void session_leave(struct session *session);
/* A message is handled: closes the session if it leaves and waits for nothing. */
void session_leave_when_idle(struct session *session);
/* The session goes on with this token. Takes over the reference. */
void session_take_token(struct session *session, struct token *token);
/* The token has run out: closes with 1008. */
void session_expire(struct session *session);

#endif
