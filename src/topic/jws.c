#include "eventhub/topic/jws.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/topic/jws_parts.h"

static const struct jws_kind kinds[JWS_ALGORITHM_COUNT] = {
    [JWS_HS256] = {"HS256", JWS_HMAC, "SHA256", 0, NULL},
    [JWS_HS384] = {"HS384", JWS_HMAC, "SHA384", 0, NULL},
    [JWS_HS512] = {"HS512", JWS_HMAC, "SHA512", 0, NULL},
    [JWS_RS256] = {"RS256", JWS_RSA, "SHA256", 0, NULL},
    [JWS_RS384] = {"RS384", JWS_RSA, "SHA384", 0, NULL},
    [JWS_RS512] = {"RS512", JWS_RSA, "SHA512", 0, NULL},
    [JWS_PS256] = {"PS256", JWS_RSA_PSS, "SHA256", 0, NULL},
    [JWS_PS384] = {"PS384", JWS_RSA_PSS, "SHA384", 0, NULL},
    [JWS_PS512] = {"PS512", JWS_RSA_PSS, "SHA512", 0, NULL},
    [JWS_ES256] = {"ES256", JWS_ECDSA, "SHA256", 256, "prime256v1"},
    [JWS_ES384] = {"ES384", JWS_ECDSA, "SHA384", 384, "secp384r1"},
    [JWS_ES512] = {"ES512", JWS_ECDSA, "SHA512", 521, "secp521r1"},
    [JWS_EDDSA] = {"EdDSA", JWS_EDWARDS, NULL, 0, NULL},
};

const struct jws_kind *jws_kind(enum jws_algorithm algorithm) {
  assert(algorithm < JWS_ALGORITHM_COUNT);
  return &kinds[algorithm];
}

const char *jws_algorithm_name(enum jws_algorithm algorithm) {
  return jws_kind(algorithm)->name;
}

bool jws_is_symmetric(enum jws_algorithm algorithm) {
  return jws_kind(algorithm)->family == JWS_HMAC;
}

/* ---- base64url ---- */

static int digit_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '-') return 62;
  return c == '_' ? 63 : -1;
}

/* Bits that are left over are none of a byte, and zero: each text has one form. */
int jws_decode_base64url(struct slice text, struct buf *out) {
  uint32_t bits = 0;
  unsigned count = 0;
  for (size_t i = 0; i < text.len; i++) {
    int digit = digit_of(text.ptr[i]);
    if (digit < 0) return ERR_INVALID;
    bits = (bits << 6 | (uint32_t)digit) & 0xffff;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    buf_append_char(out, (char)(bits >> count));
  }
  bool is_rest_clear = count < 6 && (bits & ((1U << count) - 1)) == 0;
  return is_rest_clear ? 0 : ERR_INVALID;
}

/* ---- signatures ---- */

