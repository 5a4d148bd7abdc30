#ifndef EVENTHUB_STORE_LOG_RING_H
#define EVENTHUB_STORE_LOG_RING_H

/*
 * The messages of one topic, oldest first: a ring that grows and shrinks by halves, and holds no
 * memory while it is empty. Messages come in at the end and leave at the front (trimmed, expired in
 * order).
 *
 * Where times to live are mixed, messages expire in the middle. A scan takes those out a few at a
 * time: it keeps one gap in the ring that wanders from the front to the end, so that between any
 * two steps the ring can be read, pushed and popped as ever.
 *
 *   head                gap_at          gap_at + gap             span
 *   | kept by the scan  | (gap)         | not yet scanned        | free ...
 *
 * The ring does not count references: what is in an entry belongs to whoever pushed and pops it.
 */

#include <stdint.h>

#include "eventhub/topic/message.h"

struct log_entry {
  struct message *message;
  uint64_t expires_ms; /* UINT64_MAX = never */
  uint64_t block;      /* of the journal; 0 = none */
};

struct log_ring {
  struct log_entry *slots;
  uint32_t cap;  /* 0 or a power of two */
  uint32_t head; /* slot of the oldest */
  uint32_t span; /* slots in use, the gap included */
  uint32_t gap_at;
  uint32_t gap;
};

void log_ring_init(struct log_ring *ring);
void log_ring_done(struct log_ring *ring);

static inline uint32_t log_ring_count(const struct log_ring *ring) {
  return ring->span - ring->gap;
}

/* index < count, 0 = the oldest. Valid until the next change of the ring. */
static inline struct log_entry *log_ring_at(const struct log_ring *ring, uint32_t index) {
  uint32_t place = index < ring->gap_at ? index : index + ring->gap;
  return &ring->slots[(ring->head + place) & (ring->cap - 1)];
}

void log_ring_push(struct log_ring *ring, struct log_entry entry);
/* The oldest; the ring must not be empty. */
struct log_entry log_ring_pop(struct log_ring *ring);

/* The entry that the scan has come to, to be kept or dropped; NULL when it has passed the last one,
 * and then the next call starts again at the front. */
struct log_entry *log_ring_scan(struct log_ring *ring);
void log_ring_scan_keep(struct log_ring *ring);
void log_ring_scan_drop(struct log_ring *ring);

#endif
