#include "eventhub/cli/cli.h"

#include <getopt.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/log.h"
#include "eventhub/base/slice.h"
#include "eventhub/cli/health.h"
#include "eventhub/cli/tool.h"
#include "eventhub/server/daemon.h"
#include "eventhub/server/metrics.h"
#include "eventhub/server/options.h"

struct cli_command {
  const char *name;
  const char *help; /* NULL = not shown */
  int (*run)(const struct cli_arguments *arguments);
};

/* Bytes to a descriptor; what cannot be written is lost, as there is nobody to tell. */
static void write_all(int fd, struct slice text) {
  while (text.len > 0) {
    ssize_t written = write(fd, text.ptr, text.len);
    if (written <= 0) return;
    text = slice_skip(text, (size_t)written);
  }
}

static void print_error(const struct buf *text) {
  AUTO(buf)
  struct buf line = BUF_INIT;
  buf_append_str(&line, "eventhub: ");
  buf_append_slice(&line, buf_slice(text));
  buf_append_char(&line, '\n');
  write_all(STDERR_FILENO, buf_slice(&line));
}

/* The options, or the reason on stderr. */
static int load_options(const struct cli_arguments *arguments, struct options *ret) {
  AUTO(buf)
  struct buf error = BUF_INIT;
  int failed = options_load(ret, arguments->config_path, environ, &error);
  if (failed != 0) print_error(&error);
  return failed;
}

static int run_serve(const struct cli_arguments *arguments) {
  struct options options;
  if (load_options(arguments, &options) != 0) return CLI_FAILED;
  log_set_level(options.log_level);
  log_set_format(options.log_format);
  int status = daemon_run(&options);
  options_done(&options);
  return status;
}

static int run_check_config(const struct cli_arguments *arguments) {
  struct options options;
  if (load_options(arguments, &options) != 0) return CLI_FAILED;
  options_done(&options);
  write_all(STDOUT_FILENO, SLICE("the configuration is valid\n"));
  return CLI_OK;
}

static int run_health(const struct cli_arguments *arguments) {
  AUTO(buf)
  struct buf error = BUF_INIT;
  struct options options;
  if (load_options(arguments, &options) != 0) return CLI_FAILED;
  int failed = health_check(&options, HEALTH_TIMEOUT_MS, &error);
  options_done(&options);
  if (failed == 0)
    write_all(STDOUT_FILENO, SLICE("healthy\n"));
  else
    print_error(&error);
  return failed == 0 ? CLI_OK : CLI_FAILED;
}

static int run_help(const struct cli_arguments *arguments) {
  (void)arguments;
  AUTO(buf)
  struct buf text = BUF_INIT;
  cli_append_usage(&text);
  buf_append_str(&text, "\nOptions, set by environment variable (in upper or lower case) or as "
                        "lines `name = value` of\nthe file; the environment wins. The default is "
                        "in brackets.\n");
  options_print_help(&text);
  write_all(STDOUT_FILENO, buf_slice(&text));
  return CLI_OK;
}

static int run_version(const struct cli_arguments *arguments) {
  (void)arguments;
  write_all(STDOUT_FILENO, SLICE("eventhub " EVENTHUB_VERSION "\n"));
  return CLI_OK;
}

static int run_options_markdown(const struct cli_arguments *arguments) {
  (void)arguments;
  AUTO(buf)
  struct buf text = BUF_INIT;
  options_print_markdown(&text);
  write_all(STDOUT_FILENO, buf_slice(&text));
  return CLI_OK;
}

static int run_tools_markdown(const struct cli_arguments *arguments) {
  (void)arguments;
  AUTO(buf)
  struct buf text = BUF_INIT;
  tool_append_markdown(&text);
  write_all(STDOUT_FILENO, buf_slice(&text));
  return CLI_OK;
}

static int run_metrics_markdown(const struct cli_arguments *arguments) {
  (void)arguments;
  AUTO(buf)
  struct buf text = BUF_INIT;
  metrics_print_markdown(&text);
  write_all(STDOUT_FILENO, buf_slice(&text));
  return CLI_OK;
}

/* The first is what runs without a command. */
static const struct cli_command commands[] = {
    {"serve", "run the broker (the default)", run_serve},
    {"check-config", "check the configuration and exit", run_check_config},
    {"health", "ask the running broker whether it serves", run_health},
    {"help", "show this text", run_help},
    {"version", "show the version", run_version},
    {"help-markdown", NULL, run_options_markdown},
    {"metrics-markdown", NULL, run_metrics_markdown},
    {"cli-markdown", NULL, run_tools_markdown},
};

enum { CLI_LONG_COUNT = ARRAY_LEN(commands) + 2 };

/* What getopt answers; a command's number is added to the last. */
enum { CLI_CONFIG = 'c', CLI_HELP = 'h', CLI_COMMAND = 256 };

