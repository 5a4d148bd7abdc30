#ifndef EVENTHUB_NET_TLS_H
#define EVENTHUB_NET_TLS_H

/*
 * TLS 1.2 and 1.3, server side, above a non-blocking socket. The stream (stream.h) is the one who
 * calls; nobody above it sees a difference.
 *
 * OpenSSL makes and takes records; the socket is ours. What it writes goes to the socket at once,
 * and what the socket does not take is held here, so that a record that is made counts as sent: the
 * queue above may then be cut at any frame. What is held is at most one record, or what a handshake
 * sends.
 *
 * A config is immutable and counted: any thread may accept with it. A session belongs to the
 * connection's thread.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "eventhub/base/buf.h"

enum {
  TLS_RECORD_MAX = 16384,      /* RFC 8446 5.1 */
  TLS_HELD_MAX = 256 * 1024,   /* a peer that makes us hold more is cut off */
  TLS_TICKET_KEY_S = 12 * 3600 /* a key of tickets seals for so long, and opens for as long again */
};

/* ---- config ---- */

/* `name` is what messages call it: the option. An empty path is none. */
struct tls_file {
  const char *name, *path;
};

struct tls_files {
  struct tls_file certificate; /* PEM, the chain behind the server's own */
  struct tls_file private_key; /* PEM, without a passphrase */
  struct tls_file client_ca;   /* PEM; clients must show a certificate that it has signed */
};

struct tls_config;

/* 0, or an error with `why`: a phrase that names the option and the file.
 *   ERR_SYSTEM   a file cannot be read
 *   ERR_INVALID  it does not hold what it should, or the key is not the certificate's */
int tls_config_load(const struct tls_files *files, struct tls_config **ret, struct buf *why);
/* When the server's certificate ends, in seconds since the epoch. */
uint64_t tls_config_expires_s(const struct tls_config *config);
struct tls_config *tls_config_ref(struct tls_config *config);
void tls_config_unref(struct tls_config *config);

/* The config that is in use. */
struct tls_slot {
  pthread_mutex_t lock;
  struct tls_config *config;
};

/* Takes over the reference; NULL: there is no TLS. */
void tls_slot_init(struct tls_slot *slot, struct tls_config *config);
void tls_slot_done(struct tls_slot *slot);
/* A reference of the caller's. */
struct tls_config *tls_slot_get(struct tls_slot *slot);
/* Takes over the reference; sessions go on with the config that they have. */
void tls_slot_exchange(struct tls_slot *slot, struct tls_config *config);

/* ---- session ---- */

struct tls;

/* Awaits a client's handshake on the socket, which stays the caller's. */
struct tls *tls_accept(struct tls_config *config, int fd);
/* Ends it without a word. NULL is nothing. */
void tls_free(struct tls *tls);

/* Is the handshake done? */
bool tls_is_established(const struct tls *tls);
/* What the peer has done wrong, as a phrase; NULL = nothing. */
const char *tls_failure(const struct tls *tls);
/* As stream_recv; goes on with the handshake, too. Answers less than `cap` only where the socket is
 * empty. */
ssize_t tls_recv(struct tls *tls, char *bytes, size_t cap);
bool tls_has_bytes(const struct tls *tls);
/* Is it over, as far as the peer goes, though the socket may not know? */
bool tls_has_ended(const struct tls *tls);
/* As stream_sendv: makes one record of as much as one takes. */
ssize_t tls_sendv(struct tls *tls, const struct iovec *parts, int count);
/* Sends what is held. 0 when nothing is left, ERR_AGAIN, or ERR_CLOSED. */
int tls_flush(struct tls *tls);
/* Says that nothing more comes (close_notify), and ends our side of the socket behind that. */
void tls_shutdown(struct tls *tls);

#endif
