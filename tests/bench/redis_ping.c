/*
 * How long one round trip to a Redis takes when nobody is in a hurry, which is what the latency
 * through the broker is compared with.
 *
 *   eventhub-redis-ping PORT RATE SECONDS        on 127.0.0.1, RATE pings a second
 *
 * One connection, never two pings on their way. A ping counts from when it was due, as the messages
 * of the load generator do, so that what a timer takes to wake a thread is in both. One JSON object
 * to stdout.
 */

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "eventhub/base/clock.h"
#include "eventhub/base/mem.h"

#include "load_latency.h"

enum { NS_PER_S = 1000000000 };

static const char ping[] = "PING\r\n";
static const char pong[] = "+PONG\r\n";

static int connect_to(uint16_t port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

static int round_trip(int fd) {
  char answer[sizeof pong - 1];
  if (send(fd, ping, sizeof ping - 1, MSG_NOSIGNAL) != sizeof ping - 1) return -1;
  if (recv(fd, answer, sizeof answer, MSG_WAITALL) != sizeof answer) return -1;
  return memcmp(answer, pong, sizeof answer) == 0 ? 0 : -1;
}

static int measure(int fd, double rate, double seconds, struct load_latency *latency) {
  uint64_t start_ns = clock_monotonic_ns();
  uint64_t count = (uint64_t)(rate * seconds);
  for (uint64_t k = 0; k < count; k++) {
    uint64_t due_ns = start_ns + (uint64_t)((double)k * NS_PER_S / rate);
    load_sleep_until(due_ns);
    if (round_trip(fd) < 0) return -1;
    load_latency_add(latency, clock_monotonic_ns() - due_ns);
  }
  return 0;
}

static double quantile_ms(const struct load_latency *latency, double part) {
  return (double)load_latency_quantile(latency, part) / 1e6;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: eventhub-redis-ping PORT RATE SECONDS\n");
    return 2;
  }
  int fd = connect_to((uint16_t)strtoul(argv[1], NULL, 10));
  struct load_latency *latency = x_calloc(1, sizeof *latency);
  bool is_done = fd >= 0 && measure(fd, strtod(argv[2], NULL), strtod(argv[3], NULL), latency) == 0;
  if (is_done) {
    printf("{\"p50_ms\":%.6g,\"p99_ms\":%.6g}\n", quantile_ms(latency, 0.5),
           quantile_ms(latency, 0.99));
  } else {
    fprintf(stderr, "eventhub-redis-ping: no Redis answers at port %s\n", argv[1]);
  }
  free(latency);
  if (fd >= 0) close(fd);
  return is_done ? 0 : 1;
}
