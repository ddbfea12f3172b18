/* tests/unit/channel_world.c - see channel_world.h. */
#include "tests/unit/channel_world.h"

#include "wire/header.h"

#define QUEUE (200 * MSEC)
#define POOL_PKTS 8192
#define PACKET_HEADER 28

struct datagram {
    struct list link;
    instant at;
    size_t len, segment;
    uint8_t data[];
};

static const struct endpoint acceptor_at = { { ADDR_V4, { 198, 51, 100, 10 } }, 51820 };

static struct locator_pair locator(unsigned end, unsigned link)
{
    const struct endpoint opener_at = { { ADDR_V4, { 10, 0, 0, (uint8_t)link } }, 4000 };

    if (end == 0)
        return (struct locator_pair){ .link = link, .local = opener_at.addr, .remote = acceptor_at };
    return (struct locator_pair){ .local = acceptor_at.addr, .remote = opener_at };
}

static void make_session(struct world *w, unsigned end, unsigned links)
{
    struct world_end *e = &w->ends[end];
    struct session_options o = {
        .self = &e->id,
        .self_mask = &e->mask,
        .rng = &e->rng,
        .pool = &e->pool,
        .cids = &e->cids,
        .opener = end == 0,
        .suites = SUITE_BIT(SUITE_CHACHA20_POLY1305),
        .features = FEATURES_KNOWN,
        .wait = 600 * SEC,
        .queue_pkts = POOL_PKTS / 2,
        .queue_bytes = 1 << 20,
        .reseq_pkts = 1024,
    };

    identity_peer_key(&w->ends[!end].id, o.suites, &o.peer);
    e->session = session_new(&o, w->now);
    assert_non_null(e->session);
    for (unsigned i = 0; i < links && end == 0; i++) {
        const struct session_path_spec spec = { .at = locator(0, i), .link = "up", .weight = 100 };

        assert_int_equal(session_path_add(e->session, &spec, w->now), (int)i);
    }
}

/* --- datagrams --- */

static void on_datagram(struct world *w, unsigned end, unsigned link, uint8_t *pkt, size_t len)
{
    struct world_end *e = &w->ends[end];
    struct locator_pair at = locator(end, link);
    struct handshake_seen seen;
    struct cid_entry *cid;

    switch (pkt[0]) {
    case PACKET_INIT:
        if (handshake_init_read(&e->mask, &e->id, SUITE_BIT(SUITE_CHACHA20_POLY1305), pkt, len, &seen) == 0)
            (void)!session_on_init(e->session, &seen, -1, &at, w->now);
        break;
    case PACKET_RESPONSE:
        (void)!session_on_response(e->session, pkt, len, &at, w->now);
        break;
    case PACKET_SEALED:
        cid = map64_get(&e->cids, get_be64(pkt) & CID_MASK);
        if (cid)
            session_on_sealed(cid, pkt, len, 0, &at, w->now);
        break;
    default:
        break;
    }
}

static void take_packets(struct world *w, unsigned end)
{
    struct world_end *e = &w->ends[end];
    struct session_packet pkt;
    struct session_event ev;

    while (session_pop_delivered(e->session, &pkt, w->now)) {
        assert_true(pkt.len > PACKET_HEADER && pkt.data[PACKET_HEADER] < ARRAY_LEN(e->packet_bytes));
        e->packet_bytes[pkt.data[PACKET_HEADER]] += pkt.len;
        pbuf_unref(pkt.owner);
    }
    while (session_pop_event(e->session, &ev))
        ;
}

static void arrive(struct world *w, unsigned end, unsigned link, struct datagram *d)
{
    size_t segment = d->segment ? d->segment : d->len;

    for (size_t at = 0; at < d->len; at += segment) {
        on_datagram(w, end, link, d->data + at, MIN(segment, d->len - at));
        take_packets(w, end);
    }
    free(d);
}

static void enter(struct world *w, unsigned end, unsigned link, const uint8_t *data, size_t len, size_t segment)
{
    struct world_link *l = &w->links[link][!end];
    instant begun = MAX(w->now, l->free_at);
    struct datagram *d;

    if (l->loses || begun - w->now > QUEUE)
        return;
    d = malloc(sizeof(*d) + len);
    assert_non_null(d);
    *d = (struct datagram){ .len = len, .segment = segment };
    memcpy(d->data, data, len);
    l->free_at = begun + (l->rate_bps ? (span)(len * 8 * SEC / l->rate_bps) : 0);
    d->at = l->free_at + l->delay;
    list_append(&l->flight, &d->link);
}

