/* base/rng.h - randomness as an argument.
 *
 * `struct rng` is an injected source: programs give one backed by the kernel, simulations a seeded one, so that the
 * same seed gives the same trace. `struct prng` (xoshiro256**, Blackman and Vigna 2018) is that seeded source; it is
 * not cryptographic and must never make keys outside sim/ and tests/. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct rng {
    void (*fill)(void *ctx, void *buf, size_t len);
    void *ctx;
};

static inline void rng_fill(const struct rng *r, void *buf, size_t len)
{
    r->fill(r->ctx, buf, len);
}

uint64_t rng_u64(const struct rng *r);
uint64_t rng_nonzero(const struct rng *r); /* as rng_u64, and never 0: for numbers of which 0 is none */

struct prng {
    uint64_t s[4];
};

/* Equal seeds give equal streams; seed 0 is as good as any. */
void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_u64(struct prng *p);
/* Uniform in [0, 1). */
double prng_unit(struct prng *p);
/* Uniform in [0, n), n > 0. */
uint64_t prng_below(struct prng *p, uint64_t n);
/* Standard normal deviate (polar method). */
double prng_normal(struct prng *p);
/* A `struct rng` drawing from p, which must outlive it. */
struct rng prng_rng(struct prng *p);
