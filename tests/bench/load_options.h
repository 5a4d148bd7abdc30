/* The command line of the load generator. */
#ifndef EVENTHUB_BENCH_LOAD_OPTIONS_H
#define EVENTHUB_BENCH_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum load_work {
  LOAD_FANOUT,  /* closed loop: as fast as the server goes, `window` messages on their way */
  LOAD_RATE,    /* open loop: `rate` messages a second, whatever the server does */
  LOAD_PUBLISH, /* closed loop, nobody subscribes: `window` unanswered requests per publisher */
  LOAD_CONNECT, /* opening handshakes: `publishers` connections at a time, closed when they stand */
  LOAD_IDLE     /* every subscriber on a topic of its own, and nothing is published */
};

enum load_protocol {
  LOAD_BROKER, /* JSON-RPC in text messages */
  LOAD_FLOOR,  /* every message goes to every connection, the publisher's too */
  LOAD_NATS /* that of nats-server, a stream of lines in binary messages; no publish is answered */
};

/* How subscribers get their messages. */
enum load_way {
  LOAD_WEBSOCKET,
  LOAD_DEFLATE, /* ... with permessage-deflate */
  LOAD_EVENTS   /* server-sent events */
};

enum load_transport_kind { LOAD_TCP, LOAD_TLS };

enum load_content {
  LOAD_TEXT,
  LOAD_JSON /* an object like those that applications send: names that come again, numbers */
};

/* What subscription ids look like. */
enum load_id_kind { LOAD_ID_NUMBER, LOAD_ID_TEXT };

enum { LOAD_BESIDE_MAX = 8 };

/* Processes whose CPU time is reported beside the server's. */
struct load_beside {
  uint32_t pids[LOAD_BESIDE_MAX];
  uint32_t count;
};

struct load_options {
  enum load_work work;
  enum load_protocol protocol;
  enum load_way way;
  enum load_content content;
  enum load_id_kind id_kind;
  enum load_transport_kind transport;
  uint32_t port;           /* on 127.0.0.1 */
  uint32_t subscribe_port; /* where the subscribers are: `port`, or that of another node */
  uint32_t pid;            /* of the server at `port`, for what it costs */
  struct load_beside beside;
  uint32_t subscribers;
  uint32_t publishers;
  uint32_t topics; /* subscriber n has topic n % topics, burst k goes to topic k % topics */
  uint32_t burst;  /* messages that one publisher sends to one topic before the next has its turn */
  uint32_t ids;    /* different ids of subscriptions */
  uint32_t size;   /* bytes of a message */
  uint32_t window; /* messages */
  double rate;     /* messages a second */
  double duration_s;
  double warmup_s;
  bool json;
};

/* 0; ERR_INVALID after one line to stderr that says what is wrong. */
int load_options_parse(int argc, char **argv, struct load_options *ret);

/* The usage, every option with its default, to stdout. */
void load_options_help(void);

const char *load_work_name(enum load_work work);
const char *load_protocol_name(enum load_protocol protocol);

#endif
