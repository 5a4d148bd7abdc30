#include "eventhub/store/redis_lane.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <string.h>

#include "eventhub/base/cleanup.h"

enum { TEXT_KEEP_BYTES = 256 * 1024 };

void redis_lane_init(struct redis_lane *lane, struct loop *loop, const struct redis_config *config,
                     const struct redis_conn_handler *handler, struct store_metrics *metrics) {
  *lane = (struct redis_lane){.metrics = metrics};
  redis_conn_init(&lane->conn, loop, config, handler, true);
  list_init(&lane->waiting);
  list_init(&lane->sent);
  list_init(&lane->refused);
  buf_init(&lane->text);
}

void redis_lane_done(struct redis_lane *lane) {
  buf_done(&lane->text);
}

static uint64_t now_us(const struct redis_lane *lane) {
  return lane->conn.loop->turn_start_ns / 1000;
}

static void on_reply(const redisReply *reply, void *context);

static void send_now(struct redis_lane *lane, struct redis_command *command) {
  buf_clear(&lane->text);
  command->type->encode(command, &lane->text);
  command->sent_us = now_us(lane);
  command->was_sent = true;
  command->is_waiting = false;
  list_remove(&command->link);
  list_add_tail(&lane->sent, &command->link);
  lane->sent_count++;
  redis_conn_send(&lane->conn, &lane->text, on_reply, command);
  if (lane->text.cap > TEXT_KEEP_BYTES) buf_done(&lane->text);
}

static void wait(struct redis_lane *lane, struct redis_command *command) {
  command->is_waiting = true;
  list_add_tail(&lane->waiting, &command->link);
}

/* Somebody has made Redis forget its scripts. All commands behind this one meet the same until the
 * scripts are there again, so they keep their order. */
static void send_after_loading(struct redis_lane *lane, struct redis_command *command) {
  if (!command->type->on_lost(command)) return;
  if (!lane->is_loading) redis_conn_load_scripts(&lane->conn);
  lane->is_loading = true;
  send_now(lane, command);
}

static bool is_noscript(const redisReply *reply) {
  return reply->type == REDIS_REPLY_ERROR &&
         strncmp(reply->str, "NOSCRIPT", strlen("NOSCRIPT")) == 0;
}

/* A master that was demoted, or is about to be: whoever is the master is asked for anew. */
static bool is_demoted(const redisReply *reply) {
  return reply->type == REDIS_REPLY_ERROR && strstr(reply->str, "READONLY") != NULL;
}

static void on_reply(const redisReply *reply, void *context) {
  struct redis_command *command = context;
  struct redis_lane *lane = command->lane;
  if (reply == NULL) return; /* on_down looks after it */
  list_remove(&command->link);
  lane->sent_count--;
  if (is_noscript(reply)) {
    send_after_loading(lane, command);
    return;
  }
  if (is_demoted(reply)) {
    list_add_tail(&lane->refused, &command->link);
    redis_conn_drop(&lane->conn, "this Redis is a replica now");
    return;
  }
  lane->is_loading = false;
  store_histogram_add(&lane->metrics->redis_round_trip, now_us(lane) - command->sent_us);
  command->type->on_reply(command, reply);
}

void redis_lane_submit(struct redis_lane *lane, struct redis_command *command,
                       const struct redis_command_type *type) {
  assert(!list_is_linked(&command->link));
  command->type = type;
  command->lane = lane;
  if (lane->conn.state == REDIS_CONN_UP && !lane->conn.is_doomed) {
    send_now(lane, command);
  } else {
    wait(lane, command);
  }
}

void redis_lane_withdraw(struct redis_command *command) {
  assert(command->is_waiting);
  list_remove(&command->link);
  command->is_waiting = false;
}

void redis_lane_on_up(struct redis_lane *lane) {
  struct list waiting;
  lane->is_loading = false;
  list_init(&waiting);
  list_append_all(&waiting, &lane->waiting);
  LIST_FOREACH_SAFE (link, next, &waiting) {
    send_now(lane, container_of(link, struct redis_command, link));
  }
}

void redis_lane_on_down(struct redis_lane *lane) {
  struct list sent, waiting;
  list_init(&sent);
  list_init(&waiting);
  list_append_all(&sent, &lane->refused);
  list_append_all(&sent, &lane->sent);
  list_append_all(&waiting, &lane->waiting);
  lane->sent_count = 0;
  LIST_FOREACH_SAFE (link, next, &sent) {
    struct redis_command *command = container_of(link, struct redis_command, link);
    list_remove(link);
    if (command->type->on_lost(command)) wait(lane, command);
  }
  list_append_all(&lane->waiting, &waiting);
}

void redis_lane_stop(struct redis_lane *lane) {
  redis_conn_done(&lane->conn);
  redis_lane_on_down(lane);
  LIST_FOREACH_SAFE (link, next, &lane->waiting) {
    struct redis_command *command = container_of(link, struct redis_command, link);
    redis_lane_withdraw(command);
    bool wants_more = command->type->on_lost(command);
    assert(!wants_more);
  }
}
