#include "eventhub/base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *out, size_t len) {
  char *at = out;
  while (len > 0) {
    ssize_t n = getrandom(at, len, 0);
    if (n < 0 && errno != EINTR) {
      perror("eventhub: no random bytes");
      abort();
    }
    if (n > 0) {
      at += n;
      len -= (size_t)n;
    }
  }
}

uint64_t random_u64(void) {
  uint64_t number;
  random_bytes(&number, sizeof number);
  return number;
}
