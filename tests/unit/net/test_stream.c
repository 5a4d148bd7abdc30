#include "eventhub/net/stream.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "eventhub/base/err.h"

struct pair {
  struct stream stream;
  int peer;
};

static struct pair open_pair(void) {
  int fds[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  struct pair pair = {.peer = fds[1]};
  stream_open(&pair.stream, fds[0]);
  return pair;
}

static void close_pair(struct pair *pair) {
  stream_close(&pair->stream);
  if (pair->peer >= 0) close(pair->peer);
}

static void bytes_come_as_they_were_sent(void **state) {
  (void)state;
  struct pair pair = open_pair();
  char bytes[16];
  assert_int_equal(write(pair.peer, "hello", 5), 5);
  assert_int_equal(stream_recv(&pair.stream, bytes, 3), 3);
  assert_int_equal(stream_recv(&pair.stream, bytes + 3, 13), 2);
  assert_memory_equal(bytes, "hello", 5);
  close_pair(&pair);
}

static void nothing_there_is_again_and_not_closed(void **state) {
  (void)state;
  struct pair pair = open_pair();
  char bytes[16];
  assert_int_equal(stream_recv(&pair.stream, bytes, sizeof bytes), ERR_AGAIN);
  close_pair(&pair);
}

static void the_end_is_closed(void **state) {
  (void)state;
  struct pair pair = open_pair();
  char bytes[16];
  assert_int_equal(write(pair.peer, "x", 1), 1);
  close(pair.peer);
  pair.peer = -1;
  assert_int_equal(stream_recv(&pair.stream, bytes, sizeof bytes), 1);
  assert_int_equal(stream_recv(&pair.stream, bytes, sizeof bytes), ERR_CLOSED);
  close_pair(&pair);
}

static void looking_for_bytes_takes_none(void **state) {
  (void)state;
  struct pair pair = open_pair();
  char byte;
  assert_false(stream_has_bytes(&pair.stream));
  assert_int_equal(write(pair.peer, "x", 1), 1);
  assert_true(stream_has_bytes(&pair.stream));
  assert_int_equal(stream_recv(&pair.stream, &byte, 1), 1);
  assert_false(stream_has_bytes(&pair.stream));
  close(pair.peer);
  pair.peer = -1;
  assert_false(stream_has_bytes(&pair.stream));
  close_pair(&pair);
}

static void parts_leave_in_order(void **state) {
  (void)state;
  struct pair pair = open_pair();
  char one[] = "one,", two[] = "two,", three[] = "three", bytes[32];
  struct iovec parts[] = {{one, 4}, {two, 4}, {three, 5}};
  assert_int_equal(stream_sendv(&pair.stream, parts, 3), 13);
  assert_int_equal(stream_sendv(&pair.stream, parts, 1), 4);
  assert_int_equal(read(pair.peer, bytes, sizeof bytes), 17);
  assert_memory_equal(bytes, "one,two,threeone,", 17);
  close_pair(&pair);
}

static void a_full_socket_takes_a_part_and_then_says_again(void **state) {
  (void)state;
  struct pair pair = open_pair();
  static char many[1 << 20];
  struct iovec parts[] = {{many, sizeof many}, {many, sizeof many}};
  ssize_t sent = stream_sendv(&pair.stream, parts, 2);
  assert_true(sent > 0 && sent < (ssize_t)(2 * sizeof many));
  while (sent > 0)
    sent = stream_sendv(&pair.stream, parts, 2);
  assert_int_equal(sent, ERR_AGAIN);
  assert_int_equal(stream_sendv(&pair.stream, parts, 1), ERR_AGAIN);
  close_pair(&pair);
}

/* Without a signal: SIGPIPE would end the test. */
static void sending_to_a_peer_that_is_gone_is_closed(void **state) {
  (void)state;
  struct pair pair = open_pair();
  char text[] = "text";
  struct iovec parts[] = {{text, 4}, {text, 4}};
  close(pair.peer);
  pair.peer = -1;
  assert_int_equal(stream_sendv(&pair.stream, parts, 1), ERR_CLOSED);
  assert_int_equal(stream_sendv(&pair.stream, parts, 2), ERR_CLOSED);
  close_pair(&pair);
}

static void after_shutdown_the_peer_may_still_send(void **state) {
  (void)state;
  struct pair pair = open_pair();
  char bytes[16];
  stream_shutdown(&pair.stream);
  assert_int_equal(read(pair.peer, bytes, sizeof bytes), 0);
  assert_int_equal(write(pair.peer, "late", 4), 4);
  assert_int_equal(stream_recv(&pair.stream, bytes, sizeof bytes), 4);
  close_pair(&pair);
}

static void closing_twice_closes_once(void **state) {
  (void)state;
  struct pair pair = open_pair();
  int fd = pair.stream.fd;
  stream_close(&pair.stream);
  assert_int_equal(pair.stream.fd, -1);
  int reused = dup(pair.peer);
  assert_int_equal(reused, fd);
  stream_close(&pair.stream);
  assert_int_equal(close(reused), 0);
  close_pair(&pair);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bytes_come_as_they_were_sent),
      cmocka_unit_test(nothing_there_is_again_and_not_closed),
      cmocka_unit_test(the_end_is_closed),
      cmocka_unit_test(looking_for_bytes_takes_none),
      cmocka_unit_test(parts_leave_in_order),
      cmocka_unit_test(a_full_socket_takes_a_part_and_then_says_again),
      cmocka_unit_test(sending_to_a_peer_that_is_gone_is_closed),
      cmocka_unit_test(after_shutdown_the_peer_may_still_send),
      cmocka_unit_test(closing_twice_closes_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
