/* Ends of TCP (tunnel/tcp.h) that share a bottleneck, for long: what their congestion controls make of it.
 *
 *     writer: active end (CUBIC)  --- forth: rate, delay, loss ---> passive end: reads
 *     or passive end (Reno)       <-- back: the same, no loss  ---  active end
 *
 * Goodputs are compared with response functions: Reno's (Mathis and others 1997: sqrt(3/2p) segments in a round trip)
 * and CUBIC's (RFC 9438 5.1, equation 7: (C (3 + beta) / (4 (1 - beta)))^(1/4) (RTT / p)^(3/4)). Every byte is checked
 * to be in its place in tcp_end.c and unit/tcp_end_pair.c; here they are counted. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/link.h"
#include "tests/unit/test.h"
#include "tunnel/segment.h"
#include "tunnel/tcp.h"

#define START (1000 * SEC)
#define FLOWS_MAX 2
#define MSS 1448 /* with timestamps */
#define SERVER_PORT 443
#define CLIENT_PORT 40000 /* of the first flow; the next is one higher */

enum { CLIENT, SERVER, SIDES };

struct flow {
    struct tcp_end *e[SIDES];
    size_t writer;
    instant from; /* when it begins */
    uint64_t read;
};

struct world {
    struct link_dir link[SIDES]; /* by who sends */
    struct flow flow[FLOWS_MAX];
    size_t flows;
    struct tcp_end_options o;
    instant now;
};

struct parcel {
    size_t len;
    uint8_t data[];
};

static void output(struct world *w, struct flow *f, size_t side)
{
    static uint8_t whole[PACKET_MAX], piece[PACKET_MAX];
    struct merged m;

    while (f->e[side] && tcp_end_output(f->e[side], &m, w->now)) {
        struct segment cut;
        int n;

        assert_int_equal(slices_gather(m.slices, m.count, whole, sizeof(whole)), m.len);
        assert_int_equal(segment_init(&cut, whole, m.len, &m.offload), 0);
        while ((n = segment_next(&cut, piece, sizeof(piece))) > 0) {
            struct parcel *p = malloc(sizeof(*p) + (size_t)n);

            assert_non_null(p);
            p->len = (size_t)n;
            memcpy(p->data, piece, p->len);
            if (link_push(&w->link[side], p, (uint32_t)n, w->now) != LINK_QUEUED)
                free(p);
        }
    }
}

static void input(struct world *w, size_t side, const uint8_t *pkt, size_t len)
{
    struct packet_info info;
    struct flow *f;

    assert_int_equal(packet_parse(pkt, len, &info), 0);
    f = &w->flow[(side == SERVER ? info.sport : info.dport) - CLIENT_PORT];
    if (!f->e[side]) {
        assert_int_equal(tcp_end_new(&w->o, pkt, &info, w->now, &f->e[side]), 0);
        tcp_end_accept(f->e[side], w->now);
    } else {
        assert_int_equal(tcp_end_input(f->e[side], pkt, &info, NULL, w->now), TCP_END_TAKEN);
    }
}

static void deliver(struct world *w, size_t from)
{
    struct link_out out;

    while (link_pop(&w->link[from], w->now, &out) == 1) {
        struct parcel *p = out.pkt;

        for (unsigned i = 0; i < out.copies; i++)
            input(w, !from, p->data, p->len);
        free(p);
    }
}

/* It writes what there is room for, and reads all. */
static void application(struct world *w, struct flow *f)
{
    static const uint8_t data[1u << 16];
    struct tcp_end *reader = f->e[!f->writer], *writer = f->e[f->writer];
    struct slice s;

    if (!f->e[CLIENT] && f->from <= w->now) {
        struct endpoint client = { { ADDR_V4, { 192, 0, 2, 1 } }, (uint16_t)(CLIENT_PORT + (f - w->flow)) };
        struct endpoint server = { { ADDR_V4, { 198, 51, 100, 2 } }, SERVER_PORT };

        assert_int_equal(tcp_end_connect(&w->o, &client, &server, w->now, &f->e[CLIENT]), 0);
    }
    while (writer && tcp_end_room(writer) >= sizeof(data))
        assert_int_equal(tcp_end_write(writer, data, sizeof(data)), sizeof(data));
    while (reader && (s = tcp_end_peek(reader)).len > 0) {
        f->read += s.len;
        tcp_end_consume(reader, s.len);
    }
}

