/* How the bytes of the load generator's connections travel: as they are, or within TLS. The
 * server's certificate is not looked at, and no session is resumed. One thread. */
#ifndef EVENTHUB_BENCH_LOAD_TRANSPORT_H
#define EVENTHUB_BENCH_LOAD_TRANSPORT_H

#include <stddef.h>
#include <sys/types.h>

struct ssl_ctx_st;
struct ssl_st;

/* For all connections of a run; NULL where the library refuses. */
struct ssl_ctx_st *load_tls_new(void);
void load_tls_free(struct ssl_ctx_st *context);

struct load_transport {
  int fd;             /* the owner's */
  struct ssl_st *ssl; /* NULL: as they are */
};

/* The socket is connected. 0, or ERR_SYSTEM. `context` may be NULL. */
int load_transport_open(struct load_transport *transport, int fd, struct ssl_ctx_st *context);
void load_transport_close(struct load_transport *transport);

/* Bytes (> 0), ERR_AGAIN, or ERR_CLOSED. Receiving answers with all that the socket has, if there
 * is room for it; either goes on with the handshake. */
ssize_t load_transport_recv(struct load_transport *transport, char *bytes, size_t cap);
ssize_t load_transport_send(struct load_transport *transport, const char *bytes, size_t len);

#endif
