#include "eventhub/topic/trie.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/mem.h"
#include "eventhub/topic/name.h"

static struct filter_ref add(struct topic_trie *trie, const char *filter, unsigned worker) {
  return topic_trie_add(trie, slice_str(filter), worker);
}

/* The workers that the topic goes to by this filter; 0 = it does not match. */
static uint64_t workers_of(struct topic_trie *trie, const char *topic, struct filter_ref filter) {
  AUTO(topic_matches) struct topic_matches matches = {0};
  uint64_t workers = 0;
  topic_trie_match(trie, slice_str(topic), &matches);
  for (size_t i = 0; i < matches.count; i++)
    if (matches.items[i].filter.number == filter.number &&
        matches.items[i].filter.generation == filter.generation)
      workers |= matches.items[i].workers;
  return workers;
}

static size_t match_count(struct topic_trie *trie, const char *topic) {
  AUTO(topic_matches) struct topic_matches matches = {0};
  topic_trie_match(trie, slice_str(topic), &matches);
  return matches.count;
}

static bool refs_equal(struct filter_ref a, struct filter_ref b) {
  return a.number == b.number && a.generation == b.generation;
}

static void an_empty_trie_matches_nothing(void **state) {
  (void)state;
  struct topic_trie *trie = topic_trie_new();
  assert_int_equal(match_count(trie, "a/b"), 0);
  assert_int_equal(match_count(trie, ""), 0);
  assert_int_equal(topic_trie_filter_count(trie), 0);
  topic_trie_free(trie);
  topic_trie_free(NULL);
}

static void all_workers_of_a_filter_are_found(void **state) {
  (void)state;
  struct topic_trie *trie = topic_trie_new();
  static const char *const filters[] = {"a/b", "a/+", "a/#", "#"};
  for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
    struct filter_ref ref = add(trie, filters[i], 0);
    assert_true(refs_equal(add(trie, filters[i], 63), ref));
    assert_true(refs_equal(add(trie, filters[i], 63), ref));
    assert_true(workers_of(trie, "a/b", ref) == (UINT64_C(1) << 63 | 1));
    topic_trie_remove(trie, ref, 0);
    assert_true(workers_of(trie, "a/b", ref) == UINT64_C(1) << 63);
    topic_trie_remove(trie, ref, 63);
    assert_int_equal(workers_of(trie, "a/b", ref), 0);
  }
  assert_int_equal(topic_trie_filter_count(trie), 0);
  topic_trie_free(trie);
}

static void the_version_changes_with_what_changed(void **state) {
  (void)state;
  struct topic_trie *trie = topic_trie_new();
  uint64_t version = topic_trie_version(trie);
  struct filter_ref ref = add(trie, "a", 1);
  assert_true(topic_trie_version(trie) != version);
  version = topic_trie_version(trie);
  add(trie, "a", 1);
  topic_trie_remove(trie, ref, 2);
  topic_trie_remove(trie, (struct filter_ref){99, 0}, 1);
  add(trie, "not/valid/", 1);
  assert_true(topic_trie_version(trie) == version);
  add(trie, "a", 2);
  assert_true(topic_trie_version(trie) != version);
  version = topic_trie_version(trie);
  topic_trie_remove(trie, ref, 1);
  assert_true(topic_trie_version(trie) != version);
  topic_trie_free(trie);
}

static void invalid_filters_are_not_added(void **state) {
  (void)state;
  struct topic_trie *trie = topic_trie_new();
  assert_true(add(trie, "", 0).number == FILTER_NUMBER_NONE);
  assert_true(add(trie, "a/", 0).number == FILTER_NUMBER_NONE);
  assert_true(add(trie, "#/a", 0).number == FILTER_NUMBER_NONE);
  topic_trie_remove(trie, add(trie, "a b", 0), 0);
  assert_int_equal(topic_trie_filter_count(trie), 0);
  topic_trie_free(trie);
}

static void a_number_is_used_again_under_another_generation(void **state) {
  (void)state;
  struct topic_trie *trie = topic_trie_new();
  static const char *const filters[] = {"a", "b/+", "c/#", "#", "+"};
  struct filter_ref last = add(trie, "first", 0);
  topic_trie_remove(trie, last, 0);
  for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
    struct filter_ref ref = add(trie, filters[i], 0);
    assert_int_equal(ref.number, last.number);
    assert_int_not_equal(ref.generation, last.generation);
    topic_trie_remove(trie, last, 0);
    assert_int_equal(topic_trie_filter_count(trie), 1);
    topic_trie_remove(trie, ref, 0);
    topic_trie_remove(trie, ref, 0);
    assert_int_equal(topic_trie_filter_count(trie), 0);
    last = ref;
  }
  topic_trie_free(trie);
}

