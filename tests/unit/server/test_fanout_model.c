#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "fanout_fixture.h"

/*
 * Random subscribing, changing, unsubscribing and delivering against a table. Deliveries may be
 * late: their filters were matched some steps ago, and mean what they meant then.
 */

enum {
  RUNS = 60,
  STEPS = 600,
  FILTERS = 8,
  TOPICS = 5,
  IDS = 4,
  LATE = 6,        /* deliveries on their way */
  DELIVERY_MAX = 4 /* messages in one */
};

static const char *const filters[FILTERS] = {"a", "a/b", "a/+", "a/#", "#", "+", "b/#", "b/c"};
static const char *const topics[TOPICS] = {"a", "a/b", "a/b/c", "b/c", "d"};
static const char *const ids[IDS] = {"1", "2", "\"x\"", "null"};

struct row {
  struct subscription *subscription; /* NULL: not subscribed */
  int id;
  enum subscription_state state;
  struct buf kept; /* while held: pointers to messages, a reference each */
};

struct late {
  struct filter_ref filters[FILTERS];
  uint32_t filter_count;
  struct message *messages[DELIVERY_MAX];
  uint32_t message_count;
};

struct model {
  struct fanout_fixture fixture;
  uint64_t random;
  struct row rows[FANOUT_PEERS][FILTERS];
  struct late late[LATE];
  struct buf expected[FANOUT_PEERS];
};

static uint64_t seed; /* of the run that is going on */

static uint64_t pick(struct model *model, uint64_t below) {
  model->random = model->random * 6364136223846793005u + 1442695040888963407u;
  return (model->random >> 33) % below;
}

static enum subscription_state pick_state(struct model *model) {
  static const enum subscription_state states[] = {SUBSCRIPTION_LIVE, SUBSCRIPTION_LIVE,
                                                   SUBSCRIPTION_CATCHING_UP, SUBSCRIPTION_HELD};
  return states[pick(model, ARRAY_LEN(states))];
}

static void append_for(struct model *model, int peer, const struct row *row,
                       const struct message *message) {
  append_delivered(&model->expected[peer], slice_str(ids[row->id]), message);
}

/* What is kept is expected now, or never. */
static void end_hold(struct model *model, int peer, struct row *row, bool is_sent) {
  for (size_t at = 0; at < row->kept.len; at += sizeof(struct message *)) {
    struct message *message;
    memcpy(&message, row->kept.data + at, sizeof message);
    if (is_sent) append_for(model, peer, row, message);
    message_unref(message);
  }
  buf_done(&row->kept);
}

static void set_state(struct model *model, int peer, struct row *row,
                      enum subscription_state state) {
  row->state = state;
  if (state != SUBSCRIPTION_HELD) end_hold(model, peer, row, state == SUBSCRIPTION_LIVE);
}

static void subscribe(struct model *model, int peer, int filter) {
  struct row *row = &model->rows[peer][filter];
  row->id = (int)pick(model, IDS);
  row->state = pick_state(model);
  row->subscription =
      fixture_subscribe(&model->fixture, peer, filters[filter], ids[row->id], row->state);
}

static void change_subscription(struct model *model, int peer, int filter) {
  struct fanout *fanout = &model->fixture.fanout;
  struct row *row = &model->rows[peer][filter];
  assert_ptr_equal(
      fanout_find(fanout, model->fixture.connections[peer], slice_str(filters[filter])),
      row->subscription);
  if (row->subscription == NULL) {
    subscribe(model, peer, filter);
  } else if (pick(model, 3) == 0) {
    row->id = (int)pick(model, IDS);
    set_state(model, peer, row, pick_state(model));
    fanout_change(fanout, row->subscription, slice_str(ids[row->id]), row->state);
  } else if (pick(model, 3) == 0) {
    set_state(model, peer, row, SUBSCRIPTION_LIVE);
    fanout_activate(fanout, row->subscription);
  } else if (pick(model, 3) == 0) {
    if (row->state == SUBSCRIPTION_CATCHING_UP) row->state = SUBSCRIPTION_HELD;
    fanout_hold(fanout, row->subscription);
  } else {
    end_hold(model, peer, row, false);
    fanout_unsubscribe(fanout, row->subscription);
    row->subscription = NULL;
  }
}

/* Another worker's interest keeps a filter, and its number, alive in the trie. */
static void change_other_worker(struct model *model) {
  struct topic_trie *trie = model->fixture.trie;
  struct slice text = slice_str(filters[pick(model, FILTERS)]);
  struct filter_ref ref = topic_trie_add(trie, text, FANOUT_OTHER_WORKER);
  if (pick(model, 2) == 0) topic_trie_remove(trie, ref, FANOUT_OTHER_WORKER);
}

