#include "eventhub/store/redis_conn.h"

#include <assert.h>
#include <errno.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/redis_script.h"
#include "eventhub/store/redis_tls.h"
#include "eventhub/store/resp.h"

enum { OLDEST_MAJOR = 5, RING_MIN = 64 };

struct redis_waiting {
  redis_reply_fn *on_reply;
  void *context;
};

static bool is_error(const redisReply *reply) {
  return reply->type == REDIS_REPLY_ERROR;
}

/* The first reason is the one that counts. */
static void set_reason(struct redis_conn *conn, const char *what, const char *detail) {
  if (conn->reason[0] != '\0') return;
  snprintf(conn->reason, sizeof conn->reason, "%s%s", what, detail);
}

void redis_conn_drop(struct redis_conn *conn, const char *reason) {
  if (conn->state == REDIS_CONN_DOWN) return;
  set_reason(conn, reason, "");
  conn->is_doomed = true;
}

/* ---- those who wait for an answer ---- */

static void push_waiting(struct redis_conn *conn, redis_reply_fn *on_reply, void *context) {
  if (conn->waiting_count == conn->waiting_cap) {
    uint32_t cap = conn->waiting_cap ? conn->waiting_cap * 2 : RING_MIN;
    struct redis_waiting *ring = x_malloc(cap * sizeof ring[0]);
    for (uint32_t i = 0; i < conn->waiting_count; i++)
      ring[i] = conn->waiting[(conn->first_waiting + i) & (conn->waiting_cap - 1)];
    free(conn->waiting);
    conn->waiting = ring;
    conn->waiting_cap = cap;
    conn->first_waiting = 0;
  }
  uint32_t place = (conn->first_waiting + conn->waiting_count++) & (conn->waiting_cap - 1);
  conn->waiting[place] = (struct redis_waiting){on_reply, context};
}

static struct redis_waiting pop_waiting(struct redis_conn *conn) {
  assert(conn->waiting_count > 0);
  struct redis_waiting waiting = conn->waiting[conn->first_waiting];
  conn->first_waiting = (conn->first_waiting + 1) & (conn->waiting_cap - 1);
  conn->waiting_count--;
  return waiting;
}

static void owe(struct redis_conn *conn, uint32_t count) {
  if (conn->owed == 0) conn->waiting_ms = conn->loop->now_ms;
  conn->owed += count;
}

/* hiredis answers in the order of the commands, also where it answers nothing at the end. */
static void on_answer(redisAsyncContext *context, void *answer, void *data) {
  (void)context;
  struct redis_conn *conn = data;
  struct redis_waiting waiting = pop_waiting(conn);
  conn->owed--;
  if (waiting.on_reply != NULL) waiting.on_reply(answer, waiting.context);
}

static bool is_confirmation(const redisReply *reply) {
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3) return false;
  const redisReply *kind = reply->element[0];
  return kind->type == REDIS_REPLY_STRING && kind->len >= 9 &&
         strcmp(kind->str + kind->len - 9, "subscribe") == 0;
}

static void on_pubsub(redisAsyncContext *context, void *answer, void *data) {
  (void)context;
  struct redis_conn *conn = data;
  if (answer == NULL) return;
  if (is_confirmation(answer) && conn->owed > 0) conn->owed--;
  conn->on_message(answer, conn->on_message_context);
}

/* hiredis 0.14 looks for the end of the first words as if of C strings. */
static const char *terminated(struct buf *command) {
  *buf_reserve(command, 1) = '\0';
  return command->data;
}

void redis_conn_send(struct redis_conn *conn, struct buf *command, redis_reply_fn *on_reply,
                     void *context) {
  push_waiting(conn, on_reply, context);
  owe(conn, 1);
  int sent =
      redisAsyncFormattedCommand(conn->context, on_answer, conn, terminated(command), command->len);
  if (sent == REDIS_OK) return;
  /* Only where the connection is ending: the answer is that there is none. */
  conn->waiting_count--;
  conn->owed--;
  redis_conn_drop(conn, "the connection is ending");
  if (on_reply != NULL) on_reply(NULL, context);
}

