#include "eventhub/proto/json.h"

#include <assert.h>
#include <endian.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "eventhub/base/err.h"

/* Scanning functions take a position and the end of the text and return the position after what
 * they name, or NULL where it is not there. */

/* The type that a value's first character announces, plus 1; 0 where no value starts so. */
static const uint8_t type_of_first[256] = {
    ['n'] = JSON_NULL + 1,   ['f'] = JSON_FALSE + 1,          ['t'] = JSON_TRUE + 1,
    ['-'] = JSON_NUMBER + 1, ['0' ... '9'] = JSON_NUMBER + 1, ['"'] = JSON_STRING + 1,
    ['['] = JSON_ARRAY + 1,  ['{'] = JSON_OBJECT + 1,
};

static inline bool type_announced(const char *at, const char *end, enum json_type *ret) {
  if (at == end) return false;
  uint8_t type = type_of_first[(unsigned char)*at];
  if (type == 0) return false;
  *ret = type - 1;
  return true;
}

static inline bool is_digit(const char *at, const char *end) {
  return at < end && (unsigned char)(*at - '0') < 10;
}

static inline bool is_space(char c) {
  static const uint64_t spaces = 1ull << ' ' | 1ull << '\t' | 1ull << '\n' | 1ull << '\r';
  return (unsigned char)c <= ' ' && (spaces >> c & 1) != 0;
}

static inline const char *space_end(const char *at, const char *end) {
  while (at < end && is_space(*at))
    at++;
  return at;
}

static const char *digits_end(const char *at, const char *end) {
  if (!is_digit(at, end)) return NULL;
  while (is_digit(at, end))
    at++;
  return at;
}

/* RFC 8259 6: [ minus ] int [ frac ] [ exp ] */
static const char *number_end(const char *at, const char *end) {
  if (*at == '-') at++;
  if (at < end && *at == '0')
    at++;
  else
    at = digits_end(at, end);

  if (at != NULL && at < end && *at == '.') at = digits_end(at + 1, end);
  if (at == NULL || at == end || (*at | 0x20) != 'e') return at;
  at++;
  if (at < end && (*at == '+' || *at == '-')) at++;
  return digits_end(at, end);
}

static const char *word_end(const char *at, const char *end, struct slice word) {
  if ((size_t)(end - at) < word.len || memcmp(at, word.ptr, word.len) != 0) return NULL;
  return at + word.len;
}

/* The special bytes of a string are those that end a plain run: quotes, backslashes and control
 * characters. block_marks has a bit for each special byte of a block, MARK_BITS apart. */
#ifdef __SSE2__
enum { BLOCK_BYTES = 16, MARK_BITS = 1 };

static inline uint64_t block_marks(const char *at) {
  __m128i bytes = _mm_loadu_si128((const __m128i *)at);
  __m128i last_control = _mm_set1_epi8(0x1F);
  __m128i marks = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control);
  marks = _mm_or_si128(marks, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
  marks = _mm_or_si128(marks, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
  return (unsigned)_mm_movemask_epi8(marks);
}
#else
enum { BLOCK_BYTES = 8, MARK_BITS = 8 };

/* The borrow of a subtraction can also mark bytes after a special one: the first mark is exact. */
static inline uint64_t block_marks(const char *at) {
  static const uint64_t ones = 0x0101010101010101u;
  uint64_t bytes;
  memcpy(&bytes, at, sizeof bytes);
  bytes = le64toh(bytes);
  uint64_t quote = bytes ^ (ones * '"'), backslash = bytes ^ (ones * '\\');
  uint64_t marks = (bytes - ones * 0x20) & ~bytes;
  marks |= ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash);
  return marks & (ones * 0x80);
}
#endif

/* The first special byte at or after `at`, or the end. */
static inline const char *plain_end(const char *at, const char *end) {
  for (; end - at >= BLOCK_BYTES; at += BLOCK_BYTES) {
    uint64_t marks = block_marks(at);
    if (marks != 0) return at + __builtin_ctzll(marks) / MARK_BITS;
  }
  while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20)
    at++;
  return at;
}

static bool is_hex(char c) {
  return (unsigned char)(c - '0') < 10 || (unsigned char)((c | 0x20) - 'a') < 6;
}

static const char *escape_end(const char *at, const char *end) {
  if (end - at < 2) return NULL;
  switch (at[1]) {
  case '"':
  case '\\':
  case '/':
  case 'b':
  case 'f':
  case 'n':
  case 'r':
  case 't': return at + 2;
  case 'u':
    if (end - at < 6) return NULL;
    return is_hex(at[2]) && is_hex(at[3]) && is_hex(at[4]) && is_hex(at[5]) ? at + 6 : NULL;
  default: return NULL;
  }
}

