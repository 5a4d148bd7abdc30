#include "eventhub/proto/ws_deflate.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"

enum { MAX = 1 << 20 };

static struct ws_inflater *inflater;
static struct ws_deflater *deflater;
static struct ws_window *window;

static int set_up(void **state) {
  (void)state;
  inflater = ws_inflater_new();
  deflater = ws_deflater_new();
  window = NULL;
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  ws_inflater_free(inflater);
  ws_deflater_free(deflater);
  ws_window_free(window);
  return 0;
}

static const struct ws_deflate with_context = {
    .server_bits = 15, .client_bits = 15, .client_takeover = true};
static const struct ws_deflate without_context = {.server_bits = 15, .client_bits = 15};

static void assert_inflates(const struct ws_deflate *deflate, struct slice payload,
                            struct slice expected) {
  char *data = NULL;
  size_t len = 0;
  assert_int_equal(ws_inflater_run(inflater, deflate, &window, payload, MAX, &data, &len), 0);
  assert_non_null(data);
  assert_true(slice_equal(slice_of(data, len), expected));
}

static int run(const struct ws_deflate *deflate, struct slice payload, size_t max) {
  char *data = NULL;
  size_t len = 0;
  return ws_inflater_run(inflater, deflate, &window, payload, max, &data, &len);
}

#define HELLO SLICE("\xf2\x48\xcd\xc9\xc9\x07\x00")

/* RFC 7692 7.2.3 */
static void the_examples_of_the_rfc_inflate(void **state) {
  (void)state;
  assert_inflates(&without_context, HELLO, SLICE("Hello"));
  assert_inflates(&without_context, SLICE("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"),
                  SLICE("Hello"));
  assert_inflates(&without_context, SLICE("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), SLICE("Hello"));
  assert_inflates(&without_context, SLICE("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"),
                  SLICE("Hello"));
  assert_inflates(&without_context, SLICE("\x00"), SLICE(""));
}

static void a_message_may_refer_to_the_one_before(void **state) {
  (void)state;
  static const struct slice second = SLICE_INIT("\xf2\x00\x11\x00\x00");
  assert_inflates(&with_context, HELLO, SLICE("Hello"));
  assert_inflates(&with_context, second, SLICE("Hello"));
  assert_int_equal(run(&without_context, second, MAX), ERR_INVALID);
}

static void what_is_not_deflate_is_invalid(void **state) {
  (void)state;
  assert_int_equal(run(&with_context, SLICE("\xff\xff\xff"), MAX), ERR_INVALID);
  assert_int_equal(run(&with_context, SLICE("\x00\x05\x00\x00\x00"), MAX), ERR_INVALID);
  assert_int_equal(run(&with_context, SLICE("Hello, world"), MAX), ERR_INVALID);
  /* Cut within a block. */
  assert_int_equal(run(&with_context, SLICE("\xf2\x48\xcd"), MAX), ERR_INVALID);
  assert_int_equal(run(&with_context, SLICE("\x00\x06\x00\xf9\xff\x48"), MAX), ERR_INVALID);
  assert_null(window);
  assert_inflates(&with_context, HELLO, SLICE("Hello"));
}

/* ---- round trips ---- */

/* A client: deflate with context, as any other has it. */
static void client_deflate(z_stream *stream, struct slice text, struct buf *out) {
  buf_clear(out);
  stream->next_in = (Bytef *)text.ptr;
  stream->avail_in = (uInt)text.len;
  size_t room = deflateBound(stream, (uLong)text.len) + 64;
  stream->next_out = (Bytef *)buf_reserve(out, room);
  stream->avail_out = (uInt)room;
  assert_int_equal(deflate(stream, Z_SYNC_FLUSH), Z_OK);
  buf_commit(out, room - stream->avail_out - 4);
}

/* Words that come again, near and far. */
static void make_text(struct buf *out, size_t len, unsigned seed) {
  static const char *const words[] = {"temperature", "{\"id\":", "pressure", "0.25,", "\n"};
  buf_clear(out);
  srand(seed);
  while (out->len < len) {
    if (rand() % 3 == 0)
      buf_printf(out, "%d", rand());
    else
      buf_append_str(out, words[(size_t)rand() % ARRAY_LEN(words)]);
  }
  out->len = len;
}

static void a_client_may_keep_a_window_of_any_size(void **state) {
  (void)state;
  for (int bits = 9; bits <= 15; bits++) {
    const struct ws_deflate deflate = {
        .server_bits = 15, .client_bits = (uint8_t)bits, .client_takeover = true};
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -bits, 9, Z_DEFAULT_STRATEGY), Z_OK);
    AUTO(buf) struct buf text = BUF_INIT;
    AUTO(buf) struct buf payload = BUF_INIT;
    for (unsigned i = 0; i < 60; i++) {
      make_text(&text, 1 + (size_t)rand() % (3U << bits), i % 7);
      client_deflate(&stream, buf_slice(&text), &payload);
      assert_inflates(&deflate, buf_slice(&payload), buf_slice(&text));
      assert_true(ws_window_memory(window) <= ((size_t)1 << bits) + 64);
    }
    deflateEnd(&stream);
    ws_window_free(window);
    window = NULL;
  }
}

