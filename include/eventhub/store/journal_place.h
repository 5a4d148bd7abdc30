#ifndef EVENTHUB_STORE_JOURNAL_PLACE_H
#define EVENTHUB_STORE_JOURNAL_PLACE_H

/* The directory that a journal's file lies in: whose it is, and whether it may be ours. */

#include <stdbool.h>

#include "eventhub/base/buf.h"

struct journal_place {
  struct buf path; /* of the file, with a NUL behind it */
  int fd;          /* holds the lock */
  bool is_empty;   /* nothing was there, or a file without a byte */
  bool made_file;  /* ... and this made it */
  bool made_directory;
};

/* Makes what is missing, and locks the file. On an error nothing was changed and `why` holds a
 * sentence for the operator. */
int journal_place_open(struct journal_place *place, const char *directory, struct buf *why);
void journal_place_close(struct journal_place *place);
/* Takes back what journal_place_open made, too. */
void journal_place_undo(struct journal_place *place, const char *directory);

#endif
