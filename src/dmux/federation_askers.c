/* dmux/federation_askers.c - whom this gateway tells, as a border, what it serves.
 *
 * Theory of operation. What there is to tell is a list of services in the order of their last change, from the
 * registry's sums: those that routers of one's own provide. Borders of others are in no sum, so what is told is never
 * what was heard. A service is told only if a certificate shows whose it is, which an asker may ask for. An asker that
 * listens has a mark in that list, up to where it was told, and one up to where it has said that it heard; one summary
 * is on its way at a time, and told again when it is not confirmed within RETELL. A service that is gone stays in the
 * list until all askers have heard so.
 *
 * With each PONG goes a pass: a cookie of this provider's gateways for the asker's address, which it shows with each
 * packet of its clients. It costs no state, and any gateway of this provider takes it.
 *
 * An asker is a gateway, by its card; where it is when it shakes hands anew, it is once it uses the new keys. One that
 * is silent for FEDERATION_SILENCE is told nothing, and goes on from where it was when it speaks again, unless it was
 * away for ABSENCE or has made room for another of its realm. Its wants and proofs are QUESTIONS_PER_S.
 *
 * Limits: FEDERATION_ASKERS_MAX askers of 700 bytes, of each realm an equal share; FEDERATION_SERVICES_MAX services are
 * told. One for which there was no room, or no certificate, is looked at again after SUM_UP_AGAIN. */
#include "dmux/federation_internal.h"

#include "ident/hash.h"

#include <errno.h>

#define RETELL (500 * MSEC) /* chosen: above the round trip of most pairs of gateways */
#define TICK (250 * MSEC)
#define BORDERS_EVERY (10 * SEC)
#define QUESTIONS_PER_S 100     /* chosen */
#define SUM_UP_AGAIN (10 * SEC) /* chosen */

static uint64_t gateway_key(size_t realm, uint32_t gateway)
{
    return (uint64_t)realm << 32 | gateway;
}

void askers_init(struct federation *f)
{
    map64_init(&f->by_index, FEDERATION_ASKERS_MAX, get_le64(f->seed));
    map64_init(&f->by_gateway, FEDERATION_ASKERS_MAX, get_le64(f->seed + 8));
    map64_init(&f->told, FEDERATION_SERVICES_MAX, get_le64(f->seed));
    list_init(&f->askers);
    list_init(&f->due);
    list_init(&f->order);
    f->askers_at = INSTANT_NEVER;
}

static void asker_free(struct federation *f, struct asker *g)
{
    map64_remove(&f->by_index, g->index);
    map64_remove(&f->by_gateway, gateway_key(g->realm, g->gateway));
    f->realms[g->realm].askers--;
    list_remove(&g->all);
    list_remove(&g->due);
    link_keys_free(&g->keys);
    link_keys_free(&g->fresh);
    free(g->answer);
    free(g);
}

static void told_free(struct federation *f, struct told *t)
{
    map64_remove(&f->told, t->key);
    list_remove(&t->in_order);
    free(t);
}

void askers_free(struct federation *f)
{
    LIST_FOREACH_SAFE (g, &f->askers, struct asker, all)
        asker_free(f, g);
    LIST_FOREACH_SAFE (t, &f->order, struct told, in_order)
        told_free(f, t);
    map64_deinit(&f->by_index);
    map64_deinit(&f->by_gateway);
    map64_deinit(&f->told);
}

static void mark(struct federation *f, struct asker *g)
{
    list_remove(&g->due);
    list_append(&f->due, &g->due);
}

/* Is there room for one more of the realm, or one that is silent makes some? */
static bool has_room(struct federation *f, size_t realm)
{
    struct asker *last = NULL;

    if (f->realms[realm].askers < FEDERATION_ASKERS_MAX / f->realms_count)
        return true;
    LIST_FOREACH (g, &f->askers, struct asker, all) {
        if (g->realm == realm && g->silent && (!last || g->heard < last->heard))
            last = g;
    }
    if (last)
        asker_free(f, last);
    return last != NULL;
}

/* NULL: its realm has its share of FEDERATION_ASKERS_MAX, or there is no memory. */
static struct asker *asker_new(struct federation *f, size_t realm, uint32_t gateway, instant now)
{
    struct asker *g = has_room(f, realm) ? calloc(1, sizeof(*g)) : NULL;

