#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/json_escape.h"
#include "eventhub/cli/client.h"
#include "eventhub/cli/tool.h"
#include "eventhub/proto/json.h"
#include "eventhub/proto/jsonrpc.h"
#include "eventhub/proto/utf8.h"

enum { TTL = CLIENT_OPTION_COUNT, JSON, RETRY, VERBOSE, PROGRESS, QUIET, OPTION_COUNT };

static const struct tool_option options[OPTION_COUNT] = {
    CLIENT_OPTIONS,
    [TTL] = {"ttl", "SECONDS", "how long the message stays in the history", false},
    [JSON] = {"json", NULL, "messages are JSON values, not text", false},
    [RETRY] = {"retry", NULL, "after a lost connection send again what may be published already",
               false},
    [VERBOSE] = {"verbose", NULL, "print the id of each message", false},
    [PROGRESS] = {"progress", NULL, "show how many are published (usual on a terminal)", false},
    [QUIET] = {"quiet", NULL, "do not show it", false},
};

static const char text[] =
    "Without MESSAGE, or with -, each line of stdin is a message; empty lines are none.\n"
    "Messages keep their order, and each is acknowledged by the broker. URL is\n"
    "ws://HOST[:PORT][/PATH], wss:// for TLS, or just HOST[:PORT] (port 8080); http:// and\n"
    "https:// mean the same.\n"
    "\n"
    "When the connection is lost, it is made again, and what was not sent yet is sent. What\n"
    "was sent and not acknowledged may be published or not: that is told, and ends the\n"
    "command (status 5), unless --retry says that it is better sent twice than not at all.\n"
    "\n"
    "  eventhub pub localhost:8080 news 'hello'\n"
    "  tail -f app.log | eventhub pub wss://hub.example.com logs/app --ttl 3600\n"
    "\n"
    "Exit status: 0 all messages are published, 1 failed, 2 wrong arguments, 3 the broker\n"
    "refuses (token, rights, topic), 4 some were not published (rate limit, not JSON), 5 some\n"
    "may be published or not, 6 no connection.\n";

enum {
  IN_FLIGHT_MAX = 1024, /* a power of two */
  UNSENT_MAX = 1 << 20, /* bytes queued; more lines are read when they have left */
  READ_SIZE = 65536,
  LINE_MAX_BYTES = 1 << 28,
  GIVE_UP_MS = 60000, /* trying to connect again */
  PROGRESS_MS = 250,
  MESSAGE_DEPTH_MAX = JSON_DEPTH_MAX - 2 /* the request around it has two levels */
};

/* A message that is not acknowledged. */
struct pending {
  bool is_waiting;
  uint64_t place;     /* in what is queued: client_ws_place */
  struct buf request; /* its text */
};

struct pub {
  const struct tool_arguments *arguments;
  struct client client;
  struct slice topic;
  const char *ttl; /* digits, or NULL */
  struct buf input;
  size_t input_at;
  bool is_at_end;       /* of the input */
  uint64_t first, next; /* numbers of the messages that may be waiting */
  struct pending pending[IN_FLIGHT_MAX];
  uint64_t line; /* the last that was read */
  uint64_t published, rejected;
  int status; /* TOOL_OK: go on */
  uint64_t started_ms, shown_ms;
  bool shows_progress, has_shown;
};

static struct pending *pending_of(struct pub *pub, uint64_t number) {
  return &pub->pending[number & (IN_FLIGHT_MAX - 1)];
}

/* ---- progress ---- */

