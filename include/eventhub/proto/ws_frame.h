#ifndef EVENTHUB_PROTO_WS_FRAME_H
#define EVENTHUB_PROTO_WS_FRAME_H

/*
 * Frames of RFC 6455 5.2: headers in, headers out, masking.
 *
 *   byte 0    FIN 1 | RSV 3 | opcode 4
 *   byte 1    MASK 1 | length 7            126: 2 more bytes, 127: 8 more bytes, big endian
 *   ...       masking key 4                client to server only
 *
 * Pure functions: any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_opcode {
  WS_CONTINUATION = 0,
  WS_TEXT = 1,
  WS_BINARY = 2,
  WS_CLOSE = 8,
  WS_PING = 9,
  WS_PONG = 10
};

/* RFC 6455 7.4.1 and the IANA registry; the ones that this server has a use for. */
enum ws_close_code {
  WS_CLOSE_NORMAL = 1000,
  WS_CLOSE_GOING_AWAY = 1001,
  WS_CLOSE_PROTOCOL = 1002,
  WS_CLOSE_UNSUPPORTED = 1003,
  WS_CLOSE_NO_STATUS = 1005, /* stands for a close frame without a code; never sent */
  WS_CLOSE_BAD_DATA = 1007,
  WS_CLOSE_POLICY = 1008,
  WS_CLOSE_TOO_BIG = 1009,
  WS_CLOSE_INTERNAL = 1011,
  WS_CLOSE_TRY_AGAIN = 1013
};

/* RFC 7692 6: the message that this frame begins is compressed. */
enum { WS_RSV1 = 0x40 };

enum {
  WS_FRAME_HEADER_MAX = 10,        /* that we send */
  WS_FRAME_CLIENT_HEADER_MAX = 14, /* that we receive */
  WS_CONTROL_MAX = 125             /* payload of a control frame, RFC 6455 5.5 */
};

struct ws_frame {
  uint64_t payload_len;
  size_t header_len; /* the payload begins behind it */
  uint8_t opcode;    /* enum ws_opcode */
  uint8_t rsv;       /* the reserved bits as they stand in byte 0 */
  bool fin;
  uint8_t mask[4];
};

/* Close, ping and pong (RFC 6455 5.5). */
static inline bool ws_opcode_is_control(unsigned opcode) {
  return (opcode & 8) != 0;
}

/*
 * Reads the header of a client's frame; the payload need not be there. `allowed_rsv` are the
 * reserved bits to which an extension has given a meaning, 0 or WS_RSV1; only the first frame of a
 * text or binary message may have them. 0 with `ret` written, or
 *
 *   ERR_AGAIN    a valid beginning: more bytes are needed
 *   ERR_INVALID  1002: a reserved bit that is not allowed here, a reserved opcode, not masked, a
 * control frame fragmented or over 125 bytes, a length in a longer form than it needs (RFC
 * 6455 5.2) ERR_TOO_BIG  1009: bit 63 of the length is set
 *
 * Bad is told at the first byte that makes it so.
 */
int ws_frame_parse(const char *bytes, size_t len, unsigned allowed_rsv, struct ws_frame *ret);

/* The same for what a server sends, which is not masked. `mask` is left as it was. */
int ws_frame_parse_server(const char *bytes, size_t len, unsigned allowed_rsv,
                          struct ws_frame *ret);

/* Masks or unmasks in place (RFC 6455 5.3); `offset` is the place of bytes[0] in the payload, for
 * one that comes in pieces. */
void ws_frame_unmask(char *bytes, size_t len, const uint8_t mask[4], uint64_t offset);

/* Header of an unmasked frame with a payload of that length. */
static inline size_t ws_frame_header_len(uint64_t payload_len) {
  if (payload_len <= 125) return 2;
  return payload_len <= UINT16_MAX ? 4 : 10;
}

/* Writes the header of a whole (FIN), unmasked frame to `out`, which has room for
 * WS_FRAME_HEADER_MAX bytes; returns ws_frame_header_len(payload_len). */
size_t ws_frame_header_encode(char *out, enum ws_opcode opcode, uint64_t payload_len);
/* The same with WS_RSV1. */
size_t ws_frame_header_encode_compressed(char *out, enum ws_opcode opcode, uint64_t payload_len);

/* May this code stand in a close frame (RFC 6455 7.4)? */
bool ws_close_code_is_valid(unsigned code);

#endif
