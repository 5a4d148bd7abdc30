#ifndef EVENTHUB_STORE_BACKEND_H
#define EVENTHUB_STORE_BACKEND_H

/*
 * What stands behind the store: a table of functions over a struct that embeds store_backend first.
 * All but open and free run in turns of the store, one at a time, and so do the calls that a
 * backend makes into the store. Turns are the store thread's, unless the backend is shared.
 *
 * A backend ends each request with one store_finish: within the call, in end_of_turn, or later
 * (Redis). It hands a message to the subscribers with store_dispatch in the same step in which the
 * message becomes visible to its read_log; that is what makes an answer a cut (law 3 of store.h).
 * Two ways to keep it:
 *
 *   memory    run: append, dispatch, finish
 *   journal   run: keep the request
 *             end_of_turn: commit, then append, dispatch, finish each in order; where the commit
 *             fails, finish them with STORE_UNAVAILABLE: nothing has been visible
 *
 * Descriptors and deadlines of a backend go into store_loop, from start on.
 */

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/store/store.h"

struct loop;

/* When a backend wants its next tend. */
enum store_tend {
  STORE_TEND_IDLE, /* not before there have been requests again */
  STORE_TEND_TICK, /* in STORE_TICK_MS */
  STORE_TEND_SOON  /* work is left over: next turn */
};

enum { STORE_TICK_MS = 1000, STORE_SOON_MS = 1, STORE_TURN_REQUESTS_MAX = 4096 };

typedef void store_run_fn(struct store_backend *backend, struct store_request *request);

struct store_backend_ops {
  const char *name;
  /* Its turns may run on any thread, one at a time: it finishes every request within its turn, and
   * uses neither store_loop nor start and stop. So a worker that has requests runs them itself, and
   * nobody has to be woken for them. */
  bool is_shared;
  /* On the thread of store_start, before the store thread exists: loads, may take its time. 0 or an
   * error, which ends the start. NULL: nothing to do. */
  int (*open)(struct store_backend *backend);
  /* Store thread, first of all. NULL: the store is ready at once; else the backend says so with
   * store_set_ready. */
  void (*start)(struct store_backend *backend);
  /* Indexed by op. NULL: STORE_WATCH, STORE_UNWATCH, STORE_BARRIER answer STORE_OK, others
   * STORE_DISABLED. A backend that finishes requests later than in their turn has a STORE_BARRIER
   * of its own. */
  store_run_fn *run[STORE_OP_COUNT];
  /* After the requests of a turn, or of STORE_TURN_REQUESTS_MAX of them, before anything is posted
   * to the workers; also in turns without requests. NULL: nothing to do. */
  void (*end_of_turn)(struct store_backend *backend);
  /* Housekeeping: about a millisecond's worth. NULL: none. */
  enum store_tend (*tend)(struct store_backend *backend);
  /* On the store thread, beside turns, which may run on others meanwhile: what takes long, such as
   * writing to a disk. After each tend that was due. NULL: nothing. */
  void (*write)(struct store_backend *backend);
  /* Last on the store thread, when nobody has turns any more: finishes every request that is still
   * open. NULL: nothing to do. */
  void (*stop)(struct store_backend *backend);
  /* After the thread is gone, or without start. */
  void (*free)(struct store_backend *backend);
};

struct store_backend {
  const struct store_backend_ops *ops;
  struct buf problem;  /* why open failed: a sentence for the operator */
  struct store *store; /* set by store_new_with */
};

/* Answers a request; it is the asker's again at the end of the turn. */
void store_finish(struct store_request *request, enum store_status status);
/* Hands the message, which has its id, to every worker with a matching filter. Takes references of
 * its own. */
void store_dispatch(struct store *store, struct message *message);

/* Wall clock in ms, read once per turn: all that one turn does happens at the same time. */
uint64_t store_now_ms(struct store *store);
struct loop *store_loop(struct store *store);
struct store_metrics *store_backend_metrics(struct store *store);
void store_set_ready(struct store *store, bool ready);

#endif
