#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/json_escape.h"
#include "eventhub/base/mem.h"
#include "eventhub/cli/client.h"
#include "eventhub/cli/resume.h"
#include "eventhub/cli/tool.h"
#include "eventhub/proto/json.h"
#include "eventhub/proto/jsonrpc.h"
#include "eventhub/topic/name.h"

enum { SINCE = CLIENT_OPTION_COUNT, LIMIT, JSON, COUNT, TIMEOUT, OPTION_COUNT };

static const struct tool_option options[OPTION_COUNT] = {
    CLIENT_OPTIONS,
    [SINCE] = {"since", "WHEN", "history first: 10m ago, ms since the epoch, or after a message id",
               false},
    [LIMIT] = {"limit", "N", "no more than the newest N messages of history", false},
    [JSON] = {"json", NULL, "print id, topic, message and origin as a line of JSON", false},
    [COUNT] = {"count", "N", "end after N messages", false},
    [TIMEOUT] = {"timeout", "TIME", "end after that time: 30s, 5m", false},
};

static const char text[] =
    "Prints each message on a line: a string as its text, other values as JSON. URL is as for\n"
    "`eventhub pub`. A topic or pattern may have + for one level, and # at its end for all below.\n"
    "\n"
    "When the connection is lost, it is made again, and goes on where it ended: each message\n"
    "once. Whether anything could not be recovered is told on stderr.\n"
    "\n"
    "  eventhub sub localhost:8080 'news/#' --since 10m\n"
    "  eventhub sub wss://hub.example.com 'logs/+' --json | jq .message\n"
    "\n"
    "Exit status: 0 after --count, or when interrupted, 1 failed, or --timeout came before\n"
    "--count, 2 wrong arguments, 3 the broker refuses (token, rights, pattern), 6 no connection\n"
    "at the first try.\n";

struct sub {
  const struct tool_arguments *arguments;
  struct client client;
  struct slice filter;
  struct resume resume;
  struct buf since; /* of the first subscription: members of `params` */
  uint64_t since_ago_ms;
  bool has_ago, is_first;
  uint64_t wanted, printed; /* --count */
  uint64_t deadline_ms;
  int status;
  bool is_over;
  struct buf line;
};

static void end(struct sub *sub, int status) {
  sub->status = status;
  sub->is_over = true;
}

/* ---- subscribing ---- */

/* First what time it is there: from then on nothing may be missing. */
static void ask_time(struct sub *sub) {
  client_ws_send(&sub->client.ws,
                 SLICE("{\"jsonrpc\":\"2.0\",\"id\":\"time\",\"method\":\"ping\",\"params\":[]}"));
}

static void append_first_since(struct sub *sub, uint64_t now_ms, struct buf *out) {
  if (sub->has_ago) {
    buf_printf(out, ",\"since\":%llu", (unsigned long long)(now_ms - sub->since_ago_ms));
  } else {
    buf_append_slice(out, buf_slice(&sub->since));
  }
  const char *limit = tool_value(sub->arguments, LIMIT);
  if (limit != NULL) buf_printf(out, ",\"limit\":%s", limit);
}

static void subscribe(struct sub *sub, uint64_t now_ms) {
  AUTO(buf) struct buf request = BUF_INIT;
  buf_append_str(
      &request,
      "{\"jsonrpc\":\"2.0\",\"id\":\"sub\",\"method\":\"subscribe\",\"params\":{\"topic\":");
  buf_append_json_string(&request, sub->filter);
  if (sub->is_first) {
    append_first_since(sub, now_ms, &request);
  } else {
    resume_append_since(&sub->resume, &request);
  }
  buf_append_str(&request, "}}");
  client_ws_send(&sub->client.ws, buf_slice(&request));
}

static void on_time(struct sub *sub, struct json_value result) {
  int64_t now_ms = 0;
  json_to_i64(client_member(result, "pong"), &now_ms);
  subscribe(sub, (uint64_t)now_ms);
  resume_start_at(&sub->resume, (uint64_t)now_ms - (sub->has_ago ? sub->since_ago_ms : 0));
}

/* ---- messages ---- */

