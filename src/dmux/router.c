/* dmux/router.c - see router.h.
 *
 * Theory of operation. A tie is what binds the router to one gateway: HELLO, CHALLENGE, REGISTER, ACK, then a KEEPALIVE
 * a second, each of which brings a CHECK whose nonce goes back at once. A registrar has a tie that serves and, after
 * anycast has brought an answer from another gateway, one that is to follow it: when that is registered, the old is
 * withdrawn.
 *
 * A client's packet leaves its ticket and the gateway that it came through in a table, by the client's address and
 * port; what goes back takes both from there. Of a client that is not let in nothing is kept, so that it takes nobody's
 * place; it is answered by what its own datagram says.
 *
 * Limits: ROUTER_REGISTRARS_MAX registrars, ROUTER_CLIENTS clients. */
#include "dmux/router.h"

#include "base/hash.h"
#include "dmux/mac.h"
#include "ident/hash.h"
#include "ident/keys.h"

#define WAYS 8
#define DIRECT_FOR (10 * SEC) /* chosen: a client that moves to another operator waits so long */
#define VOUCHED_WAYS 4
#define LEAVE_TRIES 3
#define LEAVE_RETRY (100 * MSEC) /* chosen: a few round trips; whoever hears none of them learns it by silence */

struct tie {
    enum router_registrar_state state;
    uint32_t gateway; /* 0: not known */
    struct endpoint unicast, you;
    uint64_t nonce; /* of the last HELLO, REGISTER or KEEPALIVE; 0: no answer is waited for */
    uint8_t cookie[SHIM_COOKIE_LEN];
    uint8_t dh_priv[DMUX_KEY_LEN], dh[DMUX_KEY_LEN], key[DMUX_KEY_LEN];
    uint32_t seq;
    instant next, heard;
    span retry;
    bool leaving;
    uint8_t tries;
};

struct registrar {
    struct endpoint at;
    struct tie serving, following;
    uint64_t look_nonce; /* of a HELLO that looks who is there; 0: none */
    instant look_next;
    instant asked;   /* the first HELLO that brought neither a registration nor a refusal yet; 0: none */
    uint8_t refusal; /* the last; NONE: it has been registered since */
    struct {
        bool due, silent;
        uint32_t gateway; /* 0: there is none yet */
        uint8_t refusal;
        uint16_t wait_s;
    } verdict; /* the last, and whether it is to be told */
};

/* A gateway that another one vouches for. */
struct vouched {
    struct endpoint at;
    instant heard; /* 0: none */
};

struct client_entry {
    struct client_id id;
    uint32_t used;     /* 0: free; else a clock of packets */
    uint32_t provider; /* as the shim had it */
    struct endpoint via;
    uint8_t flags;
    instant direct; /* when it came last through a gateway of this provider's, without a home; 0: never */
    uint8_t fields[SHIM_COOKIE_LEN + SHIM_CLIENT_LEN + SHIM_HOME_LEN]; /* K, A and H as they came */
};

struct router {
    struct router_options o;
    void *state;
    struct admission *admission; /* NULL: all are let in */
    uint64_t wall_s;
    uint16_t load;
    struct registrar registrars[ROUTER_REGISTRARS_MAX];
    struct router_stats stats;
    struct protocol_reply reply;
    struct client_entry *clients;
    struct vouched vouched[ROUTER_VOUCHED];
    uint32_t clock;
    uint8_t seed[16];
    bool leaving;
};

static void tie_begin(struct tie *t, instant now)
{
    ident_wipe(t, sizeof(*t));
    t->next = now;
    t->retry = ROUTER_RETRY;
}

struct router *router_new(const struct router_options *o, instant now)
{
    struct router *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->o = *o;
    rng_fill(&o->rng, r->seed, sizeof(r->seed));
    r->state = calloc(1, o->protocol->state_bytes + 1);
    r->clients = calloc(ROUTER_CLIENTS, sizeof(*r->clients));
    if (o->admission)
        r->admission = admission_new(o->admission, o->protocol->id, o->provider, &o->rng);
    if (!r->state || !r->clients || (o->admission && !r->admission) ||
        (o->protocol->init && o->protocol->init(r->state, &o->setup))) {
        router_free(r);
        return NULL;
    }
    for (size_t i = 0; i < o->registrars_count; i++) {
        r->registrars[i].at = o->registrars[i];
        tie_begin(&r->registrars[i].serving, now);
        r->registrars[i].following.state = REGISTRAR_ELSEWHERE; /* none */
        r->registrars[i].look_next = now + ROUTER_LOOK_EVERY * ROUTER_KEEPALIVE;
    }
    return r;
}

