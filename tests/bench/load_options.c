#include "load_options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/slice.h"

#include "load_protocol.h"

enum option_kind { OPTION_COUNT, OPTION_REAL, OPTION_PIDS, OPTION_WORD };

static const char *const way_names[] = {
    [LOAD_WEBSOCKET] = "websocket",
    [LOAD_DEFLATE] = "deflate",
    [LOAD_EVENTS] = "events",
    NULL,
};

static const char *const content_names[] = {
    [LOAD_TEXT] = "text",
    [LOAD_JSON] = "json",
    NULL,
};

static const char *const id_kind_names[] = {
    [LOAD_ID_NUMBER] = "number",
    [LOAD_ID_TEXT] = "text",
    NULL,
};

static const char *const transport_names[] = {
    [LOAD_TCP] = "tcp",
    [LOAD_TLS] = "tls",
    NULL,
};

struct option_row {
  const char *name;
  enum option_kind kind;
  size_t offset; /* of a uint32_t, a double or a struct load_beside */
  double min, max;
  const char *fallback; /* NULL: none */
  const char *help;
};

#define FIELD(name) offsetof(struct load_options, name)

static const struct option_row rows[] = {
    {"--port", OPTION_COUNT, FIELD(port), 1, 65535, NULL, "of the server, on 127.0.0.1"},
    {"--subscribe-port", OPTION_COUNT, FIELD(subscribe_port), 1, 65535, NULL,
     "of another node, for the subscribers"},
    {"--pid", OPTION_COUNT, FIELD(pid), 1, INT32_MAX, NULL, "of the server"},
    {"--beside", OPTION_PIDS, FIELD(beside), 1, INT32_MAX, NULL,
     "of another process whose CPU counts; again for more"},
    {"--subscribers", OPTION_COUNT, FIELD(subscribers), 1, 1000000, "1000",
     "connections, not for publish"},
    {"--publishers", OPTION_COUNT, FIELD(publishers), 1, 1000, "1", "connections, not for idle"},
    {"--topics", OPTION_COUNT, FIELD(topics), 1, 1000000, "1", "not for idle: one each"},
    {"--burst", OPTION_COUNT, FIELD(burst), 1, 100000, "1",
     "messages to a topic before the next one's turn"},
    {"--size", OPTION_COUNT, FIELD(size), LOAD_MESSAGE_MIN, 1 << 20, "64", "bytes of a message"},
    {"--window", OPTION_COUNT, FIELD(window), 1, 100000, "64",
     "fanout: messages on their way; publish: of each publisher"},
    {"--way", OPTION_WORD, FIELD(way), 0, 0, "websocket",
     "of the subscribers: websocket, deflate or events"},
    {"--content", OPTION_WORD, FIELD(content), 0, 0, "text", "of messages: text or json"},
    {"--transport", OPTION_WORD, FIELD(transport), 0, 0, "tcp", "of all connections: tcp or tls"},
    {"--ids", OPTION_COUNT, FIELD(ids), 1, 1000000, "1", "different ids of subscriptions"},
    {"--id-kind", OPTION_WORD, FIELD(id_kind), 0, 0, "number", "what they are: number or text"},
    {"--rate", OPTION_REAL, FIELD(rate), 0.001, 1e6, "20", "rate: messages a second"},
    {"--duration", OPTION_REAL, FIELD(duration_s), 0.1, 3600, "5", "seconds that are measured"},
    {"--warmup", OPTION_REAL, FIELD(warmup_s), 0, 3600, "1", "seconds before them"},
};

static const char *const work_names[] = {
    [LOAD_FANOUT] = "fanout",   [LOAD_RATE] = "rate", [LOAD_PUBLISH] = "publish",
    [LOAD_CONNECT] = "connect", [LOAD_IDLE] = "idle",
};

static const char *const protocol_names[] = {
    [LOAD_BROKER] = "broker",
    [LOAD_FLOOR] = "floor",
    [LOAD_NATS] = "nats",
};

const char *load_work_name(enum load_work work) {
  return work_names[work];
}

const char *load_protocol_name(enum load_protocol protocol) {
  return protocol_names[protocol];
}

void load_options_help(void) {
  printf("usage: eventhub-load fanout|rate|publish|connect|idle --port N --pid N [OPTIONS]\n\n"
         "  --floor          the server is eventhub-floor, not a broker\n"
         "  --nats           the server is nats-server\n"
         "  --json           one JSON object instead of a line\n");
  for (size_t i = 0; i < ARRAY_LEN(rows); i++)
    printf("  %-16s %s%s%s%s\n", rows[i].name, rows[i].help, rows[i].fallback ? " (" : "",
           rows[i].fallback ? rows[i].fallback : "", rows[i].fallback ? ")" : "");
}

static const struct option_row *find_row(const char *name) {
  for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
    if (strcmp(rows[i].name, name) == 0) return &rows[i];
  }
  return NULL;
}

