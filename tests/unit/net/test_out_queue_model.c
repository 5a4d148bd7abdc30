#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "out_queue_fixture.h"

/*
 * Random pushes, flushes, reads and truncations against a model that is nothing but the bytes that
 * the peer must get in the end, and the places in them where a truncation may cut.
 */

enum {
  RUNS = 300,
  STEPS = 400,
  PLENTY = 512 * 1024, /* queued: no more is pushed */
  ENDS_MAX = STEPS * 8 + 1
};

static uint64_t seed; /* of the run that is going on */

struct model {
  struct fixture fixture;
  uint64_t random;
  struct chunk *shared; /* as an arena has it; NULL or with our reference */
  struct buf stream;    /* all that was pushed and not truncated */
  size_t sent;
  size_t unframed; /* at the beginning of the stream */
  size_t ends[ENDS_MAX], end_count;
  char next_byte;
};

static uint64_t pick(struct model *model, uint64_t below) {
  model->random = model->random * 6364136223846793005u + 1442695040888963407u;
  return (model->random >> 33) % below;
}

/* Mostly small frames, at times large ones. */
static size_t pick_payload(struct model *model) {
  switch (pick(model, 8)) {
  case 0: return pick(model, 30000);
  case 1: return pick(model, 5000);
  case 2: return 0;
  default: return pick(model, 200);
  }
}

static void end_of_turn(struct model *model) {
  if (model->shared == NULL) return;
  if (model->shared->refs == 1 && pick(model, 2) == 0) {
    model->shared->used = 0;
    return;
  }
  chunk_unref(model->shared);
  model->shared = NULL;
}

static struct chunk *room_for(struct model *model, size_t len) {
  if (model->shared != NULL && model->shared->cap - model->shared->used < len) {
    chunk_unref(model->shared);
    model->shared = NULL;
  }
  if (model->shared == NULL)
    model->shared = chunk_new(len > CHUNK_SIZE ? (uint32_t)len : CHUNK_SIZE);
  return model->shared;
}

/* One span of one to four frames, or none of it for this connection. */
static void push(struct model *model) {
  if (model->fixture.queue.bytes > PLENTY) return;
  struct span span = {0};
  size_t sizes[4], count = 1 + pick(model, 4), total = 0;
  for (size_t i = 0; i < count; i++)
    total += FRAME_HEADER + (sizes[i] = pick_payload(model));
  struct chunk *chunk = room_for(model, total);
  for (size_t i = 0; i < count; i++) {
    struct span frame = write_frame(chunk, sizes[i], model->next_byte++);
    if (i == 0) span = frame;
    span.len = frame.offset + frame.len - span.offset;
  }
  if (pick(model, 5) == 0) return; /* another connection's: a gap for this one */
  for (size_t i = 0, at = 0; i < count; i++) {
    at = frame_end(span_bytes(&span), at);
    model->ends[model->end_count++] = model->stream.len + at;
  }
  buf_append(&model->stream, span_bytes(&span), span.len);
  out_queue_push(&model->fixture.queue, &span);
}

static void flush(struct model *model) {
  size_t sent = 0;
  struct out_queue *queue = &model->fixture.queue;
  int err = out_queue_flush(queue, &model->fixture.stream, &sent);
  model->sent += sent;
  assert_int_equal(err, queue->bytes == 0 ? 0 : ERR_AGAIN);
  assert_int_equal(queue->blocked, err == ERR_AGAIN);
}

/* The first place at or behind what is sent where a frame ends. */
static size_t cut_of(const struct model *model) {
  if (model->sent <= model->unframed) return model->unframed;
  for (size_t i = 0; i < model->end_count; i++) {
    if (model->ends[i] >= model->sent) return model->ends[i];
  }
  return model->stream.len;
}

static void truncate_queue(struct model *model) {
  size_t cut = cut_of(model);
  out_queue_truncate(&model->fixture.queue, boundary);
  model->stream.len = cut;
  while (model->end_count > 0 && model->ends[model->end_count - 1] > cut)
    model->end_count--;
}

static void start(struct model *model) {
  memset(model, 0, sizeof *model);
  model->random = seed;
  fixture_init(&model->fixture);
  if (pick(model, 2) == 0) return;
  /* A handshake's answer, which is no frame. */
  model->unframed = 1 + pick(model, 9000);
  struct chunk *chunk = room_for(model, model->unframed);
  struct span span = {.chunk = chunk, .offset = chunk->used, .len = (uint32_t)model->unframed};
  memset(span_bytes(&span), 0xff, span.len);
  chunk->used += span.len;
  out_queue_push(&model->fixture.queue, &span);
  model->fixture.queue.unframed = span.len;
  buf_append(&model->stream, span_bytes(&span), span.len);
}

/* What is held for a client that does not read is within about what waits for it. */
static void check(const struct model *model) {
  const struct out_queue *queue = &model->fixture.queue;
  assert_int_equal(queue->bytes, model->stream.len - model->sent);
  if (!queue->blocked) return;
  size_t held = counters.chunk_bytes;
  if (model->shared != NULL) held -= model->shared->cap;
  assert_true(held <= 5 * queue->bytes + 2 * CHUNK_SIZE);
}

static void step(struct model *model) {
  switch (pick(model, 16)) {
  case 0: truncate_queue(model); break;
  case 1:
  case 2: fixture_read(&model->fixture, pick(model, 20000)); break;
  case 3:
  case 4:
  case 5: flush(model); break;
  case 6:
  case 7: end_of_turn(model); break;
  default: push(model);
  }
  check(model);
}

static void finish(struct model *model) {
  fixture_drain(&model->fixture);
  assert_int_equal(model->fixture.received.len, model->stream.len);
  assert_memory_equal(model->fixture.received.data, model->stream.data, model->stream.len);
  buf_done(&model->stream);
  if (model->shared != NULL) chunk_unref(model->shared);
  fixture_done(&model->fixture);
}

static void the_peer_gets_whole_frames_in_order_whatever_happens(void **state) {
  (void)state;
  static struct model model;
  for (seed = 1; seed <= RUNS; seed++) {
    start(&model);
    for (int i = 0; i < STEPS; i++)
      step(&model);
    finish(&model);
  }
}

static int tell_seed(void **state) {
  (void)state;
  if (seed <= RUNS) print_error("failed with seed %llu\n", (unsigned long long)seed);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(the_peer_gets_whole_frames_in_order_whatever_happens, tell_seed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
