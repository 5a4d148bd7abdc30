#include "eventhub/store/store.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/net/loop.h"
#include "eventhub/store/backend.h"
#include "eventhub/store/dispatcher.h"
#include "eventhub/store/embedded.h"
#include "eventhub/store/log_read.h"
#include "eventhub/store/store_batch.h"

/*
 * Whose turn it is. Requests wait in `requests`. With a backend that is shared (backend.h) whoever
 * has posted some runs a turn on its own thread, unless somebody is at it:
 *
 *   poster:  push; if (busy was not set, and it was me who set it) run a turn, clear busy, look
 *            for requests again
 *
 * All of that is sequentially consistent: a poster that finds `busy` set has pushed before it was
 * cleared, so whoever clears it sees the request. Other backends have turns on the store thread
 * only; when that is gone, posters refuse requests in the same way.
 */
struct store {
  struct loop loop;
  struct store_backend *backend;
  struct dispatcher dispatcher;
  struct store_metrics metrics;
  struct mailbox *requests;       /* that of the loop, or: */
  struct mailbox shared_requests; /* at which nobody sleeps */
  atomic_bool busy;               /* somebody has the turn */
  atomic_bool needs_help;         /* help_mail is under way */
  struct deadline_list tick, soon;
  struct deadline tend;
  enum store_tend next_tend; /* what the last tend has asked for */
  struct mail tend_mail;     /* to whoever has the turn: time to tend */
  struct mail arm_mail;      /* to the store thread: the deadline for that */
  struct mail help_mail;     /* to the store thread: others have had enough turns */
  struct mail stop_mail;
  pthread_t thread;
  bool has_thread;
  bool has_started;
  bool has_time;
  uint64_t now_ms; /* while has_time */
  uint32_t turn_requests;
  atomic_bool ready;
  atomic_bool stopped; /* requests are refused */
};

/* Turns that a poster runs in a row for what others post meanwhile. */
enum { POSTER_TURNS = 2 };

/* Is this in a turn? (Where turns are the store thread's, on that thread.) */
static void assert_turn(const struct store *store) {
  if (store->backend->ops->is_shared) {
    assert(atomic_load_explicit(&store->busy, memory_order_relaxed));
  } else {
    loop_assert_owner(&store->loop);
  }
}

static void answer(struct store *store, struct store_request *request, enum store_status status) {
  request->status = status;
  dispatcher_answer(&store->dispatcher, request);
}

static enum store_status status_without_backend(enum store_op op) {
  bool is_fine = op == STORE_WATCH || op == STORE_UNWATCH || op == STORE_BARRIER;
  return is_fine ? STORE_OK : STORE_DISABLED;
}

/* In whose turn a tend has ended, or has become due. */
static void expect_tend(struct store *store, enum store_tend next) {
  store->next_tend = next;
  if (next != STORE_TEND_IDLE) mailbox_post(&store->loop.mailbox, &store->arm_mail);
}

static void end_turn(struct store *store) {
  struct store_backend *backend = store->backend;
  if (backend->ops->end_of_turn != NULL) backend->ops->end_of_turn(backend);
  dispatcher_flush(&store->dispatcher);
  store->has_time = false;
  if (store->turn_requests == 0) return;
  store_metric_add(&store->metrics.turns, 1);
  store_metric_add(&store->metrics.requests, store->turn_requests);
  store->turn_requests = 0;
  if (backend->ops->tend != NULL && store->next_tend == STORE_TEND_IDLE)
    expect_tend(store, STORE_TEND_TICK);
}

static void run_request(struct store *store, struct store_request *request) {
  store_run_fn *run = store->backend->ops->run[request->op];
  if (run != NULL) {
    run(store->backend, request);
  } else {
    answer(store, request, status_without_backend(request->op));
  }
  if (++store->turn_requests == STORE_TURN_REQUESTS_MAX) end_turn(store);
}

/* By whoever has the turn. */
static void on_request(struct mail *mail, void *context) {
  struct store *store = context;
  struct store_request *request = container_of(mail, struct store_request, mail);
  if (atomic_load_explicit(&store->stopped, memory_order_relaxed)) {
    answer(store, request, STORE_STOPPED);
  } else {
    run_request(store, request);
  }
}

/* ---- turns ---- */

static bool take_turn(struct store *store) {
  return !atomic_load(&store->busy) && !atomic_exchange(&store->busy, true);
}

static void give_turn(struct store *store) {
  atomic_store(&store->busy, false);
}

static bool has_requests(const struct store *store) {
  return atomic_load(&store->requests->head) != NULL;
}

