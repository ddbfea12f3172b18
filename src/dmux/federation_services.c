/* dmux/federation_services.c - what the borders of other realms have told, and who of them gets packets.
 *
 * Theory of operation. A service is a provider and a protocol that one or more borders of a realm have a router of. It
 * counts once it is proved whose it is: the number is one that the realm may give (this gateway's configuration), and
 * the realm has certified the provider's key for it, by a chain that a border shows when it is asked (PROVE). One that
 * shows nothing that proves it, or does not answer, keeps nobody else from it: each that has the service is asked. If
 * the number has a key here as well, it must be the same: nobody takes over a number by announcing it. What is refused
 * is counted by its cause, and the last of it is remembered by name.
 *
 * Of a service that is proved the FEDERATION_NEAREST borders that are nearest, by the measured round trip to the border
 * and what that says of the rest of the way, are registrations (registry.h), held each second while their link is up.
 * A border that says that it has no router any more, or falls silent, is withdrawn at once, which is damped as a
 * router's departure is.
 *
 * A certificate ends. From RENEW_S before, borders are asked in turn for a newer one, and what is proved counts on.
 *
 * Limits: FEDERATION_SERVICES_MAX services of 120 bytes a realm, of them UNPROVED_MAX that are not proved of each
 * border; what there was no room for is heard once there is, by having the border tell all again.
 * FEDERATION_ADOPTED_MAX registrations; each border is asked for ASKED_MAX certificates at a time. Of a realm
 * CREDENTIALS_MAX are remembered, those first of whose providers something is told. */
#include "dmux/federation_internal.h"
#include "dmux/xdp_tables.h"

#include <errno.h>

#define UNPROVED_MAX (FEDERATION_SERVICES_MAX / FEDERATION_LINKS_MAX) /* of a border: so none fills the table alone */
#define HEAR_AGAIN (10 * SEC)                                         /* chosen: above what it takes to prove as many */
#define ASKED_MAX 16                                                  /* chosen */
#define ASK_AGAIN (2 * SEC)                                           /* chosen: above the round trip of any link */
#define REFUSED_AGAIN (60 * SEC) /* chosen: for when the realm has certified it meanwhile */
#define RENEW_S 120              /* chosen: several times */
#define RENEW_AGAIN (15 * SEC)   /* chosen: of 1,024 providers 68 questions a second, of 100 that one border answers */
#define SWAP_PERCENT 90          /* chosen: a border that is nearer by less takes no other's place */
#define WEIGHT 100               /* of a border: all alike */

_Static_assert(FEDERATION_LINKS_MAX <= 8, "bits of has and used");
_Static_assert(FEDERATION_ADOPTED_MAX <= XDP_GROUPS_MAX / 2 && FEDERATION_ADOPTED_MAX <= XDP_ROUTERS_MAX / 2,
               "half of what passes in the kernel is for this provider's own routers");

void services_init(struct realm *r, const uint8_t seed[16])
{
    map64_init(&r->services, FEDERATION_SERVICES_MAX, get_le64(seed));
    list_init(&r->all);
    list_init(&r->to_ask);
    list_init(&r->asked);
    list_init(&r->refused);
}

static void wait_in(struct realm *r, struct list *where, struct service *s, enum service_state state, instant next)
{
    if (s->asked_of < FEDERATION_LINKS_MAX)
        r->borders[s->asked_of]->asked--;
    if (s->asked_of < FEDERATION_LINKS_MAX || where == &r->to_ask)
        r->may_ask = UINT8_MAX;
    s->asked_of = FEDERATION_LINKS_MAX;
    list_remove(&s->waiting);
    if (where)
        list_append(where, &s->waiting);
    s->state = (uint8_t)state;
    s->next = next;
}

/* It takes a place of that border's; FEDERATION_LINKS_MAX: of nobody's. */
static void charge(struct realm *r, struct service *s, unsigned to)
{
    if (s->charged_to < FEDERATION_LINKS_MAX)
        r->borders[s->charged_to]->charged--;
    if (to < FEDERATION_LINKS_MAX)
        r->borders[to]->charged++;
    s->charged_to = (uint8_t)to;
}

