/* The topic trie: every filter that anyone in the process is subscribed to, and which workers have
 * subscribers for it.
 *
 * It is the one structure that threads share. It holds no pointer to a connection or a
 * subscription: a filter has a number, and each worker keeps its own table `number -> my
 * subscriptions`. A worker adds a filter with its first subscription and removes it with the last.
 *
 * Matching costs by the topic's levels and by what matches, never by how many filters exist:
 *
 *   exact topics   one hash table, text and workers in one cache line per topic
 *   patterns       a tree whose edges are found by the hash of the path, one cache line per node
 *
 * Any thread may call anything except new and free; a reader-writer lock is inside. */
#ifndef EVENTHUB_TOPIC_TRIE_H
#define EVENTHUB_TOPIC_TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/slice.h"

enum { TOPIC_TRIE_WORKERS_MAX = 64 };

/* The number that no filter has. */
static const uint32_t FILTER_NUMBER_NONE = UINT32_MAX;

/* Names a filter. Numbers are small and dense, so that they can index an array; the number of a
 * filter that went away is used again, under another generation. All zeroes is no filter's. */
struct filter_ref {
  uint32_t number;
  uint32_t generation;
};

/* A filter that matched, and the workers (bit n = worker n) that have subscribers for it. */
struct topic_match {
  struct filter_ref filter;
  uint64_t workers;
};

/* Filled by topic_trie_match; keep one and pass it again, its memory is reused. */
struct topic_matches {
  struct topic_match *items;
  size_t count;
  size_t cap;
};

void topic_matches_init(struct topic_matches *matches);
void topic_matches_done(struct topic_matches *matches);

/* AUTO(topic_matches) struct topic_matches matches = {0}; */
static inline void topic_matches_cleanup(struct topic_matches *matches) {
  topic_matches_done(matches);
}

/* Appends a copy. */
void topic_matches_push(struct topic_matches *matches, const struct topic_match *match);

struct topic_trie;

struct topic_trie *topic_trie_new(void);

/* NULL is fine. No other thread may be inside. */
void topic_trie_free(struct topic_trie *trie);

/* Registers the worker's interest in the filter; again for the same worker changes nothing and
 * returns the same reference. The reference holds until the last worker removed it. A filter that
 * is not valid is not added: its number is FILTER_NUMBER_NONE. */
struct filter_ref topic_trie_add(struct topic_trie *trie, struct slice filter, unsigned worker);

/* Ends the worker's interest. References that no longer mean a filter are ignored. */
void topic_trie_remove(struct topic_trie *trie, struct filter_ref filter, unsigned worker);

/* Finds the filters that match the topic (any text), in no order. Clears `ret` first. */
void topic_trie_match(struct topic_trie *trie, struct slice topic, struct topic_matches *ret);

/* Changes with every add or remove that changed something. Who keeps a match for later reads the
 * version before matching: the match is good for as long as the version stays. */
uint64_t topic_trie_version(const struct topic_trie *trie);

/* Filters that at least one worker is interested in. */
size_t topic_trie_filter_count(struct topic_trie *trie);

/* Bytes that the trie holds in its large arrays. */
size_t topic_trie_size(struct topic_trie *trie);

#endif
