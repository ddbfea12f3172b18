/* dmux/federation.c - see federation.h.
 *
 * Theory of operation. A link has two unlike ends: who asks, and a border that tells. Two gateways that are both have
 * two links. Who asks begins: HELLO, CHALLENGE, INIT, ANSWER (link.h, without a secret in common: each card is checked
 * by the root of the realm that the configuration names), then a PING a second, to which the PONG brings the round trip
 * and a pass. A summary is confirmed before the next comes. A link without a record for FEDERATION_SILENCE is down, and
 * with it all that it told; whoever is not up is tried again each LINK_RETRY_MAX. When nobody looked for
 * REGISTRY_PAUSE, it was this gateway that was away (stopped, asleep), and all borders get that time again. They
 * remember it for ABSENCE; after more, links begin anew, and nobody is damped for it.
 *
 * Places for links are the borders' of the configuration first. Each border tells of others of its realm, and one of
 * those at a time is tried beside the links: by its handshake and a PING, within TRY_FOR, without being listened to. It
 * gets a link if it is a gateway that has none yet, and a place is free or it is nearer than the farthest, whose place
 * it takes: so the links come nearer, as one who asks the way, and the borders of the configuration are not everybody's
 * for ever. What a border only tells of holds no place and ends no link; each tries for itself, so none keeps out whom
 * others tell of. When all links are taken, those whom the nearest tells of are tried, ever more rarely while none is
 * nearer.
 *
 * Nothing that the borders of a realm say makes this gateway send more than 4 HELLOs of 64 bytes in TRY_FOR to an
 * address, nor any to its own prefix, to its own realm's gateways, or to the link.
 *
 * Limits: federation.h. A gateway has FEDERATION_LINKS_MAX links to each realm, with a PING a second each. */
#include "dmux/federation_internal.h"

#include "ident/hash.h"

#include <errno.h>

#define TICK (1 * SEC)
#define FORGET (15 * SEC) /* chosen: a border that is silent; one that is configured has its place while none asks */
#define TRY_FOR (3 * SEC) /* chosen: three round trips of any link, and a HELLO that is lost */
#define TRY_MIN (1 * SEC) /* as often as is looked */
#define TRY_MAX (600 * SEC)
#define TOLD_EVERY (5 * SEC)  /* chosen: half of what borders take to tell of others again */
#define NEARER_PERCENT 90     /* chosen: who is nearer by less takes no other's place */
#define PASS_EVERY (30 * SEC) /* chosen: a quarter of GATEWAY_COOKIE_S */

static bool drop(struct realm *r, enum federation_drop cause)
{
    r->drops[cause]++;
    return false;
}

size_t federation_seal(const struct federation *f, struct link_keys *k, const struct federation_message *m,
                       uint8_t *out)
{
    return link_seal(&f->end, k, federation_write(m, out + LINK_TEXT_AT, MESH_TEXT_MAX), out);
}

/* --- borders --- */

static void border_init(struct border *b, const struct endpoint *at, const uint8_t x25519[IDENT_KEY_LEN], instant now)
{
    *b = (struct border){ .at = *at, .idle_at = now };
    link_shake_begin(&b->shake, now);
    memcpy(b->x25519, x25519, IDENT_KEY_LEN);
}

/* silent: it did not answer, which is damped; else another takes its place. */
static void border_down(struct federation *f, struct realm *r, unsigned i, bool silent, instant now)
{
    struct border *b = r->borders[i];

    if (i < FEDERATION_LINKS_MAX)
        services_lose(f, r, i, silent, now);
    link_keys_free(&b->keys);
    link_shake_begin(&b->shake, now);
    b->up = false;
    b->rtt_us = 0;
    b->pass_at = 0;
    b->heard_due = false;
    b->idle_at = now;
}

static void border_free(struct federation *f, struct realm *r, unsigned i, instant now)
{
    border_down(f, r, i, false, now);
    free(r->borders[i]);
    r->borders[i] = NULL;
}

static void border_up(struct border *b, struct link_keys *keys, uint32_t gateway, instant now)
{
    b->keys = *keys;
    b->gateway = gateway;
    b->up = true;
    b->heard = b->ping_next = now;
    b->have = 0;
    b->missed = false;
    link_shake_rest(&b->shake, INSTANT_NEVER);
}

