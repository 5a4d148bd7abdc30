#include "eventhub/store/redis_entry.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "eventhub/base/err.h"
#include "eventhub/proto/json.h"
#include "eventhub/proto/utf8.h"

enum { ID_SPREAD = 64, US_PER_MS = 1000, PAYLOAD_MAX = 1 << 29, ORIGIN_MAX = 1 << 16 };

/* Everything but the topic, still as text. */
struct parts {
  struct slice id, position, previous, previous_position, expiry, origin, payload;
};

uint64_t redis_position_of(struct message_id id) {
  return id.ms * US_PER_MS + id.seq / ID_SPREAD;
}

static bool is_id(struct slice text, struct message_id *ret) {
  return text.ptr != NULL && memchr(text.ptr, '-', text.len) != NULL &&
         message_id_parse(text, ret) == 0;
}

static bool is_payload(struct slice text) {
  struct json_value value;
  return text.ptr != NULL && text.len <= PAYLOAD_MAX && utf8_is_valid(text.ptr, text.len) &&
         json_parse(text, JSON_DEPTH_MAX, &value) == 0 && value.type != JSON_NULL &&
         value.text.len == text.len;
}

static bool is_origin(struct slice text) {
  struct json_value value;
  if (text.len == 0) return true;
  return text.len <= ORIGIN_MAX && utf8_is_valid(text.ptr, text.len) &&
         json_parse(text, 0, &value) == 0 && value.type == JSON_STRING &&
         value.text.len == text.len;
}

/* A position that is not written follows from the id. */
static bool take_position(struct slice text, struct message_id id, uint64_t *ret) {
  if (text.ptr != NULL) return slice_to_u64(text, ret) == 0;
  *ret = redis_position_of(id);
  return true;
}

static int assemble(struct slice topic, const struct parts *parts, struct redis_entry *ret) {
  struct redis_entry entry = {0};
  struct message_id id;
  uint64_t expires_ms = 0;
  bool is_fine =
      is_id(parts->id, &id) && is_id(parts->previous, &entry.previous) &&
      take_position(parts->position, id, &entry.position) &&
      take_position(parts->previous_position, entry.previous, &entry.previous_position) &&
      parts->expiry.ptr != NULL && slice_to_u64(parts->expiry, &expires_ms) == 0 &&
      message_id_compare(entry.previous, id) < 0 && entry.previous_position < entry.position &&
      is_origin(parts->origin) && is_payload(parts->payload);
  if (!is_fine) return ERR_INVALID;
  entry.message = message_new_ready(topic, parts->payload, parts->origin);
  entry.message->expires_ms = expires_ms;
  message_set_id(entry.message, id);
  *ret = entry;
  return 0;
}

static bool next_word(struct slice *rest, struct slice *ret) {
  return slice_next_token(rest, ' ', ret) && ret->len > 0;
}

int redis_live_parse(struct slice topic, struct slice text, struct redis_entry *ret) {
  struct parts parts = {0};
  struct slice version, origin_len, line;
  uint64_t len = 0;
  const char *end = memchr(text.ptr, '\n', text.len);
  if (end == NULL) return ERR_INVALID;
  line = slice_of(text.ptr, (size_t)(end - text.ptr));
  struct slice body = slice_skip(text, line.len + 1);
  bool is_fine = next_word(&line, &version) && slice_equal(version, SLICE("1")) &&
                 next_word(&line, &parts.id) && next_word(&line, &parts.position) &&
                 next_word(&line, &parts.previous) && next_word(&line, &parts.previous_position) &&
                 next_word(&line, &parts.expiry) && next_word(&line, &origin_len) &&
                 line.ptr == NULL && slice_to_u64(origin_len, &len) == 0 && len <= body.len;
  if (!is_fine) return ERR_INVALID;
  parts.origin = slice_of(body.ptr, len);
  parts.payload = slice_skip(body, len);
  return assemble(topic, &parts, ret);
}

static struct slice *part_of(struct parts *parts, char field) {
  switch (field) {
  case 'e': return &parts->expiry;
  case 'p': return &parts->previous;
  case 'm': return &parts->payload;
  case 'o': return &parts->origin;
  case 's': return &parts->position;
  case 'q': return &parts->previous_position;
  default: return NULL;
  }
}

static bool is_text(const redisReply *reply) {
  return reply->type == REDIS_REPLY_STRING;
}

static bool read_fields(const redisReply *fields, struct parts *parts) {
  for (size_t i = 0; i + 1 < fields->elements; i += 2) {
    const redisReply *name = fields->element[i], *value = fields->element[i + 1];
    if (!is_text(name) || !is_text(value) || name->len != 1) return false;
    struct slice *part = part_of(parts, name->str[0]);
    if (part == NULL) return false;
    *part = slice_of(value->str, value->len);
  }
  return true;
}

int redis_entry_parse(struct slice topic, const struct redisReply *reply, struct redis_entry *ret) {
  struct parts parts = {0};
  bool is_entry = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                  is_text(reply->element[0]) && reply->element[1]->type == REDIS_REPLY_ARRAY;
  if (!is_entry || !read_fields(reply->element[1], &parts)) return ERR_INVALID;
  parts.id = slice_of(reply->element[0]->str, reply->element[0]->len);
  return assemble(topic, &parts, ret);
}
