#include "eventhub/topic/message.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"

static void assert_text(struct slice text, const char *expected) {
  assert_int_equal(text.len, strlen(expected));
  assert_memory_equal(text.ptr, expected, text.len);
}

static struct message *message_of(const char *topic, const char *payload, const char *origin) {
  return message_new(slice_str(topic), slice_str(payload), slice_str(origin));
}

static void ids_format_and_parse_back(void **state) {
  (void)state;
  static const struct message_id ids[] = {
      {0, 0}, {1, 0}, {9, 10}, {1700000000000, 99}, {UINT64_MAX, UINT64_MAX}, {0, UINT64_MAX}};
  static const char *const texts[] = {"0-0",
                                      "1-0",
                                      "9-10",
                                      "1700000000000-99",
                                      "18446744073709551615-18446744073709551615",
                                      "0-18446744073709551615"};
  for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
    char text[MESSAGE_ID_MAX];
    struct message_id back;
    assert_int_equal(message_id_format(ids[i], text), strlen(texts[i]));
    assert_string_equal(text, texts[i]);
    assert_int_equal(message_id_parse(slice_str(text), &back), 0);
    assert_int_equal(message_id_compare(ids[i], back), 0);
  }
}

static void an_id_without_sequence_means_zero(void **state) {
  (void)state;
  struct message_id id;
  assert_int_equal(message_id_parse(SLICE("1234"), &id), 0);
  assert_int_equal(id.ms, 1234);
  assert_int_equal(id.seq, 0);
}

static void what_is_no_id_is_refused_and_leaves_the_answer_alone(void **state) {
  (void)state;
  static const char *const bad[] = {"",   "-",    "-1", "1-",   "1-2-3", "a",   "1-a", " 1",
                                    "1 ", "1--2", "+1", "1-+2", "$",     "1.5", "0x1", "1-2 "};
  struct message_id id = {7, 8};
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    assert_int_equal(message_id_parse(slice_str(bad[i]), &id), ERR_INVALID);
  assert_int_equal(message_id_parse(SLICE("18446744073709551616"), &id), ERR_TOO_BIG);
  assert_int_equal(message_id_parse(SLICE("1-18446744073709551616"), &id), ERR_TOO_BIG);
  assert_int_equal(message_id_parse((struct slice){NULL, 0}, &id), ERR_INVALID);
  assert_int_equal(id.ms, 7);
  assert_int_equal(id.seq, 8);
}

static void ids_are_ordered_by_milliseconds_then_sequence(void **state) {
  (void)state;
  static const struct message_id ids[] = {{0, 0}, {0, 1}, {1, 0}, {1, 2}, {2, 0}, {UINT64_MAX, 0}};
  for (size_t i = 0; i < ARRAY_LEN(ids); i++)
    for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
      int order = message_id_compare(ids[i], ids[k]);
      assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
    }
}

static void the_next_id_is_the_smallest_after(void **state) {
  (void)state;
  struct message_id last = {UINT64_MAX, UINT64_MAX};
  struct message_id next = message_id_next((struct message_id){5, 6});
  assert_int_equal(next.ms, 5);
  assert_int_equal(next.seq, 7);
  next = message_id_next((struct message_id){5, UINT64_MAX});
  assert_int_equal(next.ms, 6);
  assert_int_equal(next.seq, 0);
  assert_int_equal(message_id_compare(message_id_next(last), last), 0);
}

static void the_item_is_ready_to_send(void **state) {
  (void)state;
  struct message *message = message_of("a/b", "{\"x\": 1.50}", "");
  message_set_id(message, (struct message_id){1700000000000, 3});
  assert_text(message_item(message),
              "{\"id\":\"1700000000000-3\",\"message\":{\"x\": 1.50},\"topic\":\"a/b\"}");
  assert_text(message_topic(message), "a/b");
  assert_text(message_payload(message), "{\"x\": 1.50}");
  assert_text(message_origin_json(message), "");
  assert_int_equal(message_id(message).ms, 1700000000000);
  assert_int_equal(message_id(message).seq, 3);
  message_unref(message);
}

static void the_origin_is_escaped(void **state) {
  (void)state;
  struct message *message = message_of("t", "\"m\"", "a\"\\\n");
  message_set_id(message, (struct message_id){1, 0});
  assert_text(message_origin_json(message), "\"a\\\"\\\\\\n\"");
  assert_text(message_item(message),
              "{\"id\":\"1-0\",\"message\":\"m\",\"topic\":\"t\",\"origin\":\"a\\\"\\\\\\n\"}");
  message_unref(message);
}

static void every_length_of_id_fits_in_front(void **state) {
  (void)state;
  struct message *message = message_of("t", "1", "");
  assert_text(message_item(message), "{\"id\":\"0-0\",\"message\":1,\"topic\":\"t\"}");
  message_set_id(message, (struct message_id){UINT64_MAX, UINT64_MAX});
  assert_text(message_item(message), "{\"id\":\"18446744073709551615-18446744073709551615\","
                                     "\"message\":1,\"topic\":\"t\"}");
  message_set_id(message, (struct message_id){10, 2});
  assert_text(message_item(message), "{\"id\":\"10-2\",\"message\":1,\"topic\":\"t\"}");
  message_unref(message);
}

