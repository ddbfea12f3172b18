/* sim/stream.c - see stream.h. Limits: 64 uplinks with a connection; 8,192 records kept a direction. */
#include "sim/stream.h"

#include <assert.h>

#include "wire/carrier.h"

#define RECORDS 8192 /* a power of two */
#define QUEUE_SPAN (15 * MSEC)
#define QUEUE_LEAST 16384
#define ACK_BYTES 12 /* of options, beside the headers that every packet has */
#define CONN_BITS 6

struct record {
    uint16_t len;
    uint8_t data[RECORD_MAX];
};

/* One direction: the sender at one end, the receiver at the other. */
struct half {
    struct world_source source;
    struct world_stream *stream;
    bool from_agent;
    struct tcp_sender tx;
    struct tcp_receiver rx;
    struct record *records; /* RECORDS: those from tx.una on */
    uint64_t queued, read;  /* numbers: the next that is queued, that is given to the node */
    uint64_t kept;          /* from here on they are in the ring */
    size_t unsent;          /* bytes */
    uint64_t sent_bytes, acked_bytes;
    unsigned peer;
    uint8_t slot;
    struct endpoint src; /* of its sender */
    struct locator_pair at;
};

struct world_stream {
    struct world_uplink *uplink;
    unsigned index, uses;
    struct world_end *agent; /* NULL: nothing came there yet */
    struct half half[2];     /* from the uplink's end, from the agent */
};

static uint32_t number_of(const struct world_stream *s)
{
    return (uint32_t)s->uses << CONN_BITS | s->index;
}

static void half_init(struct half *h, instant now)
{
    static const struct tcp_options options = { .loss = TCP_LOSS_RACK };

    if (tcp_sender_init(&h->tx, &options, 1, now) < 0 || tcp_receiver_init(&h->rx) < 0)
        abort();
    h->queued = h->read = h->kept = 0;
    h->unsent = 0;
    h->sent_bytes = h->acked_bytes = 0;
    h->slot = SESSION_SLOTS;
}

static void half_deinit(struct half *h)
{
    tcp_sender_deinit(&h->tx);
    tcp_receiver_deinit(&h->rx);
}

static void half_fire(struct world *w, struct world_source *source);

struct world_stream *world_stream_of(struct world_uplink *u)
{
    struct world *w = u->end->world;
    struct world_stream *s = u->stream;

    if (s)
        return s;
    s = calloc(1, sizeof(*s));
    assert(s && w->streams_count < ARRAY_LEN(w->streams));
    s->uplink = u;
    s->index = (unsigned)w->streams_count;
    s->uses = 1;
    w->streams[w->streams_count++] = s;
    for (unsigned i = 0; i < 2; i++) {
        struct half *h = &s->half[i];

        h->stream = s;
        h->from_agent = i == 1;
        h->records = calloc(RECORDS, sizeof(*h->records));
        assert(h->records);
        half_init(h, w->now);
        world_source_init(w, &h->source, half_fire);
    }
    u->stream = s;
    return s;
}

struct world_stream *world_stream_find(struct world *w, uint32_t conn)
{
    unsigned index = conn & ((1u << CONN_BITS) - 1);
    struct world_stream *s = index < w->streams_count ? w->streams[index] : NULL;

    return s && number_of(s) == conn ? s : NULL;
}

void world_stream_free(struct world_stream *s)
{
    for (unsigned i = 0; i < 2; i++) {
        half_deinit(&s->half[i]);
        free(s->half[i].records);
    }
    free(s);
}

static struct world *world_of(const struct half *h)
{
    return h->stream->uplink->end->world;
}

static struct record *record_at(struct half *h, uint64_t number)
{
    return &h->records[number & (RECORDS - 1)];
}

static void reschedule(struct half *h)
{
    struct world *w = world_of(h);
    instant at = tcp_receiver_next_expiry(&h->rx);

    if (h->queued > 0)
        at = instant_min(at, tcp_sender_next_expiry(&h->tx));
    world_schedule(w, &h->source, at == INSTANT_NEVER ? at : MAX(at, w->now));
}

/* Onto the link: a segment of this half, or an acknowledgement of it, which goes the other way. */
static void put(struct half *h, const struct world_segment *segment, const uint8_t *data, uint16_t len)
{
    const struct half *from = segment->is_ack ? &h->stream->half[!h->from_agent] : h;

    world_stream_packet(h->stream->uplink, from->from_agent ? h->stream->agent : NULL, &from->src, &from->at.remote,
                        segment, data, len);
}

static void pump(struct half *h)
{
    struct world *w = world_of(h);
    struct world_segment segment = { .conn = number_of(h->stream), .ts = tcp_timestamp(w->now) };
    uint64_t before = h->tx.next;

    while (h->queued > 0 && tcp_sender_output(&h->tx, w->now, &segment.number)) {
        struct record *r = record_at(h, segment.number);

        if (segment.number >= before) {
            h->unsent -= r->len;
            before = segment.number + 1;
        }
        h->sent_bytes += r->len;
        put(h, &segment, r->data, r->len);
    }
    reschedule(h);
}

