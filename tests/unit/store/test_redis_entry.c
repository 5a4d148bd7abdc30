#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/store/redis_entry.h"

static const struct slice topic = SLICE_INIT("a/b");

/* What both forms say; NULL: an entry without the field. */
struct parts {
  const char *id, *position, *previous, *previous_position, *expiry, *origin, *payload;
};

static const struct parts plain = {"1700000000000-64", "1700000000000001", "1690000000000-7",
                                   "1690000000000000", "1700000060000",    "",
                                   "{\"k\":[1, 2]}"};

static void write_live(const struct parts *parts, struct buf *ret) {
  buf_printf(ret, "1 %s %s %s %s %s %zu\n%s%s", parts->id, parts->position, parts->previous,
             parts->previous_position, parts->expiry, strlen(parts->origin), parts->origin,
             parts->payload);
}

/* At its exact length on the heap, so that a sanitizer sees one byte too many. */
static int parse_live(struct slice text, struct redis_entry *ret) {
  char *exact = malloc(text.len > 0 ? text.len : 1);
  memcpy(exact, text.ptr, text.len);
  int status = redis_live_parse(topic, slice_of(exact, text.len), ret);
  free(exact);
  return status;
}

static int parse_live_parts(const struct parts *parts, struct redis_entry *ret) {
  AUTO(buf) struct buf text = BUF_INIT;
  write_live(parts, &text);
  return parse_live(buf_slice(&text), ret);
}

static const char untouched;

/* Refused, with nothing written. */
static bool is_refused(int status, const struct redis_entry *entry) {
  return status == ERR_INVALID && entry->message == (struct message *)&untouched &&
         entry->position == 4711;
}

static struct redis_entry blank(void) {
  return (struct redis_entry){.message = (struct message *)&untouched, .position = 4711};
}

static bool refuses_live(struct slice text) {
  struct redis_entry entry = blank();
  return is_refused(parse_live(text, &entry), &entry);
}

/* ---- replies, as hiredis makes them ---- */

enum { WORDS_MAX = 24 };

struct reply {
  redisReply entry, id, fields, words[WORDS_MAX];
  redisReply *entry_elements[3], *field_elements[WORDS_MAX];
};

static redisReply text_reply(const char *text) {
  return (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)text, .len = strlen(text)};
}

static void reply_init(struct reply *reply, const char *id) {
  *reply = (struct reply){.id = text_reply(id)};
  reply->entry_elements[0] = &reply->id;
  reply->entry_elements[1] = &reply->fields;
  reply->entry =
      (redisReply){.type = REDIS_REPLY_ARRAY, .elements = 2, .element = reply->entry_elements};
  reply->fields = (redisReply){.type = REDIS_REPLY_ARRAY, .element = reply->field_elements};
}

static void reply_add(struct reply *reply, const char *word) {
  size_t i = reply->fields.elements++;
  reply->words[i] = text_reply(word);
  reply->field_elements[i] = &reply->words[i];
}

static void reply_add_field(struct reply *reply, const char *name, const char *value) {
  if (value == NULL) return;
  reply_add(reply, name);
  reply_add(reply, value);
}

/* In the order in which publish.lua writes them. */
static void write_entry(const struct parts *parts, struct reply *ret) {
  reply_init(ret, parts->id);
  reply_add_field(ret, "e", parts->expiry);
  reply_add_field(ret, "p", parts->previous);
  reply_add_field(ret, "m", parts->payload);
  reply_add_field(ret, "o", parts->origin);
  reply_add_field(ret, "q", parts->previous_position);
  reply_add_field(ret, "s", parts->position);
}

static int parse_parts(const struct parts *parts, struct redis_entry *ret) {
  struct reply reply;
  write_entry(parts, &reply);
  return redis_entry_parse(topic, &reply.entry, ret);
}

static bool refuses_reply(const struct reply *reply) {
  struct redis_entry entry = blank();
  return is_refused(redis_entry_parse(topic, &reply->entry, &entry), &entry);
}

