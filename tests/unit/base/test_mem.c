#include "eventhub/base/mem.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"

static void nothing_is_still_a_block_to_free(void **state) {
  (void)state;
  AUTO(mem) void *a = x_malloc(0);
  AUTO(mem) void *b = x_calloc(0, 8);
  AUTO(mem) void *c = x_memdup(NULL, 0);
  AUTO(mem) void *d = x_realloc(x_malloc(9), 0);
  assert_true(a && b && c && d);
}

static void copies_are_exact(void **state) {
  (void)state;
  AUTO(mem) char *bytes = x_memdup("a\0b", 3);
  assert_memory_equal(bytes, "a\0b", 3);
  AUTO(mem) char *text = x_strndup("abcdef", 3);
  assert_string_equal(text, "abc");
  AUTO(mem) char *empty = x_strndup(NULL, 0);
  assert_string_equal(empty, "");
}

static void calloc_zeroes(void **state) {
  (void)state;
  AUTO(mem) char *bytes = x_calloc(3, 5);
  for (int i = 0; i < 15; i++)
    assert_int_equal(bytes[i], 0);
}

/* In a child: the size is more than any address space holds. */
static _Noreturn void ask_for_too_much(int error_fd) {
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  dup2(error_fd, STDERR_FILENO);
  volatile size_t size = SIZE_MAX / 2;
  free(x_malloc(size));
  _exit(0);
}

static void running_out_aborts_with_a_line(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) ask_for_too_much(ends[1]);
  close(ends[1]);
  char text[65536];
  size_t len = 0;
  ssize_t n;
  while ((n = read(ends[0], text + len, sizeof text - len)) > 0)
    len += (size_t)n;
  close(ends[0]);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  assert_true(len > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_is_still_a_block_to_free),
      cmocka_unit_test(copies_are_exact),
      cmocka_unit_test(calloc_zeroes),
      cmocka_unit_test(running_out_aborts_with_a_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
