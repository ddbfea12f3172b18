/* dmux/credentials.c - see credentials.h.
 *
 * Theory of operation. Certificates are found by a hash of their key, rates by the provider's number, since the number
 * is what a packet has. A chain costs up to four signatures when it is new and none when it is known; who sends one has
 * shown its address before. Certificates that have ended make room when it is needed.
 *
 * Revocations are not carried here: a certificate ends when its time does, so an authority gives short ones.
 *
 * Limits: CREDENTIALS_MAX certificates of CREDENTIAL_CHAIN_MAX bytes. */
#include "dmux/credentials.h"

#include "base/hash.h"
#include "base/list.h"
#include "dmux/limits.h"
#include "ident/hash.h"

#include <errno.h>

#define NUMBERS_MAX (1 + PROVIDER_PROTOCOLS_MAX)

struct certificate {
    struct list all;
    uint8_t key[IDENT_KEY_LEN];
    uint32_t provider;
    uint16_t protocols[PROVIDER_PROTOCOLS_MAX];
    uint8_t protocols_count;
    uint64_t not_after_s; /* 0: none */
    size_t chain_len;
    uint8_t chain[];
};

/* What is kept of a provider's number. */
struct meter {
    uint32_t rate_pps;
    unsigned certificates; /* 0: of the configuration */
    struct bucket bucket;
};

struct credentials {
    const struct provider *providers;
    const struct authority *authorities;
    size_t providers_count, authorities_count;
    struct trust **trusts; /* one for each authority */
    struct map64 by_key, meters;
    struct list all;
    uint8_t seed[16];
};

static uint64_t key_hash(const struct credentials *c, const uint8_t key[IDENT_KEY_LEN])
{
    return siphash13(c->seed, key, IDENT_KEY_LEN);
}

static struct meter *meter_get(struct credentials *c, uint32_t provider, uint32_t rate_pps)
{
    struct meter *m = map64_get(&c->meters, provider);

    if (m)
        return m;
    m = calloc(1, sizeof(*m));
    if (m && map64_put(&c->meters, provider, m) < 0) {
        free(m);
        return NULL;
    }
    if (m)
        m->rate_pps = rate_pps;
    return m;
}

static const struct provider *listed(const struct credentials *c, uint32_t provider)
{
    for (size_t i = 0; i < c->providers_count; i++) {
        if (c->providers[i].id == provider)
            return &c->providers[i];
    }
    return NULL;
}

struct credentials *credentials_new(const struct provider *providers, size_t providers_count,
                                    const struct authority *authorities, size_t authorities_count,
                                    const struct rng *rng)
{
    const struct trust_options o = { .cached_max = TRUST_CACHED_DEFAULT, .facts_max = TRUST_FACTS_DEFAULT, .rng = rng };
    struct credentials *c = calloc(1, sizeof(*c));
    bool ok;

    if (!c)
        return NULL;
    *c = (struct credentials){ .providers = providers, .providers_count = providers_count, .authorities = authorities };
    list_init(&c->all);
    rng_fill(rng, c->seed, sizeof(c->seed));
    map64_init(&c->by_key, CREDENTIALS_MAX, get_le64(c->seed));
    map64_init(&c->meters, CREDENTIALS_MAX + providers_count, get_le64(c->seed + 8));
    c->trusts = calloc(authorities_count + 1, sizeof(struct trust *));
    ok = c->trusts != NULL;
    for (; ok && c->authorities_count < authorities_count; c->authorities_count++) {
        c->trusts[c->authorities_count] = trust_new(authorities[c->authorities_count].root, &o);
        ok = c->trusts[c->authorities_count] != NULL;
    }
    for (size_t i = 0; i < providers_count; i++)
        ok = ok && meter_get(c, providers[i].id, providers[i].rate_pps);
    if (!ok) {
        credentials_free(c);
        return NULL;
    }
    return c;
}

static void certificate_free(struct credentials *c, struct certificate *x)
{
    struct meter *m = map64_get(&c->meters, x->provider);

    map64_remove(&c->by_key, key_hash(c, x->key));
    list_remove(&x->all);
    if (m && m->certificates > 0 && --m->certificates == 0)
        free(map64_remove(&c->meters, x->provider));
    free(x);
}

