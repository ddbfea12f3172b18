/* mapping/policy.h - who may learn what of whom: answer classes by rules that the subject's owner signed.
 *
 * A policy is of an entity, or of a realm for all that it has enrolled. An entity's own comes first, and is then the
 * only one that counts; else that of its realm does; else the answer is class 0. In a policy the first rule that
 * matches the correspondent's tag decides; when none does, class 0. */
#pragma once

#include "base/rng.h"
#include "ident/record.h"

struct policies;

enum policy_outcome {
    POLICY_STORED = 0,
    POLICY_SAME,  /* that sequence is there already */
    POLICY_OLDER, /* a newer one is there: not taken */
};

/* NULL when out of memory. max subjects. */
struct policies *policies_new(uint32_t max, const struct rng *rng);
/* Accepts NULL. */
void policies_free(struct policies *p);
/* r is a policy that was verified (trust_accept). enum policy_outcome; -ENOSPC: full, try later; -ENOMEM. */
MUST_CHECK int policies_put(struct policies *p, const struct record *r);
/* The sequence of the subject's own policy; 0: it has none. */
uint64_t policies_seq(const struct policies *p, const struct tag *subject);
/* Whether what r says is in force, under its sequence. */
bool policies_has(const struct policies *p, const struct record *r);
/* The subject is no longer registered. Its policy goes on deciding who is told of that, until policies_drop_ended with
 * a number that is not below `number`, or policies_begin; it takes nobody's place. */
void policies_end(struct policies *p, const struct tag *subject, uint64_t number);
/* `number` does not fall from call to call of these two. */
void policies_drop_ended(struct policies *p, uint64_t number);
/* The subject is registered, perhaps again: what it said before it ended does not count. */
void policies_begin(struct policies *p, const struct tag *subject);
/* What who asks may learn of subject, which is enrolled by the realm of that tag. wall_s, as far as it is known: a
 * policy whose not-after is over denies everything, so that it cannot be undone by being left to expire. */
enum record_class policies_class(const struct policies *p, const struct tag *subject, const struct tag *realm,
                                 const struct tag *who, uint64_t wall_s);
/* The same of one policy record. */
enum record_class policy_class(const struct record_rule *rules, size_t count, const struct tag *who);
