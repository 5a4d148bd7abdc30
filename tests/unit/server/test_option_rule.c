#include "eventhub/server/option_rule.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "eventhub/base/err.h"
#include "eventhub/server/option_table.h"

#include "option_fixture.h"

/* The options of Redis: when they choose it, and what they ask of each other. */

static const char *const nothing[] = {NULL};

static void expect_backend(const char *const *env, enum option_backend backend,
                           const char *reason) {
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load(&loaded, NULL, env);
  assert_string_equal(loaded.error.data, "");
  assert_int_equal(loaded.options.backend, backend);
  assert_string_equal(loaded.options.backend_reason, reason);
}

static void the_backend_comes_with_its_reason(void **state) {
  (void)state;
  expect_backend(nothing, OPTION_BACKEND_EMBEDDED, "BACKEND=auto and no Redis server is set");
  expect_backend(ENV("BACKEND=Embedded"), OPTION_BACKEND_EMBEDDED, "BACKEND=embedded");
  expect_backend(ENV("BACKEND=redis"), OPTION_BACKEND_REDIS, "BACKEND=redis");
}

static void what_names_a_redis_server_chooses_redis(void **state) {
  (void)state;
  expect_backend(ENV("REDIS_HOST=127.0.0.1"), OPTION_BACKEND_REDIS,
                 "BACKEND=auto and REDIS_HOST is set");
  expect_backend(ENV("redis_port=6379"), OPTION_BACKEND_REDIS,
                 "BACKEND=auto and REDIS_PORT is set");
  expect_backend(ENV("BACKEND=auto", "REDIS_PASSWORD=x"), OPTION_BACKEND_REDIS,
                 "BACKEND=auto and REDIS_PASSWORD is set");
  expect_backend(ENV("REDIS_SOCKET=/run/redis"), OPTION_BACKEND_REDIS,
                 "BACKEND=auto and REDIS_SOCKET is set");
  expect_backend(ENV("REDIS_SENTINELS=a", "REDIS_MASTER=m"), OPTION_BACKEND_REDIS,
                 "BACKEND=auto and REDIS_SENTINELS is set");
}

static void what_names_no_redis_server_does_not(void **state) {
  (void)state;
  expect_backend(ENV("REDIS_PREFIX=mine", "REDIS_POOL_SIZE=9", "REDIS_DB=3"),
                 OPTION_BACKEND_EMBEDDED, "BACKEND=auto and no Redis server is set");
  expect_backend(ENV("REDIS_HOST=", "REDIS_PASSWORD=", "REDIS_SOCKET=", "REDIS_SENTINELS="),
                 OPTION_BACKEND_EMBEDDED, "BACKEND=auto and no Redis server is set");
}

static void options_of_redis_are_read(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load(&loaded, NULL,
                      ENV("REDIS_SENTINELS=one:1, two ,[::1]:26380", "REDIS_MASTER=main",
                          "REDIS_USERNAME=me", "REDIS_PASSWORD=x y", "REDIS_DB=3",
                          "REDIS_PREFIX=a_b-c.d:9", "REDIS_POOL_SIZE=1"));
  assert_string_equal(loaded.error.data, "");
  const struct options *options = &loaded.options;
  assert_int_equal(options->redis_sentinels.count, 3);
  assert_true(slice_equal(options->redis_sentinels.items[1], SLICE("two")));
  assert_string_equal(options->redis_master, "main");
  assert_string_equal(options->redis_username, "me");
  assert_string_equal(options->redis_password, "x y");
  assert_int_equal(options->redis_db, 3);
  assert_string_equal(options->redis_prefix, "a_b-c.d:9");
  assert_int_equal(options->redis_pool_size, 1);
  assert_false(options->redis_tls);
}

static void options_of_redis_that_do_not_go_together_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *env[4];
    const char *error;
  } rows[] = {
      {{"REDIS_SENTINELS=a"},
       "REDIS_SENTINELS is set, but REDIS_MASTER is not; set REDIS_MASTER to the name that the "
       "sentinels know the master by"},
      {{"REDIS_MASTER=m"},
       "REDIS_MASTER is set, but REDIS_SENTINELS is not; set REDIS_SENTINELS to where the "
       "sentinels are, or remove REDIS_MASTER"},
      {{"REDIS_SOCKET=/s", "REDIS_SENTINELS=a", "REDIS_MASTER=m"},
       "REDIS_SENTINELS and REDIS_SOCKET are both set; remove the one that does not lead to Redis"},
      {{"REDIS_HOST=h", "REDIS_USERNAME=me"},
       "REDIS_USERNAME is set, but REDIS_PASSWORD is not; set REDIS_PASSWORD to the user's "
       "password, or remove REDIS_USERNAME"},
      {{"BACKEND=redis", "REDIS_HOST="},
       "REDIS_HOST is empty; set it to the host of the Redis server, or set REDIS_SOCKET or "
       "REDIS_SENTINELS"},
  };
  for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
    AUTO(option_fixture) struct option_fixture loaded;
    option_fixture_load(&loaded, NULL, rows[i].env);
    assert_int_equal(loaded.failed, ERR_INVALID);
    assert_non_null(strstr(loaded.error.data, "environment: "));
    assert_string_equal(loaded.error.data + strlen("environment: "), rows[i].error);
  }
}

static void redis_without_a_host_needs_another_way(void **state) {
  (void)state;
  expect_load(ENV("REDIS_HOST=", "REDIS_SOCKET=/run/redis"));
  expect_load(ENV("REDIS_HOST=", "REDIS_SENTINELS=a", "REDIS_MASTER=m"));
}

