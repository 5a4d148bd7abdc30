/*
 * An echo server made of the daemon's own loop, connection and WebSocket modules, so that any suite
 * for RFC 6455 can be run on them: every text and binary message comes back as it was, up to 32 MiB
 * and in any number of fragments.
 *
 *   eventhub-echo PORT        until SIGTERM or SIGINT
 */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/net/listener.h"
#include "eventhub/net/loop.h"
#include "eventhub/server/connection.h"

enum { MESSAGE_MAX = 32 * 1024 * 1024, SEND_QUEUE_MAX = 4 * MESSAGE_MAX, TIMEOUT_MS = 60000 };

struct echo {
  struct loop loop;
  struct metrics metrics;
  struct connection_pool pool;
  struct listener listener;
  struct loop_io signals;
};

static void on_request(struct connection *connection, const struct http_request *request) {
  struct ws_handshake handshake;
  int status = ws_handshake_check(request, &handshake);
  if (status == 101) {
    ws_deflate_negotiate(request, &handshake.deflate);
    connection_upgrade(connection, &handshake);
  } else {
    connection_refuse(connection, status, status == 426 ? SLICE(WS_VERSION_HEADER) : SLICE(""),
                      slice_str(handshake.reason));
  }
}

static void on_message(struct connection *connection, enum ws_opcode opcode, char *data,
                       size_t len) {
  connection_send(connection, opcode, slice_of(data, len));
}

static void on_closed(struct connection *connection) {
  (void)connection;
}

static const struct connection_handler handler = {
    .on_request = on_request, .on_message = on_message, .on_closed = on_closed};

static void on_accept(struct listener *listener, int fd, const struct sockaddr_storage *peer) {
  struct echo *echo = listener->context;
  connection_open(&echo->pool, fd, peer, NULL);
}

static void on_turn_end(void *context) {
  struct echo *echo = context;
  connection_pool_flush(&echo->pool);
}

static void on_signal(struct loop_io *io, uint32_t events) {
  (void)events;
  struct echo *echo = container_of(io, struct echo, signals);
  loop_stop(&echo->loop);
}

static int watch_signals(struct echo *echo) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  echo->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  echo->signals.on_ready = on_signal;
  return echo->signals.fd < 0 ? -1 : loop_add(&echo->loop, &echo->signals, EPOLLIN);
}

static int start(struct echo *echo, uint16_t port) {
  static const struct connection_limits limits = {
      .message = {.max_message = MESSAGE_MAX, .allow_binary = true},
      .max_send_queue = SEND_QUEUE_MAX,
      .handshake_timeout_ms = TIMEOUT_MS,
      .ping_interval_ms = TIMEOUT_MS,
  };
  if (loop_init(&echo->loop, on_turn_end, echo) < 0) return -1;
  connection_pool_init(&echo->pool, &echo->loop, &limits, &echo->metrics, &handler, echo);
  if (watch_signals(echo) < 0) return -1;
  return listener_start(&echo->listener, &echo->loop, SLICE("*"), port, on_accept, echo);
}

int main(int argc, char **argv) {
  static struct echo echo;
  uint64_t port = 0;
  if (argc != 2 || slice_to_u64(slice_str(argv[1]), &port) != 0 || port == 0 || port > UINT16_MAX) {
    fprintf(stderr, "usage: eventhub-echo PORT\n");
    return 2;
  }
  if (start(&echo, (uint16_t)port) < 0) {
    perror("eventhub-echo");
    return 1;
  }
  printf("listening on port %llu\n", (unsigned long long)port);
  fflush(stdout);
  loop_run(&echo.loop);
  listener_stop(&echo.listener);
  connection_pool_done(&echo.pool);
  close(echo.signals.fd);
  loop_done(&echo.loop);
  return 0;
}
