/* Unit tests of src/tunnel/merge. */
#include "tunnel/merge.h"

#include "base/rng.h"
#include "tests/unit/tunnel.h"

#include <errno.h>

enum { ALL = MERGE_TCP | MERGE_UDP | MERGE_CSUM, ARENA = 4 << 20 };

static struct merge m;
static uint8_t arena[ARENA]; /* packets stay where they are until popped: at most 8 x 64 KiB */
static size_t arena_at;
static uint8_t payload[65535], pkt[65536], out[65536];
static const uint8_t stamps[] = { 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8 },
                     later[] = { 1, 1, 8, 10, 1, 2, 3, 5, 5, 6, 7, 8 };

static struct recipe data(uint32_t seq, uint16_t id, size_t len)
{
    return (struct recipe){ .sport = 1000,
                            .seq = seq,
                            .id = id,
                            .flags = TCP_ACK,
                            .options = stamps,
                            .options_len = sizeof(stamps),
                            .payload = payload + seq % 1000,
                            .payload_len = len };
}

static int feed(const uint8_t *p, size_t len, bool csum_owed)
{
    struct packet_info i;
    struct merge_packet in = { .info = &i, .csum_owed = csum_owed };
    int r = packet_parse(p, len, &i);

    if (r < 0)
        return r;
    if (arena_at + len > ARENA)
        arena_at = 0;
    in.data = arena + arena_at;
    memcpy(arena + arena_at, p, len);
    arena_at += len;
    return merge_push(&m, &in);
}

static int push(const struct recipe *r)
{
    return feed(pkt, cook(r, pkt), false);
}

/* The next one, in one piece; its length or 0. */
static size_t pop_one(struct offload *o, const uint8_t **ret)
{
    static uint8_t whole[PACKET_MAX];
    struct merged out_pkt;
    size_t len;

    if (!merge_pop(&m, &out_pkt))
        return 0;
    *o = out_pkt.offload;
    *ret = whole;
    len = slices_gather(out_pkt.slices, out_pkt.count, whole, sizeof(whole));
    assert_int_equal(len, out_pkt.len);
    return len;
}

/* Pops one; the number of packets that it stands for, 0 if none is ready. */
static size_t pop_count(struct offload *o, const uint8_t **ret, size_t *len)
{
    struct packet_info i;

    *len = pop_one(o, ret);
    if (*len == 0)
        return 0;
    assert_int_equal(packet_parse(*ret, *len, &i), 0);
    assert_int_equal(i.total_len, *len);
    if (o->gso_type == OFFLOAD_GSO_NONE) {
        assert_int_equal(o->flags, 0);
        return 1;
    }
    return (*len - i.payload_off + o->gso_size - 1) / o->gso_size;
}

static size_t pop(void)
{
    const uint8_t *p;
    struct offload o;
    size_t len;

    return pop_count(&o, &p, &len);
}

static void test_super_packet_fields(void **state)
{
    for (int n = 0; n < 4; n++) {
        bool v6 = n & 1, udp = n & 2;
        size_t l3 = v6 ? 40 : 20, hdr = l3 + (udp ? 8 : 32), len;
        struct offload o;
        const uint8_t *p;

        merge_init(&m, ALL);
        for (uint16_t k = 0; k < 3; k++) {
            struct recipe r = data(k * 500u, (uint16_t)(0xffff + k), k == 2 ? 123 : 500);

            r.v6 = v6;
            r.udp = udp;
            if (udp)
                r.options_len = 0;
            if (k == 2)
                r.flags |= TCP_PSH;
            assert_int_equal(push(&r), 0);
        }
        /* A short piece ends it: ready without a flush. */
        assert_int_equal(pop_count(&o, &p, &len), 3);
        assert_int_equal(len, hdr + 1123);
        assert_int_equal(o.flags, OFFLOAD_NEEDS_CSUM);
        assert_int_equal(o.gso_type, udp ? 5 : v6 ? 4 : 1);
        assert_int_equal(o.gso_size, 500);
        assert_int_equal(o.hdr_len, hdr);
        assert_int_equal(o.csum_start, l3);
        assert_int_equal(o.csum_offset, udp ? 6 : 16);
        assert_int_equal(get_be16(p + l3 + o.csum_offset), judge_pseudo(p, len - l3));
        if (!v6) {
            assert_int_equal(judge_sum(0, p, 20), 0xffff);
            assert_int_equal(get_be16(p + 4), 0xffff);
        }
        if (udp)
            assert_int_equal(get_be16(p + l3 + 4), len - l3);
        else
            assert_int_equal(p[l3 + 13], TCP_ACK | TCP_PSH);
        assert_memory_equal(p + hdr, payload, 500);
        assert_memory_equal(p + hdr + 500, payload + 500, 500);
        assert_memory_equal(p + hdr + 1000, payload, 123);
        assert_int_equal(pop(), 0);
    }
}

