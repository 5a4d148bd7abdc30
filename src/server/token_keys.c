#include "eventhub/server/token_keys.h"

#include <string.h>

#include "eventhub/base/err.h"

static int refuse(struct buf *why, const char *text) {
  buf_append_str(why, text);
  return ERR_INVALID;
}

static int load_secret(const struct options *options, struct jws_keys **ret, struct buf *why) {
  if (options->jwt_public_key[0] != '\0') {
    buf_printf(
        why,
        "JWT_PUBLIC_KEY is set, but JWT_ALGORITHM=%s checks with a secret; set JWT_ALGORITHM "
        "to what the key is for, such as RS256 or ES256, or remove JWT_PUBLIC_KEY",
        jws_algorithm_name(options->jwt_algorithm));
    return ERR_INVALID;
  }
  /* Who has the public key could make tokens with it. */
  if (strncmp(options->jwt_secret, "-----BEGIN", strlen("-----BEGIN")) == 0)
    return refuse(why,
                  "JWT_SECRET is a key in PEM, not a secret; name its file in JWT_PUBLIC_KEY, and "
                  "what it is for in JWT_ALGORITHM");
  *ret = jws_keys_of_secret(options->jwt_algorithm, slice_str(options->jwt_secret));
  return 0;
}

bool token_keys_come_from_a_file(const struct options *options) {
  return options->jwt_jwks[0] != '\0' || options->jwt_public_key[0] != '\0';
}

int token_keys_load(const struct options *options, struct jws_keys **ret, struct buf *why) {
  enum jws_algorithm algorithm = options->jwt_algorithm;
  if (options->jwt_jwks[0] != '\0') {
    buf_append_str(why, "JWT_JWKS: ");
    return jws_keys_read_set(algorithm, options->jwt_jwks, ret, why);
  }
  if (jws_is_symmetric(algorithm)) return load_secret(options, ret, why);
  if (options->jwt_public_key[0] != '\0') {
    buf_append_str(why, "JWT_PUBLIC_KEY: ");
    return jws_keys_read_pem(algorithm, options->jwt_public_key, ret, why);
  }
  buf_printf(why, "JWT_ALGORITHM=%s needs a public key; set JWT_PUBLIC_KEY or JWT_JWKS to its file",
             jws_algorithm_name(algorithm));
  return ERR_INVALID;
}
