#include "eventhub/store/log_ring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/mem.h"

enum { CAP_MIN = 4 };

void log_ring_init(struct log_ring *ring) {
  *ring = (struct log_ring){0};
}

void log_ring_done(struct log_ring *ring) {
  free(ring->slots);
  log_ring_init(ring);
}

/* Copies `count` entries from the index on; two pieces where they wrap. */
static void copy_out(const struct log_ring *ring, uint32_t place, uint32_t count,
                     struct log_entry *ret) {
  if (count == 0) return;
  uint32_t start = (ring->head + place) & (ring->cap - 1);
  uint32_t first = ring->cap - start < count ? ring->cap - start : count;
  memcpy(ret, ring->slots + start, first * sizeof *ret);
  memcpy(ret + first, ring->slots, (count - first) * sizeof *ret);
}

/* Moves everything to the front of new slots. The gap closes; the scan stays where it was. */
static void resize(struct log_ring *ring, uint32_t cap) {
  struct log_entry *slots = x_malloc(cap * sizeof *slots);
  uint32_t rest = ring->gap_at + ring->gap;
  copy_out(ring, 0, ring->gap_at, slots);
  copy_out(ring, rest, ring->span - rest, slots + ring->gap_at);
  free(ring->slots);
  ring->slots = slots;
  ring->cap = cap;
  ring->head = 0;
  ring->span -= ring->gap;
  ring->gap = 0;
}

static void grow(struct log_ring *ring) {
  if (ring->cap == 0) {
    resize(ring, CAP_MIN);
    return;
  }
  assert(ring->cap <= UINT32_MAX / 2);
  resize(ring, log_ring_count(ring) > ring->cap / 2 ? ring->cap * 2 : ring->cap);
}

static void shrink(struct log_ring *ring) {
  uint32_t count = log_ring_count(ring);
  if (count == 0) {
    log_ring_done(ring);
  } else if (ring->cap > CAP_MIN && count <= ring->cap / 4) {
    resize(ring, ring->cap / 2);
  }
}

void log_ring_push(struct log_ring *ring, struct log_entry entry) {
  if (ring->span == ring->cap) grow(ring);
  ring->slots[(ring->head + ring->span++) & (ring->cap - 1)] = entry;
}

/* A gap at the very front is no gap: the ring starts behind it. */
static void drop_front_gap(struct log_ring *ring) {
  if (ring->gap_at > 0) return;
  ring->head += ring->gap;
  ring->span -= ring->gap;
  ring->gap = 0;
}

struct log_entry log_ring_pop(struct log_ring *ring) {
  assert(log_ring_count(ring) > 0);
  drop_front_gap(ring);
  struct log_entry entry = *log_ring_at(ring, 0);
  ring->head++;
  ring->span--;
  if (ring->gap_at > 0) ring->gap_at--;
  shrink(ring);
  return entry;
}

struct log_entry *log_ring_scan(struct log_ring *ring) {
  uint32_t place = ring->gap_at + ring->gap;
  if (place < ring->span) return &ring->slots[(ring->head + place) & (ring->cap - 1)];
  ring->span = ring->gap_at;
  ring->gap = 0;
  ring->gap_at = 0;
  shrink(ring);
  return NULL;
}

void log_ring_scan_keep(struct log_ring *ring) {
  if (ring->gap > 0) {
    uint32_t mask = ring->cap - 1;
    ring->slots[(ring->head + ring->gap_at) & mask] =
        ring->slots[(ring->head + ring->gap_at + ring->gap) & mask];
  }
  ring->gap_at++;
}

void log_ring_scan_drop(struct log_ring *ring) {
  ring->gap++;
}
