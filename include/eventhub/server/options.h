/*
 * The options of the daemon: what an operator sets by environment variable or in the option file.
 *
 * options_load() fills a struct options once, before any thread is started; from then on it is
 * read-only and every thread may look into it. The table of all options (their names, defaults,
 * ranges and help) is eventhub/server/option_table.h; nothing here repeats it.
 *
 * Precedence: environment (lower-case name before upper-case name), then the file, then defaults.
 */
#ifndef EVENTHUB_SERVER_OPTIONS_H
#define EVENTHUB_SERVER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/log.h"
#include "eventhub/base/slice.h"
#include "eventhub/topic/jws.h"

enum option_backend { OPTION_BACKEND_AUTO, OPTION_BACKEND_EMBEDDED, OPTION_BACKEND_REDIS };

enum option_durability { OPTION_DURABILITY_COMMIT, OPTION_DURABILITY_RELAXED };

/* A comma separated value, split and trimmed; the items point into text. */
struct option_list {
  char *text;
  struct slice *items;
  size_t count;
};

/*
 * Numbers are within the range that the table gives. Texts are NUL-terminated, owned by the struct
 * and never NULL: "" is "none". Fields that belong to a feature which this version lacks hold what
 * was set but have no effect; what asks for such a feature never gets through options_load().
 */
struct options {
  char *listen_address; /* "*" or an address */
  uint64_t listen_port;
  uint64_t worker_threads; /* 0 = one per CPU the process may use */
  uint64_t handshake_timeout_s;
  uint64_t ping_interval_s;
  uint64_t shutdown_timeout_s;
  struct option_list allowed_origins;
  struct option_list trusted_proxies;

  uint64_t max_connections;             /* 0 = as many as the descriptor limit carries */
  uint64_t max_connections_per_address; /* 0 = no limit */
  uint64_t max_message_size;
  uint64_t max_send_queue;
  uint64_t max_subscriptions;

  bool disable_auth;
  char *jwt_secret;
  enum jws_algorithm jwt_algorithm;
  char *jwt_public_key;
  char *jwt_jwks;

  enum option_backend backend; /* never OPTION_BACKEND_AUTO after options_load() */
  const char *backend_reason;  /* why that backend: a static phrase for the log */
  char *data_dir;
  enum option_durability durability;
  bool enable_cache;
  uint64_t max_cache_length; /* 0 = no limit */
  uint64_t max_cache_memory; /* bytes; 0 = no limit */
  uint64_t max_cache_request_limit;
  uint64_t default_cache_ttl_s;
  bool enable_kvstore;

  bool enable_io_uring;
  bool enable_sse;
  bool enable_http_publish;
  bool enable_compression;
  bool enable_console;

  enum log_level log_level;
  enum log_format log_format;
  char *prometheus_metric_prefix;

  char *redis_host;
  uint64_t redis_port;
  char *redis_username;
  char *redis_password;
  uint64_t redis_db;
  char *redis_socket;
  struct option_list redis_sentinels; /* host, host:port, [v6] or [v6]:port each */
  char *redis_master;
  char *redis_prefix;
  uint64_t redis_pool_size;
  bool redis_tls;
  char *redis_tls_ca_certificate;
  char *redis_tls_certificate;
  char *redis_tls_private_key;

  bool enable_ssl;
  uint64_t ssl_listen_port;
  char *ssl_certificate;
  char *ssl_private_key;
  char *ssl_ca_certificate;
  bool ssl_cert_auto_reload;
  uint64_t ssl_cert_check_interval_s;
  bool disable_unsecure_listener;
};

/*
 * Reads the file at config_path (NULL = none) and env (as environ: "NAME=value" strings, ended by
 * NULL). 0, or a negative enum err with one line for the operator appended to ret_error, without a
 * line feed; ret is untouched then. No secret's value is ever part of that line.
 * The caller ends a loaded struct with options_done().
 */
int options_load(struct options *ret, const char *config_path, char *const *env,
                 struct buf *ret_error);
void options_done(struct options *options);

/* Every option with its default, as text for a terminal and as the tables of docs/configuration.md.
 */
void options_print_help(struct buf *out);
void options_print_markdown(struct buf *out);

/* Whether ALLOWED_ORIGINS holds `*` or this origin (compared without case, as browsers lower it).
 */
bool options_origin_is_allowed(const struct options *options, struct slice origin);

/* Whether tokens are checked against the secret that everybody can read in the documentation. */
bool options_secret_is_public(const struct options *options);

#endif
