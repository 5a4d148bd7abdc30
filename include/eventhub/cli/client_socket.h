/*
 * A client's connection: TCP, and TLS where the URL asks for it. Waits with poll; one thread.
 */
#ifndef EVENTHUB_CLI_CLIENT_SOCKET_H
#define EVENTHUB_CLI_CLIENT_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"
#include "eventhub/cli/client_url.h"

struct ssl_st;
struct ssl_ctx_st;

struct client_tls {
  const char *ca_file; /* NULL: what the system trusts */
  bool is_insecure;    /* any certificate will do */
};

struct client_socket {
  int fd; /* -1: closed */
  struct ssl_st *ssl;
  struct ssl_ctx_st *context;
  bool wants_write; /* TLS: the next receive needs room to send first */
};

void client_socket_init(struct client_socket *socket);
/* Idempotent. */
void client_socket_close(struct client_socket *socket);

/* Tries all addresses of the host until deadline_ms (clock_monotonic_ms). 0, or a negative err with
 * the reason in ret_error: ERR_DENIED where the certificate is the reason, else ERR_UNAVAILABLE. */
int client_socket_connect(struct client_socket *socket, const struct client_url *url,
                          const struct client_tls *tls, uint64_t deadline_ms,
                          struct buf *ret_error);

/* Waits for poll(2)'s events. 0, or ERR_EXPIRED. */
int client_socket_wait(const struct client_socket *socket, short events, uint64_t deadline_ms);

/* Bytes (> 0), ERR_AGAIN, or ERR_CLOSED. */
ssize_t client_socket_recv(struct client_socket *socket, char *bytes, size_t cap);
ssize_t client_socket_send(struct client_socket *socket, struct slice bytes);

/* May bytes have come that no poll tells of? */
bool client_socket_has_pending(const struct client_socket *socket);

#endif
