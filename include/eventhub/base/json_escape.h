/* Text into JSON strings. Pure, any thread. */
#ifndef EVENTHUB_BASE_JSON_ESCAPE_H
#define EVENTHUB_BASE_JSON_ESCAPE_H

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"

/* Appends text as a JSON string, quotes included. RFC 8259 7: '"', '\' and U+0000 to U+001F are
 * escaped, all other bytes pass as they are; text must be valid UTF-8 for the result to be JSON.
 * An absent slice becomes "". text must not lie inside out. */
void buf_append_json_string(struct buf *out, struct slice text);

#endif
