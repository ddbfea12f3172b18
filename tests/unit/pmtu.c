/* Path MTU discovery over a link that carries so many bytes and loses the rest, in virtual time. What is expected
 * follows from RFC 8899 and the rules at the top of path/pmtu.c. */
#include "path/pmtu.h"
#include "tests/unit/test.h"

#define RTT (40 * MSEC)
#define TIMEOUT (200 * MSEC)

struct bed {
    struct pmtu m;
    instant now;
    unsigned carries; /* bytes of the largest packet */
    uint64_t next;    /* counter */
    unsigned probes, largest;
};

static struct bed bed_make(unsigned carries)
{
    struct bed b = { .now = 1000 * SEC, .carries = carries, .next = 1 };

    pmtu_init(&b.m, 1500, b.now - 100 * MSEC); /* the first probes wait for so long */
    return b;
}

static void ack(struct bed *b, unsigned bytes, uint64_t counter, bool probe)
{
    pmtu_on_acked(&b->m, (uint16_t)bytes, counter, counter, probe, b->now);
}

/* Sends what is to be sent, a round trip later acknowledges what came through, then lets time pass to the end of the
 * round. False when nothing was to be sent and no search is to be expected within the next 5 s. */
static bool step(struct bed *b)
{
    struct {
        uint64_t counter;
        uint16_t bytes;
    } sent[2 * PMTU_ROUND_MAX];
    unsigned count = 0;
    uint16_t bytes;
    instant at;

    while ((bytes = pmtu_next_probe(&b->m, b->now)) > 0) {
        assert_true(count < ARRAY_LEN(sent));
        sent[count].bytes = bytes;
        sent[count++].counter = b->next;
        pmtu_on_probe(&b->m, b->next++, b->now);
        b->largest = MAX(b->largest, bytes);
        b->probes++;
    }
    b->now += RTT;
    for (unsigned i = 0; i < count; i++)
        if (sent[i].bytes <= b->carries)
            ack(b, sent[i].bytes, sent[i].counter, true);
    if (pmtu_next_probe(&b->m, b->now) > 0)
        return true;
    at = pmtu_expiry(&b->m, TIMEOUT, RTT);
    if (at > b->now + 5 * SEC)
        return false;
    b->now = MAX(at, b->now);
    pmtu_on_expiry(&b->m, TIMEOUT, RTT, b->now);
    return true;
}

static void settle(struct bed *b)
{
    for (int i = 0; step(b); i++)
        assert_true(i < 200);
}

/* Data of this size, three records, on which the link decides. */
static void data(struct bed *b, unsigned bytes)
{
    for (int i = 0; i < 3; i++) {
        uint64_t counter = b->next++;

        b->now += 10 * MSEC;
        if (bytes <= b->carries)
            ack(b, bytes, counter, false);
        else if (bytes > pmtu_doubtful(&b->m) && bytes <= pmtu_get(&b->m))
            pmtu_on_lost(&b->m, 1, (uint16_t)bytes, counter, b->now);
    }
}

static void test_most_links(void **state)
{
    struct bed b = bed_make(1500);

    assert_int_equal(pmtu_get(&b.m), 1500); /* taken for granted */
    assert_int_equal(pmtu_next_probe(&b.m, b.now), 1500);
    settle(&b);
    assert_int_equal(b.m.state, PMTU_COMPLETE);
    assert_int_equal(pmtu_get(&b.m), 1500);
    assert_int_equal(b.probes, 2); /* 1500 and the base */
    assert_int_equal(pmtu_expiry(&b.m, TIMEOUT, RTT), INSTANT_NEVER);
}

/* Sizes of the table are found exactly; others to within the grain, never above. */
static void test_every_size(void **state)
{
    static const uint16_t exact[] = { 1492, 1480, 1472, 1420, 1400, 1280, 1124, 576 };

    for (size_t i = 0; i < ARRAY_LEN(exact); i++) {
        struct bed b = bed_make(exact[i]);

        settle(&b);
        assert_int_equal(pmtu_get(&b.m), exact[i]);
        assert_int_equal(b.m.state, exact[i] < PMTU_BASE ? PMTU_ERROR : PMTU_COMPLETE);
    }
    for (unsigned carries = 576; carries < 1500; carries += 7) {
        struct bed b = bed_make(carries);

        settle(&b);
        assert_in_range(pmtu_get(&b.m), carries - PMTU_GRAIN, carries);
        assert_int_equal(b.largest, 1500);
    }
}

/* MAX_PROBES: the largest size is given up after three probes and not before. */
static void test_three_probes(void **state)
{
    struct bed b = bed_make(1400);

    step(&b); /* 1500 and 1280 */
    assert_int_equal(pmtu_get(&b.m), 1500);
    step(&b); /* the ladder */
    assert_int_equal(pmtu_get(&b.m), 1500);
    step(&b); /* what is above 1400 again */
    assert_int_equal(pmtu_get(&b.m), 1400);
}

