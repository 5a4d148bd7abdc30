#include "eventhub/store/dispatcher.h"

#include <assert.h>
#include <stdlib.h>

#include "eventhub/base/mem.h"
#include "eventhub/store/store_batch.h"

static bool is_last_match(const struct dispatcher *dispatcher, struct slice topic) {
  return dispatcher->match > 0 && slice_equal(buf_slice(&dispatcher->topic), topic) &&
         topic_trie_version(dispatcher->trie) == dispatcher->version;
}

static uint64_t known_workers(const struct dispatcher *dispatcher) {
  uint64_t workers = 0;
  for (size_t i = 0; i < dispatcher->matches.count; i++)
    workers |= dispatcher->matches.items[i].workers;
  for (unsigned worker = 0; worker < TOPIC_TRIE_WORKERS_MAX; worker++) {
    if (dispatcher->clients[worker] == NULL) workers &= ~(UINT64_C(1) << worker);
  }
  return workers;
}

/* The version is read first: a change during the match then makes it stale, never the other way
 * round. */
static void match_topic(struct dispatcher *dispatcher, struct slice topic) {
  dispatcher->version = topic_trie_version(dispatcher->trie);
  topic_trie_match(dispatcher->trie, topic, &dispatcher->matches);
  dispatcher->match++;
  dispatcher->workers = known_workers(dispatcher);
  buf_clear(&dispatcher->topic);
  buf_append_slice(&dispatcher->topic, topic);
}

/* Into the scratch; answers how many. */
static uint32_t filters_of(struct dispatcher *dispatcher, unsigned worker) {
  const struct topic_matches *matches = &dispatcher->matches;
  if (dispatcher->filter_cap < matches->count) {
    dispatcher->filter_cap = matches->cap;
    dispatcher->filters =
        x_realloc(dispatcher->filters, matches->cap * sizeof dispatcher->filters[0]);
  }
  uint32_t count = 0;
  for (size_t i = 0; i < matches->count; i++) {
    if (matches->items[i].workers >> worker & 1)
      dispatcher->filters[count++] = matches->items[i].filter;
  }
  return count;
}

static void give_to_worker(struct dispatcher *dispatcher, unsigned worker,
                           struct message *message) {
  struct store_client *client = dispatcher->clients[worker];
  if (store_batch_extend(client, dispatcher->match, message)) return;
  uint32_t count = filters_of(dispatcher, worker);
  store_batch_add_message(client, dispatcher->match, dispatcher->filters, count, message);
}

void dispatcher_init(struct dispatcher *dispatcher, struct topic_trie *trie,
                     struct store_metrics *metrics) {
  *dispatcher = (struct dispatcher){.trie = trie, .metrics = metrics};
  buf_init(&dispatcher->topic);
  topic_matches_init(&dispatcher->matches);
}

void dispatcher_done(struct dispatcher *dispatcher) {
  buf_done(&dispatcher->topic);
  topic_matches_done(&dispatcher->matches);
  free(dispatcher->filters);
}

void dispatcher_add_client(struct dispatcher *dispatcher, struct store_client *client) {
  assert(client->worker < TOPIC_TRIE_WORKERS_MAX && dispatcher->clients[client->worker] == NULL);
  dispatcher->clients[client->worker] = client;
}

void dispatcher_dispatch(struct dispatcher *dispatcher, struct message *message) {
  struct slice topic = message_topic(message);
  if (!is_last_match(dispatcher, topic)) match_topic(dispatcher, topic);
  uint64_t workers = dispatcher->workers;
  if (workers == 0) {
    store_metric_add(&dispatcher->metrics->unmatched, 1);
    return;
  }
  dispatcher->dirty |= workers;
  store_metric_add(&dispatcher->metrics->dispatches, (uint64_t)__builtin_popcountll(workers));
  for (; workers != 0; workers &= workers - 1)
    give_to_worker(dispatcher, (unsigned)__builtin_ctzll(workers), message);
}

void dispatcher_answer(struct dispatcher *dispatcher, struct store_request *request) {
  dispatcher->dirty |= UINT64_C(1) << request->client->worker;
  store_batch_add_done(request->client, request);
}

void dispatcher_flush(struct dispatcher *dispatcher) {
  uint64_t dirty = dispatcher->dirty;
  dispatcher->dirty = 0;
  for (; dirty != 0; dirty &= dirty - 1) {
    unsigned worker = (unsigned)__builtin_ctzll(dirty);
    if (!store_batch_post(dispatcher->clients[worker])) continue;
    store_metric_add(&dispatcher->metrics->batches, 1);
  }
}
