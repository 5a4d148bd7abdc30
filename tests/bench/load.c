/*
 * The load generator: many WebSocket clients in one thread, for the broker and for the floor that
 * it is compared with.
 *
 *   eventhub-load fanout --port N --pid N             closed loop
 *   eventhub-load rate --rate 20 --port N --pid N     open loop, with latencies
 *   eventhub-load publish --publishers 20 ...         closed loop, publishes acknowledged
 *   eventhub-load connect --publishers 64 ...         opening handshakes
 *   eventhub-load idle --subscribers 10000 ...        memory and CPU of connections that do nothing
 *
 * --help lists the options. Exit status 1: something could not be measured, a connection was lost,
 * a request refused or a message missing.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/mem.h"

#include "load_crowd.h"
#include "load_options.h"
#include "load_report.h"
#include "load_work.h"

static int run(const struct load_options *options) {
  struct load_crowd crowd;
  if (load_crowd_init(&crowd, options) < 0) return 1;
  struct load_result *result = x_calloc(1, sizeof *result);
  bool is_done = load_work_run(&crowd, result) == 0;
  if (is_done && options->json) load_report_json(&crowd, result);
  if (is_done && !options->json) load_report_line(&crowd, result);
  bool is_whole = crowd.shared.lost == 0 && crowd.shared.refused == 0 && result->missing == 0;
  free(result);
  load_crowd_done(&crowd);
  return is_done && is_whole ? 0 : 1;
}

int main(int argc, char **argv) {
  struct load_options options;
  if (argc == 2 && strcmp(argv[1], "--help") == 0) {
    load_options_help();
    return 0;
  }
  return load_options_parse(argc, argv, &options) < 0 ? 2 : run(&options);
}
