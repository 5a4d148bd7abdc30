#include "eventhub/server/scrape.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker_fixture.h"

static struct broker_fixture fixture;
static struct peer one, two;
static struct metrics_snapshot snapshot;

static int tear_down(void **state) {
  (void)state;
  broker_fixture_done(&fixture);
  peer_close(&one);
  peer_close(&two);
  return 0;
}

static void start(const char *const *env) {
  broker_fixture_init(&fixture, env);
  client_connect(&one, &fixture, 0);
  client_connect(&two, &fixture, 1);
}

static void publish(const char *params) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_printf(&text, REQUEST("1", "publish", "{\"topic\":\"a\",\"message\":1%s}"), params);
  client_ask(&fixture, &one, text.data);
}

static void assert_value(enum metric metric, uint64_t expected) {
  assert_int_equal(snapshot.values[metric], expected);
}

static void what_all_threads_count_is_added_up(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  client_ask(&fixture, &one, REQUEST("1", "subscribe", "{\"topic\":\"a\"}"));
  client_ask(&fixture, &two, REQUEST("1", "subscribe", "{\"topic\":\"a\"}"));
  publish("");
  scrape_take(&fixture.broker, &snapshot);
  assert_value(METRIC_WORKER_COUNT, BROKER_WORKERS);
  assert_value(METRIC_CURRENT_CONNECTIONS_COUNT, 2);
  assert_value(METRIC_TOTAL_CONNECT_COUNT, 2);
  assert_value(METRIC_MESSAGES_RECEIVED, 3);
  assert_value(METRIC_MESSAGES_DELIVERED, 2);
  assert_value(METRIC_SUBSCRIPTIONS, 2);
  assert_value(METRIC_FILTERS, 1); /* of the process, not of each worker */
  assert_value(METRIC_BUILD_INFO, 1);
}

static void what_the_store_counts_is_there(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1", "MAX_CACHE_LENGTH=3"));
  for (int i = 0; i < 5; i++)
    publish(",\"ttl\":1");
  client_ask(&fixture, &one, REQUEST("1", "set", "{\"key\":\"k\",\"value\":\"v\"}"));
  scrape_take(&fixture.broker, &snapshot);
  assert_value(METRIC_PUBLISH_COUNT, 5);
  assert_value(METRIC_EVENTLOG_MESSAGES, 3);
  assert_value(METRIC_EVENTLOG_TRIMMED, 2);
  assert_value(METRIC_EVENTLOG_EXPIRED, 0);
  assert_value(METRIC_EVENTLOG_TOPICS, 1);
  assert_true(snapshot.values[METRIC_EVENTLOG_BYTES] > 0);
  assert_value(METRIC_KVSTORE_KEYS, 1);
  assert_true(snapshot.values[METRIC_KVSTORE_BYTES] > 0);
  broker_wall_ms += 2000;
  fixture.backend->ops->tend(fixture.backend);
  turn_store(&fixture);
  scrape_take(&fixture.broker, &snapshot);
  assert_value(METRIC_EVENTLOG_EXPIRED, 3);
  assert_value(METRIC_EVENTLOG_MESSAGES, 0);
  assert_value(METRIC_EVENTLOG_BYTES, 0);
}

static void what_the_store_counts_of_redis_is_there(void **state) {
  (void)state;
  start(ENV("DISABLE_AUTH=1"));
  struct store_metrics *store = store_backend_metrics(fixture.broker.store);
  atomic_uint_least64_t *const counted[] = {
      &store->redis_failures,   &store->redis_delay_ms,   &store->redis_connected,
      &store->redis_reconnects, &store->redis_gaps_found, &store->redis_gaps_filled,
      &store->redis_gaps_lost,  &store->redis_resent,     &store->redis_pipeline,
      &store->redis_skipped,
  };
  for (size_t i = 0; i < ARRAY_LEN(counted); i++)
    store_metric_set(counted[i], 10 + i);
  store_histogram_add(&store->redis_round_trip, 100);
  store_histogram_add(&store->redis_round_trip, 3000000);
  scrape_take(&fixture.broker, &snapshot);
  assert_value(METRIC_REDIS_CONNECTION_FAIL_COUNT, 10);
  assert_value(METRIC_REDIS_PUBLISH_DELAY_MS, 11);
  assert_value(METRIC_REDIS_CONNECTED, 12);
  assert_value(METRIC_REDIS_RECONNECTS, 13);
  assert_value(METRIC_REDIS_GAPS_FOUND, 14);
  assert_value(METRIC_REDIS_GAPS_FILLED, 15);
  assert_value(METRIC_REDIS_GAPS_LOST, 16);
  assert_value(METRIC_REDIS_RESENT_PUBLISHES, 17);
  assert_value(METRIC_REDIS_PIPELINE_DEPTH, 18);
  assert_value(METRIC_REDIS_SKIPPED_MESSAGES, 19);
  assert_int_equal(snapshot.redis_round_trip.buckets[0], 1);
  assert_int_equal(snapshot.redis_round_trip.buckets[STORE_HISTOGRAM_BOUNDS], 1);
  assert_int_equal(snapshot.redis_round_trip.sum_us, 3000100);
}

static void a_limited_publish_is_counted(void **state) {
  (void)state;
  broker_fixture_init(&fixture, ENV("JWT_SECRET=" BROKER_SECRET));
  client_connect_as(&one, &fixture, 0,
                    "{\"sub\":\"me\",\"write\":[\"a\"],"
                    "\"rlimit\":[{\"topic\":\"a\",\"interval\":10,\"max\":1}]}");
  publish("");
  publish("");
  scrape_take(&fixture.broker, &snapshot);
  assert_value(METRIC_PUBLISH_COUNT, 1);
  assert_value(METRIC_RATE_LIMITED, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(what_all_threads_count_is_added_up, tear_down),
      cmocka_unit_test_teardown(what_the_store_counts_is_there, tear_down),
      cmocka_unit_test_teardown(what_the_store_counts_of_redis_is_there, tear_down),
      cmocka_unit_test_teardown(a_limited_publish_is_counted, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
