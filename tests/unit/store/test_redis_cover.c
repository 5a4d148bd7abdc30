#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/store/redis_cover.h"
#include "eventhub/store/redis_keys.h"
#include "eventhub/topic/name.h"
#include "log_fixture.h"

static void add(struct redis_cover *cover, const char *pattern) {
  redis_cover_add(cover, slice_str(pattern));
}

/* Is this the cover, in whatever order? */
static bool covers(const struct redis_cover *cover, const char *const *expected, size_t count) {
  struct slice got[REDIS_COVER_MAX];
  if (redis_cover_get(cover, got) != count) return false;
  size_t found = 0;
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < count; j++)
      found += slice_equal(got[i], slice_str(expected[j]));
  }
  return found == count;
}

#define assert_cover(cover, ...)                                                                   \
  do {                                                                                             \
    const char *const expected[] = {__VA_ARGS__};                                                  \
    assert_true(covers(cover, expected, ARRAY_LEN(expected)));                                     \
  } while (0)

static void assert_empty(const struct redis_cover *cover) {
  struct slice got[REDIS_COVER_MAX];
  assert_int_equal(redis_cover_get(cover, got), 0);
  for (size_t i = 0; i < REDIS_COVER_WIDTHS; i++)
    assert_int_equal(cover->widths[i].count, 0);
}

static void no_patterns_need_nothing(void **state) {
  (void)state;
  struct redis_cover cover;
  redis_cover_init(&cover, 4);
  assert_empty(&cover);
  redis_cover_done(&cover);
}

static void few_patterns_are_asked_for_as_they_are(void **state) {
  (void)state;
  struct redis_cover cover;
  redis_cover_init(&cover, 4);
  add(&cover, "a/b/+");
  add(&cover, "a/c/+");
  add(&cover, "x/#");
  add(&cover, "1/2/3/4/5/6/7/8/9/10/11/12/+");
  assert_cover(&cover, "a/b/+", "a/c/+", "x/#", "1/2/3/4/5/6/7/8/9/10/11/12/+");
  redis_cover_done(&cover);
}

static void a_pattern_inside_another_is_not_asked_for(void **state) {
  (void)state;
  struct redis_cover cover;
  redis_cover_init(&cover, 4);
  add(&cover, "a/b/+");
  add(&cover, "a/+/+");
  assert_cover(&cover, "a/+/+");
  add(&cover, "a/#");
  add(&cover, "b/+");
  assert_cover(&cover, "a/#", "b/+");
  redis_cover_remove(&cover, SLICE("a/#"));
  assert_cover(&cover, "a/+/+", "b/+");
  redis_cover_done(&cover);
}

static void many_patterns_are_widened_from_their_ends(void **state) {
  (void)state;
  struct redis_cover cover;
  redis_cover_init(&cover, 3);
  add(&cover, "a/b/1/+");
  add(&cover, "a/b/2/+");
  add(&cover, "a/c/1/+");
  assert_cover(&cover, "a/b/1/+", "a/b/2/+", "a/c/1/+");
  add(&cover, "a/c/2/+");
  assert_cover(&cover, "a/b/#", "a/c/#");
  add(&cover, "a/d/1/+");
  assert_cover(&cover, "a/b/#", "a/c/#", "a/d/#");
  add(&cover, "a/e/1/+");
  assert_cover(&cover, "a/#");
  add(&cover, "b/+");
  add(&cover, "c/+");
  assert_cover(&cover, "a/#", "b/#", "c/#");
  add(&cover, "d/+");
  assert_cover(&cover, "#");
  redis_cover_remove(&cover, SLICE("d/+"));
  assert_cover(&cover, "a/#", "b/#", "c/#");
  redis_cover_done(&cover);
}

/* Where others are cut, what is short enough stays as it is. */
static void short_patterns_are_not_widened(void **state) {
  (void)state;
  struct redis_cover cover;
  redis_cover_init(&cover, 4);
  add(&cover, "a/b/1/+");
  add(&cover, "a/b/2/+");
  add(&cover, "b/+");
  add(&cover, "+");
  add(&cover, "c/d/#");
  assert_cover(&cover, "a/b/#", "b/+", "+", "c/d/#");
  redis_cover_done(&cover);
}