/* PLACES_MAX: none is there. */
static unsigned border_at(const struct realm *r, const struct endpoint *at)
{
    unsigned i = 0;

    while (i < PLACES_MAX && !(r->borders[i] && endpoint_equal(&r->borders[i]->at, at)))
        i++;
    return i;
}

/* With the borders of the configuration, as far as there is room. */
static void begin(struct federation *f, struct realm *r, instant now)
{
    unsigned at = 0;

    for (size_t i = 0; i < f->o.borders_count; i++) {
        const struct federation_border *e = &f->o.borders[i];

        if (&f->realms[e->realm] != r || border_at(r, &e->at) < PLACES_MAX)
            continue;
        while (at < FEDERATION_LINKS_MAX && r->borders[at])
            at++;
        if (at == FEDERATION_LINKS_MAX)
            return;
        r->borders[at] = malloc(sizeof(struct border)); /* without memory it is begun with at the next tick */
        if (!r->borders[at])
            return;
        border_init(r->borders[at], &e->at, e->x25519, now);
        r->borders[at]->configured = true;
    }
}

struct federation *federation_new(const struct federation_options *o, struct registry *registry,
                                  const struct credentials *own, const struct jar *jar, struct directory *directory,
                                  instant now)
{
    struct federation *f = calloc(1, sizeof(*f));
    bool ok = f != NULL;

    if (!f)
        return NULL;
    f->o = *o;
    f->registry = registry;
    f->own = own;
    f->jar = jar;
    f->directory = directory;
    f->tick_at = f->looked_at = now;
    f->wall_s = jar->wall_s;
    f->end = (struct link_end){ .init_type = DMUX_FEDERATION_INIT,
                                .prologue = "hawser dmux federation 1",
                                .id = o->id,
                                .unicast = o->unicast,
                                .identity = o->identity,
                                .chain = o->chain,
                                .rng = o->rng };
    rng_fill(&o->rng, f->seed, sizeof(f->seed));
    for (; ok && f->realms_count < o->realms_count; f->realms_count++) {
        struct realm *r = &f->realms[f->realms_count];

        r->o = &o->realms[f->realms_count];
        r->number = (uint8_t)(f->realms_count + 1);
        services_init(r, f->seed);
        r->try_wait = TRY_MIN;
        r->credentials = credentials_new(NULL, 0, &r->o->authority, 1, &o->rng);
        ok = r->credentials != NULL;
        if (ok)
            f->link_realms[f->realms_count] =
                (struct link_realm){ .trust = credentials_trust(r->credentials, 0), .name = r->o->authority.realm };
    }
    askers_init(f);
    for (size_t i = 0; i < f->realms_count; i++)
        begin(f, &f->realms[i], now);
    if (!ok) {
        federation_free(f);
        return NULL;
    }
    registry_sum_up(registry);
    return f;
}

void federation_free(struct federation *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->realms_count; i++) {
        struct realm *r = &f->realms[i];

        services_free(r); /* before borders, which would withdraw them */
        for (unsigned k = 0; k < PLACES_MAX; k++) {
            if (r->borders[k])
                border_free(f, r, k, 0);
        }
        credentials_free(r->credentials);
    }
    askers_free(f);
    free(f);
}

/* Was this gateway away? Then PONGs that waited measure no way. */
static void look(struct federation *f, instant now)
{
    span away = now - f->looked_at;

    f->looked_at = now;
    for (size_t i = 0; i < f->realms_count && away > REGISTRY_PAUSE; i++) {
        for (unsigned k = 0; k < PLACES_MAX; k++) {
            struct border *b = f->realms[i].borders[k];

            if (!b || !b->up)
                continue;
            if (away > ABSENCE - FEDERATION_SILENCE)
                border_down(f, &f->realms[i], k, false, now);
            b->heard = MIN(b->heard + away, now);
            b->ping_next = now;
            memset(&b->pings, 0, sizeof(b->pings));
        }
    }
}

/* --- in --- */

void federation_on_challenge(struct federation *f, const struct dmux_message *c, const struct endpoint *from,
                             instant now)
{
    for (size_t i = 0; i < f->realms_count; i++) {
        for (unsigned k = 0; k < PLACES_MAX; k++) {
            struct border *b = f->realms[i].borders[k];

            if (b && endpoint_equal(&b->at, from) && link_shake_on_challenge(&b->shake, c, now))
                return;
        }
    }
}

