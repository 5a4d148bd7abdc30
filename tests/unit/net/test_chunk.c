#include "eventhub/net/chunk.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static struct span write_text(struct chunk_arena *arena, const char *text) {
  size_t len = strlen(text);
  memcpy(chunk_arena_reserve(arena, len), text, len);
  return chunk_arena_commit(arena, len);
}

static struct span write_bytes(struct chunk_arena *arena, char byte, size_t len) {
  memset(chunk_arena_reserve(arena, len), byte, len);
  return chunk_arena_commit(arena, len);
}

static void an_unused_arena_holds_nothing(void **state) {
  (void)state;
  struct chunk_arena arena;
  chunk_arena_init(&arena);
  chunk_arena_rewind(&arena);
  assert_null(arena.current);
  chunk_arena_done(&arena);
}

static void spans_of_one_turn_lie_one_behind_the_other(void **state) {
  (void)state;
  struct chunk_arena arena;
  chunk_arena_init(&arena);
  struct span first = write_text(&arena, "one"), second = write_text(&arena, "two");
  assert_ptr_equal(first.chunk, second.chunk);
  assert_int_equal(first.offset + first.len, second.offset);
  assert_memory_equal(span_bytes(&first), "onetwo", 6);
  chunk_arena_done(&arena);
}

static void less_may_be_written_than_was_reserved(void **state) {
  (void)state;
  struct chunk_arena arena;
  chunk_arena_init(&arena);
  memcpy(chunk_arena_reserve(&arena, 1000), "abc", 3);
  struct span first = chunk_arena_commit(&arena, 3), second = write_text(&arena, "def");
  assert_int_equal(first.len, 3);
  assert_memory_equal(span_bytes(&first), "abcdef", 6);
  assert_int_equal(second.offset, 3);
  chunk_arena_done(&arena);
}

static void memory_that_nobody_holds_is_used_again(void **state) {
  (void)state;
  struct chunk_arena arena;
  chunk_arena_init(&arena);
  struct span first = write_text(&arena, "first turn");
  chunk_arena_rewind(&arena);
  struct span second = write_text(&arena, "second turn");
  assert_ptr_equal(first.chunk, second.chunk);
  assert_int_equal(second.offset, 0);
  chunk_arena_done(&arena);
}

static void memory_that_a_span_holds_is_left_alone(void **state) {
  (void)state;
  struct chunk_arena arena;
  chunk_arena_init(&arena);
  struct span held = write_text(&arena, "held");
  chunk_ref(held.chunk);
  chunk_arena_rewind(&arena);
  struct span next = write_text(&arena, "next");
  assert_ptr_not_equal(held.chunk, next.chunk);
  assert_int_equal(held.chunk->refs, 1);
  assert_memory_equal(span_bytes(&held), "held", 4);
  chunk_unref(held.chunk);
  chunk_arena_done(&arena);
}

static void a_full_chunk_gives_way_to_another(void **state) {
  (void)state;
  struct chunk_arena arena;
  chunk_arena_init(&arena);
  struct span first = write_bytes(&arena, 'a', CHUNK_SIZE - 10);
  chunk_ref(first.chunk);
  struct span exact = write_bytes(&arena, 'b', 10), second = write_bytes(&arena, 'c', 1);
  assert_ptr_equal(first.chunk, exact.chunk);
  assert_ptr_not_equal(first.chunk, second.chunk);
  assert_int_equal(first.chunk->refs, 1);
  assert_int_equal(span_bytes(&first)[CHUNK_SIZE - 11], 'a');
  chunk_unref(first.chunk);
  chunk_arena_done(&arena);
}

static void what_is_larger_than_a_chunk_gets_one_of_its_size(void **state) {
  (void)state;
  struct chunk_arena arena;
  chunk_arena_init(&arena);
  enum { LARGE = 3 * CHUNK_SIZE };
  struct span large = write_bytes(&arena, 'x', LARGE);
  assert_int_equal(large.chunk->cap, LARGE);
  assert_int_equal(large.len, LARGE);
  chunk_arena_rewind(&arena);
  assert_null(arena.current);
  chunk_arena_done(&arena);
}

static void what_is_reserved_and_not_written_costs_nothing(void **state) {
  (void)state;
  struct chunk_arena arena;
  chunk_arena_init(&arena);
  chunk_arena_reserve(&arena, 100);
  struct span span = write_text(&arena, "x");
  assert_int_equal(span.offset, 0);
  chunk_arena_done(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_unused_arena_holds_nothing),
      cmocka_unit_test(spans_of_one_turn_lie_one_behind_the_other),
      cmocka_unit_test(less_may_be_written_than_was_reserved),
      cmocka_unit_test(memory_that_nobody_holds_is_used_again),
      cmocka_unit_test(memory_that_a_span_holds_is_left_alone),
      cmocka_unit_test(a_full_chunk_gives_way_to_another),
      cmocka_unit_test(what_is_larger_than_a_chunk_gets_one_of_its_size),
      cmocka_unit_test(what_is_reserved_and_not_written_costs_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
