#ifndef EVENTHUB_STORE_LOG_KEEPER_H
#define EVENTHUB_STORE_LOG_KEEPER_H

/*
 * Keeps the journal in step with what the eventlog loses: messages that were trimmed or have
 * expired, topics that are forgotten. What a topic has lost must be on the disk before the blocks
 * of those messages go, so that a reader is never told that nothing is missing. For that each topic
 * whose row is behind waits in a line, with the number of its mark:
 *
 *   dirty    topic(mark 7)  topic(mark 9)  topic(mark 12)
 *   dead     block(mark 5)  block(mark 8)                      only the first may go
 *
 * Store turns only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/list.h"
#include "eventhub/store/journal.h"

struct log_topic;

struct log_keeper {
  struct journal *journal; /* NULL: the eventlog has none, and nothing below happens */
  struct list dirty;
  uint64_t stamp;
  uint64_t *gone; /* rows of topics that were forgotten */
  size_t gone_count, gone_cap;
  size_t tidied_topics, tidied_rows; /* in the open set: the first of those */
};

void log_keeper_init(struct log_keeper *keeper, struct journal *journal);
void log_keeper_done(struct log_keeper *keeper);

/* A message of the topic, which was in the block, is lost; the topic knows of it. */
void log_keeper_lost(struct log_keeper *keeper, struct log_topic *topic, uint64_t block);
/* The topic's row is behind for another reason. */
void log_keeper_fell_behind(struct log_keeper *keeper, struct log_topic *topic);
/* Adds the topic's row to the open set, as it is now. */
void log_keeper_put(struct log_keeper *keeper, struct log_topic *topic);
/* The topic is going to be freed. */
void log_keeper_forgot(struct log_keeper *keeper, struct log_topic *topic);

/* Adds to the journal's open set what is behind, at most about max_work rows and blocks. It is done
 * with when log_keeper_kept says so: else the next call begins anew. False: there was nothing. */
bool log_keeper_tidy(struct log_keeper *keeper, size_t max_work);
void log_keeper_kept(struct log_keeper *keeper);

#endif
