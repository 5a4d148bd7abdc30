#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "log_fixture.h"

static int setup(void **state) {
  static struct fixture fixture;
  fixture_init(&fixture, 5, 8);
  *state = &fixture;
  return 0;
}

static int teardown(void **state) {
  fixture_done(*state);
  return 0;
}

static const struct message_id ORIGIN = {0, 0};

static void an_unknown_topic_has_nothing_and_misses_nothing(void **state) {
  struct fixture *fixture = *state;
  fixture_read_since(fixture, "a", 0);
  assert_answer(fixture, "", true);
  fixture_read_after(fixture, "a/#", ORIGIN);
  assert_answer(fixture, "", true);
  assert_null(fixture->answer.messages);
}

static void an_id_is_exclusive(void **state) {
  struct fixture *fixture = *state;
  fixture_publish(fixture, "a", "1");
  struct message_id second = fixture_publish(fixture, "a", "2");
  fixture_publish(fixture, "a", "3");
  fixture_read_after(fixture, "a", second);
  assert_answer(fixture, "3", true);
  fixture_read_after(fixture, "a", ORIGIN);
  assert_answer(fixture, "1 2 3", true);
}

static void a_time_is_inclusive(void **state) {
  struct fixture *fixture = *state;
  fixture_publish(fixture, "a", "1");
  fixture->now_ms += 10;
  fixture_publish(fixture, "a", "2");
  fixture_publish(fixture, "a", "3");
  fixture_read_since(fixture, "a", fixture->now_ms);
  assert_answer(fixture, "2 3", true);
  fixture_read_since(fixture, "a", fixture->now_ms + 1);
  assert_answer(fixture, "", true);
  fixture_read_since(fixture, "a", fixture->now_ms - 10);
  assert_answer(fixture, "1 2 3", true);
}

static void an_id_that_no_message_has_is_a_place_too(void **state) {
  struct fixture *fixture = *state;
  struct message_id first = fixture_publish(fixture, "a", "1");
  fixture->now_ms += 100;
  fixture_publish(fixture, "a", "2");
  fixture_read_after(fixture, "a", (struct message_id){first.ms + 50, 7});
  assert_answer(fixture, "2", true);
  fixture_read_after(fixture, "a", (struct message_id){UINT64_MAX, UINT64_MAX});
  assert_answer(fixture, "", true);
}

static void trimmed_messages_are_missed_only_by_who_has_not_seen_them(void **state) {
  struct fixture *fixture = *state;
  struct message_id first = fixture_publish(fixture, "a", "1");
  struct message_id second = fixture_publish(fixture, "a", "2");
  for (int i = 0; i < 5; i++)
    fixture_publish(fixture, "a", "0");
  fixture_read_after(fixture, "a", first);
  assert_answer(fixture, "0 0 0 0 0", false);
  fixture_read_after(fixture, "a", second);
  assert_answer(fixture, "0 0 0 0 0", true);
}

static void expired_messages_are_not_returned_swept_or_not(void **state) {
  struct fixture *fixture = *state;
  struct message_id first = fixture_publish_ttl(fixture, "a", "1", 1000);
  fixture_publish_ttl(fixture, "a", "2", 5000);
  fixture->now_ms += 1000;
  for (int swept = 0; swept < 2; swept++) {
    fixture_read_since(fixture, "a", 0);
    assert_answer(fixture, "2", false);
    fixture_read_after(fixture, "a", first);
    assert_answer(fixture, "2", true);
    eventlog_expire(&fixture->log, fixture->now_ms, 1000);
  }
  fixture->now_ms += 4000;
  for (int swept = 0; swept < 2; swept++) {
    fixture_read_after(fixture, "a", first);
    assert_answer(fixture, "", false);
    assert_null(fixture->answer.messages);
    eventlog_expire(&fixture->log, fixture->now_ms, 1000);
  }
}

static void the_limit_keeps_the_newest(void **state) {
  struct fixture *fixture = *state;
  struct log_point origin = {LOG_SINCE_ID, {0, 0}};
  fixture_publish(fixture, "a", "1");
  fixture_publish(fixture, "a", "2");
  fixture_publish(fixture, "a", "3");
  fixture_read(fixture, SLICE("a"), origin, 2, 0);
  assert_answer(fixture, "2 3", false);
  fixture_read(fixture, SLICE("a"), origin, 3, 0);
  assert_answer(fixture, "1 2 3", true);
  fixture_read(fixture, SLICE("a"), origin, 0, 0);
  assert_answer(fixture, "", false);
}

