/* An option file of any bytes is taken or refused with one line; its values go into the table. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/server/option_file.h"
#include "eventhub/server/option_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_option(void *context, struct slice name, struct slice value, unsigned line,
                     struct buf *ret_error) {
  const struct option_row *row = option_find(name);
  assert(line > 0 && name.len > 0);
  assert(memchr(value.ptr, '\n', value.len) == NULL);
  if (row == NULL) return 0;
  return option_set(context, row, value, ret_error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  AUTO(buf) struct buf error = BUF_INIT;
  struct options options = {0};
  struct slice text = slice_of(size > 0 ? (const char *)data : "", size);
  int failed = option_file_parse(text, "file", on_option, &options, &error);
  assert((failed != 0) == (error.len > 0));
  assert(error.len == 0 || memchr(error.data, '\n', error.len) == NULL);
  options_done(&options);
  return 0;
}
