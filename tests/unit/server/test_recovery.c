#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "broker_fixture.h"
#include "recovery_model.h"

/*
 * Clients that subscribe with and without history, alone and in batches, change their minds, read
 * late, and disconnect and resume, while others publish, and the eventlog trims and expires. Every
 * step is drawn at random: who writes, which of the loops has a turn, how the clock moves. Whatever
 * the interleaving, each subscription gets every message once, in order, from its point on; where
 * the answer says so (recovered: false), some before the answer may be missing. In every other run
 * the store watches, and takes its time to say so.
 */

enum {
  RUNS = 40,
  STEPS = 1200,
  CLIENTS = 3,
  PUBLISHERS = 2,
  FILTERS = 5,
  TOPICS = 4,
  PUBLISHED_MAX = STEPS * 4,
  WATCHES_MAX = 64,
  REQUESTS_MAX = STEPS * 2
};

static const char *const topics[TOPICS] = {"a", "a/b", "a/c", "d"};
static const char *const filters[FILTERS] = {"a/b", "a/+", "a/#", "#", "d"};

enum track_state { TRACK_OFF, TRACK_ASKING, TRACK_ON, TRACK_LEAVING };

struct client {
  struct peer peer;
  uint64_t connection; /* counts this client's connections */
  struct track tracks[FILTERS];
  enum track_state states[FILTERS];
};

/* A subscriber's request, at the place of its JSON-RPC id. */
struct asked {
  struct client *client;
  uint64_t connection;
  int filter; /* -1: nothing to note */
  enum event_kind kind;
  struct message_id since;
};

struct run {
  struct broker_fixture broker;
  uint64_t random;
  bool is_lossless; /* nothing is trimmed, expired or cut */
  struct client clients[CLIENTS];
  struct peer publishers[PUBLISHERS];
  struct asked asked[REQUESTS_MAX];
  size_t asked_count;
  size_t published; /* sent to the broker, not to the store yet perhaps */
  struct published entries[PUBLISHED_MAX];
  struct truth truth;
  struct store_backend_ops ops; /* the backend's own, but for publishing */
  const struct store_backend_ops *own_ops;
  struct store_request *watches[WATCHES_MAX]; /* to be answered */
  size_t watch_count;
};

static struct run run;
static uint64_t seed; /* of the run that is going on */

static uint64_t pick(uint64_t below) {
  run.random = run.random * 6364136223846793005u + 1442695040888963407u;
  return (run.random >> 33) % below;
}

/* ---- watching ---- */

static void keep_watch(struct store_backend *backend, struct store_request *request) {
  (void)backend;
  assert_true(run.watch_count < WATCHES_MAX);
  run.watches[run.watch_count++] = request;
}

/* Oldest first, as a server does. */
static void answer_watches(size_t most) {
  size_t count = run.watch_count < most ? run.watch_count : most;
  for (size_t i = 0; i < count; i++)
    store_finish(run.watches[i], STORE_OK);
  run.watch_count -= count;
  memmove(run.watches, run.watches + count, run.watch_count * sizeof run.watches[0]);
  turn_store(&run.broker);
}

/* ---- publishing ---- */

/* Stands before the backend's own. */
static void record_publish(struct store_backend *backend, struct store_request *request) {
  const struct message *message = request->publish.message;
  struct published entry = {0};
  run.own_ops->run[STORE_PUBLISH](backend, request);
  assert_int_equal(request->status, STORE_OK);
  entry.id = request->publish.id;
  assert_int_equal(slice_to_u64(message_payload(message), &entry.number), 0);
  for (int i = 0; i < TOPICS; i++) {
    if (slice_equal(message_topic(message), slice_str(topics[i]))) entry.topic = topics[i];
  }
  assert_non_null(entry.topic);
  truth_add(&run.truth, entry);
}

