#include "eventhub/base/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void every_code_has_a_text_of_its_own(void **state) {
  (void)state;
  for (int a = ERR_OK; a >= ERR_FULL; a--) {
    assert_string_not_equal(err_text(a), "unknown error");
    for (int b = ERR_OK; b > a; b--)
      assert_string_not_equal(err_text(a), err_text(b));
  }
}

static void other_numbers_are_unknown_errors(void **state) {
  (void)state;
  assert_string_equal(err_text(1), "unknown error");
  assert_string_equal(err_text(ERR_FULL - 1), "unknown error");
  assert_string_equal(err_text(-2147483647 - 1), "unknown error");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_code_has_a_text_of_its_own),
      cmocka_unit_test(other_numbers_are_unknown_errors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
