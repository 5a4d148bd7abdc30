#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/store/redis_keys.h"
#include "eventhub/topic/name.h"
#include "log_fixture.h"

/* ---- buckets ---- */

/* Values of the reference implementation (xxhsum -H32), modulo 64: what is in Redis depends on
 * them. */
static void a_topics_bucket_is_the_same_for_every_version(void **state) {
  (void)state;
  assert_int_equal(redis_bucket_of(SLICE("")), 0x02cc5d05 % 64);
  assert_int_equal(redis_bucket_of(SLICE("a")), 0x550d7456 % 64);
  assert_int_equal(redis_bucket_of(SLICE("abc")), 0x32d153ff % 64);
  assert_int_equal(redis_bucket_of(SLICE("a/b")), 49);
  assert_int_equal(redis_bucket_of(SLICE("Nobody inspects the spammish repetition")),
                   0xe2293b2f % 64);
}

static void topics_fall_into_all_buckets(void **state) {
  (void)state;
  unsigned counts[REDIS_BUCKETS] = {0};
  for (unsigned i = 0; i < 64000; i++) {
    AUTO(buf) struct buf name = BUF_INIT;
    buf_printf(&name, "sensors/%u/state", i);
    counts[redis_bucket_of(buf_slice(&name))]++;
  }
  for (unsigned bucket = 0; bucket < REDIS_BUCKETS; bucket++)
    assert_in_range(counts[bucket], 800, 1200);
}

/* ---- names ---- */

static bool appends(const char *prefix, unsigned bucket, enum redis_key key, const char *name,
                    const char *expected) {
  AUTO(buf) struct buf text = BUF_INIT;
  redis_key_append(&text, slice_str(prefix), bucket, key, slice_str(name));
  return slice_equal(buf_slice(&text), slice_str(expected)) &&
         redis_key_len(slice_str(prefix), key, slice_str(name)) == strlen(expected);
}

static void each_key_has_its_name(void **state) {
  (void)state;
  assert_true(appends("eventhub", 7, REDIS_KEY_TOPICS, "", "{eventhub:07}:topics"));
  assert_true(appends("eventhub", 63, REDIS_KEY_INDEX, "", "{eventhub:63}:index"));
  assert_true(appends("eventhub", 0, REDIS_KEY_STREAM, "a/b", "{eventhub:00}:stream:a/b"));
  assert_true(appends("p", 10, REDIS_KEY_ONCE, "00ff", "{p:10}:once:00ff"));
  assert_true(appends("p", 10, REDIS_KEY_RATE, "1:a:me", "{p:10}:rate:1:a:me"));
  assert_true(appends("a.b:c", 9, REDIS_KEY_KV, "k", "{a.b:c:09}:kv:k"));
  assert_true(appends("p", 1, REDIS_KEY_LIVE, "a//b", "{p:01}:live:a//b"));
  assert_true(appends("p", 1, REDIS_KEY_NODE, "00ff", "{p:01}:node:00ff"));
}

static bool parses(const char *prefix, struct slice text) {
  unsigned bucket = 77;
  enum redis_key key = REDIS_KEY_TOPICS;
  struct slice name = {NULL, 0};
  return redis_channel_parse(slice_str(prefix), text, &bucket, &key, &name);
}

static void check_round_trip(struct slice prefix, unsigned bucket, enum redis_key key,
                             struct slice name) {
  AUTO(buf) struct buf text = BUF_INIT;
  redis_key_append(&text, prefix, bucket, key, name);
  assert_int_equal(text.len, redis_key_len(prefix, key, name));
  unsigned got_bucket = 77;
  enum redis_key got_key = REDIS_KEY_TOPICS;
  struct slice got_name = {NULL, 0};
  assert_true(redis_channel_parse(prefix, buf_slice(&text), &got_bucket, &got_key, &got_name));
  assert_int_equal(got_bucket, bucket);
  assert_int_equal(got_key, key);
  assert_true(slice_equal(got_name, name));
  assert_ptr_equal(got_name.ptr + got_name.len, text.data + text.len);
}

static void channels_are_taken_apart_as_they_were_put_together(void **state) {
  (void)state;
  static const char *const prefixes[] = {"eventhub", "a", "a:b", "07", "x.y_z-0", ":"};
  static const char *const names[] = {"a", "a/b", "a//b-c_D", "live:x", "}:live:x", ""};
  for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
    for (unsigned bucket = 0; bucket < REDIS_BUCKETS; bucket++) {
      struct slice name = slice_str(names[bucket % ARRAY_LEN(names)]);
      check_round_trip(slice_str(prefixes[i]), bucket, REDIS_KEY_LIVE, name);
      check_round_trip(slice_str(prefixes[i]), bucket, REDIS_KEY_NODE, name);
    }
  }
}

