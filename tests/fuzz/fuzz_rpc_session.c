/* Sessions: three clients of a whole broker, who send valid and broken requests, one by one, in
 * batches and in pieces, go away and come back. The input is a program, a byte or a few for each
 * step, so that what libFuzzer changes is what somebody does and not whether it is JSON.
 *
 * Whatever happens, the server sends whole frames, texts that are JSON-RPC 2.0, and no answer but
 * to somebody who asked; and once all have left nothing is left of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../unit/server/broker_fixture.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/proto/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLIENTS = 3, STEPS_MAX = 200, BATCH_MAX = 8 };

static void check(bool holds) {
  if (!holds) abort();
}

/* ---- the input ---- */

struct input {
  const uint8_t *at;
  size_t len;
};

static unsigned take(struct input *input) {
  if (input->len == 0) return 0;
  input->len--;
  return *input->at++;
}

static const char *pick(struct input *input, const char *const *list, size_t count) {
  return list[take(input) % count];
}
#define PICK(input, list) pick((input), (list), ARRAY_LEN(list))

/* ---- requests ---- */

static const char *const methods[] = {
    "subscribe", "unsubscribe", "unsubscribeAll", "list", "publish",    "eventlog",  "get",
    "set",       "del",         "authenticate",   "ping", "disconnect", "SUBSCRIBE", "nothing",
};

static const char *const topics[] = {
    "\"a\"", "\"a/b\"",  "\"a/+\"",   "\"#\"",  "\"+/b\"",      "\"a/#\"",
    "\"\"",  "\"a//b\"", "\"a/#/b\"", "\"$x\"", "\"a\\u0000\"", "\"\\ud83e\\udd84\"",
    "7",     "null",     "[\"a\"]",
};

static const char *const ids[] = {
    "1",
    "2",
    "\"one\"",
    "\"\\u00e9\"",
    "null",
    "-1",
    "1.5",
    "{}",
    "[1]",
    "true",
    "12345678901234567890123",
};

static const char *const messages[] = {
    "\"text\"",     "1",           "null",  "{\"a\":[1,2,{\"b\":null}]}",
    "[[[[[[]]]]]]", "\"\\ud83e\"", "1e999", "\"\"",
};

static const char *const numbers[] = {
    "0",
    "1",
    "-1",
    "60",
    "-60000",
    "1000",
    "1.5",
    "\"5\"",
    "null",
    "99999999999999999999",
    "1700000000000",
};

static const char *const event_ids[] = {
    "\"1700000000000-0\"",
    "\"1700000000000-1\"",
    "\"1700000001000-0\"",
    "\"0-0\"",
    "\"x\"",
    "\"$\"",
    "5",
    "\"-\"",
};

static const char *const names[] = {
    "topic", "pattern", "message", "ttl",   "since",     "sinceEventId",
    "limit", "key",     "value",   "token", "timestamp",
};

static const char *tokens[3]; /* made once: of all rights, of some, of none */

static void append_value(struct buf *out, struct input *input, const char *name) {
  switch (name[0]) {
  case 'm': buf_append_str(out, PICK(input, messages)); break;
  case 'k':
  case 'p': buf_append_str(out, PICK(input, topics)); break;
  case 'v': buf_append_str(out, PICK(input, messages)); break;
  case 'l': buf_append_str(out, PICK(input, numbers)); break;
  case 's':
    buf_append_str(out, name[5] == 'E' ? PICK(input, event_ids) : PICK(input, numbers));
    break;
  default:
    if (strcmp(name, "token") == 0) {
      buf_printf(out, "\"%s\"", PICK(input, tokens));
    } else {
      buf_append_str(out, strcmp(name, "topic") == 0 ? PICK(input, topics) : PICK(input, numbers));
    }
  }
}

static void append_members(struct buf *out, struct input *input, unsigned count) {
  buf_append_char(out, '{');
  for (unsigned i = 0; i < count; i++) {
    const char *name = i == 0 ? "topic" : PICK(input, names);
    buf_printf(out, "%s\"%s\":", i > 0 ? "," : "", name);
    append_value(out, input, name);
  }
  buf_append_char(out, '}');
}

