/*
 * What the disk costs without a store: appends so many bytes to a file and calls fdatasync, again
 * and again, or so many times a second.
 *
 *   eventhub-append FILE BYTES SECONDS [RATE]
 *
 * The file is made and removed. One JSON object to stdout. Where there is a rate, times count from
 * when an append was due.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eventhub/base/clock.h"
#include "eventhub/base/mem.h"

#include "load_latency.h"

enum { NS_PER_S = 1000000000 };

static int append(int fd, const char *bytes, size_t len) {
  if (write(fd, bytes, len) != (ssize_t)len) return -1;
  return fdatasync(fd);
}

/* `rate` 0: as fast as it can. */
static int measure(int fd, size_t len, double seconds, double rate, struct load_latency *latency) {
  char *bytes = x_calloc(1, len);
  uint64_t start_ns = clock_monotonic_ns(), end_ns = start_ns + (uint64_t)(seconds * NS_PER_S);
  int failed = 0;
  for (uint64_t k = 0; failed == 0; k++) {
    uint64_t due_ns = clock_monotonic_ns();
    if (rate > 0) due_ns = start_ns + (uint64_t)((double)k * NS_PER_S / rate);
    if (due_ns > end_ns) break;
    if (rate > 0) load_sleep_until(due_ns);
    failed = append(fd, bytes, len);
    load_latency_add(latency, clock_monotonic_ns() - due_ns);
  }
  free(bytes);
  return failed;
}

int main(int argc, char **argv) {
  if (argc < 4 || argc > 5) {
    fprintf(stderr, "usage: eventhub-append FILE BYTES SECONDS [RATE]\n");
    return 2;
  }
  struct load_latency *latency = x_calloc(1, sizeof *latency);
  double seconds = strtod(argv[3], NULL), rate = argc > 4 ? strtod(argv[4], NULL) : 0;
  int fd = open(argv[1], O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
  int failed = fd < 0 ? -1 : measure(fd, strtoul(argv[2], NULL, 10), seconds, rate, latency);
  if (failed != 0) perror(argv[1]);
  if (fd >= 0) unlink(argv[1]);
  if (failed == 0)
    printf("{\"appends_per_s\":%.10g,\"p50_ms\":%.6g,\"p99_ms\":%.6g}\n",
           (double)latency->count / seconds, (double)load_latency_quantile(latency, 0.5) / 1e6,
           (double)load_latency_quantile(latency, 0.99) / 1e6);
  free(latency);
  return failed == 0 ? 0 : 1;
}