static void tell_half(struct half *h)
{
    struct world *w = world_of(h);
    struct world_end *e = h->from_agent ? h->stream->agent : h->stream->uplink->end;
    struct path_transport t = { .rtt = h->tx.srtt, .rttvar = h->tx.rttvar, .acked_bytes = h->tx.una + 1 };
    size_t most;

    if (!e || !e->node || h->slot >= SESSION_SLOTS)
        return;
    if (h->tx.srtt > 0)
        t.rate_bps = (uint64_t)(h->tx.cwnd * RECORD_MAX * 8 * SEC / (double)h->tx.srtt);
    most = MAX((size_t)(t.rate_bps / 8 * (uint64_t)QUEUE_SPAN / (uint64_t)SEC), (size_t)QUEUE_LEAST);
    t.room_bytes = h->unsent < most && h->queued - h->kept < RECORDS / 2 ? most - h->unsent : 0;
    t.rate_is_lower_bound = h->unsent == 0;
    t.sent_bytes = h->sent_bytes;
    t.resent_bytes = h->tx.retransmits * RECORD_MAX;
    t.troubled = h->tx.recovering || h->tx.timed_out;
    node_on_transport(e->node, h->peer, h->slot, &h->at, &t, w->now);
}

static void queue(struct half *h, const uint8_t *data, size_t len)
{
    struct record *r = record_at(h, h->queued);

    assert(len <= RECORD_MAX && h->queued - h->kept < RECORDS);
    r->len = (uint16_t)len;
    memcpy(r->data, data, len);
    h->queued++;
    h->tx.limit = h->queued;
    h->unsent += len;
}

void world_stream_send(struct world_stream *s, bool agent, const struct session_tx *tx, const struct endpoint *src,
                       const uint8_t *data)
{
    struct half *h = &s->half[agent];
    size_t segment = tx->segment ? tx->segment : tx->len;

    h->src = *src;
    h->at = tx->at;
    if (tx->slot < SESSION_SLOTS) {
        h->peer = tx->peer;
        h->slot = tx->slot;
    }
    for (size_t at = 0, n; at < tx->len; at += n) {
        n = tx->framed ? get_be16(data + at) : MIN(segment, tx->len - at);
        at += tx->framed ? CARRIER_PREFIX : 0;
        queue(h, data + at, n);
    }
    pump(h);
    tell_half(h);
}

static void acknowledge(struct half *h)
{
    struct world_segment segment = { .conn = number_of(h->stream), .is_ack = true };

    while (tcp_receiver_output(&h->rx, TCP_BLOCKS_MAX, &segment.ack, world_of(h)->now))
        put(h, &segment, NULL, ACK_BYTES);
}

static void half_fire(struct world *w, struct world_source *source)
{
    struct half *h = CONTAINER_OF(source, struct half, source);

    if (h->queued > 0 && tcp_sender_next_expiry(&h->tx) <= w->now)
        tcp_sender_on_expiry(&h->tx, w->now);
    acknowledge(h);
    pump(h);
    tell_half(h);
    world_touch(h->from_agent ? h->stream->agent : h->stream->uplink->end);
}

/* Records in their order, as far as they have come. */
static void deliver(struct half *h, struct world_end *to, const struct world_packet *p)
{
    struct world_stream *s = h->stream;
    struct locator_pair at = { .link = to == s->agent ? NODE_LISTEN_LINK : s->uplink->spec.link,
                               .local = p->dst.addr,
                               .remote = p->src,
                               .transport = TRANSPORT_TCP,
                               .conn = to == s->agent ? number_of(s) : 0 };
    unsigned uses = s->uses;

    while (h->read < h->rx.next && s->uses == uses && to->node) {
        const struct record *r = record_at(h, h->read++);
        uint8_t data[RECORD_MAX];

        memcpy(data, r->data, r->len);
        node_on_datagram(to->node, &at, data, r->len, 0, 0, world_of(h)->now);
    }
}

void world_stream_arrive(struct world_stream *s, bool agent, const struct world_packet *p)
{
    struct world *w = s->uplink->end->world;
    const struct world_segment *segment = &p->segment;
    struct half *h = &s->half[segment->is_ack ? agent : !agent]; /* of which it is a segment, or acknowledges one */
    struct world_end *e;

    if (segment->conn != number_of(s))
        return;  /* of a connection that is no more */
    if (agent) { /* where what it says goes */
        s->agent = world_agent_at(w, &p->dst);
        s->half[1].src = p->dst;
        s->half[1].at.remote = p->src;
    }
    e = agent ? s->agent : s->uplink->end;
    if (segment->is_ack) {
        uint64_t una = h->tx.una;

        tcp_sender_on_ack(&h->tx, &segment->ack, w->now);
        for (; una < h->tx.una; una++)
            h->acked_bytes += record_at(h, una)->len;
        h->kept = MIN(h->tx.una, h->read);
        pump(h);
        tell_half(h);
    } else {
        tcp_receiver_on_segment(&h->rx, segment->number, &segment->ts, w->now);
        deliver(h, e, p);
        if (segment->conn == number_of(s)) {
            acknowledge(h);
            reschedule(h);
        }
    }
    if (e)
        world_touch(e);
}

void world_stream_reset(struct world_stream *s)
{
    struct world *w = s->uplink->end->world;

    s->uses++;
    for (unsigned i = 0; i < 2; i++) {
        world_schedule(w, &s->half[i].source, INSTANT_NEVER);
        half_deinit(&s->half[i]);
        half_init(&s->half[i], w->now);
    }
}
