#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/log_read.h"
#include "eventhub/store/redis_backend.h"
#include "eventhub/store/redis_script.h"
#include "eventhub/store/resp.h"
#include "eventhub/topic/name.h"

/*
 * A read asks one bucket (of a topic) or all of them (of a pattern). Each answers with what had
 * been published before its cut, whose position it tells. The read is finished when all have
 * answered and the broker has come to all cuts: then subscribers here have been given, of each
 * bucket, all that came before its cut, and some of what came behind it. These are recorded
 * meanwhile, and belong to the answer, too: that is the cut of law 3 in store.h.
 */

struct collected {
  struct message *message;
  uint64_t position;
  unsigned bucket;
};

struct collection {
  struct collected *items;
  size_t count, cap;
};

struct redis_read {
  struct redis_call call;
  struct list link; /* in `reads`, or in `waiting_reads` */
  bool is_pattern, is_active;
  unsigned first_bucket, end_bucket, next_bucket;
  unsigned missing_answers;
  struct list parts; /* commands whose answers are to come, those of former tries included */
  unsigned try;      /* counts how often it was begun */
  struct message_id first, floor;
  uint64_t cuts[REDIS_BUCKETS]; /* positions; 0 = not known */
  struct collection found, recorded;
  int64_t birth_ms; /* -1 = nothing was ever published */
  bool is_known, is_missing;
};

/* One bucket's part of one try. */
struct part {
  struct redis_command command;
  struct list link; /* in its read */
  struct redis_read *read;
  unsigned bucket, try;
};

static struct part *part_of(struct redis_command *command) {
  return container_of(command, struct part, command);
}

static struct store_read_log *asked(const struct redis_read *read) {
  return &read->call.request->read_log;
}

/* ---- collections ---- */

static void collection_add(struct collection *collection, struct message *message,
                           uint64_t position, unsigned bucket) {
  if (collection->count == collection->cap) {
    collection->cap = collection->cap ? collection->cap * 2 : 16;
    collection->items = x_realloc(collection->items, collection->cap * sizeof collection->items[0]);
  }
  collection->items[collection->count++] = (struct collected){message, position, bucket};
}

static void collection_clear(struct collection *collection) {
  for (size_t i = 0; i < collection->count; i++)
    message_unref(collection->items[i].message);
  free(collection->items);
  *collection = (struct collection){0};
}

/* The newest first; ids that are equal, as wished times can make them, by topic. */
static int compare(const void *a, const void *b) {
  struct message *left = ((const struct collected *)a)->message;
  struct message *right = ((const struct collected *)b)->message;
  int order = message_id_compare(message_id(right), message_id(left));
  if (order != 0) return order;
  struct slice x = message_topic(left), y = message_topic(right);
  order = memcmp(y.ptr, x.ptr, x.len < y.len ? x.len : y.len);
  return order != 0 ? order : (x.len < y.len) - (x.len > y.len);
}

/* How many of the newest the answer has room for. */
static size_t measure(const struct redis_read *read) {
  const struct store_read_log *wanted = asked(read);
  size_t count = read->found.count < wanted->limit ? read->found.count : wanted->limit;
  if (wanted->max_bytes == 0) return count;
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    bytes += message_item(read->found.items[i].message).len;
    if (bytes > wanted->max_bytes) return i;
  }
  return count;
}

/* Keeps the newest that there is room for. Once it is full, older ones need not be asked for. */
static void cut_found(struct redis_read *read) {
  struct collection *found = &read->found;
  if (found->count > 0) qsort(found->items, found->count, sizeof found->items[0], compare);
  size_t kept = measure(read);
  if (kept == found->count) return;
  for (size_t i = kept; i < found->count; i++)
    message_unref(found->items[i].message);
  found->count = kept;
  read->is_missing = true;
  if (kept > 0) read->floor = message_id(found->items[kept - 1].message);
}

/* ---- asking ---- */

/* The Lua patterns for a filter's pattern: one, or two where it ends in `/#`. */
static size_t count_lua_patterns(struct slice pattern) {
  return pattern.len > 1 && pattern.ptr[pattern.len - 1] == '#' ? 2 : 1;
}

static void append_lua(struct buf *out, struct slice pattern) {
  for (size_t i = 0; i < pattern.len; i++) {
    if (pattern.ptr[i] == '+') {
      buf_append_str(out, "[^/]*");
    } else {
      if (pattern.ptr[i] == '-') buf_append_char(out, '%');
      buf_append_char(out, pattern.ptr[i]);
    }
  }
}

