#include "eventhub/net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "eventhub/base/err.h"
#include "eventhub/net/tls.h"

void stream_open(struct stream *stream, int fd) {
  stream->fd = fd;
  stream->tls = NULL;
}

int stream_start_tls(struct stream *stream, struct tls_config *config) {
  stream->tls = tls_accept(config, stream->fd);
  return stream->tls != NULL ? 0 : ERR_SYSTEM;
}

bool stream_is_established(const struct stream *stream) {
  return stream->tls == NULL || tls_is_established(stream->tls);
}

const char *stream_failure(const struct stream *stream) {
  return stream->tls == NULL ? NULL : tls_failure(stream->tls);
}

static ssize_t result(ssize_t count) {
  if (count > 0) return count;
  if (count == 0) return ERR_CLOSED;
  return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_AGAIN : ERR_CLOSED;
}

ssize_t stream_recv(struct stream *stream, char *bytes, size_t cap) {
  if (stream->tls != NULL) return tls_recv(stream->tls, bytes, cap);
  ssize_t count;
  do {
    count = recv(stream->fd, bytes, cap, 0);
  } while (count < 0 && errno == EINTR);
  return result(count);
}

ssize_t stream_peek(const struct stream *stream, char *bytes, size_t cap) {
  ssize_t count;
  do {
    count = recv(stream->fd, bytes, cap, MSG_PEEK);
  } while (count < 0 && errno == EINTR);
  return result(count);
}

void stream_skip(struct stream *stream, size_t len) {
  char bytes[256];
  while (len > 0) {
    ssize_t count = recv(stream->fd, bytes, len < sizeof bytes ? len : sizeof bytes, 0);
    if (count <= 0 && errno != EINTR) return;
    if (count > 0) len -= (size_t)count;
  }
}

bool stream_has_bytes(const struct stream *stream) {
  char byte;
  if (stream->tls != NULL && tls_has_bytes(stream->tls)) return true;
  return recv(stream->fd, &byte, 1, MSG_PEEK) > 0;
}

bool stream_has_ended(const struct stream *stream) {
  return stream->tls != NULL && tls_has_ended(stream->tls);
}

ssize_t stream_sendv(struct stream *stream, struct iovec *parts, int count) {
  if (stream->tls != NULL) return tls_sendv(stream->tls, parts, count);
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
  ssize_t sent;
  do {
    /* One part is the common case, and send is cheaper than sendmsg. */
    sent = count == 1 ? send(stream->fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL)
                      : sendmsg(stream->fd, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return result(sent);
}

int stream_flush(struct stream *stream) {
  return stream->tls == NULL ? 0 : tls_flush(stream->tls);
}

void stream_set_timeout(struct stream *stream, uint32_t ms) {
  unsigned value = ms;
  /* Not on every kind of socket; what fails is only more patient. */
  (void)setsockopt(stream->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof value);
}

void stream_shutdown(struct stream *stream) {
  if (stream->tls != NULL) {
    tls_shutdown(stream->tls);
  } else {
    shutdown(stream->fd, SHUT_WR);
  }
}

void stream_close(struct stream *stream) {
  tls_free(stream->tls);
  stream->tls = NULL;
  if (stream->fd >= 0) close(stream->fd);
  stream->fd = -1;
}
