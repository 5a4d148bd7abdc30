#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "eventhub/store/kv.h"

struct fixture {
  struct kv kv;
  struct store_metrics metrics;
};

static int setup(void **state) {
  static struct fixture fixture;
  memset(&fixture, 0, sizeof fixture);
  kv_init(&fixture.kv, &fixture.metrics, NULL);
  *state = &fixture;
  return 0;
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  kv_done(&fixture->kv);
  return 0;
}

static void set(struct kv *kv, const char *key, const char *value, uint64_t expires_ms) {
  struct blob *blob = blob_new(value, strlen(value));
  kv_set(kv, slice_str(key), blob, expires_ms);
  blob_unref(blob);
}

static bool has(struct kv *kv, const char *key, const char *value, uint64_t now_ms) {
  struct blob *blob = kv_get(kv, slice_str(key), now_ms);
  bool is_same = blob != NULL && slice_equal(blob_slice(blob), slice_str(value));
  blob_unref(blob);
  return is_same;
}

static bool is_missing(struct kv *kv, const char *key, uint64_t now_ms) {
  struct blob *blob = kv_get(kv, slice_str(key), now_ms);
  blob_unref(blob);
  return blob == NULL;
}

static void what_is_set_is_got(void **state) {
  struct fixture *fixture = *state;
  set(&fixture->kv, "a", "1", UINT64_MAX);
  set(&fixture->kv, "b", "", UINT64_MAX);
  assert_true(has(&fixture->kv, "a", "1", 5));
  assert_true(has(&fixture->kv, "b", "", UINT64_MAX - 1));
  assert_true(is_missing(&fixture->kv, "c", 5));
}

static void a_second_set_replaces_value_and_expiry(void **state) {
  struct fixture *fixture = *state;
  set(&fixture->kv, "a", "1", 100);
  set(&fixture->kv, "a", "twenty", 200);
  assert_true(has(&fixture->kv, "a", "twenty", 150));
  assert_int_equal(store_metric_get(&fixture->metrics.kv_keys), 1);
  assert_int_equal(store_metric_get(&fixture->metrics.kv_bytes), 7);
  set(&fixture->kv, "a", "3", UINT64_MAX);
  assert_false(kv_expire(&fixture->kv, 10000, 10));
  assert_true(has(&fixture->kv, "a", "3", 10000));
}

static void a_value_ends_at_its_time_swept_or_not(void **state) {
  struct fixture *fixture = *state;
  set(&fixture->kv, "a", "1", 100);
  assert_true(has(&fixture->kv, "a", "1", 99));
  assert_true(is_missing(&fixture->kv, "a", 100));
  assert_int_equal(store_metric_get(&fixture->metrics.kv_keys), 0);
  set(&fixture->kv, "b", "1", 100);
  assert_false(kv_del(&fixture->kv, SLICE("b"), 100));
}

static void only_the_first_del_finds_the_key(void **state) {
  struct fixture *fixture = *state;
  set(&fixture->kv, "a", "1", 100);
  assert_true(kv_del(&fixture->kv, SLICE("a"), 50));
  assert_false(kv_del(&fixture->kv, SLICE("a"), 50));
  assert_true(is_missing(&fixture->kv, "a", 50));
  assert_int_equal(store_metric_get(&fixture->metrics.kv_bytes), 0);
}

static void a_value_lives_on_with_whoever_got_it(void **state) {
  struct fixture *fixture = *state;
  set(&fixture->kv, "a", "1", UINT64_MAX);
  struct blob *got = kv_get(&fixture->kv, SLICE("a"), 0);
  kv_del(&fixture->kv, SLICE("a"), 0);
  assert_true(slice_equal(blob_slice(got), SLICE("1")));
  blob_unref(got);
}

static void expiring_works_in_small_steps(void **state) {
  struct fixture *fixture = *state;
  char key[2] = "a";
  for (int i = 0; i < 20; i++, key[0]++)
    set(&fixture->kv, key, "1", i < 15 ? 100 : 300);
  assert_true(kv_expire(&fixture->kv, 200, 10));
  assert_int_equal(store_metric_get(&fixture->metrics.kv_keys), 10);
  assert_false(kv_expire(&fixture->kv, 200, 10));
  assert_int_equal(store_metric_get(&fixture->metrics.kv_keys), 5);
}

#define kv_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      kv_test(what_is_set_is_got),
      kv_test(a_second_set_replaces_value_and_expiry),
      kv_test(a_value_ends_at_its_time_swept_or_not),
      kv_test(only_the_first_del_finds_the_key),
      kv_test(a_value_lives_on_with_whoever_got_it),
      kv_test(expiring_works_in_small_steps),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
