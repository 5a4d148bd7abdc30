#ifndef EVENTHUB_TESTS_NET_TLS_FIXTURE_H
#define EVENTHUB_TESTS_NET_TLS_FIXTURE_H

/* Certificates made on the spot, and a client of OpenSSL's own at the other end of a socket. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "eventhub/base/err.h"
#include "eventhub/net/stream.h"
#include "eventhub/net/tls.h"

struct tls_files_made {
  char directory[64];
  char certificate[128], key[128];
};

static void files_write(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  fclose(file);
}

static X509 *certificate_of(EVP_PKEY *key, long days) {
  X509 *certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), days * 86400);
  X509_NAME *name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                             0);
  X509_set_issuer_name(certificate, name);
  X509_set_pubkey(certificate, key);
  assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
  return certificate;
}

/* `passphrase` may be NULL. */
static void files_make(struct tls_files_made *files, long days, const char *passphrase) {
  snprintf(files->directory, sizeof files->directory, "/tmp/eventhub-tls-XXXXXX");
  assert_non_null(mkdtemp(files->directory));
  snprintf(files->certificate, sizeof files->certificate, "%s/cert.pem", files->directory);
  snprintf(files->key, sizeof files->key, "%s/key.pem", files->directory);
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *certificate = certificate_of(key, days);
  FILE *file = fopen(files->certificate, "w");
  assert_int_equal(PEM_write_X509(file, certificate), 1);
  fclose(file);
  file = fopen(files->key, "w");
  assert_int_equal(PEM_write_PrivateKey(file, key, passphrase == NULL ? NULL : EVP_aes_128_cbc(),
                                        (const unsigned char *)passphrase,
                                        passphrase == NULL ? 0 : (int)strlen(passphrase), NULL,
                                        NULL),
                   1);
  fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

static void files_remove(struct tls_files_made *files) {
  unlink(files->certificate);
  unlink(files->key);
  rmdir(files->directory);
}

static struct tls_files files_named(const char *certificate, const char *key, const char *ca) {
  return (struct tls_files){.certificate = {.name = "CERTIFICATE", .path = certificate},
                            .private_key = {.name = "KEY", .path = key},
                            .client_ca = {.name = "CA", .path = ca}};
}

/* ---- both ends ---- */

struct tls_pair {
  struct stream stream;
  int fd; /* the client's */
  SSL_CTX *context;
  SSL *client;
};

static struct tls_pair pair_open(struct tls_config *config, SSL_SESSION *session) {
  int fds[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  struct tls_pair pair = {.fd = fds[1], .context = SSL_CTX_new(TLS_client_method())};
  stream_open(&pair.stream, fds[0]);
  assert_int_equal(stream_start_tls(&pair.stream, config), 0);
  pair.client = SSL_new(pair.context);
  SSL_set_fd(pair.client, pair.fd);
  SSL_set_connect_state(pair.client);
  if (session != NULL) assert_int_equal(SSL_set_session(pair.client, session), 1);
  return pair;
}

static void pair_close(struct tls_pair *pair) {
  stream_close(&pair->stream);
  SSL_free(pair->client);
  SSL_CTX_free(pair->context);
  if (pair->fd >= 0) close(pair->fd);
  ERR_clear_error();
}

/* What comes at the server meanwhile counts as an error. */
static void pair_shake_hands(struct tls_pair *pair) {
  char byte;
  for (int i = 0; i < 20; i++) {
    bool is_done = SSL_do_handshake(pair->client) == 1;
    assert_int_equal(stream_recv(&pair->stream, &byte, 1), ERR_AGAIN);
    if (is_done && stream_is_established(&pair->stream)) return;
  }
  fail_msg("the handshake does not end");
}

static void client_write(struct tls_pair *pair, const char *text) {
  assert_int_equal(SSL_write(pair->client, text, (int)strlen(text)), (int)strlen(text));
}

/* What has come so far, at most `cap`. */
static size_t client_read(struct tls_pair *pair, char *bytes, size_t cap) {
  size_t len = 0;
  while (len < cap) {
    int got = SSL_read(pair->client, bytes + len, (int)(cap - len));
    if (got <= 0) break;
    len += (size_t)got;
  }
  return len;
}

#endif
