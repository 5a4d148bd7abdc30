#include "eventhub/store/store_batch.h"

#include <stdlib.h>
#include <string.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"

enum { CAP_MIN = 16 };

static void free_batch(struct store_batch *batch) {
  free(batch->events);
  free(batch->filters);
  free(batch->messages);
  free(batch);
}

static void free_list(struct store_batch *batch) {
  while (batch != NULL) {
    struct store_batch *next = batch->next;
    free_batch(batch);
    batch = next;
  }
}

static size_t held_bytes(const struct store_batch *batch) {
  return batch->event_cap * sizeof batch->events[0] + batch->filter_cap * sizeof batch->filters[0] +
         batch->message_cap * sizeof batch->messages[0];
}

/* Room for `more` items behind `count`. */
static void *reserve(void *items, uint32_t *cap, uint32_t count, uint32_t more, size_t size) {
  if (*cap - count >= more) return items;
  uint32_t room = *cap ? *cap * 2 : CAP_MIN;
  while (room - count < more)
    room *= 2;
  *cap = room;
  return x_realloc(items, room * size);
}

/* How many of the messages make a slice. */
static uint32_t slice_count(struct message *const *messages, uint32_t count) {
  uint32_t most = count < STORE_SLICE_MESSAGES ? count : STORE_SLICE_MESSAGES;
  size_t bytes = 0;
  for (uint32_t i = 0; i < most; i++) {
    bytes += message_size(messages[i]);
    if (bytes > STORE_SLICE_BYTES) return i + 1;
  }
  return most;
}

/* Runs the next slice of the delivery. */
static size_t run_slice(struct store_client *client, struct store_batch *batch,
                        const struct store_event *event) {
  struct message **messages = batch->messages + event->first_message + batch->next_message;
  uint32_t count = slice_count(messages, event->message_count - batch->next_message);
  struct delivery delivery = {.filters = batch->filters + event->first_filter,
                              .messages = messages,
                              .filter_count = event->filter_count,
                              .message_count = count};
  size_t work = client->callbacks.on_deliver(&delivery, client->context);
  for (uint32_t i = 0; i < count; i++)
    message_unref(messages[i]);
  batch->next_message += count;
  if (batch->next_message < event->message_count) return work;
  batch->next_message = 0;
  batch->next_event++;
  return work;
}

static void give_back(struct store_client *client, struct store_batch *batch) {
  batch->event_count = batch->filter_count = batch->message_count = 0;
  batch->open = batch->next_event = 0;
  if (held_bytes(batch) > STORE_BATCH_KEEP_BYTES) {
    free_batch(batch);
    return;
  }
  batch->next = atomic_load_explicit(&client->empty, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(&client->empty, &batch->next, batch,
                                                memory_order_release, memory_order_relaxed)) {}
}

/* Up to `work`; answers how much it was. */
static size_t run_batch(struct store_client *client, struct store_batch *batch, size_t work) {
  size_t done = 0;
  while (batch->next_event < batch->event_count && done < work) {
    const struct store_event *event = &batch->events[batch->next_event];
    if (event->request == NULL) {
      done += run_slice(client, batch, event) + 1;
      continue;
    }
    batch->next_event++;
    client->callbacks.on_done(event->request, client->context);
    done += STORE_ANSWER_WORK;
  }
  return done;
}

bool store_client_run(struct store_client *client, size_t work) {
  while (client->arrived != NULL && work > 0) {
    struct store_batch *batch = client->arrived;
    size_t done = run_batch(client, batch, work);
    work -= done < work ? done : work;
    if (batch->next_event < batch->event_count) return false;
    client->arrived = batch->next;
    give_back(client, batch);
  }
  return client->arrived == NULL;
}

static void on_batch(struct mail *mail, void *context) {
  (void)context;
  struct store_batch *batch = container_of(mail, struct store_batch, mail);
  struct store_client *client = batch->client;
  batch->next = NULL;
  if (client->arrived == NULL) {
    client->arrived = batch;
  } else {
    client->last_arrived->next = batch;
  }
  client->last_arrived = batch;
  if (!client->is_paced) store_client_run(client, SIZE_MAX);
}

