/* mapping/manager_calls.c - hosts are told who is about to call them.
 *
 * Theory of operation. A lookup may say that a call follows, and from where. Of an answer that tells all, the subject
 * is told of it: nobody else can have it told anything. It is told over the association in which it spoke last, and so
 * by the manager that it spoke to. A manager that follows another passes calls on to that one, which knows by way of
 * whom the subject spoke: itself, or one that follows it. What comes from there goes on to who spoke for the subject
 * here, and never back. So a call passes each manager once in each direction.
 *
 * Who spoke here may be known before his binding has come from the manager that is followed; so much is kept apart
 * until it comes.
 *
 * Limits: MANAGER_CALLS_MAX wait; HEARD_MAX are kept apart, the oldest gives way. */
#include "mapping/internal.h"

/* NULL: too many wait. */
static struct manager_call *place_for(struct manager *m)
{
    if (m->calls_count == MANAGER_CALLS_MAX) {
        m->stats.calls_lost++;
        return NULL;
    }
    return &m->calls[(m->calls_head + m->calls_count++) % MANAGER_CALLS_MAX];
}

void manager_call(struct manager *m, const struct who *w, const struct mapping_request *r, const struct binding *b,
                  uint64_t wall_s, struct mapping_relay *ret_relay)
{
    const uint64_t peer = m->o.follows ? MANAGER_FOLLOWED : b->peer;
    struct manager_call *c = peer ? place_for(m) : NULL;

    if (!c)
        return;
    *c = (struct manager_call){ .peer = peer, .caller = w->tag, .callee = b->subject, .places_count = r->places_count };
    memcpy(c->places, r->places, sizeof(c->places));
    if (m->relay.at.addr.family != ADDR_NONE) {
        /* A manager without a clock gives no relay that would be believed. */
        struct grant g = { .channel = rng_nonzero(&m->relay.rng), .until_s = (uint32_t)wall_s + GRANT_LIFE_S };

        ret_relay->at = c->relay.at = m->relay.at;
        grant_seal(m->relay.key, &g, ret_relay->grant);
        g.side = 1;
        grant_seal(m->relay.key, &g, c->relay.grant);
    }
}

void manager_called(struct manager *m, const struct mapping_request *r, bool from_followed, instant now)
{
    const bool up = m->o.follows && !from_followed;
    struct manager_call *c;
    struct binding b;

    if (bindings_find(m->bindings, &r->prefix.tag, KIND_HOST_LOCATOR, CLASS_FULL, now, &b) < 0)
        return;
    c = up || b.peer ? place_for(m) : NULL;
    if (!c)
        return;
    *c = (struct manager_call){ .peer = up ? MANAGER_FOLLOWED : b.peer,
                                .caller = r->tag,
                                .callee = b.subject,
                                .places_count = r->places_count,
                                .relay = r->relay };
    memcpy(c->places, r->places, sizeof(c->places));
}

static bool is_of(const struct heard *h, const struct tag *subject, uint8_t kind, uint8_t answer)
{
    return h->row.kind == kind && h->row.answer == answer && tag_equal(&h->row.subject, subject);
}

void manager_heard(struct manager *m, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t peer)
{
    struct heard *h = NULL;

    if (kind != KIND_HOST_LOCATOR || bindings_set_peer(m->bindings, subject, kind, answer, peer))
        return;
    /* Who says it again has no further place. */
    for (unsigned i = 0; i < MIN(m->heard_next, HEARD_MAX) && !h; i++)
        if (is_of(&m->heard[i], subject, kind, answer))
            h = &m->heard[i];
    if (!h)
        h = &m->heard[m->heard_next++ % HEARD_MAX];
    *h = (struct heard){ { *subject, kind, answer }, peer };
}

void manager_heard_follows(struct manager *m, const struct tag *subject, uint8_t kind, uint8_t answer)
{
    for (unsigned i = 0; i < MIN(m->heard_next, HEARD_MAX); i++) {
        struct heard *h = &m->heard[i];

        if (!h->peer || !is_of(h, subject, kind, answer))
            continue;
        (void)bindings_set_peer(m->bindings, subject, kind, answer, h->peer);
        h->peer = 0;
    }
}

void manager_set_relay(struct manager *m, const struct endpoint *at, const uint8_t key[IDENT_KEY_LEN],
                       const struct rng *rng)
{
    m->relay.at = *at;
    memcpy(m->relay.key, key, sizeof(m->relay.key));
    m->relay.rng = *rng;
}

size_t manager_pop_call(struct manager *m, uint8_t *out, uint64_t *ret_peer)
{
    struct writer w = writer_init(out, MANAGER_CALL_BYTES_MAX);
    struct mapping_request r = { .type = MAPPING_CALL };
    const struct manager_call *c = &m->calls[m->calls_head];

    if (m->calls_count == 0)
        return 0;
    m->calls_head = (m->calls_head + 1) % MANAGER_CALLS_MAX;
    m->calls_count--;
    m->stats.calls++;
    r.tag = c->caller;
    r.prefix = tag_prefix_of(&c->callee, sizeof(c->callee.bytes) * 8);
    r.places_count = c->places_count;
    memcpy(r.places, c->places, sizeof(r.places));
    r.relay = c->relay;
    mapping_request_write(&w, &r);
    *ret_peer = c->peer;
    return writer_len(&w);
}