static void channels_of_others_are_refused(void **state) {
  (void)state;
  static const char *const strangers[] = {
      "",
      "a",
      "live:a",
      "{p}:live:a",
      "{p:}:live:a",
      "{p:0}:live:a",
      "{p:001}:live:a",
      "{p:64}:live:a",
      "{p:99}:live:a",
      "{p:-1}:live:a",
      "{p:0x}:live:a",
      "{p:0:}:live:a",
      "{p:0/}:live:a",
      "{p::0}:live:a",
      "{p:/9}:live:a",
      "{p: 1}:live:a",
      "{p:??}:live:a",
      "{q:01}:live:a",
      "{pp:01}:live:a",
      "{:01}:live:a",
      "p:01}:live:a",
      "{p:01:live:a",
      "{p:01}live:a",
      "{p:01}::live:a",
      "{p:01}:stream:a",
      "{p:01}:topics",
      "{p:01}:index",
      "{p:01}:kv:a",
      "{p:01}:LIVE:a",
      "{p:01}:lives:a",
      "{p:01}:node",
      "{p:01}:live",
      " {p:01}:live:a",
  };
  for (size_t i = 0; i < ARRAY_LEN(strangers); i++)
    assert_false(parses("p", slice_str(strangers[i])));
  assert_true(parses("p", SLICE("{p:01}:live:a")));
}

static void a_channel_that_is_cut_is_refused(void **state) {
  (void)state;
  static const struct slice whole = SLICE_INIT("{p:01}:live:");
  for (size_t len = 0; len < whole.len; len++)
    assert_false(parses("p", slice_of(whole.ptr, len)));
  assert_true(parses("p", whole));
}

/* ---- globs ---- */

/* What `*` and `?` mean to Redis, `util.c` stringmatchlen; other characters that are special there
 * must not come up. */
static bool glob_matches(struct slice glob, struct slice text) {
  if (glob.len == 0) return text.len == 0;
  char c = glob.ptr[0];
  assert_true(c != '[' && c != '\\');
  struct slice rest = slice_skip(glob, 1);
  if (c == '*') {
    for (size_t i = 0; i <= text.len; i++) {
      if (glob_matches(rest, slice_skip(text, i))) return true;
    }
    return false;
  }
  return text.len > 0 && (c == '?' || c == text.ptr[0]) && glob_matches(rest, slice_skip(text, 1));
}

static bool glob_has(struct slice pattern, struct slice topic) {
  AUTO(buf) struct buf glob = BUF_INIT;
  AUTO(buf) struct buf channel = BUF_INIT;
  redis_glob_append(&glob, SLICE("a:b"), pattern);
  redis_key_append(&channel, SLICE("a:b"), redis_bucket_of(topic), REDIS_KEY_LIVE, topic);
  return glob_matches(buf_slice(&glob), buf_slice(&channel));
}

/* Do messages of the topic come to one who asks Redis for the pattern? */
static bool is_heard(struct slice pattern, struct slice topic) {
  struct slice parent;
  if (glob_has(pattern, topic)) return true;
  if (!redis_glob_parent(pattern, &parent)) return false;
  return filter_is_pattern(parent) ? glob_has(parent, topic) : slice_equal(parent, topic);
}

static uint64_t pick(uint64_t *random, uint64_t below) {
  return (fixture_random(random) >> 11) % below;
}

/* Few letters and levels, so that many match. */
static void make_name(uint64_t *random, const char *const *levels, size_t level_count,
                      struct buf *ret) {
  buf_clear(ret);
  for (uint64_t left = 1 + pick(random, 4); left > 0; left--) {
    buf_append_str(ret, levels[pick(random, level_count)]);
    if (left > 1) buf_append_char(ret, '/');
  }
}

static void make_topic(uint64_t *random, struct buf *ret) {
  static const char *const levels[] = {"a", "b", "ab", "-", "", "a"};
  do {
    make_name(random, levels, ARRAY_LEN(levels), ret);
  } while (!topic_is_valid(buf_slice(ret)));
}

static void make_pattern(uint64_t *random, struct buf *ret) {
  static const char *const levels[] = {"a", "b", "", "+", "+", "+"};
  do {
    bool is_all = pick(random, 50) == 0;
    make_name(random, levels, ARRAY_LEN(levels), ret);
    if (is_all) buf_clear(ret);
    if (is_all || pick(random, 2) == 0) buf_append_str(ret, is_all ? "#" : "/#");
  } while (!filter_is_valid(buf_slice(ret)) || !filter_is_pattern(buf_slice(ret)));
}

static void what_a_pattern_matches_is_heard(void **state) {
  (void)state;
  AUTO(buf) struct buf pattern = BUF_INIT;
  AUTO(buf) struct buf topic = BUF_INIT;
  uint64_t random = 11;
  unsigned matched = 0;
  for (unsigned i = 0; i < 200000; i++) {
    make_pattern(&random, &pattern);
    make_topic(&random, &topic);
    if (!filter_matches(buf_slice(&pattern), buf_slice(&topic))) continue;
    matched++;
    if (!is_heard(buf_slice(&pattern), buf_slice(&topic)))
      fail_msg("%.*s is not heard by %.*s", SLICE_PRINTF(buf_slice(&topic)),
               SLICE_PRINTF(buf_slice(&pattern)));
  }
  assert_true(matched > 20000);
}

