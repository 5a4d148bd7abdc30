/* Where a broker is: ws://host:port/path, and what people write for it. */
#ifndef EVENTHUB_CLI_CLIENT_URL_H
#define EVENTHUB_CLI_CLIENT_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/slice.h"

enum { CLIENT_HOST_MAX = 255 };

struct client_url {
  bool is_secure;
  char host[CLIENT_HOST_MAX + 1]; /* an IPv6 address without its brackets */
  uint16_t port;
  struct slice target; /* path and query as they were written, "/" where there is none */
};

/* ws:// and http:// are the same, and so are wss:// and https://; without a scheme it is ws:// on
 * port 8080. 0, or ERR_INVALID. `target` points into the text. */
int client_url_parse(const char *text, struct client_url *ret);

#endif
