#ifndef EVENTHUB_SERVER_SCRAPE_H
#define EVENTHUB_SERVER_SCRAPE_H

/*
 * Collects what all threads count into one snapshot, for /metrics. Any thread.
 */

#include "eventhub/server/metrics.h"

struct broker;

void scrape_take(struct broker *broker, struct metrics_snapshot *ret);

#endif
