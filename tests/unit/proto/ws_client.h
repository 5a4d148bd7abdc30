/* A client's frames, for tests: right ones, and wrong ones on purpose. */
#ifndef TESTS_UNIT_PROTO_WS_CLIENT_H
#define TESTS_UNIT_PROTO_WS_CLIENT_H

#include "eventhub/base/buf.h"

enum { FIN = 0x80, MASKED = 0x80 };

static const uint8_t client_mask[4] = {0x37, 0xfa, 0x21, 0x3d};

static inline void append_be(struct buf *out, uint64_t value, size_t len) {
  for (size_t i = len; i > 0; i--)
    buf_append_char(out, (char)(value >> 8 * (i - 1) & 0xff));
}

/* Length in the form that takes `form` bytes behind the second byte: 0, 2 or 8. */
static inline void append_header(struct buf *out, unsigned first, uint64_t len, size_t form) {
  buf_append_char(out, (char)first);
  buf_append_char(out, (char)(MASKED | (form == 0 ? len : form == 2 ? 126 : 127)));
  append_be(out, len, form);
  buf_append(out, client_mask, sizeof client_mask);
}

static inline size_t minimal_form(uint64_t len) {
  if (len <= 125) return 0;
  return len <= UINT16_MAX ? 2 : 8;
}

static inline void append_frame(struct buf *out, unsigned first, const void *payload, size_t len) {
  append_header(out, first, len, minimal_form(len));
  const uint8_t *bytes = payload;
  for (size_t i = 0; i < len; i++)
    buf_append_char(out, (char)(bytes[i] ^ client_mask[i % 4]));
}

static inline void append_text_frame(struct buf *out, unsigned first, const char *text) {
  append_frame(out, first, text, strlen(text));
}

#endif