/* Pushes two packets of 500 bytes, the second as changed; true if they merged. */
static bool pair_merges(struct recipe a, struct recipe b, size_t poke, uint8_t value)
{
    size_t len, first;

    merge_init(&m, ALL);
    assert_int_equal(push(&a), 0);
    len = cook(&b, pkt);
    if (poke) {
        pkt[poke] = value;
        put_be16(pkt + 10, 0);
        put_be16(pkt + 10, (uint16_t)~judge_sum(0, pkt, 20));
        if (b.udp)
            put_be16(pkt + 26, 0);
        else
            put_be16(pkt + 36, 0),
                put_be16(pkt + 36, (uint16_t)~judge_sum(judge_pseudo(pkt, len - 20), pkt + 20, len - 20));
    }
    assert_int_equal(feed(pkt, len, false), 0);
    merge_flush(&m);
    first = pop();
    assert_int_equal(first + pop(), 2);
    assert_int_equal(pop(), 0);
    return first == 2;
}

static void test_what_does_not_merge(void **state)
{
    struct recipe a = data(0, 5, 500), b = data(500, 6, 500), c;

    assert_true(pair_merges(a, b, 0, 0));
    assert_true(pair_merges(a, b, 8, 64));    /* the poke itself is harmless */
    assert_false(pair_merges(a, b, 1, 0x03)); /* congestion experienced on one of them */
    assert_false(pair_merges(a, b, 8, 63));   /* hop limit */
    assert_false(pair_merges(a, b, 6, 0x40)); /* DF on one of them */
    assert_false(pair_merges(a, b, 31, 78));  /* acknowledgement */
    assert_false(pair_merges(a, b, 35, 1));   /* window */
    c = b, c.id = 7;
    assert_false(pair_merges(a, c, 0, 0));
    c = b, c.seq = 501;
    assert_false(pair_merges(a, c, 0, 0));
    c = b, c.payload_len = 501;
    assert_false(pair_merges(a, c, 0, 0));
    c = b, c.options = later;
    assert_false(pair_merges(a, c, 0, 0));
    c = b, c.options_len = 0;
    assert_false(pair_merges(a, c, 0, 0));
    c = b, c.payload_len = 0; /* a pure acknowledgement */
    assert_false(pair_merges(a, c, 0, 0));
    c = b, c.sport = 1001;
    assert_false(pair_merges(a, c, 0, 0));
    for (unsigned flag = 1; flag <= 0x80; flag <<= 1) {
        c = b, c.flags |= (uint8_t)flag;
        assert_int_equal(pair_merges(a, c, 0, 0), flag == TCP_FIN || flag == TCP_PSH || flag == TCP_ACK);
    }
    c = a, c.flags |= TCP_PSH; /* PSH ends */
    assert_false(pair_merges(c, b, 0, 0));
    a.flags |= TCP_ECE, b.flags |= TCP_ECE;
    assert_true(pair_merges(a, b, 0, 0));
    a.udp = b.udp = true;
    a.options_len = b.options_len = 0;
    assert_true(pair_merges(a, b, 0, 0));
    assert_false(pair_merges(a, b, 8, 64)); /* no UDP checksum */
    b.payload_len = 501;
    assert_false(pair_merges(a, b, 0, 0));
}

static void test_do_not_fragment_frees_the_id(void **state)
{
    struct recipe a = data(0, 0, 500), b = data(500, 0, 500);

    merge_init(&m, ALL);
    for (int n = 0; n < 2; n++) {
        size_t len = cook(n ? &b : &a, pkt);

        pkt[6] = 0x40;
        put_be16(pkt + 10, 0);
        put_be16(pkt + 10, (uint16_t)~judge_sum(0, pkt, 20));
        assert_int_equal(feed(pkt, len, false), 0);
    }
    merge_flush(&m);
    assert_int_equal(pop(), 2);
}

