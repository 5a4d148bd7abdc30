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

/* The id for a topic's next message.
 *   wished_ms != 0   {wished_ms, 0}, or behind the topic's last id where that is of the same ms;
 *   else, and where the topic is past that time: the source's own next id;
 *   where the topic is ahead of the clock: the id that follows the topic's last. */
struct message_id id_source_next(struct id_source *source, struct message_id topic_last,
                                 uint64_t wished_ms, uint64_t now_ms);

/* Own ids will be above this one. */
void id_source_raise(struct id_source *source, struct message_id id);

#endif
