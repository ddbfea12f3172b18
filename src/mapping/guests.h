/* mapping/guests.h - whom keys of other realms belong to, as they showed by their chains.
 *
 * A table of bounded size, in which those that were heard of longest ago give way: who was forgotten shows its chain
 * again. */
#pragma once

#include "base/rng.h"
#include "ident/keys.h"
#include "ident/tag.h"

struct guests;

struct guest {
    struct tag tag;
    uint64_t not_after_s; /* of the chain; 0: none */
};

/* max at least 1. NULL when out of memory. */
struct guests *guests_new(uint32_t max, const struct rng *rng);
/* Accepts NULL. */
void guests_free(struct guests *g);
/* Takes the place of what was known of the key. 0 or -ENOMEM. */
MUST_CHECK int guests_put(struct guests *g, const uint8_t ed25519[IDENT_KEY_LEN], const struct guest *guest);
/* 0 or -ENOENT. */
MUST_CHECK int guests_find(const struct guests *g, const uint8_t ed25519[IDENT_KEY_LEN], struct guest *ret);
/* Those whose realm numbers are in the range of a realm of this deployment are forgotten: what their chains go through
 * is not what it was. */
void guests_forget_below(struct guests *g, const struct tag *realm, const struct realm_range *range);
void guests_forget_all(struct guests *g);
/* It was heard of. */
void guests_heard(struct guests *g, const uint8_t ed25519[IDENT_KEY_LEN]);
uint32_t guests_count(const struct guests *g);
