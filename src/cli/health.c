#include "eventhub/cli/health.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/slice.h"

enum { HEALTH_ANSWER_MAX = 256 }; /* the status line is all that counts */

struct health_peer {
  struct sockaddr_storage address;
  socklen_t len;
};

static const char *address_to_ask(const char *listen_address) {
  if (strcmp(listen_address, "*") == 0 || strcmp(listen_address, "0.0.0.0") == 0)
    return "127.0.0.1";
  return strcmp(listen_address, "::") == 0 ? "::1" : listen_address;
}

static int find_peer(const struct options *options, struct health_peer *ret) {
  const char *text = address_to_ask(options->listen_address);
  in_port_t port = htons((uint16_t)options->listen_port);
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port};
  if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    memcpy(&ret->address, &v4, sizeof v4);
    ret->len = sizeof v4;
    return 0;
  }
  if (inet_pton(AF_INET6, text, &v6.sin6_addr) != 1) return ERR_INVALID;
  memcpy(&ret->address, &v6, sizeof v6);
  ret->len = sizeof v6;
  return 0;
}

/* Waits until fd is ready; 0, ERR_EXPIRED at the deadline, or ERR_SYSTEM. */
static int wait_for(int fd, short events, uint64_t deadline_ms) {
  struct pollfd poll_fd = {.fd = fd, .events = events};
  for (;;) {
    uint64_t now = clock_monotonic_ms();
    if (now >= deadline_ms) return ERR_EXPIRED;
    int ready = poll(&poll_fd, 1, (int)(deadline_ms - now));
    if (ready > 0) return 0;
    if (ready < 0 && errno != EINTR) return ERR_SYSTEM;
  }
}

static int connect_to(int fd, const struct health_peer *peer, uint64_t deadline_ms) {
  if (connect(fd, (const struct sockaddr *)&peer->address, peer->len) == 0) return 0;
  if (errno != EINPROGRESS) return ERR_SYSTEM;
  int failed = wait_for(fd, POLLOUT, deadline_ms);
  if (failed != 0) return failed;
  int error = 0;
  socklen_t len = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) return ERR_SYSTEM;
  errno = error;
  return error == 0 ? 0 : ERR_SYSTEM;
}

static int send_all(int fd, struct slice text, uint64_t deadline_ms) {
  while (text.len > 0) {
    ssize_t sent = send(fd, text.ptr, text.len, MSG_NOSIGNAL);
    if (sent >= 0) {
      text = slice_skip(text, (size_t)sent);
      continue;
    }
    if (errno != EAGAIN && errno != EINTR) return ERR_SYSTEM;
    int failed = wait_for(fd, POLLOUT, deadline_ms);
    if (failed != 0) return failed;
  }
  return 0;
}

/* Reads until the status line is complete. */
static int read_answer(int fd, struct buf *answer, uint64_t deadline_ms) {
  while (answer->len < HEALTH_ANSWER_MAX) {
    int failed = wait_for(fd, POLLIN, deadline_ms);
    if (failed != 0) return failed;
    ssize_t got = recv(fd, buf_reserve(answer, HEALTH_ANSWER_MAX), HEALTH_ANSWER_MAX, 0);
    if (got == 0) return ERR_CLOSED;
    if (got < 0 && errno != EAGAIN && errno != EINTR) return ERR_SYSTEM;
    if (got > 0) buf_commit(answer, (size_t)got);
    if (answer->len > 0 && memchr(answer->data, '\n', answer->len) != NULL) return 0;
  }
  return ERR_INVALID;
}

/* 0 when the answer starts with "HTTP/1.x 200". */
static int check_status(struct slice answer) {
  enum { STATUS_AT = sizeof "HTTP/1.1 " - 1, STATUS_END = STATUS_AT + 3 };
  if (answer.len < STATUS_END || !slice_starts_with(answer, SLICE("HTTP/1."))) return ERR_INVALID;
  return slice_equal(slice_of(answer.ptr + STATUS_AT, 3), SLICE("200")) ? 0 : ERR_UNAVAILABLE;
}

static int ask(const struct health_peer *peer, uint32_t timeout_ms, struct buf *answer) {
  static const struct slice request =
      SLICE_INIT("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
  AUTO(fd)
  int fd = socket(peer->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return ERR_SYSTEM;
  int failed = connect_to(fd, peer, deadline_ms);
  if (failed == 0) failed = send_all(fd, request, deadline_ms);
  if (failed == 0) failed = read_answer(fd, answer, deadline_ms);
  return failed != 0 ? failed : check_status(buf_slice(answer));
}

static void append_reason(struct buf *out, int failed, struct slice answer) {
  struct slice line;
  switch (failed) {
  case ERR_SYSTEM: buf_append_str(out, strerror(errno)); break;
  case ERR_EXPIRED: buf_append_str(out, "no answer in time"); break;
  case ERR_CLOSED: buf_append_str(out, "closed without an answer"); break;
  case ERR_UNAVAILABLE:
    if (slice_next_token(&answer, '\r', &line)) buf_append_slice(out, line);
    break;
  default: buf_append_str(out, "the answer is not HTTP"); break;
  }
}

int health_check(const struct options *options, uint32_t timeout_ms, struct buf *ret_error) {
  AUTO(buf)
  struct buf answer = BUF_INIT;
  struct health_peer peer = {0};
  int failed = find_peer(options, &peer);
  if (failed != 0) {
    buf_printf(ret_error, "%s is not an address", options->listen_address);
    return failed;
  }
  failed = ask(&peer, timeout_ms, &answer);
  if (failed == 0) return 0;
  buf_printf(ret_error, "%s port %u: ", address_to_ask(options->listen_address),
             (unsigned)options->listen_port);
  append_reason(ret_error, failed, buf_slice(&answer));
  return failed;
}
