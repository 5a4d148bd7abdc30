#include "load_latency.h"

#include <time.h>

enum { STEP_BITS = 6, STEPS = 1 << STEP_BITS };

/* The values of one doubling share STEPS buckets: what is left of the value's highest bits after
 * the shift is between STEPS and 2 * STEPS. */
static unsigned shift_of(uint64_t ns) {
  unsigned highest = 63u - (unsigned)__builtin_clzll(ns | 1);
  return highest < STEP_BITS ? 0 : highest - STEP_BITS;
}

static unsigned bucket_of(uint64_t ns) {
  unsigned shift = shift_of(ns);
  return shift * STEPS + (unsigned)(ns >> shift);
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_end(unsigned bucket) {
  unsigned shift = bucket < 2 * STEPS ? 0 : bucket / STEPS - 1;
  return ((uint64_t)(bucket - shift * STEPS + 1) << shift) - 1;
}

void load_latency_add(struct load_latency *latency, uint64_t ns) {
  latency->counts[bucket_of(ns)]++;
  latency->count++;
  if (ns > latency->max_ns) latency->max_ns = ns;
}

uint64_t load_latency_quantile(const struct load_latency *latency, double part) {
  uint64_t rank = (uint64_t)(part * (double)latency->count);
  uint64_t seen = 0;
  for (unsigned bucket = 0; bucket < LOAD_LATENCY_BUCKETS; bucket++) {
    seen += latency->counts[bucket];
    if (seen <= rank) continue;
    uint64_t end = bucket_end(bucket);
    return end < latency->max_ns ? end : latency->max_ns;
  }
  return latency->max_ns;
}

void load_sleep_until(uint64_t at_ns) {
  enum { NS_PER_S = 1000000000 };
  const struct timespec at = {.tv_sec = (time_t)(at_ns / NS_PER_S),
                              .tv_nsec = (long)(at_ns % NS_PER_S)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
    ;
}
