#include "eventhub/proto/ws_frame.h"

#include <endian.h>
#include <string.h>

#include "eventhub/base/err.h"

enum {
  FIN_BIT = 0x80,
  RSV_BITS = 0x70,
  OPCODE_BITS = 0x0f,
  MASK_BIT = 0x80,
  LEN_BITS = 0x7f,
  LEN_16 = 126,
  LEN_64 = 127,
  MASK_LEN = 4
};

/* Bit n: opcode n exists. */
enum {
  OPCODES = 1 << WS_CONTINUATION | 1 << WS_TEXT | 1 << WS_BINARY | 1 << WS_CLOSE | 1 << WS_PING |
            1 << WS_PONG
};

/* Two words: one register of SSE2 or NEON, which every machine of their kind has. */
typedef uint64_t words __attribute__((vector_size(16)));
enum { BLOCK = 4 * sizeof(words) };

static uint64_t read_be(const unsigned char *at, size_t len) {
  uint64_t value = 0;
  for (size_t i = 0; i < len; i++)
    value = value << 8 | at[i];
  return value;
}

static void write_be(char *out, size_t len, uint64_t value) {
  for (size_t i = len; i > 0; i--, value >>= 8)
    out[i - 1] = (char)(value & 0xff);
}

static int check_first_byte(unsigned byte, unsigned allowed_rsv) {
  unsigned opcode = byte & OPCODE_BITS, rsv = byte & RSV_BITS;
  bool begins_message = opcode == WS_TEXT || opcode == WS_BINARY;
  if ((rsv & ~allowed_rsv) != 0 || (rsv != 0 && !begins_message)) return ERR_INVALID;
  if ((OPCODES >> opcode & 1) == 0) return ERR_INVALID;
  if (ws_opcode_is_control(opcode) && (byte & FIN_BIT) == 0) return ERR_INVALID;
  return 0;
}

static int check_second_byte(unsigned first, unsigned byte, size_t mask_len) {
  if (((byte & MASK_BIT) != 0) != (mask_len > 0)) return ERR_INVALID;
  bool too_long = (byte & LEN_BITS) > WS_CONTROL_MAX;
  return ws_opcode_is_control(first & OPCODE_BITS) && too_long ? ERR_INVALID : 0;
}

static size_t long_form_size(unsigned len7) {
  if (len7 == LEN_16) return 2;
  return len7 == LEN_64 ? 8 : 0;
}

static int check_long_form(uint64_t payload_len, size_t size) {
  if (payload_len >> 63 != 0) return ERR_TOO_BIG;
  return ws_frame_header_len(payload_len) == 2 + size ? 0 : ERR_INVALID;
}

/* `mask_len` is MASK_LEN for what clients send, 0 for what servers do. */
static inline int parse_header(const char *bytes, size_t len, unsigned allowed_rsv, size_t mask_len,
                               struct ws_frame *ret) {
  const unsigned char *at = (const unsigned char *)bytes;
  if (len < 1) return ERR_AGAIN;
  int err = check_first_byte(at[0], allowed_rsv);
  if (err < 0) return err;
  if (len < 2) return ERR_AGAIN;
  err = check_second_byte(at[0], at[1], mask_len);
  if (err < 0) return err;

  uint64_t payload_len = at[1] & LEN_BITS;
  size_t size = long_form_size(at[1] & LEN_BITS);
  if (len < 2 + size) return ERR_AGAIN;
  if (size > 0) {
    payload_len = read_be(at + 2, size);
    err = check_long_form(payload_len, size);
    if (err < 0) return err;
  }
  if (len < 2 + size + mask_len) return ERR_AGAIN;

  ret->payload_len = payload_len;
  ret->header_len = 2 + size + mask_len;
  ret->opcode = at[0] & OPCODE_BITS;
  ret->rsv = at[0] & RSV_BITS;
  ret->fin = (at[0] & FIN_BIT) != 0;
  memcpy(ret->mask, at + 2 + size, mask_len);
  return 0;
}

int ws_frame_parse(const char *bytes, size_t len, unsigned allowed_rsv, struct ws_frame *ret) {
  return parse_header(bytes, len, allowed_rsv, MASK_LEN, ret);
}

int ws_frame_parse_server(const char *bytes, size_t len, unsigned allowed_rsv,
                          struct ws_frame *ret) {
  return parse_header(bytes, len, allowed_rsv, 0, ret);
}

/* The key as it lies over payload bytes [offset, offset + 8). */
static inline uint64_t mask_word(const uint8_t mask[4], uint64_t offset) {
  uint32_t key;
  memcpy(&key, mask, sizeof key);
  unsigned turn = 8 * (offset & 3);
  key = le32toh(key);
  key = htole32(key >> turn | key << (-turn & 31));
  return (uint64_t)key << 32 | key;
}

static inline void unmask_word(char *at, uint64_t mask) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  word ^= mask;
  memcpy(at, &word, sizeof word);
}

static inline void unmask_words(char *at, words mask) {
  words block;
  memcpy(&block, at, sizeof block);
  block ^= mask;
  memcpy(at, &block, sizeof block);
}

void ws_frame_unmask(char *bytes, size_t len, const uint8_t mask[4], uint64_t offset) {
  uint64_t word = mask_word(mask, offset);
  words two = {word, word};
  size_t i = 0;
  for (; len - i >= BLOCK; i += BLOCK) {
    unmask_words(bytes + i, two);
    unmask_words(bytes + i + sizeof two, two);
    unmask_words(bytes + i + 2 * sizeof two, two);
    unmask_words(bytes + i + 3 * sizeof two, two);
  }
  for (; len - i >= sizeof word; i += sizeof word)
    unmask_word(bytes + i, word);
  for (; i < len; i++)
    bytes[i] = (char)((uint8_t)bytes[i] ^ mask[(offset + i) & 3]);
}

size_t ws_frame_header_encode_compressed(char *out, enum ws_opcode opcode, uint64_t payload_len) {
  size_t header_len = ws_frame_header_encode(out, opcode, payload_len);
  out[0] = (char)(out[0] | WS_RSV1);
  return header_len;
}

size_t ws_frame_header_encode(char *out, enum ws_opcode opcode, uint64_t payload_len) {
  size_t header_len = ws_frame_header_len(payload_len);
  out[0] = (char)(FIN_BIT | opcode);
  if (header_len == 2) {
    out[1] = (char)payload_len;
    return header_len;
  }
  out[1] = header_len == 4 ? LEN_16 : LEN_64;
  write_be(out + 2, header_len - 2, payload_len);
  return header_len;
}

bool ws_close_code_is_valid(unsigned code) {
  if (code >= 3000) return code <= 4999; /* registered by others, or private (RFC 6455 7.4.2) */
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}
