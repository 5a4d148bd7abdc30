#include "eventhub/topic/token.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <jwt.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/topic/rate_limit.h"

enum { NOW_S = 1700000000 };

#define SECRET "eventhub_secret"

static struct jws_keys *keys;

/* A JWT of these claims, which are the text of a JSON object. To be freed. */
static char *sign(const char *claims, jwt_alg_t alg, const char *secret) {
  jwt_t *jwt = NULL;
  assert_int_equal(jwt_new(&jwt), 0);
  assert_int_equal(jwt_add_grants_json(jwt, claims), 0);
  const unsigned char *key = alg == JWT_ALG_NONE ? NULL : (const unsigned char *)secret;
  assert_int_equal(jwt_set_alg(jwt, alg, key, key ? (int)strlen(secret) : 0), 0);
  char *text = jwt_encode_str(jwt);
  assert_non_null(text);
  jwt_free(jwt);
  return text;
}

static int verify(const char *text, struct token **ret_token) {
  return token_verify(keys, slice_str(text), NOW_S, ret_token);
}

/* Signs as it should be and verifies. */
static int verify_claims(const char *claims, struct token **ret_token) {
  AUTO(mem) char *text = sign(claims, JWT_ALG_HS256, SECRET);
  return verify(text, ret_token);
}

static void assert_refused(const char *claims, int err) {
  struct token *token = NULL;
  int answer = verify_claims(claims, &token);
  if (answer != err) fail_msg("%s: %s, not %s", claims, err_text(answer), err_text(err));
  assert_null(token);
}

static void assert_text(struct slice text, const char *expected) {
  assert_int_equal(text.len, strlen(expected));
  assert_memory_equal(text.ptr, expected, text.len);
}

static void a_valid_token_becomes_its_claims(void **state) {
  (void)state;
  AUTO(token) struct token *token = NULL;
  assert_int_equal(verify_claims("{\"sub\":\"me\",\"exp\":1700000001,\"nbf\":1700000000,"
                                 "\"read\":[\"a/#\",\"b\"],\"write\":[\"c/+\"],"
                                 "\"rlimit\":[{\"topic\":\"c/+\",\"interval\":10,\"max\":5}]}",
                                 &token),
                   0);
  assert_text(token->sub, "me");
  assert_int_equal(token->exp_s, 1700000001);
  assert_int_equal(token->nbf_s, 1700000000);
  assert_int_equal(token->read.count, 2);
  assert_text(token->read.items[0], "a/#");
  assert_text(token->read.items[1], "b");
  assert_int_equal(token->write.count, 1);
  assert_text(token->write.items[0], "c/+");
  assert_int_equal(token->limit_count, 1);
  assert_text(token->limits[0].topic, "c/+");
  assert_int_equal(token->limits[0].interval_s, 10);
  assert_int_equal(token->limits[0].max, 5);
}

static void one_list_is_enough(void **state) {
  (void)state;
  AUTO(token) struct token *reader = NULL;
  AUTO(token) struct token *writer = NULL;
  assert_int_equal(verify_claims("{\"read\":[\"a\"]}", &reader), 0);
  assert_text(reader->sub, "");
  assert_int_equal(reader->exp_s, 0);
  assert_int_equal(reader->write.count, 0);
  assert_int_equal(verify_claims("{\"write\":[\"a\"],\"read\":[]}", &writer), 0);
  assert_int_equal(writer->read.count, 0);
}

static void a_token_that_allows_nothing_is_denied(void **state) {
  (void)state;
  assert_refused("{}", ERR_DENIED);
  assert_refused("{\"sub\":\"me\"}", ERR_DENIED);
  assert_refused("{\"read\":[],\"write\":[]}", ERR_DENIED);
  assert_refused("{\"read\":[\"a/\",\"\",\"#/a\",7,null,[\"a\"],{\"topic\":\"a\"}]}", ERR_DENIED);
}

static void entries_that_are_no_filters_are_skipped(void **state) {
  (void)state;
  AUTO(token) struct token *token = NULL;
  assert_int_equal(
      verify_claims("{\"read\":[\"a b\",1,\"a\",{\"topic\":\"x\"},\"/b\",\"b\"]}", &token), 0);
  assert_int_equal(token->read.count, 2);
  assert_text(token->read.items[0], "a");
  assert_text(token->read.items[1], "b");
}

