#ifndef EVENTHUB_SERVER_RPC_LOG_H
#define EVENTHUB_SERVER_RPC_LOG_H

/*
 * What `subscribe` and `eventlog` share: since when, how much, and turning that into a read of the
 * eventlog.
 */

#include <stdbool.h>

#include "eventhub/server/rpc_params.h"

enum history_kind {
  HISTORY_UNASKED, /* neither `since` nor `sinceEventId` */
  HISTORY_NONE,    /* asked for, but `since` is 0: no history */
  HISTORY_WANTED
};

struct history_wish {
  enum history_kind kind;
  struct log_point point;
  uint32_t limit;
};

/* No history is asked for yet; if it will be, then at most so many messages, and no more than
 * MAX_CACHE_REQUEST_LIMIT. */
void history_init(struct history_wish *wish, const struct worker *worker, int64_t limit);
/* 0 is no history, a negative number that long before now, a positive one ms since the epoch. */
void history_since_time(struct history_wish *wish, int64_t ms);
/* After that message. 0 or the error of message_id_parse. */
int history_since_id(struct history_wish *wish, struct slice id);

/* Reads `since`, `sinceEventId` and `limit`; answers the request and returns false where one is
 * wrong. */
bool history_parse(const struct rpc_request *rpc, const struct rpc_param *since,
                   const struct rpc_param *since_id, const struct rpc_param *limit,
                   struct history_wish *ret);

/* Fills in the read. Answers longer than half of MAX_SEND_QUEUE (of a batch: than its share of
 * that) are cut, or they would close the connection that they were asked on. */
void history_read(struct rpc_call *call, const struct rpc_request *rpc,
                  const struct history_wish *wish);

#endif