static void append_lua_patterns(struct buf *out, struct slice pattern) {
  AUTO(buf) struct buf text = BUF_INIT;
  bool has_rest = pattern.len >= 1 && pattern.ptr[pattern.len - 1] == '#';
  if (has_rest && pattern.len == 1) {
    resp_str(out, "");
    return;
  }
  struct slice front = has_rest ? slice_of(pattern.ptr, pattern.len - 2) : pattern;
  buf_append_char(&text, '^');
  append_lua(&text, front);
  buf_append_char(&text, '$');
  resp_slice(out, buf_slice(&text));
  if (!has_rest) return;
  text.data[text.len - 1] = '/';
  resp_slice(out, buf_slice(&text));
}

static void append_id(struct buf *out, struct message_id id) {
  char text[MESSAGE_ID_MAX];
  resp_slice(out, slice_of(text, message_id_format(id, text)));
}

static void append_keys(const struct redis_read *read, unsigned bucket, struct buf *out) {
  struct redis *redis = read->call.redis;
  redis_word_key(redis, out, bucket, REDIS_KEY_TOPICS, SLICE(""));
  redis_word_key(redis, out, bucket, REDIS_KEY_INDEX, SLICE(""));
  if (!read->is_pattern) redis_word_key(redis, out, bucket, REDIS_KEY_STREAM, asked(read)->filter);
}

static void encode(struct redis_command *command, struct buf *out) {
  const struct part *part = part_of(command);
  const struct redis_read *read = part->read;
  const struct store_read_log *wanted = asked(read);
  struct redis *redis = read->call.redis;
  size_t patterns = read->is_pattern ? count_lua_patterns(wanted->filter) : 0;
  redis_script_call(out, REDIS_SCRIPT_READ, read->is_pattern ? 2 : 3, 9 + patterns);
  append_keys(read, part->bucket, out);
  redis_word_key(redis, out, part->bucket, REDIS_KEY_NODE, redis->producer);
  append_id(out, read->first);
  append_id(out, read->floor);
  resp_u64(out, wanted->limit);
  resp_u64(out, wanted->max_bytes != 0 ? wanted->max_bytes : UINT32_MAX);
  resp_u64(out, redis->store_config.max_log_length);
  if (wanted->point.since == LOG_SINCE_ID) {
    append_id(out, wanted->point.id);
  } else {
    resp_str(out, "");
  }
  redis_word_key(redis, out, part->bucket, REDIS_KEY_STREAM, SLICE(""));
  resp_slice(out, read->is_pattern ? SLICE("") : wanted->filter);
  if (read->is_pattern) append_lua_patterns(out, wanted->filter);
}

static const struct redis_command_type read_type;

static void ask_bucket(struct redis_read *read, unsigned bucket) {
  struct part *part = x_calloc(1, sizeof *part);
  part->read = read;
  part->bucket = bucket;
  part->try = read->try;
  list_add_tail(&read->parts, &part->link);
  redis_lane_submit(redis_lane_of(read->call.redis, bucket), &part->command, &read_type);
}

static void ask_more(struct redis_read *read) {
  unsigned asked_now = read->next_bucket - read->first_bucket -
                       (read->end_bucket - read->first_bucket - read->missing_answers);
  while (read->next_bucket < read->end_bucket && asked_now++ < REDIS_PATTERN_BUCKETS)
    ask_bucket(read, read->next_bucket++);
}

/* ---- from begin to end ---- */

static struct message_id first_asked(const struct log_point *point) {
  static const struct message_id lowest = {0, 1};
  struct message_id first = point->since == LOG_SINCE_ID ? message_id_next(point->id)
                                                         : (struct message_id){point->id.ms, 0};
  return message_id_compare(first, lowest) < 0 ? lowest : first;
}

/* Also again, after the pub/sub connection was lost and with it the marks. */
static void begin(struct redis_read *read) {
  struct redis *redis = read->call.redis;
  list_remove(&read->link);
  list_add_tail(&redis->reads, &read->link);
  read->is_active = true;
  if (read->is_pattern) redis->pattern_reads++;
  read->try++;
  read->next_bucket = read->first_bucket;
  read->missing_answers = read->end_bucket - read->first_bucket;
  read->first = first_asked(&asked(read)->point);
  read->floor = read->first;
  read->birth_ms = -1;
  read->is_known = read->is_missing = false;
  memset(read->cuts, 0, sizeof read->cuts);
  ask_more(read);
}

