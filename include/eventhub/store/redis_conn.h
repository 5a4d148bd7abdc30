#ifndef EVENTHUB_STORE_REDIS_CONN_H
#define EVENTHUB_STORE_REDIS_CONN_H

/*
 * One connection to Redis: hiredis' asynchronous context on our loop, from connecting through the
 * greeting (password, database, version, role, scripts) to its end, which comes by itself or when
 * Redis owes an answer for too long. Making it again is the owner's business.
 *
 *            redis_conn_open             greeted: on_up
 *   DOWN  ---------------------> OPENING -------------> UP
 *     ^                             |                    |
 *     +---- on_down (with reason) --+--------------------+
 *
 * Commands are written at the end of the turn, all that a turn has brought in one go. When the
 * connection goes, answers that are still owed are passed as NULL, then on_down is called; it never
 * comes from within a call of the owner's, but from the loop or redis_conn_flush.
 *
 * Store thread only.
 */

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/net/loop.h"
#include "eventhub/store/redis.h"

struct redisAsyncContext;
struct redisReply;
struct redis_conn;
struct redis_waiting;

enum redis_conn_state { REDIS_CONN_DOWN, REDIS_CONN_OPENING, REDIS_CONN_UP };

enum {
  /* A Redis that owes an answer for so long is away. One is asked for every half second, so that a
   * Redis that hangs is found out within 3 seconds. */
  REDIS_CONN_SILENCE_MS = 2500,
  REDIS_CONN_GONE_MS = 2000,
  REDIS_CONN_REASON_MAX = 192
};

/* A numeric address or the path of a socket. */
struct redis_endpoint {
  char host[256];
  uint16_t port; /* 0 = it is a path */
};

struct redis_conn_handler {
  void (*on_up)(struct redis_conn *conn);
  /* conn->reason says why. */
  void (*on_down)(struct redis_conn *conn);
};

/* `reply` is lent for the call; NULL: the connection went. */
typedef void redis_reply_fn(const struct redisReply *reply, void *context);

struct redis_conn {
  struct loop *loop;
  const struct redis_config *config;
  const struct redis_conn_handler *handler;
  bool with_scripts; /* runs scripts; else it subscribes */
  enum redis_conn_state state;
  struct redisAsyncContext *context; /* NULL = down */
  struct loop_io io;
  uint32_t events; /* that the loop watches */
  bool is_connected, wants_write, is_doomed;
  bool had_come_up;              /* this time */
  struct redis_waiting *waiting; /* a ring of those who are owed an answer, in order */
  uint32_t first_waiting, waiting_count, waiting_cap;
  uint32_t owed;      /* answers and confirmations */
  uint32_t greetings; /* answers to the greeting that are still to come */
  redis_reply_fn *on_message;
  void *on_message_context;
  uint64_t waiting_ms; /* since when it is owed something without a byte having come */
  char reason[REDIS_CONN_REASON_MAX];
  uint64_t down_ms; /* since when it is not up */
  /* The owner's, for making it again. */
  bool had_been_up; /* ever */
  uint64_t retry_at_ms;
  uint32_t backoff_ms;
};

/* The config must outlive it. */
void redis_conn_init(struct redis_conn *conn, struct loop *loop, const struct redis_config *config,
                     const struct redis_conn_handler *handler, bool with_scripts);
/* Answers nobody any more. */
void redis_conn_done(struct redis_conn *conn);

/* A connection that is down begins to come up; where even that fails, on_down follows. */
void redis_conn_open(struct redis_conn *conn, const struct redis_endpoint *endpoint);
/* Ends it at the end of the turn, with this reason. */
void redis_conn_drop(struct redis_conn *conn, const char *reason);

/* A command as its bytes (resp.h). The connection is up; on_reply may be NULL. */
void redis_conn_send(struct redis_conn *conn, struct buf *command, redis_reply_fn *on_reply,
                     void *context);
/* SUBSCRIBE, PSUBSCRIBE or their opposites with `count` channels, on a connection without scripts:
 * on_reply is called for each confirmation and for each message, until the end of the connection.
 * It is the same function in all calls. */
void redis_conn_subscribe(struct redis_conn *conn, struct buf *command, uint32_t count,
                          redis_reply_fn *on_reply, void *context);
/* Loads the scripts again. */
void redis_conn_load_scripts(struct redis_conn *conn);

/* End of the turn: writes, and ends what is to end. */
void redis_conn_flush(struct redis_conn *conn);
/* Has it been down for so long that one should not wait for it? */
bool redis_conn_is_gone(const struct redis_conn *conn);
/* Now and then: drops a connection that is owed an answer for too long. */
void redis_conn_check(struct redis_conn *conn);

#endif
