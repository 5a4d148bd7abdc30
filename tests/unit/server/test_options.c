#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/server/option_table.h"

#include "option_fixture.h"
#include "../docs_page.h"

static const char *const nothing[] = {NULL};

/* The contract: name and default. */
static const struct {
  const char *name, *usual;
} promised[] = {
    {"LISTEN_PORT", "8080"},
    {"WORKER_THREADS", "0"},
    {"JWT_SECRET", "eventhub_secret"},
    {"REDIS_HOST", "127.0.0.1"},
    {"REDIS_PORT", "6379"},
    {"REDIS_PASSWORD", ""},
    {"REDIS_PREFIX", "eventhub"},
    {"REDIS_POOL_SIZE", "5"},
    {"MAX_CACHE_LENGTH", "1000"},
    {"MAX_CACHE_REQUEST_LIMIT", "1000"},
    {"DEFAULT_CACHE_TTL", "60"},
    {"PING_INTERVAL", "30"},
    {"HANDSHAKE_TIMEOUT", "15"},
    {"DISABLE_AUTH", "false"},
    {"PROMETHEUS_METRIC_PREFIX", "eventhub"},
    {"LOG_LEVEL", "info"},
    {"ENABLE_CACHE", "true"},
    {"ENABLE_SSE", "true"},
    {"ENABLE_KVSTORE", "true"},
    {"ENABLE_SSL", "false"},
    {"SSL_LISTEN_PORT", "8443"},
    {"SSL_CERTIFICATE", ""},
    {"SSL_PRIVATE_KEY", ""},
    {"SSL_CA_CERTIFICATE", ""},
    {"SSL_CERT_AUTO_RELOAD", "false"},
    {"SSL_CERT_CHECK_INTERVAL", "300"},
    {"DISABLE_UNSECURE_LISTENER", "false"},
    {"BACKEND", "auto"},
    {"DATA_DIR", ""},
    {"DURABILITY", "commit"},
    {"LISTEN_ADDRESS", "*"},
    {"MAX_CONNECTIONS", "0"},
    {"MAX_MESSAGE_SIZE", "1048576"},
    {"MAX_SEND_QUEUE", "8388608"},
    {"MAX_SUBSCRIPTIONS", "1024"},
    {"ALLOWED_ORIGINS", "*"},
    {"JWT_ALGORITHM", "HS256"},
    {"JWT_PUBLIC_KEY", ""},
    {"JWT_JWKS", ""},
    {"MAX_CACHE_MEMORY", "268435456"},
    {"MAX_CONNECTIONS_PER_ADDRESS", "0"},
    {"ENABLE_COMPRESSION", "true"},
    {"ENABLE_HTTP_PUBLISH", "true"},
    {"ENABLE_CONSOLE", "false"},
    {"TRUSTED_PROXIES", ""},
    {"SHUTDOWN_TIMEOUT", "10"},
    {"ENABLE_IO_URING", "true"},
    {"LOG_FORMAT", "text"},
    {"REDIS_USERNAME", ""},
    {"REDIS_DB", "0"},
    {"REDIS_SOCKET", ""},
    {"REDIS_SENTINELS", ""},
    {"REDIS_MASTER", ""},
    {"REDIS_TLS", "false"},
    {"REDIS_TLS_CA_CERTIFICATE", ""},
    {"REDIS_TLS_CERTIFICATE", ""},
    {"REDIS_TLS_PRIVATE_KEY", ""},
};

static void the_table_holds_what_is_promised_and_no_more(void **state) {
  (void)state;
  for (size_t i = 0; i < ARRAY_LEN(promised); i++) {
    const struct option_row *row = option_find(slice_str(promised[i].name));
    assert_non_null(row);
    assert_string_equal(row->default_text, promised[i].usual);
  }
  assert_int_equal(option_count(), ARRAY_LEN(promised));
}

static void every_row_is_whole(void **state) {
  (void)state;
  for (size_t i = 0; i < option_count(); i++) {
    const struct option_row *row = option_row(i);
    assert_true(strlen(row->help) > 0 && row->help[strlen(row->help) - 1] == '.');
    assert_non_null(row->group);
    assert_true((row->type == OPTION_CHOICE) == (row->choices != NULL));
    assert_true((row->is_valid == NULL) == (row->allowed == NULL));
    assert_ptr_equal(option_find(slice_str(row->name)), row);
  }
}

