#ifndef EVENTHUB_STORE_JOURNAL_OLD_H
#define EVENTHUB_STORE_JOURNAL_OLD_H

/*
 * Reading messages that have left memory, in a journal's file. A reader sees the file as it was
 * when it began. One reader at a time; where the file is shared, beside a writer.
 */

#include "eventhub/store/journal_file.h"

struct journal_reader {
  struct journal_file *file;
  void *txn, *messages, *expiries; /* LMDB's */
};

/* To be ended in any case. ERR_SYSTEM: nothing can be read, and what is asked answers so. */
int journal_reader_begin(struct journal_reader *reader, struct journal_file *file);
void journal_reader_end(struct journal_reader *reader);

/* 1 with the message, whose slices live as long as the reader; 0: there is none; ERR_INVALID: it is
 * damaged, and *ret has its row and id; ERR_SYSTEM. */
int journal_read_first(struct journal_reader *reader, uint64_t row, struct message_id from,
                       struct journal_old *ret); /* the oldest of the row, at or behind `from` */
int journal_read_last(struct journal_reader *reader, uint64_t row, struct message_id to,
                      struct journal_old *ret); /* the newest of the row, at or before `to` */
/* The same with the row, the id and the time of what expires first, behind all that the last call
 * has answered. */
int journal_read_expiry(struct journal_reader *reader, struct journal_old *ret);

#endif
