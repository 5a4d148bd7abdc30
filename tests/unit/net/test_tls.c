#include "eventhub/net/tls.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/mem.h"
#include "tls_fixture.h"

static struct tls_files_made files;
static struct tls_config *config;

static int set_up(void **state) {
  (void)state;
  AUTO(buf) struct buf why = BUF_INIT;
  files_make(&files, 30, NULL);
  struct tls_files named = files_named(files.certificate, files.key, "");
  return tls_config_load(&named, &config, &why);
}

static int tear_down(void **state) {
  (void)state;
  tls_config_unref(config);
  files_remove(&files);
  return 0;
}

static struct tls_pair connected(void) {
  struct tls_pair pair = pair_open(config, NULL);
  pair_shake_hands(&pair);
  return pair;
}

static ssize_t send_text(struct tls_pair *pair, char *text) {
  struct iovec part = {text, strlen(text)};
  return stream_sendv(&pair->stream, &part, 1);
}

/* ---- bytes ---- */

static void bytes_go_both_ways(void **state) {
  (void)state;
  struct tls_pair pair = connected();
  char bytes[16];
  client_write(&pair, "hello");
  assert_int_equal(stream_recv(&pair.stream, bytes, sizeof bytes), 5);
  assert_memory_equal(bytes, "hello", 5);
  assert_int_equal(stream_recv(&pair.stream, bytes, sizeof bytes), ERR_AGAIN);
  char text[] = "world";
  assert_int_equal(send_text(&pair, text), 5);
  assert_int_equal(stream_flush(&pair.stream), 0);
  assert_int_equal(client_read(&pair, bytes, sizeof bytes), 5);
  assert_memory_equal(bytes, "world", 5);
  pair_close(&pair);
}

static void the_handshake_is_not_done_before_it_is(void **state) {
  (void)state;
  struct tls_pair pair = pair_open(config, NULL);
  char byte;
  assert_int_equal(stream_recv(&pair.stream, &byte, 1), ERR_AGAIN);
  assert_false(stream_is_established(&pair.stream));
  SSL_do_handshake(pair.client);
  assert_int_equal(stream_recv(&pair.stream, &byte, 1), ERR_AGAIN);
  assert_false(stream_is_established(&pair.stream)); /* the client has not finished */
  pair_shake_hands(&pair);
  pair_close(&pair);
}

static void parts_leave_as_one_record(void **state) {
  (void)state;
  struct tls_pair pair = connected();
  char one[] = "one,", two[] = "two,", three[] = "three", bytes[32];
  struct iovec parts[] = {{one, 4}, {two, 4}, {three, 5}};
  assert_int_equal(stream_sendv(&pair.stream, parts, 3), 13);
  /* A read answers with what one record holds. */
  assert_int_equal(SSL_read(pair.client, bytes, sizeof bytes), 13);
  assert_memory_equal(bytes, "one,two,three", 13);
  pair_close(&pair);
}

static void a_record_holds_so_much_and_no_more(void **state) {
  (void)state;
  struct tls_pair pair = connected();
  static char many[TLS_RECORD_MAX + 1];
  struct iovec parts[] = {{many, 10}, {many, sizeof many}};
  assert_int_equal(stream_sendv(&pair.stream, parts, 2), TLS_RECORD_MAX);
  assert_int_equal(stream_sendv(&pair.stream, parts + 1, 1), TLS_RECORD_MAX);
  pair_close(&pair);
}

/* Edge-triggered: a short answer must mean that the socket is empty. */
static void several_records_come_in_one_call(void **state) {
  (void)state;
  struct tls_pair pair = connected();
  char bytes[16];
  for (int i = 0; i < 4; i++)
    client_write(&pair, "abc");
  assert_int_equal(stream_recv(&pair.stream, bytes, 5), 5);
  assert_true(stream_has_bytes(&pair.stream));
  assert_int_equal(stream_recv(&pair.stream, bytes + 5, 11), 7);
  assert_memory_equal(bytes, "abcabcabcabc", 12);
  assert_false(stream_has_bytes(&pair.stream));
  pair_close(&pair);
}

