#ifndef EVENTHUB_STORE_EMBEDDED_PARTS_H
#define EVENTHUB_STORE_EMBEDDED_PARTS_H

/*
 * The inside of the embedded store, for the files that it is made of:
 *
 *   embedded           in memory
 *   embedded_journal   opening, loading, tidying and closing a journal; one that is relaxed, which
 *                      follows behind
 *   embedded_commit    a journal that is written before anything is answered
 *
 * Turns of the store only, except where a relaxed journal is written: see write of backend.h.
 */

#include <stdatomic.h>

#include "eventhub/store/backend.h"
#include "eventhub/store/eventlog.h"
#include "eventhub/store/journal.h"
#include "eventhub/store/kv.h"

struct commit_item;

struct embedded {
  struct store_backend backend;
  struct store_config config;
  struct store_metrics *metrics;
  struct eventlog log;
  struct kv kv;
  struct rate_windows windows;
  struct journal *journal; /* NULL = none */
  /* Why nothing can be written, an enum store_status, STORE_OK while it can. */
  atomic_int trouble;
  /* embedded_commit: the requests of this turn. */
  struct commit_item *items;
  size_t item_count, item_cap, item_bytes;
  size_t added_since_step; /* requests, since memory was last looked at */
};

static inline struct embedded *embedded_of(struct store_backend *backend) {
  return container_of(backend, struct embedded, backend);
}

uint64_t embedded_add_ms(uint64_t now_ms, uint64_t more_ms);

/* Publishing in two steps, between which a commit may lie. Prepare answers the topic, held; NULL:
 * the request is finished, over its limit. */
struct log_topic *embedded_prepare_publish(struct embedded *embedded,
                                           struct store_request *request);
void embedded_apply_publish(struct embedded *embedded, struct store_request *request,
                            struct log_topic *topic, uint64_t block);

store_run_fn embedded_run_read_log, embedded_run_kv_get, embedded_run_kv_set, embedded_run_kv_del;
uint64_t embedded_kv_expiry(struct embedded *embedded, const struct store_kv *kv);

/* With the journal, if that is open already. */
int embedded_open_memory(struct store_backend *backend);
/* Expiry; without a journal's part. */
enum store_tend embedded_tend_memory(struct embedded *embedded);
void embedded_free(struct store_backend *backend);

/* ---- embedded_journal.c ---- */

/* Opens the journal of config.data_dir, and fills memory from it. An error is explained in
 * backend.problem. */
int embedded_open_journal(struct store_backend *backend);
/* The last write. */
void embedded_stop_journal(struct store_backend *backend);
/* For both kinds: what the request is going to change in memory, added to the open set. The block
 * of a message; 0: there is no eventlog. Nothing is added for a key/value store that is off. */
uint64_t embedded_add_message(struct embedded *embedded, const struct message *message);
void embedded_add_set(struct embedded *embedded, const struct store_kv *kv);
void embedded_add_del(struct embedded *embedded, const struct store_kv *kv);
/* The same for what memory has lost; false: there was nothing. embedded_tidied, behind it. */
bool embedded_tidy(struct embedded *embedded, size_t max_work);
void embedded_tidied(struct embedded *embedded);
/* What memory has above its limit goes to the disk only; what is there and has expired, or is too
 * much, goes for good: a step of that, added to the open set. To be called where nothing else has
 * been added since the last commit. False: there was nothing to do, or to be done yet. */
bool embedded_step_old(struct embedded *embedded, size_t max_messages);
/* Would another step have something to do? */
bool embedded_has_old_work(const struct embedded *embedded);
/* For the metrics. */
void embedded_note_upkeep(struct embedded *embedded, uint64_t start_ns);
void embedded_count_blocks(struct embedded *embedded);
/* Notes how a write went: trouble, readiness, metrics, a line in the log where that changes.
 * Answers the status for requests that hung on it. */
enum store_status embedded_wrote(struct embedded *embedded, int err, uint64_t start_ns);
/* The same for the open set that was to go to the file. */
void embedded_flushed(struct embedded *embedded, int err);
/* While in trouble: tries whether the disk takes something again. */
void embedded_probe(struct embedded *embedded);

extern const struct store_backend_ops embedded_relaxed_ops; /* embedded_journal.c */
extern const struct store_backend_ops embedded_commit_ops;  /* embedded_commit.c */

#endif
