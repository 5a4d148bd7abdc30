#include "eventhub/store/log_keeper.h"

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/log_old.h"
#include "eventhub/store/log_topic.h"

void log_keeper_init(struct log_keeper *keeper, struct journal *journal) {
  *keeper = (struct log_keeper){.journal = journal, .stamp = 1};
  list_init(&keeper->dirty);
}

void log_keeper_done(struct log_keeper *keeper) {
  free(keeper->gone);
}

void log_keeper_fell_behind(struct log_keeper *keeper, struct log_topic *topic) {
  if (list_is_linked(&topic->dirty)) return;
  topic->dirty_stamp = ++keeper->stamp;
  list_add_tail(&keeper->dirty, &topic->dirty);
  journal_note_stamp(keeper->journal, keeper->stamp);
}

void log_keeper_lost(struct log_keeper *keeper, struct log_topic *topic, uint64_t block) {
  if (keeper->journal == NULL) return;
  log_keeper_fell_behind(keeper, topic);
  journal_lose(keeper->journal, block);
}

void log_keeper_forgot(struct log_keeper *keeper, struct log_topic *topic) {
  if (keeper->journal == NULL) return;
  list_remove(&topic->dirty);
  if (topic->row == 0) return;
  if (keeper->gone_count == keeper->gone_cap) {
    keeper->gone_cap = keeper->gone_cap ? keeper->gone_cap * 2 : 64;
    keeper->gone = x_realloc(keeper->gone, keeper->gone_cap * sizeof *keeper->gone);
  }
  keeper->gone[keeper->gone_count++] = topic->row;
}

static struct log_topic *topic_of(struct list *link) {
  return container_of(link, struct log_topic, dirty);
}

void log_keeper_put(struct log_keeper *keeper, struct log_topic *topic) {
  if (topic->row == 0) topic->row = journal_new_row(keeper->journal);
  struct journal_topic row = {
      .name = log_topic_name(topic), .last = topic->last, .dropped = topic->dropped};
  if (topic->old != NULL) {
    row.old_count = topic->old->count;
    row.old_last = topic->old->last;
  }
  journal_put_topic(keeper->journal, topic->row, &row);
}

/* The mark of the first topic that is not in the open set: blocks whose last loss was before it may
 * go. */
static uint64_t put_topics(struct log_keeper *keeper, size_t max) {
  LIST_FOREACH (link, &keeper->dirty) {
    if (keeper->tidied_topics == max) return topic_of(link)->dirty_stamp;
    log_keeper_put(keeper, topic_of(link));
    keeper->tidied_topics++;
  }
  return UINT64_MAX;
}

bool log_keeper_tidy(struct log_keeper *keeper, size_t max_work) {
  keeper->tidied_topics = keeper->tidied_rows = 0;
  if (journal_dead_count(keeper->journal) == 0 && keeper->gone_count == 0) return false;
  for (; keeper->tidied_rows < keeper->gone_count && keeper->tidied_rows < max_work;
       keeper->tidied_rows++)
    journal_remove_topic(keeper->journal, keeper->gone[keeper->tidied_rows]);
  uint64_t stamp = put_topics(keeper, max_work);
  journal_remove_dead(keeper->journal, stamp, max_work);
  return true;
}

void log_keeper_kept(struct log_keeper *keeper) {
  for (; keeper->tidied_topics > 0; keeper->tidied_topics--)
    list_remove(list_first(&keeper->dirty));
  keeper->gone_count -= keeper->tidied_rows;
  if (keeper->gone_count > 0)
    memmove(keeper->gone, keeper->gone + keeper->tidied_rows,
            keeper->gone_count * sizeof *keeper->gone);
  keeper->tidied_rows = 0;
}