static void a_stored_message_is_the_same_in_less_room(void **state) {
  (void)state;
  static const struct message_id ids[] = {{0, 0}, {1700000000000, 17}, {UINT64_MAX, UINT64_MAX}};
  for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
    AUTO(message) struct message *one = message_new(SLICE("a/b"), SLICE("[1]"), SLICE("me"));
    message_set_id(one, ids[i]);
    AUTO(message)
    struct message *other = message_new_stored(message_topic(one), message_payload(one),
                                               message_origin_json(one), message_id(one));
    assert_true(slice_equal(message_item(one), message_item(other)));
    assert_true(slice_equal(message_id_text(one), message_id_text(other)));
    assert_text(message_topic(other), "a/b");
    assert_text(message_payload(other), "[1]");
    assert_text(message_origin_json(other), "\"me\"");
    assert_true(message_size(other) <= message_size(one));
    assert_false(message_is_gap(other));
  }
}

static void a_gap_is_told_apart_and_ready_to_send(void **state) {
  (void)state;
  struct message *gap = message_new_gap(SLICE("a/b"), (struct message_id){1700000000000, 3});
  struct message *message = message_of("a/b", "1", "");
  assert_true(message_is_gap(gap));
  assert_false(message_is_gap(message));
  assert_text(message_item(gap), "{\"topic\":\"a/b\",\"lastId\":\"1700000000000-3\"}");
  assert_text(message_topic(gap), "a/b");
  assert_text(message_payload(gap), "");
  assert_text(message_origin_json(gap), "");
  assert_int_equal(message_id_compare(message_id(gap), (struct message_id){1700000000000, 3}), 0);
  assert_int_equal(gap->expires_ms, 0);
  assert_true(message_size(gap) > message_item(gap).len);
  message_unref(message);
  message_unref(message_ref(gap));
  message_unref(gap);
}

static void a_gap_behind_nothing_names_the_first_id(void **state) {
  (void)state;
  struct message *gap = message_new_gap(SLICE("a"), (struct message_id){0, 0});
  assert_text(message_item(gap), "{\"topic\":\"a\",\"lastId\":\"0-0\"}");
  message_unref(gap);
}

static void the_size_covers_the_text(void **state) {
  (void)state;
  struct message *small = message_of("t", "1", "");
  struct message *large = message_of("t", "1111111111", "");
  assert_true(message_size(small) > message_item(small).len);
  assert_int_equal(message_size(large) - message_size(small), 9);
  message_unref(small);
  message_unref(large);
  message_unref(NULL);
}

enum { HOLDS = 20000 };

static void *hold_and_let_go(void *message) {
  for (int i = 0; i < HOLDS; i++) {
    message_ref(message);
    assert_int_equal(message_topic(message).len, 3);
    message_unref(message);
  }
  message_unref(message);
  return NULL;
}

static void references_are_counted_across_threads(void **state) {
  (void)state;
  pthread_t threads[2];
  struct message *message = message_of("a/b", "1", "");
  message_set_id(message, (struct message_id){1, 1});
  for (size_t i = 0; i < ARRAY_LEN(threads); i++)
    assert_int_equal(pthread_create(&threads[i], NULL, hold_and_let_go, message_ref(message)), 0);
  for (size_t i = 0; i < ARRAY_LEN(threads); i++)
    pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&message->refs), 1);
  message_unref(message);
}

static void the_id_s_text_is_that_of_its_format(void **state) {
  (void)state;
  static const struct message_id ids[] = {{0, 0}, {1700000000000, 7}, {UINT64_MAX, UINT64_MAX}};
  struct message *message = message_new(SLICE("a"), SLICE("1"), SLICE(""));
  for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
    char text[MESSAGE_ID_MAX];
    message_set_id(message, ids[i]);
    size_t len = message_id_format(ids[i], text);
    assert_true(slice_equal(message_id_text(message), slice_of(text, len)));
  }
  message_unref(message);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_id_s_text_is_that_of_its_format),
      cmocka_unit_test(ids_format_and_parse_back),
      cmocka_unit_test(an_id_without_sequence_means_zero),
      cmocka_unit_test(what_is_no_id_is_refused_and_leaves_the_answer_alone),
      cmocka_unit_test(ids_are_ordered_by_milliseconds_then_sequence),
      cmocka_unit_test(the_next_id_is_the_smallest_after),
      cmocka_unit_test(the_item_is_ready_to_send),
      cmocka_unit_test(the_origin_is_escaped),
      cmocka_unit_test(every_length_of_id_fits_in_front),
      cmocka_unit_test(a_stored_message_is_the_same_in_less_room),
      cmocka_unit_test(a_gap_is_told_apart_and_ready_to_send),
      cmocka_unit_test(a_gap_behind_nothing_names_the_first_id),
      cmocka_unit_test(the_size_covers_the_text),
      cmocka_unit_test(references_are_counted_across_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