/* Takes over what the client has handed back, as far as it is worth keeping. */
static void collect_spares(struct store_client *client) {
  struct store_batch *batch = atomic_exchange_explicit(&client->empty, NULL, memory_order_acquire);
  for (int kept = 0; batch != NULL && kept < STORE_BATCH_KEEP_COUNT; kept++) {
    struct store_batch *next = batch->next;
    batch->next = client->spare;
    client->spare = batch;
    batch = next;
  }
  free_list(batch);
}

static struct store_batch *take_batch(struct store_client *client) {
  if (client->spare == NULL) collect_spares(client);
  struct store_batch *batch = client->spare;
  if (batch == NULL) {
    batch = x_calloc(1, sizeof *batch);
    batch->mail.deliver = on_batch;
    batch->client = client;
  } else {
    client->spare = batch->next;
  }
  return batch;
}

static struct store_batch *current_batch(struct store_client *client) {
  if (client->batch == NULL) client->batch = take_batch(client);
  return client->batch;
}

static void add_event(struct store_batch *batch, struct store_event event) {
  batch->events = reserve(batch->events, &batch->event_cap, batch->event_count, 1, sizeof event);
  batch->events[batch->event_count++] = event;
}

static bool is_cut(enum store_op op) {
  return op == STORE_READ_LOG || op == STORE_WATCH || op == STORE_BARRIER;
}

void store_batch_add_done(struct store_client *client, struct store_request *request) {
  struct store_batch *batch = current_batch(client);
  if (is_cut(request->op)) batch->open = 0;
  add_event(batch, (struct store_event){.request = request});
}

/* An open delivery is the last one, so that its messages stand last. */
static void extend_open(struct store_batch *batch, struct message *message) {
  batch->messages = reserve(batch->messages, &batch->message_cap, batch->message_count, 1,
                            sizeof batch->messages[0]);
  batch->messages[batch->message_count++] = message_ref(message);
  batch->events[batch->open - 1].message_count++;
}

bool store_batch_extend(struct store_client *client, uint64_t match, struct message *message) {
  struct store_batch *batch = client->batch;
  if (batch == NULL || batch->open == 0 || batch->open_match != match) return false;
  extend_open(batch, message);
  return true;
}

static bool open_has_filters(const struct store_batch *batch, const struct filter_ref *filters,
                             uint32_t filter_count) {
  if (batch->open == 0) return false;
  const struct store_event *event = &batch->events[batch->open - 1];
  return event->filter_count == filter_count &&
         memcmp(batch->filters + event->first_filter, filters, filter_count * sizeof *filters) == 0;
}

static void open_delivery(struct store_batch *batch, const struct filter_ref *filters,
                          uint32_t filter_count) {
  add_event(batch, (struct store_event){.first_filter = batch->filter_count,
                                        .filter_count = filter_count,
                                        .first_message = batch->message_count});
  batch->filters = reserve(batch->filters, &batch->filter_cap, batch->filter_count, filter_count,
                           sizeof *filters);
  memcpy(batch->filters + batch->filter_count, filters, filter_count * sizeof *filters);
  batch->filter_count += filter_count;
  batch->open = batch->event_count;
}

void store_batch_add_message(struct store_client *client, uint64_t match,
                             const struct filter_ref *filters, uint32_t filter_count,
                             struct message *message) {
  struct store_batch *batch = current_batch(client);
  if (!open_has_filters(batch, filters, filter_count)) open_delivery(batch, filters, filter_count);
  batch->open_match = match;
  extend_open(batch, message);
}

bool store_batch_post(struct store_client *client) {
  struct store_batch *batch = client->batch;
  if (batch == NULL) return false;
  client->batch = NULL;
  mailbox_post(client->mailbox, &batch->mail);
  return true;
}

void store_batch_free_all(struct store_client *client) {
  free_list(client->spare);
  free_list(atomic_exchange_explicit(&client->empty, NULL, memory_order_acquire));
  client->spare = NULL;
}
