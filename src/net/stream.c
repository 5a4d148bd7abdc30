#include "eventhub/net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "eventhub/base/err.h"

void stream_open(struct stream *stream, int fd) {
  stream->fd = fd;
}

static ssize_t result(ssize_t count) {
  if (count > 0) return count;
  if (count == 0) return ERR_CLOSED;
  return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_AGAIN : ERR_CLOSED;
}

ssize_t stream_recv(struct stream *stream, char *bytes, size_t cap) {
  ssize_t count;
  do {
    count = recv(stream->fd, bytes, cap, 0);
  } while (count < 0 && errno == EINTR);
  return result(count);
}

bool stream_has_bytes(const struct stream *stream) {
  char byte;
  return recv(stream->fd, &byte, 1, MSG_PEEK) > 0;
}

ssize_t stream_sendv(struct stream *stream, struct iovec *parts, int count) {
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
  ssize_t sent;
  do {
    /* One part is the common case, and send is cheaper than sendmsg. */
    sent = count == 1 ? send(stream->fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL)
                      : sendmsg(stream->fd, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return result(sent);
}

void stream_set_timeout(struct stream *stream, uint32_t ms) {
  unsigned value = ms;
  /* Not on every kind of socket; what fails is only more patient. */
  (void)setsockopt(stream->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof value);
}

void stream_shutdown(struct stream *stream) {
  shutdown(stream->fd, SHUT_WR);
}

void stream_close(struct stream *stream) {
  if (stream->fd >= 0) close(stream->fd);
  stream->fd = -1;
}