static void an_expired_token_is_refused_from_its_second_on(void **state) {
  (void)state;
  AUTO(token) struct token *token = NULL;
  assert_refused("{\"read\":[\"a\"],\"exp\":1699999999}", ERR_EXPIRED);
  assert_refused("{\"read\":[\"a\"],\"exp\":1700000000}", ERR_EXPIRED);
  assert_refused("{\"read\":[\"a\"],\"exp\":0}", ERR_EXPIRED);
  assert_refused("{\"read\":[\"a\"],\"exp\":-5}", ERR_EXPIRED);
  assert_int_equal(verify_claims("{\"read\":[\"a\"],\"exp\":9223372036854775807}", &token), 0);
  assert_true(token->exp_s == INT64_MAX);
}

static void a_token_is_refused_before_its_time(void **state) {
  (void)state;
  AUTO(token) struct token *token = NULL;
  assert_refused("{\"read\":[\"a\"],\"nbf\":1700000001}", ERR_DENIED);
  assert_int_equal(verify_claims("{\"read\":[\"a\"],\"nbf\":-1}", &token), 0);
}

static void claims_of_odd_types_are_refused(void **state) {
  (void)state;
  static const char *const odd[] = {
      "{\"read\":[\"a\"],\"exp\":\"1800000000\"}",
      "{\"read\":[\"a\"],\"exp\":1800000000.5}",
      "{\"read\":[\"a\"],\"exp\":null}",
      "{\"read\":[\"a\"],\"exp\":true}",
      "{\"read\":[\"a\"],\"exp\":[1800000000]}",
      "{\"read\":[\"a\"],\"nbf\":\"0\"}",
      "{\"read\":[\"a\"],\"nbf\":1e3}",
      "{\"read\":[\"a\"],\"sub\":7}",
      "{\"read\":[\"a\"],\"sub\":null}",
      "{\"read\":[\"a\"],\"sub\":{}}",
      "{\"read\":\"a\"}",
      "{\"read\":{\"0\":\"a\"}}",
      "{\"read\":[\"a\"],\"write\":null}",
      "{\"write\":[\"a\"],\"read\":7}",
  };
  for (size_t i = 0; i < ARRAY_LEN(odd); i++)
    assert_refused(odd[i], ERR_INVALID);
}

static void limits_that_cannot_be_read_are_skipped(void **state) {
  (void)state;
  AUTO(token) struct token *token = NULL;
  AUTO(token) struct token *none = NULL;
  assert_int_equal(verify_claims("{\"read\":[\"a\"],\"sub\":\"s\",\"rlimit\":[7,null,\"a\",[],{},"
                                 "{\"topic\":\"a\",\"interval\":0,\"max\":1},"
                                 "{\"topic\":\"a\",\"interval\":4294967296,\"max\":1},"
                                 "{\"topic\":\"a\",\"interval\":\"1\",\"max\":1},"
                                 "{\"topic\":\"a\",\"interval\":1,\"max\":-1},"
                                 "{\"topic\":\"a/\",\"interval\":1,\"max\":1},"
                                 "{\"topic\":7,\"interval\":1,\"max\":1},"
                                 "{\"topic\":\"a\",\"max\":1},{\"topic\":\"a\",\"interval\":1},"
                                 "{\"topic\":\"ok\",\"interval\":4294967295,\"max\":0}]}",
                                 &token),
                   0);
  assert_int_equal(token->limit_count, 1);
  assert_text(token->limits[0].topic, "ok");
  assert_int_equal(verify_claims("{\"read\":[\"a\"],\"rlimit\":{\"topic\":\"a\"}}", &none), 0);
  assert_int_equal(none->limit_count, 0);
}

