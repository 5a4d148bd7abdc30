#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/topic/jws_parts.h"

enum { FILE_MAX = 1 << 20 };

/* ---- sets ---- */

static struct jws_keys *make_keys(enum jws_algorithm algorithm) {
  struct jws_keys *keys = x_calloc(1, sizeof *keys);
  atomic_init(&keys->refs, 1);
  keys->algorithm = algorithm;
  return keys;
}

size_t jws_keys_count(const struct jws_keys *keys) {
  return keys->count;
}

struct jws_keys *jws_keys_ref(struct jws_keys *keys) {
  atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
  return keys;
}

static void key_done(struct jws_key *key) {
  free(key->kid);
  EVP_PKEY_free(key->pkey);
  if (key->secret.data != NULL) OPENSSL_cleanse(key->secret.data, key->secret.len);
  buf_done(&key->secret);
}

void jws_keys_unref(struct jws_keys *keys) {
  if (keys == NULL) return;
  if (atomic_fetch_sub_explicit(&keys->refs, 1, memory_order_acq_rel) != 1) return;
  for (size_t i = 0; i < keys->count; i++)
    key_done(&keys->keys[i]);
  free(keys);
}

struct jws_keys *jws_keys_of_secret(enum jws_algorithm algorithm, struct slice secret) {
  struct jws_keys *keys = make_keys(algorithm);
  buf_append_slice(&keys->keys[0].secret, secret);
  keys->count = 1;
  return keys;
}

/* ---- files ---- */

static int complain(struct buf *why, int err, const char *path, const char *what) {
  buf_printf(why, "%s %s", path, what);
  return err;
}

static int read_whole(const char *path, struct buf *ret, struct buf *why) {
  FILE *file = fopen(path, "rbe");
  if (file == NULL) {
    buf_printf(why, "%s cannot be read: %s", path, strerror(errno));
    return ERR_SYSTEM;
  }
  size_t len = fread(buf_reserve(ret, FILE_MAX + 1), 1, FILE_MAX + 1, file);
  bool has_failed = ferror(file) != 0;
  fclose(file);
  buf_commit(ret, len);
  if (has_failed) return complain(why, ERR_SYSTEM, path, "cannot be read");
  return len > FILE_MAX ? complain(why, ERR_INVALID, path, "is larger than a megabyte") : 0;
}

/* Other curves have as many bits, too. */
static bool is_on_curve(const struct jws_kind *kind, const EVP_PKEY *pkey) {
  char name[64];
  if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_EC) return false;
  return EVP_PKEY_get_group_name(pkey, name, sizeof name, NULL) == 1 &&
         strcmp(name, kind->curve) == 0;
}

/* NULL: it fits. */
static const char *misfit_of(const struct jws_kind *kind, const EVP_PKEY *pkey) {
  int id = EVP_PKEY_get_base_id(pkey);
  switch (kind->family) {
  case JWS_RSA:
  case JWS_RSA_PSS:
    if (id != EVP_PKEY_RSA && !(id == EVP_PKEY_RSA_PSS && kind->family == JWS_RSA_PSS))
      return "has no RSA key, which JWT_ALGORITHM asks for";
    return EVP_PKEY_get_bits(pkey) < JWS_RSA_BITS_MIN
               ? "has an RSA key of less than 2048 bits, which is not safe"
               : NULL;
  case JWS_ECDSA:
    if (is_on_curve(kind, pkey)) return NULL;
    return "has no key on the curve that JWT_ALGORITHM asks for: P-256 for ES256, P-384 for "
           "ES384, P-521 for ES512";
  case JWS_EDWARDS:
    return id == EVP_PKEY_ED25519 || id == EVP_PKEY_ED448
               ? NULL
               : "has no Ed25519 or Ed448 key, which JWT_ALGORITHM asks for";
  default: return "has no secret, which JWT_ALGORITHM asks for";
  }
}

/* ---- PEM ---- */

static EVP_PKEY *read_certificate(struct slice bytes) {
  BIO *bio = BIO_new_mem_buf(bytes.ptr, (int)bytes.len);
  X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
  EVP_PKEY *pkey = certificate != NULL ? X509_get_pubkey(certificate) : NULL;
  X509_free(certificate);
  BIO_free(bio);
  return pkey;
}

