#include "eventhub/base/list.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/base/mem.h"

struct item {
  int number;
  struct list link;
};

static struct item *item_of(struct list *link) {
  return container_of(link, struct item, link);
}

static void add_numbers(struct list *head, int from, int to) {
  for (int i = from; i <= to; i++) {
    struct item *item = x_calloc(1, sizeof *item);
    item->number = i;
    list_add_tail(head, &item->link);
  }
}

static void free_all(struct list *head) {
  LIST_FOREACH_SAFE (link, next, head) {
    list_remove(link);
    free(item_of(link));
  }
  assert_true(list_is_empty(head));
}

static void assert_numbers(const struct list *head, int from, int to) {
  int expected = from;
  LIST_FOREACH (link, head)
    assert_int_equal(item_of(link)->number, expected++);
  assert_int_equal(expected, to + 1);
}

static void items_come_in_the_order_of_adding(void **state) {
  (void)state;
  struct list head;
  list_init(&head);
  assert_true(list_is_empty(&head));
  assert_null(list_first(&head));
  add_numbers(&head, 2, 5);
  struct item first = {.number = 1};
  list_add_head(&head, &first.link);
  assert_ptr_equal(list_first(&head), &first.link);
  assert_numbers(&head, 1, 5);
  list_remove(&first.link);
  assert_numbers(&head, 2, 5);
  free_all(&head);
}

static void an_item_knows_whether_it_is_linked(void **state) {
  (void)state;
  struct list head;
  list_init(&head);
  struct item item = {0};
  assert_false(list_is_linked(&item.link));
  list_remove(&item.link);
  list_add_tail(&head, &item.link);
  assert_true(list_is_linked(&item.link));
  list_remove(&item.link);
  assert_false(list_is_linked(&item.link));
  list_remove(&item.link);
  assert_true(list_is_empty(&head));
}

static void a_walk_may_free_its_item(void **state) {
  (void)state;
  struct list head;
  list_init(&head);
  add_numbers(&head, 1, 10);
  LIST_FOREACH_SAFE (link, next, &head) {
    struct item *item = item_of(link);
    if (item->number <= 7) continue;
    list_remove(link);
    free(item);
  }
  assert_numbers(&head, 1, 7);
  free_all(&head);
}

static void a_list_is_appended_whole(void **state) {
  (void)state;
  struct list head;
  struct list more;
  list_init(&head);
  list_init(&more);
  add_numbers(&more, 1, 3);
  list_append_all(&head, &more);
  list_append_all(&head, &more);
  assert_true(list_is_empty(&more));
  add_numbers(&more, 4, 6);
  list_append_all(&head, &more);
  assert_numbers(&head, 1, 6);
  free_all(&head);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(items_come_in_the_order_of_adding),
      cmocka_unit_test(an_item_knows_whether_it_is_linked),
      cmocka_unit_test(a_walk_may_free_its_item),
      cmocka_unit_test(a_list_is_appended_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
