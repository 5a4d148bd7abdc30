#include "eventhub/server/daemon.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/err.h"
#include "eventhub/base/log.h"
#include "eventhub/base/mem.h"
#include "eventhub/server/reload.h"
#include "eventhub/server/worker.h"
#include "eventhub/store/redis.h"

enum {
  RESERVED_FDS =
      64, /* for listeners, loops, the log, and clients that are told that there is no room */
  HOST_MAX = 256
};

struct daemon {
  struct broker broker;
  struct redis_config redis; /* the store's, where that is the backend */
  int signal_fd, phase_fd;
  bool is_impatient; /* a second signal came */
  struct certificates_mark certificates;
};

/* ---- what the machine offers ---- */

static uint64_t raise_fd_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur;
}

static uint64_t max_sessions(const struct options *options, uint64_t fds) {
  uint64_t reserved = fds / 4 < RESERVED_FDS ? fds / 4 : RESERVED_FDS;
  uint64_t carried = fds - reserved;
  if (options->max_connections == 0) return carried;
  if (options->max_connections > carried) {
    log_warn("the descriptor limit carries fewer connections than MAX_CONNECTIONS",
             LOG_UINT("max_connections", options->max_connections), LOG_UINT("carried", carried));
  }
  return options->max_connections < carried ? options->max_connections : carried;
}

static unsigned count_workers(const struct options *options) {
  cpu_set_t cpus;
  unsigned count = (unsigned)options->worker_threads;
  if (count == 0)
    count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
  return count < TOPIC_TRIE_WORKERS_MAX ? count : TOPIC_TRIE_WORKERS_MAX;
}

static int block_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN); /* a limit of the file size is an error like a full disk */
  if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) return -1;
  return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* ---- start ---- */

static int cannot_listen(const struct options *options, uint64_t port, int err) {
  const char *reason =
      err == ERR_INVALID ? "LISTEN_ADDRESS is neither * nor a numeric address" : strerror(errno);
  fprintf(stderr, "eventhub: cannot listen on address %s port %llu: %s\n", options->listen_address,
          (unsigned long long)port, reason);
  return err;
}

static int probe(const struct options *options, uint64_t port) {
  int err = listener_probe(slice_str(options->listen_address), (uint16_t)port);
  return err < 0 ? cannot_listen(options, port, err) : 0;
}

static int probe_listeners(const struct options *options) {
  int err = options->disable_unsecure_listener ? 0 : probe(options, options->listen_port);
  return err == 0 && options->enable_ssl ? probe(options, options->ssl_listen_port) : err;
}

/* The store has the level of the log from nowhere else. */
static void log_for_redis(enum log_level level, const struct log_field *fields) {
  if (log_is_on(level)) log_write(level, fields);
}

static void configure_redis(struct redis_config *redis, const struct options *options) {
  *redis = (struct redis_config){
      .host = options->redis_host,
      .port = (uint16_t)options->redis_port,
      .socket = options->redis_socket,
      .sentinels = options->redis_sentinels.items,
      .sentinel_count = options->redis_sentinels.count,
      .master = options->redis_master,
      .username = options->redis_username,
      .password = options->redis_password,
      .db = (uint32_t)options->redis_db,
      .prefix = options->redis_prefix,
      .pool_size = (uint32_t)options->redis_pool_size,
      .tls = options->redis_tls,
      .tls_ca = options->redis_tls_ca_certificate,
      .tls_certificate = options->redis_tls_certificate,
      .tls_key = options->redis_tls_private_key,
      .log = log_for_redis,
  };
}

static struct store *new_store(struct daemon *daemon, const struct store_config *config) {
  struct broker *broker = &daemon->broker;
  if (broker->options->backend != OPTION_BACKEND_REDIS) return store_new(config, broker->trie);
  configure_redis(&daemon->redis, broker->options);
  return store_new_with(redis_new(config, &daemon->redis), broker->trie);
}

static int make_store(struct daemon *daemon) {
  struct broker *broker = &daemon->broker;
  const struct options *options = broker->options;
  struct store_config config = {
      .log_enabled = options->enable_cache,
      .kv_enabled = options->enable_kvstore,
      .max_log_length = (uint32_t)options->max_cache_length,
      .max_log_memory = options->max_cache_memory,
      .default_ttl_ms = options->default_cache_ttl_s * 1000,
      .data_dir = options->data_dir,
      .is_relaxed = options->durability == OPTION_DURABILITY_RELAXED,
  };
  broker->trie = topic_trie_new();
  broker->store = new_store(daemon, &config);
  if (broker->store != NULL) return 0;
  fprintf(stderr, "eventhub: cannot make the store: %s\n", strerror(errno));
  return ERR_SYSTEM;
}

