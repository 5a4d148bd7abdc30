#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/net/tls_parts.h"

struct tls_config {
  _Atomic unsigned refs;
  SSL_CTX *context;
  struct tls_tickets *tickets;
  uint64_t expires_s;
};

/* Without forward secrecy, or without authenticated encryption, there is nothing here. */
static const char ciphers_12[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
static const char ciphers_13[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/* ---- files ---- */

/* OpenSSL's word for it, if it has one. */
static void append_reason(struct buf *why) {
  const char *reason = ERR_reason_error_string(ERR_peek_last_error());
  if (reason != NULL) buf_printf(why, " (%s)", reason);
  ERR_clear_error();
}

static int refuse(struct buf *why, const struct tls_file *file, const char *text) {
  buf_printf(why, "%s: %s %s", file->name, file->path, text);
  append_reason(why);
  return ERR_INVALID;
}

static int check_readable(const struct tls_file *file, struct buf *why) {
  struct stat status;
  int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  bool is_good = fd >= 0 && fstat(fd, &status) == 0;
  if (is_good && !S_ISREG(status.st_mode)) {
    errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    is_good = false;
  }
  if (!is_good)
    buf_printf(why, "%s: %s cannot be read: %s", file->name, file->path, strerror(errno));
  if (fd >= 0) close(fd);
  return is_good ? 0 : ERR_SYSTEM;
}

/* A daemon has nobody to ask. */
static int no_passphrase(char *out, int cap, int is_written, void *context) {
  (void)out;
  (void)cap;
  (void)is_written;
  (void)context;
  return -1;
}

static int load_certificate(SSL_CTX *context, const struct tls_file *file, struct buf *why) {
  int err = check_readable(file, why);
  if (err < 0) return err;
  if (SSL_CTX_use_certificate_chain_file(context, file->path) == 1) return 0;
  return refuse(why, file, "holds no certificate in PEM that can be used");
}

static int load_key(SSL_CTX *context, const struct tls_files *files, struct buf *why) {
  const struct tls_file *file = &files->private_key;
  int err = check_readable(file, why);
  if (err < 0) return err;
  bool is_loaded = SSL_CTX_use_PrivateKey_file(context, file->path, SSL_FILETYPE_PEM) == 1;
  int reason = ERR_GET_REASON(ERR_peek_last_error());
  if (is_loaded && SSL_CTX_check_private_key(context) == 1) return 0;
  if (is_loaded || reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH) {
    buf_printf(why, "%s: %s is not the key of the certificate in %s", file->name, file->path,
               files->certificate.path);
    ERR_clear_error();
    return ERR_INVALID;
  }
  return refuse(why, file,
                "holds no private key in PEM that can be used; one with a passphrase cannot");
}

static int load_client_ca(SSL_CTX *context, const struct tls_file *file, struct buf *why) {
  if (file->path[0] == '\0') return 0;
  int err = check_readable(file, why);
  if (err < 0) return err;
  STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file->path);
  if (names == NULL || SSL_CTX_load_verify_locations(context, file->path, NULL) != 1) {
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    return refuse(why, file, "holds no CA certificate in PEM");
  }
  SSL_CTX_set_client_CA_list(context, names);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  return 0;
}

/* ---- the context ---- */

/* RFC 7301 3.2: who offers protocols and not ours is told so. */
static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                           const unsigned char *offered, unsigned offered_len, void *context) {
  static const unsigned char ours[] = "\x08http/1.1";
  (void)ssl;
  (void)context;
  unsigned char *chosen;
  if (SSL_select_next_proto(&chosen, ret_len, ours, sizeof ours - 1, offered, offered_len) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *ret = chosen;
  return SSL_TLSEXT_ERR_OK;
}

static bool set_up(SSL_CTX *context) {
  static const unsigned char name[] = "eventhub";
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  /* An idle session keeps no buffers. */
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  /* Sessions are resumed by tickets: nothing is kept for a client that is gone. */
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
  SSL_CTX_set_default_passwd_cb(context, no_passphrase);
  return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_cipher_list(context, ciphers_12) == 1 &&
         SSL_CTX_set_ciphersuites(context, ciphers_13) == 1 &&
         SSL_CTX_set_session_id_context(context, name, sizeof name - 1) == 1;
}

static uint64_t end_of(const X509 *certificate) {
  int days = 0, seconds = 0;
  /* From now on, and so without calendars. */
  if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) != 1) return 0;
  int64_t at_s = (int64_t)(clock_wall_ms() / 1000) + (int64_t)days * 86400 + seconds;
  return at_s > 0 ? (uint64_t)at_s : 0;
}

static int load_files(SSL_CTX *context, const struct tls_files *files, struct buf *why) {
  int err = load_certificate(context, &files->certificate, why);
  if (err == 0) err = load_key(context, files, why);
  return err < 0 ? err : load_client_ca(context, &files->client_ca, why);
}

int tls_config_load(const struct tls_files *files, struct tls_config **ret, struct buf *why) {
  ERR_clear_error();
  SSL_CTX *context = SSL_CTX_new(TLS_server_method());
  if (context == NULL || !set_up(context)) {
    buf_append_str(why, "TLS cannot be set up");
    append_reason(why);
    SSL_CTX_free(context);
    return ERR_INVALID;
  }
  int err = load_files(context, files, why);
  if (err < 0) {
    SSL_CTX_free(context);
    return err;
  }
  struct tls_config *config = x_calloc(1, sizeof *config);
  atomic_init(&config->refs, 1);
  config->context = context;
  config->tickets = tls_tickets_new(context);
  config->expires_s = end_of(SSL_CTX_get0_certificate(context));
  *ret = config;
  return 0;
}

uint64_t tls_config_expires_s(const struct tls_config *config) {
  return config->expires_s;
}

SSL_CTX *tls_config_context(struct tls_config *config) {
  return config->context;
}

struct tls_config *tls_config_ref(struct tls_config *config) {
  atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
  return config;
}

void tls_config_unref(struct tls_config *config) {
  if (config == NULL) return;
  if (atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) != 1) return;
  SSL_CTX_free(config->context);
  tls_tickets_free(config->tickets);
  free(config);
}

/* ---- the one in use ---- */

void tls_slot_init(struct tls_slot *slot, struct tls_config *config) {
  pthread_mutex_init(&slot->lock, NULL);
  slot->config = config;
}

void tls_slot_done(struct tls_slot *slot) {
  tls_config_unref(slot->config);
  slot->config = NULL;
  pthread_mutex_destroy(&slot->lock);
}

struct tls_config *tls_slot_get(struct tls_slot *slot) {
  pthread_mutex_lock(&slot->lock);
  struct tls_config *config = slot->config == NULL ? NULL : tls_config_ref(slot->config);
  pthread_mutex_unlock(&slot->lock);
  return config;
}

void tls_slot_exchange(struct tls_slot *slot, struct tls_config *config) {
  pthread_mutex_lock(&slot->lock);
  struct tls_config *old = slot->config;
  slot->config = config;
  pthread_mutex_unlock(&slot->lock);
  tls_config_unref(old);
}
