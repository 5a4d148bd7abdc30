#include "eventhub/proto/http_request.h"

#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/proto/url.h"

/* Where a byte may stand. */
enum {
  T = 1, /* token: method, header name (RFC 9110 5.6.2) */
  G = 2, /* target: what is visible but `#`, more than RFC 3986 has: clients send it */
  H = 4  /* host and port (RFC 3986 3.2.2) */
};

static const uint8_t classes[256] = {
    ['0' ... '9'] = T | G | H,
    ['A' ... 'Z'] = T | G | H,
    ['a' ... 'z'] = T | G | H,
    ['!'] = T | G | H,
    ['"'] = G,
    ['#'] = T,
    ['$'] = T | G | H,
    ['%'] = T | G | H,
    ['&'] = T | G | H,
    ['\''] = T | G | H,
    ['('] = G | H,
    [')'] = G | H,
    ['*'] = T | G | H,
    ['+'] = T | G | H,
    [','] = G | H,
    ['-'] = T | G | H,
    ['.'] = T | G | H,
    ['/'] = G,
    [':'] = G | H,
    [';'] = G | H,
    ['<'] = G,
    ['='] = G | H,
    ['>'] = G,
    ['?'] = G,
    ['@'] = G,
    ['['] = G | H,
    ['\\'] = G,
    [']'] = G | H,
    ['^'] = T | G,
    ['_'] = T | G | H,
    ['`'] = T | G,
    ['{'] = G,
    ['|'] = T | G,
    ['}'] = G,
    ['~'] = T | G | H,
};

/* A head on its way to being a request. */
struct head {
  const char *at, *end; /* what is left of the bytes, up to HTTP_HEAD_MAX */
  bool is_cut;          /* `end` is the limit, not the end of what has come */
  bool has_host, has_length, has_encoding, wants_close, wants_keep_alive;
  struct http_request request;
};

static bool all_of_class(struct slice text, uint8_t class) {
  for (size_t i = 0; i < text.len; i++) {
    if ((classes[(unsigned char)text.ptr[i]] & class) == 0) return false;
  }
  return true;
}

bool http_is_token_char(char byte) {
  return (classes[(unsigned char)byte] & T) != 0;
}

/* Nearly all names differ in length already: that needs no call. */
static inline bool is_named(const struct http_header *header, struct slice name) {
  return header->name.len == name.len && slice_equal_nocase(header->name, name);
}

/* Splits `text` at the first `separator`; without one, all of it is the first part. */
static bool split(struct slice text, char separator, struct slice *ret_first,
                  struct slice *ret_rest) {
  const char *found = text.len == 0 ? NULL : memchr(text.ptr, separator, text.len);
  size_t first_len = found == NULL ? text.len : (size_t)(found - text.ptr);
  *ret_first = slice_of(text.ptr, first_len);
  *ret_rest = found == NULL ? slice_of(text.ptr + text.len, 0)
                            : slice_of(found + 1, text.len - first_len - 1);
  return found != NULL;
}

/* May a control character be among these eight bytes? A tab also says so. */
static inline bool word_has_control(const char *at) {
  const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
  uint64_t word;
  memcpy(&word, at, sizeof word);
  uint64_t below_blank = (word - ones * ' ') & ~word;
  uint64_t del = word ^ ones * 0x7f;
  return ((below_blank | ((del - ones) & ~del)) & tops) != 0;
}

static inline bool is_control(unsigned char byte) {
  return (byte < ' ' && byte != '\t') || byte == 0x7f;
}

/* The first control character other than tab, or `end`. One pass finds the end of a line and checks
 * what is in it. */
static const char *find_control(const char *at, const char *end) {
  while (end - at >= 8) {
    if (!word_has_control(at)) {
      at += 8;
      continue;
    }
    for (int i = 0; i < 8; i++, at++) {
      if (is_control((unsigned char)*at)) return at;
    }
  }
  while (at < end && !is_control((unsigned char)*at))
    at++;
  return at;
}

static int need_more(const struct head *head) {
  return head->is_cut ? ERR_TOO_BIG : ERR_AGAIN;
}

/* The next line, without its CRLF. Nothing else ends a line (RFC 9112 2.2 allows a bare LF to be
 * taken for an end; a proxy may see it otherwise). */
static int take_line(struct head *head, struct slice *ret_line) {
  const char *stop = find_control(head->at, head->end);
  if (stop == head->end) return need_more(head);
  if (*stop != '\r') return ERR_INVALID;
  if (stop + 1 == head->end) return need_more(head);
  if (stop[1] != '\n') return ERR_INVALID;
  *ret_line = slice_of(head->at, (size_t)(stop - head->at));
  head->at = stop + 2;
  return 0;
}

static bool method_is_valid(struct slice method) {
  return method.len > 0 && method.len <= HTTP_METHOD_MAX && all_of_class(method, T);
}

