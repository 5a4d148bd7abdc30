#ifndef EVENTHUB_SERVER_RPC_H
#define EVENTHUB_SERVER_RPC_H

/*
 * Requests: from a client's text to a row of the method table, and the way back of the answer, at
 * once or when the store has done its part.
 *
 *   text -> jsonrpc_reader -> rpc_request -> method row
 *
 *   answered at once:   rpc_result / rpc_fail
 *   answered later:     rpc_call_new, store_submit ... rpc_call.finish -> rpc_result / rpc_fail
 *
 * Each request that has an id gets exactly one answer, unless its connection ends first. The
 * answers to a batch are collected and leave as one array, in the order of the requests. A batch
 * that takes long goes on in later turns, in which its connection is not read. Worker's thread
 * only.
 */

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/slice.h"
#include "eventhub/proto/json_value.h"
#include "eventhub/proto/jsonrpc.h"
#include "eventhub/server/connection.h"
#include "eventhub/store/store.h"

struct rpc_batch;
struct session;
struct worker;

/* Where an answer goes. */
struct rpc_reply {
  struct worker *worker;
  struct connection_ref connection;
  struct rpc_batch *batch; /* NULL outside of one */
  uint32_t position;       /* in the batch */
  struct slice id;         /* JSON text; ptr NULL: a notification, nothing is answered */
};

/* A request while its method runs; everything in it is gone after that. */
struct rpc_request {
  struct session *session;
  struct rpc_reply reply;
  struct json_value params;
  const struct json_members *members; /* of the params, where they were noted (json.h), or NULL */
  uint32_t batch_size;                /* 1 outside of a batch */
};

/* A request that waits for the store. */
struct rpc_call {
  struct store_request request;
  struct rpc_reply reply; /* the id is the call's own copy */
  struct rpc_call *then;  /* to be submitted by finish; freed with this call where it was not */
  struct rpc_call *next;  /* in its batch: see rpc_join_later */
  bool joins;             /* see rpc_join_later */
  struct token *token;    /* a reference kept for the request, or NULL */
  uint64_t serial;        /* subscribe: the session's number of the request */
  const char *recovered;  /* subscribe: what the answer says, a static text; NULL = nothing */
  struct slice subject;   /* what the request is about: topic, filter or key; the call's own copy */
  /* Answers, or submits `then`, which will. `session` is NULL where the client is gone; the answer
   * goes nowhere then, but a batch waits for it. */
  void (*finish)(struct rpc_call *call, struct session *session);
  char text[];
};

typedef void rpc_method_fn(struct rpc_request *rpc);

struct rpc_method {
  struct slice name; /* lower case: names compare without case */
  rpc_method_fn *run;
  bool reads;   /* its answer comes from the store and may be long */
  bool by_post; /* makes sense in a POST, too: neither is about a connection's subscriptions */
};

/* Handles one text message, a request or a batch; that of a session for a POST may only use some of
 * the methods. */
void rpc_handle(struct session *session, struct slice text);
/* Goes on with the batches that were too long for their turns. Once a turn, before its requests go
 * to the store; what is left hurries the loop. */
void rpc_run_jobs(struct worker *worker);
/* The session ends: what is left of its batches is not run. */
void rpc_end_jobs(struct session *session);
/* Is there a request in the message whose answer may be long? */
bool rpc_reads(struct slice text);

/* Bytes that one message to a client may grow to where we decide what goes into it: half of
 * MAX_SEND_QUEUE, so that an answer never closes the connection that it was asked on. */
size_t rpc_answer_budget(const struct worker *worker);

/* Answers with a result (JSON text), once. */
void rpc_result(const struct rpc_reply *reply, struct slice result);
/* The same for a result that may be long and whose request has changed nothing: where the answers
 * to its batch are too long together, an error takes its place. */
void rpc_long_result(const struct rpc_reply *reply, struct slice result);
/* Answers with an error; `data` is a sentence for a person. */
void rpc_fail(const struct rpc_reply *reply, int code, struct slice data);
/* The same with what the sentence is about behind it, cut where it is longer than any valid topic.
 */
void rpc_fail_about(const struct rpc_reply *reply, int code, const char *sentence,
                    struct slice about);
/* The error for a store's status other than STORE_OK. */
void rpc_fail_status(const struct rpc_reply *reply, enum store_status status);

/* A call for the store, to be filled in and passed to rpc_call_submit. `subject` is copied. While
 * it is away it counts as what it leads to: a watch before a long answer is one too (session.h). */
struct rpc_call *rpc_call_new(const struct rpc_request *rpc, enum store_op op, struct slice subject,
                              void (*finish)(struct rpc_call *call, struct session *session));
void rpc_call_submit(struct rpc_call *call, struct session *session);
/* The store's answer has come: finishes and frees the call. */
void rpc_call_done(struct store_request *request);

/* Starts a publish by the session's token, which may write there: the call has the topic as its
 * subject and ends in `finish`. The topic is valid; `message` is JSON text, neither null nor the
 * empty string. */
struct rpc_publish {
  struct slice topic, message;
  uint64_t ttl_ms;       /* 0: the default */
  uint64_t timestamp_ms; /* wished, 0: none */
};
void rpc_publish_start(const struct rpc_request *rpc, const struct rpc_publish *publish,
                       void (*finish)(struct rpc_call *call, struct session *session));
/* The result of one that went well. */
void rpc_append_published(struct buf *out, const struct rpc_call *call);

/* Subscribes to a valid filter that the session may read: history first, where it is wanted. */
struct history_wish;
void rpc_subscribe_to(struct rpc_request *rpc, struct slice filter,
                      const struct history_wish *wish);

/* Ends and frees it; what is away for it finds it gone. */
struct subscription;
void rpc_end_subscription(struct session *session, struct subscription *subscription);

/* From finish, or for a call that is never submitted: when the answers to its batch have left,
 * rpc_join runs and the call is freed. To be called before the call's own answer, which may be the
 * last one. */
void rpc_join_later(struct rpc_call *call);
/* Lets messages flow to the subscription that the call names by subject and serial: its history,
 * then what comes. `session` is NULL where the client is gone. */
void rpc_join(const struct rpc_call *call, struct session *session);

/* The methods, by what they are about. */
rpc_method_fn rpc_subscribe, rpc_unsubscribe, rpc_unsubscribe_all, rpc_list, rpc_publish;
rpc_method_fn rpc_eventlog, rpc_authenticate;
rpc_method_fn rpc_get, rpc_set, rpc_del;

#endif
