/* Access: what the bearer of a token may do. A NULL token means that authentication is off, and
 * everything is allowed. Pure functions; any thread. */
#ifndef EVENTHUB_TOPIC_ACL_H
#define EVENTHUB_TOPIC_ACL_H

#include <stdbool.h>

#include "eventhub/base/slice.h"
#include "eventhub/topic/token.h"

/* May subscribe to a topic or pattern and read its history? A pattern is allowed only where one
 * entry of `read` matches everything that it could match. The filter is valid. */
bool acl_may_read(const struct token *token, struct slice filter);

/* May publish to the topic? The topic is valid. */
bool acl_may_write(const struct token *token, struct slice topic);

/* Keys are any text, checked like a topic: split at '/', each level taken literally. */
bool acl_may_read_key(const struct token *token, struct slice key);
bool acl_may_write_key(const struct token *token, struct slice key);

#endif
