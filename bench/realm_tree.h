/* bench/realm_tree.h - how many entries the managers of a tree of realms hold to route to every identifier.
 *
 * Realms share out the numbers of a deployment by digits (struct realm_range, ident/tag.h), and each enrols entities in
 * some tiers. The prefix of a realm's identifiers is /44 and 4 bits for each digit, one for each tier. A manager has
 * its own entities, whatever the routing. Beyond these it has
 *
 *     by prefix   one entry for each tier of each realm that it has delegated to; what is not below goes to its parent
 *     flat        one entry for each entity below; what is not below goes to its parent
 *
 * and the root, which has no parent, has them all. No IO. */
#pragma once

#include "ident/tag.h"

#define REALM_LEVELS 4 /* root, and one for each digit */
#define REALM_TIERS 4
#define REALM_CHILDREN_MAX 15 /* a digit of 0 is the parent's own number */
#define REALMS_MAX (1 + 15 + 15 * 15 + 15 * 15 * 15)

struct realm_node {
    struct realm_range range;
    size_t parent;                  /* of the root: itself */
    uint64_t entities[REALM_TIERS]; /* 0: not a tier of this realm */
    /* Counted by realm_tree_count. */
    uint64_t own, by_prefix, flat; /* entities of its own; entries beyond these, both ways, the one to the parent too */
    unsigned depth; /* parents up to the root: tables in which a flat identifier stands besides its own */
};

struct realm_tree {
    struct realm_node *nodes; /* [0] is the root; parents stand before their children */
    size_t count;
};

struct realm_spec {
    size_t realms; /* 1 to REALMS_MAX */
    double mean;   /* entities of a tier of a realm: a heavy tail (bench/tail.h) */
    unsigned max;
    uint64_t seed;
};

/* A tree in which who has sub-realms gets more of them. Every realm has hosts; users, data and services it has by a
 * toss of a coin, where its parent has them. 0 or -ENOMEM. */
MUST_CHECK int realm_tree_draw(struct realm_tree *t, const struct realm_spec *spec);
void realm_tree_count(struct realm_tree *t);
void realm_tree_deinit(struct realm_tree *t);
