#include "eventhub/topic/pattern_tree.h"

#include <stdbool.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/base/random.h"

_Static_assert(sizeof(struct pattern_node) == CELL_SIZE, "one cell");

/* Values of a node's len that are no length. */
enum { PATTERN_FAR = 254, PATTERN_PLUS = 255 };

/* Where in a node's text the pointer is: aligned, so that leak checkers see it. */
enum { FAR_AT = PATTERN_TEXT_NEAR - sizeof(char *) };

_Static_assert((offsetof(struct pattern_node, text) + FAR_AT) % sizeof(char *) == 0, "aligned");

/* The two halves of pattern_node.literals. */
enum { HAS_PLUS = 1, ONE_LITERAL = 2 };

/* --- a node's text --- */

static char *far_text(const struct pattern_node *node) {
  char *text;
  memcpy(&text, node->text + FAR_AT, sizeof(text));
  return text;
}

static void set_text(struct pattern_node *node, struct slice level) {
  if (level.len <= PATTERN_TEXT_NEAR) {
    node->len = (uint8_t)level.len;
    memcpy(node->text, level.ptr, level.len);
    return;
  }
  char *text = x_strndup(level.ptr, level.len);
  node->len = PATTERN_FAR;
  memcpy(node->text + FAR_AT, &text, sizeof(text));
}

static bool has_text(const struct pattern_node *node, struct slice level) {
  if (node->len == level.len && level.len <= PATTERN_TEXT_NEAR)
    return memcmp(node->text, level.ptr, level.len) == 0;
  if (node->len != PATTERN_FAR) return false;
  return slice_equal(slice_str(far_text(node)), level);
}

static void free_text(struct cell *cell) {
  const struct pattern_node *node = (const struct pattern_node *)cell;
  if (node->len == PATTERN_FAR) free(far_text(node));
}

/* --- ids --- */

static uint32_t ids_take(struct pattern_ids *ids) {
  return ids->free_count ? ids->free[--ids->free_count] : ++ids->used;
}

static void ids_give(struct pattern_ids *ids, uint32_t id) {
  if (ids->free_count == ids->free_cap) {
    ids->free_cap = ids->free_cap ? ids->free_cap * 2 : 64;
    ids->free = x_realloc(ids->free, ids->free_cap * sizeof(*ids->free));
  }
  ids->free[ids->free_count++] = id;
}

static void ids_done(struct pattern_ids *ids) {
  free(ids->free);
  *ids = (struct pattern_ids){0};
}

/* --- paths --- */

/* A level of a path: literal text, or '+'. */
struct level {
  struct slice text; /* ptr NULL = '+' */
  uint64_t hash;
};

/* How a path is known before its node is: by its hash, and by its shape, which is a 1 followed by
 * a bit for each level, set for '+'. Shapes of more than SHAPE_LEVELS levels are 0. */
struct path {
  uint64_t hash;
  uint32_t shape;
};

enum { SHAPE_LEVELS = 5 };

static const struct path root_path = {0, 1};

static struct level literal_level(const struct pattern_tree *tree, struct slice text) {
  return (struct level){text, XXH3_64bits_withSeed(text.ptr, text.len, tree->seed)};
}

static struct level plus_level(const struct pattern_tree *tree) {
  return (struct level){{NULL, 0}, tree->seed};
}

static bool is_plus(const struct level *level) {
  return level->text.ptr == NULL;
}

/* Levels' hashes are random already; this has to keep their order and to spread their sum. */
static struct path path_join(struct path path, const struct level *level) {
  uint64_t sum = (path.hash + level->hash) * UINT64_C(0x9e3779b97f4a7c15);
  uint32_t shape = path.shape >> SHAPE_LEVELS ? 0 : path.shape;
  return (struct path){sum ^ (sum >> 32), shape ? shape << 1 | is_plus(level) : 0};
}

/* May there be a node of this path's shape? Bits are set when nodes are added and stay until the
 * tree is empty: a wrong yes only costs a fetch in vain. */
static bool has_shape(const struct pattern_tree *tree, struct path path) {
  return path.shape != 0 && (tree->shapes >> path.shape & 1);
}

static void note_shape(struct pattern_tree *tree, struct path path) {
  if (path.shape != 0) tree->shapes |= UINT64_C(1) << path.shape;
}

/* --- the tree --- */

static bool node_is(const struct pattern_node *node, uint32_t parent, const struct level *level) {
  if (node->parent != parent) return false;
  return is_plus(level) ? node->len == PATTERN_PLUS : has_text(node, level->text);
}

static struct pattern_node *find_child(const struct pattern_tree *tree, uint32_t parent,
                                       const struct level *level, struct path path) {
  uint32_t hash = cell_hash(path.hash);
  if (!cell_table_may_have(&tree->nodes, hash)) return NULL;
  struct cell *cell = cell_table_find(&tree->nodes, hash);
  for (; cell != NULL; cell = cell_next_same(cell)) {
    struct pattern_node *node = (struct pattern_node *)cell;
    if (node_is(node, parent, level)) return node;
  }
  return NULL;
}

