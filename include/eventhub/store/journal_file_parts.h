#ifndef EVENTHUB_STORE_JOURNAL_FILE_PARTS_H
#define EVENTHUB_STORE_JOURNAL_FILE_PARTS_H

/*
 * The inside of a journal's file, for the files that it is made of:
 *
 *   journal_file      opening, writing, failures, walks over numbered tables
 *   journal_upgrade   files of older formats
 *   journal_old       reading messages that have left memory
 */

#include <lmdb.h>
#include <pthread.h>

#include "eventhub/store/journal_file.h"
#include "eventhub/store/journal_place.h"

enum { JOURNAL_PROBLEM_MAX = 160 };

struct journal_file {
  struct journal_place place;
  MDB_env *env; /* NULL: it could not be opened again after a failure */
  MDB_dbi tables[JOURNAL_TABLE_COUNT];
  size_t map_bytes;
  size_t touched;       /* bytes written since pages were let go */
  size_t commit;        /* number of the last one that is known to stand */
  bool is_doubtful;     /* one more may stand that was given up */
  bool is_shared;       /* a reader may be at work beside the writer */
  pthread_mutex_t lock; /* held by a reader, and by whoever takes the environment away */
  struct journal_meta meta;
  uint64_t generation;
  struct journal_usage usage;
  char problem[JOURNAL_PROBLEM_MAX];
};

/* journal_upgrade.c: the rows of an older format are written anew. 0 or an error, with
 * file->problem. */
int journal_upgrade(struct journal_file *file);

static inline MDB_val journal_val(struct slice bytes) {
  return (MDB_val){bytes.len, (void *)bytes.ptr};
}

#endif
