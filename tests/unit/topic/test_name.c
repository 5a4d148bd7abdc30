#include "eventhub/topic/name.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "eventhub/base/cleanup.h"

static void topics_are_levels_of_letters_digits_minus_and_underscore(void **state) {
  (void)state;
  static const char *const good[] = {"a", "a/b", "a//b", "A-Z_0/9", "-", "_", "a///b"};
  static const char *const bad[] = {"",    "/",   "/a",  "a/",  "a/+", "+",  "#",    "a/#", "a b",
                                    "a.b", "a/ä", "a$b", "a\n", "\"",  "//", "a\\b", "a//"};
  for (size_t i = 0; i < ARRAY_LEN(good); i++)
    assert_true(topic_is_valid(slice_str(good[i])));
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    assert_false(topic_is_valid(slice_str(bad[i])));
  assert_false(topic_is_valid(slice_of("a\0b", 3)));
  assert_false(topic_is_valid(slice_of(NULL, 0)));
}

static void filters_may_have_plus_levels_and_a_rest_at_the_end(void **state) {
  (void)state;
  static const char *const good[] = {"a",   "a//b", "+",   "#",    "a/+",    "+/a",
                                     "a/#", "+/#",  "+/+", "a//+", "a/+//b", "a//#"};
  static const char *const bad[] = {"",   "/",  "a/",   "/+", "+/",   "#/", "#/a",  "a/#/b", "a+",
                                    "+a", "a#", "a/b#", "##", "a/++", "/#", "a/+b", "a b"};
  for (size_t i = 0; i < ARRAY_LEN(good); i++)
    assert_true(filter_is_valid(slice_str(good[i])));
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    assert_false(filter_is_valid(slice_str(bad[i])));
  assert_false(filter_is_valid(slice_of(NULL, 0)));
}

static void names_of_more_than_1024_bytes_are_refused(void **state) {
  (void)state;
  char text[TOPIC_MAX + 1];
  memset(text, 'a', sizeof(text));
  assert_true(topic_is_valid(slice_of(text, TOPIC_MAX)));
  assert_true(filter_is_valid(slice_of(text, TOPIC_MAX)));
  assert_false(topic_is_valid(slice_of(text, TOPIC_MAX + 1)));
  assert_false(filter_is_valid(slice_of(text, TOPIC_MAX + 1)));
}

static void patterns_are_told_from_topics(void **state) {
  (void)state;
  assert_false(filter_is_pattern(SLICE("a/b")));
  assert_true(filter_is_pattern(SLICE("a/+")));
  assert_true(filter_is_pattern(SLICE("#")));
  assert_true(filter_is_pattern(SLICE("+/b/c")));
}

struct match_case {
  const char *filter;
  const char *topic;
  bool matches;
};

static void filters_match_as_the_protocol_says(void **state) {
  (void)state;
  static const struct match_case cases[] = {
      {"a", "a", true},           {"a", "b", false},       {"a", "a/b", false},
      {"a/b", "a", false},        {"a/#", "a", true},      {"a/#", "a/b", true},
      {"a/#", "a/b/c", true},     {"a/#", "ab", false},    {"a/#", "b/a", false},
      {"#", "a", true},           {"#", "a/b/c", true},    {"+", "a", true},
      {"+", "a/b", false},        {"+/b", "a/b", true},    {"+/b", "b", false},
      {"a/+/c", "a/b/c", true},   {"a/+/c", "a//c", true}, {"a/+/c", "a/c", false},
      {"a/+/#", "a", false},      {"a/+/#", "a/b", true},  {"a/+/#", "a/b/c/d", true},
      {"+/#", "a", true},         {"+/#", "a/b", true},    {"a//b", "a//b", true},
      {"a//b", "a/b", false},     {"a//#", "a/", true},    {"a/+", "a/", true},
      {"+", "+", true},           {"a", "+", false},       {"+/x", "#/x", true},
      {"key/#", "key/a b", true}, {"+", "", true},         {"#", "", true},
      {"a", "", false},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    bool matches = filter_matches(slice_str(cases[i].filter), slice_str(cases[i].topic));
    if (matches != cases[i].matches) fail_msg("%s against %s", cases[i].filter, cases[i].topic);
  }
}

