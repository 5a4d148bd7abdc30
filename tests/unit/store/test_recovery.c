#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>

#include "asker.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/slice.h"
#include "eventhub/topic/name.h"

/*
 * The property that subscribers with history live by. Publishers on threads of their own publish to
 * a few topics; each payload is the publisher's count for that topic. Subscribers on other threads
 * subscribe at random moments from a random point, ignore live messages until the answer and
 * deliver from then on, unsubscribe and resume behind the last id they have seen. Whatever the
 * interleaving: for each publisher and topic they see 0, 1, 2, ... to the last, and ids only go up.
 */

enum {
  PUBLISHERS = 3,
  WORKERS = 3,
  SLOTS = 3, /* subscriptions per worker */
  PUBLISHES = 4000,
  WINDOW = 32,
  TOPICS = 4
};

static const char *const topics[TOPICS] = {"a/1", "a/2", "b/1", "b"};
static const char *const filters[WORKERS][SLOTS] = {
    {"a/1", "#", "a/+"}, {"b", "+/1", "a/#"}, {"b/#", "a/2", "+/+"}};

struct publisher {
  struct asker asker;
  pthread_t thread;
  unsigned index;
  uint64_t random;
  uint64_t next[TOPICS]; /* the count of the next message; once joined, how many there are */
  struct store_request requests[WINDOW];
  bool is_busy[WINDOW];
  size_t busy;
};

enum slot_state { SLOT_IDLE, SLOT_CATCHING_UP, SLOT_LIVE };

struct slot {
  struct subscriber *subscriber;
  struct slice filter;
  enum slot_state state;
  struct filter_ref ref;
  struct message_id last;                /* seen */
  uint64_t expected[PUBLISHERS][TOPICS]; /* the next count */
  uint64_t leave_in;                     /* messages, then it unsubscribes */
  struct store_request read;
  bool is_last; /* never leaves again */
};

struct subscriber {
  struct asker asker;
  pthread_t thread;
  unsigned worker;
  uint64_t random;
  struct topic_trie *trie;
  struct slot slots[SLOTS];
  uint64_t subscribed;
};

static _Atomic int publishers_left;

static uint64_t pick(uint64_t *random, uint64_t below) {
  *random = *random * 6364136223846793005u + 1442695040888963407u;
  return (*random >> 33) % below;
}

static void on_published(struct store_request *request, void *context) {
  struct publisher *publisher = context;
  assert_int_equal(request->status, STORE_OK);
  message_unref(request->publish.message);
  publisher->is_busy[request - publisher->requests] = false;
  publisher->busy--;
}

static size_t on_nothing(const struct delivery *delivery, void *context) {
  (void)delivery;
  (void)context;
  return 0;
}

static void publish_one(struct publisher *publisher) {
  size_t i = 0;
  while (publisher->is_busy[i])
    i++;
  unsigned topic = (unsigned)pick(&publisher->random, TOPICS);
  char payload[32];
  int len = snprintf(payload, sizeof payload, "%u%03lu%05lu", publisher->index + 1,
                     (unsigned long)topic, (unsigned long)publisher->next[topic]++);
  struct store_request *request = &publisher->requests[i];
  store_request_init(request, STORE_PUBLISH);
  request->publish.message =
      message_new(slice_str(topics[topic]), slice_of(payload, (size_t)len), SLICE(""));
  publisher->is_busy[i] = true;
  publisher->busy++;
  store_submit(&publisher->asker.client, request);
}

static void *run_publisher(void *context) {
  struct publisher *publisher = context;
  for (int left = PUBLISHES; left > 0;) {
    for (uint64_t burst = 1 + pick(&publisher->random, 12); burst > 0 && left > 0;
         burst--, left--) {
      if (publisher->busy == WINDOW) break;
      publish_one(publisher);
    }
    store_client_flush(&publisher->asker.client);
    while (publisher->busy == WINDOW)
      asker_wait_mail(&publisher->asker.mailbox);
    mailbox_drain(&publisher->asker.mailbox);
  }
  while (publisher->busy > 0)
    asker_wait_mail(&publisher->asker.mailbox);
  atomic_fetch_sub(&publishers_left, 1);
  return NULL;
}

static void see(struct slot *slot, const struct message *message) {
  assert_true(filter_matches(slot->filter, message_topic(message)));
  assert_true(message_id_compare(message_id(message), slot->last) > 0);
  slot->last = message_id(message);
  uint64_t number;
  assert_int_equal(slice_to_u64(message_payload(message), &number), 0);
  uint64_t *expected = &slot->expected[number / 100000000 - 1][number / 100000 % 1000];
  assert_int_equal(number % 100000, *expected);
  (*expected)++;
}

static void subscribe(struct slot *slot) {
  struct subscriber *subscriber = slot->subscriber;
  if (pick(&subscriber->random, 4) == 0) { /* everything from the start, again */
    memset(slot->expected, 0, sizeof slot->expected);
    slot->last = (struct message_id){0, 0};
  }
  slot->is_last = atomic_load(&publishers_left) == 0;
  slot->leave_in = pick(&subscriber->random, 400);
  slot->state = SLOT_CATCHING_UP;
  slot->ref = topic_trie_add(subscriber->trie, slot->filter, subscriber->worker);
  store_request_init(&slot->read, STORE_READ_LOG);
  slot->read.read_log.filter = slot->filter;
  slot->read.read_log.point = (struct log_point){LOG_SINCE_ID, slot->last};
  slot->read.read_log.limit = UINT32_MAX;
  store_submit(&subscriber->asker.client, &slot->read);
  subscriber->subscribed++;
}