/* Inflates with a window of so many bits, as a client would. */
static void assert_client_inflates(unsigned bits, struct slice payload, struct slice expected) {
  AUTO(buf) struct buf input = BUF_INIT;
  buf_append_slice(&input, payload);
  buf_append(&input, "\0\0\xff\xff", 4);
  z_stream stream = {0};
  assert_int_equal(inflateInit2(&stream, -(int)bits), Z_OK);
  AUTO(mem) char *output = x_malloc(expected.len + 1);
  stream.next_in = (Bytef *)input.data;
  stream.avail_in = (uInt)input.len;
  /* In small pieces: so that the window counts. */
  for (size_t at = 0; at < expected.len;) {
    stream.next_out = (Bytef *)output + at;
    stream.avail_out = expected.len - at < 100 ? (uInt)(expected.len - at) : 100;
    int err = inflate(&stream, Z_SYNC_FLUSH);
    assert_true(err == Z_OK || err == Z_BUF_ERROR);
    size_t now = (size_t)((char *)stream.next_out - output);
    assert_true(now > at);
    at = now;
  }
  assert_memory_equal(output, expected.ptr, expected.len);
  inflateEnd(&stream);
}

static void what_we_send_suits_the_client_s_window(void **state) {
  (void)state;
  for (unsigned bits = 8; bits <= 15; bits++) {
    for (unsigned i = 0; i < 40; i++) {
      AUTO(buf) struct buf text = BUF_INIT;
      AUTO(buf) struct buf payload = BUF_INIT;
      make_text(&text, 1 + (size_t)rand() % 5000, i);
      const struct slice parts[] = {slice_of(text.data, text.len / 3),
                                    slice_of(text.data + text.len / 3, text.len - text.len / 3)};
      if (!ws_deflater_run(deflater, bits, parts, 2, &payload)) {
        assert_int_equal(payload.len, 0);
        continue;
      }
      assert_true(payload.len < text.len);
      assert_client_inflates(bits < 9 ? 9 : bits, buf_slice(&payload), buf_slice(&text));
    }
  }
}

static void a_window_of_eight_bits_takes_what_fits(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  AUTO(buf) struct buf payload = BUF_INIT;
  memset(buf_reserve(&text, 257), 'a', 257);
  buf_commit(&text, 257);
  struct slice whole = buf_slice(&text), most = slice_of(text.data, 256);
  assert_false(ws_deflater_run(deflater, 8, &whole, 1, &payload));
  assert_true(ws_deflater_run(deflater, 8, &most, 1, &payload));
  assert_client_inflates(8, buf_slice(&payload), most);
}

