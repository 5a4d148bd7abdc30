#include "eventhub/cli/client_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"

void client_socket_init(struct client_socket *socket) {
  *socket = (struct client_socket){.fd = -1};
}

void client_socket_close(struct client_socket *socket) {
  if (socket->ssl != NULL) SSL_free(socket->ssl);
  if (socket->context != NULL) SSL_CTX_free(socket->context);
  if (socket->fd >= 0) close(socket->fd);
  client_socket_init(socket);
}

/* 0, or ERR_EXPIRED. */
static int wait_for(int fd, short events, uint64_t deadline_ms) {
  struct pollfd poll_fd = {.fd = fd, .events = events};
  for (;;) {
    uint64_t now_ms = clock_monotonic_ms();
    if (now_ms >= deadline_ms) return ERR_EXPIRED;
    int ready = poll(&poll_fd, 1, (int)(deadline_ms - now_ms));
    if (ready > 0) return 0;
    if (ready < 0 && errno != EINTR) return ERR_EXPIRED;
  }
}

int client_socket_wait(const struct client_socket *socket, short events, uint64_t deadline_ms) {
  return wait_for(socket->fd, events, deadline_ms);
}

/* ---- TCP ---- */

/* An error number. */
static int connect_address(int fd, const struct addrinfo *address, uint64_t deadline_ms) {
  if (connect(fd, address->ai_addr, address->ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (wait_for(fd, POLLOUT, deadline_ms) < 0) return ETIMEDOUT;
  int error = 0;
  socklen_t len = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

static int connect_any(struct client_socket *connection, const struct addrinfo *addresses,
                       uint64_t deadline_ms) {
  int error = EADDRNOTAVAIL, on = 1;
  for (const struct addrinfo *address = addresses; address != NULL; address = address->ai_next) {
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    error = connect_address(fd, address, deadline_ms);
    if (error == 0) {
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
      connection->fd = fd;
      return 0;
    }
    close(fd);
  }
  return error;
}

static int connect_tcp(struct client_socket *connection, const struct client_url *url,
                       uint64_t deadline_ms, struct buf *ret_error) {
  char port[8];
  const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
  struct addrinfo *addresses = NULL;
  snprintf(port, sizeof port, "%u", url->port);
  int err = getaddrinfo(url->host, port, &hints, &addresses);
  if (err != 0) {
    buf_printf(ret_error, "%s: %s", url->host, gai_strerror(err));
    return ERR_UNAVAILABLE;
  }
  int error = connect_any(connection, addresses, deadline_ms);
  freeaddrinfo(addresses);
  if (error == 0) return 0;
  buf_printf(ret_error, "%s port %u: %s", url->host, url->port, strerror(error));
  return ERR_UNAVAILABLE;
}

/* ---- TLS ---- */

static void append_tls_error(struct buf *ret_error, const struct client_url *url) {
  unsigned long code = ERR_peek_last_error();
  const char *reason = code == 0 ? "the connection ended" : ERR_reason_error_string(code);
  buf_printf(ret_error, "%s port %u: TLS: %s", url->host, url->port,
             reason == NULL ? "failed" : reason);
}

/* The name that the certificate must have; a name also asks the server for its certificate. */
static bool set_name(SSL *ssl, const char *host) {
  unsigned char address[sizeof(struct in6_addr)];
  X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
  bool is_address =
      inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
  if (is_address) return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
  return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static bool make_tls(struct client_socket *socket, const struct client_url *url,
                     const struct client_tls *tls) {
  socket->context = SSL_CTX_new(TLS_client_method());
  if (socket->context == NULL) return false;
  SSL_CTX_set_mode(socket->context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_min_proto_version(socket->context, TLS1_2_VERSION);
  SSL_CTX_set_verify(socket->context, tls->is_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
  int is_loaded = tls->ca_file == NULL
                      ? SSL_CTX_set_default_verify_paths(socket->context)
                      : SSL_CTX_load_verify_locations(socket->context, tls->ca_file, NULL);
  if (is_loaded != 1) return false;
  socket->ssl = SSL_new(socket->context);
  return socket->ssl != NULL && set_name(socket->ssl, url->host) &&
         SSL_set_fd(socket->ssl, socket->fd) == 1;
}

static int shake_hands(struct client_socket *socket, uint64_t deadline_ms) {
  for (;;) {
    ERR_clear_error();
    int result = SSL_connect(socket->ssl);
    if (result == 1) return 0;
    int error = SSL_get_error(socket->ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return ERR_CLOSED;
    short events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    if (wait_for(socket->fd, events, deadline_ms) < 0) return ERR_EXPIRED;
  }
}

static int connect_tls(struct client_socket *socket, const struct client_url *url,
                       const struct client_tls *tls, uint64_t deadline_ms, struct buf *ret_error) {
  ERR_clear_error();
  if (!make_tls(socket, url, tls)) {
    append_tls_error(ret_error, url);
    return ERR_DENIED;
  }
  int err = shake_hands(socket, deadline_ms);
  if (err == 0) return 0;
  long verdict = SSL_get_verify_result(socket->ssl);
  if (err == ERR_EXPIRED) {
    buf_printf(ret_error, "%s port %u: TLS: no answer in time", url->host, url->port);
  } else if (verdict != X509_V_OK) {
    buf_printf(ret_error,
               "%s port %u: the certificate is not trusted: %s; name its CA with --ca, or use "
               "--insecure",
               url->host, url->port, X509_verify_cert_error_string(verdict));
    return ERR_DENIED;
  } else {
    append_tls_error(ret_error, url);
  }
  return ERR_UNAVAILABLE;
}

int client_socket_connect(struct client_socket *socket, const struct client_url *url,
                          const struct client_tls *tls, uint64_t deadline_ms,
                          struct buf *ret_error) {
  int err = connect_tcp(socket, url, deadline_ms, ret_error);
  if (err == 0 && url->is_secure) err = connect_tls(socket, url, tls, deadline_ms, ret_error);
  if (err < 0) client_socket_close(socket);
  return err;
}

/* ---- bytes ---- */

static ssize_t tls_result(struct client_socket *socket, int result) {
  if (result > 0) return result;
  int error = SSL_get_error(socket->ssl, result);
  socket->wants_write = error == SSL_ERROR_WANT_WRITE;
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? ERR_AGAIN : ERR_CLOSED;
}

static ssize_t plain_result(ssize_t count) {
  if (count > 0) return count;
  if (count == 0) return ERR_CLOSED;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? ERR_AGAIN : ERR_CLOSED;
}

ssize_t client_socket_recv(struct client_socket *socket, char *bytes, size_t cap) {
  ERR_clear_error();
  return socket->ssl != NULL ? tls_result(socket, SSL_read(socket->ssl, bytes, (int)cap))
                             : plain_result(recv(socket->fd, bytes, cap, 0));
}

ssize_t client_socket_send(struct client_socket *socket, struct slice bytes) {
  ERR_clear_error();
  return socket->ssl != NULL ? tls_result(socket, SSL_write(socket->ssl, bytes.ptr, (int)bytes.len))
                             : plain_result(send(socket->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL));
}

bool client_socket_has_pending(const struct client_socket *socket) {
  return socket->ssl != NULL && SSL_has_pending(socket->ssl) == 1;
}
