/* Unit tests of lab/middlebox_tcp. */
#include "lab/middlebox_tcp.h"

#include "tests/unit/tunnel.h"

#define T0 ((instant)1000 * SEC)
#define MTU 1500

/* A segment of the client's (192.0.2.1) or the server's (198.51.100.2 port 443). */
struct seg {
    bool from_server;
    uint16_t port; /* the client's; 0: 40000 */
    uint32_t seq, ack;
    uint8_t flags;
    const uint8_t *options;
    size_t options_len;
    const void *data;
    size_t len;
    uint16_t urgent;
};

static void checksum_set(uint8_t *pkt, size_t len)
{
    put_be16(pkt + 10, 0);
    put_be16(pkt + 10, (uint16_t)~judge_sum(0, pkt, 20));
    put_be16(pkt + 36, 0);
    put_be16(pkt + 36, (uint16_t)~judge_sum(judge_pseudo(pkt, len - 20), pkt + 20, len - 20));
}

static size_t make(const struct seg *s, uint8_t *pkt)
{
    struct recipe r = { .sport = s->port ? s->port : 40000,
                        .seq = s->seq,
                        .flags = s->flags,
                        .id = 500,
                        .options = s->options,
                        .options_len = s->options_len,
                        .payload = s->data,
                        .payload_len = s->len };
    size_t len = cook(&r, pkt);
    uint8_t ends[8], ports[4];

    put_be32(pkt + 28, s->ack);
    put_be16(pkt + 38, s->urgent);
    if (s->from_server) {
        memcpy(ends, pkt + 12, 8);
        memcpy(pkt + 12, ends + 4, 4);
        memcpy(pkt + 16, ends, 4);
        memcpy(ports, pkt + 20, 4);
        memcpy(pkt + 20, ports + 2, 2);
        memcpy(pkt + 22, ports, 2);
    }
    checksum_set(pkt, len);
    return len;
}

/* One packet that came out. */
struct piece {
    uint8_t pkt[PACKET_MAX];
    size_t len;
};

static struct piece out[8];

static const uint8_t *data_of(const struct piece *p)
{
    return p->pkt + 20 + (p->pkt[32] >> 4) * 4;
}

static size_t len_of(const struct piece *p)
{
    return (size_t)(p->pkt + p->len - data_of(p));
}

static uint32_t seq_of(const struct piece *p)
{
    return get_be32(p->pkt + 24);
}

static uint32_t ack_of(const struct piece *p)
{
    return get_be32(p->pkt + 28);
}

static void assert_data(const struct piece *p, const char *text)
{
    assert_int_equal(len_of(p), strlen(text));
    assert_memory_equal(data_of(p), text, strlen(text));
}

/* Through the box: how many come out, all of them right by lengths and checksums. */
static size_t pass_at(struct middlebox *m, const struct seg *s, instant now)
{
    static uint8_t pkt[PACKET_MAX];
    size_t n = 0;

    middlebox_push(m, pkt, make(s, pkt), now);
    while ((out[n].len = middlebox_pop(m, out[n].pkt)) > 0) {
        judge_packet(out[n].pkt, out[n].len);
        n++;
        assert_true(n < ARRAY_LEN(out));
    }
    return n;
}

static void pass(struct middlebox *m, const struct seg *s)
{
    assert_int_equal(pass_at(m, s, T0), 1);
}

/* A client that calls with the sequence number seq; what the server sees of that is returned. */
static uint32_t call(struct middlebox *m, uint16_t port, uint32_t seq)
{
    pass(m, &(struct seg){ .port = port, .seq = seq, .flags = TCP_SYN });
    return seq_of(&out[0]);
}

static struct prng prng;

static struct middlebox *box_new(const struct middlebox_options *o)
{
    struct middlebox *m = malloc(sizeof(*m));
    struct rng rng = prng_rng(&prng);

    assert_non_null(m);
    middlebox_init(m, o, &rng);
    return m;
}

