#include "eventhub/base/cleanup.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>

struct item {
  int before;
  int member;
};

static int opened(void) {
  AUTO(fd) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  errno = EINTR;
  return fd;
}

static void a_descriptor_is_closed_at_the_end_of_its_block(void **state) {
  (void)state;
  int fd = opened();
  assert_int_equal(errno, EINTR);
  assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void no_descriptor_is_left_alone(void **state) {
  (void)state;
  AUTO(fd) int fd = -1;
  assert_int_equal(fd, -1);
}

static void a_struct_is_found_from_its_member(void **state) {
  (void)state;
  struct item item = {1, 2};
  const int *member = &item.member;
  assert_ptr_equal(container_of(member, struct item, member), &item);
  assert_int_equal(ARRAY_LEN(((int[]){1, 2, 3})), 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_descriptor_is_closed_at_the_end_of_its_block),
      cmocka_unit_test(no_descriptor_is_left_alone),
      cmocka_unit_test(a_struct_is_found_from_its_member),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
