/*
 * What the daemon counts, and how it tells: Prometheus text and JSON.
 *
 * Each thread has a struct metrics of its own and is the only one to write it; anybody may read.
 * A scrape adds the structs of all threads up in a snapshot and renders that. The table of names,
 * types and sentences in metrics.c is also where docs/metrics.md comes from.
 */
#ifndef EVENTHUB_SERVER_METRICS_H
#define EVENTHUB_SERVER_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"
#include "eventhub/store/store_metrics.h"

/* In the order in which they are shown; those of one name are neighbours. */
enum metric {
  METRIC_WORKER_COUNT,
  METRIC_PUBLISH_COUNT,
  METRIC_REDIS_CONNECTION_FAIL_COUNT,
  METRIC_REDIS_PUBLISH_DELAY_MS,
  METRIC_REDIS_CONNECTED,
  METRIC_REDIS_RECONNECTS,
  METRIC_REDIS_GAPS_FOUND,
  METRIC_REDIS_GAPS_FILLED,
  METRIC_REDIS_GAPS_LOST,
  METRIC_REDIS_RESENT_PUBLISHES,
  METRIC_REDIS_PIPELINE_DEPTH,
  METRIC_REDIS_SKIPPED_MESSAGES,
  METRIC_REDIS_ROUND_TRIP, /* a histogram: has no value, but redis_round_trip of the snapshot */
  METRIC_JOURNAL_COMMITS,
  METRIC_JOURNAL_FAILURES,
  METRIC_JOURNAL_BYTES,
  METRIC_JOURNAL_FREE_BYTES,
  METRIC_JOURNAL_BLOCKS,
  METRIC_JOURNAL_COMMIT, /* a histogram: journal_commit of the snapshot */
  METRIC_JOURNAL_UPKEEP, /* a histogram: journal_upkeep of the snapshot */
  METRIC_CURRENT_CONNECTIONS_COUNT,
  METRIC_TOTAL_CONNECT_COUNT,
  METRIC_TOTAL_DISCONNECT_COUNT,
  METRIC_EVENTLOOP_DELAY_MS,
  METRIC_MESSAGES_DELIVERED,
  METRIC_MESSAGES_RECEIVED,
  METRIC_RECEIVED_BYTES,
  METRIC_SENT_BYTES,
  METRIC_COMPRESSIONS,
  METRIC_HTTP_REQUESTS,
  METRIC_SSE_STREAMS,
  METRIC_SUBSCRIPTIONS,
  METRIC_FILTERS,
  METRIC_EVENTLOG_MESSAGES,
  METRIC_EVENTLOG_BYTES,
  METRIC_EVENTLOG_DISK_MESSAGES,
  METRIC_EVENTLOG_TOPICS,
  METRIC_EVENTLOG_EXPIRED,
  METRIC_EVENTLOG_TRIMMED,
  METRIC_KVSTORE_KEYS,
  METRIC_KVSTORE_BYTES,
  METRIC_RATE_LIMITED,
  METRIC_SLOW_CONSUMERS,
  METRIC_DEAD_PEERS,
  METRIC_ACCEPT_PAUSED,
  METRIC_TLS_HANDSHAKES,
  METRIC_TLS_CERTIFICATE_EXPIRES,
  METRIC_REFUSED_MALFORMED,        /* 400 */
  METRIC_REFUSED_UNAUTHORIZED,     /* 401 */
  METRIC_REFUSED_ORIGIN,           /* 403 */
  METRIC_REFUSED_VERSION,          /* 426 */
  METRIC_REFUSED_HEAD_TOO_BIG,     /* 431 */
  METRIC_REFUSED_CONNECTION_LIMIT, /* 503 */
  METRIC_REFUSED_ADDRESS_LIMIT,    /* 429 */
  METRIC_REFUSED_DRAINING,         /* 503 */
  METRIC_REFUSED_TIMEOUT,
  METRIC_REFUSED_TLS,
  METRIC_CLOSED_1000,
  METRIC_CLOSED_1001,
  METRIC_CLOSED_1002,
  METRIC_CLOSED_1003,
  METRIC_CLOSED_1007,
  METRIC_CLOSED_1008,
  METRIC_CLOSED_1009,
  METRIC_CLOSED_1011,
  METRIC_CLOSED_1013,
  METRIC_CLOSED_OTHER,
  METRIC_START_TIME,
  METRIC_BUILD_INFO, /* always 1; the version is its label */
  METRIC_COUNT
};

/* All zero at first. Owned by one thread. */
struct metrics {
  _Atomic uint64_t values[METRIC_COUNT];
};

/* Owner thread, as for the next two that change a value: plain loads and stores, no locked
 * instruction. */
static inline void metrics_set(struct metrics *metrics, enum metric metric, uint64_t value) {
  atomic_store_explicit(&metrics->values[metric], value, memory_order_relaxed);
}

/* Any thread. */
static inline uint64_t metrics_get(const struct metrics *metrics, enum metric metric) {
  return atomic_load_explicit(&metrics->values[metric], memory_order_relaxed);
}

static inline void metrics_add(struct metrics *metrics, enum metric metric, uint64_t n) {
  metrics_set(metrics, metric, metrics_get(metrics, metric) + n);
}

static inline void metrics_subtract(struct metrics *metrics, enum metric metric, uint64_t n) {
  metrics_set(metrics, metric, metrics_get(metrics, metric) - n);
}

/* The metric that counts closes with a close code (RFC 6455 7.4.1). */
enum metric metrics_of_close_code(unsigned code);

/* How often something took how long: each bucket by itself, as in struct store_histogram. */
struct metrics_histogram {
  uint64_t buckets[STORE_HISTOGRAM_BOUNDS + 1];
  uint64_t sum_us;
};

/* The whole process at about one moment. Start with {.version = ...}, add every thread's metrics,
 * and write what is counted elsewhere straight into it. */
struct metrics_snapshot {
  uint64_t values[METRIC_COUNT];
  struct metrics_histogram redis_round_trip;
  struct metrics_histogram journal_commit;
  struct metrics_histogram journal_upkeep;
  struct slice version;
};

/* Adds one thread's numbers; of METRIC_EVENTLOOP_DELAY_MS the greatest stays. Any thread. */
void metrics_snapshot_add(struct metrics_snapshot *snapshot, const struct metrics *metrics);

/* Text format 0.0.4, appended to out. Names are prefix_name; instance becomes a label of every
 * sample ("host:port"). */
void metrics_render_prometheus(const struct metrics_snapshot *snapshot, const char *prefix,
                               struct slice instance, struct buf *out);

/* One flat object, names without prefix; a label's value becomes part of the name
 * (refused_handshakes_total_origin, redis_round_trip_seconds_bucket_0.005). */
void metrics_render_json(const struct metrics_snapshot *snapshot, struct buf *out);

/* The table of docs/metrics.md. */
void metrics_print_markdown(struct buf *out);

#endif
