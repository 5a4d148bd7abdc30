#ifndef EVENTHUB_STORE_EMBEDDED_H
#define EVENTHUB_STORE_EMBEDDED_H

/*
 * The backend that needs nothing else: eventlog, key/value store and rate-limit windows in this
 * process's memory. Every request is finished within its turn.
 */

#include "eventhub/store/backend.h"

/* Goes to store_new_with, which takes it over. */
struct store_backend *embedded_new(const struct store_config *config);

#endif