static void service_free(struct realm *r, struct service *s)
{
    wait_in(r, NULL, s, SERVICE_REFUSED, 0);
    charge(r, s, FEDERATION_LINKS_MAX);
    map64_remove(&r->services, service_key(s->protocol, s->provider));
    list_remove(&s->all);
    free(s);
}

void services_free(struct realm *r)
{
    LIST_FOREACH_SAFE (s, &r->all, struct service, all)
        service_free(r, s);
    map64_deinit(&r->services);
}

/* NULL: there is no room for one more that this border tells of. */
static struct service *service_get(struct realm *r, uint16_t protocol, uint32_t provider, unsigned border)
{
    uint64_t key = service_key(protocol, provider);
    struct service *s = map64_get(&r->services, key);

    if (s)
        return s;
    s = r->borders[border]->charged < UNPROVED_MAX ? calloc(1, sizeof(*s)) : NULL;
    if (!s)
        return NULL;
    s->protocol = protocol;
    s->provider = provider;
    s->asked_of = s->charged_to = FEDERATION_LINKS_MAX;
    list_init(&s->all);
    list_init(&s->waiting);
    if (map64_put(&r->services, key, s) < 0) {
        free(s);
        return NULL;
    }
    list_append(&r->all, &s->all);
    charge(r, s, border);
    wait_in(r, &r->to_ask, s, SERVICE_UNPROVED, 0);
    return s;
}

/* --- registrations --- */

static struct registration *registered(const struct federation *f, const struct realm *r, const struct service *s,
                                       const struct border *b)
{
    struct registration *m =
        registry_find(f->registry, s->protocol, s->provider, get_be32(b->at.addr.bytes), b->at.port);

    return m && m->realm == r->number ? m : NULL;
}

/* gone: the border has it no longer, and that is damped; else another is nearer. */
static void release(struct federation *f, struct realm *r, struct service *s, unsigned i, bool gone, instant now)
{
    struct registration *m = s->used >> i & 1 ? registered(f, r, s, r->borders[i]) : NULL;

    if (s->used >> i & 1)
        r->adopted--;
    s->used &= (uint8_t) ~(1u << i);
    if (m)
        registry_leave(f->registry, m, gone, now); /* and registry_settle by who began it */
}

/* It is one more registration, or one that is held. False: it cannot be. */
static bool adopt(struct federation *f, struct realm *r, struct service *s, unsigned i, instant now)
{
    struct border *b = r->borders[i];
    struct registration *m = registered(f, r, s, b), claim = { .protocol = s->protocol,
                                                               .provider = s->provider,
                                                               .addr = get_be32(b->at.addr.bytes),
                                                               .port = b->at.port,
                                                               .weight = WEIGHT,
                                                               .origin = b->gateway,
                                                               .realm = r->number };
    uint16_t wait_s;
    int refusal;

    if (!m) {
        size_t most = MIN((size_t)FEDERATION_ADOPTED_MAX, registry_capacity(f->registry) / 2);
        bool full = r->adopted >= most / f->realms_count;

        release(f, r, s, i, false, now);
        refusal = full ? DMUX_REFUSED_FULL : registry_claim(f->registry, &claim, now, &m, &wait_s);
        if (refusal != 0) { /* tried each second, and counted once */
            if (!(s->denied >> i & 1))
                r->drops[refusal == DMUX_REFUSED_DAMPED ? FEDERATION_DROP_DAMPED : FEDERATION_DROP_FULL]++;
            s->denied |= (uint8_t)(1u << i);
            return false;
        }
        s->denied &= (uint8_t) ~(1u << i);
        registry_set_pass(f->registry, m, b->pass);
        s->used |= (uint8_t)(1u << i);
        r->adopted++;
    }
    m->until_s = s->until_s;
    registry_prove(f->registry, m, (span)b->rtt_us + s->rtt_us[i], now);
    return true;
}

static uint64_t distance(const struct realm *r, const struct service *s, unsigned i)
{
    uint64_t d = (uint64_t)r->borders[i]->rtt_us + s->rtt_us[i];

    return s->used >> i & 1 ? d * SWAP_PERCENT / 100 : d;
}

