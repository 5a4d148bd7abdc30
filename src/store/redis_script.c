#include "eventhub/store/redis_script.h"

#include <assert.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "eventhub/store/resp.h"

enum { SHA1_BYTES = 20, SHA1_DIGITS = 2 * SHA1_BYTES };

extern const char redis_lua_publish[], redis_lua_limit[], redis_lua_mark[], redis_lua_read[],
    redis_lua_changed[], redis_lua_missed[], redis_lua_tend[];

static const char *const texts[REDIS_SCRIPT_COUNT] = {
    [REDIS_SCRIPT_PUBLISH] = redis_lua_publish, [REDIS_SCRIPT_LIMIT] = redis_lua_limit,
    [REDIS_SCRIPT_MARK] = redis_lua_mark,       [REDIS_SCRIPT_READ] = redis_lua_read,
    [REDIS_SCRIPT_CHANGED] = redis_lua_changed, [REDIS_SCRIPT_MISSED] = redis_lua_missed,
    [REDIS_SCRIPT_TEND] = redis_lua_tend,
};

static char digests[REDIS_SCRIPT_COUNT][SHA1_DIGITS];
static pthread_once_t digested = PTHREAD_ONCE_INIT;

static void digest_one(const char *text, char out[SHA1_DIGITS]) {
  static const char digits[] = "0123456789abcdef";
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  int done = EVP_Digest(text, strlen(text), bytes, &len, EVP_sha1(), NULL);
  assert(done == 1 && len == SHA1_BYTES);
  for (size_t i = 0; i < SHA1_BYTES; i++) {
    out[2 * i] = digits[bytes[i] >> 4];
    out[2 * i + 1] = digits[bytes[i] & 15];
  }
}

static void digest_all(void) {
  for (size_t i = 0; i < REDIS_SCRIPT_COUNT; i++)
    digest_one(texts[i], digests[i]);
}

struct slice redis_script_text(enum redis_script script) {
  return slice_str(texts[script]);
}

void redis_script_call(struct buf *out, enum redis_script script, size_t keys, size_t args) {
  pthread_once(&digested, digest_all);
  resp_begin(out, 3 + keys + args);
  resp_str(out, "EVALSHA");
  resp_slice(out, slice_of(digests[script], SHA1_DIGITS));
  resp_u64(out, keys);
}