/* Both ports were free a moment ago. */
static int cannot_start(const struct worker *worker, int err) {
  const struct options *options = worker->broker->options;
  bool is_plain = !options->disable_unsecure_listener && worker->listener.io.fd < 0;
  return cannot_listen(options, is_plain ? options->listen_port : options->ssl_listen_port, err);
}

static int init_workers(struct daemon *daemon) {
  struct broker *broker = &daemon->broker;
  unsigned count = count_workers(broker->options);
  broker->workers = x_calloc(count, sizeof(struct worker));
  for (unsigned i = 0; i < count; i++) {
    struct worker *worker = &broker->workers[i];
    int err = worker_init(worker, broker, i, daemon->phase_fd);
    if (err < 0) return cannot_start(worker, err);
    broker->worker_count++;
  }
  return 0;
}

static int start_threads(struct broker *broker) {
  int err = store_start(broker->store);
  struct slice problem = store_problem(broker->store);
  if (err < 0 && problem.len > 0) {
    fprintf(stderr, "eventhub: %.*s\n", (int)problem.len, problem.ptr);
    return err;
  }
  for (unsigned i = 0; err == 0 && i < broker->worker_count; i++)
    err = worker_start(&broker->workers[i]);
  if (err < 0) fprintf(stderr, "eventhub: cannot start a thread: %s\n", strerror(errno));
  return err;
}

static void name_instance(struct broker *broker) {
  char host[HOST_MAX] = "localhost";
  gethostname(host, sizeof host - 1);
  snprintf(broker->instance, sizeof broker->instance, "%s:%llu", host,
           (unsigned long long)broker->options->listen_port);
}

/* Which the options' check has let pass. */
static void init_proxies(struct network_list *proxies, const struct option_list *list) {
  if (list->count == 0) return;
  proxies->items = x_calloc(list->count, sizeof *proxies->items);
  for (size_t i = 0; i < list->count; i++)
    if (network_parse(list->items[i], &proxies->items[proxies->count]) == 0) proxies->count++;
}

static void init_broker(struct broker *broker, const struct options *options) {
  broker->options = options;
  broker->version = SLICE(EVENTHUB_VERSION);
  broker->started_s = clock_wall_ms() / 1000;
  broker->max_sessions = max_sessions(options, raise_fd_limit());
  address_table_init(&broker->addresses, options->max_connections_per_address);
  init_proxies(&broker->proxies, &options->trusted_proxies);
  name_instance(broker);
}

static int open_fds(struct daemon *daemon) {
  daemon->signal_fd = block_signals();
  daemon->phase_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (daemon->signal_fd >= 0 && daemon->phase_fd >= 0) return 0;
  fprintf(stderr, "eventhub: cannot start: %s\n", strerror(errno));
  return ERR_SYSTEM;
}

static int start(struct daemon *daemon, const struct options *options) {
  int err = open_fds(daemon);
  if (err < 0) return err;
  /* Nothing is executed; whoever makes it do so gains nothing by set-user-id programs. */
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  init_broker(&daemon->broker, options);
  err = reload_first(&daemon->broker, &daemon->certificates);
  if (err == 0) err = probe_listeners(options);
  if (err < 0) return err;
  err = make_store(daemon);
  if (err == 0) err = init_workers(daemon);
  return err < 0 ? err : start_threads(&daemon->broker);
}

static void log_tls(struct broker *broker) {
  struct tls_config *config = tls_slot_get(&broker->tls);
  certificates_log(config);
  log_info("listening with TLS", LOG_STR("address", broker->options->listen_address),
           LOG_UINT("port", broker->options->ssl_listen_port),
           LOG_STR("client_certificates",
                   broker->options->ssl_ca_certificate[0] != '\0' ? "required" : "not asked for"));
  tls_config_unref(config);
}

static void log_start(struct broker *broker) {
  const struct options *options = broker->options;
  log_info("starting", LOG_SLICE("version", broker->version),
           LOG_STR("backend", store_backend_name(broker->store)),
           LOG_STR("reason", options->backend_reason));
  if (options->data_dir[0] != '\0' && options->backend == OPTION_BACKEND_REDIS)
    log_warn("DATA_DIR is not used: what there is to keep is kept by Redis",
             LOG_STR("data_dir", options->data_dir));
  if (options->disable_auth) {
    log_warn("authentication is off: anyone may read and write every topic",
             LOG_STR("option", "DISABLE_AUTH"));
  } else if (options_secret_is_public(options)) {
    log_warn("JWT_SECRET is the public default: anyone can make a token; set it to a secret of "
             "your own");
  }
  if (options->enable_ssl) log_tls(broker);
  uint64_t port =
      options->disable_unsecure_listener ? options->ssl_listen_port : options->listen_port;
  log_info("listening", LOG_STR("address", options->listen_address), LOG_UINT("port", port),
           LOG_UINT("workers", broker->worker_count),
           LOG_UINT("max_connections", broker->max_sessions),
           LOG_STR("sends_by", broker->workers[0].pool.ring != NULL ? "io_uring" : "send"));
}

