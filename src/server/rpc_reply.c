#include "eventhub/server/rpc_reply.h"

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/server/http_post.h"
#include "eventhub/server/session.h"
#include "eventhub/server/worker.h"
#include "eventhub/topic/name.h"

enum { SCRATCH_KEEP_BYTES = 256 * 1024 }; /* longer answers are rare: their memory is given back */

struct session *rpc_reply_session(const struct rpc_reply *reply) {
  struct connection *connection = connection_find(&reply->worker->pool, reply->connection);
  return connection == NULL ? NULL : connection->session;
}

static void send_text(const struct rpc_reply *reply, struct slice text) {
  struct session *session = rpc_reply_session(reply);
  if (session == NULL) return;
  if (session->kind == SESSION_POST) {
    post_answer(session, text);
  } else {
    connection_send(session->connection, WS_TEXT, text);
  }
}

/* ---- batches ---- */

/* The answers to a batch: they come in any order, most often in that of their requests. */
struct rpc_batch {
  uint32_t count, missing;
  uint32_t last;       /* position of the answer that came last */
  bool is_disordered;  /* some answer came behind that to a later request */
  size_t answer_bytes; /* without what is between them */
  struct buf text;     /* an array of them as they came, but for its end */
  struct rpc_call *joins, **last_join;
  struct batch_answer {
    uint32_t at, len; /* in text; len 0: none, as for a notification */
  } answers[];        /* by position */
};

size_t rpc_answer_budget(const struct worker *worker) {
  enum { LARGEST = SPAN_MAX / 4 };
  uint64_t half_queue = worker->broker->options->max_send_queue / 2;
  return half_queue < LARGEST ? half_queue : LARGEST;
}

static void append_element(struct buf *array, struct slice text) {
  buf_append_char(array, array->len == 0 ? '[' : ',');
  buf_append_slice(array, text);
}

/* Nothing at all where there were notifications only (JSON-RPC 2.0, 6). */
static void send_array(const struct rpc_reply *reply, struct buf *array) {
  if (array->len == 0) return;
  buf_append_char(array, ']');
  send_text(reply, buf_slice(array));
}

static void send_ordered(const struct rpc_reply *reply, const struct rpc_batch *batch) {
  AUTO(buf) struct buf ordered = BUF_INIT;
  buf_reserve(&ordered, batch->text.len + 1);
  for (uint32_t i = 0; i < batch->count; i++) {
    const struct batch_answer *answer = &batch->answers[i];
    if (answer->len > 0)
      append_element(&ordered, slice_of(batch->text.data + answer->at, answer->len));
  }
  send_array(reply, &ordered);
}

static void send_batch(const struct rpc_reply *reply, struct rpc_batch *batch) {
  if (batch->is_disordered) {
    send_ordered(reply, batch);
  } else {
    send_array(reply, &batch->text);
  }
}

struct rpc_batch *rpc_batch_new(uint32_t count) {
  struct rpc_batch *batch = x_calloc(1, sizeof *batch + count * sizeof(struct batch_answer));
  batch->count = batch->missing = count;
  batch->last_join = &batch->joins;
  return batch;
}

/* May the batch's answers grow by this much? All of them wait in memory for the last one. */
static bool batch_takes(const struct rpc_reply *reply, size_t more) {
  return reply->batch == NULL ||
         reply->batch->answer_bytes + more <= rpc_answer_budget(reply->worker);
}

void rpc_join_later(struct rpc_call *call) {
  struct rpc_batch *batch = call->reply.batch;
  call->joins = true;
  *batch->last_join = call;
  batch->last_join = &call->next;
}

static void run_joins(struct rpc_call *call) {
  while (call != NULL) {
    struct rpc_call *next = call->next;
    rpc_join(call, rpc_reply_session(&call->reply));
    rpc_call_free(call);
    call = next;
  }
}

static void free_batch(struct rpc_batch *batch) {
  buf_done(&batch->text);
  free(batch);
}

/* `text` is empty for what is not answered. */
static void batch_add(const struct rpc_reply *reply, struct slice text) {
  struct rpc_batch *batch = reply->batch;
  batch->missing--;
  if (text.len == 0) return;
  append_element(&batch->text, text);
  batch->answers[reply->position] = (struct batch_answer){
      .at = (uint32_t)(batch->text.len - text.len), .len = (uint32_t)text.len};
  batch->answer_bytes += text.len;
  if (reply->position < batch->last) batch->is_disordered = true;
  batch->last = reply->position;
}

