#include "eventhub/topic/jws.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/topic/jws_parts.h"

/* The examples of the RFCs: keys and signatures that somebody else has made. */

static char path[] = "/tmp/eventhub-jws-XXXXXX";

static void write_file(const char *text) {
  FILE *file = fopen(path, "we");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fclose(file), 0);
}

static struct jws_keys *read_set(enum jws_algorithm algorithm, const char *text) {
  AUTO(buf) struct buf why = BUF_INIT;
  struct jws_keys *keys = NULL;
  write_file(text);
  int err = jws_keys_read_set(algorithm, path, &keys, &why);
  if (err != 0) fail_msg("%.*s", (int)why.len, why.data);
  return keys;
}

static void refuse_set(enum jws_algorithm algorithm, const char *text, int err, const char *words) {
  AUTO(buf) struct buf why = BUF_INIT;
  struct jws_keys *keys = NULL;
  write_file(text);
  assert_int_equal(jws_keys_read_set(algorithm, path, &keys, &why), err);
  assert_null(keys);
  buf_append_char(&why, '\0');
  if (strstr(why.data, words) == NULL) fail_msg("no \"%s\" in: %s", words, why.data);
  assert_non_null(strstr(why.data, path));
}

static int verify(const struct jws_keys *keys, const char *text, struct buf *payload) {
  buf_clear(payload);
  return jws_verify(keys, slice_str(text), payload);
}

static void assert_verifies(const struct jws_keys *keys, const char *text, const char *start) {
  AUTO(buf) struct buf payload = BUF_INIT;
  assert_int_equal(verify(keys, text, &payload), 0);
  assert_memory_equal(payload.data, start, strlen(start));
}

/* Any character of it changed to another one. */
static void assert_no_change_verifies(const struct jws_keys *keys, const char *text) {
  AUTO(buf) struct buf payload = BUF_INIT;
  AUTO(buf) struct buf copy = BUF_INIT;
  buf_append_str(&copy, text);
  for (size_t i = 0; i < copy.len; i++) {
    char was = copy.data[i];
    copy.data[i] = was == 'A' ? 'B' : 'A';
    assert_int_equal(jws_verify(keys, buf_slice(&copy), &payload), ERR_INVALID);
    copy.data[i] = was;
  }
  for (size_t len = 0; len < copy.len; len++)
    assert_int_equal(jws_verify(keys, slice_of(copy.data, len), &payload), ERR_INVALID);
  buf_append_char(&copy, 'A');
  assert_int_equal(jws_verify(keys, buf_slice(&copy), &payload), ERR_INVALID);
}

/* RFC 7515 A.1 */
#define HS_KEY                                                                                     \
  "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4h"  \
  "cgUuTwjAzZr1Z9CAow\"}"
#define CLAIMS                                                                                     \
  "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define HS_TEXT                                                                                    \
  "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." CLAIMS ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_"            \
  "wW1gFWFOEjXk"

/* RFC 7515 A.3 */
#define ES_KEY                                                                                     \
  "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","       \
  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define ES_TEXT                                                                                    \
  "eyJhbGciOiJFUzI1NiJ9." CLAIMS                                                                   \
  ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

/* RFC 8037 A.2, A.4 */
#define ED_KEY                                                                                     \
  "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define ED_TEXT                                                                                    \
  "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."                                      \
  "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

static void the_examples_of_the_rfcs_verify(void **state) {
  (void)state;
  AUTO(jws_keys) struct jws_keys *hs = read_set(JWS_HS256, "{\"keys\":[" HS_KEY "]}");
  AUTO(jws_keys) struct jws_keys *es = read_set(JWS_ES256, "{\"keys\":[" ES_KEY "]}");
  AUTO(jws_keys) struct jws_keys *ed = read_set(JWS_EDDSA, "{\"keys\":[" ED_KEY "]}");
  assert_verifies(hs, HS_TEXT, "{\"iss\":\"joe\"");
  assert_verifies(es, ES_TEXT, "{\"iss\":\"joe\"");
  assert_verifies(ed, ED_TEXT, "Example of Ed25519 signing");
  assert_no_change_verifies(hs, HS_TEXT);
  assert_no_change_verifies(es, ES_TEXT);
  assert_no_change_verifies(ed, ED_TEXT);
}

