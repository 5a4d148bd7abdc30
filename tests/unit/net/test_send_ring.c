#include "eventhub/net/send_ring.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "eventhub/base/err.h"

enum { PAIRS = 40, SMALL = 100 };

struct pair {
  int ours, theirs;
  int calls;
  ssize_t result;
};

static struct pair pairs[PAIRS];
static char big[1024 * 1024];

static int set_up(void **state) {
  *state = send_ring_new();
  for (int i = 0; i < PAIRS; i++) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0) return -1;
    pairs[i] = (struct pair){.ours = fds[0], .theirs = fds[1]};
  }
  return 0;
}

static int tear_down(void **state) {
  send_ring_free(*state);
  for (int i = 0; i < PAIRS; i++) {
    close(pairs[i].ours);
    if (pairs[i].theirs >= 0) close(pairs[i].theirs);
  }
  return 0;
}

/* Where the kernel offers no ring there is nothing to be tested but that. */
static struct send_ring *ring_of(void **state) {
  if (*state == NULL) skip();
  return *state;
}

static void on_sent(void *owner, ssize_t result) {
  struct pair *pair = owner;
  pair->calls++;
  pair->result = result;
}

static void add_all(struct send_ring *ring) {
  for (int i = 0; i < PAIRS; i++)
    send_ring_add(ring, pairs[i].ours, slice_of(big + i, SMALL), &pairs[i]);
}

static void everybody_gets_what_was_meant_for_them(void **state) {
  struct send_ring *ring = ring_of(state);
  char received[2 * SMALL];
  memcpy(big, "0123456789012345678901234567890123456789", PAIRS);
  for (int round = 1; round <= 3; round++) {
    add_all(ring);
    assert_int_equal(pairs[0].calls, round - 1);
    send_ring_submit(ring, on_sent);
    for (int i = 0; i < PAIRS; i++) {
      assert_int_equal(pairs[i].calls, round);
      assert_int_equal(pairs[i].result, SMALL);
      assert_int_equal(recv(pairs[i].theirs, received, sizeof received, 0), SMALL);
      assert_memory_equal(received, big + i, SMALL);
    }
  }
}

static void one_that_is_full_or_gone_is_told_and_the_others_sent(void **state) {
  struct send_ring *ring = ring_of(state);
  while (send(pairs[3].ours, big, sizeof big, 0) > 0) {}
  assert_int_equal(errno, EAGAIN);
  close(pairs[7].theirs);
  pairs[7].theirs = -1;
  add_all(ring);
  send_ring_submit(ring, on_sent);
  for (int i = 0; i < PAIRS; i++) {
    assert_int_equal(pairs[i].calls, 1);
    assert_int_equal(pairs[i].result, i == 3 ? ERR_AGAIN : i == 7 ? ERR_CLOSED : SMALL);
  }
}

static void part_of_it_is_sent_where_there_is_room_for_a_part(void **state) {
  struct send_ring *ring = ring_of(state);
  send_ring_add(ring, pairs[0].ours, slice_of(big, sizeof big), &pairs[0]);
  send_ring_submit(ring, on_sent);
  assert_true(pairs[0].result > 0 && pairs[0].result < (ssize_t)sizeof big);
}

static void a_call_has_its_limits(void **state) {
  struct send_ring *ring = ring_of(state);
  send_ring_submit(ring, on_sent); /* nothing */
  for (int i = 0; i < SEND_RING_MAX; i++) {
    assert_true(send_ring_takes(ring));
    send_ring_add(ring, pairs[0].ours, slice_of(big, 1), &pairs[0]);
  }
  assert_false(send_ring_takes(ring));
  send_ring_submit(ring, on_sent);
  assert_int_equal(pairs[0].calls, SEND_RING_MAX);
  assert_true(send_ring_takes(ring));
  send_ring_add(ring, pairs[1].ours, slice_of(big, sizeof big), &pairs[1]);
  assert_false(send_ring_takes(ring));
  send_ring_submit(ring, on_sent);
  assert_true(send_ring_takes(ring));
}

#define RING_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      RING_TEST(everybody_gets_what_was_meant_for_them),
      RING_TEST(one_that_is_full_or_gone_is_told_and_the_others_sent),
      RING_TEST(part_of_it_is_sent_where_there_is_room_for_a_part),
      RING_TEST(a_call_has_its_limits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
