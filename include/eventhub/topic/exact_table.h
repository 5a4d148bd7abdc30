/* The topics in the trie that are no pattern: a hash table from the whole text to a cell with the
 * text and who wants it. A part of topic/trie, which owns it and locks it. Pointers to seats are
 * good until the next add or remove. */
#ifndef EVENTHUB_TOPIC_EXACT_TABLE_H
#define EVENTHUB_TOPIC_EXACT_TABLE_H

#include <stdint.h>

#include "eventhub/base/slice.h"
#include "eventhub/topic/cell_table.h"
#include "eventhub/topic/trie.h"

struct exact_table {
  struct cell_table cells;
  uint64_t seed;
};

void exact_table_init(struct exact_table *table);
void exact_table_done(struct exact_table *table);

/* The seat of the topic, which is made (all zeroes) where it is missing: the trie fills it. */
struct topic_match *exact_table_add(struct exact_table *table, struct slice topic,
                                    uint32_t *ret_hash);

/* The seat that has this filter number, by the hash of its topic; NULL when there is none. */
struct topic_match *exact_table_seat(const struct exact_table *table, uint32_t hash,
                                     uint32_t number);

void exact_table_remove(struct exact_table *table, struct topic_match *seat);

/* A look-up in two steps, with other work between them while memory answers the first. */
uint32_t exact_table_prepare(const struct exact_table *table, struct slice topic);
const struct topic_match *exact_table_find(const struct exact_table *table, struct slice topic,
                                           uint32_t prepared);

#endif
