#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/store/redis_locate.h"

enum { HOST_SIZE = 32 };

static bool parses(const char *text, const char *expected_host, uint16_t expected_port) {
  char host[HOST_SIZE];
  uint16_t port = 0;
  return redis_sentinel_parse(slice_str(text), host, sizeof host, &port) &&
         strcmp(host, expected_host) == 0 && port == expected_port;
}

/* Nothing is written then. The text lies at its exact length on the heap, so that a sanitizer sees
 * one byte too many. */
static bool is_refused(const char *text) {
  size_t len = strlen(text);
  char host[HOST_SIZE] = "untouched";
  uint16_t port = 4711;
  char *exact = malloc(len + 1);
  memcpy(exact, text, len);
  char *fitting = realloc(exact, len > 0 ? len : 1);
  bool is_fine = redis_sentinel_parse(slice_of(fitting, len), host, sizeof host, &port);
  free(fitting);
  return !is_fine && strcmp(host, "untouched") == 0 && port == 4711;
}

static void a_host_has_a_port_behind_a_colon(void **state) {
  (void)state;
  assert_true(parses("127.0.0.1:5000", "127.0.0.1", 5000));
  assert_true(parses("sentinel-1.example:1", "sentinel-1.example", 1));
  assert_true(parses("s:65535", "s", 65535));
  assert_true(parses("s:026379", "s", 26379));
}

static void a_host_alone_means_the_usual_port(void **state) {
  (void)state;
  assert_true(parses("127.0.0.1", "127.0.0.1", 26379));
  assert_true(parses("sentinel", "sentinel", 26379));
  assert_true(parses("[::1]", "::1", 26379));
}

static void an_address_of_version_6_is_in_brackets(void **state) {
  (void)state;
  assert_true(parses("[::1]:5000", "::1", 5000));
  assert_true(parses("[fe80::1%eth0]:5000", "fe80::1%eth0", 5000));
  assert_true(parses("[2001:db8::2]", "2001:db8::2", 26379));
}

static void what_is_none_of_these_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",
      ":",
      ":5000",
      "[]",
      "[]:5000",
      "::1",
      "::1:5000",
      "a:b:5000",
      "s:0",
      "s:x",
      "s:-1",
      "s:+1",
      "s: 1",
      "s:1 ",
      "s:65536",
      "s:1e3",
      "[::1]x",
      "[::1]5000",
      "[::1]:0",
      "[::1]:x",
      "[::1:5000",
      "[::1]::5000",
      "[::1]:65536",
      "s:18446744073709551616",
      "s:18446744073709551617",
      "s:99999999999999999999999999",
  };
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    if (!is_refused(bad[i])) fail_msg("\"%s\" is taken", bad[i]);
}

static void a_host_fills_its_room_at_most(void **state) {
  (void)state;
  char text[HOST_SIZE + 8];
  memset(text, 'a', sizeof text);
  text[HOST_SIZE - 1] = '\0';
  assert_true(parses(text, text, 26379));
  text[HOST_SIZE - 1] = 'a';
  text[HOST_SIZE] = '\0';
  assert_true(is_refused(text));
  memcpy(text + HOST_SIZE, ":1", 3);
  assert_true(is_refused(text));
}

static void an_address_of_version_6_that_is_cut_is_refused(void **state) {
  (void)state;
  static const char whole[] = "[2001:db8::2]";
  for (size_t len = strlen("[2001:d"); len < strlen(whole); len++) {
    char text[sizeof whole] = "";
    memcpy(text, whole, len);
    assert_true(is_refused(text));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_host_has_a_port_behind_a_colon),
      cmocka_unit_test(a_host_alone_means_the_usual_port),
      cmocka_unit_test(an_address_of_version_6_is_in_brackets),
      cmocka_unit_test(what_is_none_of_these_is_refused),
      cmocka_unit_test(a_host_fills_its_room_at_most),
      cmocka_unit_test(an_address_of_version_6_that_is_cut_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
