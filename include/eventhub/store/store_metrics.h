#ifndef EVENTHUB_STORE_STORE_METRICS_H
#define EVENTHUB_STORE_STORE_METRICS_H

/*
 * What the store counts. The store thread alone writes, without locked instructions; any thread
 * reads, with store_metric_get. One row per metric: X(name, kind, help).
 */

#include <stdatomic.h>
#include <stdint.h>

/* clang-format off */
#define STORE_METRICS(X) \
  X(publishes,          counter, "Messages published") \
  X(publishes_limited,  counter, "Publishes refused by a rate limit") \
  X(dispatches,         counter, "Messages handed to a worker") \
  X(unmatched,          counter, "Messages published that nobody was subscribed to") \
  X(log_reads,          counter, "Reads of the eventlog") \
  X(log_messages_read,  counter, "Messages returned by reads of the eventlog") \
  X(log_expired,        counter, "Messages of the eventlog that expired") \
  X(log_trimmed,        counter, "Messages of the eventlog that were trimmed") \
  X(log_messages,       gauge,   "Messages in the eventlog") \
  X(log_bytes,          gauge,   "Bytes of messages in the eventlog") \
  X(log_disk_messages,  gauge,   "Messages of the eventlog on the disk only") \
  X(log_topics,         gauge,   "Topics that have messages in the eventlog") \
  X(log_remembered,     gauge,   "Topics without messages whose last id is remembered") \
  X(kv_keys,            gauge,   "Keys in the key/value store") \
  X(kv_bytes,           gauge,   "Bytes of keys and values in the key/value store") \
  X(journal_commits,    counter, "Commits to the journal") \
  X(journal_failures,   counter, "Commits to the journal that failed") \
  X(journal_bytes,      gauge,   "Bytes of the journal's file") \
  X(journal_free_bytes, gauge,   "Bytes of the journal's file that are free to be used again") \
  X(journal_blocks,     gauge,   "Blocks of messages in the journal") \
  X(turns,              counter, "Turns of the store thread that had requests") \
  X(requests,           counter, "Requests run") \
  X(batches,            counter, "Mails posted to workers") \
  X(redis_connected,    gauge,   "1 while all connections to Redis stand") \
  X(redis_failures,     counter, "Connections to Redis that failed or could not be made") \
  X(redis_reconnects,   counter, "Connections to Redis that were made again") \
  X(redis_delay_ms,     gauge,   "Milliseconds that the last probe took through Redis and back") \
  X(redis_pipeline,     gauge,   "Commands that wait for an answer of Redis") \
  X(redis_resent,       counter, "Publishes sent again after a connection was lost") \
  X(redis_gaps_found,   counter, "Times that messages of a topic were found missing") \
  X(redis_gaps_filled,  counter, "Times that all that was missing could be read again") \
  X(redis_gaps_lost,    counter, "Times that something missing was gone: subscribers were told") \
  X(redis_skipped,      counter, "Messages and stream entries skipped: not written by a broker")
/* clang-format on */

/* How long things took. A value falls into the first bucket whose bound is not below it; the last
 * bucket has no bound. The bounds fit a server near by and one far away. */
enum { STORE_HISTOGRAM_BOUNDS = 14 };

static const uint64_t store_histogram_bounds_us[STORE_HISTOGRAM_BOUNDS] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000};

struct store_histogram {
  atomic_uint_least64_t buckets[STORE_HISTOGRAM_BOUNDS + 1];
  atomic_uint_least64_t sum_us;
};

struct store_metrics {
#define STORE_METRIC_FIELD(name, kind, help) atomic_uint_least64_t name;
  STORE_METRICS(STORE_METRIC_FIELD)
#undef STORE_METRIC_FIELD
  struct store_histogram redis_round_trip; /* from sending a command to its answer */
  struct store_histogram journal_commit;
  struct store_histogram journal_upkeep; /* of the file, in turns that had some */
};

static inline uint64_t store_metric_get(const atomic_uint_least64_t *metric) {
  return atomic_load_explicit(metric, memory_order_relaxed);
}

/* Store thread. */
static inline void store_metric_set(atomic_uint_least64_t *metric, uint64_t value) {
  atomic_store_explicit(metric, value, memory_order_relaxed);
}

static inline void store_metric_add(atomic_uint_least64_t *metric, uint64_t more) {
  store_metric_set(metric, store_metric_get(metric) + more);
}

/* Store thread. */
static inline void store_histogram_add(struct store_histogram *histogram, uint64_t us) {
  unsigned bucket = 0;
  while (bucket < STORE_HISTOGRAM_BOUNDS && us > store_histogram_bounds_us[bucket])
    bucket++;
  store_metric_add(&histogram->buckets[bucket], 1);
  store_metric_add(&histogram->sum_us, us);
}

static inline void store_metric_sub(atomic_uint_least64_t *metric, uint64_t less) {
  store_metric_set(metric, store_metric_get(metric) - less);
}

#endif
