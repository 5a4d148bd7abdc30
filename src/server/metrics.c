#include "eventhub/server/metrics.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "eventhub/base/json_escape.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* How the numbers of several threads become one. */
enum metric_merge { METRIC_SUM, METRIC_GREATEST };

struct metric_row {
  const char *name;
  enum metric_type type;
  enum metric_merge merge;
  const char *label;       /* NULL = none */
  const char *label_value; /* NULL with a label: the version */
  const char *help;
  size_t histogram; /* METRIC_HISTOGRAM: where in the snapshot */
};

#define COUNTER(text) .type = METRIC_COUNTER, .name = (text)
#define GAUGE(text)   .type = METRIC_GAUGE, .name = (text)
#define HISTOGRAM(text, field)                                                                     \
  .type = METRIC_HISTOGRAM, .name = (text), .histogram = offsetof(struct metrics_snapshot, field)
#define REFUSED(why)                                                                               \
  COUNTER("refused_handshakes_total"),                                                             \
      .label = "reason", .label_value = (why),                                                     \
      .help = "Handshakes and HTTP requests that were not let in."
#define CLOSED(code)                                                                               \
  COUNTER("closed_connections_total"),                                                             \
      .label = "code", .label_value = (code),                                                      \
      .help = "Close frames that the server sent, and streams that it ended."

