#include "eventhub/server/option_rule.h"

#include <assert.h>
#include <stddef.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/server/option_table.h"

#define NEEDS(text)    .kind = OPTION_RULE_NEEDS, .other = (text)
#define EXCLUDES(text) .kind = OPTION_RULE_EXCLUDES, .other = (text)

static const struct option_rule rules[] = {
    {OPTION_SCOPE_REDIS, "REDIS_SENTINELS", NEEDS("REDIS_MASTER"),
     .advice = "set REDIS_MASTER to the name that the sentinels know the master by"},
    {OPTION_SCOPE_REDIS, "REDIS_MASTER", NEEDS("REDIS_SENTINELS"),
     .advice = "set REDIS_SENTINELS to where the sentinels are, or remove REDIS_MASTER"},
    {OPTION_SCOPE_REDIS, "REDIS_SENTINELS", EXCLUDES("REDIS_SOCKET"),
     .advice = "remove the one that does not lead to Redis"},
    {OPTION_SCOPE_ALWAYS, "JWT_PUBLIC_KEY", EXCLUDES("JWT_JWKS"), .advice = "remove one of them"},
    {OPTION_SCOPE_REDIS, "REDIS_USERNAME", NEEDS("REDIS_PASSWORD"),
     .advice = "set REDIS_PASSWORD to the user's password, or remove REDIS_USERNAME"},
    {OPTION_SCOPE_REDIS, "REDIS_TLS_CERTIFICATE", NEEDS("REDIS_TLS_PRIVATE_KEY"),
     .advice = "set REDIS_TLS_PRIVATE_KEY to the file with the certificate's key"},
    {OPTION_SCOPE_REDIS, "REDIS_TLS_PRIVATE_KEY", NEEDS("REDIS_TLS_CERTIFICATE"),
     .advice = "set REDIS_TLS_CERTIFICATE to the file with the key's certificate"},
    /* Who names certificates does not expect to talk in the clear. */
    {OPTION_SCOPE_REDIS, "REDIS_TLS_CERTIFICATE", NEEDS("REDIS_TLS"),
     .advice = "set REDIS_TLS=true, or remove REDIS_TLS_CERTIFICATE and REDIS_TLS_PRIVATE_KEY"},
    {OPTION_SCOPE_REDIS, "REDIS_TLS_CA_CERTIFICATE", NEEDS("REDIS_TLS"),
     .advice = "set REDIS_TLS=true, or remove REDIS_TLS_CA_CERTIFICATE"},
    {OPTION_SCOPE_ALWAYS, "ENABLE_SSL", NEEDS("SSL_CERTIFICATE"),
     .advice = "set SSL_CERTIFICATE to the file with the server's certificate"},
    {OPTION_SCOPE_ALWAYS, "ENABLE_SSL", NEEDS("SSL_PRIVATE_KEY"),
     .advice = "set SSL_PRIVATE_KEY to the file with the certificate's key, which may be the same "
               "file"},
    {OPTION_SCOPE_ALWAYS, "DISABLE_UNSECURE_LISTENER", NEEDS("ENABLE_SSL"),
     .advice = "set ENABLE_SSL=true, or nobody could connect"},
    {OPTION_SCOPE_TLS, "SSL_CERTIFICATE", NEEDS("ENABLE_SSL"),
     .advice = "set ENABLE_SSL=true, or ENABLE_SSL=false to leave it unused"},
    {OPTION_SCOPE_TLS, "SSL_CA_CERTIFICATE", NEEDS("ENABLE_SSL"),
     .advice = "set ENABLE_SSL=true, or ENABLE_SSL=false to leave it unused"},
};

static bool is_set(const struct options *options, const char *name) {
  const struct option_row *row = option_find(slice_str(name));
  assert(row != NULL);
  return !option_is_default(options, row);
}

static bool is_broken(const struct options *options, const struct option_rule *rule) {
  if (!is_set(options, rule->name)) return false;
  return is_set(options, rule->other) == (rule->kind == OPTION_RULE_EXCLUDES);
}

const struct option_rule *option_rule_find_broken(const struct options *options, unsigned scopes) {
  for (size_t i = 0; i < ARRAY_LEN(rules); i++)
    if ((rules[i].scope & scopes) != 0 && is_broken(options, &rules[i])) return &rules[i];
  return NULL;
}

void option_rule_append(struct buf *out, const struct option_rule *rule) {
  if (rule->kind == OPTION_RULE_NEEDS) {
    buf_printf(out, "%s is set, but %s is not; %s", rule->name, rule->other, rule->advice);
  } else {
    buf_printf(out, "%s and %s are both set; %s", rule->name, rule->other, rule->advice);
  }
}
