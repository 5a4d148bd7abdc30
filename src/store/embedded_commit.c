/* The embedded store that answers when it is on the disk: the requests of a turn are kept until its
 * end, then their changes are committed together, then all of them take effect and are answered, in
 * their order. Where the commit fails, what would have changed something has no effect. */
#include <stdlib.h>

#include "eventhub/base/clock.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/embedded_parts.h"

enum {
  TURN_BYTES_MAX = 16 * 1024 * 1024, /* of messages and values: then a turn is cut */
  FLUSH_BYTES = 2 * 1024 * 1024,     /* in the log: then they go to the file */
  TIDY_WORK = 4096,
  /* Messages that a step takes out of memory: few, so that it is over soon; but where more are
   * published in a turn than that, as many, or memory would fill. */
  STEP_MESSAGES_MIN = 512,
  STEP_MESSAGES_MAX = 16384
};

struct commit_item {
  struct store_request *request;
  struct log_topic *topic; /* publish: held; NULL: it was finished before */
  uint64_t block;
  bool is_change;
};

/* ---- before the commit ---- */

static void prepare_publish(struct embedded *embedded, struct commit_item *item) {
  item->topic = embedded_prepare_publish(embedded, item->request);
  if (item->topic != NULL)
    item->block = embedded_add_message(embedded, item->request->publish.message);
}

/* Does it hang on the commit? Without an eventlog a message does not. */
static bool is_change(const struct embedded *embedded, const struct store_request *request) {
  switch (request->op) {
  case STORE_PUBLISH: return embedded->config.log_enabled;
  case STORE_KV_SET:
  case STORE_KV_DEL: return embedded->config.kv_enabled;
  default: return false;
  }
}

static void prepare(struct embedded *embedded, struct commit_item *item) {
  struct store_request *request = item->request;
  if (request->op == STORE_PUBLISH) {
    prepare_publish(embedded, item);
  } else if (request->op == STORE_KV_SET) {
    embedded_add_set(embedded, &request->kv);
  } else if (request->op == STORE_KV_DEL) {
    embedded_add_del(embedded, &request->kv);
  }
}

/* While the disk is in trouble no change is prepared. Answers whether there is one to commit. */
static bool prepare_all(struct embedded *embedded, bool is_in_trouble) {
  bool has_changes = false;
  for (size_t i = 0; i < embedded->item_count; i++) {
    struct commit_item *item = &embedded->items[i];
    item->is_change = is_change(embedded, item->request);
    if (item->is_change && is_in_trouble) continue;
    prepare(embedded, item);
    if (item->is_change) has_changes = true;
  }
  return has_changes;
}

/* ---- after it ---- */

static void apply(struct embedded *embedded, const struct commit_item *item) {
  struct store_backend *backend = &embedded->backend;
  struct store_request *request = item->request;
  switch (request->op) {
  case STORE_PUBLISH:
    if (item->topic != NULL) embedded_apply_publish(embedded, request, item->topic, item->block);
    return;
  case STORE_READ_LOG: embedded_run_read_log(backend, request); return;
  case STORE_KV_GET: embedded_run_kv_get(backend, request); return;
  case STORE_KV_SET: embedded_run_kv_set(backend, request); return;
  case STORE_KV_DEL: embedded_run_kv_del(backend, request); return;
  default: store_finish(request, STORE_OK);
  }
}

/* What was prepared is taken back. */
static void give_up(struct embedded *embedded, const struct commit_item *item) {
  const struct store_request *request = item->request;
  if (request->op == STORE_PUBLISH) {
    eventlog_release(&embedded->log, item->topic, store_now_ms(embedded->backend.store));
  } else if (request->op == STORE_KV_SET) {
    kv_unreserve(&embedded->kv, request->kv.key);
  }
}

static bool was_finished(const struct commit_item *item) {
  return item->request->op == STORE_PUBLISH && item->topic == NULL;
}

/* ---- turns ---- */

static enum store_status commit(struct embedded *embedded) {
  struct journal_state state = eventlog_state(&embedded->log);
  uint64_t start_ns = clock_monotonic_ns();
  return embedded_wrote(embedded, journal_commit(embedded->journal, &state), start_ns);
}

