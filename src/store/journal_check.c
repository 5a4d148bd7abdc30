#include "eventhub/store/journal_check.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"

/* Where LMDB keeps two descriptions of the whole, written in turn, each with the number of its
 * commit: at the start of the first two pages. Without this check a flipped bit in the newer one
 * could bring back the state before the last commit. */
enum {
  META_MAGIC = 0xbeefc0deu,
  META_AT = 16,
  META_PAGE_SIZE_AT = 40,
  META_LAST_PAGE_AT = 136,
  META_COMMIT_AT = 144
};

const char *journal_table_name(enum journal_table table) {
  static const char *const names[JOURNAL_TABLE_COUNT] = {
      [JOURNAL_META] = "meta", [JOURNAL_BLOCKS] = "blocks", [JOURNAL_TOPICS] = "topics",
      [JOURNAL_KV] = "kv",     [JOURNAL_OLD] = "old",       [JOURNAL_EXPIRIES] = "expiries",
  };
  return names[table];
}

/* ---- in the child: what is wrong goes to a pipe, and ends it ---- */

static const char too_short[] = "the file is too short";
static int complaint_fd;

static _Noreturn void complain(const char *what) {
  ssize_t ignored = write(complaint_fd, what, strlen(what));
  (void)ignored;
  _exit(1);
}

static void on_assert(MDB_env *env, const char *message) {
  (void)env;
  complain(message);
}

static void require(int failed) {
  if (failed) complain(mdb_strerror(failed));
}

static void read_at(int fd, void *out, size_t len, size_t at) {
  if (pread(fd, out, len, (off_t)at) != (ssize_t)len) complain("the file is too short");
}

static uint64_t read_commit(int fd, size_t page_at) {
  uint32_t magic;
  uint64_t commit;
  read_at(fd, &magic, sizeof magic, page_at + META_AT);
  read_at(fd, &commit, sizeof commit, page_at + META_COMMIT_AT);
  if (magic != META_MAGIC) complain("a page that describes the whole is damaged");
  return commit;
}

static void check_commits(int fd) {
  uint32_t page_size;
  read_at(fd, &page_size, sizeof page_size, META_PAGE_SIZE_AT);
  uint64_t first = read_commit(fd, 0), second = read_commit(fd, page_size);
  uint64_t apart = first > second ? first - second : second - first;
  bool is_fresh = first <= 1 && second <= 1;
  if (apart != 1 && !is_fresh) complain("the pages that describe the whole contradict each other");
}

static void check_records(struct slice bytes) {
  struct journal_record record;
  int got;
  while ((got = journal_next_record(&bytes, &record)) > 0) {}
  if (got < 0) complain("a record is damaged");
}

static void check_numbered(enum journal_table table, const MDB_val *key, const MDB_val *value) {
  uint64_t number;
  struct slice bytes;
  if (key->mv_size != sizeof number) complain("a number is damaged");
  memcpy(&number, key->mv_data, sizeof number);
  if (journal_value_open(slice_of(value->mv_data, value->mv_size), table, number, &bytes) < 0)
    complain("a checksum is wrong");
  if (table == JOURNAL_BLOCKS) check_records(bytes);
}

static void check_value(enum journal_table table, const MDB_val *key, const MDB_val *value) {
  struct journal_old old;
  struct slice name = slice_of(key->mv_data, key->mv_size);
  if (table < JOURNAL_NUMBERED) {
    check_numbered(table, key, value);
  } else if (table == JOURNAL_EXPIRIES) {
    if (journal_read_expiry_key(name, &old) < 0) complain("the time of an expiry is damaged");
  } else if (journal_read_old(name, slice_of(value->mv_data, value->mv_size), &old) < 0) {
    complain("a checksum is wrong");
  }
}

/* The last key, for the order. */
struct last_key {
  char bytes[JOURNAL_EXPIRY_KEY_BYTES];
  size_t len;
};

static void check_order(MDB_txn *txn, MDB_dbi dbi, struct last_key *last, const MDB_val *key) {
  MDB_val before = {last->len, last->bytes};
  if (key->mv_size > sizeof last->bytes) complain("a key is damaged");
  if (last->len > 0 && mdb_cmp(txn, dbi, key, &before) <= 0) complain("the order is damaged");
  memcpy(last->bytes, key->mv_data, key->mv_size);
  last->len = key->mv_size;
}