/* JSON without what stands between its parts, so that it is one line. */
static void append_compact(struct buf *out, struct slice json) {
  bool in_string = false;
  for (size_t i = 0; i < json.len; i++) {
    char byte = json.ptr[i];
    if (in_string && byte == '\\') {
      buf_append_char(out, byte);
      byte = json.ptr[++i];
    } else if (byte == '"') {
      in_string = !in_string;
    } else if (!in_string && strchr(" \t\r\n", byte) != NULL) {
      continue;
    }
    buf_append_char(out, byte);
  }
}

static void print_message(struct sub *sub, struct json_value item) {
  struct json_value message = client_member(item, "message");
  buf_clear(&sub->line);
  if (tool_has(sub->arguments, JSON)) {
    append_compact(&sub->line, item.text);
  } else if (message.type == JSON_STRING) {
    json_string_decode(message, &sub->line);
  } else {
    append_compact(&sub->line, message.text);
  }
  buf_append_char(&sub->line, '\n');
  int err = tool_write(STDOUT_FILENO, buf_slice(&sub->line));
  if (err == ERR_CLOSED) end(sub, TOOL_OK); /* who reads has seen enough: head(1) */
  if (err == ERR_SYSTEM) {
    tool_complain("stdout cannot be written");
    end(sub, TOOL_FAILED);
  }
}

static void on_message(struct sub *sub, struct json_value item) {
  AUTO(buf) struct buf topic = BUF_INIT;
  AUTO(buf) struct buf id_text = BUF_INIT;
  struct message_id id;
  if (json_string_decode(client_member(item, "topic"), &topic) < 0 ||
      json_string_decode(client_member(item, "id"), &id_text) < 0 ||
      message_id_parse(buf_slice(&id_text), &id) < 0)
    return;
  if (!resume_take(&sub->resume, buf_slice(&topic), id)) return;
  print_message(sub, item);
  if (!sub->is_over && ++sub->printed == sub->wanted) end(sub, TOOL_OK);
}

static void on_subscribed(struct sub *sub, struct json_value result) {
  if (client_member(result, "recovered").type == JSON_FALSE)
    tool_complain("not all of the history is there any more");
  sub->is_first = false;
}

static void on_gap(struct json_value params) {
  AUTO(buf) struct buf topic = BUF_INIT;
  AUTO(buf) struct buf id = BUF_INIT;
  json_string_decode(client_member(params, "topic"), &topic);
  json_string_decode(client_member(params, "lastId"), &id);
  tool_complain("messages of topic %.*s behind %.*s are lost", (int)topic.len, topic.data,
                (int)id.len, id.data);
}

static void on_timeout(struct sub *sub) {
  end(sub, sub->wanted == 0 ? TOOL_OK : TOOL_FAILED);
}

static void reconnect(struct sub *sub) {
  switch (client_reconnect(&sub->client, sub->deadline_ms)) {
  case 0: ask_time(sub); break;
  case ERR_CLOSED: end(sub, TOOL_OK); break; /* interrupted */
  case ERR_DENIED: end(sub, TOOL_DENIED); break;
  default: end(sub, TOOL_FAILED); break; /* the time is up */
  }
}

static void on_error(struct sub *sub, struct json_value error) {
  AUTO(buf) struct buf why = BUF_INIT;
  int64_t code = 0;
  client_append_error(&why, error);
  tool_complain("%.*s", (int)why.len, why.data);
  json_to_i64(client_member(error, "code"), &code);
  if (code != JSONRPC_INTERNAL_ERROR) {
    end(sub, TOOL_DENIED); /* the same would be said again */
    return;
  }
  client_ws_close(&sub->client.ws);
  reconnect(sub); /* by then the store may be back */
}

static void take_answer(struct sub *sub, struct slice message) {
  struct client_answer answer;
  if (client_parse_answer(message, &answer) < 0) return;
  if (json_string_equals(answer.method, SLICE("gap"))) {
    on_gap(answer.params);
  } else if (answer.error.type != JSON_NULL) {
    on_error(sub, answer.error);
  } else if (json_string_equals(answer.id, SLICE("time"))) {
    on_time(sub, answer.result);
  } else if (json_string_equals(client_member(answer.result, "action"), SLICE("subscribe"))) {
    on_subscribed(sub, answer.result);
  } else {
    on_message(sub, answer.result);
  }
}

/* ---- the command ---- */

