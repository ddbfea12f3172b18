/* Access lines: what they are like, and one interval of measuring one of them.
 *
 * Theory of operation. A line is two link_dirs and flows of TCP that come and go: a Poisson process of arrivals, each
 * lasting for an exponential time, so that their number at the beginning is Poisson too (M/M/infinity) and the warm-up
 * has only to fill the queues. Segments of uploads and acknowledgements of downloads go up, the rest comes down; the
 * probes go up and are sent back at once. A probe has come back or it has not, however late: the queues are run dry
 * before the report, since a session takes an overdue packet for late until later ones overtake it (RFC 9002 6.1), and
 * in a queue nothing overtakes.
 *
 * Lines are of 2006, the time of the paper that bench/discordance.c repeats. The sources below give orders of size; the
 * distributions over them are chosen, and say so. Sources:
 * [D07] Dischinger, Haeberlen, Gummadi, Saroiu, Characterizing residential broadband networks, IMC 2007.
 * [K10] Kreibich, Weaver, Nechaev, Paxson, Netalyzr: illuminating the edge network, IMC 2010.
 * [S11] Sundaresan et al., Broadband Internet performance: a view from the gateway, SIGCOMM 2011.
 * [M09] Maier, Feldmann, Paxson, Allman, On dominant characteristics of residential broadband Internet traffic, IMC
 * 2009.
 *
 * Limits: FLOWS_MAX flows in one interval; what would come beyond does not come. */
#include "sim/access.h"

#include <errno.h>
#include <math.h>

#include "sim/link.h"
#include "sim/tcp.h"

#define START (1000 * SEC)
#define WARM_UP (20 * SEC) /* chosen: a slow start fills 256 KiB of the slowest line in 16 s */
#define PROBE_EVERY (ACCESS_INTERVAL / ACCESS_PROBES) /* 200 ms: chosen: as on a path that waits beside a busy one */
#define FLOW_LIFE ((double)30 * SEC) /* chosen: a photograph or two up, a song down, at the rates below */
#define FLOWS_MAX 32
#define SEGMENT 1500 /* of IP */
#define ACK 52       /* with timestamps */
#define QUIET .1     /* chosen: of the busiest hour's load; [M09] has a day's traffic vary by several times */
#define BUSIEST 21.  /* hour: [M09]: evenings */

/* --- what a line is like --- */

static double log_uniform(struct prng *p, double low, double high)
{
    return low * pow(high / low, prng_unit(p));
}

static span between(struct prng *p, double low_ms, double high_ms)
{
    return (span)((low_ms + (high_ms - low_ms) * prng_unit(p)) * MSEC);
}

void access_line_draw(struct access_line *ret, struct prng *p, span base)
{
    /* Chosen: common offers of 2006, within what [D07] measured; half of the lines of either kind. */
    static const unsigned up_kbps[2][5] = { { 128, 256, 384, 512, 768 }, { 256, 384, 512, 768, 1000 } };
    static const unsigned down_kbps[2][4] = { { 768, 1500, 3000, 6000 }, { 3000, 5000, 6000, 8000 } };
    struct access_line l = { .cable = prng_below(p, 2) == 1 };
    size_t of;

    of = prng_below(p, ARRAY_LEN(up_kbps[0]));
    l.up_bps = up_kbps[l.cable][of] * UINT64_C(1000);
    of = prng_below(p, ARRAY_LEN(down_kbps[0]));
    l.down_bps = down_kbps[l.cable][of] * UINT64_C(1000);
    /* [K10]: uplinks often have 64 to 256 KB; [D07]: from a tenth of a second to several. Chosen: even over the orders
     * of size from 8 KiB (a tenth of a second of 768 kbit/s), and the same for the other direction. */
    l.up_buffer_bytes = (uint64_t)log_uniform(p, 8 << 10, 256 << 10);
    l.down_buffer_bytes = (uint64_t)log_uniform(p, 8 << 10, 256 << 10);
    /* [S11]: the last mile takes 10 to 40 ms, less by cable than by interleaved DSL. */
    l.delay = (base + (l.cable ? between(p, 5, 15) : between(p, 10, 40))) / 2;
    /* [D07]: cable modems ask before they send, which takes some milliseconds more or less; DSL has a fraction. */
    l.jitter = l.cable ? between(p, 1, 5) : between(p, .1, .5);
    /* [D07]: below 1 % for 95 % of the lines, here each way. Chosen: log-normal with a median of .1 %, so sigma is ln
     * 10 / 1.645; half of them in bursts. */
    l.loss = fmin(1e-3 * exp(1.4 * prng_normal(p)), .1);
    l.bursty = prng_below(p, 2) == 1;
    /* Chosen: from a line that is hardly used to one where somebody uploads all evening; [M09]: few lines are full for
     * long. */
    l.uploads = log_uniform(p, .02, 1);
    l.downloads = log_uniform(p, .02, 1);
    *ret = l;
}