void router_free(struct router *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->o.registrars_count; i++) {
        ident_wipe(&r->registrars[i].serving, sizeof(r->registrars[i].serving));
        ident_wipe(&r->registrars[i].following, sizeof(r->registrars[i].following));
    }
    admission_free(r->admission);
    free(r->state);
    free(r->clients);
    free(r);
}

void router_set_wall(struct router *r, uint64_t wall_s)
{
    r->wall_s = wall_s;
}

void router_set_load(struct router *r, uint16_t load)
{
    r->load = load;
}

/* --- clients --- */

static struct client_entry *set_of(const struct router *r, const struct client_id *id)
{
    uint64_t key = (uint64_t)id->addr << 16 | id->port;

    return &r->clients[siphash13(r->seed, &key, sizeof(key)) % (ROUTER_CLIENTS / WAYS) * WAYS];
}

static struct client_entry *client_find(const struct router *r, const struct client_id *id)
{
    struct client_entry *set = set_of(r, id);

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].used && set[i].id.addr == id->addr && set[i].id.port == id->port)
            return &set[i];
    }
    return NULL;
}

/* Its entry, or a free one, or that of who has been silent longest. */
static struct client_entry *client_get(struct router *r, const struct client_id *id)
{
    struct client_entry *e = client_find(r, id), *set = set_of(r, id);

    if (!e) {
        e = set;
        for (unsigned i = 1; i < WAYS; i++) {
            if (!set[i].used || (e->used && (int32_t)(set[i].used - e->used) < 0))
                e = &set[i];
        }
    }
    r->clock += 1 + (r->clock == UINT32_MAX);
    if (e->id.addr != id->addr || e->id.port != id->port)
        e->direct = 0;
    e->id = *id;
    e->used = r->clock;
    return e;
}

/* What a client's datagram says of the way back. */
static void heard_from(struct client_entry *e, const struct shim *s, const uint8_t *data, const struct endpoint *from)
{
    e->via = *from;
    e->provider = s->provider;
    e->flags = s->flags & (uint8_t)~SHIM_WORD;
    memcpy(e->fields, data + SHIM_LEN, shim_len(e->flags) - SHIM_LEN);
}

/* A gateway of another operator says that it has this client, which has been here by itself: it could
 * have the client's answers sent to it. */
static bool is_claimed(const struct router *r, const struct client_id *id, const struct shim *s, instant now)
{
    const struct client_entry *e = s->home_at ? client_find(r, id) : NULL;

    return e && e->direct != 0 && now - e->direct < DIRECT_FOR;
}

/* flags: 0 or SHIM_WORD. */
static size_t wrap(struct router *r, const struct client_entry *e, uint8_t flags, const uint8_t *packet, size_t len,
                   uint8_t *out, struct dmux_tx *tx)
{
    size_t at = shim_put(out, e->flags | flags, r->o.protocol->id, e->provider);

    memcpy(out + SHIM_LEN, e->fields, at - SHIM_LEN);
    memcpy(out + at, packet, len);
    tx->len = at + len;
    tx->to = e->via;
    r->stats.tx_pkts += flags == 0;
    return tx->len;
}

bool router_on_packet(struct router *r, const uint8_t *packet, size_t len, instant now, uint8_t *out,
                      struct dmux_tx *tx)
{
    const struct client_entry *e;
    struct client_id id;

