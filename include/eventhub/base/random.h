/* Random bytes of the kernel, good enough for secrets. A process that cannot get any aborts with
 * a line on stderr. A system call each: not for hot paths. Any thread. */
#ifndef EVENTHUB_BASE_RANDOM_H
#define EVENTHUB_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *out, size_t len);
uint64_t random_u64(void);

#endif
