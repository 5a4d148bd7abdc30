#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <assert.h>
#include <stdbool.h>

#include "asker.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/backend.h"

/*
 * The seam, from behind: a backend that commits in groups as a journal does, and keeps what it is
 * told to keep open as one that asks another machine does.
 */

enum { OPEN_MAX = 64 };

struct grouping {
  struct store_backend backend;
  struct store_request *turn[OPEN_MAX]; /* of this turn, until the commit */
  size_t turn_count;
  struct store_request *open[OPEN_MAX]; /* gets are never answered */
  size_t open_count;
  uint64_t next_ms;
  int open_error;
  bool is_full; /* the disk */
  _Atomic unsigned commits;
};

static struct grouping *grouping_of(struct store_backend *backend) {
  return container_of(backend, struct grouping, backend);
}

static int grouping_open(struct store_backend *backend) {
  return grouping_of(backend)->open_error;
}

static void grouping_start(struct store_backend *backend) {
  store_set_ready(backend->store, true);
}

static void keep(struct store_backend *backend, struct store_request *request) {
  struct grouping *grouping = grouping_of(backend);
  assert(grouping->turn_count < OPEN_MAX);
  grouping->turn[grouping->turn_count++] = request;
}

static void keep_open(struct store_backend *backend, struct store_request *request) {
  struct grouping *grouping = grouping_of(backend);
  grouping->open[grouping->open_count++] = request;
}

static void apply(struct grouping *grouping, struct store_request *request) {
  struct message *message = request->publish.message;
  message_set_id(message, (struct message_id){++grouping->next_ms, 0});
  store_dispatch(grouping->backend.store, message);
  store_finish(request, STORE_OK);
}

static void commit(struct store_backend *backend) {
  struct grouping *grouping = grouping_of(backend);
  if (grouping->turn_count == 0) return;
  atomic_fetch_add(&grouping->commits, 1);
  for (size_t i = 0; i < grouping->turn_count; i++) {
    if (grouping->is_full) {
      store_finish(grouping->turn[i], STORE_UNAVAILABLE);
    } else {
      apply(grouping, grouping->turn[i]);
    }
  }
  grouping->turn_count = 0;
}

static void grouping_stop(struct store_backend *backend) {
  struct grouping *grouping = grouping_of(backend);
  for (size_t i = 0; i < grouping->open_count; i++)
    store_finish(grouping->open[i], STORE_UNKNOWN);
}

static void grouping_free(struct store_backend *backend) {
  free(grouping_of(backend));
}

static const struct store_backend_ops grouping_ops = {
    .name = "grouping",
    .open = grouping_open,
    .start = grouping_start,
    .run = {[STORE_PUBLISH] = keep, [STORE_KV_GET] = keep_open},
    .end_of_turn = commit,
    .stop = grouping_stop,
    .free = grouping_free,
};

struct world {
  struct topic_trie *trie;
  struct grouping *grouping;
  struct store *store;
  struct asker asker;
};

static void world_init(struct world *world) {
  world->grouping = x_calloc(1, sizeof *world->grouping);
  world->grouping->backend.ops = &grouping_ops;
  world->trie = topic_trie_new();
  world->store = store_new_with(&world->grouping->backend, world->trie);
  asker_init(&world->asker, world->store, 0);
  topic_trie_add(world->trie, SLICE("a"), 0);
}

static void world_done(struct world *world) {
  asker_done(&world->asker);
  store_free(world->store);
  topic_trie_free(world->trie);
}

static void publish_many(struct asker *asker, struct store_request *requests, size_t count) {
  for (size_t i = 0; i < count; i++) {
    asker_publish_init(&requests[i], "a", (char[]){(char)('1' + i), '\0'});
    store_submit(&asker->client, &requests[i]);
  }
  store_client_flush(&asker->client);
  asker_wait_done(asker, asker->done + count);
  for (size_t i = 0; i < count; i++)
    message_unref(requests[i].publish.message);
}

static void requests_of_a_turn_share_a_commit(void **state) {
  (void)state;
  struct world world;
  world_init(&world);
  assert_int_equal(store_start(world.store), 0);
  struct store_request requests[5];
  publish_many(&world.asker, requests, 5);
  assert_string_equal(world.asker.record, "(12345)PPPPP");
  assert_int_equal(atomic_load(&world.grouping->commits), 1);
  store_stop(world.store);
  world_done(&world);
}

static void what_is_not_committed_is_neither_acknowledged_nor_seen(void **state) {
  (void)state;
  struct world world;
  world_init(&world);
  world.grouping->is_full = true;
  assert_int_equal(store_start(world.store), 0);
  struct store_request requests[3];
  publish_many(&world.asker, requests, 3);
  assert_string_equal(world.asker.record, "PPP");
  for (int i = 0; i < 3; i++)
    assert_int_equal(requests[i].status, STORE_UNAVAILABLE);
  store_stop(world.store);
  world_done(&world);
}

static void open_requests_are_answered_by_the_stop(void **state) {
  (void)state;
  struct world world;
  world_init(&world);
  assert_int_equal(store_start(world.store), 0);
  struct store_request get, publish;
  store_request_init(&get, STORE_KV_GET);
  store_submit(&world.asker.client, &get);
  publish_many(&world.asker, &publish, 1);
  assert_string_equal(world.asker.record, "(1)P");
  store_stop(world.store);
  asker_wait_done(&world.asker, 2);
  assert_int_equal(get.status, STORE_UNKNOWN);
  world_done(&world);
}

static void what_a_backend_does_not_know_is_disabled_or_done(void **state) {
  (void)state;
  struct world world;
  world_init(&world);
  assert_int_equal(store_start(world.store), 0);
  enum store_op ops[] = {STORE_READ_LOG, STORE_KV_SET, STORE_WATCH, STORE_UNWATCH, STORE_BARRIER};
  for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
    struct store_request request;
    store_request_init(&request, ops[i]);
    assert_int_equal(asker_ask(&world.asker, &request), i < 2 ? STORE_DISABLED : STORE_OK);
  }
  store_stop(world.store);
  world_done(&world);
}

static void a_backend_that_cannot_open_ends_the_start(void **state) {
  (void)state;
  struct world world;
  world_init(&world);
  world.grouping->open_error = ERR_DENIED;
  assert_int_equal(store_start(world.store), ERR_DENIED);
  assert_false(store_is_ready(world.store));
  store_stop(world.store);
  world_done(&world);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(requests_of_a_turn_share_a_commit),
      cmocka_unit_test(what_is_not_committed_is_neither_acknowledged_nor_seen),
      cmocka_unit_test(open_requests_are_answered_by_the_stop),
      cmocka_unit_test(what_a_backend_does_not_know_is_disabled_or_done),
      cmocka_unit_test(a_backend_that_cannot_open_ends_the_start),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
