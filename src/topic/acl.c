#include "eventhub/topic/acl.h"

#include "eventhub/topic/name.h"

/* A topic contains itself only, so containing serves for topics as well as for patterns. */
static bool one_contains(const struct token_filters *filters, struct slice filter) {
  for (size_t i = 0; i < filters->count; i++)
    if (filter_contains(filters->items[i], filter)) return true;
  return false;
}

static bool one_matches(const struct token_filters *filters, struct slice name) {
  for (size_t i = 0; i < filters->count; i++)
    if (filter_matches(filters->items[i], name)) return true;
  return false;
}

bool acl_may_read(const struct token *token, struct slice filter) {
  return token == NULL || one_contains(&token->read, filter);
}

bool acl_may_write(const struct token *token, struct slice topic) {
  return token == NULL || one_matches(&token->write, topic);
}

bool acl_may_read_key(const struct token *token, struct slice key) {
  return token == NULL || one_matches(&token->read, key);
}

bool acl_may_write_key(const struct token *token, struct slice key) {
  return token == NULL || one_matches(&token->write, key);
}
