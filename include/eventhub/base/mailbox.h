/* How threads talk: many post, one owner drains.
 *
 * A mail is embedded in what is sent, so posting takes no memory. Posting gives the mail and what
 * it is embedded in to the mailbox, delivering gives it to `deliver`, which may free or repost it.
 * Posting is lock-free. Mails come out in the order in which they went in; in particular all mails
 * of one poster keep their order.
 *
 * Sleeping. The owner waits for event_fd to become readable (together with its sockets):
 *
 *   owner:   timeout = mailbox_prepare_sleep(mb) ? whatever : 0;
 *            epoll_wait(..., timeout);
 *            mailbox_woke(mb);
 *            mailbox_drain(mb);
 *   poster:  push; if (sleeping was set, and it was me who cleared it) write event_fd
 *
 * Owner sets `sleeping`, then looks for mail; poster puts mail, then looks at `sleeping`. Both
 * pairs are sequentially consistent, so at least one of them sees the other: no wake-up is lost.
 * And only one poster per sleep pays for a system call. */
#ifndef EVENTHUB_BASE_MAILBOX_H
#define EVENTHUB_BASE_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mail {
  struct mail *next;
  void (*deliver)(struct mail *mail, void *context);
};

enum { MAILBOX_APART = 64 }; /* a cache line */

struct mailbox {
  int event_fd;          /* does not change after init: posters write to the descriptor */
  bool is_prepared;      /* the owner's: between prepare_sleep and woke */
  uint64_t owed_signals; /* the owner's: posters took `sleeping`, their write was not read yet */
  void *context;         /* handed to deliver */
  /* Posters on all cores write here: away from the fields around, wherever the struct lies. */
  char before[MAILBOX_APART];
  _Atomic(struct mail *) head; /* newest mail first */
  atomic_int sleeping;
  char behind[MAILBOX_APART];
};

/* The calling thread need not be the owner. 0, or ERR_SYSTEM (no descriptor left). */
int mailbox_init(struct mailbox *mailbox, void *context);

/* When no poster is left. Drain first: what is still inside is not delivered. A mailbox that
 * failed to init may be done, too. */
void mailbox_done(struct mailbox *mailbox);

/* Any thread, the owner included. mail->deliver is set; the mail belongs to the mailbox. */
void mailbox_post(struct mailbox *mailbox, struct mail *mail);

/* Posts first..last, linked by next, as one: they are delivered in this order with nothing in
 * between. last->next need not be set. */
void mailbox_post_chain(struct mailbox *mailbox, struct mail *first, struct mail *last);

/* Owner only. Delivers, oldest first, what was inside when it was called; what is posted
 * meanwhile (also by `deliver`) waits for the next call. Answers how many. */
size_t mailbox_drain(struct mailbox *mailbox);

/* Owner only, before it blocks. False: mail is waiting, do not block. */
bool mailbox_prepare_sleep(struct mailbox *mailbox);

/* Owner only, after it blocked (or could have); resets event_fd if it was signalled. Cheap, and
 * harmless when nothing was prepared. */
void mailbox_woke(struct mailbox *mailbox);

#endif