void credentials_free(struct credentials *c)
{
    if (!c)
        return;
    LIST_FOREACH_SAFE (x, &c->all, struct certificate, all)
        certificate_free(c, x);
    for (size_t i = 0; i < c->providers_count; i++)
        free(map64_remove(&c->meters, c->providers[i].id));
    for (size_t i = 0; c->trusts && i < c->authorities_count; i++)
        trust_free(c->trusts[i]);
    free(c->trusts);
    map64_deinit(&c->by_key);
    map64_deinit(&c->meters);
    free(c);
}

size_t credentials_numbers(const struct name *n, const char *prefix, uint32_t *ret, size_t max)
{
    const char *at = n->text + n->leaf_at, *end = at + n->leaf_len;
    size_t count = 0, skip = strlen(prefix);

    if (n->tier != TAG_TIER_SERVICE || n->leaf_len <= skip || memcmp(at, prefix, skip) != 0)
        return 0;
    for (at += skip; at < end; at++) {
        uint64_t v = 0;
        const char *digits = ++at;

        if (at[-1] != '-' || count == max)
            return 0;
        for (; at < end && *at >= '0' && *at <= '9' && v <= UINT32_MAX; at++)
            v = v * 10 + (uint64_t)(*at - '0');
        /* one way to write a number */
        if (at == digits || v > UINT32_MAX || (*digits == '0' && at - digits > 1))
            return 0;
        ret[count++] = (uint32_t)v;
        at--;
    }
    return count;
}

static bool has_protocol(const uint16_t *protocols, size_t count, uint32_t protocol)
{
    for (size_t i = 0; i < count; i++) {
        if (protocols[i] == protocol)
            return true;
    }
    return false;
}

/* What a chain that an authority stands for allows; false: nothing. */
static bool read_end(const struct authority *a, const struct chain_end *end, struct certificate *ret)
{
    uint32_t numbers[NUMBERS_MAX];
    struct name_error e;
    struct name n;
    size_t count;

    if (end->is_realm || name_parse(end->name, strlen(end->name), &n, &e) < 0 ||
        strcmp(n.text + n.realm_at, a->realm) != 0)
        return false;
    count = credentials_numbers(&n, "dmux-provider", numbers, ARRAY_LEN(numbers));
    if (count == 0 || numbers[0] < a->provider_first || numbers[0] > a->provider_last)
        return false;
    ret->provider = numbers[0];
    ret->protocols_count = 0;
    for (size_t i = 0; i < a->protocols_count; i++) {
        bool named = count == 1;

        for (size_t j = 1; j < count; j++)
            named |= numbers[j] == a->protocols[i];
        if (named)
            ret->protocols[ret->protocols_count++] = a->protocols[i];
    }
    ret->not_after_s = end->not_after_s;
    return ret->protocols_count > 0;
}

static void drop_ended(struct credentials *c, uint64_t wall_s)
{
    LIST_FOREACH_SAFE (x, &c->all, struct certificate, all) {
        if (x->not_after_s != 0 && x->not_after_s < wall_s)
            certificate_free(c, x);
    }
}

/* Which authority stands for this chain; -EBADMSG: none. */
static int judge(struct credentials *c, const uint8_t key[IDENT_KEY_LEN], const uint8_t *chain, size_t len,
                 uint64_t wall_s, struct certificate *ret)
{
    struct slice links[CHAIN_LINKS_MAX];
    struct record_error e;
    struct chain_end end;
    size_t count = CHAIN_LINKS_MAX;

    if (record_split(chain, len, links, &count, &e) < 0)
        return -EBADMSG;
    for (size_t i = 0; count > 0 && i < c->authorities_count; i++) {
        int r = trust_verify(c->trusts[i], links, count, wall_s, &end, &e);

        if (r == -ENOMEM || r == -ENOSPC)
            return r;
        if (r == 0 && memcmp(end.key, key, IDENT_KEY_LEN) == 0 && read_end(&c->authorities[i], &end, ret))
            return (int)i;
    }
    return -EBADMSG;
}

