#include <stdio.h>

#include "eventhub/base/err.h"
#include "eventhub/store/redis.h"
#include "eventhub/store/redis_tls.h"

bool redis_has_tls(void) {
  return false;
}

int redis_tls_begin(struct redisAsyncContext *context, const struct redis_config *config,
                    char *reason, size_t reason_size) {
  (void)context;
  if (!config->tls) return 0;
  snprintf(reason, reason_size, "this build cannot speak TLS to Redis");
  return ERR_UNSUPPORTED;
}
