#include "eventhub/store/embedded.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "asker.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/log.h"
#include "eventhub/store/journal_file.h"
#include "eventhub/store/journal_wal.h"

/*
 * The embedded store on disk, against itself in memory: whenever all is answered, a copy of the
 * file, opened by another store as after a crash, holds what the first one holds.
 */

enum { TOPICS = 12, KEYS = 8, PATH_BYTES = 128 };

static char root[] = "/tmp/eventhub-durable-XXXXXX";
static _Atomic uint64_t wall_ms;

static uint64_t read_wall(void) {
  return wall_ms;
}

struct world {
  char directory[PATH_BYTES];
  struct topic_trie *trie;
  struct store *store;
  struct asker asker;
};

static int world_try(struct world *world, const char *name, struct store_config config) {
  snprintf(world->directory, sizeof world->directory, "%s/%s", root, name);
  config.kv_enabled = true;
  config.data_dir = world->directory;
  world->trie = topic_trie_new();
  world->store = store_new(&config, world->trie);
  asker_init(&world->asker, world->store, 0);
  return store_start(world->store);
}

static void world_open(struct world *world, const char *name, struct store_config config) {
  assert_int_equal(world_try(world, name, config), 0);
}

static void world_close(struct world *world) {
  store_stop(world->store);
  asker_done(&world->asker);
  store_free(world->store);
  topic_trie_free(world->trie);
}

static void path_of(char out[PATH_BYTES], const struct world *world) {
  snprintf(out, PATH_BYTES, "%.90s/" JOURNAL_FILE_NAME, world->directory);
}

/* ---- what a store is asked ---- */

static void publish_later(struct world *world, struct store_request *request, const char *topic,
                          const char *payload, uint64_t ttl_ms) {
  asker_publish_init(request, topic, payload);
  request->publish.ttl_ms = ttl_ms;
  store_submit(&world->asker.client, request);
}

static enum store_status ask_kv(struct world *world, enum store_op op, const char *key,
                                const char *value, uint64_t ttl_ms) {
  struct store_request request;
  store_request_init(&request, op);
  request.kv.key = slice_str(key);
  request.kv.ttl_ms = ttl_ms;
  AUTO(blob) struct blob *blob = value != NULL ? blob_new(value, strlen(value)) : NULL;
  if (op == STORE_KV_SET) request.kv.value = blob;
  return asker_ask(&world->asker, &request);
}

static void get(struct world *world, const char *key, char out[PATH_BYTES]) {
  struct store_request request;
  store_request_init(&request, STORE_KV_GET);
  request.kv.key = slice_str(key);
  out[0] = '\0';
  if (asker_ask(&world->asker, &request) == STORE_OK)
    snprintf(out, PATH_BYTES, "%.*s", (int)request.kv.value->len, request.kv.value->data);
  store_request_done(&request);
}

static void read_all(struct world *world, struct store_request *request, const char *filter,
                     struct message_id after) {
  asker_read_init(request, filter, after);
  assert_int_equal(asker_ask(&world->asker, request), STORE_OK);
}

/* ---- comparing ---- */

/* Where `other` may know more than `one`, which trims: at the front. */
static void assert_same_messages(struct world *one, struct world *other, const char *filter,
                                 struct message_id after, bool may_know_more) {
  struct store_request first, second;
  read_all(one, &first, filter, after);
  read_all(other, &second, filter, after);
  size_t count = first.read_log.count, more = second.read_log.count - count;
  if (!may_know_more) {
    assert_int_equal(more, 0);
    assert_int_equal(first.read_log.recovered, second.read_log.recovered);
  }
  for (size_t i = 0; i < count; i++) {
    struct message *a = first.read_log.messages[i], *b = second.read_log.messages[i + more];
    assert_true(slice_equal(message_item(a), message_item(b)));
    assert_int_equal(a->expires_ms, b->expires_ms);
  }
  store_request_done(&first);
  store_request_done(&second);
}

static void assert_same(struct world *one, struct world *other, struct message_id point,
                        bool may_know_more) {
  char name[PATH_BYTES], first[PATH_BYTES], second[PATH_BYTES];
  for (int i = 0; i < TOPICS; i++) {
    snprintf(name, sizeof name, "t/%d", i);
    assert_same_messages(one, other, name, (struct message_id){0, 0}, may_know_more);
    assert_same_messages(one, other, name, point, may_know_more);
  }
  for (int i = 0; i < KEYS; i++) {
    snprintf(name, sizeof name, "k%d", i);
    get(one, name, first);
    get(other, name, second);
    assert_string_equal(first, second);
  }
}

