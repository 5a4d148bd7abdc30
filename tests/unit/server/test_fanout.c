#include "eventhub/server/fanout.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "fanout_fixture.h"

static struct fanout_fixture fixture;

static int set_up(void **state) {
  (void)state;
  fanout_fixture_init(&fixture);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  fanout_fixture_done(&fixture);
  return 0;
}

static void unsubscribe(struct subscription *subscription) {
  fanout_unsubscribe(&fixture.fanout, subscription);
}

static void assert_delivered(int peer, const char *expected) {
  settle(&fixture.pool);
  assert_frames(&fixture.peers[peer], expected);
}

#define DELIVERED(subscription, id, payload, topic)                                                \
  "{\"id\":" subscription ",\"jsonrpc\":\"2.0\",\"result\":{\"id\":\"" id                          \
  "\",\"message\":" payload ",\"topic\":\"" topic "\"}} "

static void a_message_carries_the_id_of_its_subscription(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a/b", "7", SUBSCRIPTION_LIVE);
  struct subscription *two = fixture_subscribe(&fixture, 1, "a/b", "\"x\"", SUBSCRIPTION_LIVE);
  struct subscription *three = fixture_subscribe(&fixture, 2, "a/b", "null", SUBSCRIPTION_LIVE);
  fixture_publish(&fixture, "a/b", "{\"n\":1}");
  assert_delivered(0, DELIVERED("7", "1-0", "{\"n\":1}", "a/b"));
  assert_delivered(1, DELIVERED("\"x\"", "1-0", "{\"n\":1}", "a/b"));
  assert_delivered(2, DELIVERED("null", "1-0", "{\"n\":1}", "a/b"));
  assert_int_equal(count_of(&fixture.pool, METRIC_MESSAGES_DELIVERED), 3);
  unsubscribe(one);
  unsubscribe(two);
  unsubscribe(three);
}

static void overlapping_subscriptions_each_deliver(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a/b", "1", SUBSCRIPTION_LIVE);
  struct subscription *two = fixture_subscribe(&fixture, 0, "a/+", "1", SUBSCRIPTION_LIVE);
  struct subscription *three = fixture_subscribe(&fixture, 0, "#", "2", SUBSCRIPTION_LIVE);
  fixture_publish(&fixture, "a/b", "5");
  settle(&fixture.pool);
  AUTO(buf) struct buf text = BUF_INIT;
  peer_describe(&fixture.peers[0], &text);
  const char *one_of_id_1 = DELIVERED("1", "1-0", "5", "a/b");
  assert_int_equal(text.len, 3 * strlen(one_of_id_1));
  unsubscribe(one);
  unsubscribe(two);
  unsubscribe(three);
}

static void a_subscription_is_found_by_connection_and_exact_filter(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a/+", "1", SUBSCRIPTION_LIVE);
  assert_ptr_equal(fanout_find(&fixture.fanout, fixture.connections[0], SLICE("a/+")), one);
  assert_null(fanout_find(&fixture.fanout, fixture.connections[1], SLICE("a/+")));
  assert_null(fanout_find(&fixture.fanout, fixture.connections[0], SLICE("a/b")));
  assert_null(fanout_find(&fixture.fanout, fixture.connections[0], SLICE("")));
  assert_true(slice_equal(subscription_filter(one), SLICE("a/+")));
  assert_true(slice_equal(subscription_id(one), SLICE("1")));
  unsubscribe(one);
  assert_null(fanout_find(&fixture.fanout, fixture.connections[0], SLICE("a/+")));
}

static void the_trie_knows_a_filter_from_the_first_to_the_last_subscription(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_CATCHING_UP);
  assert_int_equal(topic_trie_filter_count(fixture.trie), 1);
  uint64_t version = topic_trie_version(fixture.trie);
  struct subscription *two = fixture_subscribe(&fixture, 1, "a", "2", SUBSCRIPTION_LIVE);
  unsubscribe(one);
  assert_int_equal(topic_trie_version(fixture.trie), version);
  unsubscribe(two);
  assert_int_equal(topic_trie_filter_count(fixture.trie), 0);
}

