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
  X(log_topics,         gauge,   "Topics that have messages in the eventlog") \
  X(log_remembered,     gauge,   "Topics without messages whose last id is remembered") \
  X(kv_keys,            gauge,   "Keys in the key/value store") \
  X(kv_bytes,           gauge,   "Bytes of keys and values in the key/value store") \
  X(turns,              counter, "Turns of the store thread that had requests") \
  X(requests,           counter, "Requests run") \
  X(batches,            counter, "Mails posted to workers")
/* clang-format on */

struct store_metrics {
#define STORE_METRIC_FIELD(name, kind, help) atomic_uint_least64_t name;
  STORE_METRICS(STORE_METRIC_FIELD)
#undef STORE_METRIC_FIELD
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

static inline void store_metric_sub(atomic_uint_least64_t *metric, uint64_t less) {
  store_metric_set(metric, store_metric_get(metric) - less);
}

#endif
