/* What the option table asks of values beyond their type. Pure functions, any thread. */
#ifndef EVENTHUB_SERVER_OPTION_CHECK_H
#define EVENTHUB_SERVER_OPTION_CHECK_H

#include <stdbool.h>

#include "eventhub/base/slice.h"

/* `*` or a numeric IPv4 or IPv6 address: what the listener takes. */
bool option_check_address(struct slice value);

/* One item or more, each `*`, `null` or scheme://host[:port]: what a browser can send as Origin. */
bool option_check_origins(struct slice value);

/* A name that may start a metric's: [a-zA-Z_:][a-zA-Z0-9_:]*. */
bool option_check_metric_prefix(struct slice value);

/* Nothing, or items that are each `host`, `host:port`, `[v6]` or `[v6]:port`. */
bool option_check_sentinels(struct slice value);

/* Nothing, or addresses and networks (network.h). */
bool option_check_networks(struct slice value);

/* [A-Za-z0-9_.:-]+: needs no escaping in a Redis glob and ends no hash tag. */
bool option_check_redis_prefix(struct slice value);

#endif
