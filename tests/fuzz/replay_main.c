/*
 * Stands in for libFuzzer: feeds every file of a corpus directory (argument 1) to the fuzz target,
 * each at its exact length on the heap, so that a sanitizer sees one byte too many. Prints one TAP
 * line. An empty corpus is a failure, as it would test nothing.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 };

static int is_visible(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

static int replay_file(const char *directory, const char *name) {
  static uint8_t bytes[INPUT_MAX];
  char path[4096];
  int path_len = snprintf(path, sizeof(path), "%s/%s", directory, name);
  if (path_len < 0 || (size_t)path_len >= sizeof(path)) return -1;
  FILE *file = fopen(path, "rb");
  if (file == NULL) return -1;
  size_t len = fread(bytes, 1, sizeof(bytes), file);
  (void)fclose(file);

  uint8_t *exact = malloc(len > 0 ? len : 1);
  if (exact == NULL) return -1;
  memcpy(exact, bytes, len);
  (void)LLVMFuzzerTestOneInput(exact, len);
  free(exact);
  return 0;
}

/* Sorted, so that a crash is found at the same input each time. */
static int replay_directory(const char *directory) {
  struct dirent **entries = NULL;
  int count = scandir(directory, &entries, is_visible, alphasort);
  int replayed = 0;
  for (int i = 0; i < count; i++) {
    if (replay_file(directory, entries[i]->d_name) == 0) replayed++;
    free(entries[i]);
  }
  free(entries);
  return replayed == count ? replayed : -1;
}

int main(int argc, char **argv) {
  if (argc != 2) {
    (void)fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
    return 2;
  }
  int replayed = replay_directory(argv[1]);
  if (replayed <= 0) {
    printf("not ok 1 - no corpus to replay, or an unreadable file, in %s\n", argv[1]);
    return 1;
  }
  printf("ok 1 - replayed %d inputs of %s\n", replayed, argv[1]);
  return 0;
}
