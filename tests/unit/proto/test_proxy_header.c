#include "eventhub/proto/proxy_header.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"

static void text_of(const struct proxied *proxied, char out[64]) {
  char address[INET6_ADDRSTRLEN];
  if (!proxied->has_address) {
    snprintf(out, 64, "none");
    return;
  }
  inet_ntop(AF_INET6, proxied->address, address, sizeof address);
  snprintf(out, 64, "%s %u", address, proxied->port);
}

/* All beginnings ask for more, and what follows does not matter. */
static void expect(const char *bytes, size_t len, const char *client) {
  struct proxied proxied;
  char copy[PROXY_HEADER_MAX + 16], text[64];
  memcpy(copy, bytes, len);
  memcpy(copy + len, "GET / HT", 8);
  assert_int_equal(proxy_header_parse(copy, len + 8, &proxied), len);
  text_of(&proxied, text);
  assert_string_equal(text, client);
  for (size_t cut = 0; cut < len; cut++)
    assert_int_equal(proxy_header_parse(copy, cut, &proxied), ERR_AGAIN);
}

static void expect_text(const char *line, const char *client) {
  expect(line, strlen(line), client);
}

static void refuse(const char *bytes, size_t len) {
  struct proxied proxied;
  if (proxy_header_parse(bytes, len, &proxied) != ERR_INVALID) fail_msg("%.*s", (int)len, bytes);
}