static void nothing_set_gives_the_defaults(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load(&loaded, NULL, nothing);
  assert_int_equal(loaded.failed, 0);
  const struct options *options = &loaded.options;
  assert_int_equal(options->listen_port, 8080);
  assert_string_equal(options->listen_address, "*");
  assert_string_equal(options->jwt_secret, "eventhub_secret");
  assert_int_equal(options->max_send_queue, 8388608);
  assert_true(options->enable_cache && options->enable_kvstore && !options->disable_auth);
  assert_true(options->enable_sse && options->enable_http_publish && options->enable_compression);
  assert_false(options->enable_console);
  assert_int_equal(options->log_level, LOG_INFO);
  assert_int_equal(options->log_format, LOG_TEXT);
  assert_int_equal(options->allowed_origins.count, 1);
  assert_int_equal(options->trusted_proxies.count, 0);
  for (size_t i = 0; i < option_count(); i++)
    if (option_row(i)->offset != offsetof(struct options, backend))
      assert_true(option_is_default(options, option_row(i)));
}

static void environment_names_are_upper_or_lower_case(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load(&loaded, NULL,
                      ENV("LISTEN_PORT=9001", "worker_threads=3", "Ping_Interval=7", "PATH=/bin",
                          "NO_SUCH_OPTION=1", "LISTEN_PORTS=1", "odd"));
  assert_int_equal(loaded.failed, 0);
  assert_int_equal(loaded.options.listen_port, 9001);
  assert_int_equal(loaded.options.worker_threads, 3);
  assert_int_equal(loaded.options.ping_interval_s, 30);
}

static void lower_case_wins_where_both_are_set(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load(&loaded, NULL, ENV("LISTEN_PORT=9001", "listen_port=9002"));
  assert_int_equal(loaded.options.listen_port, 9002);
}

static void environment_wins_over_the_file(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load_file(&loaded, "listen_port = 9001\nping_interval = 5\n",
                           ENV("LISTEN_PORT=9002"));
  assert_string_equal(loaded.error.data, "");
  assert_int_equal(loaded.options.listen_port, 9002);
  assert_int_equal(loaded.options.ping_interval_s, 5);
}

static void a_later_line_wins_over_an_earlier_one(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load_file(&loaded,
                           "jwt_secret = a\njwt_secret = b\nallowed_origins=null\n"
                           "allowed_origins = http://a, http://b",
                           nothing);
  assert_string_equal(loaded.options.jwt_secret, "b");
  assert_int_equal(loaded.options.allowed_origins.count, 2);
}

static void booleans_take_the_usual_words(void **state) {
  (void)state;
  static const char *const yes[] = {"1", "true", "TRUE", "yes", "Yes", "on", " true "};
  static const char *const no[] = {"0", "false", "FALSE", "no", "off", "OFF"};
  for (size_t i = 0; i < ARRAY_LEN(yes) + ARRAY_LEN(no); i++) {
    bool wanted = i < ARRAY_LEN(yes);
    AUTO(buf) struct buf setting = BUF_INIT;
    buf_printf(&setting, "DISABLE_AUTH=%s%c", wanted ? yes[i] : no[i - ARRAY_LEN(yes)], 0);
    AUTO(option_fixture) struct option_fixture loaded;
    option_fixture_load(&loaded, NULL, ENV(setting.data));
    assert_string_equal(loaded.error.data, "");
    assert_true(loaded.options.disable_auth == wanted);
  }
}

