#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/redis_backend.h"
#include "eventhub/store/resp.h"
#include "eventhub/topic/name.h"

/*
 * What this broker asks Redis to send it.
 *
 *   watch "a/b"      --> channel "{p:49}:live:a/b"
 *   watch "c/#"      --> channel "{p:27}:live:c",  and as a pattern into the cover
 *   cover            --> at most 64 globs, for "c/#" the one of all channels below "c/"
 *
 * A watch is established when its channels are confirmed and a mark has come behind that: from the
 * mark's position on, whatever is missing will be noticed.
 *
 * hiredis forgets whom to call for a channel when it is left, also where it was joined again
 * meanwhile. So a channel is never asked for before leaving it is confirmed.
 */

enum channel_state { CHANNEL_OFF, CHANNEL_ASKED, CHANNEL_ON, CHANNEL_LEAVING };

struct redis_channel {
  struct map_node node;
  struct list link;      /* in `changed` */
  struct list glob_link; /* in `globs` */
  enum channel_state state;
  bool is_glob;
  uint32_t users;      /* watches that need just this one */
  uint64_t cover_turn; /* of the last cover that had it */
  size_t name_len;
  char name[];
};

struct redis_watch {
  struct map_node node;
  struct filter_ref ref;         /* in the trie of the watches */
  uint64_t workers;              /* bit n = worker n */
  struct list link;              /* in `pending` */
  struct list waiting;           /* cuts that wait for the channels */
  struct redis_channel *channel; /* NULL = the cover has all that it needs */
  unsigned bucket;               /* of a topic; of a pattern REDIS_BUCKETS */
  bool is_established;
  size_t open_calls; /* of those who wait, also for a mark */
  uint64_t since;    /* position from which on it is established */
  size_t text_len;
  char text[];
};

/* A request that waits until its watch is established. */
struct watch_call {
  struct redis_cut cut;
  struct redis_watch *watch; /* NULL = it is gone */
};

enum { WORDS_MAX = 512 }; /* channels in one command */

static struct redis_channel *channel_of(const struct map_node *node) {
  return container_of((struct map_node *)node, struct redis_channel, node);
}

static struct slice channel_key(const struct map_node *node) {
  const struct redis_channel *channel = channel_of(node);
  return slice_of(channel->name, channel->name_len);
}

static struct redis_watch *watch_of(const struct map_node *node) {
  return container_of((struct map_node *)node, struct redis_watch, node);
}

static struct slice watch_text(const struct redis_watch *watch) {
  return slice_of(watch->text, watch->text_len);
}

static struct slice watch_key(const struct map_node *node) {
  return watch_text(watch_of(node));
}

static bool is_pattern(const struct redis_watch *watch) {
  return watch->bucket == REDIS_BUCKETS;
}

void redis_watches_init(struct redis_watches *watches) {
  map_init(&watches->by_text, watch_key);
  map_init(&watches->channels, channel_key);
  watches->trie = topic_trie_new();
  topic_matches_init(&watches->matches);
  redis_cover_init(&watches->cover, REDIS_COVER_MAX);
  list_init(&watches->changed);
  list_init(&watches->globs);
  list_init(&watches->pending);
}

void redis_watches_done(struct redis_watches *watches) {
  MAP_FOREACH_SAFE (node, next, &watches->by_text) {
    map_remove(&watches->by_text, node);
    free(watch_of(node));
  }
  MAP_FOREACH_SAFE (node, next, &watches->channels) {
    map_remove(&watches->channels, node);
    free(channel_of(node));
  }
  map_done(&watches->by_text);
  map_done(&watches->channels);
  topic_trie_free(watches->trie);
  topic_matches_done(&watches->matches);
  redis_cover_done(&watches->cover);
  free(watches->by_number);
}

/* ---- channels ---- */

static void look_later(struct redis_watches *watches, struct redis_channel *channel) {
  if (!list_is_linked(&channel->link)) list_add_tail(&watches->changed, &channel->link);
}

