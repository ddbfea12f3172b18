/* Sessions over SCTP in virtual time: libhawser's own transport (api/transport_sctp.c) and usrsctp, over the links of a
 * world.
 *
 *            +-- uplink 1: SCTP over UDP --+
 *     node --+                             +-- core -- agent
 *            +-- uplink 2 ------ " --------+
 *
 * usrsctp has one clock, gettimeofday, which is the world's here, and one state for the process: worlds follow each
 * other, each from where the one before has ended. What it draws at random (tags, the first TSN) is the kernel's, so a
 * run repeats but for these. */
#include <sys/time.h>
#include <usrsctp.h>

#include "api/transport.h"
#include "sim/media.h"
#include "sim/transfer.h"
#include "sys/udp.h"
#include "tests/sim/sim.h"

#define SCTP (1u << TRANSPORT_SCTP)
#define VIDEO_BPS 1000000
#define FRAMES_A_SECOND 30
#define FRAMES 1800u

static instant virtual_now = WORLD_START;

/* In place of libc's, for usrsctp. */
__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    *tv = (struct timeval){ .tv_sec = virtual_now / SEC, .tv_usec = virtual_now % SEC };
    return 0;
}

/* --- a world whose ends have the transport --- */

extern const struct transport_ops transport_sctp;

struct lines;

/* The UDP sockets of an end. */
struct sockets {
    struct transport_use t;
    struct world_end *e;
};

struct side {
    struct lines *lines;
    struct world_end *e;
    struct transports all;
    struct sockets udp;
};

struct lines {
    struct world *w;
    struct world_source source;
    struct world_carrier carrier;
    struct side side[2]; /* the node's, the agent's */
};

static int open_nothing(struct transport_use *t, uint32_t link, bool v6, const char *interface)
{
    return 0;
}

static const struct transport_ops sockets_ops = { .name = "udp", .open = open_nothing };

const struct transport_ops *const transport_table[TRANSPORT_COUNT] = {
    [TRANSPORT_UDP] = &sockets_ops, [TRANSPORT_SCTP] = &transport_sctp
};

int transport_udp_send(struct transport_use *udp, uint32_t link, const struct udp_tx *tx)
{
    const struct locator_pair at = { .link = link, .local = tx->local, .remote = tx->to, .transport = TRANSPORT_SCTP };

    world_carry(((struct sockets *)udp)->e, &at, tx->data, tx->len);
    return 0;
}

static struct side *side_of(struct lines *l, const struct world_end *e)
{
    return &l->side[l->side[1].e == e];
}

static struct transport_use *sctp_of(struct lines *l, const struct world_end *e)
{
    virtual_now = l->w->now;
    return side_of(l, e)->all.of[TRANSPORT_SCTP];
}

static void reschedule(struct lines *l)
{
    instant at = INSTANT_NEVER;

    for (unsigned i = 0; i < 2; i++)
        at = instant_min(at, transport_sctp.next_expiry(l->side[i].all.of[TRANSPORT_SCTP]));
    world_schedule(l->w, &l->source, at == INSTANT_NEVER ? at : MAX(at, l->w->now + 1));
}

static void on_send(void *ctx, struct world_end *e, const struct session_tx *tx, const uint8_t *data)
{
    struct lines *l = ctx;

    transport_sctp.send(sctp_of(l, e), tx, data, l->w->now);
    reschedule(l);
}

static void on_arrive(void *ctx, struct world_end *e, const struct locator_pair *at, uint8_t *data, size_t len)
{
    struct lines *l = ctx;

    transport_sctp.datagram(sctp_of(l, e), at, data, len, l->w->now);
    reschedule(l);
}

static void before_output(void *ctx, struct world_end *e)
{
    struct lines *l = ctx;

    transport_sctp.before_output(sctp_of(l, e), l->w->now);
}

static void on_path_down(void *ctx, struct world_end *e, const struct locator_pair *at)
{
    struct lines *l = ctx;

    transport_sctp.path_down(sctp_of(l, e), at, l->w->now);
}

static void on_time(struct world *w, struct world_source *s)
{
    struct lines *l = CONTAINER_OF(s, struct lines, source);

    for (unsigned i = 0; i < 2; i++) {
        transport_sctp.on_expiry(sctp_of(l, l->side[i].e), w->now);
        world_touch(l->side[i].e);
    }
    reschedule(l);
}