static void wrong_values_are_named_with_what_is_allowed(void **state) {
  (void)state;
  expect_error("LISTEN_PORT=0", "environment: LISTEN_PORT=\"0\" must be a number from 1 to 65535");
  expect_error("LISTEN_PORT=65536",
               "environment: LISTEN_PORT=\"65536\" must be a number from 1 to 65535");
  expect_error("listen_port=80a",
               "environment: LISTEN_PORT=\"80a\" must be a number from 1 to 65535");
  expect_error("LISTEN_PORT=", "environment: LISTEN_PORT=\"\" must be a number from 1 to 65535");
  expect_error("PING_INTERVAL=-1",
               "environment: PING_INTERVAL=\"-1\" must be a number from 1 to 86400");
  expect_error(
      "WORKER_THREADS=18446744073709551616",
      "environment: WORKER_THREADS=\"18446744073709551616\" must be a number from 0 to 64");
  expect_error("DISABLE_AUTH=maybe", "environment: DISABLE_AUTH=\"maybe\" must be true or false");
  expect_error("DISABLE_AUTH=", "environment: DISABLE_AUTH=\"\" must be true or false");
  expect_error("LOG_LEVEL=loud", "environment: LOG_LEVEL=\"loud\" must be one of trace, debug, "
                                 "info, warn, error, off");
  expect_error("BACKEND=lmdb",
               "environment: BACKEND=\"lmdb\" must be one of auto, embedded, redis");
  expect_error("LISTEN_ADDRESS=localhost",
               "environment: LISTEN_ADDRESS=\"localhost\" must be `*` (IPv6 and IPv4) or a numeric "
               "IPv4 or IPv6 address");
  expect_error("PROMETHEUS_METRIC_PREFIX=9x",
               "environment: PROMETHEUS_METRIC_PREFIX=\"9x\" must be letters, digits, `_` and `:`, "
               "not starting with a digit");
}

static void both_ends_of_a_range_are_in_it(void **state) {
  (void)state;
  expect_load(ENV("LISTEN_PORT=1", "WORKER_THREADS=64", "SHUTDOWN_TIMEOUT=0"));
  expect_load(ENV("LISTEN_PORT=65535", "WORKER_THREADS=0", "MAX_CACHE_LENGTH=0"));
}

static void errors_of_a_file_say_file_and_line(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load_file(&loaded, "# comment\n\nworker_threads = 65\n", nothing);
  assert_int_equal(loaded.failed, ERR_INVALID);
  assert_non_null(
      strstr(loaded.error.data, ".conf:3: WORKER_THREADS=\"65\" must be a number from 0 to 64"));
}

static void unknown_names_in_a_file_are_refused(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load_file(&loaded, "lsten_port = 1\n", nothing);
  assert_int_equal(loaded.failed, ERR_INVALID);
  assert_non_null(strstr(loaded.error.data, ".conf:1: unknown option \"lsten_port\"; "));
}

static void a_file_that_cannot_be_read_is_named(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load(&loaded, "/no/such/file.conf", nothing);
  assert_string_equal(loaded.error.data,
                      "cannot read /no/such/file.conf: No such file or directory");
}

static void errors_never_repeat_a_secret(void **state) {
  (void)state;
  AUTO(buf) struct buf setting = BUF_INIT;
  buf_append_str(&setting, "JWT_SECRET=");
  for (int i = 0; i < 5000; i++)
    buf_append_str(&setting, "hush");
  buf_append_char(&setting, '\0');
  expect_error(setting.data, "environment: JWT_SECRET must be text of at most 16384 bytes");
}

static void errors_are_one_line_whatever_the_value(void **state) {
  (void)state;
  expect_error("LISTEN_PORT=1\n\x1b[2J\x7f",
               "environment: LISTEN_PORT=\"1\\x0a\\x1b[2J\\x7f\" must be a number from 1 to 65535");
  expect_error(
      "LOG_FORMAT=0123456789012345678901234567890123456789012345678901234567890123456789",
      "environment: LOG_FORMAT=\"0123456789012345678901234567890123456789012345678901234567"
      "890123...\" must be one of text, json");
}

static void what_asks_for_a_missing_feature_is_refused(void **state) {
  (void)state;
  static const char *const settings[] = {"ENABLE_CONSOLE=true", "enable_console=on"};
  for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
    AUTO(option_fixture) struct option_fixture loaded;
    option_fixture_load(&loaded, NULL, ENV(settings[i]));
    assert_int_equal(loaded.failed, ERR_UNSUPPORTED);
    AUTO(mem) char *name = x_strndup(settings[i], strcspn(settings[i], "="));
    assert_non_null(strcasestr(loaded.error.data, name));
    assert_non_null(strstr(loaded.error.data, "which this version does not have yet"));
  }
}

