#include "eventhub/store/journal_old.h"

#include "eventhub/base/err.h"
#include "eventhub/store/journal_file_parts.h"

int journal_reader_begin(struct journal_reader *reader, struct journal_file *file) {
  MDB_txn *txn;
  MDB_cursor *messages, *expiries;
  *reader = (struct journal_reader){.file = file};
  pthread_mutex_lock(&file->lock);
  if (file->env == NULL || mdb_txn_begin(file->env, NULL, MDB_RDONLY, &txn) != 0) return ERR_SYSTEM;
  reader->txn = txn;
  if (mdb_cursor_open(txn, file->tables[JOURNAL_OLD], &messages) != 0) return ERR_SYSTEM;
  reader->messages = messages;
  if (mdb_cursor_open(txn, file->tables[JOURNAL_EXPIRIES], &expiries) != 0) return ERR_SYSTEM;
  reader->expiries = expiries;
  return 0;
}

void journal_reader_end(struct journal_reader *reader) {
  if (reader->messages != NULL) mdb_cursor_close(reader->messages);
  if (reader->expiries != NULL) mdb_cursor_close(reader->expiries);
  if (reader->txn != NULL) mdb_txn_abort(reader->txn);
  pthread_mutex_unlock(&reader->file->lock);
}

/* What the cursor has come to, where that is the row's. */
static int take(int failed, const MDB_val *key, const MDB_val *value, uint64_t row,
                struct journal_old *ret) {
  if (failed == MDB_NOTFOUND) return 0;
  if (failed != 0) return ERR_SYSTEM;
  int err = journal_read_old(slice_of(key->mv_data, key->mv_size),
                             slice_of(value->mv_data, value->mv_size), ret);
  if (ret->row != row) return 0;
  return err < 0 ? err : 1;
}

/* Where the cursor stands: at the first key from that of the message on. LMDB's answer. */
struct place {
  char bytes[JOURNAL_OLD_KEY_BYTES]; /* of the message */
  MDB_val key, value;
};

static int seek(struct journal_reader *reader, uint64_t row, struct message_id id,
                struct place *ret) {
  journal_old_key(ret->bytes, row, id);
  ret->key = (MDB_val){sizeof ret->bytes, ret->bytes};
  return mdb_cursor_get(reader->messages, &ret->key, &ret->value, MDB_SET_RANGE);
}

int journal_read_first(struct journal_reader *reader, uint64_t row, struct message_id from,
                       struct journal_old *ret) {
  struct place place;
  if (reader->messages == NULL) return ERR_SYSTEM;
  int failed = seek(reader, row, from, &place);
  return take(failed, &place.key, &place.value, row, ret);
}

int journal_read_last(struct journal_reader *reader, uint64_t row, struct message_id to,
                      struct journal_old *ret) {
  struct place place;
  if (reader->messages == NULL) return ERR_SYSTEM;
  int failed = seek(reader, row, to, &place);
  bool is_there = failed == 0 && place.key.mv_size == sizeof place.bytes &&
                  memcmp(place.key.mv_data, place.bytes, sizeof place.bytes) == 0;
  if (failed == MDB_NOTFOUND) {
    failed = mdb_cursor_get(reader->messages, &place.key, &place.value, MDB_LAST);
  } else if (failed == 0 && !is_there) {
    failed = mdb_cursor_get(reader->messages, &place.key, &place.value, MDB_PREV);
  }
  return take(failed, &place.key, &place.value, row, ret);
}

int journal_read_expiry(struct journal_reader *reader, struct journal_old *ret) {
  MDB_val key, value;
  if (reader->expiries == NULL) return ERR_SYSTEM;
  int failed = mdb_cursor_get(reader->expiries, &key, &value, MDB_NEXT);
  if (failed == MDB_NOTFOUND) return 0;
  if (failed != 0) return ERR_SYSTEM;
  int err = journal_read_expiry_key(slice_of(key.mv_data, key.mv_size), ret);
  return err < 0 ? err : 1;
}
