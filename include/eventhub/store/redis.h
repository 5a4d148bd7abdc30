#ifndef EVENTHUB_STORE_REDIS_H
#define EVENTHUB_STORE_REDIS_H

/*
 * The backend that makes many brokers one: Redis holds the eventlog (streams), the key/value store
 * and the rate-limit windows, and carries what is published to every broker that has subscribers
 * for it. The layout of keys and channels is in docs/redis-data-layout.md.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/log_line.h"
#include "eventhub/base/slice.h"
#include "eventhub/store/backend.h"

/* Where Redis is and how to enter. Texts are NUL-terminated; "" = none. All of it is lent for the
 * life of the backend. */
struct redis_config {
  const char *host; /* name or address */
  uint16_t port;
  const char *socket;            /* path; in place of host and port */
  const struct slice *sentinels; /* "host:port" each; in place of host and port */
  size_t sentinel_count;
  const char *master; /* what the sentinels call it */
  const char *username, *password;
  uint32_t db;
  const char *prefix; /* of every key and channel */
  uint32_t pool_size; /* connections for commands; one more is for subscriptions */
  bool tls;           /* where redis_has_tls() */
  const char *tls_ca; /* PEM files */
  const char *tls_certificate, *tls_key;
  /* Writes a line for the operator: the connection came, went, or is refused. Store thread. */
  void (*log)(enum log_level level, const struct log_field *fields);
};

/* Was this built with a library that can speak TLS to Redis? */
bool redis_has_tls(void);

/* Goes to store_new_with, which takes it over. */
struct store_backend *redis_new(const struct store_config *store,
                                const struct redis_config *config);

#endif