static void on_answer(struct federation *f, const uint8_t *data, size_t len, const struct endpoint *from, instant now)
{
    for (size_t i = 0; i < f->realms_count; i++) {
        struct realm *r = &f->realms[i];

        for (unsigned k = 0; k < PLACES_MAX; k++) {
            struct border *b = r->borders[k];
            struct link_keys keys;
            uint32_t gateway;
            int e;

            if (!b || !link_shake_awaits(&b->shake, data) || !endpoint_equal(&b->at, from))
                continue;
            e = link_answer_read(&f->end, &f->link_realms[i], &b->shake.noise, b->shake.index, data, len, from,
                                 f->wall_s, &keys, &gateway);
            if (e == 0)
                border_up(b, &keys, gateway, now);
            else
                drop(r, e == -EBADMSG ? FEDERATION_DROP_MALFORMED : FEDERATION_DROP_STRANGER);
            return;
        }
    }
}

/* Who was not measured yet is the farthest: he may be silent on purpose. */
static uint32_t distance(const struct border *b)
{
    return b->rtt_us > 0 ? b->rtt_us : UINT32_MAX;
}

/* The nearest that is up; FEDERATION_LINKS_MAX: none is. */
static unsigned nearest(const struct realm *r)
{
    unsigned best = FEDERATION_LINKS_MAX;

    for (unsigned i = 0; i < FEDERATION_LINKS_MAX; i++) {
        const struct border *b = r->borders[i];

        if (b && b->up && (best == FEDERATION_LINKS_MAX || distance(b) < distance(r->borders[best])))
            best = i;
    }
    return best;
}

/* --- others that borders tell of --- */

/* Where a link has room; FEDERATION_LINKS_MAX: nowhere. Who is configured and silent has a place while nobody asks. */
static unsigned room(const struct realm *r, instant now)
{
    unsigned i = 0;

    while (i < FEDERATION_LINKS_MAX && r->borders[i] && (r->borders[i]->up || r->borders[i]->idle_at + FORGET > now))
        i++;
    return i;
}

/* The farthest link, if one of this round trip is nearer; FEDERATION_LINKS_MAX: none. */
static unsigned farther(const struct realm *r, uint32_t rtt_us)
{
    unsigned worst = FEDERATION_LINKS_MAX;

    for (unsigned i = 0; i < FEDERATION_LINKS_MAX; i++) {
        const struct border *b = r->borders[i];

        if (b && b->up && rtt_us < (uint64_t)b->rtt_us * NEARER_PERCENT / 100 &&
            (worst == FEDERATION_LINKS_MAX || b->rtt_us > r->borders[worst]->rtt_us))
            worst = i;
    }
    return worst;
}

static bool is_linked(const struct realm *r, uint32_t gateway)
{
    for (unsigned i = 0; i < FEDERATION_LINKS_MAX; i++) {
        if (r->borders[i] && r->borders[i]->up && r->borders[i]->gateway == gateway)
            return true;
    }
    return false;
}

/* It has shown who it is and how far, and gets a link or none. */
static void border_tried(struct federation *f, struct realm *r, unsigned i, instant now)
{
    struct border *b = r->borders[i];
    unsigned at = is_linked(r, b->gateway) ? FEDERATION_LINKS_MAX : room(r, now);

    if (at == FEDERATION_LINKS_MAX && !is_linked(r, b->gateway))
        at = farther(r, b->rtt_us);
    if (at == FEDERATION_LINKS_MAX) {
        border_free(f, r, i, now);
        return;
    }
    if (r->borders[at])
        border_free(f, r, at, now);
    r->borders[at] = b;
    r->borders[i] = NULL;
    b->ping_next = now; /* which says that it is listened to */
    r->try_wait = TRY_MIN;
    r->try_next = now;
}

static bool is_asked(const struct realm *r, const struct addr *addr)
{
    for (unsigned i = 0; i < PLACES_MAX; i++) {
        if (r->borders[i] && addr_equal(&r->borders[i]->at.addr, addr))
            return true;
    }
    return false;
}

/* One of those that a link has told of, and that is not known yet. False: there is none. */
static bool try_one(struct federation *f, struct realm *r, unsigned teller, instant now)
{
    struct border *by = r->borders[teller], *b;

    while (by->told_count > 0) {
        size_t n = (size_t)(rng_u64(&f->o.rng) % by->told_count);
        struct mesh_member e = by->told[n];

        by->told[n] = by->told[--by->told_count];
        if (is_asked(r, &e.at.addr))
            continue;
        b = malloc(sizeof(*b));
        if (b)
            border_init(b, &e.at, e.x25519, now);
        r->borders[FEDERATION_LINKS_MAX + teller] = b;
        return true;
    }
    return false;
}

