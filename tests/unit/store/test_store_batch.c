#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>

#include "asker.h"
#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/store/store_batch.h"

/* Clients without a store: this test is the store thread and the worker. */

static void setup_asker(struct asker *asker) {
  memset(asker, 0, sizeof *asker);
  assert_int_equal(mailbox_init(&asker->mailbox, asker), 0);
  asker->client = (struct store_client){
      .mailbox = &asker->mailbox, .callbacks = {asker_on_done, asker_on_deliver}, .context = asker};
}

static void add(struct asker *asker, uint64_t match, uint32_t filter, const char *payload) {
  struct message *message = message_new(SLICE("a"), slice_str(payload), SLICE(""));
  struct filter_ref ref = {filter, 1};
  if (!store_batch_extend(&asker->client, match, message)) {
    store_batch_add_message(&asker->client, match, &ref, 1, message);
  }
  message_unref(message);
}

static void turn_over(struct asker *asker) {
  store_batch_post(&asker->client);
  mailbox_drain(&asker->mailbox);
}

static void a_turn_is_one_mail_in_order(void **state) {
  (void)state;
  struct asker asker;
  setup_asker(&asker);
  struct store_request read = {.op = STORE_READ_LOG}, set = {.op = STORE_KV_SET};
  assert_false(store_batch_post(&asker.client));
  add(&asker, 1, 7, "1");
  store_batch_add_done(&asker.client, &read);
  add(&asker, 1, 7, "2");
  add(&asker, 2, 8, "3");
  store_batch_add_done(&asker.client, &set);
  assert_true(store_batch_post(&asker.client));
  assert_false(store_batch_post(&asker.client));
  assert_int_equal(mailbox_drain(&asker.mailbox), 1);
  assert_string_equal(asker.record, "(1)R(2)(3)S");
  asker_done(&asker);
}

static void messages_for_the_same_filters_are_one_delivery(void **state) {
  (void)state;
  struct asker asker;
  setup_asker(&asker);
  add(&asker, 1, 7, "1");
  add(&asker, 1, 7, "2");
  add(&asker, 2, 7, "3"); /* another match with the same outcome */
  add(&asker, 2, 7, "4");
  turn_over(&asker);
  assert_string_equal(asker.record, "(1234)");
  asker_done(&asker);
}

static void plain_answers_let_a_delivery_grow_and_cuts_close_it(void **state) {
  (void)state;
  struct asker asker;
  setup_asker(&asker);
  enum store_op ops[] = {STORE_PUBLISH, STORE_KV_GET, STORE_READ_LOG, STORE_BARRIER, STORE_WATCH};
  struct store_request requests[5];
  for (int i = 0; i < 5; i++) {
    requests[i] = (struct store_request){.op = ops[i]};
    add(&asker, 1, 7, (char[]){(char)('1' + i), '\0'});
    store_batch_add_done(&asker.client, &requests[i]);
  }
  turn_over(&asker);
  assert_string_equal(asker.record, "(123)PGR(4)B(5)W");
  asker_done(&asker);
}

static void batches_are_used_again(void **state) {
  (void)state;
  struct asker asker;
  setup_asker(&asker);
  add(&asker, 1, 7, "1");
  struct store_batch *first = asker.client.batch;
  turn_over(&asker);
  add(&asker, 1, 7, "2");
  assert_ptr_equal(asker.client.batch, first);
  turn_over(&asker);
  assert_string_equal(asker.record, "(1)(2)");
  asker_done(&asker);
}