static void unsubscribe(struct slot *slot) {
  topic_trie_remove(slot->subscriber->trie, slot->ref, slot->subscriber->worker);
  slot->state = SLOT_IDLE;
}

static void on_read(struct store_request *request, void *context) {
  (void)context;
  struct slot *slot = container_of(request, struct slot, read);
  assert_int_equal(request->status, STORE_OK);
  assert_true(request->read_log.recovered);
  for (size_t i = 0; i < request->read_log.count; i++)
    see(slot, request->read_log.messages[i]);
  store_request_done(request);
  slot->state = SLOT_LIVE;
}

static void deliver_to(struct slot *slot, const struct delivery *delivery) {
  for (uint32_t i = 0; i < delivery->message_count; i++) {
    if (slot->state != SLOT_LIVE) return;
    see(slot, delivery->messages[i]);
    if (slot->leave_in-- == 0 && !slot->is_last) unsubscribe(slot);
  }
}

static size_t on_deliver(const struct delivery *delivery, void *context) {
  struct subscriber *subscriber = context;
  for (size_t i = 0; i < SLOTS; i++) {
    struct slot *slot = &subscriber->slots[i];
    for (uint32_t f = 0; f < delivery->filter_count; f++) {
      const struct filter_ref *ref = &delivery->filters[f];
      if (ref->number == slot->ref.number && ref->generation == slot->ref.generation) {
        deliver_to(slot, delivery);
      }
    }
  }
  return SLOTS;
}

static bool is_through(const struct subscriber *subscriber) {
  for (size_t i = 0; i < SLOTS; i++) {
    if (!subscriber->slots[i].is_last || subscriber->slots[i].state != SLOT_LIVE) return false;
  }
  return true;
}

static void *run_subscriber(void *context) {
  struct subscriber *subscriber = context;
  while (!is_through(subscriber)) {
    bool is_over = atomic_load(&publishers_left) == 0;
    for (size_t i = 0; i < SLOTS; i++) {
      struct slot *slot = &subscriber->slots[i];
      if (is_over && slot->state == SLOT_LIVE && !slot->is_last) unsubscribe(slot);
      if (slot->state == SLOT_IDLE && (is_over || pick(&subscriber->random, 3) == 0))
        subscribe(slot);
    }
    store_client_flush(&subscriber->asker.client);
    if (mailbox_drain(&subscriber->asker.mailbox) == 0) sched_yield();
  }
  return NULL;
}

static void init_publisher(struct publisher *publisher, struct store *store, unsigned index) {
  memset(publisher, 0, sizeof *publisher);
  asker_init(&publisher->asker, store, index);
  publisher->asker.client.callbacks = (struct store_callbacks){on_published, on_nothing};
  publisher->asker.client.context = publisher;
  publisher->index = index;
  publisher->random = index + 1;
}

static void init_subscriber(struct subscriber *subscriber, struct store *store,
                            struct topic_trie *trie, unsigned index) {
  memset(subscriber, 0, sizeof *subscriber);
  subscriber->worker = PUBLISHERS + index;
  asker_init(&subscriber->asker, store, subscriber->worker);
  subscriber->asker.client.callbacks = (struct store_callbacks){on_read, on_deliver};
  subscriber->asker.client.context = subscriber;
  subscriber->trie = trie;
  subscriber->random = 100 + index;
  for (size_t i = 0; i < SLOTS; i++) {
    subscriber->slots[i].subscriber = subscriber;
    subscriber->slots[i].filter = slice_str(filters[index][i]);
  }
}

static void check_slot(const struct slot *slot, const struct publisher *publishers) {
  for (unsigned p = 0; p < PUBLISHERS; p++) {
    for (unsigned t = 0; t < TOPICS; t++) {
      bool is_matched = filter_matches(slot->filter, slice_str(topics[t]));
      assert_int_equal(slot->expected[p][t], is_matched ? publishers[p].next[t] : 0);
    }
  }
}

static void every_subscriber_sees_every_message_once_and_in_order(void **state) {
  (void)state;
  static struct publisher publishers[PUBLISHERS];
  static struct subscriber subscribers[WORKERS];
  struct store_config config = {.log_enabled = true};
  struct topic_trie *trie = topic_trie_new();
  struct store *store = store_new(&config, trie);
  atomic_store(&publishers_left, PUBLISHERS);
  for (unsigned i = 0; i < PUBLISHERS; i++)
    init_publisher(&publishers[i], store, i);
  for (unsigned i = 0; i < WORKERS; i++)
    init_subscriber(&subscribers[i], store, trie, i);
  assert_int_equal(store_start(store), 0);
  for (unsigned i = 0; i < WORKERS; i++)
    pthread_create(&subscribers[i].thread, NULL, run_subscriber, &subscribers[i]);
  for (unsigned i = 0; i < PUBLISHERS; i++)
    pthread_create(&publishers[i].thread, NULL, run_publisher, &publishers[i]);
  for (unsigned i = 0; i < PUBLISHERS; i++)
    pthread_join(publishers[i].thread, NULL);
  for (unsigned i = 0; i < WORKERS; i++)
    pthread_join(subscribers[i].thread, NULL);
  store_stop(store);
  for (unsigned i = 0; i < WORKERS; i++) {
    assert_true(subscribers[i].subscribed > 2 * SLOTS);
    for (size_t s = 0; s < SLOTS; s++)
      check_slot(&subscribers[i].slots[s], publishers);
    asker_done(&subscribers[i].asker);
  }
  for (unsigned i = 0; i < PUBLISHERS; i++)
    asker_done(&publishers[i].asker);
  store_free(store);
  topic_trie_free(trie);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_subscriber_sees_every_message_once_and_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