    if (!g)
        return NULL;
    list_init(&g->all);
    list_init(&g->due);
    g->realm = (uint8_t)realm;
    g->gateway = gateway;
    f->realms[realm].askers++;
    do {
        g->index = (uint32_t)rng_nonzero(&f->o.rng);
    } while (g->index == 0 || map64_get(&f->by_index, g->index));
    if (map64_put(&f->by_index, g->index, g) < 0 || map64_put(&f->by_gateway, gateway_key(realm, gateway), g) < 0) {
        asker_free(f, g);
        return NULL;
    }
    list_append(&f->askers, &g->all);
    g->heard = g->borders_next = now;
    f->askers_at = instant_min(f->askers_at, now + TICK);
    return g;
}

/* --- in --- */

void askers_on_init(struct federation *f, const uint8_t *data, size_t len, const struct endpoint *from, instant now)
{
    struct asker *g;
    uint8_t digest[BLAKE2S_LEN], answer[DMUX_REGISTER_MAX];
    struct link_sender c;
    struct noise n;
    int realm;

    realm = link_init_read(&f->end, f->link_realms, f->realms_count, data, len, from, f->wall_s, &n, &c);
    if (realm < 0) {
        f->drops[realm == -EBADMSG ? FEDERATION_DROP_MALFORMED : FEDERATION_DROP_STRANGER]++;
        return;
    }
    blake2s(digest, HASH_PARTS({ data, len }));
    g = map64_get(&f->by_gateway, gateway_key((size_t)realm, c.gateway));
    if (g && memcmp(g->fresh_digest, digest, sizeof(digest)) == 0) { /* repeated: it was answered */
        noise_wipe(&n);
        return;
    }
    if (!g)
        g = asker_new(f, (size_t)realm, c.gateway, now);
    if (!g) {
        noise_wipe(&n);
        f->realms[realm].drops[FEDERATION_DROP_FULL]++;
        return;
    }
    g->fresh_at = *from;
    g->fresh_until = now + FEDERATION_SILENCE;
    memcpy(g->fresh_digest, digest, sizeof(digest));
    link_keys_free(&g->fresh);
    free(g->answer);
    g->answer_len = link_answer_write(&f->end, &n, &c, g->index, answer, &g->fresh);
    g->answer = g->answer_len > 0 ? malloc(g->answer_len) : NULL;
    noise_wipe(&n);
    if (!g->answer)
        return;
    memcpy(g->answer, answer, g->answer_len);
    mark(f, g);
}

/* From now on under these keys, from there, and from the beginning. */
static void renew(struct asker *g, instant now)
{
    link_keys_free(&g->keys);
    g->keys = g->fresh;
    g->at = g->fresh_at;
    g->fresh = (struct link_keys){ 0 };
    g->sent = g->acked = 0;
    g->listens = false;
    g->proves_count = 0;
    g->borders_next = now;
}

/* By managers: it is looked for, or still is. */
static void on_want(struct federation *f, const struct asker *g, const struct federation_message *m, instant now)
{
    const struct registration *r = registry_select(f->registry, m->protocol, m->provider, 0);

    if (!f->directory)
        return;
    if (r && r->realm == 0 && r->origin != 0)
        directory_keep(f->directory, m->protocol, m->provider, r->origin, now);
    else if ((!r || r->realm != 0) &&
             directory_want(f->directory, m->protocol, m->provider, get_be32(g->at.addr.bytes), now) < 0)
        f->drops[FEDERATION_DROP_FULL]++;
}

/* Up to there; less than before: it is told from there again. */
static void heard(struct asker *g, uint64_t version)
{
    if (version > g->sent)
        return;
    if (version < g->acked)
        g->sent = version;
    g->acked = version;
    g->knows = MAX(g->knows, version);
}

static void on_text(struct federation *f, struct asker *g, const struct federation_message *m, instant now)
{
    bool question = m->kind == FEDERATION_WANT || m->kind == FEDERATION_PROVE ||
                    /* these have it told much again */
                    ((m->kind == FEDERATION_PING || m->kind == FEDERATION_HEARD) && m->version < g->acked);

    if (question && !bucket_take(&g->questions, QUESTIONS_PER_S, now)) {
        f->drops[FEDERATION_DROP_FLOOD]++;
        return;
    }
    switch (m->kind) {
    case FEDERATION_PING:
        g->pong_due = true;
        g->pong_nonce = m->nonce;
        if (!g->listens)
            g->knows = f->version; /* of what went before it has not heard that it was there */
        g->listens = m->version != FEDERATION_UNHEARD;
        heard(g, m->version);
        break;
    case FEDERATION_HEARD:
        heard(g, m->version);
        break;
    case FEDERATION_WANT:
        on_want(f, g, m, now);
        break;
    case FEDERATION_PROVE:
        if (g->proves_count < PROVES_MAX)
            g->proves[g->proves_count++] = m->provider;
        break;
    default: /* what only borders say */
        f->drops[FEDERATION_DROP_MALFORMED]++;
    }
}

