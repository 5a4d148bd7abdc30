#include "eventhub/proto/ws_extension.h"

#include <string.h>

enum { TELL_SERVER_BITS = 1, TELL_CLIENT_BITS = 2 };

/* Where we are in a header's value. */
struct scanner {
  const char *at, *end;
};

/* A parameter as it stands there; a value of "" is none. */
struct param {
  struct slice name, value;
};

/* One offer of the list, as far as it is read. */
struct offer {
  struct slice name;
  bool is_acceptable;
  unsigned seen; /* parameters, a bit each */
  struct ws_deflate deflate;
};

/* ---- the grammar of RFC 6455 9.1 ---- */

static void skip_blanks(struct scanner *scanner) {
  while (scanner->at < scanner->end && (*scanner->at == ' ' || *scanner->at == '\t'))
    scanner->at++;
}

/* Is this the next thing? Then it is taken. */
static bool take(struct scanner *scanner, char byte) {
  skip_blanks(scanner);
  if (scanner->at == scanner->end || *scanner->at != byte) return false;
  scanner->at++;
  return true;
}

static bool take_token(struct scanner *scanner, struct slice *ret) {
  skip_blanks(scanner);
  const char *start = scanner->at;
  while (scanner->at < scanner->end && http_is_token_char(*scanner->at))
    scanner->at++;
  *ret = slice_of(start, (size_t)(scanner->at - start));
  return ret->len > 0;
}

/* A token, or one in quotes. */
static bool take_value(struct scanner *scanner, struct slice *ret) {
  if (!take(scanner, '"')) return take_token(scanner, ret);
  return take_token(scanner, ret) && scanner->at < scanner->end && *scanner->at++ == '"';
}

static bool take_param(struct scanner *scanner, struct param *ret) {
  ret->value = slice_of(NULL, 0);
  if (!take_token(scanner, &ret->name)) return false;
  return !take(scanner, '=') || take_value(scanner, &ret->value);
}

/* ---- the parameters of RFC 7692 7.1 ---- */

/* 8 to 15 without leading zeros; 0 for anything else. */
static uint8_t parse_bits(struct slice value) {
  uint64_t bits = 0;
  if (value.len == 0 || value.ptr[0] == '0' || slice_to_u64(value, &bits) < 0) return 0;
  return bits >= WS_WINDOW_BITS_MIN && bits <= WS_WINDOW_BITS_MAX ? (uint8_t)bits : 0;
}

static bool set_server_takeover(struct ws_deflate *deflate, struct slice value) {
  (void)deflate; /* there is none in any case */
  return value.len == 0;
}

static bool set_client_takeover(struct ws_deflate *deflate, struct slice value) {
  deflate->client_takeover = false;
  return value.len == 0;
}

static bool set_server_bits(struct ws_deflate *deflate, struct slice value) {
  deflate->server_bits = parse_bits(value);
  deflate->told |= TELL_SERVER_BITS;
  return deflate->server_bits != 0;
}

/* Without a value it only says that the client knows the parameter. */
static bool set_client_bits(struct ws_deflate *deflate, struct slice value) {
  uint8_t bits = value.len == 0 ? WS_WINDOW_BITS_MAX : parse_bits(value);
  deflate->client_bits = bits < WS_CLIENT_WINDOW_BITS ? bits : WS_CLIENT_WINDOW_BITS;
  deflate->told |= TELL_CLIENT_BITS;
  return bits != 0;
}

static const struct {
  struct slice name;
  bool (*set)(struct ws_deflate *deflate, struct slice value);
} known[] = {
    {SLICE_INIT("server_no_context_takeover"), set_server_takeover},
    {SLICE_INIT("client_no_context_takeover"), set_client_takeover},
    {SLICE_INIT("server_max_window_bits"), set_server_bits},
    {SLICE_INIT("client_max_window_bits"), set_client_bits},
};

static bool apply(struct offer *offer, const struct param *param) {
  for (size_t i = 0; i < ARRAY_LEN(known); i++) {
    if (!slice_equal_nocase(known[i].name, param->name)) continue;
    bool is_first = (offer->seen >> i & 1) == 0;
    offer->seen |= 1U << i;
    return is_first && known[i].set(&offer->deflate, param->value);
  }
  return false;
}

/* ---- the list ---- */

/* False: malformed. */
static bool take_offer(struct scanner *scanner, struct offer *ret) {
  *ret = (struct offer){.deflate = {.server_bits = WS_WINDOW_BITS_MAX,
                                    .client_bits = WS_WINDOW_BITS_MAX,
                                    .client_takeover = true}};
  if (!take_token(scanner, &ret->name)) return false;
  ret->is_acceptable = slice_equal_nocase(ret->name, SLICE("permessage-deflate"));
  while (take(scanner, ';')) {
    struct param param;
    if (!take_param(scanner, &param)) return false;
    if (!apply(ret, &param)) ret->is_acceptable = false;
  }
  skip_blanks(scanner);
  return scanner->at == scanner->end || *scanner->at == ',';
}

/* RFC 9110 5.6.1: a list may have empty elements. */
static bool find_offer(struct slice value, struct ws_deflate *ret) {
  struct scanner scanner = {value.ptr, value.ptr + value.len};
  while (take(&scanner, ',')) {}
  while (scanner.at < scanner.end) {
    struct offer offer;
    if (!take_offer(&scanner, &offer)) return false;
    if (offer.is_acceptable) {
      *ret = offer.deflate;
      return true;
    }
    while (take(&scanner, ',')) {}
  }
  return false;
}

bool ws_deflate_negotiate(const struct http_request *request, struct ws_deflate *ret) {
  memset(ret, 0, sizeof *ret);
  for (size_t i = 0; i < request->header_count; i++) {
    const struct http_header *header = &request->headers[i];
    if (slice_equal_nocase(header->name, SLICE("Sec-WebSocket-Extensions")) &&
        find_offer(header->value, ret))
      return true;
  }
  return false;
}

void ws_deflate_append_header(struct buf *out, const struct ws_deflate *deflate) {
  if (deflate->server_bits == 0) return;
  buf_append_str(out, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover");
  if (!deflate->client_takeover) buf_append_str(out, "; client_no_context_takeover");
  if (deflate->told & TELL_SERVER_BITS)
    buf_printf(out, "; server_max_window_bits=%u", deflate->server_bits);
  if (deflate->told & TELL_CLIENT_BITS)
    buf_printf(out, "; client_max_window_bits=%u", deflate->client_bits);
  buf_append_str(out, "\r\n");
}
