#ifndef EVENTHUB_PROTO_UTF8_H
#define EVENTHUB_PROTO_UTF8_H

/*
 * Is it UTF-8 (RFC 3629)? Overlong forms, surrogates and anything above U+10FFFF are not. Pure
 * functions of their arguments: any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text that comes in pieces, cut anywhere. {0} stands at the start of a text. */
struct utf8_state {
  uint32_t state;
};

/* Whole text. An empty one is valid. */
bool utf8_is_valid(const char *text, size_t len);

/* The next piece. 0, or ERR_INVALID as soon as nothing that could follow would make it valid; then
 * it stays so. */
int utf8_feed(struct utf8_state *state, const char *text, size_t len);

/* May the text end here, with no character half read? */
bool utf8_is_complete(const struct utf8_state *state);

#endif
