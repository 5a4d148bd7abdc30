#include "eventhub/store/journal_block.h"

#include <endian.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "eventhub/base/err.h"

enum {
  CHECKSUM_BYTES = 8,
  /* kind, id, expiry, three lengths */
  MESSAGE_HEAD_BYTES = 1 + 16 + 8 + 4 + 4 + 4
};

/* ---- numbers ---- */

static void append_u8(struct buf *out, uint8_t number) {
  buf_append(out, &number, sizeof number);
}

static void append_u32(struct buf *out, uint32_t number) {
  uint32_t bytes = htole32(number);
  buf_append(out, &bytes, sizeof bytes);
}

static void append_u64(struct buf *out, uint64_t number) {
  uint64_t bytes = htole64(number);
  buf_append(out, &bytes, sizeof bytes);
}

static void append_id(struct buf *out, struct message_id id) {
  append_u64(out, id.ms);
  append_u64(out, id.seq);
}

/* Reading goes on behind an end that came too early, with zeroes, and says so when all is read. */
struct reader {
  struct slice rest;
  bool is_short;
};

static void take(struct reader *reader, void *out, size_t len) {
  if (reader->rest.len < len) {
    memset(out, 0, len);
    reader->is_short = true;
    reader->rest.len = 0;
    return;
  }
  memcpy(out, reader->rest.ptr, len);
  reader->rest.ptr += len;
  reader->rest.len -= len;
}

static uint8_t take_u8(struct reader *reader) {
  uint8_t number;
  take(reader, &number, sizeof number);
  return number;
}

static uint32_t take_u32(struct reader *reader) {
  uint32_t bytes;
  take(reader, &bytes, sizeof bytes);
  return le32toh(bytes);
}

static uint64_t take_u64(struct reader *reader) {
  uint64_t bytes;
  take(reader, &bytes, sizeof bytes);
  return le64toh(bytes);
}

static struct message_id take_id(struct reader *reader) {
  uint64_t ms = take_u64(reader);
  return (struct message_id){ms, take_u64(reader)};
}

static struct slice take_text(struct reader *reader, size_t len) {
  if (len > reader->rest.len) {
    reader->is_short = true;
    return SLICE("");
  }
  struct slice text = slice_of(reader->rest.ptr, len);
  reader->rest.ptr += len;
  reader->rest.len -= len;
  return text;
}

static int result_of(const struct reader *reader) {
  return reader->is_short ? ERR_INVALID : ERR_OK;
}

/* ---- values ---- */

static uint64_t checksum(struct slice bytes, enum journal_table table, uint64_t number) {
  uint64_t place = number * JOURNAL_NUMBERED + table;
  return XXH3_64bits_withSeed(bytes.ptr, bytes.len, place);
}

void journal_value_begin(struct buf *value) {
  buf_clear(value);
  append_u64(value, 0);
}

void journal_value_seal(struct buf *value, enum journal_table table, uint64_t number) {
  struct slice rest = slice_of(value->data + CHECKSUM_BYTES, value->len - CHECKSUM_BYTES);
  uint64_t sum = htole64(checksum(rest, table, number));
  memcpy(value->data, &sum, sizeof sum);
}

int journal_value_open(struct slice value, enum journal_table table, uint64_t number,
                       struct slice *ret) {
  struct reader reader = {.rest = value};
  uint64_t sum = take_u64(&reader);
  *ret = reader.rest;
  return reader.is_short || sum != checksum(reader.rest, table, number) ? ERR_INVALID : ERR_OK;
}

/* ---- records of blocks ---- */

size_t journal_message_size(const struct message *message) {
  return MESSAGE_HEAD_BYTES + message_topic(message).len + message_origin_json(message).len +
         message_payload(message).len;
}

void journal_append_message(struct buf *block, const struct message *message) {
  struct slice topic = message_topic(message), origin = message_origin_json(message),
               payload = message_payload(message);
  buf_reserve(block, journal_message_size(message));
  append_u8(block, JOURNAL_MESSAGE);
  append_id(block, message_id(message));
  append_u64(block, message->expires_ms);
  append_u32(block, (uint32_t)topic.len);
  append_u32(block, (uint32_t)origin.len);
  append_u32(block, (uint32_t)payload.len);
  buf_append_slice(block, topic);
  buf_append_slice(block, origin);
  buf_append_slice(block, payload);
}

void journal_append_state(struct buf *block, const struct journal_state *state) {
  append_u8(block, JOURNAL_STATE);
  append_id(block, state->last);
  append_id(block, state->floor);
  append_id(block, state->forgotten);
}

static struct journal_state take_state(struct reader *reader) {
  struct journal_state state;
  state.last = take_id(reader);
  state.floor = take_id(reader);
  state.forgotten = take_id(reader);
  return state;
}

static struct journal_message take_message(struct reader *reader) {
  struct journal_message message;
  message.id = take_id(reader);
  message.expires_ms = take_u64(reader);
  uint32_t topic_len = take_u32(reader), origin_len = take_u32(reader),
           payload_len = take_u32(reader);
  message.topic = take_text(reader, topic_len);
  message.origin = take_text(reader, origin_len);
  message.payload = take_text(reader, payload_len);
  return message;
}

int journal_next_record(struct slice *rest, struct journal_record *ret) {
  struct reader reader = {.rest = *rest};
  if (rest->len == 0) return 0;
  ret->kind = take_u8(&reader);
  if (ret->kind == JOURNAL_STATE) {
    ret->state = take_state(&reader);
  } else if (ret->kind == JOURNAL_MESSAGE) {
    ret->message = take_message(&reader);
  } else {
    return ERR_INVALID;
  }
  *rest = reader.rest;
  return reader.is_short ? ERR_INVALID : 1;
}

