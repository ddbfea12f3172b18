/* dmux/admission.c - see admission.h.
 *
 * Theory of operation. A nonce is a time and a mac over it, the client's address and port, protocol and provider, by a
 * key that this process has made: nothing is kept of who was sent one, and another process's, another address's or an
 * old one is answered by a new one. Behind a nonce that holds stands a Noise IK handshake: message 1 has the client's
 * key and chain, which the provider alone can read, and message 2 the judgement, which the provider alone can have
 * written. That is why it is Noise and not a signature: a signature would show the client's key to every gateway and to
 * whoever demands in the provider's name, and anybody on the way could refuse in its name. It costs as much.
 *
 * Of what a flood of ADMITs costs, the mac comes first, then a bucket of the client's network and one for all; only
 * what they let through costs keys (limits.h). DEMANDs have the buckets of strangers.
 *
 * Admissions stand in a map by client and in a heap by their end. Shares count them by network, of which a full one is
 * refused, and by key, of which the oldest gives way: who has a key and many addresses fills no table. A full table
 * refuses who is new and keeps whom it has.
 *
 * Revocations are not carried: an admission ends with its lifetime or with the chain, whichever comes first.
 *
 * Limits: admission.h. Sources: The Noise Protocol Framework, revision 34, section 7.5 (IK), 7.7 (what message 1
 * proves: a replay is that of the same client, at the same address, within the nonce's life). */
#include "dmux/admission.h"

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "dmux/limits.h"
#include "ident/hash.h"
#include "ident/keys.h"
#include "ident/noise.h"

#include <errno.h>

_Static_assert(WORD_NOISE1_MIN == NOISE_IK_MSG1_OVERHEAD &&
                   WORD_NOISE2_LEN == NOISE_IK_MSG2_OVERHEAD + WORD_JUDGEMENT_LEN,
               "a word has a whole message");

enum share_kind { NETWORK, KEY, SHARE_KIND_COUNT };

/* The admissions of one network or key, the oldest first. */
struct share {
    struct list members;
    unsigned count;
};

struct admitted {
    struct heap_item until;
    uint64_t client;
    uint64_t of[SHARE_KIND_COUNT];
    struct list in[SHARE_KIND_COUNT];
};

struct admission {
    struct admission_options o;
    uint16_t protocol;
    uint32_t provider;
    struct rng rng;
    uint8_t nonce_key[32], seed[16];
    struct trust *trusts[ADMISSION_REALMS_MAX];
    struct limits *limits;
    struct bucket keys; /* of ADMITs that cost some */
    struct map64 clients, shares[SHARE_KIND_COUNT];
    struct heap due;
    struct admission_stats stats;
};

static uint64_t client_key(const struct client_id *c)
{
    return (uint64_t)c->addr << 16 | c->port;
}

static struct trust *trust_make(const struct admission *a, size_t realm)
{
    const struct trust_options o = { .cached_max = TRUST_CACHED_DEFAULT,
                                     .facts_max = TRUST_FACTS_DEFAULT,
                                     .rng = &a->rng };

    return trust_new(a->o.realms[realm].root, &o);
}

struct admission *admission_new(const struct admission_options *o, uint16_t protocol, uint32_t provider,
                                const struct rng *rng)
{
    struct admission *a = o->realms_count <= ADMISSION_REALMS_MAX ? calloc(1, sizeof(*a)) : NULL;
    bool ok;

    if (!a)
        return NULL;
    a->o = *o;
    a->protocol = protocol;
    a->provider = provider;
    a->rng = *rng;
    rng_fill(rng, a->nonce_key, sizeof(a->nonce_key));
    rng_fill(rng, a->seed, sizeof(a->seed));
    map64_init(&a->clients, o->clients_max, get_le64(a->seed));
    for (unsigned k = 0; k < SHARE_KIND_COUNT; k++)
        map64_init(&a->shares[k], o->clients_max, get_le64(a->seed + 8) + k);
    a->limits = limits_new(0, a->seed);
    ok = a->limits && heap_reserve(&a->due, o->clients_max) == 0;
    for (size_t i = 0; ok && i < o->realms_count; i++)
        ok = (a->trusts[i] = trust_make(a, i)) != NULL;
    if (!ok) {
        admission_free(a);
        return NULL;
    }
    return a;
}

/* --- the table --- */

static void share_leave(struct admission *a, struct admitted *x, enum share_kind k)
{
    struct share *s = map64_get(&a->shares[k], x->of[k]);

    list_remove(&x->in[k]);
    if (s && --s->count == 0)
        free(map64_remove(&a->shares[k], x->of[k]));
}