static const struct metric_row rows[METRIC_COUNT] = {
    [METRIC_WORKER_COUNT] = {GAUGE("worker_count"), .help = "Event loops that serve clients."},
    [METRIC_PUBLISH_COUNT] = {COUNTER("publish_count"), .help = "Messages published."},
    [METRIC_REDIS_CONNECTION_FAIL_COUNT] = {COUNTER("redis_connection_fail_count"),
                                            .help = "Connections to Redis that failed."},
    [METRIC_REDIS_PUBLISH_DELAY_MS] = {GAUGE("redis_publish_delay_ms"),
                                       .help = "Milliseconds that a message takes through Redis."},
    [METRIC_REDIS_CONNECTED] = {GAUGE("redis_connected"),
                                .help = "1 while all connections to Redis stand, else 0."},
    [METRIC_REDIS_RECONNECTS] = {COUNTER("redis_reconnects_total"),
                                 .help = "Connections to Redis that were made again."},
    [METRIC_REDIS_GAPS_FOUND] = {COUNTER("redis_gaps_found_total"),
                                 .help = "Times that messages of a topic were found missing."},
    [METRIC_REDIS_GAPS_FILLED] = {COUNTER("redis_gaps_filled_total"),
                                  .help = "Times that all that was missing could be read again."},
    [METRIC_REDIS_GAPS_LOST] = {COUNTER("redis_gaps_lost_total"),
                                .help = "Times that something missing was gone; its subscribers "
                                        "were told."},
    [METRIC_REDIS_RESENT_PUBLISHES] = {COUNTER("redis_resent_publishes_total"),
                                       .help = "Publishes sent again after a connection to Redis "
                                               "was lost."},
    [METRIC_REDIS_PIPELINE_DEPTH] = {GAUGE("redis_pipeline_depth"),
                                     .help = "Commands that wait for an answer of Redis."},
    [METRIC_REDIS_SKIPPED_MESSAGES] = {COUNTER("redis_skipped_messages_total"),
                                       .help = "Messages and stream entries in Redis that were "
                                               "skipped: no broker wrote them."},
    [METRIC_REDIS_ROUND_TRIP] = {HISTOGRAM("redis_round_trip_seconds", redis_round_trip),
                                 .help = "Seconds from sending a command to Redis to its answer."},
    [METRIC_JOURNAL_COMMITS] = {COUNTER("journal_commits_total"),
                                .help = "Commits of the store in DATA_DIR."},
    [METRIC_JOURNAL_FAILURES] = {COUNTER("journal_failures_total"),
                                 .help = "Commits that failed: the disk was full or refused."},
    [METRIC_JOURNAL_BYTES] = {GAUGE("journal_bytes"), .help = "Bytes of the file in DATA_DIR."},
    [METRIC_JOURNAL_FREE_BYTES] = {GAUGE("journal_free_bytes"),
                                   .help = "Bytes of that file that are free to be used again."},
    [METRIC_JOURNAL_BLOCKS] = {GAUGE("journal_blocks"), .help = "Blocks of messages in that file."},
    [METRIC_JOURNAL_COMMIT] = {HISTOGRAM("journal_commit_seconds", journal_commit),
                               .help = "Seconds that a commit took, the disk included."},
    [METRIC_JOURNAL_UPKEEP] = {HISTOGRAM("journal_upkeep_seconds", journal_upkeep),
                               .help = "Seconds of a turn that went into keeping the file: what "
                                       "is committed moves there, what has had its time goes."},
    [METRIC_CURRENT_CONNECTIONS_COUNT] = {GAUGE("current_connections_count"),
                                          .help = "Connections that are open."},
    [METRIC_TOTAL_CONNECT_COUNT] = {COUNTER("total_connect_count"),
                                    .help = "Connections accepted."},
    [METRIC_TOTAL_DISCONNECT_COUNT] = {COUNTER("total_disconnect_count"),
                                       .help = "Connections ended."},
    [METRIC_EVENTLOOP_DELAY_MS] = {GAUGE("eventloop_delay_ms"), .merge = METRIC_GREATEST,
                                   .help = "Milliseconds that the slowest event loop is late."},
    [METRIC_MESSAGES_DELIVERED] = {COUNTER("messages_delivered_total"),
                                   .help = "Messages queued for subscribers."},
    [METRIC_MESSAGES_RECEIVED] = {COUNTER("messages_received_total"),
                                  .help = "WebSocket messages from clients."},
    [METRIC_RECEIVED_BYTES] = {COUNTER("received_bytes_total"), .help = "Bytes from clients."},
    [METRIC_SENT_BYTES] = {COUNTER("sent_bytes_total"), .help = "Bytes to clients."},
    [METRIC_COMPRESSIONS] = {COUNTER("compressions_total"),
                             .help = "Messages and answers compressed; once for all subscribers."},
    [METRIC_HTTP_REQUESTS] = {COUNTER("http_requests_total"),
                              .help =
                                  "Requests over HTTP, streams of server-sent events included."},
    [METRIC_SSE_STREAMS] = {GAUGE("sse_streams"),
                            .help = "Streams of server-sent events that are open."},
    [METRIC_SUBSCRIPTIONS] = {GAUGE("subscriptions"),
                              .help = "Subscriptions of all connections together."},
    [METRIC_FILTERS] = {GAUGE("filters"),
                        .help = "Different topics and patterns that somebody subscribed to."},
    [METRIC_EVENTLOG_MESSAGES] = {GAUGE("eventlog_messages"), .help = "Messages in the eventlog."},
    [METRIC_EVENTLOG_BYTES] = {GAUGE("eventlog_bytes"),
                               .help = "Bytes that the messages in the eventlog take in memory."},
    [METRIC_EVENTLOG_DISK_MESSAGES] = {GAUGE("eventlog_disk_messages"),
                                       .help = "Messages in the eventlog that are on the disk "
                                               "only, and not in memory."},
    [METRIC_EVENTLOG_TOPICS] = {GAUGE("eventlog_topics"),
                                .help = "Topics that have messages in the eventlog."},
    [METRIC_EVENTLOG_EXPIRED] = {COUNTER("eventlog_expired_total"),
                                 .help = "Messages that left the eventlog when their time was up."},
    [METRIC_EVENTLOG_TRIMMED] = {COUNTER("eventlog_trimmed_total"),
                                 .help = "Messages that left the eventlog to make room."},
    [METRIC_KVSTORE_KEYS] = {GAUGE("kvstore_keys"), .help = "Keys in the key/value store."},
    [METRIC_KVSTORE_BYTES] = {GAUGE("kvstore_bytes"),
                              .help = "Bytes of keys and values in the key/value store."},
    [METRIC_RATE_LIMITED] = {COUNTER("rate_limited_total"),
                             .help = "Publishes refused by a token's rate limit."},
    [METRIC_SLOW_CONSUMERS] = {COUNTER("slow_consumers_total"),
                               .help = "Clients closed because they read too slowly."},
    [METRIC_DEAD_PEERS] = {COUNTER("dead_peers_total"),
                           .help = "Connections dropped because nothing came for two pings."},
    [METRIC_ACCEPT_PAUSED] = {COUNTER("accept_paused_total"),
                              .help = "Times that accepting paused for want of descriptors."},
    [METRIC_TLS_HANDSHAKES] = {COUNTER("tls_handshakes_total"),
                               .help = "TLS handshakes that were completed."},
    [METRIC_TLS_CERTIFICATE_EXPIRES] = {GAUGE("tls_certificate_expires_seconds"),
                                        .help = "When the server's certificate ends, in seconds "
                                                "since the epoch; 0 without TLS."},
    [METRIC_REFUSED_MALFORMED] = {REFUSED("malformed")},
    [METRIC_REFUSED_UNAUTHORIZED] = {REFUSED("unauthorized")},
    [METRIC_REFUSED_ORIGIN] = {REFUSED("origin")},
    [METRIC_REFUSED_VERSION] = {REFUSED("version")},
    [METRIC_REFUSED_HEAD_TOO_BIG] = {REFUSED("head_too_big")},
    [METRIC_REFUSED_CONNECTION_LIMIT] = {REFUSED("connection_limit")},
    [METRIC_REFUSED_ADDRESS_LIMIT] = {REFUSED("address_limit")},
    [METRIC_REFUSED_DRAINING] = {REFUSED("draining")},
    [METRIC_REFUSED_TIMEOUT] = {REFUSED("timeout")},
    [METRIC_REFUSED_TLS] = {REFUSED("tls")},
    [METRIC_CLOSED_1000] = {CLOSED("1000")},
    [METRIC_CLOSED_1001] = {CLOSED("1001")},
    [METRIC_CLOSED_1002] = {CLOSED("1002")},
    [METRIC_CLOSED_1003] = {CLOSED("1003")},
    [METRIC_CLOSED_1007] = {CLOSED("1007")},
    [METRIC_CLOSED_1008] = {CLOSED("1008")},
    [METRIC_CLOSED_1009] = {CLOSED("1009")},
    [METRIC_CLOSED_1011] = {CLOSED("1011")},
    [METRIC_CLOSED_1013] = {CLOSED("1013")},
    [METRIC_CLOSED_OTHER] = {CLOSED("other")},
    [METRIC_START_TIME] = {GAUGE("start_time_seconds"),
                           .help = "When the process started, in seconds since the epoch."},
    [METRIC_BUILD_INFO] = {GAUGE("build_info"), .label = "version",
                           .help = "Always 1; the version is the label."},
};

