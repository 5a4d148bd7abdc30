#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "eventhub/store/log_ring.h"

/* The ring never looks into a message, so numbers stand for the entries. */
static struct log_entry numbered(uint64_t number) {
  return (struct log_entry){NULL, number, 0};
}

static void an_empty_ring_holds_no_memory(void **state) {
  (void)state;
  struct log_ring ring;
  log_ring_init(&ring);
  for (uint64_t i = 0; i < 100; i++)
    log_ring_push(&ring, numbered(i));
  for (uint64_t i = 0; i < 100; i++)
    assert_int_equal(log_ring_pop(&ring).expires_ms, i);
  assert_int_equal(log_ring_count(&ring), 0);
  assert_null(ring.slots);
}

static void a_full_ring_of_fixed_length_stops_growing(void **state) {
  (void)state;
  struct log_ring ring;
  log_ring_init(&ring);
  for (uint64_t i = 0; i < 100000; i++) {
    log_ring_push(&ring, numbered(i));
    if (log_ring_count(&ring) > 1000) log_ring_pop(&ring);
  }
  assert_int_equal(ring.cap, 1024);
  log_ring_done(&ring);
}

static void a_scan_that_drops_everything_leaves_nothing(void **state) {
  (void)state;
  struct log_ring ring;
  log_ring_init(&ring);
  for (uint64_t i = 0; i < 10; i++)
    log_ring_push(&ring, numbered(i));
  while (log_ring_scan(&ring) != NULL)
    log_ring_scan_drop(&ring);
  assert_int_equal(log_ring_count(&ring), 0);
  assert_null(ring.slots);
}

struct model {
  struct log_ring ring;
  uint64_t items[4096]; /* what the ring should hold */
  size_t count;
  size_t scanned; /* the scan has kept so many of them */
  uint64_t next;
};

static void model_push(struct model *model) {
  if (model->count == 4096) return;
  log_ring_push(&model->ring, numbered(model->next));
  model->items[model->count++] = model->next++;
}

static void model_remove(struct model *model, size_t index) {
  memmove(model->items + index, model->items + index + 1,
          (--model->count - index) * sizeof model->items[0]);
}

static void model_pop(struct model *model) {
  if (model->count == 0) return;
  assert_int_equal(log_ring_pop(&model->ring).expires_ms, model->items[0]);
  model_remove(model, 0);
  if (model->scanned > 0) model->scanned--;
}

static void model_scan(struct model *model, bool keep) {
  struct log_entry *entry = log_ring_scan(&model->ring);
  if (model->scanned == model->count) {
    assert_null(entry);
    model->scanned = 0;
    return;
  }
  assert_non_null(entry);
  assert_int_equal(entry->expires_ms, model->items[model->scanned]);
  if (keep) {
    log_ring_scan_keep(&model->ring);
    model->scanned++;
  } else {
    log_ring_scan_drop(&model->ring);
    model_remove(model, model->scanned);
  }
}

static void model_check(const struct model *model) {
  assert_int_equal(log_ring_count(&model->ring), model->count);
  for (size_t i = 0; i < model->count; i++)
    assert_int_equal(log_ring_at(&model->ring, (uint32_t)i)->expires_ms, model->items[i]);
}

static void model_step(struct model *model, unsigned random, unsigned pushes) {
  unsigned what = random % 100;
  if (what < pushes) {
    model_push(model);
  } else if (what < 60) {
    model_pop(model);
  } else {
    model_scan(model, random / 100 % 2 == 0);
  }
}

static void it_is_an_array_under_any_push_pop_and_scan(void **state) {
  (void)state;
  static struct model model;
  log_ring_init(&model.ring);
  uint64_t random = 88172645463325252u;
  for (int step = 0; step < 60000; step++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    /* Tides, so that it grows and shrinks through several sizes. */
    model_step(&model, (unsigned)(random >> 33), step / 3000 % 2 == 0 ? 57 : 15);
    if (step % 7 == 0) model_check(&model);
  }
  model_check(&model);
  log_ring_done(&model.ring);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_empty_ring_holds_no_memory),
      cmocka_unit_test(a_full_ring_of_fixed_length_stops_growing),
      cmocka_unit_test(a_scan_that_drops_everything_leaves_nothing),
      cmocka_unit_test(it_is_an_array_under_any_push_pop_and_scan),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
