#include "eventhub/server/encoder.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "connection_fixture.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/topic/message.h"

static struct pool_fixture fixture;
static struct encoder encoder;

static int set_up(void **state) {
  (void)state;
  struct connection_limits limits = fixture_limits();
  pool_fixture_init(&fixture, &limits);
  encoder_init(&encoder, &fixture.pool);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  encoder_done(&encoder);
  pool_fixture_done(&fixture);
  return 0;
}

static struct message *make_message(const char *payload, uint64_t ms) {
  struct message *message = message_new(SLICE("a/b"), slice_str(payload), SLICE(""));
  message_set_id(message, (struct message_id){ms, 0});
  return message;
}

/* A JSON string of so many bytes that can be compressed. */
static struct message *make_long_message(size_t len, uint64_t ms) {
  AUTO(buf) struct buf payload = BUF_INIT;
  buf_append_char(&payload, '"');
  while (payload.len < len - 1)
    buf_append_str(&payload, "again and ");
  payload.len = len - 1;
  buf_append(&payload, "\"", 2);
  return make_message(payload.data, ms);
}

static struct slice encode(struct message_form form, const char *id,
                           struct message *const *messages, size_t count) {
  struct span span;
  assert_int_equal(encoder_run(&encoder, form, slice_str(id), messages, count, &span), count);
  return slice_of(span_bytes(&span), span.len);
}

/* The text of the one frame in `bytes`; compressed or not, as is said. */
static void take_frame(struct slice *bytes, bool is_compressed, struct buf *ret) {
  const unsigned char *at = (const unsigned char *)bytes->ptr;
  assert_int_equal(at[0], 0x80 | WS_TEXT | (is_compressed ? WS_RSV1 : 0));
  size_t len = at[1], header_len = 2;
  if (len == 126) {
    len = (size_t)at[2] << 8 | at[3];
    header_len = 4;
  }
  struct slice payload = slice_of(bytes->ptr + header_len, len);
  *bytes = slice_skip(*bytes, header_len + len);
  buf_clear(ret);
  if (!is_compressed) {
    buf_append_slice(ret, payload);
    return;
  }
  static const struct ws_deflate deflate = {.server_bits = 15, .client_bits = 15};
  struct ws_inflater *inflater = ws_inflater_new();
  struct ws_window *window = NULL;
  char *text = NULL;
  assert_int_equal(ws_inflater_run(inflater, &deflate, &window, payload, 1 << 20, &text, &len), 0);
  buf_append(ret, text, len);
  ws_inflater_free(inflater);
}

static void assert_text(const struct buf *text, const char *id, const struct message *message) {
  AUTO(buf) struct buf expected = BUF_INIT;
  buf_printf(&expected, "{\"id\":%s,\"jsonrpc\":\"2.0\",\"result\":", id);
  buf_append_slice(&expected, message_item(message));
  buf_append_char(&expected, '}');
  assert_true(slice_equal(buf_slice(text), buf_slice(&expected)));
}

static const struct message_form plain = {.format = FORMAT_RPC};
static const struct message_form compressed = {.format = FORMAT_RPC, .window_bits = 15};
static const struct message_form small_window = {.format = FORMAT_RPC, .window_bits = 9};

static void a_message_is_compressed_once_for_all_ids(void **state) {
  (void)state;
  AUTO(message) struct message *message = make_long_message(2000, 1);
  AUTO(buf) struct buf text = BUF_INIT;
  for (int i = 0; i < 5; i++) {
    const char *ids[] = {"1", "\"a string\"", "null", "12345", "1"};
    struct slice bytes = encode(compressed, ids[i], &message, 1);
    assert_true(bytes.len < 500);
    take_frame(&bytes, true, &text);
    assert_text(&text, ids[i], message);
  }
  assert_int_equal(metrics_get(&fixture.metrics, METRIC_COMPRESSIONS), 1);
}

static void a_small_window_gets_what_fits_it(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  AUTO(message) struct message *fits = make_long_message(400, 1);
  AUTO(message) struct message *long_one = make_long_message(2000, 2);
  struct message *const messages[] = {fits, long_one};
  struct slice bytes = encode(small_window, "1", messages, 2);
  take_frame(&bytes, true, &text);
  assert_text(&text, "1", fits);
  take_frame(&bytes, true, &text);
  assert_text(&text, "1", long_one);
  assert_int_equal(bytes.len, 0);
  assert_non_null(message_compressed(fits)); /* the form that all share */
  assert_null(message_compressed(long_one)); /* made for that window only */
}