static void show_progress(struct pub *pub, bool is_last) {
  uint64_t now_ms = clock_monotonic_ms(), passed_ms = now_ms - pub->started_ms;
  if (!pub->shows_progress || (!is_last && now_ms - pub->shown_ms < PROGRESS_MS)) return;
  if (!is_last && passed_ms < 1000) return; /* short input needs none */
  if (is_last && !pub->has_shown && !tool_has(pub->arguments, PROGRESS)) return;
  AUTO(buf) struct buf line = BUF_INIT;
  bool is_terminal = isatty(STDERR_FILENO) != 0;
  buf_printf(&line, "%s%llu published, %llu/s", is_terminal ? "\r" : "",
             (unsigned long long)pub->published,
             (unsigned long long)(pub->published * 1000 / (passed_ms > 0 ? passed_ms : 1)));
  if (pub->rejected > 0) buf_printf(&line, ", %llu not", (unsigned long long)pub->rejected);
  buf_append_str(&line, is_terminal && !is_last ? "  " : "\n");
  tool_write(STDERR_FILENO, buf_slice(&line));
  pub->shown_ms = now_ms;
  pub->has_shown = true;
}

/* ---- publishing ---- */

static void reject_line(struct pub *pub, uint64_t line, struct slice why) {
  pub->rejected++;
  tool_complain("line %llu: %.*s", (unsigned long long)line, (int)why.len, why.ptr);
}

/* The line as a JSON value, appended to out. */
static bool append_message(struct pub *pub, struct slice line, struct buf *out) {
  struct json_value value;
  if (!utf8_is_valid(line.ptr, line.len)) {
    reject_line(pub, pub->line, SLICE("not UTF-8"));
    return false;
  }
  if (!tool_has(pub->arguments, JSON)) {
    buf_append_json_string(out, line);
    return true;
  }
  if (json_parse(line, MESSAGE_DEPTH_MAX, &value) < 0 || json_is_blank(value)) {
    reject_line(pub, pub->line, SLICE("not a JSON value that can be published"));
    return false;
  }
  buf_append_slice(out, value.text);
  return true;
}

static void publish_line(struct pub *pub, struct slice line) {
  pub->line++;
  if (line.len == 0) return;
  struct pending *pending = pending_of(pub, pub->next);
  struct buf *request = &pending->request;
  buf_clear(request);
  buf_printf(
      request,
      "{\"jsonrpc\":\"2.0\",\"id\":\"%llu:%llu\",\"method\":\"publish\",\"params\":{\"topic\":",
      (unsigned long long)pub->next, (unsigned long long)pub->line);
  buf_append_json_string(request, pub->topic);
  if (pub->ttl != NULL) buf_printf(request, ",\"ttl\":%s", pub->ttl);
  buf_append_str(request, ",\"message\":");
  if (!append_message(pub, line, request)) return;
  buf_append_str(request, "}}");
  pending->is_waiting = true;
  pending->place = client_ws_place(&pub->client.ws);
  client_ws_send(&pub->client.ws, buf_slice(request));
  pub->next++;
}

/* The next line of the input; of what is left at its end, too. */
static bool take_line(struct pub *pub, struct slice *ret) {
  struct slice left = slice_skip(buf_slice(&pub->input), pub->input_at);
  const char *end = left.len == 0 ? NULL : memchr(left.ptr, '\n', left.len);
  if (end == NULL && (!pub->is_at_end || left.len == 0)) return false;
  size_t len = end == NULL ? left.len : (size_t)(end - left.ptr);
  pub->input_at += end == NULL ? len : len + 1;
  if (len > 0 && left.ptr[len - 1] == '\r') len--;
  *ret = slice_of(left.ptr, len);
  return true;
}

static bool has_room(const struct pub *pub) {
  return pub->next - pub->first < IN_FLIGHT_MAX && client_ws_unsent(&pub->client.ws) < UNSENT_MAX;
}

static void publish_lines(struct pub *pub) {
  struct slice line;
  while (has_room(pub) && take_line(pub, &line))
    publish_line(pub, line);
}

