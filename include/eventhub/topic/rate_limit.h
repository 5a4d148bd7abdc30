/* Rate limits: which of a token's limits holds for a topic, and how much of it is used.
 *
 * Use is counted in fixed windows per subject, limit and interval: a window starts at a multiple
 * of its interval since the epoch. All tokens of one subject count together. */
#ifndef EVENTHUB_TOPIC_RATE_LIMIT_H
#define EVENTHUB_TOPIC_RATE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/list.h"
#include "eventhub/base/map.h"
#include "eventhub/base/slice.h"
#include "eventhub/topic/token.h"

/* The limit for publishing to the topic: the one of exactly this topic, else the longest pattern
 * that matches, the first of equals. NULL when there is none, when the token has no `sub` to count
 * under, or without a token. It lives as long as the token. Any thread. */
const struct token_limit *rate_limit_find(const struct token *token, struct slice topic);

/* The counts. One thread owns them. */
struct rate_windows {
  struct map by_key;
  struct list all; /* the sweep takes from the head and puts what is still open at the tail */
  struct buf key;  /* the key in question */
};

void rate_windows_init(struct rate_windows *windows);
void rate_windows_done(struct rate_windows *windows);

/* Allowed? Then it is counted, too. */
bool rate_windows_take(struct rate_windows *windows, struct slice sub,
                       const struct token_limit *limit, uint64_t now_ms);

/* Frees windows that are over, looking at no more than max_work of them; call it now and then.
 * Returns how many are left. */
size_t rate_windows_sweep(struct rate_windows *windows, uint64_t now_ms, size_t max_work);

#endif