static void numbers_stay_dense(void **state) {
  (void)state;
  enum { COUNT = 200 };
  struct topic_trie *trie = topic_trie_new();
  struct filter_ref refs[COUNT];
  for (int round = 0; round < 3; round++) {
    for (unsigned i = 0; i < COUNT; i++) {
      AUTO(buf) struct buf text = BUF_INIT;
      buf_printf(&text, i % 2 ? "r%d/x%u/+" : "r%d/x%u", round, i);
      refs[i] = topic_trie_add(trie, buf_slice(&text), 0);
      assert_true(refs[i].number < COUNT);
    }
    for (size_t i = 0; i < COUNT; i++)
      topic_trie_remove(trie, refs[i], 0);
  }
  topic_trie_free(trie);
}

static void long_levels_and_deep_topics_match(void **state) {
  (void)state;
  struct topic_trie *trie = topic_trie_new();
  char text[TOPIC_MAX];
  memset(text, 'x', sizeof(text));
  text[TOPIC_MAX - 2] = '/';
  struct filter_ref long_topic = topic_trie_add(trie, slice_of(text, TOPIC_MAX), 0);
  text[TOPIC_MAX - 1] = '+';
  struct filter_ref long_level = topic_trie_add(trie, slice_of(text, TOPIC_MAX), 1);
  text[TOPIC_MAX - 1] = 'x';
  AUTO(topic_matches) struct topic_matches matches = {0};
  topic_trie_match(trie, slice_of(text, TOPIC_MAX), &matches);
  assert_int_equal(matches.count, 2);
  for (size_t i = 1; i < TOPIC_MAX; i += 2)
    text[i] = '/';
  text[TOPIC_MAX - 2] = 'x';
  text[TOPIC_MAX - 1] = 'x';
  struct filter_ref deep = topic_trie_add(trie, slice_of(text, TOPIC_MAX), 2);
  text[TOPIC_MAX - 4] = '+';
  struct filter_ref deep_plus = topic_trie_add(trie, slice_of(text, TOPIC_MAX), 3);
  text[TOPIC_MAX - 4] = 'x';
  topic_trie_match(trie, slice_of(text, TOPIC_MAX), &matches);
  assert_int_equal(matches.count, 2);
  topic_trie_remove(trie, long_topic, 0);
  topic_trie_remove(trie, long_level, 1);
  topic_trie_remove(trie, deep, 2);
  topic_trie_remove(trie, deep_plus, 3);
  assert_int_equal(topic_trie_filter_count(trie), 0);
  topic_trie_free(trie);
}

/* All 2^n patterns of '+' and literal levels match one topic: more than a walk has near. */
static void a_topic_may_reach_very_many_patterns(void **state) {
  (void)state;
  enum { DEPTH = 9, COUNT = 1 << DEPTH };
  struct topic_trie *trie = topic_trie_new();
  char text[2 * DEPTH];
  for (unsigned bits = 0; bits < COUNT; bits++) {
    for (size_t i = 0; i < DEPTH; i++) {
      text[2 * i] = bits >> i & 1 ? '+' : 'a';
      text[2 * i + 1] = '/';
    }
    topic_trie_add(trie, slice_of(text, 2 * DEPTH - 1), bits % 64);
  }
  assert_int_equal(topic_trie_filter_count(trie), COUNT);
  assert_int_equal(match_count(trie, "a/a/a/a/a/a/a/a/a"), COUNT);
  assert_int_equal(match_count(trie, "a/a/a/a/b/a/a/a/a"), COUNT / 2);
  topic_trie_free(trie);
}

static void a_topic_with_wildcards_in_it_is_literal_text(void **state) {
  (void)state;
  struct topic_trie *trie = topic_trie_new();
  struct filter_ref exact = add(trie, "a/b", 0);
  struct filter_ref plus = add(trie, "a/+", 1);
  assert_int_equal(workers_of(trie, "a/+", exact), 0);
  assert_int_equal(workers_of(trie, "a/+", plus), 2);
  assert_int_equal(workers_of(trie, "a/#", plus), 2);
  assert_int_equal(workers_of(trie, "+/b", exact), 0);
  topic_trie_free(trie);
}