static void test_black_hole(void **state)
{
    struct bed b = bed_make(1500);

    settle(&b);
    b.carries = 1280;
    data(&b, 1000);
    assert_int_equal(b.m.state, PMTU_COMPLETE);
    data(&b, 1400); /* three are lost */
    assert_int_equal(b.m.state, PMTU_DOUBTED);
    assert_int_equal(pmtu_get(&b.m), 1500); /* not believed yet */
    step(&b);
    assert_int_equal(pmtu_get(&b.m), 1280); /* one round trip later */
    settle(&b);
    assert_int_equal(pmtu_get(&b.m), 1280);
    b.carries = 1124; /* below the base */
    data(&b, 1250);
    step(&b);
    assert_int_equal(pmtu_get(&b.m), 1124);
    settle(&b);
    assert_int_equal(b.m.state, PMTU_ERROR);
}

/* Three losses in a row that were no black hole: nothing changes, and nothing was smaller meanwhile. */
static void test_wrong_alarm(void **state)
{
    struct bed b = bed_make(1500);

    settle(&b);
    b.carries = 0;
    data(&b, 1400);
    assert_int_equal(b.m.state, PMTU_DOUBTED);
    b.carries = 1500;
    step(&b);
    assert_int_equal(pmtu_get(&b.m), 1500);
    assert_int_equal(b.m.state, PMTU_COMPLETE);
}

/* Losses among records of which later ones come through are congestion, however many. */
static void test_congestion(void **state)
{
    struct bed b = bed_make(1500);

    settle(&b);
    for (int i = 0; i < 100; i++) {
        ack(&b, 1400, b.next + 9, false);
        pmtu_on_lost(&b.m, 5, 1400, b.next + 7, b.now);
        b.next += 10;
        assert_int_equal(b.m.state, PMTU_COMPLETE);
    }
}

/* A dead path is not a narrow one. */
static void test_dead(void **state)
{
    struct bed b = bed_make(1500);

    settle(&b);
    b.carries = 0;
    data(&b, 1400);
    for (int i = 0; i < 20; i++)
        step(&b);
    assert_int_equal(pmtu_get(&b.m), 1500);
    /* each round at most 32 times as late: 20 rounds of 15 probes at the most */
    assert_true(b.probes <= 2 + 20 * 15);
}

/* ICMP makes what is believed be tried, and is never itself believed; nothing below the base is listened to. */
static void test_hint(void **state)
{
    struct bed b = bed_make(1500);

    settle(&b);
    b.now += SEC;
    pmtu_on_hint(&b.m, 600, b.now);
    assert_int_equal(b.m.state, PMTU_COMPLETE);
    pmtu_on_hint(&b.m, 1300, b.now); /* a lie */
    assert_int_equal(b.m.state, PMTU_DOUBTED);
    assert_int_equal(pmtu_get(&b.m), 1500);
    settle(&b);
    assert_int_equal(pmtu_get(&b.m), 1500);
    b.carries = 1333; /* no rung: the claim is one */
    pmtu_on_hint(&b.m, 1333, b.now);
    assert_int_equal(b.m.state, PMTU_COMPLETE); /* at most one a second */
    b.now += SEC;
    pmtu_on_hint(&b.m, 1333, b.now);
    step(&b);
    assert_int_equal(pmtu_get(&b.m), 1333);
}

/* 10 s after the search, then twice as late each time, up to 600 s (RFC 8899 5.1.1). */
static void test_rises_again(void **state)
{
    static const span after[] = { 10 * SEC, 20 * SEC, 40 * SEC, 80 * SEC, 160 * SEC, 320 * SEC, 600 * SEC, 600 * SEC };
    struct bed b = bed_make(1280);

    settle(&b);
    for (size_t i = 0; i < ARRAY_LEN(after); i++) {
        instant at = pmtu_expiry(&b.m, TIMEOUT, RTT);

        assert_in_range(at - b.now, after[i] - RTT, after[i]);
        b.now = at;
        pmtu_on_expiry(&b.m, TIMEOUT, RTT, b.now);
        settle(&b);
        assert_int_equal(pmtu_get(&b.m), 1280);
    }
    b.carries = 1500;
    b.now = pmtu_expiry(&b.m, TIMEOUT, RTT);
    pmtu_on_expiry(&b.m, TIMEOUT, RTT, b.now);
    step(&b);
    assert_int_equal(pmtu_get(&b.m), 1500);
}

/* An owner that may not send yet is not woken up for it. */
static void test_waits_for_the_owner(void **state)
{
    struct bed b = bed_make(1500);

    assert_int_equal(pmtu_next_probe(&b.m, b.now - 1), 0);
    assert_int_equal(pmtu_expiry(&b.m, TIMEOUT, RTT), b.now);
    pmtu_on_expiry(&b.m, TIMEOUT, RTT, b.now);
    assert_int_equal(pmtu_expiry(&b.m, TIMEOUT, RTT), INSTANT_NEVER);
    pmtu_on_probe(&b.m, b.next++, b.now);
    assert_int_equal(pmtu_next_probe(&b.m, b.now), PMTU_BASE);
    pmtu_on_probe(&b.m, b.next++, b.now);
    assert_int_equal(pmtu_expiry(&b.m, TIMEOUT, RTT), b.now + TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_most_links),   cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_three_probes), cmocka_unit_test(test_black_hole),
        cmocka_unit_test(test_wrong_alarm),  cmocka_unit_test(test_congestion),
        cmocka_unit_test(test_dead),         cmocka_unit_test(test_hint),
        cmocka_unit_test(test_rises_again),  cmocka_unit_test(test_waits_for_the_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
