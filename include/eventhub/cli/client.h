/*
 * What `pub` and `sub` share: the broker that they were told, with its options, and staying
 * connected to it.
 */
#ifndef EVENTHUB_CLI_CLIENT_H
#define EVENTHUB_CLI_CLIENT_H

#include "eventhub/cli/client_ws.h"
#include "eventhub/cli/tool.h"
#include "eventhub/proto/json_value.h"

/* Where these stand in the tables of both. */
enum client_option {
  CLIENT_OPTION_TOKEN,
  CLIENT_OPTION_TOKEN_FILE,
  CLIENT_OPTION_CA,
  CLIENT_OPTION_INSECURE,
  CLIENT_OPTION_COUNT
};
#define CLIENT_OPTIONS                                                                             \
  [CLIENT_OPTION_TOKEN] = {"token", "TOKEN", "the token (EVENTHUB_TOKEN in the environment)",      \
                           false},                                                                 \
  [CLIENT_OPTION_TOKEN_FILE] = {"token-file", "FILE", "... the first line of a file; - is stdin",  \
                                false},                                                            \
  [CLIENT_OPTION_CA] = {"ca", "FILE", "trust these CAs (PEM) instead of the system's", false},     \
  [CLIENT_OPTION_INSECURE] = {"insecure", NULL, "accept any certificate", false}

struct client {
  struct client_url url;
  struct client_tls tls;
  struct buf token;
  bool has_token;
  struct client_ws ws;
};

/* 0, or an error that it has complained about: wrong arguments. */
int client_init(struct client *client, const struct tool_arguments *arguments);
void client_done(struct client *client);

/* One try. 0, ERR_DENIED or ERR_UNAVAILABLE; why is said on stderr. */
int client_connect(struct client *client);
/* After a loss: tries until it succeeds, waiting longer and longer in between, never all clients at
 * the same moment; 0, ERR_DENIED, ERR_EXPIRED when give_up_ms (clock_monotonic_ms) has come, or
 * ERR_CLOSED when interrupted. */
int client_reconnect(struct client *client, uint64_t give_up_ms);
/* Says on stderr how the connection ended. ERR_DENIED where connecting again would not help (the
 * token has expired), else ERR_UNAVAILABLE. */
int client_report_close(struct client *client);

/* An answer or notification of the broker, taken apart; members that there are not are JSON_NULL.
 */
struct client_answer {
  struct json_value id, result, error, method, params;
};
/* 0, or ERR_INVALID where it is none. */
int client_parse_answer(struct slice text, struct client_answer *ret);
/* The sentence of an error. */
void client_append_error(struct buf *out, struct json_value error);
/* The member of an object, JSON_NULL where there is none. */
struct json_value client_member(struct json_value object, const char *name);

#endif