/* The nearest that has it, gave a pass, and is none of these; FEDERATION_LINKS_MAX: none. */
static unsigned nearest(const struct realm *r, const struct service *s, uint8_t but)
{
    unsigned best = FEDERATION_LINKS_MAX;

    for (unsigned i = 0; i < FEDERATION_LINKS_MAX; i++) {
        if ((s->has & ~but) >> i & 1 && r->borders[i]->pass_at != 0 &&
            (best == FEDERATION_LINKS_MAX || distance(r, s, i) < distance(r, s, best)))
            best = i;
    }
    return best;
}

/* The nearest that the registry takes are registered, and no others. Who serves comes before who does no longer, so
 * that nobody is without. gone: those of whom has it no longer, which is damped. */
static void settle(struct federation *f, struct realm *r, struct service *s, uint8_t gone, instant now)
{
    uint8_t wanted = 0, refused = 0;

    for (unsigned n = 0; n < FEDERATION_NEAREST && s->state == SERVICE_PROVED;) {
        unsigned i = nearest(r, s, wanted | refused);

        if (i == FEDERATION_LINKS_MAX)
            break;
        if (adopt(f, r, s, i, now)) {
            wanted |= (uint8_t)(1u << i);
            n++;
        } else {
            refused |= (uint8_t)(1u << i);
        }
    }
    for (unsigned i = 0; i < FEDERATION_LINKS_MAX; i++) {
        if ((s->used & ~wanted) >> i & 1)
            release(f, r, s, i, gone >> i & 1, now);
    }
}

/* --- whose it is --- */

static void refuse(struct realm *r, enum federation_drop cause, uint32_t gateway, uint16_t protocol, uint32_t provider)
{
    r->drops[cause]++;
    r->refusal =
        (struct federation_refusal){ .cause = cause, .gateway = gateway, .provider = provider, .protocol = protocol };
}

/* A border that has it. */
static uint32_t teller(const struct realm *r, const struct service *s)
{
    for (unsigned i = 0; i < FEDERATION_LINKS_MAX; i++) {
        if (s->has >> i & 1)
            return r->borders[i]->gateway;
    }
    return 0;
}

/* It waits for somebody to be asked, or until it is looked at again. What is proved is, until its certificate ends. */
static void reconsider(struct realm *r, struct service *s, instant now)
{
    bool proved = s->state == SERVICE_PROVED;

    if (s->has & ~s->bad) {
        wait_in(r, &r->to_ask, s, proved ? SERVICE_PROVED : SERVICE_UNPROVED, 0);
    } else if (proved) {
        s->bad = 0;
        wait_in(r, NULL, s, SERVICE_PROVED, now + RENEW_AGAIN);
    } else {
        wait_in(r, &r->refused, s, SERVICE_REFUSED, now + REFUSED_AGAIN);
    }
}

/* By what is known of the provider's keys. False: no certificate is known. */
static bool judge(struct federation *f, struct realm *r, struct service *s, instant now)
{
    const uint8_t *key = credentials_key(r->credentials, s->provider, f->wall_s), *own;
    enum federation_drop cause = FEDERATION_DROP_COUNT;

    if (!key)
        return false;
    own = credentials_key(f->own, s->provider, f->wall_s);
    if (credentials_check(r->credentials, s->provider, s->protocol, key, f->wall_s, &s->until_s) < 0)
        cause = FEDERATION_DROP_CERTIFICATE;
    else if (own && memcmp(own, key, IDENT_KEY_LEN) != 0)
        cause = FEDERATION_DROP_KEY;
    if (cause == FEDERATION_DROP_COUNT) {
        s->bad = 0;
        charge(r, s, FEDERATION_LINKS_MAX);
        wait_in(r, NULL, s, SERVICE_PROVED, now + RENEW_AGAIN);
    } else {
        refuse(r, cause, teller(r, s), s->protocol, s->provider);
        s->bad = UINT8_MAX; /* whoever else says so */
        s->state = SERVICE_UNPROVED;
        reconsider(r, s, now);
    }
    return true;
}