static void append_publish(struct buf *text) {
  int ttl_s = run.is_lossless ? 0 : (int)pick(4);
  buf_printf(text, NOTIFICATION("publish", "{\"topic\":\"%s\",\"message\":%zu,\"ttl\":%d}"),
             topics[pick(TOPICS)], run.published++, ttl_s);
}

static void publish(struct peer *peer) {
  uint64_t burst = 1 + pick(4);
  bool is_batch = pick(3) == 0;
  if (run.published + burst > PUBLISHED_MAX) return;
  AUTO(buf) struct buf text = BUF_INIT;
  for (uint64_t i = 0; i < burst; i++) {
    if (is_batch) buf_append_char(&text, i == 0 ? '[' : ',');
    append_publish(&text);
    if (is_batch) continue;
    peer_send(peer, WS_TEXT, buf_slice(&text));
    buf_clear(&text);
  }
  if (!is_batch) return;
  buf_append_char(&text, ']');
  peer_send(peer, WS_TEXT, buf_slice(&text));
}

/* ---- subscribers ---- */

static size_t ask(struct client *client, int filter, enum event_kind kind) {
  assert_true(run.asked_count < REQUESTS_MAX);
  run.asked[run.asked_count] =
      (struct asked){.client = client,
                     .connection = client->connection,
                     .filter = filter,
                     .kind = kind,
                     .since = client->tracks[filter < 0 ? 0 : filter].last};
  return run.asked_count++;
}

static void append_subscribe(struct client *client, int filter, struct buf *text) {
  /* EVENT_RECOVERED stands for either outcome. */
  enum event_kind kind = pick(3) == 0 ? EVENT_LIVE : EVENT_RECOVERED;
  size_t id = ask(client, filter, kind);
  char since[MESSAGE_ID_MAX];
  message_id_format(run.asked[id].since, since);
  buf_printf(text, "{\"jsonrpc\":\"2.0\",\"id\":%zu,\"method\":\"subscribe\",\"params\":{", id);
  buf_printf(text, "\"topic\":\"%s\"", filters[filter]);
  if (kind != EVENT_LIVE) buf_printf(text, ",\"sinceEventId\":\"%s\"", since);
  buf_append_str(text, "}}");
  client->states[filter] = TRACK_ASKING;
}

/* Alone, or in a batch that publishes too and has to wait for the store. */
static void subscribe(struct client *client, int filter) {
  AUTO(buf) struct buf text = BUF_INIT;
  bool is_batch = pick(2) == 0 && run.published < PUBLISHED_MAX;
  if (is_batch) buf_append_char(&text, '[');
  append_subscribe(client, filter, &text);
  if (is_batch) {
    buf_append_char(&text, ',');
    append_publish(&text);
    buf_printf(&text, "," REQUEST("%zu", "get", "{\"key\":\"k\"}") "]",
               ask(client, -1, EVENT_ENDED));
  }
  peer_send(&client->peer, WS_TEXT, buf_slice(&text));
}

static void unsubscribe(struct client *client, int filter) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_printf(&text, REQUEST("%zu", "unsubscribe", "[\"%s\"]"), ask(client, filter, EVENT_ENDED),
             filters[filter]);
  peer_send(&client->peer, WS_TEXT, buf_slice(&text));
  client->states[filter] = TRACK_LEAVING;
}

static void change_mind(struct client *client, int filter) {
  enum track_state state = client->states[filter];
  if (run.asked_count + 2 > REQUESTS_MAX) return;
  if (state == TRACK_OFF || (state == TRACK_ON && pick(2) == 0)) {
    subscribe(client, filter);
  } else if (state == TRACK_ON) {
    unsubscribe(client, filter);
  }
}

/* ---- what clients read ---- */