static bool target_may_begin_with(char byte) {
  return byte == '/' || byte == '*' || byte == 'h' || byte == 'H';
}

/* Of a request line that is still coming: could it become one? */
static bool line_may_continue(struct slice line) {
  struct slice method, rest;
  if (line.len == 0) return true;
  split(line, ' ', &method, &rest);
  if (!method_is_valid(method)) return false;
  return rest.len == 0 || target_may_begin_with(rest.ptr[0]);
}

/* `http://host/path?query` to `/path?query` (RFC 9112 3.2.2). A user name in it is an error (RFC
 * 9110 4.2.4). */
static int strip_authority(struct slice target, struct slice *ret_origin) {
  static const struct slice schemes[] = {SLICE_INIT("http://"), SLICE_INIT("https://")};
  for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
    size_t len = schemes[i].len;
    if (target.len <= len || !slice_equal_nocase(slice_of(target.ptr, len), schemes[i])) continue;
    size_t host_len = 0;
    while (len + host_len < target.len && (classes[(unsigned char)target.ptr[len + host_len]] & H))
      host_len++;
    *ret_origin = slice_of(target.ptr + len + host_len, target.len - len - host_len);
    return host_len > 0 && target.ptr[len] != ':' ? 0 : ERR_INVALID;
  }
  return ERR_INVALID;
}

/* Origin form: path, and query behind the first `?`. */
static int parse_origin(struct slice origin, struct http_request *request) {
  split(origin, '?', &request->path, &request->query);
  if (request->path.len == 0 || request->path.ptr[0] != '/') return ERR_INVALID;
  return url_escapes_are_valid(origin) ? 0 : ERR_INVALID;
}

static int parse_absolute(struct slice target, struct http_request *request) {
  struct slice origin;
  int err = strip_authority(target, &origin);
  if (err < 0) return err;
  if (origin.len > 0 && origin.ptr[0] == '/') return parse_origin(origin, request);
  /* No path is the path "/". */
  struct slice nothing;
  split(origin, '?', &nothing, &request->query);
  request->path = SLICE("/");
  return nothing.len == 0 && url_escapes_are_valid(request->query) ? 0 : ERR_INVALID;
}

static int parse_target(struct slice target, struct http_request *request) {
  request->target = target;
  if (target.len == 0 || !all_of_class(target, G)) return ERR_INVALID;
  if (target.ptr[0] == '/') return parse_origin(target, request);
  if (target.ptr[0] != '*') return parse_absolute(target, request);
  if (target.len != 1 || !slice_equal(request->method, SLICE("OPTIONS"))) return ERR_INVALID;
  request->path = target;
  request->query = slice_of(target.ptr + 1, 0);
  return 0;
}

static bool is_digit(char byte) {
  return byte >= '0' && byte <= '9';
}

static int parse_version(struct slice version, struct http_request *request) {
  if (version.len != 8 || memcmp(version.ptr, "HTTP/", 5) != 0) return ERR_INVALID;
  if (!is_digit(version.ptr[5]) || version.ptr[6] != '.' || !is_digit(version.ptr[7]))
    return ERR_INVALID;
  if (version.ptr[5] != '1') return ERR_UNSUPPORTED;
  request->minor = version.ptr[7] == '0' ? 0 : 1;
  return 0;
}

static int parse_request_line(struct slice line, struct http_request *request) {
  struct slice rest, target, version;
  split(line, ' ', &request->method, &rest);
  if (!method_is_valid(request->method)) return ERR_INVALID;
  split(rest, ' ', &target, &version);
  int err = parse_target(target, request);
  return err < 0 ? err : parse_version(version, request);
}

static int take_request_line(struct head *head) {
  struct slice line;
  int err = take_line(head, &line);
  if (err == 0) return parse_request_line(line, &head->request);
  if (err == ERR_INVALID) return err;
  struct slice begun = slice_of(head->at, (size_t)(head->end - head->at));
  if (begun.len > 0 && begun.ptr[begun.len - 1] == '\r') begun.len--;
  return line_may_continue(begun) ? err : ERR_INVALID;
}

static int take_host(struct head *head, struct slice value) {
  if (head->has_host || !all_of_class(value, H)) return ERR_INVALID;
  head->has_host = true;
  return 0;
}

/* "5, 5" and a repeated length could be accepted (RFC 9112 6.3) and are worth nothing. */
static int take_content_length(struct head *head, struct slice value) {
  if (head->has_length) return ERR_INVALID;
  head->has_length = true;
  return slice_to_u64(value, &head->request.content_length) < 0 ? ERR_INVALID : 0;
}

static int take_transfer_encoding(struct head *head, struct slice value) {
  if (head->has_encoding || !slice_equal_nocase(value, SLICE("chunked"))) return ERR_INVALID;
  head->has_encoding = true;
  return 0;
}

