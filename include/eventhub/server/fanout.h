#ifndef EVENTHUB_SERVER_FANOUT_H
#define EVENTHUB_SERVER_FANOUT_H

/*
 * A worker's subscriptions, and how a message becomes bytes on their connections.
 *
 *   filter number --> fanout_filter --> group (id "1") --> member, member, member ...
 *                                   --> group (id "7") --> member
 *
 * Subscribers of one filter whose requests had the same JSON-RPC id, and that have messages in the
 * same form (encoder.h), get the same bytes: they are a group, and a message is encoded once for
 * each group, not for each subscriber. Most clients use the same small numbers. Messages that
 * follow each other and go to the same filters (a delivery) are encoded one behind the other, so
 * that a member gets one span for all of them.
 *
 * The first subscription to a filter registers the worker in the shared trie, the last one removes
 * it. Only the worker's thread may call these functions.
 */

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/list.h"
#include "eventhub/base/map.h"
#include "eventhub/base/slice.h"
#include "eventhub/server/connection.h"
#include "eventhub/server/encoder.h"
#include "eventhub/store/store.h"
#include "eventhub/topic/trie.h"

struct fanout_filter;
struct fanout_group;
struct fanout_hold;

enum subscription_state {
  SUBSCRIPTION_LIVE,
  SUBSCRIPTION_CATCHING_UP, /* waits for the store: live messages pass it by (store.h, law 3) */
  SUBSCRIPTION_HELD         /* waits for its answer to leave: live messages are kept until then */
};

/* One topic or pattern on one connection, at most one for each pair. Owned by the fanout; a session
 * keeps its own in a list by `link`. */
struct subscription {
  struct list link;
  struct map_node node;
  struct subscription_key {
    uint32_t slot, filter; /* the connection's and the filter's number */
  } key;
  struct fanout_group *group;
  struct connection *connection;
  struct fanout_hold *hold; /* what is kept while it is held, else NULL */
  uint32_t index;           /* among the group's members; SUBSCRIPTION_NO_INDEX unless it is live */
  /* The session's: requests are numbered, so that the answer to one finds what it is for. */
  uint32_t waiting; /* requests about it that are away */
  uint64_t born;    /* the one that made it: what was asked before it was about another one */
  uint64_t serial;  /* the latest that was granted; 0 = none yet */
};

enum { SUBSCRIPTION_NO_INDEX = UINT32_MAX };

struct fanout {
  struct topic_trie *trie;
  struct connection_pool *pool;
  struct store_client *client;
  unsigned worker;
  struct fanout_filter **by_number;
  uint32_t number_cap;
  struct encoder encoder;
  struct map by_text;
  struct map groups;
  struct map subscriptions;
};

/* All of it must outlive the fanout. `worker` is this worker's bit in the trie. `client` submits
 * the end of watches (watch.h); NULL = nobody wants to know. */
void fanout_init(struct fanout *fanout, struct topic_trie *trie, struct connection_pool *pool,
                 struct store_client *client, unsigned worker);
/* All subscriptions must be gone. */
void fanout_done(struct fanout *fanout);

/* This connection's subscription to exactly this filter, or NULL. */
struct subscription *fanout_find(const struct fanout *fanout, const struct connection *connection,
                                 struct slice filter);
/* `filter` is valid and the connection is not subscribed to it; `id` is the JSON text that each
 * message will carry. Never fails; the connection must unsubscribe before it is freed. */
struct subscription *fanout_subscribe(struct fanout *fanout, struct connection *connection,
                                      struct slice filter, struct slice id,
                                      enum subscription_state state);
/* The messages to come carry another id, in another state. So do those that were kept: they stay
 * kept, are queued (live), or are left to the history (catching up). */
void fanout_change(struct fanout *fanout, struct subscription *subscription, struct slice id,
                   enum subscription_state state);
/* Catching up ends, but the answer is not sent yet. What is kept counts like what is queued: too
 * much of it closes the connection. */
void fanout_hold(struct fanout *fanout, struct subscription *subscription);
/* Live from now on; what was kept is queued first. */
void fanout_activate(struct fanout *fanout, struct subscription *subscription);
/* Frees the subscription. */
void fanout_unsubscribe(struct fanout *fanout, struct subscription *subscription);

/* Is it neither live nor held? */
static inline bool subscription_is_catching_up(const struct subscription *subscription) {
  return subscription->index == SUBSCRIPTION_NO_INDEX && subscription->hold == NULL;
}
struct slice subscription_filter(const struct subscription *subscription);
struct slice subscription_id(const struct subscription *subscription);

/* Queues the messages for every live subscription of the delivery's filters. A gap (message.h) is
 * one of them and keeps its place: live subscriptions get it as a notification, held ones later,
 * and those that catch up not at all, since their history says by itself whether it is whole.
 * Answers how often something was queued. */
size_t fanout_deliver(struct fanout *fanout, const struct delivery *delivery);
/* Queues messages for one subscription, in whatever state. */
void fanout_send(struct fanout *fanout, struct subscription *subscription,
                 struct message *const *messages, size_t count);

#endif
