/* A histogram of durations: constant memory, each value kept to within 1/64.
 *
 *   bucket   0 ... 127 | 128 ... 191 | 192 ... 255 | ...
 *   width    1 ns      | 2 ns        | 4 ns        | ...
 *
 * Zeroed memory is an empty one. Not shared between threads. */
#ifndef EVENTHUB_BENCH_LOAD_LATENCY_H
#define EVENTHUB_BENCH_LOAD_LATENCY_H

#include <stdint.h>

enum { LOAD_LATENCY_BUCKETS = 3776 };

struct load_latency {
  uint64_t count;
  uint64_t max_ns;
  uint64_t counts[LOAD_LATENCY_BUCKETS];
};

void load_latency_add(struct load_latency *latency, uint64_t ns);

/* The duration that the given part (0.99) of all values do not exceed; 0 while there are none. */
uint64_t load_latency_quantile(const struct load_latency *latency, double part);

/* Until that monotonic time. */
void load_sleep_until(uint64_t at_ns);

#endif
