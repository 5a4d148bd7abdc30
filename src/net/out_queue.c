#include "eventhub/net/out_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"

enum { PARTS_MAX = 64, OWN_CHUNK_SIZE = 4096, RING_SIZE = 4 };

/* A ring of `cap` (a power of two) spans. */
struct span_ring {
  uint32_t first, count, cap;
  struct span spans[];
};

static struct span *ring_at(struct span_ring *ring, uint32_t index) {
  assert(ring != NULL);
  return &ring->spans[(ring->first + index) & (ring->cap - 1)];
}

static struct span_ring *ring_new(uint32_t cap) {
  struct span_ring *ring = x_malloc(sizeof *ring + cap * sizeof(struct span));
  ring->first = ring->count = 0;
  ring->cap = cap;
  return ring;
}

static struct span_ring *ring_grow(struct span_ring *ring) {
  if (ring == NULL) return ring_new(RING_SIZE);
  if (ring->count < ring->cap) return ring;
  struct span_ring *larger = ring_new(ring->cap * 2);
  for (uint32_t i = 0; i < ring->count; i++)
    larger->spans[i] = *ring_at(ring, i);
  larger->count = ring->count;
  free(ring);
  return larger;
}

static uint32_t rest_count(const struct out_queue *queue) {
  return queue->rest == NULL ? 0 : queue->rest->count;
}

static struct span *tail(struct out_queue *queue) {
  uint32_t count = rest_count(queue);
  return count > 0 ? ring_at(queue->rest, count - 1) : &queue->head;
}

/* The span's reference passes to the queue. */
static void append(struct out_queue *queue, struct span span) {
  if (queue->head.chunk == NULL) {
    queue->head = span;
    return;
  }
  queue->rest = ring_grow(queue->rest);
  *ring_at(queue->rest, queue->rest->count) = span;
  queue->rest->count++;
}

static void drop_head(struct out_queue *queue) {
  assert(queue->head.chunk != NULL);
  chunk_unref(queue->head.chunk);
  queue->head = (struct span){0};
  queue->head_sent = 0;
  if (rest_count(queue) == 0) return;
  queue->head = *ring_at(queue->rest, 0);
  queue->rest->first++;
  queue->rest->count--;
}

void out_queue_init(struct out_queue *queue) {
  memset(queue, 0, sizeof *queue);
}

void out_queue_done(struct out_queue *queue) {
  while (queue->head.chunk != NULL)
    drop_head(queue);
  free(queue->rest);
  out_queue_init(queue);
}

/* The tail may grow in place where nobody else holds its chunk and it reaches to the end of what is
 * used. */
static bool tail_takes(const struct span *last, uint32_t len) {
  const struct chunk *chunk = last->chunk;
  return chunk != NULL && chunk->refs == 1 && last->offset + last->len == chunk->used &&
         chunk->cap - chunk->used >= len;
}

static void append_copy(struct out_queue *queue, const char *bytes, uint32_t len) {
  struct span *last = tail(queue);
  if (tail_takes(last, len)) {
    memcpy(last->chunk->data + last->chunk->used, bytes, len);
    last->chunk->used += len;
    last->len += len;
    return;
  }
  struct chunk *own = chunk_new(len > OWN_CHUNK_SIZE ? len : OWN_CHUNK_SIZE);
  memcpy(own->data, bytes, len);
  own->used = len;
  append(queue, (struct span){.chunk = own, .offset = 0, .len = len});
}

static bool is_small(const struct span *span) {
  return span->len < span->chunk->cap / 4;
}

void out_queue_push(struct out_queue *queue, const struct span *span) {
  queue->bytes += span->len;
  if (queue->blocked && is_small(span)) {
    append_copy(queue, span_bytes(span), span->len);
    return;
  }
  struct span *last = tail(queue);
  if (last->chunk == span->chunk && last->offset + last->len == span->offset &&
      last->len < SPAN_MAX - span->len) {
    last->len += span->len;
    return;
  }
  chunk_ref(span->chunk);
  append(queue, *span);
}

static int fill_parts(struct out_queue *queue, struct iovec *parts) {
  parts[0].iov_base = span_bytes(&queue->head) + queue->head_sent;
  parts[0].iov_len = queue->head.len - queue->head_sent;
  uint32_t more = rest_count(queue);
  int count = 1;
  for (uint32_t i = 0; i < more && count < PARTS_MAX; i++, count++) {
    struct span *span = ring_at(queue->rest, i);
    parts[count] = (struct iovec){.iov_base = span_bytes(span), .iov_len = span->len};
  }
  return count;
}

