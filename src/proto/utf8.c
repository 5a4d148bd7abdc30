#include "eventhub/proto/utf8.h"

#include <string.h>

#include "eventhub/base/err.h"

/*
 * Text is nearly always ASCII, so that is skipped 32 bytes at a time. The rest runs through a DFA
 * whose state is a shift count: a byte's row holds the next state of every state, six bits each, so
 * a step is one load and one shift (Per Vognsen's shift-based DFA), with no branch to predict
 * wrong.
 */
enum {
  ACCEPT = 0, /* between characters */
  REJECT = 6,
  TAIL1 = 12, /* one continuation byte is missing */
  TAIL2 = 18,
  TAIL3 = 24,
  TAIL_E0 = 30, /* two are missing, the next at least a0: else overlong */
  TAIL_ED = 36, /* two are missing, the next at most 9f: else a surrogate */
  TAIL_F0 = 42, /* three are missing, the next at least 90: else overlong */
  TAIL_F4 = 48, /* three are missing, the next at most 8f: else above U+10FFFF */
  STATE_MASK = 63,
  WORD = 8,
  BLOCK = 4 * WORD
};

#define ALL(next)                                                                                  \
  ((uint64_t)(next) << ACCEPT | (uint64_t)(next) << REJECT | (uint64_t)(next) << TAIL1 |           \
   (uint64_t)(next) << TAIL2 | (uint64_t)(next) << TAIL3 | (uint64_t)(next) << TAIL_E0 |           \
   (uint64_t)(next) << TAIL_ED | (uint64_t)(next) << TAIL_F0 | (uint64_t)(next) << TAIL_F4)
/* In `from`, this byte leads to `next`; everywhere else it is refused unless another STEP says
 * more. */
#define STEP(from, next) ((uint64_t)((next) ^ REJECT) << (from))
#define TAIL_ANY         (STEP(TAIL1, ACCEPT) ^ STEP(TAIL2, TAIL1) ^ STEP(TAIL3, TAIL2))

static const uint64_t rows[256] = {
    [0x00 ... 0x7f] = ALL(REJECT) ^ STEP(ACCEPT, ACCEPT),
    [0x80 ... 0x8f] = ALL(REJECT) ^ TAIL_ANY ^ STEP(TAIL_ED, TAIL1) ^ STEP(TAIL_F4, TAIL2),
    [0x90 ... 0x9f] = ALL(REJECT) ^ TAIL_ANY ^ STEP(TAIL_ED, TAIL1) ^ STEP(TAIL_F0, TAIL2),
    [0xa0 ... 0xbf] = ALL(REJECT) ^ TAIL_ANY ^ STEP(TAIL_E0, TAIL1) ^ STEP(TAIL_F0, TAIL2),
    [0xc0 ... 0xc1] = ALL(REJECT),
    [0xc2 ... 0xdf] = ALL(REJECT) ^ STEP(ACCEPT, TAIL1),
    [0xe0] = ALL(REJECT) ^ STEP(ACCEPT, TAIL_E0),
    [0xe1 ... 0xec] = ALL(REJECT) ^ STEP(ACCEPT, TAIL2),
    [0xed] = ALL(REJECT) ^ STEP(ACCEPT, TAIL_ED),
    [0xee ... 0xef] = ALL(REJECT) ^ STEP(ACCEPT, TAIL2),
    [0xf0] = ALL(REJECT) ^ STEP(ACCEPT, TAIL_F0),
    [0xf1 ... 0xf3] = ALL(REJECT) ^ STEP(ACCEPT, TAIL3),
    [0xf4] = ALL(REJECT) ^ STEP(ACCEPT, TAIL_F4),
    [0xf5 ... 0xff] = ALL(REJECT),
};

static inline bool word_is_ascii(uint64_t word) {
  return (word & 0x8080808080808080) == 0;
}

static inline bool block_is_ascii(const unsigned char *at) {
  uint64_t words[BLOCK / WORD];
  memcpy(words, at, sizeof words);
  return word_is_ascii(words[0] | words[1] | words[2] | words[3]);
}

static inline uint64_t step_over(uint64_t state, const unsigned char *at, size_t len) {
  for (size_t i = 0; i < len; i++)
    state = rows[at[i]] >> (state & STATE_MASK);
  return state & STATE_MASK;
}

/* What is left behind the last whole block, or a text that is shorter. */
static inline uint64_t run_tail(uint64_t state, const unsigned char *at, size_t len) {
  for (; len >= WORD && state == ACCEPT; at += WORD, len -= WORD) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    if (!word_is_ascii(word)) break;
  }
  return step_over(state, at, len);
}

/* REJECT leads only to itself, so a block is looked at once, behind it. */
static uint64_t run(uint64_t state, const unsigned char *at, size_t len) {
  for (; len >= BLOCK; at += BLOCK, len -= BLOCK) {
    if (state == ACCEPT && block_is_ascii(at)) continue;
    state = step_over(state, at, BLOCK);
    if (state == REJECT) return REJECT;
  }
  return run_tail(state, at, len);
}

bool utf8_is_valid(const char *text, size_t len) {
  return run(ACCEPT, (const unsigned char *)text, len) == ACCEPT;
}

int utf8_feed(struct utf8_state *state, const char *text, size_t len) {
  state->state = (uint32_t)run(state->state, (const unsigned char *)text, len);
  return state->state == REJECT ? ERR_INVALID : 0;
}

bool utf8_is_complete(const struct utf8_state *state) {
  return state->state == ACCEPT;
}