static void box_free(struct middlebox **m)
{
    middlebox_deinit(*m);
    free(*m);
}

#define BOX CLEANUP(box_free) struct middlebox *

static struct middlebox_options editing(uint32_t after, const char *from, const char *to)
{
    struct middlebox_options o = {
        .mtu = MTU, .grow = true, .after = after, .from_len = (uint8_t)strlen(from), .to_len = (uint8_t)strlen(to)
    };

    memcpy(o.from, from, o.from_len);
    memcpy(o.to, to, o.to_len);
    return o;
}

static const struct middlebox_options everything = { .strip_options = true,
                                                     .strip_mptcp = true,
                                                     .rewrite_seq = true,
                                                     .recut = 1,
                                                     .mtu = MTU,
                                                     .grow = true,
                                                     .to_len = 1,
                                                     .to = "x" };

static void assert_same(struct middlebox *m, const uint8_t *pkt, size_t len)
{
    middlebox_push(m, pkt, len, T0);
    assert_int_equal(middlebox_pop(m, out[0].pkt), len);
    assert_memory_equal(out[0].pkt, pkt, len);
    assert_int_equal(middlebox_pop(m, out[0].pkt), 0);
}

static void test_what_is_not_tcp_stays(void **state)
{
    static const uint8_t options[] = { 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1 };
    struct recipe udp = { .udp = true, .sport = 5, .payload = options, .payload_len = sizeof(options) };
    struct recipe v6 = { .v6 = true, .sport = 5, .flags = TCP_SYN, .options = options, .options_len = sizeof(options) };
    struct seg s = { .flags = TCP_SYN, .options = options, .options_len = sizeof(options) };
    BOX m = box_new(&everything);
    uint8_t pkt[200];
    size_t len;

    assert_same(m, pkt, cook(&udp, pkt));
    assert_same(m, pkt, cook(&v6, pkt));
    len = make(&s, pkt);
    pkt[36] ^= 1; /* a wrong checksum stays wrong */
    assert_same(m, pkt, len);
    len = make(&s, pkt);
    pkt[6] = 0x20; /* more fragments */
    checksum_set(pkt, len);
    assert_same(m, pkt, len);
    len = make(&s, pkt);
    pkt[32] = 0xf0; /* a header longer than the packet */
    checksum_set(pkt, len);
    assert_same(m, pkt, len);
    memset(pkt, 0xff, sizeof(pkt));
    for (len = 1; len < 60; len++)
        assert_same(m, pkt, len);
    assert_int_equal(m->counts.connections, 0);
    assert_int_equal(m->counts.packets, 5 + 59);
}

/* MSS, SACK permitted, time stamps, window scale and MP_CAPABLE (RFC 8684 3.1). */
static const uint8_t syn_options[] = { 2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7, 30, 4, 1, 1 };
/* Time stamps and a DSS with an acknowledgement of 4 bytes, and the end of options with what is behind it. */
static const uint8_t ack_options[] = { 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 30, 8, 0x20, 1, 9, 9, 9, 9, 0, 8 };

