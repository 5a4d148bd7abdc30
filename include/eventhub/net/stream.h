#ifndef EVENTHUB_NET_STREAM_H
#define EVENTHUB_NET_STREAM_H

/*
 * The bytes of one connection: a non-blocking socket, plain or with TLS. Everything above reads and
 * writes through these calls and does not know what is underneath. Owner: the connection's thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct tls;
struct tls_config;

struct stream {
  struct tls *tls; /* NULL: plain */
  int fd;          /* -1 when closed */
};

/* Takes over the descriptor of an accepted, non-blocking socket. */
void stream_open(struct stream *stream, int fd);
/* From here on all is TLS, beginning with the client's handshake, which stream_recv goes on with.
 * 0, or ERR_SYSTEM and the stream is as it was. */
int stream_start_tls(struct stream *stream, struct tls_config *config);
/* Are we done with the handshake, if there is one? */
bool stream_is_established(const struct stream *stream);
/* What the peer has done wrong with TLS, as a phrase; NULL = nothing. */
const char *stream_failure(const struct stream *stream);
/* Bytes read (> 0), ERR_AGAIN when there are none, ERR_CLOSED at the end or when the peer is gone.
 */
ssize_t stream_recv(struct stream *stream, char *bytes, size_t cap);
/* What comes before the TLS of a stream that has not read yet: bytes that wait in the socket, and
 * stay there. As stream_recv. */
ssize_t stream_peek(const struct stream *stream, char *bytes, size_t cap);
/* Takes `len` of those. */
void stream_skip(struct stream *stream, size_t len);
/* Would stream_recv answer with bytes? */
bool stream_has_bytes(const struct stream *stream);
/* Will the next stream_recv answer ERR_CLOSED, though no event tells of it? */
bool stream_has_ended(const struct stream *stream);
/* Bytes taken (> 0), ERR_AGAIN when the socket is full, ERR_CLOSED when the peer is gone. */
ssize_t stream_sendv(struct stream *stream, struct iovec *parts, int count);
/* Of what stream_sendv has taken, all that a plain stream takes is sent; of TLS a record may wait
 * for room. 0 when nothing waits any more, ERR_AGAIN (the socket tells by EPOLLOUT when to call
 * again), or ERR_CLOSED. */
int stream_flush(struct stream *stream);
/* The peer counts as gone when what was sent stays unacknowledged for that long (TCP_USER_TIMEOUT):
 * for a connection on which nothing comes from it. */
void stream_set_timeout(struct stream *stream, uint32_t ms);
/* No more bytes will be sent; the peer's may still come. */
void stream_shutdown(struct stream *stream);
/* Idempotent. */
void stream_close(struct stream *stream);

#endif
