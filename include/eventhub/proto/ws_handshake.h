#ifndef EVENTHUB_PROTO_WS_HANDSHAKE_H
#define EVENTHUB_PROTO_WS_HANDSHAKE_H

/*
 * The server's side of the opening handshake (RFC 6455 4.2). Who may come in is not decided here:
 * tokens and origins are the caller's. Pure functions: any thread.
 */

#include <stdbool.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"
#include "eventhub/proto/http_request.h"
#include "eventhub/proto/ws_extension.h"

enum {
  WS_KEY_LEN = 24, /* 16 bytes in base64 */
  WS_ACCEPT_LEN = 28
};

struct ws_handshake {
  char accept[WS_ACCEPT_LEN + 1]; /* value of Sec-WebSocket-Accept */
  bool offers_v1; /* the client offers the subprotocol "eventhub.v1", so it is selected */
  /* What follows "eventhub.auth." in the first such offer made beside "eventhub.v1", else empty.
   * Points into the request: for browsers, which can set no header. It is a secret, so it is never
   * sent back. */
  struct slice protocol_token;
  /* Compression, for the answer: nothing, unless the caller negotiates it. */
  struct ws_deflate deflate;
  const char *reason; /* of a refusal: a short phrase, a constant */
};

/* Does the request ask for a WebSocket at all? If so it goes to ws_handshake_check, else it is
 * plain HTTP. */
bool ws_handshake_is_upgrade(const struct http_request *request);

/* 101, or the status to refuse with: 400, or 426 where the version is not 13 (answer with
 * WS_VERSION_HEADER). `ret` is always written; with a refusal only `reason` means something. */
int ws_handshake_check(const struct http_request *request, struct ws_handshake *ret);

/* The value of Sec-WebSocket-Accept for a key, WS_KEY_LEN bytes, with a NUL (RFC 6455 4.2.2). */
void ws_accept_compute(struct slice key, char ret_accept[WS_ACCEPT_LEN + 1]);

/* The header line that a 426 must carry (RFC 6455 4.4). */
#define WS_VERSION_HEADER "Sec-WebSocket-Version: 13\r\n"

/* Appends the 101 response of an accepted handshake. */
void ws_handshake_encode(struct buf *out, const struct ws_handshake *handshake);

#endif
