#include "eventhub/base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

static uint64_t a_moment_of_2026(void) {
  return 1767322984678U;
}

static void monotonic_time_never_goes_back(void **state) {
  (void)state;
  uint64_t last = clock_monotonic_ns();
  for (int i = 0; i < 1000; i++) {
    uint64_t now = clock_monotonic_ns();
    assert_true(now >= last);
    last = now;
  }
  uint64_t ms = clock_monotonic_ms();
  assert_true(ms >= last / 1000000 && ms - last / 1000000 < 60000);
}

static void wall_time_is_the_system_s(void **state) {
  (void)state;
  uint64_t before = (uint64_t)time(NULL);
  uint64_t now = clock_wall_ms();
  assert_true(now / 1000 + 1 >= before && now / 1000 < before + 60);
}

static void a_test_can_set_the_wall_clock(void **state) {
  (void)state;
  clock_set_wall_for_test(a_moment_of_2026);
  assert_true(clock_wall_ms() == a_moment_of_2026());
  clock_set_wall_for_test(NULL);
  assert_true(clock_wall_ms() != a_moment_of_2026());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(monotonic_time_never_goes_back),
      cmocka_unit_test(wall_time_is_the_system_s),
      cmocka_unit_test(a_test_can_set_the_wall_clock),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