static void test_bad_checksums_pass_alone(void **state)
{
    for (int n = 0; n < 3; n++) {
        static const size_t spoilt[] = { 11, 36, 300 }; /* IP's, TCP's, payload */
        struct recipe a = data(0, 5, 500), b = data(500, 6, 500);
        size_t len;
        struct offload o;
        const uint8_t *p;

        merge_init(&m, ALL);
        assert_int_equal(push(&a), 0);
        len = cook(&b, pkt);
        pkt[spoilt[n]] ^= 1;
        assert_int_equal(feed(pkt, len, false), 0);
        assert_int_equal(pop(), 1);
        assert_int_equal(pop_one(&o, &p), len);
        assert_memory_equal(p, pkt, len);
        assert_int_equal(o.flags, 0);
        /* Owed: the transport checksum is not looked at. */
        merge_init(&m, ALL);
        assert_int_equal(push(&a), 0);
        cook(&b, pkt);
        pkt[spoilt[n]] ^= 1;
        assert_int_equal(feed(pkt, len, true), 0);
        merge_flush(&m);
        assert_int_equal(pop(), n == 0 ? 1 : 2);
    }
}

/* A lone packet that came without its checksum leaves with a partial one, or with a right one where the TUN takes none.
 */
static void test_owed_checksum_is_paid(void **state)
{
    for (int n = 0; n < 8; n++) {
        bool partial = n & 4;
        struct recipe r = {
            .v6 = n & 1, .udp = n & 2, .sport = 7, .flags = TCP_SYN, .payload = payload, .payload_len = 77
        };
        size_t len = cook(&r, pkt), l4 = r.v6 ? 40 : 20, at = l4 + (r.udp ? 6 : 16);
        struct offload o;
        const uint8_t *p;

        put_be16(pkt + at, 0x1234); /* whatever stood there */
        merge_init(&m, partial ? MERGE_CSUM : 0);
        assert_int_equal(feed(pkt, len, true), 0);
        assert_int_equal(pop_one(&o, &p), len);
        assert_int_equal(o.gso_type, OFFLOAD_GSO_NONE);
        if (partial) {
            assert_int_equal(o.flags, OFFLOAD_NEEDS_CSUM);
            assert_int_equal(o.csum_start, l4);
            assert_int_equal(l4 + o.csum_offset, at);
            assert_int_equal(get_be16(p + at), judge_pseudo(pkt, len - l4));
        } else {
            assert_int_equal(o.flags, 0);
            judge_packet(p, len);
        }
        assert_memory_equal(p + at + 2, pkt + at + 2, len - at - 2);
    }
}

/* The bytes belong to a buffer that its giver gives up at once. */
static void test_buffers_are_held_until_used(void **state)
{
    struct pbuf_pool pool;
    struct packet_info i;
    struct merged out_pkt;

    assert_int_equal(pbuf_pool_init(&pool, 2), 0);
    merge_init(&m, ALL);
    for (uint16_t k = 0; k < 2; k++) {
        struct recipe r = data(k * 500u, k, 500);
        struct pbuf *b = pbuf_take(&pool);
        size_t len = cook(&r, b->data);

        assert_int_equal(packet_parse(b->data, len, &i), 0);
        assert_int_equal(merge_push(&m, &(struct merge_packet){ .data = b->data, .info = &i, .owner = b }), 0);
        pbuf_unref(b);
    }
    merge_flush(&m);
    assert_true(merge_pop(&m, &out_pkt));
    assert_int_equal(out_pkt.count, 3);
    assert_int_equal(pool.used, 2);
    assert_false(merge_pop(&m, &out_pkt));
    assert_int_equal(pool.used, 0);
    pbuf_pool_deinit(&pool);
}

static void test_options_off(void **state)
{
    struct recipe a = data(0, 5, 500);

    merge_init(&m, MERGE_UDP);
    assert_int_equal(push(&a), 0);
    assert_int_equal(pop(), 1);
    a.udp = true;
    merge_init(&m, MERGE_TCP);
    assert_int_equal(push(&a), 0);
    assert_int_equal(pop(), 1);
}

static void test_limits(void **state)
{
    merge_init(&m, ALL);
    /* 52 + 45 * 1448 = 65212; one more would pass 65535. */
    for (uint16_t k = 0; k < 46; k++) {
        struct recipe r = data(k * 1448u, k, 1448);
        assert_int_equal(push(&r), 0);
    }
    assert_int_equal(pop(), 45);
    assert_int_equal(pop(), 0);
    merge_init(&m, ALL);
    for (uint16_t k = 0; k < 65; k++) {
        struct recipe r = data(k, k, 10);
        r.udp = true;
        r.options_len = 0;
        assert_int_equal(push(&r), 0);
    }
    assert_int_equal(pop(), 64);
    /* The ninth flow waits until the oldest has gone. */
    merge_init(&m, ALL);
    for (uint16_t k = 0; k < 9; k++) {
        struct recipe r = data(0, 0, 100);
        r.sport = k;
        if (k == 8) {
            const uint8_t *p;
            struct offload o;

            assert_int_equal(push(&r), -EAGAIN);
            assert_int_equal(pop_one(&o, &p), 152);
            assert_int_equal(get_be16(p + 20), 0);
            assert_int_equal(pop(), 0);
        }
        assert_int_equal(push(&r), 0);
    }
    assert_int_equal(feed(pkt, 5, false), -EBADMSG);
}

