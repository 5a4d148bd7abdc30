#include "eventhub/server/option_table.h"

#include <assert.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/server/option_check.h"
#include "eventhub/store/redis.h"

/* The offset of a field, and a compile error where the field is not of the type. */
#define FIELD(field_type, field)                                                                   \
  (offsetof(struct options, field) +                                                               \
   0 * sizeof((field_type *)NULL == &((struct options *)NULL)->field))

#define BOOL(field, default)                                                                       \
  .type = OPTION_BOOL, .offset = FIELD(bool, field), .default_text = (default)
#define NUMBER(field, default, low, high)                                                          \
  .type = OPTION_NUMBER, .offset = FIELD(uint64_t, field), .default_text = (default),              \
  .min = (low), .max = (high)
#define TEXT(field, default, longest)                                                              \
  .type = OPTION_TEXT, .offset = FIELD(char *, field), .default_text = (default), .max = (longest)
#define SECRET(field, default)                                                                     \
  .type = OPTION_SECRET, .offset = FIELD(char *, field), .default_text = (default),                \
  .max = OPTION_SECRET_MAX
#define CHOICE(enum_type, field, default, list)                                                    \
  .type = OPTION_CHOICE, .offset = FIELD(enum enum_type, field), .default_text = (default),        \
  .choices = (list)
#define LIST(field, default)                                                                       \
  .type = OPTION_LIST, .offset = FIELD(struct option_list, field), .default_text = (default),      \
  .max = OPTION_LIST_MAX
#define CHECK(function, phrase) .is_valid = (function), .allowed = (phrase)
/* IF_CHANGED, IF_GIVEN or NEVER: when the option asks for a feature that is not there. */
#define NEEDS(feature, when)    .needs = OPTION_FEATURE_##feature, .asks = OPTION_ASKS_##when

enum {
  OPTION_PATH_MAX = 4095,
  OPTION_NAME_MAX = 255,
  OPTION_REDIS_PREFIX_MAX = 64,
  OPTION_SECRET_MAX = 16384,
  OPTION_LIST_MAX = 32768,
  DAY_S = 86400,
  YEAR_S = 365 * DAY_S,
  GIB = 1 << 30
};

static const struct option_choice log_levels[] = {
    {.text = "trace", .value = LOG_TRACE},
    {.text = "debug", .value = LOG_DEBUG},
    {.text = "info", .value = LOG_INFO},
    {.text = "warn", .value = LOG_WARN},
    {.text = "warning", .value = LOG_WARN, .is_alias = true},
    {.text = "error", .value = LOG_ERROR},
    {.text = "critical", .value = LOG_ERROR, .is_alias = true},
    {.text = "off", .value = LOG_OFF},
    {.text = NULL},
};

static const struct option_choice log_formats[] = {
    {.text = "text", .value = LOG_TEXT},
    {.text = "json", .value = LOG_JSON},
    {.text = NULL},
};

static const struct option_choice backends[] = {
    {.text = "auto", .value = OPTION_BACKEND_AUTO},
    {.text = "embedded", .value = OPTION_BACKEND_EMBEDDED},
    {.text = "redis", .value = OPTION_BACKEND_REDIS},
    {.text = NULL},
};

static const struct option_choice durabilities[] = {
    {.text = "commit", .value = OPTION_DURABILITY_COMMIT},
    {.text = "relaxed", .value = OPTION_DURABILITY_RELAXED},
    {.text = NULL},
};

static const struct option_choice jwt_algorithms[] = {
    {.text = "HS256", .value = JWS_HS256}, {.text = "HS384", .value = JWS_HS384},
    {.text = "HS512", .value = JWS_HS512}, {.text = "RS256", .value = JWS_RS256},
    {.text = "RS384", .value = JWS_RS384}, {.text = "RS512", .value = JWS_RS512},
    {.text = "PS256", .value = JWS_PS256}, {.text = "PS384", .value = JWS_PS384},
    {.text = "PS512", .value = JWS_PS512}, {.text = "ES256", .value = JWS_ES256},
    {.text = "ES384", .value = JWS_ES384}, {.text = "ES512", .value = JWS_ES512},
    {.text = "EdDSA", .value = JWS_EDDSA}, {.text = NULL},
};