static struct redis_channel *find_or_add_channel(struct redis_watches *watches, struct slice name,
                                                 bool is_glob) {
  struct map_node *node = map_find(&watches->channels, name);
  if (node != NULL) return channel_of(node);
  struct redis_channel *channel = x_calloc(1, sizeof *channel + name.len);
  channel->is_glob = is_glob;
  channel->name_len = name.len;
  memcpy(channel->name, name.ptr, name.len);
  map_add(&watches->channels, &channel->node);
  if (is_glob) list_add_tail(&watches->globs, &channel->glob_link);
  look_later(watches, channel);
  return channel;
}

static bool is_wanted(const struct redis_watches *watches, const struct redis_channel *channel) {
  return channel->users > 0 || (channel->is_glob && channel->cover_turn == watches->cover_turn);
}

static void set_state(struct redis_watches *watches, struct redis_channel *channel,
                      enum channel_state state) {
  if (channel->state == CHANNEL_ASKED) watches->unconfirmed--;
  if (state == CHANNEL_ASKED) watches->unconfirmed++;
  channel->state = state;
}

static void drop_channel(struct redis_watches *watches, struct redis_channel *channel) {
  map_remove(&watches->channels, &channel->node);
  list_remove(&channel->link);
  list_remove(&channel->glob_link);
  free(channel);
}

/* The channel of the topic itself, or of the one in front of `/#`. */
static struct redis_channel *own_channel(struct redis *redis, const struct redis_watch *watch) {
  struct slice topic = watch_text(watch);
  if (is_pattern(watch) && (!redis_glob_parent(topic, &topic) || filter_is_pattern(topic)))
    return NULL;
  AUTO(buf) struct buf name = BUF_INIT;
  redis_key_append(&name, redis->prefix, redis_bucket_of(topic), REDIS_KEY_LIVE, topic);
  return find_or_add_channel(&redis->watches, buf_slice(&name), false);
}

/* ---- the cover ---- */

static void cover_pattern(struct redis *redis, struct slice pattern) {
  struct redis_watches *watches = &redis->watches;
  AUTO(buf) struct buf name = BUF_INIT;
  redis_glob_append(&name, redis->prefix, pattern);
  struct redis_channel *glob = find_or_add_channel(watches, buf_slice(&name), true);
  glob->cover_turn = watches->cover_turn;
}

static void make_cover(struct redis *redis) {
  struct redis_watches *watches = &redis->watches;
  struct slice patterns[REDIS_COVER_MAX];
  size_t count = redis_cover_get(&watches->cover, patterns);
  watches->is_cover_stale = false;
  watches->cover_turn++;
  for (size_t i = 0; i < count; i++) {
    struct slice parent;
    cover_pattern(redis, patterns[i]);
    /* The `a` of `a/#` has a channel, which the watch of `a/#` uses itself. */
    if (redis_glob_parent(patterns[i], &parent) && filter_is_pattern(parent))
      cover_pattern(redis, parent);
  }
  /* Those that have come in and those that have dropped out. */
  LIST_FOREACH (link, &watches->globs) {
    look_later(watches, container_of(link, struct redis_channel, glob_link));
  }
}

/* ---- commands ---- */

/* Channels for one kind of command. */
struct words {
  const char *command;
  struct buf text;
  uint32_t count;
};

static void send_words(struct redis *redis, struct words *words) {
  if (words->count == 0) return;
  AUTO(buf) struct buf text = BUF_INIT;
  resp_begin(&text, 1 + words->count);
  resp_str(&text, words->command);
  buf_append_slice(&text, buf_slice(&words->text));
  redis_conn_subscribe(&redis->pubsub, &text, words->count, redis_inbox_on_reply, redis);
  buf_clear(&words->text);
  words->count = 0;
}

