#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/cli/health.h"

enum { PATIENT_MS = 10000, HASTY_MS = 30 };

/* A server for one connection, on a port of the system's choice. */
struct fake_server {
  int fd;
  const char *answer; /* NULL = accepts and stays silent until the client is gone */
  uint64_t port;
  char request[256];
  pthread_t thread;
};

static void *serve_one(void *context) {
  struct fake_server *server = context;
  AUTO(fd) int fd = accept(server->fd, NULL, NULL);
  ssize_t got = recv(fd, server->request, sizeof server->request - 1, 0);
  if (got < 0) return NULL;
  if (server->answer != NULL)
    send(fd, server->answer, strlen(server->answer), MSG_NOSIGNAL);
  else
    recv(fd, &(char){0}, 1, 0);
  return NULL;
}

static int listen_on_loopback(uint64_t *ret_port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
  assert_int_equal(listen(fd, 1), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
  *ret_port = ntohs(address.sin_port);
  return fd;
}

static void start(struct fake_server *ret, const char *answer) {
  *ret = (struct fake_server){.answer = answer};
  ret->fd = listen_on_loopback(&ret->port);
  assert_int_equal(pthread_create(&ret->thread, NULL, serve_one, ret), 0);
}

static void fake_server_cleanup(struct fake_server *server) {
  pthread_join(server->thread, NULL);
  close(server->fd);
}

/* What health_check answers for such a server, with its reason. */
static int check(const char *answer, uint32_t timeout_ms, struct buf *error) {
  AUTO(fake_server) struct fake_server server;
  start(&server, answer);
  struct options options = {.listen_address = (char *)"*", .listen_port = server.port};
  int failed = health_check(&options, timeout_ms, error);
  buf_append_char(error, '\0');
  return failed;
}

static void status_200_is_healthy(void **state) {
  (void)state;
  AUTO(buf) struct buf error = BUF_INIT;
  assert_int_equal(check("HTTP/1.1 200 OK\r\n\r\n{}", PATIENT_MS, &error), 0);
  assert_string_equal(error.data, "");
}

static void it_asks_for_healthz(void **state) {
  (void)state;
  AUTO(buf) struct buf error = BUF_INIT;
  struct fake_server server;
  start(&server, "HTTP/1.1 200 OK\r\n\r\n");
  struct options options = {.listen_address = (char *)"127.0.0.1", .listen_port = server.port};
  assert_int_equal(health_check(&options, PATIENT_MS, &error), 0);
  fake_server_cleanup(&server);
  const char *wanted = "GET /healthz HTTP/1.1\r\nHost: ";
  assert_memory_equal(server.request, wanted, strlen(wanted));
}

static void any_other_status_is_told(void **state) {
  (void)state;
  AUTO(buf) struct buf error = BUF_INIT;
  const char *answer = "HTTP/1.1 503 Service Unavailable\r\n\r\n";
  assert_int_equal(check(answer, PATIENT_MS, &error), ERR_UNAVAILABLE);
  assert_non_null(strstr(error.data, ": HTTP/1.1 503 Service Unavailable"));
}

static void other_answers_are_not_healthy(void **state) {
  (void)state;
  AUTO(buf) struct buf garbage = BUF_INIT, nothing = BUF_INIT;
  assert_int_equal(check("220 smtp ready\r\n", PATIENT_MS, &garbage), ERR_INVALID);
  assert_non_null(strstr(garbage.data, ": the answer is not HTTP"));
  assert_int_equal(check("", PATIENT_MS, &nothing), ERR_CLOSED);
  assert_non_null(strstr(nothing.data, ": closed without an answer"));
}

static void silence_ends_at_the_timeout(void **state) {
  (void)state;
  AUTO(buf) struct buf error = BUF_INIT;
  assert_int_equal(check(NULL, HASTY_MS, &error), ERR_EXPIRED);
  assert_non_null(strstr(error.data, ": no answer in time"));
}

static void a_port_where_nobody_listens_is_told(void **state) {
  (void)state;
  AUTO(buf) struct buf error = BUF_INIT;
  uint64_t port;
  close(listen_on_loopback(&port));
  struct options options = {.listen_address = (char *)"0.0.0.0", .listen_port = port};
  assert_int_equal(health_check(&options, PATIENT_MS, &error), ERR_UNAVAILABLE);
  buf_append_char(&error, '\0');
  assert_non_null(strstr(error.data, ": Connection refused"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(status_200_is_healthy),
      cmocka_unit_test(it_asks_for_healthz),
      cmocka_unit_test(any_other_status_is_told),
      cmocka_unit_test(other_answers_are_not_healthy),
      cmocka_unit_test(silence_ends_at_the_timeout),
      cmocka_unit_test(a_port_where_nobody_listens_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
