#include "eventhub/server/address_table.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>

static void address_of(const char *text, uint8_t ret[ADDRESS_BYTES]) {
  assert_int_equal(inet_pton(AF_INET6, text, ret), 1);
}

static bool take(struct address_table *table, const char *text) {
  uint8_t address[ADDRESS_BYTES];
  address_of(text, address);
  return address_table_take(table, address);
}

static void give(struct address_table *table, const char *text) {
  uint8_t address[ADDRESS_BYTES];
  address_of(text, address);
  address_table_give(table, address);
}

static void each_address_has_its_places(void **state) {
  (void)state;
  struct address_table table;
  address_table_init(&table, 2);
  assert_true(take(&table, "::ffff:10.0.0.1"));
  assert_true(take(&table, "::ffff:10.0.0.1"));
  assert_false(take(&table, "::ffff:10.0.0.1"));
  assert_true(take(&table, "::ffff:10.0.0.2"));
  give(&table, "::ffff:10.0.0.1");
  assert_true(take(&table, "::ffff:10.0.0.1"));
  assert_false(take(&table, "::ffff:10.0.0.1"));
  give(&table, "::ffff:10.0.0.1");
  give(&table, "::ffff:10.0.0.1");
  give(&table, "::ffff:10.0.0.2");
  assert_int_equal(table.addresses.count, 0);
  address_table_done(&table);
}

static void a_network_of_ipv6_counts_as_one(void **state) {
  (void)state;
  struct address_table table;
  address_table_init(&table, 2);
  assert_true(take(&table, "2001:db8:1:2::1"));
  assert_true(take(&table, "2001:db8:1:2:ffff:ffff:ffff:ffff"));
  assert_false(take(&table, "2001:db8:1:2::3"));
  assert_true(take(&table, "2001:db8:1:3::1"));
  give(&table, "2001:db8:1:2::7"); /* any of it */
  give(&table, "2001:db8:1:2::1");
  give(&table, "2001:db8:1:3::1");
  address_table_done(&table);
}

static void without_a_limit_nothing_is_counted(void **state) {
  (void)state;
  struct address_table table;
  address_table_init(&table, 0);
  for (int i = 0; i < 1000; i++)
    assert_true(take(&table, "::1"));
  assert_int_equal(table.addresses.count, 0);
  give(&table, "::1");
  address_table_done(&table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_address_has_its_places),
      cmocka_unit_test(a_network_of_ipv6_counts_as_one),
      cmocka_unit_test(without_a_limit_nothing_is_counted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
