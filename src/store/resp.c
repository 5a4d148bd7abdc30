#include "eventhub/store/resp.h"

void resp_begin(struct buf *out, size_t words) {
  buf_append_char(out, '*');
  buf_append_u64(out, words);
  buf_append(out, "\r\n", 2);
}

void resp_word_begin(struct buf *out, size_t len) {
  buf_append_char(out, '$');
  buf_append_u64(out, len);
  buf_append(out, "\r\n", 2);
}

void resp_word_end(struct buf *out) {
  buf_append(out, "\r\n", 2);
}

void resp_slice(struct buf *out, struct slice word) {
  resp_word_begin(out, word.len);
  buf_append_slice(out, word);
  resp_word_end(out);
}

void resp_str(struct buf *out, const char *word) {
  resp_slice(out, slice_str(word));
}

void resp_u64(struct buf *out, uint64_t number) {
  char digits[BUF_U64_MAX];
  resp_slice(out, slice_of(digits, buf_format_u64(digits, number)));
}

void resp_i64(struct buf *out, int64_t number) {
  char digits[BUF_U64_MAX + 1] = "-";
  if (number >= 0) {
    resp_u64(out, (uint64_t)number);
    return;
  }
  size_t len = buf_format_u64(digits + 1, -(uint64_t)number);
  resp_slice(out, slice_of(digits, 1 + len));
}