/* RFC 8259 7; `at` is after the opening quote. */
static const char *string_end(const char *at, const char *end) {
  for (;;) {
    at = plain_end(at, end);
    if (at == end) return NULL;
    if (*at == '"') return at + 1;
    if (*at != '\\') return NULL;
    at = escape_end(at, end);
    if (at == NULL) return NULL;
  }
}

static inline const char *scalar_end(enum json_type type, const char *at, const char *end) {
  switch (type) {
  case JSON_STRING: return string_end(at + 1, end);
  case JSON_NUMBER: return number_end(at, end);
  case JSON_NULL: return word_end(at, end, SLICE("null"));
  case JSON_FALSE: return word_end(at, end, SLICE("false"));
  case JSON_TRUE: return word_end(at, end, SLICE("true"));
  default: return NULL;
  }
}

/* The checking walk. It needs no stack: what it must know of the containers around it is one bit
 * each, in `objects`. */
enum walk_state {
  WALK_VALUE,         /* a value must come */
  WALK_FIRST_ELEMENT, /* after '[': a value or the end */
  WALK_FIRST_MEMBER,  /* after '{': a name or the end */
  WALK_MEMBER,        /* a name must come */
  WALK_AFTER_VALUE,   /* a comma or the end of the container */
  WALK_BAD,
  WALK_TOO_DEEP,
};

struct walk {
  const char *at, *end;
  uint64_t objects; /* lowest bit: the innermost container is an object; the next one's follow */
  unsigned depth, max_depth;
};

static inline enum walk_state walk_enter(struct walk *w, enum json_type type) {
  if (w->depth == w->max_depth) return WALK_TOO_DEEP;
  w->depth++;
  w->objects = w->objects << 1 | (type == JSON_OBJECT);
  w->at++;
  return type == JSON_OBJECT ? WALK_FIRST_MEMBER : WALK_FIRST_ELEMENT;
}

static inline enum walk_state walk_leave(struct walk *w) {
  w->depth--;
  w->objects >>= 1;
  w->at++;
  return WALK_AFTER_VALUE;
}

static inline enum walk_state walk_value(struct walk *w) {
  enum json_type type;
  if (!type_announced(w->at, w->end, &type)) return WALK_BAD;
  if (type >= JSON_ARRAY) return walk_enter(w, type);
  w->at = scalar_end(type, w->at, w->end);
  return w->at == NULL ? WALK_BAD : WALK_AFTER_VALUE;
}

static inline enum walk_state walk_member(struct walk *w) {
  if (w->at == w->end || *w->at != '"') return WALK_BAD;
  const char *at = string_end(w->at + 1, w->end);
  if (at == NULL) return WALK_BAD;
  at = space_end(at, w->end);
  if (at == w->end || *at != ':') return WALK_BAD;
  w->at = at + 1;
  return WALK_VALUE;
}

static inline enum walk_state walk_after_value(struct walk *w) {
  if (w->at == w->end) return WALK_BAD;
  bool in_object = w->objects & 1;
  if (*w->at == (in_object ? '}' : ']')) return walk_leave(w);
  if (*w->at != ',') return WALK_BAD;
  w->at++;
  return in_object ? WALK_MEMBER : WALK_VALUE;
}

static inline bool walk_is_at(const struct walk *w, char c) {
  return w->at < w->end && *w->at == c;
}

static inline enum walk_state walk_step(struct walk *w, enum walk_state state) {
  w->at = space_end(w->at, w->end);
  switch (state) {
  case WALK_FIRST_ELEMENT: return walk_is_at(w, ']') ? walk_leave(w) : walk_value(w);
  case WALK_FIRST_MEMBER: return walk_is_at(w, '}') ? walk_leave(w) : walk_member(w);
  case WALK_VALUE: return walk_value(w);
  case WALK_MEMBER: return walk_member(w);
  case WALK_AFTER_VALUE: return walk_after_value(w);
  default: return WALK_BAD;
  }
}

/* Checks the value at `at`, which more may follow. Its end; NULL where it is wrong, with *ret_err.
 */