static void keys_are_for_their_algorithm_only(void **state) {
  (void)state;
  AUTO(buf) struct buf payload = BUF_INIT;
  static const char all[] = "{\"keys\":[" HS_KEY "," ES_KEY "," ED_KEY "]}";
  static const struct {
    enum jws_algorithm algorithm;
    const char *text;
  } own[] = {{JWS_HS256, HS_TEXT}, {JWS_ES256, ES_TEXT}, {JWS_EDDSA, ED_TEXT}};
  for (size_t i = 0; i < ARRAY_LEN(own); i++) {
    AUTO(jws_keys) struct jws_keys *keys = read_set(own[i].algorithm, all);
    assert_int_equal(jws_keys_count(keys), 1);
    for (size_t j = 0; j < ARRAY_LEN(own); j++)
      assert_int_equal(verify(keys, own[j].text, &payload), i == j ? 0 : ERR_INVALID);
    /* {"alg":"none"} */
    assert_int_equal(verify(keys, "eyJhbGciOiJub25lIn0." CLAIMS ".", &payload), ERR_INVALID);
    assert_int_equal(verify(keys, "eyJhbGciOiJub25lIn0." CLAIMS ".AAAA", &payload), ERR_INVALID);
  }
}

static void a_key_is_found_by_its_id(void **state) {
  (void)state;
  AUTO(buf) struct buf payload = BUF_INIT;
  /* The secret "a" under "one", "b" under "two". */
  AUTO(jws_keys)
  struct jws_keys *keys =
      read_set(JWS_HS256, "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"one\",\"k\":\"YQ\"},"
                          "{\"kty\":\"oct\",\"kid\":\"two\",\"k\":\"Yg\"},"
                          "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":\"Yg\",\"use\":\"enc\"},"
                          "{\"kty\":\"oct\",\"kid\":\"y\",\"k\":\"Yg\",\"alg\":\"HS512\"},"
                          "{\"kty\":\"RSA\"},7]}");
  assert_int_equal(jws_keys_count(keys), 2);
  /* {"alg":"HS256","kid":"..."} and {}, signed with openssl dgst -sha256 -hmac */
  static const struct {
    const char *text;
    int err;
  } texts[] = {
      {"eyJhbGciOiJIUzI1NiIsImtpZCI6Im9uZSJ9.e30.@a", 0},
      {"eyJhbGciOiJIUzI1NiIsImtpZCI6InR3byJ9.e30.@b", 0},
      {"eyJhbGciOiJIUzI1NiIsImtpZCI6InR3byJ9.e30.@a", ERR_INVALID},
      {"eyJhbGciOiJIUzI1NiIsImtpZCI6IngifQ.e30.@b", ERR_INVALID},
      {"eyJhbGciOiJIUzI1NiJ9.e30.@a", ERR_INVALID},
      /* {"alg":"HS256","kid":"one","crit":["b64"]} */
      {"eyJhbGciOiJIUzI1NiIsImtpZCI6Im9uZSIsImNyaXQiOlsiYjY0Il19.e30.@a", ERR_INVALID},
  };
  for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
    AUTO(buf) struct buf text = BUF_INIT;
    const char *mark = strchr(texts[i].text, '@');
    struct slice is_signed = slice_of(texts[i].text, (size_t)(mark - texts[i].text) - 1);
    unsigned char sum[32];
    char base64[64];
    EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, mark + 1, 1, (const unsigned char *)is_signed.ptr,
              is_signed.len, sum, sizeof sum, NULL);
    EVP_EncodeBlock((unsigned char *)base64, sum, sizeof sum);
    for (char *c = base64; *c != '\0'; c++)
      *c = *c == '+' ? '-' : *c == '/' ? '_' : *c == '=' ? '\0' : *c;
    buf_append_slice(&text, is_signed);
    buf_append_char(&text, '.');
    buf_append_str(&text, base64);
    buf_clear(&payload);
    int err = jws_verify(keys, buf_slice(&text), &payload);
    if (err != texts[i].err) fail_msg("%s: %s", texts[i].text, err_text(err));
  }
}

