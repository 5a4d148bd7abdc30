#include "eventhub/server/watch.h"

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"

struct unwatch {
  struct store_request request;
  char filter[];
};

void watch_end(struct store_client *client, struct slice filter) {
  if (!store_watches(client->store)) return;
  struct unwatch *unwatch = x_malloc(sizeof *unwatch + filter.len);
  memcpy(unwatch->filter, filter.ptr, filter.len);
  store_request_init(&unwatch->request, STORE_UNWATCH);
  unwatch->request.watch.filter = slice_of(unwatch->filter, filter.len);
  store_submit(client, &unwatch->request);
}

void watch_ended(struct store_request *request) {
  free(container_of(request, struct unwatch, request));
}