static void send_all(struct world *w, unsigned end)
{
    static uint8_t buf[SESSION_OUTPUT_MAX];
    struct session_tx tx;

    w->serve(w, end);
    while (session_output(w->ends[end].session, buf, &tx, w->now)) {
        enter(w, end, end == 0 ? tx.at.link : tx.at.remote.addr.bytes[3], buf, tx.len, tx.segment);
        w->serve(w, end);
    }
}

/* What is due now; when the next is. */
static instant step(struct world *w)
{
    instant next = INSTANT_NEVER;

    for (unsigned end = 0; end < 2; end++) {
        struct session *s = w->ends[end].session;

        for (unsigned i = 0; i < WORLD_LINKS; i++) {
            struct world_link *l = &w->links[i][end];

            while (!l->holds && !list_empty(&l->flight)) {
                struct datagram *d = LIST_FIRST(&l->flight, struct datagram, link);

                if (d->at > w->now)
                    break;
                list_remove(&d->link);
                arrive(w, end, i, d);
            }
        }
        if (session_next_expiry(s, w->now) <= w->now)
            session_on_expiry(s, w->now);
        send_all(w, end);
        take_packets(w, end);
    }
    for (unsigned end = 0; end < 2; end++) {
        next = instant_min(next, session_next_expiry(w->ends[end].session, w->now));
        for (unsigned i = 0; i < WORLD_LINKS; i++)
            if (!w->links[i][end].holds && !list_empty(&w->links[i][end].flight))
                next = instant_min(next, LIST_FIRST(&w->links[i][end].flight, struct datagram, link)->at);
    }
    return next;
}

void world_pass(struct world *w, span t)
{
    instant end = w->now + t, next;

    while ((next = step(w)) <= end)
        w->now = MAX(w->now + 50, next); /* us: a busy program does not wake more often */
    w->now = end;
}

/* --- life --- */

struct world *world_open(unsigned links)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->now = WORLD_START;
    w->serve = world_serve;
    for (unsigned end = 0; end < 2; end++) {
        struct world_end *e = &w->ends[end];

        prng_init(&e->prng, end + 1);
        e->rng = prng_rng(&e->prng);
        assert_int_equal(identity_generate(&e->id, &e->rng), 0);
        handshake_mask_init(&e->mask, e->id.x25519);
        assert_int_equal(pbuf_pool_init(&e->pool, POOL_PKTS), 0);
        map64_init(&e->cids, 1024, 0);
        for (unsigned i = 0; i < WORLD_LINKS; i++) {
            list_init(&w->links[i][end].flight);
            w->links[i][end].delay = 1 * MSEC;
        }
    }
    for (unsigned end = 0; end < 2; end++)
        make_session(w, end, links);
    session_connect(w->ends[0].session, NULL, 0, w->now);
    world_pass(w, 1 * SEC);
    assert_true(session_has_channels(w->ends[0].session) && session_has_channels(w->ends[1].session));
    return w;
}

void world_close(struct world *w)
{
    for (unsigned end = 0; end < 2; end++) {
        world_lose(w, end);
        session_free(w->ends[end].session);
        pbuf_pool_deinit(&w->ends[end].pool);
        map64_deinit(&w->ends[end].cids);
    }
    free(w);
}

void world_lose(struct world *w, unsigned end)
{
    for (unsigned i = 0; i < WORLD_LINKS; i++)
        LIST_FOREACH_SAFE (d, &w->links[i][end].flight, struct datagram, link) {
            list_remove(&d->link);
            free(d);
        }
}

void world_hold(struct world *w, unsigned end, bool holds)
{
    for (unsigned i = 0; i < WORLD_LINKS; i++)
        w->links[i][end].holds = holds;
}

void world_rate(struct world *w, unsigned link, uint64_t bps)
{
    w->links[link][0].rate_bps = w->links[link][1].rate_bps = bps;
}

void world_restart(struct world *w, unsigned end)
{
    session_free(w->ends[end].session);
    make_session(w, end, 0);
}

/* --- words of a liar --- */

void world_say(struct world *w, unsigned end, const uint8_t *msg, size_t len)
{
    assert_int_equal(session_send_message(w->ends[end].session, msg, len, w->now), 0);
}