static void run_turn(struct store *store) {
  mailbox_drain(store->requests);
  if (atomic_load_explicit(&store->stopped, memory_order_relaxed)) {
    dispatcher_flush(&store->dispatcher);
  } else {
    end_turn(store);
  }
}

/* As many turns as there are requests for, unless somebody else runs them; no more than `max`.
 * False: there are more. */
static bool run_turns(struct store *store, size_t max) {
  for (size_t i = 0; has_requests(store); i++) {
    if (i == max) return false;
    if (!take_turn(store)) return true;
    run_turn(store);
    give_turn(store);
  }
  return true;
}

static void run_all_turns(struct store *store) {
  run_turns(store, SIZE_MAX);
}

/* A worker that is kept at it by others leaves the rest to the store thread. */
static void run_own_turns(struct store *store) {
  if (run_turns(store, POSTER_TURNS) || atomic_exchange(&store->needs_help, true)) return;
  mailbox_post(&store->loop.mailbox, &store->help_mail);
}

static void on_help(struct mail *mail, void *context) {
  (void)mail;
  struct store *store = context;
  atomic_store(&store->needs_help, false);
  run_all_turns(store);
}

/* End of a turn of the store thread's loop. It is a turn of the store, too, where that has none
 * elsewhere: also without requests, for what comes by descriptors. */
static void on_turn_end(void *context) {
  struct store *store = context;
  if (!store->backend->ops->is_shared) run_turn(store);
}

/* ---- housekeeping ---- */

static void on_tend_turn(struct mail *mail, void *context) {
  (void)mail;
  struct store *store = context;
  if (atomic_load_explicit(&store->stopped, memory_order_relaxed)) return;
  expect_tend(store, store->backend->ops->tend(store->backend));
}

static void on_tend_due(struct deadline *deadline, void *context) {
  (void)deadline;
  struct store *store = context;
  const struct store_backend_ops *ops = store->backend->ops;
  mailbox_post(store->requests, &store->tend_mail);
  if (ops->is_shared) run_all_turns(store);
  if (ops->write != NULL) ops->write(store->backend);
}

/* The mail was posted by whoever wrote next_tend, and nobody does again before the tend. */
static void on_arm(struct mail *mail, void *context) {
  (void)mail;
  struct store *store = context;
  if (atomic_load_explicit(&store->stopped, memory_order_relaxed)) return; /* no thread any more */
  bool is_soon = store->next_tend == STORE_TEND_SOON;
  deadline_arm(&store->loop, is_soon ? &store->soon : &store->tick, &store->tend);
}

/* ---- from start to stop ---- */

static void on_stop(struct mail *mail, void *context) {
  (void)mail;
  struct store *store = context;
  loop_stop(&store->loop);
}

static void *run_thread(void *context) {
  struct store *store = context;
  const struct store_backend_ops *ops = store->backend->ops;
  loop_adopt(&store->loop);
  if (ops->start != NULL) ops->start(store->backend);
  loop_run(&store->loop);
  if (ops->is_shared) {
    run_all_turns(store); /* what was flushed before the stop */
    if (ops->stop != NULL) ops->stop(store->backend);
    return NULL;
  }
  run_turn(store);
  if (ops->stop != NULL) ops->stop(store->backend);
  end_turn(store);
  return NULL;
}

struct store *store_new(const struct store_config *config, struct topic_trie *trie) {
  return store_new_with(embedded_new(config), trie);
}

struct store *store_new_with(struct store_backend *backend, struct topic_trie *trie) {
  struct store *store = x_calloc(1, sizeof *store);
  if (loop_init(&store->loop, on_turn_end, store) < 0) goto fail;
  store->backend = backend;
  backend->store = store;
  atomic_init(&store->busy, true); /* until it has started */
  store->shared_requests = (struct mailbox){.event_fd = -1, .context = store};
  store->requests = backend->ops->is_shared ? &store->shared_requests : &store->loop.mailbox;
  store->stop_mail.deliver = on_stop;
  store->tend_mail.deliver = on_tend_turn;
  store->arm_mail.deliver = on_arm;
  store->help_mail.deliver = on_help;
  dispatcher_init(&store->dispatcher, trie, &store->metrics);
  deadline_list_add(&store->loop, &store->tick, STORE_TICK_MS, on_tend_due, store);
  deadline_list_add(&store->loop, &store->soon, STORE_SOON_MS, on_tend_due, store);
  deadline_init(&store->tend);
  return store;

fail:
  backend->ops->free(backend);
  free(store);
  return NULL;
}

