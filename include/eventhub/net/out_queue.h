#ifndef EVENTHUB_NET_OUT_QUEUE_H
#define EVENTHUB_NET_OUT_QUEUE_H

/*
 * What waits to be sent to one connection: spans in order, the first one inline, so that an idle
 * connection and one with a single run of frames need no memory of their own.
 *
 * A connection whose peer reads must cost nothing: its spans only refer to shared chunks. A
 * connection whose peer does not read (blocked) must not keep 64 KiB alive for each 100 bytes that
 * wait for it: small spans are then copied into chunks of its own, so that what is held stays
 * within about what is queued.
 *
 * Owner: the connection's thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/slice.h"
#include "eventhub/net/chunk.h"
#include "eventhub/net/stream.h"

struct span_ring; /* the spans after the first */

struct out_queue {
  struct span head;
  struct span_ring *rest; /* NULL until a second span is needed */
  size_t bytes;           /* queued and not sent */
  uint32_t head_sent;     /* bytes of the head that are sent */
  uint32_t unframed : 31; /* leading bytes that are not whole frames: the rest of the handshake's
                             answer, or of a frame that truncating has kept */
  uint32_t blocked : 1;   /* the last flush left something behind */
};

void out_queue_init(struct out_queue *queue);
/* Drops everything that is queued. */
void out_queue_done(struct out_queue *queue);

/* Has all left? What a stream with TLS holds back has not. */
static inline bool out_queue_is_empty(const struct out_queue *queue) {
  return queue->bytes == 0 && !queue->blocked;
}

/* Queues the span, taking a reference; merges it with the tail where the bytes are adjacent. */
void out_queue_push(struct out_queue *queue, const struct span *span);

/* Sends as much as the socket takes. 0 when all is sent, ERR_AGAIN when something is left (the
 * socket tells by EPOLLOUT when to call again), ERR_CLOSED when the peer is gone. `ret_sent` counts
 * bytes. */
int out_queue_flush(struct out_queue *queue, struct stream *stream, size_t *ret_sent);

/* The same in two steps, for senders that do many at once. What is to be sent, if it lies in one
 * piece; else ptr is NULL. */
struct slice out_queue_piece(const struct out_queue *queue);
/* What a send of that piece answered (stream_sendv, or 0: try again); goes on as out_queue_flush
 * does. */
int out_queue_continue(struct out_queue *queue, struct stream *stream, ssize_t result,
                       size_t *ret_sent);

/* How long the frame that contains byte `at` of `bytes` reaches: an offset in (at, len], or `at`
 * itself where a frame starts there. `bytes` begins at a frame. */
typedef size_t out_queue_boundary_fn(const char *bytes, size_t len, size_t at);

/* Drops all that is queued but the rest of a frame (and of the handshake's answer) that the peer
 * has already got a part of, so that a close frame can follow. */
void out_queue_truncate(struct out_queue *queue, out_queue_boundary_fn *boundary);

#endif