static void add_word(struct redis *redis, struct words *words,
                     const struct redis_channel *channel) {
  resp_slice(&words->text, slice_of(channel->name, channel->name_len));
  if (++words->count == WORDS_MAX) send_words(redis, words);
}

/* Globs are left only when those that take their place are confirmed. */
static bool may_leave(const struct redis_watches *watches, const struct redis_channel *channel) {
  return !channel->is_glob || watches->unconfirmed == 0;
}

/* The commands by what they are for: [leaving][glob]. */
static void look_at(struct redis *redis, struct redis_channel *channel, struct words words[2][2]) {
  struct redis_watches *watches = &redis->watches;
  bool wanted = is_wanted(watches, channel);
  if (channel->state == CHANNEL_OFF && !wanted) {
    drop_channel(watches, channel);
  } else if (channel->state == CHANNEL_OFF) {
    list_remove(&channel->link);
    set_state(watches, channel, CHANNEL_ASKED);
    add_word(redis, &words[0][channel->is_glob], channel);
  } else if (channel->state == CHANNEL_ON && !wanted) {
    if (!may_leave(watches, channel)) return;
    list_remove(&channel->link);
    set_state(watches, channel, CHANNEL_LEAVING);
    add_word(redis, &words[1][channel->is_glob], channel);
  } else {
    list_remove(&channel->link); /* its confirmation brings it here again */
  }
}

static void flush_channels(struct redis *redis) {
  struct words words[2][2] = {{{.command = "SUBSCRIBE"}, {.command = "PSUBSCRIBE"}},
                              {{.command = "UNSUBSCRIBE"}, {.command = "PUNSUBSCRIBE"}}};
  LIST_FOREACH_SAFE (link, next, &redis->watches.changed) {
    look_at(redis, container_of(link, struct redis_channel, link), words);
  }
  for (size_t i = 0; i < 4; i++) {
    send_words(redis, &words[i / 2][i % 2]);
    buf_done(&words[i / 2][i % 2].text);
  }
}

void redis_watch_on_confirmed(struct redis *redis, struct slice kind, struct slice name) {
  struct redis_watches *watches = &redis->watches;
  struct map_node *node = map_find(&watches->channels, name);
  if (node == NULL) return;
  struct redis_channel *channel = channel_of(node);
  bool has_joined = kind.len < sizeof "unsubscribe" - 1; /* subscribe, psubscribe */
  if (has_joined && channel->state == CHANNEL_ASKED) set_state(watches, channel, CHANNEL_ON);
  if (!has_joined && channel->state == CHANNEL_LEAVING) set_state(watches, channel, CHANNEL_OFF);
  look_later(watches, channel);
}

static void want_marks(struct redis *redis) {
  for (unsigned bucket = 0; bucket < REDIS_BUCKETS; bucket++) {
    AUTO(buf) struct buf name = BUF_INIT;
    redis_key_append(&name, redis->prefix, bucket, REDIS_KEY_NODE, redis->producer);
    find_or_add_channel(&redis->watches, buf_slice(&name), false)->users = 1;
  }
}

void redis_watch_on_up(struct redis *redis) {
  want_marks(redis);
  flush_channels(redis);
}

void redis_watch_on_down(struct redis *redis) {
  struct redis_watches *watches = &redis->watches;
  MAP_FOREACH (node, &watches->channels) {
    set_state(watches, channel_of(node), CHANNEL_OFF);
    look_later(watches, channel_of(node));
  }
}

bool redis_watch_is_confirmed(const struct redis *redis) {
  return redis->pubsub.state == REDIS_CONN_UP && redis->watches.unconfirmed == 0;
}

/* ---- watches ---- */

static void index_watch(struct redis_watches *watches, struct redis_watch *watch) {
  watch->ref = topic_trie_add(watches->trie, watch_text(watch), 0);
  size_t number = watch->ref.number;
  if (number >= watches->number_cap) {
    size_t cap = watches->number_cap ? watches->number_cap : 64;
    while (cap <= number)
      cap *= 2;
    watches->by_number = x_realloc(watches->by_number, cap * sizeof(struct redis_watch *));
    watches->number_cap = cap;
  }
  watches->by_number[number] = watch;
}

