#ifndef EVENTHUB_STORE_REDIS_BACKEND_H
#define EVENTHUB_STORE_REDIS_BACKEND_H

/*
 * What the parts of the Redis backend share. All of it lives on the store thread.
 *
 *   requests --> redis_publish, redis_read, redis_kv --> lanes --------> Redis
 *                redis_watch ---------------> pub/sub connection ------>   |
 *                                                                          |
 *   store_dispatch <-- redis_inbox <--------- pub/sub connection <---------+
 *                        | something is missing
 *                        +--> redis_recovery --> lanes
 *
 * A *cut* is a place in the stream of what comes on the pub/sub connection. It is made by a script
 * that publishes a mark to this broker: what the bucket had published before comes before the mark,
 * what it publishes later comes behind it. A read's own script makes its cut, others are asked for.
 */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/list.h"
#include "eventhub/net/loop.h"
#include "eventhub/store/backend.h"
#include "eventhub/store/redis.h"
#include "eventhub/store/redis_cover.h"
#include "eventhub/store/redis_entry.h"
#include "eventhub/store/redis_keys.h"
#include "eventhub/store/redis_lane.h"
#include "eventhub/store/redis_locate.h"
#include "eventhub/store/redis_track.h"
#include "eventhub/topic/trie.h"

enum {
  /* What is not settled by then is answered with an error: within 5 seconds, deadlines being up to
   * 1/64 late. */
  REDIS_REQUEST_MS = 4800,
  REDIS_TOLD_MAX = 8,           /* different reasons, each once, while Redis is away */
  REDIS_PROBE_MS = 500,         /* between two looks at connections that stand */
  REDIS_RETRY_MS = 50,          /* between two looks while one does not */
  REDIS_PATTERN_READS_MAX = 32, /* under way at once */
  REDIS_PATTERN_BUCKETS = 8     /* of one such read that are asked at once */
};

struct redis;
struct redis_recovery;

/* A request in the backend's hands; the first member of what each kind of request adds. */
struct redis_call {
  struct list link; /* in redis.calls, the oldest first */
  struct deadline deadline;
  struct redis *redis;
  uint64_t serial;               /* calls in the order in which they came */
  struct store_request *request; /* NULL once it is finished */
  void (*on_timeout)(struct redis_call *call);
};

/* Adds the call, whose time runs from now on. */
void redis_call_begin(struct redis_call *call, struct redis *redis, struct store_request *request,
                      void (*on_timeout)(struct redis_call *call));
/* Finishes the request; the memory of the call is its owner's. Harmless twice. */
void redis_call_finish(struct redis_call *call, enum store_status status);

/* What a bucket's publishes and marks need to remember. */
struct redis_bucket {
  uint64_t sequence;     /* of the last publish */
  struct list unsettled; /* publishes that nobody has been told of, in order */
  struct redis_command mark;
  bool wants_mark, has_mark; /* to be sent; under way */
  uint64_t marked;           /* number of the last mark that came */
};

struct redis_watches {
  struct map by_text;
  struct map channels;
  struct topic_trie *trie; /* of watched filters; the worker is always 0 */
  struct redis_watch **by_number;
  size_t number_cap;
  struct topic_matches matches; /* scratch */
  struct redis_cover cover;
  bool is_cover_stale;
  uint64_t cover_turn;                   /* counts covers */
  struct list changed;                   /* channels to look at, at the end of the turn */
  struct list globs;                     /* all channels that are globs */
  struct list pending;                   /* watches that somebody waits for */
  size_t open_calls;                     /* those who wait, also for a mark */
  size_t unconfirmed;                    /* channels that were asked for */
  size_t established[REDIS_BUCKETS + 1]; /* watches by bucket; the last: patterns */
};

/* What comes on the pub/sub connection. */
struct redis_inbox {
  struct redis_track track;
  uint64_t server_us; /* the highest position of a mark */
  struct list held;   /* events that wait for a recovery */
  size_t held_bytes;
  struct redis_recovery *recovery; /* NULL = nothing is missing */
  bool is_synced;                  /* nothing was missed since the connection came up */
};

struct redis {
  struct store_backend backend;
  struct store_config store_config;
  struct redis_config config;
  struct slice prefix, producer;
  char producer_text[16];
  struct loop *loop;
  struct store_metrics *metrics;

  struct redis_lane *lanes;
  struct redis_conn pubsub;
  bool has_started, is_stopping; /* the connections are there; go */
  struct redis_locator locator;
  struct redis_endpoint endpoint;
  uint64_t located_ms; /* 0 = not known */
  struct deadline_list probe_list, retry_list, request_list;
  struct deadline probe, retry;
  uint64_t probes;
  uint64_t probe_number; /* of the mark that tells that messages come through; 0 = none */
  uint64_t probe_sent_ns;
  unsigned probe_bucket;
  bool is_ready;
  uint64_t told[REDIS_TOLD_MAX]; /* hashes of the reasons that were logged since it went away */
  size_t told_count;
  char reason[REDIS_CONN_REASON_MAX];

