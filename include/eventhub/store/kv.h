#ifndef EVENTHUB_STORE_KV_H
#define EVENTHUB_STORE_KV_H

/*
 * Keys and values with an optional time to live, in memory. It holds a reference to each value.
 * Single-threaded, and it has no clock: time is an argument.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/blob.h"
#include "eventhub/base/map.h"
#include "eventhub/base/slice.h"
#include "eventhub/store/expiry_heap.h"
#include "eventhub/store/journal.h"
#include "eventhub/store/store_metrics.h"

/* Rows of a journal whose pairs are gone. */
struct kv_rows {
  uint64_t *items;
  size_t count, cap;
};

struct kv {
  struct map items;
  struct expiry_heap expiries;
  struct store_metrics *metrics;
  struct journal *journal; /* NULL = none */
  struct kv_rows gone;     /* to be removed in there, ... */
  size_t tidied;           /* ... of which so many are, in the open set */
};

/* The metrics outlive it. */
void kv_init(struct kv *kv, struct store_metrics *metrics, struct journal *journal);
void kv_done(struct kv *kv);

/* A new reference, the caller's; NULL when there is no such key, or it expired. */
struct blob *kv_get(struct kv *kv, struct slice key, uint64_t now_ms);
/* Takes a reference to the value. expires_ms: UINT64_MAX = never. */
void kv_set(struct kv *kv, struct slice key, struct blob *value, uint64_t expires_ms);
/* Was it there? */
bool kv_del(struct kv *kv, struct slice key, uint64_t now_ms);

/* With a journal, before the commit and kv_set: the row that the pair will have; the key is not
 * there by that. After a commit that failed, kv_unreserve. */
uint64_t kv_reserve(struct kv *kv, struct slice key, uint64_t now_ms);
void kv_unreserve(struct kv *kv, struct slice key);
/* The row of a key that is there or reserved; 0 = it is neither. */
uint64_t kv_row(struct kv *kv, struct slice key);
/* From the journal. */
void kv_restore(struct kv *kv, uint64_t row, const struct journal_pair *pair, uint64_t now_ms);
/* Adds to the journal's open set the removal of at most `max` pairs that expired; done with when
 * kv_kept says so. False: there was nothing. */
bool kv_tidy(struct kv *kv, size_t max);
void kv_kept(struct kv *kv);

/* Frees at most max_work expired keys. True: there is more to do now. */
bool kv_expire(struct kv *kv, uint64_t now_ms, size_t max_work);

#endif
