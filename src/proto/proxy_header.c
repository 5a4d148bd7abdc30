#include "eventhub/proto/proxy_header.h"

#include <string.h>

#include "eventhub/base/err.h"

static const char text_start[] = "PROXY ";
static const char binary_start[] = "\r\n\r\n\0\r\nQUIT\n";

enum {
  TEXT_START = sizeof text_start - 1,
  BINARY_START = sizeof binary_start - 1,
  TEXT_MAX = 107, /* with its end */
  BINARY_HEAD = 16,
  V4_BYTES = 12, /* two addresses, two ports */
  V6_BYTES = 36
};

/* ---- version 1: "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n" ---- */

static bool read_port(struct slice text, uint16_t *ret) {
  uint64_t port;
  if (slice_to_u64(text, &port) < 0 || port > UINT16_MAX) return false;
  *ret = (uint16_t)port;
  return true;
}

static int read_addresses(struct slice rest, bool is_v4, struct proxied *ret) {
  struct slice source, target, source_port, target_port;
  uint8_t unused[ADDRESS_BYTES];
  uint16_t unused_port;
  if (!slice_next_token(&rest, ' ', &source) || !slice_next_token(&rest, ' ', &target) ||
      !slice_next_token(&rest, ' ', &source_port) || !slice_next_token(&rest, ' ', &target_port) ||
      rest.ptr != NULL)
    return ERR_INVALID;
  bool looks_v4 = source.len > 0 && memchr(source.ptr, ':', source.len) == NULL;
  if (looks_v4 != is_v4 || address_parse(source, ret->address) < 0 ||
      address_parse(target, unused) < 0 || !read_port(source_port, &ret->port) ||
      !read_port(target_port, &unused_port))
    return ERR_INVALID;
  ret->has_address = true;
  return 0;
}

static int parse_line(struct slice line, struct proxied *ret) {
  struct slice rest = slice_skip(line, TEXT_START), family;
  if (!slice_next_token(&rest, ' ', &family)) return ERR_INVALID;
  if (slice_equal(family, SLICE("UNKNOWN"))) return 0;
  if (slice_equal(family, SLICE("TCP4"))) return read_addresses(rest, true, ret);
  return slice_equal(family, SLICE("TCP6")) ? read_addresses(rest, false, ret) : ERR_INVALID;
}

static int parse_text(const char *bytes, size_t len, struct proxied *ret) {
  size_t most = len < TEXT_MAX ? len : TEXT_MAX;
  const char *end = memchr(bytes, '\n', most);
  if (end == NULL) return len < TEXT_MAX ? ERR_AGAIN : ERR_INVALID;
  size_t line = (size_t)(end - bytes);
  if (line == 0 || bytes[line - 1] != '\r') return ERR_INVALID;
  int err = parse_line(slice_of(bytes, line - 1), ret);
  return err < 0 ? err : (int)line + 1;
}

/* ---- version 2 ---- */