/* --- an interval --- */

enum parcel_kind { PARCEL_PROBE, PARCEL_SEGMENT, PARCEL_ACK };

struct flow {
    bool upload, ready;
    instant from, until;
    struct tcp_sender tx;
    struct tcp_receiver rx;
};

struct parcel {
    enum parcel_kind kind;
    struct flow *flow;
    uint64_t seg;
    uint32_t ts;
    instant sent;
    struct tcp_ack ack;
};

struct wire {
    struct link_dir up, down;
    instant now;
    struct flow flows[FLOWS_MAX];
    size_t count;
    uint32_t probe_bytes;
    unsigned received;
    span last_rtt, rtt_sum, jitter_sum;
    bool no_memory;
};

static void put(struct wire *w, struct link_dir *l, const struct parcel *p, uint32_t len)
{
    struct parcel *copy = malloc(sizeof(*copy));

    w->no_memory |= !copy;
    if (!copy)
        return;
    *copy = *p;
    if (link_push(l, copy, len, w->now) != LINK_QUEUED)
        free(copy);
}

static void pump(struct wire *w, struct flow *f)
{
    struct parcel p = { .flow = f, .ts = tcp_timestamp(w->now) };

    if (!f->ready || w->now >= f->until)
        return;
    p.kind = PARCEL_SEGMENT;
    while (tcp_sender_output(&f->tx, w->now, &p.seg))
        put(w, f->upload ? &w->up : &w->down, &p, SEGMENT);
    p.kind = PARCEL_ACK;
    while (tcp_receiver_output(&f->rx, 3, &p.ack, w->now))
        put(w, f->upload ? &w->down : &w->up, &p, ACK);
}

static void on_probe(struct wire *w, span rtt)
{
    if (w->received++ > 0)
        w->jitter_sum += llabs(rtt - w->last_rtt);
    w->last_rtt = rtt;
    w->rtt_sum += rtt;
}

static void deliver(struct wire *w, struct link_dir *l)
{
    struct link_out out;

    while (link_pop(l, w->now, &out) == 1) {
        struct parcel *p = out.pkt;
        struct flow *f = p->flow;

        if (p->kind == PARCEL_PROBE) {
            if (l == &w->up)
                put(w, &w->down, p, w->probe_bytes);
            else
                on_probe(w, out.due - p->sent);
        } else if (w->now < f->until) {
            if (p->kind == PARCEL_SEGMENT)
                tcp_receiver_on_segment(&f->rx, p->seg, &p->ts, w->now);
            else
                tcp_sender_on_ack(&f->tx, &p->ack, w->now);
            pump(w, f);
        }
        free(p);
    }
}

static void flow_start(struct wire *w, struct flow *f)
{
    const struct tcp_options options = { .cc = &tcp_cc_reno, .loss = TCP_LOSS_RACK };

    f->ready = tcp_sender_init(&f->tx, &options, 0, w->now) == 0;
    if (f->ready && tcp_receiver_init(&f->rx) < 0) {
        tcp_sender_deinit(&f->tx);
        f->ready = false;
    }
    if (!f->ready) {
        w->no_memory = true;
        f->until = w->now;
    }
    pump(w, f);
}

static instant flow_next(const struct wire *w, const struct flow *f)
{
    if (w->now >= f->until)
        return INSTANT_NEVER;
    return f->ready ? instant_min(tcp_sender_next_expiry(&f->tx), tcp_receiver_next_expiry(&f->rx)) : f->from;
}

static void on_flow(struct wire *w, struct flow *f)
{
    if (flow_next(w, f) > w->now)
        return;
    if (!f->ready) {
        flow_start(w, f);
        return;
    }
    tcp_sender_on_expiry(&f->tx, w->now);
    pump(w, f);
}

/* Whatever is next, until nothing is before the instant. */
static void run(struct wire *w, instant until)
{
    while (!w->no_memory) {
        instant at = instant_min(link_next_expiry(&w->up), link_next_expiry(&w->down));

        for (size_t i = 0; i < w->count; i++)
            at = instant_min(at, flow_next(w, &w->flows[i]));
        if (at > until || at == INSTANT_NEVER)
            break;
        w->now = MAX(w->now, at);
        deliver(w, &w->up);
        deliver(w, &w->down);
        for (size_t i = 0; i < w->count; i++)
            on_flow(w, &w->flows[i]);
    }
    if (until != INSTANT_NEVER)
        w->now = MAX(w->now, until);
}