static void fill_late(struct model *model, struct late *late) {
  const char *topic = topics[pick(model, TOPICS)];
  late->filter_count = fixture_match(&model->fixture, topic, late->filters, FILTERS);
  late->message_count = 1 + (uint32_t)pick(model, DELIVERY_MAX);
  for (uint32_t i = 0; i < late->message_count; i++) {
    char payload[400] = {0};
    memset(payload, '1', 1 + pick(model, sizeof payload - 1));
    late->messages[i] = fixture_message(&model->fixture, topic, slice_str(payload));
  }
}

/* The filter that the ref means now; -1: none. Asking the trie changes nothing while somebody is
 * subscribed. */
static int filter_of(struct model *model, struct filter_ref ref) {
  for (int filter = 0; filter < FILTERS; filter++) {
    bool is_used = false;
    for (int peer = 0; peer < FANOUT_PEERS; peer++)
      is_used |= model->rows[peer][filter].subscription != NULL;
    if (!is_used) continue;
    struct filter_ref now =
        topic_trie_add(model->fixture.trie, slice_str(filters[filter]), FANOUT_WORKER);
    if (now.number == ref.number && now.generation == ref.generation) return filter;
  }
  return -1;
}

static void expect_one(struct model *model, int peer, struct row *row, struct message *message) {
  if (row->subscription == NULL) return;
  if (row->state == SUBSCRIPTION_LIVE) append_for(model, peer, row, message);
  if (row->state != SUBSCRIPTION_HELD) return;
  buf_append(&row->kept, &message, sizeof message);
  message_ref(message);
}

static void expect(struct model *model, const struct late *late) {
  for (uint32_t f = 0; f < late->filter_count; f++) {
    int filter = filter_of(model, late->filters[f]);
    for (int peer = 0; filter >= 0 && peer < FANOUT_PEERS; peer++) {
      for (uint32_t i = 0; i < late->message_count; i++)
        expect_one(model, peer, &model->rows[peer][filter], late->messages[i]);
    }
  }
}

static void drop_late(struct late *late) {
  for (uint32_t i = 0; i < late->message_count; i++)
    message_unref(late->messages[i]);
  late->message_count = 0;
}

static void deliver_late(struct model *model) {
  struct late *late = &model->late[pick(model, LATE)];
  if (late->message_count > 0) {
    struct delivery delivery = {.filters = late->filters,
                                .messages = late->messages,
                                .filter_count = late->filter_count,
                                .message_count = late->message_count};
    expect(model, late);
    fanout_deliver(&model->fixture.fanout, &delivery);
  }
  drop_late(late);
  fill_late(model, late);
}

static void send_one(struct model *model, int peer, int filter) {
  const struct row *row = &model->rows[peer][filter];
  if (row->subscription == NULL) return;
  struct message *message = fixture_message(&model->fixture, "a", SLICE("\"sent\""));
  fanout_send(&model->fixture.fanout, row->subscription, &message, 1);
  append_for(model, peer, row, message);
  message_unref(message);
}

static void check(struct model *model) {
  settle(&model->fixture.pool);
  for (int peer = 0; peer < FANOUT_PEERS; peer++) {
    AUTO(buf) struct buf got = BUF_INIT;
    peer_describe(&model->fixture.peers[peer], &got);
    struct buf *expected = &model->expected[peer];
    assert_int_equal(got.len, expected->len);
    if (got.len > 0) assert_memory_equal(got.data, expected->data, got.len);
    buf_clear(expected);
  }
}

static void step(struct model *model) {
  int peer = (int)pick(model, FANOUT_PEERS), filter = (int)pick(model, FILTERS);
  switch (pick(model, 8)) {
  case 0: check(model); break;
  case 1: change_other_worker(model); break;
  case 2: send_one(model, peer, filter); break;
  case 3:
  case 4: deliver_late(model); break;
  default: change_subscription(model, peer, filter);
  }
}

static void finish(struct model *model) {
  check(model);
  for (int peer = 0; peer < FANOUT_PEERS; peer++) {
    for (int filter = 0; filter < FILTERS; filter++) {
      struct row *row = &model->rows[peer][filter];
      end_hold(model, peer, row, false);
      if (row->subscription != NULL) fanout_unsubscribe(&model->fixture.fanout, row->subscription);
    }
    buf_done(&model->expected[peer]);
  }
  for (int i = 0; i < LATE; i++)
    drop_late(&model->late[i]);
  fanout_fixture_done(&model->fixture);
}

static void every_delivery_reaches_exactly_who_is_subscribed(void **state) {
  (void)state;
  static struct model model;
  for (seed = 1; seed <= RUNS; seed++) {
    memset(&model, 0, sizeof model);
    model.random = seed;
    fanout_fixture_init(&model.fixture);
    for (int i = 0; i < STEPS; i++)
      step(&model);
    finish(&model);
  }
}

static int tell_seed(void **state) {
  (void)state;
  if (seed <= RUNS) print_error("failed with seed %llu\n", (unsigned long long)seed);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(every_delivery_reaches_exactly_who_is_subscribed, tell_seed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
