#include "eventhub/store/log_index.h"

#include <stdlib.h>

#include "eventhub/base/map.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/log_topic.h"
#include "eventhub/topic/name.h"

enum { CAP_MIN = 64 };

static uint32_t level_hash(struct slice level) {
  uint32_t hash = (uint32_t)map_hash(level.ptr, level.len);
  return hash > LOG_LEVEL_NONE ? hash : hash + 2;
}

static struct log_signature topic_signature(struct slice name) {
  struct log_signature signature;
  struct slice level;
  for (int i = 0; i < LOG_INDEX_LEVELS; i++)
    signature.level[i] = slice_next_token(&name, '/', &level) ? level_hash(level) : LOG_LEVEL_NONE;
  return signature;
}

static uint32_t wanted_level(struct slice level) {
  return slice_equal(level, SLICE("+")) ? LOG_LEVEL_ANY : level_hash(level);
}

/* A `#` stands for its level and for those behind it, which may not be there: any. */
static struct log_signature filter_signature(struct slice filter) {
  struct log_signature signature = {{LOG_LEVEL_ANY, LOG_LEVEL_ANY}};
  struct slice level;
  for (int i = 0; i < LOG_INDEX_LEVELS; i++) {
    if (!slice_next_token(&filter, '/', &level)) {
      signature.level[i] = LOG_LEVEL_NONE;
    } else if (slice_equal(level, SLICE("#"))) {
      return signature;
    } else {
      signature.level[i] = wanted_level(level);
    }
  }
  return signature;
}

static bool signature_fits(const struct log_signature *wanted, const struct log_signature *topic) {
  for (int i = 0; i < LOG_INDEX_LEVELS; i++) {
    if (wanted->level[i] != LOG_LEVEL_ANY && wanted->level[i] != topic->level[i]) return false;
  }
  return true;
}

void log_index_init(struct log_index *index) {
  *index = (struct log_index){0};
}

void log_index_done(struct log_index *index) {
  free(index->slots);
  log_index_init(index);
}

static void resize(struct log_index *index, size_t cap) {
  index->cap = cap;
  index->slots = x_realloc(index->slots, cap * sizeof index->slots[0]);
}

void log_index_add(struct log_index *index, struct log_topic *topic) {
  if (index->count == index->cap) resize(index, index->cap ? index->cap * 2 : CAP_MIN);
  topic->slot = (uint32_t)index->count++;
  index->slots[topic->slot] = (struct log_slot){topic, topic_signature(log_topic_name(topic))};
}

void log_index_remove(struct log_index *index, struct log_topic *topic) {
  struct log_slot last = index->slots[--index->count];
  index->slots[topic->slot] = last;
  last.topic->slot = topic->slot;
  if (index->cap > CAP_MIN && index->count < index->cap / 4) resize(index, index->cap / 2);
}

void log_walk_init(struct log_walk *walk, const struct log_index *index, struct slice filter) {
  *walk = (struct log_walk){
      .index = index, .filter = filter, .wanted = filter_signature(filter), .place = 0};
}

struct log_topic *log_walk_next(struct log_walk *walk) {
  while (walk->place < walk->index->count) {
    const struct log_slot *slot = &walk->index->slots[walk->place++];
    if (!signature_fits(&walk->wanted, &slot->signature)) continue;
    if (filter_matches(walk->filter, log_topic_name(slot->topic))) return slot->topic;
  }
  return NULL;
}
