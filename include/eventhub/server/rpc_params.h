#ifndef EVENTHUB_SERVER_RPC_PARAMS_H
#define EVENTHUB_SERVER_RPC_PARAMS_H

/*
 * Reading the params of a request. These functions answer the request with -32602 themselves where
 * a parameter is missing or wrong, and return false.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/server/rpc.h"

enum { RPC_PARAMS_MAX = 4 }; /* that one method has */

/* What JavaScript numbers carry exactly: no number that we take or give is larger. */
static const int64_t rpc_integer_max = (INT64_C(1) << 53) - 1;

/* The longest time to live: a century. */
static const int64_t rpc_ttl_max_s = INT64_C(100) * 365 * 24 * 3600;

/* A parameter to look for. */
struct rpc_param {
  struct slice name;
  struct json_value value; /* found; type JSON_NULL where it is absent or null */
};

#define RPC_PARAM(text)                                                                            \
  {                                                                                                \
    .name = {text, sizeof text - 1}, .value = {.type = JSON_NULL }                                 \
  }

/* Finds all of them, at most RPC_PARAMS_MAX. Params that are no object have none. */
void rpc_params_find(const struct rpc_request *rpc, struct rpc_param *wanted, size_t count);

/* A string; its text lies in the request, or in `scratch` where it has escapes. */
bool rpc_param_string(const struct rpc_request *rpc, const struct rpc_param *param,
                      struct buf *scratch, struct slice *ret);
/* A whole number between min and max; `ret` keeps its value where the parameter is absent. */
bool rpc_param_number(const struct rpc_request *rpc, const struct rpc_param *param, int64_t min,
                      int64_t max, int64_t *ret);
/* A time to live, given in seconds; 0 where it is absent. */
bool rpc_param_ttl(const struct rpc_request *rpc, const struct rpc_param *param, uint64_t *ret_ms);
/* A valid topic or pattern; a valid topic. */
bool rpc_param_filter(const struct rpc_request *rpc, const struct rpc_param *param,
                      struct buf *scratch, struct slice *ret);
bool rpc_param_topic(const struct rpc_request *rpc, const struct rpc_param *param,
                     struct buf *scratch, struct slice *ret);

#endif