    if (len > PROTOCOL_PACKET_MAX) {
        r->stats.drops[ROUTER_DROP_SIZE]++;
        return false;
    }
    e = r->o.protocol->client_of && r->o.protocol->client_of(r->state, packet, len, &id) ? client_find(r, &id) : NULL;
    if (!e) {
        r->stats.drops[ROUTER_DROP_CLIENT]++;
        return false;
    }
    if (r->admission && !admission_holds(r->admission, &id, now)) {
        r->stats.drops[ROUTER_DROP_ADMISSION]++;
        return false;
    }
    wrap(r, e, 0, packet, len, out, tx);
    return true;
}

static enum router_input drop(struct router *r, enum router_drop cause)
{
    r->stats.drops[cause]++;
    return ROUTER_NOTHING;
}

static struct vouched *vouched_set(struct router *r, const struct endpoint *at)
{
    uint64_t key = (uint64_t)get_be32(at->addr.bytes) << 16 | at->port;

    return &r->vouched[hash_mix64(key) % (ROUTER_VOUCHED / VOUCHED_WAYS) * VOUCHED_WAYS];
}

static void vouched_keep(struct router *r, const struct endpoint *at, instant now)
{
    struct vouched *set = vouched_set(r, at), *v = set;

    for (unsigned i = 0; i < VOUCHED_WAYS; i++) {
        if (set[i].heard != 0 && endpoint_equal(&set[i].at, at)) {
            v = &set[i];
            break;
        }
        if (set[i].heard < v->heard)
            v = &set[i];
    }
    *v = (struct vouched){ .at = *at, .heard = now };
}

static bool is_vouched(struct router *r, const struct endpoint *at, instant now)
{
    const struct vouched *set = vouched_set(r, at);

    for (unsigned i = 0; i < VOUCHED_WAYS; i++) {
        if (set[i].heard != 0 && set[i].heard + ROUTER_SILENCE > now && endpoint_equal(&set[i].at, at))
            return true;
    }
    return false;
}

static bool from_gateway(struct router *r, const struct endpoint *from, instant now)
{
    for (size_t i = 0; i < r->o.registrars_count; i++) {
        const struct registrar *g = &r->registrars[i];

        if ((g->serving.state == REGISTRAR_REGISTERED && endpoint_equal(&g->serving.unicast, from)) ||
            (g->following.state == REGISTRAR_REGISTERED && endpoint_equal(&g->following.unicast, from)))
            return true;
    }
    return is_vouched(r, from, now);
}

/* A word of a client, or a packet of one that is not let in: what it is told. Who has not shown its address is told
 * nothing. */
static enum router_input at_the_door(struct router *r, const struct client_id *id, const struct shim *s,
                                     const uint8_t *data, size_t len, const struct endpoint *from, instant now,
                                     uint8_t *out, struct dmux_tx *tx)
{
    const struct word open = { .type = WORD_OPEN };
    struct client_entry back = { .id = *id };
    uint8_t answer[WORD_VERDICT_LEN];
    struct word w;
    size_t n = 0;

    if (!(s->flags & SHIM_WORD))
        r->stats.drops[ROUTER_DROP_ADMISSION]++;
    if (!(s->flags & SHIM_VERIFIED))
        return s->flags & SHIM_WORD ? drop(r, ROUTER_DROP_SHIM) : ROUTER_NOTHING;
    if (r->admission && s->flags & SHIM_WORD)
        n = admission_on_word(r->admission, id, data + s->len, len - s->len, r->wall_s, now, answer);
    else if (r->admission)
        n = admission_demand(r->admission, id, len - s->len, now, answer);
    else if (word_read(data + s->len, len - s->len, &w) == 0 && w.type == WORD_ASK)
        n = word_write(&open, answer, sizeof(answer));
    else
        r->stats.drops[ROUTER_DROP_PACKET]++;
    if (n == 0)
        return ROUTER_NOTHING;
    heard_from(&back, s, data, from);
    wrap(r, &back, SHIM_WORD, answer, n, out, tx);
    return ROUTER_REPLY;
}

