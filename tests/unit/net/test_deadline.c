#include "eventhub/net/loop.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "turn.h"

enum { SHORT_MS = 5, LONG_MS = 60000, ITEMS = 8 };

/* A loop with two lists, and a record of the letters of what has expired. */
struct fixture {
  struct loop loop;
  struct deadline_list soon, late;
  char record[64];
  size_t record_len;
};

struct item {
  struct deadline deadline;
  char letter;
  void (*then)(struct item *item);
  struct item *other;
};

static struct fixture fixture;
static struct item items[ITEMS];

static void on_expired(struct deadline *deadline, void *context) {
  assert_ptr_equal(context, &fixture);
  struct item *item = container_of(deadline, struct item, deadline);
  assert_false(list_is_linked(&deadline->link));
  assert_true(fixture.record_len + 1 < sizeof fixture.record);
  fixture.record[fixture.record_len++] = item->letter;
  if (item->then != NULL) item->then(item);
}

static int set_up(void **state) {
  (void)state;
  memset(&fixture, 0, sizeof fixture);
  assert_int_equal(loop_init(&fixture.loop, NULL, NULL), 0);
  deadline_list_add(&fixture.loop, &fixture.soon, SHORT_MS, on_expired, &fixture);
  deadline_list_add(&fixture.loop, &fixture.late, LONG_MS, on_expired, &fixture);
  for (int i = 0; i < ITEMS; i++) {
    items[i] = (struct item){.letter = (char)('a' + i)};
    deadline_init(&items[i].deadline);
  }
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  deadline_list_remove(&fixture.soon);
  deadline_list_remove(&fixture.late);
  loop_done(&fixture.loop);
  return 0;
}

static void arm(struct deadline_list *list, int index) {
  deadline_arm(&fixture.loop, list, &items[index].deadline);
}

/* Turns until so many have expired. */
static void wait_for(size_t count) {
  while (fixture.record_len < count)
    turn_and_wait(&fixture.loop);
}

static void deadlines_of_a_list_expire_in_the_order_they_were_armed(void **state) {
  (void)state;
  arm(&fixture.soon, 2);
  arm(&fixture.soon, 0);
  arm(&fixture.soon, 1);
  wait_for(3);
  assert_string_equal(fixture.record, "cab");
}

static void nothing_expires_early_and_the_loop_sleeps_meanwhile(void **state) {
  (void)state;
  turn(&fixture.loop);
  uint64_t armed_ms = fixture.loop.now_ms;
  arm(&fixture.soon, 0);
  int turns = 0;
  for (; fixture.record_len == 0; turns++) {
    turn_and_wait(&fixture.loop);
    assert_true(fixture.record_len == 0 || fixture.loop.now_ms >= armed_ms + SHORT_MS);
  }
  /* Once more than needed where the clocks' milliseconds are not quite the same. */
  assert_in_range(turns, 1, 2);
}

/* Up to 1/64 of the timeout, so that many share a wake-up. */
static void deadlines_close_to_each_other_share_a_turn(void **state) {
  (void)state;
  struct deadline_list coarse;
  deadline_list_add(&fixture.loop, &coarse, 640, on_expired, &fixture);
  turn(&fixture.loop);
  arm(&coarse, 0);
  fixture.loop.now_ms += 8;
  arm(&coarse, 1);
  int turns = 0;
  for (; fixture.record_len < 2; turns++)
    turn_and_wait(&fixture.loop);
  assert_in_range(turns, 1, 2);
  deadline_list_remove(&coarse);
}

static void arming_again_moves_to_the_end(void **state) {
  (void)state;
  arm(&fixture.soon, 0);
  arm(&fixture.soon, 1);
  arm(&fixture.soon, 0);
  wait_for(2);
  assert_string_equal(fixture.record, "ba");
}