int credentials_learn(struct credentials *c, const uint8_t key[IDENT_KEY_LEN], const uint8_t *chain, size_t len,
                      uint64_t wall_s)
{
    struct certificate *old = map64_get(&c->by_key, key_hash(c, key)), *x, said = { 0 };
    struct meter *m;
    int which;

    if (old && old->chain_len == len && memcmp(old->chain, chain, len) == 0)
        return 0;
    if (len > CREDENTIAL_CHAIN_MAX)
        return -EBADMSG;
    which = judge(c, key, chain, len, wall_s, &said);
    if (which < 0)
        return which;
    if (listed(c, said.provider))
        return -EBADMSG;
    if (old)
        certificate_free(c, old);
    if (c->by_key.count >= CREDENTIALS_MAX)
        drop_ended(c, wall_s);
    if (c->by_key.count >= CREDENTIALS_MAX)
        return -ENOSPC;
    x = malloc(sizeof(*x) + len);
    m = x ? meter_get(c, said.provider, c->authorities[which].rate_pps) : NULL;
    if (!m) {
        free(x);
        return -ENOMEM;
    }
    m->certificates++;
    *x = said;
    memcpy(x->key, key, IDENT_KEY_LEN);
    x->chain_len = len;
    memcpy(x->chain, chain, len);
    list_init(&x->all);
    list_append(&c->all, &x->all);
    if (map64_put(&c->by_key, key_hash(c, key), x) < 0) {
        certificate_free(c, x);
        return -ENOMEM;
    }
    return 0;
}

void credentials_forget(struct credentials *c, bool (*used)(const void *ctx, uint32_t provider), const void *ctx)
{
    LIST_FOREACH_SAFE (x, &c->all, struct certificate, all) {
        if (!used(ctx, x->provider))
            certificate_free(c, x);
    }
}

static const struct certificate *certificate_of(const struct credentials *c, const uint8_t key[IDENT_KEY_LEN])
{
    const struct certificate *x = map64_get(&c->by_key, key_hash(c, key));

    return x && memcmp(x->key, key, IDENT_KEY_LEN) == 0 ? x : NULL;
}

int credentials_check(const struct credentials *c, uint32_t provider, uint16_t protocol,
                      const uint8_t key[IDENT_KEY_LEN], uint64_t wall_s, uint64_t *ret_until_s)
{
    const struct provider *p = listed(c, provider);
    const struct certificate *x = certificate_of(c, key);

    *ret_until_s = 0;
    if (p)
        return provider_allows(p, protocol, key) ? 0 : -EACCES;
    if (!x || x->provider != provider || !has_protocol(x->protocols, x->protocols_count, protocol) ||
        (x->not_after_s != 0 && x->not_after_s < wall_s))
        return -EACCES;
    *ret_until_s = x->not_after_s;
    return 0;
}

struct trust *credentials_trust(struct credentials *c, size_t authority)
{
    return c->trusts[authority];
}

const uint8_t *credentials_key(const struct credentials *c, uint32_t provider, uint64_t wall_s)
{
    const struct provider *p = listed(c, provider);
    const struct certificate *best = NULL;

    if (p)
        return p->key;
    LIST_FOREACH (x, &c->all, struct certificate, all) {
        bool ends = x->not_after_s != 0;

        if (x->provider != provider || (ends && x->not_after_s < wall_s))
            continue;
        if (!best || (best->not_after_s != 0 && (!ends || x->not_after_s > best->not_after_s)))
            best = x;
    }
    return best ? best->key : NULL;
}

struct slice credentials_chain(const struct credentials *c, const uint8_t key[IDENT_KEY_LEN])
{
    const struct certificate *x = certificate_of(c, key);

    return x ? (struct slice){ x->chain, x->chain_len } : (struct slice){ 0 };
}

bool credentials_may(struct credentials *c, uint32_t provider, instant now)
{
    struct meter *m = map64_get(&c->meters, provider);

    return m && (m->rate_pps == 0 || bucket_take(&m->bucket, m->rate_pps, now));
}

uint32_t credentials_rate(const struct credentials *c, uint32_t provider)
{
    const struct meter *m = map64_get(&c->meters, provider);

    return m ? m->rate_pps : 0;
}
