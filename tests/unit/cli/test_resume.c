#include "eventhub/cli/resume.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eventhub/base/cleanup.h"

static struct message_id id(uint64_t ms, uint64_t seq) {
  return (struct message_id){ms, seq};
}

static void assert_since(const struct resume *resume, const char *expected) {
  AUTO(buf) struct buf text = BUF_INIT;
  resume_append_since(resume, &text);
  assert_true(slice_equal(buf_slice(&text), slice_str(expected)));
}

static void a_topic_goes_on_behind_its_last_message(void **state) {
  (void)state;
  struct resume resume;
  resume_init(&resume, SLICE("a/b"));
  assert_since(&resume, "");
  resume_start_at(&resume, 5000);
  resume_start_at(&resume, 9000); /* the first counts */
  assert_since(&resume, ",\"since\":5000");
  assert_true(resume_take(&resume, SLICE("a/b"), id(70000, 1)));
  assert_since(&resume, ",\"sinceEventId\":\"70000-1\"");
  assert_false(resume_take(&resume, SLICE("a/b"), id(70000, 1)));
  assert_false(resume_take(&resume, SLICE("a/b"), id(70000, 0)));
  assert_true(resume_take(&resume, SLICE("a/b"), id(70000, 2)));
  assert_since(&resume, ",\"sinceEventId\":\"70000-2\"");
  resume_done(&resume);
}

/* Ids of different topics may come out of order: none may be passed over, none come twice. */
static void a_pattern_goes_on_a_little_before(void **state) {
  (void)state;
  struct resume resume;
  resume_init(&resume, SLICE("a/#"));
  resume_start_at(&resume, 5000);
  assert_since(&resume, ",\"since\":5000");
  assert_true(resume_take(&resume, SLICE("a/1"), id(8000, 0)));
  assert_since(&resume, ",\"since\":5000"); /* not before the start */
  assert_true(resume_take(&resume, SLICE("a/1"), id(70000, 0)));
  assert_since(&resume, ",\"since\":60000");
  assert_true(resume_take(&resume, SLICE("a/2"), id(69000, 0)));
  assert_since(&resume, ",\"since\":60000");
  assert_false(resume_take(&resume, SLICE("a/1"), id(70000, 0)));
  assert_false(resume_take(&resume, SLICE("a/2"), id(69000, 0)));
  assert_true(resume_take(&resume, SLICE("a/2"), id(69500, 0)));
  assert_true(resume_take(&resume, SLICE("a/3"), id(61000, 0)));
  resume_done(&resume);
}

static void topics_of_long_ago_are_forgotten(void **state) {
  (void)state;
  struct resume resume;
  AUTO(buf) struct buf name = BUF_INIT;
  resume_init(&resume, SLICE("#"));
  resume_start_at(&resume, 0);
  for (uint64_t i = 0; i <= RESUME_TOPICS_MAX; i++) {
    buf_clear(&name);
    buf_printf(&name, "t%llu", (unsigned long long)i);
    assert_true(resume_take(&resume, buf_slice(&name), id(1000 * i, 0)));
  }
  assert_true(resume.topics.count < 100);
  resume_done(&resume);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_topic_goes_on_behind_its_last_message),
      cmocka_unit_test(a_pattern_goes_on_a_little_before),
      cmocka_unit_test(topics_of_long_ago_are_forgotten),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