bool askers_on_record(struct federation *f, const uint8_t *data, size_t len, const struct endpoint *from, instant now)
{
    struct asker *g = map64_get(&f->by_index, link_to(data));
    uint8_t text[MESH_TEXT_MAX];
    struct federation_message m;
    int n;

    if (!g)
        return false;
    n = g->keys.rx && endpoint_equal(&g->at, from) ? link_open(&g->keys, data, len, f->wall_s, text) : -EBADMSG;
    if (n < 0 && g->fresh.rx && endpoint_equal(&g->fresh_at, from) &&
        (n = link_open(&g->fresh, data, len, f->wall_s, text)) >= 0)
        renew(g, now);
    if (n < 0)
        return false;
    g->heard = now;
    g->silent = false;
    if (federation_read(text, (size_t)n, &m) < 0)
        f->drops[FEDERATION_DROP_MALFORMED]++;
    else
        on_text(f, g, &m, now);
    mark(f, g);
    return true;
}

/* --- out --- */

/* The summary behind what it was told; 0 items: there is none, or one is on its way. */
static size_t summary(struct federation *f, struct asker *g, struct federation_message *m, uint8_t rest[MESH_TEXT_MAX],
                      instant now)
{
    struct writer w = writer_init(rest, MESH_TEXT_MAX - 17);
    struct list *at = f->order.prev;

    if (!g->listens || (g->sent > g->acked && now < g->sent_at + RETELL))
        return 0;
    while (at != &f->order && CONTAINER_OF(at, struct told, in_order)->version > g->acked)
        at = at->prev;
    *m = (struct federation_message){ .kind = FEDERATION_SUMMARY, .from = g->acked, .version = g->acked, .rest = rest };
    for (at = at->next; at != &f->order && writer_left(&w) >= FEDERATION_ITEM_LEN; at = at->next) {
        const struct told *t = CONTAINER_OF(at, struct told, in_order);
        struct federation_item item = { .protocol = service_protocol(t->key),
                                        .provider = service_provider(t->key),
                                        .rtt_us = t->rtt_us };

        federation_put_item(&w, &item);
        m->version = t->version;
    }
    m->rest_len = writer_len(&w);
    if (m->rest_len > 0) {
        g->sent = m->version;
        g->sent_at = now;
    }
    return m->rest_len;
}

/* Others of this realm: the nearest, and as many of the rest, from another place each time. */
static size_t borders(const struct federation *f, uint8_t rest[MESH_TEXT_MAX])
{
    struct writer w = writer_init(rest, BORDERS_TOLD * MESH_MEMBER_LEN);
    size_t near = MIN(f->others_count, (size_t)BORDERS_TOLD / 2), far = f->others_count - near;
    size_t from = far > 0 ? (size_t)(rng_u64(&f->o.rng) % far) : 0;

    for (size_t i = 0; i < near; i++)
        mesh_put_member(&w, &f->others[i]);
    for (size_t i = 0; i < far && writer_left(&w) >= MESH_MEMBER_LEN; i++)
        mesh_put_member(&w, &f->others[near + (from + i) % far]);
    return writer_len(&w);
}

static bool certificate(const struct federation *f, struct asker *g, struct federation_message *m)
{
    const uint8_t *key;
    struct slice chain = { 0 };

    m->provider = g->proves[--g->proves_count];
    key = credentials_key(f->own, m->provider, f->wall_s);
    if (key)
        chain = credentials_chain(f->own, key);
    if (chain.len == 0)
        return false;
    m->kind = FEDERATION_CERTIFICATE;
    memcpy(m->key, key, sizeof(m->key));
    m->rest = chain.data;
    m->rest_len = chain.len;
    return true;
}

static void pong(const struct federation *f, struct asker *g, struct federation_message *m)
{
    struct shim_claim c = { .kind = SHIM_COOKIE_PASS, .client = get_be32(g->at.addr.bytes), .client_port = g->at.port };

    g->pong_due = false;
    m->kind = FEDERATION_PONG;
    m->nonce = g->pong_nonce;
    jar_mint(f->jar, &c, m->pass);
}

/* What an asker is to be told next; false: nothing. */
static bool choose(struct federation *f, struct asker *g, struct federation_message *m, uint8_t rest[MESH_TEXT_MAX],
                   instant now)
{
    *m = (struct federation_message){ .rest = rest };
    if (g->pong_due) {
        pong(f, g, m);
        return true;
    }
    while (g->proves_count > 0) {
        if (certificate(f, g, m))
            return true;
    }
    if (now >= g->borders_next) {
        g->borders_next = now + BORDERS_EVERY;
        m->kind = FEDERATION_BORDERS;
        m->rest_len = borders(f, rest);
        if (m->rest_len > 0)
            return true;
    }
    return summary(f, g, m, rest, now) > 0;
}