void rpc_batch_give_up(const struct rpc_reply *reply, uint32_t count) {
  reply->batch->missing -= count;
}

void rpc_batch_settle(const struct rpc_reply *reply) {
  struct rpc_batch *batch = reply->batch;
  if (batch == NULL || batch->missing > 0) return;
  send_batch(reply, batch);
  run_joins(batch->joins);
  free_batch(batch);
}

/* ---- answers ---- */

static void answer(const struct rpc_reply *reply, struct slice text) {
  if (reply->batch != NULL) {
    batch_add(reply, text);
  } else if (text.len > 0) {
    send_text(reply, text);
  }
}

void rpc_answer_error(const struct rpc_reply *reply, int code, struct slice data) {
  struct buf *text = &reply->worker->scratch;
  buf_clear(text);
  jsonrpc_append_error(text, reply->id, code, data);
  answer(reply, buf_slice(text));
}

static struct slice encode_result(const struct rpc_reply *reply, struct slice result) {
  struct buf *text = &reply->worker->scratch;
  buf_clear(text);
  if (reply->id.ptr != NULL) jsonrpc_append_result(text, reply->id, result);
  return buf_slice(text);
}

void rpc_result(const struct rpc_reply *reply, struct slice result) {
  answer(reply, encode_result(reply, result));
}

void rpc_long_result(const struct rpc_reply *reply, struct slice result) {
  struct buf *scratch = &reply->worker->scratch;
  struct slice text = encode_result(reply, result);
  if (batch_takes(reply, text.len)) {
    answer(reply, text);
  } else {
    rpc_fail(reply, JSONRPC_INTERNAL_ERROR,
             SLICE("The answers to this batch are too long together; this one is left out."));
  }
  if (scratch->cap > SCRATCH_KEEP_BYTES) buf_done(scratch);
}

void rpc_fail(const struct rpc_reply *reply, int code, struct slice data) {
  if (reply->id.ptr != NULL) {
    rpc_answer_error(reply, code, data);
  } else {
    answer(reply, SLICE(""));
  }
}

/* At most TOPIC_MAX bytes, cut between characters. */
static struct slice cut(struct slice text) {
  if (text.len <= TOPIC_MAX) return text;
  size_t len = TOPIC_MAX;
  while (len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
    len--;
  return slice_of(text.ptr, len);
}

void rpc_fail_about(const struct rpc_reply *reply, int code, const char *sentence,
                    struct slice about) {
  AUTO(buf) struct buf data = BUF_INIT;
  buf_append_str(&data, sentence);
  buf_append_slice(&data, cut(about));
  if (about.len > TOPIC_MAX) buf_append_str(&data, "...");
  rpc_fail(reply, code, buf_slice(&data));
}

void rpc_fail_status(const struct rpc_reply *reply, enum store_status status) {
  switch (status) {
  case STORE_DISABLED:
    rpc_fail(reply, JSONRPC_INVALID_PARAMS, SLICE("This feature is not enabled on this server."));
    return;
  case STORE_UNKNOWN:
    rpc_fail(
        reply, JSONRPC_INTERNAL_ERROR,
        SLICE(
            "The store did not answer in time. It is unknown whether the request had an effect."));
    return;
  case STORE_DISK_FULL:
    rpc_fail(reply, JSONRPC_INTERNAL_ERROR,
             SLICE("The server's disk is full. The request had no effect; try again later."));
    return;
  case STORE_DISK_FAILED:
    rpc_fail(reply, JSONRPC_INTERNAL_ERROR,
             SLICE("The server's disk refuses to be written. The request had no effect; try again "
                   "later."));
    return;
  case STORE_STOPPED:
    rpc_fail(reply, JSONRPC_INTERNAL_ERROR,
             SLICE("The server is stopping. The request had no effect."));
    return;
  default:
    rpc_fail(reply, JSONRPC_INTERNAL_ERROR,
             SLICE("The store is not available at the moment. The request had no effect; try again "
                   "later."));
  }
}
