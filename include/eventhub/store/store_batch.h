#ifndef EVENTHUB_STORE_STORE_BATCH_H
#define EVENTHUB_STORE_STORE_BATCH_H

/*
 * What the store sends one client at the end of a turn: answers and deliveries in order, in one
 * mail.
 *
 *   events    | delivery | done | done | delivery | ...
 *   messages  | m1 m2 m3 | m4 | ...                      each with a reference
 *   filters   | f7       | f7 f9 | ...
 *
 * A delivery takes further messages for the same filters as long as no cut has come after it
 * (store.h, law 3); plain answers do not close it.
 *
 * The store thread fills and posts, the client's thread runs and hands the empty batch back for the
 * next turn: in the steady state no memory is taken or given.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/mailbox.h"
#include "eventhub/store/store.h"

struct store_event {
  struct store_request *request; /* an answer; NULL = a delivery */
  uint32_t first_filter, filter_count;
  uint32_t first_message, message_count;
};

struct store_batch {
  struct mail mail;
  struct store_client *client;
  struct store_batch *next; /* arrived, on the way back, or spare */
  struct store_event *events;
  struct filter_ref *filters;
  struct message **messages;
  uint32_t event_count, event_cap;
  uint32_t filter_count, filter_cap;
  uint32_t message_count, message_cap;
  uint32_t open;       /* 1 + index of the delivery that may still grow; 0 = none */
  uint64_t open_match; /* the dispatcher's name of the match it was opened for */
  uint32_t next_event; /* the first that was not run; of its messages so many were: */
  uint32_t next_message;
};

enum {
  STORE_BATCH_KEEP_BYTES = 256 * 1024, /* a batch that grew beyond is freed after its turn */
  STORE_BATCH_KEEP_COUNT = 4,          /* spare batches per client */
  STORE_SLICE_MESSAGES = 64,           /* of a delivery that are run at once */
  STORE_SLICE_BYTES = 64 * 1024
};

/* Store thread. All of them take a batch from the spares, or a new one, where the client has none
 * yet. */

/* Its answer; a cut where the operation's answer is one. */
void store_batch_add_done(struct store_client *client, struct store_request *request);
/* Another message for the match that the last delivery was opened for. False: none is open. */
bool store_batch_extend(struct store_client *client, uint64_t match, struct message *message);
/* A message for these filters (copied); joins the open delivery where that has the same. */
void store_batch_add_message(struct store_client *client, uint64_t match,
                             const struct filter_ref *filters, uint32_t filter_count,
                             struct message *message);
/* Posts what there is. False: nothing. */
bool store_batch_post(struct store_client *client);
/* Nobody posts or runs any more. */
void store_batch_free_all(struct store_client *client);

#endif
