#include "eventhub/store/kv.h"

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"

struct kv_item {
  struct map_node node;
  struct expiry expiry; /* at_ms counts also outside of the heap: UINT64_MAX = never */
  struct blob *value;   /* NULL: it is not there, its row is reserved */
  uint64_t row;         /* in the journal; 0 = there is none */
  uint32_t reserved;    /* so many times */
  size_t key_len;
  char key[];
};

static struct slice item_key(const struct map_node *node) {
  const struct kv_item *item = container_of(node, const struct kv_item, node);
  return slice_of(item->key, item->key_len);
}

static uint64_t item_bytes(const struct kv_item *item) {
  return item->value == NULL ? 0 : item->key_len + item->value->len;
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

static void note_gone(struct kv_rows *gone, uint64_t row) {
  if (gone->count == gone->cap) {
    gone->cap = gone->cap ? gone->cap * 2 : 64;
    gone->items = x_realloc(gone->items, gone->cap * sizeof *gone->items);
  }
  gone->items[gone->count++] = row;
}

static void remove_item(struct kv *kv, struct kv_item *item) {
  if (item->row != 0) note_gone(&kv->gone, item->row);
  map_remove(&kv->items, &item->node);
  free_item(item);
}

/* The key is not there any more; what is reserved stays so. */
static void drop(struct kv *kv, struct kv_item *item) {
  store_metric_sub(&kv->metrics->kv_bytes, item_bytes(item));
  store_metric_sub(&kv->metrics->kv_keys, 1);
  expiry_heap_remove(&kv->expiries, &item->expiry);
  item->expiry.at_ms = UINT64_MAX;
  blob_unref(item->value);
  item->value = NULL;
  if (item->reserved == 0) remove_item(kv, item);
}

/* NULL also when it is there no more but in memory; then it is freed. */
static struct kv_item *find_alive(struct kv *kv, struct slice key, uint64_t now_ms) {
  struct kv_item *item = find(kv, key);
  if (item == NULL || item->value == NULL) return NULL;
  if (item->expiry.at_ms > now_ms) return item;
  drop(kv, item);
  return NULL;
}

void kv_init(struct kv *kv, struct store_metrics *metrics, struct journal *journal) {
  *kv = (struct kv){.metrics = metrics, .journal = journal};
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
  free(kv->gone.items);
}

struct blob *kv_get(struct kv *kv, struct slice key, uint64_t now_ms) {
  struct kv_item *item = find_alive(kv, key, now_ms);
  return item == NULL ? NULL : blob_ref(item->value);
}

static void set_value(struct kv *kv, struct kv_item *item, struct blob *value) {
  if (item->value == NULL) {
    store_metric_add(&kv->metrics->kv_keys, 1);
  } else {
    store_metric_sub(&kv->metrics->kv_bytes, item_bytes(item));
    blob_unref(item->value);
  }
  item->value = blob_ref(value);
  store_metric_add(&kv->metrics->kv_bytes, item_bytes(item));
}

void kv_set(struct kv *kv, struct slice key, struct blob *value, uint64_t expires_ms) {
  struct kv_item *item = find(kv, key);
  if (item == NULL) item = make_item(kv, key);
  if (item->reserved > 0) item->reserved--;
  set_value(kv, item, value);
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

/* ---- from and for the journal ---- */

uint64_t kv_reserve(struct kv *kv, struct slice key, uint64_t now_ms) {
  struct kv_item *item = find_alive(kv, key, now_ms);
  if (item == NULL) item = find(kv, key);
  if (item == NULL) {
    item = make_item(kv, key);
    item->expiry.at_ms = UINT64_MAX;
  }
  if (item->row == 0) item->row = journal_new_row(kv->journal);
  item->reserved++;
  return item->row;
}

void kv_unreserve(struct kv *kv, struct slice key) {
  struct kv_item *item = find(kv, key);
  item->reserved--;
  if (item->value == NULL && item->reserved == 0) remove_item(kv, item);
}

uint64_t kv_row(struct kv *kv, struct slice key) {
  const struct kv_item *item = find(kv, key);
  return item == NULL ? 0 : item->row;
}

void kv_restore(struct kv *kv, uint64_t row, const struct journal_pair *pair, uint64_t now_ms) {
  if (pair->expires_ms <= now_ms) {
    note_gone(&kv->gone, row);
    return;
  }
  struct blob *value = blob_new(pair->value.ptr, pair->value.len);
  kv_set(kv, pair->key, value, pair->expires_ms);
  struct kv_item *item = find(kv, pair->key);
  if (item->row != 0) note_gone(&kv->gone, item->row);
  item->row = row;
  blob_unref(value);
}

bool kv_tidy(struct kv *kv, size_t max) {
  for (kv->tidied = 0; kv->tidied < kv->gone.count && kv->tidied < max; kv->tidied++)
    journal_remove_pair(kv->journal, kv->gone.items[kv->tidied]);
  return kv->tidied > 0;
}

void kv_kept(struct kv *kv) {
  kv->gone.count -= kv->tidied;
  if (kv->gone.count > 0)
    memmove(kv->gone.items, kv->gone.items + kv->tidied, kv->gone.count * sizeof *kv->gone.items);
  kv->tidied = 0;
}