static void live_messages_pass_a_subscription_by_that_catches_up(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_CATCHING_UP);
  struct subscription *two = fixture_subscribe(&fixture, 1, "a", "1", SUBSCRIPTION_LIVE);
  fixture_publish(&fixture, "a", "0");
  struct message *history = fixture_message(&fixture, "a", SLICE("1"));
  fanout_send(&fixture.fanout, one, &history, 1);
  message_unref(history);
  fanout_activate(&fixture.fanout, one);
  fanout_activate(&fixture.fanout, one);
  fixture_publish(&fixture, "a", "2");
  assert_delivered(0, DELIVERED("1", "1-1", "1", "a") DELIVERED("1", "1-2", "2", "a"));
  assert_delivered(1, DELIVERED("1", "1-0", "0", "a") DELIVERED("1", "1-2", "2", "a"));
  unsubscribe(one);
  unsubscribe(two);
}

static void subscribing_again_changes_the_id(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_LIVE);
  uint64_t version = topic_trie_version(fixture.trie);
  fixture_publish(&fixture, "a", "0");
  fanout_change(&fixture.fanout, one, SLICE("2"), SUBSCRIPTION_LIVE);
  fixture_publish(&fixture, "a", "1");
  fanout_change(&fixture.fanout, one, SLICE("2"), SUBSCRIPTION_CATCHING_UP);
  fixture_publish(&fixture, "a", "2");
  fanout_change(&fixture.fanout, one, SLICE("2"), SUBSCRIPTION_LIVE);
  fixture_publish(&fixture, "a", "3");
  assert_delivered(0, DELIVERED("1", "1-0", "0", "a") DELIVERED("2", "1-1", "1", "a")
                          DELIVERED("2", "1-3", "3", "a"));
  assert_int_equal(topic_trie_version(fixture.trie), version);
  unsubscribe(one);
}

/* The number is used again, for another filter. */
static void a_delivery_for_a_filter_that_is_gone_reaches_nobody(void **state) {
  (void)state;
  struct filter_ref old, new;
  unsubscribe(fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_LIVE));
  struct subscription *before = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_LIVE);
  assert_int_equal(fixture_match(&fixture, "a", &old, 1), 1);
  unsubscribe(before);
  struct subscription *after = fixture_subscribe(&fixture, 0, "b", "1", SUBSCRIPTION_LIVE);
  assert_int_equal(fixture_match(&fixture, "b", &new, 1), 1);
  assert_int_equal(old.number, new.number);
  struct message *message = fixture_message(&fixture, "a", SLICE("1"));
  struct filter_ref filters[] = {old, {.number = 100000}, {.number = 2}, new};
  struct delivery delivery = {
      .filters = filters, .messages = &message, .filter_count = 3, .message_count = 1};
  fanout_deliver(&fixture.fanout, &delivery);
  assert_delivered(0, "");
  message_unref(message);
  unsubscribe(after);
}

static void members_of_a_group_share_the_bytes(void **state) {
  (void)state;
  struct subscription *subscriptions[FANOUT_PEERS];
  for (int i = 0; i < FANOUT_PEERS; i++)
    subscriptions[i] = fixture_subscribe(&fixture, i, "a", "1", SUBSCRIPTION_LIVE);
  fixture_publish(&fixture, "a", "1");
  fixture_publish(&fixture, "a", "2");
  for (int i = 0; i < FANOUT_PEERS; i++) {
    const struct out_queue *out = &fixture.connections[i]->out;
    assert_ptr_equal(span_bytes(&out->head), span_bytes(&fixture.connections[0]->out.head));
    assert_int_equal(out->head.len, out->bytes);
    assert_null(out->rest);
    unsubscribe(subscriptions[i]);
  }
}