  struct redis_bucket buckets[REDIS_BUCKETS];
  uint64_t mark_number; /* of the last mark sent */
  struct list calls;
  struct list cuts;     /* calls that wait for marks */
  uint64_t last_serial; /* of calls */
  struct list early;    /* publishes that are not sent yet: for a watch, or to be counted */
  struct list barriers; /* calls that wait for older ones */
  struct redis_watches watches;
  struct redis_inbox inbox;
  struct list reads, waiting_reads;
  unsigned pattern_reads;
  struct redis_command tend;
  bool is_tending;
};

static inline struct redis *redis_of(struct store_backend *backend) {
  return (struct redis *)((char *)backend - offsetof(struct redis, backend));
}

static inline struct redis_lane *redis_lane_of(struct redis *redis, unsigned bucket) {
  assert(redis->config.pool_size > 0);
  return &redis->lanes[bucket % redis->config.pool_size];
}

/* A word of a command: a key or channel of the bucket. */
void redis_word_key(struct redis *redis, struct buf *out, unsigned bucket, enum redis_key key,
                    struct slice name);

/* Redis answered a command with an error: a line for the operator, now and then. */
void redis_refused(struct redis *redis, const char *error);

/* Something came in a form in which no broker writes it. */
void redis_skip(struct redis *redis);

/* redis_publish.c, redis_kv.c, redis_read.c, redis_watch.c, redis_cut.c: the operations. */
store_run_fn redis_run_publish, redis_run_kv_get, redis_run_kv_set, redis_run_kv_del,
    redis_run_read_log, redis_run_watch, redis_run_unwatch, redis_run_barrier;

/* ---- redis_publish.c ---- */

/* End of the turn: publishes that waited for a watch. */
void redis_publish_flush(struct redis *redis);
/* Did this client publish something before this call that the filter matches, and that is not with
 * Redis yet? A read must not overtake it. */
bool redis_publish_is_before(const struct redis *redis, const struct redis_call *call,
                             struct slice filter);

/* ---- redis_cut.c ---- */

/* Asks for a mark in the bucket, to be sent at the end of the turn. */
void redis_mark_later(struct redis *redis, unsigned bucket);
/* The call waits for marks sent from now on: in the bucket, or where bucket is REDIS_BUCKETS in
 * all. Then on_cut runs, at the end of a turn. */
struct redis_cut {
  struct redis_call call;
  struct list link;
  unsigned bucket;
  uint64_t behind;
  void (*on_cut)(struct redis_cut *cut);
};
void redis_cut_begin(struct redis_cut *cut, unsigned bucket, void (*on_cut)(struct redis_cut *cut));
/* The pub/sub connection went, and marks with it: asks for them again. */
void redis_cut_renew(struct redis *redis);
/* End of the turn. */
void redis_cut_flush(struct redis *redis);

/* ---- redis_watch.c ---- */

void redis_watches_init(struct redis_watches *watches);
void redis_watches_done(struct redis_watches *watches);
/* End of the turn: commands to Redis, and those who wait for them. */
void redis_watch_flush(struct redis *redis);
/* The pub/sub connection stands: everything is asked for. It went: nothing is. */
void redis_watch_on_up(struct redis *redis);
void redis_watch_on_down(struct redis *redis);
/* A channel was joined or left: `kind` is subscribe, psubscribe or one of their opposites. */
void redis_watch_on_confirmed(struct redis *redis, struct slice kind, struct slice name);
/* Is every channel that is wanted confirmed? */
bool redis_watch_is_confirmed(const struct redis *redis);
/* Has this broker promised somebody the topic's messages? Since which position, if so. */
bool redis_watch_covers(struct redis *redis, struct slice topic, uint64_t *ret_since);
/* Does a worker wait until it has the topic's messages? What its clients publish after they have
 * subscribed must come to them, so it waits, too. */
bool redis_watch_is_opening(struct redis *redis, struct slice topic, unsigned worker);
/* Has it promised anybody anything in this bucket? */
bool redis_watch_covers_bucket(const struct redis *redis, unsigned bucket);

/* ---- redis_inbox.c ---- */

void redis_inbox_init(struct redis_inbox *inbox);
void redis_inbox_done(struct redis *redis);
/* A message on the pub/sub connection, or a confirmation. */
void redis_inbox_on_reply(const struct redisReply *reply, void *context);
void redis_inbox_on_down(struct redis *redis);
/* All channels are confirmed: reads what was missed since the last connection. */
void redis_inbox_sync(struct redis *redis);
/* Hands a message to subscribers, unless they have had it. */
void redis_inbox_deliver(struct redis *redis, unsigned bucket, const struct redis_entry *entry);
/* Goes on with what was held. */
void redis_inbox_resume(struct redis *redis);
/* Does a held message of the topic follow on the position? */
bool redis_inbox_continues(const struct redis *redis, struct slice topic, uint64_t position);

/* ---- redis_recovery.c ---- */

/* Reads what is missing of one topic behind a position; ends with redis_inbox_resume. */
void redis_recover_topic(struct redis *redis, unsigned bucket, struct slice topic, uint64_t from);
/* The same for all that this broker has promised. */
void redis_recover_all(struct redis *redis);
void redis_recovery_cancel(struct redis *redis);

/* ---- redis_read.c ---- */

/* Subscribers get a message now: reads that are under way may have to hold it, too. */
void redis_read_record(struct redis *redis, unsigned bucket, const struct redis_entry *entry);
void redis_read_on_down(struct redis *redis);
/* End of the turn. */
void redis_read_flush(struct redis *redis);

#endif
