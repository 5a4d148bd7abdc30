#ifndef EVENTHUB_SERVER_TOKEN_KEYS_H
#define EVENTHUB_SERVER_TOKEN_KEYS_H

/* The keys that tokens are checked with, from the options and the files that they name. */

#include <stdbool.h>

#include "eventhub/base/buf.h"
#include "eventhub/server/options.h"
#include "eventhub/topic/jws.h"

/* 0 with keys of the caller's; or an error, and `why` says what is wrong and what to do. */
int token_keys_load(const struct options *options, struct jws_keys **ret, struct buf *why);

/* Can they have changed since they were loaded? */
bool token_keys_come_from_a_file(const struct options *options);

#endif
