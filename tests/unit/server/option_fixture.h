/* Loading options from an environment and a file that the test writes. */
#ifndef TESTS_UNIT_SERVER_OPTION_FIXTURE_H
#define TESTS_UNIT_SERVER_OPTION_FIXTURE_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/server/options.h"

struct option_fixture {
  struct options options; /* loaded when failed is 0 */
  struct buf error;       /* NUL-terminated */
  int failed;
};

#define ENV(...)                                                                                   \
  (const char *const[]) {                                                                          \
    __VA_ARGS__, NULL                                                                              \
  }

static inline void option_fixture_load(struct option_fixture *ret, const char *path,
                                       const char *const *env) {
  *ret = (struct option_fixture){.error = BUF_INIT};
  ret->failed = options_load(&ret->options, path, (char *const *)env, &ret->error);
  *buf_reserve(&ret->error, 1) = '\0';
}

/* The file as text; gone again when the call returns. Its path is "options.conf" in errors only as
 * far as its end goes. */
static inline void option_fixture_load_file(struct option_fixture *ret, const char *text,
                                            const char *const *env) {
  char path[] = "/tmp/eventhub-XXXXXX.conf";
  AUTO(fd) int fd = mkstemps(path, 5);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
  option_fixture_load(ret, path, env);
  unlink(path);
}

static inline void option_fixture_cleanup(struct option_fixture *fixture) {
  if (fixture->failed == 0) options_done(&fixture->options);
  buf_done(&fixture->error);
}

/* Loaded without an error ... */
static inline void expect_load(const char *const *env) {
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load(&loaded, NULL, env);
  assert_string_equal(loaded.error.data, "");
  assert_int_equal(loaded.failed, 0);
}

/* ... or refused with this one. */
static inline void expect_errors(const char *const *env, const char *error) {
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load(&loaded, NULL, env);
  assert_string_equal(loaded.error.data, error);
  assert_true(loaded.failed < 0);
}

static inline void expect_error(const char *setting, const char *error) {
  expect_errors(ENV(setting), error);
}

#endif
