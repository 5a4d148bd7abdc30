#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>

#include "eventhub/store/id_source.h"

static const struct message_id NONE = {0, 0};

#define assert_id(got, expected_ms, expected_seq)                                                  \
  do {                                                                                             \
    struct message_id got_id = (got);                                                              \
    assert_int_equal(got_id.ms, expected_ms);                                                      \
    assert_int_equal(got_id.seq, expected_seq);                                                    \
  } while (0)

static void ids_follow_the_clock(void **state) {
  (void)state;
  struct id_source source = {{0, 0}};
  assert_id(id_source_next(&source, NONE, 0, 500), 500, 0);
  assert_id(id_source_next(&source, NONE, 0, 500), 500, 1);
  assert_id(id_source_next(&source, NONE, 0, 501), 501, 0);
}

static void ids_increase_when_the_clock_goes_back(void **state) {
  (void)state;
  struct id_source source = {{0, 0}};
  assert_id(id_source_next(&source, NONE, 0, 500), 500, 0);
  assert_id(id_source_next(&source, NONE, 0, 20), 500, 1);
  assert_id(id_source_next(&source, NONE, 0, 499), 500, 2);
  assert_id(id_source_next(&source, NONE, 0, 501), 501, 0);
}

static void a_wished_time_is_taken_where_the_topic_is_before_it(void **state) {
  (void)state;
  struct id_source source = {{500, 3}};
  assert_id(id_source_next(&source, NONE, 100, 500), 100, 0);
  assert_id(id_source_next(&source, (struct message_id){100, 0}, 100, 500), 100, 1);
  assert_id(id_source_next(&source, (struct message_id){100, 1}, 9000, 500), 9000, 0);
  assert_id(source.last, 500, 3);
}

static void a_wished_time_in_the_topics_past_gives_the_sources_next(void **state) {
  (void)state;
  struct id_source source = {{500, 3}};
  assert_id(id_source_next(&source, (struct message_id){200, 0}, 100, 500), 500, 4);
  assert_id(id_source_next(&source, (struct message_id){200, 0}, 100, 600), 600, 0);
}

static void a_topic_ahead_of_the_clock_stays_ahead_and_alone(void **state) {
  (void)state;
  struct id_source source = {{500, 0}};
  assert_id(id_source_next(&source, (struct message_id){9000, 0}, 0, 501), 9000, 1);
  assert_id(id_source_next(&source, (struct message_id){9000, 1}, 600, 501), 9000, 2);
  assert_id(id_source_next(&source, NONE, 0, 501), 501, 0);
}

static void a_raised_source_goes_on_above(void **state) {
  (void)state;
  struct id_source source = {{500, 0}};
  id_source_raise(&source, (struct message_id){700, 8});
  id_source_raise(&source, (struct message_id){600, 0});
  assert_id(id_source_next(&source, NONE, 0, 650), 700, 9);
}

static void ids_of_a_topic_strictly_increase_whatever_is_wished(void **state) {
  (void)state;
  struct id_source source = {{0, 0}};
  struct message_id own = NONE, topic_last[3] = {{0, 0}, {0, 0}, {0, 0}};
  uint64_t random = 88172645463325252u;
  for (int step = 0; step < 20000; step++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    unsigned topic = (unsigned)(random >> 33) % 3;
    uint64_t now_ms = 1000 + (random >> 40) % 50;
    uint64_t wished_ms = (random >> 50) % 4 == 0 ? 900 + (random >> 52) % 200 : 0;
    struct message_id before = source.last;
    struct message_id id = id_source_next(&source, topic_last[topic], wished_ms, now_ms);
    assert_true(message_id_compare(id, topic_last[topic]) > 0);
    topic_last[topic] = id;
    if (message_id_compare(source.last, before) == 0) continue;
    assert_true(message_id_compare(source.last, own) > 0);
    own = source.last;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ids_follow_the_clock),
      cmocka_unit_test(ids_increase_when_the_clock_goes_back),
      cmocka_unit_test(a_wished_time_is_taken_where_the_topic_is_before_it),
      cmocka_unit_test(a_wished_time_in_the_topics_past_gives_the_sources_next),
      cmocka_unit_test(a_topic_ahead_of_the_clock_stays_ahead_and_alone),
      cmocka_unit_test(a_raised_source_goes_on_above),
      cmocka_unit_test(ids_of_a_topic_strictly_increase_whatever_is_wished),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
