/* Unit tests of src/session/flowq: shares, turns, CoDel's times by hand, and random work against plain lists. */
#include "session/flowq.h"
#include "base/rng.h"
#include "tests/unit/test.h"

enum { POOL = 2048 };

static const struct flowq_options roomy = {
    .bytes_max = 1 << 30, .pkts_max = POOL, .target = 5 * MSEC, .interval = 100 * MSEC, .quantum = 1500
};

struct world {
    struct pbuf_pool pool;
    struct flowq *q;
    uint32_t next_note;
};

static void world_open(struct world *w, const struct flowq_options *o)
{
    *w = (struct world){ 0 };
    assert_int_equal(pbuf_pool_init(&w->pool, POOL), 0);
    w->q = flowq_new(o);
    assert_non_null(w->q);
}

static void world_close(struct world *w)
{
    flowq_free(w->q);
    assert_int_equal(w->pool.used, 0);
    pbuf_pool_deinit(&w->pool);
}

/* The packet's note is its number, from 0. */
static struct flow *put(struct world *w, unsigned bucket, size_t len, enum flow_class c, instant now)
{
    struct flow *f = flowq_flow(w->q, bucket);
    struct pbuf *b = pbuf_take(&w->pool);

    assert_non_null(b);
    b->len = (uint16_t)len;
    b->note = w->next_note++;
    flowq_push(w->q, f, b, c, now);
    return f;
}

/* What `may` says, and whom it was asked about. */
struct gate {
    bool closed[FLOWQ_FLOWS];
    unsigned asked[FLOWQ_FLOWS];
};

static bool gate_may(void *ctx, const struct flow *f)
{
    struct gate *g = ctx;

    assert_true(f->pkts > 0);
    assert_int_equal(g->asked[f->index]++, 0);
    return !g->closed[f->index];
}

static struct pbuf *take(struct world *w, struct gate *g, enum flow_class c, instant now, struct flow **ret_flow)
{
    memset(g->asked, 0, sizeof(g->asked));
    return flowq_pop(w->q, c, gate_may, g, now, ret_flow);
}

/* Pops and returns the number of the bucket, or -1. */
static int turn(struct world *w, struct gate *g, enum flow_class c, instant now)
{
    struct flow *f = NULL;
    struct pbuf *b = take(w, g, c, now, &f);

    pbuf_unref(b);
    return b ? f->index : -1;
}

static void test_buckets(void **state)
{
    struct world w;

    world_open(&w, &roomy);
    assert_int_equal(flowq_flow(w.q, 1023)->index, 1023);
    assert_ptr_equal(flowq_flow(w.q, 5), flowq_flow(w.q, 5 + 1024));
    assert_true(flowq_empty(w.q, FLOW_BULK));
    assert_int_equal(flowq_bytes(w.q), 0);
    world_close(&w);
    flowq_free(NULL);
}

static void test_equal_bytes(void **state)
{
    /* Four flows that always have something: however large their packets, no two are ever further apart than a quantum
     * and one packet (Shreedhar and Varghese, lemma 2, for deficits that may go below zero by a packet). */
    static const size_t sizes[] = { 1500, 700, 301, 64 };
    static struct gate g;
    size_t served[4] = { 0 };
    struct world w;

    world_open(&w, &roomy);
    for (unsigned i = 0; i < 4; i++) {
        put(&w, i, sizes[i], FLOW_BULK, SEC);
        put(&w, i, sizes[i], FLOW_BULK, SEC);
    }
    for (int n = 0; n < 20000; n++) {
        int i = turn(&w, &g, FLOW_BULK, SEC);

        assert_in_range(i, 0, 3);
        served[i] += sizes[i];
        put(&w, (unsigned)i, sizes[i], FLOW_BULK, SEC);
        for (unsigned k = 0; k < 4; k++)
            assert_true(served[i] <= served[k] + 1500 + 1500);
    }
    /* 20000 / (1/1500 + 1/700 + 1/301 + 1/64) = 950,633 bytes each. */
    assert_in_range(served[0], 945000, 956000);
    world_close(&w);
}