static void copy_file(const char *path, const char *target) {
  char bytes[65536];
  ssize_t len;
  int in = open(path, O_RDONLY | O_CLOEXEC);
  int out = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(in >= 0 && out >= 0);
  while ((len = read(in, bytes, sizeof bytes)) > 0)
    assert_int_equal(write(out, bytes, (size_t)len), len);
  close(in);
  close(out);
}

static void copy_files(const struct world *from, const char *name) {
  static const char *const files[] = {JOURNAL_FILE_NAME, JOURNAL_WAL_NAME};
  char path[PATH_BYTES], target[PATH_BYTES];
  snprintf(target, sizeof target, "%s/%s", root, name);
  mkdir(target, 0700);
  for (size_t i = 0; i < ARRAY_LEN(files); i++) {
    snprintf(path, sizeof path, "%.90s/%s", from->directory, files[i]);
    snprintf(target, sizeof target, "%s/%s/%s", root, name, files[i]);
    copy_file(path, target);
  }
}

/* As after a crash at this moment. */
static void assert_copy_is_same(struct world *world, struct store_config config,
                                struct message_id point) {
  struct world copy;
  copy_files(world, "copy");
  world_open(&copy, "copy", config);
  assert_same(world, &copy, point, config.max_log_length > 0);
  world_close(&copy);
}

/* ---- the model ---- */

static uint64_t random_state = 88172645463325252U;

static uint32_t random_below(uint32_t limit) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)((random_state >> 32) % limit);
}

static uint64_t random_ttl(void) {
  static const uint64_t ttls[] = {0, 0, 500, 3000, 20000};
  return ttls[random_below(ARRAY_LEN(ttls))];
}

/* A few publishes in one turn. Answers the id of one of them. */
static struct message_id publish_some(struct world *world) {
  enum { MOST = 30 };
  struct store_request requests[MOST];
  char topic[PATH_BYTES], payload[3000];
  size_t count = 1 + random_below(MOST), done = world->asker.done;
  for (size_t i = 0; i < count; i++) {
    uint32_t len = random_below(20) == 0 ? 2900 : random_below(200);
    snprintf(topic, sizeof topic, "t/%u", random_below(TOPICS));
    snprintf(payload, sizeof payload, "\"%0*u\"", (int)len + 1, random_below(1000));
    publish_later(world, &requests[i], topic, payload, random_ttl());
  }
  store_client_flush(&world->asker.client);
  asker_wait_done(&world->asker, done + count);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(requests[i].status, STORE_OK);
    message_unref(requests[i].publish.message);
  }
  world->asker.record_len = 0;
  return requests[random_below((uint32_t)count)].publish.id;
}

static void change_a_key(struct world *world) {
  char key[PATH_BYTES], value[PATH_BYTES];
  snprintf(key, sizeof key, "k%u", random_below(KEYS));
  snprintf(value, sizeof value, "v%u", random_below(1000));
  if (random_below(3) == 0) {
    ask_kv(world, STORE_KV_DEL, key, NULL, 0);
  } else {
    assert_int_equal(ask_kv(world, STORE_KV_SET, key, value, random_ttl()), STORE_OK);
  }
}

static struct message_id live_a_while(struct world *world) {
  struct message_id point = {0, 0};
  for (int i = 0; i < 20; i++) {
    struct message_id id = publish_some(world);
    if (i == 10) point = id;
    change_a_key(world);
    wall_ms += random_below(400);
  }
  world->asker.record_len = 0;
  return point;
}

enum { LITTLE_MEMORY = 8192 };

static const struct store_config limited = {.log_enabled = true, .max_log_length = 40},
                                 unlimited = {.log_enabled = true},
                                 small = {.log_enabled = true, .max_log_memory = LITTLE_MEMORY},
                                 small_limited = {.log_enabled = true,
                                                  .max_log_length = 40,
                                                  .max_log_memory = LITTLE_MEMORY},
                                 without_log;

static void expect_copies_to_be_same(const char *name, struct store_config config) {
  struct world world;
  world_open(&world, name, config);
  for (int round = 0; round < 15; round++)
    assert_copy_is_same(&world, config, live_a_while(&world));
  world_close(&world);
}

