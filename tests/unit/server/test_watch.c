#include "eventhub/server/watch.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "watch_fixture.h"

/* Subscriptions on a store that has to be told which filters a worker needs. */

static struct peer one, two, three; /* the third has a worker of its own */

static int set_up(void **state) {
  (void)state;
  watch_fixture_init(ENV("DISABLE_AUTH=1"));
  client_connect(&one, &watching.broker, 0);
  client_connect(&two, &watching.broker, 0);
  client_connect(&three, &watching.broker, 1);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  watch_fixture_done();
  peer_close(&one);
  peer_close(&two);
  peer_close(&three);
  return 0;
}

#define SUBSCRIBE(id, topic) REQUEST(id, "subscribe", "{\"topic\":\"" topic "\"}")
#define RECOVER(id, topic)   REQUEST(id, "subscribe", "{\"topic\":\"" topic "\",\"since\":1}")
#define UNSUBSCRIBE(topic)   REQUEST("9", "unsubscribe", "[\"" topic "\"]")
#define UNSUBSCRIBED         RESULT("9", "{\"unsubscribe_count\":1}") " "
#define LIST                 REQUEST("8", "list", "[]")
#define LISTED(topics)       RESULT("8", "[" topics "]") " "
#define GRANTED(id, topic)   RESULT(id, SUBSCRIBED(topic)) " "
#define NOT_AVAILABLE(id)                                                                          \
  ERROR(id, "-32603", "Internal error",                                                            \
        "The store is not available at the moment. The request had no effect; try again later.")
#define A(id, number) MESSAGE(id, ITEM("1700000000000-" number, number, "a"))

static void assert_asked(struct peer *peer, const char *text, const char *answer) {
  assert_answer(&watching.broker, peer, text, answer);
}

/* The payload is the message's number, and the second part of its id. */
static void publish(const char *topic, int number) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_printf(&text, NOTIFICATION("publish", "{\"topic\":\"%s\",\"message\":%d}"), topic, number);
  client_ask(&watching.broker, &three, text.data);
}

/* ---- subscribing ---- */

static void a_subscription_is_answered_and_live_when_its_filter_is_watched(void **state) {
  (void)state;
  assert_asked(&one, SUBSCRIBE("1", "a"), "");
  assert_int_equal(watching.open_count, 1);
  assert_true(slice_equal(watching.open[0]->watch.filter, SLICE("a")));
  publish("a", 0);
  assert_frames(&one, "");
  watch_answer(STORE_OK);
  publish("a", 1);
  assert_frames(&one, GRANTED("1", "a") A("1", "1"));
}

static void a_watch_that_fails_ends_its_subscription(void **state) {
  (void)state;
  static const enum store_status statuses[] = {STORE_UNAVAILABLE, STORE_UNKNOWN};
  for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
    assert_asked(&one, SUBSCRIBE("1", "a"), "");
    watch_answer(statuses[i]);
    assert_frames(&one, NOT_AVAILABLE("1") " ");
    assert_asked(&one, LIST, LISTED(""));
    assert_ended("a ");
  }
  assert_int_equal(topic_trie_filter_count(watching.broker.broker.trie), 0);
}

static void history_is_read_behind_the_watch(void **state) {
  (void)state;
  publish("a", 0);
  assert_asked(&one, RECOVER("1", "a"), "");
  publish("a", 1);
  watch_answer(STORE_OK);
  publish("a", 2);
  assert_frames(&one, RESULT("1", RECOVERED("a", "true")) " " //
                A("1", "0") A("1", "1") A("1", "2"));
}

static void a_history_that_cannot_be_read_ends_its_subscription(void **state) {
  (void)state;
  watching.ops.run[STORE_READ_LOG] = watch_keep;
  assert_asked(&one, RECOVER("1", "a"), "");
  watch_answer(STORE_OK);
  assert_frames(&one, "");
  watch_answer(STORE_UNAVAILABLE);
  assert_frames(&one, NOT_AVAILABLE("1") " ");
  assert_asked(&one, LIST, LISTED(""));
  assert_ended("a ");
}

