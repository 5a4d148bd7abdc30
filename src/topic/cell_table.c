#include "eventhub/topic/cell_table.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>

#include "eventhub/base/mem.h"

_Static_assert(sizeof(struct cell) == CELL_SIZE, "one cache line");

enum {
  HUGE_PAGE = 2 << 20,
  HUGE_FROM = 3 << 20,       /* from here on, shards are made of whole huge pages */
  SHARD_MAX = 3 * HUGE_PAGE, /* a shard that wants more than this is split */
  DEPTH_MAX = 16,            /* but not without end */
  HOMES_MIN = 6,
  TAIL_MIN = 3,
  TAIL_MAX = 48
};

/* --- memory --- */

/* How many cells there are behind the homes. */
static size_t tail_of(size_t homes) {
  size_t tail = TAIL_MIN + homes / 8;
  return tail < TAIL_MAX ? tail : TAIL_MAX;
}

static size_t size_of(size_t homes) {
  return (homes + tail_of(homes)) * CELL_SIZE;
}

/* Maps zeroes from the start of a huge page on; `size` is a whole number of them. Real ones where
 * the kernel has some left. NULL when there is no memory to map. */
static void *map_huge(size_t size) {
  char *map =
      mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) return NULL;
  size_t before = -(uintptr_t)map % HUGE_PAGE;
  if (before > 0) munmap(map, before);
  munmap(map + before + size, HUGE_PAGE - before);
  madvise(map + before, size, MADV_HUGEPAGE);
  return map + before;
}

static void shard_map(struct cell_shard *shard, size_t size) {
  shard->memory = size >= HUGE_FROM ? map_huge(size) : NULL;
  shard->mapped = shard->memory ? size : 0;
  if (shard->memory == NULL) shard->memory = x_calloc(1, size + CELL_SIZE);
  uintptr_t at = (uintptr_t)shard->memory;
  shard->cells = (struct cell *)((at + CELL_SIZE - 1) / CELL_SIZE * CELL_SIZE);
}

/* As many homes or some more, so that large shards fill their last huge page. */
static size_t round_homes(size_t homes) {
  size_t size = size_of(homes);
  if (size < HUGE_FROM) return homes;
  return (size + HUGE_PAGE - 1) / HUGE_PAGE * (HUGE_PAGE / CELL_SIZE) - TAIL_MAX;
}

/* --- one shard --- */

static struct cell_shard *shard_new(size_t homes, uint32_t depth) {
  struct cell_shard *shard = x_calloc(1, sizeof(*shard));
  shard->present = x_calloc(homes, 1);
  shard->homes = (uint32_t)homes;
  shard->depth = depth;
  shard_map(shard, size_of(homes));
  return shard;
}

static void shard_free(struct cell_shard *shard) {
  if (shard->mapped)
    munmap(shard->memory, shard->mapped);
  else
    free(shard->memory);
  free(shard->present);
  free(shard);
}

static struct cell *end_of(const struct cell_shard *shard) {
  return shard->cells + shard->homes + tail_of(shard->homes);
}

static bool is_free(const struct cell *cell) {
  return cell->hash == 0;
}

static void note_present(struct cell_shard *shard, uint32_t hash) {
  size_t eighth = cell_shard_eighth(shard, hash);
  shard->present[eighth / 8] |= (uint8_t)(1 << eighth % 8);
}

/* Is there a cell in that eighth of a home? */
static bool lies_in(const struct cell_shard *shard, const struct cell *cell, size_t eighth) {
  return !is_free(cell) && cell_shard_eighth(shard, cell->hash) == eighth;
}

/* The cell goes: those of the same eighth are its neighbours. */
static void note_absent(struct cell_shard *shard, const struct cell *cell) {
  size_t eighth = cell_shard_eighth(shard, cell->hash);
  if (lies_in(shard, cell + 1, eighth)) return;
  if (cell > shard->cells && lies_in(shard, cell - 1, eighth)) return;
  shard->present[eighth / 8] &= (uint8_t) ~(1 << eighth % 8);
}

