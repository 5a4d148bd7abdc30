/* All connections of a run, the loop that serves them, and the messages that go through them.
 *
 * Burst k is published by publisher k % publishers, or by who has room for it (LOAD_PUBLISH), to
 * topic k % topics, so that every topic has its turn. Owns its connections. One thread. */
#ifndef EVENTHUB_BENCH_LOAD_CROWD_H
#define EVENTHUB_BENCH_LOAD_CROWD_H

#include <stdint.h>

#include "load_connection.h"
#include "load_options.h"

struct load_crowd {
  struct load_shared shared;
  struct load_connection *connections; /* the subscribers, then the publishers */
  uint32_t count;
  uint32_t opened;
  int timer_fd;
  uint64_t wake_ns; /* what the timer is set to */
  uint64_t published;
  uint64_t expected;   /* deliveries that the published messages make */
  uint64_t handshakes; /* by load_crowd_reconnect */
};

/* The options must outlive the crowd. ERR_SYSTEM after one line to stderr: too few descriptors. */
int load_crowd_init(struct load_crowd *crowd, const struct load_options *options);
void load_crowd_done(struct load_crowd *crowd);

/* Connects and subscribes everybody, not too many at once. ERR_UNAVAILABLE after one line to
 * stderr: some did not get there in time. */
int load_crowd_open(struct load_crowd *crowd);

/* Serves the connections until something happened, or the time (clock_monotonic_ns) has come. */
void load_crowd_wait(struct load_crowd *crowd, uint64_t until_ns);

/* Queues the next message, stamped with the time at which it was due, at the publisher whose turn
 * it is or at the one given; load_crowd_flush sends what the publishers have queued. */
void load_crowd_publish(struct load_crowd *crowd, uint64_t due_ns);
void load_crowd_publish_by(struct load_crowd *crowd, struct load_connection *publisher,
                           uint64_t due_ns);
void load_crowd_flush(struct load_crowd *crowd);

/* Closes the connections that stand and opens others in their place. */
int load_crowd_reconnect(struct load_crowd *crowd);

/* Deliveries that the next message makes. */
uint32_t load_crowd_fan(const struct load_crowd *crowd);

/* Segments with data that the subscribers have received so far. */
uint64_t load_crowd_segments(const struct load_crowd *crowd);

/* Deliveries that are still on their way, or lost. */
uint64_t load_crowd_outstanding(const struct load_crowd *crowd);

/* Publishes of a broker's clients that have no answer yet. */
uint64_t load_crowd_unanswered(const struct load_crowd *crowd);

/* Publisher `index`, from 0. */
struct load_connection *load_crowd_publisher(const struct load_crowd *crowd, uint32_t index);

#endif
