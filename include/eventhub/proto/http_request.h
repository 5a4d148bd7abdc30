#ifndef EVENTHUB_PROTO_HTTP_REQUEST_H
#define EVENTHUB_PROTO_HTTP_REQUEST_H

/*
 * The head of an HTTP/1.x request (RFC 9112), parsed strictly: whatever two readers could
 * understand in two ways is refused, since a proxy in front may be the other reader.
 *
 *   GET /a/b?auth=x HTTP/1.1\r\n      method SP target SP version
 *   Host: example.org\r\n             name ":" OWS value OWS
 *   \r\n                              end of the head; a body, if one is announced, begins here
 *
 * All slices point into the caller's bytes (or to constants) and live as long as those. Nothing is
 * allocated. Pure functions: any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/slice.h"

enum { HTTP_HEAD_MAX = 16384, HTTP_HEADERS_MAX = 100, HTTP_METHOD_MAX = 32 };

struct http_header {
  struct slice name, value; /* value without the blanks around it */
};

struct http_request {
  struct slice method;
  struct slice target; /* as it was written */
  struct slice path;   /* still percent-encoded, begins with '/'; "*" only for OPTIONS */
  struct slice query;  /* still percent-encoded, without the '?'; empty where there is none */
  unsigned minor;      /* 0 or 1; a later HTTP/1.x counts as 1 (RFC 9110 2.5) */
  bool keep_alive;     /* RFC 9112 9.3 */
  bool has_body;       /* a body is announced: chunked, or content_length > 0 */
  bool chunked;
  bool expect_continue; /* the client waits for "100 Continue" (RFC 9110 10.1.1) */
  uint64_t content_length;
  size_t header_count;
  struct http_header headers[HTTP_HEADERS_MAX];
};

/*
 * Parses the head at the beginning of `bytes`.
 *
 *   > 0              bytes that the head takes; the only case in which `ret` is written
 *   ERR_AGAIN        a valid beginning: call again with more bytes behind the same ones
 *   ERR_INVALID      400
 *   ERR_TOO_BIG      431: no end within HTTP_HEAD_MAX bytes, or more than HTTP_HEADERS_MAX headers
 *   ERR_UNSUPPORTED  505: HTTP, but not version 1
 *
 * The answer does not depend on how the bytes arrive: the first one that is not ERR_AGAIN is the
 * answer to every longer input too. It is bad as soon as a line is, and the method and all control
 * characters even before the end of their line, so that a client that talks something else is not
 * waited for.
 *
 * Refused as invalid, among others: control characters (NUL, a CR or LF by itself), a blank before
 * the colon, folded lines (RFC 9112 5.2), a bad percent-escape or an escaped NUL, a raw `#` or a
 * byte above 0x7e in the target, no Host in HTTP/1.1 or two (RFC 9112 3.2), two lengths, a length
 * with an encoding, any encoding but `chunked`, an encoding in HTTP/1.0 (RFC 9112 6.1). One empty
 * line before the request is skipped (RFC 9112 2.2). A target in absolute form
 * (`http://host/path`, RFC 9112 3.2.2) is reduced to its path and query.
 */
int http_request_parse(const char *bytes, size_t len, struct http_request *ret);

/* Value of the first header of that name, which compares without case; ptr is NULL where there is
 * none. */
struct slice http_request_header(const struct http_request *request, struct slice name);

/* How many headers have that name. */
size_t http_request_header_count(const struct http_request *request, struct slice name);

/* May it stand in a token: a method, the name of a header, of an extension (RFC 9110 5.6.2)? */
bool http_is_token_char(char byte);

/* Is `token` an element of a comma-separated list? Without case. */
bool http_header_has_token(struct slice value, struct slice token);

/* The same over all headers of that name, which together make one list (RFC 9110 5.3). */
bool http_request_has_token(const struct http_request *request, struct slice name,
                            struct slice token);

#endif
