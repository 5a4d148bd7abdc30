#include "eventhub/base/random.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static void bytes_are_filled_to_the_end_and_not_beyond(void **state) {
  (void)state;
  unsigned char seen[1000] = {0};
  unsigned char bytes[1002];
  for (int round = 0; round < 8; round++) {
    memset(bytes, 0x55, sizeof bytes);
    random_bytes(bytes + 1, 1000);
    assert_int_equal(bytes[0], 0x55);
    assert_int_equal(bytes[1001], 0x55);
    for (int i = 0; i < 1000; i++)
      seen[i] |= (unsigned char)(bytes[i + 1] ^ 0x55);
  }
  for (int i = 0; i < 1000; i++)
    assert_int_not_equal(seen[i], 0);
  random_bytes(NULL, 0);
}

static void numbers_differ(void **state) {
  (void)state;
  assert_true(random_u64() != random_u64());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bytes_are_filled_to_the_end_and_not_beyond),
      cmocka_unit_test(numbers_differ),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
