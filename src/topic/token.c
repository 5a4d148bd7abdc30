#include "eventhub/topic/token.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/topic/name.h"

/* The claims that we know, borrowed from the JSON object that holds them; NULL = absent. */
struct claims {
  const json_t *sub;
  const json_t *read;
  const json_t *write;
  const json_t *rlimit;
  int64_t exp_s;
  int64_t nbf_s;
};

static void json_cleanup(json_t **json) {
  json_decref(*json);
}

/* --- the signature --- */

/* The claims of a token whose signature is good; NULL for any other. */
static json_t *verified_claims(const struct jws_keys *keys, struct slice text) {
  AUTO(buf) struct buf payload = BUF_INIT;
  if (text.len > TOKEN_TEXT_MAX || jws_verify(keys, text, &payload) < 0) return NULL;
  return json_loadb(payload.data, payload.len, JSON_REJECT_DUPLICATES, NULL);
}

/* --- reading the claims --- */

static int read_time(const json_t *root, const char *name, int64_t *ret_s) {
  const json_t *value = json_object_get(root, name);
  if (value == NULL) return 0;
  if (!json_is_integer(value)) return ERR_INVALID;
  *ret_s = json_integer_value(value);
  return 0;
}

static bool is_array_or_absent(const json_t *value) {
  return value == NULL || json_is_array(value);
}

/* `exp` 0 is in the past, not "never": absence is told by the claim, not by its value. */
static int check_times(const json_t *root, int64_t now_s, struct claims *claims) {
  int err = read_time(root, "exp", &claims->exp_s);
  if (err == 0) err = read_time(root, "nbf", &claims->nbf_s);
  if (err != 0) return err;
  if (json_object_get(root, "exp") != NULL && claims->exp_s <= now_s) return ERR_EXPIRED;
  return claims->nbf_s > now_s ? ERR_DENIED : 0;
}

static int read_claims(const json_t *root, int64_t now_s, struct claims *ret_claims) {
  struct claims claims = {
      .sub = json_object_get(root, "sub"),
      .read = json_object_get(root, "read"),
      .write = json_object_get(root, "write"),
      .rlimit = json_object_get(root, "rlimit"),
  };
  if (!json_is_object(root)) return ERR_INVALID;
  if (claims.sub != NULL && !json_is_string(claims.sub)) return ERR_INVALID;
  if (!is_array_or_absent(claims.read) || !is_array_or_absent(claims.write)) return ERR_INVALID;
  int err = check_times(root, now_s, &claims);
  if (err == 0) *ret_claims = claims;
  return err;
}

/* --- building the token --- */

/* How much of a list is looked at. Of NULL or anything but an array: nothing. */
static size_t entry_count(const json_t *list) {
  size_t count = json_array_size(list);
  return count < TOKEN_ENTRIES_MAX ? count : TOKEN_ENTRIES_MAX;
}

static struct slice string_of(const json_t *value) {
  return slice_of(json_string_value(value), json_string_length(value));
}

/* A filter in a list, or the `topic` of a limit. */
static struct slice entry_text(const json_t *entry) {
  return string_of(json_is_object(entry) ? json_object_get(entry, "topic") : entry);
}

static size_t texts_size(const json_t *list) {
  size_t size = 0;
  for (size_t i = 0; i < entry_count(list); i++)
    size += entry_text(json_array_get(list, i)).len;
  return size;
}

static size_t token_size(const struct claims *claims) {
  size_t filters = entry_count(claims->read) + entry_count(claims->write);
  return sizeof(struct token) + entry_count(claims->rlimit) * sizeof(struct token_limit) +
         filters * sizeof(struct slice) + json_string_length(claims->sub) +
         texts_size(claims->read) + texts_size(claims->write) + texts_size(claims->rlimit);
}

/* Copies text to where *at is and moves that on. */
static struct slice put_text(char **at, struct slice text) {
  struct slice copy = slice_of(*at, text.len);
  if (text.len > 0) memcpy(*at, text.ptr, text.len);
  *at += text.len;
  return copy;
}

static void put_filters(char **at, const json_t *list, struct token_filters *filters) {
  for (size_t i = 0; i < entry_count(list); i++) {
    const json_t *entry = json_array_get(list, i);
    if (!json_is_string(entry) || !filter_is_valid(string_of(entry))) continue;
    filters->items[filters->count++] = put_text(at, string_of(entry));
  }
}

static bool read_limit(const json_t *entry, struct token_limit *ret_limit) {
  const json_t *interval = json_object_get(entry, "interval");
  const json_t *max = json_object_get(entry, "max");
  struct slice topic = string_of(json_object_get(entry, "topic"));
  if (!filter_is_valid(topic) || !json_is_integer(interval) || !json_is_integer(max)) return false;
  json_int_t interval_s = json_integer_value(interval);
  if (interval_s < 1 || interval_s > UINT32_MAX || json_integer_value(max) < 0) return false;
  *ret_limit = (struct token_limit){topic, (uint32_t)interval_s, (uint64_t)json_integer_value(max)};
  return true;
}

static void put_limits(char **at, const json_t *list, struct token *token) {
  struct token_limit limit;
  for (size_t i = 0; i < entry_count(list); i++) {
    if (!read_limit(json_array_get(list, i), &limit)) continue;
    limit.topic = put_text(at, limit.topic);
    token->limits[token->limit_count++] = limit;
  }
}

/*   struct token | limits | read | write | sub and the text of all entries */
static struct token *build(const struct claims *claims) {
  struct token *token = x_calloc(1, token_size(claims));
  atomic_init(&token->refs, 1);
  token->exp_s = claims->exp_s;
  token->nbf_s = claims->nbf_s;
  token->limits = (struct token_limit *)(token + 1);
  token->read.items = (struct slice *)(token->limits + entry_count(claims->rlimit));
  token->write.items = token->read.items + entry_count(claims->read);
  char *at = (char *)(token->write.items + entry_count(claims->write));
  token->sub = put_text(&at, string_of(claims->sub));
  put_filters(&at, claims->read, &token->read);
  put_filters(&at, claims->write, &token->write);
  put_limits(&at, claims->rlimit, token);
  return token;
}

int token_verify(const struct jws_keys *keys, struct slice text, int64_t now_s,
                 struct token **ret_token) {
  AUTO(json)
  json_t *root = verified_claims(keys, text);
  if (root == NULL) return ERR_INVALID;
  struct claims claims;
  int err = read_claims(root, now_s, &claims);
  if (err != 0) return err;
  struct token *token = build(&claims);
  if (token->read.count + token->write.count == 0) {
    token_unref(token);
    return ERR_DENIED;
  }
  *ret_token = token;
  return 0;
}

struct token *token_ref(struct token *token) {
  atomic_fetch_add_explicit(&token->refs, 1, memory_order_relaxed);
  return token;
}

void token_unref(struct token *token) {
  if (token == NULL) return;
  if (atomic_fetch_sub_explicit(&token->refs, 1, memory_order_acq_rel) == 1) free(token);
}
