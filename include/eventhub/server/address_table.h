#ifndef EVENTHUB_SERVER_ADDRESS_TABLE_H
#define EVENTHUB_SERVER_ADDRESS_TABLE_H

/*
 * How many connections each address has, over all workers. Whoever has an IPv6 address has a whole
 * network of them (/64), so that counts as one. Any thread.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/map.h"
#include "eventhub/base/network.h"

struct address_table {
  pthread_mutex_t lock;
  struct map addresses;
  uint64_t max; /* connections of one address; 0 = no limit, and nothing is counted */
};

void address_table_init(struct address_table *table, uint64_t max);
/* Every place must have been given back. */
void address_table_done(struct address_table *table);

/* Takes one of the address' places. False: it has none left. */
bool address_table_take(struct address_table *table, const uint8_t address[ADDRESS_BYTES]);
/* Gives one back that was taken. */
void address_table_give(struct address_table *table, const uint8_t address[ADDRESS_BYTES]);

#endif
