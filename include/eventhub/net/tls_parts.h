#ifndef EVENTHUB_NET_TLS_PARTS_H
#define EVENTHUB_NET_TLS_PARTS_H

/* What tls.c, tls_config.c and tls_tickets.c share. */

#include <openssl/ssl.h>

#include "eventhub/net/tls.h"

SSL_CTX *tls_config_context(struct tls_config *config);

/* The keys that seal session tickets (RFC 5077 4, RFC 8446 4.6.1). */
struct tls_tickets;

/* The context's tickets are sealed with them from now on; they must live as long as it does. */
struct tls_tickets *tls_tickets_new(SSL_CTX *context);
void tls_tickets_free(struct tls_tickets *tickets);

#endif
