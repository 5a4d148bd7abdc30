#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/proto/ws_frame.h"
#include "ws_client.h"

/* Of exactly these bytes on the heap, so that a sanitizer sees one too many read. */
static int parse_exact(const struct buf *bytes, size_t len, struct ws_frame *ret) {
  AUTO(mem) char *copy = x_memdup(bytes->data, len);
  return ws_frame_parse(copy, len, 0, ret);
}

/* The verdict on the whole; each prefix asks for more or says the same. */
static int verdict(const struct buf *bytes, struct ws_frame *ret) {
  int whole = parse_exact(bytes, bytes->len, ret);
  for (size_t len = 0; len < bytes->len; len++) {
    struct ws_frame frame;
    int err = parse_exact(bytes, len, &frame);
    if (err != ERR_AGAIN && err != whole) fail_msg("%d at %zu, then %d", err, len, whole);
  }
  return whole;
}

static int verdict_on(unsigned first, uint64_t len, size_t form, struct ws_frame *ret) {
  AUTO(buf) struct buf bytes = BUF_INIT;
  append_header(&bytes, first, len, form);
  return verdict(&bytes, ret);
}

static bool opcode_exists(unsigned opcode) {
  return opcode <= 2 || (opcode >= 8 && opcode <= 10);
}

static void every_first_byte_is_judged(void **state) {
  (void)state;
  for (unsigned first = 0; first < 256; first++) {
    unsigned opcode = first & 0x0f;
    bool is_good =
        opcode_exists(opcode) && (first & 0x70) == 0 && ((first & FIN) != 0 || opcode < 8);
    struct ws_frame frame;
    assert_int_equal(verdict_on(first, 5, 0, &frame), is_good ? 0 : ERR_INVALID);
    char byte = (char)first;
    assert_int_equal(ws_frame_parse(&byte, 1, 0, &frame), is_good ? ERR_AGAIN : ERR_INVALID);
    if (!is_good) continue;
    assert_int_equal(frame.opcode, opcode);
    assert_int_equal(frame.fin, (first & FIN) != 0);
    assert_int_equal(frame.rsv, 0);
  }
}

static void every_length_has_one_form(void **state) {
  (void)state;
  static const uint64_t lens[] = {0,          1,          124,        125,      126,
                                  127,        65534,      65535,      65536,    65537,
                                  UINT32_MAX, 1ull << 32, 1ull << 62, INT64_MAX};
  static const size_t forms[] = {0, 2, 8};
  for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
    for (size_t j = 0; j < ARRAY_LEN(forms); j++) {
      if (forms[j] < minimal_form(lens[i])) continue;
      bool is_minimal = forms[j] == minimal_form(lens[i]);
      struct ws_frame frame;
      assert_int_equal(verdict_on(FIN | WS_BINARY, lens[i], forms[j], &frame),
                       is_minimal ? 0 : ERR_INVALID);
      if (!is_minimal) continue;
      assert_true(frame.payload_len == lens[i]);
      assert_int_equal(frame.header_len, 6 + forms[j]);
      assert_memory_equal(frame.mask, client_mask, 4);
    }
  }
}

static void a_length_with_the_top_bit_is_too_big(void **state) {
  (void)state;
  struct ws_frame frame;
  assert_int_equal(verdict_on(FIN | WS_TEXT, 1ull << 63, 8, &frame), ERR_TOO_BIG);
  assert_int_equal(verdict_on(FIN | WS_TEXT, UINT64_MAX, 8, &frame), ERR_TOO_BIG);
}

static void a_frame_without_mask_is_refused(void **state) {
  (void)state;
  static const uint8_t seconds[] = {0, 5, 125, 126, 127};
  for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
    const char bytes[2] = {(char)(FIN | WS_TEXT), (char)seconds[i]};
    struct ws_frame frame;
    assert_int_equal(ws_frame_parse(bytes, sizeof bytes, 0, &frame), ERR_INVALID);
  }
}

static void control_frames_are_short(void **state) {
  (void)state;
  static const unsigned opcodes[] = {WS_CLOSE, WS_PING, WS_PONG};
  for (size_t i = 0; i < ARRAY_LEN(opcodes); i++) {
    struct ws_frame frame;
    assert_int_equal(verdict_on(FIN | opcodes[i], 125, 0, &frame), 0);
    assert_int_equal(verdict_on(FIN | opcodes[i], 126, 2, &frame), ERR_INVALID);
    assert_int_equal(verdict_on(FIN | opcodes[i], 65536, 8, &frame), ERR_INVALID);
  }
}

