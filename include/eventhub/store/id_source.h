#ifndef EVENTHUB_STORE_ID_SOURCE_H
#define EVENTHUB_STORE_ID_SOURCE_H

/*
 * Message ids. Ids that follow the clock strictly increase over all topics, also when the clock
 * goes back. Ids with a wished time strictly increase within their topic. Pure: the clock is an
 * argument.
 */

#include <stdint.h>

#include "eventhub/topic/message.h"

struct id_source {
  struct message_id last; /* the highest that followed the clock */
};

/* The id for a topic's next message; the first of these that can be:
 *
 *   wished_ms-0, where a time is wished and the topic is before it
 *   the id that follows the topic's last, where that is of the very ms that is wished
 *   the source's own next, which follows the clock
 *   the id that follows the topic's last, where the topic is ahead of the clock */
struct message_id id_source_next(struct id_source *source, struct message_id topic_last,
                                 uint64_t wished_ms, uint64_t now_ms);

/* Own ids will be above this one. */
void id_source_raise(struct id_source *source, struct message_id id);

#endif
