#include "eventhub/store/journal.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/store/journal_wal.h"

/* What is known of a block. */
struct block {
  uint64_t number;
  size_t change;   /* its place in the open set, while it is in there */
  uint32_t wanted; /* messages, and 1 for the newest state */
  bool is_gone;    /* removed */
};

/* Blocks without anything that is wanted, in the order in which they became so. */
struct dead_block {
  uint64_t number;
  uint64_t stamp;
};

/* Where something begins in the open set. */
struct mark {
  size_t changes, bytes;
  uint64_t block;
};

struct journal {
  struct journal_file *file;
  struct journal_wal wal;
  bool is_relaxed;
  uint64_t generation; /* of the log, that is not in the file yet */
  struct mark turn;    /* what is behind it is not in the log yet */
  const char *problem; /* of the last failure */
  struct journal_meta meta;
  struct journal_changes open;
  struct journal_changes sealed;
  atomic_bool is_sealed;  /* `sealed` is the writer's */
  struct buf block, row;  /* being filled */
  uint32_t block_wanted;  /* messages in it */
  uint64_t next_block;    /* the number of what is being filled */
  uint64_t first_in_open; /* number of the open set's first block */
  uint64_t open_set;      /* number of the open set */
  uint64_t next_row;
  struct journal_state state; /* newest before the open set */
  uint64_t state_block;       /* where; 0 = nowhere */
  struct journal_state open_state;
  uint64_t open_state_block; /* where in the open set; 0 = nowhere */
  struct block *blocks;      /* by number, some of those gone among them */
  size_t block_count, block_cap, gone_count;
  uint64_t stamp;          /* see journal_note_stamp */
  struct dead_block *dead; /* those before dead_next are removed in the open set, ... */
  size_t dead_first;       /* ... from here on */
  size_t dead_next, dead_end, dead_cap;
};

/* ---- what is known of blocks ---- */

static struct block *block_at(struct journal *journal, uint64_t number) {
  size_t low = 0, high = journal->block_count;
  /* Most often nothing is missing between it and the newest. */
  uint64_t newer = high > 0 ? journal->blocks[high - 1].number - number : 0;
  if (newer < high && journal->blocks[high - 1 - newer].number == number)
    return &journal->blocks[high - 1 - newer];
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (journal->blocks[middle].number < number) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  assert(low < journal->block_count && journal->blocks[low].number == number);
  return &journal->blocks[low];
}

static void sweep_blocks(struct journal *journal) {
  size_t kept = 0;
  for (size_t i = 0; i < journal->block_count; i++)
    if (!journal->blocks[i].is_gone) journal->blocks[kept++] = journal->blocks[i];
  journal->block_count = kept;
  journal->gone_count = 0;
}

static void note_block(struct journal *journal, uint64_t number, uint32_t wanted) {
  if (journal->block_count == journal->block_cap) {
    journal->block_cap = journal->block_cap ? journal->block_cap * 2 : 256;
    journal->blocks = x_realloc(journal->blocks, journal->block_cap * sizeof *journal->blocks);
  }
  journal->blocks[journal->block_count++] =
      (struct block){.number = number, .change = journal->open.count - 1, .wanted = wanted};
}

static void note_gone(struct journal *journal, uint64_t number) {
  block_at(journal, number)->is_gone = true;
  if (++journal->gone_count > journal->block_count / 2) sweep_blocks(journal);
}

static void make_room_for_dead(struct journal *journal) {
  size_t count = journal->dead_end - journal->dead_first;
  if (count > 0)
    memmove(journal->dead, journal->dead + journal->dead_first, count * sizeof *journal->dead);
  journal->dead_next -= journal->dead_first;
  journal->dead_end = count;
  journal->dead_first = 0;
  if (count < journal->dead_cap / 2) return;
  journal->dead_cap = journal->dead_cap ? journal->dead_cap * 2 : 256;
  journal->dead = x_realloc(journal->dead, journal->dead_cap * sizeof *journal->dead);
}

static void bury(struct journal *journal, uint64_t number) {
  if (journal->dead_end == journal->dead_cap) make_room_for_dead(journal);
  journal->dead[journal->dead_end++] = (struct dead_block){number, journal->stamp};
}