static void a_copy_of_the_file_is_the_store(void **state) {
  (void)state;
  expect_copies_to_be_same("unlimited", unlimited);
}

/* What was trimmed may be there again, where what stood before it has expired meanwhile. */
static void a_copy_of_the_file_has_at_least_what_is_kept(void **state) {
  (void)state;
  expect_copies_to_be_same("limited", limited);
}

/* Until memory has no more than it may. */
static void wait_until_moved(const struct world *world) {
  const struct store_metrics *metrics = store_metrics(world->store);
  while (store_metric_get(&metrics->log_bytes) > LITTLE_MEMORY)
    usleep(1000);
}

static void expect_to_be_small(const struct world *world) {
  const struct store_metrics *metrics = store_metrics(world->store);
  assert_true(store_metric_get(&metrics->log_bytes) <= LITTLE_MEMORY);
  assert_true(store_metric_get(&metrics->log_disk_messages) > 0);
  assert_true(store_metric_get(&metrics->log_disk_messages) <=
              store_metric_get(&metrics->log_messages));
}

/* All is in memory in one, next to nothing in the other, which has had to move it at its start. */
static void what_exceeds_memory_is_read_from_the_disk(void **state) {
  (void)state;
  struct world large, other;
  world_open(&large, "large", unlimited);
  for (int round = 0; round < 8; round++) {
    struct message_id point = live_a_while(&large);
    copy_files(&large, "copy");
    world_open(&other, "copy", small);
    expect_to_be_small(&other);
    assert_same(&large, &other, point, false);
    world_close(&other);
    world_open(&other, "copy", unlimited); /* and what was moved stays where it is */
    assert_same(&large, &other, point, false);
    world_close(&other);
  }
  world_close(&large);
}

static void live_in_little_memory(const char *name, struct store_config config) {
  struct store_config roomy = config;
  struct world world;
  bool is_limited = config.max_log_length > 0;
  roomy.max_log_memory = 0;
  world_open(&world, name, config);
  for (int round = 0; round < 4; round++) {
    struct message_id point = live_a_while(&world);
    wait_until_moved(&world);
    expect_to_be_small(&world);
    copy_files(&world, "copy");
    struct world copy;
    world_open(&copy, "copy", roomy);
    assert_same(&world, &copy, point, is_limited);
    world_close(&copy);
    assert_copy_is_same(&world, config, point);
  }
  world_close(&world);
}

static void little_memory_loses_nothing(void **state) {
  (void)state;
  live_in_little_memory("small", small);
}

static void little_memory_and_few_messages_a_topic(void **state) {
  (void)state;
  live_in_little_memory("small_limited", small_limited);
}

static void little_memory_and_relaxed(void **state) {
  (void)state;
  struct store_config relaxed = small;
  struct world world, memory;
  relaxed.is_relaxed = true;
  for (int round = 0; round < 4; round++) {
    world_open(&world, "small_relaxed", relaxed);
    struct message_id point = live_a_while(&world);
    wait_until_moved(&world);
    point = live_a_while(&world); /* beside steps that are under way */
    world_close(&world);
    copy_files(&world, "after");
    world_open(&world, "small_relaxed", relaxed);
    world_open(&memory, "after", unlimited);
    assert_same(&world, &memory, point, false);
    world_close(&memory);
    world_close(&world);
  }
}

/* Numbers of what is there, oldest first. */
static void expect_numbers(struct world *world, const char *topic, struct message_id after,
                           int first, int last) {
  struct store_request request;
  read_all(world, &request, topic, after);
  assert_int_equal(request.read_log.count, last - first + 1);
  for (int i = first; i <= last; i++) {
    char number[16];
    snprintf(number, sizeof number, "%d", i);
    assert_true(
        slice_equal(message_payload(request.read_log.messages[i - first]), slice_str(number)));
  }
  store_request_done(&request);
}

