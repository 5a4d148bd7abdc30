#include "eventhub/cli/client_ws.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/random.h"
#include "eventhub/proto/json.h"
#include "eventhub/proto/ws_frame.h"
#include "eventhub/proto/ws_handshake.h"

enum {
  RECV_SIZE = 65536,
  HEAD_MAX = 16384,
  MESSAGE_MAX = 1 << 30,
  QUIET_MS = 60000, /* then a ping goes out */
  DEAD_MS = 30000,  /* ... and so long after it the server counts as gone */
  GOODBYE_MS = 3000
};

/* ---- signals ---- */

static volatile sig_atomic_t is_interrupted;
static sigset_t usual_signals; /* what is blocked while we wait */

static void on_signal(int number) {
  (void)number;
  is_interrupted = 1;
}

void client_catch_signals(void) {
  const struct sigaction catch = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, SIGINT);
  sigaddset(&ours, SIGTERM);
  /* They come while we wait, and only then: none can slip in between looking and waiting. */
  sigprocmask(SIG_BLOCK, &ours, &usual_signals);
  sigaction(SIGINT, &catch, NULL);
  sigaction(SIGTERM, &catch, NULL);
  sigaction(SIGPIPE, &ignore, NULL);
}

bool client_is_interrupted(void) {
  return is_interrupted != 0;
}

/* ---- beginning and end ---- */

void client_ws_init(struct client_ws *ws) {
  memset(ws, 0, sizeof *ws);
  client_socket_init(&ws->socket);
}

void client_ws_done(struct client_ws *ws) {
  client_socket_close(&ws->socket);
  buf_done(&ws->in);
  buf_done(&ws->out);
  buf_done(&ws->message);
  buf_done(&ws->close_reason);
  client_ws_init(ws);
}

/* ---- waiting ---- */

/* 0 when something of it is ready; ERR_EXPIRED, or ERR_AGAIN for a signal. */
static int wait_ready(struct pollfd *poll_fds, nfds_t count, uint64_t deadline_ms) {
  uint64_t now_ms = clock_monotonic_ms();
  uint64_t left_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
  const struct timespec timeout = {.tv_sec = (time_t)(left_ms / 1000),
                                   .tv_nsec = (long)(left_ms % 1000) * 1000000};
  int ready = ppoll(poll_fds, count, &timeout, &usual_signals);
  if (ready > 0) return 0;
  return ready == 0 ? ERR_EXPIRED : ERR_AGAIN;
}

void client_sleep(uint64_t ms) {
  wait_ready(NULL, 0, clock_monotonic_ms() + ms);
}

static bool flush(struct client_ws *ws) {
  while (ws->out.len > 0) {
    ssize_t sent = client_socket_send(&ws->socket, buf_slice(&ws->out));
    if (sent == ERR_AGAIN) return true;
    if (sent < 0) return false;
    buf_consume(&ws->out, (size_t)sent);
  }
  return true;
}

/* False: the connection is over. */
static bool receive(struct client_ws *ws) {
  buf_consume(&ws->in, ws->in_at);
  ws->in_at = 0;
  ssize_t len = client_socket_recv(&ws->socket, buf_reserve(&ws->in, RECV_SIZE), RECV_SIZE);
  if (len == ERR_AGAIN) return true;
  if (len < 0) return false;
  buf_commit(&ws->in, (size_t)len);
  ws->last_received_ms = clock_monotonic_ms();
  return true;
}

/* ---- the handshake ---- */

static void make_key(char key[WS_KEY_LEN + 1]) {
  unsigned char bytes[16];
  random_bytes(bytes, sizeof bytes);
  EVP_EncodeBlock((unsigned char *)key, bytes, sizeof bytes);
}

static void append_request(struct client_ws *ws, const struct client_url *url, const char *key,
                           const char *token) {
  bool is_v6 = strchr(url->host, ':') != NULL;
  buf_append_str(&ws->out, "GET ");
  buf_append_slice(&ws->out, url->target);
  buf_printf(&ws->out,
             " HTTP/1.1\r\nHost: %s%s%s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
             is_v6 ? "[" : "", url->host, is_v6 ? "]" : "", url->port, key);
  if (token != NULL) buf_printf(&ws->out, "Authorization: Bearer %s\r\n", token);
  buf_append_str(&ws->out, "\r\n");
}

/* Bytes of the head, 0 while its end is not there. */
static size_t head_len(const struct buf *in) {
  const char *end = memmem(buf_slice(in).ptr, in->len, "\r\n\r\n", 4);
  return end == NULL ? 0 : (size_t)(end - in->data) + 4;
}

static int exchange_heads(struct client_ws *ws, uint64_t deadline_ms, struct buf *ret_error) {
  while (head_len(&ws->in) == 0 && ws->in.len < HEAD_MAX) {
    struct pollfd poll_fd = {.fd = ws->socket.fd, .events = POLLIN};
    if (!flush(ws)) break;
    if (ws->out.len > 0) poll_fd.events |= POLLOUT;
    int err = wait_ready(&poll_fd, 1, deadline_ms);
    if (err == ERR_EXPIRED || client_is_interrupted()) {
      buf_append_str(ret_error, "the server does not answer");
      return ERR_UNAVAILABLE;
    }
    if ((poll_fd.revents & ~POLLOUT) != 0 && !receive(ws)) break;
  }
  if (head_len(&ws->in) > 0) return 0;
  buf_append_str(ret_error,
                 ws->in.len > 0 ? "the answer is not HTTP" : "the server closed the connection");
  return ERR_UNAVAILABLE;
}

