#include "eventhub/store/redis_keys.h"

#include <xxhash.h>

#include "eventhub/base/cleanup.h"

enum { TAG_LEN = sizeof "{:NN}:" - 1 };

static const struct slice kinds[] = {
    [REDIS_KEY_TOPICS] = SLICE_INIT("topics"), [REDIS_KEY_INDEX] = SLICE_INIT("index"),
    [REDIS_KEY_STREAM] = SLICE_INIT("stream"), [REDIS_KEY_ONCE] = SLICE_INIT("once"),
    [REDIS_KEY_RATE] = SLICE_INIT("rate"),     [REDIS_KEY_KV] = SLICE_INIT("kv"),
    [REDIS_KEY_LIVE] = SLICE_INIT("live"),     [REDIS_KEY_NODE] = SLICE_INIT("node"),
};

unsigned redis_bucket_of(struct slice name) {
  return XXH32(name.ptr, name.len, 0) % REDIS_BUCKETS;
}

static bool has_name(enum redis_key key) {
  return key != REDIS_KEY_TOPICS && key != REDIS_KEY_INDEX;
}

size_t redis_key_len(struct slice prefix, enum redis_key key, struct slice name) {
  return TAG_LEN + prefix.len + kinds[key].len + (has_name(key) ? 1 + name.len : 0);
}

static void append_tag(struct buf *out, struct slice prefix, char tens, char ones) {
  buf_append_char(out, '{');
  buf_append_slice(out, prefix);
  buf_append_char(out, ':');
  buf_append_char(out, tens);
  buf_append_char(out, ones);
  buf_append_str(out, "}:");
}

void redis_key_append(struct buf *out, struct slice prefix, unsigned bucket, enum redis_key key,
                      struct slice name) {
  append_tag(out, prefix, (char)('0' + bucket / 10), (char)('0' + bucket % 10));
  buf_append_slice(out, kinds[key]);
  if (!has_name(key)) return;
  buf_append_char(out, ':');
  buf_append_slice(out, name);
}

static bool take(struct slice *text, struct slice expected) {
  if (!slice_starts_with(*text, expected)) return false;
  *text = slice_skip(*text, expected.len);
  return true;
}

static bool take_bucket(struct slice *text, unsigned *ret_bucket) {
  if (text->len < 2) return false;
  unsigned tens = (unsigned)(text->ptr[0] - '0'), ones = (unsigned)(text->ptr[1] - '0');
  if (tens > 9 || ones > 9 || tens * 10 + ones >= REDIS_BUCKETS) return false;
  *ret_bucket = tens * 10 + ones;
  *text = slice_skip(*text, 2);
  return true;
}

bool redis_channel_parse(struct slice prefix, struct slice text, unsigned *ret_bucket,
                         enum redis_key *ret_key, struct slice *ret_name) {
  bool is_ours = take(&text, SLICE("{")) && take(&text, prefix) && take(&text, SLICE(":")) &&
                 take_bucket(&text, ret_bucket) && take(&text, SLICE("}:"));
  if (!is_ours) return false;
  for (enum redis_key key = REDIS_KEY_LIVE; key <= REDIS_KEY_NODE; key++) {
    if (!take(&text, kinds[key])) continue;
    if (!take(&text, SLICE(":"))) return false;
    *ret_key = key;
    *ret_name = text;
    return true;
  }
  return false;
}

/* `a/+/#`: the glob's `*` in the place of the `+` reaches over all levels behind it. */
static bool ends_in_any_level(struct slice pattern) {
  size_t len = pattern.len;
  return len > 0 && pattern.ptr[len - 1] == '+' && (len == 1 || pattern.ptr[len - 2] == '/');
}

static bool has_rest(struct slice pattern) {
  return pattern.len >= 3 && pattern.ptr[pattern.len - 1] == '#';
}

void redis_glob_append(struct buf *out, struct slice prefix, struct slice pattern) {
  struct slice parent = slice_of(pattern.ptr, has_rest(pattern) ? pattern.len - 2 : 0);
  if (ends_in_any_level(parent)) pattern = parent;
  append_tag(out, prefix, '?', '?');
  buf_append_slice(out, kinds[REDIS_KEY_LIVE]);
  buf_append_char(out, ':');
  for (size_t i = 0; i < pattern.len; i++) {
    /* All other characters of a filter mean themselves in a glob. */
    bool is_wildcard = pattern.ptr[i] == '+' || pattern.ptr[i] == '#';
    buf_append_char(out, is_wildcard ? '*' : pattern.ptr[i]);
  }
}

bool redis_glob_parent(struct slice pattern, struct slice *ret_parent) {
  if (!has_rest(pattern)) return false;
  struct slice parent = slice_of(pattern.ptr, pattern.len - 2);
  if (ends_in_any_level(parent)) return false;
  *ret_parent = parent;
  return true;
}
