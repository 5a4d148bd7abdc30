#include "eventhub/topic/rate_limit.h"

#include <stdlib.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/topic/name.h"

enum { MS_PER_S = 1000 };

/* The use of one limit by one subject. */
struct rate_window {
  struct map_node node;
  struct list all;
  uint64_t start_ms;
  uint64_t length_ms;
  uint64_t count;
  uint32_t key_len;
  char key[];
};

const struct token_limit *rate_limit_find(const struct token *token, struct slice topic) {
  if (token == NULL || token->sub.len == 0) return NULL;
  const struct token_limit *best = NULL;
  for (size_t i = 0; i < token->limit_count; i++) {
    const struct token_limit *limit = &token->limits[i];
    if (slice_equal(limit->topic, topic)) return limit;
    if (best != NULL && limit->topic.len <= best->topic.len) continue;
    if (filter_matches(limit->topic, topic)) best = limit;
  }
  return best;
}

static struct rate_window *window_of(const struct map_node *node) {
  return container_of((struct map_node *)node, struct rate_window, node);
}

static struct slice window_key(const struct map_node *node) {
  const struct rate_window *window = window_of(node);
  return slice_of(window->key, window->key_len);
}

void rate_windows_init(struct rate_windows *windows) {
  map_init(&windows->by_key, window_key);
  list_init(&windows->all);
  buf_init(&windows->key);
}

static void window_free(struct rate_windows *windows, struct rate_window *window) {
  map_remove(&windows->by_key, &window->node);
  list_remove(&window->all);
  free(window);
}

void rate_windows_done(struct rate_windows *windows) {
  LIST_FOREACH_SAFE (it, tmp, &windows->all)
    window_free(windows, container_of(it, struct rate_window, all));
  map_done(&windows->by_key);
  buf_done(&windows->key);
}

/* `<interval>/<topic>/<sub>`: no filter ends in '/', and what comes last may hold anything. */
static struct slice make_key(struct rate_windows *windows, struct slice sub,
                             const struct token_limit *limit) {
  buf_clear(&windows->key);
  buf_append_u64(&windows->key, limit->interval_s);
  buf_append_char(&windows->key, '\0');
  buf_append_slice(&windows->key, limit->topic);
  buf_append_char(&windows->key, '\0');
  buf_append_slice(&windows->key, sub);
  return buf_slice(&windows->key);
}

static struct rate_window *window_add(struct rate_windows *windows, struct slice key,
                                      uint64_t hash) {
  struct rate_window *window = x_malloc(sizeof(*window) + key.len);
  *window = (struct rate_window){.key_len = (uint32_t)key.len};
  memcpy(window->key, key.ptr, key.len);
  map_add_hashed(&windows->by_key, &window->node, hash);
  list_add_tail(&windows->all, &window->all);
  return window;
}

static struct rate_window *window_get(struct rate_windows *windows, struct slice key) {
  uint64_t hash = map_hash(key.ptr, key.len);
  struct map_node *node = map_find_hashed(&windows->by_key, key, hash);
  return node ? window_of(node) : window_add(windows, key, hash);
}

bool rate_windows_take(struct rate_windows *windows, struct slice sub,
                       const struct token_limit *limit, uint64_t now_ms) {
  uint64_t length_ms = (uint64_t)limit->interval_s * MS_PER_S;
  if (length_ms == 0) length_ms = MS_PER_S;
  uint64_t start_ms = now_ms - now_ms % length_ms;
  struct rate_window *window = window_get(windows, make_key(windows, sub, limit));
  if (window->start_ms != start_ms) window->count = 0;
  window->start_ms = start_ms;
  window->length_ms = length_ms;
  if (window->count >= limit->max) return false;
  window->count++;
  return true;
}

size_t rate_windows_sweep(struct rate_windows *windows, uint64_t now_ms, size_t max_work) {
  size_t work = max_work < windows->by_key.count ? max_work : windows->by_key.count;
  for (; work > 0; work--) {
    struct rate_window *window = container_of(list_first(&windows->all), struct rate_window, all);
    if (now_ms - window->start_ms >= window->length_ms) {
      window_free(windows, window);
      continue;
    }
    list_remove(&window->all);
    list_add_tail(&windows->all, &window->all);
  }
  return windows->by_key.count;
}
