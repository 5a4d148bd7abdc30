/* A strict scanner for JSON texts (RFC 8259), which allocates nothing and builds no tree.
 *
 * json_parse says once whether a text is valid. After that the iterators and json_object_find walk
 * over the text again, as far as somebody asks, and hand out values that point into it:
 *
 *   text   {"id":7,"params":{"topic":"a/b","message":[1,2]}}
 *          ^json_parse                                    ^
 *                          ^json_object_find "params"     ^
 *
 * No extension of the grammar is accepted: no leading zeros, no trailing commas, no comments, no
 * control characters in strings, nothing after the value. Any \uXXXX is accepted, lone surrogates
 * too (RFC 8259 7 allows them). The caller has checked that the text is UTF-8.
 *
 * Pure functions of their arguments; any thread.
 */
#ifndef EVENTHUB_PROTO_JSON_H
#define EVENTHUB_PROTO_JSON_H

#include <stdbool.h>

#include "eventhub/base/slice.h"
#include "eventhub/proto/json_value.h"

enum { JSON_DEPTH_MAX = 64, JSON_MEMBERS_MAX = 8 };

/* Checks that the whole of `text` is one value with at most `max_depth` arrays and objects inside
 * each other ([] is 1, a scalar 0; max_depth itself at most JSON_DEPTH_MAX), and returns it. The
 * cost is linear and needs constant memory; it ends at the first byte that is wrong or too deep.
 * ERR_INVALID: not JSON. ERR_TOO_BIG: nested deeper, whatever follows. */
int json_parse(struct slice text, unsigned max_depth, struct json_value *ret);

struct json_member {
  struct json_value name, value;
};

/* The members of one object as a parse has met them. */
struct json_members {
  const char *object; /* where its text begins; NULL: nothing is noted */
  size_t count;
  struct json_member items[JSON_MEMBERS_MAX];
};

/* Of an object those of the object itself and of the last member that is an object, too: enough to
 * read a request without walking over its text again. Left out where there are more than
 * JSON_MEMBERS_MAX. */
struct json_outline {
  struct json_members outer, inner;
};

/* json_parse that also notes members. They are valid as long as the text is. */
int json_parse_outline(struct slice text, unsigned max_depth, struct json_value *ret,
                       struct json_outline *ret_outline);

/* A position inside an array or object. Only values from json_parse or an iterator may be walked;
 * others stay within their bounds, but give nonsense. */
struct json_iter {
  const char *at, *end;
};

/* Before the first element or member of `container`; any other value has none. */
void json_iter_init(struct json_iter *it, struct json_value container);

/* The next member of an object, the key being a string value; false at the end. */
bool json_object_next(struct json_iter *it, struct json_value *ret_key,
                      struct json_value *ret_value);

/* The next element of an array; false at the end. */
bool json_array_next(struct json_iter *it, struct json_value *ret_value);

/* The member of `object` named `key`. Names compare decoded, and of several the last one counts.
 * ERR_NOT_FOUND if there is none, or if `object` is not an object. */
int json_object_find(struct json_value object, struct slice key, struct json_value *ret);

/* Several members in one walk: ret[i] is the one named names[i], by the same rules. Its text.ptr is
 * NULL, and its type JSON_NULL, if there is none. Names must differ from each other. */
void json_object_select(struct json_value object, const struct slice *names, size_t count,
                        struct json_value *ret);
/* The same from `members`, if they are those of the object; they may be others, or NULL. */
void json_members_select(const struct json_members *members, struct json_value object,
                         const struct slice *names, size_t count, struct json_value *ret);

#endif
