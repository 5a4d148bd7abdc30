#ifndef EVENTHUB_SERVER_CONNECTION_INPUT_H
#define EVENTHUB_SERVER_CONNECTION_INPUT_H

/*
 * The reading half of a connection: from readiness to requests and messages. For connection.c only.
 */

#include "eventhub/server/connection.h"

enum {
  CONNECTION_RECV_SIZE = 64 * 1024, /* of the pool's one buffer */
  CONNECTION_READS_PER_TURN = 4     /* then the others have their turn */
};

/* The loop's callback. */
void connection_on_ready(struct loop_io *io, uint32_t events);
void connection_free_input(struct connection *connection);

#endif