static enum router_input on_tunnelled(struct router *r, const struct shim *s, const uint8_t *data, size_t len,
                                      const struct endpoint *from, instant now, const uint8_t **ret_packet,
                                      size_t *ret_len, uint8_t *out, struct dmux_tx *tx)
{
    const uint8_t *client = data + s->client_at;
    struct client_id id;
    struct client_entry *e;

    if (!s->client_at || !s->cookie_at)
        return drop(r, ROUTER_DROP_SHIM);
    if (!from_gateway(r, from, now))
        return drop(r, ROUTER_DROP_FROM);
    if (s->protocol != r->o.protocol->id || s->provider != r->o.provider)
        return drop(r, ROUTER_DROP_OTHER);
    if (client[7] == 0)
        return drop(r, ROUTER_DROP_HOPS);
    id = (struct client_id){ .addr = get_be32(client), .port = get_be16(client + 4) };
    if (is_claimed(r, &id, s, now))
        return drop(r, ROUTER_DROP_HOME);
    /* who writes a client's address as his source has no V, and passes for nobody */
    if (s->flags & SHIM_WORD ||
        (r->admission && (!(s->flags & SHIM_VERIFIED) || !admission_holds(r->admission, &id, now))))
        return at_the_door(r, &id, s, data, len, from, now, out, tx);
    e = client_get(r, &id);
    heard_from(e, s, data, from);
    if (!s->home_at && s->flags & SHIM_VERIFIED) /* else anybody may have written its address */
        e->direct = now;
    r->stats.rx_pkts++;
    switch (r->o.protocol->on_client(r->state, &id, data + s->len, len - s->len, &r->reply)) {
    case PROTOCOL_DELIVER:
        *ret_packet = data + s->len;
        *ret_len = len - s->len;
        return ROUTER_PACKET;
    case PROTOCOL_ANSWER:
        r->stats.answered++;
        wrap(r, e, 0, r->reply.packet, r->reply.len, out, tx);
        return ROUTER_REPLY;
    case PROTOCOL_TAKEN:
        return ROUTER_NOTHING;
    default:
        return drop(r, ROUTER_DROP_PACKET);
    }
}

/* --- control in --- */

/* Does another registrar serve through that gateway? */
static bool taken(const struct router *r, const struct registrar *except, uint32_t gateway)
{
    for (size_t i = 0; i < r->o.registrars_count; i++) {
        const struct registrar *g = &r->registrars[i];

        if (g != except && g->serving.gateway == gateway && g->serving.state != REGISTRAR_ELSEWHERE)
            return true;
    }
    return false;
}

/* The answer to a HELLO: this is who is there, and the next step is to register. */
static void tie_challenged(struct router *r, struct registrar *g, struct tie *t, const struct dmux_message *m,
                           instant now)
{
    t->gateway = m->gateway;
    t->unicast = m->unicast;
    t->you = m->you;
    memcpy(t->cookie, m->cookie, sizeof(t->cookie));
    t->nonce = 0; /* one answer */
    t->retry = ROUTER_RETRY;
    if (taken(r, g, m->gateway)) {
        t->state = REGISTRAR_ELSEWHERE;
        t->next = now + ROUTER_RETRY_MAX;
        g->asked = 0;
        return;
    }
    t->state = REGISTRAR_REGISTERING;
    t->next = now;
}

static void on_challenge(struct router *r, const struct dmux_message *m, const struct endpoint *from, instant now)
{
    for (size_t i = 0; i < r->o.registrars_count; i++) {
        struct registrar *g = &r->registrars[i];

        if (!endpoint_equal(&g->at, from))
            continue;
        if (g->serving.nonce != 0 && g->serving.nonce == m->nonce &&
            (g->serving.state == REGISTRAR_ASKING || g->serving.state == REGISTRAR_ELSEWHERE)) {
            tie_challenged(r, g, &g->serving, m, now);
            return;
        }
        if (g->look_nonce == 0 || g->look_nonce != m->nonce)
            continue;
        g->look_nonce = 0;
        if (g->serving.state == REGISTRAR_REGISTERED && m->gateway != g->serving.gateway &&
            g->following.state == REGISTRAR_ELSEWHERE && !taken(r, g, m->gateway)) {
            tie_begin(&g->following, now);
            tie_challenged(r, g, &g->following, m, now);
        }
        return;
    }
}

