#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/proto/json.h"
#include "eventhub/server/metrics.h"
#include "../docs_page.h"

static struct metrics_snapshot numbered(void) {
  struct metrics_snapshot snapshot = {.version = SLICE("1.2.3")};
  for (int i = 0; i < METRIC_COUNT; i++)
    snapshot.values[i] = (uint64_t)i + 100;
  return snapshot;
}

static void render(struct buf *out, const struct metrics_snapshot *snapshot) {
  metrics_render_prometheus(snapshot, "eventhub", SLICE("host:8080"), out);
  buf_append_char(out, '\0');
  out->len--;
}

static void existing_names_and_types_stay(void **state) {
  (void)state;
  static const struct {
    const char *name, *type;
    enum metric metric;
  } rows[] = {
      {"worker_count", "gauge", METRIC_WORKER_COUNT},
      {"publish_count", "counter", METRIC_PUBLISH_COUNT},
      {"redis_connection_fail_count", "counter", METRIC_REDIS_CONNECTION_FAIL_COUNT},
      {"redis_publish_delay_ms", "gauge", METRIC_REDIS_PUBLISH_DELAY_MS},
      {"current_connections_count", "gauge", METRIC_CURRENT_CONNECTIONS_COUNT},
      {"total_connect_count", "counter", METRIC_TOTAL_CONNECT_COUNT},
      {"total_disconnect_count", "counter", METRIC_TOTAL_DISCONNECT_COUNT},
      {"eventloop_delay_ms", "gauge", METRIC_EVENTLOOP_DELAY_MS},
  };
  AUTO(buf) struct buf text = BUF_INIT;
  struct metrics_snapshot snapshot = numbered();
  render(&text, &snapshot);
  for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
    AUTO(buf) struct buf wanted = BUF_INIT;
    buf_printf(&wanted, "# TYPE eventhub_%s %s\neventhub_%s{instance=\"host:8080\"} %d\n%c",
               rows[i].name, rows[i].type, rows[i].name, 100 + (int)rows[i].metric, 0);
    assert_non_null(strstr(text.data, wanted.data));
  }
}

#define ROUND_TRIP "eventhub_redis_round_trip_seconds"

static const struct slice histograms[] = {SLICE_INIT(ROUND_TRIP),
                                          SLICE_INIT("eventhub_journal_commit_seconds"),
                                          SLICE_INIT("eventhub_journal_upkeep_seconds")};

enum {
  HISTOGRAMS = ARRAY_LEN(histograms),
  HISTOGRAM_SAMPLES = HISTOGRAMS * (STORE_HISTOGRAM_BOUNDS + 1 + 2) /* sum and count */
};

/* The histogram that the sample belongs to; the sample's own name where it is none's. */
static struct slice family_of(struct slice sample) {
  for (size_t i = 0; i < HISTOGRAMS; i++) {
    size_t len = histograms[i].len;
    if (slice_starts_with(sample, histograms[i]) && sample.len > len && sample.ptr[len] == '_')
      return histograms[i];
  }
  return sample;
}

static bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* Each sample stands below the TYPE of its name, and no name is declared twice. */
static void every_line_is_help_type_or_sample(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  struct metrics_snapshot snapshot = numbered();
  render(&text, &snapshot);
  struct slice rest = buf_slice(&text), line, name = {NULL, 0};
  int helps = 0, samples = 0;
  while (slice_next_token(&rest, '\n', &line) && rest.ptr != NULL) {
    size_t prefix = slice_starts_with(line, SLICE("# ")) ? strlen("# HELP ") : 0;
    struct slice tail = slice_skip(line, prefix);
    size_t len = 0;
    while (len < tail.len && is_name_char(tail.ptr[len]))
      len++;
    struct slice here = slice_of(tail.ptr, len);
    assert_true(slice_starts_with(here, SLICE("eventhub_")));
    if (prefix == 0) here = family_of(here);
    if (slice_starts_with(line, SLICE("# HELP "))) {
      assert_false(slice_equal(here, name));
      name = here;
      helps++;
    }
    assert_true(slice_equal(here, name));
    samples += prefix == 0;
  }
  assert_int_equal(samples, METRIC_COUNT - HISTOGRAMS + HISTOGRAM_SAMPLES);
  assert_true(helps > 20);
}

