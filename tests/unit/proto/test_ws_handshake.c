#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/proto/ws_handshake.h"

#define UPGRADE "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static struct http_request parse(const char *text) {
  struct http_request request;
  assert_true(http_request_parse(text, strlen(text), &request) > 0);
  return request;
}

static int check(const char *text, struct ws_handshake *ret) {
  struct http_request request = parse(text);
  return ws_handshake_check(&request, ret);
}

static void assert_response(const struct ws_handshake *handshake, const char *expected) {
  AUTO(buf) struct buf out = BUF_INIT;
  ws_handshake_encode(&out, handshake);
  buf_append_char(&out, '\0');
  assert_string_equal(out.data, expected);
}

/* The example of RFC 6455 1.3. */
static void a_handshake_is_accepted_with_the_hash_of_its_key(void **state) {
  (void)state;
  struct ws_handshake handshake;
  assert_int_equal(check("GET /any/path HTTP/1.1\r\n" UPGRADE VERSION KEY "\r\n", &handshake), 101);
  assert_string_equal(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  assert_false(handshake.offers_v1);
  assert_int_equal(handshake.protocol_token.len, 0);
  assert_null(handshake.reason);
  assert_response(&handshake, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

static void names_and_tokens_compare_without_case(void **state) {
  (void)state;
  struct ws_handshake handshake;
  int status = check("GET / HTTP/1.1\r\nHOST: h\r\nUPGRADE: WebSocket\r\n"
                     "connection: keep-alive, uPGRADE\r\nSEC-websocket-VERSION: 13\r\n"
                     "sec-websocket-key:dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                     &handshake);
  assert_int_equal(status, 101);
}

static void plain_http_is_no_upgrade(void **state) {
  (void)state;
  struct http_request plain = parse("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  struct http_request other = parse("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c, foo\r\n\r\n");
  struct http_request socket =
      parse("POST / HTTP/1.1\r\nHost: h\r\nUpgrade: foo, WebSocket\r\n\r\n");
  assert_false(ws_handshake_is_upgrade(&plain));
  assert_false(ws_handshake_is_upgrade(&other));
  assert_true(ws_handshake_is_upgrade(&socket));
}

static void every_requirement_has_its_refusal(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int status;
  } cases[] = {
      {"POST / HTTP/1.1\r\n" UPGRADE VERSION KEY "\r\n", 400},
      {"get / HTTP/1.1\r\n" UPGRADE VERSION KEY "\r\n", 400},
      {"GET / HTTP/1.0\r\n" UPGRADE VERSION KEY "\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n" VERSION KEY "\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n" VERSION KEY "\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: close\r\n" VERSION KEY
       "\r\n",
       400},
      {"GET / HTTP/1.1\r\n" UPGRADE VERSION KEY "Content-Length: 1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" UPGRADE VERSION KEY "Transfer-Encoding: chunked\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" UPGRADE KEY "\r\n", 426},
      {"GET / HTTP/1.1\r\n" UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426},
      {"GET / HTTP/1.1\r\n" UPGRADE KEY "Sec-WebSocket-Version: 013\r\n\r\n", 426},
      {"GET / HTTP/1.1\r\n" UPGRADE KEY "Sec-WebSocket-Version: 13, 8\r\n\r\n", 426},
      {"GET / HTTP/1.1\r\n" UPGRADE KEY VERSION "Sec-WebSocket-Version: 8\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" UPGRADE VERSION "\r\n", 400},
      {"GET / HTTP/1.1\r\n" UPGRADE VERSION KEY KEY "\r\n", 400},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    struct ws_handshake handshake;
    assert_int_equal(check(cases[i].text, &handshake), cases[i].status);
    assert_non_null(handshake.reason);
  }
}

static int status_of_key(const char *key) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_append_str(&text, "GET / HTTP/1.1\r\n" UPGRADE VERSION "Sec-WebSocket-Key: ");
  buf_append_str(&text, key);
  buf_append(&text, "\r\n\r\n", 5);
  struct ws_handshake handshake;
  return check(text.data, &handshake);
}

static void a_key_is_base64_of_16_bytes(void **state) {
  (void)state;
  static const char *const good[] = {
      "AAAAAAAAAAAAAAAAAAAAAA==", "zZ09+/zZ09+/zZ09+/zZ0w==", "AAAAAAAAAAAAAAAAAAAAAB=="};
  static const char *const bad[] = {"",
                                    "AAAA",
                                    "AAAAAAAAAAAAAAAAAAAAAAA=",
                                    "AAAAAAAAAAAAAAAAAAAAAAAA",
                                    "AAAAAAAAAAAAAAAAAAAAA===",
                                    "AAAAAAAAAAAAAAAAAAAAAA=",
                                    "AAAAAAAAAAAAAAAAAAAAAA===",
                                    "AAAAAAAAAAAAAAAAAAAAAAAAAA==",
                                    "AAAAAAAAAAA-AAAAAAAAAA==",
                                    "AAAAAAAAAAA_AAAAAAAAAA==",
                                    "AAAAAAAAAAA AAAAAAAAAA==",
                                    "AAAAAAAAAAA[AAAAAAAAAA==",
                                    "AAAAAAAAAAA\xc1/AAAAAAAAA=="};
  for (size_t i = 0; i < ARRAY_LEN(good); i++)
    assert_int_equal(status_of_key(good[i]), 101);
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    assert_int_equal(status_of_key(bad[i]), 400);
}

static struct ws_handshake offer(const char *protocol_lines) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_append_str(&text, "GET / HTTP/1.1\r\n" UPGRADE VERSION KEY);
  buf_append_str(&text, protocol_lines);
  buf_append(&text, "\r\n", 3);
  struct ws_handshake handshake;
  assert_int_equal(check(text.data, &handshake), 101);
  /* The token points into the text, which goes: tests look only at its length. */
  return handshake;
}

static void the_subprotocol_is_selected_where_offered(void **state) {
  (void)state;
  struct ws_handshake handshake = offer("Sec-WebSocket-Protocol: a, eventhub.v1\r\n");
  assert_true(handshake.offers_v1);
  assert_response(&handshake, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                              "Sec-WebSocket-Protocol: eventhub.v1\r\n\r\n");
  assert_true(
      offer("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: eventhub.v1\r\n").offers_v1);
  assert_false(offer("Sec-WebSocket-Protocol: graphql-ws, eventhub.v2\r\n").offers_v1);
  assert_false(offer("Sec-WebSocket-Protocol: Eventhub.V1\r\n").offers_v1);
}

static void a_token_is_taken_from_the_offers(void **state) {
  (void)state;
  struct http_request request = parse(
      "GET / HTTP/1.1\r\n" UPGRADE VERSION KEY
      "Sec-WebSocket-Protocol: eventhub.auth.a.b-_.c , eventhub.v1, eventhub.auth.other\r\n\r\n");
  struct ws_handshake handshake;
  assert_int_equal(ws_handshake_check(&request, &handshake), 101);
  assert_true(slice_equal(handshake.protocol_token, SLICE("a.b-_.c")));
  AUTO(buf) struct buf out = BUF_INIT;
  ws_handshake_encode(&out, &handshake);
  assert_null(memmem(out.data, out.len, "auth", 4));
}

static void a_token_without_the_subprotocol_beside_it_does_not_count(void **state) {
  (void)state;
  assert_int_equal(offer("Sec-WebSocket-Protocol: eventhub.auth.x\r\n").protocol_token.len, 0);
  assert_int_equal(
      offer("Sec-WebSocket-Protocol: eventhub.v1, eventhub.auth.\r\n").protocol_token.len, 0);
  assert_int_equal(
      offer("Sec-WebSocket-Protocol: eventhub.v1, eventhub.auth.x\r\n").protocol_token.len, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_handshake_is_accepted_with_the_hash_of_its_key),
      cmocka_unit_test(names_and_tokens_compare_without_case),
      cmocka_unit_test(plain_http_is_no_upgrade),
      cmocka_unit_test(every_requirement_has_its_refusal),
      cmocka_unit_test(a_key_is_base64_of_16_bytes),
      cmocka_unit_test(the_subprotocol_is_selected_where_offered),
      cmocka_unit_test(a_token_is_taken_from_the_offers),
      cmocka_unit_test(a_token_without_the_subprotocol_beside_it_does_not_count),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
