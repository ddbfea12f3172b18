/* See realm_tree.h.
 *
 * Theory of operation. A realm joins below one that is drawn from a list in which each realm that has room stands once
 * and once more for each of its children (Yule's process), so numbers of children have a heavy tail, as those of
 * organisations do, up to what a digit can name. Its range is the next digit of its parent's. */
#include "bench/realm_tree.h"

#include <errno.h>

#include "bench/tail.h"

#define DIGIT_BITS 4
#define NUMBER_BITS 12

static struct realm_range child_range(const struct realm_range *parent, unsigned nth)
{
    return (struct realm_range){ .number =
                                     (uint16_t)(parent->number | nth << (NUMBER_BITS - DIGIT_BITS - parent->bits)),
                                 .bits = (uint8_t)(parent->bits + DIGIT_BITS) };
}

static bool has_room(const struct realm_node *n, unsigned children)
{
    return n->range.bits < NUMBER_BITS && children < REALM_CHILDREN_MAX;
}

static void draw_entities(struct realm_node *n, const struct realm_node *parent, const struct realm_spec *spec,
                          double exponent, struct prng *rng)
{
    for (unsigned tier = 0; tier < REALM_TIERS; tier++) {
        bool has = tier == TAG_TIER_HOST || (prng_below(rng, 2) == 0 && (!parent || parent->entities[tier] > 0));

        n->entities[tier] = has ? tail_draw(rng, exponent, spec->max) : 0;
    }
}

int realm_tree_draw(struct realm_tree *t, const struct realm_spec *spec)
{
    /* A realm is in the list once, and once for each child. */
    CLEANUP(cleanup_free) size_t *drawn = calloc(spec->realms * 2, sizeof(*drawn));
    CLEANUP(cleanup_free) unsigned *children = calloc(spec->realms, sizeof(*children));
    double exponent = tail_exponent(spec->mean, spec->max);
    size_t drawn_count = 0;
    struct prng rng;

    *t = (struct realm_tree){ .nodes = calloc(spec->realms, sizeof(*t->nodes)), .count = spec->realms };
    if (!drawn || !children || !t->nodes) {
        realm_tree_deinit(t);
        return -ENOMEM;
    }
    prng_init(&rng, spec->seed);
    for (size_t i = 0; i < t->count; i++) {
        struct realm_node *n = &t->nodes[i];

        if (i > 0) {
            size_t at;

            do {
                at = prng_below(&rng, drawn_count);
                n->parent = drawn[at];
                if (!has_room(&t->nodes[n->parent], children[n->parent]))
                    drawn[at] = drawn[--drawn_count]; /* never again */
            } while (!has_room(&t->nodes[n->parent], children[n->parent]));
            n->range = child_range(&t->nodes[n->parent].range, ++children[n->parent]);
            drawn[drawn_count++] = n->parent;
        }
        drawn[drawn_count++] = i;
        draw_entities(n, i > 0 ? &t->nodes[n->parent] : NULL, spec, exponent, &rng);
    }
    return 0;
}

void realm_tree_count(struct realm_tree *t)
{
    for (size_t i = 0; i < t->count; i++) {
        struct realm_node *n = &t->nodes[i];

        n->own = 0;
        for (unsigned tier = 0; tier < REALM_TIERS; tier++)
            n->own += n->entities[tier];
        n->by_prefix = n->flat = i > 0 ? 1 : 0;
        n->depth = i > 0 ? t->nodes[n->parent].depth + 1 : 0;
        for (size_t above = i; above > 0;) {
            above = t->nodes[above].parent;
            t->nodes[above].flat += n->own;
        }
        for (unsigned tier = 0; tier < REALM_TIERS && i > 0; tier++)
            t->nodes[n->parent].by_prefix += n->entities[tier] > 0;
    }
}

void realm_tree_deinit(struct realm_tree *t)
{
    free(t->nodes);
    *t = (struct realm_tree){ 0 };
}
