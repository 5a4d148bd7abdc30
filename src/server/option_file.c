#include "eventhub/server/option_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <ini.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"

enum { OPTION_FILE_CHUNK = 16384 };

/* What inih reads from and calls back with. */
struct option_lines {
  struct slice rest;
  unsigned line; /* of the one that inih has now, from 1 */
  const char *path;
  option_file_fn *on_option;
  void *context;
  struct buf *error;
  int result; /* of the first line that failed */
};

static void *refuse_line(struct option_lines *lines, const char *why) {
  buf_printf(lines->error, "%s:%u: %s", lines->path, lines->line, why);
  lines->result = ERR_INVALID;
  return NULL;
}

static bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* What is wrong with a line that inih would take in a way of its own; NULL when nothing is. */
static const char *check_shape(struct slice line) {
  if (line.len > OPTION_LINE_MAX) return "the line is longer than 65536 bytes";
  if (memchr(line.ptr, 0, line.len) != NULL) return "the line has a NUL byte";
  struct slice rest = slice_trim(line);
  if (rest.len == 0 || rest.ptr[0] == '#') return NULL;
  size_t name = 0;
  while (name < rest.len && is_name_char(rest.ptr[name]))
    name++;
  rest = slice_trim(slice_skip(rest, name));
  if (name == 0 || rest.len == 0 || rest.ptr[0] != '=') return "expected name = value";
  return NULL;
}

static struct slice cut_line(struct slice *rest) {
  const char *end = memchr(rest->ptr, '\n', rest->len);
  size_t len = end != NULL ? (size_t)(end - rest->ptr) + 1 : rest->len;
  struct slice line = slice_of(rest->ptr, len);
  *rest = slice_skip(*rest, len);
  return line;
}

static struct slice without_line_end(struct slice line) {
  while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
    line.len--;
  return line;
}

/* An ini_reader, in the manner of fgets: the next line that is worth parsing. */
static char *next_line(char *out, int size, void *stream) {
  struct option_lines *lines = stream;
  if (lines->result != 0 || lines->rest.len == 0) return NULL;
  struct slice line = without_line_end(cut_line(&lines->rest));
  lines->line++;
  const char *wrong = check_shape(line);
  if (wrong == NULL && line.len >= (size_t)size) wrong = "the line is too long for the parser";
  if (wrong != NULL) return refuse_line(lines, wrong);
  memcpy(out, line.ptr, line.len);
  out[line.len] = '\0';
  return out;
}

static bool is_quote(char c) {
  return c == '"' || c == '\'';
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

/* A comment behind the value starts with a `#` that a blank precedes; inside quotes none does. */
static struct slice without_comment(struct slice value) {
  size_t at = 0;
  if (value.len > 0 && is_quote(value.ptr[0])) {
    const char *end = memchr(value.ptr + 1, value.ptr[0], value.len - 1);
    at = end != NULL ? (size_t)(end - value.ptr) + 1 : value.len;
  }
  for (; at < value.len; at++) {
    bool is_start = value.ptr[at] == '#' && (at == 0 || is_blank(value.ptr[at - 1]));
    if (is_start) return slice_trim(slice_of(value.ptr, at));
  }
  return value;
}

/* Takes off one pair of quotes; false when they do not pair. */
static bool unquote(struct slice *value) {
  if (value->len == 0) return true;
  char first = value->ptr[0], last = value->ptr[value->len - 1];
  if (!is_quote(first) && !is_quote(last)) return true;
  if (first != last || value->len < 2) return false;
  *value = slice_of(value->ptr + 1, value->len - 2);
  return true;
}

/* An ini_handler: 0 tells inih that the line is bad. */
static int on_line(void *user, const char *section, const char *name, const char *text) {
  (void)section; /* check_shape lets none through */
  struct option_lines *lines = user;
  if (lines->result != 0) return 0;
  struct slice value = without_comment(slice_str(text));
  if (!unquote(&value)) {
    refuse_line(lines, "the quotes do not pair; put the whole value into one pair of quotes");
    return 0;
  }
  lines->result =
      lines->on_option(lines->context, slice_str(name), value, lines->line, lines->error);
  return lines->result == 0;
}

/* Debian's inih takes these at run time. Its own defaults cut a line at 199 bytes in two, end a
 * value at ` ;`, and join indented lines to the one above. */
static void configure_inih(void) {
  ini_max_line = OPTION_LINE_MAX + 16;
  ini_initial_alloc = OPTION_LINE_MAX + 16;
  ini_use_stack = false;
  ini_allow_realloc = false;
  ini_allow_inline_comments = false;
  ini_allow_multiline = false;
  ini_stop_on_first_error = true;
  ini_start_comment_prefixes = (char *)"#";
}

int option_file_parse(struct slice text, const char *path, option_file_fn *on_option, void *context,
                      struct buf *ret_error) {
  if (slice_starts_with(text, SLICE("\xEF\xBB\xBF"))) text = slice_skip(text, 3);
  struct option_lines lines = {
      .rest = text, .path = path, .on_option = on_option, .context = context, .error = ret_error};
  configure_inih();
  int failed = ini_parse_stream(next_line, &lines, on_line, &lines);
  if (lines.result != 0) return lines.result;
  if (failed == 0) return 0;
  refuse_line(&lines, "expected name = value");
  return ERR_INVALID;
}

static int read_all(int fd, struct buf *ret_text) {
  for (;;) {
    ssize_t got = read(fd, buf_reserve(ret_text, OPTION_FILE_CHUNK), OPTION_FILE_CHUNK);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ERR_SYSTEM;
    if (got == 0) return 0;
    buf_commit(ret_text, (size_t)got);
    if (ret_text->len > OPTION_FILE_MAX) return ERR_TOO_BIG;
  }
}

int option_file_read(const char *path, struct buf *ret_text, struct buf *ret_error) {
  AUTO(fd)
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  int failed = fd < 0 ? ERR_SYSTEM : read_all(fd, ret_text);
  if (failed == ERR_SYSTEM)
    buf_printf(ret_error, "cannot read %s: %s", path, strerror(errno));
  else if (failed != 0)
    buf_printf(ret_error, "cannot read %s: it is longer than 1 MiB", path);
  return failed;
}
