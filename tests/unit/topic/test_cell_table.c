#include "eventhub/topic/cell_table.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>

#include "eventhub/base/mem.h"

/* A cell that knows a number; a test may have several of one hash. */
struct numbered {
  uint32_t hash;
  uint32_t number;
  char rest[CELL_SIZE - 8];
};

static void nothing(struct cell *cell) {
  (void)cell;
}

static size_t freed_count;

static void count_freed(struct cell *cell) {
  (void)cell;
  freed_count++;
}

static struct numbered *find(const struct cell_table *table, uint32_t hash, uint32_t number) {
  struct cell *cell = cell_table_find(table, hash);
  if (cell != NULL) assert_true(cell_table_may_have(table, hash));
  while (cell != NULL && ((struct numbered *)cell)->number != number)
    cell = cell_next_same(cell);
  return (struct numbered *)cell;
}

static void add(struct cell_table *table, uint32_t hash, uint32_t number) {
  struct numbered *cell = (struct numbered *)cell_table_add(table, hash);
  assert_int_equal(cell->hash, hash);
  assert_int_equal(cell->number, 0);
  cell->number = number;
}

/* Spreads the numbers over all hashes; never 0. */
static uint32_t spread(uint32_t number) {
  return cell_hash((uint64_t)number * 2654435761U);
}

static void an_empty_table_finds_nothing(void **state) {
  (void)state;
  struct cell_table table;
  cell_table_init(&table);
  assert_null(cell_table_find(&table, 1));
  assert_null(cell_table_find(&table, UINT32_MAX));
  cell_table_done(&table, nothing);
}

static void no_hash_is_zero(void **state) {
  (void)state;
  assert_int_not_equal(cell_hash(0), 0);
  assert_int_not_equal(cell_hash(UINT64_C(1) << 32), 0);
  assert_int_equal(cell_hash(7), 7);
}

static void cells_of_one_hash_are_all_found(void **state) {
  (void)state;
  static const uint32_t hashes[] = {1, 2, 0x80000000, UINT32_MAX - 1, UINT32_MAX};
  enum { EACH = 20 };
  struct cell_table table;
  cell_table_init(&table);
  for (uint32_t n = 1; n <= EACH; n++)
    for (size_t i = 0; i < 5; i++)
      add(&table, hashes[i], n);
  for (uint32_t n = 1; n <= EACH; n++)
    for (size_t i = 0; i < 5; i++)
      assert_non_null(find(&table, hashes[i], n));
  for (uint32_t n = 1; n <= EACH; n += 2)
    for (size_t i = 0; i < 5; i++)
      cell_table_remove(&table, (struct cell *)find(&table, hashes[i], n));
  for (uint32_t n = 1; n <= EACH; n++)
    for (size_t i = 0; i < 5; i++)
      assert_int_equal(find(&table, hashes[i], n) != NULL, n % 2 == 0);
  cell_table_done(&table, nothing);
}

/* Large enough for shards of huge pages and for splits of them. */
static void a_table_grows_through_all_sizes_and_shrinks_to_nothing(void **state) {
  (void)state;
  enum { COUNT = 300000 };
  struct cell_table table;
  cell_table_init(&table);
  size_t empty = cell_table_size(&table);
  for (uint32_t n = 1; n <= COUNT; n++)
    add(&table, spread(n), n);
  assert_true(table.depth >= 1);
  assert_int_equal(table.count, COUNT);
  assert_true(cell_table_size(&table) < (size_t)COUNT * 2 * CELL_SIZE);
  for (uint32_t n = 1; n <= COUNT; n++)
    assert_non_null(find(&table, spread(n), n));
  assert_null(find(&table, spread(COUNT + 1), COUNT + 1));
  for (uint32_t n = 1; n <= COUNT; n++)
    cell_table_remove(&table, (struct cell *)find(&table, spread(n), n));
  assert_int_equal(cell_table_size(&table), empty);
  cell_table_done(&table, nothing);
}

/* Of the numbers from `first` on to `last`. */
static double share_that_may_be_there(const struct cell_table *table, uint32_t first,
                                      uint32_t last) {
  uint32_t count = 0;
  for (uint32_t n = first; n <= last; n++)
    count += cell_table_may_have(table, spread(n));
  return (double)count / (last - first + 1);
}

static void most_of_what_is_not_there_is_told_without_a_look(void **state) {
  (void)state;
  enum { COUNT = 100000 };
  struct cell_table table;
  cell_table_init(&table);
  for (uint32_t n = 1; n <= COUNT; n++)
    add(&table, spread(n), n);
  assert_true(share_that_may_be_there(&table, 1, COUNT) == 1);
  assert_true(share_that_may_be_there(&table, COUNT + 1, 2 * COUNT) < 0.15);
  for (uint32_t n = 1; n <= COUNT / 2; n++)
    cell_table_remove(&table, (struct cell *)find(&table, spread(n), n));
  assert_true(share_that_may_be_there(&table, 1, COUNT / 2) < 0.15);
  assert_true(share_that_may_be_there(&table, COUNT / 2 + 1, COUNT) == 1);
  cell_table_done(&table, nothing);
}

/* Against an array that says what is in, with few hashes so that runs are long. */
static void random_adds_and_removes_leave_what_they_should(void **state) {
  (void)state;
  enum { NUMBERS = 2000, ROUNDS = 40000 };
  bool *is_in = x_calloc(NUMBERS, sizeof(bool));
  struct cell_table table;
  cell_table_init(&table);
  srand(1);
  for (int round = 0; round < ROUNDS; round++) {
    uint32_t n = (uint32_t)rand() % NUMBERS;
    uint32_t hash = spread(n / 3) | 1;
    struct numbered *cell = find(&table, hash, n + 1);
    assert_int_equal(cell != NULL, is_in[n]);
    if (cell)
      cell_table_remove(&table, (struct cell *)cell);
    else
      add(&table, hash, n + 1);
    is_in[n] = !is_in[n];
  }
  size_t count = 0;
  for (uint32_t n = 0; n < NUMBERS; n++) {
    assert_int_equal(find(&table, spread(n / 3) | 1, n + 1) != NULL, is_in[n]);
    count += is_in[n];
  }
  assert_int_equal(table.count, count);
  freed_count = 0;
  cell_table_done(&table, count_freed);
  assert_int_equal(freed_count, count);
  free(is_in);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_empty_table_finds_nothing),
      cmocka_unit_test(no_hash_is_zero),
      cmocka_unit_test(cells_of_one_hash_are_all_found),
      cmocka_unit_test(a_table_grows_through_all_sizes_and_shrinks_to_nothing),
      cmocka_unit_test(most_of_what_is_not_there_is_told_without_a_look),
      cmocka_unit_test(random_adds_and_removes_leave_what_they_should),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
