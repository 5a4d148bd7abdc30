#include "eventhub/proto/jsonrpc.h"

#include "eventhub/base/err.h"

static const struct slice null_text = SLICE_INIT("null");

/* The members that a request may have; absent ones are of type JSON_NULL, with text.ptr NULL. */
enum { MEMBER_ID, MEMBER_JSONRPC, MEMBER_METHOD, MEMBER_PARAMS, MEMBER_COUNT };

static const struct slice member_names[MEMBER_COUNT] = {
    [MEMBER_ID] = SLICE_INIT("id"),
    [MEMBER_JSONRPC] = SLICE_INIT("jsonrpc"),
    [MEMBER_METHOD] = SLICE_INIT("method"),
    [MEMBER_PARAMS] = SLICE_INIT("params"),
};

/* JSON-RPC 2.0, 4: a string, a number or null. */
static bool id_is_valid(struct json_value id) {
  if (id.text.len > JSONRPC_ID_MAX_BYTES) return false;
  return id.type == JSON_STRING || id.type == JSON_NUMBER || id.type == JSON_NULL;
}

static bool members_are_valid(const struct json_value members[MEMBER_COUNT]) {
  enum json_type params = members[MEMBER_PARAMS].type;
  return id_is_valid(members[MEMBER_ID]) && members[MEMBER_METHOD].type == JSON_STRING &&
         json_string_equals(members[MEMBER_JSONRPC], SLICE("2.0")) &&
         (params == JSON_NULL || params == JSON_ARRAY || params == JSON_OBJECT);
}

static struct slice method_read(struct jsonrpc_reader *reader, struct json_value method) {
  if (!json_string_has_escapes(method)) return json_string_raw(method);
  buf_clear(&reader->method);
  json_string_decode(method, &reader->method);
  return buf_slice(&reader->method);
}

static int request_read(struct jsonrpc_reader *reader, struct json_value value,
                        struct jsonrpc_request *ret) {
  struct json_value members[MEMBER_COUNT];
  json_members_select(&reader->outline.outer, value, member_names, MEMBER_COUNT, members);

  *ret =
      (struct jsonrpc_request){.params = {JSON_NULL, null_text}, .members = &reader->outline.inner};
  if (id_is_valid(members[MEMBER_ID])) ret->id = members[MEMBER_ID].text;
  if (!members_are_valid(members)) return JSONRPC_INVALID_REQUEST;

  ret->method = method_read(reader, members[MEMBER_METHOD]);
  if (members[MEMBER_PARAMS].type != JSON_NULL) ret->params = members[MEMBER_PARAMS];
  return 0;
}

/* Counts no further than it takes to see that there are too many. */
static size_t elements_count(struct json_value array) {
  size_t count = 0;
  struct json_iter it;
  struct json_value element;
  json_iter_init(&it, array);
  while (count <= JSONRPC_BATCH_MAX && json_array_next(&it, &element))
    count++;
  return count;
}

int jsonrpc_open(struct jsonrpc_reader *reader, struct slice text) {
  reader->is_batch = false;
  reader->count = reader->taken = 0;
  buf_init(&reader->method);
  int err = json_parse_outline(text, JSONRPC_DEPTH_MAX, &reader->root, &reader->outline);
  if (err != ERR_OK) return err == ERR_TOO_BIG ? JSONRPC_INVALID_REQUEST : JSONRPC_PARSE_ERROR;

  if (reader->root.type == JSON_OBJECT) {
    reader->count = 1;
    return 0;
  }
  if (reader->root.type != JSON_ARRAY) return JSONRPC_INVALID_REQUEST;

  size_t count = elements_count(reader->root);
  if (count == 0 || count > JSONRPC_BATCH_MAX) return JSONRPC_INVALID_REQUEST;
  reader->is_batch = true;
  reader->count = count;
  json_iter_init(&reader->iter, reader->root);
  return 0;
}

bool jsonrpc_next(struct jsonrpc_reader *reader, struct jsonrpc_request *ret, int *ret_code) {
  if (reader->taken == reader->count) return false;
  reader->taken++;

  struct json_value value = reader->root;
  if (reader->is_batch && !json_array_next(&reader->iter, &value)) return false;
  *ret_code = request_read(reader, value, ret);
  return true;
}

void jsonrpc_reader_move(struct jsonrpc_reader *reader, const char *old, const char *text) {
  reader->root.text.ptr = text + (reader->root.text.ptr - old);
  reader->iter.at = text + (reader->iter.at - old);
  reader->iter.end = text + (reader->iter.end - old);
}

void jsonrpc_reader_done(struct jsonrpc_reader *reader) {
  buf_done(&reader->method);
}

const char *jsonrpc_code_text(int code) {
  static const struct {
    int code;
    const char *text;
  } phrases[] = {
      {JSONRPC_PARSE_ERROR, "Parse error"},           {JSONRPC_INVALID_REQUEST, "Invalid request"},
      {JSONRPC_METHOD_NOT_FOUND, "Method not found"}, {JSONRPC_INVALID_PARAMS, "Invalid params"},
      {JSONRPC_INTERNAL_ERROR, "Internal error"},
  };
  for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
    if (phrases[i].code == code) return phrases[i].text;
  return "Server error";
}

static void append_id_and_version(struct buf *out, struct slice id) {
  buf_append_slice(out, SLICE("\"id\":"));
  buf_append_slice(out, id.ptr == NULL ? null_text : id);
  buf_append_slice(out, SLICE(",\"jsonrpc\":\"2.0\""));
}

void jsonrpc_append_result(struct buf *out, struct slice id, struct slice result) {
  buf_append_char(out, '{');
  append_id_and_version(out, id);
  buf_append_slice(out, SLICE(",\"result\":"));
  buf_append_slice(out, result);
  buf_append_char(out, '}');
}

void jsonrpc_append_error(struct buf *out, struct slice id, int code, struct slice data) {
  buf_printf(out, "{\"error\":{\"code\":%d,\"message\":\"%s\"", code, jsonrpc_code_text(code));
  if (data.ptr != NULL) {
    buf_append_slice(out, SLICE(",\"data\":"));
    json_append_string(out, data);
  }
  buf_append_slice(out, SLICE("},"));
  append_id_and_version(out, id);
  buf_append_char(out, '}');
}