static int share_join(struct admission *a, struct admitted *x, enum share_kind k)
{
    struct share *s = map64_get(&a->shares[k], x->of[k]);

    if (!s) {
        s = calloc(1, sizeof(*s));
        if (!s || map64_put(&a->shares[k], x->of[k], s) < 0) {
            free(s);
            return -ENOMEM;
        }
        list_init(&s->members);
    }
    list_append(&s->members, &x->in[k]);
    s->count++;
    return 0;
}

static void admitted_free(struct admission *a, struct admitted *x)
{
    map64_remove(&a->clients, x->client);
    heap_set(&a->due, &x->until, INSTANT_NEVER);
    for (unsigned k = 0; k < SHARE_KIND_COUNT; k++)
        share_leave(a, x, k);
    free(x);
}

void admission_free(struct admission *a)
{
    if (!a)
        return;
    while (heap_first(&a->due))
        admitted_free(a, CONTAINER_OF(heap_first(&a->due), struct admitted, until));
    for (size_t i = 0; i < ADMISSION_REALMS_MAX; i++)
        trust_free(a->trusts[i]);
    for (unsigned k = 0; k < SHARE_KIND_COUNT; k++)
        map64_deinit(&a->shares[k]);
    map64_deinit(&a->clients);
    heap_deinit(&a->due);
    limits_free(a->limits);
    ident_wipe(a->nonce_key, sizeof(a->nonce_key));
    free(a);
}

bool admission_holds(const struct admission *a, const struct client_id *client, instant now)
{
    const struct admitted *x = map64_get(&a->clients, client_key(client));

    return x && x->until.at > now;
}

static struct share *share_of(const struct admission *a, enum share_kind k, uint64_t which)
{
    return map64_get(&a->shares[k], which);
}

static int insert(struct admission *a, const struct admitted *said, instant until)
{
    struct admitted *x = malloc(sizeof(*x));

    if (!x || map64_put(&a->clients, said->client, x) < 0) {
        free(x);
        return -ENOMEM;
    }
    *x = *said;
    for (unsigned k = 0; k < SHARE_KIND_COUNT; k++)
        list_init(&x->in[k]);
    heap_set(&a->due, &x->until, until);
    for (unsigned k = 0; k < SHARE_KIND_COUNT; k++) {
        if (share_join(a, x, k) < 0) {
            while (k-- > 0)
                share_leave(a, x, k);
            map64_remove(&a->clients, x->client);
            heap_set(&a->due, &x->until, INSTANT_NEVER);
            free(x);
            return -ENOMEM;
        }
    }
    return 0;
}

/* The place of a client with this key until then. */
static enum word_refusal place(struct admission *a, const struct client_id *client, uint64_t key, instant until,
                               instant now)
{
    const struct admitted said = { .client = client_key(client), .of = { [NETWORK] = client->addr >> 8, [KEY] = key } };
    struct admitted *x = map64_get(&a->clients, said.client), *oldest = NULL;
    const struct share *network;
    struct share *own;

    while (heap_first(&a->due) && heap_first(&a->due)->at <= now) {
        struct admitted *over = CONTAINER_OF(heap_first(&a->due), struct admitted, until);

        if (over == x)
            x = NULL;
        admitted_free(a, over);
    }
    own = share_of(a, KEY, key);
    if (x && own && x->of[KEY] == key) { /* and is the newest of its key */
        heap_set(&a->due, &x->until, until);
        list_remove(&x->in[KEY]);
        list_append(&own->members, &x->in[KEY]);
        return WORD_ADMITTED;
    }
    if (x) /* a port of a NAT that was somebody else's */
        admitted_free(a, x);
    if (own && own->count >= ADMISSION_KEY_MAX)
        oldest = LIST_FIRST(&own->members, struct admitted, in[KEY]);
    network = share_of(a, NETWORK, said.of[NETWORK]);
    if (network && network->count >= ADMISSION_NETWORK_MAX && !(oldest && oldest->of[NETWORK] == said.of[NETWORK]))
        return WORD_REFUSED_NETWORK;
    if (a->due.count >= a->o.clients_max && !oldest)
        return WORD_REFUSED_FULL;
    if (oldest)
        admitted_free(a, oldest);
    return insert(a, &said, until) == 0 ? WORD_ADMITTED : WORD_REFUSED_FULL;
}

/* --- nonces --- */

