#include "load_protocol.h"

#include <string.h>

#include "eventhub/base/err.h"

enum { LENGTH_16 = 126, LENGTH_64 = 127, MASK_BIT = 0x80, FIN_BIT = 0x80, OPCODE_BITS = 0x0f };

/* No more than a valid one needs to be. */
static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};

void load_append_handshake(struct buf *out) {
  buf_append_str(out, "GET / HTTP/1.1\r\n"
                      "Host: 127.0.0.1\r\n"
                      "Upgrade: websocket\r\n"
                      "Connection: Upgrade\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                      "Sec-WebSocket-Version: 13\r\n\r\n");
}

int load_parse_handshake(struct slice bytes) {
  static const struct slice accepted = SLICE_INIT("HTTP/1.1 101 ");
  const char *end = memmem(bytes.ptr, bytes.len, "\r\n\r\n", 4);
  if (end == NULL) return ERR_AGAIN;
  return slice_starts_with(bytes, accepted) ? (int)(end + 4 - bytes.ptr) : ERR_INVALID;
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

void load_append_subscribe(struct buf *out, uint32_t topic) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_append_str(&text, "{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"subscribe\","
                        "\"params\":{\"topic\":\"");
  append_topic(&text, topic);
  buf_append_str(&text, "\"}}");
  load_append_frame(out, WS_TEXT, buf_slice(&text));
}

static void append_content(struct buf *out, const struct load_message *message) {
  char *at = buf_reserve(out, message->size);
  memset(at, 'x', message->size);
  *at = '@';
  uint64_t rest = message->due_ns;
  for (int i = LOAD_STAMP_DIGITS; i > 0; i--, rest /= 10)
    at[i] = (char)('0' + rest % 10);
  buf_commit(out, message->size);
}

static void append_request(struct buf *out, const struct load_message *message) {
  buf_append_str(out, "{\"id\":");
  buf_append_u64(out, message->id);
  buf_append_str(out, ",\"jsonrpc\":\"2.0\",\"method\":\"publish\",\"params\":{\"topic\":\"");
  append_topic(out, message->topic);
  buf_append_str(out, "\",\"message\":\"");
  append_content(out, message);
  buf_append_str(out, "\"}}");
}

void load_append_publish(struct buf *out, enum load_protocol protocol,
                         const struct load_message *message) {
  AUTO(buf) struct buf text = BUF_INIT;
  if (protocol == LOAD_BROKER) {
    append_request(&text, message);
  } else {
    append_content(&text, message);
  }
  load_append_frame(out, WS_TEXT, buf_slice(&text));
}

static uint64_t read_big_endian(const unsigned char *at, size_t len) {
  uint64_t value = 0;
  for (size_t i = 0; i < len; i++)
    value = value << 8 | at[i];
  return value;
}

int load_parse_frame(struct slice bytes, struct load_frame *ret) {
  const unsigned char *at = (const unsigned char *)bytes.ptr;
  if (bytes.len < 2) return ERR_AGAIN;
  if (!(at[0] & FIN_BIT) || (at[1] & MASK_BIT)) return ERR_INVALID;
  size_t extra = at[1] == LENGTH_64 ? 8 : at[1] == LENGTH_16 ? 2 : 0;
  if (bytes.len < 2 + extra) return ERR_AGAIN;
  uint64_t payload_len = extra > 0 ? read_big_endian(at + 2, extra) : at[1];
  if (bytes.len - 2 - extra < payload_len) return ERR_AGAIN;
  *ret = (struct load_frame){.opcode = (enum ws_opcode)(at[0] & OPCODE_BITS),
                             .header_len = 2 + extra,
                             .payload_len = payload_len};
  return 0;
}

int load_find_stamp(struct slice payload, uint64_t *ret_due_ns) {
  const char *at = memchr(payload.ptr, '@', payload.len);
  if (at == NULL || payload.ptr + payload.len - at < LOAD_MESSAGE_MIN) return ERR_NOT_FOUND;
  return slice_to_u64(slice_of(at + 1, LOAD_STAMP_DIGITS), ret_due_ns) == 0 ? 0 : ERR_NOT_FOUND;
}
