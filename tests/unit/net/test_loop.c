#include "eventhub/net/loop.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "turn.h"

/* A loop and a record of what it called, a letter each. */
struct fixture {
  struct loop loop;
  char record[256];
  size_t record_len;
};

static struct fixture *fixture; /* of the test that runs */

static void note(char letter) {
  assert_true(fixture->record_len + 1 < sizeof fixture->record);
  fixture->record[fixture->record_len++] = letter;
}

#define assert_record(text) assert_string_equal(fixture->record, text)

static void on_turn_end(void *context) {
  assert_ptr_equal(context, fixture);
  note('.');
}

static int set_up(void **state) {
  (void)state;
  fixture = x_calloc(1, sizeof *fixture);
  return loop_init(&fixture->loop, on_turn_end, fixture);
}

static int tear_down(void **state) {
  (void)state;
  loop_done(&fixture->loop);
  free(fixture);
  return 0;
}

/* ---- descriptors ---- */

/* A descriptor that is readable, or not. */
struct probe {
  struct loop_io io;
  char letter;
  void (*then)(struct probe *probe);
  struct probe *other;
  uint32_t events;
};

static void on_probe(struct loop_io *io, uint32_t events) {
  struct probe *probe = container_of(io, struct probe, io);
  probe->events = events;
  note(probe->letter);
  if (probe->then != NULL) probe->then(probe);
}

static void probe_open(struct probe *probe, char letter, unsigned signals) {
  *probe = (struct probe){.letter = letter};
  probe->io.on_ready = on_probe;
  probe->io.fd = eventfd(signals, EFD_NONBLOCK | EFD_CLOEXEC);
  assert_true(probe->io.fd >= 0);
  assert_int_equal(loop_add(&fixture->loop, &probe->io, EPOLLIN | EPOLLET), 0);
}

static void probe_close(struct probe *probe) {
  loop_remove(&fixture->loop, &probe->io);
  close(probe->io.fd);
}

static void an_edge_is_told_once(void **state) {
  (void)state;
  struct probe probe;
  probe_open(&probe, 'a', 1);
  turn(&fixture->loop);
  turn(&fixture->loop);
  assert_record("a..");
  assert_int_equal(probe.events, EPOLLIN);
  probe_close(&probe);
}

static void another_level_is_told_after_modify(void **state) {
  (void)state;
  struct probe probe;
  probe_open(&probe, 'a', 1);
  assert_int_equal(loop_modify(&fixture->loop, &probe.io, 0), 0);
  turn(&fixture->loop);
  assert_int_equal(loop_modify(&fixture->loop, &probe.io, EPOLLIN), 0);
  turn(&fixture->loop);
  turn(&fixture->loop);
  assert_record(".a.a.");
  probe_close(&probe);
}

static void remove_other(struct probe *probe) {
  probe_close(probe->other);
}

/* Both are ready in the same turn; whichever comes first ends the other. */
static void an_event_of_what_was_removed_in_this_turn_is_dropped(void **state) {
  (void)state;
  struct probe first, second;
  probe_open(&first, 'a', 1);
  probe_open(&second, 'b', 1);
  first.then = second.then = remove_other;
  first.other = &second;
  second.other = &first;
  turn(&fixture->loop);
  turn(&fixture->loop);
  assert_int_equal(fixture->record_len, 3);
  probe_close(fixture->record[0] == 'a' ? &first : &second);
}

static struct probe *to_free;

static void close_itself(struct probe *probe) {
  probe_close(probe);
  to_free = probe;
}

static void free_removed(void *context) {
  on_turn_end(context);
  free(to_free);
  to_free = NULL;
}

static void what_removes_itself_is_freed_at_the_end_of_the_turn(void **state) {
  (void)state;
  fixture->loop.on_turn_end = free_removed;
  struct probe *probe = x_malloc(sizeof *probe);
  probe_open(probe, 'a', 1);
  probe->then = close_itself;
  turn(&fixture->loop);
  turn(&fixture->loop);
  assert_record("a..");
}

/* ---- once more ---- */

static void ask_again_three_times(struct probe *probe) {
  loop_again(&fixture->loop, &probe->io);
  loop_again(&fixture->loop, &probe->io);
  if (fixture->record_len > 4) probe->then = NULL;
}

static void who_asks_again_is_called_once_in_the_next_turn(void **state) {
  (void)state;
  struct probe probe;
  probe_open(&probe, 'a', 1);
  probe.then = ask_again_three_times;
  for (int i = 0; i < 6; i++)
    turn(&fixture->loop);
  assert_record("a.a.a.a...");
  assert_int_equal(probe.events, EPOLLIN);
  probe_close(&probe);
}

static void a_turn_with_somebody_to_call_again_does_not_sleep(void **state) {
  (void)state;
  struct probe probe;
  probe_open(&probe, 'a', 0);
  loop_again(&fixture->loop, &probe.io);
  turn_and_wait(&fixture->loop);
  assert_record("a.");
  probe_close(&probe);
}

static void a_turn_in_a_hurry_does_not_sleep(void **state) {
  (void)state;
  loop_hurry(&fixture->loop);
  turn_and_wait(&fixture->loop);
  assert_record(".");
  assert_false(fixture->loop.is_hurried);
}

