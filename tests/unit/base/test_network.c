#include "eventhub/base/network.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"

static void networks_hold_what_begins_like_them(void **state) {
  (void)state;
  static const struct {
    const char *network, *address;
    bool is_inside;
  } cases[] = {
      {"10.0.0.0/8", "10.255.1.2", true},
      {"10.0.0.0/8", "11.0.0.1", false},
      {"10.1.2.3/8", "10.9.9.9", true},
      {"192.0.2.128/25", "192.0.2.128", true},
      {"192.0.2.128/25", "192.0.2.127", false},
      {"192.0.2.7", "192.0.2.7", true},
      {"192.0.2.7", "192.0.2.6", false},
      {"192.0.2.7/32", "192.0.2.7", true},
      {"0.0.0.0/0", "1.2.3.4", true},
      {"0.0.0.0/0", "2001:db8::1", false},
      {"::/0", "1.2.3.4", true},
      {"::/0", "2001:db8::1", true},
      {"fd00::/8", "fdff::1", true},
      {"fd00::/8", "fe00::1", false},
      {"2001:db8:8000::/33", "2001:db8:ffff::", true},
      {"2001:db8:8000::/33", "2001:db8:7fff::", false},
      {"::ffff:10.0.0.0/104", "10.1.2.3", true},
      {"::1", "::1", true},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    struct network network;
    uint8_t address[ADDRESS_BYTES];
    assert_int_equal(network_parse(slice_str(cases[i].network), &network), 0);
    assert_int_equal(address_parse(slice_str(cases[i].address), address), 0);
    const struct network_list list = {&network, 1}, none = {NULL, 0};
    if (network_list_holds(&list, address) != cases[i].is_inside)
      fail_msg("%s in %s", cases[i].address, cases[i].network);
    assert_false(network_list_holds(&none, address));
  }
}

static void what_is_no_network_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",           "10.0.0.0/33", "10.0.0.0/",
      "10.0.0/8",   "::/129",      "::/-1",
      "host",       "[::1]",       "1.2.3.4/8/8",
      "1.2.3.4 ",   "10.0.0.0/a",  "/8",
      "1.2.3.4:80", "fe80::1%1",   "00000000000000000000000000000000000000000000000"};
  for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
    struct network network;
    if (network_parse(slice_str(bad[i]), &network) != ERR_INVALID) fail_msg("%s", bad[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(networks_hold_what_begins_like_them),
      cmocka_unit_test(what_is_no_network_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
