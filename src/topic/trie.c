#include "eventhub/topic/trie.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/topic/exact_table.h"
#include "eventhub/topic/name.h"
#include "eventhub/topic/pattern_tree.h"

/* What a number means now: in use, the hash by which its seat is found; free, the next free number
 * plus 1. Which of the two needs no telling: nobody has a reference with a free number's
 * generation. */
struct filter_number {
  uint32_t generation;
  uint32_t hash;
};

struct filter_numbers {
  struct filter_number *items;
  uint32_t used;
  uint32_t cap;
  uint32_t first_free; /* plus 1; 0 = none */
};

struct topic_trie {
  pthread_rwlock_t lock;
  _Atomic uint64_t version;
  size_t filter_count;
  struct filter_numbers numbers;
  struct exact_table exact;
  struct pattern_tree patterns;
};

/* --- matches --- */

void topic_matches_init(struct topic_matches *matches) {
  *matches = (struct topic_matches){NULL, 0, 0};
}

void topic_matches_done(struct topic_matches *matches) {
  free(matches->items);
  topic_matches_init(matches);
}

void topic_matches_push(struct topic_matches *matches, const struct topic_match *match) {
  if (unlikely(matches->count == matches->cap)) {
    matches->cap = matches->cap ? matches->cap * 2 : 16;
    matches->items = x_realloc(matches->items, matches->cap * sizeof(*matches->items));
  }
  matches->items[matches->count++] = *match;
}

/* --- numbers --- */

static uint32_t take_fresh(struct filter_numbers *numbers) {
  if (numbers->used == numbers->cap) {
    numbers->cap = numbers->cap ? numbers->cap * 2 : 64;
    numbers->items = x_realloc(numbers->items, numbers->cap * sizeof(*numbers->items));
  }
  numbers->items[numbers->used] = (struct filter_number){1, 0};
  return numbers->used++;
}

static struct filter_ref numbers_take(struct filter_numbers *numbers, uint32_t hash) {
  uint32_t number = numbers->first_free ? numbers->first_free - 1 : take_fresh(numbers);
  struct filter_number *item = &numbers->items[number];
  if (numbers->first_free) numbers->first_free = item->hash;
  item->hash = hash;
  return (struct filter_ref){number, item->generation};
}

static void numbers_give(struct filter_numbers *numbers, uint32_t number) {
  struct filter_number *item = &numbers->items[number];
  item->generation++;
  item->hash = numbers->first_free;
  numbers->first_free = number + 1;
}

static bool numbers_has(const struct filter_numbers *numbers, struct filter_ref filter) {
  return filter.number < numbers->used &&
         numbers->items[filter.number].generation == filter.generation;
}

/* --- the trie --- */

struct topic_trie *topic_trie_new(void) {
  struct topic_trie *trie = x_calloc(1, sizeof(*trie));
  pthread_rwlock_init(&trie->lock, NULL);
  exact_table_init(&trie->exact);
  pattern_tree_init(&trie->patterns);
  return trie;
}

void topic_trie_free(struct topic_trie *trie) {
  if (trie == NULL) return;
  pattern_tree_done(&trie->patterns);
  exact_table_done(&trie->exact);
  free(trie->numbers.items);
  pthread_rwlock_destroy(&trie->lock);
  free(trie);
}

static void changed(struct topic_trie *trie) {
  atomic_fetch_add_explicit(&trie->version, 1, memory_order_release);
}

static struct topic_match *add_seat(struct topic_trie *trie, struct slice filter,
                                    uint32_t *ret_hash) {
  if (!filter_is_pattern(filter)) return exact_table_add(&trie->exact, filter, ret_hash);
  struct pattern_seat seat = pattern_tree_add(&trie->patterns, filter);
  *ret_hash = seat.node->hash;
  return seat.match;
}

static struct filter_ref add_locked(struct topic_trie *trie, struct slice filter, uint64_t bit) {
  uint32_t hash;
  struct topic_match *seat = add_seat(trie, filter, &hash);
  if (seat->workers == 0) {
    seat->filter = numbers_take(&trie->numbers, hash);
    trie->filter_count++;
  }
  if (seat->workers & bit) return seat->filter;
  seat->workers |= bit;
  changed(trie);
  return seat->filter;
}

struct filter_ref topic_trie_add(struct topic_trie *trie, struct slice filter, unsigned worker) {
  assert(worker < TOPIC_TRIE_WORKERS_MAX);
  if (!filter_is_valid(filter)) return (struct filter_ref){FILTER_NUMBER_NONE, 0};
  pthread_rwlock_wrlock(&trie->lock);
  struct filter_ref ref = add_locked(trie, filter, UINT64_C(1) << worker);
  pthread_rwlock_unlock(&trie->lock);
  return ref;
}

/* Returns whether that was the last interest in the filter. */
static bool end_interest(struct topic_trie *trie, struct topic_match *seat, uint64_t bit) {
  if (!(seat->workers & bit)) return false;
  seat->workers &= ~bit;
  changed(trie);
  if (seat->workers != 0) return false;
  numbers_give(&trie->numbers, seat->filter.number);
  trie->filter_count--;
  return true;
}

static void remove_locked(struct topic_trie *trie, struct filter_ref filter, uint64_t bit) {
  if (!numbers_has(&trie->numbers, filter)) return;
  uint32_t hash = trie->numbers.items[filter.number].hash;
  struct topic_match *exact = exact_table_seat(&trie->exact, hash, filter.number);
  if (exact != NULL) {
    if (end_interest(trie, exact, bit)) exact_table_remove(&trie->exact, exact);
    return;
  }
  struct pattern_seat pattern = pattern_tree_seat(&trie->patterns, hash, filter.number);
  if (pattern.match == NULL) return;
  if (end_interest(trie, pattern.match, bit)) pattern_tree_remove(&trie->patterns, pattern);
}

void topic_trie_remove(struct topic_trie *trie, struct filter_ref filter, unsigned worker) {
  assert(worker < TOPIC_TRIE_WORKERS_MAX);
  pthread_rwlock_wrlock(&trie->lock);
  remove_locked(trie, filter, UINT64_C(1) << worker);
  pthread_rwlock_unlock(&trie->lock);
}

void topic_trie_match(struct topic_trie *trie, struct slice topic, struct topic_matches *ret) {
  ret->count = 0;
  pthread_rwlock_rdlock(&trie->lock);
  uint32_t prepared = exact_table_prepare(&trie->exact, topic);
  pattern_tree_match(&trie->patterns, topic, ret);
  const struct topic_match *exact = exact_table_find(&trie->exact, topic, prepared);
  if (exact != NULL) topic_matches_push(ret, exact);
  pthread_rwlock_unlock(&trie->lock);
}

uint64_t topic_trie_version(const struct topic_trie *trie) {
  return atomic_load_explicit(&trie->version, memory_order_acquire);
}

size_t topic_trie_filter_count(struct topic_trie *trie) {
  pthread_rwlock_rdlock(&trie->lock);
  size_t count = trie->filter_count;
  pthread_rwlock_unlock(&trie->lock);
  return count;
}

size_t topic_trie_size(struct topic_trie *trie) {
  pthread_rwlock_rdlock(&trie->lock);
  size_t size = sizeof(*trie) + trie->numbers.cap * sizeof(*trie->numbers.items) +
                cell_table_size(&trie->exact.cells) + cell_table_size(&trie->patterns.nodes);
  pthread_rwlock_unlock(&trie->lock);
  return size;
}