void redis_conn_subscribe(struct redis_conn *conn, struct buf *command, uint32_t count,
                          redis_reply_fn *on_reply, void *context) {
  conn->on_message = on_reply;
  conn->on_message_context = context;
  owe(conn, count);
  int sent =
      redisAsyncFormattedCommand(conn->context, on_pubsub, conn, terminated(command), command->len);
  if (sent != REDIS_OK) redis_conn_drop(conn, "the connection is ending");
}

/* ---- hiredis' hooks ---- */

static void watch_events(struct redis_conn *conn, uint32_t events) {
  if (conn->events == events) return;
  conn->events = events;
  loop_modify(conn->loop, &conn->io, events);
}

/* Reading is always on. */
static void on_hook_read(void *data) {
  (void)data;
}

static void on_hook_add_write(void *data) {
  struct redis_conn *conn = data;
  conn->wants_write = true;
  if (!conn->is_connected) watch_events(conn, EPOLLIN | EPOLLOUT);
}

static void on_hook_del_write(void *data) {
  struct redis_conn *conn = data;
  conn->wants_write = false;
}

/* One name for one thing, however the socket came to know of it. */
static const char *end_of(const redisAsyncContext *context) {
  const char *text = context->errstr != NULL ? context->errstr : "";
  bool is_closed = text[0] == '\0' || context->err == REDIS_ERR_EOF ||
                   strcmp(text, strerror(0)) == 0 || strcmp(text, strerror(ECONNRESET)) == 0 ||
                   strcmp(text, strerror(EPIPE)) == 0;
  return is_closed ? "Redis closed the connection" : text;
}

/* The context is about to be freed. */
static void on_hook_cleanup(void *data) {
  struct redis_conn *conn = data;
  if (conn->context == NULL) return;
  set_reason(conn, end_of(conn->context), "");
  loop_remove(conn->loop, &conn->io);
  conn->context = NULL;
}

/* hiredis lets TCP wait for the whole of a segment otherwise; keepalive finds a machine that went
 * away while nothing was said. */