static void test_classes(void **state)
{
    static struct gate g;
    struct world w;

    world_open(&w, &roomy);
    put(&w, 1, 1000, FLOW_BULK, SEC);
    put(&w, 2, 100, FLOW_INTERACTIVE, SEC);
    assert_false(flowq_empty(w.q, FLOW_BULK));
    assert_false(flowq_empty(w.q, FLOW_INTERACTIVE));
    assert_int_equal(flowq_bytes(w.q), 1100);
    assert_int_equal(turn(&w, &g, FLOW_INTERACTIVE, SEC), 2);
    assert_int_equal(turn(&w, &g, FLOW_INTERACTIVE, SEC), -1);
    assert_true(flowq_empty(w.q, FLOW_INTERACTIVE));
    /* A flow that becomes interactive takes along what waits. */
    put(&w, 1, 1000, FLOW_INTERACTIVE, SEC);
    assert_true(flowq_empty(w.q, FLOW_BULK));
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), -1);
    assert_int_equal(turn(&w, &g, FLOW_INTERACTIVE, SEC), 1);
    assert_int_equal(turn(&w, &g, FLOW_INTERACTIVE, SEC), 1);
    assert_int_equal(turn(&w, &g, FLOW_INTERACTIVE, SEC), -1);
    world_close(&w);
}

static void test_new_before_old(void **state)
{
    static struct gate g;
    struct world w;

    world_open(&w, &roomy);
    for (int i = 0; i < 10; i++)
        put(&w, 1, 1500, FLOW_BULK, SEC);
    /* Its first quantum as a new flow; then it is old. */
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 1);
    put(&w, 2, 200, FLOW_BULK, SEC);
    put(&w, 3, 200, FLOW_BULK, SEC);
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 2);
    /* 2 is sparse, but comes back at once: it must not be new again, or it would always be first. */
    put(&w, 2, 1400, FLOW_BULK, SEC);
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 2); /* 1300 of its first quantum were left */
    put(&w, 2, 1400, FLOW_BULK, SEC);
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 3);
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 1);
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 2);
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 1);
    world_close(&w);
}

static void test_new_only_once(void **state)
{
    /* 2 sends one packet at a time. When its queue is found empty it goes behind the old ones; its next packet waits
     * for 3, which was there before it. */
    static struct gate g;
    struct world w;

    world_open(&w, &roomy);
    for (int i = 0; i < 10; i++) {
        put(&w, 1, 1500, FLOW_BULK, SEC);
        put(&w, 3, 1500, FLOW_BULK, SEC);
    }
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 1);
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 3);
    put(&w, 2, 200, FLOW_BULK, SEC);
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 2);
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 1);
    put(&w, 2, 200, FLOW_BULK, SEC);
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 3);
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 2);
    world_close(&w);
}

static void test_refused_keep_their_turn(void **state)
{
    static const int opened[] = { 1, 2, 1, 3, 2, 1, 3 };
    static struct gate g;
    struct world w;

    world_open(&w, &roomy);
    memset(&g, 0, sizeof(g));
    for (int i = 0; i < 20; i++) {
        for (unsigned f = 1; f <= 3; f++)
            put(&w, f, 1500, FLOW_BULK, SEC);
    }
    g.closed[1] = true;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 2);
        assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 3);
    }
    /* The gate opens: 1 is served at once, and for one turn only, whatever it missed. It goes behind 2, which is next,
     * and before 3, which was the last to be served. */
    g.closed[1] = false;
    for (size_t i = 0; i < ARRAY_LEN(opened); i++)
        assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), opened[i]);
    g.closed[1] = g.closed[2] = g.closed[3] = true;
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), -1);
    assert_false(flowq_empty(w.q, FLOW_BULK));
    world_close(&w);
}