static void test_options_are_stripped(void **state)
{
    static const uint8_t syn[] = { 2, 4, 5, 0xb4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    static const uint8_t ack[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 8 };
    static const uint8_t cut[] = { 4, 2, 30, 9, 1, 1, 1, 1 }, nops[] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    struct middlebox_options o = { .strip_options = true, .mtu = MTU };
    BOX m = box_new(&o);

    pass(m, &(struct seg){ .flags = TCP_SYN, .options = syn_options, .options_len = sizeof(syn_options) });
    assert_memory_equal(out[0].pkt + 40, syn, sizeof(syn));
    assert_int_equal(m->counts.options_stripped, 4);
    pass(m, &(struct seg){ .from_server = true,
                           .flags = TCP_SYN | TCP_ACK,
                           .ack = 1,
                           .options = syn_options,
                           .options_len = sizeof(syn_options) });
    assert_memory_equal(out[0].pkt + 40, syn, sizeof(syn));
    assert_int_equal(m->counts.options_stripped, 8);
    pass(m, &(struct seg){ .seq = 1,
                           .flags = TCP_ACK,
                           .options = ack_options,
                           .options_len = sizeof(ack_options),
                           .data = "data",
                           .len = 4 });
    assert_memory_equal(out[0].pkt + 40, ack, sizeof(ack));
    assert_data(&out[0], "data");
    assert_int_equal(m->counts.options_stripped, 10);
    /* An option that is longer than what is left, and a connection that is not known. */
    pass(m, &(struct seg){ .port = 7, .flags = TCP_ACK, .options = cut, .options_len = sizeof(cut) });
    assert_memory_equal(out[0].pkt + 40, nops, sizeof(nops));
    assert_int_equal(m->counts.options_stripped, 12);
    assert_int_equal(m->counts.untracked, 1);
}

static void test_mptcp_is_stripped(void **state)
{
    uint8_t syn[sizeof(syn_options)], ack[sizeof(ack_options)];
    static const uint8_t cut[] = { 30, 4, 1, 1, 30, 9, 1, 1 }, left[] = { 1, 1, 1, 1, 30, 9, 1, 1 };
    struct middlebox_options o = { .strip_mptcp = true, .mtu = MTU };
    BOX m = box_new(&o);

    memcpy(syn, syn_options, sizeof(syn));
    memset(syn + 20, 1, 4);
    memcpy(ack, ack_options, sizeof(ack));
    memset(ack + 10, 1, 8);
    pass(m, &(struct seg){ .flags = TCP_SYN, .options = syn_options, .options_len = sizeof(syn_options) });
    assert_memory_equal(out[0].pkt + 40, syn, sizeof(syn));
    pass(m, &(struct seg){ .seq = 1, .flags = TCP_ACK, .options = ack_options, .options_len = sizeof(ack_options) });
    assert_memory_equal(out[0].pkt + 40, ack, sizeof(ack));
    pass(m, &(struct seg){ .seq = 1, .flags = TCP_ACK, .options = cut, .options_len = sizeof(cut) });
    assert_memory_equal(out[0].pkt + 40, left, sizeof(left));
    assert_int_equal(m->counts.options_stripped, 3);
}

static void test_sequence_numbers_are_moved(void **state)
{
    uint8_t sack[] = { 1, 1, 5, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    static const uint32_t edges[] = { 600, 700, 200, 300 };
    uint32_t isn = 0xffffff00, moved, other;
    struct middlebox_options o = { .rewrite_seq = true, .mtu = MTU };
    BOX m = box_new(&o);

    moved = call(m, 0, isn) - isn;
    assert_int_not_equal(moved, 0);
    assert_int_equal(call(m, 0, isn) - isn, moved); /* sent again */
    assert_int_equal(m->counts.connections, 1);
    other = call(m, 40001, isn) - isn;
    assert_int_not_equal(other, moved);
    pass(m, &(struct seg){ .from_server = true, .seq = 9000, .ack = isn + moved + 1, .flags = TCP_SYN | TCP_ACK });
    assert_int_equal(ack_of(&out[0]), isn + 1);
    assert_int_equal(seq_of(&out[0]), 9000);
    pass(m, &(struct seg){ .seq = isn + 1, .ack = 9001, .flags = TCP_ACK, .data = "hello", .len = 5 });
    assert_int_equal(seq_of(&out[0]), isn + 1 + moved);
    assert_int_equal(ack_of(&out[0]), 9001);
    assert_data(&out[0], "hello");
    put_be32(sack + 4, isn + moved + 600); /* beyond 2^32 in the client's numbers */
    put_be32(sack + 8, isn + moved + 700);
    put_be32(sack + 12, isn + moved + 200);
    put_be32(sack + 16, isn + moved + 300);
    pass(m, &(struct seg){ .from_server = true,
                           .seq = 9001,
                           .ack = isn + moved + 6,
                           .flags = TCP_ACK,
                           .options = sack,
                           .options_len = sizeof(sack) });
    assert_int_equal(ack_of(&out[0]), isn + 6);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(get_be32(out[0].pkt + 44 + 4 * i), isn + edges[i]);
    /* The client's blocks are of the server's numbers, which stay. */
    pass(m,
         &(struct seg){ .seq = isn + 6, .ack = 9001, .flags = TCP_ACK, .options = sack, .options_len = sizeof(sack) });
    assert_memory_equal(out[0].pkt + 40, sack, sizeof(sack));
    /* A reset without an acknowledgement has nothing to be put right. */
    pass(m, &(struct seg){ .from_server = true, .seq = 9001, .ack = 5, .flags = TCP_RST });
    assert_int_equal(ack_of(&out[0]), 5);
    assert_int_equal(m->counts.numbers_moved, 3 + 1 + 1 + 1 + 1); /* SYNs, the server's, data, acknowledgements */
    /* The same client again: another distance. */
    assert_int_not_equal(call(m, 0, isn) - isn, moved);
    assert_int_equal(m->counts.connections, 3);
}

static void test_segments_are_recut(void **state)
{
    struct middlebox_options o = { .recut = 300, .mtu = MTU };
    uint8_t data[1000];
    struct seg s = { .seq = 100,
                     .ack = 5,
                     .flags = TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR | TCP_URG,
                     .urgent = 450,
                     .options = ack_options,
                     .options_len = sizeof(ack_options),
                     .data = data,
                     .len = sizeof(data) };
    static const uint8_t flags[] = { TCP_ACK | TCP_CWR | TCP_URG, TCP_ACK | TCP_URG, TCP_ACK,
                                     TCP_ACK | TCP_PSH | TCP_FIN };
    static const uint16_t urgent[] = { 450, 150, 0, 0 };
    BOX m = box_new(&o);

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    assert_int_equal(pass_at(m, &s, T0), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(len_of(&out[i]), i < 3 ? 300 : 100);
        assert_memory_equal(data_of(&out[i]), data + 300 * i, len_of(&out[i]));
        assert_int_equal(seq_of(&out[i]), 100 + 300 * i);
        assert_int_equal(ack_of(&out[i]), 5);
        assert_int_equal(get_be16(out[i].pkt + 4), 500 + i);
        assert_int_equal(out[i].pkt[33], flags[i]);
        assert_int_equal(get_be16(out[i].pkt + 38), urgent[i]);
        assert_memory_equal(out[i].pkt + 40, ack_options, sizeof(ack_options));
    }
    s.len = 300;
    pass(m, &s);
    assert_int_equal(out[0].pkt[33], s.flags);
    s.len = 301;
    s.flags = TCP_SYN; /* what stands behind a SYN is not told from it by its number */
    pass(m, &s);
    s.flags = TCP_RST;
    pass(m, &s);
    assert_int_equal(m->counts.segments_recut, 1);
}

/* The client's 1000 is the SYN. "PORT 1" at 1011 becomes "PORT 12345": four bytes more from 1017 on. */
static void test_a_text_grows(void **state)
{
    static const struct {
        uint32_t seq;
        const char *data;
        uint32_t seen_seq;
        const char *seen;
    } sent[] = {
        { 1001, "USER me\r\n", 1001, "USER me\r\n" },
        { 1010, "\nPORT 1\r\n", 1010, "\nPORT 12345\r\n" },
        { 1019, "PORT 1\r\n", 1023, "PORT 1\r\n" },         /* once only */
        { 1010, "\nPORT 1\r\n", 1010, "\nPORT 12345\r\n" }, /* again, and cut otherwise: */
        { 1008, "\r\n\nPO", 1008, "\r\n\nPO" },
        { 1013, "RT 1", 1013, "RT 12345" },
        { 1016, "1\r\n", 1016, "12345\r\n" },
        { 1017, "\r\n", 1021, "\r\n" },
        { 1010, "\n", 1010, "\n" },
    };
    static const uint32_t acks[][2] = { { 1001, 1001 }, { 1011, 1011 }, { 1012, 1011 }, { 1020, 1011 },
                                        { 1021, 1017 }, { 1023, 1019 }, { 1031, 1027 } };
    struct middlebox_options o = editing(5, "PORT 1", "PORT 12345");
    BOX m = box_new(&o);

    call(m, 0, 1000);
    for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
        pass(m,
             &(struct seg){ .seq = sent[i].seq, .flags = TCP_ACK, .data = sent[i].data, .len = strlen(sent[i].data) });
        assert_int_equal(seq_of(&out[0]), sent[i].seen_seq);
        assert_data(&out[0], sent[i].seen);
    }
    for (size_t i = 0; i < ARRAY_LEN(acks); i++) {
        pass(m, &(struct seg){ .from_server = true, .ack = acks[i][0], .flags = TCP_ACK, .data = "PORT 1", .len = 6 });
        assert_int_equal(ack_of(&out[0]), acks[i][1]);
        assert_data(&out[0], "PORT 1"); /* the server may say so */
    }
    pass(m, &(struct seg){ .seq = 1027, .flags = TCP_ACK | TCP_FIN });
    assert_int_equal(seq_of(&out[0]), 1031);
    assert_int_equal(m->counts.edits, 1);
    assert_int_equal(m->counts.bytes_inserted, 4);
}

/* The same edit. */
static void test_blocks_across_an_edit(void **state)
{
    static const struct {
        uint32_t left, right, client_left, client_right; /* both 0: the option goes */
    } blocks[] = {
        { 1001, 1011, 1001, 1011 }, { 1001, 1015, 1001, 1011 }, { 1013, 1023, 1017, 1019 },
        { 1021, 1023, 1017, 1019 }, { 1011, 1021, 1011, 1017 }, { 1012, 1020, 0, 0 },
    };
    struct middlebox_options o = editing(0, "PORT 1", "PORT 12345");
    BOX m = box_new(&o);

    call(m, 0, 1000);
    pass(m, &(struct seg){ .seq = 1011, .flags = TCP_ACK, .data = "PORT 1\r\n", .len = 8 });
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        uint8_t sack[12] = { 1, 1, 5, 10 };

        put_be32(sack + 4, blocks[i].left);
        put_be32(sack + 8, blocks[i].right);
        pass(m,
             &(struct seg){ .from_server = true, .ack = 1001, .flags = TCP_ACK, .options = sack, .options_len = 12 });
        if (blocks[i].client_left) {
            assert_int_equal(get_be32(out[0].pkt + 44), blocks[i].client_left);
            assert_int_equal(get_be32(out[0].pkt + 48), blocks[i].client_right);
        } else {
            assert_memory_equal(out[0].pkt + 40, ((uint8_t[12]){ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }), 12);
        }
    }
}