static void run_until(struct world *w, instant until)
{
    while (w->now < until) {
        instant next = instant_min(link_next_expiry(&w->link[CLIENT]), link_next_expiry(&w->link[SERVER]));

        for (size_t i = 0; i < w->flows; i++) {
            struct flow *f = &w->flow[i];

            if (!f->e[CLIENT])
                next = instant_min(next, f->from);
            for (size_t side = 0; side < SIDES; side++)
                if (f->e[side])
                    next = instant_min(next, tcp_end_next_expiry(f->e[side]));
        }
        w->now = MAX(w->now, instant_min(next, until));
        deliver(w, CLIENT);
        deliver(w, SERVER);
        for (size_t i = 0; i < w->flows; i++) {
            struct flow *f = &w->flow[i];

            for (size_t side = 0; side < SIDES; side++)
                if (f->e[side] && tcp_end_next_expiry(f->e[side]) <= w->now)
                    tcp_end_on_expiry(f->e[side], w->now);
            application(w, f);
            for (size_t side = 0; side < SIDES; side++)
                output(w, f, side);
        }
    }
}

static void begin(struct world *w, size_t flows, size_t writer, const char *forth, const char *back, uint64_t seed)
{
    *w = (struct world){ .flows = flows, .now = START };
    w->o = (struct tcp_end_options){ .send_bytes = 8u << 20, .receive_bytes = 8u << 20, .offload = true };
    for (size_t side = 0; side < SIDES; side++) {
        struct link_params p = { 0 };
        char err[LINK_ERROR_MAX];

        assert_int_equal(link_init(&w->link[side], 20000, seed * 2 + side), 0);
        if (link_params_parse(side == writer ? forth : back, &p, err) < 0)
            fail_msg("%s", err);
        link_configure(&w->link[side], &p, START);
    }
    for (size_t i = 0; i < flows; i++)
        w->flow[i] = (struct flow){ .writer = writer, .from = START };
}

static void end(struct world *w)
{
    for (size_t side = 0; side < SIDES; side++) {
        void *p;

        while ((p = link_drain(&w->link[side])))
            free(p);
        link_deinit(&w->link[side]);
    }
    for (size_t i = 0; i < w->flows; i++)
        for (size_t side = 0; side < SIDES; side++)
            tcp_end_free(w->flow[i].e[side]);
}

/* Goodput of one flow, from `skipped` on. */
static double goodput(size_t writer, const char *forth, const char *back, span skipped, span counted, uint64_t seed,
                      struct tcp_end_info *ret)
{
    struct world w;
    uint64_t before;
    double bps;

    begin(&w, 1, writer, forth, back, seed);
    run_until(&w, START + skipped);
    before = w.flow[0].read;
    run_until(&w, START + skipped + counted);
    bps = (double)(w.flow[0].read - before) * 8 * SEC / (double)counted;
    tcp_end_info(w.flow[0].e[writer], ret);
    end(&w);
    return bps;
}

/* A long fat path that loses one packet in 10,000. */
static void test_long_fat_path(void **state)
{
    static const char forth[] = "rate=100mbit delay=50ms loss=0.01%", back[] = "rate=100mbit delay=50ms";
    double p = 1e-4, rtt = .1, reno = sqrt(1.5 / p) * MSS * 8 / rtt,
           cubic = pow(.4 * 3.7 / (4 * .3), .25) * pow(rtt / p, .75) * MSS * 8 / rtt, found[2] = { 0 };

    for (uint64_t seed = 1; seed <= 3; seed++)
        for (size_t writer = 0; writer < SIDES; writer++) {
            struct tcp_end_info info;
            double bps = goodput(writer, forth, back, 20 * SEC, 200 * SEC, seed, &info);

            printf("# %s: %.1f Mbit/s, %llu again, %llu timeouts\n", info.control, bps / 1e6,
                   (unsigned long long)info.resent_packets, (unsigned long long)info.timeouts);
            found[writer] += bps / 3;
        }
    printf("# formulas: reno %.1f, cubic %.1f Mbit/s; found: reno %.1f, cubic %.1f\n", reno / 1e6, cubic / 1e6,
           found[SERVER] / 1e6, found[CLIENT] / 1e6);
    assert_true(found[CLIENT] > 1.25 * reno);
    assert_true(found[CLIENT] > .8 * cubic);
}