/* This border has shown nothing that proves it: another may, or for a while nobody is asked. */
static void doubt(struct realm *r, struct service *s, unsigned border, enum federation_drop cause, instant now)
{
    refuse(r, cause, r->borders[border]->gateway, s->protocol, s->provider);
    s->bad |= (uint8_t)(1u << border);
    reconsider(r, s, now);
}

/* Does a border have something of this provider's? */
static bool is_told(const void *ctx, uint32_t provider)
{
    const struct realm *r = ctx;
    bool told = false;

    for (unsigned i = 0; i < r->o->authority.protocols_count; i++)
        told |= map64_get(&r->services, service_key(r->o->authority.protocols[i], provider)) != NULL;
    return told;
}

/* What is not told any more makes room. */
static int learn(struct federation *f, struct realm *r, const struct federation_message *m)
{
    int e = credentials_learn(r->credentials, m->key, m->rest, m->rest_len, f->wall_s);

    if (e != -ENOSPC)
        return e;
    credentials_forget(r->credentials, is_told, r);
    return credentials_learn(r->credentials, m->key, m->rest, m->rest_len, f->wall_s);
}

void services_take_certificate(struct federation *f, struct realm *r, unsigned border,
                               const struct federation_message *m, instant now)
{
    bool asked = false;
    int e;

    LIST_FOREACH (s, &r->asked, struct service, waiting)
        asked |= s->provider == m->provider && s->asked_of == border;
    if (!asked)
        return;
    e = learn(f, r, m);
    LIST_FOREACH_SAFE (s, &r->asked, struct service, waiting) {
        if (s->provider != m->provider)
            continue;
        if (e == 0 && judge(f, r, s, now))
            settle(f, r, s, 0, now);
        else if (s->asked_of == border)
            doubt(r, s, border, e == -ENOSPC ? FEDERATION_DROP_FULL : FEDERATION_DROP_CERTIFICATE, now);
    }
}

/* Whether this border is to be asked next: each that has it once, and then again. */
static bool is_next(const struct service *s, unsigned border)
{
    unsigned open = s->has & ~s->bad, fresh = open & ~s->tried;

    return (fresh ? fresh : open) >> border & 1;
}

uint32_t services_prove(struct realm *r, unsigned border, instant now)
{
    const uint8_t bit = (uint8_t)(1u << border);

    if (!(r->may_ask & bit))
        return 0;
    LIST_FOREACH (s, &r->to_ask, struct service, waiting) {
        if (r->borders[border]->asked >= ASKED_MAX)
            break;
        if (!is_next(s, border))
            continue;
        if (!(s->has & ~s->bad & ~s->tried))
            s->tried = 0;
        s->tried |= bit;
        wait_in(r, &r->asked, s, s->state, now + ASK_AGAIN);
        s->asked_of = (uint8_t)border;
        r->borders[border]->asked++;
        return s->provider;
    }
    r->may_ask &= (uint8_t)~bit;
    return 0;
}

/* --- what is told --- */

bool services_may_give(const struct realm *r, uint16_t protocol, uint32_t provider)
{
    const struct authority *a = &r->o->authority;
    bool named = false;

    for (unsigned i = 0; i < a->protocols_count; i++)
        named |= a->protocols[i] == protocol;
    return named && provider >= a->provider_first && provider <= a->provider_last;
}

static void lose(struct federation *f, struct realm *r, struct service *s, unsigned i, bool gone, instant now)
{
    const uint8_t others = (uint8_t) ~(1u << i);

    s->has &= others;
    if (s->charged_to == i)
        charge(r, s, s->has ? (unsigned)__builtin_ctz(s->has) : FEDERATION_LINKS_MAX);
    s->bad &= others;
    s->tried &= others;
    s->denied &= others;
    if (s->asked_of == i || (s->state != SERVICE_REFUSED && !list_empty(&s->waiting) && !(s->has & ~s->bad)))
        reconsider(r, s, now);
    settle(f, r, s, (uint8_t)(gone << i), now);
    if (s->has == 0)
        service_free(r, s);
}

