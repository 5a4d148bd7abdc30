#ifndef EVENTHUB_NET_CHUNK_H
#define EVENTHUB_NET_CHUNK_H

/*
 * Bytes on their way out. A chunk is a refcounted piece of memory of ONE thread (plain counters, no
 * atomics); a span is a slice of a chunk and holds a reference. A thousand connections that get the
 * same frames hold a thousand spans and one copy of the bytes.
 *
 *   arena.current -> chunk  [ frame | frame | frame | free ............ ]
 *                             ^------- span -------^
 *
 * Frames of one turn are written one behind the other, so spans that follow each other in the same
 * chunk merge into one, and one turn ends in one send per connection. When nobody holds a span any
 * more at the end of the turn, the arena starts again at the beginning of the same, cache-warm
 * memory.
 */

#include <stddef.h>
#include <stdint.h>

struct chunk {
  uint32_t refs;
  uint32_t used;
  uint32_t cap;
  char data[];
};

struct span {
  struct chunk *chunk; /* NULL in an empty span */
  uint32_t offset, len;
};

enum { CHUNK_SIZE = 64 * 1024, SPAN_MAX = 1 << 30 };

/* One reference, the caller's. */
struct chunk *chunk_new(uint32_t cap);
static inline void chunk_ref(struct chunk *chunk) {
  chunk->refs++;
}
void chunk_free(struct chunk *chunk);
static inline void chunk_unref(struct chunk *chunk) {
  if (--chunk->refs == 0) chunk_free(chunk);
}

static inline char *span_bytes(const struct span *span) {
  return span->chunk->data + span->offset;
}

struct chunk_arena {
  struct chunk *current;
};

void chunk_arena_init(struct chunk_arena *arena);
void chunk_arena_done(struct chunk_arena *arena);
/* Room for `len` (at most SPAN_MAX) contiguous bytes; valid until the next reserve. */
char *chunk_arena_reserve(struct chunk_arena *arena, size_t len);
/* The first `len` of the reserved bytes are written and final. The span holds no reference: whoever
 * keeps it beyond the next reserve, which may drop the chunk, takes one (out_queue_push does). */
struct span chunk_arena_commit(struct chunk_arena *arena, size_t len);
/* End of turn: reuses the memory where no span is left, drops it otherwise. */
void chunk_arena_rewind(struct chunk_arena *arena);

#endif
