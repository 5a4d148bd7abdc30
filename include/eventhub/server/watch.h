#ifndef EVENTHUB_SERVER_WATCH_H
#define EVENTHUB_SERVER_WATCH_H

/*
 * Tells a store that watches (store_watches) which filters this worker has no subscription to any
 * more. The way there is the subscription's own request (rpc_pubsub), since its answer waits for
 * the store; for the way back nobody waits, so the request owns itself. Worker's thread only.
 */

#include "eventhub/base/slice.h"
#include "eventhub/store/store.h"

/* The last subscription to the filter, which is copied, is gone. Nothing happens where the store
 * does not watch. Also where its watch has failed, or is not answered yet. */
void watch_end(struct store_client *client, struct slice filter);

/* on_done of a STORE_UNWATCH, whatever its status: frees it. */
void watch_ended(struct store_request *request);

#endif