static void the_byte_limit_keeps_the_newest(void **state) {
  struct fixture *fixture = *state;
  struct log_point origin = {LOG_SINCE_ID, {0, 0}};
  fixture_publish(fixture, "a", "1");
  fixture_publish(fixture, "a", "2");
  fixture_publish(fixture, "a", "3");
  fixture_read_since(fixture, "a", 0);
  size_t len = message_item(fixture->answer.messages[0]).len;
  fixture_read(fixture, SLICE("a"), origin, 10, 3 * len);
  assert_answer(fixture, "1 2 3", true);
  fixture_read(fixture, SLICE("a"), origin, 10, 3 * len - 1);
  assert_answer(fixture, "2 3", false);
  fixture_read(fixture, SLICE("a"), origin, 10, len - 1);
  assert_answer(fixture, "", false);
}

static void a_pattern_merges_by_id(void **state) {
  struct fixture *fixture = *state;
  fixture_publish(fixture, "a/1", "1");
  struct message_id second = fixture_publish(fixture, "a/2", "2");
  fixture_publish(fixture, "b/1", "0");
  fixture_publish(fixture, "a/1", "3");
  fixture_publish(fixture, "a", "4");
  fixture_publish(fixture, "a/2/x", "5");
  fixture_publish(fixture, "a/1", "6");
  fixture_read_after(fixture, "a/#", ORIGIN);
  assert_answer(fixture, "1 2 3 4 5 6", true);
  fixture_read_after(fixture, "a/+", second);
  assert_answer(fixture, "3 6", true);
  fixture_read(fixture, SLICE("#"), (struct log_point){LOG_SINCE_ID, ORIGIN}, 3, 0);
  assert_answer(fixture, "4 5 6", false);
}

static void a_pattern_misses_what_any_of_its_topics_lost(void **state) {
  struct fixture *fixture = *state;
  struct message_id lost = fixture_publish_ttl(fixture, "a/lost", "1", 1000);
  struct message_id kept = fixture_publish(fixture, "a/kept", "2");
  fixture->now_ms += 1000;
  eventlog_expire(&fixture->log, fixture->now_ms, 1000);
  fixture_read_after(fixture, "a/+", ORIGIN);
  assert_answer(fixture, "2", false);
  fixture_read_after(fixture, "a/+", lost);
  assert_answer(fixture, "2", true);
  fixture_read_after(fixture, "+/kept", ORIGIN);
  assert_answer(fixture, "2", true);
  fixture_read_after(fixture, "a/+", kept);
  assert_answer(fixture, "", true);
}

static void equal_ids_of_two_topics_come_in_a_fixed_order(void **state) {
  struct fixture *fixture = *state;
  fixture_publish_full(fixture, SLICE("a/2"), SLICE("2"), 0, 50);
  fixture_publish_full(fixture, SLICE("a/1"), SLICE("1"), 0, 50);
  fixture_publish_full(fixture, SLICE("a/1/x"), SLICE("3"), 0, 50);
  fixture_read_since(fixture, "a/#", 50);
  assert_answer(fixture, "1 3 2", true);
}

static void what_forgotten_topics_lost_is_missed_by_all_strangers(void **state) {
  struct fixture *fixture = *state;
  struct message_id early = fixture_publish(fixture, "known", "1");
  for (char name[] = "a"; name[0] < 'z'; name[0]++)
    fixture_publish_ttl(fixture, name, "0", 1000);
  struct message_id late = fixture_publish(fixture, "known", "2");
  fixture->now_ms += 1000;
  eventlog_expire(&fixture->log, fixture->now_ms, 1000);
  assert_true(fixture->log.topics.count < 10);
  fixture_read_after(fixture, "unheard", early);
  assert_answer(fixture, "", false);
  fixture_read_after(fixture, "unheard", late);
  assert_answer(fixture, "", true);
  fixture_read_after(fixture, "#", early);
  assert_answer(fixture, "2", false);
  fixture_read_after(fixture, "known", early);
  assert_answer(fixture, "2", true);
  fixture_publish(fixture, "a", "3");
  fixture_read_after(fixture, "a", early);
  assert_answer(fixture, "3", false);
}

