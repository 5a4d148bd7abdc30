/*
 * The floor: what broadcasting over WebSocket costs when nothing that a broker does is done.
 *
 * One thread. Every text message of any connection goes to every connection; its frame is built
 * once and sent with plain send(2). No topics, no JSON, no checks, no limits, no pings: what is
 * left is the kernel's cost, which a broker's cost is compared with.
 *
 *   eventhub-floor PORT             the frames of one turn of the loop leave in one send per
 * connection eventhub-floor PORT --single    one send per message per connection
 */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/proto/http_request.h"
#include "eventhub/proto/ws_frame.h"
#include "eventhub/proto/ws_handshake.h"

enum {
  EVENTS = 512,
  BACKLOG = 4096,
  RECV_SIZE = 128 * 1024,
  TURN_MAX = 4 * 1024 * 1024 /* bytes to send to each, then they are sent before the turn ends */
};

struct peer {
  int fd;
  uint32_t index;    /* in floor.peers */
  bool is_open;      /* the handshake is done */
  struct buf in;     /* a head or frame that is not whole yet */
  struct buf unsent; /* what the socket had no room for */
};

struct floor {
  int listen_fd, epoll_fd;
  bool is_single;
  struct peer **peers;
  uint32_t count, cap;
  struct buf turn; /* frames that are to go to everybody */
  char *recv_buffer;
};

/* ---- sending ---- */

static ssize_t send_now(struct peer *peer, const char *bytes, size_t len) {
  ssize_t sent = send(peer->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent < 0 ? 0 : sent; /* a peer that is gone shows at its next event */
}

static void send_or_keep(struct peer *peer, const char *bytes, size_t len) {
  size_t sent = peer->unsent.len > 0 ? 0 : (size_t)send_now(peer, bytes, len);
  if (sent < len) buf_append(&peer->unsent, bytes + sent, len - sent);
}

static void send_unsent(struct peer *peer) {
  if (peer->unsent.len == 0) return;
  buf_consume(&peer->unsent, (size_t)send_now(peer, peer->unsent.data, peer->unsent.len));
}

static void send_turn(struct floor *floor) {
  if (floor->turn.len == 0) return;
  for (uint32_t i = 0; i < floor->count; i++) {
    if (floor->peers[i]->is_open) send_or_keep(floor->peers[i], floor->turn.data, floor->turn.len);
  }
  buf_clear(&floor->turn);
}

static void broadcast(struct floor *floor, struct slice payload) {
  char header[WS_FRAME_HEADER_MAX];
  size_t header_len = ws_frame_header_encode(header, WS_TEXT, payload.len);
  buf_append(&floor->turn, header, header_len);
  buf_append_slice(&floor->turn, payload);
  if (floor->is_single || floor->turn.len > TURN_MAX) send_turn(floor);
}

/* ---- receiving ---- */

/* Bytes used, or ERR_INVALID. */
static ssize_t consume_head(struct peer *peer, struct slice bytes) {
  struct http_request request;
  struct ws_handshake handshake;
  int head_len = http_request_parse(bytes.ptr, bytes.len, &request);
  if (head_len == ERR_AGAIN) return 0;
  if (head_len < 0 || ws_handshake_check(&request, &handshake) != 101) return ERR_INVALID;
  AUTO(buf) struct buf answer = BUF_INIT;
  ws_handshake_encode(&answer, &handshake);
  send_or_keep(peer, answer.data, answer.len);
  peer->is_open = true;
  return head_len;
}

/* The first frame, if it is whole. Bytes used, 0, or ERR_INVALID. */
static ssize_t consume_frame(struct floor *floor, char *bytes, size_t len) {
  struct ws_frame frame;
  int err = ws_frame_parse(bytes, len, 0, &frame);
  if (err == ERR_AGAIN) return 0;
  if (err < 0 || frame.opcode == WS_CLOSE) return ERR_INVALID;
  if (len - frame.header_len < frame.payload_len) return 0;
  char *payload = bytes + frame.header_len;
  ws_frame_unmask(payload, frame.payload_len, frame.mask, 0);
  if (frame.opcode == WS_TEXT) broadcast(floor, slice_of(payload, frame.payload_len));
  return (ssize_t)(frame.header_len + frame.payload_len);
}

/* Bytes used, or ERR_INVALID. */
static ssize_t consume(struct floor *floor, struct peer *peer, char *bytes, size_t len) {
  size_t used = 0;
  while (used < len) {
    ssize_t n = peer->is_open ? consume_frame(floor, bytes + used, len - used)
                              : consume_head(peer, slice_of(bytes + used, len - used));
    if (n < 0) return n;
    if (n == 0) break;
    used += (size_t)n;
  }
  return (ssize_t)used;
}

static int on_bytes(struct floor *floor, struct peer *peer, char *bytes, size_t len) {
  if (peer->in.len > 0) {
    buf_append(&peer->in, bytes, len);
    ssize_t used = consume(floor, peer, peer->in.data, peer->in.len);
    if (used > 0) buf_consume(&peer->in, (size_t)used);
    return used < 0 ? ERR_INVALID : 0;
  }
  ssize_t used = consume(floor, peer, bytes, len);
  if (used < 0) return ERR_INVALID;
  buf_append(&peer->in, bytes + used, len - (size_t)used);
  return 0;
}

/* Edge-triggered: until nothing is left. ERR_CLOSED: the peer is done with. */
static int read_all(struct floor *floor, struct peer *peer) {
  for (;;) {
    ssize_t n = recv(peer->fd, floor->recv_buffer, RECV_SIZE, 0);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0 || on_bytes(floor, peer, floor->recv_buffer, (size_t)n) < 0) return ERR_CLOSED;
  }
}

