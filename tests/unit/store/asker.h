#ifndef EVENTHUB_TESTS_STORE_ASKER_H
#define EVENTHUB_TESTS_STORE_ASKER_H

/*
 * A worker reduced to what the store sees of it: a mailbox, a client, and a record of what came, in
 * order. In the record an answer is its op's letter (P publish, R read, B barrier, W watch, U
 * unwatch, G get, S set, D del), a delivery is '(' the payloads one behind the other ')'. Include
 * after cmocka.h.
 */

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/store/store.h"

enum { ASKER_RECORD_MAX = 4096 };

struct asker {
  struct mailbox mailbox;
  struct store_client client;
  char record[ASKER_RECORD_MAX];
  size_t record_len;
  size_t done;       /* answers */
  size_t deliveries; /* messages */
};

static inline void asker_note(struct asker *asker, const char *text, size_t len) {
  assert_true(asker->record_len + len < ASKER_RECORD_MAX);
  memcpy(asker->record + asker->record_len, text, len);
  asker->record_len += len;
  asker->record[asker->record_len] = '\0';
}

static inline void asker_on_done(struct store_request *request, void *context) {
  struct asker *asker = context;
  asker->done++;
  asker_note(asker, &"PRGSDWUB"[request->op], 1);
}

static inline size_t asker_on_deliver(const struct delivery *delivery, void *context) {
  struct asker *asker = context;
  asker_note(asker, "(", 1);
  for (uint32_t i = 0; i < delivery->message_count; i++) {
    struct slice payload = message_payload(delivery->messages[i]);
    asker_note(asker, payload.ptr, payload.len < 16 ? payload.len : 16);
  }
  asker_note(asker, ")", 1);
  asker->deliveries += delivery->message_count;
  return delivery->message_count;
}

static inline void asker_init(struct asker *asker, struct store *store, unsigned worker) {
  static const struct store_callbacks callbacks = {asker_on_done, asker_on_deliver};
  memset(asker, 0, sizeof *asker);
  assert_int_equal(mailbox_init(&asker->mailbox, asker), 0);
  store_client_init(&asker->client, store, worker, &asker->mailbox, &callbacks, asker);
}

/* After store_stop. */
static inline void asker_done(struct asker *asker) {
  mailbox_drain(&asker->mailbox);
  store_client_done(&asker->client);
  mailbox_done(&asker->mailbox);
}

/* Blocks until there is mail, and reads it. */
static inline void asker_wait_mail(struct mailbox *mailbox) {
  if (mailbox_prepare_sleep(mailbox)) {
    struct pollfd poll_fd = {.fd = mailbox->event_fd, .events = POLLIN};
    while (poll(&poll_fd, 1, -1) < 0) {}
  }
  mailbox_woke(mailbox);
  mailbox_drain(mailbox);
}

static inline void asker_wait_done(struct asker *asker, size_t done) {
  while (asker->done < done)
    asker_wait_mail(&asker->mailbox);
}

/* Runs one request to its end. */
static inline enum store_status asker_ask(struct asker *asker, struct store_request *request) {
  size_t before = asker->done;
  store_submit(&asker->client, request);
  store_client_flush(&asker->client);
  asker_wait_done(asker, before + 1);
  return request->status;
}

static inline void asker_publish_init(struct store_request *request, const char *topic,
                                      const char *payload) {
  store_request_init(request, STORE_PUBLISH);
  request->publish.message = message_new(slice_str(topic), slice_str(payload), SLICE(""));
}

/* The id it got. */
static inline struct message_id asker_publish(struct asker *asker, const char *topic,
                                              const char *payload) {
  struct store_request request;
  asker_publish_init(&request, topic, payload);
  assert_int_equal(asker_ask(asker, &request), STORE_OK);
  message_unref(request.publish.message);
  return request.publish.id;
}

static inline void asker_read_init(struct store_request *request, const char *filter,
                                   struct message_id after) {
  store_request_init(request, STORE_READ_LOG);
  request->read_log.filter = slice_str(filter);
  request->read_log.point = (struct log_point){LOG_SINCE_ID, after};
  request->read_log.limit = UINT32_MAX;
}

#endif
