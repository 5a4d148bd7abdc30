#include "eventhub/net/listener.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "turn.h"

enum { FDS_MAX = 200 };

struct fixture {
  struct loop loop;
  struct listener listener;
  uint16_t port;
  int accepted[FDS_MAX];
  int count;
  int turns;
  struct sockaddr_storage peer; /* the last */
  void (*then)(struct listener *listener);
  int clients[FDS_MAX];
  int client_count;
};

static struct fixture fixture;

static void on_accept(struct listener *listener, int fd, const struct sockaddr_storage *peer) {
  assert_ptr_equal(listener->context, &fixture);
  assert_true(fixture.count < FDS_MAX);
  fixture.accepted[fixture.count++] = fd;
  fixture.peer = *peer;
  if (fixture.then != NULL) fixture.then(listener);
}

static void count_turn(void *context) {
  (void)context;
  fixture.turns++;
}

static uint16_t port_of(int fd) {
  struct sockaddr_in6 address = {0};
  socklen_t len = sizeof address;
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
  return ntohs(address.sin6_port); /* at the same place as in sockaddr_in */
}

static void listen_at(struct slice address) {
  assert_int_equal(
      listener_start(&fixture.listener, &fixture.loop, address, 0, on_accept, &fixture), 0);
  fixture.port = port_of(fixture.listener.io.fd);
}

static int set_up(void **state) {
  (void)state;
  memset(&fixture, 0, sizeof fixture);
  assert_int_equal(loop_init(&fixture.loop, count_turn, NULL), 0);
  listen_at(SLICE("127.0.0.1"));
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  listener_stop(&fixture.listener);
  loop_done(&fixture.loop);
  for (int i = 0; i < fixture.count; i++)
    close(fixture.accepted[i]);
  for (int i = 0; i < fixture.client_count; i++)
    close(fixture.clients[i]);
  return 0;
}

