#include "eventhub/base/err.h"

#include <stddef.h>

#include "eventhub/base/cleanup.h"

static const char *const texts[] = {
    [-ERR_OK] = "no error",
    [-ERR_INVALID] = "invalid",
    [-ERR_TOO_BIG] = "too big",
    [-ERR_AGAIN] = "not yet",
    [-ERR_CLOSED] = "closed",
    [-ERR_NOT_FOUND] = "not found",
    [-ERR_EXISTS] = "exists already",
    [-ERR_DENIED] = "denied",
    [-ERR_EXPIRED] = "expired",
    [-ERR_SYSTEM] = "refused by the system",
    [-ERR_UNAVAILABLE] = "unavailable",
    [-ERR_UNSUPPORTED] = "not supported",
    [-ERR_FULL] = "full",
};

const char *err_text(int err) {
  if (err > 0 || err <= -(int)ARRAY_LEN(texts)) return "unknown error";
  return texts[-err];
}
