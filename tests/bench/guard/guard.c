/*
 * A fixed piece of work for the instruction guard (guard.test.mjs): a whole broker on one thread,
 * without a clock, without chance. What is counted happens in guard_run; what clients do is
 * outside.
 *
 *   eventhub-guard fanout     16 messages at a time to 200 subscribers of one topic
 *   eventhub-guard direct     16 messages at a time, each to one of 100 subscribers, acknowledged
 *   eventhub-guard match      topics among 10,000 filters, a third of them patterns
 *
 * Prints how many units of work that was (deliveries, publishes, matches), and what compiled it:
 * instructions compare only between equal compilers and C libraries.
 */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <gnu/libc-version.h>
#include <stdio.h>

#include "../../unit/server/broker_fixture.h"

#ifdef __x86_64__
#define MACHINE "x86_64"
#else
#define MACHINE "other"
#endif

enum { ROUNDS = 20, BURST = 16, FAN = 200, TOPICS = 100, FILTERS = 10000, MATCHES = 5000 };

/* The linker puts these in the place of the real ones: seeds that are the same in every run, and no
 * turn that is cut short because an instrumented program is slow. */
uint64_t __wrap_random_u64(void);
bool __wrap_loop_is_late(const struct loop *loop);

uint64_t __wrap_random_u64(void) {
  static uint64_t state = 1;
  return state = state * 6364136223846793005U + 1442695040888963407U;
}

bool __wrap_loop_is_late(const struct loop *loop) {
  (void)loop;
  return false;
}

static struct broker_fixture fixture;
static struct peer peers[FAN], publisher;

/* The part that is counted. */
__attribute__((noinline)) void guard_run(void (*work)(void));
void guard_run(void (*work)(void)) {
  work();
}

static void settle(void) {
  broker_settle(&fixture);
}

static void open_peers(uint32_t count, bool has_own_topics) {
  for (uint32_t i = 0; i < count; i++) {
    AUTO(buf) struct buf text = BUF_INIT;
    client_connect(&peers[i], &fixture, i % BROKER_WORKERS);
    buf_printf(&text, REQUEST("1", "subscribe", "{\"topic\":\"guard/t%u\"}"),
               has_own_topics ? i : 0);
    client_ask(&fixture, &peers[i], text.data);
  }
  client_connect(&publisher, &fixture, 0);
  for (unsigned i = 0; i < BROKER_WORKERS; i++)
    fixture.broker.workers[i].pool.flush_ns = UINT64_MAX;
}

static void read_all(uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    peer_read(&peers[i]);
    buf_clear(&peers[i].in);
  }
  peer_read(&publisher);
  buf_clear(&publisher.in);
}

static void close_peers(uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    peer_close(&peers[i]);
  peer_close(&publisher);
  settle();
}

/* `is_counted`: not the first rounds, which find everything cold. */
static void publish_burst(uint32_t round, uint32_t topics, bool is_counted) {
  for (uint32_t i = 0; i < BURST; i++) {
    AUTO(buf) struct buf text = BUF_INIT;
    uint32_t number = round * BURST + i;
    buf_printf(&text, REQUEST("%u", "publish", "{\"topic\":\"guard/t%u\",\"message\":\"%064u\"}"),
               1000 + number, number % topics, number);
    append_frame(&publisher.out, FIN | WS_TEXT, text.data, text.len);
  }
  peer_flush(&publisher);
  if (is_counted) {
    guard_run(settle);
  } else {
    settle();
  }
}

static unsigned run_broker(uint32_t subscribers, uint32_t topics) {
  broker_fixture_init(&fixture, ENV("DISABLE_AUTH=1", "ENABLE_IO_URING=0"));
  open_peers(subscribers, topics > 1);
  for (uint32_t round = 0; round < 2 * ROUNDS; round++) {
    publish_burst(round, topics, round >= ROUNDS);
    read_all(subscribers);
  }
  close_peers(subscribers);
  broker_fixture_done(&fixture);
  return ROUNDS * BURST * (subscribers / topics);
}

static struct topic_trie *trie;
static struct topic_matches matches;

static void append_topic(struct buf *out, uint32_t n) {
  buf_printf(out, "site%u/room%u/%s", n % 100, n, n % 3 == 0 ? "alarm" : "temperature");
}

static struct buf topics[MATCHES];

static void match_all(void) {
  for (uint32_t i = 0; i < MATCHES; i++) {
    topic_trie_match(trie, buf_slice(&topics[i]), &matches);
    assert_int_equal(matches.count, 1);
  }
}

static unsigned run_match(void) {
  trie = topic_trie_new();
  topic_matches_init(&matches);
  for (uint32_t n = 0; n < FILTERS; n++) {
    AUTO(buf) struct buf filter = BUF_INIT;
    append_topic(&filter, n);
    if (n % 3 == 0) {
      buf_clear(&filter);
      buf_printf(&filter, n % 2 == 0 ? "+/room%u/alarm" : "site%u/room%u/#", n % 2 ? n % 100 : n,
                 n);
    }
    topic_trie_add(trie, buf_slice(&filter), 0);
  }
  for (uint32_t i = 0; i < MATCHES; i++)
    append_topic(&topics[i], i * 7919 % FILTERS);
  guard_run(match_all);
  for (uint32_t i = 0; i < MATCHES; i++)
    buf_done(&topics[i]);
  topic_matches_done(&matches);
  topic_trie_free(trie);
  return MATCHES;
}

int main(int argc, char **argv) {
  const char *work = argc == 2 ? argv[1] : "";
  unsigned units = 0;
  if (strcmp(work, "fanout") == 0) units = run_broker(FAN, 1);
  if (strcmp(work, "direct") == 0) units = run_broker(TOPICS, TOPICS);
  if (strcmp(work, "match") == 0) units = run_match();
  if (units == 0) {
    fprintf(stderr, "usage: eventhub-guard fanout|direct|match\n");
    return 2;
  }
  printf("%u units, gcc %s, glibc %s, %s\n", units, __VERSION__, gnu_get_libc_version(), MACHINE);
  return 0;
}