static void the_limit_of_a_topic_is_found_in_the_token(void **state) {
  (void)state;
  AUTO(token) struct token *token = NULL;
  assert_int_equal(verify_claims("{\"write\":[\"#\"],\"sub\":\"s\",\"rlimit\":["
                                 "{\"topic\":\"#\",\"interval\":1,\"max\":1},"
                                 "{\"topic\":\"a/#\",\"interval\":1,\"max\":2},"
                                 "{\"topic\":\"a/b\",\"interval\":1,\"max\":3}]}",
                                 &token),
                   0);
  assert_int_equal(rate_limit_find(token, SLICE("a/b"))->max, 3);
  assert_int_equal(rate_limit_find(token, SLICE("a/c"))->max, 2);
  assert_int_equal(rate_limit_find(token, SLICE("b"))->max, 1);
}

static void only_the_configured_algorithm_is_accepted(void **state) {
  (void)state;
  static const jwt_alg_t others[] = {JWT_ALG_NONE, JWT_ALG_HS384, JWT_ALG_HS512};
  for (size_t i = 0; i < ARRAY_LEN(others); i++) {
    AUTO(mem) char *text = sign("{\"read\":[\"a\"]}", others[i], SECRET);
    struct token *token = NULL;
    assert_int_equal(verify(text, &token), ERR_INVALID);
    assert_null(token);
  }
}

static void a_wrong_signature_is_refused(void **state) {
  (void)state;
  AUTO(mem) char *foreign = sign("{\"read\":[\"a\"]}", JWT_ALG_HS256, "another secret");
  AUTO(mem) char *forged = sign("{\"read\":[\"a\"]}", JWT_ALG_HS256, SECRET);
  struct token *token = NULL;
  assert_int_equal(verify(foreign, &token), ERR_INVALID);
  char *payload = strchr(forged, '.') + 1;
  payload[3] = payload[3] == 'x' ? 'y' : 'x';
  assert_int_equal(verify(forged, &token), ERR_INVALID);
  assert_null(token);
}

static void every_cut_and_every_addition_is_refused(void **state) {
  (void)state;
  AUTO(mem) char *text = sign("{\"read\":[\"a\"]}", JWT_ALG_HS256, SECRET);
  size_t len = strlen(text);
  struct token *token = NULL;
  for (size_t cut = 0; cut < len; cut++)
    assert_int_equal(token_verify(keys, slice_of(text, cut), NOW_S, &token), ERR_INVALID);
  assert_int_equal(token_verify(keys, slice_of(text, len + 1), NOW_S, &token), ERR_INVALID);
  AUTO(buf) struct buf longer = BUF_INIT;
  buf_append(&longer, text, len);
  buf_append_str(&longer, ".x");
  assert_int_equal(token_verify(keys, buf_slice(&longer), NOW_S, &token), ERR_INVALID);
  assert_null(token);
}

static void what_is_no_jwt_is_refused(void **state) {
  (void)state;
  static const char *const texts[] = {"",
                                      ".",
                                      "..",
                                      "...",
                                      "a.b.c",
                                      "undefined",
                                      "e30.e30.",
                                      "eyJhbGciOiJIUzI1NiJ9..",
                                      "\xff\xfe.\xff.\xff",
                                      "=.=.="};
  struct token *token = NULL;
  for (size_t i = 0; i < ARRAY_LEN(texts); i++)
    assert_int_equal(verify(texts[i], &token), ERR_INVALID);
  assert_int_equal(token_verify(keys, (struct slice){NULL, 0}, NOW_S, &token), ERR_INVALID);
  assert_null(token);
}

/* A token with a `sub` of so many bytes. */
static int verify_sub_of(size_t len, size_t *ret_text_len, struct token **ret_token) {
  AUTO(buf) struct buf claims = BUF_INIT;
  buf_append_str(&claims, "{\"read\":[\"a\"],\"sub\":\"");
  for (size_t i = 0; i < len; i++)
    buf_append_char(&claims, 's');
  buf_append(&claims, "\"}", 3);
  AUTO(mem) char *text = sign(claims.data, JWT_ALG_HS256, SECRET);
  *ret_text_len = strlen(text);
  return verify(text, ret_token);
}

static void a_token_over_8_kib_is_refused(void **state) {
  (void)state;
  AUTO(token) struct token *token = NULL;
  struct token *large = NULL;
  size_t text_len;
  assert_int_equal(verify_sub_of(6000, &text_len, &token), 0);
  assert_true(text_len <= TOKEN_TEXT_MAX);
  assert_int_equal(token->sub.len, 6000);
  assert_int_equal(verify_sub_of(6100, &text_len, &large), ERR_INVALID);
  assert_true(text_len > TOKEN_TEXT_MAX);
}

