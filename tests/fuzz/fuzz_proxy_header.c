/* What comes in front of a connection's first request. What is taken for a header of the PROXY
 * protocol is within its bounds, is found with any bytes behind it, and none of its beginnings is
 * taken for anything. */
#include <assert.h>
#include <stdint.h>

#include "eventhub/base/err.h"
#include "eventhub/proto/proxy_header.h"

static void check_headers(const char *bytes, size_t len) {
  struct http_request request;
  struct network network = {.bits = 104, .address = {[10] = 0xff, [11] = 0xff, [12] = 10}};
  const struct network_list trusted = {&network, 1};
  struct proxied client;
  if (http_request_parse(bytes, len, &request) <= 0) return;
  bool is_named = proxied_client(&request, &trusted, &client);
  assert(is_named == client.has_address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *bytes = (const char *)data;
  struct proxied client;
  int used = proxy_header_parse(bytes, size, &client);
  assert(used <= PROXY_HEADER_MAX && (used <= 0 || (size_t)used <= size));
  for (size_t len = 0; used > 0 && len < (size_t)used; len++)
    assert(proxy_header_parse(bytes, len, &client) == ERR_AGAIN);
  check_headers(bytes, size);
  return 0;
}