static void take_item(struct federation *f, struct realm *r, unsigned i, const struct federation_item *item,
                      instant now)
{
    struct service *s = map64_get(&r->services, service_key(item->protocol, item->provider));

    if (item->rtt_us == FEDERATION_GONE) {
        if (s && s->has >> i & 1)
            lose(f, r, s, i, true, now);
        return;
    }
    if (!services_may_give(r, item->protocol, item->provider)) {
        refuse(r, FEDERATION_DROP_NUMBER, r->borders[i]->gateway, item->protocol, item->provider);
        return;
    }
    s = s ? s : service_get(r, item->protocol, item->provider, i);
    if (!s) {
        r->drops[FEDERATION_DROP_FULL]++;
        r->borders[i]->missed = true;
        return;
    }
    s->has |= (uint8_t)(1u << i);
    s->rtt_us[i] = item->rtt_us;
    if (s->state == SERVICE_REFUSED && s->has & ~s->bad) /* it may show what others could not */
        wait_in(r, &r->to_ask, s, SERVICE_UNPROVED, 0);
    if (s->state == SERVICE_UNPROVED)
        judge(f, r, s, now);
    settle(f, r, s, 0, now);
}

void services_take(struct federation *f, struct realm *r, unsigned border, const struct federation_message *m,
                   instant now)
{
    struct reader rd = reader_init(m->rest, m->rest_len);
    struct federation_item item;

    while (federation_next_item(&rd, &item))
        take_item(f, r, border, &item, now);
}

void services_lose(struct federation *f, struct realm *r, unsigned border, bool silent, instant now)
{
    LIST_FOREACH_SAFE (s, &r->all, struct service, all) {
        if (s->has >> border & 1)
            lose(f, r, s, border, silent, now);
    }
}

void services_set_pass(struct federation *f, struct realm *r, unsigned border)
{
    LIST_FOREACH (s, &r->all, struct service, all) {
        struct registration *m = s->used >> border & 1 ? registered(f, r, s, r->borders[border]) : NULL;

        if (m)
            registry_set_pass(f->registry, m, r->borders[border]->pass);
    }
}

/* Where there is room again for what there was none for: from the beginning. */
static void hear_again(struct realm *r, struct border *b, instant now)
{
    if (!b->missed || now < b->again_at || b->charged >= UNPROVED_MAX / 2 || r->services.count >= r->services.max_items)
        return;
    b->missed = false;
    b->again_at = now + HEAR_AGAIN;
    b->have = 0;
    b->ping_next = now; /* which says so */
}

/* Where its certificate ends soon: by what is known by now, or a border is asked for a newer one. */
static void renew(struct federation *f, struct realm *r, struct service *s, instant now)
{
    bool ended = s->until_s < f->wall_s;

    if (s->until_s == 0 || s->until_s > f->wall_s + RENEW_S || (!ended && (!list_empty(&s->waiting) || now < s->next)))
        return;
    judge(f, r, s, now);
    if (s->state == SERVICE_PROVED && s->until_s != 0 && s->until_s <= f->wall_s + RENEW_S)
        wait_in(r, &r->to_ask, s, s->until_s < f->wall_s ? SERVICE_UNPROVED : SERVICE_PROVED, 0);
}

void services_tend(struct federation *f, struct realm *r, instant now)
{
    for (unsigned i = 0; i < FEDERATION_LINKS_MAX; i++) {
        if (r->borders[i] && r->borders[i]->up)
            hear_again(r, r->borders[i], now);
    }
    while (!list_empty(&r->asked) && LIST_FIRST(&r->asked, struct service, waiting)->next <= now) {
        struct service *s = LIST_FIRST(&r->asked, struct service, waiting);

        wait_in(r, &r->to_ask, s, s->state, 0);
    }
    while (!list_empty(&r->refused) && LIST_FIRST(&r->refused, struct service, waiting)->next <= now) {
        struct service *s = LIST_FIRST(&r->refused, struct service, waiting);

        s->bad = 0;
        wait_in(r, &r->to_ask, s, SERVICE_UNPROVED, 0);
    }
    LIST_FOREACH (s, &r->all, struct service, all) {
        if (s->state == SERVICE_PROVED)
            renew(f, r, s, now);
        if (s->state == SERVICE_PROVED || s->used != 0)
            settle(f, r, s, 0, now);
    }
}