static void make_long_options(struct option ret[CLI_LONG_COUNT]) {
  memset(ret, 0, CLI_LONG_COUNT * sizeof *ret);
  for (size_t i = 0; i < ARRAY_LEN(commands); i++)
    ret[i] = (struct option){.name = commands[i].name, .val = CLI_COMMAND + (int)i};
  ret[ARRAY_LEN(commands)] =
      (struct option){.name = "config", .has_arg = required_argument, .val = CLI_CONFIG};
}

static const struct cli_command *find_command(const char *name) {
  for (size_t i = 0; i < ARRAY_LEN(commands); i++)
    if (strcmp(commands[i].name, name) == 0) return &commands[i];
  return NULL;
}

/* NULL for what getopt did not understand. */
static const struct cli_command *command_of(int option) {
  if (option == CLI_HELP) return find_command("help");
  return option >= CLI_COMMAND ? &commands[option - CLI_COMMAND] : NULL;
}

static int choose(struct cli_arguments *arguments, const struct cli_command *command,
                  struct buf *ret_error) {
  if (arguments->command != NULL && arguments->command != command) {
    buf_printf(ret_error, "%s and %s exclude each other", arguments->command->name, command->name);
    return ERR_INVALID;
  }
  arguments->command = command;
  return 0;
}

static int refuse(const char *what, const char *argument, struct buf *ret_error) {
  buf_printf(ret_error, "%s %s; eventhub --help shows how it is used", what, argument);
  return ERR_INVALID;
}

static int parse_options(int argc, char **argv, struct cli_arguments *arguments,
                         struct buf *ret_error) {
  struct option long_options[CLI_LONG_COUNT];
  int failed = 0, option;
  make_long_options(long_options);
  optind = 0; /* glibc: start anew */
  opterr = 0;
  while (failed == 0 && (option = getopt_long(argc, argv, ":c:h", long_options, NULL)) != -1) {
    const struct cli_command *command = command_of(option);
    if (option == CLI_CONFIG)
      arguments->config_path = optarg;
    else if (option == ':')
      failed = refuse("a value is missing after", argv[optind - 1], ret_error);
    else if (command == NULL)
      failed = refuse("unknown argument", argv[optind - 1], ret_error);
    else
      failed = choose(arguments, command, ret_error);
  }
  return failed;
}

int cli_parse(int argc, char **argv, struct cli_arguments *ret, struct buf *ret_error) {
  struct cli_arguments arguments = {0};
  int failed = parse_options(argc, argv, &arguments, ret_error);
  if (failed != 0) return failed;
  for (int i = optind; i < argc; i++) {
    const struct cli_command *command = find_command(argv[i]);
    if (command == NULL) return refuse("unknown command", argv[i], ret_error);
    failed = choose(&arguments, command, ret_error);
    if (failed != 0) return failed;
  }
  if (arguments.command == NULL) arguments.command = &commands[0];
  *ret = arguments;
  return 0;
}

const char *cli_command_name(const struct cli_command *command) {
  return command->name;
}

void cli_append_usage(struct buf *out) {
  buf_append_str(out, "Usage: eventhub [COMMAND] [--config FILE]\n"
                      "       eventhub pub|sub|token|completion ...\n\n"
                      "The broker; each command may also be written without the dashes:\n");
  for (size_t i = 0; i < ARRAY_LEN(commands); i++)
    if (commands[i].help != NULL)
      buf_printf(out, "  --%-14s %s\n", commands[i].name, commands[i].help);
  buf_append_str(out, "\nFor its clients; `eventhub COMMAND --help` tells more:\n");
  for (size_t i = 0; i < tool_count; i++)
    buf_printf(out, "  %-16s %s\n", tools[i]->name, tools[i]->help);
}

void cli_append_names(struct buf *out) {
  for (size_t i = 0; i < tool_count; i++)
    buf_printf(out, "%s ", tools[i]->name);
  for (size_t i = 0; i < ARRAY_LEN(commands); i++)
    if (commands[i].help != NULL) buf_printf(out, "%s ", commands[i].name);
  buf_append_str(out, "--config --help");
}

/* `eventhub pub ...`, and `eventhub help pub`; NULL for anything else. */
static const struct tool *find_tool(int argc, char **argv, bool *ret_is_help) {
  *ret_is_help = argc == 3 && strcmp(argv[1], "help") == 0;
  return argc < 2 ? NULL : tool_find(argv[*ret_is_help ? 2 : 1]);
}

int cli_main(int argc, char **argv) {
  bool is_help = false;
  const struct tool *tool = find_tool(argc, argv, &is_help);
  if (tool != NULL && is_help)
    return tool_main(tool, 2, (char *[]){argv[2], (char *)"--help", NULL});
  if (tool != NULL) return tool_main(tool, argc - 1, argv + 1);
  AUTO(buf)
  struct buf error = BUF_INIT;
  struct cli_arguments arguments;
  if (cli_parse(argc, argv, &arguments, &error) != 0) {
    print_error(&error);
    return CLI_USAGE;
  }
  return arguments.command->run(&arguments);
}
