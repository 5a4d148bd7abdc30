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
#include "eventhub/store/store_metrics.h"

struct kv {
  struct map items;
  struct expiry_heap expiries;
  struct store_metrics *metrics;
};

/* The metrics outlive it. */
void kv_init(struct kv *kv, struct store_metrics *metrics);
void kv_done(struct kv *kv);

/* A new reference, the caller's; NULL when there is no such key, or it expired. */
struct blob *kv_get(struct kv *kv, struct slice key, uint64_t now_ms);
/* Takes a reference to the value. expires_ms: UINT64_MAX = never. */
void kv_set(struct kv *kv, struct slice key, struct blob *value, uint64_t expires_ms);
/* Was it there? */
bool kv_del(struct kv *kv, struct slice key, uint64_t now_ms);

/* Frees at most max_work expired keys. True: there is more to do now. */
bool kv_expire(struct kv *kv, uint64_t now_ms, size_t max_work);

#endif