static void on_loss(struct sub *sub) {
  if (client_report_close(&sub->client) == ERR_UNAVAILABLE) {
    reconnect(sub);
  } else {
    end(sub, TOOL_DENIED);
  }
}

static int listen_until_over(struct sub *sub) {
  int err = client_connect(&sub->client);
  if (err < 0) return err == ERR_DENIED ? TOOL_DENIED : TOOL_UNREACHABLE;
  ask_time(sub);
  while (!sub->is_over) {
    struct slice message;
    switch (client_ws_wait(&sub->client.ws, -1, sub->deadline_ms, &message)) {
    case CLIENT_MESSAGE: take_answer(sub, message); break;
    case CLIENT_CLOSED: on_loss(sub); break;
    case CLIENT_TIMEOUT: on_timeout(sub); break;
    case CLIENT_INTERRUPTED: end(sub, TOOL_OK); break;
    default: break;
    }
  }
  client_ws_close(&sub->client.ws);
  return sub->status;
}

/* A time ago, ms since the epoch, or an id: all digits are ms, a '-' makes an id. */
static int read_since(struct sub *sub) {
  const char *since = tool_value(sub->arguments, SINCE);
  struct message_id id;
  uint64_t number = 0;
  if (since == NULL) return 0;
  if (slice_to_u64(slice_str(since), &number) == 0) {
    buf_printf(&sub->since, ",\"since\":%s", since);
    resume_start_at(&sub->resume, number);
  } else if (strchr(since, '-') != NULL && message_id_parse(slice_str(since), &id) == 0) {
    buf_printf(&sub->since, ",\"sinceEventId\":\"%s\"", since);
    resume_start_at(&sub->resume, id.ms);
    sub->resume.last = id;
  } else if (tool_parse_duration(since, &number) == 0) {
    sub->has_ago = true;
    sub->since_ago_ms = number * 1000;
  } else {
    tool_complain("--since: not a time ago (10m), ms since the epoch or a message id: %s", since);
    return ERR_INVALID;
  }
  return 0;
}

static int read_number(const struct tool_arguments *arguments, size_t option, uint64_t *ret) {
  const char *value = tool_value(arguments, option);
  if (value == NULL || slice_to_u64(slice_str(value), ret) == 0) return 0;
  tool_complain("--%s must be a whole number", options[option].name);
  return ERR_INVALID;
}

static int read_timeout(struct sub *sub) {
  const char *value = tool_value(sub->arguments, TIMEOUT);
  uint64_t seconds = 0;
  sub->deadline_ms = UINT64_MAX;
  if (value == NULL) return 0;
  if (tool_parse_duration(value, &seconds) < 0) {
    tool_complain("--timeout: not a time such as 30s or 5m: %s", value);
    return ERR_INVALID;
  }
  sub->deadline_ms = clock_monotonic_ms() + seconds * 1000;
  return 0;
}

static int read_arguments(struct sub *sub) {
  uint64_t limit = 0;
  if (client_init(&sub->client, sub->arguments) < 0 || read_since(sub) < 0 ||
      read_timeout(sub) < 0 || read_number(sub->arguments, LIMIT, &limit) < 0 ||
      read_number(sub->arguments, COUNT, &sub->wanted) < 0)
    return ERR_INVALID;
  if (filter_is_valid(sub->filter)) return 0;
  tool_complain("not a valid topic or pattern: %s", sub->arguments->words[1]);
  return ERR_INVALID;
}

static int run(const struct tool_arguments *arguments) {
  struct sub sub = {
      .arguments = arguments, .filter = slice_str(arguments->words[1]), .is_first = true};
  resume_init(&sub.resume, sub.filter);
  client_catch_signals();
  int status = read_arguments(&sub) < 0 ? TOOL_USAGE : listen_until_over(&sub);
  client_done(&sub.client);
  resume_done(&sub.resume);
  buf_done(&sub.since);
  buf_done(&sub.line);
  return status;
}

const struct tool tool_sub = {
    .name = "sub",
    .help = "subscribe to a topic or pattern and print its messages",
    .synopsis = "URL PATTERN [OPTIONS]",
    .text = text,
    .options = options,
    .option_count = OPTION_COUNT,
    .min_words = 2,
    .max_words = 2,
    .run = run,
};
