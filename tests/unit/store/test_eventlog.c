#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "log_fixture.h"

static uint64_t messages(const struct fixture *fixture) {
  return store_metric_get(&fixture->metrics.log_messages);
}

static void ids_increase_over_all_topics(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture, 0, 100);
  assert_id(fixture_publish(&fixture, "a", "1"), FIXTURE_BIRTH_MS, 0);
  assert_id(fixture_publish(&fixture, "b", "2"), FIXTURE_BIRTH_MS, 1);
  fixture.now_ms -= 5000;
  assert_id(fixture_publish(&fixture, "a", "3"), FIXTURE_BIRTH_MS, 2);
  fixture.now_ms += 5001;
  assert_id(fixture_publish(&fixture, "c", "4"), FIXTURE_BIRTH_MS + 1, 0);
  fixture_done(&fixture);
}

static void a_wished_time_counts_while_the_topic_is_before_it(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture, 0, 100);
  assert_id(fixture_publish_at(&fixture, "a", 70), 70, 0);
  assert_id(fixture_publish_at(&fixture, "a", 70), 70, 1);
  assert_id(fixture_publish_at(&fixture, "b", 70), 70, 0);
  assert_id(fixture_publish_at(&fixture, "a", 69), FIXTURE_BIRTH_MS, 0);
  assert_id(fixture_publish_at(&fixture, "a", FIXTURE_BIRTH_MS + 500), FIXTURE_BIRTH_MS + 500, 0);
  assert_id(fixture_publish(&fixture, "a", "1"), FIXTURE_BIRTH_MS + 500, 1);
  assert_id(fixture_publish(&fixture, "b", "1"), FIXTURE_BIRTH_MS, 1);
  fixture_done(&fixture);
}

static void the_newest_max_length_messages_stay(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture, 3, 100);
  for (int i = 0; i < 10; i++)
    fixture_publish(&fixture, "a",
                    (const char *[]){"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}[i]);
  fixture_publish(&fixture, "b", "42");
  fixture_read_since(&fixture, "a", 0);
  assert_answer(&fixture, "7 8 9", false);
  assert_int_equal(messages(&fixture), 4);
  assert_int_equal(store_metric_get(&fixture.metrics.log_trimmed), 7);
  fixture_done(&fixture);
}

static void messages_leave_when_their_time_is_over(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture, 0, 100);
  for (int i = 0; i < 5; i++) {
    fixture_publish_ttl(&fixture, "a", "1", 10000);
    fixture.now_ms += 1000;
  }
  fixture.now_ms = FIXTURE_BIRTH_MS + 12000;
  assert_false(eventlog_expire(&fixture.log, fixture.now_ms, 1000));
  assert_int_equal(messages(&fixture), 2);
  fixture.now_ms = FIXTURE_BIRTH_MS + 15000;
  assert_false(eventlog_expire(&fixture.log, fixture.now_ms, 1000));
  assert_int_equal(messages(&fixture), 0);
  assert_int_equal(store_metric_get(&fixture.metrics.log_bytes), 0);
  assert_int_equal(store_metric_get(&fixture.metrics.log_expired), 5);
  assert_false(eventlog_has_expiries(&fixture.log));
  fixture_done(&fixture);
}

static void mixed_times_to_live_expire_in_the_middle(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture, 0, 100);
  fixture_publish_ttl(&fixture, "a", "1", 90000);
  fixture_publish_ttl(&fixture, "a", "2", 1000);
  fixture_publish_ttl(&fixture, "a", "3", 50000);
  fixture_publish(&fixture, "a", "4");
  fixture_publish_ttl(&fixture, "a", "5", 2000);
  fixture.now_ms += 3000;
  assert_false(eventlog_expire(&fixture.log, fixture.now_ms, 1000));
  assert_int_equal(messages(&fixture), 3);
  fixture_read_since(&fixture, "a", 0);
  assert_answer(&fixture, "1 3 4", false);
  fixture.now_ms += 50000;
  assert_false(eventlog_expire(&fixture.log, fixture.now_ms, 1000));
  fixture_read_since(&fixture, "a", 0);
  assert_answer(&fixture, "1 4", false);
  fixture.now_ms += 500000;
  assert_false(eventlog_expire(&fixture.log, fixture.now_ms, 1000));
  assert_int_equal(messages(&fixture), 1);
  assert_false(eventlog_has_expiries(&fixture.log));
  fixture_done(&fixture);
}

static void expiring_works_in_small_steps(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture, 0, 100);
  for (int i = 0; i < 100; i++) {
    fixture_publish_ttl(&fixture, "ordered", "1", 1000);
    fixture_publish_ttl(&fixture, "mixed", "1", i % 2 == 0 ? 1000 : 900);
  }
  fixture.now_ms += 2000;
  int steps = 1;
  while (eventlog_expire(&fixture.log, fixture.now_ms, 30)) {
    assert_true(messages(&fixture) >= 200 - 30 * (uint64_t)steps);
    steps++;
  }
  assert_true(steps >= 200 / 30);
  assert_int_equal(messages(&fixture), 0);
  fixture_done(&fixture);
}

static void messages_that_come_during_a_long_scan_are_seen_by_it(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture, 0, 100);
  for (int i = 0; i < 100; i++)
    fixture_publish_ttl(&fixture, "a", "1", i % 3 == 0 ? 5000 : 90000);
  fixture.now_ms += 6000;
  assert_true(eventlog_expire(&fixture.log, fixture.now_ms, 40));
  fixture_publish_ttl(&fixture, "a", "2", 1);
  fixture_publish_ttl(&fixture, "a", "3", 3000);
  fixture.now_ms += 4000;
  while (eventlog_expire(&fixture.log, fixture.now_ms, 40)) {}
  assert_int_equal(messages(&fixture), 66);
  fixture_done(&fixture);
}

