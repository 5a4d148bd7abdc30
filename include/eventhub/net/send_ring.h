#ifndef EVENTHUB_NET_SEND_RING_H
#define EVENTHUB_NET_SEND_RING_H

/*
 * Many sends in one system call, by io_uring: what a wide fan-out costs most is one call of send(2)
 * for each connection. The sockets are non-blocking, so every send is done, or has failed, when the
 * call returns; nothing is ever under way between two calls.
 *
 * Kernels before 5.6, and containers whose seccomp profile says so, do not offer it: then there is
 * no ring, and the owner sends one by one. Owner: one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "eventhub/base/slice.h"

struct send_ring;

enum {
  SEND_RING_MAX = 512,             /* sends in one call */
  SEND_RING_BYTES_MAX = 256 * 1024 /* ... that together are about so long, or one that is longer */
};

/* NULL where it is not offered. */
struct send_ring *send_ring_new(void);
void send_ring_free(struct send_ring *ring);

/* Is there room for another one in the next call? */
bool send_ring_takes(const struct send_ring *ring);
/* Puts a send with the next call. The bytes stay until then. */
void send_ring_add(struct send_ring *ring, int fd, struct slice bytes, void *owner);

/* `result` as that of stream_sendv, or 0: nothing was sent, and it is to be tried again. May close
 * its own descriptor, not those of others. */
typedef void send_ring_fn(void *owner, ssize_t result);
/* Sends all that was added, and tells of each. */
void send_ring_submit(struct send_ring *ring, send_ring_fn *on_sent);

#endif
