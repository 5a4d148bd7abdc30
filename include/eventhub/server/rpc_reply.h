#ifndef EVENTHUB_SERVER_RPC_REPLY_H
#define EVENTHUB_SERVER_RPC_REPLY_H

/*
 * What rpc.c needs of the way back of answers besides what methods use (rpc.h): batches, whose
 * answers are collected here until the last one lets all of them leave. Worker's thread only.
 */

#include "eventhub/server/rpc.h"

/* The session that is to be answered, NULL where the client is gone. */
struct session *rpc_reply_session(const struct rpc_reply *reply);

/* For the reply of each of its `count` requests. It frees itself with rpc_batch_settle. */
struct rpc_batch *rpc_batch_new(uint32_t count);
/* So many requests more will not be answered. */
void rpc_batch_give_up(const struct rpc_reply *reply, uint32_t count);
/* To be called after anything that may have been the last answer; nothing happens outside of a
 * batch. After the last one all of them leave, what was to join then does, and the batch is freed.
 */
void rpc_batch_settle(const struct rpc_reply *reply);

/* rpc_fail that answers a request without an id, too: with null. */
void rpc_answer_error(const struct rpc_reply *reply, int code, struct slice data);

/* Frees a call that is with nobody. */
void rpc_call_free(struct rpc_call *call);

#endif
