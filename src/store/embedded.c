#include "eventhub/store/embedded.h"

#include <stdlib.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/embedded_parts.h"
#include "eventhub/store/log_read.h"

enum { TEND_WORK = 4096, TEND_WINDOWS = 1024 };

uint64_t embedded_add_ms(uint64_t now_ms, uint64_t more_ms) {
  return more_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + more_ms;
}

static uint64_t message_expiry(const struct embedded *embedded, uint64_t ttl_ms, uint64_t now_ms) {
  if (ttl_ms == 0) ttl_ms = embedded->config.default_ttl_ms;
  return ttl_ms == 0 ? 0 : embedded_add_ms(now_ms, ttl_ms);
}

static bool is_within_limit(struct embedded *embedded, const struct store_publish *publish,
                            uint64_t now_ms) {
  if (publish->limit == NULL) return true;
  if (rate_windows_take(&embedded->windows, publish->subject, publish->limit, now_ms)) return true;
  store_metric_add(&embedded->metrics->publishes_limited, 1);
  return false;
}

struct log_topic *embedded_prepare_publish(struct embedded *embedded,
                                           struct store_request *request) {
  struct store_publish *publish = &request->publish;
  struct message *message = publish->message;
  uint64_t now_ms = store_now_ms(embedded->backend.store);
  if (!is_within_limit(embedded, publish, now_ms)) {
    store_finish(request, STORE_RATE_LIMITED);
    return NULL;
  }
  struct log_topic *topic = eventlog_hold(&embedded->log, message_topic(message));
  publish->id = eventlog_next_id(&embedded->log, topic, publish->timestamp_ms, now_ms);
  message_set_id(message, publish->id);
  message->expires_ms = message_expiry(embedded, publish->ttl_ms, now_ms);
  return topic;
}

void embedded_apply_publish(struct embedded *embedded, struct store_request *request,
                            struct log_topic *topic, uint64_t block) {
  struct message *message = request->publish.message;
  struct store *store = embedded->backend.store;
  eventlog_append(&embedded->log, topic, message, block);
  store_dispatch(store, message);
  eventlog_release(&embedded->log, topic, store_now_ms(store));
  store_metric_add(&embedded->metrics->publishes, 1);
  store_finish(request, STORE_OK);
}

static void run_publish(struct store_backend *backend, struct store_request *request) {
  struct embedded *embedded = embedded_of(backend);
  struct log_topic *topic = embedded_prepare_publish(embedded, request);
  if (topic != NULL) embedded_apply_publish(embedded, request, topic, 0);
}

void embedded_run_read_log(struct store_backend *backend, struct store_request *request) {
  struct embedded *embedded = embedded_of(backend);
  if (!embedded->config.log_enabled) {
    store_finish(request, STORE_DISABLED);
    return;
  }
  struct store_read_log *read = &request->read_log;
  struct log_query query = {.filter = read->filter,
                            .point = read->point,
                            .limit = read->limit,
                            .max_bytes = read->max_bytes,
                            .now_ms = store_now_ms(backend->store)};
  struct log_answer answer;
  log_read(&embedded->log, &query, &answer);
  read->messages = answer.messages;
  read->count = answer.count;
  read->recovered = answer.recovered;
  store_metric_add(&embedded->metrics->log_reads, 1);
  store_metric_add(&embedded->metrics->log_messages_read, answer.count);
  store_finish(request, STORE_OK);
}

static enum store_status kv_status(const struct embedded *embedded, bool is_there) {
  if (!embedded->config.kv_enabled) return STORE_DISABLED;
  return is_there ? STORE_OK : STORE_NOT_FOUND;
}

void embedded_run_kv_get(struct store_backend *backend, struct store_request *request) {
  struct embedded *embedded = embedded_of(backend);
  request->kv.value = kv_get(&embedded->kv, request->kv.key, store_now_ms(backend->store));
  store_finish(request, kv_status(embedded, request->kv.value != NULL));
}

