#include "eventhub/server/fanout.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"
#include "eventhub/server/watch.h"
#include "eventhub/topic/message.h"

enum { PREFETCH_AHEAD = 4 };

struct fanout_filter {
  struct map_node node;
  struct filter_ref ref;
  struct list groups;
  struct list holds;
  uint32_t group_count;
  uint32_t text_len;
  char text[];
};

struct member {
  struct connection *connection;
  struct subscription *subscription;
};

/* Messages kept for one subscription. */
struct fanout_hold {
  struct list link; /* in its filter */
  struct subscription *subscription;
  struct message **messages;
  size_t count, cap, bytes;
};

struct fanout_group {
  struct map_node node;
  struct list link; /* in its filter */
  struct fanout_filter *filter;
  struct member *members; /* &single, or allocated */
  struct member single;
  uint32_t count, cap;
  uint32_t refs; /* subscriptions, those that catch up included */
  uint32_t key_len;
  char key[]; /* the filter's number, the form, the id */
};

enum { GROUP_START_LEN = sizeof(uint32_t) + sizeof(struct message_form) };

static struct slice filter_key(const struct map_node *node) {
  const struct fanout_filter *filter = container_of(node, const struct fanout_filter, node);
  return slice_of(filter->text, filter->text_len);
}

static struct slice group_key(const struct map_node *node) {
  const struct fanout_group *group = container_of(node, const struct fanout_group, node);
  return slice_of(group->key, group->key_len);
}

static struct slice group_id(const struct fanout_group *group) {
  return slice_of(group->key + GROUP_START_LEN, group->key_len - GROUP_START_LEN);
}

static struct message_form group_form(const struct fanout_group *group) {
  struct message_form form;
  memcpy(&form, group->key + sizeof(uint32_t), sizeof form);
  return form;
}

static struct slice subscription_key(const struct map_node *node) {
  const struct subscription *subscription = container_of(node, const struct subscription, node);
  return slice_of((const char *)&subscription->key, sizeof subscription->key);
}

void fanout_init(struct fanout *fanout, struct topic_trie *trie, struct connection_pool *pool,
                 struct store_client *client, unsigned worker) {
  memset(fanout, 0, sizeof *fanout);
  fanout->trie = trie;
  fanout->pool = pool;
  fanout->client = client;
  fanout->worker = worker;
  encoder_init(&fanout->encoder, pool);
  map_init(&fanout->by_text, filter_key);
  map_init(&fanout->groups, group_key);
  map_init(&fanout->subscriptions, subscription_key);
}

void fanout_done(struct fanout *fanout) {
  assert(fanout->by_text.count == 0 && fanout->groups.count == 0);
  encoder_done(&fanout->encoder);
  map_done(&fanout->by_text);
  map_done(&fanout->groups);
  map_done(&fanout->subscriptions);
  free(fanout->by_number);
}

/* ---- filters ---- */

static void set_by_number(struct fanout *fanout, uint32_t number, struct fanout_filter *filter) {
  if (number >= fanout->number_cap) {
    uint32_t cap = fanout->number_cap ? fanout->number_cap : 64;
    while (cap <= number)
      cap *= 2;
    fanout->by_number = x_realloc(fanout->by_number, cap * sizeof(struct fanout_filter *));
    memset(fanout->by_number + fanout->number_cap, 0,
           (cap - fanout->number_cap) * sizeof(struct fanout_filter *));
    fanout->number_cap = cap;
  }
  fanout->by_number[number] = filter;
}

static struct fanout_filter *find_or_add_filter(struct fanout *fanout, struct slice text) {
  struct map_node *node = map_find(&fanout->by_text, text);
  if (node != NULL) return container_of(node, struct fanout_filter, node);
  struct fanout_filter *filter = x_malloc(sizeof *filter + text.len);
  filter->ref = topic_trie_add(fanout->trie, text, fanout->worker);
  assert(filter->ref.number != FILTER_NUMBER_NONE);
  list_init(&filter->groups);
  list_init(&filter->holds);
  filter->group_count = 0;
  filter->text_len = (uint32_t)text.len;
  memcpy(filter->text, text.ptr, text.len);
  map_add(&fanout->by_text, &filter->node);
  set_by_number(fanout, filter->ref.number, filter);
  metrics_add(fanout->pool->metrics, METRIC_FILTERS, 1);
  return filter;
}

