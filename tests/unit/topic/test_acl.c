#include "eventhub/topic/acl.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static struct slice read_entries[] = {SLICE_INIT("a/+"), SLICE_INIT("b/#"), SLICE_INIT("c")};
static struct slice write_entries[] = {SLICE_INIT("w/+/x"), SLICE_INIT("key")};

static struct token token = {
    .read = {read_entries, 3},
    .write = {write_entries, 2},
};

static void without_a_token_everything_is_allowed(void **state) {
  (void)state;
  assert_true(acl_may_read(NULL, SLICE("#")));
  assert_true(acl_may_write(NULL, SLICE("a")));
  assert_true(acl_may_read_key(NULL, SLICE("any thing")));
  assert_true(acl_may_write_key(NULL, SLICE("")));
}

static void topics_are_read_where_an_entry_matches(void **state) {
  (void)state;
  assert_true(acl_may_read(&token, SLICE("a/x")));
  assert_true(acl_may_read(&token, SLICE("b")));
  assert_true(acl_may_read(&token, SLICE("b/x/y")));
  assert_true(acl_may_read(&token, SLICE("c")));
  assert_false(acl_may_read(&token, SLICE("a")));
  assert_false(acl_may_read(&token, SLICE("a/x/y")));
  assert_false(acl_may_read(&token, SLICE("w/1/x")));
}

static void patterns_are_read_where_one_entry_covers_them(void **state) {
  (void)state;
  assert_true(acl_may_read(&token, SLICE("a/+")));
  assert_true(acl_may_read(&token, SLICE("b/#")));
  assert_true(acl_may_read(&token, SLICE("b/+")));
  assert_true(acl_may_read(&token, SLICE("b/x/#")));
  assert_false(acl_may_read(&token, SLICE("a/#")));
  assert_false(acl_may_read(&token, SLICE("+")));
  assert_false(acl_may_read(&token, SLICE("#")));
  assert_false(acl_may_read(&token, SLICE("+/x")));
}

static void topics_are_written_where_an_entry_of_write_matches(void **state) {
  (void)state;
  assert_true(acl_may_write(&token, SLICE("w/1/x")));
  assert_true(acl_may_write(&token, SLICE("key")));
  assert_false(acl_may_write(&token, SLICE("w/1/y")));
  assert_false(acl_may_write(&token, SLICE("a/x")));
}

static void wildcards_in_a_key_are_plain_text(void **state) {
  (void)state;
  assert_true(acl_may_read_key(&token, SLICE("a/#")));
  assert_true(acl_may_read_key(&token, SLICE("b/some key/+")));
  assert_false(acl_may_read_key(&token, SLICE("#")));
  assert_false(acl_may_read_key(&token, SLICE("+")));
  assert_false(acl_may_read_key(&token, SLICE("+/x")));
  assert_true(acl_may_write_key(&token, SLICE("w/#/x")));
  assert_true(acl_may_write_key(&token, SLICE("key")));
  assert_false(acl_may_write_key(&token, SLICE("key ")));
}

static void a_token_without_lists_allows_nothing(void **state) {
  (void)state;
  static struct token empty;
  assert_false(acl_may_read(&empty, SLICE("a")));
  assert_false(acl_may_write(&empty, SLICE("a")));
  assert_false(acl_may_read_key(&empty, SLICE("a")));
  assert_false(acl_may_write_key(&empty, SLICE("a")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_a_token_everything_is_allowed),
      cmocka_unit_test(topics_are_read_where_an_entry_matches),
      cmocka_unit_test(patterns_are_read_where_one_entry_covers_them),
      cmocka_unit_test(topics_are_written_where_an_entry_of_write_matches),
      cmocka_unit_test(wildcards_in_a_key_are_plain_text),
      cmocka_unit_test(a_token_without_lists_allows_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
