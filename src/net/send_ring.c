#include "eventhub/net/send_ring.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"

struct send_ring {
  struct io_uring ring;
  unsigned count;
  size_t bytes;
};

struct send_ring *send_ring_new(void) {
  struct send_ring *ring = x_calloc(1, sizeof *ring);
  if (io_uring_queue_init(SEND_RING_MAX, &ring->ring, 0) == 0) return ring;
  free(ring);
  return NULL;
}

void send_ring_free(struct send_ring *ring) {
  if (ring == NULL) return;
  io_uring_queue_exit(&ring->ring);
  free(ring);
}

bool send_ring_takes(const struct send_ring *ring) {
  return ring->count < SEND_RING_MAX && ring->bytes < SEND_RING_BYTES_MAX;
}

void send_ring_add(struct send_ring *ring, int fd, struct slice bytes, void *owner) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
  assert(sqe != NULL && ring->count < SEND_RING_MAX);
  io_uring_prep_send(sqe, fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
  io_uring_sqe_set_data(sqe, owner);
  ring->count++;
  ring->bytes += bytes.len;
}

/* Of what was interrupted nothing was sent, and no event will tell to go on. */
static ssize_t result_of(int res) {
  if (res > 0 || res == -EINTR) return res > 0 ? res : 0;
  return res == -EAGAIN ? ERR_AGAIN : ERR_CLOSED;
}

/* Interrupted calls go on: all that was added is sent. */
static void submit(struct send_ring *ring) {
  do {
    int err = io_uring_submit_and_wait(&ring->ring, ring->count);
    assert(err >= 0 || err == -EINTR || err == -EAGAIN);
  } while (io_uring_sq_ready(&ring->ring) > 0);
}

void send_ring_submit(struct send_ring *ring, send_ring_fn *on_sent) {
  if (ring->count > 0) submit(ring);
  while (ring->count > 0) {
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(&ring->ring, head, cqe) {
      on_sent(io_uring_cqe_get_data(cqe), result_of(cqe->res));
      seen++;
    }
    io_uring_cq_advance(&ring->ring, seen);
    ring->count -= seen;
    if (ring->count > 0) io_uring_wait_cqe(&ring->ring, &cqe);
  }
  ring->bytes = 0;
}
