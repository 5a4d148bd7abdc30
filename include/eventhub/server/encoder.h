#ifndef EVENTHUB_SERVER_ENCODER_H
#define EVENTHUB_SERVER_ENCODER_H

/*
 * How a message looks on the wire, in each of the forms that clients may have it in. Clients of the
 * same form and subscription id get the same bytes, so what is made here is made once for all of
 * them (fanout.h).
 *
 *   WebSocket              one frame: {"id":<subscription id>,"jsonrpc":"2.0","result":<item>}
 *   WebSocket, compressed  the same text; what differs between subscription ids is a stored block
 *                          in front, and behind it stands the compressed item, made once for the
 *                          whole process and kept with the message
 *   server-sent events     the id, and the message: a string as its text, other values as JSON
 *   the same as JSON       the id, and the item
 *
 * Worker's thread only.
 */

#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"
#include "eventhub/net/chunk.h"
#include "eventhub/server/connection.h"

struct message;

/* A connection's `format`. */
enum message_format { FORMAT_RPC, FORMAT_SSE, FORMAT_SSE_JSON };

struct message_form {
  uint8_t format;      /* enum message_format */
  uint8_t window_bits; /* of compression; 0: none */
};

static inline struct message_form message_form_of(const struct connection *connection) {
  return (struct message_form){connection->format, connection->deflate.server_bits};
}

struct encoder {
  struct connection_pool *pool; /* its arena and its compressor */
  struct buf run, text;         /* scratch */
};

void encoder_init(struct encoder *encoder, struct connection_pool *pool);
void encoder_done(struct encoder *encoder);

/* Encodes as many of the messages (at least one, from the first on) as make one run, into the
 * pool's arena. Returns how many; `ret` is what connection_push takes. */
size_t encoder_run(struct encoder *encoder, struct message_form form, struct slice id,
                   struct message *const *messages, size_t count, struct span *ret);

#endif