static const struct option_row rows[] = {
    {.name = "LISTEN_ADDRESS",
     TEXT(listen_address, "*", OPTION_NAME_MAX),
     CHECK(option_check_address, "`*` (IPv6 and IPv4) or a numeric IPv4 or IPv6 address"),
     .group = "Listening",
     .help = "Address to listen on."},
    {.name = "LISTEN_PORT",
     NUMBER(listen_port, "8080", 1, UINT16_MAX),
     .group = "Listening",
     .help = "Port to listen on, for WebSocket and HTTP."},
    {.name = "ALLOWED_ORIGINS",
     LIST(allowed_origins, "*"),
     CHECK(option_check_origins,
           "`*`, or comma separated origins such as https://app.example.com or "
           "https://*.example.com (no path, no slash at the end)"),
     .group = "Listening",
     .help = "Origins whose pages may connect; a client that sends no Origin always may."},
    {.name = "TRUSTED_PROXIES",
     LIST(trusted_proxies, ""),
     CHECK(option_check_networks,
           "comma separated addresses and networks such as 10.0.0.0/8, 192.0.2.7 or fd00::/8"),
     .group = "Listening",
     .help = "Proxies whose PROXY protocol, Forwarded and X-Forwarded-For headers are believed."},
    {.name = "HANDSHAKE_TIMEOUT",
     NUMBER(handshake_timeout_s, "15", 1, 3600),
     .group = "Listening",
     .help = "Seconds from accepting a connection to its complete handshake."},
    {.name = "PING_INTERVAL",
     NUMBER(ping_interval_s, "30", 1, DAY_S),
     .group = "Listening",
     .help = "Seconds between pings; a peer from which nothing came for two intervals is dropped."},
    {.name = "SHUTDOWN_TIMEOUT",
     NUMBER(shutdown_timeout_s, "10", 0, 3600),
     .group = "Listening",
     .help = "Seconds to drain after SIGTERM or SIGINT."},
    {.name = "WORKER_THREADS",
     NUMBER(worker_threads, "0", 0, 64),
     .group = "Listening",
     .help = "Event loops; 0 is one per CPU that the process may use."},
    {.name = "ENABLE_IO_URING",
     BOOL(enable_io_uring, "true"),
     .group = "Listening",
     .help = "Send to many connections in one system call, where the kernel offers it."},

    {.name = "MAX_CONNECTIONS",
     NUMBER(max_connections, "0", 0, 100000000),
     .group = "Limits",
     .help = "Connections of the process; 0 is as many as the descriptor limit carries."},
    {.name = "MAX_CONNECTIONS_PER_ADDRESS",
     NUMBER(max_connections_per_address, "0", 0, 100000000),
     .group = "Limits",
     .help = "Connections from one IPv4 address, or one IPv6 network of 64 bits; 0 is no limit. "
             "Behind a proxy all have its address."},
    {.name = "MAX_MESSAGE_SIZE",
     NUMBER(max_message_size, "1048576", 1, GIB / 2),
     .group = "Limits",
     .help = "Bytes of one client message, after decompression; more is closed with 1009."},
    {.name = "MAX_SEND_QUEUE",
     NUMBER(max_send_queue, "8388608", 1024, (uint64_t)64 * GIB),
     .group = "Limits",
     .help = "Bytes waiting for one client; a client beyond it is closed with 1013."},
    {.name = "MAX_SUBSCRIPTIONS",
     NUMBER(max_subscriptions, "1024", 1, 10000000),
     .group = "Limits",
     .help = "Subscriptions of one connection."},

    {.name = "DISABLE_AUTH",
     BOOL(disable_auth, "false"),
     .group = "Tokens",
     .help = "Lets everybody read and write everything, without a token."},
    {.name = "JWT_SECRET",
     SECRET(jwt_secret, "eventhub_secret"),
     .group = "Tokens",
     .help = "Secret that tokens of the HS algorithms are signed with; the default is public and "
             "only for trying out."},
    {.name = "JWT_ALGORITHM",
     CHOICE(jws_algorithm, jwt_algorithm, "HS256", jwt_algorithms),
     .group = "Tokens",
     .help = "Algorithm of tokens; a token with any other is refused."},
    {.name = "JWT_PUBLIC_KEY",
     TEXT(jwt_public_key, "", OPTION_PATH_MAX),
     .group = "Tokens",
     .help =
         "PEM file with the public key, or a certificate with it, that checks tokens of the RS, "
         "PS and ES algorithms and of EdDSA; read again on SIGHUP."},
    {.name = "JWT_JWKS",
     TEXT(jwt_jwks, "", OPTION_PATH_MAX),
     .group = "Tokens",
     .help =
         "JWK set, a file with the keys that check tokens, found by `kid`; read again on SIGHUP. "
         "With an HS algorithm its secrets are in the place of JWT_SECRET."},

    {.name = "BACKEND",
     CHOICE(option_backend, backend, "auto", backends),
     .group = "Store",
     .help = "Where messages and keys are kept; `auto` is redis where REDIS_HOST, REDIS_PORT, "
             "REDIS_PASSWORD, REDIS_SOCKET or REDIS_SENTINELS is set, else embedded."},
    {.name = "ENABLE_CACHE",
     BOOL(enable_cache, "true"),
     .group = "Store",
     .help = "The eventlog: history of every topic."},
    {.name = "MAX_CACHE_LENGTH",
     NUMBER(max_cache_length, "1000", 0, 1000000000),
     .group = "Store",
     .help = "Messages kept per topic; 0 is no limit."},
    {.name = "MAX_CACHE_MEMORY",
     NUMBER(max_cache_memory, "268435456", 0, (uint64_t)1 << 50),
     .group = "Store",
     .help = "With DATA_DIR: bytes of memory for the history; what is older is read back from the "
             "disk. 0 keeps all of it in memory, too."},
    {.name = "MAX_CACHE_REQUEST_LIMIT",
     NUMBER(max_cache_request_limit, "1000", 1, 1000000),
     .group = "Store",
     .help = "Most messages of history that one request returns."},
    {.name = "DEFAULT_CACHE_TTL",
     NUMBER(default_cache_ttl_s, "60", 1, (uint64_t)100 * YEAR_S),
     .group = "Store",
     .help = "Seconds that a message published without a ttl stays in the history."},
    {.name = "ENABLE_KVSTORE",
     BOOL(enable_kvstore, "true"),
     .group = "Store",
     .help = "The key/value store."},
    {.name = "DATA_DIR",
     TEXT(data_dir, "", OPTION_PATH_MAX),
     .group = "Store",
     .help = "Directory where the embedded store persists; none keeps it in memory."},
    {.name = "DURABILITY",
     CHOICE(option_durability, durability, "commit", durabilities),
     .group = "Store",
     .help = "With DATA_DIR: `commit` answers a publish once it is on the disk, `relaxed` flushes "
             "every second."},

    {.name = "LOG_LEVEL",
     CHOICE(log_level, log_level, "info", log_levels),
     .group = "Logs and metrics",
     .help = "Least severity that is logged."},
    {.name = "LOG_FORMAT",
     CHOICE(log_format, log_format, "text", log_formats),
     .group = "Logs and metrics",
     .help = "`json` writes one object a line."},
    {.name = "PROMETHEUS_METRIC_PREFIX",
     TEXT(prometheus_metric_prefix, "eventhub", OPTION_NAME_MAX),
     CHECK(option_check_metric_prefix, "letters, digits, `_` and `:`, not starting with a digit"),
     .group = "Logs and metrics",
     .help = "What the names of metrics start with."},

    {.name = "ENABLE_SSE",
     BOOL(enable_sse, "true"),
     .group = "Extras",
     .help = "Server-sent events."},
    {.name = "ENABLE_HTTP_PUBLISH",
     BOOL(enable_http_publish, "true"),
     .group = "Extras",
     .help = "Publishing and JSON-RPC by HTTP POST."},
    {.name = "ENABLE_COMPRESSION",
     BOOL(enable_compression, "true"),
     .group = "Extras",
     .help = "Compression of WebSocket messages (permessage-deflate)."},
    {.name = "ENABLE_CONSOLE",
     BOOL(enable_console, "false"),
     NEEDS(CONSOLE, IF_CHANGED),
     .group = "Extras",
     .help = "The web console at `GET /`."},

    {.name = "REDIS_HOST",
     TEXT(redis_host, "127.0.0.1", OPTION_NAME_MAX),
     .group = "Redis",
     .help = "Host of the Redis server."},
    {.name = "REDIS_PORT",
     NUMBER(redis_port, "6379", 1, UINT16_MAX),
     .group = "Redis",
     .help = "Port of the Redis server."},
    {.name = "REDIS_SOCKET",
     TEXT(redis_socket, "", OPTION_PATH_MAX),
     .group = "Redis",
     .help = "Unix socket of the Redis server, in place of host and port."},
    {.name = "REDIS_SENTINELS",
     LIST(redis_sentinels, ""),
     CHECK(option_check_sentinels,
           "comma separated `host:port`, without a port 26379, an IPv6 address in brackets"),
     .group = "Redis",
     .help = "Sentinels to ask for the Redis server, in place of host and port; needs "
             "REDIS_MASTER."},
    {.name = "REDIS_MASTER",
     TEXT(redis_master, "", OPTION_NAME_MAX),
     .group = "Redis",
     .help = "Name of the master that the sentinels watch."},
    {.name = "REDIS_USERNAME",
     TEXT(redis_username, "", OPTION_NAME_MAX),
     .group = "Redis",
     .help = "ACL user at the Redis server; needs REDIS_PASSWORD."},
    {.name = "REDIS_PASSWORD",
     SECRET(redis_password, ""),
     .group = "Redis",
     .help = "Password at the Redis server."},
    {.name = "REDIS_DB",
     NUMBER(redis_db, "0", 0, 1000000),
     .group = "Redis",
     .help = "Number of the Redis database."},
    {.name = "REDIS_PREFIX",
     TEXT(redis_prefix, "eventhub", OPTION_REDIS_PREFIX_MAX),
     CHECK(
         option_check_redis_prefix,
         "1 to 64 letters, digits and `_`, `-`, `.`, `:`, since it stands in hash tags and globs"),
     .group = "Redis",
     .help = "Prefix of every key and channel; brokers with the same one are one broker."},
    {.name = "REDIS_POOL_SIZE",
     NUMBER(redis_pool_size, "5", 1, 1024),
     .group = "Redis",
     .help = "Connections that publish and read; one topic always uses the same one."},
    {.name = "REDIS_TLS",
     BOOL(redis_tls, "false"),
     NEEDS(REDIS_TLS, IF_CHANGED),
     .group = "Redis",
     .help = "TLS on the connections to Redis."},
    {.name = "REDIS_TLS_CA_CERTIFICATE",
     TEXT(redis_tls_ca_certificate, "", OPTION_PATH_MAX),
     NEEDS(REDIS_TLS, IF_GIVEN),
     .group = "Redis",
     .help = "PEM file with the CA of the Redis server's certificate; none takes the system's."},
    {.name = "REDIS_TLS_CERTIFICATE",
     TEXT(redis_tls_certificate, "", OPTION_PATH_MAX),
     NEEDS(REDIS_TLS, IF_GIVEN),
     .group = "Redis",
     .help = "PEM file with the certificate that is shown to Redis; needs "
             "REDIS_TLS_PRIVATE_KEY."},
    {.name = "REDIS_TLS_PRIVATE_KEY",
     TEXT(redis_tls_private_key, "", OPTION_PATH_MAX),
     NEEDS(REDIS_TLS, IF_GIVEN),
     .group = "Redis",
     .help = "PEM file with the key of that certificate."},

    {.name = "ENABLE_SSL",
     BOOL(enable_ssl, "false"),
     .group = "TLS",
     .help = "A second listener, with TLS; needs SSL_CERTIFICATE and SSL_PRIVATE_KEY."},
    {.name = "SSL_LISTEN_PORT",
     NUMBER(ssl_listen_port, "8443", 1, UINT16_MAX),
     .group = "TLS",
     .help = "Port of the TLS listener."},
    {.name = "SSL_CERTIFICATE",
     TEXT(ssl_certificate, "", OPTION_PATH_MAX),
     .group = "TLS",
     .help = "PEM file with the certificate, and behind it those between it and its CA."},
    {.name = "SSL_PRIVATE_KEY",
     TEXT(ssl_private_key, "", OPTION_PATH_MAX),
     .group = "TLS",
     .help = "PEM file with the key of that certificate, without a passphrase."},
    {.name = "SSL_CA_CERTIFICATE",
     TEXT(ssl_ca_certificate, "", OPTION_PATH_MAX),
     .group = "TLS",
     .help = "PEM file with the CA of client certificates, which it makes mandatory."},
    {.name = "SSL_CERT_AUTO_RELOAD",
     BOOL(ssl_cert_auto_reload, "false"),
     .group = "TLS",
     .help = "Loads the certificate, key and CA again when their files change; SIGHUP does so at "
             "once."},
    {.name = "SSL_CERT_CHECK_INTERVAL",
     NUMBER(ssl_cert_check_interval_s, "300", 1, YEAR_S),
     .group = "TLS",
     .help = "With SSL_CERT_AUTO_RELOAD: seconds between looks at these files."},
    {.name = "DISABLE_UNSECURE_LISTENER",
     BOOL(disable_unsecure_listener, "false"),
     .group = "TLS",
     .help = "Serves on the TLS listener only; needs ENABLE_SSL."},
};