/* Known messages, in all the places where they can be. */
static void every_message_is_read_once(void **state) {
  (void)state;
  enum { COUNT = 2000 };
  static struct message_id ids[COUNT];
  struct world world;
  world_open(&world, "numbers", small);
  for (int i = 0; i < COUNT; i++) {
    char number[16];
    snprintf(number, sizeof number, "%d", i);
    ids[i] = asker_publish(&world.asker, "n", number);
    world.asker.record_len = 0;
    if (i % 50 == 0) expect_numbers(&world, i % 100 == 0 ? "n" : "#", ids[i / 2], i / 2 + 1, i);
  }
  wait_until_moved(&world);
  expect_to_be_small(&world);
  expect_numbers(&world, "n", (struct message_id){0, 0}, 0, COUNT - 1);
  for (int i = 0; i < COUNT; i += 100)
    expect_numbers(&world, "+", ids[i], i + 1, COUNT - 1);
  world_close(&world);
}

/* What has expired on the disk leaves it, and the topics are forgotten in time. */
static void what_is_on_the_disk_expires(void **state) {
  (void)state;
  enum { COUNT = 300 };
  struct store_request requests[COUNT];
  struct world world;
  world_open(&world, "expiring", small);
  const struct store_metrics *metrics = store_metrics(world.store);
  struct message_id point = asker_publish(&world.asker, "keep", "\"for ever\"");
  size_t done = world.asker.done;
  for (int i = 0; i < COUNT; i++)
    publish_later(&world, &requests[i], i % 2 == 0 ? "x" : "keep", "\"for a while\"", 5000);
  store_client_flush(&world.asker.client);
  asker_wait_done(&world.asker, done + COUNT);
  for (int i = 0; i < COUNT; i++)
    message_unref(requests[i].publish.message);
  world.asker.record_len = 0;
  wait_until_moved(&world);
  expect_to_be_small(&world);
  wall_ms += 10000;
  struct store_request request;
  read_all(&world, &request, "#", (struct message_id){0, 0});
  assert_int_equal(request.read_log.count, 1);
  store_request_done(&request);
  asker_publish(&world.asker, "keep", "1");
  while (store_metric_get(&metrics->log_messages) != 2 ||
         store_metric_get(&metrics->log_remembered) != 1)
    usleep(1000);
  read_all(&world, &request, "x", point);
  assert_int_equal(request.read_log.count, 0);
  assert_false(request.read_log.recovered);
  store_request_done(&request);
  assert_true(store_metric_get(&metrics->log_disk_messages) <= 1);
  world_close(&world);
}

/* Restarts, also with the clock set back, and with ids that go on. */
static void a_store_goes_on_where_it_was(void **state) {
  (void)state;
  struct world world;
  struct message_id last = {0, 0};
  for (int round = 0; round < 10; round++) {
    world_open(&world, "restarts", limited);
    struct message_id id = asker_publish(&world.asker, "new", "1");
    assert_true(message_id_compare(id, last) > 0);
    struct message_id point = live_a_while(&world);
    last = asker_publish(&world.asker, "last", "1");
    assert_copy_is_same(&world, limited, point);
    world_close(&world);
    wall_ms += round % 2 == 0 ? 5000 : UINT64_C(0) - 60 * 60 * 1000;
  }
}

static void relaxed_writes_the_same_at_its_end(void **state) {
  (void)state;
  struct store_config relaxed = limited;
  struct world world, memory;
  relaxed.is_relaxed = true;
  for (int round = 0; round < 4; round++) {
    world_open(&world, "relaxed", relaxed);
    struct message_id point = live_a_while(&world);
    copy_files(&world, "before"); /* whatever is in it by now, it can be opened */
    world_open(&memory, "before", relaxed);
    world_close(&memory);
    world_close(&world);
    copy_files(&world, "after");
    world_open(&world, "relaxed", relaxed);
    world_open(&memory, "after", relaxed);
    assert_same(&world, &memory, point, false);
    world_close(&memory);
    world_close(&world);
  }
}