static void test_codel_times(void **state)
{
    /* 5 ms, 100 ms: above the target since 1.005 s, so the first drop is at 1.105 s; from there the drops are due
     * 100 ms / sqrt(n) apart: 1.205, 1.275710, 1.333445, 1.383445, 1.428166, 1.468990 (n = 1..6), seen by the pop of
     * each millisecond. */
    static const int drops_ms[] = { 105, 205, 276, 334, 384, 429, 469 };
    static struct gate g;
    struct flowq_options o = roomy;
    struct flowq_stats s;
    struct world w;
    instant now;

    o.quantum = 1000;
    world_open(&w, &o);
    for (int i = 0; i < 600; i++)
        put(&w, 1, 1000, FLOW_BULK, SEC);
    for (int ms = 0; ms < 470; ms++) {
        unsigned want = 0;

        assert_int_equal(turn(&w, &g, FLOW_BULK, SEC + ms * MSEC), 1);
        for (size_t i = 0; i < ARRAY_LEN(drops_ms); i++)
            want += drops_ms[i] <= ms;
        assert_int_equal(flowq_stats(w.q).dropped_codel, want);
    }
    /* Drained in no time to one packet, which is passed on however old: the episode is over with count 7. */
    now = SEC + 470 * MSEC;
    while (flowq_flow(w.q, 1)->pkts > 1)
        turn(&w, &g, FLOW_BULK, now);
    assert_int_equal(turn(&w, &g, FLOW_BULK, now + 10 * SEC), 1);
    assert_true(flowq_empty(w.q, FLOW_BULK));
    s = flowq_stats(w.q);
    assert_int_equal(s.dropped_codel, 7);
    assert_int_equal(s.popped + s.dropped_codel, 600);
    /* A new one within 16 intervals goes on from count 7 - 1: first drop at +105 ms, the next 100 / sqrt(6) = 40.824 ms
     * after that. */
    now = 2 * SEC;
    for (int i = 0; i < 600; i++)
        put(&w, 1, 1000, FLOW_BULK, now);
    for (int ms = 0; ms <= 146; ms++) {
        assert_int_equal(turn(&w, &g, FLOW_BULK, now + ms * MSEC), 1);
        assert_int_equal(flowq_stats(w.q).dropped_codel, 7 + (ms >= 105) + (ms >= 146));
    }
    world_close(&w);
}

static unsigned marked_notes;

/* Of the numbers modulo 4, those in the mask can be told. */
static unsigned can_hear;
static bool hear(struct pbuf *b)
{
    if (!(can_hear & 1u << b->note % 4))
        return false;
    marked_notes++;
    return true;
}

static void test_codel_marks(void **state)
{
    /* The times of test_codel_times: a mark where a drop would be, and nothing is lost. */
    static const int marks_ms[] = { 105, 205, 276, 334, 384, 429, 469 };
    static struct gate g;
    struct flowq_options o = roomy;
    struct flowq_stats s;
    struct world w;

    o.quantum = 1000;
    o.mark = hear;
    can_hear = 15;
    marked_notes = 0;
    world_open(&w, &o);
    for (int i = 0; i < 600; i++)
        put(&w, 1, 1000, FLOW_BULK, SEC);
    for (int ms = 0; ms < 470; ms++) {
        unsigned want = 0;

        assert_int_equal(turn(&w, &g, FLOW_BULK, SEC + ms * MSEC), 1);
        for (size_t i = 0; i < ARRAY_LEN(marks_ms); i++)
            want += marks_ms[i] <= ms;
        assert_int_equal(marked_notes, want);
    }
    s = flowq_stats(w.q);
    assert_int_equal(s.marked, 7);
    assert_int_equal(s.dropped_codel, 0);
    assert_int_equal(s.popped, 470);
    world_close(&w);

    /* Who cannot be told is dropped at the same times. One packet leaves each ms, a drop takes one more: at 105 ms it
     * is the turn of packet 105, of remainder 1, which is marked; at 205 of 205 (1), marked; at 276 of 276 (0),
     * dropped. */
    can_hear = 1u << 1;
    marked_notes = 0;
    w.next_note = 0;
    world_open(&w, &o);
    for (int i = 0; i < 600; i++)
        put(&w, 1, 1000, FLOW_BULK, SEC);
    for (int ms = 0; ms <= 276; ms++) {
        turn(&w, &g, FLOW_BULK, SEC + ms * MSEC);
        s = flowq_stats(w.q);
        assert_int_equal(s.marked, (ms >= 105) + (ms >= 205));
        assert_int_equal(s.dropped_codel, ms >= 276);
    }
    world_close(&w);

    /* A full queue drops whoever it is. */
    o.pkts_max = 10;
    can_hear = 15;
    marked_notes = 0;
    world_open(&w, &o);
    for (int i = 0; i < 11; i++)
        put(&w, 1, 1000, FLOW_BULK, SEC);
    assert_int_equal(flowq_stats(w.q).dropped_full, 1);
    assert_int_equal(marked_notes, 0);
    world_close(&w);
}

