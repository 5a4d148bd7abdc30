#ifndef EVENTHUB_STORE_RESP_H
#define EVENTHUB_STORE_RESP_H

/*
 * Commands to Redis as the bytes that go over the wire (RESP, arrays of bulk strings):
 *
 *   resp_begin(&text, 3);
 *   resp_str(&text, "SET");
 *   resp_slice(&text, key);
 *   resp_slice(&text, value);
 *
 * As many words must follow as were announced. Pure, any thread.
 */

#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"

/* Appends to what is in `out`. */
void resp_begin(struct buf *out, size_t words);
void resp_slice(struct buf *out, struct slice word);
void resp_str(struct buf *out, const char *word);
void resp_u64(struct buf *out, uint64_t number);
void resp_i64(struct buf *out, int64_t number);
/* The length of a word whose bytes the caller appends next, and its end. */
void resp_word_begin(struct buf *out, size_t len);
void resp_word_end(struct buf *out);

#endif