/* The tie that a gateway's own address speaks of. */
static struct tie *tie_of(struct router *r, const struct dmux_message *m, const struct endpoint *from,
                          struct registrar **ret_registrar)
{
    for (size_t i = 0; i < r->o.registrars_count; i++) {
        struct registrar *g = &r->registrars[i];
        struct tie *ties[] = { &g->serving, &g->following };

        for (size_t j = 0; j < ARRAY_LEN(ties); j++) {
            if (ties[j]->state != REGISTRAR_ASKING && ties[j]->state != REGISTRAR_ELSEWHERE &&
                ties[j]->gateway == m->gateway && endpoint_equal(&ties[j]->unicast, from)) {
                *ret_registrar = g;
                return ties[j];
            }
        }
    }
    return NULL;
}

static bool on_ack(struct router *r, struct tie *t, const uint8_t *data, size_t len, const struct dmux_message *m,
                   instant now)
{
    uint8_t shared[DMUX_KEY_LEN], key[DMUX_KEY_LEN];
    struct dmux_message asked = {
        .protocol = r->o.protocol->id, .provider = r->o.provider, .nonce = t->nonce, .gateway = t->gateway
    };
    bool ok = t->state == REGISTRAR_REGISTERING && t->nonce != 0 && m->nonce == t->nonce &&
              x25519_shared(t->dh_priv, t->dh, m->dh, shared) == 0;

    if (!ok)
        return false;
    memcpy(asked.dh, t->dh, sizeof(asked.dh));
    dmux_registration_key(shared, &asked, m->dh, key);
    ident_wipe(shared, sizeof(shared));
    ok = dmux_mac_holds(data, len, key);
    if (ok) {
        memcpy(t->key, key, sizeof(t->key));
        ident_wipe(t->dh_priv, sizeof(t->dh_priv));
        t->state = REGISTRAR_REGISTERED;
        t->seq = 0;
        t->heard = t->next = now;
    }
    ident_wipe(key, sizeof(key));
    return ok;
}

static void judged(struct registrar *g, uint32_t gateway, uint8_t refusal, uint16_t wait_s)
{
    g->verdict.due |= g->verdict.gateway != gateway || g->verdict.refusal != refusal || g->verdict.silent;
    g->verdict.silent = false;
    g->verdict.gateway = gateway;
    g->verdict.refusal = refusal;
    g->verdict.wait_s = wait_s;
}

static void fell_silent(struct registrar *g)
{
    g->verdict.due |= !g->verdict.silent;
    g->verdict.silent = true;
}

static void on_nak(struct registrar *g, struct tie *t, const struct dmux_message *m, instant now)
{
    bool again;

    if (m->refusal == DMUX_REFUSED_WITHDRAWN) {
        if (t->leaving) {
            t->state = REGISTRAR_ELSEWHERE;
            t->next = INSTANT_NEVER;
        }
        return;
    }
    /* It has no mac, since who knows nobody has no key. The nonce tells who heard what it refuses. */
    if (t->leaving || t->nonce == 0 || m->nonce != t->nonce ||
        (m->refusal == DMUX_REFUSED_UNKNOWN) != (t->state == REGISTRAR_REGISTERED))
        return;
    /* A cookie may have become stale on the way, once. */
    again = m->refusal == DMUX_REFUSED_COOKIE && g->refusal != m->refusal;
    if (m->refusal != DMUX_REFUSED_NONE && m->refusal != DMUX_REFUSED_UNKNOWN && !again)
        judged(g, m->gateway, m->refusal, m->wait_s);
    g->asked = 0;
    g->refusal = m->refusal;
    tie_begin(t, now);
    if (m->refusal == DMUX_REFUSED_UNKNOWN) /* it has forgotten: a restart, say */
        return;
    t->retry = ROUTER_RETRY_MAX;
    t->next = again ? now : now + MAX((span)m->wait_s * SEC, ROUTER_RETRY_MAX);
}

/* The follower is registered: it serves, and the one before leaves by the same slot. */
static void follow(struct router *r, struct registrar *g, instant now)
{
    struct tie old = g->serving;

    g->serving = g->following;
    g->following = old;
    g->following.leaving = true;
    g->following.tries = 0;
    g->following.next = now;
    judged(g, g->serving.gateway, DMUX_REFUSED_NONE, 0);
    r->stats.moves++;
}

