#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/cli/cli.h"

enum { ARGUMENTS_MAX = 8 };

static int parse(const char *const *words, struct cli_arguments *ret, struct buf *error) {
  char *argv[ARGUMENTS_MAX] = {(char *)"eventhub"};
  int argc = 1;
  for (; words[argc - 1] != NULL; argc++)
    argv[argc] = (char *)words[argc - 1];
  int failed = cli_parse(argc, argv, ret, error);
  buf_append_char(error, '\0');
  return failed;
}

#define WORDS(...)                                                                                 \
  (const char *const[ARGUMENTS_MAX - 1]) {                                                         \
    __VA_ARGS__                                                                                    \
  }

static void expect_command(const char *const *words, const char *command, const char *config) {
  AUTO(buf) struct buf error = BUF_INIT;
  struct cli_arguments arguments;
  assert_int_equal(parse(words, &arguments, &error), 0);
  assert_string_equal(error.data, "");
  assert_string_equal(cli_command_name(arguments.command), command);
  if (config == NULL)
    assert_null(arguments.config_path);
  else
    assert_string_equal(arguments.config_path, config);
}

static void expect_refusal(const char *const *words, const char *wanted) {
  AUTO(buf) struct buf error = BUF_INIT;
  struct cli_arguments arguments;
  assert_int_equal(parse(words, &arguments, &error), ERR_INVALID);
  assert_string_equal(error.data, wanted);
}

static void without_a_command_it_serves(void **state) {
  (void)state;
  expect_command(WORDS(NULL), "serve", NULL);
  expect_command(WORDS("--config", "f"), "serve", "f");
  expect_command(WORDS("--config=f"), "serve", "f");
  expect_command(WORDS("-c", "f"), "serve", "f");
}

static void commands_are_words_or_options(void **state) {
  (void)state;
  expect_command(WORDS("serve", "--config", "f"), "serve", "f");
  expect_command(WORDS("--config", "f", "serve"), "serve", "f");
  expect_command(WORDS("--check-config", "--config", "f"), "check-config", "f");
  expect_command(WORDS("check-config"), "check-config", NULL);
  expect_command(WORDS("--health"), "health", NULL);
  expect_command(WORDS("health"), "health", NULL);
  expect_command(WORDS("--help"), "help", NULL);
  expect_command(WORDS("-h"), "help", NULL);
  expect_command(WORDS("--version"), "version", NULL);
}

static void what_is_not_understood_is_named(void **state) {
  (void)state;
  expect_refusal(WORDS("--frob"), "unknown argument --frob; eventhub --help shows how it is used");
  expect_refusal(WORDS("-x"), "unknown argument -x; eventhub --help shows how it is used");
  expect_refusal(WORDS("frob"), "unknown command frob; eventhub --help shows how it is used");
  expect_refusal(WORDS("serve", "8080"),
                 "unknown command 8080; eventhub --help shows how it is used");
  expect_refusal(WORDS("--config"),
                 "a value is missing after --config; eventhub --help shows how it is used");
  expect_refusal(WORDS("--health=3"),
                 "unknown argument --health=3; eventhub --help shows how it is used");
}

static void one_command_at_a_time(void **state) {
  (void)state;
  expect_refusal(WORDS("--health", "--version"), "health and version exclude each other");
  expect_refusal(WORDS("serve", "--health"), "health and serve exclude each other");
}

static void usage_lists_the_commands(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  cli_append_usage(&text);
  buf_append_char(&text, '\0');
  assert_non_null(strstr(text.data, "\n  --serve "));
  assert_non_null(strstr(text.data, "\n  --check-config "));
  assert_null(strstr(text.data, "markdown"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_a_command_it_serves),
      cmocka_unit_test(commands_are_words_or_options),
      cmocka_unit_test(what_is_not_understood_is_named),
      cmocka_unit_test(one_command_at_a_time),
      cmocka_unit_test(usage_lists_the_commands),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
