#ifndef EVENTHUB_SERVER_ORIGIN_H
#define EVENTHUB_SERVER_ORIGIN_H

// Origins of web pages (RFC 6454), and the patterns of ALLOWED_ORIGINS:
//
//   *                            every origin
//   https://app.example:8443     this one; `null`, that of a page without one
//   https://*.example.com        every host below example.com, not that itself
//   *.example.com                the same, whatever the scheme
//
// Scheme and host compare without case. A port has to be the same, or to be missing on both sides.

#include <stdbool.h>

#include "eventhub/base/slice.h"

bool origin_pattern_is_valid(struct slice pattern);
bool origin_matches(struct slice pattern, struct slice origin);

#endif
