#include "eventhub/store/kv.h"

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"

struct kv_item {
  struct map_node node;
  struct expiry expiry; /* at_ms counts also outside of the heap: UINT64_MAX = never */
  struct blob *value;
  size_t key_len;
  char key[];
};

static struct slice item_key(const struct map_node *node) {
  const struct kv_item *item = container_of(node, const struct kv_item, node);
  return slice_of(item->key, item->key_len);
}

static uint64_t item_bytes(const struct kv_item *item) {
  return item->key_len + item->value->len;
}

static struct kv_item *find(const struct kv *kv, struct slice key) {
  struct map_node *node = map_find(&kv->items, key);
  return node == NULL ? NULL : container_of(node, struct kv_item, node);
}

static struct kv_item *make_item(struct kv *kv, struct slice key) {
  struct kv_item *item = x_calloc(1, sizeof *item + key.len);
  item->key_len = key.len;
  if (key.len > 0) memcpy(item->key, key.ptr, key.len);
  map_add(&kv->items, &item->node);
  return item;
}

static void free_item(struct kv_item *item) {
  blob_unref(item->value);
  free(item);
}

static void drop(struct kv *kv, struct kv_item *item) {
  store_metric_sub(&kv->metrics->kv_bytes, item_bytes(item));
  store_metric_sub(&kv->metrics->kv_keys, 1);
  expiry_heap_remove(&kv->expiries, &item->expiry);
  map_remove(&kv->items, &item->node);
  free_item(item);
}

/* NULL also when it is there no more but in memory; then it is freed. */
static struct kv_item *find_alive(struct kv *kv, struct slice key, uint64_t now_ms) {
  struct kv_item *item = find(kv, key);
  if (item == NULL || item->expiry.at_ms > now_ms) return item;
  drop(kv, item);
  return NULL;
}

void kv_init(struct kv *kv, struct store_metrics *metrics) {
  *kv = (struct kv){.metrics = metrics};
  map_init(&kv->items, item_key);
  expiry_heap_init(&kv->expiries);
}

void kv_done(struct kv *kv) {
  MAP_FOREACH_SAFE (node, next, &kv->items) {
    map_remove(&kv->items, node);
    free_item(container_of(node, struct kv_item, node));
  }
  map_done(&kv->items);
  expiry_heap_done(&kv->expiries);
}

struct blob *kv_get(struct kv *kv, struct slice key, uint64_t now_ms) {
  struct kv_item *item = find_alive(kv, key, now_ms);
  return item == NULL ? NULL : blob_ref(item->value);
}

void kv_set(struct kv *kv, struct slice key, struct blob *value, uint64_t expires_ms) {
  struct kv_item *item = find(kv, key);
  if (item == NULL) {
    item = make_item(kv, key);
    store_metric_add(&kv->metrics->kv_keys, 1);
  } else {
    store_metric_sub(&kv->metrics->kv_bytes, item_bytes(item));
    blob_unref(item->value);
  }
  item->value = blob_ref(value);
  store_metric_add(&kv->metrics->kv_bytes, item_bytes(item));
  if (expires_ms == UINT64_MAX) {
    expiry_heap_remove(&kv->expiries, &item->expiry);
    item->expiry.at_ms = expires_ms;
  } else {
    expiry_heap_set(&kv->expiries, &item->expiry, expires_ms);
  }
}

bool kv_del(struct kv *kv, struct slice key, uint64_t now_ms) {
  struct kv_item *item = find_alive(kv, key, now_ms);
  if (item == NULL) return false;
  drop(kv, item);
  return true;
}

bool kv_expire(struct kv *kv, uint64_t now_ms, size_t max_work) {
  struct expiry *first;
  while ((first = expiry_heap_first(&kv->expiries)) != NULL && first->at_ms <= now_ms) {
    if (max_work-- == 0) return true;
    drop(kv, container_of(first, struct kv_item, expiry));
  }
  return false;
}