static struct redis_watch *add_watch(struct redis *redis, struct slice filter) {
  struct redis_watches *watches = &redis->watches;
  struct redis_watch *watch = x_calloc(1, sizeof *watch + filter.len);
  watch->bucket = filter_is_pattern(filter) ? REDIS_BUCKETS : redis_bucket_of(filter);
  list_init(&watch->waiting);
  watch->text_len = filter.len;
  memcpy(watch->text, filter.ptr, filter.len);
  map_add(&watches->by_text, &watch->node);
  index_watch(watches, watch);
  watch->channel = own_channel(redis, watch);
  if (watch->channel != NULL && watch->channel->users++ == 0) look_later(watches, watch->channel);
  if (is_pattern(watch)) {
    redis_cover_add(&watches->cover, filter);
    watches->is_cover_stale = true;
  }
  return watch;
}

static void finish_call(struct watch_call *call, enum store_status status) {
  call->cut.call.redis->watches.open_calls--;
  if (call->watch != NULL) call->watch->open_calls--;
  list_remove(&call->cut.link);
  redis_call_finish(&call->cut.call, status);
  free(call);
}

static void on_watch_cut(struct redis_cut *cut);

/* Nobody waits for it any more, whatever the answer. */
static void let_go(struct redis *redis, struct redis_watch *watch) {
  LIST_FOREACH_SAFE (link, next, &watch->waiting) {
    finish_call(container_of(link, struct watch_call, cut.link), STORE_OK);
  }
  LIST_FOREACH (link, &redis->cuts) {
    struct redis_cut *cut = container_of(link, struct redis_cut, link);
    struct watch_call *call = container_of(cut, struct watch_call, cut);
    if (cut->on_cut == on_watch_cut && call->watch == watch) call->watch = NULL;
  }
}

static void remove_watch(struct redis *redis, struct redis_watch *watch) {
  struct redis_watches *watches = &redis->watches;
  let_go(redis, watch);
  if (watch->is_established) watches->established[watch->bucket]--;
  if (watch->channel != NULL && --watch->channel->users == 0) look_later(watches, watch->channel);
  if (is_pattern(watch)) {
    redis_cover_remove(&watches->cover, watch_text(watch));
    watches->is_cover_stale = true;
  }
  topic_trie_remove(watches->trie, watch->ref, 0);
  watches->by_number[watch->ref.number] = NULL;
  map_remove(&watches->by_text, &watch->node);
  list_remove(&watch->link);
  free(watch);
}

static void establish(struct redis *redis, struct redis_watch *watch) {
  if (watch->is_established) return;
  unsigned first = is_pattern(watch) ? 0 : watch->bucket;
  unsigned end = is_pattern(watch) ? REDIS_BUCKETS : watch->bucket + 1;
  for (unsigned bucket = first; bucket < end; bucket++) {
    uint64_t seen = redis->inbox.track.seen[bucket];
    if (seen > watch->since) watch->since = seen;
  }
  watch->is_established = true;
  redis->watches.established[watch->bucket]++;
}

static void on_watch_cut(struct redis_cut *cut) {
  struct watch_call *call = container_of(cut, struct watch_call, cut);
  if (call->watch != NULL) establish(cut->call.redis, call->watch);
  finish_call(call, STORE_OK);
}

static void on_timeout(struct redis_call *call) {
  struct redis_cut *cut = container_of(call, struct redis_cut, call);
  finish_call(container_of(cut, struct watch_call, cut), STORE_UNAVAILABLE);
}