/* Its answer may be as long as that of any other read: the next one waits. */
static void a_watch_before_a_history_counts_like_the_history(void **state) {
  (void)state;
  const struct connection *connection = watching.broker.broker.workers[0].pool.slots[0];
  watching.ops.run[STORE_READ_LOG] = watch_keep;
  client_ask(&watching.broker, &one, SUBSCRIBE("1", "b"));
  assert_int_equal(connection->pauses, 0);
  client_ask(&watching.broker, &one, RECOVER("2", "a"));
  assert_int_equal(connection->pauses, 0);
  client_ask(&watching.broker, &one, REQUEST("3", "get", "{\"key\":\"none\"}"));
  assert_int_equal(connection->pauses, CONNECTION_PAUSE_READS);
  watch_answer(STORE_OK);
  watch_answer(STORE_OK);
  assert_int_equal(connection->pauses, CONNECTION_PAUSE_READS);
  watch_answer(STORE_OK);
  broker_settle(&watching.broker);
  assert_int_equal(connection->pauses, 0);
  assert_int_equal(((struct session *)connection->session)->pending, 0);
}

static void without_history_the_answer_still_says_recovered(void **state) {
  (void)state;
  client_ask(&watching.broker, &one, REQUEST("1", "subscribe", "{\"topic\":\"a\",\"since\":0}"));
  watch_answer(STORE_OK);
  assert_frames(&one, RESULT("1", RECOVERED("a", "true")) " ");
}

/* ---- subscribing again ---- */

static void subscribe_live(struct peer *peer) {
  client_ask(&watching.broker, peer, SUBSCRIBE("1", "a"));
  watch_answer(STORE_OK);
  assert_frames(peer, GRANTED("1", "a"));
}

static void a_live_subscription_changes_its_id_at_once(void **state) {
  (void)state;
  subscribe_live(&one);
  assert_asked(&one, SUBSCRIBE("2", "a"), GRANTED("2", "a"));
  assert_int_equal(watching.open_count, 0);
  publish("a", 0);
  assert_frames(&one, A("2", "0"));
}

static void history_for_a_live_subscription_needs_no_watch(void **state) {
  (void)state;
  publish("a", 0);
  subscribe_live(&one);
  assert_asked(&one, RECOVER("2", "a"), RESULT("2", RECOVERED("a", "true")) " " A("2", "0"));
  assert_int_equal(watching.open_count, 0);
}

static void a_live_subscription_goes_on_until_its_history_is_there(void **state) {
  (void)state;
  watching.ops.run[STORE_READ_LOG] = watch_keep;
  subscribe_live(&one);
  client_ask(&watching.broker, &one, RECOVER("2", "a"));
  publish("a", 0);
  assert_frames(&one, A("1", "0"));
  watch_answer(STORE_OK);
  publish("a", 1);
  assert_frames(&one, RESULT("2", RECOVERED("a", "true")) " " A("2", "0") A("2", "1"));
}

static void a_live_subscription_outlives_a_history_that_fails(void **state) {
  (void)state;
  watching.ops.run[STORE_READ_LOG] = watch_keep;
  subscribe_live(&one);
  client_ask(&watching.broker, &one, RECOVER("2", "a"));
  watch_answer(STORE_UNAVAILABLE);
  publish("a", 0);
  assert_frames(&one, NOT_AVAILABLE("2") " " A("1", "0"));
  assert_ended("");
}

static void ask_twice(void) {
  client_ask(&watching.broker, &one, SUBSCRIBE("1", "a"));
  client_ask(&watching.broker, &one, SUBSCRIBE("2", "a"));
  assert_int_equal(watching.open_count, 2);
}

static void between_two_answers_nothing_is_lost(void **state) {
  (void)state;
  ask_twice();
  watch_answer(STORE_OK);
  publish("a", 0);
  watch_answer(STORE_OK);
  publish("a", 1);
  assert_frames(&one, GRANTED("1", "a") A("1", "0") GRANTED("2", "a") A("2", "1"));
}

static void one_watch_of_two_is_enough(void **state) {
  (void)state;
  ask_twice();
  watch_answer(STORE_UNAVAILABLE);
  watch_answer(STORE_OK);
  publish("a", 0);
  assert_frames(&one, NOT_AVAILABLE("1") " " GRANTED("2", "a") A("2", "0"));
  assert_asked(&one, UNSUBSCRIBE("a"), UNSUBSCRIBED);
  ask_twice();
  watch_answer(STORE_OK);
  watch_answer(STORE_UNAVAILABLE);
  publish("a", 1);
  assert_frames(&one, GRANTED("1", "a") NOT_AVAILABLE("2") " " A("1", "1"));
  assert_ended("a ");
}

