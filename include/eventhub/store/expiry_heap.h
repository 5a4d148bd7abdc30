#ifndef EVENTHUB_STORE_EXPIRY_HEAP_H
#define EVENTHUB_STORE_EXPIRY_HEAP_H

/*
 * What expires next: a binary heap of intrusive items. Setting, moving and removing cost O(log n),
 * looking at the first O(1). Times are only compared, so any clock will do. Not shared between
 * threads.
 */

#include <stddef.h>
#include <stdint.h>

/* Zeroed = in no heap. Must not move while in a heap. */
struct expiry {
  uint64_t at_ms;
  size_t place; /* 1 + index; 0 = in no heap */
};

struct expiry_heap {
  struct expiry **items;
  size_t count, cap;
};

void expiry_heap_init(struct expiry_heap *heap);
/* Items still inside are left as they are. */
void expiry_heap_done(struct expiry_heap *heap);

/* Adds the item, or moves it. */
void expiry_heap_set(struct expiry_heap *heap, struct expiry *item, uint64_t at_ms);
/* Nothing happens when it is in no heap. */
void expiry_heap_remove(struct expiry_heap *heap, struct expiry *item);
/* The earliest; NULL when the heap is empty. */
static inline struct expiry *expiry_heap_first(const struct expiry_heap *heap) {
  return heap->count > 0 ? heap->items[0] : NULL;
}

#endif
