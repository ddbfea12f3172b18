/* Unit tests of src/tunnel/tcp: order, windows, super-packets. */
#include "tests/unit/tcp_client.h"

/* --- data --- */

static void test_delayed_acknowledgement(void **state)
{
    struct world w = { 0 };

    established(&w);
    say(&w, SEG_ACK, 1, 1, 100);
    expect_silence(&w);
    assert_int_equal(tcp_end_next_expiry(w.e), w.now + 40 * MSEC);
    tick(&w, 40 * MSEC);
    expect(&w, SEG_ACK, 1, 101, 0);
    expect_silence(&w);
    say(&w, SEG_ACK, 101, 1, MSS); /* the second of two full ones, at once */
    expect_silence(&w);
    say(&w, SEG_ACK, 101 + MSS, 1, MSS);
    expect(&w, SEG_ACK, 1, 101 + 2 * MSS, 0);
    say(&w, SEG_ACK, 101 + 2 * MSS, 1, 20000); /* a super-packet */
    expect(&w, SEG_ACK, 1, 20101 + 2 * MSS, 0);
    say(&w, SEG_ACK, 20101 + 2 * MSS, 1, 10); /* an answer takes it along */
    write_all(&w, 0, 7);
    expect(&w, SEG_ACK | SEG_PSH, 1, 20111 + 2 * MSS, 7);
    tick(&w, 50 * MSEC);
    done(&w);
}

static void test_reassembly(void **state)
{
    struct world w = { 0 };
    uint8_t other[350];
    struct seg s;

    established(&w);
    say(&w, SEG_ACK, 101, 1, 100); /* 101..201 */
    expect(&w, SEG_ACK, 1, 1, 0);
    assert_int_equal(w.last.blocks, 1);
    assert_int_equal(w.last.block[0][0], ISN + 101);
    assert_int_equal(w.last.block[0][1], ISN + 201);
    say(&w, SEG_ACK, 301, 1, 100); /* 301..401: the newest first */
    expect(&w, SEG_ACK, 1, 1, 0);
    assert_int_equal(w.last.blocks, 2);
    assert_int_equal(w.last.block[0][0], ISN + 301);
    assert_int_equal(w.last.block[1][0], ISN + 101);
    say(&w, SEG_ACK, 101, 1, 50); /* once more: RFC 2883, inside the range that has it */
    expect(&w, SEG_ACK, 1, 1, 0);
    assert_int_equal(w.last.block[0][0], ISN + 101);
    assert_int_equal(w.last.block[0][1], ISN + 151);
    /* Other bytes for what is there already: the first hold. */
    memset(other, 0xee, sizeof(other));
    s = make(&w, SEG_ACK, 151, 1, 100); /* 151..251 */
    memcpy(other + 50, pattern + 200, 50);
    s.data = other;
    send_raw(&w, &s);
    assert_true(hear(&w));
    assert_false(tcp_end_readable(w.e));
    memset(other, 0xee, sizeof(other)); /* over all of it, 1..351, and true in the holes alone */
    memcpy(other, pattern, 100);
    memcpy(other + 250, pattern + 250, 50);
    s = make(&w, SEG_ACK, 1, 1, 350);
    s.data = other;
    send_raw(&w, &s);
    expect(&w, SEG_ACK, 1, 401, 0);
    assert_int_equal(w.last.blocks, 0);
    read_all(&w, 0, 400);
    say(&w, SEG_ACK, 1, 1, 100); /* an old one: said to be known */
    expect(&w, SEG_ACK, 1, 401, 0);
    assert_int_equal(w.last.block[0][0], ISN + 1);
    assert_int_equal(w.last.block[0][1], ISN + 101);
    done(&w);
}

static void test_fin_out_of_order(void **state)
{
    struct world w = { 0 };

    established(&w);
    say(&w, SEG_ACK | SEG_FIN, 101, 1, 10); /* ends at 111 */
    assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    say(&w, SEG_ACK | SEG_FIN, 51, 1, 10); /* another end, below: a lie */
    say(&w, SEG_ACK, 111, 1, 20);          /* behind the end: not there */
    say(&w, SEG_ACK, 1, 1, 100);
    assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSE_WAIT);
    read_all(&w, 0, 110);
    assert_true(tcp_end_at_end(w.e));
    done(&w);

    w = (struct world){ 0 };
    established(&w);
    say(&w, SEG_ACK, 101, 1, 10);
    say(&w, SEG_ACK | SEG_FIN, 51, 1, 10); /* below what has come: no end */
    say(&w, SEG_ACK, 1, 1, 100);
    assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    read_all(&w, 0, 110);
    say(&w, SEG_ACK | SEG_FIN, 111, 1, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSE_WAIT);
    done(&w);
}

