#ifndef EVENTHUB_STORE_REDIS_TRACK_H
#define EVENTHUB_STORE_REDIS_TRACK_H

/*
 * How far this broker has come: in each bucket the highest position that it has seen, in each topic
 * the last message that it has delivered. From that it tells copies from news, and news from news
 * with something missing before it.
 *
 * Topics are remembered up to a limit, the one that had no message for longest goes first; then its
 * bucket's position says all that is known. Single-threaded.
 */

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/list.h"
#include "eventhub/base/map.h"
#include "eventhub/base/slice.h"
#include "eventhub/store/redis_keys.h"
#include "eventhub/topic/message.h"

enum { REDIS_TRACK_TOPICS_MAX = 262144 };

struct redis_track {
  uint64_t seen[REDIS_BUCKETS]; /* 0 = nothing is known of the bucket */
  struct map topics;
  struct list by_age; /* the oldest first */
  size_t max_topics;
};

/* The last message of a topic that was delivered. */
struct redis_place {
  struct message_id id;
  uint64_t position;
};

void redis_track_init(struct redis_track *track, size_t max_topics);
void redis_track_done(struct redis_track *track);

/* False: nothing is known of the topic; ret is all zero then. */
bool redis_track_find(const struct redis_track *track, struct slice topic, struct redis_place *ret);
/* A message was delivered. It says nothing of other topics: a recovery may have brought it while
 * theirs are still on their way. */
void redis_track_advance(struct redis_track *track, struct slice topic, struct redis_place place);
/* Everything in the bucket up to the position has been seen: it came on the connection, in its
 * order, or was looked for. */
void redis_track_mark(struct redis_track *track, unsigned bucket, uint64_t position);

#endif