/* More topics than are remembered: what is known of all the others has to last, too. */
static void what_was_forgotten_stays_forgotten(void **state) {
  (void)state;
  enum { AT_ONCE = 1000, ROUNDS = 70 };
  static struct store_request requests[AT_ONCE];
  char topic[PATH_BYTES];
  struct world world, copy;
  world_open(&world, "forgetful", unlimited);
  struct message_id first = asker_publish(&world.asker, "first", "1");
  for (int round = 0; round < ROUNDS; round++) {
    size_t done = world.asker.done;
    for (int i = 0; i < AT_ONCE; i++) {
      snprintf(topic, sizeof topic, "gone/%d/%d", round, i);
      publish_later(&world, &requests[i], topic, "1", 1);
    }
    store_client_flush(&world.asker.client);
    asker_wait_done(&world.asker, done + AT_ONCE);
    for (int i = 0; i < AT_ONCE; i++)
      message_unref(requests[i].publish.message);
    world.asker.record_len = 0;
  }
  wall_ms += 5000;
  asker_publish(&world.asker, "first", "2");
  const struct store_metrics *metrics = store_metrics(world.store);
  while (store_metric_get(&metrics->log_messages) > 2 ||
         store_metric_get(&metrics->journal_blocks) > 10)
    usleep(10000);
  copy_files(&world, "copy");
  world_open(&copy, "copy", unlimited);
  assert_same_messages(&world, &copy, "unknown", first, false);
  assert_same_messages(&world, &copy, "gone/1/1", first, false);
  struct store_request request;
  read_all(&copy, &request, "unknown", first);
  assert_false(request.read_log.recovered);
  store_request_done(&request);
  world_close(&copy);
  world_close(&world);
}

static void a_start_without_an_eventlog_leaves_it_on_the_disk(void **state) {
  (void)state;
  struct world world, copy;
  world_open(&world, "switched", unlimited);
  struct message_id point = live_a_while(&world);
  copy_files(&world, "copy");
  world_close(&world);
  world_open(&world, "switched", without_log);
  publish_some(&world);
  while (store_metric_get(&store_metrics(world.store)->journal_blocks) == 0)
    usleep(10000); /* until it was tidied */
  world_close(&world);
  world_open(&world, "switched", unlimited);
  world_open(&copy, "copy", unlimited);
  assert_same_messages(&world, &copy, "t/1", (struct message_id){0, 0}, false);
  assert_same_messages(&world, &copy, "t/1", point, false);
  world_close(&copy);
  world_close(&world);
}

/* ---- trouble ---- */

