/* Memory that is there, or the process is not.
 *
 * These never answer NULL: when the system has no memory left they write one line to stderr and
 * abort. Sizes that come from a peer are checked against their limit before they get here. What
 * they answer belongs to the caller and is given back with free(). Any thread. */
#ifndef EVENTHUB_BASE_MEM_H
#define EVENTHUB_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

void *x_malloc(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));

/* Zeroed memory for n items; aborts also when n * size overflows. */
void *x_calloc(size_t n, size_t size) __attribute__((malloc, alloc_size(1, 2), returns_nonnull));

/* ptr may be NULL. A size of 0 is taken as 1: the answer is always a block to free. */
void *x_realloc(void *ptr, size_t size) __attribute__((alloc_size(2), returns_nonnull));

/* A copy of len bytes; ptr may be NULL when len is 0. */
void *x_memdup(const void *ptr, size_t len) __attribute__((malloc, returns_nonnull));

/* A copy of exactly len bytes with a NUL behind them, for the few system calls that want one. */
char *x_strndup(const char *ptr, size_t len) __attribute__((malloc, returns_nonnull));

/* AUTO(mem) char *copy = x_strndup(ptr, len); is freed at the end of the block. */
static inline void mem_cleanup(void *address_of_pointer) {
  free(*(void **)address_of_pointer);
}

#endif