static void much_comes_as_it_was_sent(void **state) {
  (void)state;
  struct tls_pair pair = connected();
  enum { LEN = 300 * 1000 };
  AUTO(mem) char *sent = x_malloc(LEN);
  AUTO(mem) char *seen = x_malloc(LEN);
  for (int i = 0; i < LEN; i++)
    sent[i] = (char)(i * 7 + i / 251);
  size_t at = 0, got = 0;
  while (got < LEN) {
    struct iovec part = {sent + at, LEN - at};
    ssize_t count = at < LEN ? stream_sendv(&pair.stream, &part, 1) : stream_flush(&pair.stream);
    if (count > 0)
      at += (size_t)count;
    else
      assert_true(count == 0 || count == ERR_AGAIN);
    got += client_read(&pair, seen + got, 5000);
  }
  assert_memory_equal(sent, seen, LEN);
  pair_close(&pair);
}

/* ---- a socket that is full ---- */

static size_t fill(struct tls_pair *pair) {
  static char many[TLS_RECORD_MAX];
  struct iovec part = {many, sizeof many};
  size_t sent = 0;
  ssize_t count;
  while ((count = stream_sendv(&pair->stream, &part, 1)) > 0)
    sent += (size_t)count;
  assert_int_equal(count, ERR_AGAIN);
  return sent;
}

/* What was taken is a record already, and cannot be taken back: something else may follow. */
static void what_was_taken_arrives_and_something_else_may_follow(void **state) {
  (void)state;
  struct tls_pair pair = connected();
  static char seen[1 << 20];
  char text[] = "the end";
  size_t sent = fill(&pair), got = 0;
  assert_int_equal(stream_flush(&pair.stream), ERR_AGAIN);
  assert_int_equal(send_text(&pair, text), ERR_AGAIN);
  while (got < sent) {
    got += client_read(&pair, seen + got, sent - got);
    stream_flush(&pair.stream);
  }
  assert_int_equal(stream_flush(&pair.stream), 0);
  assert_int_equal(send_text(&pair, text), 7);
  assert_int_equal(client_read(&pair, seen, 7), 7);
  assert_memory_equal(seen, "the end", 7);
  pair_close(&pair);
}

static void the_end_follows_what_is_held(void **state) {
  (void)state;
  struct tls_pair pair = connected();
  static char seen[1 << 20];
  size_t sent = fill(&pair), got = 0;
  stream_shutdown(&pair.stream);
  for (int i = 0; i < 1000 && !(SSL_get_shutdown(pair.client) & SSL_RECEIVED_SHUTDOWN); i++) {
    got += client_read(&pair, seen, sizeof seen);
    stream_flush(&pair.stream);
  }
  assert_int_equal(got, sent);
  assert_int_equal(read(pair.fd, seen, 1), 0);
  pair_close(&pair);
}

/* ---- the end ---- */

static void a_goodbye_is_closed_and_answered(void **state) {
  (void)state;
  struct tls_pair pair = connected();
  char byte;
  client_write(&pair, "x");
  assert_int_equal(stream_recv(&pair.stream, &byte, 1), 1);
  assert_false(stream_has_ended(&pair.stream));
  client_write(&pair, "x");
  assert_int_equal(SSL_shutdown(pair.client), 0);
  char more[8];
  assert_int_equal(stream_recv(&pair.stream, more, sizeof more), 1);
  assert_true(stream_has_ended(&pair.stream)); /* the socket would not tell */
  assert_int_equal(stream_recv(&pair.stream, &byte, 1), ERR_CLOSED);
  assert_null(stream_failure(&pair.stream));
  char text[] = "still";
  assert_int_equal(send_text(&pair, text), 5); /* one direction has ended */
  stream_close(&pair.stream);
  char bytes[8];
  assert_int_equal(client_read(&pair, bytes, sizeof bytes), 5);
  assert_true(SSL_get_shutdown(pair.client) & SSL_RECEIVED_SHUTDOWN);
  pair_close(&pair);
}