static void a_refusal_says_how_to_start_without_the_feature(void **state) {
  (void)state;
  expect_error("enable_console=1",
               "environment: ENABLE_CONSOLE asks for the web console, which this "
               "version does not have yet; remove it or set it to false");
}

static void what_asks_for_nothing_is_accepted(void **state) {
  (void)state;
  expect_load(ENV("ENABLE_SSL=false", "ENABLE_SSE=false", "ENABLE_HTTP_PUBLISH=0",
                  "ENABLE_COMPRESSION=off", "ENABLE_CONSOLE=no", "SSL_CERT_AUTO_RELOAD=false",
                  "DISABLE_UNSECURE_LISTENER=false", "SSL_LISTEN_PORT=8443"));
  expect_load(ENV("SSL_CERT_CHECK_INTERVAL=60", "SSL_CERTIFICATE=", "DATA_DIR=",
                  "DURABILITY=commit", "JWT_ALGORITHM=hs256", "TRUSTED_PROXIES="));
}

static void tls_needs_a_certificate_and_a_key(void **state) {
  (void)state;
  expect_load(ENV("ENABLE_SSL=true", "SSL_CERTIFICATE=/c.pem", "SSL_PRIVATE_KEY=/k.pem",
                  "DISABLE_UNSECURE_LISTENER=true"));
  expect_error("ENABLE_SSL=true",
               "environment: ENABLE_SSL is set, but SSL_CERTIFICATE is not; set SSL_CERTIFICATE to "
               "the file with the server's certificate");
  expect_errors(
      ENV("ENABLE_SSL=true", "SSL_CERTIFICATE=/c.pem"),
      "environment: ENABLE_SSL is set, but SSL_PRIVATE_KEY is not; set SSL_PRIVATE_KEY to "
      "the file with the certificate's key, which may be the same file");
}

static void a_certificate_without_tls_is_refused_unless_tls_is_declined(void **state) {
  (void)state;
  expect_error(
      "SSL_CERTIFICATE=/c.pem",
      "environment: SSL_CERTIFICATE is set, but ENABLE_SSL is not; set ENABLE_SSL=true, or "
      "ENABLE_SSL=false to leave it unused");
  expect_load(ENV("ENABLE_SSL=false", "SSL_CERTIFICATE=/c.pem", "SSL_PRIVATE_KEY=/k.pem",
                  "SSL_CA_CERTIFICATE=/ca.pem", "SSL_LISTEN_PORT=443",
                  "SSL_CERT_AUTO_RELOAD=true"));
  expect_errors(ENV("ENABLE_SSL=false", "DISABLE_UNSECURE_LISTENER=true"),
                "environment: DISABLE_UNSECURE_LISTENER is set, but ENABLE_SSL is not; set "
                "ENABLE_SSL=true, or nobody could connect");
}

static void two_listeners_have_two_ports(void **state) {
  (void)state;
#define TLS "ENABLE_SSL=true", "SSL_CERTIFICATE=/c.pem", "SSL_PRIVATE_KEY=/k.pem"
  expect_errors(ENV(TLS, "LISTEN_PORT=8443"),
                "environment: LISTEN_PORT and SSL_LISTEN_PORT are both 8443; give them different "
                "ports, or set DISABLE_UNSECURE_LISTENER=true to serve with TLS only");
  expect_load(ENV(TLS, "LISTEN_PORT=8443", "DISABLE_UNSECURE_LISTENER=true"));
  expect_load(ENV("LISTEN_PORT=8443"));
#undef TLS
}

static void the_environment_can_take_back_what_the_file_asks_for(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load_file(&loaded, "enable_sse = true\n", ENV("ENABLE_SSE=false"));
  assert_string_equal(loaded.error.data, "");
  assert_int_equal(loaded.failed, 0);
}

static void an_empty_secret_is_refused_where_tokens_count(void **state) {
  (void)state;
  expect_error("JWT_SECRET=", "environment: JWT_SECRET is empty, but must be text of 1 byte or "
                              "more, or DISABLE_AUTH=true");
  expect_load(ENV("JWT_SECRET=", "DISABLE_AUTH=true"));
}

