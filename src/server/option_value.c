#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/server/option_table.h"

static_assert(sizeof(enum log_level) == sizeof(unsigned), "a choice is stored as an unsigned");
static_assert(sizeof(enum option_backend) == sizeof(unsigned), "a choice is stored as an unsigned");

static void *field_of(struct options *options, const struct option_row *row) {
  return (char *)options + row->offset;
}

static const void *field_in(const struct options *options, const struct option_row *row) {
  return (const char *)options + row->offset;
}

static const char *text_in(const struct options *options, const struct option_row *row) {
  return *(char *const *)field_in(options, row);
}

static unsigned choice_in(const struct options *options, const struct option_row *row) {
  unsigned value;
  memcpy(&value, field_in(options, row), sizeof value);
  return value;
}

static int parse_bool(struct slice value, bool *ret) {
  static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (!slice_equal_nocase(value, slice_str(words[i]))) continue;
    *ret = i % 2 == 1;
    return 0;
  }
  return ERR_INVALID;
}

static const struct option_choice *find_choice(const struct option_row *row, struct slice value) {
  for (const struct option_choice *choice = row->choices; choice->text != NULL; choice++)
    if (slice_equal_nocase(value, slice_str(choice->text))) return choice;
  return NULL;
}

static size_t count_items(struct slice text) {
  size_t count = 0;
  struct slice item;
  while (slice_next_token(&text, ',', &item))
    count++;
  return count;
}

static void list_done(struct option_list *list) {
  free(list->text);
  free(list->items);
  *list = (struct option_list){0};
}

/* The empty text is the empty list. */
static void list_set(struct option_list *list, struct slice value) {
  list_done(list);
  if (value.len == 0) return;
  list->text = x_strndup(value.ptr, value.len);
  struct slice rest = slice_of(list->text, value.len), item;
  list->items = x_calloc(count_items(rest), sizeof *list->items);
  while (slice_next_token(&rest, ',', &item))
    list->items[list->count++] = slice_trim(item);
}

static int set_bool(struct options *options, const struct option_row *row, struct slice value) {
  bool parsed;
  if (parse_bool(slice_trim(value), &parsed) != 0) return ERR_INVALID;
  *(bool *)field_of(options, row) = parsed;
  return 0;
}

static int set_number(struct options *options, const struct option_row *row, struct slice value) {
  uint64_t number;
  if (slice_to_u64(slice_trim(value), &number) != 0) return ERR_INVALID;
  if (number < row->min || number > row->max) return ERR_INVALID;
  *(uint64_t *)field_of(options, row) = number;
  return 0;
}

static int set_choice(struct options *options, const struct option_row *row, struct slice value) {
  const struct option_choice *choice = find_choice(row, slice_trim(value));
  if (choice == NULL) return ERR_INVALID;
  memcpy(field_of(options, row), &choice->value, sizeof choice->value);
  return 0;
}

static int set_text(struct options *options, const struct option_row *row, struct slice value) {
  if (value.len < row->min || value.len > row->max) return ERR_INVALID;
  if (value.len > 0 && memchr(value.ptr, 0, value.len) != NULL) return ERR_INVALID;
  if (row->is_valid != NULL && !row->is_valid(value)) return ERR_INVALID;
  if (row->type == OPTION_LIST) {
    list_set(field_of(options, row), value);
    return 0;
  }
  option_clear(options, row);
  *(char **)field_of(options, row) = x_strndup(value.ptr, value.len);
  return 0;
}

int option_set(struct options *options, const struct option_row *row, struct slice value,
               struct buf *ret_error) {
  int failed = ERR_INVALID;
  switch (row->type) {
  case OPTION_BOOL: failed = set_bool(options, row, value); break;
  case OPTION_NUMBER: failed = set_number(options, row, value); break;
  case OPTION_CHOICE: failed = set_choice(options, row, value); break;
  case OPTION_TEXT:
  case OPTION_SECRET:
  case OPTION_LIST: failed = set_text(options, row, value); break;
  }
  if (failed == 0) return 0;
  buf_append_str(ret_error, "must be ");
  option_append_allowed(ret_error, row);
  return failed;
}

void option_clear(struct options *options, const struct option_row *row) {
  if (row->type == OPTION_LIST) list_done(field_of(options, row));
  if (row->type != OPTION_TEXT && row->type != OPTION_SECRET) return;
  char **text = field_of(options, row);
  free(*text);
  *text = NULL;
}

static bool list_is_default(const struct option_list *list, const struct option_row *row) {
  const char *text = list->text != NULL ? list->text : "";
  return strcmp(text, row->default_text) == 0;
}

static bool number_is_default(uint64_t number, const struct option_row *row) {
  uint64_t usual = 0;
  int failed = slice_to_u64(slice_str(row->default_text), &usual);
  assert(failed == 0);
  return number == usual;
}

bool option_is_default(const struct options *options, const struct option_row *row) {
  bool usual = false;
  switch (row->type) {
  case OPTION_BOOL:
    parse_bool(slice_str(row->default_text), &usual);
    return *(const bool *)field_in(options, row) == usual;
  case OPTION_NUMBER: return number_is_default(*(const uint64_t *)field_in(options, row), row);
  case OPTION_CHOICE:
    return find_choice(row, slice_str(row->default_text))->value == choice_in(options, row);
  case OPTION_LIST: return list_is_default(field_in(options, row), row);
  case OPTION_TEXT:
  case OPTION_SECRET: return strcmp(text_in(options, row), row->default_text) == 0;
  }
  return false;
}

bool option_is_empty(const struct options *options, const struct option_row *row) {
  if (row->type == OPTION_LIST)
    return ((const struct option_list *)field_in(options, row))->count == 0;
  if (row->type != OPTION_TEXT && row->type != OPTION_SECRET) return false;
  return text_in(options, row)[0] == '\0';
}

enum option_feature option_choice_needs(const struct options *options,
                                        const struct option_row *row) {
  if (row->type != OPTION_CHOICE) return OPTION_FEATURE_NONE;
  for (const struct option_choice *choice = row->choices; choice->text != NULL; choice++)
    if (choice->value == choice_in(options, row)) return choice->needs;
  return OPTION_FEATURE_NONE;
}

static void append_choices(struct buf *out, const struct option_row *row) {
  const char *before = "one of ";
  for (const struct option_choice *choice = row->choices; choice->text != NULL; choice++) {
    if (choice->is_alias) continue;
    buf_append_str(out, before);
    buf_append_str(out, choice->text);
    before = ", ";
  }
}

static void append_length(struct buf *out, const struct option_row *row) {
  if (row->min > 0)
    buf_printf(out, "text of %llu to %llu bytes", (unsigned long long)row->min,
               (unsigned long long)row->max);
  else
    buf_printf(out, "text of at most %llu bytes", (unsigned long long)row->max);
}

void option_append_allowed(struct buf *out, const struct option_row *row) {
  if (row->allowed != NULL) {
    buf_append_str(out, row->allowed);
    return;
  }
  switch (row->type) {
  case OPTION_BOOL: buf_append_str(out, "true or false"); break;
  case OPTION_CHOICE: append_choices(out, row); break;
  case OPTION_NUMBER:
    buf_printf(out, "a number from %llu to %llu", (unsigned long long)row->min,
               (unsigned long long)row->max);
    break;
  case OPTION_TEXT:
  case OPTION_SECRET:
  case OPTION_LIST: append_length(out, row); break;
  }
}