/* The first free cell from here on; NULL when that is the last of all, which stays free. */
static struct cell *hole_from(const struct cell_shard *shard, struct cell *cell) {
  while (!is_free(cell))
    cell++;
  return cell + 1 < end_of(shard) ? cell : NULL;
}

/* Behind all cells that are not larger. NULL when there is no room left for the run to move up. */
static struct cell *shard_add(struct cell_shard *shard, uint32_t hash) {
  struct cell *place = cell_shard_home(shard, hash);
  while (!is_free(place) && place->hash <= hash)
    place++;
  struct cell *hole = hole_from(shard, place);
  if (hole == NULL) return NULL;
  memmove(place + 1, place, (size_t)(hole - place) * CELL_SIZE);
  memset(place, 0, CELL_SIZE);
  place->hash = hash;
  note_present(shard, hash);
  shard->count++;
  return place;
}

static void shard_remove(struct cell_shard *shard, struct cell *cell) {
  note_absent(shard, cell);
  /* Those behind move down, as far as they are not at home. */
  struct cell *end = cell + 1;
  while (!is_free(end) && end > cell_shard_home(shard, end->hash))
    end++;
  memmove(cell, cell + 1, (size_t)(end - cell - 1) * CELL_SIZE);
  memset(end - 1, 0, CELL_SIZE);
  shard->count--;
}

/* Copies the cells from `first` to before `end` into an empty shard. False when its tail is too
 * short. */
static bool shard_fill(struct cell_shard *shard, const struct cell *first, const struct cell *end) {
  struct cell *next = shard->cells;
  for (const struct cell *cell = first; cell < end; cell++) {
    if (is_free(cell)) continue;
    struct cell *home = cell_shard_home(shard, cell->hash);
    if (next < home) next = home;
    if (next + 1 >= end_of(shard)) return false;
    memcpy(next++, cell, CELL_SIZE);
    note_present(shard, cell->hash);
    shard->count++;
  }
  return true;
}

/* A shard of those cells with at least so many homes. */
static struct cell_shard *shard_of(const struct cell *first, const struct cell *end, size_t homes,
                                   uint32_t depth) {
  for (;;) {
    struct cell_shard *shard = shard_new(round_homes(homes), depth);
    if (shard_fill(shard, first, end)) return shard;
    homes = shard->homes + shard->homes / 4 + 1;
    shard_free(shard);
  }
}

static bool is_full(const struct cell_shard *shard) {
  return (uint64_t)(shard->count + 1) * 4 > (uint64_t)shard->homes * 3;
}

static bool is_sparse(const struct cell_shard *shard) {
  return shard->homes > 8 * HOMES_MIN && shard->count < shard->homes / 4;
}

/* --- the table --- */

void cell_table_init(struct cell_table *table) {
  *table = (struct cell_table){x_malloc(sizeof(*table->shards)), 0, 0};
  table->shards[0] = shard_new(HOMES_MIN, 0);
}

/* Calls on_free for the cells of one shard, then frees it. */
static void shard_done(struct cell_shard *shard, void (*on_free)(struct cell *cell)) {
  for (struct cell *cell = shard->cells; cell < end_of(shard); cell++)
    if (!is_free(cell)) on_free(cell);
  shard_free(shard);
}

/* A shard stands at as many entries in a row as it has bits less than the table. */
static size_t entries_of(const struct cell_table *table, const struct cell_shard *shard) {
  return (size_t)1 << (table->depth - shard->depth);
}

static size_t first_entry(const struct cell_table *table, const struct cell_shard *shard,
                          uint32_t hash) {
  size_t entry = (uint64_t)hash >> (32 - table->depth);
  return entry / entries_of(table, shard) * entries_of(table, shard);
}