/* A gateway that this router is not registered with: one that it is registered with has given it a key. */
static enum router_input on_vouched(struct router *r, const struct dmux_message *m, const uint8_t *data, size_t len,
                                    const struct endpoint *from, instant now, uint8_t *out, struct dmux_tx *tx)
{
    struct dmux_message reply = { .type = DMUX_PROOF,
                                  .protocol = m->protocol,
                                  .provider = m->provider,
                                  .gateway = m->gateway,
                                  .seq = 0,
                                  .nonce = m->nonce };
    uint8_t key[DMUX_KEY_LEN];

    for (size_t i = 0; i < r->o.registrars_count && endpoint_equal(&m->unicast, from); i++) {
        const struct tie *ties[] = { &r->registrars[i].serving, &r->registrars[i].following };

        for (size_t j = 0; j < ARRAY_LEN(ties); j++) {
            bool holds;

            if (ties[j]->state != REGISTRAR_REGISTERED || ties[j]->leaving || ties[j]->gateway != m->voucher)
                continue;
            dmux_vouching_key(ties[j]->key, m->gateway, key);
            holds = dmux_mac_holds(data, len, key);
            tx->len = holds ? dmux_write_sealed(&reply, key, out, DMUX_MESSAGE_MAX) : 0;
            tx->to = *from;
            ident_wipe(key, sizeof(key));
            if (!holds)
                continue;
            vouched_keep(r, from, now);
            return ROUTER_REPLY;
        }
    }
    return drop(r, ROUTER_DROP_FROM);
}

static enum router_input on_control(struct router *r, const struct shim *s, const uint8_t *data, size_t len,
                                    const struct endpoint *from, instant now, uint8_t *out, struct dmux_tx *tx)
{
    struct dmux_message m, reply;
    struct registrar *g = NULL;
    struct tie *t;

    if (dmux_read(s, data, len, &m) < 0)
        return drop(r, ROUTER_DROP_SHIM);
    if (m.type == DMUX_CHALLENGE) {
        on_challenge(r, &m, from, now);
        return ROUTER_NOTHING;
    }
    if (m.type == DMUX_VOUCHED)
        return on_vouched(r, &m, data, len, from, now, out, tx);
    t = tie_of(r, &m, from, &g);
    if (!t)
        return drop(r, ROUTER_DROP_FROM);
    if (m.type == DMUX_NAK) {
        on_nak(g, t, &m, now);
    } else if (m.type == DMUX_ACK) {
        if (!on_ack(r, t, data, len, &m, now))
            return drop(r, ROUTER_DROP_MAC);
        g->asked = 0;
        g->refusal = DMUX_REFUSED_NONE;
        if (t == &g->serving)
            judged(g, m.gateway, DMUX_REFUSED_NONE, 0);
    } else if (m.type == DMUX_CHECK && t->state == REGISTRAR_REGISTERED && m.seq == t->seq &&
               dmux_mac_holds(data, len, t->key)) {
        t->heard = now;
        reply = (struct dmux_message){ .type = DMUX_PROOF,
                                       .protocol = m.protocol,
                                       .provider = m.provider,
                                       .gateway = m.gateway,
                                       .seq = m.seq,
                                       .nonce = m.nonce };
        tx->len = dmux_write_sealed(&reply, t->key, out, DMUX_MESSAGE_MAX);
        tx->to = *from;
        if (t == &g->following && !t->leaving)
            follow(r, g, now);
        return ROUTER_REPLY;
    } else {
        return drop(r, ROUTER_DROP_MAC);
    }
    return ROUTER_NOTHING;
}

enum router_input router_on_datagram(struct router *r, const uint8_t *data, size_t len, const struct endpoint *from,
                                     instant now, const uint8_t **ret_packet, size_t *ret_len, uint8_t *out,
                                     struct dmux_tx *tx)
{
    struct shim s;

    if (shim_parse(data, data + len, &s) != SHIM_OK)
        return drop(r, ROUTER_DROP_SHIM);
    if (s.flags & SHIM_CONTROL)
        return on_control(r, &s, data, len, from, now, out, tx);
    return on_tunnelled(r, &s, data, len, from, now, ret_packet, ret_len, out, tx);
}