static void a_pattern_counts_as_often_as_it_was_added(void **state) {
  (void)state;
  struct redis_cover cover;
  redis_cover_init(&cover, 4);
  for (int i = 0; i < 3; i++)
    add(&cover, "a/+");
  for (int i = 0; i < 2; i++)
    redis_cover_remove(&cover, SLICE("a/+"));
  assert_cover(&cover, "a/+");
  redis_cover_remove(&cover, SLICE("a/+"));
  assert_empty(&cover);
  redis_cover_done(&cover);
}

/* `+/a/#` is two globs to Redis: see redis_glob_parent. */
static void what_needs_two_globs_counts_twice(void **state) {
  (void)state;
  struct redis_cover cover;
  redis_cover_init(&cover, 3);
  add(&cover, "+/a/#");
  add(&cover, "x/#");
  assert_cover(&cover, "+/a/#", "x/#");
  add(&cover, "+/b/#");
  assert_cover(&cover, "+/#");
  redis_cover_done(&cover);
}

static void a_cover_may_be_thrown_away_full(void **state) {
  (void)state;
  struct redis_cover cover;
  redis_cover_init(&cover, REDIS_COVER_MAX);
  for (unsigned i = 0; i < 1000; i++) {
    AUTO(buf) struct buf pattern = BUF_INIT;
    buf_printf(&pattern, "%u/%u/+", i % 7, i);
    redis_cover_add(&cover, buf_slice(&pattern));
  }
  struct slice got[REDIS_COVER_MAX];
  assert_int_equal(redis_cover_get(&cover, got), 7);
  redis_cover_done(&cover);
}

/* ---- against a model ---- */

enum { PATTERNS = 150, PATTERN_MAX = 64, STEPS = 1200 };

struct model {
  struct redis_cover cover;
  uint64_t random;
  char texts[PATTERNS][PATTERN_MAX];
  unsigned counts[PATTERNS];
  size_t added; /* all counts together */
};

static uint64_t pick(struct model *model, uint64_t below) {
  return (fixture_random(&model->random) >> 11) % below;
}

static void make_pattern(struct model *model, char ret[PATTERN_MAX]) {
  static const char *const levels[] = {"a", "b", "c", "dd", "+"};
  AUTO(buf) struct buf pattern = BUF_INIT;
  do {
    buf_clear(&pattern);
    for (uint64_t left = 1 + pick(model, 11); left > 0; left--) {
      buf_append_str(&pattern, levels[pick(model, ARRAY_LEN(levels))]);
      if (left > 1) buf_append_char(&pattern, '/');
    }
    if (pick(model, 2) == 0) buf_append_str(&pattern, "/#");
  } while (!filter_is_pattern(buf_slice(&pattern)));
  buf_append_char(&pattern, '\0');
  assert_true(pattern.len <= PATTERN_MAX);
  memcpy(ret, pattern.data, pattern.len);
}

static struct slice text(const struct model *model, size_t i) {
  return slice_str(model->texts[i]);
}

/* The first so many levels, and `#` for the rest. The widest width leaves all as it is. */
static struct slice widen(struct slice pattern, size_t levels, char out[PATTERN_MAX + 2]) {
  size_t end = 0;
  if (levels == REDIS_COVER_WIDTHS - 1) return pattern;
  for (size_t i = 0; i < levels; i++) {
    while (end < pattern.len && pattern.ptr[end] != '/')
      end++;
    if (end == pattern.len) return pattern;
    end++;
  }
  memcpy(out, pattern.ptr, end);
  out[end] = '#';
  return slice_of(out, end + 1);
}