static int add_beside(struct load_beside *beside, uint32_t pid) {
  if (beside->count == LOAD_BESIDE_MAX) {
    fprintf(stderr, "eventhub-load: --beside: no more than %d\n", LOAD_BESIDE_MAX);
    return ERR_INVALID;
  }
  beside->pids[beside->count++] = pid;
  return 0;
}

static int store_value(struct load_options *options, const struct option_row *row, double value) {
  void *field = (char *)options + row->offset;
  switch (row->kind) {
  case OPTION_COUNT: *(uint32_t *)field = (uint32_t)value; break;
  case OPTION_REAL: *(double *)field = value; break;
  case OPTION_PIDS: return add_beside(field, (uint32_t)value);
  case OPTION_WORD: *(unsigned *)field = (unsigned)value; break;
  }
  return 0;
}

/* Of an OPTION_WORD, an enum, by value. */
static const char *const *words_of(const struct option_row *row) {
  if (row->offset == FIELD(way)) return way_names;
  if (row->offset == FIELD(transport)) return transport_names;
  return row->offset == FIELD(content) ? content_names : id_kind_names;
}

static int set_word(struct load_options *options, const struct option_row *row, const char *text) {
  const char *const *words = words_of(row);
  for (size_t i = 0; words[i] != NULL; i++) {
    if (strcmp(words[i], text) == 0) return store_value(options, row, (double)i);
  }
  fprintf(stderr, "eventhub-load: %s %s: there is no such thing\n", row->name, text);
  return ERR_INVALID;
}

static int set_value(struct load_options *options, const struct option_row *row, const char *text) {
  char *end = NULL;
  if (row->kind == OPTION_WORD) return set_word(options, row, text);
  double value = strtod(text, &end);
  bool is_allowed = end != text && *end == '\0' && value >= row->min && value <= row->max;
  if (is_allowed && row->kind != OPTION_REAL) is_allowed = value == (double)(uint32_t)value;
  if (!is_allowed) {
    fprintf(stderr, "eventhub-load: %s %s: allowed is %g to %g\n", row->name, text, row->min,
            row->max);
    return ERR_INVALID;
  }
  return store_value(options, row, value);
}

static int set_work(struct load_options *options, const char *name) {
  for (size_t i = 0; i < ARRAY_LEN(work_names); i++) {
    if (strcmp(work_names[i], name) != 0) continue;
    options->work = (enum load_work)i;
    return 0;
  }
  fprintf(stderr, "eventhub-load: no such work: %s\n", name);
  return ERR_INVALID;
}

static int set_defaults(struct load_options *options) {
  *options = (struct load_options){0};
  for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
    if (rows[i].fallback != NULL && set_value(options, &rows[i], rows[i].fallback) < 0)
      return ERR_INVALID;
  }
  return 0;
}

static int check(const struct load_options *options) {
  if (options->port == 0 || options->pid == 0) {
    fprintf(stderr, "eventhub-load: --port and --pid must be given\n");
    return ERR_INVALID;
  }
  if (options->work != LOAD_PUBLISH && options->topics > options->subscribers) {
    fprintf(stderr, "eventhub-load: more topics than subscribers\n");
    return ERR_INVALID;
  }
  if (options->work == LOAD_PUBLISH && options->protocol != LOAD_BROKER) {
    fprintf(stderr, "eventhub-load: only the broker answers a publish\n");
    return ERR_INVALID;
  }
  return 0;
}

/* An idle crowd publishes nothing, and each of it has a topic of its own. */
static void apply_work(struct load_options *options) {
  if (options->subscribe_port == 0) options->subscribe_port = options->port;
  if (options->work == LOAD_PUBLISH || options->work == LOAD_CONNECT) options->subscribers = 0;
  if (options->work != LOAD_IDLE) return;
  options->publishers = 0;
  options->topics = options->subscribers;
}

int load_options_parse(int argc, char **argv, struct load_options *ret) {
  struct load_options options;
  if (set_defaults(&options) < 0) return ERR_INVALID;
  if (argc < 2) {
    fprintf(stderr, "eventhub-load: which work? See eventhub-load --help\n");
    return ERR_INVALID;
  }
  if (set_work(&options, argv[1]) < 0) return ERR_INVALID;
  for (int i = 2; i < argc; i++) {
    const struct option_row *row = find_row(argv[i]);
    if (strcmp(argv[i], "--json") == 0) {
      options.json = true;
    } else if (strcmp(argv[i], "--floor") == 0) {
      options.protocol = LOAD_FLOOR;
    } else if (strcmp(argv[i], "--nats") == 0) {
      options.protocol = LOAD_NATS;
    } else if (row == NULL || i + 1 == argc) {
      fprintf(stderr, "eventhub-load: %s: %s\n", argv[i], row ? "needs a value" : "no such option");
      return ERR_INVALID;
    } else if (set_value(&options, row, argv[++i]) < 0) {
      return ERR_INVALID;
    }
  }
  if (check(&options) < 0) return ERR_INVALID;
  apply_work(&options);
  *ret = options;
  return 0;
}