/* --- against a naive matcher --- */

enum { MODEL_FILTERS = 400, MODEL_STEPS = 6000, MODEL_TEXT = 64 };

/* What the trie should know of one filter text. */
struct model_filter {
  char text[MODEL_TEXT];
  struct filter_ref ref;
  uint64_t workers;
};

static const char *random_level(const char *const *levels, size_t count) {
  return levels[(size_t)rand() % count];
}

/* Few levels, so that filters overlap and nodes are shared; some too long to lie in a node. */
static void random_name(char out[MODEL_TEXT], const char *const *levels, size_t count) {
  AUTO(buf) struct buf text = BUF_INIT;
  int depth = 1 + rand() % 4;
  for (int i = 0; i < depth; i++) {
    const char *level = random_level(levels, count);
    if (i > 0) buf_append_char(&text, '/');
    buf_append_str(&text, level);
    if (level[0] == '#') break;
  }
  buf_append_char(&text, '\0');
  memcpy(out, text.data, text.len);
}

static void random_filter(char out[MODEL_TEXT]) {
  static const char *const levels[] = {"a", "b", "c", "", "temperature-x", "+", "+", "#"};
  do
    random_name(out, levels, ARRAY_LEN(levels));
  while (!filter_is_valid(slice_str(out)));
}

static void random_topic(char out[MODEL_TEXT]) {
  static const char *const levels[] = {"a", "b", "c", "d", "", "temperature-x", "temperature-y"};
  do
    random_name(out, levels, ARRAY_LEN(levels));
  while (!topic_is_valid(slice_str(out)));
}

static struct model_filter *model_find(struct model_filter *model, size_t *count,
                                       const char *text) {
  for (size_t i = 0; i < *count; i++)
    if (strcmp(model[i].text, text) == 0) return &model[i];
  assert_true(*count < MODEL_FILTERS);
  memcpy(model[*count].text, text, strlen(text) + 1);
  return &model[(*count)++];
}

static void model_add(struct topic_trie *trie, struct model_filter *filter, unsigned worker) {
  struct filter_ref ref = add(trie, filter->text, worker);
  if (filter->workers != 0) assert_true(refs_equal(ref, filter->ref));
  filter->ref = ref;
  filter->workers |= UINT64_C(1) << worker;
}

static void model_remove(struct topic_trie *trie, struct model_filter *filter, unsigned worker) {
  topic_trie_remove(trie, filter->ref, worker);
  filter->workers &= ~(UINT64_C(1) << worker);
}

/* Every filter that should match is there once, with its workers, and nothing else is. */
static void model_check(struct topic_trie *trie, const struct model_filter *model, size_t count,
                        struct topic_matches *matches) {
  char topic[MODEL_TEXT];
  size_t expected = 0;
  random_topic(topic);
  topic_trie_match(trie, slice_str(topic), matches);
  for (size_t i = 0; i < count; i++) {
    const struct model_filter *filter = &model[i];
    if (!filter->workers || !filter_matches(slice_str(filter->text), slice_str(topic))) continue;
    size_t found = 0;
    for (size_t k = 0; k < matches->count; k++)
      if (refs_equal(matches->items[k].filter, filter->ref))
        found += matches->items[k].workers == filter->workers;
    if (found != 1) fail_msg("%s for %s found %zu times", filter->text, topic, found);
    expected++;
  }
  assert_int_equal(matches->count, expected);
}

static size_t living(const struct model_filter *model, size_t count) {
  size_t n = 0;
  for (size_t i = 0; i < count; i++)
    n += model[i].workers != 0;
  return n;
}

/* Mostly adds in one half of the walk, mostly removes in the other, so that it fills and empties.
 */
