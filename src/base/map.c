#include "eventhub/base/map.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "eventhub/base/mem.h"
#include "eventhub/base/random.h"

enum {
  MAP_BUCKETS_FIRST = 4,
  MAP_SHRINK_AT = 8 /* buckets per item */
};

/* 0 until somebody hashes; the first thread's value stays. */
static uint64_t hash_seed(void) {
  static _Atomic uint64_t shared_seed;
  uint64_t seed = atomic_load_explicit(&shared_seed, memory_order_relaxed);
  if (seed) return seed;
  uint64_t mine = random_u64() | 1;
  if (atomic_compare_exchange_strong(&shared_seed, &seed, mine)) return mine;
  return seed;
}

uint64_t map_hash(const void *ptr, size_t len) {
  return XXH3_64bits_withSeed(ptr, len, hash_seed());
}

static size_t bucket_count(const struct map *map) {
  return map->buckets ? map->mask + 1 : 0;
}

static struct map_node **bucket_of(const struct map *map, uint64_t hash) {
  return &map->buckets[hash & map->mask];
}

static void link_node(struct map *map, struct map_node *node) {
  struct map_node **bucket = bucket_of(map, node->hash);
  node->next = *bucket;
  *bucket = node;
}

/* n is a power of two. */
static void resize(struct map *map, size_t n) {
  struct map_node **old = map->buckets;
  size_t old_count = bucket_count(map);
  map->buckets = x_calloc(n, sizeof *map->buckets);
  map->mask = n - 1;
  for (size_t i = 0; i < old_count; i++) {
    struct map_node *next;
    for (struct map_node *node = old[i]; node; node = next) {
      next = node->next;
      link_node(map, node);
    }
  }
  free(old);
}

void map_init(struct map *map, struct slice (*key)(const struct map_node *node)) {
  *map = (struct map){.key = key};
}

void map_done(struct map *map) {
  free(map->buckets);
  map_init(map, map->key);
}

struct map_node *map_find(const struct map *map, struct slice key) {
  if (map->count == 0) return NULL;
  return map_find_hashed(map, key, map_hash(key.ptr, key.len));
}

struct map_node *map_find_hashed(const struct map *map, struct slice key, uint64_t hash) {
  if (map->count == 0) return NULL;
  for (struct map_node *node = *bucket_of(map, hash); node; node = node->next)
    if (node->hash == hash && slice_equal(map->key(node), key)) return node;
  return NULL;
}

void map_add(struct map *map, struct map_node *node) {
  struct slice key = map->key(node);
  map_add_hashed(map, node, map_hash(key.ptr, key.len));
}

void map_add_hashed(struct map *map, struct map_node *node, uint64_t hash) {
  size_t n = bucket_count(map);
  map->count++;
  if (n == 0)
    resize(map, MAP_BUCKETS_FIRST);
  else if (map->count > n)
    resize(map, n * 2);
  else if (n > MAP_BUCKETS_FIRST && map->count < n / MAP_SHRINK_AT)
    resize(map, n / 2);
  node->hash = hash;
  link_node(map, node);
}

void map_remove(struct map *map, struct map_node *node) {
  struct map_node **link = bucket_of(map, node->hash);
  while (*link != node) {
    assert(*link);
    link = &(*link)->next;
  }
  *link = node->next;
  node->next = NULL;
  map->count--;
  if (map->count == 0 && map->mask + 1 > MAP_BUCKETS_FIRST) resize(map, MAP_BUCKETS_FIRST);
}

static struct map_node *first_from(const struct map *map, size_t bucket) {
  size_t n = bucket_count(map);
  for (; bucket < n; bucket++)
    if (map->buckets[bucket]) return map->buckets[bucket];
  return NULL;
}

struct map_node *map_first(const struct map *map) {
  return map->count ? first_from(map, 0) : NULL;
}

struct map_node *map_next(const struct map *map, const struct map_node *node) {
  return node->next ? node->next : first_from(map, (node->hash & map->mask) + 1);
}