static int take_connection(struct head *head, struct slice value) {
  if (http_header_has_token(value, SLICE("close"))) head->wants_close = true;
  if (http_header_has_token(value, SLICE("keep-alive"))) head->wants_keep_alive = true;
  return 0;
}

static int take_expect(struct head *head, struct slice value) {
  if (slice_equal_nocase(value, SLICE("100-continue"))) head->request.expect_continue = true;
  return 0;
}

/* The others are kept and mean nothing here. */
static const struct {
  struct slice name;
  int (*take)(struct head *head, struct slice value);
} framing_headers[] = {
    {SLICE_INIT("Host"), take_host},
    {SLICE_INIT("Connection"), take_connection},
    {SLICE_INIT("Content-Length"), take_content_length},
    {SLICE_INIT("Transfer-Encoding"), take_transfer_encoding},
    {SLICE_INIT("Expect"), take_expect},
};

/* Blanks before the colon and folded lines fail here: neither is part of a token. */
static int parse_header(struct slice line, struct http_header *ret) {
  struct slice name, value;
  if (!split(line, ':', &name, &value)) return ERR_INVALID;
  if (name.len == 0 || !all_of_class(name, T)) return ERR_INVALID;
  ret->name = name;
  ret->value = slice_trim(value);
  return 0;
}

static int take_header(struct head *head, struct slice line) {
  struct http_request *request = &head->request;
  struct http_header header;
  int err = parse_header(line, &header);
  if (err < 0) return err;
  if (request->header_count == HTTP_HEADERS_MAX) return ERR_TOO_BIG;
  request->headers[request->header_count++] = header;
  for (size_t i = 0; i < ARRAY_LEN(framing_headers); i++) {
    if (is_named(&header, framing_headers[i].name))
      return framing_headers[i].take(head, header.value);
  }
  return 0;
}

static int take_headers(struct head *head) {
  for (;;) {
    struct slice line;
    int err = take_line(head, &line);
    if (err < 0) return err;
    if (line.len == 0) return 0;
    err = take_header(head, line);
    if (err < 0) return err;
  }
}

static int take_empty_line(struct head *head) {
  if (head->at == head->end || *head->at != '\r') return 0;
  if (head->at + 1 == head->end) return need_more(head);
  if (head->at[1] != '\n') return ERR_INVALID;
  head->at += 2;
  return 0;
}

/* What can be said only when all headers are known. */
static int conclude(struct head *head) {
  struct http_request *request = &head->request;
  bool is_1_0 = request->minor == 0;
  if (!head->has_host && !is_1_0) return ERR_INVALID;
  if (head->has_encoding && (head->has_length || is_1_0)) return ERR_INVALID;
  request->chunked = head->has_encoding;
  request->has_body = request->chunked || request->content_length > 0;
  request->keep_alive = !head->wants_close && (!is_1_0 || head->wants_keep_alive);
  if (is_1_0) request->expect_continue = false;
  return 0;
}

static int take_head(struct head *head) {
  int err = take_empty_line(head);
  if (err == 0) err = take_request_line(head);
  if (err == 0) err = take_headers(head);
  return err == 0 ? conclude(head) : err;
}

int http_request_parse(const char *bytes, size_t len, struct http_request *ret) {
  struct head head; /* 3 kB of headers in it need no zeroes */
  memset(&head, 0, offsetof(struct head, request.headers));
  head.is_cut = len >= HTTP_HEAD_MAX;
  head.at = bytes;
  head.end = bytes + (head.is_cut ? HTTP_HEAD_MAX : len);
  int err = take_head(&head);
  if (err < 0) return err;
  size_t used = head.request.header_count * sizeof head.request.headers[0];
  memcpy(ret, &head.request, offsetof(struct http_request, headers) + used);
  return (int)(head.at - bytes);
}

struct slice http_request_header(const struct http_request *request, struct slice name) {
  for (size_t i = 0; i < request->header_count; i++) {
    if (is_named(&request->headers[i], name)) return request->headers[i].value;
  }
  return slice_of(NULL, 0);
}

size_t http_request_header_count(const struct http_request *request, struct slice name) {
  size_t count = 0;
  for (size_t i = 0; i < request->header_count; i++)
    count += is_named(&request->headers[i], name);
  return count;
}

bool http_header_has_token(struct slice value, struct slice token) {
  struct slice element;
  while (slice_next_token(&value, ',', &element)) {
    if (slice_equal_nocase(slice_trim(element), token)) return true;
  }
  return false;
}

bool http_request_has_token(const struct http_request *request, struct slice name,
                            struct slice token) {
  for (size_t i = 0; i < request->header_count; i++) {
    const struct http_header *header = &request->headers[i];
    if (is_named(header, name) && http_header_has_token(header->value, token)) return true;
  }
  return false;
}
