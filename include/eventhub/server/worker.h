#ifndef EVENTHUB_SERVER_WORKER_H
#define EVENTHUB_SERVER_WORKER_H

/*
 * A worker: one thread, one loop, listeners of its own, and everything that belongs to the
 * connections which these accepted. What all workers share is the broker: read-only
 * options, the trie, the store, and two atomics.
 *
 * The end of each turn hands the turn's requests to the store and then flushes the connections.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "eventhub/net/listener.h"
#include "eventhub/net/loop.h"
#include "eventhub/net/tls.h"
#include "eventhub/server/address_table.h"
#include "eventhub/server/connection.h"
#include "eventhub/server/expiry.h"
#include "eventhub/server/fanout.h"
#include "eventhub/server/metrics.h"
#include "eventhub/server/options.h"
#include "eventhub/store/store.h"
#include "eventhub/topic/token.h"

struct worker;

/* Made by the daemon before the first worker starts; outlives the last. */
struct broker {
  const struct options *options;
  struct topic_trie *trie;
  struct store *store;
  struct jws_keyring keys; /* what tokens are checked with */
  struct tls_slot tls;     /* what the TLS listeners accept with */
  struct worker *workers;
  unsigned worker_count;
  uint64_t max_sessions;     /* WebSocket connections of the process */
  _Atomic uint64_t sessions; /* ... that there are */
  struct address_table addresses;
  struct network_list proxies; /* that are trusted */
  atomic_bool is_draining;
  struct slice version;
  char instance[320]; /* "host:port", for metrics */
  uint64_t started_s; /* since the epoch */
};

/* How far a worker has come on its way out; the daemon waits for each step on all workers. */
enum worker_phase {
  WORKER_SERVING,
  WORKER_DEAF,  /* accepts and reads nothing more; all that it had read is with the store */
  WORKER_CLOSED /* every connection got what was for it, and its close frame, and is gone */
};

struct worker {
  struct broker *broker;
  unsigned index;
  pthread_t thread;
  bool has_thread;
  struct loop loop;
  struct metrics metrics;
  struct connection_pool pool;
  struct fanout fanout;
  struct expiry expiry; /* of tokens */
  struct store_client client;
  struct listener listener, tls_listener; /* each of them only where it is wanted */
  struct buf scratch;                     /* for the text of one answer */
  struct list jobs;                       /* batches of requests that are not all run yet */
  uint64_t batch_share_ns;                /* of a turn for the requests of batches */
  uint64_t delay_since_ms;                /* the loop's longest turn counts from here on */
  /* leaving */
  _Atomic int phase;  /* enum worker_phase */
  int phase_event_fd; /* the daemon's; written at each step */
  bool is_going_deaf;
  struct mail stop_reading, close_all, leave; /* the daemon's orders */
  struct store_request barrier;
  struct deadline_list spread_list;
  struct deadline spread;
  uint64_t close_started_ms, close_spread_ms;
  uint32_t close_slot; /* next connection to close */
};

/* Opens the listeners. 0 or the error of listener_start; main thread. */
int worker_init(struct worker *worker, struct broker *broker, unsigned index, int phase_event_fd);
int worker_start(struct worker *worker);

/* The steps of leaving, from the main thread; phase_event_fd tells of each. Once all workers are
 * deaf, whatever any of them had read is in the store's mailbox. So the answer to a barrier that is
 * submitted after that comes behind every message that is still to be delivered, whoever published
 * it. */
void worker_stop_reading(struct worker *worker); /* ends in WORKER_DEAF */
void worker_close_all(struct worker *worker);    /* after all are deaf; ends in WORKER_CLOSED */

/* Ends the thread, whatever its phase. Before store_stop. */
void worker_join(struct worker *worker);
/* After store_stop. */
void worker_done(struct worker *worker);

#endif
