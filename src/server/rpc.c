#include "eventhub/server/rpc.h"

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/mem.h"
#include "eventhub/server/http_post.h"
#include "eventhub/server/session.h"
#include "eventhub/server/worker.h"
#include "eventhub/topic/message.h"
#include "eventhub/topic/name.h"
#include "eventhub/topic/token.h"

enum { SCRATCH_KEEP_BYTES = 256 * 1024 }; /* longer answers are rare: their memory is given back */

/* ---- answers ---- */

/* The answers to a batch, at the place of their requests; empty for notifications. */
struct rpc_batch {
  uint32_t count, missing;
  size_t bytes; /* of all answers so far */
  struct rpc_call *joins, **last_join;
  struct buf answers[];
};

static struct session *find_session(const struct rpc_reply *reply) {
  struct connection *connection = connection_find(&reply->worker->pool, reply->connection);
  return connection == NULL ? NULL : connection->session;
}

static void free_call(struct rpc_call *call) {
  if (call == NULL) return;
  struct store_request *request = &call->request;
  free_call(call->then);
  if (request->op == STORE_PUBLISH) message_unref(request->publish.message);
  if (request->op == STORE_KV_SET) blob_unref(request->kv.value);
  store_request_done(request);
  token_unref(call->token);
  free(call);
}

static void send_text(const struct rpc_reply *reply, struct slice text) {
  struct session *session = find_session(reply);
  if (session == NULL) return;
  if (session->kind == SESSION_POST) {
    post_answer(session, text);
  } else {
    connection_send(session->connection, WS_TEXT, text);
  }
}

static void send_batch(const struct rpc_reply *reply, const struct rpc_batch *batch) {
  AUTO(buf) struct buf all = BUF_INIT;
  for (uint32_t i = 0; i < batch->count; i++) {
    if (batch->answers[i].len == 0) continue;
    buf_append_char(&all, all.len == 0 ? '[' : ',');
    buf_append_slice(&all, buf_slice(&batch->answers[i]));
  }
  if (all.len == 0) return; /* JSON-RPC 2.0, 6: nothing at all for notifications only */
  buf_append_char(&all, ']');
  send_text(reply, buf_slice(&all));
}

static struct rpc_batch *batch_new(uint32_t count) {
  struct rpc_batch *batch = x_calloc(1, sizeof *batch + count * sizeof(struct buf));
  batch->count = batch->missing = count;
  batch->last_join = &batch->joins;
  return batch;
}

size_t rpc_answer_budget(const struct worker *worker) {
  enum { LARGEST = SPAN_MAX / 4 };
  uint64_t half_queue = worker->broker->options->max_send_queue / 2;
  return half_queue < LARGEST ? half_queue : LARGEST;
}

/* May the batch's answers grow by this much? All of them wait in memory for the last one. */
static bool batch_takes(const struct rpc_reply *reply, size_t more) {
  return reply->batch == NULL || reply->batch->bytes + more <= rpc_answer_budget(reply->worker);
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
    rpc_join(call, find_session(&call->reply));
    free_call(call);
    call = next;
  }
}

static void free_batch(struct rpc_batch *batch) {
  for (uint32_t i = 0; i < batch->count; i++)
    buf_done(&batch->answers[i]);
  free(batch);
}

/* `text` is empty for what is not answered. */
static void batch_add(const struct rpc_reply *reply, struct slice text) {
  struct rpc_batch *batch = reply->batch;
  buf_append_slice(&batch->answers[reply->position], text);
  batch->bytes += text.len;
  batch->missing--;
}

/* After a request of the batch was answered: the last answer lets all of them leave, and the batch
 * is freed. */
static void batch_settle(const struct rpc_reply *reply) {
  struct rpc_batch *batch = reply->batch;
  if (batch == NULL || batch->missing > 0) return;
  send_batch(reply, batch);
  run_joins(batch->joins);
  free_batch(batch);
}

static void answer(const struct rpc_reply *reply, struct slice text) {
  if (reply->batch != NULL) {
    batch_add(reply, text);
  } else if (text.len > 0) {
    send_text(reply, text);
  }
}

