#include "eventhub/store/store.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
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

struct store {
  struct loop loop;
  struct store_backend *backend;
  struct dispatcher dispatcher;
  struct store_metrics metrics;
  struct deadline_list tick, soon;
  struct deadline tend;
  struct mail stop_mail;
  pthread_t thread;
  bool has_thread;
  bool has_time;
  uint64_t now_ms; /* while has_time */
  uint32_t turn_requests;
  atomic_bool ready;
  /* Nobody runs requests any more: whoever posts one refuses it, under the lock. */
  atomic_bool stopped;
  pthread_mutex_t refuse_lock;
};

static void answer(struct store *store, struct store_request *request, enum store_status status) {
  request->status = status;
  dispatcher_answer(&store->dispatcher, request);
}

static enum store_status status_without_backend(enum store_op op) {
  bool is_fine = op == STORE_WATCH || op == STORE_UNWATCH || op == STORE_BARRIER;
  return is_fine ? STORE_OK : STORE_DISABLED;
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
  if (backend->ops->tend == NULL || list_is_linked(&store->tend.link)) return;
  deadline_arm(&store->loop, &store->tick, &store->tend);
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

/* On the store thread, or, once the store has stopped, on any thread that holds refuse_lock. */
static void on_request(struct mail *mail, void *context) {
  struct store *store = context;
  struct store_request *request = container_of(mail, struct store_request, mail);
  if (atomic_load_explicit(&store->stopped, memory_order_relaxed)) {
    answer(store, request, STORE_STOPPED);
  } else {
    run_request(store, request);
  }
}

static void on_turn_end(void *context) {
  end_turn(context);
}

static void on_tend(struct deadline *deadline, void *context) {
  struct store *store = context;
  switch (store->backend->ops->tend(store->backend)) {
  case STORE_TEND_IDLE: break;
  case STORE_TEND_TICK: deadline_arm(&store->loop, &store->tick, deadline); break;
  case STORE_TEND_SOON: deadline_arm(&store->loop, &store->soon, deadline); break;
  }
}

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
  /* Everything that was flushed before the stop stands before it in the mailbox. */
  loop_run(&store->loop);
  if (ops->stop != NULL) ops->stop(store->backend);
  end_turn(store);
  return NULL;
}

/* Poster: post, then look at `stopped`. Stopper: set `stopped`, then look into the mailbox. Both
 * pairs are sequentially consistent, so no request is seen by neither; the lock keeps it from being
 * seen by both. */
static void refuse_requests(struct store *store) {
  pthread_mutex_lock(&store->refuse_lock);
  while (mailbox_drain(&store->loop.mailbox) > 0) {}
  dispatcher_flush(&store->dispatcher);
  pthread_mutex_unlock(&store->refuse_lock);
}

struct store *store_new(const struct store_config *config, struct topic_trie *trie) {
  return store_new_with(embedded_new(config), trie);
}

struct store *store_new_with(struct store_backend *backend, struct topic_trie *trie) {
  struct store *store = x_calloc(1, sizeof *store);
  if (loop_init(&store->loop, on_turn_end, store) < 0) goto fail;
  store->backend = backend;
  backend->store = store;
  store->stop_mail.deliver = on_stop;
  dispatcher_init(&store->dispatcher, trie, &store->metrics);
  pthread_mutex_init(&store->refuse_lock, NULL);
  deadline_list_add(&store->loop, &store->tick, STORE_TICK_MS, on_tend, store);
  deadline_list_add(&store->loop, &store->soon, STORE_SOON_MS, on_tend, store);
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
  if (backend->ops->start == NULL) store_set_ready(store, true);
  return 0;
}

void store_stop(struct store *store) {
  if (store->has_thread) {
    mailbox_post(&store->loop.mailbox, &store->stop_mail);
    pthread_join(store->thread, NULL);
    store->has_thread = false;
  }
  store_set_ready(store, false);
  atomic_store(&store->stopped, true);
  refuse_requests(store);
}

void store_free(struct store *store) {
  if (store == NULL) return;
  assert(!store->has_thread);
  store->backend->ops->free(store->backend);
  dispatcher_done(&store->dispatcher);
  pthread_mutex_destroy(&store->refuse_lock);
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
  mailbox_post_chain(&store->loop.mailbox, client->first, client->last);
  client->first = client->last = NULL;
  if (atomic_load(&store->stopped)) refuse_requests(store);
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
  loop_assert_owner(&store->loop);
  answer(store, request, status);
}

void store_dispatch(struct store *store, struct message *message) {
  loop_assert_owner(&store->loop);
  dispatcher_dispatch(&store->dispatcher, message);
}

uint64_t store_now_ms(struct store *store) {
  loop_assert_owner(&store->loop);
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
