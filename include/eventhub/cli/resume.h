/*
 * From where a subscriber that was cut off goes on, so that it gets each message once.
 *
 * Within one topic ids rise in the order of delivery, so the last one seen says what is still to
 * come. Across the topics of a pattern there is no such order: a message with a smaller id may come
 * after one with a larger. So a pattern goes on some time before the largest id seen, and what was
 * seen already, by the last id of each topic, is passed over.
 */
#ifndef EVENTHUB_CLI_RESUME_H
#define EVENTHUB_CLI_RESUME_H

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/map.h"
#include "eventhub/base/slice.h"
#include "eventhub/topic/message.h"

enum {
  RESUME_MARGIN_MS = 10000,   /* how far ids of different topics may be out of order */
  RESUME_TOPICS_MAX = 1 << 20 /* remembered; beyond that those of longest ago go */
};

struct resume {
  struct map topics; /* the last id of each */
  bool is_pattern;
  bool has_start;
  uint64_t start_ms;      /* of the broker's clock: nothing before it is wanted */
  struct message_id last; /* the largest seen; 0-0: none yet */
};

/* `filter`: what is subscribed to. */
void resume_init(struct resume *resume, struct slice filter);
void resume_done(struct resume *resume);

/* Nothing before that moment is wanted; the first call counts. */
void resume_start_at(struct resume *resume, uint64_t ms);

/* A message has come. False: it was seen before. */
bool resume_take(struct resume *resume, struct slice topic, struct message_id id);

/* Appends what `subscribe` needs to go on: `,"since":<ms>` or `,"sinceEventId":"<id>"`; nothing
 * before resume_start_at. */
void resume_append_since(const struct resume *resume, struct buf *out);

#endif
