#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/topic/name.h"
#include "log_fixture.h"

/*
 * The eventlog against a model that keeps every message ever published in one array and answers
 * each read by looking at all of them. Runs that forget topics cannot be told `recovered` exactly:
 * there the eventlog may say false too often, never true too often.
 */

static const char *const topics[] = {"a", "a/b", "a/c", "a/b/c", "b", "b/c", "a/b/d", "c/b/c"};
static const char *const filters[] = {"a",   "a/b", "b",   "nobody", "#",
                                      "a/#", "+/b", "a/+", "+/b/+",  "a/b/#"};
static const char *const payloads[] = {"1", "\"some more text\"", "[1,2,3]",
                                       "{\"k\":\"a longer value than that\"}"};

enum { MODEL_MESSAGES = 5000, MODEL_STEPS = 5000, WORK = 7 };

struct model_message {
  size_t topic;
  struct message_id id;
  uint64_t expires_ms;
  size_t item_len;
  const char *payload;
  bool is_trimmed;
};

struct model {
  struct fixture fixture;
  uint64_t random;
  uint32_t max_length;
  uint64_t grain_ms; /* times are multiples of it */
  bool is_exact;
  uint64_t recovered; /* answers that said so */
  size_t count;
  struct model_message messages[MODEL_MESSAGES];
};

static uint64_t pick(struct model *model, uint64_t below) {
  return (fixture_random(&model->random) >> 11) % below;
}

static bool is_expired(const struct model *model, const struct model_message *message) {
  return message->expires_ms <= model->fixture.now_ms;
}

static void model_trim(struct model *model, size_t topic) {
  uint32_t length = 0;
  for (size_t i = model->count; i-- > 0;) {
    struct model_message *message = &model->messages[i];
    if (message->topic != topic || is_expired(model, message)) continue;
    if (++length > model->max_length) message->is_trimmed = true;
  }
}

/* Trimming counts what expired and is not swept yet. Where there is both, the clock goes by whole
 * seconds, as expiry does, and all that expired is swept at once: then both know the same. */
static void pass_time(struct model *model) {
  model->fixture.now_ms += pick(model, 50) * model->grain_ms;
  /* Now and then long enough for whole topics to end. */
  if (pick(model, 100) == 0) model->fixture.now_ms += 5000 * model->grain_ms;
  if (model->max_length == 0) return;
  while (eventlog_expire(&model->fixture.log, model->fixture.now_ms, WORK)) {}
}

static uint64_t pick_wish(struct model *model) {
  uint64_t now_ms = model->fixture.now_ms;
  switch (pick(model, 12)) {
  case 0: return now_ms - pick(model, 3000);
  case 1: return now_ms + pick(model, 3000);
  default: return 0;
  }
}

static void check_id(const struct model *model, size_t topic, struct message_id id) {
  for (size_t i = model->count; i-- > 0;) {
    if (model->messages[i].topic != topic) continue;
    assert_true(message_id_compare(id, model->messages[i].id) > 0);
    return;
  }
}

static void publish(struct model *model) {
  struct model_message *message = &model->messages[model->count];
  size_t topic = pick(model, ARRAY_LEN(topics));
  uint64_t ttl_ms = pick(model, 4) == 0 ? 1 + pick(model, 2000) : 4000;
  ttl_ms *= model->grain_ms;
  const char *payload = payloads[pick(model, ARRAY_LEN(payloads))];
  struct message_id id = fixture_publish_full(&model->fixture, slice_str(topics[topic]),
                                              slice_str(payload), ttl_ms, pick_wish(model));
  check_id(model, topic, id);
  char text[MESSAGE_ID_MAX];
  size_t item_len = strlen("{\"id\":\"\",\"message\":,\"topic\":\"\"}") +
                    message_id_format(id, text) + strlen(payload) + strlen(topics[topic]);
  *message =
      (struct model_message){topic, id, model->fixture.now_ms + ttl_ms, item_len, payload, false};
  model->count++;
  if (model->max_length != 0) model_trim(model, topic);
}

static bool is_after(const struct log_point *point, struct message_id id) {
  if (point->since == LOG_SINCE_TIME) return id.ms >= point->id.ms;
  return message_id_compare(id, point->id) > 0;
}

static int by_id(const void *left, const void *right) {
  const struct model_message *a = *(struct model_message *const *)left;
  const struct model_message *b = *(struct model_message *const *)right;
  int order = message_id_compare(a->id, b->id);
  return order != 0 ? order : strcmp(topics[a->topic], topics[b->topic]);
}

struct expected {
  const struct model_message *messages[MODEL_MESSAGES];
  size_t count;
  bool missing;
};

