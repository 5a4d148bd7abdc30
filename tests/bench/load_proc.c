#include "load_proc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"

enum { PATH_LEN = 128, LINE_LEN = 256 };

static void dir_cleanup(DIR **dir) {
  if (*dir != NULL) closedir(*dir);
}

static void file_cleanup(FILE **file) {
  if (*file != NULL) fclose(*file);
}

/* "run_ns wait_ns slices" of one thread; 0 where it ended meanwhile. */
static uint64_t read_schedstat(const char *path) {
  char line[LINE_LEN];
  AUTO(file) FILE *file = fopen(path, "re");
  if (file == NULL || fgets(line, sizeof line, file) == NULL) return 0;
  return strtoull(line, NULL, 10);
}

static int read_cpu(pid_t pid, uint64_t *ret_ns) {
  char path[PATH_LEN];
  snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
  AUTO(dir) DIR *tasks = opendir(path);
  if (tasks == NULL) return ERR_SYSTEM;
  uint64_t sum_ns = 0;
  for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
    long thread = strtol(task->d_name, NULL, 10); /* 0: "." and ".." */
    if (thread == 0) continue;
    snprintf(path, sizeof path, "/proc/%d/task/%ld/schedstat", (int)pid, thread);
    sum_ns += read_schedstat(path);
  }
  *ret_ns = sum_ns;
  return 0;
}

static int read_resident(pid_t pid, uint64_t *ret_kb) {
  static const char name[] = "VmRSS:";
  char path[PATH_LEN], line[LINE_LEN];
  snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  AUTO(file) FILE *file = fopen(path, "re");
  if (file == NULL) return ERR_SYSTEM;
  while (fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, name, sizeof name - 1) != 0) continue;
    *ret_kb = strtoull(line + sizeof name - 1, NULL, 10);
    return 0;
  }
  return ERR_SYSTEM; /* a process that has ended has no memory */
}

int load_proc_read(pid_t pid, struct load_proc *ret) {
  struct load_proc proc;
  if (read_cpu(pid, &proc.cpu_ns) < 0 || read_resident(pid, &proc.resident_kb) < 0)
    return ERR_SYSTEM;
  *ret = proc;
  return 0;
}
