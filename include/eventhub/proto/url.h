#ifndef EVENTHUB_PROTO_URL_H
#define EVENTHUB_PROTO_URL_H

/*
 * Percent-encoding of paths and queries (RFC 3986 2.1). `+` stays `+`: topics use it as a wildcard,
 * and the form encoding that makes a space of it belongs to HTML forms. Pure functions: any thread.
 */

#include <stdbool.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"

/* Every `%` is followed by two hex digits, and none stands for NUL. */
bool url_escapes_are_valid(struct slice text);

/* Appends the decoded text to `ret`. ERR_INVALID where an escape is bad or NUL appears, escaped or
 * not; then `ret` is as it was. What comes out may be any bytes, so not necessarily UTF-8. */
int url_decode(struct slice text, struct buf *ret);

/* Appends to `ret_value` the decoded value of the first `name=value` pair of a query (without its
 * `?`) whose decoded name is `name`; a pair without `=` has the empty value. ERR_NOT_FOUND, or
 * ERR_INVALID where the value cannot be decoded; then `ret_value` is as it was. */
int url_query_find(struct slice query, struct slice name, struct buf *ret_value);

#endif