/* What is with Redis stays until it answers. */
static void withdraw_parts(struct redis_read *read) {
  LIST_FOREACH_SAFE (link, next, &read->parts) {
    struct part *part = container_of(link, struct part, link);
    if (!part->command.is_waiting) continue;
    redis_lane_withdraw(&part->command);
    list_remove(link);
    free(part);
  }
}

static void stop(struct redis_read *read) {
  struct redis *redis = read->call.redis;
  withdraw_parts(read);
  list_remove(&read->link);
  if (read->is_active && read->is_pattern) redis->pattern_reads--;
  read->is_active = false;
  collection_clear(&read->found);
  collection_clear(&read->recorded);
}

static void finish(struct redis_read *read, enum store_status status) {
  stop(read);
  redis_call_finish(&read->call, status);
  if (list_is_empty(&read->parts)) free(read);
}

static void on_timeout(struct redis_call *call) {
  struct redis_read *read = container_of(call, struct redis_read, call);
  finish(read, STORE_UNAVAILABLE);
}

static void wait_for_sync(struct redis_read *read) {
  list_add_tail(&read->call.redis->waiting_reads, &read->link);
}

void redis_run_read_log(struct store_backend *backend, struct store_request *request) {
  struct redis *redis = redis_of(backend);
  if (!redis->store_config.log_enabled) {
    store_finish(request, STORE_DISABLED);
    return;
  }
  if (redis_conn_is_gone(&redis->pubsub)) { /* no marks come */
    store_finish(request, STORE_UNAVAILABLE);
    return;
  }
  struct redis_read *read = x_calloc(1, sizeof *read);
  redis_call_begin(&read->call, redis, request, on_timeout);
  list_init(&read->parts);
  read->is_pattern = filter_is_pattern(request->read_log.filter);
  read->first_bucket = read->is_pattern ? 0 : redis_bucket_of(request->read_log.filter);
  read->end_bucket = read->is_pattern ? REDIS_BUCKETS : read->first_bucket + 1;
  wait_for_sync(read);
}

/* ---- answers ---- */

static bool is_current(const struct part *part) {
  return part->read->call.request != NULL && part->try == part->read->try && part->read->is_active;
}

static void free_part(struct part *part) {
  struct redis_read *read = part->read;
  list_remove(&part->link);
  free(part);
  if (list_is_empty(&read->parts) && read->call.request == NULL) free(read);
}

static void read_entry(struct redis_read *read, unsigned bucket, const redisReply *name,
                       const redisReply *reply) {
  struct redis_entry entry;
  struct slice topic =
      name->type == REDIS_REPLY_STRING ? slice_of(name->str, name->len) : SLICE("");
  if (!topic_is_valid(topic) || redis_entry_parse(topic, reply, &entry) != 0) {
    redis_skip(read->call.redis);
    return;
  }
  collection_add(&read->found, entry.message, entry.position, bucket);
}

enum { AT_POSITION, AT_NOW, AT_BIRTH, AT_MISSING, AT_KNOWN, AT_ENTRIES };

static bool read_head(struct redis_read *read, unsigned bucket, const redisReply *reply) {
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements < AT_ENTRIES) return false;
  const redisReply *position = reply->element[AT_POSITION];
  if (position->type != REDIS_REPLY_STRING ||
      slice_to_u64(slice_of(position->str, position->len), &read->cuts[bucket]) != 0)
    return false;
  int64_t birth_ms = reply->element[AT_BIRTH]->integer;
  if (birth_ms >= 0 && (read->birth_ms < 0 || birth_ms < read->birth_ms)) read->birth_ms = birth_ms;
  if (reply->element[AT_MISSING]->integer != 0) read->is_missing = true;
  if (reply->element[AT_KNOWN]->integer != 0) read->is_known = true;
  return true;
}