static void side_init(struct lines *l, unsigned i, struct world_end *e)
{
    struct side *s = &l->side[i];

    *s = (struct side){ .lines = l, .e = e, .udp = { .e = e } };
    s->udp.t = (struct transport_use){ .ops = &sockets_ops, .all = &s->all };
    s->all = (struct transports){ .node = e->node, .listens = i == 1, .allowed = SCTP };
    s->all.of[TRANSPORT_UDP] = &s->udp.t;
    assert_int_equal(transport_sctp.make(&s->all, TRANSPORT_SCTP, &s->all.of[TRANSPORT_SCTP]), 0);
    for (size_t u = 0; u < e->uplinks_count; u++)
        assert_int_equal(transport_sctp.open(s->all.of[TRANSPORT_SCTP], e->uplinks[u]->spec.link, false, NULL), 0);
}

static const struct delivery_options bytes_options = { 0 };

/* Up, with a path over SCTP by each uplink. partial: usrsctp knows FORWARD-TSN. */
static struct bench make(struct lines *l, bool partial, const char *const params[])
{
    const struct node_options o = { .delivery = &bytes_options, .pool_pkts = 16384 };
    struct bench b = bench_make(1, &o, false, params);

    b.v->patience = 600 * SEC;
    *l = (struct lines){ .w = b.w };
    world_run(b.w, virtual_now);
    l->carrier = (struct world_carrier){ .ctx = l,
                                         .transport = TRANSPORT_SCTP,
                                         .send = on_send,
                                         .arrive = on_arrive,
                                         .before_output = before_output,
                                         .path_down = on_path_down };
    b.w->carrier = &l->carrier;
    world_source_init(b.w, &l->source, on_time);
    side_init(l, 0, b.node);
    side_init(l, 1, b.agent);
    usrsctp_sysctl_set_sctp_pr_enable(partial);
    for (size_t i = 0; params[i]; i++) {
        world_uplink(b.node, (unsigned)i)->spec.transports = SCTP;
        world_uplink_tell(world_uplink(b.node, (unsigned)i));
    }
    world_connect(b.node);
    bench_up(&b, 5 * SEC);
    world_run_for(b.w, 2 * SEC);
    return b;
}

static void done(struct lines *l, struct bench *b)
{
    b->w->carrier = NULL;
    for (unsigned i = 0; i < 2; i++)
        transport_sctp.destroy(l->side[i].all.of[TRANSPORT_SCTP]);
    virtual_now = b->w->now;
    bench_done(b);
}

/* --- a camera's frames over one link that loses --- */

struct outcome {
    double bad; /* share of messages late or lost */
    unsigned read;
    struct adu_info units;     /* of the sender */
    struct session_info after; /* likewise */
};

static struct media *film(struct bench *b, const struct adu_spec *unit)
{
    const struct media_spec spec = {
        .unit = *unit, .interval = SEC / FRAMES_A_SECOND, .bytes = VIDEO_BPS / 8 / FRAMES_A_SECOND, .count = FRAMES
    };

    return media_new(b->node, 0, b->agent, 0, &spec);
}

static struct outcome play(bool partial, const struct adu_spec *unit)
{
    struct lines l;
    struct bench b = make(&l, partial, PARAMS("rate=10mbit delay=40ms queue=200ms loss=1%"));
    struct media *m = film(&b, unit);
    struct session *s = node_peer_session(b.node->node, 0);
    struct outcome o;

    world_run_for(b.w, FRAMES * SEC / FRAMES_A_SECOND + 5 * SEC);
    assert_int_equal(m->error, 0);
    assert_true(session_units_flushed(s));
    o = (struct outcome){ .bad = media_bad(m), .read = m->read };
    adus_info(session_adus(s), &o.units);
    session_info(s, b.w->now, &o.after);
    printf("# %s: %.1f %% late or lost, at most %.0f ms; %llu arrived, %llu expired, %llu lost; records given up %llu, "
           "insisted on %llu; %.2f MB on the link\n",
           partial ? "partial " : "reliable", 100 * o.bad, (double)m->delay_max / MSEC,
           (unsigned long long)o.units.arrived, (unsigned long long)o.units.expired, (unsigned long long)o.units.lost,
           (unsigned long long)o.after.abandoned, (unsigned long long)o.after.insisted,
           (double)world_uplink(b.node, 0)->tx_bytes / 1e6);
    done(&l, &b);
    media_free(m);
    return o;
}