static void append_list(struct buf *out, struct input *input, unsigned count) {
  buf_append_char(out, '[');
  for (unsigned i = 0; i < count; i++) {
    if (i > 0) buf_append_char(out, ',');
    buf_append_str(out, i % 2 == 0 ? PICK(input, topics) : PICK(input, messages));
  }
  buf_append_char(out, ']');
}

static void append_request(struct buf *out, struct input *input) {
  unsigned shape = take(input);
  const char *method = PICK(input, methods);
  buf_append_str(out, shape % 16 == 15 ? "{\"jsonrpc\":\"1.0\"" : "{\"jsonrpc\":\"2.0\"");
  buf_printf(out, ",\"method\":\"%s\"", method);
  if (shape % 8 != 7) buf_printf(out, ",\"id\":%s", PICK(input, ids));
  buf_append_str(out, ",\"params\":");
  if (shape & 0x40)
    append_list(out, input, shape >> 4 & 3);
  else
    append_members(out, input, 1 + (shape >> 4 & 3));
  buf_append_char(out, '}');
}

/* Answers how many requests there are. */
static unsigned append_text(struct buf *out, struct input *input, bool is_batch) {
  unsigned count = is_batch ? 1 + take(input) % BATCH_MAX : 1;
  if (is_batch) buf_append_char(out, '[');
  for (unsigned i = 0; i < count; i++) {
    if (i > 0) buf_append_char(out, ',');
    append_request(out, input);
  }
  if (is_batch) buf_append_char(out, ']');
  return count;
}

/* ---- clients ---- */

struct client {
  struct peer peer;
  bool is_open;
  bool is_wild;   /* has sent what is no WebSocket, or has said goodbye */
  unsigned asked; /* requests */
  unsigned answered;
};

struct world {
  struct broker_fixture fixture;
  struct client clients[CLIENTS];
};

static void come(struct world *world, unsigned index) {
  struct client *client = &world->clients[index];
  AUTO(buf) struct buf headers = BUF_INIT;
  buf_printf(&headers, "Authorization: Bearer %s\r\n", tokens[index == 2]);
  client_knock(&client->peer, &world->fixture, index % BROKER_WORKERS, "/", headers.data);
  peer_take_upgrade(&client->peer);
  client->is_open = true;
  client->is_wild = false;
  client->asked = client->answered = 0;
}

static void leave(struct world *world, struct client *client) {
  if (client->is_open) peer_close(&client->peer);
  client->is_open = false;
  broker_settle(&world->fixture);
}

/* ---- what the server says ---- */

static struct json_value member(struct json_value object, const char *name) {
  struct json_value value = {.text.ptr = NULL};
  return json_object_find(object, slice_str(name), &value) == 0 ? value : (struct json_value){0};
}

static bool is_there(struct json_value value) {
  return value.text.ptr != NULL;
}

static void check_error(struct json_value error) {
  check(member(error, "code").type == JSON_NUMBER);
  check(member(error, "message").type == JSON_STRING);
}

/* Deliveries have the id of their subscription, and come as often as they like. */
static bool is_delivery(struct json_value result) {
  return is_there(member(result, "message")) && is_there(member(result, "topic"));
}

static void check_object(struct client *client, struct json_value object) {
  struct json_value result = member(object, "result"), error = member(object, "error");
  check(json_string_equals(member(object, "jsonrpc"), SLICE("2.0")));
  if (is_there(member(object, "method"))) return; /* a notification of the server */
  check(is_there(member(object, "id")));
  check(is_there(result) != is_there(error));
  if (is_there(error)) check_error(error);
  if (!is_delivery(result)) client->answered++;
}

static void check_text(struct client *client, struct slice text) {
  struct json_value value, element;
  struct json_iter it;
  check(json_parse(text, JSON_DEPTH_MAX, &value) == 0);
  if (value.type != JSON_ARRAY) {
    check_object(client, value);
    return;
  }
  unsigned before = client->answered;
  json_iter_init(&it, value);
  while (json_array_next(&it, &element))
    check_object(client, element);
  check(client->answered > before); /* no batch is answered with an empty one */
}

