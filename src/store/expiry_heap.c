#include "eventhub/store/expiry_heap.h"

#include <stdlib.h>

#include "eventhub/base/mem.h"

enum { CAP_MIN = 64 };

static void put(struct expiry_heap *heap, size_t index, struct expiry *item) {
  heap->items[index] = item;
  item->place = index + 1;
}

static void sift_up(struct expiry_heap *heap, size_t index, struct expiry *item) {
  while (index > 0) {
    size_t parent = (index - 1) / 2;
    if (heap->items[parent]->at_ms <= item->at_ms) break;
    put(heap, index, heap->items[parent]);
    index = parent;
  }
  put(heap, index, item);
}

static void sift_down(struct expiry_heap *heap, size_t index, struct expiry *item) {
  for (;;) {
    size_t child = 2 * index + 1;
    if (child >= heap->count) break;
    if (child + 1 < heap->count && heap->items[child + 1]->at_ms < heap->items[child]->at_ms)
      child++;
    if (heap->items[child]->at_ms >= item->at_ms) break;
    put(heap, index, heap->items[child]);
    index = child;
  }
  put(heap, index, item);
}

static void resize(struct expiry_heap *heap, size_t cap) {
  heap->cap = cap;
  heap->items = x_realloc(heap->items, cap * sizeof heap->items[0]);
}

void expiry_heap_init(struct expiry_heap *heap) {
  *heap = (struct expiry_heap){0};
}

void expiry_heap_done(struct expiry_heap *heap) {
  free(heap->items);
  expiry_heap_init(heap);
}

void expiry_heap_set(struct expiry_heap *heap, struct expiry *item, uint64_t at_ms) {
  uint64_t before_ms = item->at_ms;
  item->at_ms = at_ms;
  if (item->place == 0) {
    if (heap->count == heap->cap) resize(heap, heap->cap ? heap->cap * 2 : CAP_MIN);
    sift_up(heap, heap->count++, item);
  } else if (at_ms < before_ms) {
    sift_up(heap, item->place - 1, item);
  } else {
    sift_down(heap, item->place - 1, item);
  }
}

void expiry_heap_remove(struct expiry_heap *heap, struct expiry *item) {
  if (item->place == 0) return;
  size_t index = item->place - 1;
  item->place = 0;
  struct expiry *moved = heap->items[--heap->count];
  if (moved != item) {
    sift_up(heap, index, moved);
    sift_down(heap, moved->place - 1, moved);
  }
  if (heap->cap > CAP_MIN && heap->count < heap->cap / 4) resize(heap, heap->cap / 2);
}
