#include "eventhub/server/certificates.h"

#include <string.h>
#include <time.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/clock.h"
#include "eventhub/base/log.h"

enum { SOON_S = 14 * 86400, TIME_MAX = 32 };

static struct tls_files files_of(const struct options *options) {
  return (struct tls_files){
      .certificate = {.name = "SSL_CERTIFICATE", .path = options->ssl_certificate},
      .private_key = {.name = "SSL_PRIVATE_KEY", .path = options->ssl_private_key},
      .client_ca = {.name = "SSL_CA_CERTIFICATE", .path = options->ssl_ca_certificate},
  };
}

int certificates_load(const struct options *options, struct tls_config **ret, struct buf *why) {
  *ret = NULL;
  if (!options->enable_ssl) return 0;
  struct tls_files files = files_of(options);
  return tls_config_load(&files, ret, why);
}

void certificates_look(const struct options *options, struct certificates_mark *ret) {
  const char *const paths[] = {options->ssl_certificate, options->ssl_private_key,
                               options->ssl_ca_certificate};
  memset(ret, 0, sizeof *ret);
  for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
    struct stat status;
    if (stat(paths[i], &status) != 0) continue;
    ret->files[i].changed = status.st_mtim;
    ret->files[i].size = status.st_size;
    ret->files[i].inode = status.st_ino;
  }
}

void certificates_log(const struct tls_config *config) {
  char until[TIME_MAX] = "";
  struct tm parts;
  uint64_t expires_s = tls_config_expires_s(config);
  uint64_t now_s = clock_wall_ms() / 1000;
  time_t time = (time_t)expires_s;
  if (gmtime_r(&time, &parts) != NULL) strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", &parts);
  if (expires_s <= now_s) {
    log_warn("the TLS certificate has expired: clients will refuse it", LOG_STR("expired", until));
  } else if (expires_s - now_s < SOON_S) {
    log_warn("the TLS certificate expires soon", LOG_STR("expires", until));
  } else {
    log_info("TLS certificate loaded", LOG_STR("expires", until));
  }
}
