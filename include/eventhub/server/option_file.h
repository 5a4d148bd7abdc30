/*
 * The option file: lines `name = value`, comments that start with `#`, on a line of their own or
 * behind a value and a blank, values optionally in one pair of quotes, which protect a `#`. No
 * sections and no continuation lines: a value may hold any of `;`, `=` and `:`.
 *
 * The work is inih's; what it would take in silence (a long line cut in two, `name: value`,
 * `[sections]`) is refused here. Its settings are process-wide variables, so parsing belongs to the
 * start of the program, before there are threads.
 */
#ifndef EVENTHUB_SERVER_OPTION_FILE_H
#define EVENTHUB_SERVER_OPTION_FILE_H

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"

enum {
  OPTION_FILE_MAX = 1 << 20, /* bytes of a file */
  OPTION_LINE_MAX = 1 << 16, /* bytes of a line */
};

/* One line of the file; the slices are valid during the call. 0 or a negative enum err, which ends
 * the parsing, with the line for the operator appended to ret_error. */
typedef int option_file_fn(void *context, struct slice name, struct slice value, unsigned line,
                           struct buf *ret_error);

/*
 * Calls on_option for each line of text that sets something. path only serves the error text:
 * 0, or what on_option returned, or ERR_INVALID with "path:line: what is wrong" appended.
 */
int option_file_parse(struct slice text, const char *path, option_file_fn *on_option, void *context,
                      struct buf *ret_error);

/* The content of the file at path, appended to ret_text. 0, or ERR_SYSTEM or ERR_TOO_BIG with the
 * reason appended to ret_error. */
int option_file_read(const char *path, struct buf *ret_text, struct buf *ret_error);

#endif