static void limit_file_size(rlim_t bytes) {
  struct rlimit limit;
  getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = bytes;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static off_t size_of(const struct world *world) {
  char path[PATH_BYTES];
  struct stat file;
  path_of(path, world);
  assert_int_equal(stat(path, &file), 0);
  return file.st_size;
}

static enum store_status publish_large(struct world *world) {
  static char payload[100000];
  struct store_request request;
  snprintf(payload, sizeof payload, "\"%099000d\"", 1);
  publish_later(world, &request, "t/1", payload, 0);
  store_client_flush(&world->asker.client);
  asker_wait_done(&world->asker, world->asker.done + 1);
  message_unref(request.publish.message);
  world->asker.record_len = 0;
  return request.status;
}

static void wait_until_ready(const struct world *world, bool is_ready) {
  while (store_is_ready(world->store) != is_ready)
    usleep(10000);
}

static void a_full_disk_refuses_and_comes_back(void **state) {
  (void)state;
  struct world world;
  world_open(&world, "full", limited);
  struct message_id point = live_a_while(&world);
  limit_file_size((rlim_t)size_of(&world) + 300 * 1024);
  while (publish_large(&world) == STORE_OK) {}
  wait_until_ready(&world, false);
  assert_int_equal(publish_large(&world), STORE_DISK_FULL);
  assert_int_equal(ask_kv(&world, STORE_KV_SET, "fresh", "value", 0), STORE_DISK_FULL);
  assert_int_equal(ask_kv(&world, STORE_KV_GET, "fresh", NULL, 0), STORE_NOT_FOUND);
  limit_file_size(RLIM_INFINITY);
  assert_copy_is_same(&world, limited, point);
  wait_until_ready(&world, true);
  assert_int_equal(publish_large(&world), STORE_OK);
  assert_int_equal(ask_kv(&world, STORE_KV_SET, "fresh", "value", 0), STORE_OK);
  assert_copy_is_same(&world, limited, live_a_while(&world));
  world_close(&world);
}

/* ---- what cannot be opened ---- */

static void expect_refusal(const char *name, const char *words) {
  struct world world;
  assert_true(world_try(&world, name, limited) < 0);
  AUTO(buf) struct buf problem = BUF_INIT;
  buf_append_slice(&problem, store_problem(world.store));
  buf_append_char(&problem, '\0');
  if (strstr(problem.data, words) == NULL) fail_msg("no \"%s\" in: %s", words, problem.data);
  world_close(&world);
}

static void a_newer_format_is_left_alone(void **state) {
  (void)state;
  const struct journal_meta newer = {.format = JOURNAL_FORMAT + 1};
  char directory[PATH_BYTES];
  AUTO(buf) struct buf why = BUF_INIT;
  struct journal_file *file;
  snprintf(directory, sizeof directory, "%s/newer", root);
  assert_int_equal(journal_file_open(directory, &newer, &file, &why), 0);
  journal_file_close(file);
  expect_refusal("newer", "was written by a newer version (format 3, this one reads up to 2)");
}

/* A value that came and went within one commit has pages at the end of the file that were never
 * written. */
static void a_file_may_end_before_its_last_free_pages(void **state) {
  (void)state;
  const struct journal_meta fresh = {.format = JOURNAL_FORMAT};
  enum { EARLIER = 10 };
  char directory[PATH_BYTES], path[PATH_BYTES], value[100000] = "";
  AUTO(buf) struct buf why = BUF_INIT;
  AUTO(buf) struct buf sealed = BUF_INIT;
  struct journal_file *file;
  struct journal_changes changes;
  snprintf(directory, sizeof directory, "%s/short", root);
  snprintf(path, sizeof path, "%.90s/" JOURNAL_FILE_NAME, directory);
  journal_value_begin(&sealed);
  buf_append(&sealed, value, sizeof value);
  journal_value_seal(&sealed, JOURNAL_KV, 1);
  journal_changes_init(&changes);
  journal_changes_put(&changes, JOURNAL_KV, 1, buf_slice(&sealed));
  journal_changes_remove(&changes, JOURNAL_KV, 1);
  assert_int_equal(journal_file_open(directory, &fresh, &file, &why), 0);
  /* All that a commit changes beside it finds room among the pages of those before. */
  for (uint64_t i = 0; i < EARLIER; i++) {
    struct journal_changes few;
    journal_changes_init(&few);
    journal_changes_put_generation(&few, i);
    assert_int_equal(journal_file_write(file, &few), 0);
    journal_changes_done(&few);
  }
  assert_int_equal(journal_file_write(file, &changes), 0);
  struct stat status;
  assert_int_equal(stat(path, &status), 0);
  assert_true((uint64_t)status.st_size < journal_file_usage(file).bytes);
  journal_file_close(file);
  journal_changes_done(&changes);
  assert_int_equal(journal_file_open(directory, &fresh, &file, &why), 0);
  journal_file_close(file);
  /* The two that describe the whole, and one more. */
  assert_int_equal(truncate(path, 3 * sysconf(_SC_PAGESIZE)), 0);
  expect_refusal("short", "is damaged (the file is too short)");
}

static void one_broker_has_a_directory(void **state) {
  (void)state;
  struct world world;
  world_open(&world, "locked", limited);
  expect_refusal("locked", "is in use by another process");
  world_close(&world);
}

static int set_up(void **state) {
  (void)state;
  assert_non_null(mkdtemp(root));
  log_set_level(LOG_OFF);
  signal(SIGXFSZ, SIG_IGN);
  wall_ms = UINT64_C(1700000000000);
  clock_set_wall_for_test(read_wall);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  char command[PATH_BYTES];
  snprintf(command, sizeof command, "rm -rf '%s'", root);
  return system(command);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_copy_of_the_file_is_the_store),
      cmocka_unit_test(a_copy_of_the_file_has_at_least_what_is_kept),
      cmocka_unit_test(what_exceeds_memory_is_read_from_the_disk),
      cmocka_unit_test(little_memory_loses_nothing),
      cmocka_unit_test(little_memory_and_few_messages_a_topic),
      cmocka_unit_test(little_memory_and_relaxed),
      cmocka_unit_test(every_message_is_read_once),
      cmocka_unit_test(what_is_on_the_disk_expires),
      cmocka_unit_test(a_store_goes_on_where_it_was),
      cmocka_unit_test(relaxed_writes_the_same_at_its_end),
      cmocka_unit_test(what_was_forgotten_stays_forgotten),
      cmocka_unit_test(a_start_without_an_eventlog_leaves_it_on_the_disk),
      cmocka_unit_test(a_full_disk_refuses_and_comes_back),
      cmocka_unit_test(a_newer_format_is_left_alone),
      cmocka_unit_test(a_file_may_end_before_its_last_free_pages),
      cmocka_unit_test(one_broker_has_a_directory),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
