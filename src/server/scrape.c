#include "eventhub/server/scrape.h"

#include <string.h>

#include "eventhub/server/worker.h"
#include "eventhub/store/store_metrics.h"

static void read_histogram(const struct store_histogram *histogram, struct metrics_histogram *ret) {
  for (int i = 0; i <= STORE_HISTOGRAM_BOUNDS; i++)
    ret->buckets[i] = store_metric_get(&histogram->buckets[i]);
  ret->sum_us = store_metric_get(&histogram->sum_us);
}

static void add_redis(struct metrics_snapshot *snapshot, const struct store_metrics *store) {
  uint64_t *values = snapshot->values;
  values[METRIC_REDIS_CONNECTION_FAIL_COUNT] = store_metric_get(&store->redis_failures);
  values[METRIC_REDIS_PUBLISH_DELAY_MS] = store_metric_get(&store->redis_delay_ms);
  values[METRIC_REDIS_CONNECTED] = store_metric_get(&store->redis_connected);
  values[METRIC_REDIS_RECONNECTS] = store_metric_get(&store->redis_reconnects);
  values[METRIC_REDIS_GAPS_FOUND] = store_metric_get(&store->redis_gaps_found);
  values[METRIC_REDIS_GAPS_FILLED] = store_metric_get(&store->redis_gaps_filled);
  values[METRIC_REDIS_GAPS_LOST] = store_metric_get(&store->redis_gaps_lost);
  values[METRIC_REDIS_RESENT_PUBLISHES] = store_metric_get(&store->redis_resent);
  values[METRIC_REDIS_PIPELINE_DEPTH] = store_metric_get(&store->redis_pipeline);
  values[METRIC_REDIS_SKIPPED_MESSAGES] = store_metric_get(&store->redis_skipped);
  read_histogram(&store->redis_round_trip, &snapshot->redis_round_trip);
}

static void add_journal(struct metrics_snapshot *snapshot, const struct store_metrics *store) {
  uint64_t *values = snapshot->values;
  values[METRIC_JOURNAL_COMMITS] = store_metric_get(&store->journal_commits);
  values[METRIC_JOURNAL_FAILURES] = store_metric_get(&store->journal_failures);
  values[METRIC_JOURNAL_BYTES] = store_metric_get(&store->journal_bytes);
  values[METRIC_JOURNAL_FREE_BYTES] = store_metric_get(&store->journal_free_bytes);
  values[METRIC_JOURNAL_BLOCKS] = store_metric_get(&store->journal_blocks);
  read_histogram(&store->journal_commit, &snapshot->journal_commit);
  read_histogram(&store->journal_upkeep, &snapshot->journal_upkeep);
}

static void add_store(struct metrics_snapshot *snapshot, const struct store_metrics *store) {
  snapshot->values[METRIC_PUBLISH_COUNT] = store_metric_get(&store->publishes);
  snapshot->values[METRIC_RATE_LIMITED] = store_metric_get(&store->publishes_limited);
  snapshot->values[METRIC_EVENTLOG_MESSAGES] = store_metric_get(&store->log_messages);
  snapshot->values[METRIC_EVENTLOG_BYTES] = store_metric_get(&store->log_bytes);
  snapshot->values[METRIC_EVENTLOG_DISK_MESSAGES] = store_metric_get(&store->log_disk_messages);
  snapshot->values[METRIC_EVENTLOG_TOPICS] = store_metric_get(&store->log_topics);
  snapshot->values[METRIC_EVENTLOG_EXPIRED] = store_metric_get(&store->log_expired);
  snapshot->values[METRIC_EVENTLOG_TRIMMED] = store_metric_get(&store->log_trimmed);
  snapshot->values[METRIC_KVSTORE_KEYS] = store_metric_get(&store->kv_keys);
  snapshot->values[METRIC_KVSTORE_BYTES] = store_metric_get(&store->kv_bytes);
}

static uint64_t certificate_expires_s(struct broker *broker) {
  struct tls_config *config = tls_slot_get(&broker->tls);
  uint64_t expires_s = config == NULL ? 0 : tls_config_expires_s(config);
  tls_config_unref(config);
  return expires_s;
}

void scrape_take(struct broker *broker, struct metrics_snapshot *ret) {
  memset(ret, 0, sizeof *ret);
  ret->version = broker->version;
  for (unsigned i = 0; i < broker->worker_count; i++)
    metrics_snapshot_add(ret, &broker->workers[i].metrics);
  add_store(ret, store_metrics(broker->store));
  add_redis(ret, store_metrics(broker->store));
  add_journal(ret, store_metrics(broker->store));
  ret->values[METRIC_WORKER_COUNT] = broker->worker_count;
  ret->values[METRIC_FILTERS] = topic_trie_filter_count(broker->trie);
  ret->values[METRIC_TLS_CERTIFICATE_EXPIRES] = certificate_expires_s(broker);
  ret->values[METRIC_START_TIME] = broker->started_s;
  ret->values[METRIC_BUILD_INFO] = 1;
}