/* The kernel completes the connection, whether or not it is ever accepted. */
static int connect_client(int family) {
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  struct sockaddr_in v4 = {
      .sin_family = AF_INET, .sin_port = htons(fixture.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                            .sin6_port = htons(fixture.port),
                            .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  bool is_v6 = family == AF_INET6;
  int failed = connect(fd, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
                       is_v6 ? sizeof v6 : sizeof v4);
  fixture.clients[fixture.client_count++] = fd;
  return failed;
}

static void connect_clients(int count) {
  for (int i = 0; i < count; i++)
    assert_int_equal(connect_client(AF_INET), 0);
}

static void a_client_is_accepted_with_its_address(void **state) {
  (void)state;
  connect_clients(1);
  turn_and_wait(&fixture.loop);
  assert_int_equal(fixture.count, 1);
  const struct sockaddr_in *peer = (const struct sockaddr_in *)&fixture.peer;
  assert_int_equal(peer->sin_family, AF_INET);
  assert_int_equal(ntohl(peer->sin_addr.s_addr), INADDR_LOOPBACK);
  assert_int_equal(ntohs(peer->sin_port), port_of(fixture.clients[0]));
}

static void what_is_accepted_does_not_block_nor_wait_nor_leak(void **state) {
  (void)state;
  connect_clients(1);
  turn_and_wait(&fixture.loop);
  int on = 0;
  socklen_t len = sizeof on;
  assert_true(fcntl(fixture.accepted[0], F_GETFL) & O_NONBLOCK);
  assert_true(fcntl(fixture.accepted[0], F_GETFD) & FD_CLOEXEC);
  assert_int_equal(getsockopt(fixture.accepted[0], IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
  assert_true(on);
}

static void any_address_takes_both_families(void **state) {
  (void)state;
  listener_stop(&fixture.listener);
  listen_at(SLICE("*"));
  assert_int_equal(connect_client(AF_INET), 0);
  turn_and_wait(&fixture.loop);
  assert_int_equal(fixture.count, 1);
  if (connect_client(AF_INET6) != 0) skip(); /* a machine without IPv6 */
  turn_and_wait(&fixture.loop);
  assert_int_equal(fixture.count, 2);
}

static void what_is_no_address_is_invalid(void **state) {
  (void)state;
  const char *const wrong[] = {
      "",        "localhost",
      "127.0.0", "1.2.3.4.5",
      "::g",     "127.0.0.1:80",
      "[::1]",   "1111111111111111111111111111111111111111111111111111111111111111111111"};
  struct listener listener;
  for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
    struct slice address = slice_str(wrong[i]);
    assert_int_equal(listener_probe(address, 0), ERR_INVALID);
    assert_int_equal(listener_start(&listener, &fixture.loop, address, 0, on_accept, &fixture),
                     ERR_INVALID);
  }
}

static void a_taken_port_is_an_error_for_the_probe_only(void **state) {
  (void)state;
  struct listener second;
  assert_int_equal(listener_probe(SLICE("127.0.0.1"), fixture.port), ERR_SYSTEM);
  assert_int_equal(errno, EADDRINUSE);
  assert_int_equal(listener_probe(SLICE("*"), fixture.port), ERR_SYSTEM);
  assert_int_equal(errno, EADDRINUSE);
  assert_int_equal(
      listener_start(&second, &fixture.loop, SLICE("127.0.0.1"), fixture.port, on_accept, &fixture),
      0);
  listener_stop(&second);
  listener_stop(&fixture.listener);
  assert_int_equal(listener_probe(SLICE("127.0.0.1"), fixture.port), 0);
}

static void a_stopped_listener_refuses(void **state) {
  (void)state;
  connect_clients(1);
  listener_stop(&fixture.listener);
  assert_int_equal(fixture.listener.io.fd, -1);
  listener_stop(&fixture.listener);
  turn(&fixture.loop);
  assert_int_equal(fixture.count, 0);
  assert_int_equal(connect_client(AF_INET), -1);
  assert_int_equal(errno, ECONNREFUSED);
}

static void stop(struct listener *listener) {
  listener_stop(listener);
}

static void it_may_be_stopped_while_it_accepts(void **state) {
  (void)state;
  fixture.then = stop;
  connect_clients(3);
  turn_and_wait(&fixture.loop);
  turn(&fixture.loop);
  assert_int_equal(fixture.count, 1);
}

static void pause_once(struct listener *listener) {
  listener_pause(listener);
  listener_pause(listener);
  fixture.then = NULL;
}

static void a_pause_ends_by_the_clock(void **state) {
  (void)state;
  fixture.then = pause_once;
  connect_clients(3);
  turn_and_wait(&fixture.loop);
  assert_int_equal(fixture.count, 1);
  assert_true(fixture.listener.paused);
  assert_int_equal(fixture.listener.pauses, 1);
  while (fixture.count < 3)
    turn_and_wait(&fixture.loop);
  assert_false(fixture.listener.paused);
  assert_int_equal(fixture.listener.pauses, 1);
}

static void others_have_their_turn_between_many_clients(void **state) {
  (void)state;
  connect_clients(LISTENER_ACCEPTS_PER_TURN + 1);
  turn_and_wait(&fixture.loop);
  assert_int_equal(fixture.count, LISTENER_ACCEPTS_PER_TURN);
  turn_and_wait(&fixture.loop);
  assert_int_equal(fixture.count, LISTENER_ACCEPTS_PER_TURN + 1);
}

/* Leaves room for so many descriptors; returns the limit that was. */
static struct rlimit leave_descriptors(int count) {
  struct rlimit before, limit;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  int lowest_free = dup(STDERR_FILENO);
  assert_true(lowest_free >= 0);
  close(lowest_free);
  limit = before;
  limit.rlim_cur = (rlim_t)lowest_free + (rlim_t)count;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
  return before;
}

static void without_descriptors_it_pauses_and_does_not_spin(void **state) {
  (void)state;
  enum { ROOM = 2, CLIENTS = 5, TRIES = 3 };
  connect_clients(CLIENTS);
  struct rlimit before = leave_descriptors(ROOM);
  while (fixture.listener.pauses < TRIES)
    turn_and_wait(&fixture.loop);
  int count = fixture.count, turns = fixture.turns;
  setrlimit(RLIMIT_NOFILE, &before);
  assert_int_equal(count, ROOM);
  /* A try, and the end of a pause: in two turns, or three where a millisecond was missing. */
  assert_true(turns <= 3 * TRIES);
  while (fixture.count < CLIENTS)
    turn_and_wait(&fixture.loop);
  assert_false(fixture.listener.paused);
  assert_int_equal(fixture.listener.pauses, TRIES);
}

static void a_paused_listener_can_be_stopped(void **state) {
  (void)state;
  fixture.then = pause_once;
  connect_clients(2);
  turn_and_wait(&fixture.loop);
  listener_stop(&fixture.listener);
  turn(&fixture.loop);
  assert_int_equal(fixture.count, 1);
  assert_true(list_is_empty(&fixture.loop.deadline_lists));
}

#define LISTENER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      LISTENER_TEST(a_client_is_accepted_with_its_address),
      LISTENER_TEST(what_is_accepted_does_not_block_nor_wait_nor_leak),
      LISTENER_TEST(any_address_takes_both_families),
      LISTENER_TEST(what_is_no_address_is_invalid),
      LISTENER_TEST(a_taken_port_is_an_error_for_the_probe_only),
      LISTENER_TEST(a_stopped_listener_refuses),
      LISTENER_TEST(it_may_be_stopped_while_it_accepts),
      LISTENER_TEST(a_pause_ends_by_the_clock),
      LISTENER_TEST(others_have_their_turn_between_many_clients),
      LISTENER_TEST(without_descriptors_it_pauses_and_does_not_spin),
      LISTENER_TEST(a_paused_listener_can_be_stopped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
