#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/log.h"
#include "eventhub/store/embedded_parts.h"

enum { LOAD_MOVE_BYTES = 16 << 20, STEP_BYTES = 8 << 20, SETTLE_MESSAGES = 16384 };

/* ---- loading ---- */

struct loading {
  struct embedded *embedded;
  uint64_t now_ms;
  uint64_t expired;
};

static void on_topic(void *context, uint64_t row, const struct journal_topic *topic) {
  struct loading *loading = context;
  eventlog_restore_topic(&loading->embedded->log, row, topic);
}

static bool on_message(void *context, uint64_t block, const struct journal_message *message) {
  struct loading *loading = context;
  bool is_wanted =
      eventlog_restore_message(&loading->embedded->log, message, block, loading->now_ms);
  bool is_expired = message->expires_ms != 0 && message->expires_ms <= loading->now_ms;
  if (!is_wanted && is_expired) loading->expired++; /* others are among the old ones */
  return is_wanted;
}

static void on_state(void *context, const struct journal_state *state) {
  struct loading *loading = context;
  eventlog_restore_state(&loading->embedded->log, state, loading->now_ms);
}

static void on_pair(void *context, uint64_t row, const struct journal_pair *pair) {
  struct loading *loading = context;
  kv_restore(&loading->embedded->kv, row, pair, loading->now_ms);
}

/* Where the limit is lower than it was, or there was none, not all that is there can be loaded. */
static int on_pause(void *context) {
  const struct loading *loading = context;
  struct embedded *embedded = loading->embedded;
  const struct log_old_limits limits = {.max_memory = embedded->config.max_log_memory,
                                        .max_messages = SIZE_MAX,
                                        .max_bytes = LOAD_MOVE_BYTES};
  while (log_old_move(&embedded->log, &limits)) {
    int err = journal_flush(embedded->journal);
    if (err < 0) return err;
    log_old_settle(&embedded->log, SIZE_MAX);
  }
  return 0;
}

static void log_loaded(const struct loading *loading, uint64_t start_ms) {
  const struct store_metrics *metrics = loading->embedded->metrics;
  log_info("journal loaded", LOG_STR("data_dir", loading->embedded->config.data_dir),
           LOG_UINT("topics", store_metric_get(&metrics->log_topics)),
           LOG_UINT("messages", store_metric_get(&metrics->log_messages)),
           LOG_UINT("on_disk_only", store_metric_get(&metrics->log_disk_messages)),
           LOG_UINT("expired", loading->expired),
           LOG_UINT("keys", store_metric_get(&metrics->kv_keys)),
           LOG_UINT("ms", clock_monotonic_ms() - start_ms),
           LOG_STR("durability", loading->embedded->config.is_relaxed ? "relaxed" : "commit"));
}

/* Of a key with several rows the newest counts. The others go before anything else happens, so that
 * none of them comes back when that one is removed. */
static void remove_stale_pairs(struct embedded *embedded) {
  if (!kv_tidy(&embedded->kv, SIZE_MAX)) return;
  struct journal_state state = eventlog_state(&embedded->log);
  kv_kept(&embedded->kv);
  journal_keep(embedded->journal, &state);
  embedded_flushed(embedded, journal_flush(embedded->journal));
}

static int load(struct embedded *embedded, uint64_t start_ms) {
  static const struct journal_loader loader = {.on_topic = on_topic,
                                               .on_message = on_message,
                                               .on_state = on_state,
                                               .on_pair = on_pair,
                                               .on_pause = on_pause};
  struct loading loading = {.embedded = embedded, .now_ms = clock_wall_ms()};
  int err = journal_load(embedded->journal, &loader, &loading);
  if (err < 0) {
    buf_printf(&embedded->backend.problem, "DATA_DIR=%s cannot be %s", embedded->config.data_dir,
               err == ERR_INVALID ? "read" : "written");
    return err;
  }
  remove_stale_pairs(embedded);
  log_loaded(&loading, start_ms);
  if (embedded->config.is_relaxed)
    log_warn("messages are answered before they are on the disk: a crash of the machine or the "
             "broker may lose the last second",
             LOG_STR("option", "DURABILITY=relaxed"));
  return 0;
}

int embedded_open_journal(struct store_backend *backend) {
  struct embedded *embedded = embedded_of(backend);
  uint64_t start_ms = clock_monotonic_ms();
  const struct journal_config config = {.directory = embedded->config.data_dir,
                                        .is_relaxed = embedded->config.is_relaxed,
                                        .now_ms = clock_wall_ms()};
  int err = journal_open(&config, &embedded->journal, &backend->problem);
  if (err < 0) return err;
  err = embedded_open_memory(backend);
  return err < 0 ? err : load(embedded, start_ms);
}

