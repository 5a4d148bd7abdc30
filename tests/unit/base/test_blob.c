#include "eventhub/base/blob.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "eventhub/base/cleanup.h"

enum { THREADS = 4, ROUNDS = 20000 };

static void it_is_a_copy_with_one_reference(void **state) {
  (void)state;
  char bytes[] = "a\0b";
  struct blob *blob = blob_new(bytes, 3);
  bytes[0] = 'x';
  assert_int_equal(blob->len, 3);
  assert_memory_equal(blob_slice(blob).ptr, "a\0b", 3);
  assert_int_equal(atomic_load(&blob->refs), 1);
  blob_unref(blob);
}

static void nothing_can_be_a_blob_too(void **state) {
  (void)state;
  AUTO(blob) struct blob *empty = blob_new(NULL, 0);
  assert_int_equal(blob_slice(empty).len, 0);
  AUTO(blob) struct blob *none = NULL;
  assert_null(none);
}

static void *take_and_give_back(void *argument) {
  struct blob *blob = argument;
  for (int i = 0; i < ROUNDS; i++)
    blob_unref(blob_ref(blob));
  blob_unref(blob);
  return NULL;
}

/* Whichever thread is last frees; the sanitizers watch. */
static void the_last_thread_frees(void **state) {
  (void)state;
  struct blob *blob = blob_alloc(100);
  memset(blob->data, 'x', 100);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, take_and_give_back, blob_ref(blob)), 0);
  blob_unref(blob);
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_is_a_copy_with_one_reference),
      cmocka_unit_test(nothing_can_be_a_blob_too),
      cmocka_unit_test(the_last_thread_frees),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
