/* bench/population.h - a realm with so many hosts, each bound in all three classes, in a manager (mapping/manager.h).
 *
 * Hosts are known by number. The first so many have keys of whose seeds population_seed knows; the keys of all others
 * are numbers, which a table does not mind, and the bindings are bytes of the length of real ones: a manager verifies
 * neither its own log nor what a store gives it. Everybody of the deployment may learn everything, but for host 1, who
 * may learn nothing. */
#pragma once

#include "mapping/manager.h"

#define POPULATION_WALL_S 1750000000u /* seconds since 1970: when it is, for those who ask the manager */
#define POPULATION_NAME_SIZE 64

struct population {
    struct manager *manager;
    struct tag *tags;
    uint8_t (*keys)[32]; /* Ed25519 */
    uint32_t names, signers;
};

/* first_key: the Ed25519 key of host 0, or NULL: it is as those of the others. stores: what the manager has a store
 * behind it. False when out of memory. */
bool population_make(struct population *p, uint32_t names, uint32_t signers, const uint8_t *first_key, bool stores,
                     const struct rng *rng, instant now);
void population_free(struct population *p);
/* Makes another manager that knows the same realm and its names, but no bindings, and follows: NULL when out of memory.
 */
struct manager *population_follower(const struct population *p, const struct rng *rng, instant now);
/* Where host i (with a key) is, under that sequence: signed, into out. Its length, or 0. */
size_t population_bind(const struct population *p, uint32_t i, uint64_t seq, uint8_t *out, size_t size);
/* The name of host i; all have one length. */
void population_name(uint32_t i, char name[POPULATION_NAME_SIZE]);
/* The seed of host i, if it is one of those with a key. */
void population_seed(uint32_t i, uint8_t seed[32]);
