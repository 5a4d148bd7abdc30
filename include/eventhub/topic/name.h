/* Names: what a topic and a pattern look like, and what matches what.
 *
 * A topic is levels joined by '/'. A level is one or more of A-Z a-z 0-9 - _; empty levels inside
 * are allowed (`a//b`), a leading or a trailing '/' is not. A pattern is a topic in which a whole
 * level may be '+' (exactly one level), or the last level '#' (the level before it and everything
 * below): `a/#` matches `a`, `a/b` and `a/b/c`; `#` matches every topic. A filter is either.
 *
 * Pure functions of their arguments; any thread. */
#ifndef EVENTHUB_TOPIC_NAME_H
#define EVENTHUB_TOPIC_NAME_H

#include <stdbool.h>

#include "eventhub/base/slice.h"

/* Bytes in the longest topic or pattern. */
enum { TOPIC_MAX = 1024 };

bool topic_is_valid(struct slice topic);

/* Either a valid topic or a valid pattern. */
bool filter_is_valid(struct slice filter);

/* Has a `+` level, or ends in a `#` level. Of an invalid filter the answer means nothing. */
bool filter_is_pattern(struct slice filter);

/* Does the filter match this one name? `topic` is any text, split at '/': its levels are compared
 * as literal text, so that a '+' in it is only ever matched by a '+' or '#' of the filter. Keys of
 * the key/value store are checked by this, too. */
bool filter_matches(struct slice filter, struct slice topic);

/* Does `outer` match every topic that `inner` could match? Both are valid filters. `a/+` contains
 * `a/x` and `a/+`, but not `a/#`, which also matches `a` and `a/b/c`. */
bool filter_contains(struct slice outer, struct slice inner);

#endif