/* --- control out --- */

static size_t say_hello(const struct router *r, uint64_t nonce, uint8_t *out)
{
    struct dmux_message m = {
        .type = DMUX_HELLO, .protocol = r->o.protocol->id, .provider = r->o.provider, .nonce = nonce
    };

    return dmux_write(&m, out, DMUX_MESSAGE_MAX);
}

static size_t say_register(struct router *r, struct tie *t, uint8_t *out)
{
    struct dmux_message m = { .type = DMUX_REGISTER,
                              .protocol = r->o.protocol->id,
                              .provider = r->o.provider,
                              .gateway = t->gateway,
                              .you = t->you,
                              .weight = r->o.weight,
                              .chain = r->o.chain.data,
                              .chain_len = r->o.chain.len };
    size_t len, signed_len;

    t->nonce = m.nonce = rng_nonzero(&r->o.rng);
    rng_fill(&r->o.rng, t->dh_priv, sizeof(t->dh_priv));
    if (x25519_public(t->dh_priv, t->dh) < 0)
        return 0;
    memcpy(m.cookie, t->cookie, sizeof(m.cookie));
    memcpy(m.dh, t->dh, sizeof(m.dh));
    memcpy(m.key, r->o.ed25519, sizeof(m.key));
    len = dmux_write(&m, out, DMUX_REGISTER_MAX);
    signed_len = dmux_signed_len(out, len);
    return ed25519_sign(r->o.ed25519_seed, out, signed_len, out + signed_len) == 0 ? len : 0;
}

static size_t say_sealed(const struct router *r, struct tie *t, enum dmux_type type, uint8_t *out)
{
    struct dmux_message m = { .type = (uint8_t)type,
                              .protocol = r->o.protocol->id,
                              .provider = r->o.provider,
                              .gateway = t->gateway,
                              .seq = ++t->seq,
                              .weight = r->o.weight,
                              .load = r->load };

    if (type == DMUX_KEEPALIVE)
        t->nonce = m.nonce = rng_nonzero(&r->o.rng);
    return dmux_write_sealed(&m, t->key, out, DMUX_MESSAGE_MAX);
}

static span backoff(struct tie *t)
{
    span wait = t->retry;

    t->retry = MIN(t->retry * 2, ROUTER_RETRY_MAX);
    return wait;
}

/* What a tie has to say now: its length, to whom; 0: nothing. */
static size_t tie_output(struct router *r, struct registrar *g, struct tie *t, uint8_t *out, struct endpoint *to,
                         instant now)
{
    if (now < t->next)
        return 0;
    *to = t->unicast;
    if (t->leaving) {
        if (t->state != REGISTRAR_REGISTERED || t->tries++ >= LEAVE_TRIES) {
            t->state = REGISTRAR_ELSEWHERE;
            t->next = INSTANT_NEVER;
            return 0;
        }
        t->next = now + LEAVE_RETRY;
        return say_sealed(r, t, DMUX_WITHDRAW, out);
    }
    if (t->state == REGISTRAR_REGISTERED && t->heard + ROUTER_SILENCE <= now) {
        if (t == &g->serving)
            fell_silent(g);
        tie_begin(t, now);
    }
    switch (t->state) {
    case REGISTRAR_REGISTERED:
        t->next = now + ROUTER_KEEPALIVE;
        return say_sealed(r, t, DMUX_KEEPALIVE, out);
    case REGISTRAR_REGISTERING:
        if (t->retry > ROUTER_RETRY * 4) { /* nobody there any more */
            tie_begin(t, now);
            break;
        }
        t->next = now + backoff(t);
        return say_register(r, t, out);
    default:
        break;
    }
    if (t == &g->following) {
        t->state = REGISTRAR_ELSEWHERE;
        t->next = INSTANT_NEVER;
        return 0;
    }
    if (g->asked == 0)
        g->asked = now;
    else if (g->asked + ROUTER_SILENCE <= now)
        fell_silent(g);
    t->next = now + backoff(t);
    t->nonce = rng_nonzero(&r->o.rng);
    *to = g->at;
    return say_hello(r, t->nonce, out);
}

