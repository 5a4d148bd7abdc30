#ifndef EVENTHUB_STORE_REDIS_ENTRY_H
#define EVENTHUB_STORE_REDIS_ENTRY_H

/*
 * Messages as they come from Redis: published on a topic's channel, or kept in its stream. Both
 * may have been written by somebody else, so nothing is believed: what is not exactly what our
 * scripts write is ERR_INVALID. Pure functions of bytes; any thread.
 *
 * A position is the server's clock in microseconds, made strictly increasing within a bucket. It
 * says what was published before what, where ids say so only within a topic, since publishers may
 * wish for the time in an id.
 */

#include <stdint.h>

#include "eventhub/base/slice.h"
#include "eventhub/topic/message.h"

struct redisReply;

struct redis_entry {
  struct message *message; /* a reference, with its id and expiry */
  uint64_t position;
  struct message_id previous; /* of the topic; 0-0 = there was none */
  uint64_t previous_position; /* 0 = there was none */
};

/* The position that an id says that followed the clock. */
uint64_t redis_position_of(struct message_id id);

/* What is published:
 *
 *   1 <id> <position> <previous id> <previous position> <expiry ms> <bytes of origin>\n
 *   <origin><payload>
 *
 * The origin is a JSON string, or nothing; the payload a JSON value. */
int redis_live_parse(struct slice topic, struct slice text, struct redis_entry *ret);

/* What XRANGE gives for one entry: its id and the fields e, p, m and perhaps o, s, q. */
int redis_entry_parse(struct slice topic, const struct redisReply *reply, struct redis_entry *ret);

#endif
