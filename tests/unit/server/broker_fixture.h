#ifndef EVENTHUB_TESTS_SERVER_BROKER_FIXTURE_H
#define EVENTHUB_TESTS_SERVER_BROKER_FIXTURE_H

/*
 * A whole broker on the test's own thread: workers and store are turned by hand, the wall clock
 * stands still unless it is moved. The same steps have the same outcome in every run. Include after
 * cmocka.h.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <jwt.h>

#include "../net/turn.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/mem.h"
#include "eventhub/server/session.h"
#include "eventhub/server/worker.h"
#include "eventhub/store/backend.h"
#include "eventhub/store/embedded.h"
#include "option_fixture.h"
#include "peer.h"

#define BROKER_START_MS UINT64_C(1700000000000)
#define BROKER_SECRET   "a secret for tests"

enum { BROKER_WORKERS = 2 };

struct broker_fixture {
  struct option_fixture options;
  struct broker broker;
  struct store_backend *backend; /* the store's */
  struct store_backend_ops ops;  /* the embedded backend's, with turns of its own */
  int phase_fd;
};

/* What the wall clock says. */
static uint64_t broker_wall_ms;

static inline uint64_t broker_read_wall(void) {
  return broker_wall_ms;
}

static inline void init_store(struct broker_fixture *fixture) {
  const struct options *options = &fixture->options.options;
  struct store_config config = {.log_enabled = options->enable_cache,
                                .kv_enabled = options->enable_kvstore,
                                .max_log_length = (uint32_t)options->max_cache_length,
                                .default_ttl_ms = options->default_cache_ttl_s * 1000};
  struct broker *broker = &fixture->broker;
  fixture->backend = embedded_new(&config);
  fixture->ops = *fixture->backend->ops;
  fixture->ops.is_shared = false;
  fixture->backend->ops = &fixture->ops;
  broker->trie = topic_trie_new();
  broker->store = store_new_with(fixture->backend, broker->trie);
  assert_non_null(broker->store);
  /* What store_start does, but for the thread. */
  assert_int_equal(fixture->backend->ops->open(fixture->backend), 0);
  store_set_ready(broker->store, true);
}

/* `env` as options are set in the environment: ENV("NAME=value", ...). */
static inline void broker_fixture_init(struct broker_fixture *fixture, const char *const *env) {
  memset(fixture, 0, sizeof *fixture);
  broker_wall_ms = BROKER_START_MS;
  clock_set_wall_for_test(broker_read_wall);
  log_set_level(LOG_OFF);
  option_fixture_load(&fixture->options, NULL, env);
  assert_int_equal(fixture->options.failed, 0);
  struct options *options = &fixture->options.options;
  free(options->listen_address);
  options->listen_address = x_strndup("127.0.0.1", 9);
  options->listen_port = 0;
  fixture->phase_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  struct broker *broker = &fixture->broker;
  broker->options = options;
  address_table_init(&broker->addresses, options->max_connections_per_address);
  jws_keyring_init(&broker->keys, jws_keys_of_secret(JWS_HS256, SLICE(BROKER_SECRET)));
  broker->version = SLICE("0");
  broker->max_sessions = options->max_connections > 0 ? options->max_connections : 1000;
  memcpy(broker->instance, "here:1", 7);
  init_store(fixture);
  broker->workers = x_calloc(BROKER_WORKERS, sizeof(struct worker));
  broker->worker_count = BROKER_WORKERS;
  for (unsigned i = 0; i < BROKER_WORKERS; i++)
    assert_int_equal(worker_init(&broker->workers[i], broker, i, fixture->phase_fd), 0);
}

static inline void broker_fixture_done(struct broker_fixture *fixture) {
  struct broker *broker = &fixture->broker;
  store_stop(broker->store);
  for (unsigned i = 0; i < BROKER_WORKERS; i++)
    worker_done(&broker->workers[i]);
  assert_int_equal(atomic_load(&broker->sessions), 0);
  assert_int_equal(topic_trie_filter_count(broker->trie), 0);
  free(broker->workers);
  jws_keyring_done(&broker->keys);
  address_table_done(&broker->addresses);
  store_free(broker->store);
  topic_trie_free(broker->trie);
  close(fixture->phase_fd);
  option_fixture_cleanup(&fixture->options);
  clock_set_wall_for_test(NULL);
}

static inline void turn_workers(struct broker_fixture *fixture) {
  for (unsigned i = 0; i < BROKER_WORKERS; i++)
    turn(&fixture->broker.workers[i].loop);
}

static inline void turn_store(struct broker_fixture *fixture) {
  turn(store_loop(fixture->broker.store));
}

