/* One connection of the load generator, from connect(2) to the messages delivered on it.
 *
 *   CONNECTING -> UPGRADING -> SUBSCRIBING -> READY       LOST from every state
 *                           (publisher, floor) ^
 *
 * All of a run's connections share one epoll, one receive buffer and one count of what happened.
 * One thread. */
#ifndef EVENTHUB_BENCH_LOAD_CONNECTION_H
#define EVENTHUB_BENCH_LOAD_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/buf.h"

#include "load_latency.h"
#include "load_options.h"
#include "load_protocol.h"
#include "load_transport.h"

enum { LOAD_RECV_SIZE = 256 * 1024 };

enum load_state {
  LOAD_CONNECTING,
  LOAD_UPGRADING,
  LOAD_SUBSCRIBING,
  LOAD_READY,
  LOAD_LOST /* closed, and counted as lost */
};

/* What all connections of a run share. Owned by load_crowd. */
struct load_shared {
  const struct load_options *options;
  int epoll_fd;
  char *recv_buffer;
  struct ssl_ctx_st *tls; /* NULL: there is none */
  uint32_t ready;
  uint32_t lost;
  uint64_t delivered;     /* messages that arrived at subscribers */
  uint64_t payload_bytes; /* of those, uncompressed */
  uint64_t wire_bytes;    /* that subscribers received, within TLS if there is any */
  uint64_t acknowledged;  /* publishes answered without an error */
  uint64_t refused;       /* publishes answered with one */
  /* Where delays go, of messages due at measure_from_ns or later; NULL: they are not looked at. */
  struct load_latency *latency;
  uint64_t measure_from_ns;
  uint64_t inflated_bytes;        /* of the last message that was inflated */
  struct load_inflater *inflater; /* NULL until it is needed */
};

void load_shared_done(struct load_shared *shared);

struct load_connection {
  struct load_shared *shared;
  int fd;
  struct load_transport transport;
  enum load_state state;
  bool is_publisher;
  bool wants_out;  /* epoll watches for room to write */
  uint32_t number; /* among all */
  uint32_t topic;
  uint32_t unanswered; /* publishes; the floor answers none */
  struct buf in;       /* a frame, or an answer to the handshake, that is not whole yet */
  struct buf out;      /* what the socket did not take yet */
  struct buf lines;    /* of nats-server, that are not whole yet */
};

/* Starts connecting. 0, or ERR_SYSTEM: no descriptor or no port left, errno says why. The
 * connection stays where it is until load_connection_done: epoll knows its address. */
int load_connection_open(struct load_connection *connection, struct load_shared *shared,
                         bool is_publisher, uint32_t number);

/* Closes it without a word, so that no port lingers. */
void load_connection_done(struct load_connection *connection);

/* Segments with data that it has received so far (RFC 4898 tcpEStatsPerfDataSegsIn): over loopback
 * as many as the server made calls of send(2), as long as none carries more than 64 KiB. */
uint64_t load_connection_segments(const struct load_connection *connection);

/* epoll reports `events` for it. */
void load_connection_on_ready(struct load_connection *connection, uint32_t events);

/* Adds one publish to what is to be sent; load_connection_flush sends. */
void load_connection_publish(struct load_connection *connection,
                             const struct load_message *message);
void load_connection_flush(struct load_connection *connection);

#endif