/* ---- how writing goes ---- */

static enum store_status trouble_of(int err) {
  return err == ERR_FULL ? STORE_DISK_FULL : STORE_DISK_FAILED;
}

static void note_trouble(struct embedded *embedded, int err) {
  store_metric_add(&embedded->metrics->journal_failures, 1);
  bool is_news = atomic_exchange(&embedded->trouble, (int)trouble_of(err)) == STORE_OK;
  store_set_ready(embedded->backend.store, false);
  if (!is_news) return;
  log_error("the journal cannot be written: nothing is taken until it can",
            LOG_STR("data_dir", embedded->config.data_dir),
            LOG_STR("reason", journal_problem(embedded->journal)));
}

static void note_end_of_trouble(struct embedded *embedded) {
  if (atomic_exchange(&embedded->trouble, STORE_OK) == STORE_OK) return;
  store_set_ready(embedded->backend.store, true);
  log_info("the journal can be written again", LOG_STR("data_dir", embedded->config.data_dir));
}

enum store_status embedded_wrote(struct embedded *embedded, int err, uint64_t start_ns) {
  if (err < 0) {
    note_trouble(embedded, err);
    return err == ERR_UNAVAILABLE ? STORE_UNKNOWN : trouble_of(err);
  }
  struct store_metrics *metrics = embedded->metrics;
  store_metric_add(&metrics->journal_commits, 1);
  store_histogram_add(&metrics->journal_commit, (clock_monotonic_ns() - start_ns) / 1000);
  note_end_of_trouble(embedded);
  return STORE_OK;
}

void embedded_flushed(struct embedded *embedded, int err) {
  if (err < 0) {
    note_trouble(embedded, err);
    return;
  }
  struct store_metrics *metrics = embedded->metrics;
  struct journal_usage usage = journal_usage(embedded->journal);
  store_metric_set(&metrics->journal_bytes, usage.bytes);
  store_metric_set(&metrics->journal_free_bytes, usage.free_bytes);
  note_end_of_trouble(embedded);
}

void embedded_probe(struct embedded *embedded) {
  embedded_flushed(embedded, journal_probe(embedded->journal));
}

/* ---- the open set ---- */

uint64_t embedded_add_message(struct embedded *embedded, const struct message *message) {
  return embedded->config.log_enabled ? journal_add_message(embedded->journal, message) : 0;
}

void embedded_add_set(struct embedded *embedded, const struct store_kv *kv) {
  if (!embedded->config.kv_enabled) return;
  uint64_t row = kv_reserve(&embedded->kv, kv->key, store_now_ms(embedded->backend.store));
  const struct journal_pair pair = {.expires_ms = embedded_kv_expiry(embedded, kv),
                                    .key = kv->key,
                                    .value = blob_slice(kv->value)};
  journal_put_pair(embedded->journal, row, &pair);
}

void embedded_add_del(struct embedded *embedded, const struct store_kv *kv) {
  uint64_t row = kv_row(&embedded->kv, kv->key);
  if (row != 0) journal_remove_pair(embedded->journal, row);
}

bool embedded_tidy(struct embedded *embedded, size_t max_work) {
  bool has_log = log_keeper_tidy(&embedded->log.keeper, max_work);
  bool has_kv = kv_tidy(&embedded->kv, max_work);
  return has_log || has_kv;
}

void embedded_tidied(struct embedded *embedded) {
  log_keeper_kept(&embedded->log.keeper);
  kv_kept(&embedded->kv);
  struct journal_state state = eventlog_state(&embedded->log);
  journal_keep(embedded->journal, &state);
}

bool embedded_step_old(struct embedded *embedded, size_t max_messages) {
  const struct log_old_limits limits = {.max_memory = embedded->config.max_log_memory,
                                        .max_messages = max_messages,
                                        .max_bytes = STEP_BYTES};
  struct journal_state state = eventlog_state(&embedded->log);
  log_old_settle(&embedded->log, SETTLE_MESSAGES);
  if (!embedded->config.log_enabled) return false;
  if (!log_old_step(&embedded->log, &limits, store_now_ms(embedded->backend.store))) return false;
  journal_keep(embedded->journal, &state);
  return true;
}

bool embedded_has_old_work(const struct embedded *embedded) {
  return log_old_has_work(&embedded->log, embedded->config.max_log_memory);
}

void embedded_note_upkeep(struct embedded *embedded, uint64_t start_ns) {
  store_histogram_add(&embedded->metrics->journal_upkeep, (clock_monotonic_ns() - start_ns) / 1000);
}

void embedded_count_blocks(struct embedded *embedded) {
  store_metric_set(&embedded->metrics->journal_blocks, journal_block_count(embedded->journal));
}

