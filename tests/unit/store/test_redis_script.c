#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/store/redis_script.h"
#include "eventhub/store/resp.h"

static const char *const names[REDIS_SCRIPT_COUNT] = {
    [REDIS_SCRIPT_PUBLISH] = "publish", [REDIS_SCRIPT_LIMIT] = "limit",
    [REDIS_SCRIPT_MARK] = "mark",       [REDIS_SCRIPT_READ] = "read",
    [REDIS_SCRIPT_CHANGED] = "changed", [REDIS_SCRIPT_MISSED] = "missed",
    [REDIS_SCRIPT_TEND] = "tend",
};

static void read_file(const char *name, struct buf *ret) {
  AUTO(buf) struct buf path = BUF_INIT;
  buf_printf(&path, "%s/%s.lua", REDIS_LUA_DIRECTORY, name);
  FILE *file = fopen(path.data, "rb");
  assert_non_null(file);
  size_t len;
  do {
    len = fread(buf_reserve(ret, 4096), 1, 4096, file);
    buf_commit(ret, len);
  } while (len > 0);
  (void)fclose(file);
}

static void each_script_is_its_file(void **state) {
  (void)state;
  for (enum redis_script script = 0; script < REDIS_SCRIPT_COUNT; script++) {
    AUTO(buf) struct buf text = BUF_INIT;
    read_file(names[script], &text);
    assert_true(text.len > 100);
    assert_true(slice_equal(redis_script_text(script), buf_slice(&text)));
  }
}

static void append_sha1(struct slice text, struct buf *ret) {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  assert_int_equal(EVP_Digest(text.ptr, text.len, bytes, &len, EVP_sha1(), NULL), 1);
  for (unsigned i = 0; i < len; i++)
    buf_printf(ret, "%02x", bytes[i]);
}

/* FIPS 180-2, A.1: what the other tests compare with is SHA-1, indeed. */
static void the_digest_is_sha1(void **state) {
  (void)state;
  AUTO(buf) struct buf digest = BUF_INIT;
  append_sha1(SLICE("abc"), &digest);
  assert_true(slice_equal(buf_slice(&digest), SLICE("a9993e364706816aba3e25717850c26c9cd0d89d")));
}

static void a_script_is_called_by_its_digest(void **state) {
  (void)state;
  for (enum redis_script script = 0; script < REDIS_SCRIPT_COUNT; script++) {
    AUTO(buf) struct buf digest = BUF_INIT;
    AUTO(buf) struct buf expected = BUF_INIT;
    AUTO(buf) struct buf call = BUF_INIT;
    append_sha1(redis_script_text(script), &digest);
    resp_begin(&expected, 3 + 2 + 5);
    resp_str(&expected, "EVALSHA");
    resp_slice(&expected, buf_slice(&digest));
    resp_u64(&expected, 2);
    redis_script_call(&call, script, 2, 5);
    assert_true(slice_equal(buf_slice(&call), buf_slice(&expected)));
  }
}

/* Redis counts both. */
static void keys_and_arguments_are_announced(void **state) {
  (void)state;
  AUTO(buf) struct buf call = BUF_INIT;
  redis_script_call(&call, REDIS_SCRIPT_MARK, 1, 0);
  assert_true(slice_starts_with(buf_slice(&call), SLICE("*4\r\n$7\r\nEVALSHA\r\n$40\r\n")));
  buf_clear(&call);
  redis_script_call(&call, REDIS_SCRIPT_MARK, 0, 12);
  assert_true(slice_starts_with(buf_slice(&call), SLICE("*15\r\n")));
  assert_memory_equal(call.data + call.len - strlen("$1\r\n0\r\n"), "$1\r\n0\r\n", 7);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_script_is_its_file),
      cmocka_unit_test(the_digest_is_sha1),
      cmocka_unit_test(a_script_is_called_by_its_digest),
      cmocka_unit_test(keys_and_arguments_are_announced),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
