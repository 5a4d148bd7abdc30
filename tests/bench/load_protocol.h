/* What the load generator says and understands: the client's side of the WebSocket, the broker's
 * JSON-RPC, and the stamp by which a message tells how long it was on its way.
 *
 *   "@" 19 digits, ns of CLOCK_MONOTONIC when the message was due, then padding up to its size
 *
 * Pure functions of bytes; any thread. */
#ifndef EVENTHUB_BENCH_LOAD_PROTOCOL_H
#define EVENTHUB_BENCH_LOAD_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"
#include "eventhub/proto/ws_frame.h"

#include "load_options.h"

enum { LOAD_STAMP_DIGITS = 19, LOAD_MESSAGE_MIN = 1 + LOAD_STAMP_DIGITS };

struct load_message {
  uint64_t id; /* of the request */
  uint64_t due_ns;
  uint32_t topic;
  uint32_t size;
};

/* The opening handshake (RFC 6455 4.1). Every connection sends the same key: nobody here is to be
 * protected from a cache. */
void load_append_handshake(struct buf *out, enum load_way way);
/* The same for a stream of events of a topic. */
void load_append_stream_request(struct buf *out, uint32_t topic);

/* How long the answer to the handshake, or the head of a stream, is. ERR_AGAIN: it is not whole;
 * ERR_INVALID: a refusal. */
int load_parse_handshake(struct slice bytes);

/* A masked frame, as a client must send it (RFC 6455 5.3). */
void load_append_frame(struct buf *out, enum ws_opcode opcode, struct slice payload);

/* `number` makes the subscription's id. */
void load_append_subscribe(struct buf *out, uint32_t topic, enum load_id_kind kind,
                           uint32_t number);
void load_append_publish(struct buf *out, const struct load_options *options,
                         const struct load_message *message);

/* A server's frame: whole, not masked. 0 once header and payload are there; ERR_AGAIN; ERR_INVALID
 * for what neither server sends, such as fragments. */
int load_parse_frame(struct slice bytes, struct ws_frame *ret);

/* A whole event or comment at the beginning of the bytes: its length. `ret_data` is its data, with
 * ptr NULL where it has none. ERR_AGAIN. */
int load_parse_event(struct slice bytes, struct slice *ret_data);

/* What a client of nats-server says first, to a topic or, with NULL, to none; a PONG answers it. */
void load_append_nats_start(struct buf *out, const uint32_t *topic);

enum load_nats { LOAD_NATS_MESSAGE, LOAD_NATS_PING, LOAD_NATS_PONG, LOAD_NATS_OTHER };
/* What nats-server says first in the bytes: its length, and the payload of a message. ERR_AGAIN: it
 * is not whole. ERR_INVALID: an error. */
int load_parse_nats(struct slice bytes, enum load_nats *ret_kind, struct slice *ret_payload);

/* Finds the stamp in a delivered message. ERR_NOT_FOUND. */
int load_find_stamp(struct slice payload, uint64_t *ret_due_ns);

#endif