/* 512 pieces are kept, and what comes beyond them is as if it had not. */
static void test_too_many_holes(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;

    established(&w);
    for (uint32_t i = 0; i < 600; i++) {
        say(&w, SEG_ACK, 2 + 2 * i, 1, 1);
        while (hear(&w))
            continue;
    }
    tcp_end_info(w.e, &info);
    assert_int_equal(info.holes, 512);
    assert_int_equal(info.dropped, 88);
    say(&w, SEG_ACK, 1, 1, 1200);
    read_all(&w, 0, 1200);
    done(&w);
}

static void test_urgent_is_data(void **state)
{
    struct world w = { 0 };

    established(&w);
    say(&w, SEG_ACK | SEG_URG, 1, 1, 10);
    read_all(&w, 0, 10);
    done(&w);
}

/* What is not read closes the window; reading opens it, and says so. */
static void test_window_in(void **state)
{
    struct world w = { .o = { .receive_bytes = 65536 } };
    uint32_t c = 1;
    uint8_t buf[40000];

    established(&w);
    while (c < 65537) {
        say(&w, SEG_ACK, c, 1, MIN(65537 - c, MSS));
        c += MIN(65537 - c, MSS);
        while (hear(&w))
            assert_true(((uint32_t)w.last.window << 1) <= 65537 - (w.last.ack - ISN));
    }
    say(&w, SEG_ACK, c, 1, 10); /* into a closed window: asked where it stands */
    expect(&w, SEG_ACK, 1, 65537, 0);
    assert_int_equal(w.last.window, 0);
    assert_int_equal(tcp_end_read(w.e, buf, 100), 100); /* not worth a word */
    expect_silence(&w);
    say(&w, SEG_ACK, c - 1, 1, 0);
    tick(&w, 1 * SEC);
    say(&w, SEG_ACK, c - 1, 1, 0); /* a probe: 100 bytes are no segment */
    assert_true(hear(&w));
    assert_int_equal(w.last.window, 0);
    assert_int_equal(tcp_end_read(w.e, buf, 2820), 2820); /* two segments free */
    expect(&w, SEG_ACK, 1, 65537, 0);
    assert_int_equal(w.last.window, 2920 / 2);
    say(&w, SEG_ACK, c, 1, 5000); /* more than there is room for: what fits */
    expect(&w, SEG_ACK, 1, 65537 + 2920, 0);
    assert_int_equal(w.last.window, 0);
    done(&w);
}

static void test_window_out(void **state)
{
    struct world w = { .window = 10 }; /* 1280 bytes */
    struct tcp_end_info info;
    span waited;

    established(&w);
    write_all(&w, 0, 5000);
    expect(&w, SEG_ACK, 1, 1, 1280); /* less than a segment, but all of the window */
    expect_silence(&w);
    w.window = 0;
    say(&w, SEG_ACK, 1, 1281, 0);
    expect_silence(&w);
    waited = tcp_end_next_expiry(w.e) - w.now;
    for (int i = 0; i < 3; i++) { /* probes: one below, no data, doubled */
        assert_true(waited >= 200 * MSEC);
        tick(&w, waited);
        expect(&w, SEG_ACK, 1280, 1, 0);
        expect_silence(&w);
        say(&w, SEG_ACK, 1, 1281, 0);
        expect_silence(&w);
        assert_int_equal(tcp_end_next_expiry(w.e) - w.now, 2 * waited);
        waited *= 2;
    }
    w.window = 100;
    say(&w, SEG_ACK, 1, 1281, 0);
    expect(&w, SEG_ACK, 1281, 1, MSS);
    expect(&w, SEG_ACK, 1281 + MSS, 1, MSS);
    expect(&w, SEG_ACK | SEG_PSH, 1281 + 2 * MSS, 1, 5000 - 1280 - 2 * MSS);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.resent_packets, 0);
    assert_int_equal(info.probes, 3);
    done(&w);
}