static void test_codel_spares_small_queues(void **state)
{
    static struct gate g;
    struct world w;
    instant now = SEC;

    world_open(&w, &roomy);
    /* Always two packets, 1400 bytes behind the one that goes: below a quantum, so never dropped though a second old.
     */
    put(&w, 1, 1400, FLOW_BULK, now);
    for (int i = 0; i < 100; i++) {
        put(&w, 1, 1400, FLOW_BULK, now);
        now += SEC;
        assert_int_equal(turn(&w, &g, FLOW_BULK, now), 1);
    }
    assert_int_equal(flowq_stats(w.q).dropped_codel, 0);
    /* With a target above the delay nothing is dropped from long queues either. */
    flowq_set_target(w.q, 10 * SEC, 100 * MSEC);
    for (int i = 0; i < 100; i++)
        put(&w, 2, 1400, FLOW_BULK, now);
    for (int i = 0; i < 90; i++) {
        now += 50 * MSEC;
        turn(&w, &g, FLOW_BULK, now);
    }
    assert_int_equal(flowq_stats(w.q).dropped_codel, 0);
    world_close(&w);
}

#define LONG (10 << 20) /* bytes that a flow has sent */

/* One packet comes each millisecond and one leaves every second one: number n leaves at 2 n, n ms old. Above 5 ms since
 * 10, so the first drop is at 110, of number 55. Returns the number that leaves then. */
static uint32_t first_after_drop(span fall_before, enum flow_class c, uint64_t run_bytes, uint64_t *ret_dropped)
{
    static struct gate g;
    struct flowq_options o = roomy;
    struct world w;
    uint32_t note = 0;

    o.quantum = 1000;
    o.mark = hear;
    world_open(&w, &o);
    flowq_on_fall(w.q, SEC + 110 * MSEC - fall_before);
    for (int ms = 0; ms <= 110; ms++) {
        struct flow *f;
        struct pbuf *b;

        put(&w, 1, 1000, c, SEC + ms * MSEC);
        flowq_flow(w.q, 1)->run_bytes = run_bytes;
        if (ms % 2 > 0)
            continue;
        b = take(&w, &g, c, SEC + ms * MSEC, &f);
        note = b->note;
        pbuf_unref(b);
    }
    *ret_dropped = flowq_stats(w.q).dropped_codel;
    world_close(&w);
    return note;
}

static void test_codel_sheds_after_a_fall(void **state)
{
    uint64_t dropped;

    can_hear = 0;
    assert_int_equal(first_after_drop(2 * SEC, FLOW_BULK, LONG, &dropped), 56);
    assert_int_equal(dropped, 1);
    /* What is 2 ms old may stay. */
    assert_int_equal(first_after_drop(110 * MSEC, FLOW_BULK, LONG, &dropped), 108);
    assert_int_equal(dropped, 108 - 55);
    assert_int_equal(first_after_drop(999 * MSEC, FLOW_BULK, LONG, &dropped), 108);
    assert_int_equal(first_after_drop(SEC, FLOW_BULK, LONG, &dropped), 56);
    /* A flow of 2 MiB may still be looking for its rate. */
    assert_int_equal(first_after_drop(110 * MSEC, FLOW_BULK, 2 << 20, &dropped), 56);
    /* Interactive flows may stand for longer, and lose nothing. */
    assert_int_equal(first_after_drop(110 * MSEC, FLOW_INTERACTIVE, LONG, &dropped), 55);
    assert_int_equal(dropped, 0);
    /* Number 55 is marked, and that is enough; with 57 markable 55 and 56 go. */
    can_hear = 1u << 3;
    assert_int_equal(first_after_drop(110 * MSEC, FLOW_BULK, LONG, &dropped), 55);
    assert_int_equal(dropped, 0);
    can_hear = 1u << 1;
    assert_int_equal(first_after_drop(110 * MSEC, FLOW_BULK, LONG, &dropped), 57);
    assert_int_equal(dropped, 2);
}

