#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "eventhub/base/clock.h"
#include "eventhub/base/mem.h"
#include "eventhub/base/random.h"
#include "eventhub/net/tls_parts.h"

enum { NAME_LEN = 16, KEY_LEN = 32 };

struct ticket_key {
  unsigned char name[NAME_LEN];
  unsigned char aes[KEY_LEN], hmac[KEY_LEN];
  uint64_t made_ms; /* 0: there is none */
};

struct tls_tickets {
  pthread_mutex_t lock;
  struct ticket_key current, previous;
};

static void make_key(struct ticket_key *key, uint64_t now_ms) {
  random_bytes(key->name, sizeof key->name);
  random_bytes(key->aes, sizeof key->aes);
  random_bytes(key->hmac, sizeof key->hmac);
  key->made_ms = now_ms;
}

/* What was sealed stays secret once its key is gone: who gets hold of this process's memory reads
 * what was resumed lately, and nothing older. */
static void renew(struct tls_tickets *tickets) {
  enum { LIFE_MS = TLS_TICKET_KEY_S * 1000 };
  uint64_t now_ms = clock_monotonic_ms();
  uint64_t age_ms = now_ms - tickets->current.made_ms;
  if (tickets->current.made_ms != 0 && age_ms < LIFE_MS) return;
  if (age_ms < 2 * (uint64_t)LIFE_MS)
    tickets->previous = tickets->current;
  else
    OPENSSL_cleanse(&tickets->previous, sizeof tickets->previous);
  make_key(&tickets->current, now_ms);
}

static bool has_name(const struct ticket_key *key, const unsigned char *name) {
  return key->made_ms != 0 && CRYPTO_memcmp(key->name, name, NAME_LEN) == 0;
}

/* Copies the key to seal with, or the one of that name. False: it is not known any more. */
static bool pick(struct tls_tickets *tickets, bool seals, const unsigned char *name,
                 struct ticket_key *ret, bool *ret_is_current) {
  pthread_mutex_lock(&tickets->lock);
  renew(tickets);
  *ret_is_current = seals || has_name(&tickets->current, name);
  bool is_known = *ret_is_current || has_name(&tickets->previous, name);
  if (is_known) *ret = *ret_is_current ? tickets->current : tickets->previous;
  pthread_mutex_unlock(&tickets->lock);
  return is_known;
}

static bool set_hmac(EVP_MAC_CTX *mac, struct ticket_key *key) {
  static char digest[] = "SHA256";
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, sizeof key->hmac),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int use_key(struct ticket_key *key, bool seals, unsigned char *name, unsigned char *iv,
                   EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool is_current) {
  if (seals) {
    memcpy(name, key->name, NAME_LEN);
    random_bytes(iv, EVP_MAX_IV_LENGTH);
  }
  if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv, seals) != 1) return -1;
  if (!set_hmac(mac, key)) return -1;
  return is_current ? 1 : 2; /* 2: good, and to be replaced */
}

static int tickets_index; /* of the tickets in the context */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_index(void) {
  tickets_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

/* As SSL_CTX_set_tlsext_ticket_key_evp_cb(3) has it. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int seals) {
  struct tls_tickets *tickets = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tickets_index);
  struct ticket_key key;
  bool is_current;
  if (!pick(tickets, seals != 0, name, &key, &is_current)) return 0;
  int result = use_key(&key, seals != 0, name, iv, cipher, mac, is_current);
  OPENSSL_cleanse(&key, sizeof key);
  return result;
}

struct tls_tickets *tls_tickets_new(SSL_CTX *context) {
  pthread_once(&once, make_index);
  struct tls_tickets *tickets = x_calloc(1, sizeof *tickets);
  pthread_mutex_init(&tickets->lock, NULL);
  SSL_CTX_set_ex_data(context, tickets_index, tickets);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
  return tickets;
}

void tls_tickets_free(struct tls_tickets *tickets) {
  if (tickets == NULL) return;
  pthread_mutex_destroy(&tickets->lock);
  OPENSSL_cleanse(tickets, sizeof *tickets);
  free(tickets);
}
