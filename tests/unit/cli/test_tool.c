#include "eventhub/cli/tool.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../docs_page.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/cli/cli_token.h"
#include "eventhub/topic/token.h"

enum { WORDS_MAX = 16 };

static struct tool_arguments arguments;
static struct buf error;

static int parse(const struct tool *tool, const char *const *words) {
  static char *argv[WORDS_MAX];
  int argc = 1;
  tool_arguments_done(&arguments);
  buf_clear(&error);
  argv[0] = (char *)tool->name;
  for (; words[argc - 1] != NULL; argc++)
    argv[argc] = (char *)words[argc - 1];
  argv[argc] = NULL;
  int err = tool_parse(tool, argc, argv, &arguments, &error);
  buf_append_char(&error, '\0');
  return err;
}

static int tear_down(void **state) {
  (void)state;
  tool_arguments_done(&arguments);
  memset(&arguments, 0, sizeof arguments);
  buf_done(&error);
  return 0;
}

#define WORDS(...)                                                                                 \
  (const char *const[WORDS_MAX]) {                                                                 \
    __VA_ARGS__                                                                                    \
  }

static void options_and_words_may_be_mixed(void **state) {
  (void)state;
  assert_int_equal(parse(&tool_pub, WORDS("url", "--token=t", "topic", "--json", "--", "--text")),
                   0);
  assert_int_equal(arguments.word_count, 3);
  assert_string_equal(arguments.words[2], "--text");
  assert_string_equal(tool_value(&arguments, 0), "t");
  assert_null(tool_value(&arguments, 1));
  assert_int_equal(parse(&tool_token, WORDS("--read", "a", "--write", "b", "--read", "c")), 0);
  assert_int_equal(arguments.counts[0], 2);
  assert_string_equal(arguments.values[0][1], "c");
}

static void what_is_wrong_is_told(void **state) {
  (void)state;
  assert_int_equal(parse(&tool_pub, WORDS("url")), ERR_INVALID);
  assert_non_null(strstr(error.data, "too few arguments; usage: eventhub pub URL TOPIC"));
  assert_int_equal(parse(&tool_sub, WORDS("a", "b", "c")), ERR_INVALID);
  assert_int_equal(parse(&tool_sub, WORDS("a", "b", "--nothing")), ERR_INVALID);
  assert_int_equal(parse(&tool_sub, WORDS("a", "b", "--count")), ERR_INVALID);
  assert_string_equal(error.data, "a value is missing after --count");
  assert_int_equal(parse(&tool_sub, WORDS("a", "b", "--count", "1", "--count", "2")), ERR_INVALID);
  assert_int_equal(parse(&tool_sub, WORDS("a", "--help")), ERR_NOT_FOUND);
}

static void durations_have_units(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint64_t seconds;
  } good[] = {{"0", 0}, {"30", 30}, {"30s", 30}, {"15m", 900}, {"2h", 7200}, {"7d", 604800}};
  static const char *const bad[] = {"", "s", "1w", "-1", "1.5h", "1hm", "h1", "99999999999d"};
  uint64_t seconds = 0;
  for (size_t i = 0; i < ARRAY_LEN(good); i++) {
    assert_int_equal(tool_parse_duration(good[i].text, &seconds), 0);
    assert_int_equal(seconds, good[i].seconds);
  }
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    assert_int_equal(tool_parse_duration(bad[i], &seconds), ERR_INVALID);
}

/* What the daemon itself says to a token that was made. */
static void a_token_verifies_and_holds_what_was_asked_for(void **state) {
  (void)state;
  AUTO(jws_keys) struct jws_keys *keys = jws_keys_of_secret(JWS_HS256, SLICE("secret"));
  AUTO(buf) struct buf text = BUF_INIT;
  AUTO(token) struct token *token = NULL;
  int64_t now_s = (int64_t)(clock_wall_ms() / 1000);
  assert_int_equal(parse(&tool_token, WORDS("--read", "a/#, b/+", "--write", "c", "--sub", "x ü",
                                            "--rlimit", "a/#:10/60,c:0/1", "--expires", "1h")),
                   0);
  assert_int_equal(token_make(&arguments, SLICE("secret"), &text), 0);
  assert_int_equal(token_verify(keys, buf_slice(&text), now_s, &token), 0);
  assert_int_equal(token->read.count, 2);
  assert_true(slice_equal(token->read.items[1], SLICE("b/+")));
  assert_int_equal(token->write.count, 1);
  assert_int_equal(token->limit_count, 2);
  assert_int_equal(token->limits[0].max, 10);
  assert_int_equal(token->limits[0].interval_s, 60);
  assert_true(slice_equal(token->sub, SLICE("x ü")));
  assert_in_range(token->exp_s, now_s + 3600, now_s + 3660);
}

static void a_token_may_be_valid_for_ever_or_later(void **state) {
  (void)state;
  AUTO(jws_keys) struct jws_keys *keys = jws_keys_of_secret(JWS_HS256, SLICE("s"));
  AUTO(buf) struct buf text = BUF_INIT;
  AUTO(token) struct token *token = NULL;
  int64_t now_s = (int64_t)(clock_wall_ms() / 1000);
  assert_int_equal(
      parse(&tool_token, WORDS("--read", "#", "--expires", "never", "--not-before", "1h")), 0);
  assert_int_equal(token_make(&arguments, SLICE("s"), &text), 0);
  assert_int_equal(token_verify(keys, buf_slice(&text), now_s, &token), ERR_DENIED);
  assert_int_equal(token_verify(keys, buf_slice(&text), now_s + 3700, &token), 0);
  assert_int_equal(token->exp_s, 0);
}

static void every_option_has_a_help(void **state) {
  (void)state;
  for (size_t i = 0; i < tool_count; i++) {
    assert_true(tools[i]->option_count <= TOOL_OPTIONS_MAX);
    for (size_t j = 0; j < tools[i]->option_count; j++) {
      assert_non_null(tools[i]->options[j].name);
      assert_non_null(tools[i]->options[j].help);
    }
  }
}

static void the_documentation_has_the_help_texts(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  tool_append_markdown(&text);
  assert_page_holds("docs/cli.md", &text);
}

#define TOOL_TEST(function) cmocka_unit_test_teardown(function, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TOOL_TEST(options_and_words_may_be_mixed),
      TOOL_TEST(what_is_wrong_is_told),
      TOOL_TEST(durations_have_units),
      TOOL_TEST(a_token_verifies_and_holds_what_was_asked_for),
      TOOL_TEST(a_token_may_be_valid_for_ever_or_later),
      TOOL_TEST(every_option_has_a_help),
      TOOL_TEST(the_documentation_has_the_help_texts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
