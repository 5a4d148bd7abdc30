#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>

#include "asker.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"

static _Atomic uint64_t wall_ms;

static uint64_t test_clock(void) {
  return atomic_load(&wall_ms);
}

struct world {
  struct topic_trie *trie;
  struct store *store;
  struct asker askers[2];
};

static const struct store_config defaults = {
    .log_enabled = true, .kv_enabled = true, .max_log_length = 100, .default_ttl_ms = 60000};

static void world_open(struct world *world, const struct store_config *config) {
  atomic_store(&wall_ms, 1700000000000);
  clock_set_wall_for_test(test_clock);
  world->trie = topic_trie_new();
  world->store = store_new(config, world->trie);
  for (unsigned i = 0; i < ARRAY_LEN(world->askers); i++)
    asker_init(&world->askers[i], world->store, i);
}

static void world_start(struct world *world, const struct store_config *config) {
  world_open(world, config);
  assert_int_equal(store_start(world->store), 0);
}

static void world_end(struct world *world) {
  store_stop(world->store);
  for (unsigned i = 0; i < ARRAY_LEN(world->askers); i++)
    asker_done(&world->askers[i]);
  store_free(world->store);
  topic_trie_free(world->trie);
  clock_set_wall_for_test(NULL);
}

static void barrier(struct asker *asker) {
  struct store_request request;
  store_request_init(&request, STORE_BARRIER);
  assert_int_equal(asker_ask(asker, &request), STORE_OK);
}

static void only_workers_with_a_matching_filter_get_a_message(void **state) {
  (void)state;
  struct world world;
  world_start(&world, &defaults);
  struct asker *one = &world.askers[0], *two = &world.askers[1];
  topic_trie_add(world.trie, SLICE("a/+"), 0);
  topic_trie_add(world.trie, SLICE("a/1"), 1);
  topic_trie_add(world.trie, SLICE("a/#"), 40); /* a worker that is not there */
  asker_publish(one, "a/1", "1");
  asker_publish(one, "a/2", "2");
  asker_publish(one, "b", "3");
  barrier(one);
  barrier(two);
  assert_int_equal(one->deliveries, 2);
  assert_string_equal(two->record, "(1)B");
  const struct store_metrics *metrics = store_metrics(world.store);
  assert_int_equal(store_metric_get(&metrics->publishes), 3);
  assert_int_equal(store_metric_get(&metrics->dispatches), 3);
  assert_int_equal(store_metric_get(&metrics->unmatched), 1);
  world_end(&world);
}

static void a_change_of_the_trie_counts_for_the_next_message(void **state) {
  (void)state;
  struct world world;
  world_start(&world, &defaults);
  struct asker *one = &world.askers[0];
  asker_publish(one, "a", "1");
  struct filter_ref filter = topic_trie_add(world.trie, SLICE("a"), 0);
  asker_publish(one, "a", "2");
  topic_trie_remove(world.trie, filter, 0);
  asker_publish(one, "a", "3");
  barrier(one);
  assert_int_equal(one->deliveries, 1);
  world_end(&world);
}

static void an_answer_is_a_cut(void **state) {
  (void)state;
  struct world world;
  world_start(&world, &defaults);
  struct asker *one = &world.askers[0];
  topic_trie_add(world.trie, SLICE("a"), 0);
  struct store_request publishes[4], read;
  for (int i = 0; i < 4; i++)
    asker_publish_init(&publishes[i], "a", (char[]){(char)('1' + i), '\0'});
  asker_read_init(&read, "a", (struct message_id){0, 0});
  store_submit(&one->client, &publishes[0]);
  store_submit(&one->client, &publishes[1]);
  store_submit(&one->client, &read);
  store_submit(&one->client, &publishes[2]);
  store_submit(&one->client, &publishes[3]);
  store_client_flush(&one->client);
  asker_wait_done(one, 5);
  assert_string_equal(one->record, "(12)PPR(34)PP");
  assert_int_equal(read.read_log.count, 2);
  assert_true(read.read_log.recovered);
  store_request_done(&read);
  store_request_done(&read);
  for (int i = 0; i < 4; i++)
    message_unref(publishes[i].publish.message);
  world_end(&world);
}

static void a_message_keeps_its_id_and_ends_with_its_time_to_live(void **state) {
  (void)state;
  struct world world;
  world_start(&world, &defaults);
  struct asker *one = &world.askers[0];
  struct store_request brief, read;
  struct message_id first = asker_publish(one, "a", "1");
  assert_int_equal(first.ms, 1700000000000);
  asker_publish_init(&brief, "a", "2");
  brief.publish.ttl_ms = 2000;
  brief.publish.timestamp_ms = 1700000000005;
  assert_int_equal(asker_ask(one, &brief), STORE_OK);
  assert_int_equal(brief.publish.id.ms, 1700000000005);
  message_unref(brief.publish.message);
  for (int i = 0; i < 3; i++) {
    static const size_t left[] = {2, 1, 0};
    static const uint64_t times[] = {1999, 2000, 60000};
    atomic_store(&wall_ms, 1700000000000 + times[i]);
    asker_read_init(&read, "a", (struct message_id){1, 0});
    assert_int_equal(asker_ask(one, &read), STORE_OK);
    assert_int_equal(read.read_log.count, left[i]);
    assert_int_equal(read.read_log.recovered, i == 0);
    store_request_done(&read);
  }
  world_end(&world);
}