static void two_watches_that_fail_leave_nothing(void **state) {
  (void)state;
  ask_twice();
  watch_answer(STORE_UNAVAILABLE);
  watch_answer(STORE_UNAVAILABLE);
  assert_frames(&one, NOT_AVAILABLE("1") " " NOT_AVAILABLE("2") " ");
  assert_asked(&one, LIST, LISTED(""));
}

/* The first request reads a history, the second one does not and is answered before it. */
static void a_later_request_that_was_granted_is_not_undone(void **state) {
  (void)state;
  watching.ops.run[STORE_READ_LOG] = watch_keep;
  publish("a", 0);
  client_ask(&watching.broker, &one, BATCH2(RECOVER("1", "a"), SUBSCRIBE("2", "a")));
  assert_int_equal(watching.open_count, 2);
  watch_answer(STORE_OK);
  watch_answer(STORE_OK);
  watch_answer(STORE_OK);
  publish("a", 1);
  assert_frames(&one,
                BATCH2(RESULT("1", RECOVERED("a", "true")), RESULT("2", SUBSCRIBED("a"))) " " //
                A("2", "1"));
}

/* ---- in a batch ---- */

static void a_batch_delivers_behind_its_answers(void **state) {
  (void)state;
  publish("b", 0);
  assert_asked(&one, BATCH3(SUBSCRIBE("1", "a"), RECOVER("2", "b"), SUBSCRIBE("3", "c")), "");
  watch_answer(STORE_OK);
  publish("a", 1);
  watch_answer(STORE_OK);
  publish("b", 2);
  assert_frames(&one, "");
  watch_answer(STORE_OK);
  assert_frames(&one, BATCH3(RESULT("1", SUBSCRIBED("a")), RESULT("2", RECOVERED("b", "true")),
                             RESULT("3", SUBSCRIBED("c"))) " " //
                A("1", "1") MESSAGE("2", ITEM("1700000000000-0", "0", "b"))
                    MESSAGE("2", ITEM("1700000000000-2", "2", "b")));
}

static void a_batch_may_fail_in_part(void **state) {
  (void)state;
  client_ask(&watching.broker, &one, BATCH2(SUBSCRIBE("1", "a"), RECOVER("2", "b")));
  watch_answer(STORE_OK);
  watch_answer(STORE_UNAVAILABLE);
  publish("a", 0);
  assert_frames(&one, BATCH2(RESULT("1", SUBSCRIBED("a")), NOT_AVAILABLE("2")) " " A("1", "0"));
  assert_ended("b ");
}

static void a_subscription_of_a_batch_that_waits_changes_its_id(void **state) {
  (void)state;
  client_ask(&watching.broker, &one, BATCH2(SUBSCRIBE("1", "a"), SUBSCRIBE("2", "b")));
  watch_answer(STORE_OK);
  publish("a", 0);
  assert_asked(&one, SUBSCRIBE("3", "a"), A("3", "0") GRANTED("3", "a"));
  watch_answer(STORE_OK);
  publish("a", 1);
  assert_frames(&one, BATCH2(RESULT("1", SUBSCRIBED("a")), RESULT("2", SUBSCRIBED("b"))) " " //
                A("3", "1"));
}

static void what_is_kept_for_a_batch_outlives_a_second_watch(void **state) {
  (void)state;
  client_ask(&watching.broker, &one,
             BATCH3(SUBSCRIBE("1", "a"), SUBSCRIBE("2", "a"), SUBSCRIBE("3", "b")));
  watch_answer(STORE_OK);
  publish("a", 0);
  watch_answer(STORE_OK);
  publish("a", 1);
  watch_answer(STORE_OK);
  assert_frames(&one, BATCH3(RESULT("1", SUBSCRIBED("a")), RESULT("2", SUBSCRIBED("a")),
                             RESULT("3", SUBSCRIBED("b"))) " " //
                A("2", "0") A("2", "1"));
}

static void what_is_kept_for_a_batch_comes_once_with_its_history(void **state) {
  (void)state;
  client_ask(&watching.broker, &one,
             BATCH3(SUBSCRIBE("1", "a"), RECOVER("2", "a"), SUBSCRIBE("3", "b")));
  watch_answer(STORE_OK);
  publish("a", 0);
  watch_answer(STORE_OK);
  publish("a", 1);
  watch_answer(STORE_OK);
  assert_frames(&one, BATCH3(RESULT("1", SUBSCRIBED("a")), RESULT("2", RECOVERED("a", "true")),
                             RESULT("3", SUBSCRIBED("b"))) " " //
                A("2", "0") A("2", "1"));
}

