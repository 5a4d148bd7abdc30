#ifndef EVENTHUB_NET_LOOP_H
#define EVENTHUB_NET_LOOP_H

/*
 * One epoll loop, owned by one thread.
 *
 * A turn of the loop:
 *
 *   epoll_wait -> ios asked for again -> on_ready of each descriptor -> mailbox -> deadlines
 *              -> on_turn_end
 *
 * Nobody may keep the others waiting: work that can be cut short is, when the turn is late, and
 * goes on in the next one, before what is new (loop_again, loop_hurry).
 *
 * Everything that can wait until the end of the turn (writes, frees, posts to other threads)
 * belongs in on_turn_end: that is where the work of many events becomes one system call per
 * connection.
 *
 * Only the owner thread may call these functions, and most of them check it; others post to the
 * mailbox.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/list.h"
#include "eventhub/base/mailbox.h"

struct loop;
struct loop_io;

/* `events` are EPOLL* bits. The io may be removed inside the call, but not freed before
 * on_turn_end. */
typedef void loop_ready_fn(struct loop_io *io, uint32_t events);

/* A descriptor in the loop; embed it. `fd` belongs to the embedder, who closes it after
 * loop_remove. */
struct loop_io {
  loop_ready_fn *on_ready;
  int fd;
  bool again; /* waits in the loop's list of ios to call once more in the next round */
};

/*
 * Deadlines. All that share one timeout value stand in one FIFO list, so that arming and expiring
 * are O(1) for any number of connections. A list may be late by up to 1/64 of its timeout (at most
 * 250 ms), so that thousands of idle connections share a wake-up.
 */
struct deadline {
  struct list link;
  uint64_t at_ms;
};

/* The deadline is disarmed when this is called; it may arm itself again. */
typedef void deadline_fn(struct deadline *deadline, void *context);

struct deadline_list {
  struct list link; /* in the loop */
  struct list items;
  uint32_t timeout_ms;
  deadline_fn *on_expired;
  void *context;
};

/* Reading and handling have this much of a turn, sending as much again. */
enum { LOOP_SHARE_NS = 1000 * 1000 };

struct loop {
  int epoll_fd;
  bool stopping;
  bool is_hurried; /* the next turn does not sleep */
  pthread_t owner;
  uint64_t now_ms; /* monotonic, read once a turn */
  uint64_t turn_start_ns;
  uint64_t busy_ns;    /* sum of the time spent in turns */
  uint64_t longest_ns; /* longest turn since somebody set it to 0 */
  struct mailbox mailbox;
  struct loop_io mailbox_io;
  struct list deadline_lists;
  struct loop_io **again; /* ios to call without waiting for a new event */
  size_t again_count, again_cap;
  void (*on_turn_end)(void *context);
  void *context;
};

/* 0, or ERR_SYSTEM with errno. `context` goes to on_turn_end and to the mail that is delivered
 * here. */
int loop_init(struct loop *loop, void (*on_turn_end)(void *context), void *context);
void loop_done(struct loop *loop);

/* The calling thread owns the loop from now on; the thread that owned it has ended or never ran. */
void loop_adopt(struct loop *loop);
/* Runs turns on the calling thread, which owns the loop from now on, until loop_stop. */
void loop_run(struct loop *loop);
/* Ends loop_run after the running turn. Owner thread only; others post a mail that calls it. */
void loop_stop(struct loop *loop);

/* `events`: EPOLLIN and so on, with EPOLLET where wanted. 0, or ERR_SYSTEM with errno. */
int loop_add(struct loop *loop, struct loop_io *io, uint32_t events);
int loop_modify(struct loop *loop, struct loop_io *io, uint32_t events);
/* Before closing the descriptor. The io must stay allocated until the end of the turn. */
void loop_remove(struct loop *loop, struct loop_io *io);
/* Calls on_ready with EPOLLIN once more in the next turn, which then does not sleep: for an
 * edge-triggered io whose work was cut short for fairness or back-pressure. */
void loop_again(struct loop *loop, struct loop_io *io);

/* The next turn does not sleep: on_turn_end has left something for it. */
static inline void loop_hurry(struct loop *loop) {
  loop->is_hurried = true;
}
/* Has this turn lasted so long that what can wait should? Reads the clock. */
bool loop_is_late(const struct loop *loop);

void deadline_list_add(struct loop *loop, struct deadline_list *list, uint32_t timeout_ms,
                       deadline_fn *on_expired, void *context);
void deadline_list_remove(struct deadline_list *list);
void deadline_init(struct deadline *deadline);
/* From now on `timeout_ms` of the list; moves it if it is armed, in this or another list. */
void deadline_arm(struct loop *loop, struct deadline_list *list, struct deadline *deadline);
void deadline_disarm(struct deadline *deadline);

/* Aborts when the caller is not the loop's thread. */
void loop_assert_owner(const struct loop *loop);

#endif