/* Something is inserted behind the fourth byte; and a text becomes shorter. */
static void test_insertion_and_deletion(void **state)
{
    struct middlebox_options insert = editing(4, "", "xyz"), shorter = editing(0, "gone away", "g");
    BOX a = box_new(&insert);
    BOX b = box_new(&shorter);

    call(a, 0, 0);
    pass(a, &(struct seg){ .seq = 1, .flags = TCP_ACK, .data = "1234", .len = 4 });
    assert_data(&out[0], "1234");
    pass(a, &(struct seg){ .from_server = true, .ack = 5, .flags = TCP_ACK });
    assert_int_equal(ack_of(&out[0]), 5);
    pass(a, &(struct seg){ .seq = 5, .flags = TCP_ACK, .data = "5678", .len = 4 });
    assert_int_equal(seq_of(&out[0]), 5);
    assert_data(&out[0], "xyz5678");
    pass(a, &(struct seg){ .seq = 1, .flags = TCP_ACK, .data = "123456", .len = 6 });
    assert_data(&out[0], "1234xyz56");
    pass(a, &(struct seg){ .from_server = true, .ack = 7, .flags = TCP_ACK });
    assert_int_equal(ack_of(&out[0]), 5);
    pass(a, &(struct seg){ .from_server = true, .ack = 12, .flags = TCP_ACK });
    assert_int_equal(ack_of(&out[0]), 9);

    call(b, 0, 0);
    pass(b, &(struct seg){ .seq = 1, .flags = TCP_ACK, .data = "he is gone away.", .len = 16 });
    assert_data(&out[0], "he is g.");
    pass(b, &(struct seg){ .seq = 10, .flags = TCP_ACK, .data = "e away.", .len = 7 });
    assert_int_equal(seq_of(&out[0]), 8);
    assert_data(&out[0], ".");
    pass(b, &(struct seg){ .seq = 10, .flags = TCP_ACK, .data = "e aw", .len = 4 });
    assert_int_equal(len_of(&out[0]), 0);
    pass(b, &(struct seg){ .from_server = true, .ack = 8, .flags = TCP_ACK });
    assert_int_equal(ack_of(&out[0]), 16);
    assert_int_equal(b->counts.bytes_inserted, -8);
}