static inline bool broker_has_work(struct broker_fixture *fixture) {
  if (has_work(store_loop(fixture->broker.store))) return true;
  for (unsigned i = 0; i < BROKER_WORKERS; i++) {
    if (has_work(&fixture->broker.workers[i].loop)) return true;
  }
  return false;
}

/* Until everything that was sent is answered and delivered. */
static inline void broker_settle(struct broker_fixture *fixture) {
  do {
    turn_workers(fixture);
    turn_store(fixture);
  } while (broker_has_work(fixture));
}

/* ---- clients ---- */

/* Writes the handshake; the answer is not read. `headers` are complete lines. */
static inline struct connection *client_knock(struct peer *peer, struct broker_fixture *fixture,
                                              unsigned worker, const char *target,
                                              const char *headers) {
  struct connection *connection = peer_open(peer, &fixture->broker.workers[worker].pool);
  AUTO(buf) struct buf text = BUF_INIT;
  buf_printf(&text,
             "GET %s HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
             target, headers);
  peer_write(peer, text.data, text.len);
  broker_settle(fixture);
  return connection;
}

static inline struct connection *client_connect(struct peer *peer, struct broker_fixture *fixture,
                                                unsigned worker) {
  struct connection *connection = client_knock(peer, fixture, worker, "/", "");
  peer_take_upgrade(peer);
  return connection;
}

/* A token of these claims (JSON), signed with BROKER_SECRET; to be freed. */
static inline char *make_token(const char *claims) {
  jwt_t *jwt = NULL;
  assert_int_equal(jwt_new(&jwt), 0);
  assert_int_equal(jwt_add_grants_json(jwt, claims), 0);
  assert_int_equal(jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)BROKER_SECRET,
                               (int)strlen(BROKER_SECRET)),
                   0);
  char *text = jwt_encode_str(jwt);
  assert_non_null(text);
  jwt_free(jwt);
  return text;
}

static inline struct connection *client_connect_as(struct peer *peer,
                                                   struct broker_fixture *fixture, unsigned worker,
                                                   const char *claims) {
  AUTO(buf) struct buf header = BUF_INIT;
  char *token = make_token(claims);
  buf_printf(&header, "Authorization: Bearer %s\r\n", token);
  free(token);
  struct connection *connection = client_knock(peer, fixture, worker, "/", header.data);
  peer_take_upgrade(peer);
  return connection;
}

/* Sends the text, and reads until nothing more comes. */
static inline void client_ask(struct broker_fixture *fixture, struct peer *peer, const char *text) {
  peer_send_text(peer, text);
  do {
    peer_flush(peer);
    broker_settle(fixture);
  } while (peer_read_some(peer, SIZE_MAX) > 0);
}

/* ... and compares it, a blank behind each frame. */
#define assert_answer(fixture, peer, text, answer)                                                 \
  do {                                                                                             \
    client_ask(fixture, peer, text);                                                               \
    assert_frames(peer, answer);                                                                   \
  } while (0)

/* Texts of requests and answers. */
#define REQUEST(id, method, params)                                                                \
  "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":" params "}"
#define NOTIFICATION(method, params)                                                               \
  "{\"jsonrpc\":\"2.0\",\"method\":\"" method "\",\"params\":" params "}"
#define BATCH2(a, b)       "[" a "," b "]"
#define BATCH3(a, b, c)    "[" a "," b "," c "]"
#define RESULT(id, result) "{\"id\":" id ",\"jsonrpc\":\"2.0\",\"result\":" result "}"
#define MESSAGE(id, item)  RESULT(id, item) " "
#define ITEM(id, payload, topic)                                                                   \
  "{\"id\":\"" id "\",\"message\":" payload ",\"topic\":\"" topic "\"}"
#define ERROR(id, code, phrase, data)                                                              \
  "{\"error\":{\"code\":" code ",\"message\":\"" phrase "\",\"data\":\"" data "\"},\"id\":" id     \
  ",\"jsonrpc\":\"2.0\"}"
#define INVALID_PARAMS(id, data)  ERROR(id, "-32602", "Invalid params", data)
#define INVALID_REQUEST(id, data) ERROR(id, "-32600", "Invalid request", data)
#define SUBSCRIBED(topic)         "{\"action\":\"subscribe\",\"status\":\"ok\",\"topic\":\"" topic "\"}"
#define RECOVERED(topic, recovered)                                                                \
  "{\"action\":\"subscribe\",\"status\":\"ok\",\"topic\":\"" topic "\",\"recovered\":" recovered "}"
#define PUBLISHED(id, topic)                                                                       \
  "{\"action\":\"publish\",\"id\":\"" id "\",\"status\":\"ok\",\"topic\":\"" topic "\"}"

#endif
