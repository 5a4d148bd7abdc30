#include "eventhub/store/redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/log.h"
#include "eventhub/base/map.h"
#include "eventhub/base/mem.h"
#include "eventhub/base/random.h"
#include "eventhub/store/redis_backend.h"
#include "eventhub/store/redis_script.h"
#include "eventhub/store/resp.h"

enum {
  BACKOFF_MIN_MS = 100,
  BACKOFF_MAX_MS = 5000,
  LOCATED_MS = 1000, /* how long an address is taken for granted */
  PROBE_LOST_MS = 3000,
  IDLE_TOPIC_MS = 24 * 3600 * 1000, /* then a topic without messages is forgotten */
  TEND_TOPICS = 100
};

/* ---- what the parts share ---- */

void redis_word_key(struct redis *redis, struct buf *out, unsigned bucket, enum redis_key key,
                    struct slice name) {
  resp_word_begin(out, redis_key_len(redis->prefix, key, name));
  redis_key_append(out, redis->prefix, bucket, key, name);
  resp_word_end(out);
}

void redis_skip(struct redis *redis) {
  store_metric_add(&redis->metrics->redis_skipped, 1);
}

void redis_refused(struct redis *redis, const char *error) {
  static struct log_limit limit;
  uint64_t suppressed = 0;
  if (!log_limit_take(&limit, clock_monotonic_ms(), &suppressed)) return;
  redis->config.log(LOG_WARN, LOG_FIELDS("redis refused a command", LOG_STR("error", error),
                                         LOG_UINT("suppressed", suppressed)));
}

void redis_call_begin(struct redis_call *call, struct redis *redis, struct store_request *request,
                      void (*on_timeout)(struct redis_call *call)) {
  call->redis = redis;
  call->serial = ++redis->last_serial;
  call->request = request;
  call->on_timeout = on_timeout;
  list_add_tail(&redis->calls, &call->link);
  deadline_init(&call->deadline);
  deadline_arm(redis->loop, &redis->request_list, &call->deadline);
}

void redis_call_finish(struct redis_call *call, enum store_status status) {
  struct store_request *request = call->request;
  if (request == NULL) return;
  call->request = NULL;
  list_remove(&call->link);
  deadline_disarm(&call->deadline);
  store_finish(request, status);
}

static void on_request_timeout(struct deadline *deadline, void *context) {
  (void)context;
  struct redis_call *call = container_of(deadline, struct redis_call, deadline);
  call->on_timeout(call);
}

/* ---- connections ---- */

static struct redis_lane *lane_of_conn(struct redis *redis, const struct redis_conn *conn) {
  for (uint32_t i = 0; i < redis->config.pool_size; i++) {
    if (&redis->lanes[i].conn == conn) return &redis->lanes[i];
  }
  return NULL;
}

static struct redis *redis_of_conn(const struct redis_conn *conn) {
  return container_of(conn->config, struct redis, config);
}

static struct redis_conn *conn_at(struct redis *redis, uint32_t index) {
  return index < redis->config.pool_size ? &redis->lanes[index].conn : &redis->pubsub;
}

static uint32_t conn_count(const struct redis *redis) {
  return redis->config.pool_size + 1;
}

static void retry_soon(struct redis *redis) {
  if (!list_is_linked(&redis->retry.link))
    deadline_arm(redis->loop, &redis->retry_list, &redis->retry);
}

/* Between 3/4 and 5/4 of the time, so that brokers do not come back all at once. */
static uint64_t with_jitter(uint64_t ms) {
  return ms * 3 / 4 + random_u64() % (ms / 2 + 1);
}

static void plan_retry(struct redis *redis, struct redis_conn *conn) {
  uint32_t backoff_ms = conn->backoff_ms * 2;
  if (backoff_ms < BACKOFF_MIN_MS) backoff_ms = BACKOFF_MIN_MS;
  if (backoff_ms > BACKOFF_MAX_MS) backoff_ms = BACKOFF_MAX_MS;
  conn->backoff_ms = backoff_ms;
  conn->retry_at_ms = redis->loop->now_ms + with_jitter(backoff_ms);
  retry_soon(redis);
}

