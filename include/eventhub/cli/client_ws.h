/*
 * A WebSocket client (RFC 6455) that waits: for messages, for another descriptor, for a deadline or
 * a signal. It answers pings, and takes a server that is silent in spite of its own pings for gone.
 * One thread.
 */
#ifndef EVENTHUB_CLI_CLIENT_WS_H
#define EVENTHUB_CLI_CLIENT_WS_H

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"
#include "eventhub/cli/client_socket.h"

struct client_ws {
  struct client_socket socket;
  struct buf in, out;
  size_t in_at;          /* bytes of `in` that are used up */
  uint64_t queued_total; /* bytes that were ever put into `out` */
  struct buf message;    /* fragments so far, and the message that is lent */
  bool in_message;
  uint64_t last_received_ms, last_ping_ms;
  unsigned close_code; /* of the server's close frame; 1006 where it just went (RFC 6455 7.1.5) */
  struct buf close_reason;
};

enum client_event {
  CLIENT_MESSAGE,
  CLIENT_INPUT,       /* the other descriptor can be read */
  CLIENT_SENT,        /* what was queued has left */
  CLIENT_TIMEOUT,     /* the deadline has come */
  CLIENT_INTERRUPTED, /* SIGINT or SIGTERM */
  CLIENT_CLOSED
};

/* From here on SIGINT and SIGTERM end waits, and SIGPIPE does nothing. */
void client_catch_signals(void);
bool client_is_interrupted(void);
/* Ends early for a signal. */
void client_sleep(uint64_t ms);

void client_ws_init(struct client_ws *ws);
/* Ends the connection without ceremony and gives back all memory. */
void client_ws_done(struct client_ws *ws);

/* Connects and shakes hands. `token` may be NULL. 0; ERR_DENIED: trying again will not help, or
 * ERR_UNAVAILABLE; with the reason in ret_error. */
int client_ws_open(struct client_ws *ws, const struct client_url *url, const char *token,
                   const struct client_tls *tls, uint64_t deadline_ms, struct buf *ret_error);

/* Queues a text message; waiting sends it. */
void client_ws_send(struct client_ws *ws, struct slice text);
static inline size_t client_ws_unsent(const struct client_ws *ws) {
  return ws->out.len;
}
/* A place in what is queued: where the next message will begin. Has any of what stands there left?
 */
static inline uint64_t client_ws_place(const struct client_ws *ws) {
  return ws->queued_total;
}
static inline bool client_ws_has_left(const struct client_ws *ws, uint64_t place) {
  return place < ws->queued_total - ws->out.len;
}

/* Waits for the next event. `other_fd`: -1 for none. With CLIENT_MESSAGE, `ret_message` is lent
 * until the next call. */
enum client_event client_ws_wait(struct client_ws *ws, int other_fd, uint64_t deadline_ms,
                                 struct slice *ret_message);

/* Says goodbye: a close frame behind what is queued, and waits for the server's a little. */
void client_ws_close(struct client_ws *ws);

#endif