static void on_reply(struct redis_command *command, const redisReply *reply) {
  struct part *part = part_of(command);
  struct redis_read *read = part->read;
  if (!is_current(part)) {
    free_part(part);
    return;
  }
  unsigned bucket = part->bucket;
  free_part(part);
  if (!read_head(read, bucket, reply)) {
    if (reply->type == REDIS_REPLY_ERROR) redis_refused(read->call.redis, reply->str);
    finish(read, STORE_UNAVAILABLE);
    return;
  }
  for (size_t i = AT_ENTRIES; i + 1 < reply->elements; i += 2)
    read_entry(read, bucket, reply->element[i], reply->element[i + 1]);
  cut_found(read);
  read->missing_answers--;
  ask_more(read);
}

static bool on_lost(struct redis_command *command) {
  struct part *part = part_of(command);
  if (is_current(part)) return true;
  free_part(part);
  return false;
}

static const struct redis_command_type read_type = {
    .encode = encode, .on_reply = on_reply, .on_lost = on_lost};

/* ---- the end ---- */

void redis_read_record(struct redis *redis, unsigned bucket, const struct redis_entry *entry) {
  LIST_FOREACH (link, &redis->reads) {
    struct redis_read *read = container_of(link, struct redis_read, link);
    if (bucket < read->first_bucket || bucket >= read->end_bucket) continue;
    if (!filter_matches(asked(read)->filter, message_topic(entry->message))) continue;
    collection_add(&read->recorded, message_ref(entry->message), entry->position, bucket);
  }
}

static bool has_come_to_cuts(const struct redis_read *read) {
  const struct redis_track *track = &read->call.redis->inbox.track;
  if (read->missing_answers > 0) return false;
  for (unsigned bucket = read->first_bucket; bucket < read->end_bucket; bucket++) {
    if (track->seen[bucket] < read->cuts[bucket]) return false;
  }
  return true;
}

/* What subscribers were given from behind the cuts. */
static void add_recorded(struct redis_read *read) {
  for (size_t i = 0; i < read->recorded.count; i++) {
    const struct collected *item = &read->recorded.items[i];
    if (item->position <= read->cuts[item->bucket]) continue;
    if (message_id_compare(message_id(item->message), read->first) < 0) continue;
    collection_add(&read->found, message_ref(item->message), item->position, item->bucket);
  }
}

/* See log_read.h: an id from before the first message that Redis knows of. */
static bool is_prehistoric(const struct redis_read *read) {
  const struct log_point *point = &asked(read)->point;
  uint64_t birth_ms = read->birth_ms >= 0 ? (uint64_t)read->birth_ms : clock_wall_ms();
  return point->since == LOG_SINCE_ID && !read->is_known && point->id.ms < birth_ms &&
         birth_ms - point->id.ms <= LOG_READ_PREHISTORY_MS;
}

static void answer(struct redis_read *read) {
  struct store_read_log *wanted = asked(read);
  struct store_metrics *metrics = read->call.redis->metrics;
  add_recorded(read);
  cut_found(read);
  size_t count = read->found.count;
  if (count > 0) wanted->messages = x_malloc(count * sizeof wanted->messages[0]);
  for (size_t i = 0; i < count; i++)
    wanted->messages[i] = read->found.items[count - 1 - i].message;
  wanted->count = count;
  wanted->recovered = !read->is_missing && !is_prehistoric(read);
  read->found.count = 0; /* the references are the asker's */
  store_metric_add(&metrics->log_reads, 1);
  store_metric_add(&metrics->log_messages_read, count);
  finish(read, STORE_OK);
}

/* Marks that were on their way are lost: all is asked again when messages flow again. */
void redis_read_on_down(struct redis *redis) {
  struct list reads;
  list_init(&reads);
  list_append_all(&reads, &redis->reads);
  LIST_FOREACH_SAFE (link, next, &reads) {
    struct redis_read *read = container_of(link, struct redis_read, link);
    stop(read);
    wait_for_sync(read);
  }
}

void redis_read_flush(struct redis *redis) {
  LIST_FOREACH_SAFE (link, next, &redis->reads) {
    struct redis_read *read = container_of(link, struct redis_read, link);
    if (has_come_to_cuts(read)) answer(read);
  }
  if (!redis->inbox.is_synced) return;
  LIST_FOREACH_SAFE (link, next, &redis->waiting_reads) {
    struct redis_read *read = container_of(link, struct redis_read, link);
    if (read->is_pattern && redis->pattern_reads >= REDIS_PATTERN_READS_MAX) continue;
    if (redis_publish_is_before(redis, &read->call, asked(read)->filter)) continue;
    begin(read);
  }
}
