/* Names and the trie. The input is lines, each an operation on a text:
 *
 *   +filter  a worker subscribes to it       -filter  it unsubscribes
 *   ?topic   what matches it?
 *
 * The trie has to say what filter_matches says of each filter; and a filter that contains another
 * has to match whatever that one matches. */
#include <stdint.h>
#include <stdlib.h>

#include "eventhub/base/slice.h"
#include "eventhub/topic/name.h"
#include "eventhub/topic/trie.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILTERS_MAX = 64 };

struct subscribed {
  struct slice filter;
  struct filter_ref ref;
};

struct state {
  struct topic_trie *trie;
  struct subscribed filters[FILTERS_MAX];
  size_t count;
  struct topic_matches matches;
};

static void check(bool holds) {
  if (!holds) abort();
}

static size_t find(const struct state *state, struct slice filter) {
  size_t i = 0;
  while (i < state->count && !slice_equal(state->filters[i].filter, filter))
    i++;
  return i;
}

static void subscribe(struct state *state, struct slice filter) {
  size_t i = find(state, filter);
  if (i == FILTERS_MAX) return;
  struct filter_ref ref = topic_trie_add(state->trie, filter, 7);
  check((ref.number == FILTER_NUMBER_NONE) == !filter_is_valid(filter));
  if (ref.number == FILTER_NUMBER_NONE) return;
  check(topic_is_valid(filter) == !filter_is_pattern(filter));
  if (i < state->count)
    check(ref.number == state->filters[i].ref.number);
  else
    state->filters[state->count++] = (struct subscribed){filter, ref};
}

static void unsubscribe(struct state *state, struct slice filter) {
  size_t i = find(state, filter);
  if (i == state->count) return;
  topic_trie_remove(state->trie, state->filters[i].ref, 7);
  state->filters[i] = state->filters[--state->count];
}

static bool is_among(const struct topic_matches *matches, struct filter_ref ref) {
  for (size_t i = 0; i < matches->count; i++)
    if (matches->items[i].filter.number == ref.number &&
        matches->items[i].filter.generation == ref.generation)
      return matches->items[i].workers == 1 << 7;
  return false;
}

static void check_containers(const struct state *state, struct slice inner, struct slice topic) {
  for (size_t i = 0; i < state->count; i++) {
    struct slice outer = state->filters[i].filter;
    if (filter_contains(outer, inner)) check(filter_matches(outer, topic));
  }
}

static void match(struct state *state, struct slice topic) {
  size_t expected = 0;
  topic_trie_match(state->trie, topic, &state->matches);
  for (size_t i = 0; i < state->count; i++) {
    bool matches = filter_matches(state->filters[i].filter, topic);
    check(is_among(&state->matches, state->filters[i].ref) == matches);
    expected += matches;
    if (matches) check_containers(state, state->filters[i].filter, topic);
  }
  check(state->matches.count == expected);
}

static void run_line(struct state *state, struct slice line) {
  if (line.len == 0) return;
  struct slice text = slice_skip(line, 1);
  if (line.ptr[0] == '+') subscribe(state, text);
  if (line.ptr[0] == '-') unsubscribe(state, text);
  if (line.ptr[0] == '?') match(state, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct state state = {.trie = topic_trie_new()};
  struct slice rest = slice_of((const char *)data, size);
  struct slice line;
  while (slice_next_token(&rest, '\n', &line))
    run_line(&state, line);
  check(topic_trie_filter_count(state.trie) == state.count);
  while (state.count > 0)
    unsubscribe(&state, state.filters[0].filter);
  check(topic_trie_filter_count(state.trie) == 0);
  topic_matches_done(&state.matches);
  topic_trie_free(state.trie);
  return 0;
}