/* The FIN has a place, and that has to be in the window too. */
static void test_fin_outside_window(void **state)
{
    struct world w = { .window = 10 };

    established(&w);
    write_all(&w, 0, 1280);
    tcp_end_finish(w.e);
    expect(&w, SEG_ACK | SEG_PSH, 1, 1, 1280);
    expect_silence(&w);
    say(&w, SEG_ACK, 1, 1281, 0);
    expect(&w, SEG_ACK | SEG_PSH | SEG_FIN, 1281, 1, 0);
    done(&w);
}

/* An older segment that was overtaken says nothing of the window. */
static void test_old_window(void **state)
{
    struct world w = { 0 };

    established(&w);
    say(&w, SEG_ACK, 1, 1, 100);
    w.window = 20; /* 2560 bytes: one segment, and a piece that is none */
    say(&w, SEG_ACK, 101, 1, 0);
    w.window = 1000;
    say(&w, SEG_ACK, 51, 1, 50);
    assert_true(hear(&w));
    write_all(&w, 0, 5000);
    expect(&w, SEG_ACK, 1, 101, MSS);
    expect_silence(&w);
    done(&w);
}

/* A peer that never opens its window but answers is not given up; one that is silent is. */
static void test_closed_window_for_ever(void **state)
{
    struct world w = { .window = 10 };

    established(&w);
    write_all(&w, 0, 2000);
    assert_true(hear(&w));
    w.window = 0;
    say(&w, SEG_ACK, 1, 1281, 0);
    for (int i = 0; i < 20; i++) {
        expect_silence(&w);
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        if (hear(&w))
            say(&w, SEG_ACK, 1, 1281, 0);
    }
    assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    assert_true(w.now > START + 300 * SEC);
    for (int i = 0; i < 10 && tcp_end_state(w.e) == TCP_END_ESTABLISHED; i++) {
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        while (hear(&w))
            continue;
    }
    assert_int_equal(tcp_end_error(w.e), -ETIMEDOUT);
    done(&w);
}

/* The time behind a closed window does not count as silence when something is lost afterwards. */
static void test_loss_after_closed_window(void **state)
{
    struct world w = { .window = 10 };
    struct tcp_end_info info;

    established(&w);
    write_all(&w, 0, 1280);
    assert_true(hear(&w));
    do { /* nothing arrives, until a timeout */
        expect_silence(&w);
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        assert_true(hear(&w));
        tcp_end_info(w.e, &info);
    } while (info.timeouts == 0);
    w.window = 0;
    say(&w, SEG_ACK, 1, 1, 0);
    for (int i = 0; i < 20; i++) {
        expect_silence(&w);
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        if (hear(&w))
            say(&w, SEG_ACK, 1, 1, 0);
    }
    assert_true(w.now > START + 300 * SEC);
    w.window = 10;
    say(&w, SEG_ACK, 1, 1, 0);
    for (int i = 0; i < 3; i++) {
        assert_true(hear(&w));
        assert_true(w.last.len > 0);
        expect_silence(&w);
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    }
    done(&w);
}

static void test_silly_window(void **state)
{
    struct world w = { .window = 200 };

    established(&w);
    write_all(&w, 0, 40000);
    for (uint32_t i = 0; i < 17; i++) /* of 25600 bytes the last 780 are no segment */
        expect(&w, SEG_ACK, 1 + i * MSS, 1, MSS);
    expect_silence(&w);
    w.window = 1; /* 128 bytes: less than a segment, less than half of the greatest */
    say(&w, SEG_ACK, 1, 17 * MSS + 1, 0);
    expect_silence(&w);
    tick(&w, tcp_end_next_expiry(w.e) - w.now); /* ... until the timer has run out */
    expect(&w, SEG_ACK, 17 * MSS + 1, 1, 128);
    done(&w);
}

static void test_super_packets(void **state)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct world w = { .v6 = v6, .stamps = true, .o = { .offload = true } };
        unsigned mss = v6 ? 1428 : 1448;
        struct merged m;
        struct segment cut;
        size_t got = 0;
        int n;

        established(&w);
        write_all(&w, 0, 65000);
        assert_true(tcp_end_output(w.e, &m, w.now));
        assert_int_equal(m.offload.gso_type, v6 ? OFFLOAD_GSO_TCPV6 : OFFLOAD_GSO_TCPV4);
        assert_int_equal(m.offload.gso_size, mss);
        assert_int_equal(m.offload.flags, OFFLOAD_NEEDS_CSUM);
        assert_int_equal(m.offload.csum_start, v6 ? 40 : 20);
        assert_int_equal(m.offload.csum_offset, 16);
        assert_int_equal(m.offload.hdr_len, v6 ? 72 : 52);
        slices_gather(m.slices, m.count, whole, sizeof(whole));
        assert_int_equal(segment_init(&cut, whole, m.len, &m.offload), 0);
        assert_true(cut.count > 40);
        for (uint8_t pkt[1500]; (n = segment_next(&cut, pkt, sizeof(pkt))) > 0;) {
            struct seg s = seg_read(pkt, (size_t)n);

            judge_packet(pkt, (size_t)n);
            assert_int_equal(s.seq - w.iss - 1, got);
            assert_memory_equal(s.data, pattern + got, s.len);
            got += s.len;
        }
        assert_true(got == 65000 || got % mss == 0);
        done(&w);
    }
}

