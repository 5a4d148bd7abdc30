#include "eventhub/cli/cli.h"

/* Read by jemalloc, where it is linked: memory that a burst needed goes back to the system within a
 * second. */
extern const char *malloc_conf;
__attribute__((visibility("default"))) const char *malloc_conf =
    "dirty_decay_ms:1000,muzzy_decay_ms:0";

int main(int argc, char **argv) {
  return cli_main(argc, argv);
}
