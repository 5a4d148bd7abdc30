#ifndef EVENTHUB_STORE_JOURNAL_H
#define EVENTHUB_STORE_JOURNAL_H

/*
 * The journal of the embedded store: what survives it, on disk. It is written in the order of
 * events and read at the start; later only what has left memory is (journal_old.h).
 *
 *   changes of a turn          messages, packed into blocks
 *         |                    rows of topics: what is left of them beside their messages
 *         v                    pairs of the key/value store
 *     the open set
 *         |  commit: into the log, each turn       or: nothing; a crash loses the set
 *         |  flush: into the file, each second     seal, then write: by another thread
 *         v
 *   journal_file: all of a set or nothing, on the disk when that returns
 *
 * Blocks are numbered from 1 on. Each counts its messages that are still wanted; a block without
 * any is dead and is removed in time, but not before the rows of the topics that lost messages in
 * it are written: who removes what is log_keeper.h. The newest state lives in the newest block that
 * has one.
 *
 * All but journal_write belongs to turns of the store, one at a time; journal_write to one thread,
 * also beside turns.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"
#include "eventhub/store/journal_block.h"
#include "eventhub/store/journal_file.h"

struct journal;

struct journal_config {
  const char *directory;
  bool is_relaxed; /* what was written last may be missing after a crash */
  uint64_t now_ms; /* wall clock */
};

/* Makes, checks and opens it; journal_file_open says what can go wrong. */
int journal_open(const struct journal_config *config, struct journal **ret, struct buf *why);
void journal_close(struct journal *journal);

/* Nothing from then on was lost without a trace. */
uint64_t journal_birth_ms(const struct journal *journal);

/* Who wants to know what is in it, in this order: topics, messages as they were published, the
 * newest state, pairs. What on_message answers is whether the message is wanted. */
struct journal_loader {
  void (*on_topic)(void *context, uint64_t row, const struct journal_topic *topic);
  bool (*on_message)(void *context, uint64_t block, const struct journal_message *message);
  void (*on_state)(void *context, const struct journal_state *state);
  void (*on_pair)(void *context, uint64_t row, const struct journal_pair *pair);
  /* Now and then between messages, and behind the last: what has come may be moved to the old ones
   * and flushed. 0 or an error, which ends the loading. */
  int (*on_pause)(void *context);
};
/* Once, before anything else. 0, ERR_INVALID or ERR_SYSTEM. */
int journal_load(struct journal *journal, const struct journal_loader *loader, void *context);

/* Adds to the open set; the answer is the block that the message will be in. */
uint64_t journal_add_message(struct journal *journal, const struct message *message);
/* Numbers for rows that nobody has had. */
uint64_t journal_new_row(struct journal *journal);
void journal_put_topic(struct journal *journal, uint64_t row, const struct journal_topic *topic);
void journal_remove_topic(struct journal *journal, uint64_t row);
void journal_put_pair(struct journal *journal, uint64_t row, const struct journal_pair *pair);
void journal_remove_pair(struct journal *journal, uint64_t row);
/* Messages that leave memory, and such that are not wanted any more: row, id and expires_ms count.
 */
void journal_put_old(struct journal *journal, uint64_t row, const struct message *message);
void journal_remove_old(struct journal *journal, const struct journal_old *old);
size_t journal_open_bytes(const struct journal *journal);

/* The newest mark of log_keeper.h: blocks that die from now on wait for it. */
void journal_note_stamp(struct journal *journal, uint64_t stamp);
/* A message of the block with that number is not wanted any more. */
void journal_lose(struct journal *journal, uint64_t number);
/* Removes dead blocks, at most `max`, of which all was lost before `stamp`: in the open set. */
void journal_remove_dead(struct journal *journal, uint64_t stamp, size_t max);
size_t journal_dead_count(const struct journal *journal);

/* Puts into the log what was added since the last time, and returns when it is on the disk. Errors
 * as of journal_wal_append: then it is given up, and the blocks in it have never been. */
int journal_commit(struct journal *journal, const struct journal_state *state);
/* What was added since the last time need not be in the log: it is only tidying. With what it leads
 * to: where topics are forgotten, their rows go together with what holds for all of them. */
void journal_keep(struct journal *journal, const struct journal_state *state);
/* Writes the open set to the file; the log begins anew. Where that fails the set stays open. */
int journal_flush(struct journal *journal);

/* The number of the open set; and whether the one with that number is in the file. */
uint64_t journal_open_set(const struct journal *journal);
bool journal_has_written(const struct journal *journal, uint64_t set);

/* The blocks that are in the file, from that number on, as journal_file_walk does. */
int journal_walk_blocks(struct journal *journal, uint64_t first, journal_visit_fn *visit,
                        void *context);
/* For readers of old messages (journal_old.h). */
struct journal_file *journal_file(struct journal *journal);

/* The other way: closes the open set, which waits for journal_write. Not while the last one waits,
 * nor where there is nothing to write. */
void journal_seal(struct journal *journal, const struct journal_state *state);
bool journal_is_sealed(const struct journal *journal);
/* Is nothing left to be written? */
bool journal_is_written(const struct journal *journal);
/* Writes what is sealed. Where that fails it stays so. */
int journal_write(struct journal *journal);

/* After failures of journal_commit or journal_flush: does the disk take something again? */
int journal_probe(struct journal *journal);
/* The last write of all: says goodbye. */
int journal_finish(struct journal *journal, const struct journal_state *state);

const char *journal_problem(const struct journal *journal);
struct journal_usage journal_usage(const struct journal *journal);
uint64_t journal_block_count(const struct journal *journal);

#endif