static void a_file_that_is_no_set_is_refused(void **state) {
  (void)state;
  refuse_set(JWS_HS256, "", ERR_INVALID, "is no JWK set");
  refuse_set(JWS_HS256, "[]", ERR_INVALID, "is no JWK set");
  refuse_set(JWS_HS256, "{\"keys\":{}}", ERR_INVALID, "is no JWK set");
  refuse_set(JWS_HS256, "{\"keys\":[]}", ERR_NOT_FOUND, "has no key for HS256");
  refuse_set(JWS_RS256, "{\"keys\":[" ES_KEY "]}", ERR_NOT_FOUND, "has no key for RS256");
  refuse_set(JWS_ES384, "{\"keys\":[" ES_KEY "]}", ERR_NOT_FOUND, "has no key for ES384");
  refuse_set(JWS_HS256, "{\"keys\":[{\"kty\":\"oct\"}]}", ERR_INVALID, "cannot be read");
  refuse_set(JWS_RS256, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", ERR_INVALID,
             "less than 2048 bits");
  refuse_set(JWS_ES256,
             "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8"
             "Tus9uPHvRVEU\",\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}]}",
             ERR_INVALID, "cannot be read"); /* not a point of the curve */
  AUTO(buf) struct buf why = BUF_INIT;
  struct jws_keys *keys = NULL;
  assert_int_equal(jws_keys_read_set(JWS_HS256, "/nowhere/keys", &keys, &why), ERR_SYSTEM);
  assert_int_equal(jws_keys_read_pem(JWS_RS256, "/nowhere/keys", &keys, &why), ERR_SYSTEM);
  write_file("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
  assert_int_equal(jws_keys_read_pem(JWS_RS256, path, &keys, &why), ERR_INVALID);
}

static void base64url_has_one_form(void **state) {
  (void)state;
  static const char *const good[] = {"", "Zg", "Zm8", "Zm9v", "-_-_"};
  static const char *const bad[] = {
      "Z", "Zh", "Zm9", "Zm9v=", "Zg==", "Zm+v", "Zm/v", "Z m8", "Zm9vA"};
  for (size_t i = 0; i < ARRAY_LEN(good); i++) {
    AUTO(buf) struct buf out = BUF_INIT;
    assert_int_equal(jws_decode_base64url(slice_str(good[i]), &out), 0);
    assert_int_equal(out.len, strlen(good[i]) * 6 / 8);
  }
  for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
    AUTO(buf) struct buf out = BUF_INIT;
    assert_int_equal(jws_decode_base64url(slice_str(bad[i]), &out), ERR_INVALID);
  }
}

static void who_has_keys_keeps_them(void **state) {
  (void)state;
  struct jws_keyring ring;
  jws_keyring_init(&ring, jws_keys_of_secret(JWS_HS256, SLICE("a")));
  AUTO(jws_keys) struct jws_keys *old = jws_keyring_get(&ring);
  jws_keyring_exchange(&ring, read_set(JWS_ES256, "{\"keys\":[" ES_KEY "]}"));
  AUTO(jws_keys) struct jws_keys *now = jws_keyring_get(&ring);
  jws_keyring_done(&ring);
  assert_ptr_not_equal(old, now);
  assert_verifies(now, ES_TEXT, "{");
  assert_int_equal(jws_keys_count(old), 1);
}

static int set_up(void **state) {
  (void)state;
  int fd = mkstemp(path);
  close(fd);
  return fd < 0;
}

static int tear_down(void **state) {
  (void)state;
  return unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_examples_of_the_rfcs_verify),
      cmocka_unit_test(keys_are_for_their_algorithm_only),
      cmocka_unit_test(a_key_is_found_by_its_id),
      cmocka_unit_test(a_file_that_is_no_set_is_refused),
      cmocka_unit_test(base64url_has_one_form),
      cmocka_unit_test(who_has_keys_keeps_them),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