static void an_end_without_a_goodbye_is_no_offence(void **state) {
  (void)state;
  struct tls_pair pair = connected();
  char byte;
  close(pair.fd);
  pair.fd = -1;
  assert_int_equal(stream_recv(&pair.stream, &byte, 1), ERR_CLOSED);
  assert_null(stream_failure(&pair.stream));
  char text[] = "gone";
  assert_int_equal(send_text(&pair, text), ERR_CLOSED);
  assert_int_equal(stream_flush(&pair.stream), ERR_CLOSED);
  pair_close(&pair);
}

static void we_say_goodbye(void **state) {
  (void)state;
  struct tls_pair pair = connected();
  char bytes[8];
  stream_shutdown(&pair.stream);
  assert_int_equal(client_read(&pair, bytes, sizeof bytes), 0);
  assert_true(SSL_get_shutdown(pair.client) & SSL_RECEIVED_SHUTDOWN);
  client_write(&pair, "late");
  assert_int_equal(stream_recv(&pair.stream, bytes, sizeof bytes), 4);
  pair_close(&pair);
}

/* ---- what is no TLS ---- */

static void plain_http_is_told_where_it_is(void **state) {
  (void)state;
  struct tls_pair pair = pair_open(config, NULL);
  char answer[512] = "";
  static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  assert_int_equal(write(pair.fd, request, sizeof request - 1), sizeof request - 1);
  assert_int_equal(stream_recv(&pair.stream, answer, 1), ERR_CLOSED);
  assert_string_equal(stream_failure(&pair.stream), "http request");
  assert_true(read(pair.fd, answer, sizeof answer - 1) > 0);
  assert_non_null(strstr(answer, "HTTP/1.1 400 "));
  assert_non_null(strstr(answer, "use https:// or wss://"));
  pair_close(&pair);
}

static void garbage_is_closed(void **state) {
  (void)state;
  for (int seed = 0; seed < 200; seed++) {
    struct tls_pair pair = pair_open(config, NULL);
    unsigned char bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++)
      bytes[i] = (unsigned char)((unsigned)seed * 31 + i * i * 17);
    if (seed % 2 == 0) memcpy(bytes, "\x16\x03\x01\x00\x10", 5);
    assert_int_equal(write(pair.fd, bytes, sizeof bytes), sizeof bytes);
    shutdown(pair.fd, SHUT_WR); /* some of it is a beginning that would wait for more */
    char byte;
    assert_int_equal(stream_recv(&pair.stream, &byte, 1), ERR_CLOSED);
    assert_false(stream_is_established(&pair.stream));
    assert_int_equal(stream_recv(&pair.stream, &byte, 1), ERR_CLOSED);
    pair_close(&pair);
  }
}

static void a_damaged_record_is_closed(void **state) {
  (void)state;
  struct tls_pair pair = connected();
  static const char record[] = "\x17\x03\x03\x00\x14"
                               "01234567890123456789";
  assert_int_equal(write(pair.fd, record, sizeof record - 1), sizeof record - 1);
  char byte;
  assert_int_equal(stream_recv(&pair.stream, &byte, 1), ERR_CLOSED);
  assert_non_null(stream_failure(&pair.stream));
  pair_close(&pair);
}

static void what_stands_before_the_handshake_can_be_taken_away(void **state) {
  (void)state;
  struct tls_pair pair = pair_open(config, NULL);
  char bytes[400];
  memset(bytes, 'p', sizeof bytes);
  assert_int_equal(stream_peek(&pair.stream, bytes, sizeof bytes), ERR_AGAIN);
  assert_int_equal(write(pair.fd, bytes, 300), 300);
  SSL_do_handshake(pair.client);
  assert_int_equal(stream_peek(&pair.stream, bytes, sizeof bytes), sizeof bytes);
  stream_skip(&pair.stream, 300);
  pair_shake_hands(&pair);
  pair_close(&pair);
}

/* ---- versions, tickets ---- */