static const struct {
  const char *name;
  const char *way_out;
  const char *condition;
} features[OPTION_FEATURE_COUNT] = {
    [OPTION_FEATURE_NONE] = {.name = "", .way_out = ""},
    [OPTION_FEATURE_REDIS_TLS] = {.name = "TLS to Redis",
                                  .way_out = "remove it, or build with hiredis_ssl",
                                  .condition = "Only in a build with hiredis_ssl."},
    [OPTION_FEATURE_CONSOLE] = {.name = "the web console",
                                .way_out = "remove it or set it to false"},
};

size_t option_count(void) {
  return ARRAY_LEN(rows);
}

const struct option_row *option_row(size_t index) {
  assert(index < ARRAY_LEN(rows));
  return &rows[index];
}

const struct option_row *option_find(struct slice name) {
  for (size_t i = 0; i < ARRAY_LEN(rows); i++)
    if (slice_equal_nocase(slice_str(rows[i].name), name)) return &rows[i];
  return NULL;
}

const char *option_feature_name(enum option_feature feature) {
  return features[feature].name;
}

const char *option_feature_way_out(enum option_feature feature) {
  return features[feature].way_out;
}

const char *option_feature_lack(enum option_feature feature) {
  if (feature != OPTION_FEATURE_REDIS_TLS) return "this version does not have yet";
  return redis_has_tls() ? NULL : "this binary was built without";
}

const char *option_feature_condition(enum option_feature feature) {
  return features[feature].condition;
}