static void the_public_secret_is_known(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture usual, own, open;
  option_fixture_load(&usual, NULL, ENV("JWT_SECRET=eventhub_secret"));
  assert_true(options_secret_is_public(&usual.options));
  option_fixture_load(&own, NULL, ENV("JWT_SECRET=eventhub_secret2"));
  assert_false(options_secret_is_public(&own.options));
  option_fixture_load(&open, NULL, ENV("DISABLE_AUTH=1"));
  assert_false(options_secret_is_public(&open.options));
}

static void origins_match_whole_and_without_case(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load(&loaded, NULL,
                      ENV("ALLOWED_ORIGINS= https://A.example , http://b:8080,null"));
  const struct options *options = &loaded.options;
  assert_true(options_origin_is_allowed(options, SLICE("https://a.example")));
  assert_true(options_origin_is_allowed(options, SLICE("http://b:8080")));
  assert_true(options_origin_is_allowed(options, SLICE("null")));
  assert_false(options_origin_is_allowed(options, SLICE("http://b")));
  assert_false(options_origin_is_allowed(options, SLICE("http://b:80801")));
  assert_false(options_origin_is_allowed(options, SLICE("")));
}

static void a_star_in_an_origin_stands_for_what_is_below(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load(
      &loaded, NULL,
      ENV("ALLOWED_ORIGINS=https://*.A.example, *.b.example, http://*.c.example:8080"));
  assert_int_equal(loaded.failed, 0);
  static const struct {
    const char *origin;
    bool is_allowed;
  } origins[] = {
      {"https://app.a.example", true},
      {"https://x.y.a.example", true},
      {"HTTPS://APP.a.EXAMPLE", true},
      {"https://a.example", false},
      {"https://.a.example", false},
      {"http://app.a.example", false},
      {"https://app.a.example:8443", false},
      {"https://appa.example", false},
      {"https://app.a.example.evil", false},
      {"https://evil/.a.example", false},
      {"https://me@.a.example", false},
      {"https://evil:1.a.example", false},
      {"http://app.b.example", true},
      {"https://app.b.example", true},
      {"app.b.example", false},
      {"https://b.example", false},
      {"http://app.c.example:8080", true},
      {"http://app.c.example", false},
      {"https://app.c.example:8080", false},
      {"null", false},
      {"", false},
  };
  for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
    bool is_allowed = options_origin_is_allowed(&loaded.options, slice_str(origins[i].origin));
    if (is_allowed != origins[i].is_allowed) fail_msg("%s: %d", origins[i].origin, is_allowed);
  }
}

static void a_star_allows_every_origin(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load(&loaded, NULL, nothing);
  assert_true(options_origin_is_allowed(&loaded.options, SLICE("https://any.example")));
}

static void origins_that_no_browser_sends_are_refused(void **state) {
  (void)state;
  static const char *const settings[] = {
      "ALLOWED_ORIGINS=",           "ALLOWED_ORIGINS=example.com",
      "ALLOWED_ORIGINS=https://a/", "ALLOWED_ORIGINS=https://a,",
      "ALLOWED_ORIGINS=://a",       "ALLOWED_ORIGINS=http://a http://b",
      "ALLOWED_ORIGINS=*.",         "ALLOWED_ORIGINS=https://a.*.example",
      "ALLOWED_ORIGINS=*example",   "ALLOWED_ORIGINS=://*.example",
      "ALLOWED_ORIGINS=*.*.a",      "ALLOWED_ORIGINS=https://*",
  };
  for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
    AUTO(option_fixture) struct option_fixture loaded;
    option_fixture_load(&loaded, NULL, ENV(settings[i]));
    assert_int_equal(loaded.failed, ERR_INVALID);
  }
}

static void addresses_are_numeric(void **state) {
  (void)state;
  expect_load(ENV("LISTEN_ADDRESS=*"));
  expect_load(ENV("LISTEN_ADDRESS=127.0.0.1"));
  expect_load(ENV("LISTEN_ADDRESS=::1"));
}

