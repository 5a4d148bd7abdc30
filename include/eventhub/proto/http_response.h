#ifndef EVENTHUB_PROTO_HTTP_RESPONSE_H
#define EVENTHUB_PROTO_HTTP_RESPONSE_H

/*
 * Answers to plain HTTP requests (RFC 9112): status line, framing headers, body. The caller vouches
 * for the texts it passes: no CR or LF in a header's value. Any thread.
 */

#include <stdbool.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"

struct http_response {
  int status;
  struct slice content_type;  /* empty: no such header */
  struct slice extra_headers; /* complete lines, "A: b\r\n" each; or empty */
  struct slice body;
  bool keep_alive;
  bool head_only; /* the answer to HEAD: the body's length is told, the body is not sent */
};

/* The reason phrase of RFC 9110 15; "Unknown" for a status that this server never sends. */
const char *http_status_text(int status);

/* Appends the response to `out`. Content-Length is always there, except with 1xx and 204, which
 * have no body (RFC 9110 8.6). */
void http_response_encode(struct buf *out, const struct http_response *response);

/* What a client that expects it (RFC 9110 10.1.1) gets before it sends the body. */
#define HTTP_CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

/* A header line: what is refused now may go well a little later. */
#define HTTP_RETRY_LATER "Retry-After: 5\r\n"

/* Appends the head of a 200 whose body is a stream that ends with the connection: not to be cached,
 * nor buffered by a proxy. */
void http_stream_head_encode(struct buf *out, struct slice content_type,
                             struct slice extra_headers);

/* Appends the body of a refusal: {"error":"<message>"}. */
void http_error_body(struct buf *out, struct slice message);

/* Appends a refusal: body {"error":"<message>"}, `Connection: close`, not to be cached. */
void http_error_encode(struct buf *out, int status, struct slice extra_headers,
                       struct slice message);

#endif
