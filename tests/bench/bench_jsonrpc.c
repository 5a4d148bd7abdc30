/* What reading a request costs: ns per text, from its bytes to the values that a publish needs. */
#include <stdint.h>
#include <stdio.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/err.h"
#include "eventhub/proto/jsonrpc.h"

#include "micro.h"

enum { STEP = 1000, LONG_TEXT = 100000 };

static size_t read_text(struct slice text) {
  struct json_value value;
  return (size_t)json_parse(text, JSON_DEPTH_MAX, &value) + value.text.len;
}

static size_t read_requests(struct slice text) {
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
  struct jsonrpc_request request;
  int code = jsonrpc_open(&reader, text);
  size_t sum = (size_t)code;
  while (code == 0 && jsonrpc_next(&reader, &request, &code))
    sum += request.method.len;
  return sum;
}

static size_t read_publishes(struct slice text) {
  static const struct slice names[] = {SLICE_INIT("topic"), SLICE_INIT("message"),
                                       SLICE_INIT("ttl"), SLICE_INIT("timestamp")};
  AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
  struct jsonrpc_request request;
  int code = jsonrpc_open(&reader, text);
  size_t sum = (size_t)code;
  while (code == 0 && jsonrpc_next(&reader, &request, &code)) {
    struct json_value values[ARRAY_LEN(names)];
    json_members_select(request.members, request.params, names, ARRAY_LEN(names), values);
    sum += values[0].text.len + values[1].text.len;
  }
  return sum;
}

struct reading {
  size_t (*read)(struct slice text);
  struct slice text;
};

static void read_once(void *context) {
  const struct reading *reading = context;
  micro_sink = micro_sink + reading->read(reading->text);
}

static void measure(const char *name, size_t (*read)(struct slice), struct slice text) {
  struct reading reading = {read, text};
  double best_ns = micro_best_ns(read_once, &reading, text.len > LONG_TEXT ? 1 : STEP);
  printf("%-34s %9zu bytes %12.1f ns %8.2f GB/s\n", name, text.len, best_ns,
         (double)text.len / best_ns);
}

static void append_publish(struct buf *out, size_t message_len) {
  buf_append_str(out, "{\"id\":7,\"jsonrpc\":\"2.0\",\"method\":\"publish\",\"params\":{"
                      "\"topic\":\"a/b\",\"message\":\"");
  for (size_t i = 0; i < message_len; i++)
    buf_append_char(out, (char)('a' + i % 26));
  buf_append_str(out, "\"}}");
}

static void measure_publish(const char *name, size_t message_len) {
  AUTO(buf) struct buf text = BUF_INIT;
  append_publish(&text, message_len);
  printf("%s\n", name);
  measure("  json_parse", read_text, buf_slice(&text));
  measure("  jsonrpc_open, jsonrpc_next", read_requests, buf_slice(&text));
  measure("  and four parameters", read_publishes, buf_slice(&text));
}

static void measure_batch(size_t count) {
  AUTO(buf) struct buf text = BUF_INIT;
  for (size_t i = 0; i < count; i++) {
    buf_append_char(&text, i == 0 ? '[' : ',');
    append_publish(&text, 64);
  }
  buf_append_char(&text, ']');
  printf("batch of %zu\n", count);
  measure("  jsonrpc_open, jsonrpc_next", read_requests, buf_slice(&text));
}

static void measure_repeated(const char *name, const char *start, const char *piece, size_t count,
                             const char *end) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_append_str(&text, start);
  for (size_t i = 0; i < count; i++)
    buf_append_str(&text, piece);
  buf_append_str(&text, end);
  printf("%s\n", name);
  measure("  json_parse", read_text, buf_slice(&text));
}

int main(void) {
  measure_publish("publish, message of 11 bytes", 11);
  measure_publish("publish, message of 64 bytes", 64);
  measure_publish("publish, message of 1 MiB", 1 << 20);
  measure_batch(100);
  measure_repeated("array of numbers", "[0", ",-12.5e3", 100000, "]");
  measure_repeated("string of escapes", "\"", "\\n", 500000, "\"");
  measure_repeated("100,000 nested brackets", "", "[", 100000, "");
  return 0;
}
