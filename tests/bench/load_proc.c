#include "load_proc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/slice.h"

enum { PATH_LEN = 128, LINE_LEN = 256 };

static void dir_cleanup(DIR **dir) {
  if (*dir != NULL) closedir(*dir);
}

/* "run_ns wait_ns slices" of one thread; 0 where it ended meanwhile. */
static uint64_t read_schedstat(const char *path) {
  char line[LINE_LEN] = "";
  FILE *file = fopen(path, "re");
  if (file == NULL) return 0;
  char *read = fgets(line, sizeof line, file);
  fclose(file);
  return read == NULL ? 0 : strtoull(line, NULL, 10);
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

/* The line that begins with `name`; ERR_NOT_FOUND in a process that has ended. */
static int find_line(FILE *file, struct slice name, uint64_t *ret) {
  char line[LINE_LEN];
  while (fgets(line, sizeof line, file) != NULL) {
    if (!slice_starts_with(slice_str(line), name)) continue;
    *ret = strtoull(line + name.len, NULL, 10);
    return 0;
  }
  return ERR_NOT_FOUND;
}

static int read_resident(pid_t pid, uint64_t *ret_kb) {
  char path[PATH_LEN];
  snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  FILE *file = fopen(path, "re");
  if (file == NULL) return ERR_SYSTEM;
  int err = find_line(file, SLICE("VmRSS:"), ret_kb);
  fclose(file);
  return err == 0 ? 0 : ERR_SYSTEM;
}

int load_proc_read(pid_t pid, struct load_proc *ret) {
  struct load_proc proc;
  int err = read_cpu(pid, &proc.cpu_ns);
  if (err == 0) err = read_resident(pid, &proc.resident_kb);
  if (err == 0) *ret = proc;
  return err;
}
