/* How single modules are measured: the best of several repeats, by time on the processor, so that
 * what else the machine does counts less. It can only add. */
#ifndef EVENTHUB_BENCH_MICRO_H
#define EVENTHUB_BENCH_MICRO_H

#include <stdint.h>
#include <time.h>

enum { MICRO_REPEATS = 7, MICRO_REPEAT_NS = 100 * 1000 * 1000 };

/* Where results go, so that no work is optimised away. */
static volatile size_t micro_sink;

static inline uint64_t micro_cpu_ns(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline double micro_repeat_ns(void (*run)(void *context), void *context, uint64_t step) {
  uint64_t calls = 0, start = micro_cpu_ns(), now = start;
  for (; now - start < MICRO_REPEAT_NS; now = micro_cpu_ns()) {
    for (uint64_t i = 0; i < step; i++)
      run(context);
    calls += step;
  }
  return (double)(now - start) / (double)calls;
}

/* ns of one call; `step` calls between two looks at the clock. */
static inline double micro_best_ns(void (*run)(void *context), void *context, uint64_t step) {
  double best_ns = micro_repeat_ns(run, context, step);
  for (int i = 1; i < MICRO_REPEATS; i++) {
    double ns = micro_repeat_ns(run, context, step);
    if (ns < best_ns) best_ns = ns;
  }
  return best_ns;
}

#endif
