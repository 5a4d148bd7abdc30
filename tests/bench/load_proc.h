/* What a process has cost so far, by /proc. Any thread. */
#ifndef EVENTHUB_BENCH_LOAD_PROC_H
#define EVENTHUB_BENCH_LOAD_PROC_H

#include <stdint.h>
#include <sys/types.h>

struct load_proc {
  uint64_t cpu_ns;      /* time on a processor, user and kernel, of all threads that still run */
  uint64_t resident_kb; /* VmRSS */
};

/* Takes cpu_ns from schedstat, which counts nanoseconds; /proc/<pid>/stat counts ticks of 10 ms.
 * ERR_SYSTEM: there is no such process, or it is somebody else's; errno says why. */
int load_proc_read(pid_t pid, struct load_proc *ret);

#endif