/* Globs that the patterns, so widened, need. Those inside others need none. */
static size_t count_globs(const struct model *model, size_t width, size_t *ret_distinct) {
  static char room[PATTERNS][PATTERN_MAX + 2];
  static struct slice all[PATTERNS];
  size_t count = 0, globs = 0;
  for (size_t i = 0; i < PATTERNS; i++) {
    if (model->counts[i] == 0) continue;
    struct slice wide = widen(text(model, i), width, room[i]);
    size_t j = 0;
    while (j < count && !slice_equal(all[j], wide))
      j++;
    if (j == count) all[count++] = wide;
  }
  for (size_t i = 0; i < count; i++) {
    struct slice parent;
    bool is_inside = false;
    for (size_t j = 0; j < count; j++)
      is_inside = is_inside || (j != i && filter_contains(all[j], all[i]));
    if (is_inside) continue;
    globs += redis_glob_parent(all[i], &parent) && filter_is_pattern(parent) ? 2 : 1;
  }
  *ret_distinct = count;
  return globs;
}

/* The number of globs of the least wide cover that fits. Where there are more patterns than globs
 * may be, it is not tried whether they are inside each other. */
static size_t expected_globs(const struct model *model) {
  size_t distinct, globs;
  for (size_t width = REDIS_COVER_WIDTHS - 1; width > 0; width--) {
    globs = count_globs(model, width, &distinct);
    if (distinct <= model->cover.max && globs <= model->cover.max) return globs;
  }
  return count_globs(model, 0, &distinct);
}

static bool is_covered(struct slice pattern, const struct slice *cover, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (filter_contains(cover[i], pattern)) return true;
  return false;
}

static void check(const struct model *model) {
  struct slice cover[REDIS_COVER_MAX], parent;
  size_t count = redis_cover_get(&model->cover, cover), globs = 0;
  for (size_t i = 0; i < PATTERNS; i++)
    if (model->counts[i] > 0) assert_true(is_covered(text(model, i), cover, count));
  for (size_t i = 0; i < count; i++) {
    assert_true(filter_is_valid(cover[i]) && filter_is_pattern(cover[i]));
    globs += redis_glob_parent(cover[i], &parent) && filter_is_pattern(parent) ? 2 : 1;
    for (size_t j = 0; j < count; j++)
      assert_true(i == j || !filter_contains(cover[i], cover[j]));
  }
  assert_true(globs <= model->cover.max);
  assert_int_equal(globs, expected_globs(model));
}

static void step(struct model *model, bool grows) {
  size_t i = pick(model, PATTERNS);
  if (model->counts[i] == 0) make_pattern(model, model->texts[i]);
  if (model->counts[i] == 0 || (grows && pick(model, 3) > 0)) {
    if (!grows && pick(model, 4) > 0) return;
    redis_cover_add(&model->cover, text(model, i));
    model->counts[i]++;
    model->added++;
  } else {
    redis_cover_remove(&model->cover, text(model, i));
    model->counts[i]--;
    model->added--;
  }
}

static void empty_in_any_order(struct model *model) {
  while (model->added > 0) {
    size_t i = pick(model, PATTERNS);
    if (model->counts[i] == 0) continue;
    redis_cover_remove(&model->cover, text(model, i));
    model->counts[i]--;
    model->added--;
  }
  assert_empty(&model->cover);
}

static void run(uint64_t seed, size_t max) {
  static struct model model;
  memset(&model, 0, sizeof model);
  model.random = seed;
  redis_cover_init(&model.cover, max);
  for (int i = 0; i < STEPS; i++) {
    step(&model, i % 400 < 250);
    if (i % 20 == 0) check(&model);
  }
  empty_in_any_order(&model);
  redis_cover_done(&model.cover);
}

static void any_patterns_are_covered_no_wider_than_needed(void **state) {
  (void)state;
  run(1, 1);
  run(2, 2);
  run(3, 8);
  run(4, 20);
  run(5, REDIS_COVER_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_patterns_need_nothing),
      cmocka_unit_test(few_patterns_are_asked_for_as_they_are),
      cmocka_unit_test(a_pattern_inside_another_is_not_asked_for),
      cmocka_unit_test(many_patterns_are_widened_from_their_ends),
      cmocka_unit_test(short_patterns_are_not_widened),
      cmocka_unit_test(a_pattern_counts_as_often_as_it_was_added),
      cmocka_unit_test(what_needs_two_globs_counts_twice),
      cmocka_unit_test(a_cover_may_be_thrown_away_full),
      cmocka_unit_test(any_patterns_are_covered_no_wider_than_needed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
