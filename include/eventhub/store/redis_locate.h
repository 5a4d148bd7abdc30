#ifndef EVENTHUB_STORE_REDIS_LOCATE_H
#define EVENTHUB_STORE_REDIS_LOCATE_H

/*
 * Where Redis is at the moment: resolves the name, or asks the sentinels for the master. Both may
 * wait for other machines, so both happen on a thread of their own, which lives as long as the
 * question; the answer comes by mail. Store thread only.
 */

#include <stdbool.h>

#include "eventhub/base/mailbox.h"
#include "eventhub/net/loop.h"
#include "eventhub/store/redis_conn.h"

struct redis_search;

struct redis_locator {
  struct loop *loop;
  const struct redis_config *config;
  struct redis_search *search; /* under way; NULL = none */
  /* endpoint NULL: not found, for this reason. */
  void (*on_located)(const struct redis_endpoint *endpoint, const char *reason, void *context);
  void *context;
};

void redis_locator_init(struct redis_locator *locator, struct loop *loop,
                        const struct redis_config *config,
                        void (*on_located)(const struct redis_endpoint *endpoint,
                                           const char *reason, void *context),
                        void *context);
/* No answer comes any more. */
void redis_locator_done(struct redis_locator *locator);

/* Asks; nothing happens while a question is under way. The answer comes in a later turn. */
void redis_locator_start(struct redis_locator *locator);

/* "host:port", "[host]:port" or a host alone. False: it is none of these. */
bool redis_sentinel_parse(struct slice text, char *host, size_t host_size, uint16_t *ret_port);

#endif