static void a_topic_that_lost_all_remembers_its_ids(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture, 0, 100);
  fixture_publish_full(&fixture, SLICE("a"), SLICE("1"), 1000, FIXTURE_BIRTH_MS + 100000);
  fixture.now_ms += 5000;
  eventlog_expire(&fixture.log, fixture.now_ms, 1000);
  assert_int_equal(store_metric_get(&fixture.metrics.log_topics), 0);
  assert_int_equal(store_metric_get(&fixture.metrics.log_remembered), 1);
  assert_id(fixture_publish(&fixture, "a", "2"), FIXTURE_BIRTH_MS + 100000, 1);
  assert_int_equal(store_metric_get(&fixture.metrics.log_topics), 1);
  assert_int_equal(store_metric_get(&fixture.metrics.log_remembered), 0);
  fixture_read_since(&fixture, "a", 0);
  assert_answer(&fixture, "2", false);
  fixture_done(&fixture);
}

/* Publishes to that many topics and lets them lose it. */
static void pass_by(struct fixture *fixture, const char *prefix, int topics, uint64_t wished_ms) {
  for (int i = 0; i < topics; i++) {
    char name[32];
    int len = snprintf(name, sizeof name, "%s/%d", prefix, i);
    fixture_publish_full(fixture, slice_of(name, (size_t)len), SLICE("0"), 1000, wished_ms);
  }
  fixture->now_ms += 3000;
  while (eventlog_expire(&fixture->log, fixture->now_ms, 1000)) {}
}

static void only_so_many_topics_are_remembered(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture, 0, 8);
  pass_by(&fixture, "x", 1000, 0);
  assert_int_equal(store_metric_get(&fixture.metrics.log_remembered), 8);
  pass_by(&fixture, "future", 1000, FIXTURE_BIRTH_MS + 1000000);
  assert_int_equal(store_metric_get(&fixture.metrics.log_remembered), 16);
  assert_int_equal(fixture.log.topics.count, 16);
  fixture_done(&fixture);
}

static void ids_of_a_forgotten_topic_still_increase(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture, 0, 8);
  struct message_id first = fixture_publish_full(&fixture, SLICE("a"), SLICE("1"), 1000, 0);
  pass_by(&fixture, "x", 10, 0);
  assert_null(eventlog_find(&fixture.log, SLICE("a")));
  fixture.now_ms = FIXTURE_BIRTH_MS - 100;
  assert_true(message_id_compare(fixture_publish_at(&fixture, "a", 5), first) > 0);
  fixture_done(&fixture);
}

static void topics_ahead_of_the_clock_are_forgotten_among_themselves(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture, 0, 8);
  uint64_t future_ms = FIXTURE_BIRTH_MS + 1000000;
  fixture_publish_full(&fixture, SLICE("ahead"), SLICE("1"), 1000, future_ms);
  pass_by(&fixture, "x", 100, 0);
  assert_non_null(eventlog_find(&fixture.log, SLICE("ahead")));
  assert_id(fixture_publish(&fixture, "new", "1"), fixture.now_ms, 0);
  pass_by(&fixture, "y", 100, future_ms + 7);
  assert_null(eventlog_find(&fixture.log, SLICE("ahead")));
  assert_id(fixture_publish(&fixture, "ahead", "1"), future_ms + 7, 1);
  fixture_done(&fixture);
}

static void a_held_topic_is_not_forgotten(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture, 0, 2);
  struct log_topic *held = eventlog_hold(&fixture.log, SLICE("a"));
  struct message_id id = eventlog_next_id(&fixture.log, held, 0, fixture.now_ms);
  pass_by(&fixture, "x", 100, 0);
  assert_ptr_equal(eventlog_find(&fixture.log, SLICE("a")), held);
  eventlog_release(&fixture.log, held, fixture.now_ms);
  assert_true(message_id_compare(fixture_publish(&fixture, "a", "1"), id) > 0);
  fixture_done(&fixture);
}

static void without_messages_it_still_gives_increasing_ids(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture, 10, 8);
  fixture.log.config.keeps_messages = false;
  assert_id(fixture_publish_at(&fixture, "a", FIXTURE_BIRTH_MS + 9), FIXTURE_BIRTH_MS + 9, 0);
  assert_id(fixture_publish(&fixture, "a", "1"), FIXTURE_BIRTH_MS + 9, 1);
  assert_id(fixture_publish(&fixture, "b", "1"), FIXTURE_BIRTH_MS, 0);
  assert_int_equal(messages(&fixture), 0);
  pass_by(&fixture, "x", 100, 0);
  assert_true(fixture.log.topics.count <= 16);
  fixture_done(&fixture);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ids_increase_over_all_topics),
      cmocka_unit_test(a_wished_time_counts_while_the_topic_is_before_it),
      cmocka_unit_test(the_newest_max_length_messages_stay),
      cmocka_unit_test(messages_leave_when_their_time_is_over),
      cmocka_unit_test(mixed_times_to_live_expire_in_the_middle),
      cmocka_unit_test(expiring_works_in_small_steps),
      cmocka_unit_test(messages_that_come_during_a_long_scan_are_seen_by_it),
      cmocka_unit_test(a_topic_that_lost_all_remembers_its_ids),
      cmocka_unit_test(only_so_many_topics_are_remembered),
      cmocka_unit_test(ids_of_a_forgotten_topic_still_increase),
      cmocka_unit_test(topics_ahead_of_the_clock_are_forgotten_among_themselves),
      cmocka_unit_test(a_held_topic_is_not_forgotten),
      cmocka_unit_test(without_messages_it_still_gives_increasing_ids),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
