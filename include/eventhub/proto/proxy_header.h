#ifndef EVENTHUB_PROTO_PROXY_HEADER_H
#define EVENTHUB_PROTO_PROXY_HEADER_H

/*
 * What proxies say of the client that they speak for: the PROXY protocol, in front of a
 * connection's first bytes, and the headers Forwarded (RFC 7239) and X-Forwarded-For of a request.
 * Both are only to be believed when they come from a proxy that is trusted. Pure functions.
 */

#include "eventhub/base/network.h"
#include "eventhub/proto/http_request.h"

enum { PROXY_HEADER_MAX = 2048 };

struct proxied {
  bool has_address; /* else the proxy speaks for itself, or does not know */
  uint8_t address[ADDRESS_BYTES];
  uint16_t port; /* 0: unknown */
};

/* PROXY protocol, versions 1 (text) and 2 (binary).
 *
 *   > 0          bytes that the header takes
 *   0            these bytes are none
 *   ERR_AGAIN    the beginning of one, or of something else
 *   ERR_INVALID  one that is not as it should be, or is longer than PROXY_HEADER_MAX */
int proxy_header_parse(const char *bytes, size_t len, struct proxied *ret);

/* The client of a request that came from a trusted proxy: the last address that is named and is
 * not itself a trusted proxy, or the first one where all are. Forwarded counts before
 * X-Forwarded-For. False: nothing is named that can be read. */
bool proxied_client(const struct http_request *request, const struct network_list *trusted,
                    struct proxied *ret);

#endif
