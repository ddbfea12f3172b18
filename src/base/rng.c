/* base/rng.c - see rng.h. Seeding is splitmix64, as the authors of xoshiro recommend. */
#include "base/rng.h"

#include <math.h>
#include <string.h>

uint64_t rng_u64(const struct rng *r)
{
    uint64_t v;
    rng_fill(r, &v, sizeof(v));
    return v;
}

uint64_t rng_nonzero(const struct rng *r)
{
    uint64_t n;

    do
        n = rng_u64(r);
    while (n == 0);
    return n;
}

static uint64_t splitmix64(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void prng_init(struct prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        p->s[i] = splitmix64(&seed);
}

uint64_t prng_u64(struct prng *p)
{
    uint64_t *s = p->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

double prng_unit(struct prng *p)
{
    return (double)(prng_u64(p) >> 11) * 0x1p-53;
}

uint64_t prng_below(struct prng *p, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)prng_u64(p) * n) >> 64);
}

double prng_normal(struct prng *p)
{
    double u, v, s;

    do {
        u = 2 * prng_unit(p) - 1;
        v = 2 * prng_unit(p) - 1;
        s = u * u + v * v;
    } while (s >= 1 || s == 0);
    return u * sqrt(-2 * log(s) / s);
}

static void prng_fill(void *ctx, void *buf, size_t len)
{
    uint8_t *out = buf;

    for (; len >= 8; out += 8, len -= 8) {
        uint64_t v = prng_u64(ctx);
        memcpy(out, &v, 8);
    }
    if (len > 0) {
        uint64_t v = prng_u64(ctx);
        memcpy(out, &v, len);
    }
}

struct rng prng_rng(struct prng *p)
{
    return (struct rng){ .fill = prng_fill, .ctx = p };
}