static void read_input(struct pub *pub) {
  buf_consume(&pub->input, pub->input_at);
  pub->input_at = 0;
  if (pub->input.len > LINE_MAX_BYTES) {
    tool_complain("line %llu is too long", (unsigned long long)pub->line + 1);
    pub->status = TOOL_FAILED;
    return;
  }
  ssize_t len = read(STDIN_FILENO, buf_reserve(&pub->input, READ_SIZE), READ_SIZE);
  if (len > 0) buf_commit(&pub->input, (size_t)len);
  if (len < 0 && errno != EINTR && errno != EAGAIN) {
    tool_complain("stdin: %s", strerror(errno));
    pub->status = TOOL_FAILED;
  }
  pub->is_at_end = len == 0;
}

/* ---- answers ---- */

static void print_id(const struct pub *pub, struct json_value result) {
  struct json_value id = client_member(result, "id");
  if (!tool_has(pub->arguments, VERBOSE) || id.type != JSON_STRING) return;
  AUTO(buf) struct buf line = BUF_INIT;
  json_string_decode(id, &line);
  buf_append_char(&line, '\n');
  tool_write(STDOUT_FILENO, buf_slice(&line));
}

static void take_error(struct pub *pub, uint64_t line, struct json_value error) {
  AUTO(buf) struct buf why = BUF_INIT;
  int64_t code = 0;
  client_append_error(&why, error);
  reject_line(pub, line, buf_slice(&why));
  json_to_i64(client_member(error, "code"), &code);
  /* The topic or the right to write it: it will be the same with every line. */
  if (code == JSONRPC_INVALID_PARAMS) pub->status = TOOL_DENIED;
}

static void take_result(struct pub *pub, uint64_t line, struct json_value result) {
  if (json_string_equals(client_member(result, "status"), SLICE("ok"))) {
    pub->published++;
    print_id(pub, result);
  } else {
    reject_line(pub, line, SLICE("not published: the rate limit is used up"));
  }
}

/* "number:line" */
static bool parse_id(struct json_value id, uint64_t *ret_number, uint64_t *ret_line) {
  if (id.type != JSON_STRING) return false;
  struct slice rest = json_string_raw(id), number = SLICE("");
  slice_next_token(&rest, ':', &number);
  return slice_to_u64(number, ret_number) == 0 && slice_to_u64(rest, ret_line) == 0;
}

static void take_answer(struct pub *pub, struct slice message) {
  struct client_answer answer;
  uint64_t number = 0, line = 0;
  if (client_parse_answer(message, &answer) < 0 || !parse_id(answer.id, &number, &line)) return;
  if (number < pub->first || number >= pub->next || !pending_of(pub, number)->is_waiting) return;
  pending_of(pub, number)->is_waiting = false;
  if (answer.error.type != JSON_NULL) {
    take_error(pub, line, answer.error);
  } else {
    take_result(pub, line, answer.result);
  }
  while (pub->first < pub->next && !pending_of(pub, pub->first)->is_waiting)
    pub->first++;
}

/* ---- a lost connection ---- */

/* Messages that have left, at least in part, and were not answered. */
static uint64_t count_unknown(struct pub *pub) {
  uint64_t count = 0;
  for (uint64_t number = pub->first; number < pub->next; number++) {
    const struct pending *pending = pending_of(pub, number);
    if (pending->is_waiting && client_ws_has_left(&pub->client.ws, pending->place)) count++;
  }
  return count;
}

static void send_again(struct pub *pub) {
  for (uint64_t number = pub->first; number < pub->next; number++) {
    struct pending *pending = pending_of(pub, number);
    if (!pending->is_waiting) continue;
    pending->place = client_ws_place(&pub->client.ws);
    client_ws_send(&pub->client.ws, buf_slice(&pending->request));
  }
}

static int status_of(int err) {
  return err == ERR_DENIED ? TOOL_DENIED : TOOL_UNREACHABLE;
}

static void on_loss(struct pub *pub) {
  uint64_t unknown = count_unknown(pub);
  int err = client_report_close(&pub->client);
  if (unknown > 0 && (!tool_has(pub->arguments, RETRY) || err == ERR_DENIED)) {
    tool_complain("%llu messages were sent and not acknowledged: they may be published or not",
                  (unsigned long long)unknown);
    pub->status = TOOL_UNKNOWN;
    return;
  }
  if (err == ERR_UNAVAILABLE)
    err = client_reconnect(&pub->client, clock_monotonic_ms() + GIVE_UP_MS);
  if (err < 0) {
    pub->status = status_of(err);
  } else {
    send_again(pub);
  }
}