static struct slice find_header(struct slice head, struct slice name) {
  struct slice line;
  while (slice_next_token(&head, '\n', &line)) {
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
    if (line.len <= name.len || line.ptr[name.len] != ':') continue;
    if (slice_equal_nocase(slice_of(line.ptr, name.len), name))
      return slice_trim(slice_skip(line, name.len + 1));
  }
  return SLICE("");
}

/* "403 Forbidden: this origin is not allowed", as far as the answer says so. */
static void append_refusal(struct client_ws *ws, struct slice head, struct buf *ret_error) {
  struct slice rest = head, line = SLICE("");
  slice_next_token(&rest, '\r', &line);
  struct slice status = line.len > 9 ? slice_skip(line, 9) : line;
  buf_append_str(ret_error, "the server answers ");
  buf_append_slice(ret_error, status);
  struct json_value body, error;
  struct slice text = slice_skip(buf_slice(&ws->in), head.len);
  if (json_parse(text, JSON_DEPTH_MAX, &body) == 0 &&
      json_object_find(body, SLICE("error"), &error) == 0 && error.type == JSON_STRING) {
    buf_append_str(ret_error, ": ");
    json_string_decode(error, ret_error);
  }
}

/* Will the same request be refused again? A full or stopping server, or one behind a proxy that
 * cannot reach it, may take it later. */
static int err_of_status(struct slice head) {
  struct slice status = head.len > 12 ? slice_of(head.ptr + 9, 3) : SLICE("");
  bool may_pass = status.len > 0 && (status.ptr[0] == '5' || slice_equal(status, SLICE("429")) ||
                                     slice_equal(status, SLICE("408")));
  return may_pass ? ERR_UNAVAILABLE : ERR_DENIED;
}

static int check_answer(struct client_ws *ws, const char *key, struct buf *ret_error) {
  char accept[WS_ACCEPT_LEN + 1];
  size_t len = head_len(&ws->in);
  struct slice head = slice_of(buf_slice(&ws->in).ptr, len);
  if (!slice_starts_with(head, SLICE("HTTP/1.1 101"))) {
    append_refusal(ws, head, ret_error);
    return err_of_status(head);
  }
  ws_accept_compute(slice_of(key, WS_KEY_LEN), accept);
  if (!slice_equal(find_header(head, SLICE("Sec-WebSocket-Accept")), slice_str(accept))) {
    buf_append_str(ret_error, "the server does not speak WebSocket");
    return ERR_DENIED;
  }
  buf_consume(&ws->in, len);
  return 0;
}

int client_ws_open(struct client_ws *ws, const struct client_url *url, const char *token,
                   const struct client_tls *tls, uint64_t deadline_ms, struct buf *ret_error) {
  char key[WS_KEY_LEN + 1];
  client_ws_done(ws);
  int err = client_socket_connect(&ws->socket, url, tls, deadline_ms, ret_error);
  if (err < 0) return err;
  make_key(key);
  append_request(ws, url, key, token);
  err = exchange_heads(ws, deadline_ms, ret_error);
  if (err == 0) err = check_answer(ws, key, ret_error);
  if (err < 0) client_ws_done(ws);
  ws->queued_total = ws->out.len;
  ws->last_received_ms = clock_monotonic_ms();
  return err;
}

/* ---- frames ---- */

static void queue_frame(struct client_ws *ws, enum ws_opcode opcode, struct slice payload) {
  char header[WS_FRAME_CLIENT_HEADER_MAX];
  uint8_t mask[4];
  size_t had = ws->out.len;
  size_t len = ws_frame_header_encode(header, opcode, payload.len);
  header[1] = (char)(header[1] | 0x80);
  random_bytes(mask, sizeof mask);
  memcpy(header + len, mask, sizeof mask);
  buf_append(&ws->out, header, len + sizeof mask);
  char *at = buf_reserve(&ws->out, payload.len + 1);
  memcpy(at, payload.ptr, payload.len);
  ws_frame_unmask(at, payload.len, mask, 0);
  buf_commit(&ws->out, payload.len);
  ws->queued_total += ws->out.len - had;
}

void client_ws_send(struct client_ws *ws, struct slice text) {
  queue_frame(ws, WS_TEXT, text);
}

