#ifndef EVENTHUB_BASE_NETWORK_H
#define EVENTHUB_BASE_NETWORK_H

/* Addresses of IPv6, and of IPv4 as ::ffff:a.b.c.d, and networks of them. Pure functions. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/slice.h"

enum { ADDRESS_BYTES = 16 };

struct network {
  uint8_t address[ADDRESS_BYTES];
  uint8_t bits; /* of these, how many count */
};

struct network_list {
  struct network *items;
  size_t count;
};

/* `a.b.c.d` or IPv6 without brackets. 0 or ERR_INVALID. */
int address_parse(struct slice text, uint8_t ret[ADDRESS_BYTES]);
void address_from_v4(const uint8_t v4[4], uint8_t ret[ADDRESS_BYTES]);
bool address_is_v4(const uint8_t address[ADDRESS_BYTES]);
/* "192.0.2.1" or "2001:db8::1"; `cap` at least INET6_ADDRSTRLEN. */
void address_text(const uint8_t address[ADDRESS_BYTES], char *out, size_t cap);

/* `address/bits` (RFC 4632, RFC 4291 2.3), or an address by itself. 0 or ERR_INVALID. */
int network_parse(struct slice text, struct network *ret);
bool network_holds(const struct network *network, const uint8_t address[ADDRESS_BYTES]);
/* Does any of them? */
bool network_list_holds(const struct network_list *list, const uint8_t address[ADDRESS_BYTES]);

#endif