static void with_the_embedded_store_options_of_redis_ask_for_nothing(void **state) {
  (void)state;
  expect_backend(ENV("BACKEND=embedded", "REDIS_HOST=", "REDIS_PORT=6379", "REDIS_MASTER=m",
                     "REDIS_USERNAME=me", "REDIS_TLS=true", "REDIS_TLS_CERTIFICATE=/c.pem"),
                 OPTION_BACKEND_EMBEDDED, "BACKEND=embedded");
}

static void sentinels_are_hosts_with_or_without_a_port(void **state) {
  (void)state;
  static const char *const good[] = {"a",     "a.b-c_d:1",   "10.0.0.1:65535",
                                     "[::1]", "[fe80::1]:1", "a, b:2 ,c"};
  static const char *const bad[] = {
      ",",    "a,",     "a:",     ":1",    "a:0",  "a:65536",     "a:x",         "::1",     "a b",
      "[::1", "[::1]1", "[::1]:", "[a]:1", "[]:1", "[1.2.3.4]:1", "redis://a:1", "[::1]x:1"};
  for (size_t i = 0; i < ARRAY_LEN(good) + ARRAY_LEN(bad); i++) {
    bool is_good = i < ARRAY_LEN(good);
    AUTO(buf) struct buf setting = BUF_INIT;
    buf_printf(&setting, "REDIS_SENTINELS=%s%c", is_good ? good[i] : bad[i - ARRAY_LEN(good)], 0);
    AUTO(option_fixture) struct option_fixture loaded;
    option_fixture_load(&loaded, NULL, ENV(setting.data, "REDIS_MASTER=m"));
    assert_int_equal(loaded.failed, is_good ? 0 : ERR_INVALID);
    if (!is_good) assert_non_null(strstr(loaded.error.data, "must be comma separated `host:port`"));
  }
}

static void a_prefix_needs_no_escaping(void **state) {
  (void)state;
  static const char *const bad[] = {"",   "a b",  "a*",   "a{b", "a}b",
                                    "a?", "a[b]", "a\\b", "a/b", "\xc3\xa9"};
  AUTO(buf) struct buf longest = BUF_INIT;
  buf_append_str(&longest, "REDIS_PREFIX=");
  for (int i = 0; i < 64; i++)
    buf_append_char(&longest, 'p');
  buf_append_char(&longest, '\0');
  expect_load(ENV(longest.data));
  longest.data[longest.len - 1] = 'p';
  buf_append_char(&longest, '\0');
  AUTO(option_fixture) struct option_fixture too_long;
  option_fixture_load(&too_long, NULL, ENV(longest.data));
  assert_int_equal(too_long.failed, ERR_INVALID);
  for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
    AUTO(buf) struct buf setting = BUF_INIT;
    buf_printf(&setting, "REDIS_PREFIX=%s%c", bad[i], 0);
    AUTO(option_fixture) struct option_fixture loaded;
    option_fixture_load(&loaded, NULL, ENV(setting.data));
    assert_int_equal(loaded.failed, ERR_INVALID);
    assert_non_null(strstr(loaded.error.data, "must be 1 to 64 letters, digits and "));
  }
}

/* The same test in both kinds of build. */
static void tls_to_redis_is_there_or_refused(void **state) {
  (void)state;
  static const char *const certificates[] = {"REDIS_TLS=true", "REDIS_TLS_CA_CERTIFICATE=/ca.pem",
                                             "REDIS_TLS_CERTIFICATE=/c.pem",
                                             "REDIS_TLS_PRIVATE_KEY=/k.pem", NULL};
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load(&loaded, NULL, certificates);
  if (option_feature_lack(OPTION_FEATURE_REDIS_TLS) == NULL) {
    assert_string_equal(loaded.error.data, "");
    assert_true(loaded.options.redis_tls);
    expect_error("REDIS_TLS_CA_CERTIFICATE=/ca.pem",
                 "environment: REDIS_TLS_CA_CERTIFICATE is set, but REDIS_TLS is not; set "
                 "REDIS_TLS=true, or remove REDIS_TLS_CA_CERTIFICATE");
    expect_error("REDIS_TLS_PRIVATE_KEY=/k.pem",
                 "environment: REDIS_TLS_PRIVATE_KEY is set, but REDIS_TLS_CERTIFICATE is not; set "
                 "REDIS_TLS_CERTIFICATE to the file with the key's certificate");
  } else {
    assert_int_equal(loaded.failed, ERR_UNSUPPORTED);
    assert_string_equal(loaded.error.data,
                        "environment: REDIS_TLS asks for TLS to Redis, which this binary was built "
                        "without; remove it, or build with hiredis_ssl");
    expect_load(ENV("REDIS_TLS=false", "REDIS_TLS_CERTIFICATE="));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_backend_comes_with_its_reason),
      cmocka_unit_test(what_names_a_redis_server_chooses_redis),
      cmocka_unit_test(what_names_no_redis_server_does_not),
      cmocka_unit_test(options_of_redis_are_read),
      cmocka_unit_test(options_of_redis_that_do_not_go_together_are_refused),
      cmocka_unit_test(redis_without_a_host_needs_another_way),
      cmocka_unit_test(with_the_embedded_store_options_of_redis_ask_for_nothing),
      cmocka_unit_test(sentinels_are_hosts_with_or_without_a_port),
      cmocka_unit_test(a_prefix_needs_no_escaping),
      cmocka_unit_test(tls_to_redis_is_there_or_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