static size_t next_entry(const struct cell_table *table, size_t entry) {
  return entry + entries_of(table, table->shards[entry]);
}

void cell_table_done(struct cell_table *table, void (*on_free)(struct cell *cell)) {
  size_t end = (size_t)1 << table->depth;
  for (size_t i = 0; i < end;) {
    struct cell_shard *shard = table->shards[i];
    i = next_entry(table, i);
    shard_done(shard, on_free);
  }
  free(table->shards);
  *table = (struct cell_table){NULL, 0, 0};
}

static void put_shard(struct cell_table *table, size_t entry, struct cell_shard *shard) {
  size_t count = entries_of(table, shard);
  for (size_t i = 0; i < count; i++)
    table->shards[entry + i] = shard;
}

static void double_entries(struct cell_table *table) {
  size_t count = (size_t)1 << table->depth;
  table->shards = x_realloc(table->shards, 2 * count * sizeof(*table->shards));
  for (size_t i = 2 * count; i-- > 0;)
    table->shards[i] = table->shards[i / 2];
  table->depth++;
}

static void resize(struct cell_table *table, uint32_t hash, struct cell_shard *old, size_t homes) {
  struct cell_shard *fresh = shard_of(old->cells, end_of(old), homes, old->depth);
  put_shard(table, first_entry(table, old, hash), fresh);
  shard_free(old);
}

/* The first cell whose hash has a 1 after the bits that all share. */
static struct cell *middle_of(const struct cell_shard *shard) {
  uint32_t bit = UINT32_C(1) << (31 - shard->depth);
  struct cell *cell = shard->cells;
  while (cell < end_of(shard) && !(cell->hash & bit))
    cell++;
  return cell;
}

static void split(struct cell_table *table, uint32_t hash, struct cell_shard *old) {
  if (old->depth == table->depth) double_entries(table);
  size_t entry = first_entry(table, old, hash);
  struct cell *middle = middle_of(old);
  size_t homes = old->homes / 2 + old->homes / 8;
  struct cell_shard *low = shard_of(old->cells, middle, homes, old->depth + 1);
  struct cell_shard *high = shard_of(middle, end_of(old), homes, old->depth + 1);
  put_shard(table, entry, low);
  put_shard(table, entry + entries_of(table, low), high);
  shard_free(old);
}

static struct cell_shard *shard_at(const struct cell_table *table, uint32_t hash) {
  return table->shards[(uint64_t)hash >> (32 - table->depth)];
}

static void grow(struct cell_table *table, uint32_t hash) {
  struct cell_shard *shard = shard_at(table, hash);
  size_t homes = (size_t)shard->homes + shard->homes / 4 + 1;
  if (size_of(round_homes(homes)) > SHARD_MAX && shard->depth < DEPTH_MAX)
    split(table, hash, shard);
  else
    resize(table, hash, shard, homes);
}

struct cell *cell_table_add(struct cell_table *table, uint32_t hash) {
  assert(hash != 0);
  if (is_full(shard_at(table, hash))) grow(table, hash);
  struct cell *cell;
  while ((cell = shard_add(shard_at(table, hash), hash)) == NULL)
    grow(table, hash);
  table->count++;
  return cell;
}

static void nothing(struct cell *cell) {
  (void)cell;
}

void cell_table_remove(struct cell_table *table, struct cell *cell) {
  uint32_t hash = cell->hash;
  struct cell_shard *shard = shard_at(table, hash);
  shard_remove(shard, cell);
  table->count--;
  if (table->count == 0) {
    cell_table_done(table, nothing);
    cell_table_init(table);
  } else if (is_sparse(shard)) {
    resize(table, hash, shard, shard->homes / 2);
  }
}

size_t cell_table_size(const struct cell_table *table) {
  size_t size = 0;
  for (size_t i = 0; i < (size_t)1 << table->depth; i = next_entry(table, i))
    size += size_of(table->shards[i]->homes) + table->shards[i]->homes;
  return size;
}
