#include "load_report.h"

#include <stddef.h>
#include <stdio.h>

#include "eventhub/base/cleanup.h"

/* All that can be derived from a result; 0 where there is nothing to divide by. */
struct figures {
  double seconds;
  double published_per_s;
  double acknowledged_per_s;
  double delivered_per_s;
  double delivered_per_send;  /* how many messages leave together */
  double payload_bytes;       /* of a delivery */
  double wire_bytes;          /* ... as it was sent, with all around it */
  double cpu_us_per_delivery; /* the server's, as all below unless they say otherwise */
  double cpu_us_per_publish;  /* that was acknowledged */
  double client_cpu_us_per_publish;
  double cpu_percent; /* of one processor */
  double client_cpu_percent;
  double resident_kb;
  double resident_kb_per_connection;
  double handshakes_per_s;
  double cpu_us_per_handshake;
  double connects_per_s;
  double cpu_us_per_connect;
  double p50_ms, p90_ms, p99_ms, p999_ms, max_ms;
  double lost, refused, missing;
};

struct figure_row {
  const char *name;
  size_t offset;
};

#define FIGURE(name)                                                                               \
  { #name, offsetof(struct figures, name) }

static const struct figure_row rows[] = {
    FIGURE(seconds),
    FIGURE(published_per_s),
    FIGURE(acknowledged_per_s),
    FIGURE(delivered_per_s),
    FIGURE(delivered_per_send),
    FIGURE(payload_bytes),
    FIGURE(wire_bytes),
    FIGURE(cpu_us_per_delivery),
    FIGURE(cpu_us_per_publish),
    FIGURE(client_cpu_us_per_publish),
    FIGURE(cpu_percent),
    FIGURE(client_cpu_percent),
    FIGURE(resident_kb),
    FIGURE(resident_kb_per_connection),
    FIGURE(handshakes_per_s),
    FIGURE(cpu_us_per_handshake),
    FIGURE(connects_per_s),
    FIGURE(cpu_us_per_connect),
    FIGURE(p50_ms),
    FIGURE(p90_ms),
    FIGURE(p99_ms),
    FIGURE(p999_ms),
    FIGURE(max_ms),
    FIGURE(lost),
    FIGURE(refused),
    FIGURE(missing),
};

static double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

static double seconds_between(const struct load_sample *from, const struct load_sample *to) {
  return (double)(to->at_ns - from->at_ns) / 1e9;
}

static double server_cpu_us(const struct load_sample *from, const struct load_sample *to) {
  return (double)(to->server.cpu_ns - from->server.cpu_ns) / 1e3;
}

static double client_cpu_us(const struct load_sample *from, const struct load_sample *to) {
  return (double)(to->self.cpu_ns - from->self.cpu_ns) / 1e3;
}

/* Of one of the processes beside the server. */
static double beside_cpu_us_per_publish(const struct load_result *result, uint32_t index) {
  const struct load_sample *start = &result->start, *end = &result->end;
  double cpu_us = (double)(end->beside_cpu_ns[index] - start->beside_cpu_ns[index]) / 1e3;
  return ratio(cpu_us, (double)(end->acknowledged - start->acknowledged));
}

static double quantile_ms(const struct load_result *result, double part) {
  return (double)load_latency_quantile(&result->latency, part) / 1e6;
}

static void derive_traffic(struct figures *figures, const struct load_result *result) {
  const struct load_sample *start = &result->start, *end = &result->end;
  double delivered = (double)(end->delivered - start->delivered);
  double acknowledged = (double)(end->acknowledged - start->acknowledged);
  double cpu_us = server_cpu_us(start, end);
  figures->seconds = seconds_between(start, end);
  figures->published_per_s = (double)(end->published - start->published) / figures->seconds;
  figures->acknowledged_per_s = acknowledged / figures->seconds;
  figures->delivered_per_s = delivered / figures->seconds;
  figures->delivered_per_send = ratio(delivered, (double)(end->segments - start->segments));
  figures->payload_bytes = ratio((double)(end->payload_bytes - start->payload_bytes), delivered);
  figures->wire_bytes = ratio((double)(end->wire_bytes - start->wire_bytes), delivered);
  figures->cpu_us_per_delivery = ratio(cpu_us, delivered);
  figures->cpu_us_per_publish = ratio(cpu_us, acknowledged);
  figures->client_cpu_us_per_publish = ratio(client_cpu_us(start, end), acknowledged);
  double handshakes = (double)(end->handshakes - start->handshakes);
  figures->handshakes_per_s = handshakes / figures->seconds;
  figures->cpu_us_per_handshake = ratio(cpu_us, handshakes);
  figures->cpu_percent = cpu_us / 1e4 / figures->seconds;
  figures->client_cpu_percent = client_cpu_us(start, end) / 1e4 / figures->seconds;
}

static void derive_connections(struct figures *figures, const struct load_crowd *crowd,
                               const struct load_result *result) {
  double count = crowd->count;
  double more_kb =
      (double)result->end.server.resident_kb - (double)result->fresh.server.resident_kb;
  figures->resident_kb = (double)result->end.server.resident_kb;
  figures->resident_kb_per_connection = more_kb / count;
  figures->connects_per_s = ratio(count, seconds_between(&result->fresh, &result->connected));
  figures->cpu_us_per_connect = server_cpu_us(&result->fresh, &result->connected) / count;
}

static struct figures derive(const struct load_crowd *crowd, const struct load_result *result) {
  struct figures figures = {
      .p50_ms = quantile_ms(result, 0.5),
      .p90_ms = quantile_ms(result, 0.9),
      .p99_ms = quantile_ms(result, 0.99),
      .p999_ms = quantile_ms(result, 0.999),
      .max_ms = (double)result->latency.max_ns / 1e6,
      .lost = crowd->shared.lost,
      .refused = (double)crowd->shared.refused,
      .missing = (double)result->missing,
  };
  derive_traffic(&figures, result);
  derive_connections(&figures, crowd, result);
  return figures;
}

static double figure_at(const struct figures *figures, size_t offset) {
  const void *figure = (const char *)figures + offset;
  return *(const double *)figure;
}

void load_report_json(const struct load_crowd *crowd, const struct load_result *result) {
  const struct load_options *options = crowd->shared.options;
  struct figures figures = derive(crowd, result);
  printf("{\"work\":\"%s\",\"protocol\":\"%s\",\"subscribers\":%u,\"publishers\":%u,\"topics\":%u,"
         "\"size\":%u",
         load_work_name(options->work), load_protocol_name(options->protocol), options->subscribers,
         options->publishers, options->topics, options->size);
  for (size_t i = 0; i < ARRAY_LEN(rows); i++)
    printf(",\"%s\":%.10g", rows[i].name, figure_at(&figures, rows[i].offset));
  printf(",\"beside_cpu_us_per_publish\":[");
  for (uint32_t i = 0; i < options->beside.count; i++)
    printf("%s%.10g", i > 0 ? "," : "", beside_cpu_us_per_publish(result, i));
  printf("]}\n");
}

static void print_traffic(const struct figures *figures) {
  printf("published %.0f/s, delivered %.0f/s, %.1f in a send, server %.3f us CPU per delivery "
         "(%.0f %% of a core), client %.0f %%",
         figures->published_per_s, figures->delivered_per_s, figures->delivered_per_send,
         figures->cpu_us_per_delivery, figures->cpu_percent, figures->client_cpu_percent);
}

static void print_latency(const struct figures *figures) {
  printf(", latency ms p50 %.3f p90 %.3f p99 %.3f p99.9 %.3f max %.3f", figures->p50_ms,
         figures->p90_ms, figures->p99_ms, figures->p999_ms, figures->max_ms);
}

static void print_publish(const struct figures *figures) {
  printf("acknowledged %.0f/s, us CPU per publish: server %.2f (%.0f %% of a core), client %.2f",
         figures->acknowledged_per_s, figures->cpu_us_per_publish, figures->cpu_percent,
         figures->client_cpu_us_per_publish);
}

static void print_connect(const struct figures *figures) {
  printf("%.0f handshakes/s at %.1f us CPU each (%.0f %% of a core)", figures->handshakes_per_s,
         figures->cpu_us_per_handshake, figures->cpu_percent);
}

static void print_beside(const struct load_result *result, uint32_t count) {
  printf(", beside it");
  for (uint32_t i = 0; i < count; i++)
    printf(" %.3f", beside_cpu_us_per_publish(result, i));
  printf(" us CPU per publish");
}

static void print_idle(const struct figures *figures) {
  printf("%.2f kB resident per connection, %.3f %% of a core, connected %.0f/s at %.1f us CPU each",
         figures->resident_kb_per_connection, figures->cpu_percent, figures->connects_per_s,
         figures->cpu_us_per_connect);
}

void load_report_line(const struct load_crowd *crowd, const struct load_result *result) {
  const struct load_options *options = crowd->shared.options;
  struct figures figures = derive(crowd, result);
  printf("%s %s, %u subscribers: ", load_protocol_name(options->protocol),
         load_work_name(options->work), options->subscribers);
  switch (options->work) {
  case LOAD_IDLE: print_idle(&figures); break;
  case LOAD_PUBLISH: print_publish(&figures); break;
  case LOAD_CONNECT: print_connect(&figures); break;
  case LOAD_FANOUT:
  case LOAD_RATE: print_traffic(&figures); break;
  }
  if (options->work == LOAD_RATE) print_latency(&figures);
  if (options->beside.count > 0) print_beside(result, options->beside.count);
  printf(", lost %.0f, refused %.0f, missing %.0f\n", figures.lost, figures.refused,
         figures.missing);
}