/* Containment against brute force: every filter of up to FILTER_DEPTH levels of a small alphabet
 * against every other, by trying all topics of up to TOPIC_DEPTH levels. `a` and `b` may be named
 * by the filters, `z` by none: it stands for all other levels. Topics go a level deeper than
 * filters, which stands for all that are deeper still. */
enum { FILTER_DEPTH = 3, TOPIC_DEPTH = 4, NAMES_MAX = 256, NAME_MAX_LEN = 16 };

struct names {
  char text[NAMES_MAX][NAME_MAX_LEN];
  size_t count;
};

static void names_add(struct names *names, struct slice parent, char level) {
  char *text = names->text[names->count];
  assert_true(names->count < NAMES_MAX && parent.len + 2 < NAME_MAX_LEN);
  memcpy(text, parent.ptr, parent.len);
  size_t len = parent.len;
  if (len > 0) text[len++] = '/';
  text[len++] = level;
  text[len] = '\0';
  names->count++;
}

static size_t depth_of(const char *name) {
  size_t depth = 1;
  for (; *name; name++)
    depth += *name == '/';
  return depth;
}

/* Everything of up to `depth` levels out of the alphabet; nothing below a '#'. */
static struct names names_of(const char *alphabet, size_t depth) {
  struct names names = {.count = 0};
  for (const char *c = alphabet; *c; c++)
    names_add(&names, SLICE(""), *c);
  for (size_t i = 0; i < names.count; i++) {
    struct slice parent = slice_str(names.text[i]);
    if (depth_of(parent.ptr) == depth || parent.ptr[parent.len - 1] == '#') continue;
    for (const char *c = alphabet; *c; c++)
      names_add(&names, parent, *c);
  }
  return names;
}

static bool contains_by_trying(struct slice outer, struct slice inner, const struct names *topics) {
  for (size_t i = 0; i < topics->count; i++) {
    struct slice topic = slice_str(topics->text[i]);
    if (filter_matches(inner, topic) && !filter_matches(outer, topic)) return false;
  }
  return true;
}

static void containment_agrees_with_brute_force(void **state) {
  (void)state;
  struct names filters = names_of("ab+#", FILTER_DEPTH);
  struct names topics = names_of("abz", TOPIC_DEPTH);
  size_t contained = 0;
  for (size_t i = 0; i < filters.count; i++) {
    for (size_t k = 0; k < filters.count; k++) {
      struct slice outer = slice_str(filters.text[i]);
      struct slice inner = slice_str(filters.text[k]);
      bool expected = contains_by_trying(outer, inner, &topics);
      if (filter_contains(outer, inner) != expected) fail_msg("%s in %s", inner.ptr, outer.ptr);
      contained += expected;
    }
  }
  assert_true(contained > filters.count);
}

static void containment_of_the_protocols_examples(void **state) {
  (void)state;
  assert_false(filter_contains(SLICE("a/+"), SLICE("a/#")));
  assert_false(filter_contains(SLICE("a/x"), SLICE("a/+")));
  assert_true(filter_contains(SLICE("a/+"), SLICE("a/x")));
  assert_true(filter_contains(SLICE("a/#"), SLICE("a")));
  assert_true(filter_contains(SLICE("+/#"), SLICE("#")));
  assert_false(filter_contains(SLICE("a/+/#"), SLICE("a")));
  assert_true(filter_contains(SLICE("a//+"), SLICE("a//b")));
  assert_false(filter_contains(SLICE("a/b"), SLICE("a//b")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(topics_are_levels_of_letters_digits_minus_and_underscore),
      cmocka_unit_test(filters_may_have_plus_levels_and_a_rest_at_the_end),
      cmocka_unit_test(names_of_more_than_1024_bytes_are_refused),
      cmocka_unit_test(patterns_are_told_from_topics),
      cmocka_unit_test(filters_match_as_the_protocol_says),
      cmocka_unit_test(containment_agrees_with_brute_force),
      cmocka_unit_test(containment_of_the_protocols_examples),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
