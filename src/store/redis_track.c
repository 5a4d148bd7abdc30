#include "eventhub/store/redis_track.h"

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"

struct tracked {
  struct map_node node;
  struct list link;
  struct redis_place place;
  uint32_t name_len;
  char name[];
};

static struct tracked *tracked_of(const struct map_node *node) {
  return container_of((struct map_node *)node, struct tracked, node);
}

static struct slice tracked_key(const struct map_node *node) {
  const struct tracked *tracked = tracked_of(node);
  return slice_of(tracked->name, tracked->name_len);
}

void redis_track_init(struct redis_track *track, size_t max_topics) {
  *track = (struct redis_track){.max_topics = max_topics};
  map_init(&track->topics, tracked_key);
  list_init(&track->by_age);
}

static void drop(struct redis_track *track, struct tracked *tracked) {
  map_remove(&track->topics, &tracked->node);
  list_remove(&tracked->link);
  free(tracked);
}

void redis_track_done(struct redis_track *track) {
  LIST_FOREACH_SAFE (link, next, &track->by_age) {
    drop(track, container_of(link, struct tracked, link));
  }
  map_done(&track->topics);
}

bool redis_track_find(const struct redis_track *track, struct slice topic,
                      struct redis_place *ret) {
  struct map_node *node = map_find(&track->topics, topic);
  *ret = node != NULL ? tracked_of(node)->place : (struct redis_place){{0, 0}, 0};
  return node != NULL;
}

static struct tracked *find_or_add(struct redis_track *track, struct slice topic) {
  uint64_t hash = map_hash(topic.ptr, topic.len);
  struct map_node *node = map_find_hashed(&track->topics, topic, hash);
  if (node != NULL) return tracked_of(node);
  struct tracked *tracked = x_malloc(sizeof *tracked + topic.len);
  *tracked = (struct tracked){.name_len = (uint32_t)topic.len};
  memcpy(tracked->name, topic.ptr, topic.len);
  map_add_hashed(&track->topics, &tracked->node, hash);
  list_init(&tracked->link);
  if (track->topics.count > track->max_topics)
    drop(track, container_of(list_first(&track->by_age), struct tracked, link));
  return tracked;
}

void redis_track_mark(struct redis_track *track, unsigned bucket, uint64_t position) {
  if (position > track->seen[bucket]) track->seen[bucket] = position;
}

void redis_track_advance(struct redis_track *track, struct slice topic, struct redis_place place) {
  struct tracked *tracked = find_or_add(track, topic);
  tracked->place = place;
  list_remove(&tracked->link);
  list_add_tail(&track->by_age, &tracked->link);
}
