#include "eventhub/net/chunk.h"

#include <assert.h>
#include <stdlib.h>

#include "eventhub/base/mem.h"

struct chunk *chunk_new(uint32_t cap) {
  struct chunk *chunk = x_malloc(sizeof *chunk + cap);
  chunk->refs = 1;
  chunk->used = 0;
  chunk->cap = cap;
  return chunk;
}

void chunk_free(struct chunk *chunk) {
  free(chunk);
}

void chunk_arena_init(struct chunk_arena *arena) {
  arena->current = NULL;
}

void chunk_arena_done(struct chunk_arena *arena) {
  if (arena->current != NULL) chunk_unref(arena->current);
  arena->current = NULL;
}

char *chunk_arena_reserve(struct chunk_arena *arena, size_t len) {
  assert(len <= SPAN_MAX);
  struct chunk *chunk = arena->current;
  if (chunk == NULL || chunk->cap - chunk->used < len) {
    if (chunk != NULL) chunk_unref(chunk);
    chunk = chunk_new(len > CHUNK_SIZE ? (uint32_t)len : CHUNK_SIZE);
    arena->current = chunk;
  }
  return chunk->data + chunk->used;
}

struct span chunk_arena_commit(struct chunk_arena *arena, size_t len) {
  struct chunk *chunk = arena->current;
  assert(chunk != NULL && len <= chunk->cap - chunk->used);
  struct span span = {.chunk = chunk, .offset = chunk->used, .len = (uint32_t)len};
  chunk->used += (uint32_t)len;
  return span;
}

void chunk_arena_rewind(struct chunk_arena *arena) {
  struct chunk *chunk = arena->current;
  if (chunk == NULL || chunk->used == 0) return;
  if (chunk->refs == 1 && chunk->cap == CHUNK_SIZE) {
    chunk->used = 0;
    return;
  }
  chunk_unref(chunk);
  arena->current = NULL;
}