/* ---- what the scripts write ---- */

static void check(const struct redis_entry *entry, const struct parts *parts) {
  struct message_id id = {0, 0}, previous = {0, 0};
  uint64_t number = 0;
  assert_int_equal(message_id_parse(slice_str(parts->id), &id), 0);
  assert_int_equal(message_id_parse(slice_str(parts->previous), &previous), 0);
  assert_int_equal(message_id_compare(message_id(entry->message), id), 0);
  assert_int_equal(message_id_compare(entry->previous, previous), 0);
  assert_int_equal(slice_to_u64(slice_str(parts->expiry), &number), 0);
  assert_int_equal(entry->message->expires_ms, number);
  assert_true(slice_equal(message_topic(entry->message), topic));
  assert_true(slice_equal(message_payload(entry->message), slice_str(parts->payload)));
  assert_true(slice_equal(message_origin_json(entry->message), slice_str(parts->origin)));
}

static void check_positions(const struct redis_entry *entry, uint64_t position,
                            uint64_t previous_position) {
  assert_int_equal(entry->position, position);
  assert_int_equal(entry->previous_position, previous_position);
  message_unref(entry->message);
}

static void both_forms_say_all_that_was_published(void **state) {
  (void)state;
  static const struct parts cases[] = {
      {"1700000000000-64", "1700000000000001", "1690000000000-7", "1690000000000000", "0", "", "1"},
      {"1700000000000-64", "1700000000000001", "0-0", "0", "1700000060000", "\"me\"", "\"x\""},
      {"5-0", "1700000000000001", "4-9", "1700000000000000", "0", "\"\\u0000 \\\"\"", "[]"},
      {"9007199254740991-18", "1700000000000001", "9007199254740991-17", "1700000000000000",
       "4853600060000", "\"\xc3\xa4\"", "{\"\xc3\xb6\":\"\\n\"}"},
      {"0-1", "1", "0-0", "0", "0", "", "false"},
      {"18446744073709551615-18446744073709551615", "18446744073709551615",
       "18446744073709551615-18446744073709551614", "18446744073709551614", "18446744073709551615",
       "", "-0.5e3"},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    struct redis_entry live = blank(), kept = blank();
    uint64_t position = 0, previous_position = 0;
    slice_to_u64(slice_str(cases[i].position), &position);
    slice_to_u64(slice_str(cases[i].previous_position), &previous_position);
    assert_int_equal(parse_live_parts(&cases[i], &live), 0);
    check(&live, &cases[i]);
    check_positions(&live, position, previous_position);
    assert_int_equal(parse_parts(&cases[i], &kept), 0);
    check(&kept, &cases[i]);
    check_positions(&kept, position, previous_position);
  }
}

static void positions_that_are_not_kept_follow_from_ids(void **state) {
  (void)state;
  struct parts parts = plain;
  struct redis_entry entry = blank();
  parts.position = parts.previous_position = NULL;
  assert_int_equal(parse_parts(&parts, &entry), 0);
  check_positions(&entry, 1700000000000001, 1690000000000000);
  parts.previous = "0-0";
  assert_int_equal(parse_parts(&parts, &entry), 0);
  check_positions(&entry, 1700000000000001, 0);
  parts.previous_position = "1700000000000000";
  assert_int_equal(parse_parts(&parts, &entry), 0);
  check_positions(&entry, 1700000000000001, 1700000000000000);
}

static void the_position_of_an_id_is_its_time_in_microseconds(void **state) {
  (void)state;
  assert_int_equal(redis_position_of((struct message_id){0, 0}), 0);
  assert_int_equal(redis_position_of((struct message_id){0, 63}), 0);
  assert_int_equal(redis_position_of((struct message_id){0, 64}), 1);
  assert_int_equal(redis_position_of((struct message_id){1700000000000, 999 * 64 + 63}),
                   1700000000000999);
}