static void what_does_not_become_shorter_is_left(void **state) {
  (void)state;
  AUTO(buf) struct buf out = BUF_INIT;
  char noise[1000];
  srand(1);
  for (size_t i = 0; i < sizeof noise; i++)
    noise[i] = (char)(rand() >> 7);
  buf_append_str(&out, "x");
  const struct slice texts[] = {slice_of(noise, sizeof noise), SLICE("")};
  assert_false(ws_deflater_run(deflater, 15, texts, 1, &out));
  assert_false(ws_deflater_run(deflater, 15, texts + 1, 1, &out));
  assert_int_equal(out.len, 1);
}

/* Each subscription's id in front of a text that all share. */
static void a_stored_block_stands_before_a_shared_text(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  AUTO(buf) struct buf shared = BUF_INIT;
  make_text(&text, 3000, 5);
  struct slice whole = buf_slice(&text);
  assert_true(ws_deflater_run(deflater, 15, &whole, 1, &shared));
  for (size_t len = 0; len < 300; len++) {
    AUTO(buf) struct buf payload = BUF_INIT;
    AUTO(buf) struct buf expected = BUF_INIT;
    memset(buf_reserve(&expected, len + 1), 'i', len);
    buf_commit(&expected, len);
    char *at = buf_reserve(&payload, WS_STORED_HEADER_LEN);
    buf_commit(&payload, ws_stored_header_encode(at, len));
    buf_append_slice(&payload, buf_slice(&expected));
    buf_append_slice(&payload, buf_slice(&shared));
    buf_append_slice(&expected, whole);
    assert_inflates(&without_context, buf_slice(&payload), buf_slice(&expected));
    assert_client_inflates(12, buf_slice(&payload), buf_slice(&expected));
  }
}

/* ---- limits ---- */

static void a_bomb_ends_at_the_limit(void **state) {
  (void)state;
  enum { BOMB = 200 * 1000 * 1000 };
  AUTO(buf) struct buf bomb = BUF_INIT;
  z_stream stream = {0};
  assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
  AUTO(mem) char *zeros = x_calloc(1, 1000000);
  for (int i = 0; i < BOMB / 1000000; i++) {
    AUTO(buf) struct buf piece = BUF_INIT;
    client_deflate(&stream, slice_of(zeros, 1000000), &piece);
    buf_append_slice(&bomb, buf_slice(&piece));
    buf_append(&bomb, "\0\0\xff\xff", 4);
  }
  deflateEnd(&stream);
  assert_true(bomb.len < MAX);
  assert_int_equal(run(&with_context, buf_slice(&bomb), MAX), ERR_TOO_BIG);
  assert_null(window);
  assert_inflates(&with_context, HELLO, SLICE("Hello"));
}

static void the_limit_is_exact(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  AUTO(buf) struct buf payload = BUF_INIT;
  for (size_t len = 4000; len < 4200; len += 7) {
    make_text(&text, len, 3);
    buf_clear(&payload);
    struct slice whole = buf_slice(&text);
    assert_true(ws_deflater_run(deflater, 15, &whole, 1, &payload));
    assert_int_equal(run(&without_context, buf_slice(&payload), len), 0);
    assert_int_equal(run(&without_context, buf_slice(&payload), len - 1), ERR_TOO_BIG);
  }
}

#define DEFLATE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      DEFLATE_TEST(the_examples_of_the_rfc_inflate),
      DEFLATE_TEST(a_message_may_refer_to_the_one_before),
      DEFLATE_TEST(what_is_not_deflate_is_invalid),
      DEFLATE_TEST(a_client_may_keep_a_window_of_any_size),
      DEFLATE_TEST(what_we_send_suits_the_client_s_window),
      DEFLATE_TEST(a_window_of_eight_bits_takes_what_fits),
      DEFLATE_TEST(what_does_not_become_shorter_is_left),
      DEFLATE_TEST(a_stored_block_stands_before_a_shared_text),
      DEFLATE_TEST(a_bomb_ends_at_the_limit),
      DEFLATE_TEST(the_limit_is_exact),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
