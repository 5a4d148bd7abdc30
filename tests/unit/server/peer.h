#ifndef EVENTHUB_TESTS_SERVER_PEER_H
#define EVENTHUB_TESTS_SERVER_PEER_H

/*
 * The other end of a connection: a client that writes bytes and frames, and reads what came.
 * Include after cmocka.h.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../proto/ws_client.h"
#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"
#include "eventhub/proto/ws_frame.h"
#include "eventhub/server/connection.h"

#define PEER_HANDSHAKE(path, headers)                                                              \
  "GET " path " HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"              \
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" headers "\r\n"
#define PEER_UPGRADE PEER_HANDSHAKE("/", "")

struct peer {
  int fd;
  bool is_at_end; /* the server has sent its end */
  bool is_reset;  /* ... or has reset the connection */
  struct buf in;  /* read and not taken */
  struct buf out; /* the next frames, and what the socket did not take */
  struct sockaddr_storage address;
};

/* A frame of the server's: points into what was read, until the next is read. */
struct peer_frame {
  unsigned opcode;
  struct slice payload;
};

static inline void peer_init(struct peer *peer, int fd) {
  memset(peer, 0, sizeof *peer);
  peer->fd = fd;
}

/* Puts one end of a socket pair into the pool. */
static inline struct connection *peer_open(struct peer *peer, struct connection_pool *pool) {
  int fds[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  peer_init(peer, fds[1]);
  struct connection *connection = connection_open(pool, fds[0], &peer->address, NULL);
  assert_non_null(connection);
  return connection;
}

static inline void peer_hang_up(struct peer *peer) {
  if (peer->fd >= 0) close(peer->fd);
  peer->fd = -1;
}

static inline void peer_close(struct peer *peer) {
  peer_hang_up(peer);
  buf_done(&peer->in);
  buf_done(&peer->out);
}

/* ---- writing ---- */

/* As much of `out` as the socket takes. */
static inline void peer_flush(struct peer *peer) {
  while (peer->out.len > 0) {
    ssize_t len = send(peer->fd, peer->out.data, peer->out.len, MSG_NOSIGNAL);
    if (len <= 0) return;
    buf_consume(&peer->out, (size_t)len);
  }
}

static inline void peer_write(struct peer *peer, const char *bytes, size_t len) {
  buf_append(&peer->out, bytes, len);
  peer_flush(peer);
}

static inline void peer_write_text(struct peer *peer, const char *text) {
  peer_write(peer, text, strlen(text));
}

static inline void peer_send(struct peer *peer, unsigned opcode, struct slice payload) {
  append_frame(&peer->out, FIN | opcode, payload.ptr, payload.len);
  peer_flush(peer);
}

static inline void peer_send_text(struct peer *peer, const char *text) {
  peer_send(peer, WS_TEXT, slice_str(text));
}

static inline void peer_send_close(struct peer *peer, unsigned code) {
  const char payload[2] = {(char)(code >> 8), (char)(code & 0xff)};
  peer_send(peer, WS_CLOSE, slice_of(payload, 2));
}

/* ---- reading ---- */

/* At most so many bytes; returns how many there were. */
static inline size_t peer_read_some(struct peer *peer, size_t most) {
  size_t total = 0;
  while (total < most) {
    size_t room = most - total < 65536 ? most - total : 65536;
    ssize_t len = read(peer->fd, buf_reserve(&peer->in, room), room);
    if (len == 0) peer->is_at_end = true;
    if (len < 0 && errno != EAGAIN) peer->is_reset = true;
    if (len <= 0) break;
    buf_commit(&peer->in, (size_t)len);
    total += (size_t)len;
  }
  return total;
}

static inline void peer_read(struct peer *peer) {
  peer_read_some(peer, SIZE_MAX);
}

/* The head of the 101 is taken away, frames that came with it stay. */
static inline void peer_take_upgrade(struct peer *peer) {
  peer_read(peer);
  assert_true(slice_starts_with(buf_slice(&peer->in), SLICE("HTTP/1.1 101 ")));
  char *end = memmem(peer->in.data, peer->in.len, "\r\n\r\n", 4);
  assert_non_null(end);
  buf_consume(&peer->in, (size_t)(end - peer->in.data) + 4);
}

/* Length of the whole frame at the beginning of `bytes`, 0 where it is not whole. */
static inline size_t parse_frame(struct slice bytes, struct peer_frame *ret) {
  const unsigned char *p = (const unsigned char *)bytes.ptr;
  if (bytes.len < 2) return 0;
  assert_int_equal(p[0] & 0xf0, 0x80); /* whole and without reserved bits */
  size_t len = p[1], header = 2;
  assert_true(len < 128); /* not masked */
  if (len == 126) header = 4;
  if (len == 127) header = 10;
  if (bytes.len < header) return 0;
  for (size_t i = 2; i < header; i++)
    len = i == 2 ? p[i] : len << 8 | p[i];
  if (bytes.len < header + len) return 0;
  *ret = (struct peer_frame){.opcode = p[0] & 0xf, .payload = slice_of(bytes.ptr + header, len)};
  return header + len;
}

/* Cuts the first whole frame off `rest`; false where there is none. */
static inline bool next_frame(struct slice *rest, struct peer_frame *ret) {
  size_t len = parse_frame(*rest, ret);
  *rest = slice_skip(*rest, len);
  return len > 0;
}

/* All that has come, as text, one blank behind each frame: texts as they are, `ping:`, `pong:` and
 * `close:CODE` before what they carry. Bytes that make no whole frame fail the test. */
static inline void peer_describe(struct peer *peer, struct buf *ret) {
  peer_read(peer);
  struct slice rest = buf_slice(&peer->in);
  struct peer_frame frame;
  while (next_frame(&rest, &frame)) {
    struct slice text = frame.payload;
    if (frame.opcode == WS_PING) buf_append_str(ret, "ping:");
    if (frame.opcode == WS_PONG) buf_append_str(ret, "pong:");
    if (frame.opcode == WS_CLOSE) {
      buf_append_str(ret, "close:");
      const unsigned char *code = (const unsigned char *)text.ptr;
      if (text.len > 0) buf_append_u64(ret, (uint64_t)code[0] << 8 | code[1]);
      if (text.len > 0) text = slice_skip(text, 2);
      if (text.len > 0) buf_append_char(ret, ',');
    }
    buf_append_slice(ret, text);
    buf_append_char(ret, ' ');
  }
  assert_int_equal(rest.len, 0);
  buf_clear(&peer->in);
}

#define assert_frames(peer, text)                                                                  \
  do {                                                                                             \
    AUTO(buf) struct buf described = BUF_INIT;                                                     \
    peer_describe(peer, &described);                                                               \
    buf_append_char(&described, '\0');                                                             \
    assert_string_equal(described.data, text);                                                     \
  } while (0)

/* Everything that was read and not taken, as text. */
static inline const char *peer_text(struct peer *peer) {
  peer_read(peer);
  *buf_reserve(&peer->in, 1) = '\0';
  return peer->in.data;
}

#endif
