#include "eventhub/server/origin.h"

#include <string.h>

/* scheme "://" host [ ":" port ]; without a scheme, ptr is NULL and all of it the host. */
struct parts {
  struct slice scheme, host;
};

static struct parts split(struct slice text) {
  const char *mark = text.len > 0 ? memmem(text.ptr, text.len, "://", 3) : NULL;
  if (mark == NULL) return (struct parts){{NULL, 0}, text};
  size_t len = (size_t)(mark - text.ptr);
  return (struct parts){slice_of(text.ptr, len), slice_skip(text, len + 3)};
}

static bool has_any(struct slice text, const char *letters) {
  for (size_t i = 0; i < text.len; i++)
    if (text.ptr[i] == '\0' || strchr(letters, text.ptr[i]) != NULL) return true;
  return false;
}

/* What stands behind the star of a host that begins with one, the dot included; else empty. */
static struct slice behind_star(struct slice host) {
  if (host.len < 3 || host.ptr[0] != '*' || host.ptr[1] != '.') return SLICE("");
  return slice_skip(host, 1);
}

/* RFC 6454 6.2: nothing behind host and port. */
bool origin_pattern_is_valid(struct slice pattern) {
  if (slice_equal(pattern, SLICE("*")) || slice_equal(pattern, SLICE("null"))) return true;
  struct parts parts = split(pattern);
  struct slice rest = behind_star(parts.host);
  if (has_any(pattern, " ") || has_any(parts.host, "/@")) return false;
  if (rest.len > 0)
    return !has_any(rest, "*") && (parts.scheme.ptr == NULL || parts.scheme.len > 0);
  return parts.scheme.len > 0 && !has_any(pattern, "*");
}

static bool is_below(struct slice host, struct slice domain) {
  if (host.len <= domain.len) return false;
  struct slice name = slice_of(host.ptr, host.len - domain.len);
  return slice_equal_nocase(slice_skip(host, name.len), domain) && !has_any(name, "/@:[]");
}

bool origin_matches(struct slice pattern, struct slice origin) {
  if (slice_equal(pattern, SLICE("*")) || slice_equal_nocase(pattern, origin)) return true;
  struct parts wanted = split(pattern), given = split(origin);
  struct slice domain = behind_star(wanted.host);
  if (domain.len == 0 || given.scheme.len == 0) return false;
  if (wanted.scheme.ptr != NULL && !slice_equal_nocase(wanted.scheme, given.scheme)) return false;
  return is_below(given.host, domain);
}