static double exponential(struct prng *p, double mean)
{
    return -log(1 - prng_unit(p)) * mean;
}

static void flow_add(struct wire *w, struct prng *p, bool upload, instant from)
{
    span life = (span)exponential(p, FLOW_LIFE);

    if (w->count < FLOWS_MAX)
        w->flows[w->count++] = (struct flow){ .upload = upload, .from = from, .until = from + life };
}

/* So many at a time on average, from the warm-up on. */
static void flows_draw(struct wire *w, struct prng *p, bool upload, double average)
{
    double at;

    if (average <= 0)
        return;
    /* Those that run at the beginning: as many as a Poisson process of that rate has in a unit of time. They have not
     * begun at the same time. */
    at = exponential(p, 1 / average);
    while (at < 1) {
        flow_add(w, p, upload, START - WARM_UP + (span)(prng_unit(p) * SEC));
        at += exponential(p, 1 / average);
    }
    at = exponential(p, FLOW_LIFE / average);
    while (at < WARM_UP + ACCESS_INTERVAL) {
        flow_add(w, p, upload, START - WARM_UP + (span)at);
        at += exponential(p, FLOW_LIFE / average);
    }
}

static int wire_link(struct link_dir *l, const struct access_line *line, uint64_t bps, uint64_t buffer, uint64_t seed)
{
    struct link_params params = {
        .rate_bps = bps,
        .queue_bytes = buffer,
        .delay = line->delay,
        .jitter = line->jitter,
        .dist = LINK_DIST_UNIFORM,
    };
    int r = link_init(l, MIN(buffer / ACK, TCP_RING) + 4096, seed);

    /* Bursts of four on average (chosen), in which everything is lost: the state is bad for `loss` of the packets. */
    if (line->bursty && line->loss > 0) {
        params.ge_r = .25;
        params.ge_p = params.ge_r * line->loss / (1 - line->loss);
        params.ge_loss_bad = 1;
    } else {
        params.loss = line->loss;
    }
    if (r == 0)
        link_configure(l, &params, START - WARM_UP);
    return r;
}

static void wire_deinit(struct wire *w)
{
    void *p;

    while ((w->up.ring && (p = link_drain(&w->up))) || (w->down.ring && (p = link_drain(&w->down))))
        free(p);
    link_deinit(&w->up);
    link_deinit(&w->down);
    for (size_t i = 0; i < w->count; i++) {
        if (w->flows[i].ready) {
            tcp_sender_deinit(&w->flows[i].tx);
            tcp_receiver_deinit(&w->flows[i].rx);
        }
    }
    free(w);
}

static void probe_all(struct wire *w)
{
    for (unsigned i = 0; i < ACCESS_PROBES; i++) {
        struct parcel p = { .kind = PARCEL_PROBE };

        run(w, START + i * PROBE_EVERY);
        p.sent = w->now;
        put(w, &w->up, &p, w->probe_bytes);
    }
    run(w, START + ACCESS_INTERVAL);
    for (size_t i = 0; i < w->count; i++)
        w->flows[i].until = MIN(w->flows[i].until, w->now);
    run(w, INSTANT_NEVER);
}

/* The busiest hour has 1, twelve hours from it QUIET. */
static double busy(double hour)
{
    return QUIET + (1 - QUIET) * (1 + cos((hour - BUSIEST) * M_PI / 12)) / 2;
}

int access_measure(const struct access_line *line, double hour, uint32_t probe_bytes, uint64_t seed,
                   struct access_report *ret)
{
    struct wire *w = calloc(1, sizeof(*w));
    struct prng p;
    uint64_t up_seed, down_seed;
    int r = -ENOMEM;

    if (!w)
        return r;
    w->now = START - WARM_UP;
    w->probe_bytes = probe_bytes;
    prng_init(&p, seed);
    up_seed = prng_u64(&p);
    down_seed = prng_u64(&p);
    if (wire_link(&w->up, line, line->up_bps, line->up_buffer_bytes, up_seed) == 0 &&
        wire_link(&w->down, line, line->down_bps, line->down_buffer_bytes, down_seed) == 0) {
        flows_draw(w, &p, true, line->uploads * busy(hour));
        flows_draw(w, &p, false, line->downloads * busy(hour));
        probe_all(w);
        r = w->no_memory ? -ENOMEM : 0;
    }
    if (r == 0)
        *ret = (struct access_report){
            .latency_ms = w->received > 0 ? (double)w->rtt_sum / w->received / MSEC : NAN,
            .jitter_ms = w->received > 1 ? (double)w->jitter_sum / (w->received - 1) / MSEC : NAN,
            .lost = ACCESS_PROBES - w->received,
        };
    wire_deinit(w);
    return r;
}
