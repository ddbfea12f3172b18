/* base/list.h - intrusive doubly linked list with a sentinel head. An item is in at most one list at a time. */
#pragma once

#include "base/base.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_append(struct list *head, struct list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

static inline void list_prepend(struct list *head, struct list *item)
{
    item->next = head->next;
    item->prev = head;
    head->next->prev = item;
    head->next = item;
}

/* Leaves the item as an empty list of its own, so removing it again does nothing. */
static inline void list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

#define LIST_FOREACH(var, head, type, member)                                                                          \
    for (type *var = CONTAINER_OF((head)->next, type, member); &var->member != (head);                                 \
         var = CONTAINER_OF(var->member.next, type, member))

/* The current item may be removed or freed in the body. */
#define LIST_FOREACH_SAFE(var, head, type, member)                                                                     \
    for (type *var = CONTAINER_OF((head)->next, type, member),                                                         \
              *var##_next = CONTAINER_OF(var->member.next, type, member);                                              \
         &var->member != (head); var = var##_next, var##_next = CONTAINER_OF(var->member.next, type, member))

#define LIST_FIRST(head, type, member) CONTAINER_OF((head)->next, type, member)
