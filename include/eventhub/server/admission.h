#ifndef EVENTHUB_SERVER_ADMISSION_H
#define EVENTHUB_SERVER_ADMISSION_H

/*
 * Who may come in: the opening handshake with every refusal of the protocol's table. The request is
 * looked at first (400, 426), then the origin (403), the token (401) and the room (503). A refused
 * client gets a short JSON body, and the connection closes.
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
