#include "eventhub/cli/client.h"

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/random.h"
#include "eventhub/proto/json.h"
#include "eventhub/proto/ws_frame.h"

enum { CONNECT_TIMEOUT_MS = 10000, WAIT_MIN_MS = 250, WAIT_MAX_MS = 10000 };

static bool token_is_sendable(struct slice token) {
  for (size_t i = 0; i < token.len; i++) {
    if (token.ptr[i] <= ' ' || token.ptr[i] >= 0x7f) return false;
  }
  return true;
}

static int read_token(struct client *client, const struct tool_arguments *arguments) {
  const char *token = tool_value(arguments, CLIENT_OPTION_TOKEN);
  const char *path = tool_value(arguments, CLIENT_OPTION_TOKEN_FILE);
  if (token != NULL && path != NULL) {
    tool_complain("--token and --token-file exclude each other");
    return ERR_INVALID;
  }
  if (token == NULL && path == NULL) token = getenv("EVENTHUB_TOKEN");
  if (path != NULL && tool_read_secret(path, &client->token) < 0) return ERR_INVALID;
  if (token != NULL) buf_append_str(&client->token, token);
  client->has_token = client->token.len > 0;
  if (token_is_sendable(buf_slice(&client->token))) {
    buf_append_char(&client->token, '\0');
    return 0;
  }
  tool_complain("the token has characters that no token has");
  return ERR_INVALID;
}

int client_init(struct client *client, const struct tool_arguments *arguments) {
  *client = (struct client){.tls = {.ca_file = tool_value(arguments, CLIENT_OPTION_CA),
                                    .is_insecure = tool_has(arguments, CLIENT_OPTION_INSECURE)}};
  client_ws_init(&client->ws);
  buf_init(&client->token);
  if (client_url_parse(arguments->words[0], &client->url) < 0) {
    tool_complain("not a URL such as ws://localhost:8080 or wss://example.com/path: %s",
                  arguments->words[0]);
    return ERR_INVALID;
  }
  return read_token(client, arguments);
}

void client_done(struct client *client) {
  client_ws_done(&client->ws);
  buf_done(&client->token);
}

int client_connect(struct client *client) {
  AUTO(buf) struct buf error = BUF_INIT;
  uint64_t deadline_ms = clock_monotonic_ms() + CONNECT_TIMEOUT_MS;
  int err = client_ws_open(&client->ws, &client->url, client->has_token ? client->token.data : NULL,
                           &client->tls, deadline_ms, &error);
  if (err < 0 && !client_is_interrupted())
    tool_complain("cannot connect: %.*s", (int)error.len, error.data);
  return err;
}

int client_reconnect(struct client *client, uint64_t give_up_ms) {
  uint64_t pause_ms = WAIT_MIN_MS; /* grows while no try succeeds */
  for (;;) {
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t wait_ms = pause_ms / 2 + random_u64() % pause_ms;
    if (now_ms + wait_ms > give_up_ms) return ERR_EXPIRED;
    client_sleep(wait_ms);
    if (client_is_interrupted()) return ERR_CLOSED;
    int err = client_connect(client);
    if (client_is_interrupted()) return ERR_CLOSED;
    if (err == 0) tool_complain("connected again");
    if (err != ERR_UNAVAILABLE) return err;
    pause_ms = pause_ms * 2 < WAIT_MAX_MS ? pause_ms * 2 : WAIT_MAX_MS;
  }
}

int client_report_close(struct client *client) {
  const struct client_ws *ws = &client->ws;
  tool_complain("the connection ended: %u %.*s", ws->close_code, (int)ws->close_reason.len,
                buf_slice(&ws->close_reason).ptr);
  bool will_pass = ws->close_code != WS_CLOSE_POLICY && ws->close_code != WS_CLOSE_TOO_BIG;
  return will_pass ? ERR_UNAVAILABLE : ERR_DENIED;
}

/* ---- answers ---- */

struct json_value client_member(struct json_value object, const char *name) {
  struct json_value value = {.type = JSON_NULL};
  json_object_find(object, slice_str(name), &value);
  return value;
}

int client_parse_answer(struct slice text, struct client_answer *ret) {
  struct json_value root;
  if (json_parse(text, JSON_DEPTH_MAX, &root) < 0 || root.type != JSON_OBJECT) return ERR_INVALID;
  *ret = (struct client_answer){
      .id = client_member(root, "id"),
      .result = client_member(root, "result"),
      .error = client_member(root, "error"),
      .method = client_member(root, "method"),
      .params = client_member(root, "params"),
  };
  return 0;
}

void client_append_error(struct buf *out, struct json_value error) {
  struct json_value sentence = client_member(error, "data");
  if (sentence.type != JSON_STRING) sentence = client_member(error, "message");
  if (json_string_decode(sentence, out) < 0) buf_append_slice(out, error.text);
}