/* What has passed cannot be edited any more: a segment that comes late, behind one that came early. */
static void test_no_edit_before_what_has_passed(void **state)
{
    struct middlebox_options o = editing(0, "ab", "abba");
    BOX m = box_new(&o);

    call(m, 0, 0);
    pass(m, &(struct seg){ .seq = 11, .flags = TCP_ACK, .data = "0123456789", .len = 10 });
    pass(m, &(struct seg){ .seq = 1, .flags = TCP_ACK, .data = "ab34567890", .len = 10 });
    assert_data(&out[0], "ab34567890");
    pass(m, &(struct seg){ .seq = 1, .flags = TCP_ACK, .data = "ab345678900123456789ab", .len = 22 });
    assert_data(&out[0], "ab345678900123456789abba");
    assert_int_equal(m->counts.edits, 1);
}

/* The shift holds however far the stream goes: each step is of half a GiB, and numbers begin anew at 4. */
static void test_an_edit_far_behind(void **state)
{
    struct middlebox_options o = editing(0, "", "abc");
    BOX m = box_new(&o);

    call(m, 0, 0);
    for (uint32_t i = 0, seq = 1; i < 24; i++, seq += 1u << 29) {
        pass(m, &(struct seg){ .seq = seq, .flags = TCP_ACK, .data = "x", .len = 1 });
        assert_int_equal(seq_of(&out[0]), i == 0 ? 1 : seq + 3);
        pass(m, &(struct seg){ .from_server = true, .ack = seq + 4, .flags = TCP_ACK });
        assert_int_equal(ack_of(&out[0]), seq + 1);
    }
}

