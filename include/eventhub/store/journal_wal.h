#ifndef EVENTHUB_STORE_JOURNAL_WAL_H
#define EVENTHUB_STORE_JOURNAL_WAL_H

/*
 * The write-ahead log of a journal: what has to last goes here first, in one write and one sync. It
 * is used over and over from the start. A generation ends when all that is in the log lies in the
 * file as well; the file knows the number of the one that is not in it yet.
 *
 *   | record 0 | record 1 | record 2 |  what is left of older generations ...
 *
 * Records begin at multiples of 512 bytes, with the generation, their place in it, and a checksum.
 * The first that is not one ends the log: it was never finished. Unless there is another one of its
 * generation behind: then the log is damaged.
 *
 * One thread at a time.
 */

#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/store/journal_file.h"

#define JOURNAL_WAL_NAME "eventhub.wal"

struct journal_wal {
  int fd;
  uint64_t generation, next; /* of the next record */
  uint64_t at;               /* where it goes */
  struct buf record;
  int error; /* errno of the last failure */
};

/* Opens the log in a directory that is ours, and makes it where it is missing. On an error `why`
 * holds a sentence for the operator. */
int journal_wal_open(struct journal_wal *wal, const char *directory, struct buf *why);
void journal_wal_close(struct journal_wal *wal);

/* Adds what is in the records of that generation. ERR_INVALID: the log is damaged, and nothing was
 * added; ERR_SYSTEM, with errno. */
int journal_wal_read(struct journal_wal *wal, uint64_t generation, struct journal_changes *ret);

/* The next record is the first of the generation. */
void journal_wal_begin(struct journal_wal *wal, uint64_t generation);

/* Appends one record with the changes from the n-th on, and returns when it is on the disk.
 *   ERR_FULL, ERR_SYSTEM   there is none
 *   ERR_UNAVAILABLE        there may be one until the next is written */
int journal_wal_append(struct journal_wal *wal, const struct journal_changes *changes, size_t n);

/* Is there room for some records more? */
int journal_wal_probe(struct journal_wal *wal);

#endif
