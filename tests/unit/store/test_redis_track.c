#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/store/redis_track.h"
#include "log_fixture.h"

static void advance(struct redis_track *track, const char *topic, uint64_t position) {
  struct redis_place place = {{position / 1000, position % 1000}, position};
  redis_track_advance(track, slice_str(topic), place);
}

/* 0 = nothing is known of it. */
static uint64_t position_of(const struct redis_track *track, const char *topic) {
  struct redis_place place = {{9, 9}, 9};
  bool is_known = redis_track_find(track, slice_str(topic), &place);
  assert_int_equal(place.id.ms, place.position / 1000);
  assert_int_equal(place.id.seq, place.position % 1000);
  assert_true(is_known || place.position == 0);
  return place.position;
}

static void of_an_unknown_topic_nothing_is_known(void **state) {
  (void)state;
  struct redis_track track;
  redis_track_init(&track, 10);
  assert_int_equal(position_of(&track, "a"), 0);
  advance(&track, "a", 5001);
  assert_int_equal(position_of(&track, "a"), 5001);
  assert_int_equal(position_of(&track, "b"), 0);
  assert_int_equal(position_of(&track, "a/b"), 0);
  assert_int_equal(position_of(&track, ""), 0);
  redis_track_done(&track);
}

static void a_place_known_for_nothing_differs_from_none(void **state) {
  (void)state;
  struct redis_track track;
  struct redis_place place;
  redis_track_init(&track, 10);
  assert_false(redis_track_find(&track, SLICE("a"), &place));
  advance(&track, "a", 0);
  assert_true(redis_track_find(&track, SLICE("a"), &place));
  redis_track_done(&track);
}

static void a_topic_has_the_place_of_its_last_message(void **state) {
  (void)state;
  struct redis_track track;
  redis_track_init(&track, 10);
  advance(&track, "a", 5001);
  advance(&track, "b", 5002);
  advance(&track, "a", 5003);
  assert_int_equal(position_of(&track, "a"), 5003);
  assert_int_equal(position_of(&track, "b"), 5002);
  redis_track_done(&track);
}

static void a_bucket_has_seen_the_highest_mark(void **state) {
  (void)state;
  struct redis_track track;
  redis_track_init(&track, 10);
  for (unsigned bucket = 0; bucket < REDIS_BUCKETS; bucket++)
    assert_int_equal(track.seen[bucket], 0);
  redis_track_mark(&track, 3, 700);
  assert_int_equal(track.seen[3], 700);
  redis_track_mark(&track, 3, 600);
  assert_int_equal(track.seen[3], 700);
  redis_track_mark(&track, 3, 701);
  assert_int_equal(track.seen[3], 701);
  assert_int_equal(track.seen[2], 0);
  assert_int_equal(track.seen[4], 0);
  redis_track_mark(&track, 63, UINT64_MAX);
  assert_int_equal(track.seen[63], UINT64_MAX);
  redis_track_done(&track);
}

static void a_message_says_nothing_of_its_bucket(void **state) {
  (void)state;
  struct redis_track track;
  redis_track_init(&track, 10);
  advance(&track, "a", 500);
  for (unsigned bucket = 0; bucket < REDIS_BUCKETS; bucket++)
    assert_int_equal(track.seen[bucket], 0);
  redis_track_done(&track);
}

static void a_mark_leaves_topics_as_they_are(void **state) {
  (void)state;
  struct redis_track track;
  redis_track_init(&track, 10);
  advance(&track, "a", 500);
  redis_track_mark(&track, 3, 700);
  assert_int_equal(position_of(&track, "a"), 500);
  redis_track_done(&track);
}

static void the_topic_idle_for_longest_goes_first(void **state) {
  (void)state;
  struct redis_track track;
  redis_track_init(&track, 3);
  advance(&track, "a", 1);
  advance(&track, "b", 2);
  advance(&track, "c", 3);
  advance(&track, "a", 4);
  advance(&track, "d", 5);
  assert_int_equal(position_of(&track, "b"), 0);
  assert_int_equal(position_of(&track, "a"), 4);
  advance(&track, "e", 6);
  assert_int_equal(position_of(&track, "c"), 0);
  assert_int_equal(position_of(&track, "a"), 4);
  advance(&track, "f", 7);
  assert_int_equal(position_of(&track, "a"), 0);
  assert_int_equal(track.topics.count, 3);
  redis_track_done(&track);
}

/* Looking is not a message. */
static void a_look_keeps_nothing_young(void **state) {
  (void)state;
  struct redis_track track;
  redis_track_init(&track, 2);
  advance(&track, "a", 1);
  advance(&track, "b", 2);
  assert_int_equal(position_of(&track, "a"), 1);
  advance(&track, "c", 3);
  assert_int_equal(position_of(&track, "a"), 0);
  assert_int_equal(position_of(&track, "b"), 2);
  redis_track_done(&track);
}

static void a_limit_of_one_keeps_the_last_topic(void **state) {
  (void)state;
  struct redis_track track;
  redis_track_init(&track, 1);
  advance(&track, "a", 1);
  advance(&track, "a", 2);
  advance(&track, "b", 3);
  assert_int_equal(position_of(&track, "a"), 0);
  assert_int_equal(position_of(&track, "b"), 3);
  redis_track_done(&track);
}

/* ---- against a model ---- */

enum { TOPICS = 40, LIMIT = 16, STEPS = 20000 };

/* A topic is remembered when fewer than LIMIT others had a message since. */
static bool is_remembered(const uint64_t positions[TOPICS], size_t topic) {
  size_t younger = 0;
  for (size_t i = 0; i < TOPICS; i++)
    younger += positions[i] > positions[topic];
  return positions[topic] > 0 && younger < LIMIT;
}

static void any_run_remembers_the_youngest(void **state) {
  (void)state;
  static char names[TOPICS][8];
  uint64_t positions[TOPICS] = {0}, random = 7;
  struct redis_track track;
  redis_track_init(&track, LIMIT);
  for (size_t i = 0; i < TOPICS; i++)
    snprintf(names[i], sizeof names[i], "t/%zu", i);
  for (uint64_t position = 1; position <= STEPS; position++) {
    uint64_t number = fixture_random(&random) >> 11;
    size_t topic = number % (position % 100 < 50 ? TOPICS : 5);
    advance(&track, names[topic], position);
    positions[topic] = position;
    topic = (number >> 20) % TOPICS;
    uint64_t expected = is_remembered(positions, topic) ? positions[topic] : 0;
    assert_int_equal(position_of(&track, names[topic]), expected);
    assert_true(track.topics.count <= LIMIT);
  }
  redis_track_done(&track);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(of_an_unknown_topic_nothing_is_known),
      cmocka_unit_test(a_place_known_for_nothing_differs_from_none),
      cmocka_unit_test(a_topic_has_the_place_of_its_last_message),
      cmocka_unit_test(a_bucket_has_seen_the_highest_mark),
      cmocka_unit_test(a_message_says_nothing_of_its_bucket),
      cmocka_unit_test(a_mark_leaves_topics_as_they_are),
      cmocka_unit_test(the_topic_idle_for_longest_goes_first),
      cmocka_unit_test(a_look_keeps_nothing_young),
      cmocka_unit_test(a_limit_of_one_keeps_the_last_topic),
      cmocka_unit_test(any_run_remembers_the_youngest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
