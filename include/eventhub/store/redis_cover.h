#ifndef EVENTHUB_STORE_REDIS_COVER_H
#define EVENTHUB_STORE_REDIS_COVER_H

/*
 * Which patterns to ask Redis for. Redis compares each message with each glob of each client one by
 * one, so a broker asks for few: for the patterns that its clients have while these are few, and
 * for wider ones beyond that, which it then sifts itself.
 *
 * Wider means shorter: at width w a pattern keeps its first w levels, and `#` stands for the rest.
 * Each width has its patterns counted; the least wide that needs at most `max` globs is the cover.
 *
 *   width 8   a/b/+   a/c/+   x/#          width 1   a/#   x/#          width 0   #
 *
 * Single-threaded.
 */

#include <stdbool.h>
#include <stddef.h>

#include "eventhub/base/map.h"
#include "eventhub/base/slice.h"

enum { REDIS_COVER_WIDTHS = 10, REDIS_COVER_MAX = 64 };

struct redis_cover {
  struct map widths[REDIS_COVER_WIDTHS]; /* the last one: patterns as they are */
  size_t max;
};

/* max: globs, at most REDIS_COVER_MAX. */
void redis_cover_init(struct redis_cover *cover, size_t max);
void redis_cover_done(struct redis_cover *cover);

/* Counted: a pattern may be added several times and is then removed as often. */
void redis_cover_add(struct redis_cover *cover, struct slice pattern);
void redis_cover_remove(struct redis_cover *cover, struct slice pattern);

/* The patterns of the cover, none of which contains another: at most max, borrowed until the next
 * add or remove. Answers how many. */
size_t redis_cover_get(const struct redis_cover *cover, struct slice ret[REDIS_COVER_MAX]);

#endif