static bool verify_hmac(const struct jws_kind *kind, const struct jws_key *key, struct slice text,
                        struct slice signature) {
  unsigned char sum[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  if (key->secret.len == 0 || key->secret.len > INT_MAX) return false;
  if (HMAC(EVP_get_digestbyname(kind->digest), key->secret.data, (int)key->secret.len,
           (const unsigned char *)text.ptr, text.len, sum, &len) == NULL)
    return false;
  return signature.len == len && CRYPTO_memcmp(sum, signature.ptr, len) == 0;
}

/* RFC 7518 3.4: two numbers of the curve's length, one behind the other. OpenSSL wants them in DER.
 */
static bool ecdsa_to_der(const struct jws_kind *kind, struct slice signature, struct buf *out) {
  size_t half = (size_t)(kind->curve_bits + 7) / 8;
  if (signature.len != 2 * half) return false;
  const unsigned char *bytes = (const unsigned char *)signature.ptr;
  ECDSA_SIG *pair = ECDSA_SIG_new();
  BIGNUM *r = BN_bin2bn(bytes, (int)half, NULL), *s = BN_bin2bn(bytes + half, (int)half, NULL);
  unsigned char *der = NULL;
  int len = -1;
  if (pair != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
    len = i2d_ECDSA_SIG(pair, &der);
  } else {
    BN_free(r);
    BN_free(s);
  }
  if (len > 0) buf_append(out, der, (size_t)len);
  OPENSSL_free(der);
  ECDSA_SIG_free(pair);
  return len > 0;
}

static bool set_padding(const struct jws_kind *kind, EVP_PKEY_CTX *pkey) {
  if (kind->family != JWS_RSA_PSS) return true;
  /* RFC 7518 3.5: the salt is as long as the digest. */
  return EVP_PKEY_CTX_set_rsa_padding(pkey, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool verify_pkey(const struct jws_kind *kind, const struct jws_key *key, struct slice text,
                        struct slice signature) {
  AUTO(buf) struct buf der = BUF_INIT;
  if (kind->family == JWS_ECDSA) {
    if (!ecdsa_to_der(kind, signature, &der)) return false;
    signature = buf_slice(&der);
  }
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  EVP_PKEY_CTX *pkey = NULL; /* the context's */
  const EVP_MD *digest = kind->digest == NULL ? NULL : EVP_get_digestbyname(kind->digest);
  bool is_good = context != NULL &&
                 EVP_DigestVerifyInit(context, &pkey, digest, NULL, key->pkey) == 1 &&
                 set_padding(kind, pkey) &&
                 EVP_DigestVerify(context, (const unsigned char *)signature.ptr, signature.len,
                                  (const unsigned char *)text.ptr, text.len) == 1;
  EVP_MD_CTX_free(context);
  ERR_clear_error();
  return is_good;
}

static bool verify_signature(const struct jws_keys *keys, const struct jws_key *key,
                             struct slice text, struct slice signature) {
  const struct jws_kind *kind = jws_kind(keys->algorithm);
  if (kind->family == JWS_HMAC) return verify_hmac(kind, key, text, signature);
  return verify_pkey(kind, key, text, signature);
}

/* ---- texts ---- */

struct jws_text {
  struct slice header, payload, signature; /* in base64url */
  struct slice is_signed;                  /* the first two with their dot */
};

static int split(struct slice text, struct jws_text *ret) {
  struct slice rest = text;
  if (!slice_next_token(&rest, '.', &ret->header)) return ERR_INVALID;
  if (rest.ptr == NULL || !slice_next_token(&rest, '.', &ret->payload)) return ERR_INVALID;
  if (rest.ptr == NULL || memchr(rest.ptr, '.', rest.len) != NULL) return ERR_INVALID;
  ret->signature = rest;
  ret->is_signed = slice_of(text.ptr, (size_t)(rest.ptr - text.ptr) - 1);
  return 0;
}

static json_t *read_header(struct slice text) {
  AUTO(buf) struct buf bytes = BUF_INIT;
  if (jws_decode_base64url(text, &bytes) < 0 || bytes.len == 0) return NULL;
  return json_loadb(bytes.data, bytes.len, JSON_REJECT_DUPLICATES, NULL);
}

static const struct jws_key *find_key(const struct jws_keys *keys, const json_t *header) {
  const json_t *kid = json_object_get(header, "kid");
  if (keys->count == 1 && (keys->keys[0].kid == NULL || kid == NULL)) return &keys->keys[0];
  if (!json_is_string(kid)) return NULL;
  for (size_t i = 0; i < keys->count; i++)
    if (keys->keys[i].kid != NULL && strcmp(keys->keys[i].kid, json_string_value(kid)) == 0)
      return &keys->keys[i];
  return NULL;
}

/* NULL: the header is not one that we take. */
static const struct jws_key *key_of(const struct jws_keys *keys, const json_t *header) {
  const json_t *algorithm = json_object_get(header, "alg");
  if (!json_is_string(algorithm)) return NULL;
  if (strcmp(json_string_value(algorithm), jws_algorithm_name(keys->algorithm)) != 0) return NULL;
  if (json_object_get(header, "crit") != NULL) return NULL;
  return find_key(keys, header);
}

int jws_verify(const struct jws_keys *keys, struct slice text, struct buf *ret_payload) {
  struct jws_text parts;
  AUTO(buf) struct buf signature = BUF_INIT;
  if (text.len == 0 || split(text, &parts) < 0) return ERR_INVALID;
  if (jws_decode_base64url(parts.signature, &signature) < 0 || signature.len == 0)
    return ERR_INVALID;
  json_t *header = read_header(parts.header);
  const struct jws_key *key = header != NULL ? key_of(keys, header) : NULL;
  json_decref(header);
  if (key == NULL || !verify_signature(keys, key, parts.is_signed, buf_slice(&signature)))
    return ERR_INVALID;
  return jws_decode_base64url(parts.payload, ret_payload);
}

/* ---- keyring ---- */

void jws_keyring_init(struct jws_keyring *ring, struct jws_keys *keys) {
  pthread_mutex_init(&ring->lock, NULL);
  ring->keys = keys;
}

void jws_keyring_done(struct jws_keyring *ring) {
  jws_keys_unref(ring->keys);
  ring->keys = NULL;
  pthread_mutex_destroy(&ring->lock);
}

struct jws_keys *jws_keyring_get(struct jws_keyring *ring) {
  pthread_mutex_lock(&ring->lock);
  struct jws_keys *keys = jws_keys_ref(ring->keys);
  pthread_mutex_unlock(&ring->lock);
  return keys;
}

void jws_keyring_exchange(struct jws_keyring *ring, struct jws_keys *keys) {
  pthread_mutex_lock(&ring->lock);
  struct jws_keys *old = ring->keys;
  ring->keys = keys;
  pthread_mutex_unlock(&ring->lock);
  jws_keys_unref(old);
}
