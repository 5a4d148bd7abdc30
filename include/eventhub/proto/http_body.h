#ifndef EVENTHUB_PROTO_HTTP_BODY_H
#define EVENTHUB_PROTO_HTTP_BODY_H

/*
 * The body of an HTTP/1.1 request (RFC 9112 6 and 7): by its length, or in chunks. Bytes may be cut
 * anywhere; what comes out does not depend on how.
 *
 *   5;name=value\r\n        size in hex, extensions (skipped), the line at most 256 bytes
 *   hello\r\n               as many bytes
 *   0\r\n                   the last chunk
 *   Trailer: value\r\n      skipped, all of them at most 8 KiB
 *   \r\n
 *
 * As strict as the head (http_request.h), for the same reason: a size is hex digits and nothing
 * else, at most 16; lines end in CRLF; no control characters; a trailer is a token, a colon and a
 * value.
 *
 * Pure functions: any thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/slice.h"
#include "eventhub/proto/http_request.h"

/* All fields are the parser's. */
struct http_body {
  uint64_t left; /* of the body by length, or of the chunk: bytes; while its line comes, its size */
  uint16_t line_len; /* bytes of the chunk's line, or of all trailers */
  uint8_t digits;    /* of the size */
  uint8_t state;
};

enum http_body_event {
  HTTP_BODY_MORE, /* everything is consumed, more is needed */
  HTTP_BODY_DATA, /* a piece of the body; it lies in the bytes given */
  HTTP_BODY_END,  /* complete: what is not consumed belongs to the next request */
  HTTP_BODY_BAD   /* 400, and close: where the next request begins is unknown */
};

enum { HTTP_CHUNK_LINE_MAX = 256, HTTP_TRAILERS_MAX = 8192 };

/* HTTP_BODY_END comes from the first call where the request has no body. */
void http_body_begin(struct http_body *body, const struct http_request *request);

/* Takes bytes up to the end of the next event. `ret_data` is written with DATA only. Behind the
 * last DATA comes END, also where no bytes are left: call until it is not DATA. BAD stays BAD, END
 * stays END. */
enum http_body_event http_body_feed(struct http_body *body, const char *bytes, size_t len,
                                    size_t *ret_consumed, struct slice *ret_data);

#endif
