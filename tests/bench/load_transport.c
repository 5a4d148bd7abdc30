#include "load_transport.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "eventhub/base/err.h"

struct ssl_ctx_st *load_tls_new(void) {
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  if (context == NULL) return NULL;
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
  SSL_CTX_set_read_ahead(context, 1);
  return context;
}

void load_tls_free(struct ssl_ctx_st *context) {
  SSL_CTX_free(context);
}

int load_transport_open(struct load_transport *transport, int fd, struct ssl_ctx_st *context) {
  *transport = (struct load_transport){.fd = fd};
  if (context == NULL) return 0;
  transport->ssl = SSL_new(context);
  if (transport->ssl == NULL || SSL_set_fd(transport->ssl, fd) != 1) return ERR_SYSTEM;
  SSL_set_connect_state(transport->ssl);
  return 0;
}

void load_transport_close(struct load_transport *transport) {
  SSL_free(transport->ssl);
  transport->ssl = NULL;
}

static ssize_t result_of(ssize_t count) {
  if (count > 0) return count;
  return count < 0 && errno == EAGAIN ? ERR_AGAIN : ERR_CLOSED;
}

static ssize_t tls_result(SSL *ssl, int result) {
  int error = SSL_get_error(ssl, result);
  ERR_clear_error();
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? ERR_AGAIN : ERR_CLOSED;
}

static ssize_t recv_tls(SSL *ssl, char *bytes, size_t cap) {
  size_t len = 0, got = 0;
  int result = 1;
  while (len < cap && (result = SSL_read_ex(ssl, bytes + len, cap - len, &got)) == 1)
    len += got;
  if (len > 0) {
    ERR_clear_error();
    return (ssize_t)len;
  }
  return tls_result(ssl, result);
}

ssize_t load_transport_recv(struct load_transport *transport, char *bytes, size_t cap) {
  if (transport->ssl != NULL) return recv_tls(transport->ssl, bytes, cap);
  return result_of(recv(transport->fd, bytes, cap, 0));
}

ssize_t load_transport_send(struct load_transport *transport, const char *bytes, size_t len) {
  if (transport->ssl == NULL) return result_of(send(transport->fd, bytes, len, MSG_NOSIGNAL));
  int sent = SSL_write(transport->ssl, bytes, len < INT_MAX ? (int)len : INT_MAX);
  return sent > 0 ? sent : tls_result(transport->ssl, sent);
}