static void consume(struct out_queue *queue, size_t sent) {
  queue->bytes -= sent;
  while (sent > 0) {
    uint32_t left = queue->head.len - queue->head_sent;
    if (sent < left) {
      queue->head_sent += (uint32_t)sent;
      return;
    }
    sent -= left;
    drop_head(queue);
  }
}

/* The head starts at a frame again as soon as the last unframed byte is sent. */
static void consume_unframed(struct out_queue *queue, uint32_t sent) {
  consume(queue, sent);
  queue->unframed -= sent;
  if (queue->unframed > 0 || queue->head_sent == 0) return;
  queue->head.offset += queue->head_sent;
  queue->head.len -= queue->head_sent;
  queue->head_sent = 0;
}

static void account_sent(struct out_queue *queue, size_t sent) {
  if (queue->unframed > 0) {
    uint32_t unframed = sent < queue->unframed ? (uint32_t)sent : queue->unframed;
    consume_unframed(queue, unframed);
    sent -= unframed;
  }
  consume(queue, sent);
}

/* Rebuilds the queue with small spans copied into chunks of its own. The head keeps its beginning,
 * sent or not: truncating needs a frame's start. */
static void detach(struct out_queue *queue) {
  struct out_queue old = *queue;
  queue->head = (struct span){0};
  queue->rest = NULL;
  while (old.head.chunk != NULL) {
    if (is_small(&old.head)) {
      append_copy(queue, span_bytes(&old.head), old.head.len);
    } else {
      chunk_ref(old.head.chunk);
      append(queue, old.head);
    }
    drop_head(&old);
  }
  free(old.rest);
}

static void release_ring(struct out_queue *queue) {
  free(queue->rest);
  queue->rest = NULL;
}

/* What one send answered: 0, or the end of the flush. */
static int take_result(struct out_queue *queue, ssize_t sent, size_t *ret_sent) {
  if (sent == ERR_CLOSED) return ERR_CLOSED;
  if (sent == ERR_AGAIN) {
    if (!queue->blocked) detach(queue);
    queue->blocked = true;
    return ERR_AGAIN;
  }
  account_sent(queue, (size_t)sent);
  *ret_sent += (size_t)sent;
  return 0;
}

static int flush_rest(struct out_queue *queue, struct stream *stream, size_t *ret_sent) {
  struct iovec parts[PARTS_MAX];
  while (queue->bytes > 0) {
    int count = fill_parts(queue, parts);
    int err = take_result(queue, stream_sendv(stream, parts, count), ret_sent);
    if (err < 0) return err;
  }
  if (queue->rest != NULL) release_ring(queue);
  int err = stream_flush(stream);
  queue->blocked = err == ERR_AGAIN;
  return err;
}

int out_queue_flush(struct out_queue *queue, struct stream *stream, size_t *ret_sent) {
  *ret_sent = 0;
  return flush_rest(queue, stream, ret_sent);
}

struct slice out_queue_piece(const struct out_queue *queue) {
  if (queue->bytes == 0 || rest_count(queue) > 0) return (struct slice){NULL, 0};
  return slice_of(span_bytes(&queue->head) + queue->head_sent, queue->head.len - queue->head_sent);
}

int out_queue_continue(struct out_queue *queue, struct stream *stream, ssize_t result,
                       size_t *ret_sent) {
  *ret_sent = 0;
  int err = take_result(queue, result, ret_sent);
  return err < 0 ? err : flush_rest(queue, stream, ret_sent);
}

/* Moves the first `len` unsent bytes of `old` to the queue. */
static void keep(struct out_queue *queue, struct out_queue *old, size_t len) {
  while (len > 0 && old->head.chunk != NULL) {
    size_t left = old->head.len - old->head_sent;
    size_t part = len < left ? len : left;
    append_copy(queue, span_bytes(&old->head) + old->head_sent, (uint32_t)part);
    queue->bytes += part;
    len -= part;
    drop_head(old);
  }
}

void out_queue_truncate(struct out_queue *queue, out_queue_boundary_fn *boundary) {
  if (queue->head.chunk == NULL) return;
  struct out_queue old = *queue;
  out_queue_init(queue);
  queue->blocked = old.blocked;
  queue->unframed = old.unframed;
  /* What is left of a frame is no frame: it counts as unframed, should there be another truncation.
   */
  if (old.unframed == 0 && old.head_sent > 0) {
    size_t end = boundary(span_bytes(&old.head), old.head.len, old.head_sent);
    queue->unframed = (uint32_t)(end - old.head_sent);
  }
  keep(queue, &old, queue->unframed);
  out_queue_done(&old);
}
