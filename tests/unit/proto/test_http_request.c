#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/proto/http_request.h"

enum { PREFIXES_MAX = 3000 };

/* Of exactly these bytes on the heap, so that a sanitizer sees one too many read. */
static int parse_exact(struct slice bytes, struct http_request *ret) {
  AUTO(mem) char *copy = x_memdup(bytes.ptr, bytes.len);
  return http_request_parse(copy, bytes.len, ret);
}

/* The verdict on the whole. On the way checks that each prefix asks for more or says the same. */
static int verdict(struct slice bytes) {
  struct http_request request;
  int whole = parse_exact(bytes, &request);
  for (size_t len = 0; len < bytes.len && len < PREFIXES_MAX; len++) {
    int err = parse_exact(slice_of(bytes.ptr, len), &request);
    if (err != ERR_AGAIN && err != whole) fail_msg("%d at %zu, then %d", err, len, whole);
  }
  return whole;
}

static int verdict_on(const char *text) {
  return verdict(slice_str(text));
}

/* A request that is right but for this line of the head. */
static int verdict_with_line(struct slice line) {
  AUTO(buf) struct buf bytes = BUF_INIT;
  buf_append_str(&bytes, "POST /t HTTP/1.1\r\nHost: h\r\n");
  buf_append_slice(&bytes, line);
  buf_append_str(&bytes, "\r\nAccept: */*\r\n\r\n");
  return verdict(buf_slice(&bytes));
}

static int verdict_with(const char *line) {
  return verdict_with_line(slice_str(line));
}

static int verdict_on_target(const char *target) {
  AUTO(buf) struct buf bytes = BUF_INIT;
  buf_append_str(&bytes, "GET ");
  buf_append_str(&bytes, target);
  buf_append_str(&bytes, " HTTP/1.1\r\nHost: h\r\n\r\n");
  return verdict(buf_slice(&bytes));
}

static struct http_request parse(const char *text) {
  struct http_request request;
  assert_int_equal(http_request_parse(text, strlen(text), &request), strlen(text));
  return request;
}

#define assert_slice(slice, expected) assert_true(slice_equal(slice, slice_str(expected)))

static const char browser[] = "GET /a/b%2Fc?auth=x%20y&z HTTP/1.1\r\n"
                              "Host: example.org:8080\r\n"
                              "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\tlike\r\n"
                              "X-Empty:\r\n"
                              "x-blanks: \t a  b \t \r\n"
                              "X-Latin: caf\xe9\r\n"
                              "Upgrade: WebSocket\r\n"
                              "Connection: keep-alive, Upgrade\r\n"
                              "\r\n";

static void a_request_is_taken_apart(void **state) {
  (void)state;
  struct http_request request = parse(browser);
  assert_slice(request.method, "GET");
  assert_slice(request.target, "/a/b%2Fc?auth=x%20y&z");
  assert_slice(request.path, "/a/b%2Fc");
  assert_slice(request.query, "auth=x%20y&z");
  assert_int_equal(request.minor, 1);
  assert_int_equal(request.header_count, 7);
  assert_slice(request.headers[0].name, "Host");
  assert_slice(http_request_header(&request, SLICE("HOST")), "example.org:8080");
  assert_slice(http_request_header(&request, SLICE("X-Blanks")), "a  b");
  assert_slice(http_request_header(&request, SLICE("x-latin")), "caf\xe9");
  assert_non_null(http_request_header(&request, SLICE("X-Empty")).ptr);
  assert_int_equal(http_request_header(&request, SLICE("X-Empty")).len, 0);
  assert_null(http_request_header(&request, SLICE("X-Absent")).ptr);
  assert_true(request.keep_alive);
  assert_false(request.has_body || request.chunked || request.expect_continue);
}

static void every_cut_asks_for_more(void **state) {
  (void)state;
  struct http_request request;
  memset(&request, 0x5a, sizeof request);
  struct http_request untouched = request;
  for (size_t len = 0; len < sizeof browser - 1; len++) {
    assert_int_equal(parse_exact(slice_of(browser, len), &request), ERR_AGAIN);
    assert_memory_equal(&request, &untouched, sizeof request);
  }
}

static void what_follows_the_head_is_left_alone(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  buf_append_str(&bytes, browser);
  buf_append(&bytes, "\x81\x80\0\0\0\0", 6);
  assert_int_equal(verdict(buf_slice(&bytes)), sizeof browser - 1);
}