static void answer_error(const struct rpc_reply *reply, int code, struct slice data) {
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
    answer_error(reply, code, data);
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

/* ---- calls that wait for the store ---- */

struct rpc_call *rpc_call_new(const struct rpc_request *rpc, enum store_op op, struct slice subject,
                              void (*finish)(struct rpc_call *call, struct session *session)) {
  const struct rpc_reply *reply = &rpc->reply;
  struct rpc_call *call = x_calloc(1, sizeof *call + reply->id.len + subject.len);
  store_request_init(&call->request, op);
  call->reply = *reply;
  call->finish = finish;
  if (reply->id.len > 0) memcpy(call->text, reply->id.ptr, reply->id.len);
  memcpy(call->text + reply->id.len, subject.ptr, subject.len);
  if (reply->id.ptr != NULL) call->reply.id.ptr = call->text;
  call->subject = slice_of(call->text + reply->id.len, subject.len);
  return call;
}

static enum store_op counted_op(const struct rpc_call *call) {
  return call->then != NULL ? call->then->request.op : call->request.op;
}

void rpc_call_submit(struct rpc_call *call, struct session *session) {
  session_request_started(session, counted_op(call));
  store_submit(&session->worker->client, &call->request);
}

void rpc_call_done(struct store_request *request) {
  struct rpc_call *call = container_of(request, struct rpc_call, request);
  struct session *session = find_session(&call->reply);
  struct rpc_reply reply = call->reply;
  enum store_op op = counted_op(call);
  call->finish(call, session);
  bool joins = call->joins;
  batch_settle(&reply); /* may be the end of a call that joins */
  if (!joins) free_call(call);
  if (session != NULL) session_request_finished(session, op);
}

/* ---- the table ---- */

static void run_ping(struct rpc_request *rpc) {
  AUTO(buf) struct buf result = BUF_INIT;
  buf_printf(&result, "{\"pong\":%llu}", (unsigned long long)clock_wall_ms());
  rpc_result(&rpc->reply, buf_slice(&result));
}

/* Nothing is answered: the connection closes with 1000. */
static void run_disconnect(struct rpc_request *rpc) {
  struct rpc_reply silent = rpc->reply;
  silent.id.ptr = NULL;
  rpc_result(&silent, SLICE(""));
  session_leave(rpc->session);
}

#define METHOD(text, function) .name = {text, sizeof text - 1}, .run = (function)

static const struct rpc_method methods[] = {
    {METHOD("publish", rpc_publish), .by_post = true},
    {METHOD("ping", run_ping), .by_post = true},
    {METHOD("subscribe", rpc_subscribe), .reads = true},
    {METHOD("unsubscribe", rpc_unsubscribe)},
    {METHOD("unsubscribeall", rpc_unsubscribe_all)},
    {METHOD("list", rpc_list)},
    {METHOD("eventlog", rpc_eventlog), .reads = true, .by_post = true},
    {METHOD("get", rpc_get), .reads = true, .by_post = true},
    {METHOD("set", rpc_set), .by_post = true},
    {METHOD("del", rpc_del), .by_post = true},
    {METHOD("disconnect", run_disconnect)},
};

static const struct rpc_method *find_method(struct slice name) {
  for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
    if (slice_equal_nocase(methods[i].name, name)) return &methods[i];
  }
  return NULL;
}

static void run(struct rpc_request *rpc, struct slice method_name) {
  const struct rpc_method *method = find_method(method_name);
  if (method == NULL) {
    rpc_fail_about(&rpc->reply, JSONRPC_METHOD_NOT_FOUND, "There is no method named ", method_name);
  } else if (rpc->session->kind == SESSION_POST && !method->by_post) {
    rpc_fail_about(&rpc->reply, JSONRPC_METHOD_NOT_FOUND,
                   "Only over a WebSocket is there a method named ", method->name);
  } else {
    method->run(rpc);
  }
}

static const char invalid_request[] =
    "A request is an object with \"jsonrpc\":\"2.0\", a \"method\", \"params\" that are an "
    "object or an array, and an \"id\" that is a string or a number.";
static const char invalid_message[] =
    "A message is one request, an object, or an array of 1 to 10000 of them, nested no deeper than "
    "64 levels.";

/* What is not even a request has no notification among it: both are always answered. */
static void answer_invalid(const struct rpc_reply *reply) {
  answer_error(reply, JSONRPC_INVALID_REQUEST, slice_str(invalid_request));
}

static void answer_unreadable(const struct rpc_reply *reply, int code) {
  const char *reason =
      code == JSONRPC_PARSE_ERROR ? "The message is not valid JSON." : invalid_message;
  answer_error(reply, code, slice_str(reason));
}

static void run_all(struct session *session, struct rpc_request *rpc,
                    struct jsonrpc_reader *reader) {
  struct jsonrpc_request request;
  int code = 0;
  for (uint32_t i = 0; jsonrpc_next(reader, &request, &code); i++) {
    rpc->session = session;
    rpc->reply.position = i;
    rpc->reply.id = request.id;
    rpc->params = request.params;
    rpc->members = request.members;
    if (code != 0) {
      answer_invalid(&rpc->reply);
    } else {
      run(rpc, request.method);
    }
  }
}

bool rpc_reads(struct slice text) {
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader;
  struct jsonrpc_request request;
  int code = jsonrpc_open(&reader, text);
  if (code != 0) return false;
  while (jsonrpc_next(&reader, &request, &code)) {
    const struct rpc_method *method = code == 0 ? find_method(request.method) : NULL;
    if (method != NULL && method->reads) return true;
  }
  return false;
}

void rpc_handle(struct session *session, struct slice text) {
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader;
  struct rpc_request rpc = {
      .session = session,
      .reply = {.worker = session->worker, .connection = session->connection->ref},
      .batch_size = 1,
  };
  int code = jsonrpc_open(&reader, text);
  if (code != 0) {
    answer_unreadable(&rpc.reply, code);
    return;
  }
  if (reader.is_batch) {
    rpc.batch_size = (uint32_t)reader.count;
    rpc.reply.batch = batch_new(rpc.batch_size);
  }
  run_all(session, &rpc, &reader);
  batch_settle(&rpc.reply);
  session_leave_when_idle(session);
}
