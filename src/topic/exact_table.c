#include "eventhub/topic/exact_table.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/base/random.h"

enum { EXACT_TEXT_NEAR = 40 };

/* As long as a cell, and lying in one. */
struct exact_topic {
  uint32_t hash;
  uint32_t len;
  struct topic_match seat;
  union {
    char near[EXACT_TEXT_NEAR];
    char *far; /* where it is longer than that */
  } text;
};

_Static_assert(sizeof(struct exact_topic) == CELL_SIZE, "one cell");

static struct slice text_of(const struct exact_topic *topic) {
  return slice_of(topic->len > EXACT_TEXT_NEAR ? topic->text.far : topic->text.near, topic->len);
}

static void set_text(struct exact_topic *topic, struct slice text) {
  topic->len = (uint32_t)text.len;
  if (text.len > EXACT_TEXT_NEAR)
    topic->text.far = x_memdup(text.ptr, text.len);
  else
    memcpy(topic->text.near, text.ptr, text.len);
}

static void free_text(struct cell *cell) {
  struct exact_topic *topic = (struct exact_topic *)cell;
  if (topic->len > EXACT_TEXT_NEAR) free(topic->text.far);
}

static uint32_t hash_of(const struct exact_table *table, struct slice topic) {
  return cell_hash(XXH3_64bits_withSeed(topic.ptr, topic.len, table->seed));
}

static struct exact_topic *find(const struct exact_table *table, struct slice text, uint32_t hash) {
  struct cell *cell = cell_table_find(&table->cells, hash);
  for (; cell != NULL; cell = cell_next_same(cell)) {
    struct exact_topic *topic = (struct exact_topic *)cell;
    if (slice_equal(text_of(topic), text)) return topic;
  }
  return NULL;
}

void exact_table_init(struct exact_table *table) {
  cell_table_init(&table->cells);
  table->seed = random_u64();
}

void exact_table_done(struct exact_table *table) {
  cell_table_done(&table->cells, free_text);
}

struct topic_match *exact_table_add(struct exact_table *table, struct slice topic,
                                    uint32_t *ret_hash) {
  uint32_t hash = hash_of(table, topic);
  struct exact_topic *item = find(table, topic, hash);
  if (item == NULL) {
    item = (struct exact_topic *)cell_table_add(&table->cells, hash);
    set_text(item, topic);
  }
  *ret_hash = hash;
  return &item->seat;
}

struct topic_match *exact_table_seat(const struct exact_table *table, uint32_t hash,
                                     uint32_t number) {
  struct cell *cell = hash ? cell_table_find(&table->cells, hash) : NULL;
  for (; cell != NULL; cell = cell_next_same(cell)) {
    struct exact_topic *topic = (struct exact_topic *)cell;
    if (topic->seat.filter.number == number) return &topic->seat;
  }
  return NULL;
}

void exact_table_remove(struct exact_table *table, struct topic_match *seat) {
  struct cell *cell = (struct cell *)container_of(seat, struct exact_topic, seat);
  free_text(cell);
  cell_table_remove(&table->cells, cell);
}

uint32_t exact_table_prepare(const struct exact_table *table, struct slice topic) {
  uint32_t hash = hash_of(table, topic);
  cell_table_prefetch(&table->cells, hash);
  return hash;
}

const struct topic_match *exact_table_find(const struct exact_table *table, struct slice topic,
                                           uint32_t prepared) {
  const struct exact_topic *item = find(table, topic, prepared);
  return item ? &item->seat : NULL;
}