static void on_answer(json_t *answer, const struct asked *asked) {
  struct client *client = asked->client;
  if (asked->filter < 0 || asked->connection != client->connection) return;
  json_t *recovered = json_object_get(json_object_get(answer, "result"), "recovered");
  struct event event = {.kind = asked->kind,
                        .subscription = (uint64_t)(asked - run.asked),
                        .id = asked->since,
                        .number = run.truth.count};
  assert_null(json_object_get(answer, "error"));
  assert_int_equal(recovered != NULL, asked->kind == EVENT_RECOVERED);
  if (json_is_false(recovered)) {
    assert_false(run.is_lossless);
    event.kind = EVENT_PARTLY;
  }
  client->states[asked->filter] = asked->kind == EVENT_ENDED ? TRACK_OFF : TRACK_ON;
  track_add(&client->tracks[asked->filter], event);
}

static void on_message(json_t *item, const struct asked *asked) {
  const char *id = json_string_value(json_object_get(item, "id"));
  struct event event = {.kind = EVENT_MESSAGE,
                        .subscription = (uint64_t)(asked - run.asked),
                        .number = (uint64_t)json_integer_value(json_object_get(item, "message"))};
  assert_int_equal(message_id_parse(slice_str(id), &event.id), 0);
  track_add(&asked->client->tracks[asked->filter], event);
}

static void on_object(json_t *object, const struct client *client) {
  json_t *item = json_object_get(object, "result");
  const struct asked *asked = &run.asked[json_integer_value(json_object_get(object, "id"))];
  assert_ptr_equal(asked->client, client);
  if (json_object_get(item, "message") != NULL) {
    on_message(item, asked);
  } else {
    on_answer(object, asked);
  }
}

/* Frames that are not whole yet stay. */
static void read_frames(struct client *client, size_t most) {
  struct peer *peer = &client->peer;
  peer_read_some(peer, most);
  struct slice rest = buf_slice(&peer->in);
  struct peer_frame frame;
  while (next_frame(&rest, &frame)) {
    assert_int_equal(frame.opcode, WS_TEXT);
    json_t *text = json_loadb(frame.payload.ptr, frame.payload.len, 0, NULL), *element;
    size_t i;
    assert_non_null(text);
    if (json_is_object(text)) on_object(text, client);
    json_array_foreach(text, i, element) on_object(element, client);
    json_decref(text);
  }
  buf_consume(&peer->in, peer->in.len - rest.len);
}

/* ---- connections ---- */