/* ---- the end ---- */

static void the_last_subscription_of_a_worker_ends_the_watch(void **state) {
  (void)state;
  subscribe_live(&one);
  subscribe_live(&two);
  subscribe_live(&three);
  assert_asked(&one, UNSUBSCRIBE("a"), UNSUBSCRIBED);
  assert_ended("");
  assert_asked(&three, UNSUBSCRIBE("a"), UNSUBSCRIBED);
  assert_ended("a ");
  peer_close(&two);
  broker_settle(&watching.broker);
  assert_ended("a ");
}

static void a_watch_that_nobody_waits_for_any_more_is_ended_too(void **state) {
  (void)state;
  client_ask(&watching.broker, &one, SUBSCRIBE("1", "a"));
  assert_asked(&one, UNSUBSCRIBE("a"), UNSUBSCRIBED);
  assert_ended("a ");
  watch_answer(STORE_OK);
  publish("a", 0);
  assert_frames(&one, GRANTED("1", "a"));
  assert_asked(&one, LIST, LISTED(""));
}

static void an_old_answer_does_not_start_a_new_subscription(void **state) {
  (void)state;
  client_ask(&watching.broker, &one, SUBSCRIBE("1", "a"));
  assert_asked(&one, UNSUBSCRIBE("a"), UNSUBSCRIBED);
  client_ask(&watching.broker, &one, SUBSCRIBE("2", "a"));
  watch_answer(STORE_OK);
  publish("a", 0);
  assert_frames(&one, GRANTED("1", "a"));
  watch_answer(STORE_OK);
  publish("a", 1);
  assert_frames(&one, GRANTED("2", "a") A("2", "1"));
}

static void an_old_failure_does_not_end_a_new_subscription(void **state) {
  (void)state;
  client_ask(&watching.broker, &one, SUBSCRIBE("1", "a"));
  assert_asked(&one, UNSUBSCRIBE("a"), UNSUBSCRIBED);
  client_ask(&watching.broker, &one, SUBSCRIBE("2", "a"));
  watch_answer(STORE_UNAVAILABLE);
  watch_answer(STORE_OK);
  publish("a", 0);
  assert_frames(&one, NOT_AVAILABLE("1") " " GRANTED("2", "a") A("2", "0"));
}

static void a_client_that_is_gone_is_not_waited_for(void **state) {
  (void)state;
  client_ask(&watching.broker, &one, RECOVER("1", "a"));
  client_ask(&watching.broker, &two, BATCH2(RECOVER("1", "b"), SUBSCRIBE("2", "c")));
  peer_close(&one);
  broker_settle(&watching.broker);
  assert_ended("a ");
  peer_close(&two);
  broker_settle(&watching.broker);
  assert_ended("b c ");
  assert_int_equal(atomic_load(&watching.broker.broker.sessions), 1);
  watch_answer(STORE_OK);
  watch_answer(STORE_OK);
  watch_answer(STORE_OK);
  assert_int_equal(watching.open_count, 0);
}

/* Nobody turns the workers any more: what is open and what they still ask for is freed. */
static void a_broker_may_end_with_watches_open(void **state) {
  (void)state;
  subscribe_live(&one);
  client_ask(&watching.broker, &two, SUBSCRIBE("1", "b"));
  client_ask(&watching.broker, &three, BATCH2(RECOVER("1", "b"), SUBSCRIBE("2", "c")));
  watch_answer_unsettled(STORE_OK);
  watch_answer_unsettled(STORE_OK);
}

/* ---- leaving ---- */

#define GOING_AWAY "close:1001,the server is going away "

static void order_all(void (*order)(struct worker *worker)) {
  for (unsigned i = 0; i < BROKER_WORKERS; i++)
    order(&watching.broker.broker.workers[i]);
  broker_settle(&watching.broker);
}

