#ifndef EVENTHUB_PROTO_WS_DEFLATE_H
#define EVENTHUB_PROTO_WS_DEFLATE_H

/*
 * Messages in the form of permessage-deflate (RFC 7692 7.2): DEFLATE blocks (RFC 1951), without the
 * last four bytes 00 00 ff ff. zlib does the work.
 *
 * Compressors are large and connections are many, so there is one inflater and one deflater for
 * each thread. What has to stay with a connection is the text that its client may refer to (struct
 * ws_window), and only where the client keeps its context. A text for many clients is compressed
 * once, and what differs between them stands in front of it, in a block of its own:
 *
 *   [ stored block: {"id":7,"jsonrpc":"2.0","result": ][ compressed, for all: {...}} ]
 *
 * An inflater, a deflater and a window belong to one thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"
#include "eventhub/proto/ws_extension.h"

/* ---- inflating ---- */

struct ws_inflater;
/* The end of what a client has sent, as text: at most its window. NULL while there is nothing. */
struct ws_window;

struct ws_inflater *ws_inflater_new(void);
void ws_inflater_free(struct ws_inflater *inflater);
void ws_window_free(struct ws_window *window);
/* Bytes of memory that it holds. */
size_t ws_window_memory(const struct ws_window *window);

/* Inflates a whole message; `payload` is as it came, over all fragments. 0, with `ret_data` (never
 * NULL, may be written to) and `ret_len` lent until the next call on the inflater. Or, with the
 * window as it was,
 *
 *   ERR_TOO_BIG  1009: more than `max` bytes come out; it ends there, and no more memory than about
 *                that is taken, whatever the message claims to be
 *   ERR_INVALID  1007: this is not DEFLATE, or it refers to what is not there
 */
int ws_inflater_run(struct ws_inflater *inflater, const struct ws_deflate *deflate,
                    struct ws_window **window, struct slice payload, size_t max, char **ret_data,
                    size_t *ret_len);

/* ---- deflating ---- */

/* Shorter texts are not worth it: of 200 bytes of JSON 7 % can be saved, of 2 kB three quarters. */
enum { WS_DEFLATE_MIN = 256 };

struct ws_deflater;

struct ws_deflater *ws_deflater_new(void);
void ws_deflater_free(struct ws_deflater *deflater);

/* Appends the compressed form of the texts, one behind the other, for a client with a window of so
 * many bits. It begins at a byte and refers to nothing before it. False, with nothing appended,
 * where that is not shorter than the text, or not possible: zlib has no window of 8 bits, so only
 * what fits in there as a whole can be compressed for that. */
bool ws_deflater_run(struct ws_deflater *deflater, unsigned bits, const struct slice *texts,
                     size_t count, struct buf *out);

/* May a client whose window has so many bits be sent what was compressed in a larger one? No
 * distance in it is longer than the text. */
static inline bool ws_deflate_fits(unsigned bits, size_t text_len) {
  return text_len <= (size_t)1 << bits;
}

/* A stored block (RFC 1951 3.2.4), not the last: its header, behind which stands the text as it is.
 */
enum { WS_STORED_HEADER_LEN = 5, WS_STORED_TEXT_MAX = UINT16_MAX };

/* Writes the header for a text of that length, at most WS_STORED_TEXT_MAX; returns its own. */
size_t ws_stored_header_encode(char *out, size_t text_len);

#endif