static void check_table(MDB_txn *txn, enum journal_table table) {
  MDB_dbi dbi;
  MDB_stat stat;
  MDB_cursor *cursor;
  MDB_val key, value;
  struct last_key last = {.len = 0};
  uint64_t count = 0;
  unsigned kind = table < JOURNAL_NUMBERED ? MDB_INTEGERKEY : 0;
  int failed = mdb_dbi_open(txn, journal_table_name(table), kind, &dbi);
  if (failed == MDB_NOTFOUND) return; /* seen by whoever opens it */
  require(failed);
  require(mdb_stat(txn, dbi, &stat));
  require(mdb_cursor_open(txn, dbi, &cursor));
  while ((failed = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
    if (++count > stat.ms_entries) complain("there are more entries than there should be");
    check_value(table, &key, &value);
    check_order(txn, dbi, &last, &key);
  }
  if (failed != MDB_NOTFOUND) require(failed);
  if (count != stat.ms_entries) complain("entries are missing");
  mdb_cursor_close(cursor);
}

/* Pages that are free, by the commit that freed them: falling numbers behind their count. Answers
 * how many of them lie at or behind `end`. */
static size_t check_free_pages(MDB_txn *txn, size_t last_page, size_t end) {
  enum { FREE_PAGES = 0 };
  MDB_cursor *cursor;
  MDB_val key, value;
  MDB_stat stat;
  int failed;
  size_t count = 0, behind = 0;
  require(mdb_stat(txn, FREE_PAGES, &stat));
  require(mdb_cursor_open(txn, FREE_PAGES, &cursor));
  while ((failed = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
    if (++count > stat.ms_entries) complain("the list of free pages is damaged");
    const size_t *pages = value.mv_data;
    size_t room = value.mv_size / sizeof *pages;
    if (room == 0 || pages[0] >= room) complain("the list of free pages is damaged");
    for (size_t i = 1; i <= pages[0]; i++) {
      if (pages[i] < 2 || pages[i] > last_page || (i > 1 && pages[i] >= pages[i - 1]))
        complain("the list of free pages is damaged");
      if (pages[i] >= end) behind++;
    }
  }
  if (failed != MDB_NOTFOUND) require(failed);
  mdb_cursor_close(cursor);
  return behind;
}

/* Pages that a commit has taken and freed again are never written: where they are the last ones,
 * the file may well end before them. Where others are missing, looking for the free ones may end
 * this process. */
static void check_pages(const char *path, MDB_env *env, MDB_txn *txn) {
  MDB_envinfo info;
  MDB_stat stat;
  struct stat file;
  require(mdb_env_info(env, &info));
  require(mdb_env_stat(env, &stat));
  if (lstat(path, &file) != 0) complain(strerror(errno));
  size_t end = (size_t)file.st_size / stat.ms_psize, last = info.me_last_pgno;
  size_t missing = end <= last ? last + 1 - end : 0;
  if (check_free_pages(txn, last, end) < missing) complain(too_short);
}

/* What is damaged may well end this process: that is no crash that anybody has to report. */
static void die_quietly(void) {
  static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
  for (size_t i = 0; i < ARRAY_LEN(signals); i++)
    signal(signals[i], SIG_DFL);
  int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) dup2(nowhere, STDERR_FILENO); /* sanitizers do not let go of signals */
}

static _Noreturn void check_all(const char *path) {
  die_quietly();
  struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) complain(strerror(errno));
  check_commits(fd);
  MDB_env *env;
  MDB_txn *txn;
  require(mdb_env_create(&env));
  mdb_env_set_assert(env, on_assert);
  require(mdb_env_set_maxdbs(env, JOURNAL_TABLE_COUNT));
  require(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_RDONLY, 0));
  require(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
  check_pages(path, env, txn);
  for (int table = 0; table < JOURNAL_TABLE_COUNT; table++)
    check_table(txn, table);
  _exit(0);
}

/* ---- in the parent ---- */

static void read_complaint(int fd, struct buf *why) {
  char text[256];
  ssize_t len;
  while ((len = read(fd, text, sizeof text)) > 0 || (len < 0 && errno == EINTR)) {
    if (len > 0) buf_append(why, text, (size_t)len);
  }
}

/* Does the newer description count more pages than there are? */
static bool is_cut_off(const char *path) {
  uint64_t last_page[2] = {0, 0};
  uint32_t page_size = 0;
  struct stat file = {.st_size = 0};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool is_read =
      fstat(fd, &file) == 0 &&
      pread(fd, &page_size, sizeof page_size, META_PAGE_SIZE_AT) == sizeof page_size &&
      pread(fd, &last_page[0], sizeof last_page[0], META_LAST_PAGE_AT) == sizeof last_page[0] &&
      pread(fd, &last_page[1], sizeof last_page[1], (off_t)page_size + META_LAST_PAGE_AT) ==
          sizeof last_page[1];
  close(fd);
  uint64_t last = last_page[0] > last_page[1] ? last_page[0] : last_page[1];
  return is_read && page_size > 0 && (uint64_t)file.st_size / page_size <= last;
}

/* How the child ended. */
static int await(pid_t child, const char *path, struct buf *why) {
  int status;
  pid_t got;
  do {
    got = waitpid(child, &status, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return ERR_SYSTEM;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  if (why->len == 0)
    buf_append_str(why, is_cut_off(path) ? too_short : "its pages contradict each other");
  return ERR_INVALID;
}

int journal_check(const char *path, struct buf *why) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ERR_SYSTEM;
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    complaint_fd = ends[1];
    check_all(path);
  }
  int fork_errno = errno;
  close(ends[1]);
  if (child > 0) read_complaint(ends[0], why);
  close(ends[0]);
  if (child > 0) return await(child, path, why);
  errno = fork_errno;
  return ERR_SYSTEM;
}
