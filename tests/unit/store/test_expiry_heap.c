#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/store/expiry_heap.h"

struct thing {
  struct expiry expiry;
  uint64_t model_ms; /* 0 = not in the heap */
};

static void an_empty_heap_has_no_first(void **state) {
  (void)state;
  struct expiry_heap heap;
  expiry_heap_init(&heap);
  assert_null(expiry_heap_first(&heap));
  struct expiry item = {0};
  expiry_heap_remove(&heap, &item);
  expiry_heap_set(&heap, &item, 7);
  expiry_heap_remove(&heap, &item);
  assert_null(expiry_heap_first(&heap));
  expiry_heap_done(&heap);
}

static uint64_t earliest(const struct thing *things, size_t count) {
  uint64_t best = UINT64_MAX;
  for (size_t i = 0; i < count; i++) {
    if (things[i].model_ms != 0 && things[i].model_ms < best) best = things[i].model_ms;
  }
  return best;
}

static void the_first_is_the_earliest_whatever_is_set_moved_and_removed(void **state) {
  (void)state;
  enum { THINGS = 300, STEPS = 20000 };
  static struct thing things[THINGS];
  struct expiry_heap heap;
  expiry_heap_init(&heap);
  unsigned seed = 1;
  for (int step = 0; step < STEPS; step++) {
    struct thing *thing = &things[(unsigned)rand_r(&seed) % THINGS];
    if (rand_r(&seed) % 3 == 0) {
      thing->model_ms = 0;
      expiry_heap_remove(&heap, &thing->expiry);
    } else {
      thing->model_ms = 1 + (unsigned)rand_r(&seed) % 1000;
      expiry_heap_set(&heap, &thing->expiry, thing->model_ms);
    }
    struct expiry *first = expiry_heap_first(&heap);
    assert_int_equal(first == NULL ? UINT64_MAX : first->at_ms, earliest(things, THINGS));
  }
  for (uint64_t last_ms = 0; expiry_heap_first(&heap) != NULL;) {
    struct expiry *first = expiry_heap_first(&heap);
    assert_true(first->at_ms >= last_ms);
    last_ms = first->at_ms;
    expiry_heap_remove(&heap, first);
  }
  expiry_heap_done(&heap);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_empty_heap_has_no_first),
      cmocka_unit_test(the_first_is_the_earliest_whatever_is_set_moved_and_removed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