/* The parent is heard for the sake of what the pattern matches, and of nothing else. */
static void a_parent_matches_nothing_that_its_pattern_does_not(void **state) {
  (void)state;
  AUTO(buf) struct buf pattern = BUF_INIT;
  uint64_t random = 12;
  unsigned parents = 0;
  for (unsigned i = 0; i < 20000; i++) {
    struct slice parent;
    make_pattern(&random, &pattern);
    if (!redis_glob_parent(buf_slice(&pattern), &parent)) continue;
    if (!filter_is_valid(parent)) continue; /* `a/`, which no topic is, of `a//#` */
    parents++;
    assert_true(filter_contains(buf_slice(&pattern), parent));
  }
  assert_true(parents > 3000);
}

static bool has_glob(const char *pattern, const char *expected) {
  AUTO(buf) struct buf glob = BUF_INIT;
  redis_glob_append(&glob, SLICE("p"), slice_str(pattern));
  return slice_equal(buf_slice(&glob), slice_str(expected));
}

static void globs_are_as_tight_as_can_be(void **state) {
  (void)state;
  assert_true(has_glob("#", "{p:\?\?}:live:*"));
  assert_true(has_glob("+", "{p:\?\?}:live:*"));
  assert_true(has_glob("a/+/c", "{p:\?\?}:live:a/*/c"));
  assert_true(has_glob("a/#", "{p:\?\?}:live:a/*"));
  assert_true(has_glob("+/a/#", "{p:\?\?}:live:*/a/*"));
  assert_true(has_glob("a/+/#", "{p:\?\?}:live:a/*"));
  assert_true(has_glob("+/#", "{p:\?\?}:live:*"));
  assert_true(has_glob("a/+/+/#", "{p:\?\?}:live:a/*/*"));
  assert_true(has_glob("a-b_c//+", "{p:\?\?}:live:a-b_c//*"));
  assert_false(glob_has(SLICE("a/+"), SLICE("a")));
  assert_false(glob_has(SLICE("a/#"), SLICE("ab/c")));
  assert_false(glob_has(SLICE("a/+/c"), SLICE("a/c")));
  assert_false(glob_has(SLICE("+/+"), SLICE("a")));
}

static void a_pattern_is_not_heard_on_other_channels(void **state) {
  (void)state;
  AUTO(buf) struct buf glob = BUF_INIT;
  redis_glob_append(&glob, SLICE("p"), SLICE("#"));
  assert_true(glob_matches(buf_slice(&glob), SLICE("{p:07}:live:a")));
  assert_false(glob_matches(buf_slice(&glob), SLICE("{p:07}:node:a")));
  assert_false(glob_matches(buf_slice(&glob), SLICE("{pp:07}:live:a")));
  assert_false(glob_matches(buf_slice(&glob), SLICE("{p:p:07}:live:a")));
  assert_false(glob_matches(buf_slice(&glob), SLICE("{x:07}:live:a")));
}

static bool has_parent(const char *pattern, const char *expected) {
  struct slice parent = {NULL, 0};
  bool has = redis_glob_parent(slice_str(pattern), &parent);
  return expected != NULL ? has && slice_equal(parent, slice_str(expected)) : !has;
}

static void only_what_ends_in_a_rest_has_a_parent(void **state) {
  (void)state;
  assert_true(has_parent("a/#", "a"));
  assert_true(has_parent("+/a/#", "+/a"));
  assert_true(has_parent("a/+/b/#", "a/+/b"));
  assert_true(has_parent("#", NULL));
  assert_true(has_parent("a/+", NULL));
  assert_true(has_parent("a/+/#", NULL));
  assert_true(has_parent("+/#", NULL));
  assert_true(has_parent("+/+/#", NULL));
  assert_true(has_parent("+/a", NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_topics_bucket_is_the_same_for_every_version),
      cmocka_unit_test(topics_fall_into_all_buckets),
      cmocka_unit_test(each_key_has_its_name),
      cmocka_unit_test(channels_are_taken_apart_as_they_were_put_together),
      cmocka_unit_test(channels_of_others_are_refused),
      cmocka_unit_test(a_channel_that_is_cut_is_refused),
      cmocka_unit_test(what_a_pattern_matches_is_heard),
      cmocka_unit_test(a_parent_matches_nothing_that_its_pattern_does_not),
      cmocka_unit_test(globs_are_as_tight_as_can_be),
      cmocka_unit_test(a_pattern_is_not_heard_on_other_channels),
      cmocka_unit_test(only_what_ends_in_a_rest_has_a_parent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
