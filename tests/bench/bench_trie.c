/* What the topic trie costs at 1,000 to 1,000,000 filters of three levels, a third of them
 * patterns: nanoseconds per match, per add and per remove, and bytes of memory per filter.
 *
 *   one     always the same topic, which one subscriber wants
 *   random  topics drawn at random, each wanted by one subscriber or covered by a pattern
 *
 * The filters are rooms of sites, `site17/room4711/temperature`, and patterns of three shapes:
 * `site17/room4711/#`, `site17/+/sensor4711`, `+/room4711/alarm`. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/mem.h"
#include "eventhub/topic/trie.h"

enum { MATCHES = 1000000, CHURN_MAX = 200000, SITES = 1000, ROUNDS = 5 };

struct figures {
  double add_ns;
  double remove_ns;
  double bytes;
  double one_ns;
  double random_ns;
  double matched; /* filters per random topic */
};

struct bench {
  struct topic_trie *trie;
  struct filter_ref *refs; /* of the n-th filter */
  uint32_t count;
  struct topic_matches matches;
};

/* Many texts behind each other, so that reading them costs the measured loop nothing. */
struct texts {
  struct buf bytes;
  uint32_t *ends;
  size_t count;
};

static uint32_t random_below(uint32_t limit) {
  static uint64_t state = 88172645463325252U;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)((state >> 32) % limit);
}

static void append_filter(struct buf *out, uint32_t n) {
  unsigned site = n % SITES;
  switch (n % 9) {
  case 0: buf_printf(out, "site%u/room%u/#", site, n); break;
  case 3: buf_printf(out, "site%u/+/sensor%u", site, n); break;
  case 6: buf_printf(out, "+/room%u/alarm", n); break;
  default: buf_printf(out, "site%u/room%u/temperature", site, n); break;
  }
}

/* A topic that the n-th filter matches. */
static void append_topic(struct buf *out, uint32_t n) {
  unsigned site = n % SITES;
  switch (n % 9) {
  case 3: buf_printf(out, "site%u/room%u/sensor%u", site, n, n); break;
  case 6: buf_printf(out, "site%u/room%u/alarm", site, n); break;
  default: buf_printf(out, "site%u/room%u/temperature", site, n); break;
  }
}

static void texts_push(struct texts *texts, void (*append)(struct buf *, uint32_t), uint32_t n) {
  append(&texts->bytes, n);
  texts->ends[texts->count++] = (uint32_t)texts->bytes.len;
}

static struct texts texts_new(size_t count) {
  return (struct texts){BUF_INIT, x_calloc(count, sizeof(uint32_t)), 0};
}

static struct slice texts_at(const struct texts *texts, size_t i) {
  size_t start = i ? texts->ends[i - 1] : 0;
  return slice_of(texts->bytes.data + start, texts->ends[i] - start);
}

static void texts_free(struct texts *texts) {
  buf_done(&texts->bytes);
  free(texts->ends);
}

static double ns_each(uint64_t start_ns, size_t count) {
  return (double)(clock_monotonic_ns() - start_ns) / (double)count;
}

static void add_all(struct bench *bench, struct figures *figures) {
  struct texts filters = texts_new(bench->count);
  for (uint32_t n = 0; n < bench->count; n++)
    texts_push(&filters, append_filter, n);
  uint64_t start_ns = clock_monotonic_ns();
  for (uint32_t n = 0; n < bench->count; n++)
    bench->refs[n] = topic_trie_add(bench->trie, texts_at(&filters, n), n % 2);
  figures->add_ns = ns_each(start_ns, bench->count);
  figures->bytes = (double)topic_trie_size(bench->trie) / bench->count;
  texts_free(&filters);
}

static double match_all(struct bench *bench, const struct texts *topics, double *ret_matched) {
  size_t matched = 0;
  uint64_t start_ns = clock_monotonic_ns();
  for (size_t i = 0; i < topics->count; i++) {
    topic_trie_match(bench->trie, texts_at(topics, i), &bench->matches);
    matched += bench->matches.count;
  }
  double ns = ns_each(start_ns, topics->count);
  *ret_matched = (double)matched / (double)topics->count;
  return ns;
}

/* The best of some rounds: the others measure the machine's other work. */
static double match_best(struct bench *bench, const struct texts *topics, double *ret_matched) {
  double best = match_all(bench, topics, ret_matched);
  for (int round = 1; round < ROUNDS; round++) {
    double ns = match_all(bench, topics, ret_matched);
    if (ns < best) best = ns;
  }
  return best;
}

static void match_topics(struct bench *bench, struct figures *figures) {
  struct texts one = texts_new(MATCHES);
  struct texts random = texts_new(MATCHES);
  double matched;
  for (size_t i = 0; i < MATCHES; i++)
    texts_push(&one, append_topic, 500);
  for (size_t i = 0; i < MATCHES; i++)
    texts_push(&random, append_topic, random_below(bench->count));
  figures->one_ns = match_best(bench, &one, &matched);
  figures->random_ns = match_best(bench, &random, &figures->matched);
  texts_free(&one);
  texts_free(&random);
}

/* Removes filters drawn at random. */
static void remove_some(struct bench *bench, struct figures *figures) {
  size_t count = bench->count / 2 < CHURN_MAX ? bench->count / 2 : CHURN_MAX;
  uint32_t *victims = x_calloc(count, sizeof(*victims));
  for (size_t i = 0; i < count; i++)
    victims[i] = random_below(bench->count);
  size_t before = topic_trie_filter_count(bench->trie);
  uint64_t start_ns = clock_monotonic_ns();
  for (size_t i = 0; i < count; i++)
    topic_trie_remove(bench->trie, bench->refs[victims[i]], victims[i] % 2);
  figures->remove_ns = ns_each(start_ns, before - topic_trie_filter_count(bench->trie));
  free(victims);
}

static struct figures measure(uint32_t count) {
  struct figures figures = {0};
  struct bench bench = {topic_trie_new(), x_calloc(count, sizeof(struct filter_ref)), count, {0}};
  add_all(&bench, &figures);
  match_topics(&bench, &figures);
  remove_some(&bench, &figures);
  topic_trie_free(bench.trie);
  topic_matches_done(&bench.matches);
  free(bench.refs);
  return figures;
}

int main(void) {
  static const uint32_t counts[] = {1000, 10000, 100000, 1000000};
  double first_ns = 0;
  double last_ns = 0;
  printf("%9s %8s %10s %11s %9s %9s %9s\n", "filters", "one ns", "random ns", "matched", "add ns",
         "remove ns", "bytes");
  for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
    struct figures f = measure(counts[i]);
    printf("%9u %8.0f %10.0f %11.2f %9.0f %9.0f %9.0f\n", counts[i], f.one_ns, f.random_ns,
           f.matched, f.add_ns, f.remove_ns, f.bytes);
    if (i == 0) first_ns = f.one_ns;
    last_ns = f.one_ns;
  }
  printf("one topic, 1,000,000 : 1,000 filters  %.2f x\n", last_ns / first_ns);
  return 0;
}
