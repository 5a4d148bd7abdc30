#ifndef EVENTHUB_SERVER_EXPIRY_H
#define EVENTHUB_SERVER_EXPIRY_H

/*
 * When tokens run out: a hashed wheel of seconds. Adding and removing are O(1), a tick looks only
 * at the items of the seconds that have passed (those of later rounds of the wheel among them), and
 * while nothing is in it no timer runs. Owner: the loop's thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/list.h"
#include "eventhub/net/loop.h"

enum { EXPIRY_SLOTS = 1024, EXPIRY_TICK_MS = 200 };

struct expiry_item {
  struct list link;
  int64_t at_s; /* seconds since the epoch */
};

typedef void expiry_fn(struct expiry_item *item, void *context);

struct expiry {
  struct loop *loop;
  struct deadline_list ticks;
  struct deadline tick;
  struct list slots[EXPIRY_SLOTS];
  int64_t done_s; /* all up to this second are expired */
  size_t count;
  expiry_fn *on_expired;
  void *context;
};

/* on_expired gets items whose second has come; they are removed already. */
void expiry_init(struct expiry *expiry, struct loop *loop, expiry_fn *on_expired, void *context);
void expiry_done(struct expiry *expiry);
void expiry_add(struct expiry *expiry, struct expiry_item *item, int64_t at_s);
/* Harmless for an item that is not in. */
void expiry_remove(struct expiry *expiry, struct expiry_item *item);

#endif
