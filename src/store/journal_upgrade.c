#include <stdio.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/store/journal_file_parts.h"

struct upgrade {
  struct journal_changes changes;
  struct buf row;
};

/* Format 1 to 2: rows say how many old messages there are. There are none. */
static int on_topic(void *context, uint64_t row, struct slice bytes) {
  struct upgrade *upgrade = context;
  struct journal_topic topic;
  if (journal_read_topic_1(bytes, &topic) < 0) return ERR_INVALID;
  journal_value_begin(&upgrade->row);
  journal_append_topic(&upgrade->row, &topic);
  journal_value_seal(&upgrade->row, JOURNAL_TOPICS, row);
  journal_changes_put(&upgrade->changes, JOURNAL_TOPICS, row, buf_slice(&upgrade->row));
  return 0;
}

int journal_upgrade(struct journal_file *file) {
  struct upgrade upgrade = {.row = BUF_INIT};
  journal_changes_init(&upgrade.changes);
  int err = journal_file_walk(file, JOURNAL_TOPICS, 0, on_topic, &upgrade);
  if (err < 0) snprintf(file->problem, sizeof file->problem, "a row of a topic is damaged");
  file->meta.format = JOURNAL_FORMAT;
  journal_changes_put_meta(&upgrade.changes, &file->meta);
  if (err == 0) err = journal_file_write(file, &upgrade.changes);
  journal_changes_done(&upgrade.changes);
  buf_done(&upgrade.row);
  return err;
}
