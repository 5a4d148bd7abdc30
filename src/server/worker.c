#include "eventhub/server/worker.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/log.h"
#include "eventhub/server/http_post.h"
#include "eventhub/server/routes.h"
#include "eventhub/server/rpc.h"
#include "eventhub/server/session.h"
#include "eventhub/server/watch.h"

enum {
  SPREAD_TICK_MS = 10,
  DELAY_WINDOW_MS = 15000,
  TURN_WORK = 16384 /* deliveries of a turn (store_client_run): about a millisecond */
};

static void enter_phase(struct worker *worker, enum worker_phase phase) {
  atomic_store(&worker->phase, phase);
  uint64_t one = 1;
  ssize_t written = write(worker->phase_event_fd, &one, sizeof one);
  assert(written == sizeof one);
}

/* ---- connections ---- */

static void on_message(struct connection *connection, enum ws_opcode opcode, char *data,
                       size_t len) {
  (void)opcode; /* binary messages are refused below, with 1003 */
  session_on_text(connection->session, data, len);
}

static void on_closed(struct connection *connection) {
  if (connection->session != NULL) session_close(connection->session);
}

static const struct connection_handler handler = {
    .on_request = routes_on_request,
    .on_body = post_on_body,
    .on_message = on_message,
    .on_closed = on_closed,
};

static void on_accept(struct listener *listener, int fd, const struct sockaddr_storage *peer) {
  struct worker *worker = listener->context;
  connection_open(&worker->pool, fd, peer, NULL);
}

static void on_accept_tls(struct listener *listener, int fd, const struct sockaddr_storage *peer) {
  struct worker *worker = listener->context;
  struct tls_config *tls = tls_slot_get(&worker->broker->tls);
  connection_open(&worker->pool, fd, peer, tls);
  tls_config_unref(tls);
}

static void on_token_expired(struct expiry_item *item, void *context) {
  (void)context;
  session_expire(container_of(item, struct session, expiry));
}

/* ---- the store's answers ---- */

static void on_barrier(struct worker *worker);

static void on_store_done(struct store_request *request, void *context) {
  struct worker *worker = context;
  if (request == &worker->barrier) {
    on_barrier(worker);
  } else if (request->op == STORE_UNWATCH) {
    watch_ended(request);
  } else {
    rpc_call_done(request);
  }
}

static size_t on_store_deliver(const struct delivery *delivery, void *context) {
  struct worker *worker = context;
  return fanout_deliver(&worker->fanout, delivery);
}

static const struct store_callbacks callbacks = {.on_done = on_store_done,
                                                 .on_deliver = on_store_deliver};

/* ---- the turn ---- */

static void update_gauges(struct worker *worker) {
  if (worker->loop.now_ms - worker->delay_since_ms > DELAY_WINDOW_MS) {
    worker->delay_since_ms = worker->loop.now_ms;
    worker->loop.longest_ns = 0;
  }
  metrics_set(&worker->metrics, METRIC_EVENTLOOP_DELAY_MS, worker->loop.longest_ns / 1000000);
  metrics_set(&worker->metrics, METRIC_ACCEPT_PAUSED,
              worker->listener.pauses + worker->tls_listener.pauses);
}

static void on_turn_end(void *context) {
  struct worker *worker = context;
  rpc_run_jobs(worker);
  store_client_flush(&worker->client);
  mailbox_drain(&worker->loop.mailbox); /* answers that are there already leave with this turn */
  if (!store_client_run(&worker->client, TURN_WORK)) loop_hurry(&worker->loop);
  connection_pool_flush(&worker->pool);
  store_client_flush(
      &worker->client); /* what answers led to, watches that ended with connections */
  if (worker->is_going_deaf && list_is_empty(&worker->jobs)) {
    worker->is_going_deaf = false;
    enter_phase(worker, WORKER_DEAF);
  }
  update_gauges(worker);
}

