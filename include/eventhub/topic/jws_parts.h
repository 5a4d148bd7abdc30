#ifndef EVENTHUB_TOPIC_JWS_PARTS_H
#define EVENTHUB_TOPIC_JWS_PARTS_H

/* The inside of jws, for the files that it is made of: jws (verifying), jws_keys (where keys come
 * from). */

#include <stdatomic.h>
#include <stdbool.h>

#include <openssl/evp.h>

#include "eventhub/topic/jws.h"

enum jws_family { JWS_HMAC, JWS_RSA, JWS_RSA_PSS, JWS_ECDSA, JWS_EDWARDS };

struct jws_kind {
  const char *name;
  enum jws_family family;
  const char *digest; /* NULL: part of the algorithm */
  int curve_bits;     /* ECDSA */
  const char *curve;  /* ... as OpenSSL names it */
};

const struct jws_kind *jws_kind(enum jws_algorithm algorithm);

struct jws_key {
  char *kid;      /* NULL = any text, in a set of one key without an id */
  EVP_PKEY *pkey; /* NULL: a secret */
  struct buf secret;
};

struct jws_keys {
  atomic_uint refs;
  enum jws_algorithm algorithm;
  size_t count;
  struct jws_key keys[JWS_KEYS_MAX];
};

/* Appends the bytes of base64url without padding (RFC 4648 5); ERR_INVALID. */
int jws_decode_base64url(struct slice text, struct buf *out);

#endif
