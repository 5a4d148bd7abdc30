#include "eventhub/proto/sse.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "eventhub/base/cleanup.h"

static void assert_event(const char *event, const char *id, struct slice data,
                         const char *expected) {
  AUTO(buf) struct buf out = BUF_INIT;
  sse_append_event(&out, slice_str(event), slice_str(id), data);
  buf_append_char(&out, '\0');
  assert_string_equal(out.data, expected);
}

static void fields_stand_in_order(void **state) {
  (void)state;
  assert_event("", "1-0", SLICE("x"), "id: 1-0\ndata: x\n\n");
  assert_event("gap", "", SLICE("{}"), "event: gap\ndata: {}\n\n");
  assert_event("gap", "1-0", SLICE(""), "event: gap\nid: 1-0\ndata: \n\n");
}

static void each_line_is_a_field(void **state) {
  (void)state;
  assert_event("", "", SLICE("a\nb"), "data: a\ndata: b\n\n");
  assert_event("", "", SLICE("a\rb"), "data: a\ndata: b\n\n");
  assert_event("", "", SLICE("a\r\nb"), "data: a\ndata: b\n\n");
  assert_event("", "", SLICE("a\n\rb"), "data: a\ndata: \ndata: b\n\n");
  assert_event("", "", SLICE("\n"), "data: \ndata: \n\n");
  assert_event("", "", SLICE("\r"), "data: \ndata: \n\n");
  assert_event("", "", SLICE("\r\n\r\n"), "data: \ndata: \ndata: \n\n");
  assert_event("", "", SLICE("a\n\nid: 7\ndata: b"),
               "data: a\ndata: \ndata: id: 7\ndata: data: b\n\n");
}

static void a_comment_is_a_line(void **state) {
  (void)state;
  AUTO(buf) struct buf out = BUF_INIT;
  sse_append_comment(&out, SLICE("bye"));
  assert_true(slice_equal(buf_slice(&out), SLICE(": bye\n\n")));
}

static void an_event_ends_behind_its_blank_line(void **state) {
  (void)state;
  static const char text[] = "id: 1\ndata: a\n\n:\n\ndata: \ndata: \n\n";
  static const size_t ends[] = {0, 15, 18, 33};
  size_t next = 0;
  for (size_t at = 0; at < sizeof text; at++) {
    while (ends[next] < at)
      next++;
    assert_int_equal(sse_event_boundary(text, sizeof text - 1, at), ends[next]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fields_stand_in_order),
      cmocka_unit_test(each_line_is_a_field),
      cmocka_unit_test(a_comment_is_a_line),
      cmocka_unit_test(an_event_ends_behind_its_blank_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