static void labels_tell_reasons_and_the_version_apart(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  struct metrics_snapshot snapshot = numbered();
  render(&text, &snapshot);
  assert_non_null(strstr(text.data, "\neventhub_build_info{instance=\"host:8080\","
                                    "version=\"1.2.3\"} 1\n"));
  assert_non_null(strstr(text.data, "\neventhub_refused_handshakes_total{instance=\"host:8080\","
                                    "reason=\"origin\"} "));
  assert_non_null(strstr(text.data, "\neventhub_closed_connections_total{instance=\"host:8080\","
                                    "code=\"1013\"} "));
}

static void label_values_are_escaped(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  struct metrics_snapshot snapshot = numbered();
  metrics_render_prometheus(&snapshot, "p", SLICE("a\"b\\c\nd"), &text);
  buf_append_char(&text, '\0');
  assert_non_null(strstr(text.data, "p_worker_count{instance=\"a\\\"b\\\\c\\nd\"} 100\n"));
}

static void json_is_one_flat_object(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  struct metrics_snapshot snapshot = numbered();
  struct json_value object, key, value;
  struct json_iter iter;
  int count = 0;
  metrics_render_json(&snapshot, &text);
  assert_int_equal(json_parse(buf_slice(&text), 2, &object), 0);
  json_iter_init(&iter, object);
  while (json_object_next(&iter, &key, &value)) {
    bool is_version = json_string_equals(key, SLICE("version"));
    assert_int_equal(value.type, is_version ? JSON_STRING : JSON_NUMBER);
    count++;
  }
  assert_int_equal(count, METRIC_COUNT - HISTOGRAMS + HISTOGRAM_SAMPLES);
}

static void expect_member(struct json_value object, struct slice name, int64_t wanted) {
  struct json_value value;
  int64_t number;
  assert_int_equal(json_object_find(object, name, &value), 0);
  assert_int_equal(json_to_i64(value, &number), 0);
  assert_int_equal(number, wanted);
}

static void json_names_have_no_prefix(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  struct metrics_snapshot snapshot = numbered();
  struct json_value object;
  metrics_render_json(&snapshot, &text);
  assert_int_equal(json_parse(buf_slice(&text), 2, &object), 0);
  expect_member(object, SLICE("publish_count"), 100 + METRIC_PUBLISH_COUNT);
  expect_member(object, SLICE("redis_publish_delay_ms"), 100 + METRIC_REDIS_PUBLISH_DELAY_MS);
  expect_member(object, SLICE("closed_connections_total_1009"), 100 + METRIC_CLOSED_1009);
  expect_member(object, SLICE("refused_handshakes_total_timeout"), 100 + METRIC_REFUSED_TIMEOUT);
}

static struct metrics_snapshot with_round_trips(void) {
  struct metrics_snapshot snapshot = {.version = SLICE("1")};
  snapshot.redis_round_trip.buckets[0] = 2;                      /* up to 100 us */
  snapshot.redis_round_trip.buckets[3] = 3;                      /* up to 1 ms */
  snapshot.redis_round_trip.buckets[STORE_HISTOGRAM_BOUNDS] = 1; /* beyond 2.5 s */
  snapshot.redis_round_trip.sum_us = 4001250;
  return snapshot;
}

static void a_histogram_is_cumulative_and_in_seconds(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  struct metrics_snapshot snapshot = with_round_trips();
  render(&text, &snapshot);
  const char *start = strstr(text.data, "# TYPE " ROUND_TRIP);
  assert_non_null(start);
#define BUCKET(le, count) ROUND_TRIP "_bucket{instance=\"host:8080\",le=\"" le "\"} " count "\n"
#define PART(name, value) ROUND_TRIP name "{instance=\"host:8080\"} " value "\n"
  static const char wanted[] = "# TYPE " ROUND_TRIP " histogram\n" //
      BUCKET("0.0001", "2") BUCKET("0.00025", "2") BUCKET("0.0005", "2") BUCKET("0.001", "5")
          BUCKET("0.0025", "5") BUCKET("0.005", "5") BUCKET("0.01", "5") BUCKET("0.025", "5")
              BUCKET("0.05", "5") BUCKET("0.1", "5") BUCKET("0.25", "5") BUCKET("0.5", "5")
                  BUCKET("1", "5") BUCKET("2.5", "5") BUCKET("+Inf", "6") PART("_sum", "4.00125")
                      PART("_count", "6");
  assert_memory_equal(start, wanted, sizeof wanted - 1);
}

