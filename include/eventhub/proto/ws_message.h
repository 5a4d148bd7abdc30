#ifndef EVENTHUB_PROTO_WS_MESSAGE_H
#define EVENTHUB_PROTO_WS_MESSAGE_H

/*
 * From a client's bytes to messages: frames cut anywhere, fragmented messages with control frames
 * between them, UTF-8.
 *
 * The common case, a message in one frame that lies whole in the bytes given, is unmasked where it
 * lies and lent out; no memory is taken. Only what has to wait for more bytes is copied, into an
 * assembly that the decoder owns and that exists only meanwhile: an idle decoder is one NULL
 * pointer. The assembly grows by doubling with the bytes that have really come, never past the
 * message's announced length, and a length over the limit fails before memory is taken.
 *
 *   while (pos < len) {
 *     event = ws_decoder_feed(&decoder, &limits, bytes + pos, len - pos, &consumed, &item);
 *     pos += consumed;
 *     ... use the item ...
 *   }
 *   ws_decoder_rest(&decoder);
 *
 * What comes out does not depend on how the bytes are cut. One decoder belongs to one thread at a
 * time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/proto/ws_frame.h"

struct ws_limits {
  /* Bytes of payload over all fragments; control frames do not count. A compressed message may be
   * larger by what data that cannot be compressed grows by. */
  size_t max_message;
  bool allow_binary;
  bool allow_compressed; /* permessage-deflate was negotiated (RFC 7692) */
};

struct ws_assembly;

struct ws_decoder {
  struct ws_assembly *assembly; /* NULL while no frame or message is in progress */
};

enum ws_event {
  WS_EVENT_NONE, /* everything is consumed, more is needed */
  WS_EVENT_TEXT,
  WS_EVENT_BINARY,
  WS_EVENT_PING, /* answer with a pong of the same data (RFC 6455 5.5.3) */
  WS_EVENT_PONG,
  WS_EVENT_CLOSE, /* answer in kind and feed no more */
  WS_EVENT_FAIL   /* close with close_code and feed no more */
};

/* CLOSE: data is the reason behind the code; close_code is the client's, WS_CLOSE_NO_STATUS where
 * it gave none. FAIL: no data; close_code and reason are what to send. */
struct ws_item {
  char *data; /* never NULL; may be written to */
  size_t len;
  bool is_compressed; /* of TEXT and BINARY: data is the message's compressed form, as it came. That
                         a text is UTF-8 has not been checked. */
  uint16_t close_code;
  const char *reason; /* a short phrase, a constant */
};

/* {0} will do as well. */
static inline void ws_decoder_init(struct ws_decoder *decoder) {
  decoder->assembly = NULL;
}

void ws_decoder_done(struct ws_decoder *decoder);

/* Takes bytes up to the end of the next event, at most one, and tells how many (with FAIL it does
 * not matter). The bytes are overwritten. `ret` is written with every event but NONE; its data
 * lasts until the next call on this decoder and as long as `bytes` do. The limits must stay the
 * same within a message. */
enum ws_event ws_decoder_feed(struct ws_decoder *decoder, const struct ws_limits *limits,
                              char *bytes, size_t len, size_t *ret_consumed, struct ws_item *ret);

/* The last item is used up and no bytes are left: gives back the memory of an item that had been
 * assembled. The next feed would do it too, but may be hours away. */
void ws_decoder_rest(struct ws_decoder *decoder);

/* Bytes of memory that it holds. */
size_t ws_decoder_memory(const struct ws_decoder *decoder);

#endif
