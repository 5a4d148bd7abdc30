/* Reference-counted bytes that do not change any more.
 *
 * One allocation. Whoever holds a reference may read the bytes, on any thread; only the creator
 * may write them, before it shares the blob. The last blob_unref, on whatever thread, frees. */
#ifndef EVENTHUB_BASE_BLOB_H
#define EVENTHUB_BASE_BLOB_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/slice.h"

struct blob {
  atomic_uint refs;
  uint32_t len;
  char data[];
};

/* With one reference, the caller's. blob_alloc leaves the bytes to be filled. len must fit
 * uint32_t: every limit on a client's bytes is far below that. */
struct blob *blob_alloc(size_t len);
struct blob *blob_new(const void *ptr, size_t len);

/* One more reference, which the caller owns; answers the same blob. */
static inline struct blob *blob_ref(struct blob *blob) {
  atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
  return blob;
}

/* Gives one reference back. NULL is fine. */
void blob_unref(struct blob *blob);

/* AUTO(blob) struct blob *value = NULL; */
static inline void blob_cleanup(struct blob **blob) {
  blob_unref(*blob);
}

static inline struct slice blob_slice(const struct blob *blob) {
  return slice_of(blob->data, blob->len);
}

#endif
