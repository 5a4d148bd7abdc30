/* Intrusive hash map from text to items.
 *
 * Chained; the node sits inside the item, the key anywhere that the map's key function finds it.
 * The map owns its bucket array and nothing else: items and keys must stay where they are while
 * they are in the map. An empty map holds no memory until its first item. Keys come from
 * clients, so the hash is seeded anew in every process. Not shared between threads.
 *
 * The array doubles at one item per bucket. It halves at an eighth, but only when an item is
 * added, and goes back to its first size when the last item leaves: so a walk may remove items. */
#ifndef EVENTHUB_BASE_MAP_H
#define EVENTHUB_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/slice.h"

struct map_node {
  struct map_node *next;
  uint64_t hash;
};

struct map {
  struct map_node **buckets; /* NULL until the first item */
  size_t count;
  size_t mask; /* buckets - 1 */
  struct slice (*key)(const struct map_node *node);
};

/* XXH3, 64 bits, with this process' random seed. The same bytes have the same hash for the life
 * of the process, never longer: do not store or send it. Any thread. */
uint64_t map_hash(const void *ptr, size_t len);

void map_init(struct map *map, struct slice (*key)(const struct map_node *node));

/* Frees the bucket array; items still inside are left as they are. */
void map_done(struct map *map);

/* NULL when absent. The second form takes map_hash(key) from a caller who has it already. */
struct map_node *map_find(const struct map *map, struct slice key);
struct map_node *map_find_hashed(const struct map *map, struct slice key, uint64_t hash);

/* The caller guarantees that the key is absent. The second form is for a caller who has the hash
 * of the node's key. */
void map_add(struct map *map, struct map_node *node);
void map_add_hashed(struct map *map, struct map_node *node, uint64_t hash);

/* The node must be in the map. Frees nothing of the item. */
void map_remove(struct map *map, struct map_node *node);

/* The walk: any order, each item once. NULL at the end. */
struct map_node *map_first(const struct map *map);
struct map_node *map_next(const struct map *map, const struct map_node *node);

/* NOLINTBEGIN(bugprone-macro-parentheses): a name that is declared cannot stand in them. */

/* Declares `struct map_node *node`. The map must not change inside. */
#define MAP_FOREACH(node, map)                                                                     \
  for (struct map_node *node = map_first(map); node != NULL; node = map_next(map, node))

/* The same; `node` may be removed and freed inside, but nothing added. */
#define MAP_FOREACH_SAFE(node, tmp, map)                                                           \
  for (struct map_node *node = map_first(map), *tmp = node ? map_next(map, node) : NULL;           \
       node != NULL; node = tmp, tmp = node ? map_next(map, node) : NULL)

/* NOLINTEND(bugprone-macro-parentheses) */

#endif