static void *run_worker(void *context) {
  struct worker *worker = context;
  loop_run(&worker->loop);
  return NULL;
}

/* ---- leaving ---- */

static void stop_listeners(struct worker *worker) {
  listener_stop(&worker->listener);
  listener_stop(&worker->tls_listener);
}

/* What is still plain HTTP is read on, to be told 503. */
static void pause_all(struct worker *worker) {
  for (uint32_t slot = 0; slot < worker->pool.slot_count; slot++) {
    struct connection *connection = worker->pool.slots[slot];
    if (connection == NULL || connection->state != CONNECTION_WEBSOCKET) continue;
    connection_pause(connection, CONNECTION_PAUSE_DRAIN);
  }
}

static void on_order_stop_reading(struct mail *mail, void *context) {
  (void)mail;
  struct worker *worker = context;
  stop_listeners(worker);
  pause_all(worker);
  worker->is_going_deaf = true;
}

static void close_one(struct connection *connection) {
  if (connection_is_ending(connection)) return;
  connection_resume(connection, CONNECTION_PAUSE_DRAIN);
  connection_close(connection, WS_CLOSE_GOING_AWAY, SLICE("the server is going away"));
}

/* Closes connections up to the share that the time passed allows, so that not all clients reconnect
 * at once. */
static void close_share(struct worker *worker) {
  uint64_t passed_ms = worker->loop.now_ms - worker->close_started_ms + SPREAD_TICK_MS;
  uint64_t share = worker->pool.slot_count;
  if (passed_ms < worker->close_spread_ms) share = share * passed_ms / worker->close_spread_ms;
  for (; worker->close_slot < share; worker->close_slot++) {
    struct connection *connection = worker->pool.slots[worker->close_slot];
    if (connection != NULL) close_one(connection);
  }
}

static void on_spread_tick(struct deadline *deadline, void *context) {
  struct worker *worker = context;
  close_share(worker);
  bool is_done = worker->close_slot >= worker->pool.slot_count && worker->pool.open_count == 0;
  if (is_done) {
    enter_phase(worker, WORKER_CLOSED);
    return;
  }
  deadline_arm(&worker->loop, &worker->spread_list, deadline);
}

static void raise_barrier(struct worker *worker) {
  store_request_init(&worker->barrier, STORE_BARRIER);
  store_submit(&worker->client, &worker->barrier);
}

static void on_order_close_all(struct mail *mail, void *context) {
  (void)mail;
  raise_barrier(context);
}

static bool has_requests_under_way(const struct worker *worker) {
  for (uint32_t slot = 0; slot < worker->pool.slot_count; slot++) {
    const struct connection *connection = worker->pool.slots[slot];
    const struct session *session = connection != NULL ? connection->session : NULL;
    if (session != NULL && session->pending > 0) return true;
  }
  return false;
}

/* All that there is to deliver is queued. */
static void start_closing(struct worker *worker) {
  worker->close_started_ms = worker->loop.now_ms;
  /* A millisecond for each connection, and no more than half of the time that there is. */
  uint64_t most_ms = worker->broker->options->shutdown_timeout_s * 1000 / 2;
  worker->close_spread_ms = worker->pool.slot_count < most_ms ? worker->pool.slot_count : most_ms;
  on_spread_tick(&worker->spread, worker);
}

/* What stood before the barrier is answered. One of these may have asked on, as a watch does for
 * its history: that stands before another barrier. */
static void on_barrier(struct worker *worker) {
  if (has_requests_under_way(worker)) {
    raise_barrier(worker);
  } else {
    start_closing(worker);
  }
}

static void on_order_leave(struct mail *mail, void *context) {
  (void)mail;
  struct worker *worker = context;
  loop_stop(&worker->loop);
}

static void order(struct worker *worker, struct mail *mail,
                  void (*deliver)(struct mail *mail, void *context)) {
  mail->deliver = deliver;
  mailbox_post(&worker->loop.mailbox, mail);
}