static void a_long_run_of_messages_comes_whole_and_in_order(void **state) {
  (void)state;
  enum { COUNT = 30, LEN = 40000 };
  static char payload[LEN];
  struct message *messages[COUNT];
  struct filter_ref filter;
  AUTO(buf) struct buf expected = BUF_INIT;
  AUTO(buf) struct buf got = BUF_INIT;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_LIVE);
  memset(payload, '1', LEN);
  for (int i = 0; i < COUNT; i++) {
    /* One of them is longer than a run may be. */
    messages[i] = fixture_message(&fixture, "a", slice_of(payload, (size_t)(LEN - i)));
    append_delivered(&expected, SLICE("1"), messages[i]);
  }
  fixture_match(&fixture, "a", &filter, 1);
  struct delivery delivery = {
      .filters = &filter, .messages = messages, .filter_count = 1, .message_count = COUNT};
  fanout_deliver(&fixture.fanout, &delivery);
  while (fixture.connections[0]->out.bytes > 0) {
    settle(&fixture.pool);
    peer_read(&fixture.peers[0]);
  }
  peer_describe(&fixture.peers[0], &got);
  assert_int_equal(got.len, expected.len);
  assert_memory_equal(got.data, expected.data, got.len);
  for (int i = 0; i < COUNT; i++)
    message_unref(messages[i]);
  unsubscribe(one);
}

/* ---- held for an answer ---- */

static void what_comes_to_a_held_subscription_is_kept_until_it_is_live(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_CATCHING_UP);
  fixture_publish(&fixture, "a", "0");
  fanout_hold(&fixture.fanout, one);
  fanout_hold(&fixture.fanout, one);
  fixture_publish(&fixture, "a", "1");
  fixture_publish(&fixture, "a", "2");
  assert_delivered(0, "");
  fanout_activate(&fixture.fanout, one);
  fanout_hold(&fixture.fanout, one); /* it is live: nothing to hold */
  fixture_publish(&fixture, "a", "3");
  assert_delivered(0, DELIVERED("1", "1-1", "1", "a") DELIVERED("1", "1-2", "2", "a")
                          DELIVERED("1", "1-3", "3", "a"));
  unsubscribe(one);
}

static void a_held_subscription_that_changes_loses_nothing(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_HELD);
  fixture_publish(&fixture, "a", "0");
  fanout_change(&fixture.fanout, one, SLICE("2"), SUBSCRIPTION_HELD);
  fixture_publish(&fixture, "a", "1");
  assert_delivered(0, "");
  fanout_change(&fixture.fanout, one, SLICE("3"), SUBSCRIPTION_LIVE);
  assert_delivered(0, DELIVERED("3", "1-0", "0", "a") DELIVERED("3", "1-1", "1", "a"));
  unsubscribe(one);
}

/* Its history has them. */
static void a_held_subscription_that_catches_up_again_keeps_nothing(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_HELD);
  fixture_publish(&fixture, "a", "0");
  fanout_change(&fixture.fanout, one, SLICE("2"), SUBSCRIPTION_CATCHING_UP);
  fixture_publish(&fixture, "a", "1");
  fanout_activate(&fixture.fanout, one);
  assert_delivered(0, "");
  unsubscribe(one);
}

static void what_was_kept_goes_with_its_subscription(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_HELD);
  fixture_publish(&fixture, "a", "0");
  unsubscribe(one);
  assert_delivered(0, "");
}

/* A connection that closes because too much is kept for it keeps no more than that. */
static void what_is_kept_is_limited(void **state) {
  (void)state;
  enum { LEN = 1000, COUNT = 50 };
  static char payload[LEN + 1];
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_HELD);
  struct message *messages[COUNT];
  struct filter_ref filter;
  memset(payload, '1', LEN);
  fixture.pool.pool.limits.max_send_queue = 10 * LEN;
  fixture_match(&fixture, "a", &filter, 1);
  for (int i = 0; i < COUNT; i++) {
    messages[i] = fixture_message(&fixture, "a", slice_of(payload, LEN));
    struct delivery delivery = {
        .filters = &filter, .messages = &messages[i], .filter_count = 1, .message_count = 1};
    fanout_deliver(&fixture.fanout, &delivery);
  }
  assert_delivered(0, "close:1013,too much came before the batch was done ");
  int kept = 0;
  for (int i = 0; i < COUNT; i++) {
    kept += atomic_load(&messages[i]->refs) == 2;
    message_unref(messages[i]);
  }
  assert_in_range(kept, 0, 10);
  unsubscribe(one);
}

