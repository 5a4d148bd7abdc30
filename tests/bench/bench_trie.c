/* What the topic trie costs at 1,000 to 1,000,000 filters of three levels, a third of them
 * patterns: nanoseconds per match, per add and per remove, and bytes of memory per filter.
 *
 *   one     always the same topic, which one subscriber wants
 *   random  topics drawn at random, each wanted by one subscriber or covered by a pattern
 *
 * The filters are rooms of sites, `site17/room4711/temperature`, and patterns of three shapes:
 * `site17/room4711/#`, `site17/+/dev4711`, `+/room4711/alarm`. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/mem.h"
#include "eventhub/topic/trie.h"

enum { MATCHES = 200000, CHURN_MAX = 200000, SITES = 1000, ROUNDS = 15, ONE = 500 };

struct figures {
  double add_ns;
  double remove_ns;
  double bytes;
  double one_ns;
  double random_ns;
  double matched; /* filters per random topic */
};

/* Many texts behind each other, so that reading them costs the measured loop nothing. */
struct texts {
  struct buf bytes;
  uint32_t *ends;
  size_t count;
};

struct bench {
  uint32_t count;
  struct topic_trie *trie;
  struct filter_ref *refs; /* of the n-th filter */
  struct topic_matches matches;
  struct texts topics; /* random ones */
  struct figures figures;
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
  case 3: buf_printf(out, "site%u/+/dev%u", site, n); break;
  case 6: buf_printf(out, "+/room%u/alarm", n); break;
  default: buf_printf(out, "site%u/room%u/temperature", site, n); break;
  }
}

/* A topic that the n-th filter matches. */
static void append_topic(struct buf *out, uint32_t n) {
  unsigned site = n % SITES;
  switch (n % 9) {
  case 3: buf_printf(out, "site%u/room%u/dev%u", site, n, n); break;
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

static void add_all(struct bench *bench) {
  struct texts filters = texts_new(bench->count);
  for (uint32_t n = 0; n < bench->count; n++)
    texts_push(&filters, append_filter, n);
  uint64_t start_ns = clock_monotonic_ns();
  for (uint32_t n = 0; n < bench->count; n++)
    bench->refs[n] = topic_trie_add(bench->trie, texts_at(&filters, n), n % 2);
  bench->figures.add_ns = ns_each(start_ns, bench->count);
  bench->figures.bytes = (double)topic_trie_size(bench->trie) / bench->count;
  texts_free(&filters);
}

/* Removes filters drawn at random. */
static void remove_some(struct bench *bench) {
  size_t count = bench->count / 2 < CHURN_MAX ? bench->count / 2 : CHURN_MAX;
  uint32_t *victims = x_calloc(count, sizeof(*victims));
  for (size_t i = 0; i < count; i++)
    victims[i] = random_below(bench->count);
  size_t before = topic_trie_filter_count(bench->trie);
  uint64_t start_ns = clock_monotonic_ns();
  for (size_t i = 0; i < count; i++)
    topic_trie_remove(bench->trie, bench->refs[victims[i]], victims[i] % 2);
  size_t removed = before - topic_trie_filter_count(bench->trie);
  bench->figures.remove_ns = ns_each(start_ns, removed);
  free(victims);
}

static void keep_best(double *best, double ns) {
  if (*best == 0 || ns < *best) *best = ns;
}

static void match_one(struct bench *bench) {
  AUTO(buf) struct buf topic = BUF_INIT;
  append_topic(&topic, ONE);
  uint64_t start_ns = clock_monotonic_ns();
  for (size_t i = 0; i < MATCHES; i++)
    topic_trie_match(bench->trie, buf_slice(&topic), &bench->matches);
  keep_best(&bench->figures.one_ns, ns_each(start_ns, MATCHES));
}

static void match_random(struct bench *bench) {
  size_t matched = 0;
  uint64_t start_ns = clock_monotonic_ns();
  for (size_t i = 0; i < MATCHES; i++) {
    topic_trie_match(bench->trie, texts_at(&bench->topics, i), &bench->matches);
    matched += bench->matches.count;
  }
  keep_best(&bench->figures.random_ns, ns_each(start_ns, MATCHES));
  bench->figures.matched = (double)matched / MATCHES;
}

static void bench_init(struct bench *bench, uint32_t count) {
  *bench = (struct bench){.count = count, .trie = topic_trie_new(), .topics = texts_new(MATCHES)};
  bench->refs = x_calloc(count, sizeof(*bench->refs));
  for (size_t i = 0; i < MATCHES; i++)
    texts_push(&bench->topics, append_topic, random_below(count));
  add_all(bench);
}

static void bench_done(struct bench *bench) {
  topic_trie_free(bench->trie);
  topic_matches_done(&bench->matches);
  texts_free(&bench->topics);
  free(bench->refs);
}

static void bench_print(const struct bench *bench) {
  const struct figures *f = &bench->figures;
  printf("%9u %8.0f %10.0f %9.2f %9.0f %9.0f %9.0f\n", bench->count, f->one_ns, f->random_ns,
         f->matched, f->add_ns, f->remove_ns, f->bytes);
}

/* All sizes in turn, round after round, and the best of each: what else the machine does then falls
 * on all of them alike. */
int main(void) {
  static const uint32_t counts[] = {1000, 10000, 100000, 1000000};
  enum { SIZES = ARRAY_LEN(counts) };
  struct bench benches[SIZES];
  for (size_t i = 0; i < SIZES; i++)
    bench_init(&benches[i], counts[i]);
  for (size_t i = 0; i < ROUNDS * SIZES; i++) {
    match_one(&benches[i % SIZES]);
    match_random(&benches[i % SIZES]);
  }
  printf("%9s %8s %10s %9s %9s %9s %9s\n", "filters", "one ns", "random ns", "matched", "add ns",
         "remove ns", "bytes");
  for (size_t i = 0; i < SIZES; i++) {
    remove_some(&benches[i]);
    bench_print(&benches[i]);
  }
  printf("one topic, 1,000,000 : 1,000 filters  %.2f x\n",
         benches[SIZES - 1].figures.one_ns / benches[0].figures.one_ns);
  for (size_t i = 0; i < SIZES; i++)
    bench_done(&benches[i]);
  return 0;
}
