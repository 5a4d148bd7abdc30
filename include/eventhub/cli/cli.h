/*
 * The program's command line: one table of commands.
 *
 *   eventhub [COMMAND] [--config FILE]     the daemon
 *   eventhub pub|sub|token|completion ...  for its clients: tool.h
 *
 * Each command that is not given as a word can be given as an option of its name: `eventhub health`
 * and `eventhub --health` are the same. Without one the command is `serve`.
 */
#ifndef EVENTHUB_CLI_CLI_H
#define EVENTHUB_CLI_CLI_H

#include "eventhub/base/buf.h"

/* What main() answers. */
enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

struct cli_command;

struct cli_arguments {
  const struct cli_command *command; /* never NULL after cli_parse() */
  const char *config_path;           /* NULL = no file; points into argv */
};

/* Understands the arguments of main(). 0, or ERR_INVALID with one line appended to ret_error. Uses
 * getopt, so it reorders argv and belongs to the main thread. */
int cli_parse(int argc, char **argv, struct cli_arguments *ret, struct buf *ret_error);

/* "serve", "health", ... */
const char *cli_command_name(const struct cli_command *command);

/* The text of --help, without the options. */
void cli_append_usage(struct buf *out);

/* Names of all commands, for the shell's completion. */
void cli_append_names(struct buf *out);

/* main(): parses, runs the command, answers the exit status. */
int cli_main(int argc, char **argv);

#endif
