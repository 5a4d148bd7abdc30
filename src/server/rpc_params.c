#include "eventhub/server/rpc_params.h"

#include <assert.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/proto/json.h"
#include "eventhub/topic/name.h"

static bool wrong(const struct rpc_request *rpc, const struct rpc_param *param, const char *what) {
  AUTO(buf) struct buf data = BUF_INIT;
  buf_append_str(&data, "Parameter '");
  buf_append_slice(&data, param->name);
  buf_append_str(&data, "' ");
  buf_append_str(&data, what);
  rpc_fail(&rpc->reply, JSONRPC_INVALID_PARAMS, buf_slice(&data));
  return false;
}

void rpc_params_find(const struct rpc_request *rpc, struct rpc_param *wanted, size_t count) {
  struct slice names[RPC_PARAMS_MAX] = {{0}};
  struct json_value values[RPC_PARAMS_MAX];
  assert(count <= RPC_PARAMS_MAX);
  for (size_t i = 0; i < count; i++)
    names[i] = wanted[i].name;
  json_members_select(rpc->members, rpc->params, names, count, values);
  for (size_t i = 0; i < count; i++)
    wanted[i].value = values[i];
}

bool rpc_param_string(const struct rpc_request *rpc, const struct rpc_param *param,
                      struct buf *scratch, struct slice *ret) {
  if (param->value.type == JSON_NULL) return wrong(rpc, param, "is missing.");
  if (param->value.type != JSON_STRING) return wrong(rpc, param, "must be a string.");
  if (!json_string_has_escapes(param->value)) {
    *ret = json_string_raw(param->value);
  } else {
    buf_clear(scratch);
    json_string_decode(param->value, scratch);
    *ret = buf_slice(scratch);
  }
  return ret->len > 0 ? true : wrong(rpc, param, "must not be empty.");
}

bool rpc_param_number(const struct rpc_request *rpc, const struct rpc_param *param, int64_t min,
                      int64_t max, int64_t *ret) {
  int64_t number = 0;
  if (param->value.type == JSON_NULL) return true;
  int err = json_to_i64(param->value, &number);
  if (err == 0 && number >= min && number <= max) {
    *ret = number;
    return true;
  }
  AUTO(buf) struct buf what = BUF_INIT;
  buf_printf(&what, "must be a whole number from %lld to %lld.", (long long)min, (long long)max);
  buf_append_char(&what, '\0');
  return wrong(rpc, param, what.data);
}

bool rpc_param_ttl(const struct rpc_request *rpc, const struct rpc_param *param, uint64_t *ret_ms) {
  int64_t seconds = 0;
  if (!rpc_param_number(rpc, param, 0, rpc_ttl_max_s, &seconds)) return false;
  *ret_ms = (uint64_t)seconds * 1000;
  return true;
}

static bool invalid_name(const struct rpc_request *rpc, struct slice name) {
  rpc_fail_about(&rpc->reply, JSONRPC_INVALID_PARAMS, "Invalid topic in request: ", name);
  return false;
}

bool rpc_param_filter(const struct rpc_request *rpc, const struct rpc_param *param,
                      struct buf *scratch, struct slice *ret) {
  if (!rpc_param_string(rpc, param, scratch, ret)) return false;
  return filter_is_valid(*ret) ? true : invalid_name(rpc, *ret);
}

bool rpc_param_topic(const struct rpc_request *rpc, const struct rpc_param *param,
                     struct buf *scratch, struct slice *ret) {
  if (!rpc_param_string(rpc, param, scratch, ret)) return false;
  return topic_is_valid(*ret) ? true : invalid_name(rpc, *ret);
}