static void one_empty_line_before_the_request_is_skipped(void **state) {
  (void)state;
  assert_int_equal(verdict_on("\r\nGET / HTTP/1.0\r\n\r\n"), 20);
  assert_int_equal(verdict_on("\r\n\r\nGET / HTTP/1.0\r\n\r\n"), ERR_INVALID);
  assert_int_equal(verdict_on("\r"), ERR_AGAIN);
  assert_int_equal(verdict_on("\rG"), ERR_INVALID);
  assert_int_equal(verdict_on("\nGET / HTTP/1.0\r\n\r\n"), ERR_INVALID);
}

static void bad_request_lines_are_refused(void **state) {
  (void)state;
  static const char *const lines[] = {
      "GET ?a=b HTTP/1.1",
      "GET /%zz HTTP/1.1",
      "GET /% HTTP/1.1",
      "GET /%4 HTTP/1.1",
      "GET /%00 HTTP/1.1",
      "GET /?a=%zz HTTP/1.1",
      "GET /?%00 HTTP/1.1",
      "GET a HTTP/1.1",
      "GET  / HTTP/1.1",
      "GET /  HTTP/1.1",
      "GET / HTTP/1.1 ",
      " GET / HTTP/1.1",
      "GET /a b HTTP/1.1",
      "GET\t/ HTTP/1.1",
      "GET /\tHTTP/1.1",
      "GET / http/1.1",
      "GET /",
      "GET",
      "GET ",
      "G@T / HTTP/1.1",
      "GET / HTTP/1.",
      "GET / HTTP/11",
      "GET / HTTP/1.10",
      "GET / HTTP/x.1",
      "GET / HTTP/1.x",
      "GET / HTPP/1.1",
      "GET / HTTP/ 1.1",
      "GET /# HTTP/1.1",
      "GET /\xc3\xa9 HTTP/1.1",
      "GET /\x7f HTTP/1.1",
      "GET /\x01 HTTP/1.1",
      "GET * HTTP/1.1",
      "OPTIONS ** HTTP/1.1",
      "OPTIONS *?a HTTP/1.1",
      "CONNECT h:80 HTTP/1.1",
      "GET ftp://h/ HTTP/1.1",
      "GET http:/// HTTP/1.1",
      "GET http://u@h/ HTTP/1.1",
      "GET http://:80/ HTTP/1.1",
      "GET http://h<x/ HTTP/1.1",
      "GET http:/h/ HTTP/1.1",
      "GET http://h/%zz HTTP/1.1",
      "GET http://h?%zz HTTP/1.1",
      "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1",
      "PRI * HTTP/2.0",
  };
  for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
    AUTO(buf) struct buf bytes = BUF_INIT;
    buf_append_str(&bytes, lines[i]);
    buf_append_str(&bytes, "\r\nHost: h\r\n\r\n");
    if (verdict(buf_slice(&bytes)) != ERR_INVALID) fail_msg("accepted: %s", lines[i]);
  }
}

static void a_nul_anywhere_is_refused(void **state) {
  (void)state;
  for (size_t at = 0; at < sizeof browser - 1; at++) {
    char bytes[sizeof browser - 1];
    memcpy(bytes, browser, sizeof bytes);
    bytes[at] = '\0';
    assert_int_equal(verdict(slice_of(bytes, sizeof bytes)), ERR_INVALID);
  }
}

static void control_characters_in_values_are_refused(void **state) {
  (void)state;
  for (int byte = 0; byte < 256; byte++) {
    bool is_allowed = byte == '\t' || (byte >= ' ' && byte != 0x7f);
    for (size_t place = 3; place < 24; place++) {
      char line[] = "A: 0123456789abcdefghijklmn";
      line[place] = (char)byte;
      int err = verdict_with_line(slice_of(line, sizeof line - 1));
      if ((err > 0) != is_allowed || (err < 0 && err != ERR_INVALID))
        fail_msg("byte %02x", (unsigned)byte);
    }
  }
}

static void only_tokens_are_header_names(void **state) {
  (void)state;
  static const char marks[] = "!#$%&'*+-.^_`|~";
  for (int byte = 0; byte < 256; byte++) {
    bool is_token = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                    (byte >= 'a' && byte <= 'z') || (byte != 0 && strchr(marks, byte) != NULL);
    char line[] = "Name: value";
    line[2] = (char)byte;
    /* "Na:e: value" is the header Na. */
    bool is_allowed = is_token || byte == ':';
    assert_int_equal(verdict_with_line(slice_of(line, sizeof line - 1)) > 0, is_allowed);
  }
}

