/*
 * Commands that talk to a broker or make something for one: token, pub, sub, completion. Each has a
 * table of options, from which its arguments are understood, its --help is written, and the shell's
 * completion is made.
 */
#ifndef EVENTHUB_CLI_TOOL_H
#define EVENTHUB_CLI_TOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"

/* Exit statuses of tools; 0, 1 and 2 as everywhere (enum cli_exit). */
enum tool_exit {
  TOOL_OK = 0,
  TOOL_FAILED = 1,
  TOOL_USAGE = 2,
  TOOL_DENIED = 3,     /* the broker refuses: the token, its rights, or an invalid topic */
  TOOL_REJECTED = 4,   /* some messages were not published */
  TOOL_UNKNOWN = 5,    /* messages that were sent may or may not have been published */
  TOOL_UNREACHABLE = 6 /* no connection to the broker */
};

struct tool_option {
  const char *name;  /* without the dashes */
  const char *value; /* what is shown for its value; NULL: it has none */
  const char *help;
  bool repeats; /* may be given several times */
};

enum { TOOL_OPTIONS_MAX = 16 };

/* Arguments, understood. All texts point into argv. */
struct tool_arguments {
  const char **values[TOOL_OPTIONS_MAX]; /* of each option of the table, in order */
  size_t counts[TOOL_OPTIONS_MAX];
  const char **words; /* what is no option */
  size_t word_count;
};

struct tool {
  const char *name;
  const char *help;     /* one line */
  const char *synopsis; /* what follows "eventhub NAME" */
  const char *text;     /* paragraphs behind the options */
  const struct tool_option *options;
  size_t option_count;
  size_t min_words, max_words;
  int (*run)(const struct tool_arguments *arguments); /* the exit status */
};

extern const struct tool tool_token, tool_pub, tool_sub, tool_completion;

/* All of them, in the order in which they are shown. */
extern const struct tool *const tools[];
extern const size_t tool_count;

const struct tool *tool_find(const char *name);

/* Understands the arguments behind the command's name. 0; ERR_NOT_FOUND: --help is asked for; or
 * ERR_INVALID with a line in ret_error. The arguments are freed by tool_arguments_done in each
 * case.
 */
int tool_parse(const struct tool *tool, int argc, char **argv, struct tool_arguments *ret,
               struct buf *ret_error);
void tool_arguments_done(struct tool_arguments *arguments);

/* Of an option of the table, by its index: was it given; its value, or NULL. */
static inline bool tool_has(const struct tool_arguments *arguments, size_t option) {
  return arguments->counts[option] > 0;
}
static inline const char *tool_value(const struct tool_arguments *arguments, size_t option) {
  return tool_has(arguments, option) ? arguments->values[option][0] : NULL;
}

/* The text of --help. */
void tool_append_help(const struct tool *tool, struct buf *out);
/* All of them, as the sections of docs/cli.md. */
void tool_append_markdown(struct buf *out);

/* The command's main: parses, runs, answers the exit status. argv[0] is its name. */
int tool_main(const struct tool *tool, int argc, char **argv);

/* "eventhub: <text>" on stderr. */
void tool_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* To a descriptor: 0, or ERR_CLOSED when nobody reads any more, or ERR_SYSTEM. */
int tool_write(int fd, struct slice text);

/* A duration: a number with s, m, h, d, or none (s). 0 or ERR_INVALID. */
int tool_parse_duration(const char *text, uint64_t *ret_s);
/* The first line of a file, "-" being stdin, without its line end, appended to ret. 0, or an error
 * that it has complained about. */
int tool_read_secret(const char *path, struct buf *ret);

#endif