static uint16_t big_endian(const uint8_t *bytes) {
  return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void read_binary(const uint8_t *head, const uint8_t *addresses, size_t len,
                        struct proxied *ret) {
  enum { TCP4 = 0x11, TCP6 = 0x21 };
  if (head[13] == TCP4 && len >= V4_BYTES) {
    address_from_v4(addresses, ret->address);
    ret->port = big_endian(addresses + 8);
    ret->has_address = true;
  } else if (head[13] == TCP6 && len >= V6_BYTES) {
    memcpy(ret->address, addresses, ADDRESS_BYTES);
    ret->port = big_endian(addresses + 32);
    ret->has_address = true;
  }
}

static int parse_binary(const char *bytes, size_t len, struct proxied *ret) {
  enum { LOCAL = 0x20, PROXY = 0x21 };
  const uint8_t *head = (const uint8_t *)bytes;
  if (len < BINARY_HEAD) return ERR_AGAIN;
  size_t rest = big_endian(head + 14);
  if ((head[12] != LOCAL && head[12] != PROXY) || BINARY_HEAD + rest > PROXY_HEADER_MAX)
    return ERR_INVALID;
  if (len < BINARY_HEAD + rest) return ERR_AGAIN;
  if (head[12] == PROXY) read_binary(head, head + BINARY_HEAD, rest, ret);
  return (int)(BINARY_HEAD + rest);
}

/* Do as many bytes as there are begin like that? */
static bool begins(const char *bytes, size_t len, const char *start, size_t start_len) {
  return memcmp(bytes, start, len < start_len ? len : start_len) == 0;
}

int proxy_header_parse(const char *bytes, size_t len, struct proxied *ret) {
  *ret = (struct proxied){.has_address = false};
  if (len == 0) return ERR_AGAIN;
  if (begins(bytes, len, text_start, TEXT_START))
    return len < TEXT_START ? ERR_AGAIN : parse_text(bytes, len, ret);
  if (begins(bytes, len, binary_start, BINARY_START))
    return len < BINARY_START ? ERR_AGAIN : parse_binary(bytes, len, ret);
  return 0;
}

/* ---- headers ---- */

/* `address`, `address:port` (IPv4), `[address]`, `[address]:port`; IPv6 also as it is. */
static bool read_node(struct slice node, struct proxied *ret) {
  struct slice address = node, port = {NULL, 0};
  *ret = (struct proxied){.has_address = true};
  if (node.len > 0 && node.ptr[0] == '[') {
    const char *end = memchr(node.ptr, ']', node.len);
    if (end == NULL) return false;
    address = slice_of(node.ptr + 1, (size_t)(end - node.ptr) - 1);
    port = slice_skip(node, address.len + 2);
    if (port.len > 0 && port.ptr[0] != ':') return false;
    if (port.len > 0) port = slice_skip(port, 1);
  } else {
    const char *colon = node.len > 0 ? memchr(node.ptr, ':', node.len) : NULL;
    bool is_v6 = colon != NULL && memchr(colon + 1, ':', node.len - (size_t)(colon + 1 - node.ptr));
    if (colon != NULL && !is_v6) {
      address = slice_of(node.ptr, (size_t)(colon - node.ptr));
      port = slice_skip(node, address.len + 1);
    }
  }
  if (port.len > 0 && !read_port(port, &ret->port)) return false;
  return address_parse(address, ret->address) == 0;
}

static struct slice unquote(struct slice text) {
  bool is_quoted = text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"';
  return is_quoted ? slice_of(text.ptr + 1, text.len - 2) : text;
}

/* RFC 7239 4: the value of `for` among the pairs of an element. */
static struct slice for_of(struct slice element) {
  struct slice pair, name;
  while (slice_next_token(&element, ';', &pair)) {
    struct slice value = slice_trim(pair);
    slice_next_token(&value, '=', &name);
    if (slice_equal_nocase(name, SLICE("for"))) return unquote(value);
  }
  return SLICE("");
}

/* Takes the last element off a comma-separated list. */
static bool take_last(struct slice *list, struct slice *ret) {
  if (list->ptr == NULL) return false;
  const char *comma = list->len > 0 ? memrchr(list->ptr, ',', list->len) : NULL;
  if (comma == NULL) {
    *ret = slice_trim(*list);
    list->ptr = NULL;
    return true;
  }
  size_t before = (size_t)(comma - list->ptr);
  *ret = slice_trim(slice_skip(*list, before + 1));
  list->len = before;
  return true;
}

/* False: the walk is over. */
static bool take_value(struct slice list, bool is_forwarded, const struct network_list *trusted,
                       struct proxied *ret) {
  struct slice element;
  struct proxied named;
  while (take_last(&list, &element)) {
    if (!read_node(is_forwarded ? for_of(element) : element, &named)) return false;
    *ret = named;
    if (!network_list_holds(trusted, named.address)) return false;
  }
  return true;
}

bool proxied_client(const struct http_request *request, const struct network_list *trusted,
                    struct proxied *ret) {
  static const struct slice forwarded = SLICE_INIT("Forwarded");
  bool is_forwarded = http_request_header_count(request, forwarded) > 0;
  struct slice name = is_forwarded ? forwarded : SLICE("X-Forwarded-For");
  *ret = (struct proxied){.has_address = false};
  for (size_t i = request->header_count; i-- > 0;) {
    const struct http_header *header = &request->headers[i];
    if (!slice_equal_nocase(header->name, name)) continue;
    if (!take_value(header->value, is_forwarded, trusted, ret)) break;
  }
  return ret->has_address;
}
