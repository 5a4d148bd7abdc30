#include "eventhub/store/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/log.h"
#include "eventhub/base/mem.h"
#include "eventhub/base/random.h"
#include "eventhub/store/journal_check.h"
#include "eventhub/store/journal_file_parts.h"

/* The map is address space, not memory; it doubles when the file has grown into it. */
static const size_t map_first_bytes = (size_t)1 << 30;

enum { META_NUMBER = 1, GENERATION_NUMBER = 2, MAIN_TABLES = 2 };

/* ---- LMDB's environment ---- */

static void env_close(struct journal_file *file) {
  if (file->env != NULL) mdb_env_close(file->env);
  file->env = NULL;
}

static int env_open(struct journal_file *file) {
  int failed = mdb_env_create(&file->env);
  if (failed != 0) return failed;
  mdb_env_set_maxdbs(file->env, JOURNAL_TABLE_COUNT);
  mdb_env_set_mapsize(file->env, file->map_bytes);
  unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | (file->is_shared ? 0 : MDB_NOLOCK);
  failed = mdb_env_open(file->env, file->place.path.data, flags, 0600);
  if (failed != 0) env_close(file);
  return failed;
}

static int tables_open(struct journal_file *file, MDB_txn *txn, unsigned flags) {
  for (int table = 0; table < JOURNAL_TABLE_COUNT; table++) {
    unsigned kind = table < JOURNAL_NUMBERED ? MDB_INTEGERKEY : 0;
    int failed = mdb_dbi_open(txn, journal_table_name(table), kind | flags, &file->tables[table]);
    if (failed != 0) return failed;
  }
  return 0;
}

static size_t last_commit(const struct journal_file *file) {
  MDB_envinfo info;
  mdb_env_info(file->env, &info);
  return info.me_last_txnid;
}

/* The environment anew, and the tables that are there. */
static int reopen(struct journal_file *file) {
  MDB_txn *txn;
  pthread_mutex_lock(&file->lock);
  env_close(file);
  int failed = env_open(file);
  if (failed == 0) failed = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &txn);
  if (failed == 0) failed = tables_open(file, txn, 0);
  if (failed == 0) failed = mdb_txn_commit(txn);
  if (failed != 0) env_close(file);
  pthread_mutex_unlock(&file->lock);
  return failed;
}

