#include "eventhub/server/origin.h"
#include "eventhub/server/options.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/server/option_file.h"
#include "eventhub/server/option_rule.h"
#include "eventhub/server/option_table.h"

enum {
  OPTION_SHOWN_MAX = 64, /* bytes of a wrong value that an error repeats */
  OPTION_NAME_ROOM = 64, /* longest name of an option, with its NUL */
};

/* Where the value of an option came from. */
enum option_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT };

struct option_origin {
  enum option_source source;
  unsigned line; /* SOURCE_FILE */
};

/* Options on their way: what becomes of them is known when all sources were read. */
struct option_loader {
  struct options options;
  struct option_origin *origins; /* by row */
  const char *path;
};

static void loader_cleanup(struct option_loader *loader) {
  options_done(&loader->options);
  free(loader->origins);
}

static struct option_origin *origin_of(const struct option_loader *loader,
                                       const struct option_row *row) {
  return &loader->origins[row - option_row(0)];
}

static void append_place(struct buf *out, const struct option_loader *loader,
                         struct option_origin origin) {
  if (origin.source == SOURCE_FILE) buf_printf(out, "%s:%u: ", loader->path, origin.line);
  if (origin.source == SOURCE_ENVIRONMENT) buf_append_str(out, "environment: ");
}

/* One line whatever the bytes are: cut, and without control characters. */
static void append_shown(struct buf *out, struct slice text) {
  for (size_t i = 0; i < text.len && i < OPTION_SHOWN_MAX; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    if (c < ' ' || c == 0x7F)
      buf_printf(out, "\\x%02x", c);
    else
      buf_append_char(out, (char)c);
  }
  if (text.len > OPTION_SHOWN_MAX) buf_append_str(out, "...");
}

static int set_from(struct option_loader *loader, const struct option_row *row, struct slice value,
                    struct option_origin origin, struct buf *ret_error) {
  AUTO(buf)
  struct buf wanted = BUF_INIT;
  int failed = option_set(&loader->options, row, value, &wanted);
  *origin_of(loader, row) = origin;
  if (failed == 0) return 0;
  append_place(ret_error, loader, origin);
  buf_append_str(ret_error, row->name);
  if (row->type != OPTION_SECRET) {
    buf_append_str(ret_error, "=\"");
    append_shown(ret_error, value);
    buf_append_char(ret_error, '"');
  }
  buf_append_char(ret_error, ' ');
  buf_append_slice(ret_error, buf_slice(&wanted));
  return failed;
}

static void set_defaults(struct option_loader *loader) {
  AUTO(buf)
  struct buf unused = BUF_INIT;
  for (size_t i = 0; i < option_count(); i++) {
    const struct option_row *row = option_row(i);
    int failed = option_set(&loader->options, row, slice_str(row->default_text), &unused);
    assert(failed == 0);
  }
}

static int on_file_option(void *context, struct slice name, struct slice value, unsigned line,
                          struct buf *ret_error) {
  struct option_loader *loader = context;
  struct option_origin origin = {.source = SOURCE_FILE, .line = line};
  const struct option_row *row = option_find(name);
  if (row != NULL) return set_from(loader, row, value, origin, ret_error);
  append_place(ret_error, loader, origin);
  buf_append_str(ret_error, "unknown option \"");
  append_shown(ret_error, name);
  buf_append_str(ret_error, "\"; eventhub --help lists what there is");
  return ERR_INVALID;
}

static int set_from_file(struct option_loader *loader, struct buf *ret_error) {
  AUTO(buf)
  struct buf text = BUF_INIT;
  if (loader->path == NULL) return 0;
  int failed = option_file_read(loader->path, &text, ret_error);
  if (failed != 0) return failed;
  return option_file_parse(buf_slice(&text), loader->path, on_file_option, loader, ret_error);
}

/* The value of a variable; NULL when env has none of that name. */
static const char *env_find(char *const *env, const char *name) {
  size_t len = strlen(name);
  for (; *env != NULL; env++)
    if (strncmp(*env, name, len) == 0 && (*env)[len] == '=') return *env + len + 1;
  return NULL;
}