static void what_expired_goes_without_being_asked_for(void **state) {
  (void)state;
  struct world world;
  world_start(&world, &defaults);
  asker_publish(&world.askers[0], "a", "1");
  atomic_fetch_add(&wall_ms, 62000);
  const struct store_metrics *metrics = store_metrics(world.store);
  while (store_metric_get(&metrics->log_messages) > 0)
    poll(NULL, 0, 1);
  assert_int_equal(store_metric_get(&metrics->log_expired), 1);
  world_end(&world);
}

static void a_rate_limit_counts_over_all_workers(void **state) {
  (void)state;
  struct world world;
  world_start(&world, &defaults);
  struct token_limit limit = {.topic = SLICE("a"), .interval_s = 10, .max = 3};
  topic_trie_add(world.trie, SLICE("a"), 0);
  enum store_status expected[] = {STORE_OK, STORE_OK, STORE_OK, STORE_RATE_LIMITED, STORE_OK};
  for (int i = 0; i < 5; i++) {
    if (i == 4) atomic_fetch_add(&wall_ms, 10000);
    struct store_request publish;
    asker_publish_init(&publish, "a", "1");
    publish.publish.limit = &limit;
    publish.publish.subject = SLICE("alice");
    assert_int_equal(asker_ask(&world.askers[i % 2], &publish), expected[i]);
    message_unref(publish.publish.message);
  }
  barrier(&world.askers[0]);
  assert_int_equal(world.askers[0].deliveries, 4);
  assert_int_equal(store_metric_get(&store_metrics(world.store)->publishes_limited), 1);
  world_end(&world);
}

static enum store_status kv_ask(struct asker *asker, struct store_request *request,
                                enum store_op op, struct blob *value) {
  store_request_init(request, op);
  request->kv.key = SLICE("k");
  request->kv.value = value;
  request->kv.ttl_ms = 1000;
  return asker_ask(asker, request);
}

static void keys_are_set_got_and_deleted(void **state) {
  (void)state;
  struct world world;
  world_start(&world, &defaults);
  struct asker *one = &world.askers[0];
  AUTO(blob) struct blob *value = blob_new("v", 1);
  struct store_request request;
  assert_int_equal(kv_ask(one, &request, STORE_KV_GET, NULL), STORE_NOT_FOUND);
  assert_int_equal(kv_ask(one, &request, STORE_KV_SET, value), STORE_OK);
  assert_int_equal(kv_ask(&world.askers[1], &request, STORE_KV_GET, NULL), STORE_OK);
  assert_ptr_equal(request.kv.value, value);
  store_request_done(&request);
  assert_int_equal(kv_ask(one, &request, STORE_KV_DEL, NULL), STORE_OK);
  assert_int_equal(kv_ask(one, &request, STORE_KV_DEL, NULL), STORE_NOT_FOUND);
  assert_int_equal(kv_ask(one, &request, STORE_KV_SET, value), STORE_OK);
  atomic_fetch_add(&wall_ms, 1000);
  assert_int_equal(kv_ask(one, &request, STORE_KV_GET, NULL), STORE_NOT_FOUND);
  world_end(&world);
}

static void what_is_switched_off_says_so(void **state) {
  (void)state;
  struct world world;
  struct store_config config = {0};
  world_start(&world, &config);
  struct asker *one = &world.askers[0];
  topic_trie_add(world.trie, SLICE("a"), 0);
  struct message_id first = asker_publish(one, "a", "1");
  assert_true(message_id_compare(asker_publish(one, "a", "2"), first) > 0);
  struct store_request request;
  asker_read_init(&request, "a", first);
  assert_int_equal(asker_ask(one, &request), STORE_DISABLED);
  AUTO(blob) struct blob *value = blob_new("v", 1);
  assert_int_equal(kv_ask(one, &request, STORE_KV_SET, value), STORE_DISABLED);
  assert_int_equal(kv_ask(one, &request, STORE_KV_GET, NULL), STORE_DISABLED);
  store_request_done(&request);
  assert_int_equal(kv_ask(one, &request, STORE_KV_DEL, NULL), STORE_DISABLED);
  assert_int_equal(one->deliveries, 2);
  world_end(&world);
}

static void it_is_ready_while_it_runs(void **state) {
  (void)state;
  struct world world;
  world_open(&world, &defaults);
  assert_false(store_is_ready(world.store));
  assert_int_equal(store_start(world.store), 0);
  assert_true(store_is_ready(world.store));
  assert_string_equal(store_backend_name(world.store), "embedded");
  store_stop(world.store);
  assert_false(store_is_ready(world.store));
  world_end(&world);
}

