#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <jwt.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/cli/cli_token.h"
#include "eventhub/cli/tool.h"
#include "eventhub/proto/utf8.h"
#include "eventhub/topic/name.h"
#include "eventhub/topic/token.h"

enum { READ, WRITE, SUB, EXPIRES, NOT_BEFORE, RLIMIT, SECRET, SECRET_FILE, OPTION_COUNT };

static const struct tool_option options[OPTION_COUNT] = {
    [READ] = {"read", "FILTER,...", "topics and patterns that it may read", true},
    [WRITE] = {"write", "FILTER,...", "topics and patterns that it may write", true},
    [SUB] = {"sub", "NAME", "whose it is: the origin of messages, and whom limits count for",
             false},
    [EXPIRES] = {"expires", "TIME", "how long it is valid: 30s, 15m, 1h, 7d or never (1h)", false},
    [NOT_BEFORE] = {"not-before", "TIME", "in how long it becomes valid (at once)", false},
    [RLIMIT] = {"rlimit", "FILTER:MAX/S,...", "at most MAX publishes in S seconds; needs --sub",
                true},
    [SECRET] = {"secret", "SECRET", "the broker's JWT_SECRET (the variable of that name)", false},
    [SECRET_FILE] = {"secret-file", "FILE", "... its first line; - is stdin", false},
};

static const char text[] =
    "Read and write lists may be given several times, or separated by commas. What the broker\n"
    "would pass over or refuse is an error here. The secret of an argument can be seen by\n"
    "every user of this machine while the command runs; a variable or a file cannot.\n"
    "\n"
    "  eventhub token --read 'chat/#' --write chat/+ --sub alice --rlimit 'chat/#:10/60'\n"
    "\n"
    "Exit status: 0 with the token on stdout, 2 where the arguments are wrong.\n";

/* ---- claims ---- */

static int refuse(const char *what, struct slice value) {
  tool_complain("%s: %.*s", what, (int)value.len, value.ptr);
  return ERR_INVALID;
}

static json_t *json_text(struct slice value) {
  return json_stringn(value.ptr, value.len);
}

/* `take` gets each element of the lists that the option was given. */
static int for_each(const struct tool_arguments *arguments, size_t option, json_t *list,
                    int (*take)(json_t *list, struct slice element)) {
  for (size_t i = 0; i < arguments->counts[option]; i++) {
    struct slice rest = slice_str(arguments->values[option][i]), element;
    while (slice_next_token(&rest, ',', &element)) {
      int err = take(list, slice_trim(element));
      if (err < 0) return err;
    }
  }
  if (json_array_size(list) <= TOKEN_ENTRIES_MAX) return 0;
  tool_complain("--%s has more than %d entries", options[option].name, TOKEN_ENTRIES_MAX);
  return ERR_INVALID;
}

static int take_filter(json_t *list, struct slice element) {
  if (!filter_is_valid(element)) return refuse("not a valid topic or pattern", element);
  json_array_append_new(list, json_text(element));
  return 0;
}

/* FILTER:MAX/SECONDS */
static int take_limit(json_t *list, struct slice element) {
  static const char wrong[] = "not a limit of the form FILTER:MAX/SECONDS";
  struct slice rest = element, filter = SLICE(""), max = SLICE("");
  uint64_t count = 0, interval_s = 0;
  slice_next_token(&rest, ':', &filter);
  slice_next_token(&rest, '/', &max);
  if (!filter_is_valid(filter) || slice_to_u64(max, &count) < 0 || count > INT64_MAX)
    return refuse(wrong, element);
  if (slice_to_u64(rest, &interval_s) < 0 || interval_s < 1 || interval_s > UINT32_MAX)
    return refuse(wrong, element);
  json_t *limit = json_object();
  json_object_set_new(limit, "topic", json_text(filter));
  json_object_set_new(limit, "max", json_integer((json_int_t)count));
  json_object_set_new(limit, "interval", json_integer((json_int_t)interval_s));
  json_array_append_new(list, limit);
  return 0;
}

static int add_list(const struct tool_arguments *arguments, size_t option, json_t *claims,
                    int (*take)(json_t *list, struct slice element)) {
  if (!tool_has(arguments, option)) return 0;
  json_t *list = json_array();
  json_object_set_new(claims, options[option].name, list);
  return for_each(arguments, option, list, take);
}

