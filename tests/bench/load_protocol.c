#include "load_protocol.h"

#include <string.h>

#include "eventhub/base/err.h"

enum { MASK_BIT = 0x80, LOAD_NATS_MESSAGE_MAX = 1 << 20 };

/* No more than a valid one needs to be. */
static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};

void load_append_handshake(struct buf *out, enum load_way way) {
  buf_append_str(out, "GET / HTTP/1.1\r\n"
                      "Host: 127.0.0.1\r\n"
                      "Upgrade: websocket\r\n"
                      "Connection: Upgrade\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                      "Sec-WebSocket-Version: 13\r\n");
  if (way == LOAD_DEFLATE)
    buf_append_str(out, "Sec-WebSocket-Extensions: permessage-deflate; "
                        "client_no_context_takeover\r\n");
  buf_append_str(out, "\r\n");
}

int load_parse_handshake(struct slice bytes) {
  static const struct slice upgraded = SLICE_INIT("HTTP/1.1 101 ");
  static const struct slice streaming = SLICE_INIT("HTTP/1.1 200 ");
  const char *end = memmem(bytes.ptr, bytes.len, "\r\n\r\n", 4);
  if (end == NULL) return ERR_AGAIN;
  if (!slice_starts_with(bytes, upgraded) && !slice_starts_with(bytes, streaming))
    return ERR_INVALID;
  return (int)(end + 4 - bytes.ptr);
}

void load_append_frame(struct buf *out, enum ws_opcode opcode, struct slice payload) {
  char *header = buf_reserve(out, WS_FRAME_CLIENT_HEADER_MAX + payload.len);
  size_t header_len = ws_frame_header_encode(header, opcode, payload.len);
  header[1] = (char)((unsigned char)header[1] | MASK_BIT);
  memcpy(header + header_len, mask, sizeof mask);
  char *body = header + header_len + sizeof mask;
  if (payload.len > 0) memcpy(body, payload.ptr, payload.len);
  ws_frame_unmask(body, payload.len, mask, 0);
  buf_commit(out, header_len + sizeof mask + payload.len);
}

static void append_topic(struct buf *out, uint32_t topic) {
  buf_append_str(out, "bench/t");
  buf_append_u64(out, topic);
}

void load_append_stream_request(struct buf *out, uint32_t topic) {
  buf_append_str(out, "GET /");
  append_topic(out, topic);
  buf_append_str(out, " HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n");
}

void load_append_subscribe(struct buf *out, uint32_t topic, enum load_id_kind kind,
                           uint32_t number) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_printf(&text, kind == LOAD_ID_TEXT ? "{\"id\":\"subscription-%u\"" : "{\"id\":%u", number);
  buf_append_str(&text, ",\"jsonrpc\":\"2.0\",\"method\":\"subscribe\","
                        "\"params\":{\"topic\":\"");
  append_topic(&text, topic);
  buf_append_str(&text, "\"}}");
  load_append_frame(out, WS_TEXT, buf_slice(&text));
}

static void append_stamped(struct buf *out, const struct load_message *message, uint32_t size) {
  char *at = buf_reserve(out, size);
  memset(at, 'x', size);
  *at = '@';
  uint64_t rest = message->due_ns;
  for (int i = LOAD_STAMP_DIGITS; i > 0; i--, rest /= 10)
    at[i] = (char)('0' + rest % 10);
  buf_commit(out, size);
}

/* {"at":"@...","orders":[{"id":48213,"customer":"c07441","price":17.05,...},...]}: gzip makes about
 * a quarter of it. Each message has numbers of its own. */
static void append_object(struct buf *out, const struct load_message *message) {
  enum { ORDER_BYTES = 90 };
  size_t start = out->len;
  uint32_t random = (uint32_t)message->due_ns * 2654435761U + 1;
  buf_append_str(out, "{\"at\":\"");
  append_stamped(out, message, LOAD_MESSAGE_MIN);
  buf_append_str(out, "\",\"orders\":[");
  for (bool is_first = true; out->len - start + ORDER_BYTES < message->size; is_first = false) {
    random = random * 1664525 + 1013904223;
    buf_printf(
        out,
        "%s{\"id\":%u,\"customer\":\"c%05u\",\"price\":%u.%02u,\"quantity\":%u,\"status\":\"%s\"}",
        is_first ? "" : ",", random >> 12 & 0xffff, (random >> 4) % 100000, random >> 25,
        (random >> 9) % 100, random >> 29, random & 0x8000 ? "shipped" : "pending");
  }
  buf_append_str(out, "]}");
}

static void append_content(struct buf *out, const struct load_options *options,
                           const struct load_message *message) {
  if (options->content == LOAD_JSON) {
    append_object(out, message);
    return;
  }
  buf_append_char(out, '"');
  append_stamped(out, message, message->size);
  buf_append_char(out, '"');
}

