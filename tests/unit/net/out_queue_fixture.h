#ifndef EVENTHUB_TESTS_NET_OUT_QUEUE_FIXTURE_H
#define EVENTHUB_TESTS_NET_OUT_QUEUE_FIXTURE_H

/*
 * A queue, a socket that takes little, and the peer's end of it. A frame of these tests is two
 * bytes of length and as many of payload. The linker leads chunk_new, chunk_free and stream_sendv
 * here, so that live chunks and parts can be counted. Include after cmocka.h.
 */

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/err.h"
#include "eventhub/net/out_queue.h"

enum { FRAME_HEADER = 2, FRAME_PAYLOAD_MAX = 65535, SMALLEST_BUFFER = 1 };

struct counters {
  size_t chunk_bytes; /* capacity of all chunks there are */
  size_t sends;       /* calls of stream_sendv */
  int last_parts;     /* ... and what the last one was given */
} counters;

struct chunk *__real_chunk_new(uint32_t cap);
struct chunk *__wrap_chunk_new(uint32_t cap);
void __real_chunk_free(struct chunk *chunk);
void __wrap_chunk_free(struct chunk *chunk);
ssize_t __real_stream_sendv(struct stream *stream, struct iovec *parts, int count);
ssize_t __wrap_stream_sendv(struct stream *stream, struct iovec *parts, int count);

struct chunk *__wrap_chunk_new(uint32_t cap) {
  counters.chunk_bytes += cap;
  return __real_chunk_new(cap);
}

void __wrap_chunk_free(struct chunk *chunk) {
  counters.chunk_bytes -= chunk->cap;
  __real_chunk_free(chunk);
}

ssize_t __wrap_stream_sendv(struct stream *stream, struct iovec *parts, int count) {
  counters.sends++;
  counters.last_parts = count;
  return __real_stream_sendv(stream, parts, count);
}

struct fixture {
  struct out_queue queue;
  struct stream stream;
  int peer;
  struct buf received;
};

static inline void fixture_init(struct fixture *fixture) {
  int fds[2], size = SMALLEST_BUFFER;
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
  out_queue_init(&fixture->queue);
  stream_open(&fixture->stream, fds[0]);
  fixture->peer = fds[1];
  fixture->received = (struct buf)BUF_INIT;
  counters = (struct counters){0};
}

static inline void fixture_done(struct fixture *fixture) {
  out_queue_done(&fixture->queue);
  stream_close(&fixture->stream);
  close(fixture->peer);
  buf_done(&fixture->received);
  assert_int_equal(counters.chunk_bytes, 0);
}

/* What the peer reads, up to `most` bytes. */
static inline size_t fixture_read(struct fixture *fixture, size_t most) {
  size_t before = fixture->received.len;
  while (most > 0) {
    size_t room = most < 65536 ? most : 65536;
    ssize_t len = read(fixture->peer, buf_reserve(&fixture->received, room), room);
    if (len <= 0) break;
    buf_commit(&fixture->received, (size_t)len);
    most -= (size_t)len;
  }
  return fixture->received.len - before;
}

/* The peer reads all that is queued. */
static inline void fixture_drain(struct fixture *fixture) {
  size_t sent = 0;
  while (out_queue_flush(&fixture->queue, &fixture->stream, &sent) == ERR_AGAIN)
    assert_true(fixture_read(fixture, SIZE_MAX) > 0);
  fixture_read(fixture, SIZE_MAX);
}

/* Flushes until the socket takes no more. */
static inline size_t fixture_block(struct fixture *fixture) {
  size_t sent = 0;
  assert_int_equal(out_queue_flush(&fixture->queue, &fixture->stream, &sent), ERR_AGAIN);
  assert_true(fixture->queue.blocked);
  return sent;
}

/* Writes a frame behind what the chunk has. */
static inline struct span write_frame(struct chunk *chunk, size_t payload_len, char byte) {
  struct span span = {
      .chunk = chunk, .offset = chunk->used, .len = (uint32_t)(FRAME_HEADER + payload_len)};
  assert_true(payload_len <= FRAME_PAYLOAD_MAX && span.len <= chunk->cap - chunk->used);
  char *at = span_bytes(&span);
  at[0] = (char)(payload_len >> 8);
  at[1] = (char)(payload_len & 0xff);
  memset(at + FRAME_HEADER, byte, payload_len);
  chunk->used += span.len;
  return span;
}

static inline size_t frame_end(const char *bytes, size_t at) {
  const unsigned char *header = (const unsigned char *)bytes + at;
  return at + FRAME_HEADER + ((size_t)header[0] << 8 | header[1]);
}

/* An out_queue_boundary_fn. */
static inline size_t boundary(const char *bytes, size_t len, size_t at) {
  size_t end = 0;
  while (end < at)
    end = frame_end(bytes, end);
  assert_true(end <= len);
  return end;
}

#endif
