#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eventhub/proto/http_response.h"

static void assert_text(const struct buf *buf, const char *expected) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_append_slice(&text, buf_slice(buf));
  buf_append_char(&text, '\0');
  assert_string_equal(text.data, expected);
}

static void a_response_tells_type_length_and_fate_of_the_connection(void **state) {
  (void)state;
  AUTO(buf) struct buf out = BUF_INIT;
  http_response_encode(&out, &(struct http_response){.status = 200,
                                                     .content_type = SLICE("text/plain"),
                                                     .extra_headers = SLICE("A: b\r\nC: d\r\n"),
                                                     .body = SLICE("hello"),
                                                     .keep_alive = true});
  assert_text(&out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
                    "Connection: keep-alive\r\nA: b\r\nC: d\r\n\r\nhello");
}

static void an_empty_body_still_has_a_length(void **state) {
  (void)state;
  AUTO(buf) struct buf out = BUF_INIT;
  http_response_encode(&out, &(struct http_response){.status = 404});
  assert_text(&out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

static void no_content_has_neither_length_nor_body(void **state) {
  (void)state;
  AUTO(buf) struct buf out = BUF_INIT;
  http_response_encode(
      &out, &(struct http_response){.status = 204, .body = SLICE("x"), .keep_alive = true});
  assert_text(&out, "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n");
}

static void the_answer_to_head_tells_the_length_of_what_it_keeps(void **state) {
  (void)state;
  AUTO(buf) struct buf out = BUF_INIT;
  http_response_encode(
      &out, &(struct http_response){.status = 200, .body = SLICE("hello"), .head_only = true});
  assert_text(&out, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
}

static void a_refusal_is_json_that_closes(void **state) {
  (void)state;
  AUTO(buf) struct buf out = BUF_INIT;
  http_error_encode(&out, 426, SLICE("Sec-WebSocket-Version: 13\r\n"), SLICE("say \"13\"\n"));
  assert_text(&out, "HTTP/1.1 426 Upgrade Required\r\nContent-Type: application/json\r\n"
                    "Content-Length: 24\r\nConnection: close\r\nCache-Control: no-store\r\n"
                    "Sec-WebSocket-Version: 13\r\n\r\n{\"error\":\"say \\\"13\\\"\\n\"}");
}

static void responses_are_appended(void **state) {
  (void)state;
  AUTO(buf) struct buf out = BUF_INIT;
  buf_append_str(&out, "before ");
  http_response_encode(&out, &(struct http_response){.status = 204});
  assert_true(slice_starts_with(buf_slice(&out), SLICE("before HTTP/1.1 204")));
}

static void statuses_have_their_phrase(void **state) {
  (void)state;
  assert_string_equal(http_status_text(101), "Switching Protocols");
  assert_string_equal(http_status_text(431), "Request Header Fields Too Large");
  assert_string_equal(http_status_text(503), "Service Unavailable");
  assert_string_equal(http_status_text(299), "Unknown");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_response_tells_type_length_and_fate_of_the_connection),
      cmocka_unit_test(an_empty_body_still_has_a_length),
      cmocka_unit_test(no_content_has_neither_length_nor_body),
      cmocka_unit_test(the_answer_to_head_tells_the_length_of_what_it_keeps),
      cmocka_unit_test(a_refusal_is_json_that_closes),
      cmocka_unit_test(responses_are_appended),
      cmocka_unit_test(statuses_have_their_phrase),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
