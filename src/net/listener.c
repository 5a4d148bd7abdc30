#include "eventhub/net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"

enum { ADDRESS_TEXT_MAX = 64 };

static socklen_t wildcard(struct sockaddr_storage *ret, int family, uint16_t port) {
  memset(ret, 0, sizeof *ret);
  if (family == AF_INET6) {
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
    *v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
    return sizeof *v6;
  }
  struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
  *v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
  return sizeof *v4;
}

/* Length of the address, or 0 where the text is not numeric. */
static socklen_t parse_address(struct slice text, uint16_t port, struct sockaddr_storage *ret) {
  char address[ADDRESS_TEXT_MAX];
  if (text.len == 0 || text.len >= sizeof address) return 0;
  memcpy(address, text.ptr, text.len);
  address[text.len] = '\0';
  socklen_t len = wildcard(ret, AF_INET, port);
  if (inet_pton(AF_INET, address, &((struct sockaddr_in *)ret)->sin_addr) == 1) return len;
  len = wildcard(ret, AF_INET6, port);
  if (inet_pton(AF_INET6, address, &((struct sockaddr_in6 *)ret)->sin6_addr) == 1) return len;
  return 0;
}

static int open_bound(const struct sockaddr_storage *address, socklen_t len, bool shared,
                      int *ret_fd) {
  int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return ERR_SYSTEM;
  int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (shared) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (address->ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(fd, (const struct sockaddr *)address, len) != 0 || listen(fd, LISTENER_BACKLOG) != 0) {
    int saved = errno;
    close(fd);
    errno = saved;
    return ERR_SYSTEM;
  }
  *ret_fd = fd;
  return 0;
}

static int open_listening(struct slice address, uint16_t port, bool shared, int *ret_fd) {
  struct sockaddr_storage storage;
  if (!slice_equal(address, SLICE("*"))) {
    socklen_t len = parse_address(address, port, &storage);
    return len == 0 ? ERR_INVALID : open_bound(&storage, len, shared, ret_fd);
  }
  int err = open_bound(&storage, wildcard(&storage, AF_INET6, port), shared, ret_fd);
  if (err == ERR_SYSTEM && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
    err = open_bound(&storage, wildcard(&storage, AF_INET, port), shared, ret_fd);
  }
  return err;
}

int listener_probe(struct slice address, uint16_t port) {
  int fd = -1;
  int err = open_listening(address, port, false, &fd);
  if (err == 0) close(fd);
  return err;
}

static bool is_exhausted(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_listener_ready(struct loop_io *io, uint32_t events) {
  (void)events;
  struct listener *listener = container_of(io, struct listener, io);
  for (int i = 0; i < LISTENER_ACCEPTS_PER_TURN && !listener->paused; i++) {
    if (i > 0 && loop_is_late(listener->loop)) return; /* it is not edge-triggered */
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    int fd = accept4(io->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (is_exhausted(errno)) listener_pause(listener);
      /* Others (ECONNABORTED, EPERM, ...) concern the one connection that is gone. */
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      continue;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    listener->on_accept(listener, fd, &peer);
  }
}

static void on_retry(struct deadline *deadline, void *context) {
  (void)deadline;
  struct listener *listener = context;
  listener->paused = false;
  loop_modify(listener->loop, &listener->io, EPOLLIN);
}

int listener_start(struct listener *listener, struct loop *loop, struct slice address,
                   uint16_t port, listener_accept_fn *on_accept, void *context) {
  memset(listener, 0, sizeof *listener);
  listener->loop = loop;
  listener->on_accept = on_accept;
  listener->context = context;
  listener->io.on_ready = on_listener_ready;
  listener->io.fd = -1;
  int err = open_listening(address, port, true, &listener->io.fd);
  if (err < 0) return err;
  err = loop_add(loop, &listener->io, EPOLLIN);
  if (err < 0) {
    close(listener->io.fd);
    listener->io.fd = -1;
    return err;
  }
  deadline_init(&listener->retry);
  deadline_list_add(loop, &listener->retry_list, LISTENER_RETRY_MS, on_retry, listener);
  return 0;
}

void listener_stop(struct listener *listener) {
  if (listener->io.fd < 0) return;
  deadline_disarm(&listener->retry);
  deadline_list_remove(&listener->retry_list);
  loop_remove(listener->loop, &listener->io);
  close(listener->io.fd);
  listener->io.fd = -1;
}

void listener_pause(struct listener *listener) {
  if (listener->paused) return;
  listener->paused = true;
  listener->pauses++;
  loop_modify(listener->loop, &listener->io, 0);
  deadline_arm(listener->loop, &listener->retry_list, &listener->retry);
}
