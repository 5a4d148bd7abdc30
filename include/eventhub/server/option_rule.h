/* What options ask of each other: the list of pairs that go together, or do not. Any thread. */
#ifndef EVENTHUB_SERVER_OPTION_RULE_H
#define EVENTHUB_SERVER_OPTION_RULE_H

#include "eventhub/base/buf.h"
#include "eventhub/server/options.h"

/* When a rule counts; a set of bits. */
enum option_scope {
  OPTION_SCOPE_ALWAYS = 1,
  OPTION_SCOPE_REDIS = 2, /* Redis may be the store */
  OPTION_SCOPE_TLS = 4    /* nobody has said in so many words that there is none */
};

struct option_rule {
  enum option_scope scope;
  const char *name; /* where this one is set ... */
  enum { OPTION_RULE_NEEDS, OPTION_RULE_EXCLUDES } kind;
  const char *other; /* ... this one must be, or must not be */
  const char *advice;
};

/* The first rule of these scopes that the options break; NULL = none. An option that has its
 * default is not set. */
const struct option_rule *option_rule_find_broken(const struct options *options, unsigned scopes);

/* What is wrong and what to do, for the operator. */
void option_rule_append(struct buf *out, const struct option_rule *rule);

#endif
