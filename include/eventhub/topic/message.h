/* A published message: immutable once it has its id, counted by an atomic reference count, one
 * allocation. It carries the JSON item that subscribers get, ready to send:
 *
 *   {"id":"1700000000000-0","message":<payload>,"topic":"<topic>"}
 *   {"id":"1700000000000-0","message":<payload>,"topic":"<topic>","origin":<origin>}
 *
 * The id comes late (the store gives it), so room for the longest one is kept in front and the id
 * is written right-aligned against what follows it; nothing else moves:
 *
 *   struct message | unused room {"id":"1700000000000-0","message":42,"topic":"a/b"}
 *                                ^ item
 *
 * One thread owns a message until it has an id; then any thread may read it and hold references. */
#ifndef EVENTHUB_TOPIC_MESSAGE_H
#define EVENTHUB_TOPIC_MESSAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/blob.h"
#include "eventhub/base/slice.h"

/* `<milliseconds since the epoch>-<sequence>`: the form of a Redis stream id. */
struct message_id {
  uint64_t ms;
  uint64_t seq;
};

/* Bytes that message_id_format may write: two numbers of 20 digits, a '-' and the NUL. */
enum { MESSAGE_ID_MAX = 42 };

/* Below 0, 0 or above 0: a is before, at or after b. */
int message_id_compare(struct message_id a, struct message_id b);

/* The smallest id after this one; the largest of all is its own next. */
struct message_id message_id_next(struct message_id id);

/* `ms-seq`, or `ms`, which means `ms-0`. 0, ERR_INVALID, or ERR_TOO_BIG past 64 bits. */
int message_id_parse(struct slice text, struct message_id *ret_id);

/* Writes `ms-seq` and a NUL; returns the length without the NUL. */
size_t message_id_format(struct message_id id, char out[MESSAGE_ID_MAX]);

/* Read the fields by the functions below, except expires_ms. */
struct message {
  atomic_uint refs;
  uint32_t item;    /* where the item starts in data; moves with the id */
  uint32_t end;     /* where it ends */
  uint32_t payload; /* offsets in data, and lengths; no payload: a gap */
  uint32_t payload_len;
  uint32_t topic;
  uint32_t topic_len;
  uint32_t origin_len;
  struct message_id id;
  uint64_t expires_ms; /* wall clock; 0 = never. Set before sharing, by who sets the id. */
  _Atomic(struct blob *) compressed; /* see message_keep_compressed; NULL at first */
  char data[];
};

/* A message with one reference and the id 0-0. `topic` is a valid topic, `payload_json` one JSON
 * value as its publisher wrote it; `origin` is the publisher's `sub` as raw text (it is escaped
 * here), "" = none. All are copied. The three together stay below 1 GiB: the caller limits them. */
struct message *message_new(struct slice topic, struct slice payload_json, struct slice origin);

/* The same with the origin as a JSON string in its quotes, as message_origin_json gives it. */
struct message *message_new_ready(struct slice topic, struct slice payload_json,
                                  struct slice origin_json);

/* The same with the id already, and without the room that an id which is not known yet needs. */
struct message *message_new_stored(struct slice topic, struct slice payload_json,
                                   struct slice origin_json, struct message_id id);

/* Not a message but the news that messages of the topic behind last_id are missing and cannot be
 * had any more. It goes the way of messages, so that it comes where they would have come. Its item
 * is {"topic":"<topic>","lastId":"<last_id>"}, its payload empty, its id last_id. */
struct message *message_new_gap(struct slice topic, struct message_id last_id);
bool message_is_gap(const struct message *message);

struct message *message_ref(struct message *message);

/* Frees the message with the last reference. NULL is fine. */
void message_unref(struct message *message);

/* AUTO(message) struct message *message = NULL; */
static inline void message_cleanup(struct message **message) {
  message_unref(*message);
}

/* Before the message is shared, only. */
void message_set_id(struct message *message, struct message_id id);

/* The JSON object; the slices live as long as the message. */
struct slice message_item(const struct message *message);
struct slice message_topic(const struct message *message);
struct slice message_payload(const struct message *message);

/* The origin as a JSON string with its quotes; "" = none. */
struct slice message_origin_json(const struct message *message);

struct message_id message_id(const struct message *message);
/* As message_id_format writes it; lives as long as the message and its id do. */
struct slice message_id_text(const struct message *message);

/* A compressed form of the message, made by whoever needs it first and kept for all others, on any
 * thread; what it is, they agree on. NULL before that. It lives as long as the message. */
struct blob *message_compressed(const struct message *message);
/* Takes over the reference. Where another thread was faster its form stays; answers the one that
 * does. */
struct blob *message_keep_compressed(struct message *message, struct blob *compressed);

/* Bytes that the message holds in memory, without its compressed form. */
size_t message_size(const struct message *message);

#endif
