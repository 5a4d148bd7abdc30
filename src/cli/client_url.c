#include "eventhub/cli/client_url.h"

#include <assert.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"

enum { DAEMON_PORT = 8080 };

static const struct scheme {
  struct slice start;
  bool is_secure;
  uint16_t port;
} schemes[] = {
    {SLICE_INIT("ws://"), false, 80},
    {SLICE_INIT("wss://"), true, 443},
    {SLICE_INIT("http://"), false, 80},
    {SLICE_INIT("https://"), true, 443},
};

static struct slice take_scheme(struct slice text, struct client_url *url) {
  url->is_secure = false;
  url->port = DAEMON_PORT;
  for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
    struct slice start = schemes[i].start;
    if (text.len < start.len || !slice_equal_nocase(slice_of(text.ptr, start.len), start)) continue;
    url->is_secure = schemes[i].is_secure;
    url->port = schemes[i].port;
    return slice_skip(text, start.len);
  }
  return text;
}

/* Bytes up to the first of these, or all. */
static size_t span_to(struct slice text, const char *stops) {
  size_t len = 0;
  while (len < text.len && strchr(stops, text.ptr[len]) == NULL)
    len++;
  return len;
}

static int take_port(struct slice text, struct client_url *url) {
  uint64_t port = 0;
  if (text.len == 0) return 0;
  if (text.ptr[0] != ':' || slice_to_u64(slice_skip(text, 1), &port) < 0) return ERR_INVALID;
  if (port == 0 || port > UINT16_MAX) return ERR_INVALID;
  url->port = (uint16_t)port;
  return 0;
}

static bool host_is_valid(struct slice host) {
  if (host.ptr == NULL || host.len == 0 || host.len > CLIENT_HOST_MAX) return false;
  for (size_t i = 0; i < host.len; i++) {
    if (host.ptr[i] <= ' ' || host.ptr[i] >= 0x7f || host.ptr[i] == '@') return false;
  }
  return true;
}

/* host, host:port, [v6] or [v6]:port */
static int take_authority(struct slice text, struct client_url *url) {
  struct slice host, rest;
  if (text.ptr == NULL) return ERR_INVALID;
  if (slice_starts_with(text, SLICE("["))) {
    size_t len = span_to(text, "]");
    if (len == text.len) return ERR_INVALID;
    host = slice_of(text.ptr + 1, len - 1);
    rest = slice_skip(text, len + 1);
  } else {
    size_t len = span_to(text, ":");
    host = slice_of(text.ptr, len);
    rest = slice_skip(text, len);
  }
  if (!host_is_valid(host)) return ERR_INVALID;
  assert(host.ptr != NULL);
  memcpy(url->host, host.ptr, host.len);
  url->host[host.len] = '\0';
  return take_port(rest, url);
}

static bool target_is_valid(struct slice target) {
  for (size_t i = 0; i < target.len; i++) {
    if (target.ptr[i] <= ' ' || target.ptr[i] >= 0x7f || target.ptr[i] == '#') return false;
  }
  return target.len == 0 || target.ptr[0] == '/';
}

int client_url_parse(const char *text, struct client_url *ret) {
  struct slice rest = take_scheme(slice_str(text), ret);
  size_t len = span_to(rest, "/?#");
  struct slice target = slice_skip(rest, len);
  if (!target_is_valid(target) || take_authority(slice_of(rest.ptr, len), ret) < 0)
    return ERR_INVALID;
  ret->target = target.len > 0 ? target : SLICE("/");
  return 0;
}