static void be_late(struct probe *probe) {
  (void)probe;
  assert_false(loop_is_late(&fixture->loop));
  struct timespec pause = {.tv_nsec = 2 * LOOP_SHARE_NS};
  nanosleep(&pause, NULL);
  assert_true(loop_is_late(&fixture->loop));
}

static void a_turn_that_lasts_is_late(void **state) {
  (void)state;
  struct probe probe;
  probe_open(&probe, 'a', 1);
  probe.then = be_late;
  turn(&fixture->loop);
  assert_record("a.");
  probe_close(&probe);
}

static void who_was_removed_is_not_called_again(void **state) {
  (void)state;
  struct probe first, second;
  probe_open(&first, 'a', 0);
  probe_open(&second, 'b', 0);
  first.then = remove_other;
  first.other = &second;
  loop_again(&fixture->loop, &first.io);
  loop_again(&fixture->loop, &second.io);
  turn(&fixture->loop);
  turn(&fixture->loop);
  assert_record("a..");
  probe_close(&first);
}

static void many_ask_again(void **state) {
  (void)state;
  enum { MANY = 100 };
  static struct probe probes[MANY];
  for (int i = 0; i < MANY; i++) {
    probe_open(&probes[i], 'x', 0);
    loop_again(&fixture->loop, &probes[i].io);
  }
  for (int i = 0; i < MANY; i += 3)
    probe_close(&probes[i]);
  turn(&fixture->loop);
  assert_int_equal(fixture->record_len, MANY - 34 + 1);
  for (int i = 0; i < MANY; i++) {
    if (i % 3 != 0) probe_close(&probes[i]);
  }
}

/* ---- a turn ---- */

struct letter {
  struct mail mail;
  char letter;
};

static void on_letter(struct mail *mail, void *context) {
  assert_ptr_equal(context, fixture);
  note(container_of(mail, struct letter, mail)->letter);
}

static void on_deadline(struct deadline *deadline, void *context) {
  (void)deadline;
  (void)context;
  note('d');
}

static void a_turn_is_again_then_events_then_mail_then_deadlines(void **state) {
  (void)state;
  struct letter letter = {.mail = {.deliver = on_letter}, .letter = 'm'};
  struct deadline_list list;
  struct deadline deadline;
  struct probe ready, again;
  deadline_init(&deadline);
  deadline_list_add(&fixture->loop, &list, 0, on_deadline, NULL);
  deadline_arm(&fixture->loop, &list, &deadline);
  mailbox_post(&fixture->loop.mailbox, &letter.mail);
  probe_open(&again, 'a', 0);
  probe_open(&ready, 'r', 1);
  loop_again(&fixture->loop, &again.io);
  turn_and_wait(&fixture->loop);
  assert_record("armd.");
  assert_true(fixture->loop.busy_ns > 0);
  assert_true(fixture->loop.longest_ns > 0 && fixture->loop.longest_ns <= fixture->loop.busy_ns);
  probe_close(&ready);
  probe_close(&again);
}

static void *post_later(void *context) {
  mailbox_post(&fixture->loop.mailbox, context);
  return NULL;
}

static void mail_from_another_thread_wakes_the_loop(void **state) {
  (void)state;
  struct letter letter = {.mail = {.deliver = on_letter}, .letter = 'm'};
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, post_later, &letter.mail), 0);
  while (strchr(fixture->record, 'm') == NULL)
    turn_and_wait(&fixture->loop);
  pthread_join(thread, NULL);
}

static void stop_loop(struct mail *mail, void *context) {
  on_letter(mail, context);
  loop_stop(&fixture->loop);
}

static void the_turn_that_stops_the_loop_runs_to_its_end(void **state) {
  (void)state;
  struct letter stop = {.mail = {.deliver = stop_loop}, .letter = 's'};
  struct letter behind = {.mail = {.deliver = on_letter}, .letter = 'b'};
  mailbox_post(&fixture->loop.mailbox, &stop.mail);
  mailbox_post(&fixture->loop.mailbox, &behind.mail);
  loop_run(&fixture->loop);
  assert_record("sb.");
}

#define LOOP_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      LOOP_TEST(an_edge_is_told_once),
      LOOP_TEST(another_level_is_told_after_modify),
      LOOP_TEST(an_event_of_what_was_removed_in_this_turn_is_dropped),
      LOOP_TEST(what_removes_itself_is_freed_at_the_end_of_the_turn),
      LOOP_TEST(who_asks_again_is_called_once_in_the_next_turn),
      LOOP_TEST(a_turn_with_somebody_to_call_again_does_not_sleep),
      LOOP_TEST(a_turn_in_a_hurry_does_not_sleep),
      LOOP_TEST(a_turn_that_lasts_is_late),
      LOOP_TEST(who_was_removed_is_not_called_again),
      LOOP_TEST(many_ask_again),
      LOOP_TEST(a_turn_is_again_then_events_then_mail_then_deadlines),
      LOOP_TEST(mail_from_another_thread_wakes_the_loop),
      LOOP_TEST(the_turn_that_stops_the_loop_runs_to_its_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
