#include "eventhub/base/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"

int mailbox_init(struct mailbox *mailbox, void *context) {
  *mailbox = (struct mailbox){.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  mailbox->context = context;
  return mailbox->event_fd < 0 ? ERR_SYSTEM : 0;
}

void mailbox_done(struct mailbox *mailbox) {
  fd_cleanup(&mailbox->event_fd);
  mailbox->event_fd = -1;
}

/* Turns a chain around and answers its new first; what was first ends in `tail`. */
static struct mail *reverse(struct mail *mail, struct mail *tail) {
  while (mail) {
    struct mail *next = mail->next;
    mail->next = tail;
    tail = mail;
    mail = next;
  }
  return tail;
}

/* Only the poster that takes `sleeping` away writes. */
static void wake_owner(struct mailbox *mailbox) {
  if (!atomic_load(&mailbox->sleeping) || !atomic_exchange(&mailbox->sleeping, 0)) return;
  uint64_t one = 1;
  ssize_t written;
  do
    written = write(mailbox->event_fd, &one, sizeof one);
  while (written < 0 && errno == EINTR);
  assert(written == sizeof one);
}

/* newest..oldest is a chain in the order of the stack. */
static void push(struct mailbox *mailbox, struct mail *newest, struct mail *oldest) {
  struct mail *head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
  do
    oldest->next = head;
  while (!atomic_compare_exchange_weak(&mailbox->head, &head, newest));
  wake_owner(mailbox);
}

void mailbox_post(struct mailbox *mailbox, struct mail *mail) {
  push(mailbox, mail, mail);
}

void mailbox_post_chain(struct mailbox *mailbox, struct mail *first, struct mail *last) {
  last->next = NULL;
  reverse(first, NULL);
  push(mailbox, last, first);
}

size_t mailbox_drain(struct mailbox *mailbox) {
  if (!atomic_load_explicit(&mailbox->head, memory_order_relaxed)) return 0;
  struct mail *newest = atomic_exchange_explicit(&mailbox->head, NULL, memory_order_acquire);
  size_t n = 0;
  struct mail *next;
  for (struct mail *mail = reverse(newest, NULL); mail; mail = next) {
    next = mail->next; /* deliver may free or repost the mail */
    mail->deliver(mail, mailbox->context);
    n++;
  }
  return n;
}

/* Takes `sleeping` back. A poster that was faster has written event_fd, or is about to. */
static void stop_sleeping(struct mailbox *mailbox) {
  mailbox->is_prepared = false;
  if (!atomic_exchange(&mailbox->sleeping, 0)) mailbox->owed_signals++;
}

bool mailbox_prepare_sleep(struct mailbox *mailbox) {
  mailbox->is_prepared = true;
  atomic_store(&mailbox->sleeping, 1);
  if (!atomic_load(&mailbox->head)) return true;
  stop_sleeping(mailbox);
  return false;
}

/* The poster's write may come after we woke for another reason: it stays owed until a later call
 * finds it. So event_fd is read once per signal, and never in vain on an idle turn. */
void mailbox_woke(struct mailbox *mailbox) {
  if (mailbox->is_prepared) stop_sleeping(mailbox);
  if (mailbox->owed_signals == 0) return;
  uint64_t signals;
  if (read(mailbox->event_fd, &signals, sizeof signals) == sizeof signals)
    mailbox->owed_signals -= signals;
}