static void arming_in_another_list_leaves_the_first(void **state) {
  (void)state;
  arm(&fixture.late, 0);
  arm(&fixture.soon, 1);
  arm(&fixture.soon, 0);
  assert_true(list_is_empty(&fixture.late.items));
  arm(&fixture.late, 1);
  wait_for(1);
  turn(&fixture.loop);
  assert_string_equal(fixture.record, "a");
  deadline_disarm(&items[1].deadline);
}

static void what_is_disarmed_does_not_expire(void **state) {
  (void)state;
  arm(&fixture.soon, 0);
  arm(&fixture.soon, 1);
  deadline_disarm(&items[0].deadline);
  deadline_disarm(&items[0].deadline);
  wait_for(1);
  assert_string_equal(fixture.record, "b");
}

static void disarm_other(struct item *item) {
  deadline_disarm(&item->other->deadline);
}

static void a_callback_may_disarm_the_one_behind_it(void **state) {
  (void)state;
  items[0].then = disarm_other;
  items[0].other = &items[1];
  for (int i = 0; i < 3; i++)
    arm(&fixture.soon, i);
  wait_for(2);
  assert_string_equal(fixture.record, "ac");
}

static void arm_other(struct item *item) {
  deadline_arm(&fixture.loop, &fixture.soon, &item->other->deadline);
}

static void a_callback_may_put_off_the_one_behind_it(void **state) {
  (void)state;
  items[0].then = arm_other;
  items[0].other = &items[1];
  for (int i = 0; i < 3; i++)
    arm(&fixture.soon, i);
  wait_for(2);
  assert_string_equal(fixture.record, "ac");
  wait_for(3);
  assert_string_equal(fixture.record, "acb");
}

static void arm_itself(struct item *item) {
  deadline_arm(&fixture.loop, &fixture.soon, &item->deadline);
  if (fixture.record_len == 3) deadline_disarm(&item->deadline);
}

static void a_callback_that_arms_itself_waits_a_whole_timeout_again(void **state) {
  (void)state;
  items[0].then = arm_itself;
  arm(&fixture.soon, 0);
  uint64_t last_ms = fixture.loop.now_ms;
  for (size_t count = 1; count <= 3; count++) {
    wait_for(count);
    assert_int_equal(fixture.record_len, count);
    assert_true(fixture.loop.now_ms >= last_ms + SHORT_MS);
    last_ms = fixture.loop.now_ms;
  }
  assert_true(list_is_empty(&fixture.soon.items));
}

static void move_to_late(struct item *item) {
  deadline_arm(&fixture.loop, &fixture.late, &item->deadline);
}

static void a_callback_may_arm_in_another_list(void **state) {
  (void)state;
  items[0].then = move_to_late;
  arm(&fixture.soon, 0);
  wait_for(1);
  turn(&fixture.loop);
  assert_string_equal(fixture.record, "a");
  assert_ptr_equal(list_first(&fixture.late.items), &items[0].deadline.link);
  deadline_disarm(&items[0].deadline);
}

static void an_armed_deadline_far_away_costs_no_turn(void **state) {
  (void)state;
  arm(&fixture.late, 0);
  arm(&fixture.soon, 1);
  wait_for(1);
  assert_string_equal(fixture.record, "b");
  deadline_disarm(&items[0].deadline);
}

#define LOOP_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      LOOP_TEST(deadlines_of_a_list_expire_in_the_order_they_were_armed),
      LOOP_TEST(nothing_expires_early_and_the_loop_sleeps_meanwhile),
      LOOP_TEST(deadlines_close_to_each_other_share_a_turn),
      LOOP_TEST(arming_again_moves_to_the_end),
      LOOP_TEST(arming_in_another_list_leaves_the_first),
      LOOP_TEST(what_is_disarmed_does_not_expire),
      LOOP_TEST(a_callback_may_disarm_the_one_behind_it),
      LOOP_TEST(a_callback_may_put_off_the_one_behind_it),
      LOOP_TEST(a_callback_that_arms_itself_waits_a_whole_timeout_again),
      LOOP_TEST(a_callback_may_arm_in_another_list),
      LOOP_TEST(an_armed_deadline_far_away_costs_no_turn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