static void an_origin_need_not_be_kept(void **state) {
  (void)state;
  struct parts parts = plain;
  struct redis_entry entry = blank();
  parts.origin = NULL;
  assert_int_equal(parse_parts(&parts, &entry), 0);
  assert_int_equal(message_origin_json(entry.message).len, 0);
  message_unref(entry.message);
}

static void fields_may_come_in_any_order(void **state) {
  (void)state;
  struct reply reply;
  struct redis_entry entry = blank();
  reply_init(&reply, plain.id);
  reply_add_field(&reply, "s", plain.position);
  reply_add_field(&reply, "m", plain.payload);
  reply_add_field(&reply, "p", plain.previous);
  reply_add_field(&reply, "q", plain.previous_position);
  reply_add_field(&reply, "e", plain.expiry);
  assert_int_equal(redis_entry_parse(topic, &reply.entry, &entry), 0);
  check(&entry, &plain);
  message_unref(entry.message);
}

/* ---- what they do not ---- */

static void every_cut_is_refused(void **state) {
  (void)state;
  struct parts parts = plain;
  AUTO(buf) struct buf text = BUF_INIT;
  parts.origin = "\"me\"";
  write_live(&parts, &text);
  for (size_t len = 0; len < text.len; len++)
    assert_true(refuses_live(slice_of(text.data, len)));
}

static void what_is_behind_the_end_is_refused(void **state) {
  (void)state;
  static const char more[] = {' ', '\n', '\0', 'x', ','};
  for (size_t i = 0; i < sizeof more; i++) {
    AUTO(buf) struct buf text = BUF_INIT;
    write_live(&plain, &text);
    buf_append_char(&text, more[i]);
    assert_true(refuses_live(buf_slice(&text)));
  }
}

static void a_head_of_another_form_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {
      "2 6-0 6000 5-0 5000 0 0\n1",
      "01 6-0 6000 5-0 5000 0 0\n1",
      "1  6-0 6000 5-0 5000 0 0\n1",
      " 1 6-0 6000 5-0 5000 0 0\n1",
      "1 6-0 6000 5-0 5000 0 0 \n1",
      "1 6-0 6000 5-0 5000 0 0 0\n1",
      "1 6-0 6000 5-0 5000 0\n1",
      "1 6-0 6000 5-0 5000 0 \n1",
      "1 6-0 6000 5-0 5000 0 0\r\n1",
      "1\t6-0 6000 5-0 5000 0 0\n1",
      "1 6-0 6000 5-0 5000 0 0\n\n",
      "1 6-0 6000 5-0 5000 0 0",
      "\n1 6-0 6000 5-0 5000 0 0\n1",
      "1 6-0 6000 5-0 5000 0 2\n1",
      "1 6-0 6000 5-0 5000 0 -1\n1",
      "1 6-0 6000 5-0 5000 0 1\n1",
      "1 6-0 6000 5-0 5000 0 x\n1",
      "1 6-0 6000 5-0 5000 0 18446744073709551615\n1",
      "1 6-0 6000 5-0 5000 0 18446744073709551616\n1",
  };
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    if (!refuses_live(slice_str(bad[i]))) fail_msg("taken: %s", bad[i]);
  struct redis_entry entry;
  assert_int_equal(parse_live(SLICE("1 6-0 6000 5-0 5000 0 0\n1"), &entry), 0);
  message_unref(entry.message);
}

/* The part of `parts` that a test spoils. */
static const char **part_at(struct parts *parts, size_t i) {
  const char **all[] = {&parts->id,     &parts->position,          &parts->previous, &parts->expiry,
                        &parts->origin, &parts->previous_position, &parts->payload};
  return all[i];
}

enum { ID, POSITION, PREVIOUS, EXPIRY, ORIGIN, PREVIOUS_POSITION, PAYLOAD };

struct spoilt {
  size_t part;
  const char *text;
};