static EVP_PKEY *read_public_key(struct slice bytes) {
  BIO *bio = BIO_new_mem_buf(bytes.ptr, (int)bytes.len);
  EVP_PKEY *pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
  BIO_free(bio);
  if (pkey == NULL) pkey = read_certificate(bytes);
  ERR_clear_error();
  return pkey;
}

int jws_keys_read_pem(enum jws_algorithm algorithm, const char *path, struct jws_keys **ret,
                      struct buf *why) {
  AUTO(buf) struct buf bytes = BUF_INIT;
  int err = read_whole(path, &bytes, why);
  if (err < 0) return err;
  EVP_PKEY *pkey = read_public_key(buf_slice(&bytes));
  if (pkey == NULL)
    return complain(why, ERR_INVALID, path,
                    "has no public key in PEM (-----BEGIN PUBLIC KEY-----) and no certificate");
  const char *misfit = misfit_of(jws_kind(algorithm), pkey);
  if (misfit != NULL) {
    EVP_PKEY_free(pkey);
    return complain(why, ERR_INVALID, path, misfit);
  }
  *ret = make_keys(algorithm);
  (*ret)->keys[0].pkey = pkey;
  (*ret)->count = 1;
  return 0;
}

/* ---- JWK: RFC 7517, RFC 7518 6, RFC 8037 2 ---- */

static bool is_text(const json_t *jwk, const char *name, const char *value) {
  const char *text = json_string_value(json_object_get(jwk, name));
  return text != NULL && strcmp(text, value) == 0;
}

static int member_bytes(const json_t *jwk, const char *name, struct buf *out) {
  const json_t *value = json_object_get(jwk, name);
  if (!json_is_string(value)) return ERR_INVALID;
  return jws_decode_base64url(slice_of(json_string_value(value), json_string_length(value)), out);
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build) {
  OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
  EVP_PKEY *pkey = NULL;
  if (params != NULL && context != NULL && EVP_PKEY_fromdata_init(context) == 1)
    EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params);
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(params);
  return pkey;
}

static EVP_PKEY *read_rsa(const json_t *jwk) {
  AUTO(buf) struct buf n = BUF_INIT;
  AUTO(buf) struct buf e = BUF_INIT;
  if (member_bytes(jwk, "n", &n) < 0 || member_bytes(jwk, "e", &e) < 0) return NULL;
  BIGNUM *modulus = BN_bin2bn((unsigned char *)n.data, (int)n.len, NULL);
  BIGNUM *exponent = BN_bin2bn((unsigned char *)e.data, (int)e.len, NULL);
  OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
  EVP_PKEY *pkey = NULL;
  if (OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
      OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
    pkey = from_params("RSA", build);
  OSSL_PARAM_BLD_free(build);
  BN_free(modulus);
  BN_free(exponent);
  return pkey;
}

/* The point as OpenSSL reads it: 4, x, y. */
static EVP_PKEY *read_ec(const json_t *jwk, const char *group, size_t bytes) {
  AUTO(buf) struct buf point = BUF_INIT;
  buf_append_char(&point, 4);
  if (member_bytes(jwk, "x", &point) < 0 || point.len != 1 + bytes) return NULL;
  if (member_bytes(jwk, "y", &point) < 0 || point.len != 1 + 2 * bytes) return NULL;
  OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
  EVP_PKEY *pkey = NULL;
  if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
      OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.len) == 1)
    pkey = from_params("EC", build);
  OSSL_PARAM_BLD_free(build);
  return pkey;
}

static EVP_PKEY *read_edwards(const json_t *jwk, int type) {
  AUTO(buf) struct buf x = BUF_INIT;
  if (member_bytes(jwk, "x", &x) < 0) return NULL;
  return EVP_PKEY_new_raw_public_key(type, NULL, (unsigned char *)x.data, x.len);
}