static void remove_filter(struct fanout *fanout, struct fanout_filter *filter) {
  topic_trie_remove(fanout->trie, filter->ref, fanout->worker);
  fanout->by_number[filter->ref.number] = NULL;
  map_remove(&fanout->by_text, &filter->node);
  if (fanout->client != NULL) watch_end(fanout->client, slice_of(filter->text, filter->text_len));
  free(filter);
  metrics_subtract(fanout->pool->metrics, METRIC_FILTERS, 1);
}

/* NULL where the filter that the number meant is gone: its last subscription left while the message
 * was on its way, and the number may mean another filter by now. */
static struct fanout_filter *find_filter(struct fanout *fanout, struct filter_ref ref) {
  if (ref.number >= fanout->number_cap) return NULL;
  struct fanout_filter *filter = fanout->by_number[ref.number];
  return filter != NULL && filter->ref.generation == ref.generation ? filter : NULL;
}

/* ---- groups ---- */

static struct fanout_group *new_group(struct fanout *fanout, struct fanout_filter *filter,
                                      struct slice key) {
  struct fanout_group *group = x_malloc(sizeof *group + key.len);
  group->filter = filter;
  group->members = &group->single;
  group->count = 0;
  group->cap = 1;
  group->refs = 0;
  group->key_len = (uint32_t)key.len;
  memcpy(group->key, key.ptr, key.len);
  map_add(&fanout->groups, &group->node);
  list_add_tail(&filter->groups, &group->link);
  filter->group_count++;
  return group;
}

static struct fanout_group *find_or_add_group(struct fanout *fanout, struct fanout_filter *filter,
                                              struct message_form form, struct slice id) {
  AUTO(buf) struct buf key = BUF_INIT;
  buf_append(&key, &filter->ref.number, sizeof(uint32_t));
  buf_append(&key, &form, sizeof form);
  buf_append_slice(&key, id);
  struct map_node *node = map_find(&fanout->groups, buf_slice(&key));
  return node != NULL ? container_of(node, struct fanout_group, node)
                      : new_group(fanout, filter, buf_slice(&key));
}

static void remove_group(struct fanout *fanout, struct fanout_group *group) {
  struct fanout_filter *filter = group->filter;
  map_remove(&fanout->groups, &group->node);
  list_remove(&group->link);
  if (group->members != &group->single) free(group->members);
  free(group);
  if (--filter->group_count == 0) remove_filter(fanout, filter);
}

static void add_member(struct fanout_group *group, struct subscription *subscription) {
  if (group->count == group->cap) {
    group->cap *= 2;
    bool was_single = group->members == &group->single;
    struct member *members =
        x_realloc(was_single ? NULL : group->members, group->cap * sizeof(struct member));
    if (was_single) members[0] = group->single;
    group->members = members;
  }
  subscription->index = group->count;
  group->members[group->count++] = (struct member){subscription->connection, subscription};
}

static void remove_member(struct fanout_group *group, struct subscription *subscription) {
  struct member last = group->members[--group->count];
  group->members[subscription->index] = last;
  last.subscription->index = subscription->index;
  subscription->index = SUBSCRIPTION_NO_INDEX;
}

/* ---- holds ---- */

static void add_hold(struct subscription *subscription) {
  struct fanout_hold *hold = x_calloc(1, sizeof *hold);
  hold->subscription = subscription;
  list_add_tail(&subscription->group->filter->holds, &hold->link);
  subscription->hold = hold;
}

static void drop_kept(struct fanout_hold *hold) {
  for (size_t i = 0; i < hold->count; i++)
    message_unref(hold->messages[i]);
  hold->count = hold->bytes = 0;
}

