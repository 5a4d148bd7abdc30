#ifndef EVENTHUB_STORE_DISPATCHER_H
#define EVENTHUB_STORE_DISPATCHER_H

/*
 * From a published message to the clients' batches: matches the topic against the shared trie and
 * adds the message to the batch of each worker that has a matching filter. The last match is kept
 * while the topic and the trie stay the same, so that a run of messages in one topic is matched
 * once. Store thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/store/store.h"
#include "eventhub/topic/trie.h"

struct dispatcher {
  struct topic_trie *trie;
  struct store_client *clients[TOPIC_TRIE_WORKERS_MAX];
  uint64_t dirty; /* workers whose batch has something in it */
  struct store_metrics *metrics;
  struct buf topic;             /* of the last match */
  struct topic_matches matches; /* the last match */
  uint64_t version;             /* of the trie, before the last match */
  uint64_t match;               /* counts matches */
  uint64_t workers;             /* all that the last match names and that are there */
  struct filter_ref *filters;   /* scratch: one worker's */
  size_t filter_cap;
};

void dispatcher_init(struct dispatcher *dispatcher, struct topic_trie *trie,
                     struct store_metrics *metrics);
void dispatcher_done(struct dispatcher *dispatcher);

void dispatcher_add_client(struct dispatcher *dispatcher, struct store_client *client);
void dispatcher_dispatch(struct dispatcher *dispatcher, struct message *message);
void dispatcher_answer(struct dispatcher *dispatcher, struct store_request *request);
/* Posts every batch of the turn. */
void dispatcher_flush(struct dispatcher *dispatcher);

#endif