void journal_note_stamp(struct journal *journal, uint64_t stamp) {
  journal->stamp = stamp;
}

void journal_lose(struct journal *journal, uint64_t number) {
  if (number == journal->next_block) { /* it is still being filled */
    assert(journal->block_wanted > 0);
    journal->block_wanted--;
    return;
  }
  struct block *block = block_at(journal, number);
  assert(block->wanted > 0 && !block->is_gone);
  if (--block->wanted == 0) bury(journal, number);
}

size_t journal_dead_count(const struct journal *journal) {
  return journal->dead_end - journal->dead_next;
}

uint64_t journal_block_count(const struct journal *journal) {
  return journal->block_count - journal->gone_count;
}

/* ---- the open set ---- */

static void close_block(struct journal *journal) {
  if (journal->block.len == 0) return;
  journal_value_seal(&journal->block, JOURNAL_BLOCKS, journal->next_block);
  journal_changes_put(&journal->open, JOURNAL_BLOCKS, journal->next_block,
                      buf_slice(&journal->block));
  note_block(journal, journal->next_block, journal->block_wanted);
  if (journal->block_wanted == 0) bury(journal, journal->next_block);
  journal->next_block++;
  buf_clear(&journal->block);
  journal->block_wanted = 0;
}

/* Begins a block where there is none with so much room. */
static void make_room(struct journal *journal, size_t bytes) {
  if (journal->block.len > 0 && journal->block.len + bytes > JOURNAL_BLOCK_MAX)
    close_block(journal);
  if (journal->block.len == 0) journal_value_begin(&journal->block);
}

uint64_t journal_add_message(struct journal *journal, const struct message *message) {
  make_room(journal, journal_message_size(message));
  journal_append_message(&journal->block, message);
  journal->block_wanted++;
  return journal->next_block;
}

uint64_t journal_new_row(struct journal *journal) {
  return journal->next_row++;
}

static void put_row(struct journal *journal, enum journal_table table, uint64_t row) {
  journal_value_seal(&journal->row, table, row);
  journal_changes_put(&journal->open, table, row, buf_slice(&journal->row));
}

void journal_put_topic(struct journal *journal, uint64_t row, const struct journal_topic *topic) {
  journal_value_begin(&journal->row);
  journal_append_topic(&journal->row, topic);
  put_row(journal, JOURNAL_TOPICS, row);
}

void journal_remove_topic(struct journal *journal, uint64_t row) {
  journal_changes_remove(&journal->open, JOURNAL_TOPICS, row);
}

void journal_put_old(struct journal *journal, uint64_t row, const struct message *message) {
  const struct journal_old old = {.row = row,
                                  .id = message_id(message),
                                  .expires_ms = message->expires_ms,
                                  .origin = message_origin_json(message),
                                  .payload = message_payload(message)};
  journal_append_old(&journal->row, &old);
  journal_changes_put_old(&journal->open, &old, buf_slice(&journal->row));
}

void journal_remove_old(struct journal *journal, const struct journal_old *old) {
  journal_changes_remove_old(&journal->open, old);
}

uint64_t journal_open_set(const struct journal *journal) {
  return journal->open_set;
}

bool journal_has_written(const struct journal *journal, uint64_t set) {
  uint64_t written = journal->open_set - (journal_is_sealed(journal) ? 1 : 0);
  return set < written;
}

void journal_put_pair(struct journal *journal, uint64_t row, const struct journal_pair *pair) {
  journal_value_begin(&journal->row);
  journal_append_pair(&journal->row, pair);
  put_row(journal, JOURNAL_KV, row);
}

void journal_remove_pair(struct journal *journal, uint64_t row) {
  journal_changes_remove(&journal->open, JOURNAL_KV, row);
}

size_t journal_open_bytes(const struct journal *journal) {
  return journal->open.bytes.len + journal->block.len;
}

/* One that is in the open set itself need not be written. */
static void remove_block(struct journal *journal, uint64_t number) {
  if (number < journal->first_in_open) {
    journal_changes_remove(&journal->open, JOURNAL_BLOCKS, number);
  } else {
    journal_changes_cancel(&journal->open, block_at(journal, number)->change);
  }
}

