#include "eventhub/server/rpc.h"

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/mem.h"
#include "eventhub/server/rpc_reply.h"
#include "eventhub/server/session.h"
#include "eventhub/server/worker.h"
#include "eventhub/topic/message.h"
#include "eventhub/topic/token.h"

enum { BATCH_STEP = 16 }; /* requests between two looks at the clock */

/* ---- calls that wait for the store ---- */

void rpc_call_free(struct rpc_call *call) {
  if (call == NULL) return;
  struct store_request *request = &call->request;
  rpc_call_free(call->then);
  if (request->op == STORE_PUBLISH) message_unref(request->publish.message);
  if (request->op == STORE_KV_SET) blob_unref(request->kv.value);
  store_request_done(request);
  token_unref(call->token);
  free(call);
}

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
  struct session *session = rpc_reply_session(&call->reply);
  struct rpc_reply reply = call->reply;
  enum store_op op = counted_op(call);
  call->finish(call, session);
  bool joins = call->joins;
  rpc_batch_settle(&reply); /* may be the end of a call that joins */
  if (!joins) rpc_call_free(call);
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
    {METHOD("authenticate", rpc_authenticate)},
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
  rpc_answer_error(reply, JSONRPC_INVALID_REQUEST, slice_str(invalid_request));
}

static void answer_unreadable(const struct rpc_reply *reply, int code) {
  const char *reason =
      code == JSONRPC_PARSE_ERROR ? "The message is not valid JSON." : invalid_message;
  rpc_answer_error(reply, code, slice_str(reason));
}

/* Runs the next few requests. False: there are no more. */
static bool run_some(struct rpc_request *rpc, struct jsonrpc_reader *reader) {
  struct jsonrpc_request request;
  int code = 0;
  for (int i = 0; i < BATCH_STEP; i++) {
    if (!jsonrpc_next(reader, &request, &code)) return false;
    rpc->reply.id = request.id;
    rpc->params = request.params;
    rpc->members = request.members;
    if (code != 0) {
      answer_invalid(&rpc->reply);
    } else {
      run(rpc, request.method);
    }
    rpc->reply.position++;
  }
  return reader->taken < reader->count;
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

/* ---- batches that take longer than a turn ---- */

/* The rest of one, never empty; its session is held, and its connection is not read. */
struct rpc_job {
  struct list link; /* in the worker's jobs */
  struct rpc_request rpc;
  struct jsonrpc_reader reader;
  char text[];
};

static bool has_time(const struct worker *worker, uint64_t since_ns) {
  return clock_monotonic_ns() - since_ns < worker->batch_share_ns;
}

/* Takes over what the reader holds. */
static void job_start(const struct rpc_request *rpc, struct jsonrpc_reader *reader,
                      struct slice text) {
  struct rpc_job *job = x_malloc(sizeof *job + text.len);
  job->rpc = *rpc;
  job->reader = *reader;
  buf_init(&reader->method);
  memcpy(job->text, text.ptr, text.len);
  jsonrpc_reader_move(&job->reader, text.ptr, job->text);
  list_add_tail(&rpc->session->worker->jobs, &job->link);
  session_hold(rpc->session);
  connection_pause(rpc->session->connection, CONNECTION_PAUSE_BATCH);
}

/* What was not run is not answered either: then the client is gone. It is in no list after that. */
static void job_end(struct rpc_job *job) {
  rpc_batch_give_up(&job->rpc.reply, (uint32_t)(job->reader.count - job->reader.taken));
  rpc_batch_settle(&job->rpc.reply);
  jsonrpc_reader_done(&job->reader);
  list_remove(&job->link);
}

/* A few requests more; nobody runs anything for a client that is told goodbye. */
static void job_run(struct rpc_job *job, struct list *ended) {
  struct session *session = job->rpc.session;
  struct connection *connection = session->connection;
  if (!connection_is_ending(connection) && run_some(&job->rpc, &job->reader)) {
    list_remove(&job->link);
    list_add_tail(&session->worker->jobs, &job->link);
    return;
  }
  job_end(job);
  list_add_tail(ended, &job->link);
  connection_resume(connection, CONNECTION_PAUSE_BATCH);
  session_release(session);
}

static void free_jobs(struct list *jobs) {
  LIST_FOREACH_SAFE (link, next, jobs)
    free(container_of(link, struct rpc_job, link));
}

void rpc_run_jobs(struct worker *worker) {
  if (list_is_empty(&worker->jobs)) return;
  uint64_t start_ns = clock_monotonic_ns();
  struct list ended;
  list_init(&ended);
  do {
    job_run(container_of(list_first(&worker->jobs), struct rpc_job, link), &ended);
  } while (!list_is_empty(&worker->jobs) && has_time(worker, start_ns));
  if (!list_is_empty(&worker->jobs)) loop_hurry(&worker->loop);
  free_jobs(&ended);
}

void rpc_end_jobs(struct session *session) {
  LIST_FOREACH_SAFE (link, next, &session->worker->jobs) {
    struct rpc_job *job = container_of(link, struct rpc_job, link);
    if (job->rpc.session != session) continue;
    job_end(job);
    free(job);
  }
}

void rpc_handle(struct session *session, struct slice text) {
  struct worker *worker = session->worker;
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader;
  struct rpc_request rpc = {
      .session = session,
      .reply = {.worker = worker, .connection = session->connection->ref},
      .batch_size = 1,
  };
  int code = jsonrpc_open(&reader, text);
  if (code != 0) {
    answer_unreadable(&rpc.reply, code);
    return;
  }
  if (reader.is_batch) {
    rpc.batch_size = (uint32_t)reader.count;
    rpc.reply.batch = rpc_batch_new(rpc.batch_size);
  }
  while (run_some(&rpc, &reader)) {
    if (has_time(worker, worker->loop.turn_start_ns)) continue;
    job_start(&rpc, &reader, text);
    return;
  }
  rpc_batch_settle(&rpc.reply);
  session_leave_when_idle(session);
}