/* ---- stop ---- */

/* True when a signal asks to stop. */
static bool read_signal(struct daemon *daemon) {
  struct signalfd_siginfo info;
  if (read(daemon->signal_fd, &info, sizeof info) != sizeof info) return false;
  if (info.ssi_signo == SIGHUP) {
    reload_all(&daemon->broker, &daemon->certificates);
    return false;
  }
  log_info("stopping", LOG_STR("signal", info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT"));
  return true;
}

static int check_interval_ms(const struct options *options) {
  uint64_t ms = options->ssl_cert_check_interval_s * 1000;
  return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void wait_for_signal(struct daemon *daemon) {
  const struct options *options = daemon->broker.options;
  struct pollfd fd = {.fd = daemon->signal_fd, .events = POLLIN};
  bool looks = options->enable_ssl && options->ssl_cert_auto_reload;
  int wait_ms = looks ? check_interval_ms(options) : -1;
  do {
    if (poll(&fd, 1, wait_ms) == 0)
      reload_changed_certificates(&daemon->broker, &daemon->certificates);
  } while (!read_signal(daemon));
}

static bool all_have_reached(const struct broker *broker, enum worker_phase phase) {
  for (unsigned i = 0; i < broker->worker_count; i++) {
    if (atomic_load(&broker->workers[i].phase) < (int)phase) return false;
  }
  return true;
}

static void wait_for_phase(struct daemon *daemon, enum worker_phase phase, uint64_t until_ms) {
  while (!all_have_reached(&daemon->broker, phase) && !daemon->is_impatient) {
    uint64_t now_ms = clock_monotonic_ms();
    if (now_ms >= until_ms) {
      log_warn("SHUTDOWN_TIMEOUT is over: closing what is left");
      return;
    }
    struct pollfd fds[] = {{.fd = daemon->signal_fd, .events = POLLIN},
                           {.fd = daemon->phase_fd, .events = POLLIN}};
    poll(fds, 2, (int)(until_ms - now_ms));
    uint64_t steps;
    if (fds[1].revents != 0 && read(daemon->phase_fd, &steps, sizeof steps) < 0) continue;
    if (fds[0].revents != 0) daemon->is_impatient = read_signal(daemon);
  }
}

static void drain(struct daemon *daemon) {
  struct broker *broker = &daemon->broker;
  uint64_t until_ms = clock_monotonic_ms() + broker->options->shutdown_timeout_s * 1000;
  atomic_store(&broker->is_draining, true);
  for (unsigned i = 0; i < broker->worker_count; i++)
    worker_stop_reading(&broker->workers[i]);
  wait_for_phase(daemon, WORKER_DEAF, until_ms);
  for (unsigned i = 0; i < broker->worker_count; i++)
    worker_close_all(&broker->workers[i]);
  wait_for_phase(daemon, WORKER_CLOSED, until_ms);
}

/* Also what a failed start has left behind. */
static void stop(struct daemon *daemon) {
  struct broker *broker = &daemon->broker;
  for (unsigned i = 0; i < broker->worker_count; i++)
    worker_join(&broker->workers[i]);
  if (broker->store != NULL) store_stop(broker->store);
  for (unsigned i = 0; i < broker->worker_count; i++)
    worker_done(&broker->workers[i]);
  free(broker->workers);
  if (broker->store != NULL) store_free(broker->store);
  reload_done(broker);
  address_table_done(&broker->addresses);
  free(broker->proxies.items);
  topic_trie_free(broker->trie);
  if (daemon->signal_fd >= 0) close(daemon->signal_fd);
  if (daemon->phase_fd >= 0) close(daemon->phase_fd);
}

int daemon_run(const struct options *options) {
  struct daemon daemon = {.signal_fd = -1, .phase_fd = -1};
  int err = start(&daemon, options);
  if (err == 0) {
    log_start(&daemon.broker);
    wait_for_signal(&daemon);
    drain(&daemon);
  }
  stop(&daemon);
  if (err == 0) log_info("stopped");
  return err == 0 ? 0 : 1;
}