uint64_t embedded_kv_expiry(struct embedded *embedded, const struct store_kv *kv) {
  if (kv->ttl_ms == 0) return UINT64_MAX;
  return embedded_add_ms(store_now_ms(embedded->backend.store), kv->ttl_ms);
}

void embedded_run_kv_set(struct store_backend *backend, struct store_request *request) {
  struct embedded *embedded = embedded_of(backend);
  const struct store_kv *kv = &request->kv;
  if (embedded->config.kv_enabled)
    kv_set(&embedded->kv, kv->key, kv->value, embedded_kv_expiry(embedded, kv));
  store_finish(request, kv_status(embedded, true));
}

void embedded_run_kv_del(struct store_backend *backend, struct store_request *request) {
  struct embedded *embedded = embedded_of(backend);
  bool was_there = kv_del(&embedded->kv, request->kv.key, store_now_ms(backend->store));
  store_finish(request, kv_status(embedded, was_there));
}

enum store_tend embedded_tend_memory(struct embedded *embedded) {
  uint64_t now_ms = store_now_ms(embedded->backend.store);
  bool is_more_log = eventlog_expire(&embedded->log, now_ms, TEND_WORK);
  bool is_more_kv = kv_expire(&embedded->kv, now_ms, TEND_WORK);
  size_t windows = rate_windows_sweep(&embedded->windows, now_ms, TEND_WINDOWS);
  if (is_more_log || is_more_kv) return STORE_TEND_SOON;
  bool is_idle = windows == 0 && embedded->log.old.topics.count == 0 &&
                 !eventlog_has_expiries(&embedded->log) &&
                 expiry_heap_first(&embedded->kv.expiries) == NULL;
  return is_idle ? STORE_TEND_IDLE : STORE_TEND_TICK;
}

static enum store_tend embedded_tend(struct store_backend *backend) {
  return embedded_tend_memory(embedded_of(backend));
}

/* The store, and with it the metrics, are known only here. */
int embedded_open_memory(struct store_backend *backend) {
  struct embedded *embedded = embedded_of(backend);
  struct journal *journal = embedded->journal;
  embedded->metrics = store_backend_metrics(backend->store);
  struct eventlog_config config = {.keeps_messages = embedded->config.log_enabled,
                                   .max_length = embedded->config.max_log_length,
                                   .max_remembered = EVENTLOG_REMEMBERED_MAX,
                                   .birth_ms = journal != NULL ? journal_birth_ms(journal)
                                                               : clock_wall_ms(),
                                   .journal = journal};
  eventlog_init(&embedded->log, &config, embedded->metrics);
  kv_init(&embedded->kv, embedded->metrics, journal);
  return 0;
}

void embedded_free(struct store_backend *backend) {
  struct embedded *embedded = embedded_of(backend);
  if (embedded->metrics != NULL) {
    eventlog_done(&embedded->log);
    kv_done(&embedded->kv);
  }
  rate_windows_done(&embedded->windows);
  journal_close(embedded->journal);
  free(embedded->items);
  free(embedded);
}

static const struct store_backend_ops embedded_ops = {
    .name = "embedded",
    .is_shared = true,
    .open = embedded_open_memory,
    .run = {[STORE_PUBLISH] = run_publish,
            [STORE_READ_LOG] = embedded_run_read_log,
            [STORE_KV_GET] = embedded_run_kv_get,
            [STORE_KV_SET] = embedded_run_kv_set,
            [STORE_KV_DEL] = embedded_run_kv_del},
    .tend = embedded_tend,
    .free = embedded_free,
};

static const struct store_backend_ops *ops_for(const struct store_config *config) {
  if (config->data_dir == NULL || config->data_dir[0] == '\0') return &embedded_ops;
  return config->is_relaxed ? &embedded_relaxed_ops : &embedded_commit_ops;
}

struct store_backend *embedded_new(const struct store_config *config) {
  struct embedded *embedded = x_calloc(1, sizeof *embedded);
  embedded->backend.ops = ops_for(config);
  embedded->config = *config;
  rate_windows_init(&embedded->windows);
  return &embedded->backend;
}