static void test_full_drops_the_longest(void **state)
{
    static struct gate g;
    struct flowq_options o = roomy;
    struct flow *f;
    struct pbuf *b;
    struct world w;

    o.bytes_max = 5000;
    o.pkts_max = 10;
    world_open(&w, &o);
    for (unsigned i = 0; i < 3; i++)
        put(&w, 1, 1500, FLOW_INTERACTIVE, SEC); /* 0, 1, 2 */
    put(&w, 2, 500, FLOW_BULK, SEC);             /* 3: 5000 bytes, which fit */
    assert_int_equal(flowq_stats(w.q).dropped_full, 0);
    put(&w, 2, 1, FLOW_BULK, SEC); /* 4 */
    assert_int_equal(flowq_stats(w.q).dropped_full, 1);
    assert_int_equal(flowq_bytes(w.q), 3501);
    b = take(&w, &g, FLOW_INTERACTIVE, SEC, &f);
    assert_int_equal(b->note, 1); /* 0 was the oldest of the longest */
    pbuf_unref(b);
    /* By number: 1 + 2 + 7 packets, and one more. Flow 1 has the most bytes. */
    for (unsigned i = 0; i < 7; i++)
        put(&w, 3, 10, FLOW_BULK, SEC);
    assert_int_equal(flowq_stats(w.q).dropped_full, 1);
    f = put(&w, 3, 10, FLOW_BULK, SEC);
    assert_int_equal(flowq_stats(w.q).dropped_full, 2);
    assert_true(flowq_empty(w.q, FLOW_INTERACTIVE));
    assert_int_equal(f->pkts, 8);
    /* Larger than all the room there is: it goes itself, after the rest. */
    o.bytes_max = 100;
    flowq_free(w.q);
    w.q = flowq_new(&o);
    put(&w, 1, 101, FLOW_BULK, SEC);
    assert_true(flowq_empty(w.q, FLOW_BULK));
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), -1);
    assert_int_equal(put(&w, 1, 100, FLOW_BULK, SEC)->pkts, 1);
    world_close(&w);
}

static void test_unpop(void **state)
{
    static struct gate g;
    struct flow *f, *again;
    struct pbuf *b;
    struct world w;
    int32_t deficit;

    world_open(&w, &roomy);
    put(&w, 1, 1500, FLOW_BULK, SEC);
    deficit = put(&w, 1, 1500, FLOW_BULK, SEC)->deficit;
    put(&w, 2, 1500, FLOW_BULK, SEC);
    b = take(&w, &g, FLOW_BULK, SEC, &f);
    assert_int_equal(b->note, 0);
    flowq_unpop(w.q, f, b);
    assert_int_equal(f->deficit, deficit);
    assert_int_equal(flowq_bytes(w.q), 4500);
    assert_int_equal(flowq_stats(w.q).popped, 0);
    assert_ptr_equal(take(&w, &g, FLOW_BULK, SEC, &again), b);
    assert_ptr_equal(again, f);
    pbuf_unref(b);
    /* Also when the flow has left the rounds meanwhile. */
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 2);
    b = take(&w, &g, FLOW_BULK, SEC, &f);
    assert_int_equal(b->note, 1);
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), -1);
    put(&w, 3, 100, FLOW_BULK, SEC);
    assert_int_equal(turn(&w, &g, FLOW_BULK, SEC), 3);
    flowq_unpop(w.q, f, b);
    assert_ptr_equal(take(&w, &g, FLOW_BULK, SEC, &again), b);
    pbuf_unref(b);
    world_close(&w);
}