void worker_stop_reading(struct worker *worker) {
  order(worker, &worker->stop_reading, on_order_stop_reading);
}

void worker_close_all(struct worker *worker) {
  order(worker, &worker->close_all, on_order_close_all);
}

void worker_join(struct worker *worker) {
  if (!worker->has_thread) return;
  order(worker, &worker->leave, on_order_leave);
  pthread_join(worker->thread, NULL);
  worker->has_thread = false;
}

/* ---- from init to done ---- */

static struct connection_limits limits_of(const struct options *options) {
  return (struct connection_limits){
      .message = {.max_message = options->max_message_size, .allow_binary = false},
      .max_send_queue = options->max_send_queue,
      .handshake_timeout_ms = (uint32_t)options->handshake_timeout_s * 1000,
      .ping_interval_ms = (uint32_t)options->ping_interval_s * 1000,
  };
}

static int start_listeners(struct worker *worker) {
  const struct options *options = worker->broker->options;
  struct slice address = slice_str(options->listen_address);
  int err = 0;
  if (!options->disable_unsecure_listener)
    err = listener_start(&worker->listener, &worker->loop, address, (uint16_t)options->listen_port,
                         on_accept, worker);
  if (err == 0 && options->enable_ssl)
    err = listener_start(&worker->tls_listener, &worker->loop, address,
                         (uint16_t)options->ssl_listen_port, on_accept_tls, worker);
  return err;
}

int worker_init(struct worker *worker, struct broker *broker, unsigned index, int phase_event_fd) {
  const struct options *options = broker->options;
  memset(worker, 0, sizeof *worker);
  worker->listener.io.fd = worker->tls_listener.io.fd = -1;
  worker->broker = broker;
  worker->index = index;
  worker->phase_event_fd = phase_event_fd;
  worker->batch_share_ns = LOOP_SHARE_NS / 2;
  list_init(&worker->jobs);
  int err = loop_init(&worker->loop, on_turn_end, worker);
  if (err < 0) return err;
  struct connection_limits limits = limits_of(options);
  connection_pool_init(&worker->pool, &worker->loop, &limits, &worker->metrics, &handler, worker);
  worker->pool.proxies = broker->proxies;
  if (options->enable_io_uring) connection_pool_use_ring(&worker->pool);
  fanout_init(&worker->fanout, broker->trie, &worker->pool, &worker->client, index);
  expiry_init(&worker->expiry, &worker->loop, on_token_expired, worker);
  deadline_init(&worker->spread);
  deadline_list_add(&worker->loop, &worker->spread_list, SPREAD_TICK_MS, on_spread_tick, worker);
  store_client_init(&worker->client, broker->store, index, &worker->loop.mailbox, &callbacks,
                    worker);
  store_client_pace(&worker->client);
  return start_listeners(worker);
}

int worker_start(struct worker *worker) {
  errno = pthread_create(&worker->thread, NULL, run_worker, worker);
  if (errno != 0) return ERR_SYSTEM;
  worker->has_thread = true;
  return 0;
}

/* Until nothing is with the store any more. It is stopped: what an answer makes us ask is refused
 * at once, and deliveries are seen by nobody. */
static void settle_store(struct worker *worker) {
  do {
    store_client_run(&worker->client, SIZE_MAX);
    store_client_flush(&worker->client);
  } while (mailbox_drain(&worker->loop.mailbox) > 0);
}

void worker_done(struct worker *worker) {
  loop_adopt(&worker->loop);
  settle_store(worker);
  stop_listeners(worker);
  connection_pool_done(&worker->pool);
  settle_store(worker); /* the subscriptions that ended with their connections */
  fanout_done(&worker->fanout);
  expiry_done(&worker->expiry);
  deadline_disarm(&worker->spread);
  deadline_list_remove(&worker->spread_list);
  store_client_done(&worker->client);
  loop_done(&worker->loop);
  buf_done(&worker->scratch);
}
