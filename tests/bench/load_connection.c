#include "load_connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <zlib.h>

#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"

enum { COMPLAINTS_MAX = 5, INFLATED_MAX = 4 << 20, SAMPLE = 64 };

/* For messages of servers that keep no context. */
struct load_inflater {
  z_stream stream;
  char text[INFLATED_MAX];
};

void load_shared_done(struct load_shared *shared) {
  if (shared->inflater == NULL) return;
  inflateEnd(&shared->inflater->stream);
  free(shared->inflater);
  shared->inflater = NULL;
}

static void lose(struct load_connection *connection, const char *why) {
  struct load_shared *shared = connection->shared;
  if (connection->state == LOAD_LOST) return;
  if (shared->lost < COMPLAINTS_MAX) fprintf(stderr, "eventhub-load: connection lost: %s\n", why);
  if (connection->state == LOAD_READY) shared->ready--;
  shared->lost++;
  load_transport_close(&connection->transport);
  close(connection->fd);
  connection->fd = -1;
  connection->state = LOAD_LOST;
}

static void become_ready(struct load_connection *connection) {
  connection->state = LOAD_READY;
  connection->shared->ready++;
}

/* ---- sending ---- */

static void watch(struct load_connection *connection, bool wants_out) {
  if (connection->wants_out == wants_out) return;
  struct epoll_event event = {.events = EPOLLIN | (wants_out ? (uint32_t)EPOLLOUT : 0),
                              .data.ptr = connection};
  epoll_ctl(connection->shared->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event);
  connection->wants_out = wants_out;
}

static bool is_shaking_hands(const struct load_connection *connection) {
  return connection->transport.ssl != NULL && connection->state == LOAD_UPGRADING;
}

void load_connection_flush(struct load_connection *connection) {
  struct buf *out = &connection->out;
  if (connection->state == LOAD_LOST || out->len == 0) return;
  ssize_t sent = load_transport_send(&connection->transport, out->data, out->len);
  if (sent == ERR_CLOSED) {
    lose(connection, "it cannot be written to");
    return;
  }
  if (sent > 0) buf_consume(out, (size_t)sent);
  /* Within TLS the first bytes wait for the handshake, and so for what is read. */
  watch(connection, out->len > 0 && !is_shaking_hands(connection));
}

void load_connection_publish(struct load_connection *connection,
                             const struct load_message *message) {
  connection->unanswered++;
  load_append_publish(&connection->out, connection->shared->options, message);
}

/* ---- receiving ---- */

static bool gets_events(const struct load_connection *connection) {
  return !connection->is_publisher && connection->shared->options->way == LOAD_EVENTS;
}

static void on_upgraded(struct load_connection *connection) {
  const struct load_options *options = connection->shared->options;
  bool is_publisher = connection->is_publisher;
  bool is_ready = options->protocol == LOAD_FLOOR || gets_events(connection) ||
                  (is_publisher && options->protocol == LOAD_BROKER);
  if (is_ready) {
    become_ready(connection);
    return;
  }
  connection->state = LOAD_SUBSCRIBING;
  if (options->protocol == LOAD_NATS) {
    load_append_nats_start(&connection->out, is_publisher ? NULL : &connection->topic);
  } else {
    load_append_subscribe(&connection->out, connection->topic, options->id_kind,
                          1 + connection->number % options->ids);
  }
  load_connection_flush(connection);
}

static void on_delivery(struct load_shared *shared, struct slice payload) {
  uint64_t due_ns;
  shared->delivered++;
  shared->payload_bytes += payload.len;
  if (shared->latency == NULL || load_find_stamp(payload, &due_ns) < 0) return;
  if (due_ns < shared->measure_from_ns) return;
  uint64_t now_ns = clock_monotonic_ns();
  load_latency_add(shared->latency, now_ns > due_ns ? now_ns - due_ns : 0);
}

static bool is_error(struct slice payload) {
  return slice_starts_with(payload, SLICE("{\"error\""));
}

static void on_answer(struct load_connection *connection, struct slice payload) {
  struct load_shared *shared = connection->shared;
  connection->unanswered--;
  if (is_error(payload)) {
    shared->refused++;
  } else {
    shared->acknowledged++;
  }
}

static void on_text(struct load_connection *connection, struct slice payload) {
  struct load_shared *shared = connection->shared;
  if (connection->state == LOAD_SUBSCRIBING) {
    if (is_error(payload)) {
      lose(connection, "its subscription was refused");
    } else {
      become_ready(connection);
    }
  } else if (connection->is_publisher && shared->options->protocol == LOAD_BROKER) {
    on_answer(connection, payload);
  } else {
    on_delivery(shared, payload);
  }
}

/* ---- nats-server ---- */