void journal_remove_dead(struct journal *journal, uint64_t stamp, size_t max) {
  for (; max > 0 && journal_dead_count(journal) > 0; max--) {
    const struct dead_block *dead = &journal->dead[journal->dead_next];
    if (dead->stamp >= stamp) return;
    remove_block(journal, dead->number);
    journal->dead_next++;
  }
}

static bool is_same_id(struct message_id a, struct message_id b) {
  return message_id_compare(a, b) == 0;
}

static bool is_same_state(const struct journal_state *a, const struct journal_state *b) {
  return is_same_id(a->last, b->last) && is_same_id(a->floor, b->floor) &&
         is_same_id(a->forgotten, b->forgotten);
}

static void add_state(struct journal *journal, const struct journal_state *state) {
  enum { STATE_BYTES = 64 };
  if (journal->state_block != 0 && is_same_state(state, &journal->state)) return;
  make_room(journal, STATE_BYTES);
  journal_append_state(&journal->block, state);
  journal->block_wanted++;
  journal->open_state = *state;
  journal->open_state_block = journal->next_block;
}

static void complete_turn(struct journal *journal, const struct journal_state *state) {
  add_state(journal, state);
  close_block(journal);
}

static void begin_turn(struct journal *journal) {
  journal->turn = (struct mark){.changes = journal->open.count,
                                .bytes = journal->open.bytes.len,
                                .block = journal->next_block};
  journal->open_state_block = 0;
}

static void begin_set(struct journal *journal) {
  journal_changes_clear(&journal->open);
  journal->open_set++;
  journal->first_in_open = journal->next_block;
  begin_turn(journal);
}

/* What the turn has added lasts. */
static void keep_turn(struct journal *journal) {
  if (journal->open_state_block != 0) {
    if (journal->state_block != 0) journal_lose(journal, journal->state_block);
    journal->state_block = journal->open_state_block;
    journal->state = journal->open_state;
  }
  begin_turn(journal);
}

static void give_turn_up(struct journal *journal) {
  journal->open.count = journal->turn.changes;
  journal->open.bytes.len = journal->turn.bytes;
  for (; journal->next_block > journal->turn.block; journal->next_block--)
    journal->block_count--;
  begin_turn(journal);
}

/* The set has been written, or will be. */
static void end_set(struct journal *journal) {
  for (; journal->dead_first < journal->dead_next; journal->dead_first++)
    note_gone(journal, journal->dead[journal->dead_first].number);
  begin_set(journal);
}

/* ---- writing ---- */

int journal_commit(struct journal *journal, const struct journal_state *state) {
  complete_turn(journal, state);
  if (journal->open.count == journal->turn.changes) return 0;
  int err = journal_wal_append(&journal->wal, &journal->open, journal->turn.changes);
  if (err == 0) {
    keep_turn(journal);
  } else {
    journal->problem = strerror(journal->wal.error);
    give_turn_up(journal);
  }
  return err;
}

void journal_keep(struct journal *journal, const struct journal_state *state) {
  complete_turn(journal, state);
  keep_turn(journal);
}

/* With the set goes the number of the generation that begins with the next one. */
int journal_flush(struct journal *journal) {
  if (journal->open.count == 0) return 0;
  journal_changes_put_generation(&journal->open, journal->generation + 1);
  int err = journal_file_write(journal->file, &journal->open);
  if (err == 0) {
    journal_wal_begin(&journal->wal, ++journal->generation);
    end_set(journal);
    return 0;
  }
  journal->problem = journal_file_problem(journal->file);
  journal->open.count--; /* the generation */
  journal->open.bytes.len = journal->turn.bytes;
  return err;
}

bool journal_is_sealed(const struct journal *journal) {
  return atomic_load(&journal->is_sealed);
}

void journal_seal(struct journal *journal, const struct journal_state *state) {
  if (journal_is_sealed(journal)) return;
  journal_keep(journal, state);
  if (journal->open.count == 0) return;
  struct journal_changes written = journal->sealed;
  journal->sealed = journal->open;
  journal->open = written;
  end_set(journal);
  atomic_store(&journal->is_sealed, true);
}

