#ifndef EVENTHUB_SERVER_CONNECTION_INPUT_H
#define EVENTHUB_SERVER_CONNECTION_INPUT_H

/*
 * The parts of a connection among themselves, for connection*.c only: connection.c has the pool,
 * sending and closing, connection_input.c reading and WebSocket messages, connection_http.c HTTP.
 */

#include "eventhub/server/connection.h"

enum {
  CONNECTION_RECV_SIZE = 64 * 1024, /* of the pool's one buffer */
  CONNECTION_READS_PER_TURN = 4     /* then the others have their turn */
};

/* The loop's callback. */
void connection_on_ready(struct loop_io *io, uint32_t events);
void connection_free_input(struct connection *connection);

/* Uses bytes of the HTTP request that comes next, or of its body. Bytes used; 0 when more are
 * needed. */
size_t connection_consume_http(struct connection *connection, const char *bytes, size_t len);
void connection_free_body(struct connection *connection);
/* What proxy_header_parse answers; learns the client from it where that is good. */
int connection_learn_proxied(struct connection *connection, const char *bytes, size_t len);

/* Queues bytes as they are, in whatever state. */
void connection_queue(struct connection *connection, struct slice head, struct slice body);
/* Answers that pile up faster than they leave: the requests behind them wait until these are sent,
 * so that what one read brings in cannot ask for more than memory holds. */
void connection_pace(struct connection *connection);
/* CLOSING, from here on. */
void connection_start_closing(struct connection *connection);

#endif
