#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/proto/utf8.h"

/* Bytes on both sides of every border in the table of RFC 3629 4. */
static const uint8_t borders[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                  0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
                                  0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};

static size_t sequence_len(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xf8) return 0;
  if (lead >= 0xf0) return 4;
  if (lead >= 0xe0) return 3;
  return lead >= 0xc0 ? 2 : 0;
}

static bool code_point_fits(uint32_t code, size_t len) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  return code >= least[len] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

/* The definition: decode, then look at the number. */
static bool naive_is_valid(const uint8_t *at, size_t len) {
  while (len > 0) {
    size_t need = sequence_len(at[0]);
    if (need == 0 || need > len) return false;
    uint32_t code = need == 1 ? at[0] : at[0] & (0xffu >> (need + 1));
    for (size_t i = 1; i < need; i++) {
      if ((at[i] & 0xc0) != 0x80) return false;
      code = code << 6 | (at[i] & 0x3f);
    }
    if (!code_point_fits(code, need)) return false;
    at += need;
    len -= need;
  }
  return true;
}

static size_t encode(uint32_t code, char *out) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = len - 1; i > 0; i--, code >>= 6)
    out[i] = (char)(0x80 | (code & 0x3f));
  out[0] = (char)((0xf00u >> len & 0xff) | code);
  return len;
}

static void every_code_point_is_valid_but_surrogates(void **state) {
  (void)state;
  for (uint32_t code = 0; code <= 0x10ffff; code++) {
    char text[4];
    size_t len = encode(code, text);
    bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
    if (utf8_is_valid(text, len) == is_surrogate) fail_msg("U+%04X", (unsigned)code);
  }
}

static void check_against_naive(const uint8_t *bytes, size_t len) {
  if (utf8_is_valid((const char *)bytes, len) == naive_is_valid(bytes, len)) return;
  fail_msg("%zu bytes: %02x %02x %02x %02x", len, bytes[0], bytes[1], bytes[2], bytes[3]);
}

static void sequences_of_border_bytes_agree_with_the_definition(void **state) {
  (void)state;
  enum { N = ARRAY_LEN(borders) };
  for (size_t i = 0; i < (size_t)N * N * N * N; i++) {
    const uint8_t bytes[4] = {borders[i % N], borders[i / N % N], borders[i / N / N % N],
                              borders[i / N / N / N]};
    for (size_t len = 1; len <= sizeof bytes; len++)
      check_against_naive(bytes, len);
  }
}

static void a_character_is_seen_at_every_place_of_long_text(void **state) {
  (void)state;
  static const char *const parts[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                      "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xff",     "\xe2\x82",     "\x80"};
  for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
    size_t len = strlen(parts[i]);
    for (size_t place = 0; place < 100; place++) {
      char text[110];
      memset(text, 'a', sizeof text);
      memcpy(text + place, parts[i], len);
      assert_int_equal(utf8_is_valid(text, sizeof text), i < 3);
      assert_int_equal(utf8_is_valid(text, place + len), i < 3);
    }
  }
}

static void text_cut_anywhere_is_as_valid_as_whole(void **state) {
  (void)state;
  static const char text[] =
      "caf\xc3\xa9 10\xe2\x82\xac \xf0\x9f\x98\x80 and plain text, more than a block of "
      "it \xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf";
  size_t len = sizeof text - 1;
  for (size_t first = 0; first <= len; first++) {
    for (size_t second = first; second <= len; second++) {
      struct utf8_state utf8 = {0};
      assert_int_equal(utf8_feed(&utf8, text, first), 0);
      assert_int_equal(utf8_is_complete(&utf8), utf8_is_valid(text, first));
      assert_int_equal(utf8_feed(&utf8, text + first, second - first), 0);
      assert_int_equal(utf8_feed(&utf8, text + second, len - second), 0);
      assert_true(utf8_is_complete(&utf8));
    }
  }
}

/* What can still become valid is waited for; what cannot is refused at the byte that makes it so.
 */
static void refused_at_the_first_byte_that_cannot_be(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t good; /* bytes that may begin valid text */
  } cases[] = {
      {"\x80", 0},
      {"\xc0", 0},
      {"\xc1", 0},
      {"\xf5", 0},
      {"\xff", 0},
      {"\xc2"
       "a",
       1},
      {"\xe0\x9f", 1},
      {"\xed\xa0", 1},
      {"\xf0\x8f", 1},
      {"\xf4\x90", 1},
      {"\xe2\x82"
       "a",
       2},
      {"\xf0\x9f\x98"
       "a",
       3},
      {"abc\xe0\xa0\xc0", 5},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    struct utf8_state utf8 = {0};
    assert_int_equal(utf8_feed(&utf8, cases[i].bytes, cases[i].good), 0);
    assert_int_equal(utf8_feed(&utf8, cases[i].bytes + cases[i].good, 1), ERR_INVALID);
    assert_int_equal(utf8_feed(&utf8, "a", 1), ERR_INVALID);
    assert_false(utf8_is_complete(&utf8));
  }
}

static void empty_text_is_valid(void **state) {
  (void)state;
  struct utf8_state utf8 = {0};
  assert_true(utf8_is_valid("", 0));
  assert_int_equal(utf8_feed(&utf8, "", 0), 0);
  assert_true(utf8_is_complete(&utf8));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_code_point_is_valid_but_surrogates),
      cmocka_unit_test(sequences_of_border_bytes_agree_with_the_definition),
      cmocka_unit_test(a_character_is_seen_at_every_place_of_long_text),
      cmocka_unit_test(text_cut_anywhere_is_as_valid_as_whole),
      cmocka_unit_test(refused_at_the_first_byte_that_cannot_be),
      cmocka_unit_test(empty_text_is_valid),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
