#include "eventhub/base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "eventhub/base/clock.h"

enum { THREADS = 4, LINES_EACH = 50 };

/* stderr is a socket that keeps the bounds of each write. */
static int stderr_before;
static int line_fd;

static uint64_t a_moment_of_2026(void) {
  return 1767323045678U;
}

static int redirect_stderr(void **state) {
  (void)state;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) return -1;
  stderr_before = dup(STDERR_FILENO);
  dup2(ends[1], STDERR_FILENO);
  close(ends[1]);
  line_fd = ends[0];
  clock_set_wall_for_test(a_moment_of_2026);
  return 0;
}

static int restore_stderr(void **state) {
  (void)state;
  dup2(stderr_before, STDERR_FILENO);
  close(stderr_before);
  close(line_fd);
  clock_set_wall_for_test(NULL);
  log_set_level(LOG_INFO);
  log_set_format(LOG_TEXT);
  return 0;
}

/* The next write to stderr, NUL ended; false when there was none. */
static bool next_line(char line[LOG_LINE_MAX + 1]) {
  ssize_t len = recv(line_fd, line, LOG_LINE_MAX, MSG_DONTWAIT);
  if (len < 0) return false;
  line[len] = '\0';
  return true;
}

static void assert_line(const char *expected) {
  char line[LOG_LINE_MAX + 1];
  assert_true(next_line(line));
  assert_string_equal(line, expected);
}

static void assert_no_line(void) {
  char line[LOG_LINE_MAX + 1];
  assert_false(next_line(line));
}

static void a_line_is_one_write(void **state) {
  (void)state;
  log_info("listening", LOG_STR("address", "*"), LOG_UINT("port", 8080));
  log_error("stopped");
  assert_line("2026-01-02T03:04:05.678Z info listening address=* port=8080\n");
  assert_line("2026-01-02T03:04:05.678Z error stopped\n");
  assert_no_line();
}

static void json_lines_are_written_on_demand(void **state) {
  (void)state;
  log_set_format(LOG_JSON);
  log_warn("a \"b\"", LOG_STR("k", "v"));
  assert_line("{\"time\":\"2026-01-02T03:04:05.678Z\",\"level\":\"warn\",\"event\":\"a \\\"b\\\"\","
              "\"k\":\"v\"}\n");
}

static int counted_calls;

static int counted(void) {
  return ++counted_calls;
}

static void what_is_off_is_neither_written_nor_evaluated(void **state) {
  (void)state;
  counted_calls = 0;
  log_debug("x", LOG_INT("n", counted()));
  log_set_level(LOG_OFF);
  log_error("x", LOG_INT("n", counted()));
  log_limited(LOG_ERROR, "x", LOG_INT("n", counted()));
  assert_int_equal(counted_calls, 0);
  assert_no_line();
  log_set_level(LOG_TRACE);
  log_trace("x", LOG_INT("n", counted()));
  assert_line("2026-01-02T03:04:05.678Z trace x n=1\n");
}

static void errno_survives(void **state) {
  (void)state;
  errno = ENOENT;
  log_info("x", LOG_ERRNO("error", errno));
  assert_int_equal(errno, ENOENT);
}

static void five_lines_a_second_pass(void **state) {
  (void)state;
  struct log_limit limit = {0};
  uint64_t suppressed = 99;
  for (int i = 0; i < LOG_LIMIT_LINES; i++) {
    assert_true(log_limit_take(&limit, 7000 + (unsigned)i, &suppressed));
    assert_int_equal(suppressed, 0);
  }
  suppressed = 99;
  for (int i = 0; i < 1000; i++)
    assert_false(log_limit_take(&limit, 7999, &suppressed));
  assert_int_equal(suppressed, 99);
  assert_true(log_limit_take(&limit, 8000, &suppressed));
  assert_int_equal(suppressed, 1000);
  assert_true(log_limit_take(&limit, 8001, &suppressed));
  assert_int_equal(suppressed, 0);
}

static void a_flood_from_one_place_is_damped(void **state) {
  (void)state;
  for (int i = 0; i < 200; i++)
    log_limited(LOG_WARN, "flood", LOG_INT("i", i));
  log_limited(LOG_WARN, "another place");
  char line[LOG_LINE_MAX + 1];
  unsigned lines = 0;
  while (next_line(line) && strstr(line, "flood"))
    lines++;
  /* The loop may see the clock pass from one second to the next. */
  assert_in_range(lines, LOG_LIMIT_LINES, 4 * LOG_LIMIT_LINES);
  assert_non_null(strstr(line, "another place"));
}

static void *write_lines(void *argument) {
  (void)argument;
  for (int i = 0; i < LINES_EACH; i++)
    log_info("from a thread", LOG_STR("text", "so long that a torn line would be seen"));
  return NULL;
}

static void lines_of_threads_do_not_mix(void **state) {
  (void)state;
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    pthread_create(&threads[i], NULL, write_lines, NULL);
  char line[LOG_LINE_MAX + 1];
  for (int i = 0; i < THREADS * LINES_EACH; i++) {
    ssize_t len = recv(line_fd, line, LOG_LINE_MAX, 0);
    assert_true(len > 0);
    line[len] = '\0';
    assert_string_equal(line, "2026-01-02T03:04:05.678Z info from a thread "
                              "text=\"so long that a torn line would be seen\"\n");
  }
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, redirect_stderr, restore_stderr)

int main(void) {
  const struct CMUnitTest tests[] = {
      LOG_TEST(a_line_is_one_write),
      LOG_TEST(json_lines_are_written_on_demand),
      LOG_TEST(what_is_off_is_neither_written_nor_evaluated),
      LOG_TEST(errno_survives),
      LOG_TEST(five_lines_a_second_pass),
      LOG_TEST(a_flood_from_one_place_is_damped),
      LOG_TEST(lines_of_threads_do_not_mix),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
