#include "eventhub/cli/client_url.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"

static void what_people_write_is_understood(void **state) {
  (void)state;
  static const struct {
    const char *text, *host, *target;
    unsigned port;
    bool is_secure;
  } urls[] = {
      {"localhost", "localhost", "/", 8080, false},
      {"localhost:81", "localhost", "/", 81, false},
      {"ws://a.example", "a.example", "/", 80, false},
      {"WS://a.example:65535/", "a.example", "/", 65535, false},
      {"wss://a.example/path?auth=x", "a.example", "/path?auth=x", 443, true},
      {"http://a:8080/x", "a", "/x", 8080, false},
      {"https://a", "a", "/", 443, true},
      {"[::1]", "::1", "/", 8080, false},
      {"wss://[2001:db8::1]:444/x", "2001:db8::1", "/x", 444, true},
      {"127.0.0.1:8080", "127.0.0.1", "/", 8080, false},
  };
  for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
    struct client_url url;
    assert_int_equal(client_url_parse(urls[i].text, &url), 0);
    assert_string_equal(url.host, urls[i].host);
    assert_true(slice_equal(url.target, slice_str(urls[i].target)));
    assert_int_equal(url.port, urls[i].port);
    assert_int_equal(url.is_secure, urls[i].is_secure);
  }
}

static void what_is_no_url_is_refused(void **state) {
  (void)state;
  static const char *const texts[] = {"",           "ws://",   "ws:///x", "a:",     "a:0",
                                      "a:65536",    "a:x",     "a:-1",    "[::1",   "[]",
                                      "[::1]x",     "ftp://a", "a b",     "user@a", "a/x y",
                                      "a/\r\nX: y", "a?x",     "a#x",     "a/x#y",  "\xc3\xbc"};
  for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
    struct client_url url;
    assert_int_equal(client_url_parse(texts[i], &url), ERR_INVALID);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_people_write_is_understood),
      cmocka_unit_test(what_is_no_url_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