static struct pattern_node *find_id(struct pattern_tree *tree, uint32_t hash, uint32_t id) {
  if (id == 0) return &tree->root;
  struct cell *cell = cell_table_find(&tree->nodes, hash);
  while (cell != NULL && ((struct pattern_node *)cell)->id != id)
    cell = cell_next_same(cell);
  return (struct pattern_node *)cell;
}

void pattern_tree_init(struct pattern_tree *tree) {
  *tree = (struct pattern_tree){.seed = random_u64()};
  cell_table_init(&tree->nodes);
}

void pattern_tree_done(struct pattern_tree *tree) {
  cell_table_done(&tree->nodes, free_text);
  ids_done(&tree->ids);
}

/* Takes the parent by value of what is needed of it, since adding moves nodes. */
static struct pattern_node *add_child(struct pattern_tree *tree, struct pattern_node *parent,
                                      const struct level *level, struct path path) {
  uint32_t parent_id = parent->id;
  uint32_t parent_hash = parent->hash;
  if (is_plus(level))
    parent->literals |= HAS_PLUS;
  else
    parent->literals += ONE_LITERAL;
  struct cell *cell = cell_table_add(&tree->nodes, cell_hash(path.hash));
  struct pattern_node *node = (struct pattern_node *)cell;
  node->id = ids_take(&tree->ids);
  node->parent = parent_id;
  node->parent_hash = parent_hash;
  node->len = PATTERN_PLUS;
  if (!is_plus(level)) set_text(node, level->text);
  note_shape(tree, path);
  return node;
}

struct pattern_seat pattern_tree_add(struct pattern_tree *tree, struct slice pattern) {
  struct pattern_node *node = &tree->root;
  struct path path = root_path;
  struct slice text;
  while (slice_next_token(&pattern, '/', &text)) {
    if (slice_equal(text, SLICE("#"))) return (struct pattern_seat){node, &node->below};
    bool plus = slice_equal(text, SLICE("+"));
    struct level level = plus ? plus_level(tree) : literal_level(tree, text);
    path = path_join(path, &level);
    struct pattern_node *child = find_child(tree, node->id, &level, path);
    node = child ? child : add_child(tree, node, &level, path);
  }
  return (struct pattern_seat){node, &node->here};
}

static bool has_number(const struct topic_match *seat, uint32_t number) {
  return seat->workers != 0 && seat->filter.number == number;
}

static struct pattern_seat seat_in(struct pattern_node *node, uint32_t number) {
  if (has_number(&node->here, number)) return (struct pattern_seat){node, &node->here};
  if (has_number(&node->below, number)) return (struct pattern_seat){node, &node->below};
  return (struct pattern_seat){NULL, NULL};
}

struct pattern_seat pattern_tree_seat(struct pattern_tree *tree, uint32_t hash, uint32_t number) {
  struct pattern_seat seat = {NULL, NULL};
  if (hash == 0) return seat_in(&tree->root, number);
  struct cell *cell = cell_table_find(&tree->nodes, hash);
  for (; cell != NULL && seat.match == NULL; cell = cell_next_same(cell))
    seat = seat_in((struct pattern_node *)cell, number);
  return seat;
}

static bool is_needed(const struct pattern_node *node) {
  return node->here.workers || node->below.workers || node->literals;
}

static void detach(struct pattern_node *parent, const struct pattern_node *node) {
  if (node->len == PATTERN_PLUS)
    parent->literals &= ~(uint32_t)HAS_PLUS;
  else
    parent->literals -= ONE_LITERAL;
}

void pattern_tree_remove(struct pattern_tree *tree, struct pattern_seat seat) {
  struct pattern_node *node = seat.node;
  *seat.match = (struct topic_match){0};
  while (node->id != 0 && !is_needed(node)) {
    uint32_t parent = node->parent;
    uint32_t parent_hash = node->parent_hash;
    detach(find_id(tree, parent_hash, parent), node);
    ids_give(&tree->ids, node->id);
    free_text((struct cell *)node);
    cell_table_remove(&tree->nodes, (struct cell *)node);
    node = find_id(tree, parent_hash, parent);
  }
  if (tree->nodes.count > 0) return;
  ids_done(&tree->ids);
  tree->shapes = 0;
}

/* --- matching --- */

/* A node that the topic has reached. */
struct step {
  const struct pattern_node *node;
  struct path path;
};

/* A child that the next level of the topic may lead to. */
struct guess {
  uint32_t parent;
  bool is_plus;
  struct path path;
};

enum { STEPS_NEAR = 32 };

