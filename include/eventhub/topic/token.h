/* Tokens: a JWT turned into what its bearer may do.
 *
 * The signature and the algorithm are checked by jws.h, `exp` and `nbf` here.
 *
 * A token is immutable and counted by an atomic reference count: any thread may read it and hold
 * references. Neither tokens nor their claims are ever logged. */
#ifndef EVENTHUB_TOPIC_TOKEN_H
#define EVENTHUB_TOPIC_TOKEN_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/slice.h"
#include "eventhub/topic/jws.h"

enum {
  TOKEN_TEXT_MAX = 8192,   /* bytes in the longest token that is looked at */
  TOKEN_ENTRIES_MAX = 1024 /* entries looked at in each of read, write and rlimit */
};

/* Who may publish how often: at most `max` messages in each window of `interval_s` seconds. */
struct token_limit {
  struct slice topic; /* topic or pattern */
  uint32_t interval_s;
  uint64_t max;
};

/* A list of valid topics and patterns. */
struct token_filters {
  struct slice *items;
  size_t count;
};

/* One allocation, with everything that it points at. */
struct token {
  atomic_uint refs;
  struct slice sub; /* raw text, "" = none */
  int64_t exp_s;    /* seconds since the epoch; 0 = never */
  int64_t nbf_s;    /* 0 = none */
  struct token_filters read;
  struct token_filters write;
  struct token_limit *limits;
  size_t limit_count;
};

/* Verifies the text as of now_s (seconds since the epoch) and returns a token with one reference.
 *   ERR_INVALID  not a JWT, too long, another algorithm, a wrong signature, or a claim of a wrong
 *                type: `exp` or `nbf` no integer, `sub` no string, `read` or `write` no array
 *   ERR_EXPIRED  RFC 7519 4.1.4: `exp` is at or before now
 *   ERR_DENIED   RFC 7519 4.1.5: `nbf` is after now; or no valid entry in `read` and `write`
 * Entries of `read` and `write` that are no valid filters are skipped, as are entries of `rlimit`
 * that lack a valid topic, an interval of at least a second or a max. */
int token_verify(const struct jws_keys *keys, struct slice text, int64_t now_s,
                 struct token **ret_token);

struct token *token_ref(struct token *token);

/* Frees the token with the last reference. NULL is fine. */
void token_unref(struct token *token);

/* AUTO(token) struct token *token = NULL; */
static inline void token_cleanup(struct token **token) {
  token_unref(*token);
}

#endif
