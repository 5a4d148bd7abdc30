#ifndef EVENTHUB_SERVER_HTTP_POST_H
#define EVENTHUB_SERVER_HTTP_POST_H

/*
 * POST: publishing to the topic that the path names, and JSON-RPC at `/`.
 *
 *   on_request         post_topic, post_rpc: everything that the head decides, so that no body is
 *                      read in vain; a struct post becomes the connection's session
 *   on_body            post_on_body: to the store, or to the table of methods (rpc.h)
 *   last store answer  post_settle: the response leaves, the post is freed
 *
 * Worker's thread only.
 */

#include "eventhub/server/exchange.h"
#include "eventhub/server/session.h"

/* Take the request, or refuse it. */
void post_topic(struct exchange *exchange);
void post_rpc(struct exchange *exchange);

/* A connection_handler's on_body. */
void post_on_body(struct connection *connection, struct slice body);

/* The text of the answer to JSON-RPC: a result, an error or an array of both. */
void post_answer(struct session *session, struct slice text);
/* Responds and frees the post, once nothing is pending any more. */
void post_settle(struct session *session);
void post_free(struct session *session);

#endif