static void more_is_asked_for_without_touching_the_answer(void **state) {
  (void)state;
  AUTO(buf) struct buf bytes = BUF_INIT;
  append_header(&bytes, FIN | WS_TEXT, 70000, 8);
  struct ws_frame frame;
  memset(&frame, 0x5a, sizeof frame);
  struct ws_frame untouched = frame;
  for (size_t len = 0; len < bytes.len; len++) {
    assert_int_equal(parse_exact(&bytes, len, &frame), ERR_AGAIN);
    assert_memory_equal(&frame, &untouched, sizeof frame);
  }
}

static void naive_unmask(char *bytes, size_t len, uint64_t offset) {
  for (size_t i = 0; i < len; i++)
    bytes[i] = (char)((uint8_t)bytes[i] ^ client_mask[(offset + i) % 4]);
}

static void unmasking_agrees_with_the_definition(void **state) {
  (void)state;
  for (size_t len = 0; len < 200; len++) {
    for (size_t offset = 0; offset < 9; offset++) {
      char fast[200], naive[200];
      for (size_t i = 0; i < sizeof fast; i++)
        fast[i] = naive[i] = (char)(i * 31 + len);
      /* Not aligned. */
      size_t start = (len + offset) % 5;
      size_t part = len > start ? len - start : 0;
      ws_frame_unmask(fast + start, part, client_mask, offset);
      naive_unmask(naive + start, part, offset);
      assert_memory_equal(fast, naive, sizeof fast);
    }
  }
}

static void unmasking_in_pieces_is_unmasking_the_whole(void **state) {
  (void)state;
  for (size_t cut = 0; cut <= 150; cut++) {
    char whole[150], pieces[150];
    for (size_t i = 0; i < sizeof whole; i++)
      whole[i] = pieces[i] = (char)(i * 7);
    ws_frame_unmask(whole, sizeof whole, client_mask, 0);
    ws_frame_unmask(pieces, cut, client_mask, 0);
    ws_frame_unmask(pieces + cut, sizeof pieces - cut, client_mask, cut);
    assert_memory_equal(whole, pieces, sizeof whole);
  }
}

static void our_headers_are_unmasked_whole_frames(void **state) {
  (void)state;
  static const struct {
    enum ws_opcode opcode;
    uint64_t len;
    struct slice header;
  } cases[] = {
      {WS_TEXT, 0, SLICE_INIT("\x81\x00")},
      {WS_TEXT, 125, SLICE_INIT("\x81\x7d")},
      {WS_TEXT, 126, SLICE_INIT("\x81\x7e\x00\x7e")},
      {WS_BINARY, 127, SLICE_INIT("\x82\x7e\x00\x7f")},
      {WS_TEXT, 65535, SLICE_INIT("\x81\x7e\xff\xff")},
      {WS_TEXT, 65536, SLICE_INIT("\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00")},
      {WS_TEXT, 0x0102030405060708, SLICE_INIT("\x81\x7f\x01\x02\x03\x04\x05\x06\x07\x08")},
      {WS_CLOSE, 2, SLICE_INIT("\x88\x02")},
      {WS_PING, 0, SLICE_INIT("\x89\x00")},
      {WS_PONG, 4, SLICE_INIT("\x8a\x04")},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    char out[WS_FRAME_HEADER_MAX];
    size_t len = ws_frame_header_encode(out, cases[i].opcode, cases[i].len);
    assert_int_equal(len, ws_frame_header_len(cases[i].len));
    assert_true(slice_equal(slice_of(out, len), cases[i].header));
  }
}

/* What we encode, with a mask, is what we parse. */
static void encode_then_parse_is_identity(void **state) {
  (void)state;
  for (uint64_t len = 1; len < 1ull << 62; len = len * 3 + 1) {
    char bytes[WS_FRAME_CLIENT_HEADER_MAX];
    size_t header_len = ws_frame_header_encode(bytes, WS_TEXT, len);
    bytes[1] = (char)(bytes[1] | MASKED);
    memcpy(bytes + header_len, client_mask, 4);
    struct ws_frame frame;
    assert_int_equal(ws_frame_parse(bytes, header_len + 4, 0, &frame), 0);
    assert_true(frame.payload_len == len && frame.fin && frame.opcode == WS_TEXT);
    assert_int_equal(frame.header_len, header_len + 4);
  }
}