void world_send_chunk(struct world *w, unsigned end, const struct chunk_header *h, size_t len)
{
    struct session *s = w->ends[end].session;
    enum schedule_direction to = s->cur->initiator ? SCHEDULE_TO_RESPONDER : SCHEDULE_TO_INITIATOR;
    uint8_t buf[PBUF_CAPACITY] = { 0 }, *plain = buf + SEALED_HEADER_LEN, key[32];
    uint64_t counter = path_next_counter(s->paths[0].path);
    struct aead *aead;

    chunk_header_put(plain, h);
    len += DATA_HEADER_LEN;
    schedule_path_key(s->cur->master, s->paths[0].id, to, key);
    aead = aead_new(s->cur->suite, key);
    assert_non_null(aead);
    sealed_header_put(buf, schedule_cid(s->cur->master, s->paths[0].id, to), counter);
    assert_int_equal(aead_seal(aead, counter, buf, SEALED_HEADER_LEN, plain, len, plain), 0);
    aead_free(aead);
    path_on_sent(s->paths[0].path, SEALED_HEADER_LEN + len + SEALED_TAG_LEN + 28, NULL, true, false, w->now);
    enter(w, end, 0, buf, SEALED_HEADER_LEN + len + SEALED_TAG_LEN, 0);
}

void world_packet(struct world *w, unsigned end, uint8_t flow, size_t len, enum flow_class class, uint16_t target)
{
    struct pbuf *b = pbuf_take(&w->ends[end].pool);

    assert_non_null(b);
    memset(b->data, 0, DATA_HEADER_LEN + len);
    b->data[DATA_HEADER_LEN] = 0x45;
    b->data[DATA_HEADER_LEN + PACKET_HEADER] = flow;
    b->len = (uint16_t)(DATA_HEADER_LEN + len);
    session_enqueue(w->ends[end].session, b, hash_mix64(flow), class, target, w->now);
}

/* --- channels --- */

struct channel_open world_request(unsigned i)
{
    return (struct channel_open){ .from = { { ADDR_V4, { 203, 0, 113, 2 } }, (uint16_t)(1 + i % 65535) },
                                  .to = { { ADDR_V4, { 192, 0, 2, (uint8_t)(i / 65535) } }, 443 } };
}

void world_serve(struct world *w, unsigned end)
{
    struct world_end *e = &w->ends[end];
    struct channel *c;

    while ((c = session_channel_pop(e->session))) {
        unsigned *pops = channel_owner(c);

        if (!pops && channel_state(c) == CHANNEL_OFFERED) {
            assert_true(e->offered_count < ARRAY_LEN(e->offered));
            e->offered[e->offered_count++] = c;
            channel_set_owner(c, &e->pops);
        } else {
            ++*(pops ? pops : &e->pops);
        }
    }
}

void world_ask(struct world *w, struct world_channel *ret)
{
    const struct channel_open q = world_request((unsigned)session_channels_count(w->ends[0].session));

    *ret = (struct world_channel){ 0 };
    assert_int_equal(session_channel_open(w->ends[0].session, &q.from, &q.to, w->now, &ret->c[0]), 0);
    channel_set_owner(ret->c[0], &ret->pops[0]);
}

void world_take(struct world *w, struct world_channel *ret)
{
    struct world_end *e = &w->ends[1];

    assert_true(e->offered_count > 0);
    ret->c[1] = e->offered[0];
    memmove(e->offered, e->offered + 1, --e->offered_count * sizeof(*e->offered));
    channel_set_owner(ret->c[1], &ret->pops[1]);
}

void world_offered(struct world *w, struct world_channel *ret)
{
    world_ask(w, ret);
    for (unsigned i = 0; i < 200 && w->ends[1].offered_count == 0; i++)
        world_pass(w, 10 * MSEC);
    world_take(w, ret);
}

void world_channel(struct world *w, struct world_channel *ret)
{
    world_offered(w, ret);
    channel_accept(ret->c[1]);
    for (unsigned i = 0; i < 200 && channel_state(ret->c[0]) == CHANNEL_ASKED; i++)
        world_pass(w, 10 * MSEC);
    assert_int_equal(channel_state(ret->c[0]), CHANNEL_OPEN);
}

uint8_t world_text(uint64_t at)
{
    return (uint8_t)(at * 131 + (at >> 8) * 7 + (at >> 16));
}

int64_t world_write(struct channel *c, uint64_t at, uint64_t len)
{
    static uint8_t buf[1 << 20];

    len = MIN(len, sizeof(buf));
    for (uint64_t i = 0; i < len; i++)
        buf[i] = world_text(at + i);
    return channel_write(c, buf, len);
}

uint64_t world_read(struct channel *c, uint64_t at)
{
    uint64_t sum = 0;
    struct slice s;

    while ((s = channel_peek(c)).len > 0) {
        for (size_t i = 0; i < s.len; i++)
            if (s.data[i] != world_text(at + sum + i))
                fail_msg("another byte at %llu", (unsigned long long)(at + sum + i));
        channel_consume(c, s.len);
        sum += s.len;
    }
    return sum;
}