static void put_claim(const struct client_id *client, uint16_t protocol, uint32_t provider, uint8_t out[12])
{
    put_be32(out, client->addr);
    put_be16(out + 4, client->port);
    put_be16(out + 6, protocol);
    put_be32(out + 8, provider);
}

void admission_prologue(const struct client_id *client, uint16_t protocol, uint32_t provider,
                        const uint8_t nonce[WORD_NONCE_LEN], uint8_t out[ADMISSION_PROLOGUE_LEN])
{
    static const char label[24] = "hawser dmux admission 1";

    memcpy(out, label, sizeof(label));
    memcpy(out + sizeof(label), nonce, WORD_NONCE_LEN);
    put_claim(client, protocol, provider, out + sizeof(label) + WORD_NONCE_LEN);
}

static void nonce_mint(const struct admission *a, const struct client_id *client, uint32_t time_s,
                       uint8_t out[WORD_NONCE_LEN])
{
    uint8_t text[16];

    put_be32(text, time_s);
    put_claim(client, a->protocol, a->provider, text + 4);
    put_be32(out, time_s);
    blake2s_mac16(out + 4, a->nonce_key, text, sizeof(text));
}

static bool nonce_holds(const struct admission *a, const struct client_id *client, const uint8_t nonce[WORD_NONCE_LEN],
                        instant now)
{
    uint32_t time_s = get_be32(nonce);
    uint8_t right[WORD_NONCE_LEN];

    if ((uint32_t)(now / SEC) - time_s > (uint32_t)(ADMISSION_NONCE_LIFE / SEC))
        return false;
    nonce_mint(a, client, time_s, right);
    return ident_equal(right, nonce, WORD_NONCE_LEN);
}

size_t admission_demand(struct admission *a, const struct client_id *client, size_t len, instant now, uint8_t *out)
{
    struct word w = { .type = WORD_DEMAND };

    if (len < WORD_DEMAND_LEN)
        return 0;
    if (!limits_unverified(a->limits, client->addr, 0, now)) {
        a->stats.rate++;
        return 0;
    }
    nonce_mint(a, client, (uint32_t)(now / SEC), w.nonce);
    a->stats.demands++;
    return word_write(&w, out, WORD_DEMAND_LEN);
}

/* --- credentials --- */

/* Has the realm itself enrolled whoever is at the end of this chain, with this key? */
static bool is_member(const struct chain_end *end, const struct admission_realm *realm,
                      const uint8_t x25519[IDENT_KEY_LEN])
{
    struct name_error e;
    struct name n;

    return !end->is_realm && memcmp(end->x25519, x25519, IDENT_KEY_LEN) == 0 &&
           name_parse(end->name, strlen(end->name), &n, &e) == 0 && strcmp(n.text + n.realm_at, realm->realm) == 0;
}

/* Whoever shows somebody else's chain is seen through before it is verified. */
static bool is_of_key(const struct slice *link, const uint8_t x25519[IDENT_KEY_LEN])
{
    struct record_bytes b;
    struct record_error e;
    struct record r;

    return record_decode(link->data, link->len, &r, &b, &e) == 0 && r.type == RECORD_REGISTRATION &&
           memcmp(r.x25519, x25519, IDENT_KEY_LEN) == 0;
}

/* When there is no more room for what was learned of those who have come and gone, it is forgotten, as when the router
 * starts anew: with it, that somebody's older certificate has been followed by a newer one. */
static int verify(struct admission *a, size_t realm, const struct slice *links, size_t count, uint64_t wall_s,
                  struct chain_end *ret, struct record_error *ret_error)
{
    int r = trust_verify(a->trusts[realm], links, count, wall_s, ret, ret_error);
    struct trust *fresh = r == -ENOSPC ? trust_make(a, realm) : NULL;

    if (!fresh)
        return r;
    trust_free(a->trusts[realm]);
    a->trusts[realm] = fresh;
    return trust_verify(fresh, links, count, wall_s, ret, ret_error);
}