/* What is lost of a message that is sent once is not sent again, and its sender and its reader know. */
static void test_once(void **state)
{
    const struct adu_spec once = { .unordered = true, .unreliable = true };
    struct outcome o = play(true, &once);

    assert_true(o.after.abandoned > 0 && o.units.lost > 0);
    assert_int_equal(o.units.arrived + o.units.lost, FRAMES);
    assert_int_equal(o.after.insisted, 0);
    /* The link loses 1 % of four packets a frame; what came all the same, behind a lost acknowledgement, was read. */
    assert_true(o.read >= o.units.arrived);
    assert_true(o.units.lost < FRAMES / 10);
}

/* What would be late is given up, and what is behind it comes in time: at most half of what is late when SCTP must
 * bring all of it. */
static void test_deadline(void **state)
{
    for (span lifetime = 90 * MSEC; lifetime <= 150 * MSEC; lifetime += 30 * MSEC) {
        const struct adu_spec timed = { .lifetime = lifetime };
        struct outcome with = play(true, &timed), without = play(false, &timed);

        assert_true(with.after.abandoned > 0);
        assert_int_equal(with.after.insisted, 0);
        if (with.bad > without.bad / 2)
            fail_msg("lifetime %lld ms: %.1f %% late or lost, %.1f %% over reliable SCTP", (long long)lifetime / MSEC,
                     100 * with.bad, 100 * without.bad);
    }
}

/* A peer whose SCTP knows no FORWARD-TSN gets all of it, and the sender's figures say so. */
static void test_no_forward_tsn(void **state)
{
    const struct adu_spec once = { .unordered = true, .unreliable = true };
    struct outcome o = play(false, &once);

    assert_int_equal(o.after.abandoned, 0);
    assert_true(o.after.insisted >= FRAMES);
    assert_int_equal(o.read, FRAMES);
}

/* What was written to the stream is brought, whatever is given up beside it. */
static void test_stream_beside(void **state)
{
    const struct adu_spec once = { .unreliable = true };
    struct lines l;
    struct bench b = make(&l, true, PARAMS("rate=10mbit delay=20ms queue=100ms loss=1%"));
    struct transfer *t = transfer_new(b.node, 0, b.agent, 0, 2000000, false);
    struct media *m = film(&b, &once);
    struct session_info i;

    world_run_for(b.w, FRAMES * SEC / FRAMES_A_SECOND + 5 * SEC);
    assert_true(transfer_done(t));
    session_info(node_peer_session(b.node->node, 0), b.w->now, &i);
    assert_true(i.abandoned > 0);
    done(&l, &b);
    media_free(m);
    transfer_free(t);
}

static enum path_state state_by(struct bench *b, unsigned uplink)
{
    struct session_path_info info;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        session_path_info(node_peer_session(b->node->node, 0), i, b->w->now, &info);
        if (info.used && info.at.link == world_uplink(b->node, uplink)->spec.link)
            return info.metrics.state;
    }
    return PATH_STATE_COUNT;
}

/* A link goes silent: that what was sent over it is given up, all of it, does not hide that. */
static void test_silence(void **state)
{
    const struct adu_spec timed = { .lifetime = 150 * MSEC };
    struct lines l;
    struct bench b = make(&l, true, PARAMS("rate=10mbit delay=20ms", "rate=10mbit delay=25ms"));
    struct media *m = film(&b, &timed);

    world_run_for(b.w, 3 * SEC);
    assert_int_equal(state_by(&b, 0), PATH_ACTIVE);
    world_link(world_uplink(b.node, 0), "blackhole=1");
    world_run_for(b.w, PATH_STALL_MIN + PATH_STALL_PATIENCE + PATH_STALL_LIFE + 500 * MSEC);
    assert_int_equal(state_by(&b, 0), PATH_DOWN);
    world_link(world_uplink(b.node, 0), "blackhole=0");
    world_run_for(b.w, 15 * SEC);
    assert_int_equal(state_by(&b, 0), PATH_ACTIVE);
    done(&l, &b);
    media_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),          cmocka_unit_test(test_deadline), cmocka_unit_test(test_no_forward_tsn),
        cmocka_unit_test(test_stream_beside), cmocka_unit_test(test_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