/* A short path without loss but its queue's. */
static void test_short_path(void **state)
{
    static const char link[] = "rate=10mbit delay=10ms";
    struct tcp_end_info info[SIDES];
    double bps[SIDES];

    for (size_t writer = 0; writer < SIDES; writer++) {
        bps[writer] = goodput(writer, link, link, 0, 20 * SEC, 1, &info[writer]);
        printf("# %s: %.3f Mbit/s, %llu again, %llu timeouts\n", info[writer].control, bps[writer] / 1e6,
               (unsigned long long)info[writer].resent_packets, (unsigned long long)info[writer].timeouts);
    }
    assert_true(bps[CLIENT] > .99 * bps[SERVER]);
    assert_true(info[CLIENT].resent_bytes <= info[SERVER].resent_bytes);
}

/* The same without loss: slow start, which HyStart++ ends, and then a window that fills the path and its queue. */
static void test_long_fat_path_without_loss(void **state)
{
    static const char link[] = "rate=100mbit delay=50ms";
    struct tcp_end_info info[SIDES];
    double first[SIDES], later[SIDES];

    for (size_t writer = 0; writer < SIDES; writer++) {
        first[writer] = goodput(writer, link, link, 0, 5 * SEC, 1, &info[writer]);
        later[writer] = goodput(writer, link, link, 20 * SEC, 20 * SEC, 1, &info[writer]);
        printf("# %s: %.1f Mbit/s in the first 5 s, %.1f after 20; %llu again, %llu timeouts\n", info[writer].control,
               first[writer] / 1e6, later[writer] / 1e6, (unsigned long long)info[writer].resent_packets,
               (unsigned long long)info[writer].timeouts);
    }
    assert_string_equal(info[CLIENT].control, "cubic");
    assert_string_equal(info[SERVER].control, "reno");
    assert_true(later[CLIENT] > .95 * 100e6 * MSS / 1500);
}

/* A path that changes the order and loses nothing: what was taken for lost has come after all, and what was cut for it
 * is given back. Else the first of it, in slow start, leaves CUBIC far below the rate. */
static void test_reordering(void **state)
{
    double bps[SIDES];

    static const char forth[] = "rate=50mbit delay=30ms jitter=4ms reorder=1 queue=200ms",
                      back[] = "rate=50mbit delay=30ms";

    for (size_t writer = 0; writer < SIDES; writer++) {
        struct tcp_end_info info;

        bps[writer] = goodput(writer, forth, back, 0, 10 * SEC, 1, &info);
        printf("# %s: %.1f Mbit/s, %llu again, %llu timeouts\n", info.control, bps[writer] / 1e6,
               (unsigned long long)info.resent_packets, (unsigned long long)info.timeouts);
    }
    assert_true(bps[CLIENT] > .6 * 50e6);
    assert_true(bps[CLIENT] > bps[SERVER]);
}

/* One comes while the other has it all. */
static void test_two_share(void **state)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        static const char link[] = "rate=50mbit delay=20ms queue=40ms";
        struct world w;
        uint64_t before[2];
        double share, sum;

        begin(&w, 2, CLIENT, link, link, seed);
        w.flow[1].from += 5 * SEC + (span)seed * 300 * MSEC;
        run_until(&w, START + 40 * SEC);
        before[0] = w.flow[0].read;
        before[1] = w.flow[1].read;
        run_until(&w, START + 200 * SEC);
        sum = (double)(w.flow[0].read + w.flow[1].read - before[0] - before[1]);
        share = (double)(w.flow[0].read - before[0]) / sum;
        printf("# two: %.3f of %.2f Mbit/s to the one that came first\n", share, sum * 8 / 160e6);
        assert_true(share > .4 && share < .6);
        assert_true(sum * 8 / 160 > .9 * 50e6 * MSS / 1500);
        end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_path),
        cmocka_unit_test(test_long_fat_path),
        cmocka_unit_test(test_long_fat_path_without_loss),
        cmocka_unit_test(test_reordering),
        cmocka_unit_test(test_two_share),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
