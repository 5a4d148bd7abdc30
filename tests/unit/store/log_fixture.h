#ifndef EVENTHUB_TESTS_STORE_LOG_FIXTURE_H
#define EVENTHUB_TESTS_STORE_LOG_FIXTURE_H

/* An eventlog with its metrics, and the short ways to fill and read it. Include after cmocka.h. */

#include <stdlib.h>
#include <string.h>

#include "eventhub/store/eventlog.h"
#include "eventhub/store/log_read.h"

/* Long after the epoch, as clocks are. */
static const uint64_t FIXTURE_BIRTH_MS = 1700000000000;

struct fixture {
  struct eventlog log;
  struct store_metrics metrics;
  uint64_t now_ms;
  uint64_t back_ms;         /* the clock that ids see is behind by so much */
  struct log_answer answer; /* of the last read */
};

/* xorshift: the same numbers in every run, for a failure that can be found again. */
static inline uint64_t fixture_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static inline void fixture_init(struct fixture *fixture, uint32_t max_length,
                                uint32_t max_remembered) {
  memset(fixture, 0, sizeof *fixture);
  fixture->now_ms = FIXTURE_BIRTH_MS;
  struct eventlog_config config = {.keeps_messages = true,
                                   .max_length = max_length,
                                   .max_remembered = max_remembered,
                                   .birth_ms = FIXTURE_BIRTH_MS};
  eventlog_init(&fixture->log, &config, &fixture->metrics);
}

static inline void fixture_done(struct fixture *fixture) {
  log_answer_done(&fixture->answer);
  eventlog_done(&fixture->log);
}

static inline struct message_id fixture_publish_full(struct fixture *fixture, struct slice topic,
                                                     struct slice payload, uint64_t ttl_ms,
                                                     uint64_t wished_ms) {
  struct message *message = message_new(topic, payload, SLICE(""));
  struct log_topic *held = eventlog_hold(&fixture->log, topic);
  struct message_id id =
      eventlog_next_id(&fixture->log, held, wished_ms, fixture->now_ms - fixture->back_ms);
  message_set_id(message, id);
  message->expires_ms = ttl_ms == 0 ? 0 : fixture->now_ms + ttl_ms;
  eventlog_append(&fixture->log, held, message, 0);
  eventlog_release(&fixture->log, held, fixture->now_ms);
  message_unref(message);
  return id;
}

/* Never expires. */
static inline struct message_id fixture_publish(struct fixture *fixture, const char *topic,
                                                const char *payload) {
  return fixture_publish_full(fixture, slice_str(topic), slice_str(payload), 0, 0);
}

static inline struct message_id fixture_publish_ttl(struct fixture *fixture, const char *topic,
                                                    const char *payload, uint64_t ttl_ms) {
  return fixture_publish_full(fixture, slice_str(topic), slice_str(payload), ttl_ms, 0);
}

static inline struct message_id fixture_publish_at(struct fixture *fixture, const char *topic,
                                                   uint64_t wished_ms) {
  return fixture_publish_full(fixture, slice_str(topic), SLICE("0"), 0, wished_ms);
}

static inline void fixture_read(struct fixture *fixture, struct slice filter,
                                struct log_point point, uint32_t limit, size_t max_bytes) {
  struct log_query query = {.filter = filter,
                            .point = point,
                            .limit = limit,
                            .max_bytes = max_bytes,
                            .now_ms = fixture->now_ms};
  log_answer_done(&fixture->answer);
  log_read(&fixture->log, &query, &fixture->answer);
}

static inline void fixture_read_after(struct fixture *fixture, const char *filter,
                                      struct message_id id) {
  fixture_read(fixture, slice_str(filter), (struct log_point){LOG_SINCE_ID, id}, 1000, 0);
}

static inline void fixture_read_since(struct fixture *fixture, const char *filter, uint64_t ms) {
  fixture_read(fixture, slice_str(filter), (struct log_point){LOG_SINCE_TIME, {ms, 0}}, 1000, 0);
}

/* The payloads of the last answer, one behind the other: "1 2 3". */
static inline const char *fixture_payloads(const struct fixture *fixture) {
  static char text[4096];
  size_t len = 0;
  for (size_t i = 0; i < fixture->answer.count; i++) {
    struct slice payload = message_payload(fixture->answer.messages[i]);
    if (i > 0) text[len++] = ' ';
    memcpy(text + len, payload.ptr, payload.len);
    len += payload.len;
  }
  text[len] = '\0';
  return text;
}

#define assert_answer(fixture, payloads, is_recovered)                                             \
  do {                                                                                             \
    assert_string_equal(fixture_payloads(fixture), payloads);                                      \
    assert_int_equal((fixture)->answer.recovered, is_recovered);                                   \
  } while (0)

#define assert_id(got, expected_ms, expected_seq)                                                  \
  do {                                                                                             \
    struct message_id got_id = (got);                                                              \
    assert_int_equal(got_id.ms, expected_ms);                                                      \
    assert_int_equal(got_id.seq, expected_seq);                                                    \
  } while (0)

#endif