/* The barrier is answered behind what was asked before it, however long that takes. */
static void what_is_under_way_is_answered_before_the_close_frame(void **state) {
  (void)state;
  watching.ops.run[STORE_PUBLISH] = watch_keep;
  watching.ops.run[STORE_BARRIER] = watch_keep;
  client_ask(&watching.broker, &one, REQUEST("1", "publish", "{\"topic\":\"a\",\"message\":1}"));
  client_ask(&watching.broker, &two, SUBSCRIBE("2", "a"));
  order_all(worker_stop_reading);
  order_all(worker_close_all);
  assert_int_equal(watching.open_count, 2 + BROKER_WORKERS);
  assert_frames(&one, "");
  watch_answer(STORE_UNKNOWN);
  watch_answer(STORE_OK);
  assert_frames(&one, ERROR("1", "-32603", "Internal error",
                            "The store did not answer in time. It is unknown whether the request "
                            "had an effect.") " ");
  assert_frames(&two, GRANTED("2", "a"));
  for (unsigned i = 0; i < BROKER_WORKERS; i++)
    watch_answer(STORE_OK);
  assert_frames(&one, GOING_AWAY);
  assert_frames(&three, GOING_AWAY);
}

static void a_history_behind_a_watch_comes_before_the_close_frame_too(void **state) {
  (void)state;
  publish("a", 0);
  watching.ops.run[STORE_READ_LOG] = watch_keep;
  watching.ops.run[STORE_BARRIER] = watch_keep;
  client_ask(&watching.broker, &one, RECOVER("1", "a"));
  order_all(worker_stop_reading);
  order_all(worker_close_all);
  while (watching.open_count > 0)
    watch_answer(STORE_OK);
  assert_frames(&one, RESULT("1", RECOVERED("a", "true")) " " A("1", "0") GOING_AWAY);
}

/* SHUTDOWN_TIMEOUT ends the waiting: what is open is answered by the store's stop. */
static void a_barrier_without_an_answer_holds_up_no_end(void **state) {
  (void)state;
  watching.ops.run[STORE_BARRIER] = watch_keep;
  subscribe_live(&one);
  client_ask(&watching.broker, &two, RECOVER("2", "b"));
  order_all(worker_stop_reading);
  order_all(worker_close_all);
  assert_int_equal(watching.open_count, 1 + BROKER_WORKERS);
}

#define WATCH_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      WATCH_TEST(a_subscription_is_answered_and_live_when_its_filter_is_watched),
      WATCH_TEST(a_watch_that_fails_ends_its_subscription),
      WATCH_TEST(history_is_read_behind_the_watch),
      WATCH_TEST(a_history_that_cannot_be_read_ends_its_subscription),
      WATCH_TEST(a_watch_before_a_history_counts_like_the_history),
      WATCH_TEST(without_history_the_answer_still_says_recovered),
      WATCH_TEST(a_live_subscription_changes_its_id_at_once),
      WATCH_TEST(history_for_a_live_subscription_needs_no_watch),
      WATCH_TEST(a_live_subscription_goes_on_until_its_history_is_there),
      WATCH_TEST(a_live_subscription_outlives_a_history_that_fails),
      WATCH_TEST(between_two_answers_nothing_is_lost),
      WATCH_TEST(one_watch_of_two_is_enough),
      WATCH_TEST(two_watches_that_fail_leave_nothing),
      WATCH_TEST(a_later_request_that_was_granted_is_not_undone),
      WATCH_TEST(a_batch_delivers_behind_its_answers),
      WATCH_TEST(a_batch_may_fail_in_part),
      WATCH_TEST(a_subscription_of_a_batch_that_waits_changes_its_id),
      WATCH_TEST(what_is_kept_for_a_batch_outlives_a_second_watch),
      WATCH_TEST(what_is_kept_for_a_batch_comes_once_with_its_history),
      WATCH_TEST(the_last_subscription_of_a_worker_ends_the_watch),
      WATCH_TEST(a_watch_that_nobody_waits_for_any_more_is_ended_too),
      WATCH_TEST(an_old_answer_does_not_start_a_new_subscription),
      WATCH_TEST(an_old_failure_does_not_end_a_new_subscription),
      WATCH_TEST(a_client_that_is_gone_is_not_waited_for),
      WATCH_TEST(a_broker_may_end_with_watches_open),
      WATCH_TEST(what_is_under_way_is_answered_before_the_close_frame),
      WATCH_TEST(a_history_behind_a_watch_comes_before_the_close_frame_too),
      WATCH_TEST(a_barrier_without_an_answer_holds_up_no_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
