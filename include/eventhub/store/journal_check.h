#ifndef EVENTHUB_STORE_JOURNAL_CHECK_H
#define EVENTHUB_STORE_JOURNAL_CHECK_H

/* Whether a journal's file is whole, found out by reading all of it. */

#include "eventhub/base/buf.h"
#include "eventhub/store/journal_block.h"

/* The name of a table in the file. */
const char *journal_table_name(enum journal_table table);

/* In a child process, since what is damaged may end it. 0; ERR_INVALID: damaged; ERR_SYSTEM, with
 * errno: it could not be found out. `why` gets what is wrong, as far as it is known. */
int journal_check(const char *path, struct buf *why);

#endif