static void remove_hold(struct subscription *subscription) {
  struct fanout_hold *hold = subscription->hold;
  if (hold == NULL) return;
  drop_kept(hold);
  list_remove(&hold->link);
  free(hold->messages);
  free(hold);
  subscription->hold = NULL;
}

static void keep_message(struct fanout_hold *hold, struct message *message) {
  if (hold->count == hold->cap) {
    hold->cap = hold->cap ? hold->cap * 2 : 8;
    hold->messages = x_realloc(hold->messages, hold->cap * sizeof hold->messages[0]);
  }
  hold->messages[hold->count++] = message_ref(message);
  hold->bytes += message_size(message);
}

static void keep_for_holds(struct fanout_filter *filter, const struct delivery *delivery) {
  LIST_FOREACH (link, &filter->holds) {
    struct fanout_hold *hold = container_of(link, struct fanout_hold, link);
    struct connection *connection = hold->subscription->connection;
    if (!connection_is_live(connection)) continue;
    for (uint32_t i = 0; i < delivery->message_count; i++)
      keep_message(hold, delivery->messages[i]);
    if (hold->bytes <= connection->pool->limits.max_send_queue) continue;
    drop_kept(hold);
    connection_close(connection, WS_CLOSE_TRY_AGAIN,
                     SLICE("too much came before the batch was done"));
  }
}

/* ---- subscriptions ---- */

struct subscription *fanout_find(const struct fanout *fanout, const struct connection *connection,
                                 struct slice filter) {
  struct map_node *node = map_find(&fanout->by_text, filter);
  if (node == NULL) return NULL;
  struct subscription_key key = {
      .slot = connection->ref.slot,
      .filter = container_of(node, struct fanout_filter, node)->ref.number,
  };
  node = map_find(&fanout->subscriptions, slice_of((const char *)&key, sizeof key));
  return node == NULL ? NULL : container_of(node, struct subscription, node);
}

static void enter_group(struct fanout_group *group, struct subscription *subscription,
                        enum subscription_state state) {
  subscription->group = group;
  subscription->index = SUBSCRIPTION_NO_INDEX;
  group->refs++;
  if (state == SUBSCRIPTION_LIVE) add_member(group, subscription);
  if (state == SUBSCRIPTION_HELD) add_hold(subscription);
}

/* Frees the group, and its filter, with the last subscription. */
static void leave_group(struct fanout *fanout, struct subscription *subscription) {
  struct fanout_group *group = subscription->group;
  if (subscription->index != SUBSCRIPTION_NO_INDEX) remove_member(group, subscription);
  remove_hold(subscription);
  if (--group->refs == 0) remove_group(fanout, group);
}

struct subscription *fanout_subscribe(struct fanout *fanout, struct connection *connection,
                                      struct slice filter, struct slice id,
                                      enum subscription_state state) {
  struct fanout_filter *found = find_or_add_filter(fanout, filter);
  struct subscription *subscription = x_calloc(1, sizeof *subscription);
  subscription->connection = connection;
  subscription->key =
      (struct subscription_key){.slot = connection->ref.slot, .filter = found->ref.number};
  map_add(&fanout->subscriptions, &subscription->node);
  enter_group(find_or_add_group(fanout, found, message_form_of(connection), id), subscription,
              state);
  metrics_add(fanout->pool->metrics, METRIC_SUBSCRIPTIONS, 1);
  return subscription;
}

void fanout_change(struct fanout *fanout, struct subscription *subscription, struct slice id,
                   enum subscription_state state) {
  struct fanout_group *group =
      find_or_add_group(fanout, subscription->group->filter, group_form(subscription->group), id);
  struct fanout_hold *hold = subscription->hold;
  subscription->hold = NULL; /* what is kept stays, also in another group */
  group->refs++;             /* may be the one that is left */
  leave_group(fanout, subscription);
  enter_group(group, subscription, SUBSCRIPTION_CATCHING_UP);
  group->refs--;
  subscription->hold = hold;
  if (state == SUBSCRIPTION_LIVE) fanout_activate(fanout, subscription);
  if (state == SUBSCRIPTION_HELD) fanout_hold(fanout, subscription);
  if (state == SUBSCRIPTION_CATCHING_UP) remove_hold(subscription);
}

