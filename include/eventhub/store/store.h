#ifndef EVENTHUB_STORE_STORE_H
#define EVENTHUB_STORE_STORE_H

/*
 * The store sequences every publish, keeps the eventlog and the key/value store, and hands messages
 * to the workers that have subscribers for them. What stands behind it (memory, a journal, Redis)
 * is a backend; see backend.h. Its turns run on a thread of its own, or, where the backend is
 * shared, on that of whoever asks (store.c): one at a time in any case.
 *
 *   worker thread                  turn of the store               worker thread
 *
 *   store_submit(request) x n
 *   store_client_flush
 *   (end of its turn)  -- mails -> the backend runs each request:
 *                                  store_finish, store_dispatch
 *                                  end of turn: it commits, then
 *                                  one batch per client  -- mail -> on_done, on_deliver
 *                                                                   in the store's order
 *
 * Laws:
 *
 *   1. Every submitted request ends in exactly one on_done, also one submitted after store_stop.
 *
 *   2. Messages reach a worker only through on_deliver, each once, in the order of their ids
 *      within a topic.
 *
 *   3. The answer to STORE_READ_LOG, STORE_WATCH and STORE_BARRIER is a cut through the stream of
 *      that client's deliveries: what came before it is in the log that the answer was read from,
 *      what comes after it is not. So a subscription that catches up adds its filter to the trie,
 *      submits the request, ignores live messages until the answer, sends what the answer holds,
 *      and sends every live message from then on: each once, in order, no gap.
 *
 *   4. The answer to a publish may come before or after the delivery of that message.
 *
 * Who owns what: a request, and all memory that its fields point to, belongs to the asker and stays
 * until on_done. Answers (log messages, values) belong to the asker from on_done on:
 * store_request_done.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/blob.h"
#include "eventhub/base/mailbox.h"
#include "eventhub/base/slice.h"
#include "eventhub/store/store_metrics.h"
#include "eventhub/topic/message.h"
#include "eventhub/topic/rate_limit.h"
#include "eventhub/topic/trie.h"

struct store;
struct store_backend;
struct store_batch;
struct store_client;
struct store_request;

enum store_op {
  STORE_PUBLISH,
  STORE_READ_LOG,
  STORE_KV_GET,
  STORE_KV_SET,
  STORE_KV_DEL,
  STORE_WATCH,   /* this worker subscribes to a filter; done = its live messages are flowing */
  STORE_UNWATCH, /* this worker has no subscription to the filter any more */
  STORE_BARRIER, /* the cut of law 3, behind the answers to all that this client had asked before,
                    and behind the messages that it had published */
  STORE_OP_COUNT
};

enum store_status {
  STORE_OK,
  STORE_RATE_LIMITED, /* publish: not published */
  STORE_NOT_FOUND,    /* kv_get, kv_del: no such key */
  STORE_DISABLED,     /* the eventlog or the key/value store is switched off */
  STORE_UNAVAILABLE,  /* the backend is away or refused; the request had no effect */
  STORE_DISK_FULL,    /* the same, for want of space on the disk */
  STORE_DISK_FAILED,  /* the same, since the disk refuses */
  STORE_UNKNOWN,      /* the backend went away in between: it may have had an effect or not */
  STORE_STOPPED       /* the store has stopped; no effect */
};

/* Where reading begins. */
enum log_since {
  LOG_SINCE_ID,  /* after the message with this id */
  LOG_SINCE_TIME /* at id.ms or later (wall clock, ms since the epoch); id.seq is not looked at */
};

struct log_point {
  enum log_since since;
  struct message_id id;
};

struct store_publish {
  struct message *message; /* without id and expiry, which the store sets; the asker's reference */
  uint64_t timestamp_ms;   /* wished ms part of the id, 0 = none */
  uint64_t ttl_ms;         /* 0 = the default */
  struct slice subject;    /* `sub` of the token, for the limit */
  const struct token_limit *limit; /* NULL = none; the asker keeps the token it belongs to */
  struct message_id id;            /* answer */
};

struct store_read_log {
  struct slice filter; /* topic or pattern */
  struct log_point point;
  uint32_t limit;            /* newest messages kept; 0 = none are returned */
  size_t max_bytes;          /* of their JSON items together, newest kept; 0 = no limit */
  struct message **messages; /* answer: references, oldest first; NULL where count is 0 */
  size_t count;              /* answer */
  bool recovered;            /* answer: nothing after the point is missing (protocol.md, Methods) */
};

struct store_kv {
  struct slice key;
  struct blob *value; /* set: the asker's reference; get: the answer, a reference for the asker */
  uint64_t ttl_ms;    /* set: 0 = never expires */
};