static void a_failed_load_leaves_the_options_alone(void **state) {
  (void)state;
  AUTO(buf) struct buf error = BUF_INIT;
  struct options options = {.listen_port = 77};
  assert_int_equal(options_load(&options, NULL, (char *const *)ENV("LISTEN_PORT=x"), &error),
                   ERR_INVALID);
  assert_int_equal(options.listen_port, 77);
  assert_null(options.jwt_secret);
}

static void old_log_levels_still_work(void **state) {
  (void)state;
  AUTO(option_fixture) struct option_fixture loaded;
  option_fixture_load(&loaded, NULL, ENV("LOG_LEVEL=warning", "LOG_FORMAT=JSON"));
  assert_int_equal(loaded.options.log_level, LOG_WARN);
  assert_int_equal(loaded.options.log_format, LOG_JSON);
}

static void help_names_every_option(void **state) {
  (void)state;
  AUTO(buf) struct buf help = BUF_INIT;
  options_print_help(&help);
  buf_append_char(&help, '\0');
  for (size_t i = 0; i < option_count(); i++) {
    AUTO(buf) struct buf heading = BUF_INIT;
    const char *usual = option_row(i)->default_text;
    buf_printf(&heading, "\n  %s (%s)\n%c", option_row(i)->name, usual[0] ? usual : "none", 0);
    assert_non_null(strstr(help.data, heading.data));
  }
}

static void help_fits_a_terminal(void **state) {
  (void)state;
  AUTO(buf) struct buf help = BUF_INIT;
  options_print_help(&help);
  struct slice rest = buf_slice(&help), line;
  while (slice_next_token(&rest, '\n', &line))
    assert_true(line.len <= 100);
}

/* After a change of the table: put the output of eventhub --help-markdown there. */
static void the_documentation_agrees_with_the_table(void **state) {
  (void)state;
  AUTO(buf) struct buf table = BUF_INIT;
  options_print_markdown(&table);
  assert_page_holds("docs/configuration.md", &table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_table_holds_what_is_promised_and_no_more),
      cmocka_unit_test(every_row_is_whole),
      cmocka_unit_test(nothing_set_gives_the_defaults),
      cmocka_unit_test(environment_names_are_upper_or_lower_case),
      cmocka_unit_test(lower_case_wins_where_both_are_set),
      cmocka_unit_test(environment_wins_over_the_file),
      cmocka_unit_test(a_later_line_wins_over_an_earlier_one),
      cmocka_unit_test(booleans_take_the_usual_words),
      cmocka_unit_test(wrong_values_are_named_with_what_is_allowed),
      cmocka_unit_test(both_ends_of_a_range_are_in_it),
      cmocka_unit_test(errors_of_a_file_say_file_and_line),
      cmocka_unit_test(unknown_names_in_a_file_are_refused),
      cmocka_unit_test(a_file_that_cannot_be_read_is_named),
      cmocka_unit_test(errors_never_repeat_a_secret),
      cmocka_unit_test(errors_are_one_line_whatever_the_value),
      cmocka_unit_test(what_asks_for_a_missing_feature_is_refused),
      cmocka_unit_test(a_refusal_says_how_to_start_without_the_feature),
      cmocka_unit_test(what_asks_for_nothing_is_accepted),
      cmocka_unit_test(tls_needs_a_certificate_and_a_key),
      cmocka_unit_test(a_certificate_without_tls_is_refused_unless_tls_is_declined),
      cmocka_unit_test(two_listeners_have_two_ports),
      cmocka_unit_test(the_environment_can_take_back_what_the_file_asks_for),
      cmocka_unit_test(an_empty_secret_is_refused_where_tokens_count),
      cmocka_unit_test(the_public_secret_is_known),
      cmocka_unit_test(origins_match_whole_and_without_case),
      cmocka_unit_test(a_star_in_an_origin_stands_for_what_is_below),
      cmocka_unit_test(a_star_allows_every_origin),
      cmocka_unit_test(origins_that_no_browser_sends_are_refused),
      cmocka_unit_test(addresses_are_numeric),
      cmocka_unit_test(a_failed_load_leaves_the_options_alone),
      cmocka_unit_test(old_log_levels_still_work),
      cmocka_unit_test(help_names_every_option),
      cmocka_unit_test(help_fits_a_terminal),
      cmocka_unit_test(the_documentation_agrees_with_the_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