size_t askers_output(struct federation *f, uint8_t *out, struct endpoint *to, instant now)
{
    while (!list_empty(&f->due)) {
        struct asker *g = LIST_FIRST(&f->due, struct asker, due);
        uint8_t rest[MESH_TEXT_MAX];
        struct federation_message m;
        size_t len = g->answer_len;

        if (g->answer) {
            *to = g->fresh_at;
            memcpy(out, g->answer, len);
            free(g->answer);
            g->answer = NULL;
            g->answer_len = 0;
            return len;
        }
        *to = g->at;
        if (g->keys.tx && choose(f, g, &m, rest, now))
            return federation_seal(f, &g->keys, &m, out);
        list_remove(&g->due);
    }
    return 0;
}

instant askers_next_expiry(const struct federation *f)
{
    return !list_empty(&f->due) ? 0 : f->askers_at;
}

/* A service has come, gone, or is nearer or farther. */
static void take_service(struct federation *f, const struct registry_service *s, instant now)
{
    uint64_t key = service_key(s->protocol, s->provider);
    struct told *t = map64_get(&f->told, key);
    const uint8_t *vouched = s->there ? credentials_key(f->own, s->provider, f->wall_s) : NULL;
    bool there = vouched && credentials_chain(f->own, vouched).len > 0;

    f->unproven += s->there && !there;
    f->untold |= s->there && !there;
    if (!t && !there)
        return;
    if (!t) {
        t = calloc(1, sizeof(*t));
        if (!t || map64_put(&f->told, key, t) < 0) {
            free(t);
            f->drops[FEDERATION_DROP_FULL]++;
            f->untold = true;
            return;
        }
        t->key = key;
        list_init(&t->in_order);
    }
    t->version = ++f->version;
    t->at = now;
    t->rtt_us = there ? MIN(s->rtt_us, FEDERATION_GONE - 1) : FEDERATION_GONE;
    list_remove(&t->in_order);
    list_append(&f->order, &t->in_order);
}

/* What is gone is kept until all have heard so, ABSENCE at most, which is several times what it takes to be told all
 * services: who has not by then has no link any more, so that it begins anew. */
static void forget_gone(struct federation *f, instant now)
{
    uint64_t heard = UINT64_MAX, overdue = 0;

    LIST_FOREACH (t, &f->order, struct told, in_order) {
        if (t->at + ABSENCE > now)
            break;
        overdue = t->rtt_us == FEDERATION_GONE ? t->version : overdue;
    }
    LIST_FOREACH_SAFE (g, &f->askers, struct asker, all) {
        if (g->listens && g->knows < overdue)
            asker_free(f, g);
        else if (g->listens)
            heard = MIN(heard, g->knows);
    }
    LIST_FOREACH_SAFE (t, &f->order, struct told, in_order) {
        if (t->version > heard)
            break;
        if (t->rtt_us == FEDERATION_GONE)
            told_free(f, t);
    }
}

void askers_on_expiry(struct federation *f, instant now)
{
    struct registry_service s;
    bool changed = false;

    if (f->untold && f->again_at <= now && f->told.count < f->told.max_items) {
        f->again_at = now + SUM_UP_AGAIN;
        f->untold = false;
        f->unproven = 0;
        registry_sum_up_again(f->registry);
    }
    for (; registry_pop_service(f->registry, &s); changed = true)
        take_service(f, &s, now);
    if (!changed && now < f->askers_at)
        return;
    LIST_FOREACH_SAFE (g, &f->askers, struct asker, all) {
        g->silent = g->heard + FEDERATION_SILENCE <= now;
        if (g->fresh_until <= now && (g->heard + ABSENCE <= now || (g->silent && !g->keys.tx)))
            asker_free(f, g);
        else if (!g->silent && (changed || g->sent > g->acked || (f->others_count > 0 && now >= g->borders_next)))
            mark(f, g);
    }
    forget_gone(f, now);
    f->askers_at = list_empty(&f->askers) ? INSTANT_NEVER : now + TICK;
}

void federation_stats_get(const struct federation *f, struct federation_stats *ret)
{
    *ret = (struct federation_stats){ .unproven = f->unproven };
    LIST_FOREACH (g, &f->askers, struct asker, all)
        ret->askers += !g->silent;
    LIST_FOREACH (t, &f->order, struct told, in_order)
        ret->told += t->rtt_us != FEDERATION_GONE;
    memcpy(ret->drops, f->drops, sizeof(ret->drops));
}
