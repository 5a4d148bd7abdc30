/* json_parse and the iterators against a naive recursive checker, over random texts: those that a
 * generator writes are valid, and of those that a mutation spoils both must think the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/err.h"
#include "eventhub/proto/json.h"

/* The reference: the grammar of RFC 8259, rule by rule. `at` is 0 behind the end. */
struct reference {
  struct slice rest;
};

static char at(const struct reference *r) {
  return r->rest.len > 0 ? r->rest.ptr[0] : '\0';
}

static bool take_any(struct reference *r, const char *set) {
  if (r->rest.len == 0 || at(r) == '\0' || strchr(set, at(r)) == NULL) return false;
  r->rest = slice_skip(r->rest, 1);
  return true;
}

static void take_all(struct reference *r, const char *set) {
  while (take_any(r, set)) {}
}

static bool take_word(struct reference *r, const char *word) {
  if (!slice_starts_with(r->rest, slice_str(word))) return false;
  r->rest = slice_skip(r->rest, strlen(word));
  return true;
}

static bool take_number(struct reference *r) {
  take_any(r, "-");
  if (!take_any(r, "0")) {
    if (!take_any(r, "123456789")) return false;
    take_all(r, "0123456789");
  }
  if (take_any(r, ".")) {
    if (!take_any(r, "0123456789")) return false;
    take_all(r, "0123456789");
  }
  if (take_any(r, "eE")) {
    take_any(r, "+-");
    if (!take_any(r, "0123456789")) return false;
    take_all(r, "0123456789");
  }
  return true;
}

static bool take_string(struct reference *r) {
  if (!take_any(r, "\"")) return false;
  while (!take_any(r, "\"")) {
    if (take_any(r, "\\")) {
      if (take_any(r, "\"\\/bfnrt")) continue;
      if (!take_any(r, "u")) return false;
      for (int i = 0; i < 4; i++)
        if (!take_any(r, "0123456789abcdefABCDEF")) return false;
      continue;
    }
    if (r->rest.len == 0 || (unsigned char)at(r) < 0x20) return false;
    r->rest = slice_skip(r->rest, 1);
  }
  return true;
}

static bool take_value(struct reference *r);

static bool take_member(struct reference *r) {
  take_all(r, " \t\r\n");
  if (!take_string(r)) return false;
  take_all(r, " \t\r\n");
  return take_any(r, ":") && take_value(r);
}

static bool take_list(struct reference *r, bool (*take_item)(struct reference *),
                      const char *close) {
  take_all(r, " \t\r\n");
  if (take_any(r, close)) return true;
  do {
    if (!take_item(r)) return false;
  } while (take_any(r, ","));
  return take_any(r, close);
}

static bool take_value(struct reference *r) {
  take_all(r, " \t\r\n");
  bool ok = false;
  if (take_any(r, "["))
    ok = take_list(r, take_value, "]");
  else if (take_any(r, "{"))
    ok = take_list(r, take_member, "}");
  else if (at(r) == '"')
    ok = take_string(r);
  else
    ok = take_word(r, "null") || take_word(r, "true") || take_word(r, "false") || take_number(r);
  take_all(r, " \t\r\n");
  return ok;
}

static bool reference_accepts(struct slice text) {
  struct reference r = {text};
  return take_value(&r) && r.rest.len == 0;
}

/* The generator: writes the same random value twice, once with spaces thrown in. */
struct generator {
  uint64_t random;
  struct buf spaced, compact;
};

static unsigned below(struct generator *g, unsigned limit) {
  g->random ^= g->random << 13;
  g->random ^= g->random >> 7;
  g->random ^= g->random << 17;
  return (unsigned)(g->random >> 32) % limit;
}

static void put(struct generator *g, const char *text) {
  buf_append_str(&g->spaced, text);
  buf_append_str(&g->compact, text);
}

static void put_one_of(struct generator *g, const char *const *texts, size_t count) {
  put(g, texts[below(g, (unsigned)count)]);
}

static void put_space(struct generator *g) {
  while (below(g, 4) == 0)
    buf_append_char(&g->spaced, " \t\r\n"[below(g, 4)]);
}

static void put_digits(struct generator *g) {
  do {
    put(g, (const char[]){(char)('0' + below(g, 10)), '\0'});
  } while (below(g, 3) != 0);
}

static void put_number(struct generator *g) {
  static const char *const starts[] = {"0", "-0", "1", "-1", "9", "-42", "1000"};
  static const char *const exponents[] = {"e", "E", "e+", "E-"};
  put_one_of(g, starts, ARRAY_LEN(starts));
  if (below(g, 3) == 0) {
    put(g, ".");
    put_digits(g);
  }
  if (below(g, 3) == 0) {
    put_one_of(g, exponents, ARRAY_LEN(exponents));
    put_digits(g);
  }
}

static void put_string(struct generator *g) {
  static const char *const pieces[] = {
      "a",
      "topic",
      "some longer text",
      "\\\"",
      "\\\\",
      "\\/",
      "\\b",
      "\\n",
      "\\u0000",
      "\\uD83D\\ude00",
      "\\udead",
      "\xc3\xa9",
      "\xf0\x9f\x98\x80",
      "[",
      "}",
      ",",
      ":",
      " ",
  };
  put(g, "\"");
  while (below(g, 4) != 0)
    put_one_of(g, pieces, ARRAY_LEN(pieces));
  put(g, "\"");
}

