#include "eventhub/base/blob.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/mem.h"

struct blob *blob_alloc(size_t len) {
  assert(len <= UINT32_MAX);
  struct blob *blob = x_malloc(sizeof *blob + len);
  atomic_init(&blob->refs, 1);
  blob->len = (uint32_t)len;
  return blob;
}

struct blob *blob_new(const void *ptr, size_t len) {
  struct blob *blob = blob_alloc(len);
  if (len) memcpy(blob->data, ptr, len);
  return blob;
}

void blob_unref(struct blob *blob) {
  if (!blob) return;
  /* Release: what we read is read before the last holder frees. Acquire: and it frees after. */
  if (atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) == 1) free(blob);
}
