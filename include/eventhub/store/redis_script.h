#ifndef EVENTHUB_STORE_REDIS_SCRIPT_H
#define EVENTHUB_STORE_REDIS_SCRIPT_H

/*
 * The scripts that run inside Redis: src/store/lua/<name>.lua, each of which says at its head what
 * it takes and answers. They are compiled into the program, loaded into Redis by each connection,
 * and called by their SHA-1. Constant data and pure functions; any thread.
 */

#include <stddef.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"

enum redis_script {
  REDIS_SCRIPT_PUBLISH,
  REDIS_SCRIPT_LIMIT,
  REDIS_SCRIPT_MARK,
  REDIS_SCRIPT_READ,
  REDIS_SCRIPT_CHANGED,
  REDIS_SCRIPT_MISSED,
  REDIS_SCRIPT_TEND,
  REDIS_SCRIPT_COUNT
};

struct slice redis_script_text(enum redis_script script);

/* Appends `EVALSHA <sha> <keys>`, announcing `keys` and `args` words that the caller appends. */
void redis_script_call(struct buf *out, enum redis_script script, size_t keys, size_t args);

#endif
