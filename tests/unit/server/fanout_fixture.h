#ifndef EVENTHUB_TESTS_SERVER_FANOUT_FIXTURE_H
#define EVENTHUB_TESTS_SERVER_FANOUT_FIXTURE_H

/* A fanout with its trie and a few upgraded connections. Include after cmocka.h. */

#include "connection_fixture.h"
#include "eventhub/server/fanout.h"

enum { FANOUT_WORKER = 3, FANOUT_OTHER_WORKER = 5, FANOUT_PEERS = 4 };

struct fanout_fixture {
  struct pool_fixture pool;
  struct topic_trie *trie;
  struct fanout fanout;
  struct peer peers[FANOUT_PEERS];
  struct connection *connections[FANOUT_PEERS];
  uint64_t next_id;
};

static inline void fanout_fixture_init(struct fanout_fixture *fixture) {
  memset(fixture, 0, sizeof *fixture);
  struct connection_limits limits = fixture_limits();
  limits.max_send_queue = 16 << 20;
  pool_fixture_init(&fixture->pool, &limits);
  fixture->trie = topic_trie_new();
  fanout_init(&fixture->fanout, fixture->trie, &fixture->pool.pool, NULL, FANOUT_WORKER);
  for (int i = 0; i < FANOUT_PEERS; i++)
    fixture->connections[i] = peer_connect_ws(&fixture->peers[i], &fixture->pool);
}

/* All subscriptions are gone. */
static inline void fanout_fixture_done(struct fanout_fixture *fixture) {
  assert_int_equal(fixture->fanout.subscriptions.count, 0);
  assert_int_equal(count_of(&fixture->pool, METRIC_SUBSCRIPTIONS), 0);
  assert_int_equal(count_of(&fixture->pool, METRIC_FILTERS), 0);
  fanout_done(&fixture->fanout);
  pool_fixture_done(&fixture->pool);
  topic_trie_free(fixture->trie);
  for (int i = 0; i < FANOUT_PEERS; i++)
    peer_close(&fixture->peers[i]);
}

static inline struct subscription *fixture_subscribe(struct fanout_fixture *fixture, int peer,
                                                     const char *filter, const char *id,
                                                     enum subscription_state state) {
  return fanout_subscribe(&fixture->fanout, fixture->connections[peer], slice_str(filter),
                          slice_str(id), state);
}

/* With the next id; the caller's reference. */
static inline struct message *fixture_message(struct fanout_fixture *fixture, const char *topic,
                                              struct slice payload) {
  struct message *message = message_new(slice_str(topic), payload, SLICE(""));
  message_set_id(message, (struct message_id){.ms = 1, .seq = fixture->next_id++});
  return message;
}

/* The refs of the filters that match the topic and that this worker is registered for. */
static inline uint32_t fixture_match(struct fanout_fixture *fixture, const char *topic,
                                     struct filter_ref *ret, uint32_t most) {
  AUTO(topic_matches) struct topic_matches matches = {0};
  uint32_t count = 0;
  topic_trie_match(fixture->trie, slice_str(topic), &matches);
  for (size_t i = 0; i < matches.count; i++) {
    if ((matches.items[i].workers >> FANOUT_WORKER & 1) == 0) continue;
    assert_true(count < most);
    ret[count++] = matches.items[i].filter;
  }
  return count;
}

/* The messages, all of this topic, go to whoever is subscribed now. Takes the references. */
static inline void fixture_deliver(struct fanout_fixture *fixture, const char *topic,
                                   struct message **messages, uint32_t count) {
  struct filter_ref filters[32];
  struct delivery delivery = {.filters = filters,
                              .messages = messages,
                              .filter_count = fixture_match(fixture, topic, filters, 32),
                              .message_count = count};
  fanout_deliver(&fixture->fanout, &delivery);
  for (uint32_t i = 0; i < count; i++)
    message_unref(messages[i]);
}

static inline void fixture_publish(struct fanout_fixture *fixture, const char *topic,
                                   const char *payload) {
  struct message *message = fixture_message(fixture, topic, slice_str(payload));
  fixture_deliver(fixture, topic, &message, 1);
}

static inline void fixture_lose(struct fanout_fixture *fixture, const char *topic,
                                struct message_id last_id) {
  struct message *gap = message_new_gap(slice_str(topic), last_id);
  fixture_deliver(fixture, topic, &gap, 1);
}

/* Appends what a subscriber with this id gets. */
static inline void append_delivered(struct buf *out, struct slice id,
                                    const struct message *message) {
  buf_append_str(out, "{\"id\":");
  buf_append_slice(out, id);
  buf_append_str(out, ",\"jsonrpc\":\"2.0\",\"result\":");
  buf_append_slice(out, message_item(message));
  buf_append_str(out, "} ");
}

#endif
