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

/* NULL for the head: it stands in no item, and a pointer to one that is not there may not even be aligned. */
#define LIST_ITEM(at, head, type, member) ((at) == (head) ? NULL : CONTAINER_OF(at, type, member))

#define LIST_FOREACH(var, head, type, member)                                                                          \
    for (type *var = LIST_ITEM((head)->next, head, type, member); var;                                                 \
         var = LIST_ITEM(var->member.next, head, type, member))

/* The current item may be removed or freed in the body. */
#define LIST_FOREACH_SAFE(var, head, type, member)                                                                     \
    for (type *var = LIST_ITEM((head)->next, head, type, member),                                                      \
              *var##_next = var ? LIST_ITEM(var->member.next, head, type, member) : NULL;                              \
         var; var = var##_next, var##_next = var ? LIST_ITEM(var->member.next, head, type, member) : NULL)

#define LIST_FIRST(head, type, member) CONTAINER_OF((head)->next, type, member)