static void on_up(struct redis_conn *conn) {
  struct redis *redis = redis_of_conn(conn);
  struct redis_lane *lane = lane_of_conn(redis, conn);
  if (conn->had_been_up) store_metric_add(&redis->metrics->redis_reconnects, 1);
  conn->had_been_up = true;
  conn->backoff_ms = 0;
  if (lane != NULL) {
    redis_lane_on_up(lane);
  } else {
    redis_watch_on_up(redis);
  }
}

static void on_down(struct redis_conn *conn) {
  struct redis *redis = redis_of_conn(conn);
  struct redis_lane *lane = lane_of_conn(redis, conn);
  store_metric_add(&redis->metrics->redis_failures, 1);
  memcpy(redis->reason, conn->reason, sizeof redis->reason);
  redis->located_ms = 0;
  plan_retry(redis, conn);
  if (lane != NULL) {
    redis_lane_on_down(lane);
    return;
  }
  redis->probe_number = 0;
  redis_watch_on_down(redis);
  redis_inbox_on_down(redis);
  redis_read_on_down(redis);
}

static const struct redis_conn_handler conn_handler = {.on_up = on_up, .on_down = on_down};

/* ---- where Redis is ---- */

static bool is_same(const struct redis_endpoint *a, const struct redis_endpoint *b) {
  return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* Sentinels named another master: what is connected to the old one is not where writes go. */
static void leave_old_master(struct redis *redis) {
  for (uint32_t i = 0; i < conn_count(redis); i++)
    redis_conn_drop(conn_at(redis, i), "the sentinels name another master");
}

static void open_due(struct redis *redis) {
  for (uint32_t i = 0; i < conn_count(redis); i++) {
    struct redis_conn *conn = conn_at(redis, i);
    if (conn->state == REDIS_CONN_DOWN && conn->retry_at_ms <= redis->loop->now_ms)
      redis_conn_open(conn, &redis->endpoint);
  }
}

static void plan_all_retries(struct redis *redis) {
  for (uint32_t i = 0; i < conn_count(redis); i++) {
    struct redis_conn *conn = conn_at(redis, i);
    if (conn->state == REDIS_CONN_DOWN && conn->retry_at_ms <= redis->loop->now_ms)
      plan_retry(redis, conn);
  }
}

static void on_located(const struct redis_endpoint *endpoint, const char *reason, void *context) {
  struct redis *redis = context;
  if (endpoint == NULL) {
    snprintf(redis->reason, sizeof redis->reason, "%s", reason);
    store_metric_add(&redis->metrics->redis_failures, 1);
    plan_all_retries(redis);
    return;
  }
  bool has_moved = redis->config.sentinel_count > 0 && redis->endpoint.host[0] != '\0' &&
                   !is_same(endpoint, &redis->endpoint);
  redis->endpoint = *endpoint;
  redis->located_ms = redis->loop->now_ms;
  if (has_moved) leave_old_master(redis);
  open_due(redis);
}

static bool is_any_due(struct redis *redis) {
  for (uint32_t i = 0; i < conn_count(redis); i++) {
    const struct redis_conn *conn = conn_at(redis, i);
    if (conn->state == REDIS_CONN_DOWN && conn->retry_at_ms <= redis->loop->now_ms) return true;
  }
  return false;
}

static void open_or_locate(struct redis *redis) {
  bool is_known = redis->located_ms != 0 && redis->loop->now_ms - redis->located_ms < LOCATED_MS;
  if (!is_any_due(redis)) return;
  if (is_known) {
    open_due(redis);
  } else {
    redis_locator_start(&redis->locator);
  }
}

/* ---- state ---- */

static bool is_all_up(struct redis *redis) {
  for (uint32_t i = 0; i < conn_count(redis); i++) {
    if (conn_at(redis, i)->state != REDIS_CONN_UP) return false;
  }
  return redis->inbox.is_synced;
}

static void tell_up(struct redis *redis) {
  const struct redis_endpoint *endpoint = &redis->endpoint;
  redis->told_count = 0;
  redis->config.log(LOG_INFO, LOG_FIELDS("connected to redis", LOG_STR("host", endpoint->host),
                                         LOG_UINT("port", endpoint->port),
                                         LOG_UINT("connections", conn_count(redis))));
}

static bool was_told(const struct redis *redis, uint64_t reason) {
  for (size_t i = 0; i < redis->told_count; i++) {
    if (redis->told[i] == reason) return true;
  }
  return redis->told_count == REDIS_TOLD_MAX;
}

/* Once for each reason while it is away: two that take turns would fill the log. */
static void tell_away(struct redis *redis) {
  if (redis->reason[0] == '\0') return;
  uint64_t reason = map_hash(redis->reason, strlen(redis->reason));
  if (was_told(redis, reason)) return;
  redis->told[redis->told_count++] = reason;
  redis->config.log(LOG_WARN, LOG_FIELDS("redis is away", LOG_STR("reason", redis->reason)));
}

static void update_state(struct redis *redis) {
  bool is_up = is_all_up(redis);
  if (is_up && !redis->is_ready) tell_up(redis);
  if (!is_up) tell_away(redis);
  if (is_up != redis->is_ready) {
    redis->is_ready = is_up;
    store_set_ready(redis->backend.store, is_up);
    store_metric_set(&redis->metrics->redis_connected, is_up);
  }
  if (is_up) redis->reason[0] = '\0';
}

static void count_pipeline(struct redis *redis) {
  uint64_t count = 0;
  for (uint32_t i = 0; i < redis->config.pool_size; i++)
    count += redis->lanes[i].sent_count;
  store_metric_set(&redis->metrics->redis_pipeline, count);
}

/* ---- looking after ---- */

static void encode_tend(struct redis_command *command, struct buf *out) {
  struct redis *redis = container_of(command, struct redis, tend);
  unsigned bucket = (unsigned)(redis->probes % REDIS_BUCKETS);
  redis_script_call(out, REDIS_SCRIPT_TEND, 2, 3);
  redis_word_key(redis, out, bucket, REDIS_KEY_TOPICS, SLICE(""));
  redis_word_key(redis, out, bucket, REDIS_KEY_INDEX, SLICE(""));
  resp_u64(out, IDLE_TOPIC_MS);
  resp_u64(out, TEND_TOPICS);
  redis_word_key(redis, out, bucket, REDIS_KEY_STREAM, SLICE(""));
}

static void on_tended(struct redis_command *command, const redisReply *reply) {
  struct redis *redis = container_of(command, struct redis, tend);
  redis->is_tending = false;
  if (reply->type == REDIS_REPLY_ERROR) redis_refused(redis, reply->str);
}

static bool on_tend_lost(struct redis_command *command) {
  container_of(command, struct redis, tend)->is_tending = false;
  return false;
}

static const struct redis_command_type tend_type = {
    .encode = encode_tend, .on_reply = on_tended, .on_lost = on_tend_lost};

static void tend_bucket(struct redis *redis, unsigned bucket) {
  if (redis->is_tending || redis_lane_of(redis, bucket)->conn.state != REDIS_CONN_UP) return;
  redis->is_tending = true;
  redis_lane_submit(redis_lane_of(redis, bucket), &redis->tend, &tend_type);
}

/* A mark must come round: else messages do not either, whatever the connections say. */
static void probe_messages(struct redis *redis, unsigned bucket) {
  const struct redis_bucket *state = &redis->buckets[bucket];
  if (!redis->inbox.is_synced || redis->probe_number != 0 || state->has_mark) return;
  redis->probe_number = redis->mark_number + 1;
  redis->probe_bucket = bucket;
  redis->probe_sent_ns = clock_monotonic_ns();
  redis_mark_later(redis, bucket);
}

static void check_probe(struct redis *redis) {
  if (redis->probe_number == 0) return;
  if (redis->inbox.recovery != NULL) { /* holds marks, too */
    redis->probe_number = 0;
    return;
  }
  const struct redis_bucket *state = &redis->buckets[redis->probe_bucket];
  uint64_t spent_ms = (clock_monotonic_ns() - redis->probe_sent_ns) / 1000000;
  if (state->marked >= redis->probe_number) {
    redis->probe_number = 0;
  } else if (spent_ms > PROBE_LOST_MS && !state->has_mark) {
    redis->probe_number = 0;
    redis_conn_drop(&redis->pubsub, "messages do not come through");
  }
}

static void ping_idle(struct redis_conn *conn) {
  AUTO(buf) struct buf text = BUF_INIT;
  if (conn->state != REDIS_CONN_UP || conn->is_doomed || conn->owed > 0) return;
  resp_begin(&text, 1);
  resp_str(&text, "PING");
  redis_conn_send(conn, &text, NULL, NULL);
}

static void on_probe(struct deadline *deadline, void *context) {
  struct redis *redis = context;
  unsigned bucket = (unsigned)(++redis->probes % REDIS_BUCKETS);
  for (uint32_t i = 0; i < conn_count(redis); i++)
    redis_conn_check(conn_at(redis, i));
  check_probe(redis);
  for (uint32_t i = 0; i < redis->config.pool_size; i++)
    ping_idle(&redis->lanes[i].conn);
  probe_messages(redis, bucket);
  tend_bucket(redis, bucket);
  deadline_arm(redis->loop, &redis->probe_list, deadline);
}

static void on_retry(struct deadline *deadline, void *context) {
  (void)deadline;
  struct redis *redis = context;
  open_or_locate(redis);
  for (uint32_t i = 0; i < conn_count(redis); i++) {
    if (conn_at(redis, i)->state != REDIS_CONN_UP) retry_soon(redis);
  }
}

/* How long the mark took, from being asked for to having come back as a message. */
static void measure_delay(struct redis *redis) {
  if (redis->probe_number == 0) return;
  const struct redis_bucket *state = &redis->buckets[redis->probe_bucket];
  if (state->marked < redis->probe_number) return;
  uint64_t spent_ns = clock_monotonic_ns() - redis->probe_sent_ns;
  store_metric_set(&redis->metrics->redis_delay_ms, spent_ns / 1000000);
  redis->probe_number = 0;
}

static void redis_end_of_turn(struct store_backend *backend) {
  struct redis *redis = redis_of(backend);
  struct redis_inbox *inbox = &redis->inbox;
  bool can_sync = redis_watch_is_confirmed(redis) && !inbox->is_synced && inbox->recovery == NULL;
  if (can_sync) redis_inbox_sync(redis);
  measure_delay(redis);
  redis_watch_flush(redis);
  redis_cut_flush(redis);
  redis_publish_flush(redis);
  redis_read_flush(redis);
  for (uint32_t i = 0; i < conn_count(redis); i++)
    redis_conn_flush(conn_at(redis, i));
  count_pipeline(redis);
  update_state(redis);
}

/* ---- from new to free ---- */

static void redis_start(struct store_backend *backend) {
  struct redis *redis = redis_of(backend);
  redis->loop = store_loop(backend->store);
  redis->metrics = store_backend_metrics(backend->store);
  deadline_list_add(redis->loop, &redis->probe_list, REDIS_PROBE_MS, on_probe, redis);
  deadline_list_add(redis->loop, &redis->retry_list, REDIS_RETRY_MS, on_retry, redis);
  deadline_list_add(redis->loop, &redis->request_list, REDIS_REQUEST_MS, on_request_timeout, redis);
  redis->lanes = x_calloc(redis->config.pool_size, sizeof redis->lanes[0]);
  for (uint32_t i = 0; i < redis->config.pool_size; i++)
    redis_lane_init(&redis->lanes[i], redis->loop, &redis->config, &conn_handler, redis->metrics);
  redis_conn_init(&redis->pubsub, redis->loop, &redis->config, &conn_handler, false);
  redis_locator_init(&redis->locator, redis->loop, &redis->config, on_located, redis);
  deadline_arm(redis->loop, &redis->probe_list, &redis->probe);
  redis->has_started = true;
  redis_locator_start(&redis->locator);
  retry_soon(redis);
}

/* What may have reached Redis is unknown, the rest has had no effect: as if all ran out of time. */
static void finish_all(struct redis *redis) {
  while (!list_is_empty(&redis->calls)) {
    struct redis_call *call = container_of(list_first(&redis->calls), struct redis_call, link);
    call->on_timeout(call);
  }
}

static void redis_stop(struct store_backend *backend) {
  struct redis *redis = redis_of(backend);
  redis->is_stopping = true;
  finish_all(redis);
  redis_recovery_cancel(redis);
  redis_locator_done(&redis->locator);
  for (uint32_t i = 0; i < redis->config.pool_size; i++)
    redis_lane_stop(&redis->lanes[i]);
  redis_conn_done(&redis->pubsub);
  deadline_disarm(&redis->probe);
  deadline_disarm(&redis->retry);
  deadline_list_remove(&redis->probe_list);
  deadline_list_remove(&redis->retry_list);
  deadline_list_remove(&redis->request_list);
}

static void redis_free(struct store_backend *backend) {
  struct redis *redis = redis_of(backend);
  for (uint32_t i = 0; redis->has_started && i < redis->config.pool_size; i++)
    redis_lane_done(&redis->lanes[i]);
  free(redis->lanes);
  redis_inbox_done(redis);
  redis_watches_done(&redis->watches);
  free(redis);
}

static const struct store_backend_ops redis_ops = {
    .name = "redis",
    .start = redis_start,
    .run = {[STORE_PUBLISH] = redis_run_publish,
            [STORE_READ_LOG] = redis_run_read_log,
            [STORE_KV_GET] = redis_run_kv_get,
            [STORE_KV_SET] = redis_run_kv_set,
            [STORE_KV_DEL] = redis_run_kv_del,
            [STORE_WATCH] = redis_run_watch,
            [STORE_UNWATCH] = redis_run_unwatch,
            [STORE_BARRIER] = redis_run_barrier},
    .end_of_turn = redis_end_of_turn,
    .stop = redis_stop,
    .free = redis_free,
};

static void name_producer(struct redis *redis) {
  static const char digits[] = "0123456789abcdef";
  uint64_t number = random_u64();
  for (size_t i = 0; i < sizeof redis->producer_text; i++)
    redis->producer_text[i] = digits[number >> (4 * i) & 15];
  redis->producer = slice_of(redis->producer_text, sizeof redis->producer_text);
}

struct store_backend *redis_new(const struct store_config *store,
                                const struct redis_config *config) {
  struct redis *redis = x_calloc(1, sizeof *redis);
  redis->backend.ops = &redis_ops;
  redis->store_config = *store;
  redis->config = *config;
  redis->prefix = slice_str(config->prefix);
  name_producer(redis);
  for (unsigned bucket = 0; bucket < REDIS_BUCKETS; bucket++)
    list_init(&redis->buckets[bucket].unsettled);
  list_init(&redis->calls);
  list_init(&redis->cuts);
  list_init(&redis->early);
  list_init(&redis->barriers);
  list_init(&redis->reads);
  list_init(&redis->waiting_reads);
  deadline_init(&redis->probe);
  deadline_init(&redis->retry);
  redis_watches_init(&redis->watches);
  redis_inbox_init(&redis->inbox);
  return &redis->backend;
}
