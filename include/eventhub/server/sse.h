#ifndef EVENTHUB_SERVER_SSE_H
#define EVENTHUB_SERVER_SSE_H

/*
 * GET /<topic or pattern> with Accept: text/event-stream: a stream of server-sent events (WHATWG
 * HTML 9.2), which is a session with one subscription. It joins its history as subscriptions over
 * WebSocket do (rpc_pubsub.c), and its messages come by the same fan-out in another form
 * (encoder.h).
 *
 * The answer's head leaves when the subscription stands: what is published after a client has seen
 * it comes to that client.
 *
 * A browser's EventSource tries again when a stream ends or cannot be reached, but gives up on a
 * status other than 200. So what will pass (the store is away, the server stops) ends a stream that
 * was begun; a status refuses what will not pass by itself.
 *
 * Worker's thread only.
 */

#include "eventhub/base/slice.h"
#include "eventhub/server/exchange.h"

struct session;

/* Subscribes, or refuses. */
void sse_open(struct exchange *exchange);

/* The subscription is granted: the stream begins, history and messages follow. `recovered` is
 * "true", "false" or NULL as in the answer to `subscribe`: with "false" the client is told of the
 * gap. */
void sse_start(struct session *session, struct slice filter, const char *recovered);
/* The store is not available: the stream ends, and the client will try again. */
void sse_fail(struct session *session);

#endif