static void append_request(struct buf *out, const struct load_options *options,
                           const struct load_message *message) {
  buf_append_str(out, "{\"id\":");
  buf_append_u64(out, message->id);
  buf_append_str(out, ",\"jsonrpc\":\"2.0\",\"method\":\"publish\",\"params\":{\"topic\":\"");
  append_topic(out, message->topic);
  buf_append_str(out, "\",\"message\":");
  append_content(out, options, message);
  buf_append_str(out, "}}");
}

static void append_nats_publish(struct buf *out, const struct load_message *message) {
  buf_append_str(out, "PUB ");
  append_topic(out, message->topic);
  buf_printf(out, " %u\r\n", message->size);
  append_stamped(out, message, message->size);
  buf_append_str(out, "\r\n");
}

void load_append_publish(struct buf *out, const struct load_options *options,
                         const struct load_message *message) {
  AUTO(buf) struct buf text = BUF_INIT;
  switch (options->protocol) {
  case LOAD_BROKER: append_request(&text, options, message); break;
  case LOAD_FLOOR: append_stamped(&text, message, message->size); break;
  case LOAD_NATS: append_nats_publish(&text, message); break;
  }
  load_append_frame(out, options->protocol == LOAD_NATS ? WS_BINARY : WS_TEXT, buf_slice(&text));
}

int load_parse_frame(struct slice bytes, struct ws_frame *ret) {
  int err = ws_frame_parse_server(bytes.ptr, bytes.len, WS_RSV1, ret);
  if (err < 0) return err;
  if (!ret->fin) return ERR_INVALID;
  return bytes.len - ret->header_len < ret->payload_len ? ERR_AGAIN : 0;
}

void load_append_nats_start(struct buf *out, const uint32_t *topic) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_append_str(&text, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
  if (topic != NULL) {
    buf_append_str(&text, "SUB ");
    append_topic(&text, *topic);
    buf_append_str(&text, " 1\r\n");
  }
  buf_append_str(&text, "PING\r\n");
  load_append_frame(out, WS_BINARY, buf_slice(&text));
}

/* "MSG <subject> <sid> <size>" and then so many bytes and a line end. */
static int parse_nats_message(struct slice bytes, size_t line_len, struct slice *ret_payload) {
  const char *space = memrchr(bytes.ptr, ' ', line_len);
  uint64_t size;
  if (space == NULL) return ERR_INVALID;
  struct slice digits = slice_of(space + 1, (size_t)(bytes.ptr + line_len - space - 1));
  if (slice_to_u64(digits, &size) < 0 || size > LOAD_NATS_MESSAGE_MAX) return ERR_INVALID;
  size_t len = line_len + 2 + (size_t)size + 2;
  if (bytes.len < len) return ERR_AGAIN;
  *ret_payload = slice_of(bytes.ptr + line_len + 2, (size_t)size);
  return (int)len;
}

int load_parse_nats(struct slice bytes, enum load_nats *ret_kind, struct slice *ret_payload) {
  const char *end = memmem(bytes.ptr, bytes.len, "\r\n", 2);
  if (end == NULL) return ERR_AGAIN;
  size_t line_len = (size_t)(end - bytes.ptr);
  *ret_kind = LOAD_NATS_OTHER;
  if (slice_starts_with(bytes, SLICE("-ERR"))) return ERR_INVALID;
  if (slice_starts_with(bytes, SLICE("PING"))) *ret_kind = LOAD_NATS_PING;
  if (slice_starts_with(bytes, SLICE("PONG"))) *ret_kind = LOAD_NATS_PONG;
  if (!slice_starts_with(bytes, SLICE("MSG "))) return (int)line_len + 2;
  *ret_kind = LOAD_NATS_MESSAGE;
  return parse_nats_message(bytes, line_len, ret_payload);
}

/* By lines: memchr looks at many bytes at once, and we must be faster than the server. */
int load_parse_event(struct slice bytes, struct slice *ret_data) {
  static const struct slice name = SLICE_INIT("data: ");
  const char *data = NULL, *line = bytes.ptr, *end = bytes.ptr + bytes.len, *line_end;
  while ((line_end = memchr(line, '\n', (size_t)(end - line))) != NULL) {
    if (line_end == line) {
      *ret_data = slice_of(data, data == NULL ? 0 : (size_t)(line - 1 - data));
      return (int)(line + 1 - bytes.ptr);
    }
    if (data == NULL && slice_starts_with(slice_of(line, (size_t)(line_end - line)), name))
      data = line + name.len;
    line = line_end + 1;
  }
  return ERR_AGAIN;
}

int load_find_stamp(struct slice payload, uint64_t *ret_due_ns) {
  const char *at = memchr(payload.ptr, '@', payload.len);
  if (at == NULL || payload.ptr + payload.len - at < LOAD_MESSAGE_MIN) return ERR_NOT_FOUND;
  return slice_to_u64(slice_of(at + 1, LOAD_STAMP_DIGITS), ret_due_ns) == 0 ? 0 : ERR_NOT_FOUND;
}