static void set_socket_options(const struct redis_conn *conn) {
  int on = 1;
  setsockopt(conn->io.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(conn->io.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

/* Nothing more can come of the context: the owner is told. */
static void settle(struct redis_conn *conn) {
  if (conn->is_doomed && conn->context != NULL) redisAsyncFree(conn->context);
  if (conn->context != NULL || conn->state == REDIS_CONN_DOWN) return;
  if (conn->had_come_up) conn->down_ms = conn->loop->now_ms;
  conn->had_come_up = false;
  conn->state = REDIS_CONN_DOWN;
  conn->is_doomed = false;
  conn->owed = conn->waiting_count = 0;
  conn->handler->on_down(conn);
}

static void on_ready(struct loop_io *io, uint32_t events) {
  struct redis_conn *conn = container_of(io, struct redis_conn, io);
  conn->waiting_ms = conn->loop->now_ms;
  if (!conn->is_connected || (events & EPOLLOUT) != 0) redisAsyncHandleWrite(conn->context);
  if (conn->context != NULL && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
    redisAsyncHandleRead(conn->context);
  settle(conn);
}

/* ---- the greeting ---- */

static void greeted(struct redis_conn *conn) {
  if (--conn->greetings > 0 || conn->is_doomed) return;
  conn->state = REDIS_CONN_UP;
  conn->had_come_up = true;
  conn->reason[0] = '\0';
  conn->handler->on_up(conn);
}

/* What a step of the greeting makes of its answer; false with the reason set. */
typedef bool greeting_fn(struct redis_conn *conn, const redisReply *reply);

static void step_done(struct redis_conn *conn, const redisReply *reply, const char *what,
                      greeting_fn *is_fine) {
  if (reply == NULL) return;
  if (is_error(reply)) {
    set_reason(conn, what, reply->str);
    conn->is_doomed = true;
  } else if (is_fine != NULL && !is_fine(conn, reply)) {
    conn->is_doomed = true;
  }
  greeted(conn);
}

static void on_auth(const redisReply *reply, void *context) {
  step_done(context, reply, "Redis refuses the password: ", NULL);
}

static void on_select(const redisReply *reply, void *context) {
  step_done(context, reply, "Redis refuses the database: ", NULL);
}

static bool version_is_fine(struct redis_conn *conn, const redisReply *reply) {
  const char *at = reply->type == REDIS_REPLY_STRING ? strstr(reply->str, "redis_version:") : NULL;
  if (at == NULL) {
    set_reason(conn, "this is not a Redis server: INFO names no version", "");
    return false;
  }
  if (strstr(reply->str, "arch_bits:32") != NULL) {
    set_reason(conn, "this Redis is built for 32 bits: one for 64 bits is needed", "");
    return false;
  }
  at += strlen("redis_version:");
  if (strtoul(at, NULL, 10) >= OLDEST_MAJOR) return true;
  snprintf(conn->reason, sizeof conn->reason, "Redis %.*s is too old: 5.0 or newer is needed",
           (int)strcspn(at, "\r\n"), at);
  return false;
}

static void on_info(const redisReply *reply, void *context) {
  step_done(context, reply, "Redis refuses INFO: ", version_is_fine);
}

static bool role_is_fine(struct redis_conn *conn, const redisReply *reply) {
  bool is_master = reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
                   reply->element[0]->type == REDIS_REPLY_STRING &&
                   strcmp(reply->element[0]->str, "master") == 0;
  if (!is_master) set_reason(conn, "this Redis is a replica: the master is needed", "");
  return is_master;
}

static void on_role(const redisReply *reply, void *context) {
  step_done(context, reply, "Redis refuses ROLE: ", role_is_fine);
}

static void on_script(const redisReply *reply, void *context) {
  step_done(context, reply, "Redis refuses SCRIPT LOAD: ", NULL);
}

static void send_words(struct redis_conn *conn, const char *const *words, size_t count,
                       redis_reply_fn *on_reply) {
  AUTO(buf) struct buf text = BUF_INIT;
  resp_begin(&text, count);
  for (size_t i = 0; i < count; i++)
    resp_str(&text, words[i]);
  redis_conn_send(conn, &text, on_reply, conn);
}

static void greet_step(struct redis_conn *conn, const char *const *words, size_t count,
                       redis_reply_fn *on_reply) {
  conn->greetings++;
  send_words(conn, words, count, on_reply);
}

static void send_scripts(struct redis_conn *conn, redis_reply_fn *on_reply) {
  for (enum redis_script script = 0; script < REDIS_SCRIPT_COUNT; script++) {
    const char *words[] = {"SCRIPT", "LOAD", redis_script_text(script).ptr};
    if (on_reply != NULL) conn->greetings++;
    send_words(conn, words, ARRAY_LEN(words), on_reply);
  }
}

void redis_conn_load_scripts(struct redis_conn *conn) {
  send_scripts(conn, NULL);
}

static void send_auth(struct redis_conn *conn) {
  const char *username = conn->config->username, *password = conn->config->password;
  if (password[0] == '\0') return;
  const char *words[] = {"AUTH", username, password};
  const char *words_without_user[] = {"AUTH", password};
  if (username[0] != '\0') {
    greet_step(conn, words, ARRAY_LEN(words), on_auth);
  } else {
    greet_step(conn, words_without_user, ARRAY_LEN(words_without_user), on_auth);
  }
}

static void greet(struct redis_conn *conn) {
  static const char *const name[] = {"CLIENT", "SETNAME", "eventhub"};
  static const char *const info[] = {"INFO", "server"};
  static const char *const role[] = {"ROLE"};
  send_auth(conn);
  if (conn->config->db != 0) {
    char db[BUF_U64_MAX + 1];
    snprintf(db, sizeof db, "%u", (unsigned)conn->config->db);
    const char *words[] = {"SELECT", db};
    greet_step(conn, words, ARRAY_LEN(words), on_select);
  }
  greet_step(conn, info, ARRAY_LEN(info), on_info);
  greet_step(conn, role, ARRAY_LEN(role), on_role);
  send_words(conn, name, ARRAY_LEN(name), NULL); /* for CLIENT LIST; it may be refused */
  if (conn->with_scripts) {
    send_scripts(conn, on_script);
  }
}

static void on_connected(const redisAsyncContext *context, int status) {
  struct redis_conn *conn = context->data;
  if (status != REDIS_OK) {
    set_reason(conn, context->errstr, "");
    return;
  }
  conn->is_connected = true;
  watch_events(conn, EPOLLIN);
  greet(conn);
}

/* ---- from opening to done ---- */

static redisAsyncContext *connect_to(const struct redis_endpoint *endpoint) {
  return endpoint->port == 0 ? redisAsyncConnectUnix(endpoint->host)
                             : redisAsyncConnect(endpoint->host, endpoint->port);
}

static int attach(struct redis_conn *conn, redisAsyncContext *context) {
  conn->io = (struct loop_io){.on_ready = on_ready, .fd = context->c.fd};
  conn->events = EPOLLIN | EPOLLOUT;
  int err = loop_add(conn->loop, &conn->io, conn->events);
  if (err < 0) return err;
  conn->context = context;
  context->data = conn;
  context->ev.data = conn;
  context->ev.addRead = context->ev.delRead = on_hook_read;
  context->ev.addWrite = on_hook_add_write;
  context->ev.delWrite = on_hook_del_write;
  context->ev.cleanup = on_hook_cleanup;
  redisAsyncSetConnectCallback(context, on_connected);
  if (conn->io.fd >= 0) set_socket_options(conn);
  return 0;
}

void redis_conn_open(struct redis_conn *conn, const struct redis_endpoint *endpoint) {
  assert(conn->state == REDIS_CONN_DOWN);
  conn->state = REDIS_CONN_OPENING;
  conn->is_connected = conn->wants_write = conn->is_doomed = false;
  conn->owed = conn->greetings = 0;
  conn->reason[0] = '\0';
  conn->waiting_ms = conn->loop->now_ms;
  redisAsyncContext *context = connect_to(endpoint);
  bool is_open = context != NULL && context->err == 0 &&
                 redis_tls_begin(context, conn->config, conn->reason, sizeof conn->reason) == 0 &&
                 attach(conn, context) == 0;
  if (is_open) return;
  set_reason(conn, context != NULL && context->err != 0 ? context->errstr : "cannot connect", "");
  conn->is_doomed = true; /* flush tells the owner */
  if (context != NULL) redisAsyncFree(context);
}

void redis_conn_flush(struct redis_conn *conn) {
  if (conn->context != NULL && conn->is_connected && conn->wants_write && !conn->is_doomed) {
    redisAsyncHandleWrite(conn->context);
    if (conn->context != NULL) {
      uint32_t more = conn->wants_write ? (uint32_t)EPOLLOUT : 0;
      watch_events(conn, EPOLLIN | more);
    }
  }
  settle(conn);
}

bool redis_conn_is_gone(const struct redis_conn *conn) {
  return conn->state != REDIS_CONN_UP && conn->loop->now_ms - conn->down_ms >= REDIS_CONN_GONE_MS;
}

void redis_conn_check(struct redis_conn *conn) {
  bool is_owed = conn->state == REDIS_CONN_OPENING || conn->owed > 0;
  if (!is_owed || conn->loop->now_ms - conn->waiting_ms < REDIS_CONN_SILENCE_MS) return;
  if (!conn->is_connected) {
    redis_conn_drop(conn, "cannot connect in time");
  } else if (conn->with_scripts) {
    redis_conn_drop(conn, "Redis does not answer");
  } else { /* hiredis hides the error that a refused SUBSCRIBE is answered with */
    redis_conn_drop(conn, "Redis does not answer, or lets nobody subscribe");
  }
}

void redis_conn_init(struct redis_conn *conn, struct loop *loop, const struct redis_config *config,
                     const struct redis_conn_handler *handler, bool with_scripts) {
  *conn = (struct redis_conn){.loop = loop,
                              .config = config,
                              .handler = handler,
                              .with_scripts = with_scripts,
                              .down_ms = loop->now_ms,
                              .state = REDIS_CONN_DOWN};
}

void redis_conn_done(struct redis_conn *conn) {
  for (uint32_t i = 0; i < conn->waiting_count; i++)
    conn->waiting[(conn->first_waiting + i) & (conn->waiting_cap - 1)].on_reply = NULL;
  conn->on_message = NULL;
  if (conn->context != NULL) redisAsyncFree(conn->context);
  conn->state = REDIS_CONN_DOWN;
  free(conn->waiting);
  conn->waiting = NULL;
}