static void who_is_paced_gets_so_much_at_a_time(void **state) {
  (void)state;
  struct asker asker;
  struct store_request set = {.op = STORE_KV_SET};
  setup_asker(&asker);
  store_client_pace(&asker.client);
  add(&asker, 1, 7, "1");
  store_batch_add_done(&asker.client, &set);
  add(&asker, 2, 8, "2");
  turn_over(&asker);
  add(&asker, 3, 9, "3");
  turn_over(&asker);
  assert_string_equal(asker.record, "");
  assert_false(store_client_run(&asker.client, 1));
  assert_string_equal(asker.record, "(1)");
  assert_false(store_client_run(&asker.client, STORE_ANSWER_WORK));
  assert_string_equal(asker.record, "(1)S");
  assert_true(store_client_run(&asker.client, 100));
  assert_string_equal(asker.record, "(1)S(2)(3)");
  assert_true(store_client_run(&asker.client, 1));
  asker_done(&asker);
}

static void a_long_delivery_comes_in_slices(void **state) {
  (void)state;
  struct asker asker;
  setup_asker(&asker);
  store_client_pace(&asker.client);
  for (int i = 0; i < 2 * STORE_SLICE_MESSAGES + 1; i++)
    add(&asker, 1, 7, "1");
  AUTO(buf) struct buf big = BUF_INIT;
  for (int i = 0; i < STORE_SLICE_BYTES; i++)
    buf_append_char(&big, '2');
  buf_append_char(&big, '\0');
  add(&asker, 2, 8, big.data);
  add(&asker, 2, 8, big.data);
  turn_over(&asker);
  for (size_t i = 1; i <= 2; i++) {
    assert_false(store_client_run(&asker.client, 1));
    assert_int_equal(asker.deliveries, i * STORE_SLICE_MESSAGES);
  }
  assert_false(store_client_run(&asker.client, 1));
  assert_int_equal(asker.deliveries, 2 * STORE_SLICE_MESSAGES + 1);
  assert_false(store_client_run(&asker.client, 1));
  assert_int_equal(asker.deliveries, 2 * STORE_SLICE_MESSAGES + 2);
  assert_true(store_client_run(&asker.client, 100));
  assert_int_equal(asker.deliveries, 2 * STORE_SLICE_MESSAGES + 3);
  asker_done(&asker);
}

static size_t count_batches(struct store_client *client) {
  size_t count = 0;
  for (struct store_batch *batch = client->empty; batch != NULL; batch = batch->next)
    count++;
  for (struct store_batch *batch = client->spare; batch != NULL; batch = batch->next)
    count++;
  return count;
}

static void a_crowd_of_batches_is_not_kept(void **state) {
  (void)state;
  struct asker asker;
  setup_asker(&asker);
  for (int i = 0; i < 50; i++) {
    add(&asker, 1, 7, "1");
    store_batch_post(&asker.client);
  }
  mailbox_drain(&asker.mailbox);
  add(&asker, 1, 7, "2");
  turn_over(&asker);
  assert_int_equal(asker.deliveries, 51);
  assert_true(count_batches(&asker.client) <= STORE_BATCH_KEEP_COUNT);
  asker_done(&asker);
}

static size_t on_many(const struct delivery *delivery, void *context) {
  size_t *count = context;
  *count += delivery->message_count;
  return 1;
}

static void a_big_batch_is_not_kept(void **state) {
  (void)state;
  struct asker asker;
  setup_asker(&asker);
  size_t count = 0;
  asker.client.callbacks.on_deliver = on_many;
  asker.client.context = &count;
  for (int i = 0; i < 100000; i++)
    add(&asker, 1, 7, "1");
  turn_over(&asker);
  assert_int_equal(count, 100000);
  assert_int_equal(count_batches(&asker.client), 0);
  asker_done(&asker);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_turn_is_one_mail_in_order),
      cmocka_unit_test(messages_for_the_same_filters_are_one_delivery),
      cmocka_unit_test(plain_answers_let_a_delivery_grow_and_cuts_close_it),
      cmocka_unit_test(batches_are_used_again),
      cmocka_unit_test(who_is_paced_gets_so_much_at_a_time),
      cmocka_unit_test(a_long_delivery_comes_in_slices),
      cmocka_unit_test(a_crowd_of_batches_is_not_kept),
      cmocka_unit_test(a_big_batch_is_not_kept),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