static uint64_t pages_of(MDB_txn *txn, MDB_dbi dbi) {
  MDB_stat stat;
  if (mdb_stat(txn, dbi, &stat) != 0) return 0;
  return stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

static uint64_t pages_in_use(const struct journal_file *file, MDB_txn *txn) {
  uint64_t pages = MAIN_TABLES; /* as many pages describe the whole */
  for (MDB_dbi main = 0; main < MAIN_TABLES; main++)
    pages += pages_of(txn, main);
  for (int table = 0; table < JOURNAL_TABLE_COUNT; table++)
    pages += pages_of(txn, file->tables[table]);
  return pages;
}

static void note_usage(struct journal_file *file, uint64_t pages_used) {
  MDB_envinfo info;
  MDB_stat stat;
  mdb_env_info(file->env, &info);
  mdb_env_stat(file->env, &stat);
  uint64_t pages = info.me_last_pgno + 1;
  uint64_t pages_free = pages > pages_used ? pages - pages_used : 0;
  file->usage = (struct journal_usage){.bytes = pages * stat.ms_psize,
                                       .free_bytes = pages_free * stat.ms_psize};
}

/* ---- changes ---- */

static int remove_key(MDB_txn *txn, MDB_dbi dbi, void *key, size_t len) {
  int failed = mdb_del(txn, dbi, &(MDB_val){len, key}, NULL);
  return failed == MDB_NOTFOUND ? 0 : failed;
}

/* With its expiry. */
static int apply_old(const struct journal_file *file, MDB_txn *txn,
                     const struct journal_changes *all, const struct journal_change *change) {
  char key[JOURNAL_OLD_KEY_BYTES], expiry[JOURNAL_EXPIRY_KEY_BYTES];
  const struct journal_old old = {
      .row = change->number, .id = change->id, .expires_ms = change->expires_ms};
  MDB_dbi messages = file->tables[JOURNAL_OLD], expiries = file->tables[JOURNAL_EXPIRIES];
  int failed = 0;
  journal_old_key(key, old.row, old.id);
  journal_expiry_key(expiry, &old);
  if (change->action == JOURNAL_REMOVE) {
    if (old.expires_ms != 0) failed = remove_key(txn, expiries, expiry, sizeof expiry);
    return failed != 0 ? failed : remove_key(txn, messages, key, sizeof key);
  }
  MDB_val nothing = {0, expiry},
          value = journal_val(slice_of(all->bytes.data + change->at, change->len));
  if (old.expires_ms != 0)
    failed = mdb_put(txn, expiries, &(MDB_val){sizeof expiry, expiry}, &nothing, 0);
  return failed != 0 ? failed : mdb_put(txn, messages, &(MDB_val){sizeof key, key}, &value, 0);
}

static int apply(const struct journal_file *file, MDB_txn *txn, const struct journal_changes *all,
                 const struct journal_change *change) {
  if (change->table == JOURNAL_OLD) return apply_old(file, txn, all, change);
  MDB_dbi dbi = file->tables[change->table];
  uint64_t number = change->number;
  MDB_val key = {sizeof number, &number};
  if (change->action == JOURNAL_NOTHING) return 0;
  if (change->action == JOURNAL_REMOVE) return remove_key(txn, dbi, &number, sizeof number);
  MDB_val value = journal_val(slice_of(all->bytes.data + change->at, change->len));
  unsigned flags = change->table == JOURNAL_BLOCKS ? MDB_APPEND : 0;
  return mdb_put(txn, dbi, &key, &value, flags);
}

/* Blocks that were given up, and stand in spite of that. */
static int remove_blocks_from(const struct journal_file *file, MDB_txn *txn, uint64_t first) {
  MDB_cursor *cursor;
  MDB_val key, value;
  uint64_t number;
  int failed = mdb_cursor_open(txn, file->tables[JOURNAL_BLOCKS], &cursor);
  if (failed != 0) return failed;
  while ((failed = mdb_cursor_get(cursor, &key, &value, MDB_LAST)) == 0) {
    memcpy(&number, key.mv_data, sizeof number);
    if (number < first || (failed = mdb_cursor_del(cursor, 0)) != 0) break;
  }
  mdb_cursor_close(cursor);
  return failed == MDB_NOTFOUND ? 0 : failed;
}

static int drop_doubtful(const struct journal_file *file, MDB_txn *txn,
                         const struct journal_changes *changes) {
  for (size_t i = 0; file->is_doubtful && i < changes->count; i++) {
    const struct journal_change *change = &changes->items[i];
    if (change->table == JOURNAL_BLOCKS && change->action == JOURNAL_PUT)
      return remove_blocks_from(file, txn, change->number);
  }
  return 0;
}

static int apply_all(const struct journal_file *file, MDB_txn *txn,
                     const struct journal_changes *changes) {
  int failed = drop_doubtful(file, txn, changes);
  for (size_t i = 0; failed == 0 && i < changes->count; i++)
    failed = apply(file, txn, changes, &changes->items[i]);
  return failed;
}

static int write_once(struct journal_file *file, const struct journal_changes *changes) {
  MDB_txn *txn;
  int failed = mdb_txn_begin(file->env, NULL, 0, &txn);
  if (failed != 0) return failed;
  failed = apply_all(file, txn, changes);
  if (failed != 0) {
    mdb_txn_abort(txn);
    return failed;
  }
  uint64_t pages_used = pages_in_use(file, txn);
  failed = mdb_txn_commit(txn);
  if (failed != 0) return failed;
  note_usage(file, pages_used);
  file->commit = last_commit(file);
  return 0;
}

static int write_growing(struct journal_file *file, const struct journal_changes *changes) {
  for (;;) {
    int failed = write_once(file, changes);
    if (failed != MDB_MAP_FULL) return failed;
    pthread_mutex_lock(&file->lock); /* nobody may be reading */
    failed = mdb_env_set_mapsize(file->env, file->map_bytes * 2);
    pthread_mutex_unlock(&file->lock);
    if (failed != 0) return failed;
    file->map_bytes *= 2;
  }
}

/* ---- failures ---- */

/* Is there no room for a few pages more? */
static bool has_no_room(const struct journal_file *file) {
  enum { ROOM_BYTES = 1 << 20 };
  struct statvfs disk;
  struct stat status;
  struct rlimit limit;
  if (fstatvfs(file->place.fd, &disk) == 0 && disk.f_bavail * disk.f_frsize < ROOM_BYTES)
    return true;
  if (fstat(file->place.fd, &status) != 0 || getrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
  return limit.rlim_cur != RLIM_INFINITY && (rlim_t)status.st_size + ROOM_BYTES > limit.rlim_cur;
}

/* LMDB makes an input/output error of a write that was cut short, as the last one that fits is. */
static bool is_full(const struct journal_file *file, int failed) {
  if (failed == EIO) return has_no_room(file);
  return failed == ENOSPC || failed == EDQUOT || failed == EFBIG;
}

static int note_problem(struct journal_file *file, int failed) {
  bool is_for_room = is_full(file, failed);
  const char *what = is_for_room && failed == EIO ? "no space is left" : mdb_strerror(failed);
  snprintf(file->problem, sizeof file->problem, "%s", what);
  return is_for_room ? ERR_FULL : ERR_SYSTEM;
}

/* A commit has failed. Whether it stands after all says the file, where it can be opened again. */
static int settle_failure(struct journal_file *file, int failed) {
  int err = note_problem(file, failed);
  file->is_doubtful = true;
  if (reopen(file) != 0) return ERR_UNAVAILABLE;
  if (last_commit(file) == file->commit) return err;
  if (mdb_env_sync(file->env, 1) != 0) return ERR_UNAVAILABLE;
  file->commit = last_commit(file);
  return 0;
}

/* What was looked at by way of the map counts as our memory until that is made anew. It stays where
 * the kernel has it, in the cache of the file. */
static void let_go_of_pages(struct journal_file *file, size_t bytes) {
  enum { OFTEN_BYTES = 64 << 20 };
  file->touched += bytes;
  if (file->touched < OFTEN_BYTES) return;
  file->touched = 0;
  reopen(file); /* where that fails, the next write tries again */
}

int journal_file_write(struct journal_file *file, const struct journal_changes *changes) {
  int failed = file->env == NULL ? reopen(file) : 0;
  if (failed != 0) return note_problem(file, failed);
  failed = write_growing(file, changes);
  if (failed != 0) return settle_failure(file, failed);
  file->is_doubtful = false;
  let_go_of_pages(file, changes->bytes.len);
  return 0;
}

const char *journal_file_problem(const struct journal_file *file) {
  return file->problem;
}

struct journal_usage journal_file_usage(const struct journal_file *file) {
  return file->usage;
}

uint64_t journal_file_generation(const struct journal_file *file) {
  return file->generation;
}

struct journal_meta journal_file_meta(const struct journal_file *file) {
  return file->meta;
}

/* ---- reading ---- */

static int visit_all(MDB_cursor *cursor, enum journal_table table, uint64_t first,
                     journal_visit_fn *visit, void *context) {
  MDB_val key = {sizeof first, &first}, value;
  struct slice bytes;
  uint64_t number;
  int failed = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
  for (; failed == 0; failed = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
    memcpy(&number, key.mv_data, sizeof number);
    if (journal_value_open(slice_of(value.mv_data, value.mv_size), table, number, &bytes) < 0)
      return ERR_INVALID;
    int err = visit(context, number, bytes);
    if (err != 0) return err;
  }
  return failed == MDB_NOTFOUND ? 0 : ERR_INVALID;
}

static int walk_locked(struct journal_file *file, enum journal_table table, uint64_t first,
                       journal_visit_fn *visit, void *context) {
  MDB_txn *txn;
  MDB_cursor *cursor;
  int err = ERR_SYSTEM;
  if (file->env == NULL || mdb_txn_begin(file->env, NULL, MDB_RDONLY, &txn) != 0) return err;
  if (mdb_cursor_open(txn, file->tables[table], &cursor) == 0) {
    err = visit_all(cursor, table, first, visit, context);
    mdb_cursor_close(cursor);
  }
  mdb_txn_abort(txn);
  return err;
}

int journal_file_walk(struct journal_file *file, enum journal_table table, uint64_t first,
                      journal_visit_fn *visit, void *context) {
  pthread_mutex_lock(&file->lock);
  int err = walk_locked(file, table, first, visit, context);
  pthread_mutex_unlock(&file->lock);
  return err;
}

int journal_file_rest(struct journal_file *file, bool is_shared) {
  file->is_shared = is_shared;
  return reopen(file) == 0 ? 0 : ERR_SYSTEM;
}

/* ---- opening ---- */

static int refuse(const struct journal_file *file, struct buf *why, const char *what,
                  const char *advice) {
  buf_printf(why, "%s %s%s", file->place.path.data, what, advice);
  return ERR_INVALID;
}

static int refuse_damaged(const struct journal_file *file, struct buf *why, const char *damage) {
  AUTO(buf) struct buf what = BUF_INIT;
  buf_printf(&what,
             "is damaged (%s). To start without what is in it, move it aside: mv %s %s.damaged; "
             "else put a copy from before in its place",
             damage, file->place.path.data, file->place.path.data);
  return refuse(file, why, what.data, "");
}

static int refuse_lmdb(const struct journal_file *file, struct buf *why, const char *what,
                       int failed) {
  buf_printf(why, "%s %s: %s", file->place.path.data, what, mdb_strerror(failed));
  return ERR_SYSTEM;
}

static int check(const struct journal_file *file, struct buf *why) {
  AUTO(buf) struct buf damage = BUF_INIT;
  int err = journal_check(file->place.path.data, &damage);
  if (err == 0) return 0;
  if (err == ERR_SYSTEM) return refuse_lmdb(file, why, "cannot be checked", errno);
  buf_append_char(&damage, '\0');
  return refuse_damaged(file, why, damage.data);
}

static int read_meta(void *context, uint64_t number, struct slice bytes) {
  struct journal_file *file = context;
  if (number == GENERATION_NUMBER) return journal_read_generation(bytes, &file->generation);
  return number == META_NUMBER ? journal_read_meta(bytes, &file->meta) : 0;
}

static bool holds_nothing(struct journal_file *file) {
  MDB_stat stat;
  return mdb_env_stat(file->env, &stat) == 0 && stat.ms_entries == 0;
}

static void put_description(struct journal_changes *changes, uint64_t number, struct buf *value) {
  journal_value_seal(value, JOURNAL_META, number);
  journal_changes_put(changes, JOURNAL_META, number, buf_slice(value));
}

void journal_changes_put_meta(struct journal_changes *changes, const struct journal_meta *meta) {
  AUTO(buf) struct buf value = BUF_INIT;
  journal_value_begin(&value);
  journal_append_meta(&value, meta);
  put_description(changes, META_NUMBER, &value);
}

void journal_changes_put_generation(struct journal_changes *changes, uint64_t generation) {
  AUTO(buf) struct buf value = BUF_INIT;
  journal_value_begin(&value);
  journal_append_generation(&value, generation);
  put_description(changes, GENERATION_NUMBER, &value);
}

static int fill_txn(struct journal_file *file, MDB_txn *txn) {
  struct journal_changes changes;
  int failed = tables_open(file, txn, MDB_CREATE);
  if (failed != 0) return failed;
  journal_changes_init(&changes);
  journal_changes_put_meta(&changes, &file->meta);
  journal_changes_put_generation(&changes, file->generation);
  failed = apply_all(file, txn, &changes);
  journal_changes_done(&changes);
  return failed;
}

/* The name in the directory has to last, too. */
static void sync_directory(const char *directory) {
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

static int fill_new(struct journal_file *file, const char *directory,
                    const struct journal_meta *fresh, struct buf *why) {
  MDB_txn *txn;
  file->meta = *fresh;
  file->generation = random_u64(); /* no older log has it, and nobody can know it */
  file->place.is_empty = true;
  int failed = mdb_txn_begin(file->env, NULL, 0, &txn);
  if (failed != 0) return refuse_lmdb(file, why, "cannot be written", failed);
  failed = fill_txn(file, txn);
  if (failed != 0) {
    mdb_txn_abort(txn);
    return refuse_lmdb(file, why, "cannot be written", failed);
  }
  failed = mdb_txn_commit(txn);
  if (failed != 0) return refuse_lmdb(file, why, "cannot be written", failed);
  sync_directory(directory);
  return 0;
}

/* Also of a file that has them in an older format: those of format 1 are there in all of them. */
static int read_description(struct journal_file *file, struct buf *why) {
  MDB_txn *txn;
  int failed = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &txn);
  if (failed != 0) return refuse_lmdb(file, why, "cannot be read", failed);
  for (int table = 0; table < JOURNAL_NUMBERED && failed == 0; table++)
    failed = mdb_dbi_open(txn, journal_table_name(table), MDB_INTEGERKEY, &file->tables[table]);
  if (failed != 0) {
    mdb_txn_abort(txn);
    return refuse(file, why, "is a database of another program: ",
                  "name an empty directory or one that eventhub has made");
  }
  mdb_txn_commit(txn);
  if (journal_file_walk(file, JOURNAL_META, 0, read_meta, file) < 0)
    return refuse_damaged(file, why, "its description cannot be read");
  return 0;
}

static int open_tables(struct journal_file *file, struct buf *why) {
  MDB_txn *txn;
  int failed = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &txn);
  if (failed != 0) return refuse_lmdb(file, why, "cannot be read", failed);
  failed = tables_open(file, txn, 0);
  if (failed != 0) {
    mdb_txn_abort(txn);
    return refuse_damaged(file, why, "a table is missing");
  }
  note_usage(file, pages_in_use(file, txn));
  mdb_txn_commit(txn);
  return 0;
}

static int check_format(const struct journal_file *file, struct buf *why) {
  if (file->meta.format != 0 && file->meta.format <= JOURNAL_FORMAT) return 0;
  if (file->meta.format == 0) return refuse_damaged(file, why, "it does not say its format");
  AUTO(buf) struct buf what = BUF_INIT;
  buf_printf(&what, "was written by a newer version (format %u, this one reads up to %d): ",
             file->meta.format, JOURNAL_FORMAT);
  return refuse(file, why, what.data, "use that version, or another directory");
}

/* Makes the tables that an older format does not have, and writes its rows anew: all or nothing,
 * but for empty tables. */
static int upgrade(struct journal_file *file, struct buf *why) {
  MDB_txn *txn;
  uint32_t format = file->meta.format;
  int failed = mdb_txn_begin(file->env, NULL, 0, &txn);
  if (failed != 0) return refuse_lmdb(file, why, "cannot be upgraded", failed);
  failed = tables_open(file, txn, MDB_CREATE);
  if (failed == 0) {
    failed = mdb_txn_commit(txn);
  } else {
    mdb_txn_abort(txn);
  }
  if (failed != 0) return refuse_lmdb(file, why, "cannot be upgraded", failed);
  file->commit = last_commit(file);
  if (journal_upgrade(file) < 0) return refuse(file, why, "cannot be upgraded: ", file->problem);
  log_info("journal upgraded", LOG_STR("file", file->place.path.data), LOG_UINT("from", format),
           LOG_UINT("to", JOURNAL_FORMAT));
  return 0;
}

static int open_filled(struct journal_file *file, struct buf *why) {
  int err = read_description(file, why);
  if (err == 0) err = check_format(file, why);
  if (err == 0 && file->meta.format < JOURNAL_FORMAT) err = upgrade(file, why);
  return err == 0 ? open_tables(file, why) : err;
}

static int open_env(struct journal_file *file, const char *directory,
                    const struct journal_meta *fresh, struct buf *why) {
  int failed = env_open(file);
  if (failed == MDB_INVALID || failed == MDB_VERSION_MISMATCH)
    return refuse_damaged(file, why, mdb_strerror(failed));
  if (failed != 0) return refuse_lmdb(file, why, "cannot be opened", failed);
  int err = holds_nothing(file) ? fill_new(file, directory, fresh, why) : open_filled(file, why);
  file->commit = err == 0 ? last_commit(file) : 0;
  return err;
}

int journal_file_open(const char *directory, const struct journal_meta *fresh,
                      struct journal_file **ret, struct buf *why) {
  struct journal_file *file = x_calloc(1, sizeof *file);
  *ret = NULL;
  file->map_bytes = map_first_bytes;
  pthread_mutex_init(&file->lock, NULL);
  int err = journal_place_open(&file->place, directory, why);
  if (err == 0 && !file->place.is_empty) err = check(file, why);
  if (err == 0) err = open_env(file, directory, fresh, why);
  if (err == 0) {
    *ret = file;
    return 0;
  }
  env_close(file);
  journal_place_undo(&file->place, directory);
  pthread_mutex_destroy(&file->lock);
  free(file);
  return err;
}

void journal_file_close(struct journal_file *file) {
  if (file == NULL) return;
  env_close(file);
  journal_place_close(&file->place);
  pthread_mutex_destroy(&file->lock);
  free(file);
}
