#ifndef EVENTHUB_STORE_REDIS_KEYS_H
#define EVENTHUB_STORE_REDIS_KEYS_H

/*
 * Names in Redis. Topics and keys fall into 64 buckets; all that belongs to a bucket carries the
 * hash tag `{prefix:NN}`, so that each script touches one slot of a Redis cluster:
 *
 *   {eventhub:49}:stream:a/b     {eventhub:49}:live:a/b
 *
 * docs/redis-data-layout.md lists all. Pure functions, any thread.
 */

#include <stdbool.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"

enum { REDIS_BUCKETS = 64 };

enum redis_key {
  REDIS_KEY_TOPICS,
  REDIS_KEY_INDEX,
  REDIS_KEY_STREAM, /* + topic */
  REDIS_KEY_ONCE,   /* + producer */
  REDIS_KEY_RATE,   /* + limit */
  REDIS_KEY_KV,     /* + key */
  REDIS_KEY_LIVE,   /* channel; + topic */
  REDIS_KEY_NODE    /* channel; + producer */
};

/* The bucket of a topic or key: the same for every broker of whatever version. */
unsigned redis_bucket_of(struct slice name);

/* Appends the name; `name` is empty for keys without one. */
void redis_key_append(struct buf *out, struct slice prefix, unsigned bucket, enum redis_key key,
                      struct slice name);
size_t redis_key_len(struct slice prefix, enum redis_key key, struct slice name);

/* Takes a name of ours apart, which then lies in `text`. False: it is not of these brokers. */
bool redis_channel_parse(struct slice prefix, struct slice text, unsigned *ret_bucket,
                         enum redis_key *ret_key, struct slice *ret_name);

/* The glob that matches the channels of every topic that the pattern matches: the tightest that
 * Redis can express, except that a pattern that ends in `#` needs the channels or globs of what is
 * in front of it, too: see redis_glob_parent. */
void redis_glob_append(struct buf *out, struct slice prefix, struct slice pattern);

/* For `+/a/#` the pattern `+/a`, for `a/#` the topic `a`: what the pattern's glob does not match
 * and the pattern does. False: there is no such thing, as for `a/+`, `a/+/#` and `#`. */
bool redis_glob_parent(struct slice pattern, struct slice *ret_parent);

#endif
