/* The patterns in the trie, as a tree of levels. A part of topic/trie, which owns it and locks it.
 *
 *   a/+/c, a/b/#, +         root ---a--> (a) ---b--> (a/b)  below: a/b/#
 *                            |            '---+--> (a/+) ---c--> (a/+/c)  here: a/+/c
 *                            '----+--> (+)  here: +
 *
 * A node is a cell in a hash table, found by the hash of its path from the root. It has no pointer
 * to its children, only knows whether there are any. Since a path's hash needs nothing but the
 * topic, all nodes that a topic might reach next can be fetched at the same time. */
#ifndef EVENTHUB_TOPIC_PATTERN_TREE_H
#define EVENTHUB_TOPIC_PATTERN_TREE_H

#include <stdint.h>

#include "eventhub/base/slice.h"
#include "eventhub/topic/cell_table.h"
#include "eventhub/topic/trie.h"

enum { PATTERN_TEXT_NEAR = 11 };

/* The level's text is in the node up to PATTERN_TEXT_NEAR bytes. A longer one (len PATTERN_FAR) is
 * a `char *` in the last 8 bytes, to text that ends with a NUL. A '+' node has len PATTERN_PLUS. */
struct pattern_node {
  uint32_t hash;            /* of the path; 0 = the root */
  uint32_t id;              /* no other living node has it */
  uint32_t parent;          /* its id; with the level it tells nodes of the same hash apart */
  uint32_t parent_hash;     /* to find the parent */
  struct topic_match here;  /* who wants the pattern that ends in this level */
  struct topic_match below; /* who wants the pattern that ends in '#' below this level */
  uint32_t literals;        /* how many literal children, times two; plus one with a '+' child */
  uint8_t len;
  char text[PATTERN_TEXT_NEAR];
};

/* A seat, and the node that it is in. Good until the next add or remove. */
struct pattern_seat {
  struct pattern_node *node;
  struct topic_match *match; /* NULL = no such seat */
};

/* Ids of nodes: counted up, those given back first. */
struct pattern_ids {
  uint32_t *free;
  uint32_t free_count;
  uint32_t free_cap;
  uint32_t used;
};

struct pattern_tree {
  struct pattern_node root; /* id 0, not in the table; only its `below` is used */
  struct cell_table nodes;
  struct pattern_ids ids;
  uint64_t shapes; /* which sequences of '+' and literal levels there may be; see pattern_tree.c */
  uint64_t seed;
};

void pattern_tree_init(struct pattern_tree *tree);
void pattern_tree_done(struct pattern_tree *tree);

/* The seat of the pattern, which is made (all zeroes) where it is missing: the trie fills it. */
struct pattern_seat pattern_tree_add(struct pattern_tree *tree, struct slice pattern);

/* The seat that has this filter number, by the hash of its node. */
struct pattern_seat pattern_tree_seat(struct pattern_tree *tree, uint32_t hash, uint32_t number);

/* Empties the seat and frees the node and those above it, as far as nobody needs them. */
void pattern_tree_remove(struct pattern_tree *tree, struct pattern_seat seat);

/* Appends the seats of all patterns that match the topic. */
void pattern_tree_match(const struct pattern_tree *tree, struct slice topic,
                        struct topic_matches *ret);

#endif