static void count_flow(void *ctx, struct flow *f)
{
    unsigned *seen = ctx;

    assert_int_equal(f->pkts, 1);
    seen[f->index]++;
}

static void test_keep_newest(void **state)
{
    static struct gate g;
    unsigned seen[FLOWQ_FLOWS] = { 0 };
    struct flow *f;
    struct pbuf *b;
    struct world w;

    world_open(&w, &roomy);
    for (int i = 0; i < 5; i++) {
        put(&w, 1, 100, FLOW_BULK, SEC);
        put(&w, 2, 100, FLOW_INTERACTIVE, SEC);
    }
    put(&w, 3, 100, FLOW_BULK, SEC);
    flowq_keep_newest(w.q);
    assert_int_equal(flowq_stats(w.q).dropped_stale, 8);
    assert_int_equal(flowq_bytes(w.q), 300);
    assert_int_equal(w.pool.used, 3);
    flowq_foreach(w.q, count_flow, seen);
    for (unsigned i = 0; i < FLOWQ_FLOWS; i++)
        assert_int_equal(seen[i], i >= 1 && i <= 3);
    b = take(&w, &g, FLOW_BULK, SEC, &f);
    assert_int_equal(b->note, 8);
    pbuf_unref(b);
    b = take(&w, &g, FLOW_INTERACTIVE, SEC, &f);
    assert_int_equal(b->note, 9);
    pbuf_unref(b);
    world_close(&w);
}

/* The plain model: for each flow the numbers and lengths of what waits, oldest first. */
enum { MODEL_FLOWS = 30, MODEL_QUEUE = POOL };

struct model {
    struct {
        uint32_t notes[MODEL_QUEUE];
        size_t lens[MODEL_QUEUE], pkts, bytes;
        enum flow_class class;
    } flows[MODEL_FLOWS];
    size_t pkts, bytes;
};

static uint32_t model_drop_head(struct model *m, unsigned i)
{
    uint32_t note = m->flows[i].notes[0];
    size_t len = m->flows[i].lens[0];

    m->flows[i].pkts--;
    memmove(m->flows[i].notes, m->flows[i].notes + 1, m->flows[i].pkts * sizeof(m->flows[i].notes[0]));
    memmove(m->flows[i].lens, m->flows[i].lens + 1, m->flows[i].pkts * sizeof(m->flows[i].lens[0]));
    m->flows[i].bytes -= len;
    m->bytes -= len;
    m->pkts--;
    return note;
}

/* A push made the queue too long: what was dropped must have been the longest at that moment. */
static void model_check_full(struct model *m, struct world *w, const struct flowq_options *o)
{
    while (m->pkts > o->pkts_max || m->bytes > o->bytes_max) {
        size_t longest = 0;
        unsigned victim = MODEL_FLOWS;

        for (unsigned i = 0; i < MODEL_FLOWS; i++)
            longest = MAX(longest, m->flows[i].bytes);
        for (unsigned i = 0; i < MODEL_FLOWS; i++) {
            if (m->flows[i].bytes == longest && m->flows[i].pkts > flowq_flow(w->q, i)->pkts)
                victim = i;
        }
        assert_true(victim < MODEL_FLOWS);
        model_drop_head(m, victim);
    }
    for (unsigned i = 0; i < MODEL_FLOWS; i++) {
        assert_int_equal(flowq_flow(w->q, i)->pkts, m->flows[i].pkts);
        assert_int_equal(flowq_flow(w->q, i)->bytes, m->flows[i].bytes);
    }
}

