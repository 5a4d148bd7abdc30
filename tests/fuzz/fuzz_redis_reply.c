/* Any bytes as what Redis answers: through hiredis' reader, each reply and all that is in it is
 * taken for an entry of a stream, and each text for the name of a channel. */
#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/store/redis_entry.h"
#include "eventhub/store/redis_keys.h"
#include "eventhub/topic/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct slice prefix = SLICE_INIT("p");

/* What is taken for a channel of ours is spelt as we spell it. */
static void try_channel(struct slice text) {
  unsigned bucket = 0;
  enum redis_key key = REDIS_KEY_TOPICS;
  struct slice name = {NULL, 0};
  AUTO(buf) struct buf again = BUF_INIT;
  if (!redis_channel_parse(prefix, text, &bucket, &key, &name)) return;
  assert(bucket < REDIS_BUCKETS);
  redis_key_append(&again, prefix, bucket, key, name);
  assert(slice_equal(buf_slice(&again), text));
}

/* A pattern that is a watched filter, its glob and its parent. */
static void try_filter(struct slice text) {
  AUTO(buf) struct buf glob = BUF_INIT;
  struct slice parent;
  if (!filter_is_valid(text) || !filter_is_pattern(text)) return;
  redis_glob_append(&glob, prefix, text);
  assert(slice_starts_with(buf_slice(&glob), SLICE("{p:\?\?}:live:")));
  if (redis_glob_parent(text, &parent)) assert(parent.len + 2 == text.len);
}

static void try_entry(const redisReply *reply) {
  struct redis_entry entry;
  if (redis_entry_parse(SLICE("a"), reply, &entry) != 0) return;
  assert(message_id_compare(entry.previous, message_id(entry.message)) < 0);
  assert(entry.previous_position < entry.position);
  message_unref(entry.message);
}

static void try_reply(const redisReply *reply) {
  try_entry(reply);
  if (reply->type == REDIS_REPLY_STRING) {
    try_channel(slice_of(reply->str, reply->len));
    try_filter(slice_of(reply->str, reply->len));
  }
  if (reply->type != REDIS_REPLY_ARRAY) return;
  for (size_t i = 0; i < reply->elements; i++)
    try_reply(reply->element[i]);
}

/* Inputs that announce more elements than they have bytes make hiredis take memory for them. */
static bool is_modest(const uint8_t *data, size_t size) {
  bool is_count = false;
  size_t digits = 0;
  for (size_t i = 0; i < size; i++) {
    bool is_digit = data[i] >= '0' && data[i] <= '9';
    if (!is_digit) is_count = data[i] == '*';
    digits = is_digit ? digits + 1 : 0;
    if (is_count && digits > 4) return false;
  }
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0 || !is_modest(data, size)) return 0;
  redisReader *reader = redisReaderCreate();
  void *reply = NULL;
  redisReaderFeed(reader, (const char *)data, size);
  while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
    try_reply(reply);
    freeReplyObject(reply);
    reply = NULL;
  }
  redisReaderFree(reader);
  return 0;
}
