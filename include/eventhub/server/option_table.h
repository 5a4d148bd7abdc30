/*
 * The one list of options. A row holds all that is known of an option: the parser, `--help`, the
 * check of values and docs/configuration.md come from it. Adding an option is a field in struct
 * options, a row here and a line in its test.
 *
 * The table is constant: any thread may read it.
 */
#ifndef EVENTHUB_SERVER_OPTION_TABLE_H
#define EVENTHUB_SERVER_OPTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"
#include "eventhub/server/options.h"

enum option_type {
  OPTION_BOOL,   /* bool */
  OPTION_NUMBER, /* uint64_t */
  OPTION_TEXT,   /* char * */
  OPTION_SECRET, /* char *, never printed */
  OPTION_CHOICE, /* an enum */
  OPTION_LIST    /* struct option_list */
};

/* Features that the table knows before the daemon has them, or that not every build has. */
enum option_feature {
  OPTION_FEATURE_NONE,
  OPTION_FEATURE_REDIS_TLS,
  OPTION_FEATURE_CONSOLE,
  OPTION_FEATURE_COUNT
};

/* When an option of a missing feature asks for it, and so stops the start. */
enum option_asks {
  OPTION_ASKS_IF_CHANGED, /* it differs from its default */
  OPTION_ASKS_IF_GIVEN,   /* it is set to anything but the empty text */
  OPTION_ASKS_NEVER       /* a detail that has no effect on its own */
};

struct option_choice {
  const char *text; /* NULL ends the list */
  unsigned value;
  bool is_alias; /* understood, but not offered */
  enum option_feature needs;
};

struct option_row {
  const char *name; /* upper case */
  enum option_type type;
  size_t offset; /* of the field in struct options */
  const char *default_text;
  uint64_t min, max;                    /* numbers: the value; texts: the length in bytes */
  const struct option_choice *choices;  /* OPTION_CHOICE only */
  bool (*is_valid)(struct slice value); /* beyond type and range; NULL = nothing more */
  const char *allowed;                  /* what is_valid wants: "must be <allowed>" */
  enum option_feature needs;
  enum option_asks asks;
  const char *group; /* heading in the documentation; rows of a group are neighbours */
  const char *help;  /* one sentence */
};

size_t option_count(void);
const struct option_row *option_row(size_t index);
/* The row of that name, in any case; NULL when there is none. */
const struct option_row *option_find(struct slice name);

/* The feature as a phrase ("TLS"), and how to start without it ("set ENABLE_SSL=false"). */
const char *option_feature_name(enum option_feature feature);
const char *option_feature_way_out(enum option_feature feature);
/* Why it is not there: "this version does not have yet"; NULL = it is there. */
const char *option_feature_lack(enum option_feature feature);
/* A sentence on which builds have it, the same in all of them; NULL = none has it yet. */
const char *option_feature_condition(enum option_feature feature);

/*
 * option_value.c: one value of one option.
 * option_set() parses value into the row's field, whose former content it frees; 0, or ERR_INVALID
 * with "must be ..." appended to ret_error and the field untouched.
 */
int option_set(struct options *options, const struct option_row *row, struct slice value,
               struct buf *ret_error);
/* Frees what the row's field holds. */
void option_clear(struct options *options, const struct option_row *row);
/* Whether the field holds what the default would put there. */
bool option_is_default(const struct options *options, const struct option_row *row);
/* Whether the field is the empty text or list; false for other types. */
bool option_is_empty(const struct options *options, const struct option_row *row);
/* The feature that the present choice needs; OPTION_FEATURE_NONE for other types. */
enum option_feature option_choice_needs(const struct options *options,
                                        const struct option_row *row);
/* What the row takes, as a phrase: "a number from 1 to 65535". */
void option_append_allowed(struct buf *out, const struct option_row *row);

#endif
