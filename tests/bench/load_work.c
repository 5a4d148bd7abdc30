#include "load_work.h"

#include <stdio.h>
#include <unistd.h>

#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"

static const double ns_per_s = 1e9;
static const uint64_t drain_timeout_ns = 5000000000U;

static int read_beside(const struct load_beside *beside, struct load_sample *ret) {
  for (uint32_t i = 0; i < beside->count; i++) {
    struct load_proc proc;
    if (load_proc_read((pid_t)beside->pids[i], &proc) < 0) return ERR_SYSTEM;
    ret->beside_cpu_ns[i] = proc.cpu_ns;
  }
  return 0;
}

static int take_sample(const struct load_crowd *crowd, struct load_sample *ret) {
  const struct load_options *options = crowd->shared.options;
  *ret = (struct load_sample){.at_ns = clock_monotonic_ns(),
                              .published = crowd->published,
                              .acknowledged = crowd->shared.acknowledged,
                              .delivered = crowd->shared.delivered,
                              .handshakes = crowd->handshakes,
                              .payload_bytes = crowd->shared.payload_bytes,
                              .wire_bytes = crowd->shared.wire_bytes};
  if (load_proc_read((pid_t)options->pid, &ret->server) == 0 &&
      load_proc_read(getpid(), &ret->self) == 0 && read_beside(&options->beside, ret) == 0)
    return 0;
  perror("eventhub-load: reading /proc of the servers");
  return ERR_SYSTEM;
}

static uint64_t missing(const struct load_crowd *crowd) {
  return load_crowd_outstanding(crowd) + load_crowd_unanswered(crowd);
}

static void drain(struct load_crowd *crowd) {
  uint64_t end_ns = clock_monotonic_ns() + drain_timeout_ns;
  while (missing(crowd) > 0 && clock_monotonic_ns() < end_ns)
    load_crowd_wait(crowd, end_ns);
}

/* ---- idle ---- */

static int run_idle(struct load_crowd *crowd, double seconds) {
  uint64_t end_ns = clock_monotonic_ns() + (uint64_t)(seconds * ns_per_s);
  while (clock_monotonic_ns() < end_ns)
    load_crowd_wait(crowd, end_ns);
  return 0;
}

/* ---- fanout ---- */

/* Publishes half a window at once, as soon as half of it is free. Refilled message by message, the
 * window would favour whoever is slower than the clients: what arrives while a server is busy
 * leaves together, which is cheaper, so how busy the others keep it would decide what it costs. */
static void refill(struct load_crowd *crowd) {
  uint64_t window = crowd->shared.options->window;
  uint64_t burst = (window + 1) / 2;
  if (load_crowd_outstanding(crowd) > (window - burst) * load_crowd_fan(crowd)) return;
  for (uint64_t i = 0; i < burst; i++)
    load_crowd_publish(crowd, clock_monotonic_ns());
  load_crowd_flush(crowd);
}

static int run_fanout(struct load_crowd *crowd, double seconds) {
  uint64_t end_ns = clock_monotonic_ns() + (uint64_t)(seconds * ns_per_s);
  while (clock_monotonic_ns() < end_ns && crowd->shared.ready > 0) {
    refill(crowd);
    load_crowd_wait(crowd, end_ns);
  }
  return 0;
}

/* ---- rate ---- */

/* Message k is due at start + k / rate and stamped with that, however late it is sent: a stall of
 * the server delays all that was due during it, and all of it is seen. Ends when everything has
 * arrived, so that the cost is that of whole messages. */
static int run_rate(struct load_crowd *crowd, double seconds) {
  double interval_ns = ns_per_s / crowd->shared.options->rate;
  uint64_t count = (uint64_t)(seconds * ns_per_s / interval_ns);
  uint64_t start_ns = clock_monotonic_ns();
  for (uint64_t k = 0; k < count && crowd->shared.ready > 0;) {
    uint64_t due_ns = start_ns + (uint64_t)((double)k * interval_ns);
    if (clock_monotonic_ns() < due_ns) {
      load_crowd_flush(crowd);
      load_crowd_wait(crowd, due_ns);
    } else {
      load_crowd_publish(crowd, due_ns);
      k++;
    }
  }
  load_crowd_flush(crowd);
  drain(crowd);
  return 0;
}

/* ---- publish ---- */

/* By half windows, as in fanout and for the same reason. */
static void refill_publisher(struct load_crowd *crowd, struct load_connection *publisher) {
  uint32_t window = crowd->shared.options->window;
  uint32_t burst = (window + 1) / 2;
  if (publisher->state != LOAD_READY || publisher->unanswered > window - burst) return;
  for (uint32_t i = 0; i < burst; i++)
    load_crowd_publish_by(crowd, publisher, clock_monotonic_ns());
  load_connection_flush(publisher);
}

static int run_publish(struct load_crowd *crowd, double seconds) {
  uint64_t end_ns = clock_monotonic_ns() + (uint64_t)(seconds * ns_per_s);
  while (clock_monotonic_ns() < end_ns && crowd->shared.ready > 0) {
    for (uint32_t i = 0; i < crowd->shared.options->publishers; i++)
      refill_publisher(crowd, load_crowd_publisher(crowd, i));
    load_crowd_wait(crowd, end_ns);
  }
  return 0;
}

/* ---- connect ---- */

static int run_connect(struct load_crowd *crowd, double seconds) {
  uint64_t end_ns = clock_monotonic_ns() + (uint64_t)(seconds * ns_per_s);
  while (clock_monotonic_ns() < end_ns && crowd->shared.lost == 0) {
    int err = load_crowd_reconnect(crowd);
    if (err < 0) return err;
    load_crowd_wait(crowd, end_ns);
  }
  return 0;
}

/* ---- */

typedef int work_fn(struct load_crowd *crowd, double seconds);

static work_fn *const works[] = {
    [LOAD_FANOUT] = run_fanout,   [LOAD_RATE] = run_rate, [LOAD_PUBLISH] = run_publish,
    [LOAD_CONNECT] = run_connect, [LOAD_IDLE] = run_idle,
};

static int connect_all(struct load_crowd *crowd, struct load_result *ret) {
  int err = take_sample(crowd, &ret->fresh);
  if (err == 0) err = load_crowd_open(crowd);
  return err < 0 ? err : take_sample(crowd, &ret->connected);
}

static int measure(struct load_crowd *crowd, struct load_result *ret) {
  const struct load_options *options = crowd->shared.options;
  work_fn *work = works[options->work];
  if (options->warmup_s > 0) work(crowd, options->warmup_s);
  uint64_t segments = load_crowd_segments(crowd);
  int err = take_sample(crowd, &ret->start);
  if (err < 0) return err;
  ret->start.segments = segments;
  crowd->shared.measure_from_ns = ret->start.at_ns;
  crowd->shared.latency = options->work == LOAD_RATE ? &ret->latency : NULL;
  work(crowd, options->duration_s);
  err = take_sample(crowd, &ret->end);
  ret->end.segments = load_crowd_segments(crowd);
  return err;
}

int load_work_run(struct load_crowd *crowd, struct load_result *ret) {
  *ret = (struct load_result){0};
  int err = connect_all(crowd, ret);
  if (err == 0) err = measure(crowd, ret);
  if (err < 0) return err;
  drain(crowd);
  ret->missing = missing(crowd);
  return 0;
}