/* What a frame leads to; ERR_AGAIN: nothing that anybody waits for. */
static int take_frame(struct client_ws *ws, const struct ws_frame *frame, struct slice payload) {
  if (frame->opcode == WS_PING) queue_frame(ws, WS_PONG, payload);
  if (frame->opcode == WS_CLOSE) {
    ws->close_code = WS_CLOSE_NO_STATUS;
    if (payload.len < 2) return CLIENT_CLOSED;
    ws->close_code = (unsigned)(uint8_t)payload.ptr[0] << 8 | (uint8_t)payload.ptr[1];
    buf_append_slice(&ws->close_reason, slice_skip(payload, 2));
    return CLIENT_CLOSED;
  }
  if (ws_opcode_is_control(frame->opcode)) return ERR_AGAIN;
  if (!ws->in_message) buf_clear(&ws->message);
  ws->in_message = !frame->fin;
  buf_append_slice(&ws->message, payload);
  return frame->fin ? CLIENT_MESSAGE : ERR_AGAIN;
}

/* The next event out of what has come; ERR_AGAIN: more is needed. */
static int take_event(struct client_ws *ws) {
  for (;;) {
    struct ws_frame frame;
    struct slice left = slice_skip(buf_slice(&ws->in), ws->in_at);
    int err = ws_frame_parse_server(left.ptr, left.len, 0, &frame);
    if (err == ERR_AGAIN) return err;
    if (err < 0 || frame.payload_len > MESSAGE_MAX) return CLIENT_CLOSED;
    if (left.len - frame.header_len < frame.payload_len) return ERR_AGAIN;
    struct slice payload = slice_of(left.ptr + frame.header_len, (size_t)frame.payload_len);
    ws->in_at += frame.header_len + payload.len;
    int event = take_frame(ws, &frame, payload);
    if (event != ERR_AGAIN) return event;
  }
}

/* ---- events ---- */

/* Until when to wait: for the caller, for the next ping, or for its answer. False: too late. */
static bool check_life(struct client_ws *ws, uint64_t *deadline_ms) {
  uint64_t now_ms = clock_monotonic_ms();
  bool is_asked = ws->last_ping_ms > ws->last_received_ms;
  if (is_asked && now_ms >= ws->last_ping_ms + DEAD_MS) return false;
  if (!is_asked && now_ms >= ws->last_received_ms + QUIET_MS) {
    queue_frame(ws, WS_PING, SLICE(""));
    ws->last_ping_ms = now_ms;
    is_asked = true;
  }
  uint64_t next_ms = is_asked ? ws->last_ping_ms + DEAD_MS : ws->last_received_ms + QUIET_MS;
  if (next_ms < *deadline_ms) *deadline_ms = next_ms;
  return true;
}

static enum client_event closed(struct client_ws *ws) {
  if (ws->close_code == 0) ws->close_code = 1006;
  return CLIENT_CLOSED;
}

/* One wait. ERR_AGAIN: go on. */
static int wait_once(struct client_ws *ws, int other_fd, uint64_t deadline_ms) {
  bool had_output = ws->out.len > 0;
  uint64_t until_ms = deadline_ms;
  if (!check_life(ws, &until_ms) || !flush(ws)) return CLIENT_CLOSED;
  if (had_output && ws->out.len == 0) return CLIENT_SENT;
  struct pollfd poll_fds[2] = {{.fd = ws->socket.fd, .events = POLLIN},
                               {.fd = other_fd, .events = POLLIN}};
  if (ws->out.len > 0 || ws->socket.wants_write) poll_fds[0].events |= POLLOUT;
  if (client_socket_has_pending(&ws->socket)) return receive(ws) ? ERR_AGAIN : CLIENT_CLOSED;
  int err = wait_ready(poll_fds, other_fd < 0 ? 1 : 2, until_ms);
  if (client_is_interrupted()) return CLIENT_INTERRUPTED;
  if (err == ERR_EXPIRED && clock_monotonic_ms() >= deadline_ms) return CLIENT_TIMEOUT;
  if (err < 0) return ERR_AGAIN;
  if ((poll_fds[0].revents & ~POLLOUT) != 0 && !receive(ws)) return CLIENT_CLOSED;
  return other_fd >= 0 && poll_fds[1].revents != 0 ? CLIENT_INPUT : ERR_AGAIN;
}

enum client_event client_ws_wait(struct client_ws *ws, int other_fd, uint64_t deadline_ms,
                                 struct slice *ret_message) {
  int event;
  do {
    event = take_event(ws);
    if (event == ERR_AGAIN) event = wait_once(ws, other_fd, deadline_ms);
  } while (event == ERR_AGAIN);
  if (event == CLIENT_MESSAGE) *ret_message = buf_slice(&ws->message);
  return event == CLIENT_CLOSED ? closed(ws) : (enum client_event)event;
}

void client_ws_close(struct client_ws *ws) {
  static const char normal[] = {WS_CLOSE_NORMAL >> 8, (char)(WS_CLOSE_NORMAL & 0xff)};
  uint64_t deadline_ms = clock_monotonic_ms() + GOODBYE_MS;
  struct slice message;
  enum client_event event;
  if (ws->socket.fd < 0) return;
  queue_frame(ws, WS_CLOSE, slice_of(normal, sizeof normal));
  is_interrupted = 0; /* a second signal cuts the goodbye short */
  do {
    event = client_ws_wait(ws, -1, deadline_ms, &message);
  } while (event == CLIENT_MESSAGE || event == CLIENT_SENT);
  client_ws_done(ws);
}
