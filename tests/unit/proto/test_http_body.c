#include "eventhub/proto/http_body.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"

/* Feeds the text in pieces of `step` bytes. What comes out is appended; `ret_used` are the bytes up
 * to the last event. */
static enum http_body_event feed(const struct http_request *request, struct slice text, size_t step,
                                 struct buf *ret, size_t *ret_used) {
  struct http_body body;
  size_t at = 0, end = 0;
  http_body_begin(&body, request);
  for (;;) {
    size_t used = 0;
    struct slice data;
    enum http_body_event event = http_body_feed(&body, text.ptr + at, end - at, &used, &data);
    assert_true(used <= end - at);
    at += used;
    *ret_used = at;
    if (event == HTTP_BODY_DATA) buf_append_slice(ret, data);
    if (event == HTTP_BODY_END || event == HTTP_BODY_BAD) return event;
    if (event == HTTP_BODY_DATA) continue;
    assert_int_equal(at, end);
    if (end == text.len) return event;
    end = end + step < text.len ? end + step : text.len;
  }
}

static const struct http_request chunked = {.chunked = true, .has_body = true};

/* However it is cut: all of the text but `rest` is used, and this is the body. */
static void assert_body(const struct http_request *request, const char *text, const char *expected,
                        const char *rest) {
  size_t len = strlen(text);
  for (size_t step = 1; step <= len; step++) {
    AUTO(buf) struct buf got = BUF_INIT;
    size_t used = 0;
    assert_int_equal(feed(request, slice_of(text, len), step, &got, &used), HTTP_BODY_END);
    assert_true(slice_equal(buf_slice(&got), slice_str(expected)));
    assert_string_equal(text + used, rest);
  }
}

static void assert_verdict(struct slice text, enum http_body_event expected) {
  for (size_t step = 1; step <= text.len; step++) {
    AUTO(buf) struct buf got = BUF_INIT;
    size_t used = 0;
    assert_int_equal(feed(&chunked, text, step, &got, &used), expected);
  }
}

static void a_length_says_where_it_ends(void **state) {
  (void)state;
  const struct http_request request = {.has_body = true, .content_length = 5};
  assert_body(&request, "hello", "hello", "");
  assert_body(&request, "helloGET / HTTP/1.1", "hello", "GET / HTTP/1.1");
}

static void without_a_body_it_ends_at_once(void **state) {
  (void)state;
  const struct http_request request = {.content_length = 0};
  assert_body(&request, "GET", "", "GET");
}

static void chunks_are_put_together(void **state) {
  (void)state;
  assert_body(&chunked, "0\r\n\r\n", "", "");
  assert_body(&chunked, "5\r\nhello\r\n0\r\n\r\nGET", "hello", "GET");
  assert_body(&chunked, "1\r\na\r\nA\r\n0123456789\r\n00b\r\n0123456789a\r\n000\r\n\r\n",
              "a01234567890123456789a", "");
  assert_body(&chunked, "2\r\n\r\n\r\n0\r\n\r\n", "\r\n", "");
}

static void extensions_and_trailers_are_skipped(void **state) {
  (void)state;
  assert_body(&chunked, "1;a=b;c=\"d e\"\r\nx\r\n0;last\r\n\r\n", "x", "");
  assert_body(&chunked, "1\r\nx\r\n0\r\nA: b\r\nX-Y_z:\tc d\r\nE:\r\n\r\n5", "x", "5");
}