static void old_versions_are_refused(void **state) {
  (void)state;
  struct tls_pair pair = pair_open(config, NULL);
  SSL_set_security_level(pair.client, 0);
  SSL_set_min_proto_version(pair.client, TLS1_VERSION);
  SSL_set_max_proto_version(pair.client, TLS1_1_VERSION);
  char byte;
  SSL_do_handshake(pair.client);
  assert_int_equal(stream_recv(&pair.stream, &byte, 1), ERR_CLOSED);
  assert_string_equal(stream_failure(&pair.stream), "unsupported protocol");
  pair_close(&pair);
}

static uint64_t later_ms; /* than it is */

uint64_t __real_clock_monotonic_ms(void);
uint64_t __wrap_clock_monotonic_ms(void);
uint64_t __wrap_clock_monotonic_ms(void) {
  return __real_clock_monotonic_ms() + later_ms;
}

/* The ticket that the first connection gets is shown `hours` later. */
static void resume(int version, uint64_t hours, bool expected) {
  struct tls_pair first = pair_open(config, NULL);
  SSL_set_max_proto_version(first.client, version);
  pair_shake_hands(&first);
  char text[] = "x", byte;
  send_text(&first, text);
  assert_int_equal(client_read(&first, &byte, 1), 1); /* and with it the ticket */
  SSL_SESSION *session = SSL_get1_session(first.client);
  SSL_shutdown(first.client); /* without a goodbye OpenSSL's client will not resume */
  pair_close(&first);
  later_ms += hours * 3600 * 1000;
  struct tls_pair second = pair_open(config, session);
  SSL_set_max_proto_version(second.client, version);
  pair_shake_hands(&second);
  assert_int_equal(SSL_session_reused(second.client), expected);
  SSL_SESSION_free(session);
  pair_close(&second);
}

static void sessions_are_resumed(void **state) {
  (void)state;
  resume(TLS1_2_VERSION, 0, true);
  resume(TLS1_3_VERSION, 0, true);
}

static void keys_of_tickets_open_for_a_while_after_they_have_sealed(void **state) {
  (void)state;
  static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
  for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
    resume(versions[i], 13, true);
    resume(versions[i], 25, false);
    resume(versions[i], 0, true); /* with a new key */
  }
}

static void a_client_cannot_renegotiate(void **state) {
  (void)state;
  struct tls_pair pair = pair_open(config, NULL);
  SSL_set_max_proto_version(pair.client, TLS1_2_VERSION);
  pair_shake_hands(&pair);
  char byte;
  SSL_renegotiate(pair.client);
  SSL_do_handshake(pair.client);
  ssize_t got = stream_recv(&pair.stream, &byte, 1);
  assert_true(got == ERR_AGAIN || got == ERR_CLOSED);
  assert_int_not_equal(SSL_do_handshake(pair.client), 1);
  pair_close(&pair);
}

/* A flood of key updates asks for answers that are never read. */
static void a_peer_that_makes_us_hold_much_is_cut_off(void **state) {
  (void)state;
  struct tls_pair pair = connected();
  fill(&pair);
  ssize_t got = ERR_AGAIN;
  for (int i = 0; i < 100000 && got == ERR_AGAIN; i++) {
    char byte;
    SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED);
    SSL_do_handshake(pair.client);
    got = stream_recv(&pair.stream, &byte, 1);
  }
  assert_int_equal(got, ERR_CLOSED);
  pair_close(&pair);
}

/* ---- configs ---- */

static void expect_refused(const char *certificate, const char *key, const char *ca, int expected,
                           const char *phrase) {
  AUTO(buf) struct buf why = BUF_INIT;
  struct tls_config *loaded = NULL;
  struct tls_files named = files_named(certificate, key, ca);
  assert_int_equal(tls_config_load(&named, &loaded, &why), expected);
  buf_append_char(&why, '\0');
  if (strstr(why.data, phrase) == NULL) fail_msg("%s is not in: %s", phrase, why.data);
  assert_null(loaded);
}