static const char *env_find_option(char *const *env, const struct option_row *row) {
  char lower[OPTION_NAME_ROOM] = "";
  assert(strlen(row->name) < sizeof lower);
  for (size_t i = 0; row->name[i] != '\0'; i++)
    lower[i] = (char)tolower((unsigned char)row->name[i]);
  const char *value = env_find(env, lower);
  return value != NULL ? value : env_find(env, row->name);
}

static int set_from_environment(struct option_loader *loader, char *const *env,
                                struct buf *ret_error) {
  struct option_origin origin = {.source = SOURCE_ENVIRONMENT};
  for (size_t i = 0; i < option_count(); i++) {
    const char *value = env_find_option(env, option_row(i));
    if (value == NULL) continue;
    int failed = set_from(loader, option_row(i), slice_str(value), origin, ret_error);
    if (failed != 0) return failed;
  }
  return 0;
}

static bool is_given(const struct option_loader *loader, const char *name) {
  const struct option_row *row = option_find(slice_str(name));
  return origin_of(loader, row)->source != SOURCE_DEFAULT;
}

/* Whether a feature is not wanted; its details, which a deployment may well have set, ask for
 * nothing then. */
static bool is_declined(const struct option_loader *loader, enum option_feature feature) {
  return feature == OPTION_FEATURE_REDIS_TLS && loader->options.backend == OPTION_BACKEND_EMBEDDED;
}

/* The feature that the row's present value asks for. */
static enum option_feature asked_feature(const struct option_loader *loader,
                                         const struct option_row *row) {
  enum option_feature by_choice = option_choice_needs(&loader->options, row);
  if (by_choice != OPTION_FEATURE_NONE) return by_choice;
  if (row->needs == OPTION_FEATURE_NONE || row->asks == OPTION_ASKS_NEVER)
    return OPTION_FEATURE_NONE;
  if (option_feature_lack(row->needs) == NULL) return OPTION_FEATURE_NONE;
  if (origin_of(loader, row)->source == SOURCE_DEFAULT || option_is_empty(&loader->options, row))
    return OPTION_FEATURE_NONE;
  if (row->asks == OPTION_ASKS_IF_CHANGED && option_is_default(&loader->options, row))
    return OPTION_FEATURE_NONE;
  return is_declined(loader, row->needs) ? OPTION_FEATURE_NONE : row->needs;
}

static int check_features(const struct option_loader *loader, struct buf *ret_error) {
  for (size_t i = 0; i < option_count(); i++) {
    enum option_feature feature = asked_feature(loader, option_row(i));
    if (feature == OPTION_FEATURE_NONE) continue;
    append_place(ret_error, loader, loader->origins[i]);
    buf_printf(ret_error, "%s asks for %s, which %s; %s", option_row(i)->name,
               option_feature_name(feature), option_feature_lack(feature),
               option_feature_way_out(feature));
    return ERR_UNSUPPORTED;
  }
  return 0;
}

/* With an empty secret everybody could sign tokens. */
static int check_secret(const struct option_loader *loader, struct buf *ret_error) {
  const struct option_row *row = option_find(SLICE("JWT_SECRET"));
  if (loader->options.disable_auth || !option_is_empty(&loader->options, row)) return 0;
  append_place(ret_error, loader, *origin_of(loader, row));
  buf_append_str(ret_error, "JWT_SECRET is empty, but must be text of 1 byte or more, or "
                            "DISABLE_AUTH=true");
  return ERR_INVALID;
}

static unsigned scopes_of(const struct option_loader *loader) {
  unsigned scopes = OPTION_SCOPE_ALWAYS;
  if (loader->options.backend != OPTION_BACKEND_EMBEDDED) scopes |= OPTION_SCOPE_REDIS;
  if (!is_given(loader, "ENABLE_SSL")) scopes |= OPTION_SCOPE_TLS;
  return scopes;
}

static int check_ports(const struct option_loader *loader, struct buf *ret_error) {
  const struct options *options = &loader->options;
  bool has_both = options->enable_ssl && !options->disable_unsecure_listener;
  if (!has_both || options->listen_port != options->ssl_listen_port) return 0;
  const char *name = is_given(loader, "SSL_LISTEN_PORT") ? "SSL_LISTEN_PORT" : "LISTEN_PORT";
  append_place(ret_error, loader, *origin_of(loader, option_find(slice_str(name))));
  buf_printf(ret_error,
             "LISTEN_PORT and SSL_LISTEN_PORT are both %llu; give them different ports, or set "
             "DISABLE_UNSECURE_LISTENER=true to serve with TLS only",
             (unsigned long long)options->listen_port);
  return ERR_INVALID;
}