static int add_time(const struct tool_arguments *arguments, size_t option, const char *usual,
                    json_t *claims, const char *claim) {
  const char *value = tool_has(arguments, option) ? tool_value(arguments, option) : usual;
  uint64_t after_s = 0;
  if (value == NULL || strcmp(value, "never") == 0) return 0;
  if (tool_parse_duration(value, &after_s) < 0)
    return refuse("not a time such as 30s, 15m, 1h, 7d or never", slice_str(value));
  json_int_t now_s = (json_int_t)(clock_wall_ms() / 1000);
  json_object_set_new(claims, claim, json_integer(now_s + (json_int_t)after_s));
  return 0;
}

static int add_sub(const struct tool_arguments *arguments, json_t *claims) {
  const char *sub = tool_value(arguments, SUB);
  if (sub == NULL || sub[0] == '\0') {
    if (!tool_has(arguments, RLIMIT)) return 0;
    tool_complain("--rlimit needs --sub: limits count for somebody");
    return ERR_INVALID;
  }
  if (!utf8_is_valid(sub, strlen(sub))) return refuse("--sub is not UTF-8", SLICE(""));
  json_object_set_new(claims, "sub", json_string(sub));
  return 0;
}

static int add_claims(const struct tool_arguments *arguments, json_t *claims) {
  int err = 0;
  if (!tool_has(arguments, READ) && !tool_has(arguments, WRITE)) {
    tool_complain("a token needs --read or --write");
    err = ERR_INVALID;
  }
  if (err == 0) err = add_list(arguments, READ, claims, take_filter);
  if (err == 0) err = add_list(arguments, WRITE, claims, take_filter);
  if (err == 0) err = add_list(arguments, RLIMIT, claims, take_limit);
  if (err == 0) err = add_sub(arguments, claims);
  if (err == 0) err = add_time(arguments, EXPIRES, "1h", claims, "exp");
  if (err == 0) err = add_time(arguments, NOT_BEFORE, NULL, claims, "nbf");
  return err;
}

/* ---- signing ---- */

/* The JWT, to be freed; NULL where libjwt will not have it. */
static char *sign(const json_t *claims, struct slice secret) {
  jwt_t *jwt = NULL;
  char *dump = json_dumps(claims, JSON_COMPACT), *signed_text = NULL;
  if (dump != NULL && jwt_new(&jwt) == 0 && jwt_add_grants_json(jwt, dump) == 0 &&
      jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)secret.ptr, (int)secret.len) == 0)
    signed_text = jwt_encode_str(jwt);
  jwt_free(jwt);
  free(dump);
  return signed_text;
}

static int read_secret(const struct tool_arguments *arguments, struct buf *ret) {
  if (tool_has(arguments, SECRET) && tool_has(arguments, SECRET_FILE)) {
    tool_complain("--secret and --secret-file exclude each other");
    return ERR_INVALID;
  }
  if (tool_has(arguments, SECRET_FILE))
    return tool_read_secret(tool_value(arguments, SECRET_FILE), ret);
  const char *secret =
      tool_has(arguments, SECRET) ? tool_value(arguments, SECRET) : getenv("JWT_SECRET");
  if (secret == NULL || secret[0] == '\0') {
    tool_complain("a secret is needed: --secret, --secret-file, or JWT_SECRET in the environment");
    return ERR_INVALID;
  }
  buf_append_str(ret, secret);
  return 0;
}

int token_make(const struct tool_arguments *arguments, struct slice secret, struct buf *ret) {
  json_t *claims = json_object();
  int err = add_claims(arguments, claims);
  char *token = err == 0 ? sign(claims, secret) : NULL;
  json_decref(claims);
  if (err == 0 && token == NULL) {
    tool_complain("the token cannot be signed");
    err = ERR_SYSTEM;
  } else if (err == 0 && strlen(token) > TOKEN_TEXT_MAX) {
    tool_complain("the token is longer than the %d bytes that a broker reads", TOKEN_TEXT_MAX);
    err = ERR_TOO_BIG;
  } else if (err == 0) {
    buf_append_str(ret, token);
  }
  free(token);
  return err;
}

static int run(const struct tool_arguments *arguments) {
  AUTO(buf) struct buf secret = BUF_INIT;
  AUTO(buf) struct buf token = BUF_INIT;
  if (read_secret(arguments, &secret) < 0 || token_make(arguments, buf_slice(&secret), &token) < 0)
    return TOOL_USAGE;
  buf_append_char(&token, '\n');
  return tool_write(STDOUT_FILENO, buf_slice(&token)) == 0 ? TOOL_OK : TOOL_FAILED;
}

const struct tool tool_token = {
    .name = "token",
    .help = "make a token for clients of a broker",
    .synopsis = "--read FILTER --write FILTER [OPTIONS]",
    .text = text,
    .options = options,
    .option_count = OPTION_COUNT,
    .run = run,
};
