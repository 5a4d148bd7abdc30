#include "eventhub/cli/health.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "eventhub/base/clock.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/slice.h"
#include "eventhub/cli/client_socket.h"

enum { HEALTH_ANSWER_MAX = 256 }; /* the status line is all that counts */

static const char *address_to_ask(const char *listen_address) {
  if (strcmp(listen_address, "*") == 0 || strcmp(listen_address, "0.0.0.0") == 0)
    return "127.0.0.1";
  return strcmp(listen_address, "::") == 0 ? "::1" : listen_address;
}

static int send_all(struct client_socket *socket, struct slice text, uint64_t deadline_ms) {
  while (text.len > 0) {
    ssize_t sent = client_socket_send(socket, text);
    if (sent >= 0) {
      text = slice_skip(text, (size_t)sent);
      continue;
    }
    if (sent != ERR_AGAIN) return (int)sent;
    int err = client_socket_wait(socket, POLLOUT, deadline_ms);
    if (err < 0) return err;
  }
  return 0;
}

/* Reads until the status line is complete. */
static int read_answer(struct client_socket *socket, struct buf *answer, uint64_t deadline_ms) {
  while (answer->len < HEALTH_ANSWER_MAX) {
    int err = client_socket_wait(socket, POLLIN, deadline_ms);
    if (err < 0) return err;
    ssize_t got =
        client_socket_recv(socket, buf_reserve(answer, HEALTH_ANSWER_MAX), HEALTH_ANSWER_MAX);
    if (got < 0 && got != ERR_AGAIN) return (int)got;
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

static int ask(struct client_socket *socket, uint64_t deadline_ms, struct buf *answer) {
  static const struct slice request =
      SLICE_INIT("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  int err = send_all(socket, request, deadline_ms);
  if (err == 0) err = read_answer(socket, answer, deadline_ms);
  return err < 0 ? err : check_status(buf_slice(answer));
}

static void append_reason(struct buf *out, int err, struct slice answer) {
  struct slice line;
  switch (err) {
  case ERR_EXPIRED: buf_append_str(out, "no answer in time"); break;
  case ERR_CLOSED: buf_append_str(out, "closed without an answer"); break;
  case ERR_UNAVAILABLE:
    if (slice_next_token(&answer, '\r', &line)) buf_append_slice(out, line);
    break;
  default: buf_append_str(out, "the answer is not HTTP"); break;
  }
}

int health_check(const struct options *options, uint32_t timeout_ms, struct buf *ret_error) {
  /* It is ourselves whom we ask; the certificate is for other names. */
  static const struct client_tls tls = {.is_insecure = true};
  AUTO(buf) struct buf answer = BUF_INIT;
  uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
  struct client_url url = {.port = (uint16_t)options->listen_port};
  if (options->disable_unsecure_listener) {
    url.is_secure = true;
    url.port = (uint16_t)options->ssl_listen_port;
  }
  struct client_socket socket;
  snprintf(url.host, sizeof url.host, "%s", address_to_ask(options->listen_address));
  client_socket_init(&socket);
  int err = client_socket_connect(&socket, &url, &tls, deadline_ms, ret_error);
  if (err < 0) return err;
  err = ask(&socket, deadline_ms, &answer);
  client_socket_close(&socket);
  if (err == 0) return 0;
  buf_printf(ret_error, "%s port %u: ", url.host, (unsigned)url.port);
  append_reason(ret_error, err, buf_slice(&answer));
  return err;
}
