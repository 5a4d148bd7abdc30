#ifndef EVENTHUB_SERVER_ROUTES_H
#define EVENTHUB_SERVER_ROUTES_H

/*
 * Requests of HTTP: the table of paths, and the door to the WebSocket sessions (admission.h).
 */

#include "eventhub/server/connection.h"

/* Answers one request; a connection_handler's on_request. The pool's context is the worker. */
void routes_on_request(struct connection *connection, const struct http_request *request);

#endif