static void only_so_many_entries_are_looked_at(void **state) {
  (void)state;
  AUTO(token) struct token *token = NULL;
  AUTO(buf) struct buf claims = BUF_INIT;
  buf_append_str(&claims, "{\"read\":[\"a\"");
  for (int i = 0; i < TOKEN_ENTRIES_MAX; i++)
    buf_append_str(&claims, ",\"b\"");
  buf_append(&claims, "]}", 3);
  assert_int_equal(verify_claims(claims.data, &token), 0);
  assert_int_equal(token->read.count, TOKEN_ENTRIES_MAX);
}

static void without_a_secret_nothing_verifies(void **state) {
  (void)state;
  AUTO(jws_keys) struct jws_keys *none = jws_keys_of_secret(JWS_HS256, SLICE(""));
  AUTO(mem) char *unsigned_text = sign("{\"read\":[\"a\"]}", JWT_ALG_NONE, NULL);
  AUTO(mem) char *signed_text = sign("{\"read\":[\"a\"]}", JWT_ALG_HS256, SECRET);
  struct token *token = NULL;
  assert_int_equal(token_verify(none, slice_str(unsigned_text), NOW_S, &token), ERR_INVALID);
  assert_int_equal(token_verify(none, slice_str(signed_text), NOW_S, &token), ERR_INVALID);
  assert_null(token);
}

static void the_secret_may_be_any_bytes(void **state) {
  (void)state;
  static const unsigned char secret[] = {0, 1, 255, 0, 7};
  AUTO(jws_keys)
  struct jws_keys *binary =
      jws_keys_of_secret(JWS_HS256, slice_of((const char *)secret, sizeof(secret)));
  AUTO(token) struct token *token = NULL;
  jwt_t *jwt = NULL;
  assert_int_equal(jwt_new(&jwt), 0);
  jwt_add_grants_json(jwt, "{\"read\":[\"a\"]}");
  jwt_set_alg(jwt, JWT_ALG_HS256, secret, sizeof(secret));
  AUTO(mem) char *text = jwt_encode_str(jwt);
  jwt_free(jwt);
  assert_int_equal(token_verify(binary, slice_str(text), NOW_S, &token), 0);
}

static void a_token_lives_as_long_as_its_last_reference(void **state) {
  (void)state;
  struct token *token = NULL;
  assert_int_equal(verify_claims("{\"read\":[\"a\"]}", &token), 0);
  assert_ptr_equal(token_ref(token), token);
  token_unref(token);
  assert_text(token->read.items[0], "a");
  token_unref(token);
  token_unref(NULL);
}

static int set_up(void **state) {
  (void)state;
  keys = jws_keys_of_secret(JWS_HS256, SLICE(SECRET));
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  jws_keys_unref(keys);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_valid_token_becomes_its_claims),
      cmocka_unit_test(one_list_is_enough),
      cmocka_unit_test(a_token_that_allows_nothing_is_denied),
      cmocka_unit_test(entries_that_are_no_filters_are_skipped),
      cmocka_unit_test(an_expired_token_is_refused_from_its_second_on),
      cmocka_unit_test(a_token_is_refused_before_its_time),
      cmocka_unit_test(claims_of_odd_types_are_refused),
      cmocka_unit_test(limits_that_cannot_be_read_are_skipped),
      cmocka_unit_test(the_limit_of_a_topic_is_found_in_the_token),
      cmocka_unit_test(only_the_configured_algorithm_is_accepted),
      cmocka_unit_test(a_wrong_signature_is_refused),
      cmocka_unit_test(every_cut_and_every_addition_is_refused),
      cmocka_unit_test(what_is_no_jwt_is_refused),
      cmocka_unit_test(a_token_over_8_kib_is_refused),
      cmocka_unit_test(only_so_many_entries_are_looked_at),
      cmocka_unit_test(without_a_secret_nothing_verifies),
      cmocka_unit_test(the_secret_may_be_any_bytes),
      cmocka_unit_test(a_token_lives_as_long_as_its_last_reference),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