static void an_id_from_before_the_birth_is_not_recovered(void **state) {
  struct fixture *fixture = *state;
  struct message_id before = {FIXTURE_BIRTH_MS - 5000, 3};
  fixture_read_after(fixture, "a", before);
  assert_answer(fixture, "", false);
  fixture_read_after(fixture, "#", before);
  assert_answer(fixture, "", false);
  fixture_publish(fixture, "a", "1");
  fixture_read_after(fixture, "a", before);
  assert_answer(fixture, "1", false);
}

/* Wished timestamps give ids from before the birth, and such an id is known. Others still are not.
 */
static void only_an_id_that_was_given_vouches_for_what_came_after(void **state) {
  struct fixture *fixture = *state;
  struct message_id given = {FIXTURE_BIRTH_MS - 9000, 0};
  struct message_id strange = {FIXTURE_BIRTH_MS - 5000, 3};
  fixture_publish_full(fixture, SLICE("a"), SLICE("1"), 0, given.ms);
  fixture_publish(fixture, "a", "2");
  fixture_read_after(fixture, "a", given);
  assert_answer(fixture, "2", true);
  fixture_read_after(fixture, "#", given);
  assert_answer(fixture, "2", true);
  fixture_read_after(fixture, "a", strange);
  assert_answer(fixture, "2", false);
  fixture_read_after(fixture, "#", strange);
  assert_answer(fixture, "2", false);
}

static void a_time_before_the_birth_only_says_since_when(void **state) {
  struct fixture *fixture = *state;
  fixture_publish(fixture, "a", "1");
  fixture_read_since(fixture, "a", FIXTURE_BIRTH_MS - 5000);
  assert_answer(fixture, "1", true);
}

static void an_id_that_is_no_time_says_everything(void **state) {
  struct fixture *fixture = *state;
  uint64_t edge_ms = FIXTURE_BIRTH_MS - LOG_READ_PREHISTORY_MS;
  fixture_publish(fixture, "a", "1");
  fixture_read_after(fixture, "a", (struct message_id){0, 1});
  assert_answer(fixture, "1", true);
  fixture_read_after(fixture, "a", (struct message_id){edge_ms - 1, 0});
  assert_answer(fixture, "1", true);
  fixture_read_after(fixture, "a", (struct message_id){edge_ms, 0});
  assert_answer(fixture, "1", false);
}

static void an_early_id_that_the_topic_gave_is_known(void **state) {
  struct fixture *fixture = *state;
  uint64_t early_ms = FIXTURE_BIRTH_MS - 5000;
  struct message_id first = fixture_publish_at(fixture, "a/1", early_ms);
  fixture_publish_at(fixture, "a/1", early_ms + 10);
  fixture_read_after(fixture, "a/1", first);
  assert_answer(fixture, "0", true);
  fixture_read_after(fixture, "a/+", first);
  assert_answer(fixture, "0", true);
  fixture_read_after(fixture, "a/1", (struct message_id){early_ms - 1, 0});
  assert_answer(fixture, "0 0", false);
  fixture_read_after(fixture, "a/2", first);
  assert_answer(fixture, "", false);
}

#define read_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      read_test(an_unknown_topic_has_nothing_and_misses_nothing),
      read_test(an_id_is_exclusive),
      read_test(a_time_is_inclusive),
      read_test(an_id_that_no_message_has_is_a_place_too),
      read_test(trimmed_messages_are_missed_only_by_who_has_not_seen_them),
      read_test(expired_messages_are_not_returned_swept_or_not),
      read_test(the_limit_keeps_the_newest),
      read_test(the_byte_limit_keeps_the_newest),
      read_test(a_pattern_merges_by_id),
      read_test(a_pattern_misses_what_any_of_its_topics_lost),
      read_test(equal_ids_of_two_topics_come_in_a_fixed_order),
      read_test(what_forgotten_topics_lost_is_missed_by_all_strangers),
      read_test(an_id_from_before_the_birth_is_not_recovered),
      read_test(only_an_id_that_was_given_vouches_for_what_came_after),
      read_test(a_time_before_the_birth_only_says_since_when),
      read_test(an_id_that_is_no_time_says_everything),
      read_test(an_early_id_that_the_topic_gave_is_known),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
