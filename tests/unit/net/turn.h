#ifndef EVENTHUB_TESTS_NET_TURN_H
#define EVENTHUB_TESTS_NET_TURN_H

/* A loop driven by hand, turn by turn. Include after cmocka.h. */

#include <poll.h>

#include "eventhub/net/loop.h"

/* Stands in for a loop's own on_turn_end, which it calls. */
struct one_turn {
  struct loop *loop;
  void (*on_turn_end)(void *context);
  void *context;
};

static inline void end_one_turn(void *context) {
  const struct one_turn *one = context;
  if (one->on_turn_end != NULL) one->on_turn_end(one->context);
  loop_stop(one->loop);
}

/* One turn, which sleeps until there is an event or a deadline. */
static inline void turn_and_wait(struct loop *loop) {
  struct one_turn one = {.loop = loop, .on_turn_end = loop->on_turn_end, .context = loop->context};
  loop->on_turn_end = end_one_turn;
  loop->context = &one;
  loop_run(loop);
  loop->stopping = false;
  loop->on_turn_end = one.on_turn_end;
  loop->context = one.context;
}

static inline void ignore_mail(struct mail *mail, void *context) {
  (void)mail;
  (void)context;
}

/* One turn, which does not sleep. */
static inline void turn(struct loop *loop) {
  struct mail awake = {.deliver = ignore_mail};
  mailbox_post(&loop->mailbox, &awake);
  turn_and_wait(loop);
}

/* Is there anything that a turn would do now? Deadlines apart. */
static inline bool has_work(struct loop *loop) {
  struct pollfd fd = {.fd = loop->epoll_fd, .events = POLLIN};
  return loop->again_count > 0 || loop->is_hurried || atomic_load(&loop->mailbox.head) != NULL ||
         poll(&fd, 1, 0) > 0;
}

#endif