static void connect_client(struct client *client) {
  int size = 1;
  client->connection++;
  const struct connection *connection =
      client_connect(&client->peer, &run.broker, (unsigned)pick(BROKER_WORKERS));
  if (pick(2) == 0) setsockopt(connection->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static void disconnect_client(struct client *client) {
  peer_close(&client->peer);
  for (int i = 0; i < FILTERS; i++) {
    track_add(&client->tracks[i], (struct event){.kind = EVENT_ENDED});
    client->states[i] = TRACK_OFF;
  }
}

/* What is sent and not read is lost; the client goes on from the last message it has read. */
static void reconnect(struct client *client) {
  disconnect_client(client);
  connect_client(client);
}

/* ---- a run ---- */

static void start(void) {
  memset(&run, 0, sizeof run);
  run.random = seed;
  run.is_lossless = seed % 3 == 0;
  if (run.is_lossless) {
    broker_fixture_init(&run.broker,
                        ENV("DISABLE_AUTH=1", "MAX_CACHE_LENGTH=0",
                            "MAX_CACHE_REQUEST_LIMIT=1000000", "DEFAULT_CACHE_TTL=1000000"));
  } else {
    broker_fixture_init(&run.broker, ENV("DISABLE_AUTH=1", "MAX_CACHE_LENGTH=40",
                                         "MAX_CACHE_REQUEST_LIMIT=60", "DEFAULT_CACHE_TTL=5"));
  }
  run.truth = (struct truth){.entries = run.entries, .cap = PUBLISHED_MAX};
  run.own_ops = run.broker.backend->ops;
  run.ops = *run.own_ops;
  run.ops.run[STORE_PUBLISH] = record_publish;
  if (seed % 2 == 0) run.ops.run[STORE_WATCH] = keep_watch;
  run.broker.backend->ops = &run.ops;
  for (int i = 0; i < PUBLISHERS; i++)
    client_connect(&run.publishers[i], &run.broker, (unsigned)i % BROKER_WORKERS);
  for (int i = 0; i < CLIENTS; i++) {
    connect_client(&run.clients[i]);
    for (int k = 0; k < FILTERS; k++)
      run.clients[i].tracks[k].filter = filters[k];
  }
}

static void expire(void) {
  run.broker.backend->ops->tend(run.broker.backend);
  turn_store(&run.broker);
}

static void step(void) {
  struct client *client = &run.clients[pick(CLIENTS)];
  unsigned worker = (unsigned)pick(BROKER_WORKERS);
  switch (pick(26)) {
  case 0: expire(); break;
  case 1: broker_wall_ms += pick(4) == 0 ? pick(3000) : pick(20); break;
  case 2:
    if (pick(5) == 0) reconnect(client);
    break;
  case 3:
  case 4:
  case 5: publish(&run.publishers[pick(PUBLISHERS)]); break;
  case 6:
  case 7:
  case 8: change_mind(client, (int)pick(FILTERS)); break;
  case 9:
  case 10:
  case 11:
  case 12: read_frames(client, 1 + pick(4000)); break;
  case 13:
  case 14:
  case 15:
  case 16: turn_store(&run.broker); break;
  case 17:
  case 18: answer_watches(1 + pick(3)); break;
  default: turn(&run.broker.broker.workers[worker].loop);
  }
}

static uint64_t bytes_sent(void) {
  uint64_t bytes = 0;
  for (int i = 0; i < BROKER_WORKERS; i++)
    bytes += metrics_get(&run.broker.broker.workers[i].metrics, METRIC_SENT_BYTES);
  return bytes;
}

/* Until everybody has read everything. */
static void finish_reading(void) {
  uint64_t before;
  do {
    before = bytes_sent();
    for (int i = 0; i < PUBLISHERS; i++)
      peer_flush(&run.publishers[i]);
    for (int i = 0; i < CLIENTS; i++) {
      peer_flush(&run.clients[i].peer);
      read_frames(&run.clients[i], SIZE_MAX);
    }
    broker_settle(&run.broker);
    answer_watches(SIZE_MAX);
    broker_settle(&run.broker);
  } while (before != bytes_sent());
  /* What a client had not written yet when it disconnected is lost. */
  assert_in_range(run.truth.count, run.published / 2, run.published);
}

static void judge(void) {
  for (int i = 0; i < CLIENTS; i++) {
    for (int k = 0; k < FILTERS; k++) {
      assert_true(run.clients[i].states[k] == TRACK_OFF || run.clients[i].states[k] == TRACK_ON);
      track_judge(&run.clients[i].tracks[k], &run.truth);
    }
  }
}

static void clean_up(void) {
  for (int i = 0; i < CLIENTS; i++) {
    peer_close(&run.clients[i].peer);
    for (int k = 0; k < FILTERS; k++)
      buf_done(&run.clients[i].tracks[k].events);
  }
  for (int i = 0; i < PUBLISHERS; i++)
    peer_close(&run.publishers[i]);
  broker_fixture_done(&run.broker);
}

static void every_subscription_gets_every_message_once_and_in_order(void **state) {
  (void)state;
  for (seed = 1; seed <= RUNS; seed++) {
    start();
    for (int i = 0; i < STEPS; i++)
      step();
    finish_reading();
    judge();
    clean_up();
  }
}

static int tell_seed(void **state) {
  (void)state;
  if (seed <= RUNS) print_error("failed with seed %llu\n", (unsigned long long)seed);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(every_subscription_gets_every_message_once_and_in_order, tell_seed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