/* Each TICK: whoever is silent too long is given up, and others are tried. */
static void borders_tend(struct federation *f, struct realm *r, instant now)
{
    for (unsigned i = 0; i < PLACES_MAX; i++) {
        struct border *b = r->borders[i];

        if (b && (i < FEDERATION_LINKS_MAX ? !b->up && !b->configured && b->idle_at + FORGET <= now
                                           : b->idle_at + TRY_FOR <= now))
            border_free(f, r, i, now);
    }
    begin(f, r, now);
    for (unsigned i = 0; i < FEDERATION_LINKS_MAX; i++) {
        const struct border *b = r->borders[i];
        bool full = room(r, now) == FEDERATION_LINKS_MAX;

        if (!b || !b->up || r->borders[FEDERATION_LINKS_MAX + i] || (full && (now < r->try_next || nearest(r) != i)) ||
            !try_one(f, r, i, now) || !full)
            continue;
        r->try_next = now + r->try_wait;
        r->try_wait = MIN(r->try_wait * 2, TRY_MAX);
    }
}

static bool is_own(const struct federation *f, const struct addr *addr)
{
    bool own = addr_equal(addr, &f->o.unicast.addr) || prefix_contains(&f->o.prefix, addr);

    for (size_t i = 0; i < f->others_count; i++)
        own |= addr_equal(addr, &f->others[i].at.addr);
    return own;
}

static void on_borders(const struct federation *f, struct border *b, const struct federation_message *m, instant now)
{
    struct reader rd = reader_init(m->rest, m->rest_len);
    struct mesh_member e;

    if (now < b->told_next)
        return;
    b->told_next = now + TOLD_EVERY;
    b->told_count = 0;
    while (b->told_count < BORDERS_TOLD && mesh_next_member(&rd, &e)) {
        bool known = is_own(f, &e.at.addr);

        for (size_t i = 0; i < b->told_count; i++)
            known |= addr_equal(&e.at.addr, &b->told[i].at.addr);
        if (!known && addr_is_unicast(&e.at.addr) && !addr_is_link_local(&e.at.addr))
            b->told[b->told_count++] = e;
    }
}

/* --- what borders say --- */

static void on_pong(struct federation *f, struct realm *r, unsigned i, const struct federation_message *m, instant now)
{
    struct border *b = r->borders[i];
    uint32_t us = (uint32_t)link_pong(&b->pings, m->nonce, now);

    if (us == 0)
        return;
    b->rtt_us = b->rtt_us == 0 ? us : (uint32_t)(((uint64_t)b->rtt_us * 9 + us) / 10);
    if (b->pass_at != 0 && now - b->pass_at < PASS_EVERY)
        return;
    b->pass_at = now;
    memcpy(b->pass, m->pass, sizeof(b->pass));
    if (i < FEDERATION_LINKS_MAX)
        services_set_pass(f, r, i);
    else
        border_tried(f, r, i, now);
}

static void on_summary(struct federation *f, struct realm *r, unsigned i, const struct federation_message *m,
                       instant now)
{
    struct border *b = r->borders[i];

    if (!bucket_take(&b->summaries, FEDERATION_SUMMARIES_PER_S, now)) { /* it is not confirmed, and comes again */
        drop(r, FEDERATION_DROP_FLOOD);
        return;
    }
    b->heard_due = true;
    if (m->from != b->have)
        return;
    services_take(f, r, i, m, now);
    b->have = m->version;
}

static void on_text(struct federation *f, struct realm *r, unsigned i, const struct federation_message *m, instant now)
{
    if (i >= FEDERATION_LINKS_MAX && m->kind != FEDERATION_PONG)
        return; /* it is tried, and not listened to */
    switch (m->kind) {
    case FEDERATION_PONG:
        on_pong(f, r, i, m, now);
        break;
    case FEDERATION_SUMMARY:
        on_summary(f, r, i, m, now);
        break;
    case FEDERATION_BORDERS:
        on_borders(f, r->borders[i], m, now);
        break;
    case FEDERATION_CERTIFICATE:
        if (bucket_take(&r->borders[i]->proofs, FEDERATION_SUMMARIES_PER_S, now))
            services_take_certificate(f, r, i, m, now);
        else
            drop(r, FEDERATION_DROP_FLOOD);
        break;
    default: /* what only who asks says */
        drop(r, FEDERATION_DROP_MALFORMED);
    }
}

