#include "eventhub/proto/ws_extension.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eventhub/base/cleanup.h"

static struct http_request request_with(const char *value) {
  return (struct http_request){
      .header_count = 1, .headers = {{SLICE_INIT("sec-websocket-extensions"), slice_str(value)}}};
}

#define ANSWER "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"

/* `answer` is what stands behind ANSWER; NULL: nothing is negotiated. */
static const struct {
  const char *offer, *answer;
  unsigned server_bits, client_bits;
  bool takeover;
} offers[] = {
    {"permessage-deflate", "", 15, 15, true},
    {"Permessage-Deflate", "", 15, 15, true},
    {"permessage-deflate; client_max_window_bits", "; client_max_window_bits=12", 15, 12, true},
    {"permessage-deflate; client_max_window_bits=10", "; client_max_window_bits=10", 15, 10, true},
    {"permessage-deflate;client_max_window_bits = \"15\"", "; client_max_window_bits=12", 15, 12,
     true},
    {"permessage-deflate; server_max_window_bits=10", "; server_max_window_bits=10", 10, 15, true},
    {"permessage-deflate; server_max_window_bits=15", "; server_max_window_bits=15", 15, 15, true},
    {"permessage-deflate; server_max_window_bits=8", "; server_max_window_bits=8", 8, 15, true},
    {"permessage-deflate; server_no_context_takeover", "", 15, 15, true},
    {"permessage-deflate; client_no_context_takeover", "; client_no_context_takeover", 15, 15,
     false},
    {"permessage-deflate; client_no_context_takeover; server_no_context_takeover; "
     "client_max_window_bits=8; server_max_window_bits=9",
     "; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=8", 9, 8,
     false},
    {"x-webkit-deflate-frame, permessage-deflate", "", 15, 15, true},
    {"permessage-deflate; server_max_window_bits=7, permessage-deflate", "", 15, 15, true},
    {"foo; bar=\"baz\" , permessage-deflate; server_max_window_bits=11",
     "; server_max_window_bits=11", 11, 15, true},
    {",, permessage-deflate ,", "", 15, 15, true},
    {"permessage-deflate; server_max_window_bits", NULL, 0, 0, false},
    {"permessage-deflate; server_max_window_bits=7", NULL, 0, 0, false},
    {"permessage-deflate; server_max_window_bits=16", NULL, 0, 0, false},
    {"permessage-deflate; server_max_window_bits=010", NULL, 0, 0, false},
    {"permessage-deflate; server_max_window_bits=1 0", NULL, 0, 0, false},
    {"permessage-deflate; server_max_window_bits=+9", NULL, 0, 0, false},
    {"permessage-deflate; client_max_window_bits=16", NULL, 0, 0, false},
    {"permessage-deflate; client_max_window_bits=\"\"", NULL, 0, 0, false},
    {"permessage-deflate; server_no_context_takeover=1", NULL, 0, 0, false},
    {"permessage-deflate; client_no_context_takeover=true", NULL, 0, 0, false},
    {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", NULL, 0, 0,
     false},
    {"permessage-deflate; client_max_window_bits; client_max_window_bits=9", NULL, 0, 0, false},
    {"permessage-deflate; unknown", NULL, 0, 0, false},
    {"permessage-deflate; unknown=1", NULL, 0, 0, false},
    {"permessage-deflate;", NULL, 0, 0, false},
    {"permessage-deflate; =1", NULL, 0, 0, false},
    {"permessage-deflate; server_max_window_bits=\"10", NULL, 0, 0, false},
    {"permessage-deflate x", NULL, 0, 0, false},
    {"permessage-deflate2", NULL, 0, 0, false},
    {";, permessage-deflate", NULL, 0, 0, false},
    {"", NULL, 0, 0, false},
};

static void offers_are_answered_as_the_rfc_says(void **state) {
  (void)state;
  for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
    const struct http_request request = request_with(offers[i].offer);
    AUTO(buf) struct buf answer = BUF_INIT;
    AUTO(buf) struct buf expected = BUF_INIT;
    struct ws_deflate deflate;
    assert_int_equal(ws_deflate_negotiate(&request, &deflate), offers[i].answer != NULL);
    assert_int_equal(deflate.server_bits, offers[i].server_bits);
    assert_int_equal(deflate.client_bits, offers[i].client_bits);
    assert_int_equal(deflate.client_takeover, offers[i].takeover);
    ws_deflate_append_header(&answer, &deflate);
    if (offers[i].answer != NULL) buf_printf(&expected, ANSWER "%s\r\n", offers[i].answer);
    assert_true(slice_equal(buf_slice(&answer), buf_slice(&expected)));
  }
}

static void several_headers_are_one_list(void **state) {
  (void)state;
  const struct http_request request = {
      .header_count = 3,
      .headers = {{SLICE_INIT("Sec-WebSocket-Extensions"), SLICE_INIT("foo")},
                  {SLICE_INIT("Host"), SLICE_INIT("a")},
                  {SLICE_INIT("Sec-WebSocket-Extensions"),
                   SLICE_INIT("permessage-deflate; server_max_window_bits=9")}}};
  struct ws_deflate deflate;
  assert_true(ws_deflate_negotiate(&request, &deflate));
  assert_int_equal(deflate.server_bits, 9);
}

static void nothing_offered_gives_nothing(void **state) {
  (void)state;
  const struct http_request request = {.header_count = 0};
  AUTO(buf) struct buf answer = BUF_INIT;
  struct ws_deflate deflate;
  assert_false(ws_deflate_negotiate(&request, &deflate));
  ws_deflate_append_header(&answer, &deflate);
  assert_int_equal(answer.len, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(offers_are_answered_as_the_rfc_says),
      cmocka_unit_test(several_headers_are_one_list),
      cmocka_unit_test(nothing_offered_gives_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
