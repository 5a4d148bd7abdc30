/* Error codes.
 *
 * A function that can fail in several ways answers an int: 0, or one of these. Where a function
 * has other useful answers (bytes consumed, a count) they are positive. Any thread. */
#ifndef EVENTHUB_BASE_ERR_H
#define EVENTHUB_BASE_ERR_H

enum err {
  ERR_OK = 0,
  ERR_INVALID = -1,      /* malformed, or not allowed in this place */
  ERR_TOO_BIG = -2,      /* over a limit, or out of a type's range */
  ERR_AGAIN = -3,        /* more bytes, room or time needed; nothing was changed */
  ERR_CLOSED = -4,       /* the other side is gone */
  ERR_NOT_FOUND = -5,    /* no such thing */
  ERR_EXISTS = -6,       /* there already, or taken by somebody else */
  ERR_DENIED = -7,       /* understood, but not permitted */
  ERR_EXPIRED = -8,      /* was valid once */
  ERR_SYSTEM = -9,       /* the system refused; errno says why */
  ERR_UNAVAILABLE = -10, /* a part that is needed does not answer now */
  ERR_UNSUPPORTED = -11, /* valid, but not something that we do */
  ERR_FULL = -12         /* no room left */
};

/* A short lower-case phrase for a log line or a test's message; static memory, never NULL, also
 * for a number that is no error code. */
const char *err_text(int err);

#endif
