#ifndef EVENTHUB_NET_STREAM_H
#define EVENTHUB_NET_STREAM_H

/*
 * The bytes of one connection: a non-blocking socket. Everything above reads and writes through
 * these calls and does not know what is underneath. Owner: the connection's thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct stream {
  int fd; /* -1 when closed */
};

/* Takes over the descriptor of an accepted, non-blocking socket. */
void stream_open(struct stream *stream, int fd);
/* Bytes read (> 0), ERR_AGAIN when there are none, ERR_CLOSED at the end or when the peer is gone.
 */
ssize_t stream_recv(struct stream *stream, char *bytes, size_t cap);
/* Would stream_recv answer with bytes? */
bool stream_has_bytes(const struct stream *stream);
/* Bytes taken (> 0), ERR_AGAIN when the socket is full, ERR_CLOSED when the peer is gone. */
ssize_t stream_sendv(struct stream *stream, struct iovec *parts, int count);
/* The peer counts as gone when what was sent stays unacknowledged for that long (TCP_USER_TIMEOUT):
 * for a connection on which nothing comes from it. */
void stream_set_timeout(struct stream *stream, uint32_t ms);
/* No more bytes will be sent; the peer's may still come. */
void stream_shutdown(struct stream *stream);
/* Idempotent. */
void stream_close(struct stream *stream);

#endif
