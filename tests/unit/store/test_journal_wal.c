#include "eventhub/store/journal_wal.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"

enum { PATH_BYTES = 128, SECTOR = 512, GENERATION = 7 };

static char directory[] = "/tmp/eventhub-wal-XXXXXX";
static char path[PATH_BYTES];
static struct journal_wal wal;

static int set_up(void **state) {
  (void)state;
  AUTO(buf) struct buf why = BUF_INIT;
  unlink(path);
  assert_int_equal(journal_wal_open(&wal, directory, &why), 0);
  journal_wal_begin(&wal, GENERATION);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  journal_wal_close(&wal);
  return 0;
}

/* One record that puts so many bytes under the number. */
static int append(uint64_t number, size_t len) {
  static char bytes[4096];
  struct journal_changes changes;
  memset(bytes, 'a' + (int)(number % 26), sizeof bytes);
  journal_changes_init(&changes);
  journal_changes_put(&changes, JOURNAL_BLOCKS, 999, SLICE("not to be written"));
  journal_changes_put(&changes, JOURNAL_BLOCKS, number, slice_of(bytes, len));
  journal_changes_remove(&changes, JOURNAL_KV, number + 100);
  int err = journal_wal_append(&wal, &changes, 1);
  journal_changes_done(&changes);
  return err;
}

/* Reads it as another broker would: the number of records of the generation, or an error. */
static int count_records(uint64_t generation) {
  struct journal_wal other;
  struct journal_changes changes;
  AUTO(buf) struct buf why = BUF_INIT;
  journal_changes_init(&changes);
  assert_int_equal(journal_wal_open(&other, directory, &why), 0);
  int err = journal_wal_read(&other, generation, &changes);
  for (size_t i = 0; err == 0 && i < changes.count; i += 2) {
    const struct journal_change *put = &changes.items[i], *removed = &changes.items[i + 1];
    assert_int_equal(put->action, JOURNAL_PUT);
    assert_int_equal(put->number, i / 2);
    assert_int_equal(changes.bytes.data[put->at], 'a' + (int)(put->number % 26));
    assert_int_equal(removed->action, JOURNAL_REMOVE);
    assert_int_equal(removed->table, JOURNAL_KV);
  }
  int count = (int)changes.count / 2;
  journal_changes_done(&changes);
  journal_wal_close(&other);
  return err < 0 ? err : count;
}

static void append_some(uint64_t count) {
  for (uint64_t number = 0; number < count; number++)
    assert_int_equal(append(number, 100 + 300 * number), 0);
}

static void damage(off_t at) {
  char byte;
  assert_int_equal(pread(wal.fd, &byte, 1, at), 1);
  byte ^= 4;
  assert_int_equal(pwrite(wal.fd, &byte, 1, at), 1);
}

static void what_was_appended_is_read(void **state) {
  (void)state;
  assert_int_equal(count_records(GENERATION), 0);
  append_some(6);
  assert_int_equal(count_records(GENERATION), 6);
  assert_int_equal(count_records(GENERATION + 1), 0);
}

static void a_generation_begins_anew_over_the_old_one(void **state) {
  (void)state;
  append_some(6);
  journal_wal_begin(&wal, GENERATION + 1);
  assert_int_equal(count_records(GENERATION + 1), 0);
  append_some(2);
  assert_int_equal(count_records(GENERATION + 1), 2);
}

/* A crash while the last record was written. */
static void a_record_that_was_cut_off_is_none(void **state) {
  (void)state;
  append_some(4);
  off_t end = (off_t)wal.at;
  append(4, 1600);
  for (off_t len = (off_t)wal.at; len > end; len -= 100) {
    assert_int_equal(ftruncate(wal.fd, len), 0);
    int count = count_records(GENERATION);
    assert_true(count == 4 || (count == 5 && len > end + 1600));
  }
}

static void a_damaged_last_record_is_none(void **state) {
  (void)state;
  append_some(4);
  off_t end = (off_t)wal.at;
  append(4, 1600);
  for (off_t at = end; at < end + 1600; at += 37) {
    damage(at);
    assert_int_equal(count_records(GENERATION), 4);
    damage(at); /* undone */
  }
  assert_int_equal(count_records(GENERATION), 5);
}

static void damage_before_a_whole_record_is_damage(void **state) {
  (void)state;
  append_some(3);
  off_t end = (off_t)wal.at;
  append(3, 900);
  append(4, 100);
  for (off_t at = 0; at < end; at += 41) {
    damage(at);
    int count = count_records(GENERATION);
    assert_true(count == ERR_INVALID || count == 5); /* 5: it hit what only fills a sector */
    damage(at);
  }
  damage(10);
  assert_int_equal(count_records(GENERATION), ERR_INVALID);
}

static void what_finds_no_room_is_not_there(void **state) {
  (void)state;
  struct rlimit limit;
  append_some(2);
  getrlimit(RLIMIT_FSIZE, &limit);
  struct rlimit small = {.rlim_cur = wal.at + SECTOR, .rlim_max = limit.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  assert_int_equal(append(2, 2000), ERR_FULL);
  assert_int_equal(journal_wal_probe(&wal), ERR_FULL);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
  assert_int_equal(count_records(GENERATION), 2);
  assert_int_equal(journal_wal_probe(&wal), 0);
  assert_int_equal(count_records(GENERATION), 2);
  assert_int_equal(append(2, 2000), 0);
  assert_int_equal(count_records(GENERATION), 3);
}

static int make_directory(void **state) {
  (void)state;
  signal(SIGXFSZ, SIG_IGN);
  assert_non_null(mkdtemp(directory));
  snprintf(path, sizeof path, "%s/" JOURNAL_WAL_NAME, directory);
  return 0;
}

static int remove_directory(void **state) {
  (void)state;
  unlink(path);
  return rmdir(directory);
}

#define WAL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      WAL_TEST(what_was_appended_is_read),
      WAL_TEST(a_generation_begins_anew_over_the_old_one),
      WAL_TEST(a_record_that_was_cut_off_is_none),
      WAL_TEST(a_damaged_last_record_is_none),
      WAL_TEST(damage_before_a_whole_record_is_damage),
      WAL_TEST(what_finds_no_room_is_not_there),
  };
  return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
