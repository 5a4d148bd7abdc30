#ifndef EVENTHUB_STORE_JOURNAL_BLOCK_H
#define EVENTHUB_STORE_JOURNAL_BLOCK_H

/*
 * What a journal keeps, as bytes. Everything lies in values that are named by a table and a number
 * and begin with a checksum of both and of what follows:
 *
 *   blocks   checksum | record | record | ...     records are states and messages
 *   topics   checksum | what is left of a topic beside its messages
 *   kv       checksum | expiry | key | value
 *   meta     checksum | what holds for the whole directory
 *   old      checksum | expiry | origin | payload    a message that has left memory
 *   expiries nothing
 *
 * The last two are named by more than one number, so that they lie in order: the messages of a
 * topic by its row and their id, expiries by their time and by whose they are.
 *
 * A block is small enough for two of them to share a page, unless it is one message alone that is
 * not. Numbers are little-endian. Pure functions of their arguments; what is read points into the
 * bytes that it was read from.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"
#include "eventhub/topic/message.h"

enum journal_table {
  JOURNAL_META,
  JOURNAL_BLOCKS,
  JOURNAL_TOPICS,
  JOURNAL_KV,
  JOURNAL_NUMBERED, /* all before have one number */
  JOURNAL_OLD = JOURNAL_NUMBERED,
  JOURNAL_EXPIRIES,
  JOURNAL_TABLE_COUNT
};

/* Formats, since when there is what:
 *   1   meta, blocks, topics, kv
 *   2   old, expiries; rows of topics say what of them is there */
enum { JOURNAL_BLOCK_MAX = 2016, JOURNAL_FORMAT = 2 };

/* What ids go on from, with each commit (eventlog.h). */
struct journal_state {
  struct message_id last; /* the highest that followed the clock */
  struct message_id floor, forgotten;
};

struct journal_message {
  struct message_id id;
  uint64_t expires_ms; /* 0 = never */
  struct slice topic, origin, payload;
};

enum journal_kind { JOURNAL_STATE = 1, JOURNAL_MESSAGE };

struct journal_record {
  enum journal_kind kind;
  union {
    struct journal_state state;
    struct journal_message message;
  };
};

struct journal_topic {
  struct slice name;
  struct message_id last, dropped;
  uint64_t old_count;         /* messages in the table of old ones ... */
  struct message_id old_last; /* ... up to this one; those behind are in blocks */
};

/* A message in the table of old ones. */
struct journal_old {
  uint64_t row; /* of its topic */
  struct message_id id;
  uint64_t expires_ms; /* 0 = never */
  struct slice origin, payload;
};

struct journal_pair {
  uint64_t expires_ms; /* UINT64_MAX = never */
  struct slice key, value;
};

struct journal_meta {
  uint32_t format;
  bool is_open;      /* the last broker here did not say goodbye */
  uint64_t birth_ms; /* nothing from then on was ever lost without a trace */
};

/* A value is begun, filled and sealed; only then its checksum is right. */
void journal_value_begin(struct buf *value);
void journal_value_seal(struct buf *value, enum journal_table table, uint64_t number);
/* What follows the checksum. ERR_INVALID: the value is damaged. */
int journal_value_open(struct slice value, enum journal_table table, uint64_t number,
                       struct slice *ret);

/* Bytes that the message takes in a block. */
size_t journal_message_size(const struct message *message);
void journal_append_message(struct buf *block, const struct message *message);
void journal_append_state(struct buf *block, const struct journal_state *state);
/* Takes the next record off. 1, 0 at the end, or ERR_INVALID. */
int journal_next_record(struct slice *rest, struct journal_record *ret);

void journal_append_topic(struct buf *value, const struct journal_topic *topic);
int journal_read_topic(struct slice bytes, struct journal_topic *ret);
/* The same of format 1. */
int journal_read_topic_1(struct slice bytes, struct journal_topic *ret);
void journal_append_pair(struct buf *value, const struct journal_pair *pair);
int journal_read_pair(struct slice bytes, struct journal_pair *ret);
void journal_append_meta(struct buf *value, const struct journal_meta *meta);
/* Reads the format of any version, the rest where the format is known: this one and those before.
 */
int journal_read_meta(struct slice bytes, struct journal_meta *ret);
void journal_append_generation(struct buf *value, uint64_t generation);
int journal_read_generation(struct slice bytes, uint64_t *ret);

enum { JOURNAL_OLD_KEY_BYTES = 24, JOURNAL_EXPIRY_KEY_BYTES = 32 };

/* Whole values, sealed, and their keys: of `old`, row and id count. */
void journal_append_old(struct buf *value, const struct journal_old *old);
/* ERR_INVALID: damaged. */
int journal_read_old(struct slice key, struct slice value, struct journal_old *ret);
void journal_old_key(char out[JOURNAL_OLD_KEY_BYTES], uint64_t row, struct message_id id);
void journal_expiry_key(char out[JOURNAL_EXPIRY_KEY_BYTES], const struct journal_old *old);
/* Row, id and expires_ms of what expires then. */
int journal_read_expiry_key(struct slice key, struct journal_old *ret);

#endif