/* Signals are the main thread's. */
static int start_thread(struct store *store) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&store->thread, NULL, run_thread, store);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (failed != 0) {
    errno = failed;
    return ERR_SYSTEM;
  }
  pthread_setname_np(store->thread, "store");
  return 0;
}

int store_start(struct store *store) {
  struct store_backend *backend = store->backend;
  if (backend->ops->open != NULL) {
    int err = backend->ops->open(backend);
    if (err < 0) return err;
  }
  int err = start_thread(store);
  if (err < 0) return err;
  store->has_thread = true;
  store->has_started = true;
  give_turn(store);
  if (backend->ops->start == NULL) store_set_ready(store, true);
  return 0;
}

struct slice store_problem(const struct store *store) {
  return buf_slice(&store->backend->problem);
}

void store_stop(struct store *store) {
  if (store->has_thread) {
    mailbox_post(&store->loop.mailbox, &store->stop_mail);
    pthread_join(store->thread, NULL);
    store->has_thread = false;
  }
  store_set_ready(store, false);
  atomic_store(&store->stopped, true);
  if (!store->has_started) give_turn(store);
  store->has_started = true;
  run_all_turns(store);
  /* Somebody else may be in the middle of a turn, and post what it has when we are back. */
  while (atomic_load(&store->busy))
    sched_yield();
}

void store_free(struct store *store) {
  if (store == NULL) return;
  assert(!store->has_thread);
  buf_done(&store->backend->problem);
  store->backend->ops->free(store->backend);
  dispatcher_done(&store->dispatcher);
  loop_done(&store->loop);
  free(store);
}

bool store_is_ready(const struct store *store) {
  return atomic_load(&store->ready);
}

bool store_watches(const struct store *store) {
  return store->backend->ops->run[STORE_WATCH] != NULL;
}

const char *store_backend_name(const struct store *store) {
  return store->backend->ops->name;
}

const struct store_metrics *store_metrics(const struct store *store) {
  return &store->metrics;
}

void store_client_init(struct store_client *client, struct store *store, unsigned worker,
                       struct mailbox *mailbox, const struct store_callbacks *callbacks,
                       void *context) {
  *client = (struct store_client){.store = store,
                                  .mailbox = mailbox,
                                  .callbacks = *callbacks,
                                  .context = context,
                                  .worker = worker};
  dispatcher_add_client(&store->dispatcher, client);
}

void store_submit(struct store_client *client, struct store_request *request) {
  request->client = client;
  request->mail = (struct mail){.next = NULL, .deliver = on_request};
  if (client->last == NULL) {
    client->first = &request->mail;
  } else {
    client->last->next = &request->mail;
  }
  client->last = &request->mail;
}

void store_client_flush(struct store_client *client) {
  if (client->first == NULL) return;
  struct store *store = client->store;
  mailbox_post_chain(store->requests, client->first, client->last);
  client->first = client->last = NULL;
  if (atomic_load(&store->stopped)) {
    run_all_turns(store);
  } else if (store->backend->ops->is_shared) {
    run_own_turns(store);
  }
}

void store_client_pace(struct store_client *client) {
  client->is_paced = true;
}

void store_client_done(struct store_client *client) {
  store_batch_free_all(client);
}

void store_request_init(struct store_request *request, enum store_op op) {
  *request = (struct store_request){.op = op};
}

static void read_log_done(struct store_read_log *read) {
  struct log_answer answer = {.messages = read->messages, .count = read->count};
  log_answer_done(&answer);
  read->messages = NULL;
  read->count = 0;
}

void store_request_done(struct store_request *request) {
  if (request->op == STORE_READ_LOG) {
    read_log_done(&request->read_log);
  } else if (request->op == STORE_KV_GET) {
    blob_unref(request->kv.value);
    request->kv.value = NULL;
  }
}

void store_finish(struct store_request *request, enum store_status status) {
  struct store *store = request->client->store;
  assert_turn(store);
  answer(store, request, status);
}

void store_dispatch(struct store *store, struct message *message) {
  assert_turn(store);
  dispatcher_dispatch(&store->dispatcher, message);
}

uint64_t store_now_ms(struct store *store) {
  assert_turn(store);
  if (!store->has_time) {
    store->now_ms = clock_wall_ms();
    store->has_time = true;
  }
  return store->now_ms;
}

struct loop *store_loop(struct store *store) {
  return &store->loop;
}

struct store_metrics *store_backend_metrics(struct store *store) {
  return &store->metrics;
}

void store_set_ready(struct store *store, bool ready) {
  atomic_store(&store->ready, ready);
}
