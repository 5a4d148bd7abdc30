#ifndef EVENTHUB_PROTO_SSE_H
#define EVENTHUB_PROTO_SSE_H

/*
 * Server-sent events (WHATWG HTML 9.2), as we send them. Pure functions: any thread.
 *
 *   event: <type>      only where it is not "message"
 *   id: <id>           only where there is one
 *   data: <line>       one for each line of the data
 *                      a blank line ends the event
 */

#include <stddef.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"

/* Appends an event. An empty `event` is a message, an empty `id` none; neither has line ends, and
 * an id no NUL. LF, CR and CRLF end a line of the data, as they do for the client: so no data can
 * forge a field. */
void sse_append_event(struct buf *out, struct slice event, struct slice id, struct slice data);

/* Appends a comment, one line, which clients skip. */
void sse_append_comment(struct buf *out, struct slice text);

/* End of the event or comment of ours that contains byte `at`: an offset in (at, len], or `at`
 * itself where one starts there. `bytes` begins with one. */
size_t sse_event_boundary(const char *bytes, size_t len, size_t at);

#endif
