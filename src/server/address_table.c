#include "eventhub/server/address_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"

enum { NETWORK_BYTES = 8 }; /* of an IPv6 address */

struct entry {
  struct map_node node;
  uint64_t count;
  char network[ADDRESS_BYTES];
};

static struct slice entry_key(const struct map_node *node) {
  const struct entry *entry = container_of(node, const struct entry, node);
  return slice_of(entry->network, sizeof entry->network);
}

static void network_of(const uint8_t address[ADDRESS_BYTES], char ret[ADDRESS_BYTES]) {
  memset(ret, 0, ADDRESS_BYTES);
  memcpy(ret, address, address_is_v4(address) ? ADDRESS_BYTES : NETWORK_BYTES);
}

static struct entry *find(const struct address_table *table, const char network[ADDRESS_BYTES]) {
  struct map_node *node = map_find(&table->addresses, slice_of(network, ADDRESS_BYTES));
  return node == NULL ? NULL : container_of(node, struct entry, node);
}

void address_table_init(struct address_table *table, uint64_t max) {
  pthread_mutex_init(&table->lock, NULL);
  map_init(&table->addresses, entry_key);
  table->max = max;
}

void address_table_done(struct address_table *table) {
  assert(table->addresses.count == 0);
  map_done(&table->addresses);
  pthread_mutex_destroy(&table->lock);
}

static struct entry *find_or_add(struct address_table *table, const char network[ADDRESS_BYTES]) {
  struct entry *entry = find(table, network);
  if (entry != NULL) return entry;
  entry = x_calloc(1, sizeof *entry);
  memcpy(entry->network, network, ADDRESS_BYTES);
  map_add(&table->addresses, &entry->node);
  return entry;
}

bool address_table_take(struct address_table *table, const uint8_t address[ADDRESS_BYTES]) {
  if (table->max == 0) return true;
  char network[ADDRESS_BYTES];
  network_of(address, network);
  pthread_mutex_lock(&table->lock);
  struct entry *entry = find_or_add(table, network);
  bool is_taken = entry->count < table->max; /* which a new one is */
  if (is_taken) entry->count++;
  pthread_mutex_unlock(&table->lock);
  return is_taken;
}

void address_table_give(struct address_table *table, const uint8_t address[ADDRESS_BYTES]) {
  if (table->max == 0) return;
  char network[ADDRESS_BYTES];
  network_of(address, network);
  pthread_mutex_lock(&table->lock);
  struct entry *entry = find(table, network);
  assert(entry != NULL && entry->count > 0);
  if (--entry->count == 0) {
    map_remove(&table->addresses, &entry->node);
    free(entry);
  }
  pthread_mutex_unlock(&table->lock);
}
