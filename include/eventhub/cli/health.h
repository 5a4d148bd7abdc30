/* Asking a running daemon whether it serves: what a container's health check calls. */
#ifndef EVENTHUB_CLI_HEALTH_H
#define EVENTHUB_CLI_HEALTH_H

#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/server/options.h"

enum { HEALTH_TIMEOUT_MS = 3000 };

/*
 * GET /healthz at the address and port of the options; a wildcard address is asked on the loopback.
 * All of it, from connecting to the status line, takes at most timeout_ms.
 * 0 on status 200; else a negative enum err, with the reason appended to ret_error.
 */
int health_check(const struct options *options, uint32_t timeout_ms, struct buf *ret_error);

#endif