static void what_is_short_or_no_message_goes_out_as_it_is(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  AUTO(message) struct message *message = make_long_message(100, 1);
  AUTO(message) struct message *gap = message_new_gap(SLICE("a/b"), (struct message_id){1, 0});
  struct message *const messages[] = {message, gap};
  struct slice bytes = encode(compressed, "1", messages, 2);
  take_frame(&bytes, false, &text);
  assert_text(&text, "1", message);
  take_frame(&bytes, false, &text);
  assert_true(
      slice_starts_with(buf_slice(&text), SLICE("{\"jsonrpc\":\"2.0\",\"method\":\"gap\"")));
  assert_int_equal(metrics_get(&fixture.metrics, METRIC_COMPRESSIONS), 0);
}

static void noise_is_tried_once_and_left(void **state) {
  (void)state;
  AUTO(buf) struct buf payload = BUF_INIT;
  AUTO(buf) struct buf text = BUF_INIT;
  uint32_t random = 1;
  buf_append_char(&payload, '"');
  for (int i = 0; i < 300; i++) {
    random = random * 1664525 + 1013904223;
    buf_append_char(&payload, (char)('#' + (random >> 16) % 57));
  }
  buf_append(&payload, "\"", 2);
  AUTO(message) struct message *message = make_message(payload.data, 1);
  for (int i = 0; i < 3; i++) {
    struct slice bytes = encode(compressed, "1", &message, 1);
    bool is_compressed = (bytes.ptr[0] & WS_RSV1) != 0;
    take_frame(&bytes, is_compressed, &text);
    assert_text(&text, "1", message);
  }
  assert_int_equal(metrics_get(&fixture.metrics, METRIC_COMPRESSIONS), 1);
}

static void plain_frames_stand_one_behind_the_other(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  AUTO(message) struct message *first = make_message("1", 1);
  AUTO(message) struct message *second = make_long_message(2000, 2);
  struct message *const messages[] = {first, second};
  struct slice bytes = encode(plain, "7", messages, 2);
  take_frame(&bytes, false, &text);
  assert_text(&text, "7", first);
  take_frame(&bytes, false, &text);
  assert_text(&text, "7", second);
  assert_int_equal(bytes.len, 0);
}

static void events_carry_the_text_or_the_item(void **state) {
  (void)state;
  static const struct message_form text = {.format = FORMAT_SSE},
                                   json = {.format = FORMAT_SSE_JSON};
  AUTO(message) struct message *message = make_message("\"a\\n\\u00e9\"", 5);
  AUTO(message) struct message *number = make_message("4.50", 6);
  AUTO(message) struct message *gap = message_new_gap(SLICE("a/b"), (struct message_id){6, 0});
  struct message *const messages[] = {message, number, gap};
  assert_true(slice_equal(encode(text, "null", messages, 3),
                          SLICE("id: 5-0\ndata: a\ndata: \xc3\xa9\n\nid: 6-0\ndata: 4.50\n\n"
                                "event: gap\ndata: {\"topic\":\"a/b\",\"lastId\":\"6-0\"}\n\n")));
  assert_true(slice_equal(
      encode(json, "null", messages, 1),
      SLICE("id: 5-0\ndata: {\"id\":\"5-0\",\"message\":\"a\\n\\u00e9\",\"topic\":\"a/b\"}\n\n")));
}

/* Nothing that is long is made in one piece. */
static void long_runs_are_cut(void **state) {
  (void)state;
  struct message *messages[200];
  for (size_t i = 0; i < ARRAY_LEN(messages); i++)
    messages[i] = make_long_message(5000, i + 1);
  static const struct message_form forms[] = {{.format = FORMAT_RPC}, {.format = FORMAT_SSE}};
  for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
    struct span span;
    size_t taken = encoder_run(&encoder, forms[i], SLICE("1"), messages, 200, &span);
    assert_in_range(taken, 40, 60);
    assert_in_range(span.len, 200000, 270000);
  }
  for (size_t i = 0; i < ARRAY_LEN(messages); i++)
    message_unref(messages[i]);
}

#define ENCODER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      ENCODER_TEST(a_message_is_compressed_once_for_all_ids),
      ENCODER_TEST(a_small_window_gets_what_fits_it),
      ENCODER_TEST(what_is_short_or_no_message_goes_out_as_it_is),
      ENCODER_TEST(noise_is_tried_once_and_left),
      ENCODER_TEST(plain_frames_stand_one_behind_the_other),
      ENCODER_TEST(events_carry_the_text_or_the_item),
      ENCODER_TEST(long_runs_are_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