bool journal_is_written(const struct journal *journal) {
  return !journal_is_sealed(journal) && journal->open.count == 0 && journal->block.len == 0;
}

int journal_write(struct journal *journal) {
  if (!journal_is_sealed(journal)) return 0;
  int err = journal_file_write(journal->file, &journal->sealed);
  if (err < 0) journal->problem = journal_file_problem(journal->file);
  if (err < 0) return err;
  journal_changes_clear(&journal->sealed);
  atomic_store(&journal->is_sealed, false);
  return 0;
}

static int write_meta(struct journal *journal) {
  struct journal_changes changes;
  journal_changes_init(&changes);
  journal_changes_put_meta(&changes, &journal->meta);
  int err = journal_file_write(journal->file, &changes);
  journal_changes_done(&changes);
  return err;
}

int journal_probe(struct journal *journal) {
  int err = journal_flush(journal);
  if (err < 0) return err;
  err = journal_wal_probe(&journal->wal);
  if (err < 0) journal->problem = strerror(journal->wal.error);
  return err;
}

int journal_finish(struct journal *journal, const struct journal_state *state) {
  int err = journal_write(journal);
  journal_keep(journal, state);
  if (err == 0) err = journal_flush(journal);
  if (err < 0 || !journal->meta.is_open) return err;
  journal->meta.is_open = false;
  return write_meta(journal);
}

const char *journal_problem(const struct journal *journal) {
  return journal->problem;
}

struct journal_usage journal_usage(const struct journal *journal) {
  return journal_file_usage(journal->file);
}

/* ---- from open to close ---- */

/* Says that this broker is at it; and where the last one did not say goodbye and may have lost
 * something, nothing is known of what was before. */
static int sign_in(struct journal *journal, const struct journal_config *config, struct buf *why) {
  bool was_open = journal->meta.is_open;
  if (was_open) journal->meta.birth_ms = config->now_ms;
  journal->meta.is_open = config->is_relaxed;
  if (!was_open && !config->is_relaxed) return 0;
  int err = write_meta(journal);
  if (err < 0)
    buf_printf(why, "DATA_DIR=%s cannot be written: %s", config->directory,
               journal_file_problem(journal->file));
  return err;
}

static int refuse_log(const struct journal_config *config, int err, struct buf *why) {
  const char *directory = config->directory;
  if (err == ERR_INVALID) {
    buf_printf(why,
               "%s/" JOURNAL_WAL_NAME " is damaged. To start without what is in it, move it aside: "
               "mv %s/" JOURNAL_WAL_NAME " %s/" JOURNAL_WAL_NAME ".damaged; else put copies of all "
               "files from before in their place",
               directory, directory, directory);
  } else {
    buf_printf(why, "%s/" JOURNAL_WAL_NAME " cannot be read: %s", directory, strerror(errno));
  }
  return err;
}

/* What is in the log and not in the file goes there before anything else. */
static int recover(struct journal *journal, const struct journal_config *config, struct buf *why) {
  int err = journal_wal_open(&journal->wal, config->directory, why);
  if (err < 0) return err;
  journal->generation = journal_file_generation(journal->file);
  err = journal_wal_read(&journal->wal, journal->generation, &journal->open);
  if (err < 0) return refuse_log(config, err, why);
  begin_turn(journal);
  err = journal_flush(journal);
  if (err < 0)
    buf_printf(why, "DATA_DIR=%s cannot be written: %s", config->directory, journal->problem);
  journal_wal_begin(&journal->wal, journal->generation);
  return err;
}

int journal_open(const struct journal_config *config, struct journal **ret, struct buf *why) {
  const struct journal_meta fresh = {.format = JOURNAL_FORMAT, .birth_ms = config->now_ms};
  struct journal_file *file;
  *ret = NULL;
  int err = journal_file_open(config->directory, &fresh, &file, why);
  if (err < 0) return err;
  struct journal *journal = x_calloc(1, sizeof *journal);
  journal->file = file;
  journal->meta = journal_file_meta(file);
  journal->next_block = journal->first_in_open = 1;
  journal->next_row = 1;
  journal->is_relaxed = config->is_relaxed;
  journal->problem = "";
  journal->wal.fd = -1;
  journal_changes_init(&journal->open);
  journal_changes_init(&journal->sealed);
  err = recover(journal, config, why);
  if (err == 0) err = sign_in(journal, config, why);
  if (err == 0) {
    *ret = journal;
  } else {
    journal_close(journal);
  }
  return err;
}

