#ifndef EVENTHUB_SERVER_ADMISSION_H
#define EVENTHUB_SERVER_ADMISSION_H

/*
 * Who may come in: the opening handshake with every refusal of the protocol's table, in the order
 * in which they are listed there. A refused client gets a short JSON body, and the connection
 * closes.
 */

#include <stdbool.h>

#include "eventhub/server/connection.h"

struct worker;

/* Does the request try to become a WebSocket, well-formed or not? */
bool admission_is_asked(const struct http_request *request);
/* Upgrades the connection and opens its session, or refuses. */
void admission_decide(struct worker *worker, struct connection *connection,
                      const struct http_request *request);

#endif
