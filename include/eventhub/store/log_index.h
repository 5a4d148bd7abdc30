#ifndef EVENTHUB_STORE_LOG_INDEX_H
#define EVENTHUB_STORE_LOG_INDEX_H

/*
 * All topics of an eventlog in one dense array, for reads by pattern. Each has a signature, the
 * hashes of its first two levels, so that a pattern that begins with literal levels passes over the
 * topics that it cannot match without looking at them.
 */

#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/slice.h"

struct log_topic;

enum { LOG_INDEX_LEVELS = 2 };

struct log_signature {
  uint32_t level[LOG_INDEX_LEVELS]; /* of a topic: LOG_LEVEL_NONE = it has no such level */
};

enum { LOG_LEVEL_ANY = 0, LOG_LEVEL_NONE = 1 };

struct log_slot {
  struct log_topic *topic;
  struct log_signature signature;
};

struct log_index {
  struct log_slot *slots;
  size_t count, cap;
};

/* A walk over the topics that a filter matches. */
struct log_walk {
  const struct log_index *index;
  struct slice filter;
  struct log_signature wanted;
  size_t place;
};

void log_index_init(struct log_index *index);
void log_index_done(struct log_index *index);
void log_index_add(struct log_index *index, struct log_topic *topic);
void log_index_remove(struct log_index *index, struct log_topic *topic);

/* The filter is lent for the walk; the index must not change meanwhile. */
void log_walk_init(struct log_walk *walk, const struct log_index *index, struct slice filter);
/* In no order; NULL at the end. */
struct log_topic *log_walk_next(struct log_walk *walk);

#endif