/* 1450 bytes and 60 more are 1460 and 50: what fits an MTU of 1500. */
static void test_what_grows_beyond_the_mtu_is_cut(void **state)
{
    static char to[61];
    struct middlebox_options o;
    uint8_t data[1450] = { 0 };

    memset(to, 'x', 60);
    o = editing(0, "", to);
    o.rewrite_seq = true;
    BOX m = box_new(&o);
    uint32_t isn = call(m, 0, 0);

    assert_int_equal(pass_at(m, &(struct seg){ .seq = 1, .flags = TCP_ACK | TCP_PSH, .data = data, .len = 1450 }, T0),
                     2);
    assert_int_equal(out[0].len, MTU);
    assert_int_equal(len_of(&out[1]), 50);
    assert_int_equal(seq_of(&out[0]), isn + 1);
    assert_int_equal(seq_of(&out[1]), isn + 1461);
    assert_memory_equal(data_of(&out[0]), to, 60);
}

/* A model: the client's stream, in segments of any cut and order, and again and again; what the server puts together by
 * number is the stream with the first text replaced, whatever came when. */
#define STREAM 3000

static void stream_once(uint64_t seed)
{
    static const char *const from[] = { "", "needle", "a needle in", "n" }, *const to[] = { "x", "nail",
                                                                                            "thread and needle" };
    struct prng p;
    uint8_t sent[STREAM], want[STREAM + MIDDLEBOX_TEXT_MAX], got[STREAM + MIDDLEBOX_TEXT_MAX];
    bool has[STREAM + MIDDLEBOX_TEXT_MAX] = { false };
    size_t where, want_len, from_len, to_len, passed = 0;
    struct middlebox_options o;
    uint32_t isn, seen;
    BOX m = NULL;

    prng_init(&p, seed);
    o = editing((uint32_t)prng_below(&p, 1000), from[seed % 4], to[seed % 3]);
    from_len = o.from_len;
    to_len = o.to_len;
    o.rewrite_seq = seed & 1;
    o.recut = seed & 2 ? (uint16_t)(200 + prng_below(&p, 500)) : 0;
    m = box_new(&o);
    isn = (uint32_t)prng_u64(&p);
    seen = call(m, 0, isn);
    memset(sent, '.', sizeof(sent));
    where = o.after + (from_len ? prng_below(&p, 1000) : 0);
    memcpy(sent + where, o.from, from_len);
    /* In order as far as the edit, so that it is made there; then anything. */
    for (int i = 0; i < 200 || passed < STREAM; i++) {
        size_t begin = prng_below(&p, passed + 1), len = 1 + prng_below(&p, 1200), n;

        if (passed <= where) { /* the text must lie in one segment */
            begin = prng_below(&p, 3) ? passed : begin;
            if (begin <= where && begin + len > where && begin + len < where + from_len)
                len = where - begin;
            if (len == 0)
                begin = where, len = from_len;
        }
        len = MIN(len, STREAM - begin);
        if (len == 0)
            continue;
        passed = MAX(passed, begin + len);
        n = pass_at(
            m, &(struct seg){ .seq = isn + 1 + (uint32_t)begin, .flags = TCP_ACK, .data = sent + begin, .len = len },
            T0);
        for (size_t k = 0; k < n; k++) {
            size_t at = seq_of(&out[k]) - seen - 1;

            assert_true(!o.recut || len_of(&out[k]) <= o.recut);
            assert_true(at + len_of(&out[k]) <= sizeof(got));
            for (size_t b = 0; b < len_of(&out[k]); b++, at++) {
                assert_true(!has[at] || got[at] == data_of(&out[k])[b]);
                got[at] = data_of(&out[k])[b];
                has[at] = true;
            }
        }
    }
    want_len = STREAM - from_len + to_len;
    memcpy(want, sent, where);
    memcpy(want + where, o.to, to_len);
    memcpy(want + where + to_len, sent + where + from_len, STREAM - where - from_len);
    for (size_t i = 0; i < sizeof(has); i++)
        assert_int_equal(has[i], i < want_len);
    assert_memory_equal(got, want, want_len);
    /* Acknowledgements never go beyond what the server has, nor back, and the last one is of everything. */
    for (size_t i = 0, last = 0; i <= want_len; i++) {
        size_t ack;

        pass(m, &(struct seg){ .from_server = true, .ack = seen + 1 + (uint32_t)i, .flags = TCP_ACK });
        ack = ack_of(&out[0]) - isn - 1;
        assert_true(ack >= last && ack <= (i < where + to_len ? MIN(i, where) : i - to_len + from_len));
        last = ack;
        if (i == want_len)
            assert_int_equal(ack, STREAM);
    }
}