static const struct spoilt spoilt_parts[] = {
    {ID, "1700000000000"},
    {ID, "1700000000000-"},
    {ID, "-64"},
    {ID, "-"},
    {ID, "x-64"},
    {ID, "1700000000000-x"},
    {ID, "1700000000000--64"},
    {ID, "1700000000000-64-1"},
    {ID, "18446744073709551616-0"},
    {ID, "1700000000000-18446744073709551616"},
    {ID, "1690000000000-7"}, /* the same as the previous */
    {ID, "1690000000000-6"},
    {POSITION, "x"},
    {POSITION, "-1"},
    {POSITION, "1.5"},
    {POSITION, "1.7e15"},
    {POSITION, "18446744073709551616"},
    {POSITION, "1690000000000000"}, /* the same as the previous */
    {POSITION, "1689999999999999"},
    {PREVIOUS, "0"},
    {PREVIOUS, "x"},
    {PREVIOUS, "1700000000000-64"},
    {PREVIOUS, "1700000000001-0"},
    {PREVIOUS_POSITION, "x"},
    {PREVIOUS_POSITION, "1700000000000001"},
    {EXPIRY, "x"},
    {EXPIRY, "-1"},
    {EXPIRY, "+1"},
    {EXPIRY, "1e3"},
    {EXPIRY, "18446744073709551616"},
    {ORIGIN, "me"},
    {ORIGIN, "\""},
    {ORIGIN, "\"me"},
    {ORIGIN, "1"},
    {ORIGIN, "null"},
    {ORIGIN, "[]"},
    {ORIGIN, "{}"},
    {ORIGIN, "\"me\" "},
    {ORIGIN, " \"me\""},
    {ORIGIN, "\"me\"\"you\""},
    {ORIGIN, "\"\n\""},
    {ORIGIN, "\"\xff\""},
    {ORIGIN, "\"\\x\""},
    {PAYLOAD, ""},
    {PAYLOAD, " "},
    {PAYLOAD, "null"},
    {PAYLOAD, "x"},
    {PAYLOAD, " 1"},
    {PAYLOAD, "1 "},
    {PAYLOAD, "1 2"},
    {PAYLOAD, "1}"},
    {PAYLOAD, "{\"k\":1},\"id\":2"},
    {PAYLOAD, "\"\xc3\""},
    {PAYLOAD, "\"\xed\xa0\x80\""},
    {PAYLOAD, "\"\t\""},
    {PAYLOAD, "[1,]"},
    {PAYLOAD, "01"},
};

static void each_part_is_checked_in_both_forms(void **state) {
  (void)state;
  for (size_t i = 0; i < ARRAY_LEN(spoilt_parts); i++) {
    struct parts parts = plain;
    struct redis_entry live = blank(), kept = blank();
    *part_at(&parts, spoilt_parts[i].part) = spoilt_parts[i].text;
    if (!is_refused(parse_live_parts(&parts, &live), &live))
      fail_msg("live: %s", spoilt_parts[i].text);
    if (!is_refused(parse_parts(&parts, &kept), &kept)) fail_msg("entry: %s", spoilt_parts[i].text);
  }
}

static void what_is_empty_is_refused(void **state) {
  (void)state;
  static const size_t all[] = {ID, POSITION, PREVIOUS, EXPIRY, PREVIOUS_POSITION, PAYLOAD};
  for (size_t i = 0; i < ARRAY_LEN(all); i++) {
    struct parts parts = plain;
    struct redis_entry live = blank(), kept = blank();
    *part_at(&parts, all[i]) = "";
    assert_true(is_refused(parse_live_parts(&parts, &live), &live));
    assert_true(is_refused(parse_parts(&parts, &kept), &kept));
  }
}

static void an_entry_without_one_of_its_fields_is_refused(void **state) {
  (void)state;
  static const size_t needed[] = {PREVIOUS, EXPIRY, PAYLOAD};
  for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
    struct parts parts = plain;
    struct redis_entry entry = blank();
    *part_at(&parts, needed[i]) = NULL;
    assert_true(is_refused(parse_parts(&parts, &entry), &entry));
  }
}

