#ifndef EVENTHUB_STORE_REDIS_LANE_H
#define EVENTHUB_STORE_REDIS_LANE_H

/*
 * A lane: one connection for scripts and keys, and the commands that go over it, in order. All of a
 * bucket goes by the same lane, so that what is asked first is done first.
 *
 *   waiting   c7 c8 ...           while the connection is down; sent when it is up
 *   sent      c3 c4 c5 c6         pipelined: owed an answer
 *
 * When the connection goes, each command that was sent is asked whether it may be sent again: those
 * that may stand in front of those that wait, in their order.
 *
 * Store thread only.
 */

#include <stdbool.h>
#include <stdint.h>

#include "eventhub/base/list.h"
#include "eventhub/store/redis_conn.h"
#include "eventhub/store/store_metrics.h"

struct redis_lane;
struct redis_command;

/* What kind of command it is: a table of functions, `context` being the backend. */
struct redis_command_type {
  /* Appends the command, again where it is sent again. */
  void (*encode)(struct redis_command *command, struct buf *out);
  /* The answer, lent for the call; may be an error. The command is the owner's again. */
  void (*on_reply)(struct redis_command *command, const struct redisReply *reply);
  /* No answer comes: the connection went, or Redis has lost the script. True: send it again. False:
   * it is the owner's again. */
  bool (*on_lost)(struct redis_command *command);
};

/* Embedded in what is asked for. */
struct redis_command {
  struct list link;
  const struct redis_command_type *type;
  struct redis_lane *lane;
  uint64_t sent_us;
  bool was_sent;   /* at least once */
  bool is_waiting; /* in `waiting` */
};

struct redis_lane {
  struct redis_conn conn;
  struct list waiting, sent;
  struct list refused; /* by a server that is no master any more: older than what is sent */
  uint32_t sent_count;
  bool is_loading; /* the scripts are on their way again */
  struct store_metrics *metrics;
  struct buf text; /* scratch */
};

void redis_lane_init(struct redis_lane *lane, struct loop *loop, const struct redis_config *config,
                     const struct redis_conn_handler *handler, struct store_metrics *metrics);
/* Ends the connection. Commands that are inside come back by on_lost, in the end with the answer
 * that they are not to be sent again; nobody submits any more. */
void redis_lane_stop(struct redis_lane *lane);
void redis_lane_done(struct redis_lane *lane);

/* Zeroed = in no lane. */
void redis_lane_submit(struct redis_lane *lane, struct redis_command *command,
                       const struct redis_command_type *type);
/* Takes back a command that waits. */
void redis_lane_withdraw(struct redis_command *command);

/* The owner of the connection's handler passes these on. */
void redis_lane_on_up(struct redis_lane *lane);
void redis_lane_on_down(struct redis_lane *lane);

#endif
