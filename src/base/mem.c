#include "eventhub/base/mem.h"

#include <string.h>
#include <unistd.h>

/* No stdio: it may want memory itself. */
static _Noreturn void out_of_memory(void) {
  static const char line[] = "eventhub: out of memory\n";
  ssize_t ignored = write(STDERR_FILENO, line, sizeof line - 1);
  (void)ignored;
  abort();
}

void *x_malloc(size_t size) {
  void *ptr = malloc(size ? size : 1);
  if (!ptr) out_of_memory();
  return ptr;
}

void *x_calloc(size_t n, size_t size) {
  void *ptr = n && size ? calloc(n, size) : calloc(1, 1);
  if (!ptr) out_of_memory();
  return ptr;
}

void *x_realloc(void *ptr, size_t size) {
  void *moved = realloc(ptr, size ? size : 1);
  if (!moved) out_of_memory();
  return moved;
}

void *x_memdup(const void *ptr, size_t len) {
  void *copy = x_malloc(len);
  if (len) memcpy(copy, ptr, len);
  return copy;
}

char *x_strndup(const char *ptr, size_t len) {
  char *copy = x_malloc(len + 1);
  if (len) memcpy(copy, ptr, len);
  copy[len] = '\0';
  return copy;
}
