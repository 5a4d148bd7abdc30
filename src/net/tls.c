#include "eventhub/net/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/net/tls_parts.h"

/* The tickets of a context live as long as its sessions do, so each session holds the config. */
struct tls {
  SSL *ssl;
  struct tls_config *config;
  int fd;
  bool is_short;  /* the last read got less than it asked for: the socket is empty, or at its end */
  bool is_broken; /* nothing can be sent any more */
  bool is_ending; /* our end of the socket follows what is held */
  const char *failure;
  uint32_t held_at, held_len, held_cap;
  char *held; /* records that the socket did not take; NULL without any */
};

/* ---- what is held ---- */

static void hold(struct tls *tls, const char *bytes, size_t len) {
  uint32_t end = tls->held_at + tls->held_len;
  if (tls->held_cap - end < len) {
    tls->held_cap = end + (uint32_t)len;
    tls->held = x_realloc(tls->held, tls->held_cap);
  }
  memcpy(tls->held + end, bytes, len);
  tls->held_len += (uint32_t)len;
}

static void release(struct tls *tls) {
  free(tls->held);
  tls->held = NULL;
  tls->held_at = tls->held_len = tls->held_cap = 0;
}

/* Bytes that the socket took, perhaps none; ERR_CLOSED. */
static ssize_t send_now(struct tls *tls, const char *bytes, size_t len) {
  ssize_t sent;
  do {
    sent = send(tls->fd, bytes, len, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return sent;
  return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : ERR_CLOSED;
}

int tls_flush(struct tls *tls) {
  if (tls->is_broken) return ERR_CLOSED;
  if (tls->held_len == 0) return 0;
  ssize_t sent = send_now(tls, tls->held + tls->held_at, tls->held_len);
  if (sent < 0) return ERR_CLOSED;
  tls->held_at += (uint32_t)sent;
  tls->held_len -= (uint32_t)sent;
  if (tls->held_len > 0) return ERR_AGAIN;
  release(tls);
  if (tls->is_ending) shutdown(tls->fd, SHUT_WR);
  return 0;
}

/* ---- the socket, as OpenSSL sees it ---- */

static int bio_write(BIO *bio, const char *bytes, int len) {
  struct tls *tls = BIO_get_data(bio);
  size_t left = (size_t)len;
  if (tls->held_len == 0) {
    ssize_t sent = send_now(tls, bytes, left);
    if (sent < 0) tls->is_broken = true;
    if (sent > 0) left -= (size_t)sent;
  }
  if (tls->held_len + left > TLS_HELD_MAX) tls->is_broken = true;
  if (tls->is_broken) return -1;
  if (left > 0) hold(tls, bytes + ((size_t)len - left), left);
  return len;
}

static int bio_read(BIO *bio, char *bytes, int len) {
  struct tls *tls = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  ssize_t got = -1;
  errno = EAGAIN;
  while (!tls->is_short) {
    got = recv(tls->fd, bytes, (size_t)len, 0);
    if (got >= 0 || errno != EINTR) break;
  }
  tls->is_short = tls->is_short || (got > 0 && got < len);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) BIO_set_retry_read(bio);
  return (int)got;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
  (void)bio;
  (void)number;
  (void)pointer;
  return command == BIO_CTRL_FLUSH; /* nothing waits */
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static void make_bio_method(void) {
  bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
  if (bio_method == NULL) abort();
  BIO_meth_set_write(bio_method, bio_write);
  BIO_meth_set_read(bio_method, bio_read);
  BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

static BIO *make_bio(struct tls *tls) {
  pthread_once(&bio_once, make_bio_method);
  BIO *bio = BIO_new(bio_method);
  if (bio == NULL) return NULL;
  BIO_set_data(bio, tls);
  BIO_set_init(bio, 1);
  return bio;
}

/* ---- sessions ---- */

static void say_goodbye(struct tls *tls) {
  if (!tls->is_broken && SSL_is_init_finished(tls->ssl)) SSL_shutdown(tls->ssl);
  ERR_clear_error();
}

struct tls *tls_accept(struct tls_config *config, int fd) {
  struct tls *tls = x_calloc(1, sizeof *tls);
  tls->fd = fd;
  tls->config = tls_config_ref(config);
  tls->ssl = SSL_new(tls_config_context(config));
  BIO *bio = make_bio(tls);
  if (tls->ssl == NULL || bio == NULL) {
    BIO_free(bio);
    tls_free(tls);
    return NULL;
  }
  SSL_set_bio(tls->ssl, bio, bio);
  SSL_set_accept_state(tls->ssl);
  return tls;
}

void tls_free(struct tls *tls) {
  if (tls == NULL) return;
  /* A close_notify is answered (RFC 8446 6.1). */
  if (tls->ssl != NULL && (SSL_get_shutdown(tls->ssl) & SSL_RECEIVED_SHUTDOWN)) say_goodbye(tls);
  SSL_free(tls->ssl);
  tls_config_unref(tls->config);
  free(tls->held);
  free(tls);
}

bool tls_is_established(const struct tls *tls) {
  return SSL_is_init_finished(tls->ssl);
}

const char *tls_failure(const struct tls *tls) {
  return tls->failure;
}

/* Who speaks HTTP to this port has mixed up the ports, and can read what we say. */
static void answer_plain_http(struct tls *tls) {
#define BODY "{\"error\":\"this port speaks TLS: use https:// or wss://, not http or ws\"}"
  static const char answer[] =
      "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 72\r\n"
      "Connection: close\r\n\r\n" BODY;
  static_assert(sizeof BODY - 1 == 72, "Content-Length");
#undef BODY
  send_now(tls, answer, sizeof answer - 1);
}

/* Why SSL_read or SSL_write did not go on. */
static ssize_t failure_of(struct tls *tls, int result) {
  int error = SSL_get_error(tls->ssl, result);
  if (error == SSL_ERROR_WANT_READ && !tls->is_broken) return ERR_AGAIN;
  unsigned long code = ERR_peek_error();
  int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
  if (error == SSL_ERROR_SSL && reason != SSL_R_UNEXPECTED_EOF_WHILE_READING)
    tls->failure = ERR_reason_error_string(code);
  if (reason == SSL_R_HTTP_REQUEST) answer_plain_http(tls);
  ERR_clear_error();
  if (error != SSL_ERROR_ZERO_RETURN) tls->is_broken = true;
  return ERR_CLOSED;
}

ssize_t tls_recv(struct tls *tls, char *bytes, size_t cap) {
  size_t len = 0;
  ssize_t err = 0;
  if (tls->is_broken) return ERR_CLOSED;
  tls->is_short = false;
  while (len < cap && err == 0) {
    size_t got = 0;
    int result = SSL_read_ex(tls->ssl, bytes + len, cap - len, &got);
    len += got;
    if (result != 1) err = failure_of(tls, result);
    /* Behind a beginning of something the end may stand, of which nobody will tell again. */
    if (err == ERR_AGAIN && len == 0 && tls->is_short) {
      tls->is_short = false;
      err = 0;
    }
  }
  return len > 0 ? (ssize_t)len : err;
}

bool tls_has_bytes(const struct tls *tls) {
  return SSL_has_pending(tls->ssl) == 1;
}

bool tls_has_ended(const struct tls *tls) {
  return tls->is_broken || (SSL_get_shutdown(tls->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

/* The bytes of one record: where they lie, or copied together. */
static const char *gather(const struct iovec *parts, int count, char *space, size_t *ret_len) {
  size_t len = parts[0].iov_len < TLS_RECORD_MAX ? parts[0].iov_len : TLS_RECORD_MAX;
  *ret_len = len;
  if (count == 1 || len == TLS_RECORD_MAX) return parts[0].iov_base;
  memcpy(space, parts[0].iov_base, len);
  for (int i = 1; i < count && len < TLS_RECORD_MAX; i++) {
    size_t room = TLS_RECORD_MAX - len;
    size_t part = parts[i].iov_len < room ? parts[i].iov_len : room;
    memcpy(space + len, parts[i].iov_base, part);
    len += part;
  }
  *ret_len = len;
  return space;
}

ssize_t tls_sendv(struct tls *tls, const struct iovec *parts, int count) {
  char space[TLS_RECORD_MAX];
  size_t len, sent = 0;
  int err = tls_flush(tls);
  if (err < 0) return err;
  const char *bytes = gather(parts, count, space, &len);
  int result = SSL_write_ex(tls->ssl, bytes, len, &sent);
  if (result != 1) return failure_of(tls, result);
  assert(sent == len);
  return (ssize_t)sent;
}

void tls_shutdown(struct tls *tls) {
  say_goodbye(tls);
  tls->is_ending = true;
  if (tls->held_len == 0) shutdown(tls->fd, SHUT_WR);
}
