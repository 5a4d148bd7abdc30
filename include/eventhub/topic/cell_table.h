/* A hash table of cells of one cache line each, which lie in the table itself: finding one costs
 * one trip to memory, and where it will be is known from its hash alone, so that a look-up can be
 * announced to the processor before its result is needed. What a million filters cost is these
 * trips, and little else.
 *
 *   shards        by the first `depth` bits of the hash; a shard may have several entries
 *     |
 *     v           home of the first hash              home of the last hash
 *   shard:        [12][17][  ][40][41][45][  ]  ...  [  ][98][99][  ][  ]
 *                                                            |   tail
 *
 * A cell lies at its home or, where that is taken, behind it, with no gap between; all cells are
 * in the order of their hashes, so a search ends at the first that is larger. Adding and removing
 * move neighbours: a pointer to a cell is good until the next of either.
 *
 * Beside its cells a shard has a byte for each home, whose bits say in which eighths of the home's
 * hashes there is one: so most look-ups in vain end near by (cell_table_may_have).
 *
 * A shard grows by about a quarter at a time, which leaves little unused, and is split at 6 MiB:
 * however large the table is, nobody waits for more than 6 MiB to be moved. Large shards ask for
 * huge pages: without, in a virtual machine, finding out where a cell's page is takes longer than
 * fetching the cell.
 *
 * Not locked; the trie does that. */
#ifndef EVENTHUB_TOPIC_CELL_TABLE_H
#define EVENTHUB_TOPIC_CELL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CELL_SIZE = 64 };

/* The owner's structs start with the hash, too, and have the size of this one. */
struct cell {
  _Alignas(CELL_SIZE) uint32_t hash; /* 0 = the cell is free */
};

struct cell_shard {
  struct cell *cells;
  uint8_t *present; /* a byte for each home, a bit for each eighth of its hashes: is one there? */
  uint32_t homes;   /* behind these is the tail; its last cell is always free: searches end there */
  uint32_t count;
  uint32_t depth; /* how many bits all its hashes share */
  void *memory;   /* what the cells lie in */
  size_t mapped;  /* its size where it is mapped; 0 = it is from the heap */
};

struct cell_table {
  struct cell_shard **shards; /* 1 << depth of them */
  uint32_t depth;
  size_t count;
};

void cell_table_init(struct cell_table *table);

/* Calls on_free for every cell, then frees them. */
void cell_table_done(struct cell_table *table, void (*on_free)(struct cell *cell));

/* A cell of zeroes with the hash, which is not 0. Several cells may have the same, but hashes are
 * taken to be random: dozens of the same would have the shard grow for nothing. */
struct cell *cell_table_add(struct cell_table *table, uint32_t hash);

void cell_table_remove(struct cell_table *table, struct cell *cell);

/* Bytes allocated. */
size_t cell_table_size(const struct cell_table *table);

/* 64 bits made a hash for this table. */
static inline uint32_t cell_hash(uint64_t hash) {
  uint32_t low = (uint32_t)hash;
  return low ? low : 1;
}

/* The eighth of a home that the hash belongs to. */
static inline size_t cell_shard_eighth(const struct cell_shard *shard, uint32_t hash) {
  uint64_t own_bits = (uint32_t)(hash << shard->depth);
  return own_bits * shard->homes >> 29;
}

static inline struct cell *cell_shard_home(const struct cell_shard *shard, uint32_t hash) {
  return shard->cells + cell_shard_eighth(shard, hash) / 8;
}

static inline const struct cell_shard *cell_table_shard(const struct cell_table *table,
                                                        uint32_t hash) {
  return table->shards[(uint64_t)hash >> (32 - table->depth)];
}

static inline struct cell *cell_table_home(const struct cell_table *table, uint32_t hash) {
  return cell_shard_home(cell_table_shard(table, hash), hash);
}

/* False for nine in ten of the hashes that no cell has: told by memory that is small enough to be
 * near, where fetching a cell in vain would be a trip to what is far. */
static inline bool cell_table_may_have(const struct cell_table *table, uint32_t hash) {
  const struct cell_shard *shard = cell_table_shard(table, hash);
  size_t eighth = cell_shard_eighth(shard, hash);
  return shard->present[eighth / 8] >> (eighth % 8) & 1;
}

/* Tells the processor that the hash will be looked for soon. Fetching the cell behind the home,
 * too, was tried: it made matching slower by a third, since memory is what is scarce. */
static inline void cell_table_prefetch(const struct cell_table *table, uint32_t hash) {
  __builtin_prefetch(cell_table_home(table, hash));
}

/* The first cell with the hash; NULL when there is none. One comparison ends the search at a larger
 * hash as well as at a free cell, whose 0 becomes the largest of all: every branch that hangs on
 * what memory says may be guessed wrong. */
static inline struct cell *cell_table_find(const struct cell_table *table, uint32_t hash) {
  struct cell *cell = cell_table_home(table, hash);
  while (cell->hash != 0 && cell->hash < hash)
    cell++;
  return cell->hash == hash ? cell : NULL;
}

/* The next cell with the same hash; NULL when there is none. */
static inline struct cell *cell_next_same(struct cell *cell) {
  return cell[1].hash == cell->hash ? cell + 1 : NULL;
}

#endif