/* *ret_until_s: when the credentials end; 0: never. */
static enum word_refusal judge(struct admission *a, const uint8_t x25519[IDENT_KEY_LEN], struct slice chain,
                               uint64_t wall_s, uint64_t *ret_until_s)
{
    struct slice links[CHAIN_LINKS_MAX];
    size_t count = CHAIN_LINKS_MAX;
    bool held = false;
    struct record_error e;
    struct chain_end end;

    *ret_until_s = 0;
    for (size_t i = 0; i < a->o.members_count; i++) {
        if (memcmp(a->o.members[i].x25519, x25519, IDENT_KEY_LEN) == 0)
            return WORD_ADMITTED;
    }
    if (chain.len == 0)
        return WORD_REFUSED_UNKNOWN;
    if (record_split(chain.data, chain.len, links, &count, &e) < 0 || count == 0 ||
        !is_of_key(&links[count - 1], x25519))
        return WORD_REFUSED_CERTIFICATE;
    for (size_t i = 0; i < a->o.realms_count; i++) {
        int r = verify(a, i, links, count, wall_s, &end, &e);

        if (r == -ENOMEM || r == -ENOSPC)
            return WORD_REFUSED_FULL;
        if (r == 0 && is_member(&end, &a->o.realms[i], x25519) &&
            (wall_s == 0 || end.not_after_s == 0 || end.not_after_s > wall_s)) {
            *ret_until_s = end.not_after_s;
            return WORD_ADMITTED;
        }
        held |= r == 0 && memcmp(end.x25519, x25519, IDENT_KEY_LEN) == 0;
    }
    return held ? WORD_REFUSED_UNKNOWN : WORD_REFUSED_CERTIFICATE;
}

/* How long who shows this may stay; a refusal has 0. */
static struct judgement decide(struct admission *a, const struct client_id *client, const uint8_t x25519[IDENT_KEY_LEN],
                               struct slice chain, uint64_t wall_s, instant now)
{
    struct judgement j = { .lifetime_s = a->o.lifetime_s };
    uint64_t until_s;

    j.refusal = (uint8_t)judge(a, x25519, chain, wall_s, &until_s);
    if (until_s != 0 && wall_s != 0)
        j.lifetime_s = (uint32_t)MIN((uint64_t)j.lifetime_s, until_s - wall_s);
    if (j.refusal == WORD_ADMITTED)
        j.refusal =
            (uint8_t)place(a, client, siphash13(a->seed, x25519, IDENT_KEY_LEN), now + (span)j.lifetime_s * SEC, now);
    if (j.refusal != WORD_ADMITTED)
        j.lifetime_s = 0;
    a->stats.verdicts[j.refusal]++;
    return j;
}

static size_t on_admit(struct admission *a, const struct client_id *client, const struct word *w, size_t len,
                       uint64_t wall_s, instant now, uint8_t *out)
{
    uint8_t prologue[ADMISSION_PROLOGUE_LEN], chain[WORD_CHAIN_MAX], text[WORD_JUDGEMENT_LEN], message[WORD_NOISE2_LEN];
    struct word verdict = { .type = WORD_VERDICT, .noise = { message, sizeof(message) } };
    struct judgement j;
    struct noise n;
    int r;

    if (!nonce_holds(a, client, w->nonce, now)) {
        a->stats.stale++;
        return admission_demand(a, client, len, now, out);
    }
    if (!limits_shown(a->limits, client->addr, now) || !bucket_take(&a->keys, ADMISSION_KEYS_PPS, now)) {
        a->stats.rate++;
        return 0;
    }
    admission_prologue(client, a->protocol, a->provider, w->nonce, prologue);
    r = noise_init(&n, NOISE_IK, SUITE_CHACHA20_POLY1305, false, prologue, sizeof(prologue), a->o.identity->x25519_priv,
                   a->o.identity->x25519, NULL, NULL);
    if (r == 0)
        r = noise_read(&n, w->noise.data, w->noise.len, chain, sizeof(chain));
    if (r < 0) {
        noise_wipe(&n);
        a->stats.unreadable++;
        return admission_demand(a, client, len, now, out);
    }
    j = decide(a, client, noise_remote_static(&n), (struct slice){ chain, (size_t)r }, wall_s, now);
    judgement_write(&j, text);
    r = noise_write(&n, &a->rng, text, sizeof(text), message, sizeof(message));
    noise_wipe(&n);
    return r == WORD_NOISE2_LEN ? word_write(&verdict, out, WORD_VERDICT_LEN) : 0;
}

size_t admission_on_word(struct admission *a, const struct client_id *client, const uint8_t *data, size_t len,
                         uint64_t wall_s, instant now, uint8_t *out)
{
    struct word w;

    if (word_read(data, len, &w) == 0) {
        if (w.type == WORD_ASK)
            return admission_demand(a, client, len, now, out);
        if (w.type == WORD_ADMIT)
            return on_admit(a, client, &w, len, wall_s, now, out);
    }
    a->stats.malformed++;
    return 0;
}

void admission_stats_get(const struct admission *a, struct admission_stats *ret)
{
    *ret = a->stats;
    ret->clients = (uint32_t)a->due.count;
}