bool router_output(struct router *r, uint8_t *out, struct dmux_tx *tx, instant now)
{
    for (size_t i = 0; i < r->o.registrars_count; i++) {
        struct registrar *g = &r->registrars[i];

        if ((tx->len = tie_output(r, g, &g->serving, out, &tx->to, now)) > 0)
            return true;
        if (g->following.state != REGISTRAR_ELSEWHERE &&
            (tx->len = tie_output(r, g, &g->following, out, &tx->to, now)) > 0)
            return true;
        if (now >= g->look_next && !r->leaving) {
            g->look_next = now + ROUTER_LOOK_EVERY * ROUTER_KEEPALIVE;
            if (g->serving.state == REGISTRAR_REGISTERED) {
                g->look_nonce = rng_nonzero(&r->o.rng);
                tx->len = say_hello(r, g->look_nonce, out);
                tx->to = g->at;
                return true;
            }
        }
    }
    return false;
}

instant router_next_expiry(const struct router *r)
{
    instant next = INSTANT_NEVER;

    for (size_t i = 0; i < r->o.registrars_count; i++) {
        next = instant_min(next, r->registrars[i].serving.next);
        if (r->registrars[i].following.state != REGISTRAR_ELSEWHERE)
            next = instant_min(next, r->registrars[i].following.next);
        if (!r->leaving)
            next = instant_min(next, r->registrars[i].look_next);
    }
    return next;
}

void router_leave(struct router *r)
{
    if (r->leaving)
        return;
    r->leaving = true;
    for (size_t i = 0; i < r->o.registrars_count; i++) {
        struct tie *ties[] = { &r->registrars[i].serving, &r->registrars[i].following };

        for (size_t j = 0; j < ARRAY_LEN(ties); j++) {
            ties[j]->leaving = true;
            ties[j]->next = 0;
        }
    }
}

bool router_has_left(const struct router *r)
{
    for (size_t i = 0; i < r->o.registrars_count; i++) {
        if (r->registrars[i].serving.state == REGISTRAR_REGISTERED ||
            r->registrars[i].following.state == REGISTRAR_REGISTERED)
            return false;
    }
    return r->leaving;
}

size_t router_registrar_info(const struct router *r, struct router_registrar_info ret[ROUTER_REGISTRARS_MAX])
{
    for (size_t i = 0; i < r->o.registrars_count; i++) {
        const struct registrar *g = &r->registrars[i];

        ret[i] = (struct router_registrar_info){ .at = g->at,
                                                 .unicast = g->serving.unicast,
                                                 .state = g->serving.state,
                                                 .gateway = g->serving.gateway,
                                                 .refusal = g->refusal,
                                                 .you = g->serving.you };
    }
    return r->o.registrars_count;
}

bool router_pop_verdict(struct router *r, struct router_verdict *ret)
{
    for (size_t i = 0; i < r->o.registrars_count; i++) {
        struct registrar *g = &r->registrars[i];

        if (!g->verdict.due)
            continue;
        g->verdict.due = false;
        *ret = (struct router_verdict){ .at = g->at,
                                        .gateway = g->verdict.gateway,
                                        .silent = g->verdict.silent,
                                        .refusal = g->verdict.refusal,
                                        .wait_s = g->verdict.wait_s };
        return true;
    }
    return false;
}

const struct router_stats *router_stats_get(const struct router *r)
{
    return &r->stats;
}

const struct admission *router_admission(const struct router *r)
{
    return r->admission;
}

const char *router_drop_name(unsigned drop)
{
    static const char *const names[ROUTER_DROP_COUNT] = { "shim",   "from", "other", "hops",      "packet",
                                                          "client", "size", "mac",   "admission", "home" };

    return drop < ROUTER_DROP_COUNT ? names[drop] : "?";
}

const char *router_registrar_state_name(unsigned state)
{
    static const char *const names[REGISTRAR_STATE_COUNT] = { "asking", "registering", "registered", "elsewhere" };

    return state < REGISTRAR_STATE_COUNT ? names[state] : "?";
}
