#include "eventhub/cli/tool.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"

const struct tool *const tools[] = {&tool_pub, &tool_sub, &tool_token, &tool_completion};
const size_t tool_count = ARRAY_LEN(tools);

const struct tool *tool_find(const char *name) {
  for (size_t i = 0; i < ARRAY_LEN(tools); i++)
    if (strcmp(tools[i]->name, name) == 0) return tools[i];
  return NULL;
}

/* ---- arguments ---- */

/* What getopt answers; an option's index is added to the last. */
enum { ASKS_HELP = 'h', OPTION_BASE = 256 };

static void make_long_options(const struct tool *tool, struct option ret[TOOL_OPTIONS_MAX + 2]) {
  memset(ret, 0, (TOOL_OPTIONS_MAX + 2) * sizeof *ret);
  for (size_t i = 0; i < tool->option_count; i++)
    ret[i] =
        (struct option){.name = tool->options[i].name,
                        .has_arg = tool->options[i].value != NULL ? required_argument : no_argument,
                        .val = OPTION_BASE + (int)i};
  ret[tool->option_count] = (struct option){.name = "help", .val = ASKS_HELP};
}

static void add_value(struct tool_arguments *arguments, size_t option, const char *value) {
  size_t count = ++arguments->counts[option];
  arguments->values[option] = x_realloc(arguments->values[option], count * sizeof(const char *));
  arguments->values[option][count - 1] = value;
}

static int take_option(const struct tool *tool, int answer, const char *argument,
                       struct tool_arguments *ret, struct buf *ret_error) {
  if (answer == ASKS_HELP) return ERR_NOT_FOUND;
  if (answer == ':') {
    buf_printf(ret_error, "a value is missing after %s", argument);
    return ERR_INVALID;
  }
  if (answer < OPTION_BASE) {
    buf_printf(ret_error, "unknown option %s; eventhub %s --help shows those that there are",
               argument, tool->name);
    return ERR_INVALID;
  }
  size_t option = (size_t)(answer - OPTION_BASE);
  if (ret->counts[option] > 0 && !tool->options[option].repeats) {
    buf_printf(ret_error, "--%s is given twice", tool->options[option].name);
    return ERR_INVALID;
  }
  add_value(ret, option, optarg);
  return 0;
}

static int check_words(const struct tool *tool, const struct tool_arguments *arguments,
                       struct buf *ret_error) {
  if (arguments->word_count >= tool->min_words && arguments->word_count <= tool->max_words)
    return 0;
  buf_printf(ret_error, "too %s arguments; usage: eventhub %s %s",
             arguments->word_count < tool->min_words ? "few" : "many", tool->name, tool->synopsis);
  return ERR_INVALID;
}

int tool_parse(const struct tool *tool, int argc, char **argv, struct tool_arguments *ret,
               struct buf *ret_error) {
  struct option long_options[TOOL_OPTIONS_MAX + 2];
  int answer, err = 0;
  memset(ret, 0, sizeof *ret);
  make_long_options(tool, long_options);
  optind = 0; /* glibc: start anew */
  opterr = 0;
  while (err == 0 && (answer = getopt_long(argc, argv, ":h", long_options, NULL)) != -1)
    err = take_option(tool, answer, argv[optind - 1], ret, ret_error);
  if (err != 0) return err;
  ret->words = (const char **)(argv + optind);
  ret->word_count = (size_t)(argc - optind);
  return check_words(tool, ret, ret_error);
}

void tool_arguments_done(struct tool_arguments *arguments) {
  for (size_t i = 0; i < TOOL_OPTIONS_MAX; i++)
    free(arguments->values[i]);
}

