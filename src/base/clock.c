#include "eventhub/base/clock.h"

#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

static uint64_t (*_Atomic wall_for_test)(void);

static uint64_t read_clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void) {
  return read_clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_monotonic_ms(void) {
  return read_clock_ns(CLOCK_MONOTONIC) / 1000000U;
}

uint64_t clock_wall_ms(void) {
  uint64_t (*now_ms)(void) = atomic_load_explicit(&wall_for_test, memory_order_relaxed);
  if (now_ms) return now_ms();
  return read_clock_ns(CLOCK_REALTIME) / 1000000U;
}

void clock_set_wall_for_test(uint64_t (*now_ms)(void)) {
  atomic_store(&wall_for_test, now_ms);
}
