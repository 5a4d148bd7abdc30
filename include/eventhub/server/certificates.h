#ifndef EVENTHUB_SERVER_CERTIFICATES_H
#define EVENTHUB_SERVER_CERTIFICATES_H

/* The files of the TLS listener, as the options name them. Main thread. */

#include <stdbool.h>
#include <sys/stat.h>

#include "eventhub/base/buf.h"
#include "eventhub/net/tls.h"
#include "eventhub/server/options.h"

/* 0 with a config of the caller's, NULL where there is no TLS; or an error of tls_config_load. */
int certificates_load(const struct options *options, struct tls_config **ret, struct buf *why);

/* What the files looked like; compared as bytes. */
struct certificates_mark {
  struct {
    struct timespec changed;
    off_t size;
    ino_t inode;
  } files[3];
};

/* What they look like now. */
void certificates_look(const struct options *options, struct certificates_mark *ret);

/* Tells of one that has ended or is about to, and of the end of any other. */
void certificates_log(const struct tls_config *config);

#endif