static void an_entry_with_fields_of_others_is_refused(void **state) {
  (void)state;
  static const char *const names[] = {"", "x", "E", "ee", "me", "\n"};
  for (size_t i = 0; i < ARRAY_LEN(names); i++) {
    struct reply reply;
    write_entry(&plain, &reply);
    reply_add_field(&reply, names[i], "1");
    assert_true(refuses_reply(&reply));
  }
}

/* Whatever Redis answers in place of a text or an array, in each place. */
static void an_entry_of_another_shape_is_refused(void **state) {
  (void)state;
  static const int types[] = {REDIS_REPLY_INTEGER, REDIS_REPLY_NIL, REDIS_REPLY_STATUS,
                              REDIS_REPLY_ERROR};
  struct reply reply;
  write_entry(&plain, &reply);
  redisReply *places[WORDS_MAX + 3] = {&reply.entry, &reply.id, &reply.fields};
  size_t count = 3;
  for (size_t i = 0; i < reply.fields.elements; i++)
    places[count++] = &reply.words[i];
  for (size_t i = 0; i < count; i++) {
    int right = places[i]->type;
    for (size_t j = 0; j < ARRAY_LEN(types); j++) {
      places[i]->type = types[j];
      assert_true(refuses_reply(&reply));
    }
    places[i]->type = right == REDIS_REPLY_ARRAY ? REDIS_REPLY_STRING : REDIS_REPLY_ARRAY;
    assert_true(refuses_reply(&reply));
    places[i]->type = right;
  }
  struct redis_entry entry;
  assert_int_equal(redis_entry_parse(topic, &reply.entry, &entry), 0);
  message_unref(entry.message);
}

static void an_entry_of_other_lengths_is_refused(void **state) {
  (void)state;
  struct reply reply;
  write_entry(&plain, &reply);
  for (size_t elements = 0; elements < 2; elements++) {
    reply.entry.elements = elements;
    assert_true(refuses_reply(&reply));
  }
  reply.entry_elements[2] = &reply.id;
  reply.entry.elements = 3;
  assert_true(refuses_reply(&reply));
  write_entry(&plain, &reply);
  reply.fields.elements = 0;
  assert_true(refuses_reply(&reply));
}

static void a_payload_may_be_nested_as_deep_as_a_publishers(void **state) {
  (void)state;
  enum { DEPTH = 64 };
  char text[2 * DEPTH + 3];
  struct parts parts = plain;
  struct redis_entry entry = blank();
  parts.payload = text;
  memset(text, '[', DEPTH + 1);
  memset(text + DEPTH + 1, ']', DEPTH + 1);
  text[2 * DEPTH + 2] = '\0';
  assert_true(is_refused(parse_live_parts(&parts, &entry), &entry));
  memmove(text, text + 1, DEPTH);
  memset(text + DEPTH, ']', DEPTH);
  text[2 * DEPTH] = '\0';
  assert_int_equal(parse_live_parts(&parts, &entry), 0);
  message_unref(entry.message);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(both_forms_say_all_that_was_published),
      cmocka_unit_test(positions_that_are_not_kept_follow_from_ids),
      cmocka_unit_test(the_position_of_an_id_is_its_time_in_microseconds),
      cmocka_unit_test(an_origin_need_not_be_kept),
      cmocka_unit_test(fields_may_come_in_any_order),
      cmocka_unit_test(every_cut_is_refused),
      cmocka_unit_test(what_is_behind_the_end_is_refused),
      cmocka_unit_test(a_head_of_another_form_is_refused),
      cmocka_unit_test(each_part_is_checked_in_both_forms),
      cmocka_unit_test(what_is_empty_is_refused),
      cmocka_unit_test(an_entry_without_one_of_its_fields_is_refused),
      cmocka_unit_test(an_entry_with_fields_of_others_is_refused),
      cmocka_unit_test(an_entry_of_another_shape_is_refused),
      cmocka_unit_test(an_entry_of_other_lengths_is_refused),
      cmocka_unit_test(a_payload_may_be_nested_as_deep_as_a_publishers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
