#include <stdlib.h>

#include "eventhub/base/mem.h"
#include "eventhub/store/journal_file.h"

enum { KEEP_BYTES = 1 << 20, KEEP_COUNT = 16384 };

void journal_changes_init(struct journal_changes *changes) {
  *changes = (struct journal_changes){.bytes = BUF_INIT};
}

void journal_changes_done(struct journal_changes *changes) {
  buf_done(&changes->bytes);
  free(changes->items);
  journal_changes_init(changes);
}

void journal_changes_clear(struct journal_changes *changes) {
  if (changes->bytes.cap > KEEP_BYTES || changes->cap > KEEP_COUNT) journal_changes_done(changes);
  buf_clear(&changes->bytes);
  changes->count = 0;
}

static struct journal_change *add(struct journal_changes *changes) {
  if (changes->count == changes->cap) {
    changes->cap = changes->cap ? changes->cap * 2 : 64;
    changes->items = x_realloc(changes->items, changes->cap * sizeof *changes->items);
  }
  return &changes->items[changes->count++];
}

void journal_changes_put(struct journal_changes *changes, enum journal_table table, uint64_t number,
                         struct slice value) {
  *add(changes) = (struct journal_change){
      .table = table, .number = number, .at = changes->bytes.len, .len = value.len};
  buf_append_slice(&changes->bytes, value);
}

void journal_changes_remove(struct journal_changes *changes, enum journal_table table,
                            uint64_t number) {
  *add(changes) =
      (struct journal_change){.table = table, .action = JOURNAL_REMOVE, .number = number};
}

void journal_changes_put_old(struct journal_changes *changes, const struct journal_old *old,
                             struct slice value) {
  journal_changes_put(changes, JOURNAL_OLD, old->row, value);
  struct journal_change *change = &changes->items[changes->count - 1];
  change->id = old->id;
  change->expires_ms = old->expires_ms;
}

void journal_changes_remove_old(struct journal_changes *changes, const struct journal_old *old) {
  *add(changes) = (struct journal_change){.table = JOURNAL_OLD,
                                          .action = JOURNAL_REMOVE,
                                          .number = old->row,
                                          .id = old->id,
                                          .expires_ms = old->expires_ms};
}

void journal_changes_cancel(struct journal_changes *changes, size_t n) {
  changes->items[n].action = JOURNAL_NOTHING;
}
