#include "eventhub/server/expiry.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../net/turn.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"

enum { ITEMS = 500, START_S = 1700000000 };

struct item {
  struct expiry_item expiry;
  int expired;
  struct item *then_remove, *then_add;
};

struct fixture {
  struct loop loop;
  struct expiry expiry;
  struct item items[ITEMS];
  int expired;
};

static struct fixture fixture;
static int64_t wall_s; /* what the clock says */

static uint64_t wall_ms(void) {
  return (uint64_t)wall_s * 1000;
}

static void on_expired(struct expiry_item *expiry_item, void *context) {
  assert_ptr_equal(context, &fixture);
  struct item *item = container_of(expiry_item, struct item, expiry);
  assert_false(list_is_linked(&expiry_item->link));
  assert_true(expiry_item->at_s <= wall_s);
  item->expired++;
  fixture.expired++;
  if (item->then_remove != NULL) expiry_remove(&fixture.expiry, &item->then_remove->expiry);
  if (item->then_add != NULL) {
    expiry_add(&fixture.expiry, &item->then_add->expiry, wall_s + 1);
    item->then_add = NULL;
  }
}

static int set_up(void **state) {
  (void)state;
  memset(&fixture, 0, sizeof fixture);
  wall_s = START_S;
  clock_set_wall_for_test(wall_ms);
  assert_int_equal(loop_init(&fixture.loop, NULL, NULL), 0);
  expiry_init(&fixture.expiry, &fixture.loop, on_expired, &fixture);
  for (int i = 0; i < ITEMS; i++)
    list_init(&fixture.items[i].expiry.link);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  expiry_done(&fixture.expiry);
  loop_done(&fixture.loop);
  clock_set_wall_for_test(NULL);
  return 0;
}

static void add(int index, int64_t at_s) {
  expiry_add(&fixture.expiry, &fixture.items[index].expiry, at_s);
}

/* The tick that the loop would bring in EXPIRY_TICK_MS; none where no timer runs. */
static void tick(int64_t seconds_later) {
  wall_s += seconds_later;
  if (list_is_linked(&fixture.expiry.tick.link)) fixture.expiry.tick.at_ms = 0;
  turn(&fixture.loop);
}

static void an_item_expires_in_its_second(void **state) {
  (void)state;
  add(0, START_S + 3);
  tick(0);
  tick(2);
  assert_int_equal(fixture.expired, 0);
  tick(1);
  assert_int_equal(fixture.items[0].expired, 1);
  tick(100);
  assert_int_equal(fixture.items[0].expired, 1);
}

static void the_loop_brings_the_ticks(void **state) {
  (void)state;
  add(0, START_S + 1);
  wall_s = START_S + 1;
  while (fixture.expired == 0)
    turn_and_wait(&fixture.loop);
}

static void while_nothing_is_in_it_no_timer_runs(void **state) {
  (void)state;
  assert_false(list_is_linked(&fixture.expiry.tick.link));
  add(0, START_S + 1);
  assert_true(list_is_linked(&fixture.expiry.tick.link));
  tick(1);
  assert_int_equal(fixture.expiry.count, 0);
  assert_false(list_is_linked(&fixture.expiry.tick.link));
}

static void what_is_removed_does_not_expire(void **state) {
  (void)state;
  add(0, START_S + 1);
  add(1, START_S + 1);
  expiry_remove(&fixture.expiry, &fixture.items[0].expiry);
  expiry_remove(&fixture.expiry, &fixture.items[0].expiry);
  expiry_remove(&fixture.expiry, &fixture.items[2].expiry);
  tick(1);
  assert_int_equal(fixture.items[0].expired, 0);
  assert_int_equal(fixture.items[1].expired, 1);
}

static void an_item_of_a_later_round_waits(void **state) {
  (void)state;
  add(0, START_S + 5 + EXPIRY_SLOTS);
  add(1, START_S + 5);
  tick(5);
  assert_int_equal(fixture.items[0].expired, 0);
  assert_int_equal(fixture.items[1].expired, 1);
  for (int i = 0; i < EXPIRY_SLOTS / 8; i++)
    tick(8);
  assert_int_equal(fixture.items[0].expired, 1);
}