static void a_histogram_has_members_in_json(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  struct metrics_snapshot snapshot = with_round_trips();
  struct json_value object, sum;
  metrics_render_json(&snapshot, &text);
  assert_int_equal(json_parse(buf_slice(&text), 2, &object), 0);
  expect_member(object, SLICE("redis_round_trip_seconds_bucket_0.0001"), 2);
  expect_member(object, SLICE("redis_round_trip_seconds_bucket_2.5"), 5);
  expect_member(object, SLICE("redis_round_trip_seconds_bucket_+Inf"), 6);
  expect_member(object, SLICE("redis_round_trip_seconds_count"), 6);
  assert_int_equal(json_object_find(object, SLICE("redis_round_trip_seconds_sum"), &sum), 0);
  assert_true(slice_equal(sum.text, SLICE("4.00125")));
}

static void the_greatest_number_is_rendered_whole(void **state) {
  (void)state;
  AUTO(buf) struct buf text = BUF_INIT;
  struct metrics_snapshot snapshot = {.version = SLICE("")};
  snapshot.values[METRIC_SENT_BYTES] = UINT64_MAX;
  render(&text, &snapshot);
  assert_non_null(strstr(text.data, "sent_bytes_total{instance=\"host:8080\"} "
                                    "18446744073709551615\n"));
}

static void threads_add_up_and_the_slowest_loop_counts(void **state) {
  (void)state;
  struct metrics one = {0}, two = {0};
  struct metrics_snapshot snapshot = {0};
  metrics_add(&one, METRIC_SENT_BYTES, 5);
  metrics_add(&one, METRIC_SENT_BYTES, 6);
  metrics_add(&two, METRIC_SENT_BYTES, 7);
  metrics_set(&one, METRIC_EVENTLOOP_DELAY_MS, 9);
  metrics_set(&two, METRIC_EVENTLOOP_DELAY_MS, 4);
  metrics_add(&two, METRIC_SUBSCRIPTIONS, 3);
  metrics_subtract(&two, METRIC_SUBSCRIPTIONS, 1);
  metrics_snapshot_add(&snapshot, &one);
  metrics_snapshot_add(&snapshot, &two);
  assert_int_equal(snapshot.values[METRIC_SENT_BYTES], 18);
  assert_int_equal(snapshot.values[METRIC_EVENTLOOP_DELAY_MS], 9);
  assert_int_equal(snapshot.values[METRIC_SUBSCRIPTIONS], 2);
}

static void every_close_code_is_counted_somewhere(void **state) {
  (void)state;
  assert_int_equal(metrics_of_close_code(1000), METRIC_CLOSED_1000);
  assert_int_equal(metrics_of_close_code(1013), METRIC_CLOSED_1013);
  assert_int_equal(metrics_of_close_code(3000), METRIC_CLOSED_OTHER);
  assert_int_equal(metrics_of_close_code(0), METRIC_CLOSED_OTHER);
}

/* After a change of the table: put the output of eventhub --metrics-markdown there. */
static void the_documentation_agrees_with_the_table(void **state) {
  (void)state;
  AUTO(buf) struct buf table = BUF_INIT;
  metrics_print_markdown(&table);
  assert_page_holds("docs/metrics.md", &table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(existing_names_and_types_stay),
      cmocka_unit_test(every_line_is_help_type_or_sample),
      cmocka_unit_test(labels_tell_reasons_and_the_version_apart),
      cmocka_unit_test(label_values_are_escaped),
      cmocka_unit_test(json_is_one_flat_object),
      cmocka_unit_test(json_names_have_no_prefix),
      cmocka_unit_test(a_histogram_is_cumulative_and_in_seconds),
      cmocka_unit_test(a_histogram_has_members_in_json),
      cmocka_unit_test(the_greatest_number_is_rendered_whole),
      cmocka_unit_test(threads_add_up_and_the_slowest_loop_counts),
      cmocka_unit_test(every_close_code_is_counted_somewhere),
      cmocka_unit_test(the_documentation_agrees_with_the_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