void redis_run_watch(struct store_backend *backend, struct store_request *request) {
  struct redis *redis = redis_of(backend);
  struct redis_watches *watches = &redis->watches;
  if (redis_conn_is_gone(&redis->pubsub)) {
    store_finish(request, STORE_UNAVAILABLE);
    return;
  }
  struct map_node *node = map_find(&watches->by_text, request->watch.filter);
  struct redis_watch *watch =
      node != NULL ? watch_of(node) : add_watch(redis, request->watch.filter);
  watch->workers |= UINT64_C(1) << request->client->worker;
  struct watch_call *call = x_calloc(1, sizeof *call);
  call->watch = watch;
  watch->open_calls++;
  watches->open_calls++;
  redis_call_begin(&call->cut.call, redis, request, on_timeout);
  list_add_tail(&watch->waiting, &call->cut.link);
  if (!list_is_linked(&watch->link)) list_add_tail(&watches->pending, &watch->link);
}

void redis_run_unwatch(struct store_backend *backend, struct store_request *request) {
  struct redis *redis = redis_of(backend);
  struct map_node *node = map_find(&redis->watches.by_text, request->watch.filter);
  if (node != NULL) {
    struct redis_watch *watch = watch_of(node);
    watch->workers &= ~(UINT64_C(1) << request->client->worker);
    if (watch->workers == 0) remove_watch(redis, watch);
  }
  store_finish(request, STORE_OK);
}

static bool is_flowing(const struct redis *redis, const struct redis_watch *watch) {
  const struct redis_watches *watches = &redis->watches;
  if (!redis->inbox.is_synced) return false;
  if (watch->channel != NULL && watch->channel->state != CHANNEL_ON) return false;
  return !is_pattern(watch) || (!watches->is_cover_stale && watches->unconfirmed == 0);
}

static void release(struct redis_watch *watch) {
  list_remove(&watch->link);
  LIST_FOREACH_SAFE (link, next, &watch->waiting) {
    struct watch_call *call = container_of(link, struct watch_call, cut.link);
    if (watch->is_established) {
      finish_call(call, STORE_OK);
      continue;
    }
    list_remove(link);
    redis_cut_begin(&call->cut, watch->bucket, on_watch_cut);
  }
}

void redis_watch_flush(struct redis *redis) {
  struct redis_watches *watches = &redis->watches;
  if (watches->is_cover_stale) make_cover(redis);
  if (redis->pubsub.state == REDIS_CONN_UP) flush_channels(redis);
  LIST_FOREACH_SAFE (link, next, &watches->pending) {
    struct redis_watch *watch = container_of(link, struct redis_watch, link);
    if (is_flowing(redis, watch)) release(watch);
  }
}

bool redis_watch_covers(struct redis *redis, struct slice topic, uint64_t *ret_since) {
  struct redis_watches *watches = &redis->watches;
  bool is_covered = false;
  uint64_t since = UINT64_MAX;
  topic_trie_match(watches->trie, topic, &watches->matches);
  for (size_t i = 0; i < watches->matches.count; i++) {
    const struct redis_watch *watch = watches->by_number[watches->matches.items[i].filter.number];
    if (!watch->is_established) continue;
    is_covered = true;
    if (watch->since < since) since = watch->since;
  }
  if (is_covered) *ret_since = since;
  return is_covered;
}

bool redis_watch_is_opening(struct redis *redis, struct slice topic, unsigned worker) {
  struct redis_watches *watches = &redis->watches;
  topic_trie_match(watches->trie, topic, &watches->matches);
  for (size_t i = 0; i < watches->matches.count; i++) {
    const struct redis_watch *watch = watches->by_number[watches->matches.items[i].filter.number];
    if (watch->open_calls > 0 && (watch->workers >> worker & 1) != 0) return true;
  }
  return false;
}

bool redis_watch_covers_bucket(const struct redis *redis, unsigned bucket) {
  return redis->watches.established[bucket] > 0 || redis->watches.established[REDIS_BUCKETS] > 0;
}