static void what_is_due_already_expires_soon(void **state) {
  (void)state;
  add(0, START_S);
  add(1, START_S - 1000);
  add(2, 0);
  tick(1);
  assert_int_equal(fixture.expired, 3);
}

static void a_clock_that_jumps_ahead_expires_everything_due(void **state) {
  (void)state;
  for (int i = 0; i < ITEMS; i++)
    add(i, START_S + 1 + i * 7);
  tick(ITEMS * 7L);
  assert_int_equal(fixture.expired, ITEMS);
  assert_int_equal(fixture.expiry.count, 0);
}

/* A token must not live on because the clock was ahead for a moment. */
static void a_clock_that_jumps_back_delays_nothing(void **state) {
  (void)state;
  add(0, START_S + 2000000);
  tick(1000000);
  wall_s = START_S;
  add(1, START_S + 10);
  tick(0);
  add(2, START_S + 20);
  for (int i = 0; i < 30; i++)
    tick(1);
  assert_int_equal(fixture.items[2].expired, 1);
  /* It was put where the clock was; within one round of the wheel it is found. */
  for (int i = 0; i < EXPIRY_SLOTS; i++)
    tick(1);
  assert_int_equal(fixture.items[1].expired, 1);
  assert_int_equal(fixture.items[0].expired, 0);
}

static void a_callback_may_add(void **state) {
  (void)state;
  fixture.items[0].then_add = &fixture.items[1];
  add(0, START_S + 1);
  tick(1);
  assert_int_equal(fixture.items[1].expired, 0);
  tick(1);
  assert_int_equal(fixture.items[1].expired, 1);
}

static void a_callback_may_remove_the_one_behind_it(void **state) {
  (void)state;
  fixture.items[0].then_remove = &fixture.items[1];
  for (int i = 0; i < 3; i++)
    add(i, START_S + 1);
  tick(1);
  assert_int_equal(fixture.items[0].expired, 1);
  assert_int_equal(fixture.items[1].expired, 0);
  assert_int_equal(fixture.items[2].expired, 1);
}

static uint64_t random_state;

static uint64_t pick(uint64_t below) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (random_state >> 33) % below;
}

/* Against a table of when each item is due. */
static void any_item_expires_once_and_in_time(void **state) {
  (void)state;
  static int64_t due_s[ITEMS]; /* 0: not in */
  random_state = 1;
  for (int step = 0; step < 20000; step++) {
    size_t i = pick(ITEMS);
    struct item *item = &fixture.items[i];
    if (pick(10) == 0) {
      int64_t before_s = wall_s;
      tick((int64_t)pick(pick(20) == 0 ? 3 * EXPIRY_SLOTS : 4));
      for (size_t k = 0; k < ITEMS; k++) {
        bool is_due = due_s[k] != 0 && due_s[k] <= wall_s && wall_s > before_s;
        if (due_s[k] > before_s || is_due) assert_int_equal(fixture.items[k].expired, is_due);
        if (fixture.items[k].expired) due_s[k] = 0;
        fixture.items[k].expired = 0;
      }
    } else if (due_s[i] != 0) {
      expiry_remove(&fixture.expiry, &item->expiry);
      due_s[i] = 0;
    } else {
      due_s[i] = wall_s - 2 + (int64_t)pick(2 * EXPIRY_SLOTS);
      expiry_add(&fixture.expiry, &item->expiry, due_s[i]);
    }
  }
}

#define EXPIRY_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      EXPIRY_TEST(an_item_expires_in_its_second),
      EXPIRY_TEST(the_loop_brings_the_ticks),
      EXPIRY_TEST(while_nothing_is_in_it_no_timer_runs),
      EXPIRY_TEST(what_is_removed_does_not_expire),
      EXPIRY_TEST(an_item_of_a_later_round_waits),
      EXPIRY_TEST(what_is_due_already_expires_soon),
      EXPIRY_TEST(a_clock_that_jumps_ahead_expires_everything_due),
      EXPIRY_TEST(a_clock_that_jumps_back_delays_nothing),
      EXPIRY_TEST(a_callback_may_add),
      EXPIRY_TEST(a_callback_may_remove_the_one_behind_it),
      EXPIRY_TEST(any_item_expires_once_and_in_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