static void a_store_that_never_started_refuses(void **state) {
  (void)state;
  struct world world;
  world_open(&world, &defaults);
  struct store_request before, after;
  store_request_init(&before, STORE_BARRIER);
  store_request_init(&after, STORE_BARRIER);
  store_submit(&world.askers[0].client, &before);
  store_client_flush(&world.askers[0].client);
  store_stop(world.store);
  asker_wait_done(&world.askers[0], 1);
  assert_int_equal(before.status, STORE_STOPPED);
  assert_int_equal(asker_ask(&world.askers[0], &after), STORE_STOPPED);
  world_end(&world);
}

enum { RACE_WORKERS = 3, RACE_REQUESTS = 4000, RACE_CHUNK = 17 };

struct racer {
  struct asker asker;
  struct store_request requests[RACE_REQUESTS];
  uint8_t answers[RACE_REQUESTS];
  size_t answered, refused;
  _Atomic size_t flushed;
};

static void on_race_done(struct store_request *request, void *context) {
  struct racer *racer = context;
  racer->answers[request - racer->requests]++;
  racer->answered++;
  if (request->status == STORE_STOPPED) {
    racer->refused++;
  } else {
    assert_int_equal(racer->refused, 0); /* once stopped, always stopped */
  }
}

static size_t on_race_deliver(const struct delivery *delivery, void *context) {
  (void)delivery;
  (void)context;
  return 0;
}

static void race_submit(struct racer *racer, size_t i) {
  struct store_request *request = &racer->requests[i];
  if (i % 3 == 0) {
    asker_publish_init(request, "a", "1");
  } else {
    store_request_init(request, i % 3 == 1 ? STORE_BARRIER : STORE_KV_GET);
  }
  store_submit(&racer->asker.client, request);
}

static void *race(void *context) {
  struct racer *racer = context;
  for (size_t i = 0; i < RACE_REQUESTS; i++) {
    race_submit(racer, i);
    if (i % RACE_CHUNK != 0) continue;
    store_client_flush(&racer->asker.client);
    atomic_store(&racer->flushed, i);
    mailbox_drain(&racer->asker.mailbox);
  }
  store_client_flush(&racer->asker.client);
  while (racer->answered < RACE_REQUESTS)
    asker_wait_mail(&racer->asker.mailbox);
  return NULL;
}

static void race_init(struct racer *racer, struct store *store, unsigned worker) {
  asker_init(&racer->asker, store, worker);
  racer->asker.client.callbacks = (struct store_callbacks){on_race_done, on_race_deliver};
  racer->asker.client.context = racer;
  memset(racer->answers, 0, sizeof racer->answers);
  racer->answered = racer->refused = 0;
  atomic_store(&racer->flushed, 0);
}

static void race_done(struct racer *racer) {
  for (size_t i = 0; i < RACE_REQUESTS; i++) {
    assert_int_equal(racer->answers[i], 1);
    if (i % 3 == 0) message_unref(racer->requests[i].publish.message);
  }
  asker_done(&racer->asker);
}

static size_t race_to_the_end(size_t stop_after) {
  static struct racer racers[RACE_WORKERS];
  pthread_t threads[RACE_WORKERS];
  struct topic_trie *trie = topic_trie_new();
  struct store *store = store_new(&defaults, trie);
  topic_trie_add(trie, SLICE("a"), 0);
  for (unsigned i = 0; i < RACE_WORKERS; i++)
    race_init(&racers[i], store, i);
  assert_int_equal(store_start(store), 0);
  for (unsigned i = 0; i < RACE_WORKERS; i++)
    pthread_create(&threads[i], NULL, race, &racers[i]);
  while (atomic_load(&racers[0].flushed) < stop_after)
    poll(NULL, 0, 0);
  store_stop(store);
  size_t refused = 0;
  for (unsigned i = 0; i < RACE_WORKERS; i++) {
    pthread_join(threads[i], NULL);
    refused += racers[i].refused;
    race_done(&racers[i]);
  }
  store_free(store);
  topic_trie_free(trie);
  return refused;
}

static void every_request_is_answered_once_also_at_the_stop(void **state) {
  (void)state;
  size_t refused = 0;
  for (int round = 0; round < 10; round++)
    refused += race_to_the_end((size_t)round * 300);
  assert_true(refused > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(only_workers_with_a_matching_filter_get_a_message),
      cmocka_unit_test(a_change_of_the_trie_counts_for_the_next_message),
      cmocka_unit_test(an_answer_is_a_cut),
      cmocka_unit_test(a_message_keeps_its_id_and_ends_with_its_time_to_live),
      cmocka_unit_test(what_expired_goes_without_being_asked_for),
      cmocka_unit_test(a_rate_limit_counts_over_all_workers),
      cmocka_unit_test(keys_are_set_got_and_deleted),
      cmocka_unit_test(what_is_switched_off_says_so),
      cmocka_unit_test(it_is_ready_while_it_runs),
      cmocka_unit_test(a_store_that_never_started_refuses),
      cmocka_unit_test(every_request_is_answered_once_also_at_the_stop),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
