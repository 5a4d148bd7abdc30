#include "eventhub/server/reload.h"

#include <stdio.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/err.h"
#include "eventhub/base/log.h"
#include "eventhub/server/token_keys.h"
#include "eventhub/server/worker.h"

/* What has been loaded, and is not in use yet. */
struct loaded {
  struct jws_keys *keys;
  struct tls_config *tls;
};

static void loaded_cleanup(struct loaded *loaded) {
  jws_keys_unref(loaded->keys);
  tls_config_unref(loaded->tls);
}

static int load(const struct options *options, bool with_keys, struct loaded *ret,
                struct buf *why) {
  int err = with_keys ? token_keys_load(options, &ret->keys, why) : 0;
  return err < 0 ? err : certificates_load(options, &ret->tls, why);
}

int reload_first(struct broker *broker, struct certificates_mark *mark) {
  AUTO(buf) struct buf why = BUF_INIT;
  struct loaded loaded = {0};
  certificates_look(broker->options, mark);
  int err = load(broker->options, !broker->options->disable_auth, &loaded, &why);
  jws_keyring_init(&broker->keys, loaded.keys);
  tls_slot_init(&broker->tls, loaded.tls);
  if (err < 0) fprintf(stderr, "eventhub: %.*s\n", (int)why.len, why.data);
  return err;
}

void reload_done(struct broker *broker) {
  jws_keyring_done(&broker->keys);
  tls_slot_done(&broker->tls);
}

static void use_tls(struct broker *broker, struct loaded *loaded) {
  if (loaded->tls == NULL) return;
  certificates_log(loaded->tls);
  tls_slot_exchange(&broker->tls, loaded->tls);
  loaded->tls = NULL;
}

static void use_keys(struct broker *broker, struct loaded *loaded) {
  if (loaded->keys == NULL) return;
  log_info("SIGHUP: keys of tokens reloaded", LOG_UINT("keys", jws_keys_count(loaded->keys)));
  jws_keyring_exchange(&broker->keys, loaded->keys);
  loaded->keys = NULL;
}

void reload_all(struct broker *broker, struct certificates_mark *mark) {
  const struct options *options = broker->options;
  AUTO(buf) struct buf why = BUF_INIT;
  AUTO(loaded) struct loaded loaded = {0};
  bool has_keys = !options->disable_auth && token_keys_come_from_a_file(options);
  certificates_look(options, mark);
  if (!has_keys && !options->enable_ssl) {
    log_info("SIGHUP: there is nothing to reload");
  } else if (load(options, has_keys, &loaded, &why) < 0) {
    log_error("SIGHUP: keys and certificates stay as they were",
              LOG_SLICE("reason", buf_slice(&why)));
  } else {
    use_keys(broker, &loaded);
    use_tls(broker, &loaded);
  }
}

void reload_changed_certificates(struct broker *broker, struct certificates_mark *mark) {
  AUTO(buf) struct buf why = BUF_INIT;
  AUTO(loaded) struct loaded loaded = {0};
  struct certificates_mark before = *mark;
  certificates_look(broker->options, mark);
  if (memcmp(&before, mark, sizeof before) == 0) return;
  if (load(broker->options, false, &loaded, &why) < 0) {
    log_warn("the TLS certificate's files have changed, but not for the better: the old "
             "certificate stays",
             LOG_SLICE("reason", buf_slice(&why)));
    return;
  }
  use_tls(broker, &loaded);
}
