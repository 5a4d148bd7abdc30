#ifndef EVENTHUB_TESTS_SERVER_RECOVERY_MODEL_H
#define EVENTHUB_TESTS_SERVER_RECOVERY_MODEL_H

/*
 * What clients saw, and whether it is what they were promised. Everything is written down while a
 * run goes on and judged at its end. Include after cmocka.h.
 */

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/topic/message.h"
#include "eventhub/topic/name.h"

enum event_kind {
  EVENT_LIVE,      /* subscribed, without history */
  EVENT_RECOVERED, /* ... with all of it */
  EVENT_PARTLY,    /* ... with what is left of it */
  EVENT_MESSAGE,
  EVENT_ENDED /* unsubscribed, or disconnected */
};

struct event {
  enum event_kind kind;
  uint64_t subscription; /* the JSON-RPC id */
  struct message_id id;  /* of the message, or the point that was asked for */
  uint64_t number;       /* the message's payload, or how many there were when this was read */
};

/* One filter of one client over all of its connections: events in the order in which it read them.
 */
struct track {
  const char *filter;
  struct buf events;
  struct message_id last; /* seen */
};

/* What the store has published, in its order, which is that of the ids. */
struct published {
  struct message_id id;
  uint64_t number;
  const char *topic;
};

struct truth {
  struct published *entries;
  size_t count, cap;
};

static inline void truth_add(struct truth *truth, struct published entry) {
  assert_true(truth->count < truth->cap);
  if (truth->count > 0)
    assert_true(message_id_compare(truth->entries[truth->count - 1].id, entry.id) < 0);
  truth->entries[truth->count++] = entry;
}

static inline void track_add(struct track *track, struct event event) {
  if (event.kind == EVENT_MESSAGE) track->last = event.id;
  buf_append(&track->events, &event, sizeof event);
}

/* Judging one track: a place in the truth that only moves on. */
struct judge {
  const struct truth *truth;
  const struct track *track;
  bool is_open;
  uint64_t subscription;
  size_t next;        /* nothing before it is due any more */
  size_t excused_end; /* what lies before it may be missing */
};

static inline bool is_due(const struct judge *judge, size_t at) {
  const struct published *entry = &judge->truth->entries[at];
  return at >= judge->excused_end &&
         filter_matches(slice_str(judge->track->filter), slice_str(entry->topic));
}

/* Everything up to `end` was delivered, or need not be. */
static inline void assert_none_is_missing(const struct judge *judge, size_t end) {
  for (size_t at = judge->next; at < end; at++) {
    if (!is_due(judge, at)) continue;
    fail_msg("%s, subscription %llu: message %llu is missing", judge->track->filter,
             (unsigned long long)judge->subscription,
             (unsigned long long)judge->truth->entries[at].number);
  }
}

/* The first entry behind an id. */
static inline size_t first_after(const struct truth *truth, struct message_id id) {
  size_t at = 0;
  while (at < truth->count && message_id_compare(truth->entries[at].id, id) <= 0)
    at++;
  return at;
}

static inline void judge_message(struct judge *judge, const struct event *event) {
  size_t behind = first_after(judge->truth, event->id);
  assert_true(behind > 0);
  const struct published *entry = &judge->truth->entries[behind - 1];
  assert_int_equal(message_id_compare(entry->id, event->id), 0);
  assert_int_equal(entry->number, event->number);
  assert_true(filter_matches(slice_str(judge->track->filter), slice_str(entry->topic)));
  if (!judge->is_open || event->subscription != judge->subscription) {
    fail_msg("%s: a message of subscription %llu, which has ended", judge->track->filter,
             (unsigned long long)event->subscription);
  }
  if (behind <= judge->next) {
    fail_msg("%s: message %llu came twice or late", judge->track->filter,
             (unsigned long long)event->number);
  }
  assert_none_is_missing(judge, behind - 1);
  judge->next = behind;
}

static inline void judge_answer(struct judge *judge, const struct event *event) {
  if (event->kind != EVENT_LIVE) {
    judge->next = first_after(judge->truth, event->id);
    judge->excused_end = event->kind == EVENT_PARTLY ? event->number : 0;
  } else if (!judge->is_open) {
    judge->next = 0;
    judge->excused_end = event->number;
  } /* else: another id, and nothing may be lost in between */
  judge->is_open = true;
  judge->subscription = event->subscription;
}

/* The client has read everything that was sent. */
static inline void track_judge(const struct track *track, const struct truth *truth) {
  struct judge judge = {.truth = truth, .track = track};
  const char *end = track->events.data + track->events.len;
  for (const char *at = track->events.data; at != end; at += sizeof(struct event)) {
    struct event event;
    memcpy(&event, at, sizeof event);
    if (event.kind == EVENT_MESSAGE) {
      judge_message(&judge, &event);
    } else if (event.kind == EVENT_ENDED) {
      judge.is_open = false;
    } else {
      judge_answer(&judge, &event);
    }
  }
  if (judge.is_open) assert_none_is_missing(&judge, truth->count);
}

#endif