struct store_watch {
  struct slice filter;
};

struct store_request {
  struct mail mail;
  enum store_op op;
  enum store_status status; /* the fields marked `answer` mean something only with STORE_OK */
  struct store_client *client;
  union {
    struct store_publish publish;
    struct store_read_log read_log;
    struct store_kv kv;
    struct store_watch watch;
  };
};

/* Messages that follow each other and go to the same filters, oldest first. The filters are those
 * that match and that this worker is registered for. All of it is lent for the call: whoever keeps
 * a message takes a reference. */
struct delivery {
  const struct filter_ref *filters;
  struct message *const *messages;
  uint32_t filter_count;
  uint32_t message_count;
};

/* Run on the client's thread, while it drains its mailbox or, where it is paced, in
 * store_client_run. May submit further requests. */
struct store_callbacks {
  void (*on_done)(struct store_request *request, void *context);
  /* Answers how much work it was: about the number of subscribers. */
  size_t (*on_deliver)(const struct delivery *delivery, void *context);
};

/*
 * One asker: a worker, embedded in it. Its fields are the store's. Clients are added before
 * store_start, and go (store_client_done) only after store_stop has returned and their mailbox has
 * been drained once more.
 */
struct store_client {
  struct store *store;
  struct mailbox *mailbox;
  struct store_callbacks callbacks;
  void *context;
  unsigned worker;           /* its bit in the trie */
  struct mail *first, *last; /* submitted and not flushed; client's thread */
  bool is_paced;             /* client's thread, as what has come and was not run: */
  struct store_batch *arrived, *last_arrived;
  struct store_batch *batch;           /* what the store fills this turn */
  struct store_batch *spare;           /* the store: used batches to fill again */
  _Atomic(struct store_batch *) empty; /* used batches on their way back to the store */
};

enum { STORE_ANSWER_WORK = 8 };

struct store_config {
  bool log_enabled;
  bool kv_enabled;
  uint32_t max_log_length; /* messages per topic; 0 = no limit */
  uint64_t max_log_memory; /* with data_dir: bytes of messages, others are on the disk only; 0 = no
                              limit */
  uint64_t default_ttl_ms; /* of messages; 0 = they never expire */
  const char *data_dir;    /* where all of it lasts; NULL or "" = in memory only */
  bool is_relaxed;         /* what comes is answered before it is on the disk */
};

/* The embedded store. `trie` must outlive it. NULL, with errno, where the system refuses a
 * descriptor. */
struct store *store_new(const struct store_config *config, struct topic_trie *trie);
/* Any backend, which the store takes over. */
struct store *store_new_with(struct store_backend *backend, struct topic_trie *trie);

/* `worker` below TOPIC_TRIE_WORKERS_MAX, one client each. Before store_start. */
void store_client_init(struct store_client *client, struct store *store, unsigned worker,
                       struct mailbox *mailbox, const struct store_callbacks *callbacks,
                       void *context);
/* Client's thread. The requests of one client run in the order in which they were submitted.
 * Nothing happens before the flush: call that at the end of the turn. */
void store_submit(struct store_client *client, struct store_request *request);
void store_client_flush(struct store_client *client);
void store_client_done(struct store_client *client);
/* From now on what comes waits for store_client_run. */
void store_client_pace(struct store_client *client);
/* Runs callbacks for what has come, until about `work` is done: one for a subscriber that a message
 * is queued for, STORE_ANSWER_WORK for an answer. False: there is more. */
bool store_client_run(struct store_client *client, size_t work);

/* All zero but op. */
void store_request_init(struct store_request *request, enum store_op op);
/* After on_done: releases what the answer holds, log messages or the value of a get. Harmless
 * twice. */
void store_request_done(struct store_request *request);

/* Opens the backend, starts the thread. 0 or the backend's error. */
int store_start(struct store *store);
/* Why the backend could not be opened, a sentence for the operator; "" = nothing is known. */
struct slice store_problem(const struct store *store);
/* What was flushed before is still run, committed, answered and dispatched, what comes later is
 * answered STORE_STOPPED; then the thread is gone. Clients must still be there. One thread, also
 * after a start that failed. */
void store_stop(struct store *store);
void store_free(struct store *store);

/* Any thread. */
bool store_is_ready(const struct store *store);
/* Must a worker tell which filters it has subscriptions for? Then live messages for a filter flow
 * from the answer to its STORE_WATCH on; a watched filter may be watched again, and is unwatched by
 * one STORE_UNWATCH. Else neither does anything. Does not change in a store's life. */
bool store_watches(const struct store *store);
const char *store_backend_name(const struct store *store);
const struct store_metrics *store_metrics(const struct store *store);

#endif
