/* mapping/manager_log.c - the ring of changes: what a store is given of the table, and when leases end.
 *
 * Theory of operation. See manager.c. The ring's entry says which row has changed; what it is now is what the store is
 * given, so that a change that was overtaken is stored as what overtook it. A row that is not in the table any more has
 * given way to others, which its sequence must outlive, or was forgotten with its subject: the entry says which.
 *
 * Limits: log_max entries, until revocations want more. */
#include "mapping/internal.h"

struct touched {
    const struct manager *m;
    const struct tag *subject;
    uint8_t answer;
};

/* Whether a subscription may know of what has changed. Who has to show its chain again, since it was forgotten, is who
 * it was, so that it is told to ask. */
static bool may_know(void *ctx, const struct subscription *sub)
{
    const struct touched *t = ctx;
    const struct manager_who asks = { .peer = sub->peer, .ed25519 = sub->key };
    struct who w = manager_identify(t->m, &asks, t->m->wall_s);

    if (w.type == WHO_STRANGER && !trust_is_revoked(t->m->trust, &sub->tag))
        w.tag = sub->tag;
    return manager_class(t->m, &w, t->subject, t->m->wall_s) >= t->answer;
}

/* Doubles the ring: entries keep their numbers. False: as large as it may be, or no memory. */
static bool grow_log(struct manager *m)
{
    const uint64_t size = 2ull * m->log_size, most = 2ull * ((uint64_t)m->o.log_max + m->o.bindings_max);
    struct change *log = size <= most && size <= UINT32_MAX ? malloc(size * sizeof(*log)) : NULL;

    if (!log)
        return false;
    for (uint64_t n = m->head; n > 0 && m->head - n < m->log_size; n--)
        log[n & (size - 1)] = m->log[n & (m->log_size - 1)];
    free(m->log);
    m->log = log;
    m->log_size = (uint32_t)size;
    return true;
}

static void add_change(struct manager *m, const struct change *c, uint8_t pace, instant now)
{
    const struct tag *subject = &c->key.subject;

    if (!m->o.stores || m->head - m->stored < m->log_size || grow_log(m))
        m->log[++m->head & (m->log_size - 1)] = *c;
    else
        m->gap = ++m->head;
    if (m->head > m->log_size)
        policies_drop_ended(m->policies, m->head - m->log_size);
    subscribers_touch(m->subscribers, subject, m->head, pace, now, may_know,
                      &(struct touched){ m, subject, c->key.answer });
}

void manager_changed(struct manager *m, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t seq,
                     uint8_t pace, instant now)
{
    add_change(m, &(struct change){ .key = { *subject, kind, answer }, .seq = seq }, pace, now);
}

void manager_forget(struct manager *m, const struct tag *subject, instant now)
{
    struct binding b;

    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        for (unsigned answer = CLASS_AGENT; answer <= CLASS_FULL; answer++)
            if (bindings_get(m->bindings, subject, (uint8_t)kind, (uint8_t)answer, now, &b) == 0)
                add_change(m,
                           &(struct change){ .key = { *subject, b.kind, b.answer }, .forgotten = true, .seq = b.seq },
                           PACE_MOBILE, now);
    bindings_forget(m->bindings, subject);
    policies_end(m->policies, subject, m->head);
}

/* --- the store --- */

/* What the store has told itself is durable with what is before it. */
static void pass_known(struct manager *m)
{
    while (m->stored < m->taken && m->log[(m->stored + 1) & (m->log_size - 1)].known)
        m->stored++;
}

bool manager_pop_change(struct manager *m, instant now, struct manager_change *ret)
{
    struct change *c;

    do {
        pass_known(m);
        if (!m->o.stores || m->taken == m->head)
            return false;
        c = &m->log[++m->taken & (m->log_size - 1)];
    } while (c->known);
    *ret = (struct manager_change){ .number = m->taken };
    if (bindings_get(m->bindings, &c->key.subject, c->key.kind, c->key.answer, now, &ret->row) < 0) {
        ret->forgotten = c->forgotten;
        ret->row =
            (struct binding){ .subject = c->key.subject, .kind = c->key.kind, .answer = c->key.answer, .seq = c->seq };
    }
    c->seq = ret->row.seq;
    return true;
}

void manager_stored(struct manager *m, uint64_t number)
{
    m->stored = MAX(m->stored, MIN(number, m->taken));
    pass_known(m);
}

uint64_t manager_durable(const struct manager *m)
{
    return m->stored;
}

void manager_store_again(struct manager *m)
{
    m->taken = m->stored;
}

bool manager_store_has_newer(struct manager *m, uint64_t number, uint64_t newest, instant now, struct manager_row *ret)
{
    const struct change c = m->log[number & (m->log_size - 1)];
    const struct index_key *k = &c.key;
    struct binding b;

    if (number <= m->stored || number > m->taken || c.forgotten ||
        bindings_get(m->bindings, &k->subject, k->kind, k->answer, now, &b) < 0 || b.seq > newest ||
        (b.seq == newest && c.seq < newest))
        return false;
    if (bindings_end(m->bindings, &k->subject, k->kind, k->answer, newest))
        add_change(m, &(struct change){ .key = *k, .known = true, .seq = newest }, b.pace, now);
    *ret = (struct manager_row){ k->subject, k->kind, k->answer };
    return true;
}

/* --- time --- */

/* Whether leases may end: each is a change that the store is to be given. */
static bool may_expire(const struct manager *m)
{
    return !m->o.stores || m->head - m->stored < m->log_size - m->log_size / 4;
}

instant manager_next_expiry(const struct manager *m)
{
    const instant due = subscribers_next_due(m->subscribers);

    if (!may_expire(m)) /* until the store has gone on */
        return due;
    return m->expiring ? 0 : instant_min(bindings_next_expiry(m->bindings), due);
}

/* True: all that ended was said. */
static bool say_expired(struct manager *m, instant now)
{
    struct binding b;

    while (may_expire(m)) {
        if (!bindings_pop_expired(m->bindings, &b))
            return true;
        manager_changed(m, &b.subject, b.kind, b.answer, b.seq, b.pace, now);
    }
    return false;
}

void manager_on_expiry(struct manager *m, instant now)
{
    m->expiring = !say_expired(m, now);
    if (m->expiring)
        return;
    bindings_on_expiry(m->bindings, now);
    m->expiring = !say_expired(m, now);
}
