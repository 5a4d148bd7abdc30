#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/server/option_table.h"

enum { HELP_INDENT = 6, HELP_COLUMNS = 96 };

static struct slice shown_default(const struct option_row *row) {
  return row->default_text[0] == '\0' ? SLICE("none") : slice_str(row->default_text);
}

static bool has_missing_choice(const struct option_row *row) {
  if (row->choices == NULL) return false;
  for (const struct option_choice *choice = row->choices; choice->text != NULL; choice++)
    if (choice->needs != OPTION_FEATURE_NONE) return true;
  return false;
}

/* Which of the choices this version lacks, and "" when it has them all. */
static void append_missing_choices(struct buf *out, const struct option_row *row) {
  const char *before = " Not in this version yet: ";
  for (const struct option_choice *choice = row->choices; choice->text != NULL; choice++) {
    if (choice->needs == OPTION_FEATURE_NONE) continue;
    buf_append_str(out, before);
    buf_append_str(out, choice->text);
    before = ", ";
  }
  buf_append_char(out, '.');
}

static void append_availability(struct buf *out, const struct option_row *row) {
  if (has_missing_choice(row)) append_missing_choices(out, row);
  if (row->needs == OPTION_FEATURE_NONE) return;
  const char *condition = option_feature_condition(row->needs);
  if (condition != NULL)
    buf_printf(out, " %s", condition);
  else if (row->asks == OPTION_ASKS_NEVER)
    buf_append_str(out, " Accepted, but without effect in this version.");
  else if (row->type == OPTION_BOOL)
    buf_append_str(out, " Not in this version yet: always off.");
  else
    buf_append_str(out, " Not in this version yet.");
}

/* Help, what is allowed and what is missing, as one paragraph. */
static void append_description(struct buf *out, const struct option_row *row) {
  buf_append_str(out, row->help);
  if (row->type == OPTION_NUMBER || row->type == OPTION_CHOICE || row->allowed != NULL) {
    buf_append_char(out, ' ');
    size_t start = out->len;
    option_append_allowed(out, row);
    if (out->data[start] >= 'a' && out->data[start] <= 'z') out->data[start] -= 'a' - 'A';
    buf_append_char(out, '.');
  }
  append_availability(out, row);
}

/* text in indented lines of at most HELP_COLUMNS; a longer word has a line of its own. */
static void append_wrapped(struct buf *out, struct slice text) {
  struct slice word;
  size_t column = HELP_COLUMNS;
  while (slice_next_token(&text, ' ', &word)) {
    if (column + 1 + word.len > HELP_COLUMNS) {
      buf_printf(out, "\n%*s", HELP_INDENT, "");
      column = HELP_INDENT;
    } else {
      buf_append_char(out, ' ');
      column++;
    }
    buf_append_slice(out, word);
    column += word.len;
  }
  buf_append_char(out, '\n');
}

static bool starts_group(size_t index) {
  return index == 0 || strcmp(option_row(index)->group, option_row(index - 1)->group) != 0;
}

void options_print_help(struct buf *out) {
  for (size_t i = 0; i < option_count(); i++) {
    AUTO(buf)
    struct buf text = BUF_INIT;
    const struct option_row *row = option_row(i);
    if (starts_group(i)) buf_printf(out, "\n%s\n", row->group);
    buf_printf(out, "  %s (%.*s)", row->name, SLICE_PRINTF(shown_default(row)));
    append_description(&text, row);
    append_wrapped(out, buf_slice(&text));
  }
}

/* A bar would end the cell. */
static void append_cell(struct buf *out, struct slice text) {
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] == '|') buf_append_char(out, '\\');
    buf_append_char(out, text.ptr[i]);
  }
}

void options_print_markdown(struct buf *out) {
  for (size_t i = 0; i < option_count(); i++) {
    AUTO(buf)
    struct buf text = BUF_INIT;
    const struct option_row *row = option_row(i);
    if (starts_group(i))
      buf_printf(out, "%s### %s\n\n| option | default | |\n|---|---|---|\n", i == 0 ? "" : "\n",
                 row->group);
    const char *quote = row->default_text[0] == '\0' ? "" : "`";
    buf_printf(out, "| `%s` | %s%.*s%s | ", row->name, quote, SLICE_PRINTF(shown_default(row)),
               quote);
    append_description(&text, row);
    append_cell(out, buf_slice(&text));
    buf_append_str(out, " |\n");
  }
}