static void files_that_do_not_do_are_refused_with_the_reason(void **state) {
  (void)state;
  struct tls_files_made other, locked;
  files_make(&other, 1, NULL);
  files_make(&locked, 1, "secret");
  char text[160];
  snprintf(text, sizeof text, "%s/text", other.directory);
  files_write(text, "this is no certificate\n");
  expect_refused("/nowhere", files.key, "", ERR_SYSTEM,
                 "CERTIFICATE: /nowhere cannot be read: No such");
  expect_refused("/tmp", files.key, "", ERR_SYSTEM,
                 "CERTIFICATE: /tmp cannot be read: Is a directory");
  expect_refused(text, files.key, "", ERR_INVALID, "holds no certificate in PEM");
  expect_refused(files.key, files.key, "", ERR_INVALID, "holds no certificate in PEM");
  expect_refused(files.certificate, "/nowhere", "", ERR_SYSTEM, "KEY: /nowhere cannot be read");
  expect_refused(files.certificate, text, "", ERR_INVALID, "holds no private key in PEM");
  expect_refused(locked.certificate, locked.key, "", ERR_INVALID, "with a passphrase cannot");
  expect_refused(files.certificate, other.key, "", ERR_INVALID,
                 "is not the key of the certificate");
  expect_refused(files.certificate, files.key, "/nowhere", ERR_SYSTEM,
                 "CA: /nowhere cannot be read");
  expect_refused(files.certificate, files.key, text, ERR_INVALID, "holds no CA certificate");
  unlink(text);
  files_remove(&other);
  files_remove(&locked);
}

static void the_end_of_the_certificate_is_known(void **state) {
  (void)state;
  uint64_t expected_s = clock_wall_ms() / 1000 + (uint64_t)30 * 86400;
  uint64_t expires_s = tls_config_expires_s(config);
  assert_true(expires_s <= expected_s && expires_s + 600 > expected_s);
}

static void sessions_go_on_when_the_config_is_exchanged(void **state) {
  (void)state;
  AUTO(buf) struct buf why = BUF_INIT;
  struct tls_files named = files_named(files.certificate, files.key, "");
  struct tls_config *first = NULL, *second = NULL;
  assert_int_equal(tls_config_load(&named, &first, &why), 0);
  assert_int_equal(tls_config_load(&named, &second, &why), 0);
  struct tls_slot slot;
  tls_slot_init(&slot, first);
  struct tls_config *got = tls_slot_get(&slot);
  struct tls_pair pair = pair_open(got, NULL);
  tls_config_unref(got);
  tls_slot_exchange(&slot, second);
  pair_shake_hands(&pair);
  pair_close(&pair);
  tls_slot_done(&slot);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bytes_go_both_ways),
      cmocka_unit_test(the_handshake_is_not_done_before_it_is),
      cmocka_unit_test(parts_leave_as_one_record),
      cmocka_unit_test(a_record_holds_so_much_and_no_more),
      cmocka_unit_test(several_records_come_in_one_call),
      cmocka_unit_test(much_comes_as_it_was_sent),
      cmocka_unit_test(what_was_taken_arrives_and_something_else_may_follow),
      cmocka_unit_test(the_end_follows_what_is_held),
      cmocka_unit_test(a_goodbye_is_closed_and_answered),
      cmocka_unit_test(an_end_without_a_goodbye_is_no_offence),
      cmocka_unit_test(we_say_goodbye),
      cmocka_unit_test(plain_http_is_told_where_it_is),
      cmocka_unit_test(garbage_is_closed),
      cmocka_unit_test(a_damaged_record_is_closed),
      cmocka_unit_test(what_stands_before_the_handshake_can_be_taken_away),
      cmocka_unit_test(old_versions_are_refused),
      cmocka_unit_test(sessions_are_resumed),
      cmocka_unit_test(keys_of_tickets_open_for_a_while_after_they_have_sealed),
      cmocka_unit_test(a_client_cannot_renegotiate),
      cmocka_unit_test(a_peer_that_makes_us_hold_much_is_cut_off),
      cmocka_unit_test(files_that_do_not_do_are_refused_with_the_reason),
      cmocka_unit_test(the_end_of_the_certificate_is_known),
      cmocka_unit_test(sessions_go_on_when_the_config_is_exchanged),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
