#include "eventhub/base/cleanup.h"

#include <errno.h>

void fd_cleanup(const int *fd) {
  if (*fd < 0) return;
  int saved_errno = errno;
  close(*fd);
  errno = saved_errno;
}