static const char *value_checked(const char *at, const char *end, unsigned max_depth,
                                 int *ret_err) {
  struct walk walk = {.at = at, .end = end, .max_depth = max_depth};
  enum walk_state state = walk_value(&walk);
  while (state < WALK_BAD && (state != WALK_AFTER_VALUE || walk.depth > 0))
    state = walk_step(&walk, state);
  if (state == WALK_AFTER_VALUE) return walk.at;
  *ret_err = state == WALK_TOO_DEEP ? ERR_TOO_BIG : ERR_INVALID;
  return NULL;
}

/* ---- outlines ---- */

/* After a name and its colon, or NULL; nearly all names have no escapes. */
static inline const char *name_end(const char *at, const char *end, struct json_value *ret_name) {
  if (at == end || *at != '"') return NULL;
  const char *after = string_end(at + 1, end);
  if (after == NULL) return NULL;
  *ret_name = (struct json_value){JSON_STRING, slice_of(at, (size_t)(after - at))};
  after = space_end(after, end);
  return after < end && *after == ':' ? space_end(after + 1, end) : NULL;
}

static void note_member(struct json_members *members, const struct json_member *member) {
  if (members->count < JSON_MEMBERS_MAX) members->items[members->count] = *member;
  members->count++;
}

struct outline_scan {
  const char *end;
  struct json_outline *outline;
  int err;
};

static const char *object_checked(struct outline_scan *scan, const char *at, unsigned max_depth,
                                  struct json_members *members);

/* A member's value. Where it is an object inside the outermost one, its members are noted. */
static const char *member_checked(struct outline_scan *scan, const char *at, unsigned max_depth,
                                  bool is_outer, enum json_type *ret_type) {
  if (!type_announced(at, scan->end, ret_type)) return NULL;
  if (*ret_type < JSON_ARRAY) return scalar_end(*ret_type, at, scan->end);
  if (*ret_type == JSON_OBJECT && is_outer)
    return object_checked(scan, at, max_depth, &scan->outline->inner);
  return value_checked(at, scan->end, max_depth, &scan->err);
}

/* The object at `at`, whose brace is known to be there. Its end, or NULL with scan->err. */
static const char *object_checked(struct outline_scan *scan, const char *at, unsigned max_depth,
                                  struct json_members *members) {
  const char *end = scan->end, *object = at;
  bool is_outer = members == &scan->outline->outer;
  if (max_depth == 0) {
    scan->err = ERR_TOO_BIG;
    return NULL;
  }
  members->count = 0;
  at = space_end(at + 1, end);
  while (at < end && (*at != '}' || members->count > 0)) {
    struct json_member member;
    const char *value = name_end(at, end, &member.name);
    if (value == NULL) return NULL;
    const char *after = member_checked(scan, value, max_depth - 1, is_outer, &member.value.type);
    if (after == NULL) return NULL;
    member.value.text = slice_of(value, (size_t)(after - value));
    note_member(members, &member);
    at = space_end(after, end);
    if (at == end || *at != ',') break;
    at = space_end(at + 1, end);
  }
  if (at == end || *at != '}') return NULL;
  members->object = members->count <= JSON_MEMBERS_MAX ? object : NULL;
  return at + 1;
}

/* The end of an array or object that is known to be valid, or the text's end. */
static const char *container_end(const char *at, const char *end) {
  unsigned depth = 0;
  while (at < end) {
    char c = *at++;
    if (c == '"') {
      at = string_end(at, end);
      if (at == NULL) break;
    } else if (c == '[' || c == '{') {
      depth++;
    } else if ((c == ']' || c == '}') && --depth == 0) {
      return at;
    }
  }
  return end;
}

/* After the value at `at`, which is known to be valid; its type goes to `ret_type`. */
static inline const char *value_end(const char *at, const char *end, enum json_type *ret_type) {
  enum json_type type;
  if (!type_announced(at, end, &type)) return NULL;
  *ret_type = type;
  return type >= JSON_ARRAY ? container_end(at, end) : scalar_end(type, at, end);
}

/* After spaces, with one `separator` among them if it is there. */
static inline const char *separator_end(const char *at, const char *end, char separator) {
  at = space_end(at, end);
  return at < end && *at == separator ? space_end(at + 1, end) : at;
}

/* Inlined, so that json_object_select keeps the values in registers: written to memory by parts and
 * read back whole they would stall the processor, which is a third of its time. */