/* `status` is that of the changes. */
static void finish_all(struct embedded *embedded, enum store_status status, bool is_prepared) {
  for (size_t i = 0; i < embedded->item_count; i++) {
    const struct commit_item *item = &embedded->items[i];
    if (!item->is_change || status == STORE_OK) {
      apply(embedded, item);
    } else if (!is_prepared) {
      store_finish(item->request, status);
    } else if (!was_finished(item)) {
      give_up(embedded, item);
      store_finish(item->request, status);
    }
  }
  embedded->item_count = embedded->item_bytes = 0;
}

static size_t step_size(const struct embedded *embedded) {
  size_t size = embedded->added_since_step + embedded->added_since_step / 4;
  if (size < STEP_MESSAGES_MIN) return STEP_MESSAGES_MIN;
  return size < STEP_MESSAGES_MAX ? size : STEP_MESSAGES_MAX;
}

static void flush(struct embedded *embedded) {
  uint64_t start_ns = clock_monotonic_ns();
  if (embedded_tidy(embedded, TIDY_WORK)) embedded_tidied(embedded);
  embedded_step_old(embedded, step_size(embedded));
  embedded->added_since_step = 0;
  embedded_flushed(embedded, journal_flush(embedded->journal));
  embedded_note_upkeep(embedded, start_ns);
}

static bool is_time_to_flush(const struct embedded *embedded) {
  if (journal_open_bytes(embedded->journal) > FLUSH_BYTES) return true;
  return embedded->added_since_step >= STEP_MESSAGES_MIN && embedded_has_old_work(embedded);
}

static void end_of_turn(struct store_backend *backend) {
  struct embedded *embedded = embedded_of(backend);
  enum store_status trouble = (enum store_status)atomic_load(&embedded->trouble);
  bool is_in_trouble = trouble != STORE_OK;
  if (embedded->item_count == 0) return;
  bool has_changes = prepare_all(embedded, is_in_trouble);
  enum store_status status = has_changes ? commit(embedded) : trouble;
  embedded->added_since_step += embedded->item_count;
  finish_all(embedded, status, !is_in_trouble);
  if (!is_in_trouble && is_time_to_flush(embedded)) flush(embedded);
}

static size_t bytes_of(const struct store_request *request) {
  if (request->op == STORE_PUBLISH) return message_size(request->publish.message);
  return request->op == STORE_KV_SET ? request->kv.key.len + request->kv.value->len : 0;
}

static void keep(struct store_backend *backend, struct store_request *request) {
  struct embedded *embedded = embedded_of(backend);
  if (embedded->item_count == embedded->item_cap) {
    embedded->item_cap = embedded->item_cap ? embedded->item_cap * 2 : 64;
    embedded->items = x_realloc(embedded->items, embedded->item_cap * sizeof *embedded->items);
  }
  embedded->items[embedded->item_count++] = (struct commit_item){.request = request};
  embedded->item_bytes += bytes_of(request);
  if (embedded->item_bytes > TURN_BYTES_MAX) end_of_turn(backend);
}

static enum store_tend tend(struct store_backend *backend) {
  struct embedded *embedded = embedded_of(backend);
  end_of_turn(backend); /* what came before in this turn has its own commit */
  enum store_tend next = embedded_tend_memory(embedded);
  if (atomic_load(&embedded->trouble) == STORE_OK) flush(embedded);
  embedded_count_blocks(embedded);
  if (atomic_load(&embedded->trouble) != STORE_OK) embedded_probe(embedded);
  if (atomic_load(&embedded->trouble) != STORE_OK) return STORE_TEND_TICK;
  if (embedded_has_old_work(embedded)) return STORE_TEND_SOON;
  return journal_dead_count(embedded->journal) > TIDY_WORK ? STORE_TEND_SOON : next;
}

const struct store_backend_ops embedded_commit_ops = {
    .name = "embedded",
    .open = embedded_open_journal,
    .run = {[STORE_PUBLISH] = keep,
            [STORE_READ_LOG] = keep,
            [STORE_KV_GET] = keep,
            [STORE_KV_SET] = keep,
            [STORE_KV_DEL] = keep,
            [STORE_BARRIER] = keep},
    .end_of_turn = end_of_turn,
    .tend = tend,
    .stop = embedded_stop_journal,
    .free = embedded_free,
};