enum metric metrics_of_close_code(unsigned code) {
  switch (code) {
  case 1000: return METRIC_CLOSED_1000;
  case 1001: return METRIC_CLOSED_1001;
  case 1002: return METRIC_CLOSED_1002;
  case 1003: return METRIC_CLOSED_1003;
  case 1007: return METRIC_CLOSED_1007;
  case 1008: return METRIC_CLOSED_1008;
  case 1009: return METRIC_CLOSED_1009;
  case 1011: return METRIC_CLOSED_1011;
  case 1013: return METRIC_CLOSED_1013;
  default: return METRIC_CLOSED_OTHER;
  }
}

void metrics_snapshot_add(struct metrics_snapshot *snapshot, const struct metrics *metrics) {
  for (int i = 0; i < METRIC_COUNT; i++) {
    uint64_t value = metrics_get(metrics, (enum metric)i);
    if (rows[i].merge == METRIC_SUM)
      snapshot->values[i] += value;
    else if (value > snapshot->values[i])
      snapshot->values[i] = value;
  }
}

static const char *type_name(const struct metric_row *row) {
  static const char *const names[] = {
      [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
  return names[row->type];
}

static bool starts_name(int index) {
  return index == 0 || strcmp(rows[index].name, rows[index - 1].name) != 0;
}

/* Text format 0.0.4: in a label's value `\`, `"` and the line feed are escaped. */
static void append_label(struct buf *out, const char *name, struct slice value) {
  buf_append_str(out, name);
  buf_append_str(out, "=\"");
  for (size_t i = 0; i < value.len; i++) {
    char c = value.ptr[i];
    if (c == '\\' || c == '"' || c == '\n') buf_append_char(out, '\\');
    buf_append_char(out, c == '\n' ? 'n' : c);
  }
  buf_append_char(out, '"');
}

static struct slice label_value(const struct metrics_snapshot *snapshot, int index) {
  return rows[index].label_value == NULL ? snapshot->version : slice_str(rows[index].label_value);
}

static uint64_t value_of(const struct metrics_snapshot *snapshot, int index) {
  return index == METRIC_BUILD_INFO ? 1 : snapshot->values[index];
}

static void append_sample(struct buf *out, const struct metrics_snapshot *snapshot, int index,
                          const char *prefix, struct slice instance) {
  buf_printf(out, "%s_%s{", prefix, rows[index].name);
  append_label(out, "instance", instance);
  if (rows[index].label != NULL) {
    buf_append_char(out, ',');
    append_label(out, rows[index].label, label_value(snapshot, index));
  }
  buf_append_str(out, "} ");
  buf_append_u64(out, value_of(snapshot, index));
  buf_append_char(out, '\n');
}

/* ---- histograms ---- */

static const struct metrics_histogram *histogram_of(const struct metrics_snapshot *snapshot,
                                                    int index) {
  return (const void *)((const char *)snapshot + rows[index].histogram);
}

/* As a decimal number, without zeros at its end. */
static void append_seconds(struct buf *out, uint64_t us) {
  enum { US_PER_S = 1000000 };
  buf_append_u64(out, us / US_PER_S);
  if (us % US_PER_S == 0) return;
  buf_printf(out, ".%06u", (unsigned)(us % US_PER_S));
  while (out->data[out->len - 1] == '0')
    out->len--;
}

/* The last bucket has no bound. */
static void append_bound(struct buf *out, int bucket) {
  if (bucket == STORE_HISTOGRAM_BOUNDS) {
    buf_append_str(out, "+Inf");
  } else {
    append_seconds(out, store_histogram_bounds_us[bucket]);
  }
}

static void append_bucket(struct buf *out, const char *prefix, const char *name,
                          struct slice instance, int bucket) {
  buf_printf(out, "%s_%s_bucket{", prefix, name);
  append_label(out, "instance", instance);
  buf_append_str(out, ",le=\"");
  append_bound(out, bucket);
  buf_append_str(out, "\"} ");
}

static void append_part(struct buf *out, const char *prefix, const char *name, const char *part,
                        struct slice instance) {
  buf_printf(out, "%s_%s_%s{", prefix, name, part);
  append_label(out, "instance", instance);
  buf_append_str(out, "} ");
}

/* Each bucket counts those before it too. */
static void append_histogram(struct buf *out, const struct metrics_snapshot *snapshot, int index,
                             const char *prefix, struct slice instance) {
  const struct metrics_histogram *histogram = histogram_of(snapshot, index);
  const char *name = rows[index].name;
  uint64_t count = 0;
  for (int i = 0; i <= STORE_HISTOGRAM_BOUNDS; i++) {
    append_bucket(out, prefix, name, instance, i);
    buf_append_u64(out, count += histogram->buckets[i]);
    buf_append_char(out, '\n');
  }
  append_part(out, prefix, name, "sum", instance);
  append_seconds(out, histogram->sum_us);
  buf_append_char(out, '\n');
  append_part(out, prefix, name, "count", instance);
  buf_append_u64(out, count);
  buf_append_char(out, '\n');
}

/* ---- the formats ---- */

void metrics_render_prometheus(const struct metrics_snapshot *snapshot, const char *prefix,
                               struct slice instance, struct buf *out) {
  for (int i = 0; i < METRIC_COUNT; i++) {
    if (starts_name(i)) {
      buf_printf(out, "# HELP %s_%s %s\n", prefix, rows[i].name, rows[i].help);
      buf_printf(out, "# TYPE %s_%s %s\n", prefix, rows[i].name, type_name(&rows[i]));
    }
    if (rows[i].type == METRIC_HISTOGRAM) {
      append_histogram(out, snapshot, i, prefix, instance);
    } else {
      append_sample(out, snapshot, i, prefix, instance);
    }
  }
}

static void append_member(struct buf *out, const struct metrics_snapshot *snapshot, int index) {
  const struct metric_row *row = &rows[index];
  buf_printf(out, "    \"%s%s%s\": ", row->name, row->label != NULL ? "_" : "",
             row->label != NULL ? row->label_value : "");
  buf_append_u64(out, value_of(snapshot, index));
  buf_append_str(out, ",\n");
}

/* Cumulative too, so that both forms show the same numbers. */
static void append_histogram_members(struct buf *out, const struct metrics_snapshot *snapshot,
                                     int index) {
  const struct metrics_histogram *histogram = histogram_of(snapshot, index);
  const char *name = rows[index].name;
  uint64_t count = 0;
  for (int i = 0; i <= STORE_HISTOGRAM_BOUNDS; i++) {
    buf_printf(out, "    \"%s_bucket_", name);
    append_bound(out, i);
    buf_append_str(out, "\": ");
    buf_append_u64(out, count += histogram->buckets[i]);
    buf_append_str(out, ",\n");
  }
  buf_printf(out, "    \"%s_sum\": ", name);
  append_seconds(out, histogram->sum_us);
  buf_printf(out, ",\n    \"%s_count\": ", name);
  buf_append_u64(out, count);
  buf_append_str(out, ",\n");
}

static void append_members(struct buf *out, const struct metrics_snapshot *snapshot, int index) {
  if (index == METRIC_BUILD_INFO) return; /* the version is a member of its own */
  if (rows[index].type == METRIC_HISTOGRAM) {
    append_histogram_members(out, snapshot, index);
  } else {
    append_member(out, snapshot, index);
  }
}

void metrics_render_json(const struct metrics_snapshot *snapshot, struct buf *out) {
  buf_append_str(out, "{\n");
  for (int i = 0; i < METRIC_COUNT; i++)
    append_members(out, snapshot, i);
  buf_append_str(out, "    \"version\": ");
  buf_append_json_string(out, snapshot->version);
  buf_append_str(out, "\n}\r\n");
}

static void append_bounds_cell(struct buf *out) {
  const char *before = "`le`: ";
  for (int i = 0; i <= STORE_HISTOGRAM_BOUNDS; i++) {
    buf_append_str(out, before);
    append_bound(out, i);
    before = ", ";
  }
}

static void append_label_cell(struct buf *out, int index) {
  if (rows[index].type == METRIC_HISTOGRAM) append_bounds_cell(out);
  if (rows[index].label == NULL) return;
  buf_printf(out, "`%s`", rows[index].label);
  if (rows[index].label_value == NULL) return;
  const char *before = ": ";
  for (int i = index; i < METRIC_COUNT && strcmp(rows[i].name, rows[index].name) == 0; i++) {
    buf_printf(out, "%s%s", before, rows[i].label_value);
    before = ", ";
  }
}

void metrics_print_markdown(struct buf *out) {
  buf_append_str(out, "| name | type | label | |\n|---|---|---|---|\n");
  for (int i = 0; i < METRIC_COUNT; i++) {
    if (!starts_name(i)) continue;
    buf_printf(out, "| `%s` | %s | ", rows[i].name, type_name(&rows[i]));
    append_label_cell(out, i);
    buf_printf(out, " | %s |\n", rows[i].help);
  }
}
