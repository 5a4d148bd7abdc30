#include "eventhub/topic/name.h"

/* Bytes that a level may have. */
static const bool level_byte[256] = {
    ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['0' ... '9'] = true, ['-'] = true, ['_'] = true,
};

static const struct slice plus = SLICE_INIT("+");
static const struct slice rest = SLICE_INIT("#");

/* What may not be in any filter: nothing at all, too much, a '/' at an end. */
static bool has_good_ends(struct slice filter) {
  return filter.len > 0 && filter.len <= TOPIC_MAX && filter.ptr[0] != '/' &&
         filter.ptr[filter.len - 1] != '/';
}

static bool level_is_literal(struct slice level) {
  for (size_t i = 0; i < level.len; i++)
    if (!level_byte[(unsigned char)level.ptr[i]]) return false;
  return true;
}

bool topic_is_valid(struct slice topic) {
  if (!has_good_ends(topic)) return false;
  for (size_t i = 0; i < topic.len; i++)
    if (!level_byte[(unsigned char)topic.ptr[i]] && topic.ptr[i] != '/') return false;
  return true;
}

bool filter_is_valid(struct slice filter) {
  if (!has_good_ends(filter)) return false;
  struct slice left = filter;
  struct slice level;
  while (slice_next_token(&left, '/', &level)) {
    if (slice_equal(level, rest)) return left.ptr == NULL;
    if (!slice_equal(level, plus) && !level_is_literal(level)) return false;
  }
  return true;
}

bool filter_is_pattern(struct slice filter) {
  return memchr(filter.ptr, '+', filter.len) != NULL || memchr(filter.ptr, '#', filter.len) != NULL;
}

bool filter_matches(struct slice filter, struct slice topic) {
  struct slice level;
  struct slice name = {NULL, 0};
  bool has_name = slice_next_token(&topic, '/', &name);
  for (size_t depth = 0; slice_next_token(&filter, '/', &level); depth++) {
    /* `a/#` matches `a`, too: a '#' needs no level of its own below the first. */
    if (slice_equal(level, rest) && filter.ptr == NULL) return has_name || depth > 0;
    if (!has_name) return false;
    if (!slice_equal(level, plus) && !slice_equal(level, name)) return false;
    has_name = slice_next_token(&topic, '/', &name);
  }
  return !has_name;
}

/* A filter taken apart for comparing: its levels in front of a '#', and whether there is one. */
struct shape {
  struct slice levels;
  bool is_open;
};

/* `#` and `+/#` match the same, since every topic has a level; both become `+` and open. */
static struct shape shape_of(struct slice filter) {
  if (slice_equal(filter, rest)) return (struct shape){plus, true};
  if (filter.len >= 2 && filter.ptr[filter.len - 1] == '#')
    return (struct shape){slice_of(filter.ptr, filter.len - 2), true};
  return (struct shape){filter, false};
}

bool filter_contains(struct slice outer_filter, struct slice inner_filter) {
  struct shape outer = shape_of(outer_filter);
  struct shape inner = shape_of(inner_filter);
  if (inner.is_open && !outer.is_open) return false;
  struct slice wide;
  struct slice narrow;
  while (slice_next_token(&outer.levels, '/', &wide)) {
    /* The shortest topic of the inner is shorter than any of the outer. */
    if (!slice_next_token(&inner.levels, '/', &narrow)) return false;
    if (!slice_equal(wide, plus) && !slice_equal(wide, narrow)) return false;
  }
  return outer.is_open || inner.levels.ptr == NULL;
}
