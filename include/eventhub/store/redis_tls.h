#ifndef EVENTHUB_STORE_REDIS_TLS_H
#define EVENTHUB_STORE_REDIS_TLS_H

/*
 * TLS to Redis, by hiredis_ssl. Debian 12's hiredis comes without it: then redis_tls_none.c stands
 * in the place of redis_tls.c, and redis_has_tls (redis.h) is false. Store thread.
 */

#include <stddef.h>

struct redisAsyncContext;
struct redis_config;

/* Right after connecting. 0 where TLS is on or not wanted, else an error with its reason. */
int redis_tls_begin(struct redisAsyncContext *context, const struct redis_config *config,
                    char *reason, size_t reason_size);

#endif
