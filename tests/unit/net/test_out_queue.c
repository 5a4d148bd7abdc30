#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "out_queue_fixture.h"

static void push_frame(struct fixture *fixture, struct chunk *chunk, size_t payload_len,
                       char byte) {
  struct span span = write_frame(chunk, payload_len, byte);
  out_queue_push(&fixture->queue, &span);
}

/* Frames of 100 bytes until the socket and more are full. */
static void push_plenty(struct fixture *fixture, struct chunk *chunk) {
  for (char byte = 0; byte < 100; byte++)
    push_frame(fixture, chunk, 98, byte);
}

static void an_empty_queue_sends_nothing(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture);
  size_t sent = 1;
  assert_true(out_queue_is_empty(&fixture.queue));
  assert_int_equal(out_queue_flush(&fixture.queue, &fixture.stream, &sent), 0);
  assert_int_equal(sent, 0);
  assert_int_equal(counters.sends, 0);
  out_queue_truncate(&fixture.queue, boundary);
  fixture_done(&fixture);
}

static void the_frames_of_a_turn_leave_as_one_part(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture);
  struct chunk *chunk = chunk_new(CHUNK_SIZE);
  for (char byte = 0; byte < 10; byte++)
    push_frame(&fixture, chunk, 50, byte);
  assert_int_equal(chunk->refs, 2);
  assert_null(fixture.queue.rest);
  size_t sent = 0;
  assert_int_equal(out_queue_flush(&fixture.queue, &fixture.stream, &sent), 0);
  assert_int_equal(sent, 520);
  assert_int_equal(counters.sends, 1);
  assert_int_equal(counters.last_parts, 1);
  assert_int_equal(chunk->refs, 1);
  chunk_unref(chunk);
  fixture_done(&fixture);
}

static void frames_with_a_gap_between_leave_in_one_call(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture);
  struct chunk *chunk = chunk_new(CHUNK_SIZE);
  AUTO(buf) struct buf expected = BUF_INIT;
  for (char byte = 0; byte < 20; byte++) {
    struct span span = write_frame(chunk, 10, byte);
    if (byte % 2 == 0) continue;
    out_queue_push(&fixture.queue, &span);
    buf_append(&expected, span_bytes(&span), span.len);
  }
  size_t sent = 0;
  assert_int_equal(out_queue_flush(&fixture.queue, &fixture.stream, &sent), 0);
  assert_int_equal(counters.sends, 1);
  assert_int_equal(counters.last_parts, 10);
  assert_int_equal(fixture_read(&fixture, SIZE_MAX), expected.len);
  assert_memory_equal(fixture.received.data, expected.data, expected.len);
  assert_null(fixture.queue.rest);
  chunk_unref(chunk);
  fixture_done(&fixture);
}

static void more_spans_than_one_call_takes_keep_their_order(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture);
  struct chunk *chunk = chunk_new(CHUNK_SIZE);
  AUTO(buf) struct buf expected = BUF_INIT;
  for (int i = 0; i < 2000; i++) {
    struct span span = write_frame(chunk, (size_t)(i % 7), (char)i);
    if (i % 2 == 0) continue;
    out_queue_push(&fixture.queue, &span);
    buf_append(&expected, span_bytes(&span), span.len);
  }
  fixture_drain(&fixture);
  assert_int_equal(fixture.received.len, expected.len);
  assert_memory_equal(fixture.received.data, expected.data, expected.len);
  chunk_unref(chunk);
  fixture_done(&fixture);
}

static void a_peer_that_is_gone_is_closed(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture);
  struct chunk *chunk = chunk_new(CHUNK_SIZE);
  push_frame(&fixture, chunk, 10, 'x');
  close(fixture.peer);
  fixture.peer = -1;
  size_t sent = 1;
  assert_int_equal(out_queue_flush(&fixture.queue, &fixture.stream, &sent), ERR_CLOSED);
  assert_int_equal(sent, 0);
  out_queue_done(&fixture.queue);
  assert_int_equal(chunk->refs, 1);
  chunk_unref(chunk);
  fixture_done(&fixture);
}

static void what_waits_for_a_blocked_peer_lets_go_of_shared_memory(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture);
  struct chunk *chunk = chunk_new(CHUNK_SIZE);
  push_plenty(&fixture, chunk);
  assert_int_equal(chunk->refs, 2);
  size_t sent = fixture_block(&fixture);
  assert_int_equal(fixture.queue.bytes, 100 * 100 - sent);
  assert_int_equal(chunk->refs, 1);
  push_plenty(&fixture, chunk);
  assert_int_equal(chunk->refs, 1);
  assert_true(counters.chunk_bytes - chunk->cap <= 100 * 200 + 8192);
  fixture_drain(&fixture);
  assert_int_equal(fixture.received.len, 100 * 200);
  assert_memory_equal(fixture.received.data, chunk->data, 100 * 200);
  chunk_unref(chunk);
  fixture_done(&fixture);
}