/* ---- gaps ---- */

#define GAP(id, topic)                                                                             \
  "{\"jsonrpc\":\"2.0\",\"method\":\"gap\",\"params\":{\"topic\":\"" topic "\",\"lastId\":\"" id   \
  "\"}} "

static void a_gap_comes_in_its_place_and_without_an_id(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_LIVE);
  struct subscription *two = fixture_subscribe(&fixture, 1, "#", "\"x\"", SUBSCRIPTION_LIVE);
  struct message *run[] = {fixture_message(&fixture, "a", SLICE("0")),
                           message_new_gap(SLICE("a"), (struct message_id){1, 0}),
                           fixture_message(&fixture, "a", SLICE("1"))};
  fixture_deliver(&fixture, "a", run, ARRAY_LEN(run));
  assert_delivered(0,
                   DELIVERED("1", "1-0", "0", "a") GAP("1-0", "a") DELIVERED("1", "1-1", "1", "a"));
  assert_delivered(1, DELIVERED("\"x\"", "1-0", "0", "a") GAP("1-0", "a")
                          DELIVERED("\"x\"", "1-1", "1", "a"));
  unsubscribe(one);
  unsubscribe(two);
}

static void overlapping_subscriptions_each_get_a_gap(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_LIVE);
  struct subscription *two = fixture_subscribe(&fixture, 0, "+", "2", SUBSCRIPTION_LIVE);
  struct subscription *three = fixture_subscribe(&fixture, 0, "b", "3", SUBSCRIPTION_LIVE);
  fixture_lose(&fixture, "a", (struct message_id){0, 0});
  assert_delivered(0, GAP("0-0", "a") GAP("0-0", "a"));
  unsubscribe(one);
  unsubscribe(two);
  unsubscribe(three);
}

static void a_held_subscription_gets_its_gap_when_it_is_live(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_HELD);
  fixture_publish(&fixture, "a", "0");
  fixture_lose(&fixture, "a", (struct message_id){1, 0});
  assert_delivered(0, "");
  fanout_activate(&fixture.fanout, one);
  assert_delivered(0, DELIVERED("1", "1-0", "0", "a") GAP("1-0", "a"));
  unsubscribe(one);
}

static void a_gap_passes_a_subscription_by_that_catches_up(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_CATCHING_UP);
  fixture_lose(&fixture, "a", (struct message_id){1, 0});
  fanout_activate(&fixture.fanout, one);
  assert_delivered(0, "");
  unsubscribe(one);
}

/* ---- slow and closing ---- */