static void version_1_is_a_line(void **state) {
  (void)state;
  expect_text("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "::ffff:192.0.2.1 56324");
  expect_text("PROXY TCP6 2001:db8::1 2001:db8::2 4000 443\r\n", "2001:db8::1 4000");
  expect_text("PROXY UNKNOWN\r\n", "none");
  expect_text("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "none");
  static const char *const bad[] = {
      "PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 1\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 -1 443\r\n",
      "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
      "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY TCP4 host 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
      "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY \r\n",
      "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
  };
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    refuse(bad[i], strlen(bad[i]));
  char endless[200];
  memset(endless, 'x', sizeof endless);
  memcpy(endless, "PROXY ", 6);
  refuse(endless, sizeof endless);
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static void version_2_is_binary(void **state) {
  (void)state;
  static const char v4[] =
      SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x01\xbb";
  static const char extended[] =
      SIGNATURE "\x21\x11\x00\x10\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x01\xbb\x03\x00\x01\x07";
  static const char v6[] = SIGNATURE "\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                                     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0"
                                     "\x02\x0f\xa0\x01\xbb";
  static const char local[] = SIGNATURE "\x20\x00\x00\x00";
  static const char unspecified[] = SIGNATURE "\x21\x00\x00\x02xx";
  static const char short_v4[] = SIGNATURE "\x21\x11\x00\x04\xc0\x00\x02\x01";
  expect(v4, sizeof v4 - 1, "::ffff:192.0.2.1 56324");
  expect(extended, sizeof extended - 1, "::ffff:192.0.2.1 56324");
  expect(v6, sizeof v6 - 1, "2001:db8::1 4000");
  expect(local, sizeof local - 1, "none");
  expect(unspecified, sizeof unspecified - 1, "none");
  expect(short_v4, sizeof short_v4 - 1, "none");
  static const char version[] = SIGNATURE "\x31\x11\x00\x00";
  static const char command[] = SIGNATURE "\x22\x11\x00\x00";
  static const char length[] = SIGNATURE "\x21\x11\xff\xff";
  refuse(version, sizeof version - 1);
  refuse(command, sizeof command - 1);
  refuse(length, sizeof length - 1);
}

static void other_bytes_are_none(void **state) {
  (void)state;
  static const char *const others[] = {"GET /",   "POST / HTTP/1.1", "PRO X",
                                       "\r\nGET", "\x16\x03\x01",    "proxy TCP4"};
  struct proxied proxied;
  for (size_t i = 0; i < ARRAY_LEN(others); i++)
    assert_int_equal(proxy_header_parse(others[i], strlen(others[i]), &proxied), 0);
}

/* `headers` end in "\r\n" each. */
static void expect_client(const char *headers, const char *client) {
  char head[1024], text[64];
  struct http_request request;
  struct network networks[2];
  struct proxied proxied;
  const struct network_list trusted = {networks, 2};
  assert_int_equal(network_parse(SLICE("10.0.0.0/8"), &networks[0]), 0);
  assert_int_equal(network_parse(SLICE("fd00::/8"), &networks[1]), 0);
  int len = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", headers);
  assert_int_equal(http_request_parse(head, (size_t)len, &request), len);
  bool is_named = proxied_client(&request, &trusted, &proxied);
  assert_int_equal(is_named, proxied.has_address);
  text_of(&proxied, text);
  if (strcmp(text, client) != 0) fail_msg("%s: %s", headers, text);
}

static void the_last_that_is_no_proxy_is_the_client(void **state) {
  (void)state;
  expect_client("", "none");
  expect_client("X-Forwarded-For: 192.0.2.1\r\n", "::ffff:192.0.2.1 0");
  expect_client("X-Forwarded-For: 192.0.2.1:4000\r\n", "::ffff:192.0.2.1 4000");
  expect_client("x-forwarded-for: 2001:db8::1\r\n", "2001:db8::1 0");
  expect_client("X-Forwarded-For: [2001:db8::1]:4000\r\n", "2001:db8::1 4000");
  expect_client("X-Forwarded-For: 1.1.1.1, 192.0.2.1, 10.0.0.1,10.0.0.2\r\n", "::ffff:192.0.2.1 0");
  expect_client("X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 192.0.2.1,10.0.0.1\r\n",
                "::ffff:192.0.2.1 0");
  expect_client("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.1\r\n",
                "::ffff:192.0.2.1 0");
  expect_client("X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "::ffff:10.0.0.3 0");
}

static void forwarded_counts_first(void **state) {
  (void)state;
  expect_client("Forwarded: for=192.0.2.1;proto=https;by=10.0.0.1\r\nX-Forwarded-For: 1.1.1.1\r\n",
                "::ffff:192.0.2.1 0");
  expect_client("Forwarded: proto=http; For=\"[2001:db8:cafe::17]:4711\"\r\n",
                "2001:db8:cafe::17 4711");
  expect_client("Forwarded: for=1.1.1.1, for=192.0.2.1, for=10.0.0.7\r\n", "::ffff:192.0.2.1 0");
  expect_client("Forwarded: for=\"192.0.2.43:47011\"\r\n", "::ffff:192.0.2.43 47011");
}

/* Behind what cannot be read anybody may have written anything. */
static void what_cannot_be_read_ends_the_walk(void **state) {
  (void)state;
  expect_client("X-Forwarded-For: 1.1.1.1, unknown\r\n", "none");
  expect_client("X-Forwarded-For: 1.1.1.1, unknown, 10.0.0.1\r\n", "::ffff:10.0.0.1 0");
  expect_client("X-Forwarded-For: 1.1.1.1,\r\n", "none");
  expect_client("X-Forwarded-For:\r\n", "none");
  expect_client("X-Forwarded-For: [::1\r\n", "none");
  expect_client("X-Forwarded-For: [::1]x\r\n", "none");
  expect_client("X-Forwarded-For: 1.2.3.4:99999\r\n", "none");
  expect_client("Forwarded: for=_hidden\r\nX-Forwarded-For: 192.0.2.1\r\n", "none");
  expect_client("Forwarded: by=10.0.0.1\r\n", "none");
  expect_client("Forwarded: for\r\n", "none");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(version_1_is_a_line),
      cmocka_unit_test(version_2_is_binary),
      cmocka_unit_test(other_bytes_are_none),
      cmocka_unit_test(the_last_that_is_no_proxy_is_the_client),
      cmocka_unit_test(forwarded_counts_first),
      cmocka_unit_test(what_cannot_be_read_ends_the_walk),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