/* ---- peers ---- */

static void add_peer(struct floor *floor, int fd) {
  const int on = 1;
  struct peer *peer = x_calloc(1, sizeof *peer);
  peer->fd = fd;
  peer->index = floor->count;
  if (floor->count == floor->cap) {
    floor->cap = floor->cap ? floor->cap * 2 : 64;
    floor->peers = x_realloc(floor->peers, floor->cap * sizeof(struct peer *));
  }
  floor->peers[floor->count++] = peer;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = peer};
  epoll_ctl(floor->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void remove_peer(struct floor *floor, struct peer *peer) {
  struct peer *last = floor->peers[--floor->count];
  floor->peers[peer->index] = last;
  last->index = peer->index;
  close(peer->fd);
  buf_done(&peer->in);
  buf_done(&peer->unsent);
  free(peer);
}

static void accept_all(struct floor *floor) {
  for (;;) {
    int fd = accept4(floor->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    add_peer(floor, fd);
  }
}

static void on_ready(struct floor *floor, struct peer *peer, uint32_t events) {
  if (events & EPOLLOUT) send_unsent(peer);
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  if (read_all(floor, peer) < 0) remove_peer(floor, peer);
}

/* ---- the loop ---- */

static void run(struct floor *floor) {
  struct epoll_event events[EVENTS];
  for (;;) {
    int count = epoll_wait(floor->epoll_fd, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr == NULL) {
        accept_all(floor);
      } else {
        on_ready(floor, events[i].data.ptr, events[i].events);
      }
    }
    send_turn(floor);
  }
}

static void raise_descriptor_limit(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static int start(struct floor *floor, uint16_t port) {
  const int on = 1;
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  floor->recv_buffer = x_malloc(RECV_SIZE);
  floor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  floor->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (floor->epoll_fd < 0 || floor->listen_fd < 0) return ERR_SYSTEM;
  setsockopt(floor->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(floor->listen_fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
      listen(floor->listen_fd, BACKLOG) < 0 ||
      epoll_ctl(floor->epoll_fd, EPOLL_CTL_ADD, floor->listen_fd, &event) < 0)
    return ERR_SYSTEM;
  return 0;
}

int main(int argc, char **argv) {
  static struct floor floor;
  uint64_t port = 0;
  floor.is_single = argc == 3 && strcmp(argv[2], "--single") == 0;
  bool is_valid = argc == 2 || floor.is_single;
  if (!is_valid || slice_to_u64(slice_str(argv[1]), &port) != 0 || port == 0 || port > UINT16_MAX) {
    fprintf(stderr, "usage: eventhub-floor PORT [--single]\n");
    return 2;
  }
  raise_descriptor_limit();
  if (start(&floor, (uint16_t)port) < 0) {
    perror("eventhub-floor");
    return 1;
  }
  printf("listening on port %llu\n", (unsigned long long)port);
  fflush(stdout);
  run(&floor);
}
