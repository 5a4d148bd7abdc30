/* What a damaged file may hand to the journal, had its checksums not told: records and rows of any
 * bytes are read within their bounds, and what a record says is written again as it was. */
#include <assert.h>
#include <stdint.h>

#include "eventhub/base/err.h"
#include "eventhub/store/journal_block.h"

static bool lies_inside(struct slice part, struct slice whole) {
  return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_state(const struct journal_state *state, struct slice written) {
  AUTO(buf) struct buf again = BUF_INIT;
  journal_append_state(&again, state);
  assert(slice_equal(buf_slice(&again), written));
}

static void check_records(struct slice bytes) {
  struct journal_record record;
  struct slice rest = bytes;
  int got;
  for (const char *at = rest.ptr; (got = journal_next_record(&rest, &record)) > 0; at = rest.ptr) {
    struct slice written = slice_of(at, (size_t)(rest.ptr - at));
    if (record.kind == JOURNAL_STATE) {
      check_state(&record.state, written);
    } else {
      assert(record.kind == JOURNAL_MESSAGE);
      assert(lies_inside(record.message.topic, written));
      assert(lies_inside(record.message.origin, written));
      assert(lies_inside(record.message.payload, written));
    }
  }
  assert(got == 0 || got == ERR_INVALID);
}

static void check_rows(struct slice bytes) {
  struct journal_topic topic;
  struct journal_pair pair;
  struct journal_meta meta;
  AUTO(buf) struct buf again = BUF_INIT;
  if (journal_read_topic(bytes, &topic) == 0) {
    journal_append_topic(&again, &topic);
    assert(slice_equal(buf_slice(&again), bytes));
  }
  buf_clear(&again);
  if (journal_read_pair(bytes, &pair) == 0) {
    journal_append_pair(&again, &pair);
    assert(slice_equal(buf_slice(&again), bytes));
  }
  if (journal_read_meta(bytes, &meta) == 0) assert(bytes.len >= sizeof meta.format);
}

static void check_old(struct slice bytes) {
  struct journal_old old;
  char key[JOURNAL_OLD_KEY_BYTES], expiry[JOURNAL_EXPIRY_KEY_BYTES];
  AUTO(buf) struct buf again = BUF_INIT;
  journal_old_key(key, 1, (struct message_id){2, 3});
  if (journal_read_old(slice_of(key, sizeof key), bytes, &old) == 0) {
    journal_append_old(&again, &old);
    assert(slice_equal(buf_slice(&again), bytes));
  }
  if (journal_read_expiry_key(bytes, &old) == 0) {
    journal_expiry_key(expiry, &old);
    assert(slice_equal(slice_of(expiry, sizeof expiry), bytes));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice bytes = slice_of((const char *)data, size), rest;
  check_records(bytes);
  check_rows(bytes);
  check_old(bytes);
  if (journal_value_open(bytes, JOURNAL_BLOCKS, 1, &rest) == 0) check_records(rest);
  return 0;
}