static void what_another_reader_may_see_otherwise_is_bad(void **state) {
  (void)state;
  static const struct slice bad[] = {
      SLICE_INIT("\r\n"),
      SLICE_INIT(";a\r\n"),
      SLICE_INIT(" 1\r\nx"),
      SLICE_INIT("1 \r\nx"),
      SLICE_INIT("+1\r\nx"),
      SLICE_INIT("-1\r\nx"),
      SLICE_INIT("0x1\r\nx"),
      SLICE_INIT("1_0\r\nx"),
      SLICE_INIT("g\r\nx"),
      SLICE_INIT("1\nx"),
      SLICE_INIT("1\rx\nx"),
      SLICE_INIT("1;a\nb\r\nx"),
      SLICE_INIT("1;a\rb\r\nx"),
      SLICE_INIT("1;\0\r\nx"),
      SLICE_INIT("1;\x7f\r\nx"),
      SLICE_INIT("1\r\nxy"),
      SLICE_INIT("1\r\nx\n0\r\n\r\n"),
      SLICE_INIT("1\r\nx\r0\r\n\r\n"),
      SLICE_INIT("2\r\nx\r\n0\r\n\r\n"),
      SLICE_INIT("00000000000000001\r\nx"),
      SLICE_INIT("8000000000000000\r\nx"),
      SLICE_INIT("ffffffffffffffff1\r\nx"),
      SLICE_INIT("0\r\n\n"),
      SLICE_INIT("0\r\n\rx"),
      SLICE_INIT("0\r\n: a\r\n\r\n"),
      SLICE_INIT("0\r\nA : b\r\n\r\n"),
      SLICE_INIT("0\r\nA\r\n\r\n"),
      SLICE_INIT("0\r\nA: b\n\r\n"),
      SLICE_INIT("0\r\nA: b\r\n c\r\n\r\n"),
      SLICE_INIT("0\r\nA: \x01\r\n\r\n"),
      SLICE_INIT("0\r\n\0: b\r\n\r\n"),
      SLICE_INIT("GET / HTTP/1.1\r\n"),
  };
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    assert_verdict(bad[i], HTTP_BODY_BAD);
}

static void it_stays_bad(void **state) {
  (void)state;
  struct http_body body;
  struct slice data;
  size_t used = 0;
  http_body_begin(&body, &chunked);
  assert_int_equal(http_body_feed(&body, "x", 1, &used, &data), HTTP_BODY_BAD);
  assert_int_equal(http_body_feed(&body, "0\r\n\r\n", 5, &used, &data), HTTP_BODY_BAD);
}

static void repeat(struct buf *text, char byte, size_t count) {
  memset(buf_reserve(text, count), byte, count);
  buf_commit(text, count);
}

static void lines_have_limits(void **state) {
  (void)state;
  AUTO(buf) struct buf line = BUF_INIT;
  buf_append_str(&line, "0;");
  repeat(&line, 'a', HTTP_CHUNK_LINE_MAX - 4);
  buf_append_str(&line, "\r\n\r\n");
  assert_verdict(buf_slice(&line), HTTP_BODY_END);
  buf_clear(&line);
  buf_append_str(&line, "0;");
  repeat(&line, 'a', HTTP_CHUNK_LINE_MAX - 1);
  assert_verdict(buf_slice(&line), HTTP_BODY_BAD);
}

static void trailers_have_a_limit_together(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  AUTO(buf) struct buf got = BUF_INIT;
  size_t used = 0;
  buf_append_str(&text, "0\r\n");
  while (text.len < HTTP_TRAILERS_MAX)
    buf_append_str(&text, "A: b\r\n");
  assert_int_equal(feed(&chunked, buf_slice(&text), 100, &got, &used), HTTP_BODY_MORE);
  buf_append_str(&text, "A: b\r\n");
  assert_int_equal(feed(&chunked, buf_slice(&text), 100, &got, &used), HTTP_BODY_BAD);
}

/* The limit of a line counts for each chunk anew. */
static void there_may_be_many_chunks(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  AUTO(buf) struct buf got = BUF_INIT;
  size_t used = 0;
  for (int i = 0; i < 1000; i++)
    buf_append_str(&text, "1\r\nx\r\n");
  buf_append_str(&text, "0\r\n\r\n");
  assert_int_equal(feed(&chunked, buf_slice(&text), 7, &got, &used), HTTP_BODY_END);
  assert_int_equal(got.len, 1000);
}

static void a_size_may_be_huge(void **state) {
  (void)state;
  struct http_body body;
  struct slice data;
  size_t used = 0;
  http_body_begin(&body, &chunked);
  assert_int_equal(http_body_feed(&body, "7fffffffffffffff\r\nx", 19, &used, &data),
                   HTTP_BODY_DATA);
  assert_int_equal(data.len, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_length_says_where_it_ends),
      cmocka_unit_test(without_a_body_it_ends_at_once),
      cmocka_unit_test(chunks_are_put_together),
      cmocka_unit_test(extensions_and_trailers_are_skipped),
      cmocka_unit_test(what_another_reader_may_see_otherwise_is_bad),
      cmocka_unit_test(it_stays_bad),
      cmocka_unit_test(lines_have_limits),
      cmocka_unit_test(trailers_have_a_limit_together),
      cmocka_unit_test(there_may_be_many_chunks),
      cmocka_unit_test(a_size_may_be_huge),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
