/* Tokens. The first byte says what the others are:
 *
 *   t  the text of a token, as a client sends it
 *   c  claims, which are signed first, so that they get past the signature
 *
 * Nobody gets a token without a claim that allows something; nobody gets one at all by `alg` none.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jwt.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/base/slice.h"
#include "eventhub/topic/acl.h"
#include "eventhub/topic/name.h"
#include "eventhub/topic/rate_limit.h"
#include "eventhub/topic/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW_S = 1700000000 };

static const char secret[] = "fuzz";
static struct jws_keys *keys; /* made once */

static void jwt_cleanup(jwt_t **jwt) {
  jwt_free(*jwt);
}

static void check(bool holds) {
  if (!holds) abort();
}

static void check_filters(const struct token_filters *filters) {
  for (size_t i = 0; i < filters->count; i++)
    check(filter_is_valid(filters->items[i]));
}

static void use(const struct token *token) {
  check(token->read.count + token->write.count > 0);
  check_filters(&token->read);
  check_filters(&token->write);
  if (token->read.count > 0) check(acl_may_read(token, token->read.items[0]));
  for (size_t i = 0; i < token->limit_count; i++) {
    check(filter_is_valid(token->limits[i].topic) && token->limits[i].interval_s > 0);
    rate_limit_find(token, token->limits[i].topic);
  }
}

static void verify(struct slice text) {
  AUTO(token) struct token *token = NULL;
  if (token_verify(keys, text, NOW_S, &token) == 0)
    use(token);
  else
    check(token == NULL);
}

/* NULL where libjwt does not take the claims. */
static char *sign(const char *claims, jwt_alg_t alg) {
  AUTO(jwt) jwt_t *jwt = NULL;
  const unsigned char *key = alg == JWT_ALG_NONE ? NULL : (const unsigned char *)secret;
  if (jwt_new(&jwt) != 0 || jwt_add_grants_json(jwt, claims) != 0) return NULL;
  if (jwt_set_alg(jwt, alg, key, key ? (int)strlen(secret) : 0) != 0) return NULL;
  return jwt_encode_str(jwt);
}

static void verify_claims(struct slice text) {
  AUTO(mem) char *claims = x_strndup(text.ptr, text.len);
  AUTO(mem) char *signed_text = sign(claims, JWT_ALG_HS256);
  AUTO(mem) char *unsigned_text = sign(claims, JWT_ALG_NONE);
  struct token *none = NULL;
  if (signed_text != NULL) verify(slice_str(signed_text));
  if (unsigned_text != NULL) check(token_verify(keys, slice_str(unsigned_text), NOW_S, &none) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  if (keys == NULL) keys = jws_keys_of_secret(JWS_HS256, slice_str(secret));
  struct slice rest = slice_skip(slice_of((const char *)data, size), 1);
  if (data[0] == 't') verify(rest);
  if (data[0] == 'c' && rest.len < TOKEN_TEXT_MAX) verify_claims(rest);
  return 0;
}
