#include "eventhub/server/scrape.h"

#include <string.h>

#include "eventhub/server/worker.h"
#include "eventhub/store/store_metrics.h"

static void add_store(struct metrics_snapshot *snapshot, const struct store_metrics *store) {
  snapshot->values[METRIC_PUBLISH_COUNT] = store_metric_get(&store->publishes);
  snapshot->values[METRIC_RATE_LIMITED] = store_metric_get(&store->publishes_limited);
  snapshot->values[METRIC_EVENTLOG_MESSAGES] = store_metric_get(&store->log_messages);
  snapshot->values[METRIC_EVENTLOG_BYTES] = store_metric_get(&store->log_bytes);
  snapshot->values[METRIC_EVENTLOG_TOPICS] = store_metric_get(&store->log_topics);
  snapshot->values[METRIC_EVENTLOG_EXPIRED] = store_metric_get(&store->log_expired);
  snapshot->values[METRIC_EVENTLOG_TRIMMED] = store_metric_get(&store->log_trimmed);
  snapshot->values[METRIC_KVSTORE_KEYS] = store_metric_get(&store->kv_keys);
  snapshot->values[METRIC_KVSTORE_BYTES] = store_metric_get(&store->kv_bytes);
}

void scrape_take(const struct broker *broker, struct metrics_snapshot *ret) {
  memset(ret, 0, sizeof *ret);
  ret->version = broker->version;
  for (unsigned i = 0; i < broker->worker_count; i++)
    metrics_snapshot_add(ret, &broker->workers[i].metrics);
  add_store(ret, store_metrics(broker->store));
  ret->values[METRIC_WORKER_COUNT] = broker->worker_count;
  ret->values[METRIC_FILTERS] = topic_trie_filter_count(broker->trie);
  ret->values[METRIC_START_TIME] = broker->started_s;
  ret->values[METRIC_BUILD_INFO] = 1;
}
