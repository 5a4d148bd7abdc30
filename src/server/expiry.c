#include "eventhub/server/expiry.h"

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"

static int64_t now_s(void) {
  return (int64_t)(clock_wall_ms() / 1000);
}

static struct list *slot_of(struct expiry *expiry, int64_t second) {
  return &expiry->slots[(uint64_t)second % EXPIRY_SLOTS];
}

/* Taken out of their slot first: on_expired may add and remove what it likes. */
static void expire_second(struct expiry *expiry, int64_t second, int64_t now) {
  struct list *slot = slot_of(expiry, second), *link;
  struct list passed;
  list_init(&passed);
  list_append_all(&passed, slot);
  while ((link = list_first(&passed)) != NULL) {
    struct expiry_item *item = container_of(link, struct expiry_item, link);
    if (item->at_s <= now) {
      expiry_remove(expiry, item);
      expiry->on_expired(item, expiry->context);
    } else {
      list_remove(link);
      list_add_tail(slot, link);
    }
  }
}

static void on_tick(struct deadline *deadline, void *context) {
  struct expiry *expiry = context;
  int64_t now = now_s();
  /* A clock that jumps needs no more than one round of the wheel. */
  int64_t first = now - expiry->done_s > EXPIRY_SLOTS ? now - EXPIRY_SLOTS + 1 : expiry->done_s + 1;
  for (int64_t second = first; second <= now; second++)
    expire_second(expiry, second, now);
  /* Also where the clock was set back: the seconds in between come a second time. */
  expiry->done_s = now;
  if (expiry->count > 0) deadline_arm(expiry->loop, &expiry->ticks, deadline);
}

void expiry_init(struct expiry *expiry, struct loop *loop, expiry_fn *on_expired, void *context) {
  expiry->loop = loop;
  expiry->on_expired = on_expired;
  expiry->context = context;
  expiry->count = 0;
  expiry->done_s = now_s();
  for (int i = 0; i < EXPIRY_SLOTS; i++)
    list_init(&expiry->slots[i]);
  deadline_init(&expiry->tick);
  deadline_list_add(loop, &expiry->ticks, EXPIRY_TICK_MS, on_tick, expiry);
}

void expiry_done(struct expiry *expiry) {
  deadline_disarm(&expiry->tick);
  deadline_list_remove(&expiry->ticks);
}

void expiry_add(struct expiry *expiry, struct expiry_item *item, int64_t at_s) {
  item->at_s = at_s;
  /* What is due already waits for the next tick, in a slot that is still to come. */
  int64_t second = at_s > expiry->done_s ? at_s : expiry->done_s + 1;
  list_add_tail(slot_of(expiry, second), &item->link);
  expiry->count++;
  if (!list_is_linked(&expiry->tick.link))
    deadline_arm(expiry->loop, &expiry->ticks, &expiry->tick);
}

void expiry_remove(struct expiry *expiry, struct expiry_item *item) {
  if (!list_is_linked(&item->link)) return;
  list_remove(&item->link);
  expiry->count--;
}
