/* Intrusive doubly linked list.
 *
 * A `struct list` is either the head of a list or the link inside an item; an item is found from
 * its link with container_of. The list owns nothing. Items must not move while linked. A link
 * that is in no list is initialised (points at itself) or zeroed. Not shared between threads. */
#ifndef EVENTHUB_BASE_LIST_H
#define EVENTHUB_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
  struct list *next;
  struct list *prev;
};

/* For heads (always) and for links. */
static inline void list_init(struct list *list) {
  list->next = list;
  list->prev = list;
}

static inline bool list_is_empty(const struct list *head) {
  return head->next == head;
}

/* Of an item's link: is it in a list? */
static inline bool list_is_linked(const struct list *item) {
  return item->next != NULL && item->next != item;
}

/* The item must be in no list. */
static inline void list_add_tail(struct list *head, struct list *item) {
  item->next = head;
  item->prev = head->prev;
  head->prev->next = item;
  head->prev = item;
}

static inline void list_add_head(struct list *head, struct list *item) {
  list_add_tail(head->next, item);
}

/* Unlinks the item and initialises its link; nothing happens when it is in no list. */
static inline void list_remove(struct list *item) {
  if (!list_is_linked(item)) return;
  item->next->prev = item->prev;
  item->prev->next = item->next;
  list_init(item);
}

/* NULL when the list is empty. */
static inline struct list *list_first(const struct list *head) {
  return list_is_empty(head) ? NULL : head->next;
}

/* Moves all items of `from`, in order, behind those of `head`; `from` is empty afterwards. */
static inline void list_append_all(struct list *head, struct list *from) {
  if (list_is_empty(from)) return;
  from->next->prev = head->prev;
  head->prev->next = from->next;
  from->prev->next = head;
  head->prev = from->prev;
  list_init(from);
}

/* NOLINTBEGIN(bugprone-macro-parentheses): a name that is declared cannot stand in them. */

/* Declares `struct list *it`. The list must not change inside. */
#define LIST_FOREACH(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)

/* The same; `it` may be removed and freed inside, others may not. */
#define LIST_FOREACH_SAFE(it, tmp, head)                                                           \
  for (struct list *it = (head)->next, *tmp = it->next; it != (head); it = tmp, tmp = it->next)

/* NOLINTEND(bugprone-macro-parentheses) */

#endif
