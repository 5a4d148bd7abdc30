#include "eventhub/base/map.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"

enum { KEYS = 700, STEPS = 60000 };

struct item {
  char key[16];
  size_t key_len;
  struct map_node node;
  bool is_inside; /* the naive model */
  unsigned seen;
};

static struct slice key_of(const struct map_node *node) {
  const struct item *item = container_of(node, struct item, node);
  return slice_of(item->key, item->key_len);
}

static struct item *new_items(void) {
  struct item *items = x_calloc(KEYS, sizeof *items);
  for (size_t i = 0; i < KEYS; i++)
    items[i].key_len = (size_t)snprintf(items[i].key, sizeof items[i].key, "topic/%zu", i);
  return items;
}

/* The same sequence in every run. */
static uint32_t next_random(uint32_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 17;
  *seed ^= *seed << 5;
  return *seed;
}

static size_t assert_walk_sees_each_once(const struct map *map) {
  size_t n = 0;
  MAP_FOREACH (node, map) {
    struct item *item = container_of(node, struct item, node);
    assert_true(item->is_inside);
    item->seen++;
    assert_int_equal(item->seen, 1);
    n++;
  }
  MAP_FOREACH (node, map)
    container_of(node, struct item, node)->seen = 0;
  return n;
}

static void assert_agrees(const struct map *map, struct item *items) {
  size_t count = 0;
  for (size_t i = 0; i < KEYS; i++) {
    struct map_node *found = map_find(map, slice_of(items[i].key, items[i].key_len));
    assert_ptr_equal(found, items[i].is_inside ? &items[i].node : NULL);
    count += items[i].is_inside;
  }
  assert_int_equal(map->count, count);
  assert_int_equal(assert_walk_sees_each_once(map), count);
}

static void step(struct map *map, struct item *item) {
  if (item->is_inside)
    map_remove(map, &item->node);
  else
    map_add(map, &item->node);
  item->is_inside = !item->is_inside;
}

static void it_agrees_with_a_naive_model(void **state) {
  (void)state;
  AUTO(mem) struct item *items = new_items();
  struct map map;
  map_init(&map, key_of);
  uint32_t seed = 20260102;
  for (unsigned i = 0; i < STEPS; i++) {
    /* Waves: the range of keys widens and narrows, so that the array grows and shrinks. */
    unsigned range = i / 2000 % 2 ? KEYS : 9;
    struct item *item = &items[next_random(&seed) % range];
    bool is_wanted = i / 4000 % 2 ? next_random(&seed) % 8 == 0 : true;
    if (is_wanted || item->is_inside) step(&map, item);
    if (i % 1000 == 0) assert_agrees(&map, items);
  }
  assert_agrees(&map, items);
  map_done(&map);
}

static void an_empty_one_holds_no_memory(void **state) {
  (void)state;
  struct map map;
  map_init(&map, key_of);
  assert_null(map_find(&map, SLICE("a")));
  assert_null(map_first(&map));
  assert_null(map.buckets);
  map_done(&map);
}

static void a_walk_may_remove_every_item(void **state) {
  (void)state;
  AUTO(mem) struct item *items = new_items();
  struct map map;
  map_init(&map, key_of);
  for (size_t i = 0; i < KEYS; i++)
    map_add(&map, &items[i].node);
  size_t most = map.mask + 1;
  size_t n = 0;
  MAP_FOREACH_SAFE (node, next, &map) {
    map_remove(&map, node);
    memset(container_of(node, struct item, node), 0xff, sizeof(struct item));
    n++;
  }
  assert_int_equal(n, KEYS);
  assert_int_equal(map.count, 0);
  assert_true(map.mask + 1 < most / 8);
  map_done(&map);
}

static void buckets_follow_the_number_of_items(void **state) {
  (void)state;
  AUTO(mem) struct item *items = new_items();
  struct map map;
  map_init(&map, key_of);
  for (size_t i = 0; i < KEYS; i++) {
    map_add(&map, &items[i].node);
    assert_true(map.mask + 1 >= map.count && map.mask + 1 < 2 * map.count + 4);
  }
  for (size_t i = 1; i < KEYS; i++)
    map_remove(&map, &items[i].node);
  for (size_t i = 0; i < 20; i++) {
    map_add(&map, &items[1].node);
    map_remove(&map, &items[1].node);
  }
  assert_true(map.mask + 1 <= 16);
  assert_ptr_equal(map_find(&map, SLICE("topic/0")), &items[0].node);
  map_done(&map);
}

static void a_known_hash_finds_the_same(void **state) {
  (void)state;
  AUTO(mem) struct item *items = new_items();
  struct map map;
  map_init(&map, key_of);
  uint64_t hash = map_hash("topic/3", 7);
  map_add_hashed(&map, &items[3].node, hash);
  assert_ptr_equal(map_find(&map, SLICE("topic/3")), &items[3].node);
  assert_ptr_equal(map_find_hashed(&map, SLICE("topic/3"), hash), &items[3].node);
  assert_null(map_find_hashed(&map, SLICE("topic/4"), hash));
  map_done(&map);
}

static void keys_may_hold_any_bytes(void **state) {
  (void)state;
  struct item a = {.key = "x\0a", .key_len = 3};
  struct item b = {.key = "x\0b", .key_len = 3};
  struct item empty = {.key_len = 0};
  struct map map;
  map_init(&map, key_of);
  map_add(&map, &a.node);
  map_add(&map, &b.node);
  map_add(&map, &empty.node);
  assert_ptr_equal(map_find(&map, SLICE("x\0a")), &a.node);
  assert_ptr_equal(map_find(&map, SLICE("x\0b")), &b.node);
  assert_ptr_equal(map_find(&map, slice_of(NULL, 0)), &empty.node);
  assert_null(map_find(&map, SLICE("x")));
  map_done(&map);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_agrees_with_a_naive_model),
      cmocka_unit_test(an_empty_one_holds_no_memory),
      cmocka_unit_test(a_walk_may_remove_every_item),
      cmocka_unit_test(buckets_follow_the_number_of_items),
      cmocka_unit_test(a_known_hash_finds_the_same),
      cmocka_unit_test(keys_may_hold_any_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