static void on_record(struct federation *f, const uint8_t *data, size_t len, const struct endpoint *from, instant now)
{
    uint8_t text[MESH_TEXT_MAX];
    struct federation_message m;

    for (size_t i = 0; i < f->realms_count; i++) {
        struct realm *r = &f->realms[i];
        unsigned k = border_at(r, from);
        int n;

        if (k == PLACES_MAX || !r->borders[k]->up || r->borders[k]->keys.local != link_to(data))
            continue;
        n = link_open(&r->borders[k]->keys, data, len, f->wall_s, text);
        if (n < 0) {
            drop(r, FEDERATION_DROP_SEAL);
            return;
        }
        r->borders[k]->heard = now;
        if (federation_read(text, (size_t)n, &m) < 0)
            drop(r, FEDERATION_DROP_MALFORMED);
        else
            on_text(f, r, k, &m, now);
        return;
    }
    if (!askers_on_record(f, data, len, from, now))
        f->drops[FEDERATION_DROP_SEAL]++;
}

void federation_on_datagram(struct federation *f, const uint8_t *data, size_t len, const struct endpoint *from,
                            uint64_t wall_s, instant now)
{
    f->wall_s = wall_s;
    if (len < DMUX_HEADER_LEN + 4 || data[SHIM_LEN + 1] != 0) {
        f->drops[FEDERATION_DROP_MALFORMED]++;
        return;
    }
    look(f, now);
    switch (data[SHIM_LEN]) {
    case DMUX_FEDERATION_INIT:
        askers_on_init(f, data, len, from, now);
        break;
    case DMUX_FEDERATION_ANSWER:
        on_answer(f, data, len, from, now);
        break;
    case DMUX_FEDERATION_RECORD:
        on_record(f, data, len, from, now);
        break;
    default:
        f->drops[FEDERATION_DROP_MALFORMED]++;
    }
    registry_settle(f->registry, now);
}

void federation_want(struct federation *f, uint16_t protocol, uint32_t provider, uint32_t client, instant now)
{
    for (size_t i = 0; i < f->realms_count; i++) {
        if (services_may_give(&f->realms[i], protocol, provider))
            wants_add(&f->realms[i], protocol, provider, client >> 8, now);
    }
}

/* --- out --- */

/* What a border that is up is to be sent next; false: nothing. */
static bool choose(const struct federation *f, struct realm *r, unsigned i, struct federation_message *m, instant now)
{
    struct border *b = r->borders[i];

    *m = (struct federation_message){ .kind = 0 };
    if (b->heard_due) {
        b->heard_due = false;
        m->kind = FEDERATION_HEARD;
        m->version = b->have;
    } else if (now >= b->ping_next) {
        b->ping_next = now + MESH_PING_EVERY;
        m->kind = FEDERATION_PING;
        m->nonce = link_ping(&b->pings, &f->o.rng, now);
        m->version = i < FEDERATION_LINKS_MAX ? b->have : FEDERATION_UNHEARD;
    } else if (i >= FEDERATION_LINKS_MAX) {
        return false; /* it is tried */
    } else if (r->wants_due == 0 || nearest(r) != i || !wants_pop(r, m)) {
        m->provider = services_prove(r, i, now);
        m->kind = m->provider != 0 ? FEDERATION_PROVE : 0;
    }
    return m->kind != 0;
}

static size_t border_output(struct federation *f, struct realm *r, unsigned i, uint8_t *out, instant now)
{
    struct federation_message m;

    if (!r->borders[i]->up)
        return link_shake_output(&f->end, &r->borders[i]->shake, r->borders[i]->x25519, out, now);
    return choose(f, r, i, &m, now) ? federation_seal(f, &r->borders[i]->keys, &m, out) : 0;
}

bool federation_output(struct federation *f, uint8_t *out, struct dmux_tx *tx, instant now)
{
    size_t all = f->realms_count * PLACES_MAX;

    for (size_t n = 0; n < all; n++) {
        size_t turn = f->turn++ % all;
        struct realm *r = &f->realms[turn / PLACES_MAX];
        unsigned i = (unsigned)(turn % PLACES_MAX);

        if (!r->borders[i])
            continue;
        tx->to = r->borders[i]->at;
        tx->len = border_output(f, r, i, out, now);
        if (tx->len > 0)
            return true;
    }
    tx->len = askers_output(f, out, &tx->to, now);
    return tx->len > 0;
}