static void random_pop(struct world *w, struct model *m, struct gate *g, struct prng *p, instant now)
{
    enum flow_class c = prng_below(p, 2) ? FLOW_BULK : FLOW_INTERACTIVE;
    uint64_t dropped = flowq_stats(w->q).dropped_codel;
    struct flow *f;
    struct pbuf *b;

    for (unsigned i = 0; i < MODEL_FLOWS; i++)
        g->closed[i] = prng_below(p, 4) == 0;
    b = take(w, g, c, now, &f);
    if (!b) {
        for (unsigned i = 0; i < MODEL_FLOWS; i++)
            assert_true(m->flows[i].pkts == 0 || m->flows[i].class != c || g->closed[i]);
        return;
    }
    assert_false(g->closed[f->index]);
    assert_int_equal(m->flows[f->index].class, c);
    dropped = flowq_stats(w->q).dropped_codel - dropped;
    while (dropped-- > 0)
        model_drop_head(m, f->index);
    assert_true(m->flows[f->index].pkts > 0);
    if (prng_below(p, 8) == 0) {
        flowq_unpop(w->q, f, b);
        return;
    }
    assert_int_equal(model_drop_head(m, f->index), b->note);
    pbuf_unref(b);
}

/* Now and then a flow has another rule. */
static void check_rules(const struct model *m, struct world *w, struct prng *p)
{
    size_t bytes[3] = { 0 };

    if (prng_below(p, 20) == 0)
        flowq_steer(w->q, flowq_flow(w->q, prng_below(p, MODEL_FLOWS)), (uint16_t)prng_below(p, ARRAY_LEN(bytes)));
    for (unsigned i = 0; i < MODEL_FLOWS; i++)
        bytes[flowq_flow(w->q, i)->steer] += m->flows[i].bytes;
    for (uint16_t r = 0; r < ARRAY_LEN(bytes); r++)
        assert_int_equal(flowq_bytes_of(w->q, r), bytes[r]);
}

static void test_against_lists(void **state)
{
    static struct gate g;
    struct flowq_options o = roomy;
    struct model *m = calloc(1, sizeof(*m));
    struct flowq_stats s;
    struct world w;
    struct prng p, rules;
    instant now = SEC;

    assert_non_null(m);
    o.pkts_max = 200;
    o.bytes_max = 100000;
    world_open(&w, &o);
    prng_init(&p, 42);
    prng_init(&rules, 43);
    for (int step = 0; step < 60000; step++) {
        unsigned pushes = step / 5000 % 2 ? 40 : 58; /* percent: the queue fills, stands and drains in turns */

        now += (span)prng_below(&p, 1500);
        if (prng_below(&p, 100) < pushes) {
            unsigned i = (unsigned)prng_below(&p, MODEL_FLOWS);
            size_t len = 40 + (size_t)prng_below(&p, 1460), n = m->flows[i].pkts++;
            enum flow_class c = prng_below(&p, 50) ? m->flows[i].class : (enum flow_class) !m->flows[i].class;

            m->flows[i].notes[n] = w.next_note;
            m->flows[i].lens[n] = len;
            m->flows[i].bytes += len;
            m->flows[i].class = c;
            m->bytes += len;
            m->pkts++;
            put(&w, i, len, c, now);
            model_check_full(m, &w, &o);
        } else {
            random_pop(&w, m, &g, &p, now);
        }
        assert_int_equal(flowq_bytes(w.q), m->bytes);
        check_rules(m, &w, &rules);
        assert_int_equal(w.pool.used, m->pkts);
    }
    s = flowq_stats(w.q);
    assert_int_equal(s.pushed, s.popped + s.dropped_codel + s.dropped_full + m->pkts);
    assert_true(s.dropped_codel > 100);
    assert_true(s.dropped_full > 100);
    world_close(&w);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_equal_bytes),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_new_before_old),
        cmocka_unit_test(test_new_only_once),
        cmocka_unit_test(test_refused_keep_their_turn),
        cmocka_unit_test(test_codel_times),
        cmocka_unit_test(test_codel_marks),
        cmocka_unit_test(test_codel_spares_small_queues),
        cmocka_unit_test(test_codel_sheds_after_a_fall),
        cmocka_unit_test(test_full_drops_the_longest),
        cmocka_unit_test(test_unpop),
        cmocka_unit_test(test_keep_newest),
        cmocka_unit_test(test_against_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
