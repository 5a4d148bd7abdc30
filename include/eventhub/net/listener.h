#ifndef EVENTHUB_NET_LISTENER_H
#define EVENTHUB_NET_LISTENER_H

/*
 * A listening socket in a loop. Each worker has one of its own on the same port (SO_REUSEPORT): the
 * kernel spreads the connections. When descriptors run out, accepting pauses and tries again by the
 * clock instead of spinning on a socket that stays readable.
 */

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/slice.h"
#include "eventhub/net/loop.h"

struct sockaddr_storage;

enum { LISTENER_RETRY_MS = 100, LISTENER_ACCEPTS_PER_TURN = 128, LISTENER_BACKLOG = 4096 };

struct listener;
/* Takes over `fd`: non-blocking, close-on-exec. */
typedef void listener_accept_fn(struct listener *listener, int fd,
                                const struct sockaddr_storage *peer);

struct listener {
  struct loop_io io;
  struct loop *loop;
  struct deadline_list retry_list;
  struct deadline retry;
  listener_accept_fn *on_accept;
  void *context;
  uint64_t pauses;
  bool paused;
};

/* Fails with ERR_SYSTEM (errno: EADDRINUSE, EACCES, ...) or ERR_INVALID (no such address) where
 * listening would. SO_REUSEPORT would let a second daemon of the same user share the port silently:
 * this asks without it. */
int listener_probe(struct slice address, uint16_t port);

/* `address` is `*` (IPv6 and IPv4), or a numeric IPv4 or IPv6 address. */
int listener_start(struct listener *listener, struct loop *loop, struct slice address,
                   uint16_t port, listener_accept_fn *on_accept, void *context);
/* Stops accepting for good and closes the socket; what waits in its backlog is refused by the
 * kernel. */
void listener_stop(struct listener *listener);
/* Stops accepting for LISTENER_RETRY_MS; callable from on_accept. */
void listener_pause(struct listener *listener);

#endif
