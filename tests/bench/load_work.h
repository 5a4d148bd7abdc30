/* The works: what is done to the server, and what it cost. */
#ifndef EVENTHUB_BENCH_LOAD_WORK_H
#define EVENTHUB_BENCH_LOAD_WORK_H

#include <stdint.h>

#include "load_crowd.h"
#include "load_latency.h"
#include "load_proc.h"

/* A moment: every figure is the difference of two. */
struct load_sample {
  uint64_t at_ns;
  uint64_t published;
  uint64_t acknowledged;
  uint64_t delivered;
  uint64_t handshakes;
  uint64_t payload_bytes;
  uint64_t wire_bytes;
  uint64_t segments; /* 0 in `fresh` and `connected` */
  struct load_proc server;
  struct load_proc self;
  uint64_t beside_cpu_ns[LOAD_BESIDE_MAX];
};

struct load_result {
  struct load_sample fresh;     /* before the first connection */
  struct load_sample connected; /* when all were ready */
  struct load_sample start;     /* after the warm-up */
  struct load_sample end;
  uint64_t missing;            /* deliveries and answers that did not come */
  struct load_latency latency; /* empty unless the work is LOAD_RATE */
};

/* Connects the crowd and does the work of its options. ERR_UNAVAILABLE or ERR_SYSTEM after one line
 * to stderr: it could not be done. */
int load_work_run(struct load_crowd *crowd, struct load_result *ret);

#endif