/* ---- rows of the other tables ---- */

void journal_append_topic(struct buf *value, const struct journal_topic *topic) {
  append_id(value, topic->last);
  append_id(value, topic->dropped);
  append_u64(value, topic->old_count);
  append_id(value, topic->old_last);
  buf_append_slice(value, topic->name);
}

int journal_read_topic(struct slice bytes, struct journal_topic *ret) {
  struct reader reader = {.rest = bytes};
  ret->last = take_id(&reader);
  ret->dropped = take_id(&reader);
  ret->old_count = take_u64(&reader);
  ret->old_last = take_id(&reader);
  ret->name = take_text(&reader, reader.rest.len);
  return result_of(&reader);
}

int journal_read_topic_1(struct slice bytes, struct journal_topic *ret) {
  struct reader reader = {.rest = bytes};
  *ret = (struct journal_topic){.old_count = 0};
  ret->last = take_id(&reader);
  ret->dropped = take_id(&reader);
  ret->name = take_text(&reader, reader.rest.len);
  return result_of(&reader);
}

void journal_append_pair(struct buf *value, const struct journal_pair *pair) {
  append_u64(value, pair->expires_ms);
  append_u32(value, (uint32_t)pair->key.len);
  buf_append_slice(value, pair->key);
  buf_append_slice(value, pair->value);
}

int journal_read_pair(struct slice bytes, struct journal_pair *ret) {
  struct reader reader = {.rest = bytes};
  ret->expires_ms = take_u64(&reader);
  uint32_t key_len = take_u32(&reader);
  ret->key = take_text(&reader, key_len);
  ret->value = take_text(&reader, reader.rest.len);
  return result_of(&reader);
}

void journal_append_meta(struct buf *value, const struct journal_meta *meta) {
  append_u32(value, meta->format);
  append_u8(value, meta->is_open);
  append_u64(value, meta->birth_ms);
}

int journal_read_meta(struct slice bytes, struct journal_meta *ret) {
  struct reader reader = {.rest = bytes};
  *ret = (struct journal_meta){.format = take_u32(&reader)};
  if (ret->format == 0 || ret->format > JOURNAL_FORMAT) return result_of(&reader);
  ret->is_open = take_u8(&reader) != 0;
  ret->birth_ms = take_u64(&reader);
  return result_of(&reader);
}

void journal_append_generation(struct buf *value, uint64_t generation) {
  append_u64(value, generation);
}

int journal_read_generation(struct slice bytes, uint64_t *ret) {
  struct reader reader = {.rest = bytes};
  *ret = take_u64(&reader);
  return result_of(&reader);
}

/* ---- messages that have left memory ---- */

static void put_big_endian(char *out, uint64_t number) {
  uint64_t bytes = htobe64(number);
  memcpy(out, &bytes, sizeof bytes);
}

static uint64_t get_big_endian(const char *from) {
  uint64_t bytes;
  memcpy(&bytes, from, sizeof bytes);
  return be64toh(bytes);
}

void journal_old_key(char out[JOURNAL_OLD_KEY_BYTES], uint64_t row, struct message_id id) {
  put_big_endian(out, row);
  put_big_endian(out + 8, id.ms);
  put_big_endian(out + 16, id.seq);
}

static void read_old_key(const char *key, struct journal_old *ret) {
  ret->row = get_big_endian(key);
  ret->id = (struct message_id){get_big_endian(key + 8), get_big_endian(key + 16)};
}

void journal_expiry_key(char out[JOURNAL_EXPIRY_KEY_BYTES], const struct journal_old *old) {
  put_big_endian(out, old->expires_ms);
  journal_old_key(out + 8, old->row, old->id);
}

int journal_read_expiry_key(struct slice key, struct journal_old *ret) {
  *ret = (struct journal_old){.row = 0};
  if (key.len != JOURNAL_EXPIRY_KEY_BYTES) return ERR_INVALID;
  ret->expires_ms = get_big_endian(key.ptr);
  read_old_key(key.ptr + 8, ret);
  return 0;
}

static uint64_t old_checksum(struct slice bytes, struct slice key) {
  return XXH3_64bits_withSeed(bytes.ptr, bytes.len, XXH3_64bits(key.ptr, key.len));
}

void journal_append_old(struct buf *value, const struct journal_old *old) {
  char key[JOURNAL_OLD_KEY_BYTES];
  journal_old_key(key, old->row, old->id);
  journal_value_begin(value);
  append_u64(value, old->expires_ms);
  append_u32(value, (uint32_t)old->origin.len);
  buf_append_slice(value, old->origin);
  buf_append_slice(value, old->payload);
  struct slice rest = slice_of(value->data + CHECKSUM_BYTES, value->len - CHECKSUM_BYTES);
  uint64_t sum = htole64(old_checksum(rest, slice_of(key, sizeof key)));
  memcpy(value->data, &sum, sizeof sum);
}

int journal_read_old(struct slice key, struct slice value, struct journal_old *ret) {
  struct reader reader = {.rest = value};
  *ret = (struct journal_old){.row = 0};
  if (key.len != JOURNAL_OLD_KEY_BYTES) return ERR_INVALID;
  read_old_key(key.ptr, ret);
  uint64_t sum = take_u64(&reader);
  if (reader.is_short || sum != old_checksum(reader.rest, key)) return ERR_INVALID;
  ret->expires_ms = take_u64(&reader);
  uint32_t origin_len = take_u32(&reader);
  ret->origin = take_text(&reader, origin_len);
  ret->payload = take_text(&reader, reader.rest.len);
  return result_of(&reader);
}