static inline __attribute__((always_inline)) bool
member_next(struct json_iter *it, struct json_value *ret_key, struct json_value *ret_value) {
  const char *end = it->end;
  const char *key = separator_end(it->at, end, ',');
  if (key == end || *key != '"') return false;
  const char *key_end = string_end(key + 1, end);
  if (key_end == NULL) return false;

  enum json_type type;
  const char *value = separator_end(key_end, end, ':');
  const char *after = value_end(value, end, &type);
  if (after == NULL) return false;
  *ret_key = (struct json_value){JSON_STRING, slice_of(key, (size_t)(key_end - key))};
  *ret_value = (struct json_value){type, slice_of(value, (size_t)(after - value))};
  it->at = after;
  return true;
}

/* The value from `start` to `after`, behind which nothing may follow. */
static int take_whole(const char *start, const char *after, const char *end,
                      struct json_value *ret) {
  if (space_end(after, end) != end) return ERR_INVALID;
  type_announced(start, end, &ret->type);
  ret->text = slice_of(start, (size_t)(after - start));
  return ERR_OK;
}

int json_parse(struct slice text, unsigned max_depth, struct json_value *ret) {
  assert(max_depth <= JSON_DEPTH_MAX);
  int err = ERR_INVALID;
  const char *end = text.ptr + text.len, *start = space_end(text.ptr, end);
  const char *after = value_checked(start, end, max_depth, &err);
  return after == NULL ? err : take_whole(start, after, end, ret);
}

int json_parse_outline(struct slice text, unsigned max_depth, struct json_value *ret,
                       struct json_outline *ret_outline) {
  assert(max_depth <= JSON_DEPTH_MAX);
  const char *end = text.ptr + text.len, *start = space_end(text.ptr, end);
  struct outline_scan scan = {.end = end, .outline = ret_outline, .err = ERR_INVALID};
  ret_outline->outer.object = ret_outline->inner.object = NULL;
  if (start == end || *start != '{') return json_parse(text, max_depth, ret);
  const char *after = object_checked(&scan, start, max_depth, &ret_outline->outer);
  return after == NULL ? scan.err : take_whole(start, after, end, ret);
}

void json_iter_init(struct json_iter *it, struct json_value container) {
  *it = (struct json_iter){NULL, NULL};
  if (container.type < JSON_ARRAY) return;
  it->at = container.text.ptr + 1;
  it->end = container.text.ptr + container.text.len - 1;
}

bool json_object_next(struct json_iter *it, struct json_value *ret_key,
                      struct json_value *ret_value) {
  return member_next(it, ret_key, ret_value);
}

bool json_array_next(struct json_iter *it, struct json_value *ret_value) {
  enum json_type type;
  const char *value = separator_end(it->at, it->end, ',');
  const char *end = value_end(value, it->end, &type);
  if (end == NULL) return false;
  *ret_value = (struct json_value){type, slice_of(value, (size_t)(end - value))};
  it->at = end;
  return true;
}

int json_object_find(struct json_value object, struct slice key, struct json_value *ret) {
  struct json_value value;
  json_object_select(object, &key, 1, &value);
  if (value.text.ptr == NULL) return ERR_NOT_FOUND;
  *ret = value;
  return ERR_OK;
}

/* Looks at the names from `start` on: members mostly come in the order of the names. Where to start
 * for the next one. */
static inline size_t select_member(struct json_value name, struct json_value value,
                                   const struct slice *names, size_t count, size_t start,
                                   struct json_value *ret) {
  size_t i = start;
  for (size_t tries = 0; tries < count; tries++) {
    size_t next = i + 1 == count ? 0 : i + 1;
    if (json_string_equals(name, names[i])) {
      ret[i] = value;
      return next;
    }
    i = next;
  }
  return start;
}

void json_object_select(struct json_value object, const struct slice *names, size_t count,
                        struct json_value *ret) {
  for (size_t i = 0; i < count; i++)
    ret[i] = (struct json_value){0};
  if (object.type != JSON_OBJECT) return;

  struct json_iter it;
  struct json_value name, value;
  json_iter_init(&it, object);
  size_t start = 0;
  while (member_next(&it, &name, &value))
    start = select_member(name, value, names, count, start, ret);
}

void json_members_select(const struct json_members *members, struct json_value object,
                         const struct slice *names, size_t count, struct json_value *ret) {
  if (members == NULL || members->object == NULL || members->object != object.text.ptr) {
    json_object_select(object, names, count, ret);
    return;
  }
  for (size_t i = 0; i < count; i++)
    ret[i] = (struct json_value){0};
  size_t start = 0;
  for (size_t i = 0; i < members->count; i++) {
    const struct json_member *member = &members->items[i];
    start = select_member(member->name, member->value, names, count, start, ret);
  }
}