static void test_ring_grows(void **state)
{
    struct world w = { .o = { .send_bytes = 262144 }, .window = 65535 };
    struct tcp_end_info info;
    size_t sent = 0, written = 100;
    uint32_t acked = 1;

    established(&w);
    write_all(&w, 0, 100);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.buffered_tx, 16384);
    while (sent < 290000) { /* the ring turns while it grows */
        size_t n = (size_t)tcp_end_write(w.e, pattern + written, MIN(sizeof(pattern) - written, 7001));

        written += n;
        while (hear(&w)) {
            assert_memory_equal(w.last.data, pattern + sent, w.last.len);
            sent += w.last.len;
        }
        if (sent - (acked - 1) > 30000 || n == 0) {
            acked = (uint32_t)sent + 1 - (sent < 200000 ? 4000 : 0);
            say(&w, SEG_ACK, 1, acked, 0);
        }
    }
    tcp_end_info(w.e, &info);
    assert_in_range(info.buffered_tx, 32768, 262144);
    say(&w, SEG_ACK, 1, (uint32_t)sent + 1, 0);
    while (hear(&w))
        say(&w, SEG_ACK, 1, (w.last.seq - w.iss) + (uint32_t)w.last.len, 0);
    assert_true(tcp_end_flushed(w.e));
    /* Nothing is kept: the memory goes. */
    tick(&w, 1 * SEC);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.buffered_tx, 0);
    done(&w);
}

static void test_room(void **state)
{
    struct world w = { .o = { .send_bytes = 65536 } };

    established(&w);
    assert_int_equal(tcp_end_room(w.e), 65536);
    assert_int_equal(tcp_end_write(w.e, pattern, 70000), 65536);
    assert_int_equal(tcp_end_write(w.e, pattern, 1), 0);
    while (hear(&w))
        continue;
    say(&w, SEG_ACK, 1, 1001, 0);
    assert_int_equal(tcp_end_room(w.e), 1000);
    done(&w);
}

/* RFC 5681 and 7661: twice as wide after a round trip that filled it, as wide as before after one that did not. */
static void test_congestion_window(void **state)
{
    struct world w = { .window = 5000 };
    struct tcp_end_info info;
    uint32_t s = 1;

    established(&w);
    for (int i = 0; i < 100; i++) {
        write_all(&w, s - 1, 1000);
        assert_true(hear(&w));
        s += 1000;
        tick(&w, 5 * MSEC);
        say(&w, SEG_ACK, 1, s, 0);
    }
    tcp_end_info(w.e, &info);
    assert_int_equal(info.cwnd, 65536);
    write_all(&w, s - 1, 190000);
    while (hear(&w))
        s = w.last.seq - w.iss + (uint32_t)w.last.len;
    tick(&w, 5 * MSEC);
    assert_int_equal(s - 100001, 65536 / MSS * MSS);
    say(&w, SEG_ACK, 1, s, 0);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.cwnd, 65536 + 65536 / MSS * MSS);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delayed_acknowledgement),
        cmocka_unit_test(test_reassembly),
        cmocka_unit_test(test_fin_out_of_order),
        cmocka_unit_test(test_too_many_holes),
        cmocka_unit_test(test_urgent_is_data),
        cmocka_unit_test(test_window_in),
        cmocka_unit_test(test_window_out),
        cmocka_unit_test(test_fin_outside_window),
        cmocka_unit_test(test_old_window),
        cmocka_unit_test(test_closed_window_for_ever),
        cmocka_unit_test(test_loss_after_closed_window),
        cmocka_unit_test(test_silly_window),
        cmocka_unit_test(test_super_packets),
        cmocka_unit_test(test_ring_grows),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_congestion_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