/* Copying it would cost as much as it holds. */
static void a_large_span_stays_shared(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture);
  struct chunk *chunk = chunk_new(CHUNK_SIZE);
  push_frame(&fixture, chunk, 40000, 'x');
  fixture_block(&fixture);
  assert_int_equal(chunk->refs, 2);
  fixture_drain(&fixture);
  assert_int_equal(chunk->refs, 1);
  assert_false(fixture.queue.blocked);
  chunk_unref(chunk);
  fixture_done(&fixture);
}

static void once_it_has_drained_the_queue_shares_again(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture);
  struct chunk *chunk = chunk_new(CHUNK_SIZE);
  push_plenty(&fixture, chunk);
  fixture_block(&fixture);
  fixture_drain(&fixture);
  assert_int_equal(counters.chunk_bytes, CHUNK_SIZE);
  push_frame(&fixture, chunk, 10, 'x');
  assert_int_equal(chunk->refs, 2);
  chunk_unref(chunk);
  fixture_done(&fixture);
}

static void truncating_keeps_nothing_where_nothing_is_half_sent(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture);
  struct chunk *chunk = chunk_new(CHUNK_SIZE);
  push_plenty(&fixture, chunk);
  out_queue_truncate(&fixture.queue, boundary);
  assert_true(out_queue_is_empty(&fixture.queue));
  assert_int_equal(chunk->refs, 1);
  chunk_unref(chunk);
  fixture_done(&fixture);
}

static void truncating_keeps_the_rest_of_a_half_sent_frame(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture);
  struct chunk *chunk = chunk_new(CHUNK_SIZE);
  push_frame(&fixture, chunk, 30000, 'a');
  push_frame(&fixture, chunk, 30000, 'b');
  size_t sent = fixture_block(&fixture);
  assert_true(sent > 0 && sent < 30000);
  out_queue_truncate(&fixture.queue, boundary);
  assert_int_equal(fixture.queue.bytes, FRAME_HEADER + 30000 - sent);
  assert_int_equal(chunk->refs, 1);
  struct span last = write_frame(chunk, 5, 'z');
  out_queue_push(&fixture.queue, &last);
  fixture_drain(&fixture);
  assert_int_equal(fixture.received.len, 2 * FRAME_HEADER + 30005);
  assert_memory_equal(fixture.received.data, chunk->data, FRAME_HEADER + 30000);
  assert_memory_equal(fixture.received.data + FRAME_HEADER + 30000, span_bytes(&last), last.len);
  chunk_unref(chunk);
  fixture_done(&fixture);
}

static void truncating_twice_cuts_no_frame(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture);
  struct chunk *chunk = chunk_new(CHUNK_SIZE);
  push_frame(&fixture, chunk, 30000, 'a');
  push_frame(&fixture, chunk, 30000, 'b');
  fixture_block(&fixture);
  out_queue_truncate(&fixture.queue, boundary);
  out_queue_truncate(&fixture.queue, boundary);
  assert_true(fixture_read(&fixture, SIZE_MAX) > 0);
  fixture_block(&fixture);
  out_queue_truncate(&fixture.queue, boundary);
  fixture_drain(&fixture);
  assert_int_equal(fixture.received.len, FRAME_HEADER + 30000);
  assert_memory_equal(fixture.received.data, chunk->data, FRAME_HEADER + 30000);
  chunk_unref(chunk);
  fixture_done(&fixture);
}

static void truncating_keeps_the_answer_to_the_handshake(void **state) {
  (void)state;
  struct fixture fixture;
  fixture_init(&fixture);
  struct chunk *chunk = chunk_new(CHUNK_SIZE);
  struct span answer = {.chunk = chunk, .len = 129};
  memset(chunk->data, 0xff, answer.len);
  chunk->used = answer.len;
  out_queue_push(&fixture.queue, &answer);
  fixture.queue.unframed = answer.len;
  push_frame(&fixture, chunk, 100, 'a');
  out_queue_truncate(&fixture.queue, boundary);
  fixture_drain(&fixture);
  assert_int_equal(fixture.received.len, answer.len);
  assert_memory_equal(fixture.received.data, chunk->data, answer.len);
  assert_int_equal(fixture.queue.unframed, 0);
  chunk_unref(chunk);
  fixture_done(&fixture);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_empty_queue_sends_nothing),
      cmocka_unit_test(the_frames_of_a_turn_leave_as_one_part),
      cmocka_unit_test(frames_with_a_gap_between_leave_in_one_call),
      cmocka_unit_test(more_spans_than_one_call_takes_keep_their_order),
      cmocka_unit_test(a_peer_that_is_gone_is_closed),
      cmocka_unit_test(what_waits_for_a_blocked_peer_lets_go_of_shared_memory),
      cmocka_unit_test(a_large_span_stays_shared),
      cmocka_unit_test(once_it_has_drained_the_queue_shares_again),
      cmocka_unit_test(truncating_keeps_nothing_where_nothing_is_half_sent),
      cmocka_unit_test(truncating_keeps_the_rest_of_a_half_sent_frame),
      cmocka_unit_test(truncating_twice_cuts_no_frame),
      cmocka_unit_test(truncating_keeps_the_answer_to_the_handshake),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
