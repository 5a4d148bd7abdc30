/* Any bytes as a message on a topic's channel. What is taken must be what a broker could have
 * written, and be the same again when it is written anew. */
#include <assert.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/proto/json.h"
#include "eventhub/proto/utf8.h"
#include "eventhub/store/redis_entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct slice topic = SLICE_INIT("a/b");

/* As publish.lua writes it. */
static void write_live(const struct redis_entry *entry, struct buf *ret) {
  char id[MESSAGE_ID_MAX], previous[MESSAGE_ID_MAX];
  struct slice origin = message_origin_json(entry->message);
  message_id_format(message_id(entry->message), id);
  message_id_format(entry->previous, previous);
  buf_printf(ret, "1 %s %llu %s %llu %llu %zu\n", id, (unsigned long long)entry->position, previous,
             (unsigned long long)entry->previous_position,
             (unsigned long long)entry->message->expires_ms, origin.len);
  buf_append_slice(ret, origin);
  buf_append_slice(ret, message_payload(entry->message));
}

static void check_entry(const struct redis_entry *entry) {
  struct json_value item;
  struct slice text = message_item(entry->message);
  assert(slice_equal(message_topic(entry->message), topic));
  assert(message_id_compare(entry->previous, message_id(entry->message)) < 0);
  assert(entry->previous_position < entry->position);
  /* What subscribers get, of one level more than the payload. */
  assert(utf8_is_valid(text.ptr, text.len));
  int status = json_parse(text, JSON_DEPTH_MAX, &item);
  assert(status == 0 || json_parse(message_payload(entry->message), JSON_DEPTH_MAX - 1, &item));
}

static void check_round_trip(const struct redis_entry *entry) {
  AUTO(buf) struct buf text = BUF_INIT;
  struct redis_entry again;
  write_live(entry, &text);
  assert(redis_live_parse(topic, buf_slice(&text), &again) == 0);
  assert(slice_equal(message_item(again.message), message_item(entry->message)));
  assert(again.position == entry->position);
  assert(again.previous_position == entry->previous_position);
  assert(message_id_compare(again.previous, entry->previous) == 0);
  assert(again.message->expires_ms == entry->message->expires_ms);
  message_unref(again.message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct redis_entry entry;
  if (size == 0) return 0;
  if (redis_live_parse(topic, slice_of((const char *)data, size), &entry) != 0) return 0;
  check_entry(&entry);
  check_round_trip(&entry);
  message_unref(entry.message);
  return 0;
}
