#include "eventhub/server/option_check.h"

#include <string.h>

#include "eventhub/base/network.h"
#include "eventhub/server/origin.h"

bool option_check_address(struct slice value) {
  uint8_t address[ADDRESS_BYTES];
  return slice_equal(value, SLICE("*")) || address_parse(value, address) == 0;
}

bool option_check_origins(struct slice value) {
  struct slice item;
  while (slice_next_token(&value, ',', &item))
    if (!origin_pattern_is_valid(slice_trim(item))) return false;
  return true;
}

static bool is_metric_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
}

bool option_check_metric_prefix(struct slice value) {
  if (value.len == 0 || !is_metric_letter(value.ptr[0])) return false;
  for (size_t i = 1; i < value.len; i++)
    if (!is_metric_letter(value.ptr[i]) && (value.ptr[i] < '0' || value.ptr[i] > '9')) return false;
  return true;
}

static bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool consists_of(struct slice text, const char *more) {
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    if (!is_letter_or_digit(c) && (c == '\0' || strchr(more, c) == NULL)) return false;
  }
  return text.len > 0;
}

static bool is_port(struct slice text) {
  uint64_t port;
  return slice_to_u64(text, &port) == 0 && port >= 1 && port <= UINT16_MAX;
}

/* `[v6]`, with or without `:port`. */
static bool is_bracketed_sentinel(struct slice item) {
  const char *end = memchr(item.ptr, ']', item.len);
  if (end == NULL) return false;
  struct slice address = slice_of(item.ptr + 1, (size_t)(end - item.ptr) - 1);
  struct slice rest = slice_skip(item, address.len + 2);
  if (memchr(address.ptr, ':', address.len) == NULL || !option_check_address(address)) return false;
  return rest.len == 0 || (rest.ptr[0] == ':' && is_port(slice_skip(rest, 1)));
}

static bool is_sentinel(struct slice item) {
  if (item.len > 0 && item.ptr[0] == '[') return is_bracketed_sentinel(item);
  struct slice host;
  slice_next_token(&item, ':', &host);
  return consists_of(host, "-._") && (item.ptr == NULL || is_port(item));
}

bool option_check_sentinels(struct slice value) {
  struct slice item;
  if (value.len == 0) return true;
  while (slice_next_token(&value, ',', &item))
    if (!is_sentinel(slice_trim(item))) return false;
  return true;
}

bool option_check_redis_prefix(struct slice value) {
  return consists_of(value, "_-.:");
}

bool option_check_networks(struct slice value) {
  struct slice item;
  struct network network;
  if (value.len == 0) return true;
  while (slice_next_token(&value, ',', &item))
    if (network_parse(slice_trim(item), &network) < 0) return false;
  return true;
}
