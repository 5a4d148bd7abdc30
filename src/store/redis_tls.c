#include "eventhub/store/redis_tls.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <hiredis/hiredis_ssl.h>
#include <pthread.h>
#include <stdio.h>

#include "eventhub/base/err.h"
#include "eventhub/store/redis.h"

static pthread_once_t prepared = PTHREAD_ONCE_INIT;

static void prepare(void) {
  redisInitOpenSSL();
}

bool redis_has_tls(void) {
  return true;
}

static const char *path_or_null(const char *path) {
  return path[0] != '\0' ? path : NULL;
}

/* Debian's directory; hiredis itself would trust nobody. */
static const char *system_cas(const struct redis_config *config) {
  return config->tls_ca[0] != '\0' ? NULL : "/etc/ssl/certs";
}

/* Certificates are read for each connection, so that new ones are taken up. */
int redis_tls_begin(struct redisAsyncContext *context, const struct redis_config *config,
                    char *reason, size_t reason_size) {
  if (!config->tls) return 0;
  pthread_once(&prepared, prepare);
  redisSSLContextError error = REDIS_SSL_CTX_NONE;
  redisSSLContext *tls = redisCreateSSLContext(
      path_or_null(config->tls_ca), system_cas(config), path_or_null(config->tls_certificate),
      path_or_null(config->tls_key), path_or_null(config->host), &error);
  if (tls == NULL) {
    snprintf(reason, reason_size, "TLS to Redis: %s", redisSSLContextGetError(error));
    return ERR_INVALID;
  }
  int started = redisInitiateSSLWithContext(&context->c, tls);
  redisFreeSSLContext(tls);
  if (started == REDIS_OK) return 0;
  snprintf(reason, reason_size, "TLS to Redis: %s", context->c.errstr);
  return ERR_INVALID;
}