void journal_close(struct journal *journal) {
  if (journal == NULL) return;
  journal_file_close(journal->file);
  journal_wal_close(&journal->wal);
  journal_changes_done(&journal->open);
  journal_changes_done(&journal->sealed);
  buf_done(&journal->block);
  buf_done(&journal->row);
  free(journal->blocks);
  free(journal->dead);
  free(journal);
}

uint64_t journal_birth_ms(const struct journal *journal) {
  return journal->meta.birth_ms;
}

/* ---- loading ---- */

enum { LOAD_STEP_BYTES = 16 << 20 };

struct load {
  struct journal *journal;
  const struct journal_loader *loader;
  void *context;
  size_t bytes; /* of blocks, since the last pause */
};

static void note_row(struct journal *journal, uint64_t row) {
  if (row >= journal->next_row) journal->next_row = row + 1;
}

static int load_topic(void *context, uint64_t row, struct slice bytes) {
  struct load *load = context;
  struct journal_topic topic;
  if (journal_read_topic(bytes, &topic) < 0) return ERR_INVALID;
  note_row(load->journal, row);
  load->loader->on_topic(load->context, row, &topic);
  return 0;
}

static int load_pair(void *context, uint64_t row, struct slice bytes) {
  struct load *load = context;
  struct journal_pair pair;
  if (journal_read_pair(bytes, &pair) < 0) return ERR_INVALID;
  note_row(load->journal, row);
  load->loader->on_pair(load->context, row, &pair);
  return 0;
}

static void load_state(struct journal *journal, const struct journal_state *state) {
  if (journal->state_block != 0) journal_lose(journal, journal->state_block);
  journal->state = *state;
  journal->state_block = journal->next_block - 1;
  journal->blocks[journal->block_count - 1].wanted++;
}

/* The block counts one while it is read, so that it is not buried before its end. */
static int load_block(void *context, uint64_t number, struct slice bytes) {
  struct load *load = context;
  struct journal *journal = load->journal;
  struct journal_record record;
  int got;
  note_block(journal, number, 1);
  journal->next_block = number + 1;
  load->bytes += bytes.len;
  while ((got = journal_next_record(&bytes, &record)) > 0) {
    if (record.kind == JOURNAL_STATE) {
      load_state(journal, &record.state);
    } else if (load->loader->on_message(load->context, number, &record.message)) {
      journal->blocks[journal->block_count - 1].wanted++;
    }
  }
  journal_lose(journal, number);
  if (got < 0) return got;
  return load->bytes < LOAD_STEP_BYTES ? 0 : 1;
}

static int load_blocks(struct load *load) {
  struct journal *journal = load->journal;
  int err;
  do {
    load->bytes = 0;
    err = journal_file_walk(journal->file, JOURNAL_BLOCKS, journal->next_block, load_block, load);
    begin_set(journal);
    if (err >= 0 && load->loader->on_pause(load->context) < 0) return ERR_SYSTEM;
  } while (err > 0);
  return err;
}

int journal_load(struct journal *journal, const struct journal_loader *loader, void *context) {
  struct load load = {journal, loader, context, 0};
  int err = journal_file_walk(journal->file, JOURNAL_TOPICS, 0, load_topic, &load);
  if (err == 0) err = load_blocks(&load);
  if (err == 0 && journal->state_block != 0) loader->on_state(context, &journal->state);
  if (err == 0) err = journal_file_walk(journal->file, JOURNAL_KV, 0, load_pair, &load);
  begin_set(journal);
  return err < 0 ? err : journal_file_rest(journal->file, journal->is_relaxed);
}

int journal_walk_blocks(struct journal *journal, uint64_t first, journal_visit_fn *visit,
                        void *context) {
  return journal_file_walk(journal->file, JOURNAL_BLOCKS, first, visit, context);
}

struct journal_file *journal_file(struct journal *journal) {
  return journal->file;
}
