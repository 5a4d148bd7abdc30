/* `eventhub token`: a JWT that a broker with the same secret accepts. */
#ifndef EVENTHUB_CLI_CLI_TOKEN_H
#define EVENTHUB_CLI_CLI_TOKEN_H

#include "eventhub/base/buf.h"
#include "eventhub/cli/tool.h"

/* Appends the token that the arguments (of tool_token) describe. 0, or an error that it has
 * complained about. */
int token_make(const struct tool_arguments *arguments, struct slice secret, struct buf *ret);

#endif