instant federation_next_expiry(const struct federation *f)
{
    instant next = instant_min(f->tick_at, askers_next_expiry(f));

    for (size_t i = 0; i < f->realms_count; i++) {
        const struct realm *r = &f->realms[i];
        bool up = false;

        for (unsigned k = 0; k < PLACES_MAX; k++) {
            const struct border *b = r->borders[k];

            if (!b)
                continue;
            if (!b->up) {
                next = instant_min(next, b->shake.next);
                continue;
            }
            next = instant_min(next, b->heard_due ? 0 : b->ping_next);
            if (k < FEDERATION_LINKS_MAX) {
                up = true;
                if (r->may_ask >> k & 1)
                    next = 0;
                next = instant_min(next, instant_min(b->heard + FEDERATION_SILENCE, f->looked_at + REGISTRY_PAUSE / 2));
            }
        }
        if (up && r->wants_due > 0)
            next = 0;
    }
    return next;
}

void federation_on_expiry(struct federation *f, uint64_t wall_s, instant now)
{
    bool tick = now >= f->tick_at;

    f->wall_s = wall_s;
    look(f, now);
    if (tick)
        f->tick_at = now + TICK;
    for (size_t i = 0; i < f->realms_count; i++) {
        struct realm *r = &f->realms[i];

        for (unsigned k = 0; k < FEDERATION_LINKS_MAX; k++) {
            struct border *b = r->borders[k];

            if (b && b->up && b->heard + FEDERATION_SILENCE <= now) {
                border_down(f, r, k, true, now);
                r->try_wait = TRY_MIN;
            }
        }
        if (!tick)
            continue;
        borders_tend(f, r, now);
        services_tend(f, r, now);
    }
    registry_settle(f->registry, now);
    askers_on_expiry(f, now);
}

void federation_set_others(struct federation *f, const struct mesh_member *others, size_t count)
{
    f->others_count = MIN(count, (size_t)FEDERATION_KNOWN_MAX);
    memcpy(f->others, others, f->others_count * sizeof(*others));
}

/* --- who asks --- */

bool federation_is_member(const struct federation *f, uint32_t addr)
{
    for (size_t i = 0; i < f->realms_count; i++) {
        for (unsigned k = 0; k < PLACES_MAX; k++) {
            const struct border *b = f->realms[i].borders[k];

            if (b && b->up && get_be32(b->at.addr.bytes) == addr)
                return true;
        }
    }
    LIST_FOREACH (g, &f->askers, struct asker, all) {
        if (g->keys.tx && !g->silent && get_be32(g->at.addr.bytes) == addr)
            return true;
    }
    return false;
}

const struct federation_realm *federation_realm_of(const struct federation *f, uint8_t realm)
{
    return &f->o.realms[realm - 1];
}

bool federation_realm_info(const struct federation *f, size_t i, struct federation_realm_info *ret)
{
    const struct realm *r;

    if (i >= f->realms_count)
        return false;
    r = &f->realms[i];
    *ret = (struct federation_realm_info){
        .realm = r->o, .services = r->services.count, .adopted = r->adopted, .refusal = r->refusal
    };
    LIST_FOREACH (s, &r->refused, struct service, waiting)
        ret->services--;
    memcpy(ret->drops, r->drops, sizeof(ret->drops));
    return true;
}

bool federation_border_info(const struct federation *f, size_t i, size_t j, struct federation_border_info *ret)
{
    const struct realm *r = &f->realms[i];

    for (unsigned k = 0; k < FEDERATION_LINKS_MAX; k++) {
        const struct border *b = r->borders[k];

        if (!b || j-- > 0)
            continue;
        *ret = (struct federation_border_info){ .gateway = b->gateway, .at = b->at, .up = b->up, .rtt_us = b->rtt_us };
        LIST_FOREACH (s, &r->all, struct service, all)
            ret->services += s->has >> k & 1;
        return true;
    }
    return false;
}

const char *federation_drop_name(unsigned drop)
{
    static const char *const names[FEDERATION_DROP_COUNT] = { "malformed", "stranger",    "seal", "full",  "flood",
                                                              "number",    "certificate", "key",  "damped" };

    return drop < FEDERATION_DROP_COUNT ? names[drop] : "?";
}
