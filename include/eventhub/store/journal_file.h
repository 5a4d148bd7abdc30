#ifndef EVENTHUB_STORE_JOURNAL_FILE_H
#define EVENTHUB_STORE_JOURNAL_FILE_H

/*
 * The file that a journal lies in: tables of values under numbers, in LMDB. Changes are collected
 * in memory (journal_changes) and written together, all of them or none; when that returns they
 * are on the disk.
 *
 * One process has the file, by a lock on it. LMDB trusts what it reads: a damaged page can lead it
 * anywhere. So the whole file is looked through once before it is used, by a child process, whose
 * end of whatever kind tells.
 *
 * One thread at a time, unless journal_file_rest has made it shared.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"
#include "eventhub/store/journal_block.h"

#define JOURNAL_FILE_NAME "eventhub.mdb"

struct journal_file;

enum journal_action { JOURNAL_PUT, JOURNAL_REMOVE, JOURNAL_NOTHING };

struct journal_change {
  enum journal_table table;
  enum journal_action action;
  uint64_t number; /* of JOURNAL_OLD: the row */
  struct message_id id;
  uint64_t expires_ms; /* 0 = never */
  size_t at, len;      /* in the bytes of all changes; sealed */
};

struct journal_changes {
  struct buf bytes;
  struct journal_change *items;
  size_t count, cap;
};

void journal_changes_init(struct journal_changes *changes);
void journal_changes_done(struct journal_changes *changes);
/* Forgets them, keeps the memory unless it is much. */
void journal_changes_clear(struct journal_changes *changes);
/* Copies the value, which is sealed. */
void journal_changes_put(struct journal_changes *changes, enum journal_table table, uint64_t number,
                         struct slice value);
void journal_changes_remove(struct journal_changes *changes, enum journal_table table,
                            uint64_t number);

/* Of the old messages, with their expiries; only row, id and expires_ms of one to be removed. */
void journal_changes_put_old(struct journal_changes *changes, const struct journal_old *old,
                             struct slice value);
void journal_changes_remove_old(struct journal_changes *changes, const struct journal_old *old);

/* Takes the n-th back. */
void journal_changes_cancel(struct journal_changes *changes, size_t n);
/* Of the log (journal_wal.h): the one of which nothing is in the file. */
void journal_changes_put_generation(struct journal_changes *changes, uint64_t generation);
void journal_changes_put_meta(struct journal_changes *changes, const struct journal_meta *meta);

/* Opens the file in the directory, which is made where it is missing; its parent must be there. A
 * new file gets `fresh`. On an error *ret is NULL, nothing was changed, and `why` holds a sentence
 * for the operator: what is wrong and what to do. Forks: to be called while there is one thread. */
int journal_file_open(const char *directory, const struct journal_meta *fresh,
                      struct journal_file **ret, struct buf *why);
/* NULL is fine. */
void journal_file_close(struct journal_file *file);

/* As it was when the file was opened. */
struct journal_meta journal_file_meta(const struct journal_file *file);
uint64_t journal_file_generation(const struct journal_file *file);

/* Calls `visit` for the values of a numbered table from the number on, checked and without their
 * checksums. What it returns other than 0 ends the walk and is returned; ERR_INVALID where a value
 * is damaged. */
typedef int journal_visit_fn(void *context, uint64_t number, struct slice bytes);
int journal_file_walk(struct journal_file *file, enum journal_table table, uint64_t first,
                      journal_visit_fn *visit, void *context);

/* Gives back the memory that reading has mapped. Shared: from now on one thread may read while
 * another writes. 0 or ERR_SYSTEM. */
int journal_file_rest(struct journal_file *file, bool is_shared);

/* Writes all changes. Errors leave the file as it was, and journal_file_problem says what is wrong:
 *   ERR_FULL         no space is left on the device, or a limit of it is reached
 *   ERR_SYSTEM       the device refused
 *   ERR_UNAVAILABLE  the same, and whether they are written will only be known when it answers */
int journal_file_write(struct journal_file *file, const struct journal_changes *changes);
/* A phrase; valid until the next call. */
const char *journal_file_problem(const struct journal_file *file);

struct journal_usage {
  uint64_t bytes;      /* of the file */
  uint64_t free_bytes; /* of these, to be used again */
};
/* As of the last write. */
struct journal_usage journal_file_usage(const struct journal_file *file);

#endif
