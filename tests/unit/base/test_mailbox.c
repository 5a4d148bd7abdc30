#include "eventhub/base/mailbox.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"

enum {
  POSTERS = 4,
  MAILS_EACH = 20000,
  ALL_MAILS = POSTERS * MAILS_EACH,
  BOUNCES = 20000,
  HUNG_MS = 60000 /* a wake-up that takes this long is a lost one */
};

struct letter {
  struct mail mail;
  unsigned poster;
  unsigned number;
};

/* What the owner has seen, the mailbox' context. */
struct reader {
  struct mailbox mailbox;
  unsigned next_number[POSTERS];
  size_t delivered;
};

static void on_letter(struct mail *mail, void *context) {
  struct reader *reader = context;
  struct letter *letter = container_of(mail, struct letter, mail);
  /* In order and exactly once, in one line. */
  assert_int_equal(letter->number, reader->next_number[letter->poster]);
  reader->next_number[letter->poster]++;
  reader->delivered++;
}

static struct letter *new_letters(unsigned poster, unsigned count) {
  struct letter *letters = x_calloc(count, sizeof *letters);
  for (unsigned i = 0; i < count; i++) {
    letters[i].mail.deliver = on_letter;
    letters[i].poster = poster;
    letters[i].number = i;
  }
  return letters;
}

static struct reader *new_reader(void) {
  struct reader *reader = x_calloc(1, sizeof *reader);
  assert_int_equal(mailbox_init(&reader->mailbox, reader), 0);
  return reader;
}

static void free_reader(struct reader *reader) {
  mailbox_done(&reader->mailbox);
  free(reader);
}

static bool is_readable(const struct mailbox *mailbox, int timeout_ms) {
  struct pollfd fd = {.fd = mailbox->event_fd, .events = POLLIN};
  return poll(&fd, 1, timeout_ms) == 1;
}

/* One turn of an owner's loop. */
static size_t turn(struct mailbox *mailbox) {
  if (mailbox_prepare_sleep(mailbox) && !is_readable(mailbox, HUNG_MS))
    fail_msg("slept through a mail");
  mailbox_woke(mailbox);
  return mailbox_drain(mailbox);
}

/* First letters[0], then chains of one to seven, then again. */
static void *post_all(void *argument) {
  struct letter *letters = ((void **)argument)[0];
  struct mailbox *mailbox = ((void **)argument)[1];
  for (unsigned i = 0, len = 0; i < MAILS_EACH; i += len) {
    len = 1 + i % 7;
    if (i + len > MAILS_EACH) len = MAILS_EACH - i;
    if (len == 1) {
      mailbox_post(mailbox, &letters[i].mail);
      continue;
    }
    for (unsigned k = i; k + 1 < i + len; k++)
      letters[k].mail.next = &letters[k + 1].mail;
    mailbox_post_chain(mailbox, &letters[i].mail, &letters[i + len - 1].mail);
  }
  return NULL;
}

static void each_mail_comes_once_in_its_poster_s_order(void **state) {
  (void)state;
  struct reader *reader = new_reader();
  pthread_t threads[POSTERS];
  void *arguments[POSTERS][2];
  for (unsigned i = 0; i < POSTERS; i++) {
    arguments[i][0] = new_letters(i, MAILS_EACH);
    arguments[i][1] = &reader->mailbox;
    assert_int_equal(pthread_create(&threads[i], NULL, post_all, arguments[i]), 0);
  }
  size_t drained = 0;
  while (drained < ALL_MAILS)
    drained += turn(&reader->mailbox);
  for (unsigned i = 0; i < POSTERS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(reader->next_number[i], MAILS_EACH);
    free(arguments[i][0]);
  }
  assert_int_equal(mailbox_drain(&reader->mailbox), 0);
  assert_int_equal(reader->delivered, ALL_MAILS);
  free_reader(reader);
}

/* Two owners that throw one mail to each other: each bounce is a sleep and a wake-up. */
struct player {
  struct mailbox mailbox;
  struct player *other;
  unsigned bounces;
};

static void on_ball(struct mail *mail, void *context) {
  struct player *player = context;
  player->bounces++;
  mailbox_post(&player->other->mailbox, mail);
}

static void *play(void *argument) {
  struct player *player = argument;
  while (player->bounces < BOUNCES)
    turn(&player->mailbox);
  return NULL;
}

static void no_wake_up_is_lost(void **state) {
  (void)state;
  static struct player players[2];
  struct mail ball = {.deliver = on_ball};
  for (int i = 0; i < 2; i++) {
    assert_int_equal(mailbox_init(&players[i].mailbox, &players[i]), 0);
    players[i].other = &players[1 - i];
    players[i].bounces = 0;
  }
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, play, &players[1]), 0);
  mailbox_post(&players[1].mailbox, &ball);
  play(&players[0]);
  pthread_join(thread, NULL);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(players[i].bounces, BOUNCES);
    mailbox_done(&players[i].mailbox);
  }
}