static void on_nats(struct load_connection *connection, enum load_nats kind, struct slice payload) {
  switch (kind) {
  case LOAD_NATS_MESSAGE: on_delivery(connection->shared, payload); break;
  case LOAD_NATS_PONG:
    if (connection->state == LOAD_SUBSCRIBING) become_ready(connection);
    break;
  case LOAD_NATS_PING:
    load_append_frame(&connection->out, WS_BINARY, SLICE("PONG\r\n"));
    load_connection_flush(connection);
    break;
  case LOAD_NATS_OTHER: break;
  }
}

static size_t consume_lines(struct load_connection *connection, struct slice bytes) {
  struct slice rest = bytes, payload = {0};
  while (rest.len > 0 && connection->state != LOAD_LOST) {
    enum load_nats kind;
    int len = load_parse_nats(rest, &kind, &payload);
    if (len == ERR_INVALID) lose(connection, "nats-server reports an error");
    if (len < 0) break;
    on_nats(connection, kind, payload);
    rest = slice_skip(rest, (size_t)len);
  }
  return bytes.len - rest.len;
}

/* Its lines are a stream: a frame may end within one. */
static void on_lines(struct load_connection *connection, struct slice bytes) {
  struct buf *lines = &connection->lines;
  if (lines->len == 0) {
    size_t used = consume_lines(connection, bytes);
    buf_append_slice(lines, slice_skip(bytes, used));
    return;
  }
  buf_append_slice(lines, bytes);
  buf_consume(lines, consume_lines(connection, buf_slice(lines)));
}

/* ---- compressed ---- */

static struct load_inflater *open_inflater(struct load_shared *shared) {
  if (shared->inflater == NULL) {
    shared->inflater = x_calloc(1, sizeof *shared->inflater);
    inflateInit2(&shared->inflater->stream, -15);
  }
  return shared->inflater;
}

/* The text of a compressed message (RFC 7692 7.2.2); empty where it is damaged. */
static struct slice inflate_text(struct load_shared *shared, struct slice payload) {
  static const unsigned char tail[] = {0x00, 0x00, 0xff, 0xff};
  struct load_inflater *inflater = open_inflater(shared);
  z_stream *stream = &inflater->stream;
  inflateReset(stream);
  stream->next_out = (Bytef *)inflater->text;
  stream->avail_out = INFLATED_MAX;
  stream->next_in = (z_const Bytef *)payload.ptr;
  stream->avail_in = (uInt)payload.len;
  int err = inflate(stream, Z_SYNC_FLUSH);
  stream->next_in = (z_const Bytef *)tail;
  stream->avail_in = sizeof tail;
  if (err == Z_OK) err = inflate(stream, Z_SYNC_FLUSH);
  return slice_of(inflater->text, err == Z_OK ? INFLATED_MAX - stream->avail_out : 0);
}

/* Where delays do not matter only some are inflated: it is the server that is measured, and we must
 * be faster than it. */
static void on_compressed(struct load_connection *connection, struct slice payload) {
  struct load_shared *shared = connection->shared;
  if (shared->latency == NULL && shared->delivered % SAMPLE != 0) {
    shared->delivered++;
    shared->payload_bytes += shared->inflated_bytes;
    return;
  }
  struct slice text = inflate_text(shared, payload);
  if (text.len == 0 || text.ptr[text.len - 1] != '}') {
    lose(connection, "a damaged message");
  } else {
    shared->inflated_bytes = text.len;
    on_text(connection, text);
  }
}

static void on_frame(struct load_connection *connection, const struct ws_frame *frame,
                     struct slice payload) {
  if (frame->rsv != 0) {
    on_compressed(connection, payload);
    return;
  }
  switch (frame->opcode) {
  case WS_TEXT: on_text(connection, payload); break;
  case WS_BINARY: on_lines(connection, payload); break;
  case WS_CLOSE: lose(connection, "the server closed it"); break;
  case WS_PING:
    load_append_frame(&connection->out, WS_PONG, payload);
    load_connection_flush(connection);
    break;
  default: break;
  }
}

/* Bytes used; the rest is the beginning of something. */
static size_t consume_frames(struct load_connection *connection, struct slice bytes) {
  struct slice rest = bytes;
  struct ws_frame frame;
  while (connection->state != LOAD_LOST) {
    int err = load_parse_frame(rest, &frame);
    if (err == ERR_INVALID) lose(connection, "a bad frame");
    if (err < 0) break;
    rest = slice_skip(rest, frame.header_len);
    on_frame(connection, &frame, slice_of(rest.ptr, frame.payload_len));
    rest = slice_skip(rest, frame.payload_len);
  }
  return bytes.len - rest.len;
}

static size_t consume_events(struct load_connection *connection, struct slice bytes) {
  struct slice rest = bytes, data;
  int len;
  while ((len = load_parse_event(rest, &data)) > 0) {
    if (data.ptr != NULL) on_delivery(connection->shared, data);
    rest = slice_skip(rest, (size_t)len);
  }
  return bytes.len - rest.len;
}

