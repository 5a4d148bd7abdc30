#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/server/option_file.h"

/* What was parsed, as "line name=value;" for each line. */
struct parsed {
  struct buf lines, error;
  int failed;
};

static void parsed_cleanup(struct parsed *parsed) {
  buf_done(&parsed->lines);
  buf_done(&parsed->error);
}

static int collect(void *context, struct slice name, struct slice value, unsigned line,
                   struct buf *ret_error) {
  struct buf *lines = context;
  buf_printf(lines, "%u %.*s=", line, SLICE_PRINTF(name));
  buf_append_slice(lines, value);
  buf_append_char(lines, ';');
  if (!slice_equal(name, SLICE("stop"))) return 0;
  buf_append_str(ret_error, "stopped");
  return ERR_DENIED;
}

static void parse(struct parsed *ret, struct slice text) {
  *ret = (struct parsed){.lines = BUF_INIT, .error = BUF_INIT};
  ret->failed = option_file_parse(text, "f", collect, &ret->lines, &ret->error);
  buf_append_char(&ret->lines, '\0');
  buf_append_char(&ret->error, '\0');
}

static void expect_lines(struct slice text, const char *lines) {
  AUTO(parsed) struct parsed parsed;
  parse(&parsed, text);
  assert_string_equal(parsed.error.data, "");
  assert_int_equal(parsed.failed, 0);
  assert_string_equal(parsed.lines.data, lines);
}

static void expect_refusal(struct slice text, const char *error) {
  AUTO(parsed) struct parsed parsed;
  parse(&parsed, text);
  assert_string_equal(parsed.error.data, error);
  assert_int_equal(parsed.failed, ERR_INVALID);
}

static void each_line_sets_one_option(void **state) {
  (void)state;
  expect_lines(SLICE(""), "");
  expect_lines(SLICE("a = 1\nb=2\n\n\t c\t=\t3  \nd = 4"), "1 a=1;2 b=2;4 c=3;5 d=4;");
}

static void lines_may_end_in_carriage_returns(void **state) {
  (void)state;
  expect_lines(SLICE("a = 1\r\n# no\r\n\r\nb = 2\r\n"), "1 a=1;4 b=2;");
}

static void a_byte_order_mark_is_skipped(void **state) {
  (void)state;
  expect_lines(SLICE("\xEF\xBB\xBF"
                     "a = 1\n"),
               "1 a=1;");
}

static void comments_stand_alone_or_behind_a_value(void **state) {
  (void)state;
  expect_lines(SLICE("# a = 1\n   # b = 2\n#\nc = 3\n"), "4 c=3;");
  expect_lines(SLICE("a = 1 # one\nb = x\t#y\nc = # nothing\nd = \"x # y\" # z\n"),
               "1 a=1;2 b=x;3 c=;4 d=x # y;");
}

static void a_value_may_hold_any_punctuation(void **state) {
  (void)state;
  expect_lines(SLICE("a = x ; y\nb = x#y\nc = k=v:w\nd = ;\ne = '#'\nf = [s]\n"),
               "1 a=x ; y;2 b=x#y;3 c=k=v:w;4 d=;;5 e=#;6 f=[s];");
}

static void one_pair_of_quotes_is_taken_off(void **state) {
  (void)state;
  expect_lines(SLICE("a = \" x \"\nb = 'y'\nc = \"\"\nd = '\"z\"'\ne = it's\nf = \"a\" \"b\"\n"),
               "1 a= x ;2 b=y;3 c=;4 d=\"z\";5 e=it's;6 f=a\" \"b;");
}

static void quotes_that_do_not_pair_are_refused(void **state) {
  (void)state;
  const char *error = "f:1: the quotes do not pair; put the whole value into one pair of quotes";
  expect_refusal(SLICE("a = \"x\n"), error);
  expect_refusal(SLICE("a = x'\n"), error);
  expect_refusal(SLICE("a = \"x'\n"), error);
  expect_refusal(SLICE("a = \"\n"), error);
}

static void an_empty_value_is_a_value(void **state) {
  (void)state;
  expect_lines(SLICE("a =\nb=   \n"), "1 a=;2 b=;");
}

static void what_is_not_name_and_value_is_refused(void **state) {
  (void)state;
  expect_refusal(SLICE("a = 1\nb\n"), "f:2: expected name = value");
  expect_refusal(SLICE("a: 1\n"), "f:1: expected name = value");
  expect_refusal(SLICE("[section]\na = 1\n"), "f:1: expected name = value");
  expect_refusal(SLICE("\n\n; a = 1\n"), "f:3: expected name = value");
  expect_refusal(SLICE("= 1\n"), "f:1: expected name = value");
  expect_refusal(SLICE("a b = 1\n"), "f:1: expected name = value");
  expect_refusal(SLICE("a-b = 1\n"), "f:1: expected name = value");
  expect_refusal(SLICE("a = 1\0\n"), "f:1: the line has a NUL byte");
}

