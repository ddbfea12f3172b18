/* sim/media.c - see media.h. */
#include "sim/media.h"

#include "sim/pattern.h"

#include <assert.h>
#include <errno.h>

#define EVERY MSEC

static size_t length_of(const struct media_spec *s, uint64_t number)
{
    return s->key_every > 0 && number % s->key_every == 0 ? s->key_bytes : s->bytes;
}

static struct session *session_of(const struct world_end *e, unsigned peer)
{
    return e->node ? node_peer_session(e->node, peer) : NULL;
}

static void send_one(struct media *m, instant now)
{
    struct session *s = session_of(m->from, m->from_peer);
    struct adus *a = s ? session_adus_for_sending(s) : NULL;
    size_t len = length_of(&m->spec, m->sent);
    uint8_t *data = malloc(len + 1);
    int r;

    assert(data);
    pattern_fill(data, len, m->sent, 0);
    r = a ? adus_send(a, data, len, &m->spec.unit, now) : -ENOTCONN;
    free(data);
    if (r == 0)
        m->sent_at[m->sent++] = now;
    else if (r == -EAGAIN)
        m->refused++;
    else
        m->error = r;
}

static void check(struct media *m, const struct adu_received *u, const uint8_t *data, instant now)
{
    size_t right;
    span delay;

    if (u->number >= m->sent || m->seen[u->number] || u->len != length_of(&m->spec, u->number) ||
        (!u->unordered && u->number < m->next_number)) {
        world_fail(m->to->world, "unit %llu: twice, out of order, or of another length", (unsigned long long)u->number);
        return;
    }
    right = pattern_check(data, u->len, u->number, 0);
    if (right < u->len) {
        world_fail(m->to->world, "unit %llu, byte %zu is wrong", (unsigned long long)u->number, right);
        return;
    }
    delay = now - m->sent_at[u->number];
    m->seen[u->number] = true;
    m->next_number = u->number + 1;
    m->delay_max = MAX(m->delay_max, delay);
    m->delay_sum += delay;
    if (m->read++ > 0)
        m->jitter_sum += delay > m->last_delay ? delay - m->last_delay : m->last_delay - delay;
    m->last_delay = delay;
    m->late += m->spec.unit.lifetime > 0 && delay > m->spec.unit.lifetime + EVERY;
}

static bool read_some(struct media *m, instant now)
{
    static uint8_t data[ADU_LEN_MAX];
    struct session *s = session_of(m->to, m->to_peer);
    struct adus *a = s ? session_adus(s) : NULL;
    struct adu_received u;
    bool any = false;

    while (a && adus_receive(a, data, sizeof(data), &u, now) >= 0) {
        check(m, &u, data, now);
        any = true;
    }
    return any;
}

static bool is_done(const struct media *m)
{
    return m->sent == (m->spec.count ? m->spec.count : MEDIA_UNITS_MAX);
}

static void fire(struct world *w, struct world_source *s)
{
    struct media *m = CONTAINER_OF(s, struct media, source);

    if (w->now >= m->next_at && !is_done(m)) {
        send_one(m, w->now);
        m->next_at += m->spec.interval;
        world_peer_wake(m->from, m->from_peer);
    }
    if (read_some(m, w->now))
        world_peer_wake(m->to, m->to_peer);
    world_schedule(w, s, w->now + EVERY);
}

struct media *media_new(struct world_end *from, unsigned from_peer, struct world_end *to, unsigned to_peer,
                        const struct media_spec *spec)
{
    struct media *m = calloc(1, sizeof(*m));

    assert(m && spec->count <= MEDIA_UNITS_MAX);
    m->spec = *spec;
    m->from = from;
    m->from_peer = from_peer;
    m->to = to;
    m->to_peer = to_peer;
    m->next_at = from->world->now;
    world_source_init(from->world, &m->source, fire);
    world_schedule(from->world, &m->source, from->world->now);
    return m;
}

void media_free(struct media *m)
{
    free(m);
}

void media_stop(struct media *m)
{
    m->spec.count = m->sent;
}

double media_bad(const struct media *m)
{
    unsigned all = m->sent + m->refused;

    return all > 0 ? 1 - (double)(m->read - m->late) / all : 0;
}