static void test_streams(void **state)
{
    for (uint64_t seed = 1; seed <= 120; seed++)
        stream_once(seed);
}

static void test_a_full_table(void **state)
{
    struct middlebox_options o = { .rewrite_seq = true, .strip_mptcp = true, .mtu = MTU };
    BOX m = box_new(&o);

    for (uint32_t i = 0; i < MIDDLEBOX_CONNS_MAX; i++)
        assert_int_not_equal(call(m, (uint16_t)(1000 + i), 7), 7);
    /* One more passes as it is, but for what needs no place. */
    assert_int_equal(call(m, 999, 7), 7);
    assert_int_equal(m->counts.no_place, 1);
    assert_int_equal(m->counts.connections, MIDDLEBOX_CONNS_MAX);
    pass(m, &(struct seg){ .port = 999, .flags = TCP_ACK, .options = (uint8_t[]){ 30, 4, 0, 0 }, .options_len = 4 });
    assert_int_equal(out[0].pkt[40], 1);
    /* One that is in use stays; the others are forgotten. */
    assert_int_equal(
        pass_at(m, &(struct seg){ .port = 1000, .seq = 8, .flags = TCP_ACK }, T0 + MIDDLEBOX_IDLE_AFTER - 1), 1);
    assert_int_equal(pass_at(m, &(struct seg){ .port = 999, .seq = 7, .flags = TCP_SYN }, T0 + MIDDLEBOX_IDLE_AFTER),
                     1);
    assert_int_not_equal(seq_of(&out[0]), 7);
    assert_int_equal(m->conns.count, 2);
    assert_int_equal(pass_at(m, &(struct seg){ .port = 1000, .seq = 8, .flags = TCP_ACK }, T0 + MIDDLEBOX_IDLE_AFTER),
                     1);
    assert_int_not_equal(seq_of(&out[0]), 8);
    assert_int_equal(pass_at(m, &(struct seg){ .port = 1001, .seq = 8, .flags = TCP_ACK }, T0 + MIDDLEBOX_IDLE_AFTER),
                     1);
    assert_int_equal(seq_of(&out[0]), 8);
}