static void close_codes(void **state) {
  (void)state;
  static const struct {
    unsigned from, to;
    bool is_valid;
  } ranges[] = {
      {0, 999, false},     {1000, 1003, true}, {1004, 1006, false},  {1007, 1014, true},
      {1015, 2999, false}, {3000, 4999, true}, {5000, 65535, false},
  };
  for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
    for (unsigned code = ranges[i].from; code <= ranges[i].to; code++)
      assert_int_equal(ws_close_code_is_valid(code), ranges[i].is_valid);
  }
}

/* RFC 7692 6: on the first frame of a message, and nowhere else. */
static void a_reserved_bit_may_be_allowed(void **state) {
  (void)state;
  struct ws_frame frame;
  for (unsigned byte = 0; byte < 256; byte++) {
    const char bytes[] = {(char)byte, (char)0x80, 1, 2, 3, 4};
    bool is_plain = ws_frame_parse(bytes, sizeof bytes, 0, &frame) == 0;
    bool begins = (byte & 0x0f) == WS_TEXT || (byte & 0x0f) == WS_BINARY;
    bool is_compressed = (byte & 0x70) == WS_RSV1 && begins;
    int err = ws_frame_parse(bytes, sizeof bytes, WS_RSV1, &frame);
    assert_int_equal(err, is_plain || is_compressed ? 0 : ERR_INVALID);
    if (err == 0) assert_int_equal(frame.rsv, is_compressed ? WS_RSV1 : 0);
  }
}

/* What a server sends has the same header without a mask. */
static void a_server_s_header_is_read_by_a_client(void **state) {
  (void)state;
  static const uint64_t lengths[] = {0, 1, 125, 126, 65535, 65536, 1 << 20};
  struct ws_frame frame;
  for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
    char bytes[WS_FRAME_HEADER_MAX];
    size_t len = ws_frame_header_encode(bytes, WS_TEXT, lengths[i]);
    for (size_t cut = 0; cut < len; cut++)
      assert_int_equal(ws_frame_parse_server(bytes, cut, 0, &frame), ERR_AGAIN);
    assert_int_equal(ws_frame_parse_server(bytes, len, 0, &frame), 0);
    assert_int_equal(frame.header_len, len);
    assert_int_equal(frame.payload_len, lengths[i]);
    assert_true(frame.fin && frame.opcode == WS_TEXT && frame.rsv == 0);
  }
  const char masked[] = {(char)0x81, (char)0x80, 1, 2, 3, 4};
  const char compressed[] = {(char)0xc1, 0};
  const char endless_close[] = {(char)0x88, 126, 0, (char)126};
  assert_int_equal(ws_frame_parse_server(masked, sizeof masked, 0, &frame), ERR_INVALID);
  assert_int_equal(ws_frame_parse_server(endless_close, 4, 0, &frame), ERR_INVALID);
  assert_int_equal(ws_frame_parse_server(compressed, 2, 0, &frame), ERR_INVALID);
  assert_int_equal(ws_frame_parse_server(compressed, 2, WS_RSV1, &frame), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_reserved_bit_may_be_allowed),
      cmocka_unit_test(a_server_s_header_is_read_by_a_client),
      cmocka_unit_test(every_first_byte_is_judged),
      cmocka_unit_test(every_length_has_one_form),
      cmocka_unit_test(a_length_with_the_top_bit_is_too_big),
      cmocka_unit_test(a_frame_without_mask_is_refused),
      cmocka_unit_test(control_frames_are_short),
      cmocka_unit_test(more_is_asked_for_without_touching_the_answer),
      cmocka_unit_test(unmasking_agrees_with_the_definition),
      cmocka_unit_test(unmasking_in_pieces_is_unmasking_the_whole),
      cmocka_unit_test(our_headers_are_unmasked_whole_frames),
      cmocka_unit_test(encode_then_parse_is_identity),
      cmocka_unit_test(close_codes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