static void hear(struct client *client) {
  struct peer_frame frame;
  if (!client->is_open) return;
  peer_read(&client->peer);
  struct slice rest = buf_slice(&client->peer.in);
  while (next_frame(&rest, &frame))
    if (frame.opcode == WS_TEXT) check_text(client, frame.payload);
  check(rest.len == 0 || client->is_wild);
  buf_clear(&client->peer.in);
  check(client->answered <= client->asked || client->is_wild);
}

static void settle(struct world *world) {
  for (int i = 0; i < CLIENTS; i++)
    if (world->clients[i].is_open) peer_flush(&world->clients[i].peer);
  broker_settle(&world->fixture);
  for (int i = 0; i < CLIENTS; i++)
    hear(&world->clients[i]);
}

/* ---- steps ---- */

/* Another byte, or no end, or too much of one. */
static void spoil(struct buf *text, struct input *input) {
  size_t at = (take(input) | take(input) << 8) % text->len;
  switch (take(input) % 3) {
  case 0: text->data[at] = (char)take(input); break;
  case 1: text->len = at; break;
  default: buf_append_str(text, text->data[at] == '"' ? "]" : "\""); break;
  }
}

static void send_pieces(struct client *client, const struct buf *text, struct input *input) {
  size_t cut = text->len * (take(input) % 8) / 8;
  append_frame(&client->peer.out, WS_TEXT, text->data, cut);
  if (take(input) % 2) append_frame(&client->peer.out, FIN | WS_PING, "between", 7);
  append_frame(&client->peer.out, FIN | WS_CONTINUATION, text->data + cut, text->len - cut);
}

static void send_noise(struct client *client, struct input *input) {
  size_t len = take(input) % 32;
  if (len > input->len) len = input->len;
  client->is_wild = true;
  peer_write(&client->peer, (const char *)input->at, len);
  input->at += len;
  input->len -= len;
}

static void say(struct client *client, struct input *input, unsigned kind) {
  AUTO(buf) struct buf text = BUF_INIT;
  client->asked += append_text(&text, input, kind >= 4 && kind < 7);
  if (kind == 7 || kind == 8) spoil(&text, input);
  if (kind == 9)
    send_pieces(client, &text, input);
  else
    peer_send(&client->peer, WS_TEXT, buf_slice(&text));
}

static void step(struct world *world, struct input *input) {
  unsigned kind = take(input), index = kind / 16 % CLIENTS;
  struct client *client = &world->clients[index];
  if (!client->is_open) {
    come(world, index);
    return;
  }
  switch (kind % 16) {
  case 10: send_noise(client, input); break;
  case 11: leave(world, client); break;
  case 12: broker_wall_ms += 250 * (uint64_t)take(input); break;
  case 13:
    client->is_wild = true;
    peer_send_close(&client->peer, 1000 + take(input) % 16);
    break;
  case 14: peer_send(&client->peer, WS_BINARY, SLICE("binary")); break;
  case 15: settle(world); break;
  default: say(client, input, kind % 16); break;
  }
}

static void make_tokens(void) {
  tokens[0] = make_token("{\"sub\":\"all\",\"read\":[\"#\"],\"write\":[\"#\"]}");
  tokens[1] = make_token("{\"sub\":\"some\",\"read\":[\"a/#\"],\"write\":[\"a/b\"],\"rlimit\":"
                         "[{\"topic\":\"a/b\",\"interval\":10,\"max\":2}]}");
  tokens[2] = "none.of.these";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char secret[] = "JWT_SECRET=" BROKER_SECRET;
  static struct world world;
  struct input input = {data, size};
  if (tokens[0] == NULL) make_tokens();
  memset(&world, 0, sizeof world);
  broker_fixture_init(&world.fixture, ENV(secret, "MAX_CACHE_LENGTH=20", "MAX_SUBSCRIPTIONS=8",
                                          "MAX_MESSAGE_SIZE=4096", "ENABLE_IO_URING=0"));
  for (unsigned i = 0; i < CLIENTS; i++)
    come(&world, i);
  for (int i = 0; i < STEPS_MAX && input.len > 0; i++)
    step(&world, &input);
  settle(&world);
  for (int i = 0; i < CLIENTS; i++)
    leave(&world, &world.clients[i]);
  broker_fixture_done(&world.fixture);
  return 0;
}
