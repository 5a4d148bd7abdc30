#include "eventhub/store/redis_cover.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/redis_keys.h"
#include "eventhub/topic/name.h"

enum { WHOLE = REDIS_COVER_WIDTHS - 1 };

struct counted {
  struct map_node node;
  size_t count;
  size_t len;
  char text[];
};

static struct counted *counted_of(const struct map_node *node) {
  return container_of((struct map_node *)node, struct counted, node);
}

static struct slice counted_key(const struct map_node *node) {
  const struct counted *counted = counted_of(node);
  return slice_of(counted->text, counted->len);
}

void redis_cover_init(struct redis_cover *cover, size_t max) {
  assert(max > 0 && max <= REDIS_COVER_MAX);
  cover->max = max;
  for (size_t i = 0; i < REDIS_COVER_WIDTHS; i++)
    map_init(&cover->widths[i], counted_key);
}

void redis_cover_done(struct redis_cover *cover) {
  for (size_t i = 0; i < REDIS_COVER_WIDTHS; i++) {
    MAP_FOREACH_SAFE (node, next, &cover->widths[i]) {
      map_remove(&cover->widths[i], node);
      free(counted_of(node));
    }
    map_done(&cover->widths[i]);
  }
}

/* The pattern at this width, in `scratch`. */
static struct slice widen(struct slice pattern, size_t width, struct buf *scratch) {
  if (width == WHOLE) return pattern;
  struct slice rest = pattern, level;
  buf_clear(scratch);
  for (size_t i = 0; i < width && slice_next_token(&rest, '/', &level); i++) {
    if (i > 0) buf_append_char(scratch, '/');
    buf_append_slice(scratch, level);
  }
  if (rest.ptr == NULL) return pattern;
  if (width > 0) buf_append_char(scratch, '/');
  buf_append_char(scratch, '#');
  return buf_slice(scratch);
}

static void count_one(struct map *map, struct slice pattern) {
  struct map_node *node = map_find(map, pattern);
  if (node != NULL) {
    counted_of(node)->count++;
    return;
  }
  struct counted *counted = x_malloc(sizeof *counted + pattern.len);
  *counted = (struct counted){.count = 1, .len = pattern.len};
  memcpy(counted->text, pattern.ptr, pattern.len);
  map_add(map, &counted->node);
}

static void discount_one(struct map *map, struct slice pattern) {
  struct counted *counted = counted_of(map_find(map, pattern));
  if (--counted->count > 0) return;
  map_remove(map, &counted->node);
  free(counted);
}

void redis_cover_add(struct redis_cover *cover, struct slice pattern) {
  AUTO(buf) struct buf scratch = BUF_INIT;
  for (size_t i = 0; i < REDIS_COVER_WIDTHS; i++)
    count_one(&cover->widths[i], widen(pattern, i, &scratch));
}

void redis_cover_remove(struct redis_cover *cover, struct slice pattern) {
  AUTO(buf) struct buf scratch = BUF_INIT;
  for (size_t i = 0; i < REDIS_COVER_WIDTHS; i++)
    discount_one(&cover->widths[i], widen(pattern, i, &scratch));
}

/* Adds it, unless another contains it, in place of those that it contains. */
static size_t add_maximal(struct slice *patterns, size_t count, struct slice pattern) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (filter_contains(patterns[i], pattern)) return count;
  }
  for (size_t i = 0; i < count; i++) {
    if (!filter_contains(pattern, patterns[i])) patterns[kept++] = patterns[i];
  }
  patterns[kept++] = pattern;
  return kept;
}

/* Globs that Redis would be asked for. */
static size_t count_globs(const struct slice *patterns, size_t count) {
  size_t globs = count;
  for (size_t i = 0; i < count; i++) {
    struct slice parent;
    if (redis_glob_parent(patterns[i], &parent) && filter_is_pattern(parent)) globs++;
  }
  return globs;
}

static size_t cover_at(const struct redis_cover *cover, size_t width,
                       struct slice ret[REDIS_COVER_MAX]) {
  size_t count = 0;
  MAP_FOREACH (node, &cover->widths[width]) {
    count = add_maximal(ret, count, counted_key(node));
  }
  return count;
}

size_t redis_cover_get(const struct redis_cover *cover, struct slice ret[REDIS_COVER_MAX]) {
  for (size_t width = WHOLE; width > 0; width--) {
    if (cover->widths[width].count > cover->max) continue;
    size_t count = cover_at(cover, width, ret);
    if (count_globs(ret, count) <= cover->max) return count;
  }
  return cover_at(cover, 0, ret); /* `#`, or nothing */
}