/* ---- the command ---- */

static bool is_done(const struct pub *pub) {
  bool is_used_up = pub->is_at_end && pub->input_at == pub->input.len;
  return pub->status != TOOL_OK || (is_used_up && pub->first == pub->next);
}

static void publish_all(struct pub *pub) {
  while (publish_lines(pub), !is_done(pub)) {
    struct slice message;
    bool reads = !pub->is_at_end && has_room(pub);
    uint64_t deadline_ms = clock_monotonic_ms() + PROGRESS_MS;
    switch (client_ws_wait(&pub->client.ws, reads ? STDIN_FILENO : -1, deadline_ms, &message)) {
    case CLIENT_MESSAGE: take_answer(pub, message); break;
    case CLIENT_INPUT: read_input(pub); break;
    case CLIENT_CLOSED: on_loss(pub); break;
    case CLIENT_INTERRUPTED: pub->status = TOOL_FAILED; break;
    default: break;
    }
    show_progress(pub, false);
  }
  show_progress(pub, true);
}

static int finish(struct pub *pub) {
  if (client_is_interrupted() && pub->first < pub->next) {
    tool_complain("interrupted: the last messages may be published or not");
    pub->status = TOOL_UNKNOWN;
  }
  if (pub->status == TOOL_OK && pub->rejected > 0) pub->status = TOOL_REJECTED;
  client_ws_close(&pub->client.ws);
  return pub->status;
}

static int check_ttl(struct pub *pub) {
  uint64_t seconds = 0;
  pub->ttl = tool_value(pub->arguments, TTL);
  if (pub->ttl == NULL || slice_to_u64(slice_str(pub->ttl), &seconds) == 0) return 0;
  tool_complain("--ttl must be a whole number of seconds");
  return ERR_INVALID;
}

/* The whole input, where it is an argument. */
static int take_message(struct pub *pub) {
  const char *message = pub->arguments->word_count == 3 ? pub->arguments->words[2] : "-";
  if (strcmp(message, "-") == 0) return 0;
  pub->is_at_end = true;
  pub->shows_progress = false;
  if (message[0] == '\0') {
    tool_complain("the message is empty");
    return ERR_INVALID;
  }
  publish_line(pub, slice_str(message)); /* a message may have several lines */
  return 0;
}

static void pub_done(struct pub *pub) {
  for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
    buf_done(&pub->pending[i].request);
  buf_done(&pub->input);
  client_done(&pub->client);
}

static int connect_and_publish(struct pub *pub) {
  int err = client_connect(&pub->client);
  if (err < 0) return status_of(err);
  if (take_message(pub) < 0) return TOOL_USAGE;
  publish_all(pub);
  return finish(pub);
}

static int run(const struct tool_arguments *arguments) {
  static struct pub pub;
  pub = (struct pub){.arguments = arguments,
                     .topic = slice_str(arguments->words[1]),
                     .started_ms = clock_monotonic_ms(),
                     .shows_progress = !tool_has(arguments, QUIET) &&
                                       (tool_has(arguments, PROGRESS) || isatty(STDERR_FILENO))};
  client_catch_signals();
  int status = TOOL_USAGE;
  if (client_init(&pub.client, arguments) == 0 && check_ttl(&pub) == 0)
    status = connect_and_publish(&pub);
  pub_done(&pub);
  return status;
}

const struct tool tool_pub = {
    .name = "pub",
    .help = "publish messages",
    .synopsis = "URL TOPIC [MESSAGE|-] [OPTIONS]",
    .text = text,
    .options = options,
    .option_count = OPTION_COUNT,
    .min_words = 2,
    .max_words = 3,
    .run = run,
};