static void a_chain_keeps_its_order(void **state) {
  (void)state;
  struct reader *reader = new_reader();
  AUTO(mem) struct letter *letters = new_letters(0, 5);
  for (unsigned i = 1; i < 4; i++)
    letters[i - 1].mail.next = &letters[i].mail;
  mailbox_post_chain(&reader->mailbox, &letters[0].mail, &letters[3].mail);
  mailbox_post_chain(&reader->mailbox, &letters[4].mail, &letters[4].mail);
  assert_int_equal(mailbox_drain(&reader->mailbox), 5);
  assert_int_equal(reader->delivered, 5);
  free_reader(reader);
}

static void waiting_mail_forbids_sleep(void **state) {
  (void)state;
  struct reader *reader = new_reader();
  AUTO(mem) struct letter *letters = new_letters(0, 1);
  mailbox_post(&reader->mailbox, &letters[0].mail);
  assert_false(is_readable(&reader->mailbox, 0));
  assert_false(mailbox_prepare_sleep(&reader->mailbox));
  mailbox_woke(&reader->mailbox);
  assert_int_equal(mailbox_drain(&reader->mailbox), 1);
  assert_true(mailbox_prepare_sleep(&reader->mailbox));
  mailbox_woke(&reader->mailbox);
  free_reader(reader);
}

static void one_sleep_is_signalled_once(void **state) {
  (void)state;
  struct reader *reader = new_reader();
  AUTO(mem) struct letter *letters = new_letters(0, 3);
  assert_true(mailbox_prepare_sleep(&reader->mailbox));
  for (int i = 0; i < 3; i++)
    mailbox_post(&reader->mailbox, &letters[i].mail);
  assert_true(is_readable(&reader->mailbox, 0));
  assert_int_equal(reader->mailbox.sleeping, 0);
  uint64_t signals;
  assert_int_equal(read(reader->mailbox.event_fd, &signals, sizeof signals), sizeof signals);
  assert_int_equal(signals, 1);
  free_reader(reader);
}

static void waking_resets_the_descriptor(void **state) {
  (void)state;
  struct reader *reader = new_reader();
  AUTO(mem) struct letter *letters = new_letters(0, 1);
  assert_true(mailbox_prepare_sleep(&reader->mailbox));
  mailbox_post(&reader->mailbox, &letters[0].mail);
  mailbox_woke(&reader->mailbox);
  assert_false(is_readable(&reader->mailbox, 0));
  mailbox_woke(&reader->mailbox);
  assert_int_equal(mailbox_drain(&reader->mailbox), 1);
  free_reader(reader);
}

/* The owner wakes for another reason between a poster's two steps. */
static void a_late_signal_is_taken_back_later(void **state) {
  (void)state;
  struct reader *reader = new_reader();
  struct mailbox *mailbox = &reader->mailbox;
  assert_true(mailbox_prepare_sleep(mailbox));
  assert_int_equal(atomic_exchange(&mailbox->sleeping, 0), 1);
  mailbox_woke(mailbox);
  assert_int_equal(mailbox->owed_signals, 1);
  uint64_t one = 1;
  assert_int_equal(write(mailbox->event_fd, &one, sizeof one), sizeof one);
  assert_true(mailbox_prepare_sleep(mailbox));
  assert_true(is_readable(mailbox, 0));
  mailbox_woke(mailbox);
  assert_false(is_readable(mailbox, 0));
  assert_int_equal(mailbox->owed_signals, 0);
  free_reader(reader);
}

static void on_repost(struct mail *mail, void *context) {
  struct reader *reader = context;
  reader->delivered++;
  mailbox_post(&reader->mailbox, mail);
}

static void mail_posted_while_draining_waits_for_the_next_call(void **state) {
  (void)state;
  struct reader *reader = new_reader();
  struct mail mail = {.deliver = on_repost};
  mailbox_post(&reader->mailbox, &mail);
  for (size_t i = 1; i <= 3; i++) {
    assert_int_equal(mailbox_drain(&reader->mailbox), 1);
    assert_int_equal(reader->delivered, i);
  }
  free_reader(reader);
}

static void on_free(struct mail *mail, void *context) {
  (void)context;
  free(container_of(mail, struct letter, mail));
}

static void delivering_may_free_the_mail(void **state) {
  (void)state;
  struct reader *reader = new_reader();
  for (int i = 0; i < 10; i++) {
    struct letter *letter = x_calloc(1, sizeof *letter);
    letter->mail.deliver = on_free;
    mailbox_post(&reader->mailbox, &letter->mail);
  }
  assert_int_equal(mailbox_drain(&reader->mailbox), 10);
  free_reader(reader);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_mail_comes_once_in_its_poster_s_order),
      cmocka_unit_test(no_wake_up_is_lost),
      cmocka_unit_test(a_chain_keeps_its_order),
      cmocka_unit_test(waiting_mail_forbids_sleep),
      cmocka_unit_test(one_sleep_is_signalled_once),
      cmocka_unit_test(waking_resets_the_descriptor),
      cmocka_unit_test(a_late_signal_is_taken_back_later),
      cmocka_unit_test(mail_posted_while_draining_waits_for_the_next_call),
      cmocka_unit_test(delivering_may_free_the_mail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