/* A fragment of the flow's packets must not overtake what is held. */
static void test_fragment_flushes(void **state)
{
    struct recipe a = data(0, 5, 500);
    struct offload o;
    const uint8_t *p;
    size_t len;

    merge_init(&m, ALL);
    assert_int_equal(push(&a), 0);
    len = cook(&a, pkt);
    pkt[6] = 0x20;
    assert_int_equal(feed(pkt, len, false), 0);
    assert_int_equal(pop_one(&o, &p), len);
    assert_int_equal(p[6], 0);
    assert_true(pop_one(&o, &p) > 0);
    assert_int_equal(p[6], 0x20);
}

/* Random packets of many flows: what comes out, cut again, is what went in, flow by flow, byte by byte. */

enum { FLOWS = 12, HISTORY = 4096 };
static struct {
    uint64_t digests[HISTORY];
    size_t in, out;
    uint32_t seq;
    uint16_t id;
} flows[FLOWS];

static uint64_t digest(const uint8_t *p, size_t len)
{
    uint64_t h = len;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static size_t drain(void)
{
    struct offload o;
    const uint8_t *p;
    size_t len, super = 0;

    while ((len = pop_one(&o, &p)) > 0) {
        struct segment s;
        int n;

        super += o.gso_type != OFFLOAD_GSO_NONE;
        assert_int_equal(segment_init(&s, p, len, &o), 0);
        while ((n = segment_next(&s, out, sizeof(out))) > 0) {
            size_t f = get_be16(out + (out[0] >> 4 == 6 ? 40 : 20));

            assert_true(f < FLOWS && flows[f].out < flows[f].in);
            assert_int_equal(flows[f].digests[flows[f].out], digest(out, (size_t)n));
            flows[f].out++;
        }
    }
    return super;
}

static void test_round_trip(void **state)
{
    struct prng p;
    size_t super = 0;

    prng_init(&p, 5);
    memset(flows, 0, sizeof(flows));
    for (size_t n = 0; n < sizeof(payload); n++)
        payload[n] = (uint8_t)prng_u64(&p);
    merge_init(&m, ALL);
    for (int step = 0; step < 20000; step++) {
        size_t f = prng_below(&p, 3) ? prng_below(&p, 3) : prng_below(&p, FLOWS), len;
        static const uint8_t flags[] = { TCP_PSH, TCP_FIN, TCP_ECE, TCP_SYN, TCP_RST, TCP_CWR, TCP_URG };
        struct recipe r = { .v6 = f & 1, .udp = f & 2, .sport = (uint16_t)f, .seq = flows[f].seq, .id = flows[f].id };

        r.flags = TCP_ACK | (prng_below(&p, 8) ? 0 : flags[prng_below(&p, ARRAY_LEN(flags))]);
        r.options = prng_below(&p, 20) ? stamps : later;
        r.options_len = f & 4 && !r.udp ? sizeof(stamps) : 0;
        r.payload_len = prng_below(&p, 8) ? 1200 : prng_below(&p, 8) ? prng_below(&p, 1400) : 0;
        r.payload = payload + prng_below(&p, 60000);
        flows[f].seq += (uint32_t)r.payload_len + !prng_below(&p, 50);
        flows[f].id = (uint16_t)(flows[f].id + 1 + !prng_below(&p, 50));
        len = cook(&r, pkt);
        assert_true(flows[f].in < HISTORY);
        if (feed(pkt, len, false) == -EAGAIN) {
            super += drain();
            assert_int_equal(feed(pkt, len, false), 0);
        }
        flows[f].digests[flows[f].in++] = digest(pkt, len);
        if (prng_below(&p, 100) == 0) {
            merge_flush(&m);
            super += drain();
            for (f = 0; f < FLOWS; f++) {
                assert_int_equal(flows[f].in, flows[f].out);
                flows[f].in = flows[f].out = 0;
            }
        }
    }
    assert_true(super > 1000); /* it does merge */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_super_packet_fields),
        cmocka_unit_test(test_what_does_not_merge),
        cmocka_unit_test(test_do_not_fragment_frees_the_id),
        cmocka_unit_test(test_bad_checksums_pass_alone),
        cmocka_unit_test(test_owed_checksum_is_paid),
        cmocka_unit_test(test_buffers_are_held_until_used),
        cmocka_unit_test(test_options_off),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_fragment_flushes),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