void fanout_hold(struct fanout *fanout, struct subscription *subscription) {
  (void)fanout;
  if (subscription_is_catching_up(subscription)) add_hold(subscription);
}

void fanout_activate(struct fanout *fanout, struct subscription *subscription) {
  const struct fanout_hold *hold = subscription->hold;
  if (subscription->index != SUBSCRIPTION_NO_INDEX) return;
  if (hold != NULL) fanout_send(fanout, subscription, hold->messages, hold->count);
  remove_hold(subscription);
  add_member(subscription->group, subscription);
}

void fanout_unsubscribe(struct fanout *fanout, struct subscription *subscription) {
  map_remove(&fanout->subscriptions, &subscription->node);
  leave_group(fanout, subscription);
  free(subscription);
  metrics_subtract(fanout->pool->metrics, METRIC_SUBSCRIPTIONS, 1);
}

struct slice subscription_filter(const struct subscription *subscription) {
  const struct fanout_filter *filter = subscription->group->filter;
  return slice_of(filter->text, filter->text_len);
}

struct slice subscription_id(const struct subscription *subscription) {
  return group_id(subscription->group);
}

/* ---- delivering ---- */

static void push_to_members(struct fanout_group *group, const struct span *frames) {
  /* Pushing may end a slow connection. Its subscriptions stay until the end of the turn; but it is
   * told why, and the place for that may cost the arena the chunk that the others still need. */
  chunk_ref(frames->chunk);
  for (uint32_t i = 0; i < group->count; i++) {
    if (i + PREFETCH_AHEAD < group->count) {
      __builtin_prefetch(&group->members[i + PREFETCH_AHEAD].connection->out, 1);
    }
    connection_push(group->members[i].connection, frames);
  }
  chunk_unref(frames->chunk);
}

static size_t deliver_to_group(struct fanout *fanout, struct fanout_group *group,
                               struct message *const *messages, size_t count) {
  struct slice id = group_id(group);
  size_t pushes = 0;
  for (size_t at = 0; at < count && group->count > 0;) {
    struct span frames;
    size_t taken =
        encoder_run(&fanout->encoder, group_form(group), id, messages + at, count - at, &frames);
    metrics_add(fanout->pool->metrics, METRIC_MESSAGES_DELIVERED, (uint64_t)taken * group->count);
    push_to_members(group, &frames);
    pushes += group->count;
    at += taken;
  }
  return pushes;
}

size_t fanout_deliver(struct fanout *fanout, const struct delivery *delivery) {
  size_t pushes = 0;
  for (uint32_t i = 0; i < delivery->filter_count; i++) {
    struct fanout_filter *filter = find_filter(fanout, delivery->filters[i]);
    if (filter == NULL) continue;
    if (!list_is_empty(&filter->holds)) keep_for_holds(filter, delivery);
    LIST_FOREACH (link, &filter->groups) {
      struct fanout_group *group = container_of(link, struct fanout_group, link);
      pushes += deliver_to_group(fanout, group, delivery->messages, delivery->message_count);
    }
  }
  return pushes;
}

void fanout_send(struct fanout *fanout, struct subscription *subscription,
                 struct message *const *messages, size_t count) {
  struct slice id = subscription_id(subscription);
  metrics_add(fanout->pool->metrics, METRIC_MESSAGES_DELIVERED, count);
  for (size_t at = 0; at < count;) {
    struct span frames;
    size_t taken = encoder_run(&fanout->encoder, group_form(subscription->group), id, messages + at,
                               count - at, &frames);
    connection_push(subscription->connection, &frames);
    at += taken;
  }
}