static void a_slow_member_is_closed_and_the_others_get_theirs(void **state) {
  (void)state;
  enum { LEN = 3000, COUNT = 100 };
  static char payload[LEN + 1];
  int size = 1;
  struct subscription *subscriptions[FANOUT_PEERS];
  for (int i = 0; i < FANOUT_PEERS; i++)
    subscriptions[i] = fixture_subscribe(&fixture, i, "a", "1", SUBSCRIPTION_LIVE);
  fixture.pool.pool.limits.max_send_queue = 100000;
  setsockopt(fixture.connections[1]->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  memset(payload, '1', LEN);
  for (int i = 0; i < COUNT; i++) {
    fixture_publish(&fixture, "a", payload);
    settle(&fixture.pool);
    for (int p = 0; p < FANOUT_PEERS; p++)
      if (p != 1) peer_read(&fixture.peers[p]);
  }
  assert_int_equal(fixture.connections[1]->state, CONNECTION_CLOSING);
  assert_int_equal(count_of(&fixture.pool, METRIC_SLOW_CONSUMERS), 1);
  for (int i = 0; i < FANOUT_PEERS; i++) {
    if (i != 1) assert_true(fixture.peers[i].in.len > COUNT * LEN);
    unsubscribe(subscriptions[i]);
  }
}

/* The first member is told that it is too slow, in memory of the same arena: what the others are
 * still to get stays. */
static void a_slow_first_member_takes_nothing_from_the_others(void **state) {
  (void)state;
  enum { LEN = 200000, COUNT = 10 };
  static char payload[LEN + 1];
  int size = 1;
  struct subscription *subscriptions[FANOUT_PEERS];
  for (int i = 0; i < FANOUT_PEERS; i++)
    subscriptions[i] = fixture_subscribe(&fixture, i, "a", "1", SUBSCRIPTION_LIVE);
  fixture.pool.pool.limits.max_send_queue = 3 * LEN;
  setsockopt(fixture.connections[0]->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  memset(payload, '1', LEN);
  for (int i = 0; i < COUNT; i++) {
    fixture_publish(&fixture, "a", payload);
    settle(&fixture.pool);
    for (int p = 1; p < FANOUT_PEERS; p++) {
      do {
        settle(&fixture.pool);
      } while (peer_read_some(&fixture.peers[p], SIZE_MAX) > 0);
    }
  }
  assert_int_equal(count_of(&fixture.pool, METRIC_SLOW_CONSUMERS), 1);
  for (int p = 1; p < FANOUT_PEERS; p++) {
    struct slice rest = buf_slice(&fixture.peers[p].in);
    struct peer_frame frame = {0};
    for (int i = 0; i < COUNT; i++) {
      assert_true(next_frame(&rest, &frame));
      assert_true(frame.payload.len > LEN);
      assert_non_null(memmem(frame.payload.ptr, frame.payload.len, payload, LEN));
    }
  }
  for (int i = 0; i < FANOUT_PEERS; i++)
    unsubscribe(subscriptions[i]);
}

static void a_connection_that_closes_gets_nothing_more(void **state) {
  (void)state;
  struct subscription *one = fixture_subscribe(&fixture, 0, "a", "1", SUBSCRIPTION_LIVE);
  connection_close(fixture.connections[0], WS_CLOSE_NORMAL, SLICE(""));
  fixture_publish(&fixture, "a", "1");
  assert_delivered(0, "close:1000 ");
  unsubscribe(one);
}

#define FANOUT_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      FANOUT_TEST(a_message_carries_the_id_of_its_subscription),
      FANOUT_TEST(overlapping_subscriptions_each_deliver),
      FANOUT_TEST(a_subscription_is_found_by_connection_and_exact_filter),
      FANOUT_TEST(the_trie_knows_a_filter_from_the_first_to_the_last_subscription),
      FANOUT_TEST(live_messages_pass_a_subscription_by_that_catches_up),
      FANOUT_TEST(subscribing_again_changes_the_id),
      FANOUT_TEST(a_delivery_for_a_filter_that_is_gone_reaches_nobody),
      FANOUT_TEST(members_of_a_group_share_the_bytes),
      FANOUT_TEST(a_long_run_of_messages_comes_whole_and_in_order),
      FANOUT_TEST(what_comes_to_a_held_subscription_is_kept_until_it_is_live),
      FANOUT_TEST(a_held_subscription_that_changes_loses_nothing),
      FANOUT_TEST(a_held_subscription_that_catches_up_again_keeps_nothing),
      FANOUT_TEST(what_was_kept_goes_with_its_subscription),
      FANOUT_TEST(what_is_kept_is_limited),
      FANOUT_TEST(a_gap_comes_in_its_place_and_without_an_id),
      FANOUT_TEST(overlapping_subscriptions_each_get_a_gap),
      FANOUT_TEST(a_held_subscription_gets_its_gap_when_it_is_live),
      FANOUT_TEST(a_gap_passes_a_subscription_by_that_catches_up),
      FANOUT_TEST(a_slow_member_is_closed_and_the_others_get_theirs),
      FANOUT_TEST(a_slow_first_member_takes_nothing_from_the_others),
      FANOUT_TEST(a_connection_that_closes_gets_nothing_more),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