static void an_indented_line_continues_nothing(void **state) {
  (void)state;
  expect_lines(SLICE("a = 1\n  b = 2\n"), "1 a=1;2 b=2;");
  expect_refusal(SLICE("a = 1\n  more\n"), "f:2: expected name = value");
}

static void append_long_line(struct buf *out, size_t len) {
  buf_append_str(out, "a = ");
  while (out->len < len)
    buf_append_char(out, 'x');
}

static void long_values_arrive_whole(void **state) {
  (void)state;
  static const size_t lengths[] = {198, 199, 200, 201, 5000, OPTION_LINE_MAX};
  for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
    AUTO(buf) struct buf text = BUF_INIT;
    AUTO(parsed) struct parsed parsed;
    append_long_line(&text, lengths[i]);
    buf_append_str(&text, "\nb = 2\n");
    parse(&parsed, buf_slice(&text));
    assert_int_equal(parsed.failed, 0);
    assert_int_equal(strspn(parsed.lines.data + strlen("1 a="), "x"), lengths[i] - strlen("a = "));
    assert_string_equal(strchr(parsed.lines.data, ';'), ";2 b=2;");
  }
}

static void longer_lines_are_refused(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  append_long_line(&text, OPTION_LINE_MAX + 1);
  expect_refusal(buf_slice(&text), "f:1: the line is longer than 65536 bytes");
}

static void the_first_refused_line_ends_the_parsing(void **state) {
  (void)state;
  AUTO(parsed) struct parsed parsed;
  parse(&parsed, SLICE("a = 1\nstop = 2\nb = 3\nbad\n"));
  assert_int_equal(parsed.failed, ERR_DENIED);
  assert_string_equal(parsed.error.data, "stopped");
  assert_string_equal(parsed.lines.data, "1 a=1;2 stop=2;");
}

/* A cut file is either fine or refused with one line; what stood before the cut is the same. */
static void every_prefix_is_taken_or_refused(void **state) {
  (void)state;
  struct slice whole = SLICE("\xEF\xBB\xBF# c\r\na = \"1\"\n b ='2;#'\n\nc= 3=\n");
  AUTO(parsed) struct parsed all;
  parse(&all, whole);
  for (size_t len = 0; len < whole.len; len++) {
    AUTO(parsed) struct parsed parsed;
    parse(&parsed, slice_of(whole.ptr, len));
    assert_null(strchr(parsed.error.data, '\n'));
    const char *last = strrchr(parsed.lines.data, ' ');
    size_t sure = last == NULL ? 0 : (size_t)(last - parsed.lines.data);
    assert_int_equal(memcmp(parsed.lines.data, all.lines.data, sure), 0);
  }
}

static void files_are_read_whole(void **state) {
  (void)state;
  char path[] = "/tmp/eventhub-XXXXXX";
  AUTO(buf) struct buf text = BUF_INIT, error = BUF_INIT;
  AUTO(fd) int fd = mkstemp(path);
  for (int i = 0; i < 5000; i++)
    assert_int_equal(write(fd, "a = 1234\n", 9), 9);
  assert_int_equal(option_file_read(path, &text, &error), 0);
  assert_int_equal(text.len, 45000);
  unlink(path);
}

static void what_cannot_be_read_is_explained(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT, error = BUF_INIT;
  assert_int_equal(option_file_read("/tmp", &text, &error), ERR_SYSTEM);
  buf_append_char(&error, '\0');
  assert_string_equal(error.data, "cannot read /tmp: Is a directory");
}

static void endless_files_are_refused(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT, error = BUF_INIT;
  assert_int_equal(option_file_read("/dev/zero", &text, &error), ERR_TOO_BIG);
  assert_true(text.len < 2 * OPTION_FILE_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_line_sets_one_option),
      cmocka_unit_test(lines_may_end_in_carriage_returns),
      cmocka_unit_test(a_byte_order_mark_is_skipped),
      cmocka_unit_test(comments_stand_alone_or_behind_a_value),
      cmocka_unit_test(a_value_may_hold_any_punctuation),
      cmocka_unit_test(one_pair_of_quotes_is_taken_off),
      cmocka_unit_test(quotes_that_do_not_pair_are_refused),
      cmocka_unit_test(an_empty_value_is_a_value),
      cmocka_unit_test(what_is_not_name_and_value_is_refused),
      cmocka_unit_test(an_indented_line_continues_nothing),
      cmocka_unit_test(long_values_arrive_whole),
      cmocka_unit_test(longer_lines_are_refused),
      cmocka_unit_test(the_first_refused_line_ends_the_parsing),
      cmocka_unit_test(every_prefix_is_taken_or_refused),
      cmocka_unit_test(files_are_read_whole),
      cmocka_unit_test(what_cannot_be_read_is_explained),
      cmocka_unit_test(endless_files_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
