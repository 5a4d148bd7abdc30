/* Locals that give back what they own, and the few macros that everybody uses. */
#ifndef EVENTHUB_BASE_CLEANUP_H
#define EVENTHUB_BASE_CLEANUP_H

#include <stddef.h>
#include <unistd.h>

/* Marks a local that owns something; it is given back on every way out of its block.
 *
 *   AUTO(buf) struct buf text = BUF_INIT;      calls buf_cleanup(&text)
 *   AUTO(blob) struct blob *value = NULL;      calls blob_cleanup(&value)
 *
 * Such a local must have a value from its declaration on. A module offers it by defining
 *
 *   static inline void buf_cleanup(struct buf *buf) { buf_done(buf); }
 *   static inline void blob_cleanup(struct blob **blob) { blob_unref(*blob); }
 *
 * To hand the thing on instead, set the local to NULL (a descriptor: to -1) afterwards. */
#define AUTO(type) __attribute__((cleanup(type##_cleanup)))

/* AUTO(fd) int fd = open(...); is closed unless negative. Keeps errno. */
void fd_cleanup(const int *fd);

/* The struct of which ptr is the member; a compile error when ptr is of another type. */
#define container_of(ptr, type, member)                                                            \
  ((type *)((char *)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* The compiler checks the arguments against the format. Both are positions: of the format, of the
 * first argument, counted from 1. */
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#endif
