#ifndef EVENTHUB_TESTS_DOCS_PAGE_H
#define EVENTHUB_TESTS_DOCS_PAGE_H

/* A page of the documentation against the table that it is printed from. Include after cmocka.h. */

#include <stdio.h>
#include <string.h>

#include "eventhub/base/buf.h"

/* `path` from the top of the repository. */
static inline void assert_page_holds(const char *path, const struct buf *table) {
  AUTO(buf) struct buf name = BUF_INIT, page = BUF_INIT;
  char block[4096];
  buf_printf(&name, "%s/%s", EVENTHUB_SOURCE_DIR, path);
  buf_append_char(&name, '\0');
  FILE *file = fopen(name.data, "r");
  assert_non_null(file);
  for (size_t got; (got = fread(block, 1, sizeof block, file)) > 0;)
    buf_append(&page, block, got);
  fclose(file);
  assert_true(table->len > 0);
  assert_true(page.len > 0 && memmem(page.data, page.len, table->data, table->len) != NULL);
}

#endif