static int check_rules(const struct option_loader *loader, struct buf *ret_error) {
  const struct option_rule *rule = option_rule_find_broken(&loader->options, scopes_of(loader));
  if (rule == NULL) return 0;
  append_place(ret_error, loader, *origin_of(loader, option_find(slice_str(rule->name))));
  option_rule_append(ret_error, rule);
  return ERR_INVALID;
}

#define SIGN(option)                                                                               \
  { option, "BACKEND=auto and " option " is set" }

/* What names a Redis server. */
static const struct {
  const char *option, *reason;
} signs[] = {SIGN("REDIS_HOST"), SIGN("REDIS_PORT"), SIGN("REDIS_PASSWORD"), SIGN("REDIS_SOCKET"),
             SIGN("REDIS_SENTINELS")};

/* Set to nothing does not count: a deployment may hand on a variable that it does not have. */
static const char *find_sign_of_redis(const struct option_loader *loader) {
  for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
    const struct option_row *row = option_find(slice_str(signs[i].option));
    if (is_given(loader, row->name) && !option_is_empty(&loader->options, row))
      return signs[i].reason;
  }
  return NULL;
}

static void choose_backend(struct option_loader *loader) {
  struct options *options = &loader->options;
  if (options->backend != OPTION_BACKEND_AUTO) {
    options->backend_reason =
        options->backend == OPTION_BACKEND_REDIS ? "BACKEND=redis" : "BACKEND=embedded";
    return;
  }
  const char *sign = find_sign_of_redis(loader);
  options->backend = sign != NULL ? OPTION_BACKEND_REDIS : OPTION_BACKEND_EMBEDDED;
  options->backend_reason = sign != NULL ? sign : "BACKEND=auto and no Redis server is set";
}

/* Of the three ways to a Redis server only this one is always there, unless it is taken away. */
static int check_redis_host(const struct option_loader *loader, struct buf *ret_error) {
  const struct options *options = &loader->options;
  const struct option_row *row = option_find(SLICE("REDIS_HOST"));
  bool needs_host = options->backend == OPTION_BACKEND_REDIS && options->redis_socket[0] == '\0' &&
                    options->redis_sentinels.count == 0;
  if (!needs_host || !option_is_empty(options, row)) return 0;
  append_place(ret_error, loader, *origin_of(loader, row));
  buf_append_str(ret_error, "REDIS_HOST is empty; set it to the host of the Redis server, or set "
                            "REDIS_SOCKET or REDIS_SENTINELS");
  return ERR_INVALID;
}

int options_load(struct options *ret, const char *config_path, char *const *env,
                 struct buf *ret_error) {
  AUTO(loader)
  struct option_loader loader = {.path = config_path,
                                 .origins = x_calloc(option_count(), sizeof *loader.origins)};
  set_defaults(&loader);
  int failed = set_from_file(&loader, ret_error);
  if (failed == 0) failed = set_from_environment(&loader, env, ret_error);
  if (failed == 0) failed = check_features(&loader, ret_error);
  if (failed == 0) failed = check_secret(&loader, ret_error);
  if (failed == 0) failed = check_rules(&loader, ret_error);
  if (failed == 0) failed = check_ports(&loader, ret_error);
  if (failed != 0) return failed;
  choose_backend(&loader);
  failed = check_redis_host(&loader, ret_error);
  if (failed != 0) return failed;
  *ret = loader.options;
  loader.options = (struct options){0};
  return 0;
}

void options_done(struct options *options) {
  for (size_t i = 0; i < option_count(); i++)
    option_clear(options, option_row(i));
}

bool options_origin_is_allowed(const struct options *options, struct slice origin) {
  for (size_t i = 0; i < options->allowed_origins.count; i++) {
    if (origin_matches(options->allowed_origins.items[i], origin)) return true;
  }
  return false;
}

bool options_secret_is_public(const struct options *options) {
  const struct option_row *row = option_find(SLICE("JWT_SECRET"));
  bool is_used = jws_is_symmetric(options->jwt_algorithm) && options->jwt_jwks[0] == '\0';
  return !options->disable_auth && is_used && strcmp(options->jwt_secret, row->default_text) == 0;
}