static size_t consume_messages(struct load_connection *connection, struct slice bytes) {
  return gets_events(connection) ? consume_events(connection, bytes)
                                 : consume_frames(connection, bytes);
}

static size_t consume(struct load_connection *connection, struct slice bytes) {
  if (connection->state != LOAD_UPGRADING) return consume_messages(connection, bytes);
  int head_len = load_parse_handshake(bytes);
  if (head_len == ERR_AGAIN) return 0;
  if (head_len < 0) {
    lose(connection, "its handshake was refused");
    return 0;
  }
  on_upgraded(connection);
  return (size_t)head_len + consume_messages(connection, slice_skip(bytes, (size_t)head_len));
}

/* Most reads end with a whole frame, and nothing is copied. */
static void on_bytes(struct load_connection *connection, struct slice bytes) {
  struct buf *in = &connection->in;
  if (in->len == 0) {
    size_t used = consume(connection, bytes);
    buf_append_slice(in, slice_skip(bytes, used));
    return;
  }
  buf_append_slice(in, bytes);
  buf_consume(in, consume(connection, buf_slice(in)));
  if (in->len == 0) buf_done(in);
}

static void read_once(struct load_connection *connection) {
  char *bytes = connection->shared->recv_buffer;
  ssize_t n = load_transport_recv(&connection->transport, bytes, LOAD_RECV_SIZE);
  if (n > 0) {
    if (!connection->is_publisher) connection->shared->wire_bytes += (uint64_t)n;
    on_bytes(connection, slice_of(bytes, (size_t)n));
  } else if (n == ERR_CLOSED) {
    lose(connection, "the server hung up");
  } else if (is_shaking_hands(connection)) {
    load_connection_flush(connection);
  }
}

/* ---- connecting ---- */

static void on_connected(struct load_connection *connection) {
  int err = 0;
  socklen_t len = sizeof err;
  getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &err, &len);
  if (err != 0) {
    lose(connection, strerror(err));
    return;
  }
  struct load_shared *shared = connection->shared;
  if (load_transport_open(&connection->transport, connection->fd, shared->tls) < 0) {
    lose(connection, "TLS cannot be set up");
    return;
  }
  connection->state = LOAD_UPGRADING;
  if (gets_events(connection)) {
    load_append_stream_request(&connection->out, connection->topic);
  } else {
    enum load_way way = shared->options->way;
    load_append_handshake(&connection->out, connection->is_publisher ? LOAD_WEBSOCKET : way);
  }
  load_connection_flush(connection);
}

void load_connection_on_ready(struct load_connection *connection, uint32_t events) {
  if (connection->state == LOAD_LOST) return;
  if (connection->state == LOAD_CONNECTING) {
    on_connected(connection);
    return;
  }
  if (events & EPOLLOUT) load_connection_flush(connection);
  if (connection->state != LOAD_LOST && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
    read_once(connection);
}

/* Closing resets: there is nothing to be lost, and ports are few. */
static void set_socket_options(int fd) {
  const int on = 1;
  const struct linger reset = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

static int start_connecting(struct load_connection *connection) {
  const struct load_shared *shared = connection->shared;
  const struct load_options *options = shared->options;
  uint32_t port = connection->is_publisher ? options->port : options->subscribe_port;
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = connection};
  int failed = connect(connection->fd, (const struct sockaddr *)&address, sizeof address);
  if (failed && errno != EINPROGRESS) return ERR_SYSTEM;
  return epoll_ctl(shared->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) < 0 ? ERR_SYSTEM : 0;
}

int load_connection_open(struct load_connection *connection, struct load_shared *shared,
                         bool is_publisher, uint32_t number) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return ERR_SYSTEM;
  set_socket_options(fd);
  *connection = (struct load_connection){.shared = shared,
                                         .fd = fd,
                                         .state = LOAD_CONNECTING,
                                         .is_publisher = is_publisher,
                                         .wants_out = true,
                                         .number = number,
                                         .topic = number % shared->options->topics};
  int err = start_connecting(connection);
  if (err < 0) load_connection_done(connection);
  return err;
}

void load_connection_done(struct load_connection *connection) {
  buf_done(&connection->in);
  buf_done(&connection->out);
  buf_done(&connection->lines);
  load_transport_close(&connection->transport);
  if (connection->fd >= 0) close(connection->fd);
  connection->fd = -1;
}

uint64_t load_connection_segments(const struct load_connection *connection) {
  struct tcp_info info = {0};
  socklen_t len = sizeof info;
  if (connection->state == LOAD_LOST) return 0;
  int failed = getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &len);
  return failed ? 0 : info.tcpi_data_segs_in;
}