static void expect(const struct model *model, const struct log_query *query, struct expected *ret) {
  ret->count = 0;
  ret->missing = false;
  for (size_t i = 0; i < model->count; i++) {
    const struct model_message *message = &model->messages[i];
    if (!filter_matches(query->filter, slice_str(topics[message->topic]))) continue;
    if (!is_after(&query->point, message->id)) continue;
    if (message->is_trimmed || is_expired(model, message)) {
      ret->missing = true;
    } else {
      ret->messages[ret->count++] = message;
    }
  }
  qsort(ret->messages, ret->count, sizeof ret->messages[0], by_id);
}

/* How many of the newest fit. */
static size_t fitting(const struct expected *expected, const struct log_query *query) {
  size_t count = 0, bytes = 0;
  while (count < expected->count && count < query->limit) {
    bytes += expected->messages[expected->count - 1 - count]->item_len;
    if (query->max_bytes != 0 && bytes > query->max_bytes) break;
    count++;
  }
  return count;
}

static void compare(struct model *model, const struct log_query *query,
                    const struct log_answer *answer) {
  static struct expected expected;
  expect(model, query, &expected);
  size_t count = fitting(&expected, query);
  bool is_recovered = !expected.missing && count == expected.count;
  assert_int_equal(answer->count, count);
  for (size_t i = 0; i < count; i++) {
    const struct model_message *want = expected.messages[expected.count - count + i];
    assert_int_equal(message_id_compare(message_id(answer->messages[i]), want->id), 0);
    assert_true(slice_equal(message_topic(answer->messages[i]), slice_str(topics[want->topic])));
    assert_true(slice_equal(message_payload(answer->messages[i]), slice_str(want->payload)));
    assert_int_equal(message_item(answer->messages[i]).len, want->item_len);
  }
  if (model->is_exact) assert_int_equal(answer->recovered, is_recovered);
  if (answer->recovered) assert_true(is_recovered);
  model->recovered += answer->recovered;
}

static struct log_point pick_point(struct model *model) {
  uint64_t now_ms = model->fixture.now_ms;
  if (model->count == 0 || pick(model, 3) == 0) {
    return (struct log_point){LOG_SINCE_TIME, {now_ms - pick(model, 6000) * model->grain_ms, 0}};
  }
  uint64_t back = 1 + pick(model, pick(model, 2) == 0 ? 20 : model->count);
  if (back > model->count) back = model->count;
  struct message_id id = model->messages[model->count - back].id;
  id.seq += pick(model, 2);
  return (struct log_point){LOG_SINCE_ID, id};
}

static void read_some(struct model *model) {
  const char *filter = filters[pick(model, ARRAY_LEN(filters))];
  struct log_query query = {.filter = slice_str(filter),
                            .point = pick_point(model),
                            .limit = (uint32_t)(pick(model, 2) == 0 ? 1000 : pick(model, 12)),
                            .max_bytes = pick(model, 3) == 0 ? 1 + pick(model, 700) : 0,
                            .now_ms = model->fixture.now_ms};
  struct log_answer answer;
  log_read(&model->fixture.log, &query, &answer);
  compare(model, &query, &answer);
  log_answer_done(&answer);
}

static void step(struct model *model) {
  switch (pick(model, 8)) {
  case 0: pass_time(model); break;
  case 1: eventlog_expire(&model->fixture.log, model->fixture.now_ms, WORK); break;
  case 2: model->fixture.back_ms = pick(model, 2) * pick(model, 100); break;
  case 3:
  case 4: read_some(model); break;
  default: publish(model);
  }
}

static void run(uint64_t seed, uint32_t max_length, uint32_t max_remembered) {
  static struct model model;
  memset(&model, 0, sizeof model);
  fixture_init(&model.fixture, max_length, max_remembered);
  /* Far from the birth, which is not what this is about. */
  model.fixture.log.config.birth_ms = 0;
  model.random = seed * 2654435761u + 1;
  model.max_length = max_length;
  model.grain_ms = max_length > 0 ? 1000 : 1;
  model.is_exact = max_remembered > ARRAY_LEN(topics);
  for (int i = 0; i < MODEL_STEPS; i++)
    step(&model);
  assert_true(model.recovered > 0);
  assert_true(store_metric_get(&model.fixture.metrics.log_expired) > 0);
  if (max_length > 0) assert_true(store_metric_get(&model.fixture.metrics.log_trimmed) > 0);
  fixture_done(&model.fixture);
}

static void reads_agree_with_the_model_under_expiry(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 3; seed++)
    run(seed, 0, 100);
}

static void reads_agree_with_the_model_under_trimming(void **state) {
  (void)state;
  run(4, 1, 100);
  run(5, 20, 100);
}

static void a_forgetful_log_never_claims_what_it_cannot_know(void **state) {
  (void)state;
  run(6, 0, 0);
  run(7, 0, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_agree_with_the_model_under_expiry),
      cmocka_unit_test(reads_agree_with_the_model_under_trimming),
      cmocka_unit_test(a_forgetful_log_never_claims_what_it_cannot_know),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