static void versions(void **state) {
  (void)state;
  assert_true(verdict_on("GET / HTTP/1.0\r\n\r\n") > 0);
  assert_true(verdict_on("GET / HTTP/1.1\r\nHost: h\r\n\r\n") > 0);
  assert_true(verdict_on("GET / HTTP/1.9\r\nHost: h\r\n\r\n") > 0);
  assert_int_equal(verdict_on("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), ERR_UNSUPPORTED);
  assert_int_equal(verdict_on("GET / HTTP/0.9\r\nHost: h\r\n\r\n"), ERR_UNSUPPORTED);
  assert_int_equal(verdict_on("GET ?x HTTP/2.0\r\nHost: h\r\n\r\n"), ERR_INVALID);
  assert_int_equal(parse("GET / HTTP/1.9\r\nHost: h\r\n\r\n").minor, 1);
  assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n").minor, 0);
}

static void targets_are_reduced_to_path_and_query(void **state) {
  (void)state;
  static const struct {
    const char *line, *path, *query;
  } cases[] = {
      {"GET / HTTP/1.0\r\n\r\n", "/", ""},
      {"GET /? HTTP/1.0\r\n\r\n", "/", ""},
      {"GET /a??b HTTP/1.0\r\n\r\n", "/a", "?b"},
      {"GET //a/../b HTTP/1.0\r\n\r\n", "//a/../b", ""},
      {"GET /a+b|{c}\"<>^`\\ HTTP/1.0\r\n\r\n", "/a+b|{c}\"<>^`\\", ""},
      {"GET http://h:80/a?b HTTP/1.0\r\n\r\n", "/a", "b"},
      {"GET HTTPS://[::1]:8080/a HTTP/1.0\r\n\r\n", "/a", ""},
      {"GET http://h HTTP/1.0\r\n\r\n", "/", ""},
      {"GET http://h?a=b HTTP/1.0\r\n\r\n", "/", "a=b"},
      {"OPTIONS * HTTP/1.0\r\n\r\n", "*", ""},
      {"OPTIONS /a HTTP/1.0\r\n\r\n", "/a", ""},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    assert_true(verdict_on(cases[i].line) > 0);
    struct http_request request = parse(cases[i].line);
    assert_slice(request.path, cases[i].path);
    assert_slice(request.query, cases[i].query);
  }
}

/* Two readers of such a head could disagree on where the next request begins. */
static void heads_fit_for_smuggling_are_refused(void **state) {
  (void)state;
  static const char *const lines[] = {
      "Content-Length: 5\r\nContent-Length: 5",
      "Content-Length: 5\r\nContent-Length: 6",
      "Content-Length: 5, 5",
      "Content-Length: 5,6",
      "Content-Length: +5",
      "Content-Length: -5",
      "Content-Length: 0x5",
      "Content-Length: 5 5",
      "Content-Length: 5a",
      "Content-Length:",
      "Content-Length: 18446744073709551616",
      "Content-Length: 5\r\nTransfer-Encoding: chunked",
      "Transfer-Encoding: chunked\r\nContent-Length: 5",
      "Transfer-Encoding: chunked\r\nContent-Length: 0",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
      "Transfer-Encoding: chunked, chunked",
      "Transfer-Encoding: chunked, identity",
      "Transfer-Encoding: identity",
      "Transfer-Encoding: gzip, chunked",
      "Transfer-Encoding: xchunked",
      "Transfer-Encoding: chunked;q=1",
      "Transfer-Encoding: \"chunked\"",
      "Transfer-Encoding:",
      "Transfer-Encoding: \vchunked",
      "Transfer-Encoding:\r\n chunked",
      "Transfer-Encoding : chunked",
      "Transfer-Encoding\t: chunked",
      "Content-Length : 5",
      "Content-Length\v: 5",
      " Content-Length: 5",
      "A: b\r\n Content-Length: 5",
      "A: b\r\n\tc",
      "A: b\r\n ",
      "A: b\rContent-Length: 5",
      "A: b\nContent-Length: 5",
      "A: b\r\r\nContent-Length: 5",
      "A: b\n\r\n",
      "A\r\n: b",
      "A b: c",
      ": b",
      "A",
      "Host: h",
      "host: other",
  };
  for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
    if (verdict_with(lines[i]) != ERR_INVALID) fail_msg("accepted: %s", lines[i]);
  }
  const char *encoded_1_0 = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
  assert_int_equal(verdict_on(encoded_1_0), ERR_INVALID);
  assert_int_equal(verdict_on("GET / HTTP/1.0\r\n A: b\r\n\r\n"), ERR_INVALID);
}

static void only_crlf_ends_a_line(void **state) {
  (void)state;
  assert_int_equal(verdict_on("GET / HTTP/1.0\n\n"), ERR_INVALID);
  assert_int_equal(verdict_on("GET / HTTP/1.0\r\nA: b\n\r\n"), ERR_INVALID);
  assert_int_equal(verdict_on("GET / HTTP/1.0\r\nA: b\r\n\n"), ERR_INVALID);
  assert_int_equal(verdict_on("GET / HTTP/1.0\rA: b\r\n\r\n"), ERR_INVALID);
}

static void host_is_one_and_names_a_host(void **state) {
  (void)state;
  static const char *const good[] = {"Host: a.b", "Host: a:1", "Host: [::1]:80",
                                     "Host:", "hOST:  a-b_c~d  "};
  static const char *const bad[] = {"X: y",      "Host: a b", "Host: a/b", "Host: u@h",
                                    "Host: h?x", "Host: h#",  "Host: a\\b"};
  for (size_t i = 0; i < ARRAY_LEN(good) + ARRAY_LEN(bad); i++) {
    bool is_good = i < ARRAY_LEN(good);
    AUTO(buf) struct buf bytes = BUF_INIT;
    buf_append_str(&bytes, "GET / HTTP/1.1\r\n");
    buf_append_str(&bytes, is_good ? good[i] : bad[i - ARRAY_LEN(good)]);
    buf_append_str(&bytes, "\r\n\r\n");
    assert_int_equal(verdict(buf_slice(&bytes)), is_good ? (int)bytes.len : ERR_INVALID);
  }
}

static void a_body_is_announced_by_length_or_encoding(void **state) {
  (void)state;
  struct http_request request =
      parse("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 005\r\nExpect: 100-Continue\r\n\r\n");
  assert_true(request.has_body && !request.chunked && request.expect_continue);
  assert_int_equal(request.content_length, 5);
  request = parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n");
  assert_true(request.has_body && request.chunked);
  assert_int_equal(request.content_length, 0);
  request = parse("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
  assert_false(request.has_body || request.chunked);
  request = parse(
      "POST / HTTP/1.0\r\nContent-Length: 18446744073709551615\r\nExpect: 100-continue\r\n\r\n");
  assert_true(request.content_length == UINT64_MAX && !request.expect_continue);
}

static void keep_alive_follows_version_and_connection(void **state) {
  (void)state;
  static const struct {
    const char *text;
    bool keep_alive;
  } cases[] = {
      {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
      {"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
      {"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, CLOSE ,y\r\n\r\n", false},
      {"GET / HTTP/1.1\r\nHost: h\r\nConnection: a\r\nConnection: close\r\n\r\n", false},
      {"GET / HTTP/1.1\r\nHost: h\r\nConnection: closed\r\n\r\n", true},
      {"GET / HTTP/1.0\r\n\r\n", false},
      {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
      {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++)
    assert_int_equal(parse(cases[i].text).keep_alive, cases[i].keep_alive);
}

static void repeated_headers_make_one_list(void **state) {
  (void)state;
  struct http_request request = parse("GET / HTTP/1.0\r\nA: x,, y\r\nB: z\r\na:\tW \r\n\r\n");
  assert_true(http_request_has_token(&request, SLICE("a"), SLICE("X")));
  assert_true(http_request_has_token(&request, SLICE("A"), SLICE("y")));
  assert_true(http_request_has_token(&request, SLICE("A"), SLICE("w")));
  assert_false(http_request_has_token(&request, SLICE("A"), SLICE("z")));
  assert_false(http_request_has_token(&request, SLICE("A"), SLICE("x,")));
  assert_int_equal(http_request_header_count(&request, SLICE("a")), 2);
  assert_int_equal(http_request_header_count(&request, SLICE("c")), 0);
  assert_slice(http_request_header(&request, SLICE("a")), "x,, y");
  assert_false(http_header_has_token(slice_of(NULL, 0), SLICE("x")));
}

/* A head whose one header is filled up so that the whole has this length. */
static void append_head_of(struct buf *bytes, size_t len) {
  static const char begin[] = "GET / HTTP/1.0\r\nA: ", end[] = "\r\n\r\n";
  buf_append_str(bytes, begin);
  for (size_t i = 0; i < len - strlen(begin) - strlen(end); i++)
    buf_append_char(bytes, 'x');
  buf_append_str(bytes, end);
}

static void the_head_may_fill_its_limit_and_not_more(void **state) {
  (void)state;
  static const size_t lens[] = {HTTP_HEAD_MAX - 1, HTTP_HEAD_MAX,     HTTP_HEAD_MAX + 1,
                                HTTP_HEAD_MAX + 2, HTTP_HEAD_MAX + 3, 200 * 1024};
  for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
    AUTO(buf) struct buf bytes = BUF_INIT;
    append_head_of(&bytes, lens[i]);
    assert_int_equal(verdict(buf_slice(&bytes)), i < 2 ? (int)lens[i] : ERR_TOO_BIG);
  }
}

static void too_big_is_told_at_the_limit(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  append_head_of(&bytes, 200 * 1024);
  assert_int_equal(verdict(slice_of(bytes.data, HTTP_HEAD_MAX - 1)), ERR_AGAIN);
  assert_int_equal(verdict(slice_of(bytes.data, HTTP_HEAD_MAX)), ERR_TOO_BIG);
}

static void a_target_without_end_is_too_big(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  buf_append_str(&bytes, "GET /");
  while (bytes.len < HTTP_HEAD_MAX)
    buf_append_char(&bytes, 'a');
  assert_int_equal(verdict(buf_slice(&bytes)), ERR_TOO_BIG);
}

static void headers_are_counted(void **state) {
  (void)state;
  for (int extra = 0; extra < 2; extra++) {
    AUTO(buf) struct buf bytes = BUF_INIT;
    buf_append_str(&bytes, "GET / HTTP/1.0\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX + extra; i++)
      buf_append_str(&bytes, "A: b\r\n");
    buf_append_str(&bytes, "\r\n");
    assert_int_equal(verdict(buf_slice(&bytes)), extra == 0 ? (int)bytes.len : ERR_TOO_BIG);
  }
}

static void other_protocols_are_refused_before_their_line_ends(void **state) {
  (void)state;
  static const struct slice beginnings[] = {
      SLICE_INIT("\x16\x03\x01"), /* TLS */
      SLICE_INIT("GET\x80"),
      SLICE_INIT("GET ?"),
      SLICE_INIT("GET /\0"),
      SLICE_INIT(" "),
      SLICE_INIT("{\"jsonrpc\""),
      SLICE_INIT("\x81\x80"),
      SLICE_INIT("SSH-2.0-OpenSSH_9 "),
  };
  for (size_t i = 0; i + 1 < ARRAY_LEN(beginnings); i++)
    assert_int_equal(verdict(beginnings[i]), ERR_INVALID);
  assert_int_equal(verdict(beginnings[ARRAY_LEN(beginnings) - 1]), ERR_AGAIN);
}

static void every_visible_target_byte_is_taken_or_refused(void **state) {
  (void)state;
  for (int byte = 1; byte < 256; byte++) {
    char target[] = "/a?b";
    target[1] = (char)byte;
    bool is_allowed = byte > ' ' && byte < 0x7f && byte != '#' && byte != '%';
    assert_int_equal(verdict_on_target(target) > 0, is_allowed);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_request_is_taken_apart),
      cmocka_unit_test(every_cut_asks_for_more),
      cmocka_unit_test(what_follows_the_head_is_left_alone),
      cmocka_unit_test(one_empty_line_before_the_request_is_skipped),
      cmocka_unit_test(bad_request_lines_are_refused),
      cmocka_unit_test(a_nul_anywhere_is_refused),
      cmocka_unit_test(control_characters_in_values_are_refused),
      cmocka_unit_test(only_tokens_are_header_names),
      cmocka_unit_test(versions),
      cmocka_unit_test(targets_are_reduced_to_path_and_query),
      cmocka_unit_test(heads_fit_for_smuggling_are_refused),
      cmocka_unit_test(only_crlf_ends_a_line),
      cmocka_unit_test(host_is_one_and_names_a_host),
      cmocka_unit_test(a_body_is_announced_by_length_or_encoding),
      cmocka_unit_test(keep_alive_follows_version_and_connection),
      cmocka_unit_test(repeated_headers_make_one_list),
      cmocka_unit_test(the_head_may_fill_its_limit_and_not_more),
      cmocka_unit_test(too_big_is_told_at_the_limit),
      cmocka_unit_test(a_target_without_end_is_too_big),
      cmocka_unit_test(headers_are_counted),
      cmocka_unit_test(other_protocols_are_refused_before_their_line_ends),
      cmocka_unit_test(every_visible_target_byte_is_taken_or_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
