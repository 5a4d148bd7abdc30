#include "eventhub/cli/resume.h"

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/topic/name.h"

struct seen_topic {
  struct map_node node;
  struct message_id last;
  uint32_t len;
  char name[];
};

static struct slice topic_key(const struct map_node *node) {
  const struct seen_topic *topic = container_of(node, const struct seen_topic, node);
  return slice_of(topic->name, topic->len);
}

void resume_init(struct resume *resume, struct slice filter) {
  *resume = (struct resume){.is_pattern = !topic_is_valid(filter)};
  map_init(&resume->topics, topic_key);
}

void resume_done(struct resume *resume) {
  MAP_FOREACH_SAFE (node, next, &resume->topics)
    free(container_of(node, struct seen_topic, node));
  map_done(&resume->topics);
}

void resume_start_at(struct resume *resume, uint64_t ms) {
  if (resume->has_start) return;
  resume->has_start = true;
  resume->start_ms = ms;
}

/* Where we go on if we have to: nothing older can come any more. */
static uint64_t horizon_ms(const struct resume *resume) {
  uint64_t last_ms = resume->last.ms;
  uint64_t horizon = last_ms > RESUME_MARGIN_MS ? last_ms - RESUME_MARGIN_MS : 0;
  return horizon > resume->start_ms ? horizon : resume->start_ms;
}

static void forget_old(struct resume *resume) {
  MAP_FOREACH_SAFE (node, next, &resume->topics) {
    struct seen_topic *topic = container_of(node, struct seen_topic, node);
    if (topic->last.ms >= horizon_ms(resume)) continue;
    map_remove(&resume->topics, node);
    free(topic);
  }
}

static void add_topic(struct resume *resume, struct slice name, struct message_id id) {
  struct seen_topic *topic = x_malloc(sizeof *topic + name.len);
  if (resume->topics.count >= RESUME_TOPICS_MAX) forget_old(resume);
  topic->last = id;
  topic->len = (uint32_t)name.len;
  memcpy(topic->name, name.ptr, name.len);
  map_add(&resume->topics, &topic->node);
}

bool resume_take(struct resume *resume, struct slice topic, struct message_id id) {
  struct map_node *node = map_find(&resume->topics, topic);
  if (node == NULL) {
    add_topic(resume, topic, id);
  } else {
    struct seen_topic *seen = container_of(node, struct seen_topic, node);
    if (message_id_compare(id, seen->last) <= 0) return false;
    seen->last = id;
  }
  if (message_id_compare(id, resume->last) > 0) resume->last = id;
  return true;
}

void resume_append_since(const struct resume *resume, struct buf *out) {
  if (!resume->has_start) return;
  if (resume->is_pattern || resume->last.ms == 0) {
    buf_printf(out, ",\"since\":%llu", (unsigned long long)horizon_ms(resume));
    return;
  }
  char id[MESSAGE_ID_MAX];
  message_id_format(resume->last, id);
  buf_printf(out, ",\"sinceEventId\":\"%s\"", id);
}
