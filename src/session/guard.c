/* session/guard.c - see guard.h.
 *
 * Theory of operation. The budget is 10 % of a core, unless its owner says otherwise: a credit of microseconds that
 * grows by 100,000 a second up to half a second's worth, of which one INIT takes 300. Once it is below half and until
 * it is full again, an INIT must bring a cookie, and then each source network (/24, /64) gets 20 a second. Above 1,000
 * cookies a second only who asks again within two seconds gets one: a flood from made-up sources costs a MAC and a bit
 * each. Answers to HELLO cost no public-key work, and have a limit of the same kind. All of this is for each share of
 * a divided end. */
#include "session/guard.h"

#include <errno.h>

#include "base/hash.h"
#include "ident/hash.h"

int guard_init(struct guard *g, const uint8_t jar_secret[32], const uint8_t hash_key[16], instant now)
{
    memset(g, 0, sizeof(*g));
    memcpy(g->jar_secret, jar_secret, sizeof(g->jar_secret));
    memcpy(g->hash_key, hash_key, sizeof(g->hash_key));
    g->jar_period = -1;
    g->budget_per_sec = GUARD_BUDGET_PER_SEC;
    g->budget_us = GUARD_BUDGET_MAX; /* all come back at once after a restart: none should need a cookie for that */
    g->budget_at = g->second_at = now;
    g->seen[0] = calloc(GUARD_SEEN_BITS / 64, sizeof(uint64_t));
    g->seen[1] = calloc(GUARD_SEEN_BITS / 64, sizeof(uint64_t));
    return g->seen[0] && g->seen[1] ? 0 : -ENOMEM;
}

void guard_deinit(struct guard *g)
{
    free(g->seen[0]);
    free(g->seen[1]);
    ident_wipe(g, sizeof(*g));
}

/* The secret of this span of time: the same in all shares. */
static void renew_jar(struct guard *g, instant now)
{
    int64_t period = now / GUARD_JAR_LIFE;
    uint8_t number[8];

    if (period == g->jar_period)
        return;
    put_be64(number, (uint64_t)period);
    blake2s_keyed(g->jar.secret, g->jar_secret, HASH_PARTS({ number, sizeof(number) }));
    g->jar_period = period;
}

void guard_turn(struct guard *g, instant now)
{
    renew_jar(g, now);
    g->budget_us += (now - g->budget_at) * g->budget_per_sec / SEC;
    g->budget_us = MIN(g->budget_us, GUARD_BUDGET_MAX);
    g->budget_at = now;
    g->wary = g->budget_us < (g->wary ? GUARD_BUDGET_MAX : GUARD_BUDGET_MAX / 2);
    if (now - g->second_at >= 1 * SEC) {
        memset(g->source_used, 0, sizeof(g->source_used));
        g->cookies = g->hellos = g->resets = 0;
        g->second_at = now;
    }
}

/* Marks the source; true when it was marked in this span or the one before. */
static bool seen_before(struct guard *g, const struct endpoint *from, instant now)
{
    uint8_t in[17 + 2];
    uint64_t bit, mask, *old, *word;
    bool seen;

    memcpy(in, &from->addr, 17);
    put_be16(in + 17, from->port);
    bit = siphash13(g->hash_key, in, sizeof(in)) % GUARD_SEEN_BITS;
    mask = UINT64_C(1) << bit % 64;

    if (now - g->seen_at >= GUARD_SEEN_SPAN) {
        old = g->seen[1];
        g->seen[1] = g->seen[0];
        g->seen[0] = old;
        memset(old, 0, GUARD_SEEN_BITS / 8);
        g->seen_at = now;
    }
    word = &g->seen[0][bit / 64];
    seen = ((*word | g->seen[1][bit / 64]) & mask) != 0;
    *word |= mask;
    return seen;
}

static bool source_allows(struct guard *g, const struct addr *a)
{
    uint32_t *used = &g->source_used[siphash13(g->hash_key, a->bytes, a->family == ADDR_V4 ? 3 : 8) % GUARD_SOURCES];

    return (*used)++ < GUARD_SOURCE_PER_SEC;
}

enum guard_verdict guard_charge(struct guard *g, const struct endpoint *from, bool has_cookie)
{
    if (!has_cookie && g->wary)
        return GUARD_COOKIE_DUE;
    if (g->budget_us < GUARD_INIT_COST || (g->wary && !source_allows(g, &from->addr)))
        return GUARD_REFUSED;
    g->budget_us -= GUARD_INIT_COST;
    return GUARD_ADMITTED;
}

/* A flood of made-up sources is not worth an answer each: nobody is there to take it. Who is there asks again. */
static bool may_send(struct guard *g, uint32_t *sent, uint32_t free_of_doubt, const struct endpoint *to, instant now)
{
    if (*sent >= free_of_doubt && !seen_before(g, to, now))
        return false;
    (*sent)++;
    return true;
}

bool guard_may_send_cookie(struct guard *g, const struct endpoint *to, instant now)
{
    return may_send(g, &g->cookies, GUARD_COOKIES_FREE, to, now);
}

bool guard_may_answer_hello(struct guard *g, const struct endpoint *to, instant now)
{
    return may_send(g, &g->hellos, GUARD_HELLOS_FREE, to, now);
}

bool guard_may_reset(struct guard *g)
{
    if (g->resets >= GUARD_RESETS_PER_SEC)
        return false;
    g->resets++;
    return true;
}
