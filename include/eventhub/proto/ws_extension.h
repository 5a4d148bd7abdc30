#ifndef EVENTHUB_PROTO_WS_EXTENSION_H
#define EVENTHUB_PROTO_WS_EXTENSION_H

/*
 * Negotiating permessage-deflate (RFC 7692 5 and 7.1), the one extension that we know.
 *
 * What we answer is the same for all, whatever they offer, but for the windows:
 *
 *   server_no_context_takeover  always: a broadcast is compressed once for all its subscribers, so
 *                               it cannot refer to what this client was sent before
 *   client_no_context_takeover  where it was offered
 *   server_max_window_bits      as it was offered
 *   client_max_window_bits      where it was offered, at most 12: what a client may refer to is
 *                               kept for each connection, and so costs no more than 4 kB
 *
 * Pure functions: any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/proto/http_request.h"

enum {
  WS_WINDOW_BITS_MIN = 8,
  WS_WINDOW_BITS_MAX = 15,
  WS_CLIENT_WINDOW_BITS = 12 /* that we ask for where the client lets us choose */
};

/* What was negotiated; all zero: nothing. */
struct ws_deflate {
  uint8_t server_bits;  /* of the window of what we send, 8 to 15; 0: not negotiated */
  uint8_t client_bits;  /* of what the client sends */
  bool client_takeover; /* the client may refer to its earlier messages */
  uint8_t told;         /* which windows the answer must tell; the module's own */
};

/* Takes the first offer of permessage-deflate that is acceptable: parameters known, each once,
 * values as RFC 7692 7.1 has them. False, and `ret` all zero, where there is none; so it is where
 * the list is malformed, since an extension is never worth refusing a client. */
bool ws_deflate_negotiate(const struct http_request *request, struct ws_deflate *ret);

/* Appends the header line of the answer; nothing where nothing was negotiated. */
void ws_deflate_append_header(struct buf *out, const struct ws_deflate *deflate);

#endif