/* All nodes of one depth, or all guesses at those of the next. Few topics ever reach more than a
 * handful. Each step makes two guesses at most. */
struct walk {
  struct step *steps;
  struct guess *guesses;
  size_t step_count;
  size_t guess_count;
  size_t cap; /* of steps; of guesses twice as many */
  struct step near_steps[STEPS_NEAR];
  struct guess near_guesses[2 * STEPS_NEAR];
};

static void walk_init(struct walk *walk) {
  walk->steps = walk->near_steps;
  walk->guesses = walk->near_guesses;
  walk->step_count = 0;
  walk->guess_count = 0;
  walk->cap = STEPS_NEAR;
}

static void walk_cleanup(struct walk *walk) {
  if (walk->steps == walk->near_steps) return;
  free(walk->steps);
  free(walk->guesses);
}

/* Makes room for as many steps as there are guesses; what is in the steps is not kept. */
static void walk_grow(struct walk *walk) {
  size_t cap = walk->guess_count * 2;
  struct guess *guesses = x_malloc(2 * cap * sizeof(*guesses));
  memcpy(guesses, walk->guesses, walk->guess_count * sizeof(*guesses));
  walk_cleanup(walk);
  walk->guesses = guesses;
  walk->steps = x_malloc(cap * sizeof(*walk->steps));
  walk->cap = cap;
}

static void emit(const struct topic_match *seat, struct topic_matches *ret) {
  if (seat->workers != 0) topic_matches_push(ret, seat);
}

/* The level of the topic that is looked at, and the one behind it. */
struct levels {
  struct slice left;
  struct level now;
  struct level next;
  struct level plus;
  bool has_next;
};

static void levels_advance(const struct pattern_tree *tree, struct levels *levels) {
  struct slice text;
  levels->now = levels->next;
  levels->has_next = slice_next_token(&levels->left, '/', &text);
  if (levels->has_next) levels->next = literal_level(tree, text);
}

static void fetch(const struct pattern_tree *tree, struct path path) {
  uint32_t hash = cell_hash(path.hash);
  if (cell_table_may_have(&tree->nodes, hash)) cell_table_prefetch(&tree->nodes, hash);
}

static void fetch_if_likely(const struct pattern_tree *tree, struct path path) {
  if (has_shape(tree, path)) fetch(tree, path);
}

/* Notes the child, and has memory bring it: and with it what may come below, since that place is
 * known already. So a topic of three levels waits for memory about once, not three times. */
static void guess_child(const struct pattern_tree *tree, const struct levels *levels,
                        const struct step *step, const struct level *level, struct walk *walk) {
  struct path path = path_join(step->path, level);
  walk->guesses[walk->guess_count++] = (struct guess){step->node->id, is_plus(level), path};
  fetch(tree, path);
  if (!levels->has_next) return;
  fetch_if_likely(tree, path_join(path, &levels->next));
  fetch_if_likely(tree, path_join(path, &levels->plus));
}

static void guess_all(const struct pattern_tree *tree, const struct levels *levels,
                      struct walk *walk) {
  walk->guess_count = 0;
  for (size_t i = 0; i < walk->step_count; i++) {
    const struct step *step = &walk->steps[i];
    if (step->node->literals & HAS_PLUS) guess_child(tree, levels, step, &levels->plus, walk);
    if (step->node->literals >= ONE_LITERAL) guess_child(tree, levels, step, &levels->now, walk);
  }
}

/* The guesses that are right are the next steps. */
static void take_all(const struct pattern_tree *tree, const struct levels *levels,
                     struct walk *walk, struct topic_matches *ret) {
  if (unlikely(walk->guess_count > walk->cap)) walk_grow(walk);
  walk->step_count = 0;
  for (size_t i = 0; i < walk->guess_count; i++) {
    const struct guess *guess = &walk->guesses[i];
    const struct level *level = guess->is_plus ? &levels->plus : &levels->now;
    const struct pattern_node *node = find_child(tree, guess->parent, level, guess->path);
    if (node == NULL) continue;
    emit(&node->below, ret);
    walk->steps[walk->step_count++] = (struct step){node, guess->path};
  }
}

void pattern_tree_match(const struct pattern_tree *tree, struct slice topic,
                        struct topic_matches *ret) {
  AUTO(walk) struct walk walk;
  struct levels levels = {.left = topic, .plus = plus_level(tree)};
  walk_init(&walk);
  walk.steps[walk.step_count++] = (struct step){&tree->root, root_path};
  emit(&tree->root.below, ret);
  if (tree->root.literals == 0) return;
  levels_advance(tree, &levels);
  while (walk.step_count > 0 && levels.has_next) {
    levels_advance(tree, &levels);
    guess_all(tree, &levels, &walk);
    take_all(tree, &levels, &walk, ret);
  }
  for (size_t i = 0; i < walk.step_count; i++)
    emit(&walk.steps[i].node->here, ret);
}