static void test_closed_connections_go_early(void **state)
{
    struct middlebox_options o = { .rewrite_seq = true, .mtu = MTU };
    BOX m = box_new(&o);
    uint32_t moved = call(m, 0, 0);

    pass(m, &(struct seg){ .seq = 1, .flags = TCP_ACK | TCP_FIN });
    pass(m, &(struct seg){ .from_server = true, .ack = moved + 2, .flags = TCP_ACK });
    assert_int_equal(pass_at(m, &(struct seg){ .from_server = true, .ack = moved + 2, .flags = TCP_ACK },
                             T0 + MIDDLEBOX_CLOSED_AFTER),
                     1);
    assert_int_equal(ack_of(&out[0]), 2); /* half of it only is closed */
    assert_int_equal(pass_at(m, &(struct seg){ .from_server = true, .ack = moved + 2, .flags = TCP_FIN | TCP_ACK },
                             T0 + MIDDLEBOX_CLOSED_AFTER),
                     1);
    assert_int_equal(ack_of(&out[0]), 2);
    assert_int_equal(pass_at(m, &(struct seg){ .seq = 2, .flags = TCP_ACK }, T0 + 2 * MIDDLEBOX_CLOSED_AFTER - 1), 1);
    assert_int_equal(seq_of(&out[0]), 2 + moved);
    assert_int_equal(pass_at(m, &(struct seg){ .seq = 2, .flags = TCP_ACK }, T0 + 3 * MIDDLEBOX_CLOSED_AFTER), 1);
    assert_int_equal(seq_of(&out[0]), 2);
    assert_int_equal(m->conns.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_tcp_stays),
        cmocka_unit_test(test_options_are_stripped),
        cmocka_unit_test(test_mptcp_is_stripped),
        cmocka_unit_test(test_sequence_numbers_are_moved),
        cmocka_unit_test(test_segments_are_recut),
        cmocka_unit_test(test_a_text_grows),
        cmocka_unit_test(test_blocks_across_an_edit),
        cmocka_unit_test(test_insertion_and_deletion),
        cmocka_unit_test(test_no_edit_before_what_has_passed),
        cmocka_unit_test(test_an_edit_far_behind),
        cmocka_unit_test(test_what_grows_beyond_the_mtu_is_cut),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_a_full_table),
        cmocka_unit_test(test_closed_connections_go_early),
    };

    prng_init(&prng, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