int tool_main(const struct tool *tool, int argc, char **argv) {
  AUTO(buf) struct buf text = BUF_INIT;
  struct tool_arguments arguments;
  int err = tool_parse(tool, argc, argv, &arguments, &text);
  int status = TOOL_USAGE;
  if (err == 0) {
    status = tool->run(&arguments);
  } else if (err == ERR_NOT_FOUND) {
    tool_append_help(tool, &text);
    status = tool_write(STDOUT_FILENO, buf_slice(&text)) == 0 ? TOOL_OK : TOOL_FAILED;
  } else {
    tool_complain("%.*s", (int)text.len, text.data);
  }
  tool_arguments_done(&arguments);
  return status;
}

/* ---- help ---- */

static void append_option(const struct tool_option *option, struct buf *out) {
  enum { COLUMN = 26 };
  size_t start = out->len;
  buf_printf(out, "  --%s%s%s", option->name, option->value != NULL ? " " : "",
             option->value != NULL ? option->value : "");
  do {
    buf_append_char(out, ' ');
  } while (out->len - start < COLUMN);
  buf_printf(out, "%s\n", option->help);
}

void tool_append_help(const struct tool *tool, struct buf *out) {
  buf_printf(out, "Usage: eventhub %s %s\n\n", tool->name, tool->synopsis);
  buf_printf(out, "%c%s.\n\nOptions:\n", toupper(tool->help[0]), tool->help + 1);
  for (size_t i = 0; i < tool->option_count; i++)
    append_option(&tool->options[i], out);
  append_option(&(struct tool_option){.name = "help", .help = "show this text"}, out);
  buf_printf(out, "\n%s", tool->text);
}

void tool_append_markdown(struct buf *out) {
  for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
    buf_printf(out, "%s## eventhub %s\n\n```\n", i > 0 ? "\n" : "", tools[i]->name);
    tool_append_help(tools[i], out);
    buf_append_str(out, "```\n");
  }
}

/* ---- what all of them need ---- */

void tool_complain(const char *format, ...) {
  AUTO(buf) struct buf line = BUF_INIT;
  va_list args;
  buf_append_str(&line, "eventhub: ");
  va_start(args, format);
  buf_vprintf(&line, format, args);
  va_end(args);
  buf_append_char(&line, '\n');
  tool_write(STDERR_FILENO, buf_slice(&line));
}

int tool_write(int fd, struct slice text) {
  while (text.len > 0) {
    ssize_t written = write(fd, text.ptr, text.len);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno == EPIPE ? ERR_CLOSED : ERR_SYSTEM;
    text = slice_skip(text, (size_t)written);
  }
  return 0;
}

int tool_parse_duration(const char *text, uint64_t *ret_s) {
  static const struct {
    char unit;
    uint32_t seconds;
  } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  struct slice number = slice_str(text);
  uint64_t count = 0, seconds = 1;
  for (size_t i = 0; i < ARRAY_LEN(units) && number.len > 0; i++) {
    if (text[strlen(text) - 1] != units[i].unit) continue;
    seconds = units[i].seconds;
    number.len--;
  }
  if (slice_to_u64(number, &count) < 0 || count > INT32_MAX) return ERR_INVALID;
  *ret_s = count * seconds;
  return 0;
}

int tool_read_secret(const char *path, struct buf *ret) {
  enum { SECRET_MAX = 65536 };
  bool is_stdin = strcmp(path, "-") == 0;
  AUTO(fd) int fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
  size_t start = ret->len;
  ssize_t len = 0;
  while (fd >= 0 && ret->len - start < SECRET_MAX) {
    len = read(fd, buf_reserve(ret, SECRET_MAX), SECRET_MAX);
    if (len <= 0) break;
    buf_commit(ret, (size_t)len);
  }
  if (fd < 0 || len < 0) {
    tool_complain("%s: %s", path, strerror(errno));
    return ERR_SYSTEM;
  }
  struct slice text = slice_of(ret->data + start, ret->len - start), line = SLICE("");
  slice_next_token(&text, '\n', &line);
  if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
  ret->len = start + line.len;
  if (line.len > 0) return 0;
  tool_complain("%s is empty", path);
  return ERR_INVALID;
}
