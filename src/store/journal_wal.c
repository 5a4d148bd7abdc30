#include "eventhub/store/journal_wal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"

enum {
  SECTOR = 512,
  KEEP_BYTES = 32 << 20 /* the file is cut to that when a generation has needed more */
};

/* As the machine writes it: so is the file of LMDB. */
struct head {
  char magic[8];
  uint64_t generation, number;
  uint64_t len;      /* of what follows */
  uint64_t checksum; /* of what follows, bound to all of the above */
};

struct change_head {
  uint64_t number;
  uint32_t len;
  uint8_t table, action;
  uint8_t unused[2];
};

static const char magic[8] = "EHwal\r\n\x01";

static uint64_t checksum(const struct head *head, const char *bytes) {
  uint64_t bound = XXH3_64bits(head, offsetof(struct head, checksum));
  return XXH3_64bits_withSeed(bytes, head->len, bound);
}

static size_t padded(size_t len) {
  return (len + SECTOR - 1) / SECTOR * SECTOR;
}

int journal_wal_open(struct journal_wal *wal, const char *directory, struct buf *why) {
  AUTO(buf) struct buf path = BUF_INIT;
  *wal = (struct journal_wal){.record = BUF_INIT};
  buf_printf(&path, "%s/" JOURNAL_WAL_NAME, directory);
  wal->fd = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (wal->fd >= 0) return 0;
  buf_printf(why, "DATA_DIR=%s does not let " JOURNAL_WAL_NAME " be opened for writing: %s",
             directory, strerror(errno));
  return ERR_SYSTEM;
}

void journal_wal_close(struct journal_wal *wal) {
  if (wal->fd >= 0) close(wal->fd);
  wal->fd = -1;
  buf_done(&wal->record);
}

/* ---- reading ---- */

/* The record that begins there: its whole length, 0 where there is none. */
static size_t record_at(struct slice log, size_t at, uint64_t generation, struct head *ret) {
  if (log.len - at < sizeof *ret) return 0;
  memcpy(ret, log.ptr + at, sizeof *ret);
  if (memcmp(ret->magic, magic, sizeof magic) != 0 || ret->generation != generation) return 0;
  if (ret->len > log.len - at - sizeof *ret) return 0;
  if (ret->checksum != checksum(ret, log.ptr + at + sizeof *ret)) return 0;
  return sizeof *ret + ret->len;
}

static int add_changes(struct slice bytes, struct journal_changes *ret) {
  struct change_head head;
  while (bytes.len > 0) {
    if (bytes.len < sizeof head) return ERR_INVALID;
    memcpy(&head, bytes.ptr, sizeof head);
    bytes = slice_skip(bytes, sizeof head);
    if (head.len > bytes.len || head.table >= JOURNAL_TABLE_COUNT) return ERR_INVALID;
    if (head.action == JOURNAL_PUT) {
      journal_changes_put(ret, head.table, head.number, slice_of(bytes.ptr, head.len));
    } else {
      journal_changes_remove(ret, head.table, head.number);
    }
    bytes = slice_skip(bytes, head.len);
  }
  return 0;
}

static bool has_later_records(struct slice log, size_t at, uint64_t generation, uint64_t number) {
  struct head head;
  for (; at < log.len; at += SECTOR)
    if (record_at(log, at, generation, &head) > 0 && head.number > number) return true;
  return false;
}

static int read_log(struct slice log, uint64_t generation, struct journal_changes *ret) {
  struct head head;
  size_t at = 0, len;
  uint64_t number = 0;
  for (; at < log.len && (len = record_at(log, at, generation, &head)) > 0; number++) {
    if (head.number != number) return ERR_INVALID;
    if (add_changes(slice_of(log.ptr + at + sizeof head, head.len), ret) < 0) return ERR_INVALID;
    at += padded(len);
  }
  return has_later_records(log, at, generation, number) ? ERR_INVALID : 0;
}

int journal_wal_read(struct journal_wal *wal, uint64_t generation, struct journal_changes *ret) {
  struct stat file;
  if (fstat(wal->fd, &file) != 0) return ERR_SYSTEM;
  size_t len = (size_t)file.st_size;
  if (len == 0) return 0;
  char *bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, wal->fd, 0);
  if (bytes == MAP_FAILED) return ERR_SYSTEM;
  int err = read_log(slice_of(bytes, len), generation, ret);
  munmap(bytes, len);
  if (err < 0) journal_changes_clear(ret);
  return err;
}

/* ---- writing ---- */

void journal_wal_begin(struct journal_wal *wal, uint64_t generation) {
  if (wal->at > KEEP_BYTES && ftruncate(wal->fd, KEEP_BYTES) != 0) wal->error = errno;
  wal->generation = generation;
  wal->next = wal->at = 0;
}

static void append_change(struct buf *record, const struct journal_changes *changes,
                          const struct journal_change *change) {
  if (change->action == JOURNAL_NOTHING) return;
  const struct change_head head = {.number = change->number,
                                   .len = (uint32_t)change->len,
                                   .table = (uint8_t)change->table,
                                   .action = (uint8_t)change->action};
  buf_append(record, &head, sizeof head);
  buf_append(record, changes->bytes.data + change->at, change->len);
}

static void build(struct journal_wal *wal, const struct journal_changes *changes, size_t n) {
  struct buf *record = &wal->record;
  struct head head = {.generation = wal->generation, .number = wal->next};
  memcpy(head.magic, magic, sizeof magic);
  buf_clear(record);
  buf_append(record, &head, sizeof head);
  for (; n < changes->count; n++)
    append_change(record, changes, &changes->items[n]);
  head.len = record->len - sizeof head;
  head.checksum = checksum(&head, record->data + sizeof head);
  memcpy(record->data, &head, sizeof head);
  size_t rest = padded(record->len) - record->len;
  if (rest > 0) memset(buf_reserve(record, rest), 0, rest);
  buf_commit(record, rest);
}

static bool write_all(struct journal_wal *wal) {
  size_t done = 0;
  while (done < wal->record.len) {
    ssize_t len =
        pwrite(wal->fd, wal->record.data + done, wal->record.len - done, (off_t)(wal->at + done));
    if (len < 0 && errno == EINTR) continue;
    if (len <= 0) return false;
    done += (size_t)len;
  }
  return true;
}

static int failure_of(struct journal_wal *wal) {
  wal->error = errno;
  bool is_full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
  return is_full ? ERR_FULL : ERR_SYSTEM;
}

int journal_wal_append(struct journal_wal *wal, const struct journal_changes *changes, size_t n) {
  build(wal, changes, n);
  if (!write_all(wal)) return failure_of(wal);
  if (fdatasync(wal->fd) != 0) {
    failure_of(wal);
    return ERR_UNAVAILABLE;
  }
  wal->at += wal->record.len;
  wal->next++;
  if (wal->record.cap > KEEP_BYTES) buf_done(&wal->record);
  return 0;
}

/* Zeroes are no record. */
int journal_wal_probe(struct journal_wal *wal) {
  enum { PROBE_BYTES = 64 * 1024 };
  buf_clear(&wal->record);
  memset(buf_reserve(&wal->record, PROBE_BYTES), 0, PROBE_BYTES);
  buf_commit(&wal->record, PROBE_BYTES);
  return write_all(wal) && fdatasync(wal->fd) == 0 ? 0 : failure_of(wal);
}
