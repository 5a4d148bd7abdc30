#include "eventhub/store/id_source.h"

static struct message_id own_next(const struct id_source *source, uint64_t now_ms) {
  if (now_ms > source->last.ms) return (struct message_id){now_ms, 0};
  return message_id_next(source->last);
}

struct message_id id_source_next(struct id_source *source, struct message_id topic_last,
                                 uint64_t wished_ms, uint64_t now_ms) {
  if (wished_ms != 0 && wished_ms >= topic_last.ms) {
    struct message_id wished = {wished_ms, 0};
    return wished_ms > topic_last.ms ? wished : message_id_next(topic_last);
  }
  struct message_id next = own_next(source, now_ms);
  if (message_id_compare(next, topic_last) <= 0) return message_id_next(topic_last);
  source->last = next;
  return next;
}

void id_source_raise(struct id_source *source, struct message_id id) {
  if (message_id_compare(id, source->last) > 0) source->last = id;
}