static void random_filters_match_as_a_naive_matcher_says(void **state) {
  (void)state;
  AUTO(topic_matches) struct topic_matches matches = {0};
  struct model_filter *model = x_calloc(MODEL_FILTERS, sizeof(*model));
  size_t count = 0;
  struct topic_trie *trie = topic_trie_new();
  srand(42);
  for (int step = 0; step < MODEL_STEPS; step++) {
    char text[MODEL_TEXT];
    bool is_filling = step / 1000 % 2 == 0;
    random_filter(text);
    if (count == MODEL_FILTERS) memcpy(text, model[rand() % MODEL_FILTERS].text, MODEL_TEXT);
    struct model_filter *filter = model_find(model, &count, text);
    if (rand() % 4 == 0 ? !is_filling : is_filling)
      model_add(trie, filter, (unsigned)rand() % 3);
    else
      model_remove(trie, filter, (unsigned)rand() % 3);
    model_check(trie, model, count, &matches);
    assert_int_equal(topic_trie_filter_count(trie), living(model, count));
  }
  for (size_t i = 0; i < count; i++)
    for (unsigned worker = 0; worker < 3; worker++)
      model_remove(trie, &model[i], worker);
  model_check(trie, model, count, &matches);
  assert_int_equal(topic_trie_filter_count(trie), 0);
  topic_trie_free(trie);
  free(model);
}

/* --- threads --- */

enum { THREAD_ROUNDS = 300, THREAD_FILTERS = 40 };

struct shared {
  struct topic_trie *trie;
  atomic_uint running;
  atomic_uint next_worker;
};

static struct filter_ref add_numbered(struct topic_trie *trie, unsigned n, unsigned worker) {
  AUTO(buf) struct buf text = BUF_INIT;
  switch (n % 4) {
  case 0: buf_printf(&text, "t%u/x", n); break;
  case 1: buf_printf(&text, "t%u/+", n); break;
  case 2: buf_printf(&text, "t%u/#", n); break;
  default: buf_printf(&text, "+/x%u", n); break;
  }
  return topic_trie_add(trie, buf_slice(&text), worker);
}

/* A worker that subscribes to everything and unsubscribes again, over and over. */
static void *come_and_go(void *context) {
  struct shared *shared = context;
  unsigned worker = atomic_fetch_add(&shared->next_worker, 1);
  struct filter_ref refs[THREAD_FILTERS];
  for (int round = 0; round < THREAD_ROUNDS; round++) {
    for (unsigned n = 0; n < THREAD_FILTERS; n++)
      refs[n] = add_numbered(shared->trie, n, worker);
    for (unsigned n = 0; n < THREAD_FILTERS; n++)
      topic_trie_remove(shared->trie, refs[n], worker);
  }
  atomic_fetch_sub(&shared->running, 1);
  return NULL;
}

/* `keep/#` and `keep/x` are there all the time and must be found whatever the workers do. */
static void matching_goes_on_while_workers_come_and_go(void **state) {
  (void)state;
  AUTO(topic_matches) struct topic_matches matches = {0};
  struct shared shared = {topic_trie_new(), 2, 0};
  pthread_t threads[2];
  add(shared.trie, "keep/#", 5);
  add(shared.trie, "keep/x", 6);
  for (size_t i = 0; i < ARRAY_LEN(threads); i++)
    assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &shared), 0);
  while (atomic_load(&shared.running) > 0) {
    topic_trie_match(shared.trie, SLICE("keep/x"), &matches);
    assert_int_equal(matches.count, 2);
    topic_trie_match(shared.trie, SLICE("t2/x3"), &matches);
    assert_true(matches.count <= 2);
    for (size_t i = 0; i < matches.count; i++)
      assert_true(matches.items[i].workers <= 3);
    assert_true(topic_trie_filter_count(shared.trie) >= 2);
  }
  for (size_t i = 0; i < ARRAY_LEN(threads); i++)
    pthread_join(threads[i], NULL);
  assert_int_equal(topic_trie_filter_count(shared.trie), 2);
  topic_trie_free(shared.trie);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_empty_trie_matches_nothing),
      cmocka_unit_test(all_workers_of_a_filter_are_found),
      cmocka_unit_test(the_version_changes_with_what_changed),
      cmocka_unit_test(invalid_filters_are_not_added),
      cmocka_unit_test(a_number_is_used_again_under_another_generation),
      cmocka_unit_test(numbers_stay_dense),
      cmocka_unit_test(long_levels_and_deep_topics_match),
      cmocka_unit_test(a_topic_may_reach_very_many_patterns),
      cmocka_unit_test(a_topic_with_wildcards_in_it_is_literal_text),
      cmocka_unit_test(random_filters_match_as_a_naive_matcher_says),
      cmocka_unit_test(matching_goes_on_while_workers_come_and_go),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
