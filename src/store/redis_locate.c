#include "eventhub/store/redis_locate.h"

#include <hiredis/hiredis.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"

enum { SENTINEL_PORT = 26379, SENTINEL_TIMEOUT_MS = 1000 };

/*
 * One question. It belongs to the thread and to the store both; whoever is the last to let go frees
 * it. The lock keeps the thread from posting to a store that is gone.
 */
struct redis_search {
  struct mail mail;
  struct redis_locator *locator; /* NULL = nobody waits any more; under the lock */
  pthread_mutex_t lock;
  struct redis_config config; /* with texts of its own: the program may end meanwhile */
  struct slice *sentinels;
  bool is_found;
  struct redis_endpoint endpoint;
  char reason[REDIS_CONN_REASON_MAX];
};

/* The texts of the config that a search looks at. */
static const char **const_text(struct redis_config *config, size_t index) {
  const char **texts[] = {&config->host, &config->socket, &config->master, &config->username,
                          &config->password};
  return index < ARRAY_LEN(texts) ? texts[index] : NULL;
}

static void copy_config(struct redis_search *search, const struct redis_config *config) {
  struct redis_config *copy = &search->config;
  *copy = *config;
  const char **text;
  for (size_t i = 0; (text = const_text(copy, i)) != NULL; i++)
    *text = x_strndup(*text, strlen(*text));
  search->sentinels = x_calloc(config->sentinel_count + 1, sizeof search->sentinels[0]);
  for (size_t i = 0; i < config->sentinel_count; i++) {
    struct slice sentinel = config->sentinels[i];
    search->sentinels[i] = slice_of(x_strndup(sentinel.ptr, sentinel.len), sentinel.len);
  }
  copy->sentinels = search->sentinels;
}

static void free_search(struct redis_search *search) {
  const char **text;
  for (size_t i = 0; (text = const_text(&search->config, i)) != NULL; i++)
    free((char *)*text);
  for (size_t i = 0; i < search->config.sentinel_count; i++)
    free((char *)search->sentinels[i].ptr);
  free(search->sentinels);
  pthread_mutex_destroy(&search->lock);
  free(search);
}

/* ---- on the search's thread ---- */

static bool resolve(struct redis_search *search, const char *host, uint16_t port) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
  int failed = getaddrinfo(host, NULL, &hints, &found);
  if (failed != 0) {
    snprintf(search->reason, sizeof search->reason, "cannot resolve %.80s: %.80s", host,
             gai_strerror(failed));
    return false;
  }
  failed = getnameinfo(found->ai_addr, found->ai_addrlen, search->endpoint.host,
                       sizeof search->endpoint.host, NULL, 0, NI_NUMERICHOST);
  freeaddrinfo(found);
  search->endpoint.port = port;
  return failed == 0;
}

bool redis_sentinel_parse(struct slice text, char *host, size_t host_size, uint16_t *ret_port) {
  struct slice name = text, port = {NULL, 0};
  uint64_t number = SENTINEL_PORT;
  const char *close = text.len > 0 && text.ptr[0] == '[' ? memchr(text.ptr, ']', text.len) : NULL;
  const char *colon = memrchr(text.ptr, ':', text.len);
  if (close != NULL) {
    name = slice_of(text.ptr + 1, (size_t)(close - text.ptr) - 1);
    port = slice_skip(text, name.len + 2);
    if (port.len > 0 && port.ptr[0] != ':') return false;
    if (port.len > 0) port = slice_skip(port, 1);
  } else if (colon != NULL) {
    name = slice_of(text.ptr, (size_t)(colon - text.ptr));
    port = slice_skip(text, name.len + 1);
    if (memchr(name.ptr, ':', name.len) != NULL) return false;
  }
  bool is_fine = name.len > 0 && name.len < host_size &&
                 (port.len == 0 || (slice_to_u64(port, &number) == 0 && number > 0)) &&
                 number <= UINT16_MAX;
  if (!is_fine) return false;
  memcpy(host, name.ptr, name.len);
  host[name.len] = '\0';
  *ret_port = (uint16_t)number;
  return true;
}

static void redis_reply_cleanup(redisReply **reply) {
  if (*reply != NULL) freeReplyObject(*reply);
}

static redisReply *ask_master(redisContext *context, const struct redis_config *config) {
  return redisCommand(context, "SENTINEL get-master-addr-by-name %s", config->master);
}

static bool wants_password(const redisReply *reply) {
  return reply != NULL && reply->type == REDIS_REPLY_ERROR &&
         strncmp(reply->str, "NOAUTH", strlen("NOAUTH")) == 0;
}

/* Sentinels that ask for a password are given the one for Redis. */
static redisReply *ask_with_password(redisContext *context, const struct redis_config *config) {
  redisReply *reply = config->username[0] != '\0'
                          ? redisCommand(context, "AUTH %s %s", config->username, config->password)
                          : redisCommand(context, "AUTH %s", config->password);
  if (reply != NULL) freeReplyObject(reply);
  return ask_master(context, config);
}

