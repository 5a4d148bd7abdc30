#include "eventhub/topic/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/err.h"
#include "eventhub/base/json_escape.h"
#include "eventhub/base/mem.h"

/* The item's pieces, in order; the id and everything before it are written by message_set_id. */
static const struct slice before_id = SLICE_INIT("{\"id\":\"");
static const struct slice after_id = SLICE_INIT("\",\"message\":");
static const struct slice before_topic = SLICE_INIT(",\"topic\":\"");
static const struct slice before_origin = SLICE_INIT(",\"origin\":");

int message_id_compare(struct message_id a, struct message_id b) {
  if (a.ms != b.ms) return a.ms < b.ms ? -1 : 1;
  if (a.seq != b.seq) return a.seq < b.seq ? -1 : 1;
  return 0;
}

struct message_id message_id_next(struct message_id id) {
  if (id.seq < UINT64_MAX) return (struct message_id){id.ms, id.seq + 1};
  if (id.ms < UINT64_MAX) return (struct message_id){id.ms + 1, 0};
  return id;
}

int message_id_parse(struct slice text, struct message_id *ret_id) {
  struct message_id id = {0, 0};
  struct slice ms = {NULL, 0};
  slice_next_token(&text, '-', &ms);
  int err = slice_to_u64(ms, &id.ms);
  if (err != 0) return err;
  if (text.ptr != NULL && (err = slice_to_u64(text, &id.seq)) != 0) return err;
  *ret_id = id;
  return 0;
}

size_t message_id_format(struct message_id id, char out[MESSAGE_ID_MAX]) {
  size_t len = buf_format_u64(out, id.ms);
  out[len++] = '-';
  len += buf_format_u64(out + len, id.seq);
  out[len] = '\0';
  return len;
}

/* Appends to the message's text and returns where that begins. */
static uint32_t append(struct message *message, struct slice text) {
  uint32_t at = message->end;
  if (text.len > 0) memcpy(message->data + at, text.ptr, text.len);
  message->end += (uint32_t)text.len;
  return at;
}

/* `id_room`: bytes for the id. */
static void fill(struct message *message, size_t id_room, struct slice topic, struct slice payload,
                 struct slice origin_json) {
  message->end = (uint32_t)(before_id.len + id_room);
  append(message, after_id);
  message->payload = append(message, payload);
  message->payload_len = (uint32_t)payload.len;
  append(message, before_topic);
  message->topic = append(message, topic);
  message->topic_len = (uint32_t)topic.len;
  append(message, SLICE("\""));
  if (origin_json.len > 0) append(message, before_origin);
  append(message, origin_json);
  message->origin_len = (uint32_t)origin_json.len;
  append(message, SLICE("}"));
}

/* Where the id ends. */
static size_t id_end(const struct message *message) {
  return message->payload - after_id.len;
}

static struct message *make(size_t id_room, struct slice topic, struct slice payload_json,
                            struct slice origin_json, struct message_id id) {
  size_t size = before_id.len + id_room + after_id.len + payload_json.len + before_topic.len +
                topic.len + 1 + 1;
  if (origin_json.len > 0) size += before_origin.len + origin_json.len;
  assert(size < UINT32_MAX / 2);
  struct message *message = x_malloc(sizeof(*message) + size);
  *message = (struct message){.expires_ms = 0};
  atomic_init(&message->refs, 1);
  fill(message, id_room, topic, payload_json, origin_json);
  assert(message->end == size);
  message_set_id(message, id);
  return message;
}

struct message *message_new(struct slice topic, struct slice payload_json, struct slice origin) {
  AUTO(buf)
  struct buf origin_json = BUF_INIT;
  if (origin.len > 0) buf_append_json_string(&origin_json, origin);
  return message_new_ready(topic, payload_json, buf_slice(&origin_json));
}

struct message *message_new_ready(struct slice topic, struct slice payload_json,
                                  struct slice origin_json) {
  return make(MESSAGE_ID_MAX - 1, topic, payload_json, origin_json, (struct message_id){0, 0});
}

struct message *message_new_stored(struct slice topic, struct slice payload_json,
                                   struct slice origin_json, struct message_id id) {
  char text[MESSAGE_ID_MAX];
  return make(message_id_format(id, text), topic, payload_json, origin_json, id);
}

struct message *message_new_gap(struct slice topic, struct message_id last_id) {
  static const struct slice before_gap_topic = SLICE_INIT("{\"topic\":\"");
  static const struct slice before_last_id = SLICE_INIT("\",\"lastId\":\"");
  static const struct slice end = SLICE_INIT("\"}");
  char id[MESSAGE_ID_MAX];
  size_t id_len = message_id_format(last_id, id);
  size_t size = before_gap_topic.len + topic.len + before_last_id.len + id_len + end.len;
  struct message *message = x_malloc(sizeof(*message) + size);
  *message = (struct message){.id = last_id};
  atomic_init(&message->refs, 1);
  append(message, before_gap_topic);
  message->topic = append(message, topic);
  message->topic_len = (uint32_t)topic.len;
  append(message, before_last_id);
  append(message, slice_of(id, id_len));
  append(message, end);
  assert(message->end == size);
  return message;
}

bool message_is_gap(const struct message *message) {
  return message->payload == 0;
}

struct message *message_ref(struct message *message) {
  atomic_fetch_add_explicit(&message->refs, 1, memory_order_relaxed);
  return message;
}

void message_unref(struct message *message) {
  if (message == NULL) return;
  if (atomic_fetch_sub_explicit(&message->refs, 1, memory_order_acq_rel) != 1) return;
  blob_unref(atomic_load_explicit(&message->compressed, memory_order_relaxed));
  free(message);
}

struct blob *message_compressed(const struct message *message) {
  return atomic_load_explicit(&message->compressed, memory_order_acquire);
}

struct blob *message_keep_compressed(struct message *message, struct blob *compressed) {
  struct blob *first = NULL;
  if (atomic_compare_exchange_strong_explicit(&message->compressed, &first, compressed,
                                              memory_order_acq_rel, memory_order_acquire))
    return compressed;
  blob_unref(compressed);
  return first;
}

void message_set_id(struct message *message, struct message_id id) {
  char text[MESSAGE_ID_MAX];
  size_t len = message_id_format(id, text);
  size_t end = id_end(message);
  assert(end >= before_id.len + len);
  memcpy(message->data + end - len, text, len);
  message->item = (uint32_t)(end - len - before_id.len);
  memcpy(message->data + message->item, before_id.ptr, before_id.len);
  message->id = id;
}

struct slice message_id_text(const struct message *message) {
  size_t start = message->item + before_id.len;
  return slice_of(message->data + start, id_end(message) - start);
}

struct slice message_item(const struct message *message) {
  return slice_of(message->data + message->item, message->end - message->item);
}

struct slice message_topic(const struct message *message) {
  return slice_of(message->data + message->topic, message->topic_len);
}

struct slice message_payload(const struct message *message) {
  return slice_of(message->data + message->payload, message->payload_len);
}

struct slice message_origin_json(const struct message *message) {
  if (message->origin_len == 0) return SLICE("");
  size_t behind = message->end - 1; /* the closing brace */
  return slice_of(message->data + behind - message->origin_len, message->origin_len);
}

struct message_id message_id(const struct message *message) {
  return message->id;
}

size_t message_size(const struct message *message) {
  return sizeof(*message) + message->end;
}
