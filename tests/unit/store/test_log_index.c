#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>

#include "eventhub/store/log_index.h"
#include "eventhub/store/log_topic.h"
#include "eventhub/topic/name.h"

static const char *const names[] = {"a",     "b",     "a/b",     "a/c",     "b/a", "a//b", "a/b/c",
                                    "a/c/c", "b/b/c", "a/b/c/d", "c/b/c/d", "ab",  "a/bc", "b/c/d"};
static const char *const filters[] = {"#",     "+",     "a/#",   "+/b",    "a/+",   "+/+",
                                      "a/+/c", "+/b/#", "a/b/#", "+/+/c",  "+/+/#", "a//+",
                                      "z/#",   "a/b/+", "+/#",   "c/+/+/d"};
enum { NAMES = sizeof names / sizeof names[0], FILTERS = sizeof filters / sizeof filters[0] };

static size_t expected_count(struct slice filter, const bool *is_in) {
  size_t count = 0;
  for (size_t i = 0; i < NAMES; i++)
    count += is_in[i] && filter_matches(filter, slice_str(names[i]));
  return count;
}

static void check_walk(const struct log_index *index, struct slice filter, const bool *is_in) {
  struct log_walk walk;
  log_walk_init(&walk, index, filter);
  size_t count = 0;
  for (struct log_topic *topic; (topic = log_walk_next(&walk)) != NULL; count++)
    assert_true(filter_matches(filter, log_topic_name(topic)));
  assert_int_equal(count, expected_count(filter, is_in));
}

static void a_walk_finds_what_the_filter_matches(void **state) {
  (void)state;
  struct log_topic *topics[NAMES];
  bool is_in[NAMES] = {false};
  struct log_index index;
  log_index_init(&index);
  for (size_t i = 0; i < NAMES; i++)
    topics[i] = log_topic_new(slice_str(names[i]));
  unsigned seed = 1;
  for (int step = 0; step < 500; step++) {
    size_t i = (size_t)rand_r(&seed) % NAMES;
    if (is_in[i]) {
      log_index_remove(&index, topics[i]);
    } else {
      log_index_add(&index, topics[i]);
    }
    is_in[i] = !is_in[i];
    for (size_t f = 0; f < FILTERS; f++)
      check_walk(&index, slice_str(filters[f]), is_in);
  }
  for (size_t i = 0; i < NAMES; i++)
    log_topic_free(topics[i]);
  log_index_done(&index);
}

static void it_gives_back_the_memory_of_a_crowd(void **state) {
  (void)state;
  enum { CROWD = 5000 };
  static struct log_topic *topics[CROWD];
  struct log_index index;
  log_index_init(&index);
  for (size_t i = 0; i < CROWD; i++) {
    topics[i] = log_topic_new(SLICE("a/b"));
    log_index_add(&index, topics[i]);
  }
  for (size_t i = 0; i < CROWD; i++) {
    log_index_remove(&index, topics[i]);
    log_topic_free(topics[i]);
  }
  assert_int_equal(index.count, 0);
  assert_true(index.cap < 200);
  log_index_done(&index);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_walk_finds_what_the_filter_matches),
      cmocka_unit_test(it_gives_back_the_memory_of_a_crowd),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