static bool read_master(struct redis_search *search, const char *sentinel,
                        const redisReply *reply) {
  if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
      reply->element[0]->type == REDIS_REPLY_STRING &&
      reply->element[1]->type == REDIS_REPLY_STRING) {
    unsigned long port = strtoul(reply->element[1]->str, NULL, 10);
    return port > 0 && port <= UINT16_MAX &&
           resolve(search, reply->element[0]->str, (uint16_t)port);
  }
  bool is_nil = reply->type == REDIS_REPLY_NIL;
  snprintf(search->reason, sizeof search->reason, "sentinel %.80s: %s %.60s", sentinel,
           is_nil ? "knows no master named" : "cannot answer:",
           is_nil               ? search->config.master
           : reply->str != NULL ? reply->str
                                : "?");
  return false;
}

static bool ask_connected(struct redis_search *search, const char *sentinel,
                          redisContext *context) {
  const struct timeval timeout = {.tv_sec = SENTINEL_TIMEOUT_MS / 1000};
  redisSetTimeout(context, timeout);
  AUTO(redis_reply) redisReply *reply = ask_master(context, &search->config);
  if (wants_password(reply) && search->config.password[0] != '\0') {
    freeReplyObject(reply);
    reply = ask_with_password(context, &search->config);
  }
  if (reply != NULL) return read_master(search, sentinel, reply);
  snprintf(search->reason, sizeof search->reason, "sentinel %.80s: %.80s", sentinel,
           context->errstr);
  return false;
}

static bool ask_sentinel(struct redis_search *search, struct slice text) {
  const struct timeval timeout = {.tv_sec = SENTINEL_TIMEOUT_MS / 1000};
  char host[sizeof search->endpoint.host];
  uint16_t port = 0;
  if (!redis_sentinel_parse(text, host, sizeof host, &port)) return false;
  redisContext *context = redisConnectWithTimeout(host, port, timeout);
  if (context == NULL) return false;
  bool is_found = false;
  if (context->err != 0) {
    snprintf(search->reason, sizeof search->reason, "sentinel %.80s: %.80s", host, context->errstr);
  } else {
    is_found = ask_connected(search, host, context);
  }
  redisFree(context);
  return is_found;
}

static bool search_now(struct redis_search *search) {
  const struct redis_config *config = &search->config;
  for (size_t i = 0; i < config->sentinel_count; i++) {
    if (ask_sentinel(search, config->sentinels[i])) return true;
  }
  return config->sentinel_count == 0 && resolve(search, config->host, config->port);
}

static void *run_search(void *context) {
  struct redis_search *search = context;
  search->is_found = search_now(search);
  pthread_mutex_lock(&search->lock);
  bool is_wanted = search->locator != NULL;
  if (is_wanted) mailbox_post(&search->locator->loop->mailbox, &search->mail);
  pthread_mutex_unlock(&search->lock);
  if (!is_wanted) free_search(search);
  return NULL;
}

/* ---- on the store's thread ---- */

static void on_found(struct mail *mail, void *loop_context) {
  (void)loop_context;
  struct redis_search *search = container_of(mail, struct redis_search, mail);
  /* The thread may still be inside the lock that it posted under. */
  pthread_mutex_lock(&search->lock);
  struct redis_locator *locator = search->locator;
  pthread_mutex_unlock(&search->lock);
  if (locator != NULL) {
    locator->search = NULL;
    locator->on_located(search->is_found ? &search->endpoint : NULL, search->reason,
                        locator->context);
  }
  free_search(search);
}

static int start_thread(struct redis_search *search) {
  pthread_t thread;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&thread, NULL, run_search, search);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (failed == 0) pthread_detach(thread);
  return failed;
}

static void find_socket(struct redis_search *search) {
  const char *path = search->config.socket;
  search->is_found = strlen(path) < sizeof search->endpoint.host;
  if (search->is_found) memcpy(search->endpoint.host, path, strlen(path) + 1);
  snprintf(search->reason, sizeof search->reason, "REDIS_SOCKET is too long a path");
}

static void post_itself(struct redis_search *search) {
  mailbox_post(&search->locator->loop->mailbox, &search->mail);
}

void redis_locator_start(struct redis_locator *locator) {
  if (locator->search != NULL) return;
  struct redis_search *search = x_calloc(1, sizeof *search);
  locator->search = search;
  search->mail.deliver = on_found;
  search->locator = locator;
  copy_config(search, locator->config);
  pthread_mutex_init(&search->lock, NULL);
  snprintf(search->reason, sizeof search->reason, "cannot find Redis");
  if (search->config.socket[0] != '\0') {
    find_socket(search);
    post_itself(search);
  } else if (start_thread(search) != 0) {
    post_itself(search);
  }
}

void redis_locator_init(struct redis_locator *locator, struct loop *loop,
                        const struct redis_config *config,
                        void (*on_located)(const struct redis_endpoint *endpoint,
                                           const char *reason, void *context),
                        void *context) {
  *locator = (struct redis_locator){
      .loop = loop, .config = config, .on_located = on_located, .context = context};
}

void redis_locator_done(struct redis_locator *locator) {
  struct redis_search *search = locator->search;
  if (search == NULL) return;
  locator->search = NULL;
  pthread_mutex_lock(&search->lock);
  search->locator = NULL;
  pthread_mutex_unlock(&search->lock);
}
