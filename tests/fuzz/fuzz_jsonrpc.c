/* Any bytes as a JSON-RPC text. What is read must lie inside the text, and the replies to it must
 * be JSON again, with the same id. */
#include <assert.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/err.h"
#include "eventhub/proto/jsonrpc.h"
#include "eventhub/proto/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_inside(struct slice inner, struct slice outer) {
  return inner.ptr >= outer.ptr && inner.ptr + inner.len <= outer.ptr + outer.len;
}

static struct json_value parse_ok(struct slice text) {
  struct json_value value;
  assert(json_parse(text, JSON_DEPTH_MAX, &value) == ERR_OK);
  return value;
}

/* Decoded, encoded and decoded again it is the same, and still UTF-8. */
static void check_string(struct json_value string) {
  AUTO(buf) struct buf decoded = BUF_INIT;
  AUTO(buf) struct buf encoded = BUF_INIT;
  assert(json_string_decode(string, &decoded) == ERR_OK);
  assert(utf8_is_valid(buf_slice(&decoded).ptr, decoded.len));
  assert(json_string_equals(string, buf_slice(&decoded)));
  json_append_string(&encoded, buf_slice(&decoded));
  assert(json_string_equals(parse_ok(buf_slice(&encoded)), buf_slice(&decoded)));
}

static void check_value(struct json_value value);

static void check_object(struct json_value object) {
  struct json_iter it;
  struct json_value name, value, found;
  AUTO(buf) struct buf decoded = BUF_INIT;
  json_iter_init(&it, object);
  while (json_object_next(&it, &name, &value)) {
    assert(lies_inside(name.text, object.text) && lies_inside(value.text, object.text));
    check_string(name);
    check_value(value);
  }
  /* Once is enough: with every name the cost would be quadratic. */
  json_iter_init(&it, object);
  if (!json_object_next(&it, &name, &value)) return;
  assert(json_string_decode(name, &decoded) == ERR_OK);
  assert(json_object_find(object, buf_slice(&decoded), &found) == ERR_OK);
  assert(found.text.ptr >= value.text.ptr);
}

static void check_array(struct json_value array) {
  struct json_iter it;
  struct json_value value;
  json_iter_init(&it, array);
  while (json_array_next(&it, &value)) {
    assert(lies_inside(value.text, array.text));
    check_value(value);
  }
}

static void check_value(struct json_value value) {
  int64_t number;
  assert(parse_ok(value.text).type == value.type);
  switch (value.type) {
  case JSON_STRING: check_string(value); break;
  case JSON_ARRAY: check_array(value); break;
  case JSON_OBJECT: check_object(value); break;
  default: (void)json_to_i64(value, &number); break;
  }
}

static void check_replies(struct slice id, struct slice data) {
  AUTO(buf) struct buf reply = BUF_INIT;
  struct json_value echoed;
  jsonrpc_append_result(&reply, id, SLICE("[]"));
  assert(json_object_find(parse_ok(buf_slice(&reply)), SLICE("id"), &echoed) == ERR_OK);
  assert(slice_equal(echoed.text, id.ptr == NULL ? SLICE("null") : id));

  buf_clear(&reply);
  jsonrpc_append_error(&reply, id, JSONRPC_METHOD_NOT_FOUND, data);
  assert(json_object_find(parse_ok(buf_slice(&reply)), SLICE("id"), &echoed) == ERR_OK);
  assert(slice_equal(echoed.text, id.ptr == NULL ? SLICE("null") : id));
}

static void check_requests(struct jsonrpc_reader *reader, struct slice text) {
  struct jsonrpc_request request;
  size_t count = 0;
  int code;
  for (; jsonrpc_next(reader, &request, &code); count++) {
    assert(code == 0 || code == JSONRPC_INVALID_REQUEST);
    assert(request.id.ptr == NULL || lies_inside(request.id, text));
    check_replies(request.id, code == 0 ? request.method : SLICE(""));
    if (code == 0 && request.params.type != JSON_NULL) check_value(request.params);
  }
  assert(count == reader->count);
}

/* What was noted while parsing is what walking over the text finds. */
static void check_members(const struct json_members *members) {
  struct json_value object, name, value;
  struct json_iter it;
  if (members->object == NULL) return;
  const char *end = members->object + 1;
  if (members->count > 0) {
    struct slice last = members->items[members->count - 1].value.text;
    end = last.ptr + last.len;
  }
  while (*end != '}')
    end++;
  object = parse_ok(slice_of(members->object, (size_t)(end + 1 - members->object)));
  json_iter_init(&it, object);
  for (size_t i = 0; i < members->count; i++) {
    assert(json_object_next(&it, &name, &value));
    assert(members->items[i].name.text.ptr == name.text.ptr);
    assert(members->items[i].name.text.len == name.text.len);
    assert(members->items[i].value.type == value.type);
    assert(members->items[i].value.text.ptr == value.text.ptr);
    assert(members->items[i].value.text.len == value.text.len);
  }
  assert(!json_object_next(&it, &name, &value));
}

static void check_outline(struct slice text) {
  struct json_outline outline;
  struct json_value value, noted;
  for (unsigned depth = 0; depth <= JSON_DEPTH_MAX; depth += 4) {
    int err = json_parse_outline(text, depth, &noted, &outline);
    assert(err == json_parse(text, depth, &value));
    if (err != ERR_OK) continue;
    assert(noted.type == value.type && noted.text.ptr == value.text.ptr &&
           noted.text.len == value.text.len);
    check_members(&outline.outer);
    check_members(&outline.inner);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice text = slice_of((const char *)data, size);
  if (!utf8_is_valid(text.ptr, text.len)) return 0;

  AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
  struct json_value value;
  int code = jsonrpc_open(&reader, text);
  assert(code == 0 || code == JSONRPC_PARSE_ERROR || code == JSONRPC_INVALID_REQUEST);
  assert((code == JSONRPC_PARSE_ERROR) ==
         (json_parse(text, JSONRPC_DEPTH_MAX, &value) == ERR_INVALID));
  if (json_parse(text, JSON_DEPTH_MAX, &value) == ERR_OK) check_value(value);
  check_outline(text);
  if (code == 0) check_requests(&reader, text);
  return 0;
}