static void put_value(struct generator *g, unsigned depth);

static void put_member(struct generator *g, unsigned depth) {
  put_space(g);
  put_string(g);
  put_space(g);
  put(g, ":");
  put_value(g, depth);
}

static void put_list(struct generator *g, void (*put_item)(struct generator *, unsigned),
                     unsigned depth) {
  put_space(g);
  for (unsigned i = 0, count = below(g, 4); i < count; i++) {
    if (i > 0) put(g, ",");
    put_item(g, depth + 1);
  }
}

static void put_value(struct generator *g, unsigned depth) {
  static const char *const words[] = {"null", "true", "false"};
  put_space(g);
  switch (below(g, depth < 6 ? 7 : 3)) {
  case 0: put_one_of(g, words, ARRAY_LEN(words)); break;
  case 1: put_number(g); break;
  case 2: put_string(g); break;
  case 3:
  case 4:
    put(g, "[");
    put_list(g, put_value, depth);
    put(g, "]");
    break;
  default:
    put(g, "{");
    put_list(g, put_member, depth);
    put(g, "}");
    break;
  }
  put_space(g);
}

static void generate(struct generator *g) {
  buf_clear(&g->spaced);
  buf_clear(&g->compact);
  put_value(g, 0);
}

static void generator_cleanup(struct generator *g) {
  buf_done(&g->spaced);
  buf_done(&g->compact);
}

/* Spoils up to three places of `text`, mostly with bytes that mean something in JSON. */
static void mutate(struct generator *g, struct buf *text) {
  static const char bytes[] = "{}[],:\"\\ \t\n0019.-+eEutrfalsn/x\x01\x1f\x7f\x80\xff";
  for (unsigned i = 0, count = 1 + below(g, 3); i < count && text->len > 0; i++) {
    size_t place = below(g, (unsigned)text->len);
    char byte = bytes[below(g, sizeof bytes)];
    switch (below(g, 4)) {
    case 0: text->data[place] = byte; break;
    case 1: text->len = place; break;
    case 2:
      memmove(text->data + place, text->data + place + 1, text->len - place - 1);
      text->len--;
      break;
    default:
      buf_append_char(text, ' ');
      memmove(text->data + place + 1, text->data + place, text->len - place - 1);
      text->data[place] = byte;
      break;
    }
  }
}

static void rebuild(struct buf *out, struct json_value value);

static void rebuild_members(struct buf *out, struct json_value object) {
  struct json_iter it;
  struct json_value name, value;
  json_iter_init(&it, object);
  for (int i = 0; json_object_next(&it, &name, &value); i++) {
    if (i > 0) buf_append_char(out, ',');
    buf_append_slice(out, name.text);
    buf_append_char(out, ':');
    rebuild(out, value);
  }
}

static void rebuild_elements(struct buf *out, struct json_value array) {
  struct json_iter it;
  struct json_value value;
  json_iter_init(&it, array);
  for (int i = 0; json_array_next(&it, &value); i++) {
    if (i > 0) buf_append_char(out, ',');
    rebuild(out, value);
  }
}

/* Writes `value` again from what the iterators give. */
static void rebuild(struct buf *out, struct json_value value) {
  if (value.type < JSON_ARRAY) {
    buf_append_slice(out, value.text);
    return;
  }
  bool is_object = value.type == JSON_OBJECT;
  buf_append_char(out, is_object ? '{' : '[');
  if (is_object)
    rebuild_members(out, value);
  else
    rebuild_elements(out, value);
  buf_append_char(out, is_object ? '}' : ']');
}

enum { ROUNDS = 20000 };

static void generated_texts_are_accepted_and_walked_over_completely(void **state) {
  (void)state;
  AUTO(generator) struct generator g = {.random = 0x9E3779B97F4A7C15u};
  for (int i = 0; i < ROUNDS; i++) {
    AUTO(buf) struct buf rebuilt = BUF_INIT;
    struct json_value value;
    generate(&g);
    assert_true(reference_accepts(buf_slice(&g.spaced)));
    assert_int_equal(json_parse(buf_slice(&g.spaced), JSON_DEPTH_MAX, &value), ERR_OK);
    rebuild(&rebuilt, value);
    assert_true(slice_equal(buf_slice(&rebuilt), buf_slice(&g.compact)));
  }
}

static void spoilt_texts_are_judged_as_by_the_reference(void **state) {
  (void)state;
  AUTO(generator) struct generator g = {.random = 0xD1B54A32D192ED03u};
  int accepted = 0, refused = 0;
  for (int i = 0; i < ROUNDS; i++) {
    generate(&g);
    mutate(&g, &g.spaced);
    struct json_value value;
    struct slice text = buf_slice(&g.spaced);
    int expected = reference_accepts(text) ? ERR_OK : ERR_INVALID;
    if (json_parse(text, JSON_DEPTH_MAX, &value) != expected)
      fail_msg("should be %d: %.*s", expected, SLICE_PRINTF(text));
    *(expected == ERR_OK ? &accepted : &refused) += 1;
  }
  assert_true(accepted > ROUNDS / 20);
  assert_true(refused > ROUNDS / 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(generated_texts_are_accepted_and_walked_over_completely),
      cmocka_unit_test(spoilt_texts_are_judged_as_by_the_reference),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
