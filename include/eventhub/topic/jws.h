#ifndef EVENTHUB_TOPIC_JWS_H
#define EVENTHUB_TOPIC_JWS_H

/*
 * Signed texts in the compact form of RFC 7515, and the keys that check them. Keys belong to one
 * algorithm: a text that names another is refused before any key is looked at, so that no key is
 * ever used as something else than it is (RFC 8725 3.1). `none` is no algorithm.
 *
 * A set of keys is immutable and counted: any thread may verify with it. A keyring holds the set
 * that is in use, which may be exchanged at any time. Signatures, texts and secrets are never
 * logged.
 */

#include <pthread.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"

enum jws_algorithm {
  JWS_HS256,
  JWS_HS384,
  JWS_HS512,
  JWS_RS256,
  JWS_RS384,
  JWS_RS512,
  JWS_PS256,
  JWS_PS384,
  JWS_PS512,
  JWS_ES256,
  JWS_ES384,
  JWS_ES512,
  JWS_EDDSA,
  JWS_ALGORITHM_COUNT
};

enum { JWS_KEYS_MAX = 64, JWS_RSA_BITS_MIN = 2048 };

/* As the header of a text has it: RFC 7518 3.1, RFC 8037 3.1. */
const char *jws_algorithm_name(enum jws_algorithm algorithm);
/* Does it check with the secret that it signs with? */
bool jws_is_symmetric(enum jws_algorithm algorithm);

struct jws_keys;

/* Of an HS algorithm. With an empty secret nothing verifies. Copies it. */
struct jws_keys *jws_keys_of_secret(enum jws_algorithm algorithm, struct slice secret);

/* A PEM file with one public key, or a certificate. */
int jws_keys_read_pem(enum jws_algorithm algorithm, const char *path, struct jws_keys **ret,
                      struct buf *why);
/* A JWK set (RFC 7517 5). Keys that are for something else are passed over; ERR_NOT_FOUND where
 * that is all of them. */
int jws_keys_read_set(enum jws_algorithm algorithm, const char *path, struct jws_keys **ret,
                      struct buf *why);
/* Both answer 0, or an error with `why`: a phrase that names the file and says what is wrong:
 *   ERR_SYSTEM   the file cannot be read
 *   ERR_INVALID  it is not what it should be; a key is too short, or of another kind */

size_t jws_keys_count(const struct jws_keys *keys);
struct jws_keys *jws_keys_ref(struct jws_keys *keys);
void jws_keys_unref(struct jws_keys *keys);

static inline void jws_keys_cleanup(struct jws_keys **keys) {
  jws_keys_unref(*keys);
}

/* Appends the payload of a text whose signature is good. ERR_INVALID for any other: not of the
 * form, another algorithm, an extension that must be understood (RFC 7515 4.1.11), no key of its
 * `kid` (without one: more than one key), a wrong signature. */
int jws_verify(const struct jws_keys *keys, struct slice text, struct buf *ret_payload);

/* ---- keyring ---- */

struct jws_keyring {
  pthread_mutex_t lock;
  struct jws_keys *keys;
};

/* Takes over the reference. */
void jws_keyring_init(struct jws_keyring *ring, struct jws_keys *keys);
void jws_keyring_done(struct jws_keyring *ring);
/* A reference of the caller's. */
struct jws_keys *jws_keyring_get(struct jws_keyring *ring);
/* Takes over the reference; who has the old keys keeps them. */
void jws_keyring_exchange(struct jws_keyring *ring, struct jws_keys *keys);

#endif