static EVP_PKEY *read_pkey(const json_t *jwk) {
  if (is_text(jwk, "kty", "RSA")) return read_rsa(jwk);
  if (is_text(jwk, "crv", "P-256")) return read_ec(jwk, "P-256", 32);
  if (is_text(jwk, "crv", "P-384")) return read_ec(jwk, "P-384", 48);
  if (is_text(jwk, "crv", "P-521")) return read_ec(jwk, "P-521", 66);
  if (is_text(jwk, "crv", "Ed25519")) return read_edwards(jwk, EVP_PKEY_ED25519);
  return is_text(jwk, "crv", "Ed448") ? read_edwards(jwk, EVP_PKEY_ED448) : NULL;
}

static const char *type_of(const struct jws_kind *kind) {
  static const char *const types[] = {[JWS_HMAC] = "oct",
                                      [JWS_RSA] = "RSA",
                                      [JWS_RSA_PSS] = "RSA",
                                      [JWS_ECDSA] = "EC",
                                      [JWS_EDWARDS] = "OKP"};
  return types[kind->family];
}

/* Is the key meant to check what this algorithm signs? */
static bool is_ours(const struct jws_kind *kind, const json_t *jwk) {
  if (!is_text(jwk, "kty", type_of(kind))) return false;
  if (json_object_get(jwk, "use") != NULL && !is_text(jwk, "use", "sig")) return false;
  return json_object_get(jwk, "alg") == NULL || is_text(jwk, "alg", kind->name);
}

/* What is wrong; NULL: nothing. */
static const char *read_key(const struct jws_kind *kind, const json_t *jwk, struct jws_key *key) {
  const char *kid = json_string_value(json_object_get(jwk, "kid"));
  if (kid != NULL) key->kid = x_strndup(kid, strlen(kid));
  if (kind->family == JWS_HMAC)
    return member_bytes(jwk, "k", &key->secret) < 0 || key->secret.len == 0
               ? "has a secret that cannot be read"
               : NULL;
  key->pkey = read_pkey(jwk);
  ERR_clear_error();
  return key->pkey == NULL ? "has a key that cannot be read" : misfit_of(kind, key->pkey);
}

/* A curve of its own is what makes an EC key ours. */
static bool is_of_curve(const struct jws_kind *kind, const json_t *jwk) {
  if (kind->family != JWS_ECDSA) return true;
  char curve[16];
  snprintf(curve, sizeof curve, "P-%d", kind->curve_bits);
  return is_text(jwk, "crv", curve);
}

static int add_keys(struct jws_keys *keys, const json_t *list, const char *path, struct buf *why) {
  const struct jws_kind *kind = jws_kind(keys->algorithm);
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *jwk = json_array_get(list, i);
    if (!is_ours(kind, jwk) || !is_of_curve(kind, jwk)) continue;
    if (keys->count == JWS_KEYS_MAX) return complain(why, ERR_TOO_BIG, path, "has too many keys");
    const char *wrong = read_key(kind, jwk, &keys->keys[keys->count++]);
    if (wrong != NULL) return complain(why, ERR_INVALID, path, wrong);
  }
  if (keys->count > 0) return 0;
  buf_printf(why, "%s has no key for %s", path, kind->name);
  return ERR_NOT_FOUND;
}

static int read_list(struct jws_keys *keys, struct slice bytes, const char *path, struct buf *why) {
  json_t *set = json_loadb(bytes.ptr, bytes.len, JSON_REJECT_DUPLICATES, NULL);
  const json_t *list = json_object_get(set, "keys");
  int err = json_is_array(list)
                ? add_keys(keys, list, path, why)
                : complain(why, ERR_INVALID, path, "is no JWK set: {\"keys\": [...]}");
  json_decref(set);
  return err;
}

int jws_keys_read_set(enum jws_algorithm algorithm, const char *path, struct jws_keys **ret,
                      struct buf *why) {
  AUTO(buf) struct buf bytes = BUF_INIT;
  int err = read_whole(path, &bytes, why);
  if (err < 0) return err;
  struct jws_keys *keys = make_keys(algorithm);
  err = read_list(keys, buf_slice(&bytes), path, why);
  OPENSSL_cleanse(bytes.data, bytes.len);
  if (err < 0) {
    jws_keys_unref(keys);
    return err;
  }
  *ret = keys;
  return 0;
}
