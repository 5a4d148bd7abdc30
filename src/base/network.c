#include "eventhub/base/network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "eventhub/base/err.h"

enum { V4_AT = 12, V4_BYTES = 4, V4_BITS = 32, ALL_BITS = 128 };

/* RFC 4291 2.5.5.2: what an IPv4 address has in front of it. */
static const uint8_t mapped[V4_AT] = {[10] = 0xff, [11] = 0xff};

void address_from_v4(const uint8_t v4[V4_BYTES], uint8_t ret[ADDRESS_BYTES]) {
  memcpy(ret, mapped, V4_AT);
  memcpy(ret + V4_AT, v4, V4_BYTES);
}

bool address_is_v4(const uint8_t address[ADDRESS_BYTES]) {
  return memcmp(address, mapped, V4_AT) == 0;
}

void address_text(const uint8_t address[ADDRESS_BYTES], char *out, size_t cap) {
  bool is_v4 = address_is_v4(address);
  if (inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? address + V4_AT : address, out,
                (socklen_t)cap) == NULL)
    snprintf(out, cap, "?");
}

int address_parse(struct slice text, uint8_t ret[ADDRESS_BYTES]) {
  char copy[INET6_ADDRSTRLEN];
  uint8_t v4[4];
  if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len) != NULL)
    return ERR_INVALID;
  memcpy(copy, text.ptr, text.len);
  copy[text.len] = '\0';
  if (inet_pton(AF_INET, copy, v4) == 1) {
    address_from_v4(v4, ret);
    return 0;
  }
  return inet_pton(AF_INET6, copy, ret) == 1 ? 0 : ERR_INVALID;
}

int network_parse(struct slice text, struct network *ret) {
  struct slice rest = text, address;
  uint64_t bits;
  if (!slice_next_token(&rest, '/', &address)) return ERR_INVALID;
  if (address_parse(address, ret->address) < 0) return ERR_INVALID;
  bool is_v4 = memchr(address.ptr, ':', address.len) == NULL;
  unsigned most = is_v4 ? V4_BITS : ALL_BITS;
  if (rest.ptr == NULL) {
    ret->bits = ALL_BITS;
    return 0;
  }
  if (slice_to_u64(rest, &bits) < 0 || bits > most) return ERR_INVALID;
  ret->bits = (uint8_t)(ALL_BITS - most + bits);
  return 0;
}

bool network_holds(const struct network *network, const uint8_t address[ADDRESS_BYTES]) {
  size_t whole = network->bits / 8;
  unsigned rest = network->bits % 8;
  if (memcmp(network->address, address, whole) != 0) return false;
  if (rest == 0) return true;
  uint8_t mask = (uint8_t)(0xff << (8 - rest));
  return ((network->address[whole] ^ address[whole]) & mask) == 0;
}

bool network_list_holds(const struct network_list *list, const uint8_t address[ADDRESS_BYTES]) {
  for (size_t i = 0; i < list->count; i++)
    if (network_holds(&list->items[i], address)) return true;
  return false;
}