void embedded_stop_journal(struct store_backend *backend) {
  struct embedded *embedded = embedded_of(backend);
  struct journal_state state = eventlog_state(&embedded->log);
  embedded_flushed(embedded, journal_finish(embedded->journal, &state));
}

/* ---- the relaxed kind: answers at once; a tend seals what there is, and the store thread writes
 * it beside the turns ---- */

/* Bytes that may wait to be written. Where the disk does not keep up with that, nothing more is
 * taken until it has. */
enum {
  OPEN_BYTES_MAX = 256 * 1024 * 1024,
  OPEN_BYTES_SEALED = 32 * 1024 * 1024, /* with so many, what is dead is not waited for */
  TIDY_WORK = 4096,
  STEP_MESSAGES = 2048
};

static bool is_taken(struct embedded *embedded, struct store_request *request) {
  int trouble = atomic_load_explicit(&embedded->trouble, memory_order_relaxed);
  bool is_behind = journal_open_bytes(embedded->journal) > OPEN_BYTES_MAX ||
                   log_old_is_far_behind(&embedded->log, embedded->config.max_log_memory);
  if (trouble == STORE_OK && is_behind) trouble = STORE_UNAVAILABLE;
  if (trouble == STORE_OK) return true;
  store_finish(request, (enum store_status)trouble);
  return false;
}

static void run_publish(struct store_backend *backend, struct store_request *request) {
  struct embedded *embedded = embedded_of(backend);
  if (!is_taken(embedded, request)) return;
  struct log_topic *topic = embedded_prepare_publish(embedded, request);
  if (topic == NULL) return;
  uint64_t block = embedded_add_message(embedded, request->publish.message);
  embedded_apply_publish(embedded, request, topic, block);
}

static void run_kv_set(struct store_backend *backend, struct store_request *request) {
  struct embedded *embedded = embedded_of(backend);
  if (!is_taken(embedded, request)) return;
  embedded_add_set(embedded, &request->kv);
  embedded_run_kv_set(backend, request);
}

static void run_kv_del(struct store_backend *backend, struct store_request *request) {
  struct embedded *embedded = embedded_of(backend);
  if (!is_taken(embedded, request)) return;
  embedded_add_del(embedded, &request->kv);
  embedded_run_kv_del(backend, request);
}

static enum store_tend keep_up(struct embedded *embedded) {
  enum store_tend next = embedded_tend_memory(embedded);
  bool is_in_trouble = atomic_load(&embedded->trouble) != STORE_OK;
  if (!is_in_trouble && embedded_tidy(embedded, TIDY_WORK)) embedded_tidied(embedded);
  /* What is dead by now need not be written at all. */
  if (journal_dead_count(embedded->journal) > 0 &&
      journal_open_bytes(embedded->journal) < OPEN_BYTES_SEALED)
    return STORE_TEND_SOON;
  bool is_moving = !is_in_trouble && embedded_step_old(embedded, STEP_MESSAGES);
  /* What leaves memory goes with the set as long as that is not too large. */
  if (is_moving && journal_open_bytes(embedded->journal) < 2 * OPEN_BYTES_SEALED)
    return STORE_TEND_SOON;
  struct journal_state state = eventlog_state(&embedded->log);
  journal_seal(embedded->journal, &state);
  embedded_count_blocks(embedded);
  if (!is_in_trouble && embedded_has_old_work(embedded)) return STORE_TEND_SOON;
  return journal_is_written(embedded->journal) ? next : STORE_TEND_TICK;
}

static enum store_tend tend(struct store_backend *backend) {
  struct embedded *embedded = embedded_of(backend);
  uint64_t start_ns = clock_monotonic_ns();
  enum store_tend next = keep_up(embedded);
  embedded_note_upkeep(embedded, start_ns);
  return next;
}

static void write_sealed(struct store_backend *backend) {
  struct embedded *embedded = embedded_of(backend);
  if (!journal_is_sealed(embedded->journal)) return;
  uint64_t start_ns = clock_monotonic_ns();
  int err = journal_write(embedded->journal);
  embedded_wrote(embedded, err, start_ns);
  embedded_flushed(embedded, err);
}

const struct store_backend_ops embedded_relaxed_ops = {
    .name = "embedded",
    .is_shared = true,
    .open = embedded_open_journal,
    .run = {[STORE_PUBLISH] = run_publish,
            [STORE_READ_LOG] = embedded_run_read_log,
            [STORE_KV_GET] = embedded_run_kv_get,
            [STORE_KV_SET] = run_kv_set,
            [STORE_KV_DEL] = run_kv_del},
    .tend = tend,
    .write = write_sealed,
    .stop = embedded_stop_journal,
    .free = embedded_free,
};
