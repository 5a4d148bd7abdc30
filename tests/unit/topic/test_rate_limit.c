#include "eventhub/topic/rate_limit.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { T0_MS = 1000000 };

static struct token_limit limits[] = {
    {SLICE_INIT("#"), 10, 1000},     {SLICE_INIT("a/#"), 10, 100}, {SLICE_INIT("a/+/long"), 10, 50},
    {SLICE_INIT("a/b/long"), 10, 1}, {SLICE_INIT("a/+"), 10, 5},   {SLICE_INIT("+/b"), 10, 6},
};

static struct token token = {
    .sub = SLICE_INIT("user"),
    .limits = limits,
    .limit_count = 6,
};

static uint64_t limit_of(const char *topic) {
  const struct token_limit *limit = rate_limit_find(&token, slice_str(topic));
  assert_non_null(limit);
  return limit->max;
}

static void the_exact_topic_wins_then_the_longest_pattern(void **state) {
  (void)state;
  assert_int_equal(limit_of("a/b/long"), 1);
  assert_int_equal(limit_of("a/c/long"), 50);
  assert_int_equal(limit_of("a/c/d/e"), 100);
  assert_int_equal(limit_of("x"), 1000);
}

static void the_first_of_equally_long_patterns_wins(void **state) {
  (void)state;
  assert_int_equal(limit_of("a/b"), 100);
  assert_int_equal(limit_of("x/b"), 6);
}

static void no_limit_without_token_subject_or_match(void **state) {
  (void)state;
  struct token anonymous = token;
  struct token narrow = token;
  anonymous.sub = SLICE("");
  narrow.limits = limits + 3;
  narrow.limit_count = 1;
  assert_null(rate_limit_find(NULL, SLICE("a/b")));
  assert_null(rate_limit_find(&anonymous, SLICE("a/b")));
  assert_null(rate_limit_find(&narrow, SLICE("a/b")));
}

static void no_more_than_max_in_one_window(void **state) {
  (void)state;
  struct token_limit limit = {SLICE_INIT("t"), 10, 3};
  struct rate_windows windows;
  rate_windows_init(&windows);
  for (int i = 0; i < 3; i++)
    assert_true(rate_windows_take(&windows, SLICE("u"), &limit, T0_MS));
  assert_false(rate_windows_take(&windows, SLICE("u"), &limit, T0_MS));
  assert_false(rate_windows_take(&windows, SLICE("u"), &limit, T0_MS + 9999));
  assert_true(rate_windows_take(&windows, SLICE("u"), &limit, T0_MS + 10000));
  rate_windows_done(&windows);
}

static void windows_start_at_multiples_of_their_interval(void **state) {
  (void)state;
  struct token_limit limit = {SLICE_INIT("t"), 10, 1};
  struct rate_windows windows;
  rate_windows_init(&windows);
  assert_true(rate_windows_take(&windows, SLICE("u"), &limit, T0_MS + 9999));
  assert_true(rate_windows_take(&windows, SLICE("u"), &limit, T0_MS + 10000));
  assert_false(rate_windows_take(&windows, SLICE("u"), &limit, T0_MS + 10001));
  rate_windows_done(&windows);
}

static void subjects_topics_and_intervals_count_apart(void **state) {
  (void)state;
  struct token_limit one = {SLICE_INIT("t"), 10, 1};
  struct token_limit other_topic = {SLICE_INIT("t2"), 10, 1};
  struct token_limit other_interval = {SLICE_INIT("t"), 20, 1};
  struct rate_windows windows;
  rate_windows_init(&windows);
  assert_true(rate_windows_take(&windows, SLICE("u"), &one, T0_MS));
  assert_true(rate_windows_take(&windows, SLICE("v"), &one, T0_MS));
  assert_true(rate_windows_take(&windows, SLICE("u"), &other_topic, T0_MS));
  assert_true(rate_windows_take(&windows, SLICE("u"), &other_interval, T0_MS));
  assert_false(rate_windows_take(&windows, SLICE("u"), &one, T0_MS));
  assert_true(rate_windows_take(&windows, slice_of("u\0t", 3), &one, T0_MS));
  rate_windows_done(&windows);
}

static void a_limit_of_none_allows_none(void **state) {
  (void)state;
  struct token_limit none = {SLICE_INIT("t"), 10, 0};
  struct rate_windows windows;
  rate_windows_init(&windows);
  assert_false(rate_windows_take(&windows, SLICE("u"), &none, T0_MS));
  rate_windows_done(&windows);
}

static void the_sweep_frees_what_is_over_and_keeps_the_rest(void **state) {
  (void)state;
  struct token_limit brief = {SLICE_INIT("t"), 1, 1};
  struct token_limit lasting = {SLICE_INIT("t"), 1000, 1};
  struct rate_windows windows;
  rate_windows_init(&windows);
  for (int i = 0; i < 10; i++) {
    char c = (char)('a' + i);
    assert_true(rate_windows_take(&windows, slice_of(&c, 1), &brief, T0_MS));
    assert_true(rate_windows_take(&windows, slice_of(&c, 1), &lasting, T0_MS));
  }
  assert_int_equal(rate_windows_sweep(&windows, T0_MS + 999, 100), 20);
  assert_int_equal(rate_windows_sweep(&windows, T0_MS + 1000, 0), 20);
  assert_int_equal(rate_windows_sweep(&windows, T0_MS + 1000, 5), 17);
  assert_int_equal(rate_windows_sweep(&windows, T0_MS + 1000, 100), 10);
  assert_false(rate_windows_take(&windows, SLICE("a"), &lasting, T0_MS + 1000));
  assert_int_equal(rate_windows_sweep(&windows, T0_MS + 1000000, 100), 0);
  assert_int_equal(rate_windows_sweep(&windows, T0_MS, 100), 0);
  rate_windows_done(&windows);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_exact_topic_wins_then_the_longest_pattern),
      cmocka_unit_test(the_first_of_equally_long_patterns_wins),
      cmocka_unit_test(no_limit_without_token_subject_or_match),
      cmocka_unit_test(no_more_than_max_in_one_window),
      cmocka_unit_test(windows_start_at_multiples_of_their_interval),
      cmocka_unit_test(subjects_topics_and_intervals_count_apart),
      cmocka_unit_test(a_limit_of_none_allows_none),
      cmocka_unit_test(the_sweep_frees_what_is_over_and_keeps_the_rest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
