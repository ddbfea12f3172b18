/* Unit tests of src/path/scoreboard: what is told, what is known of it later, and by whom it is shared. All figures by
 * hand. */
#include "path/scoreboard.h"
#include "base/text.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

#define START (1000 * SEC)

static struct scoreboard_key key_of(const char *link, const char *remote)
{
    struct scoreboard_key k = { .network = 7 };

    snprintf(k.link, sizeof(k.link), "%s", link);
    assert_int_equal(addr_parse(remote, &k.remote), 0);
    return k;
}

static struct scoreboard_report report(span rtt, uint64_t bps, uint64_t who)
{
    return (struct scoreboard_report){
        .srtt = rtt + 2 * MSEC, .rttvar = MSEC, .min_rtt = rtt, .tx_bps = bps, .carrying = bps > 0, .who = who
    };
}

static void tell(struct scoreboard *b, const struct scoreboard_key *k, struct scoreboard_report r, instant now)
{
    scoreboard_tell(b, k, &r, now);
}

static void test_what_was_told(void **state)
{
    struct scoreboard *b = scoreboard_new(8, 0);
    struct scoreboard_key k = key_of("eth0", "192.0.2.1"), other = key_of("eth0", "198.51.100.1");
    struct scoreboard_row row;

    assert_non_null(b);
    assert_false(scoreboard_get(b, &k, START, &row));
    tell(b, &k, (struct scoreboard_report){ 0 }, START);
    assert_int_equal(scoreboard_count(b), 0);
    tell(b, &k, report(40 * MSEC, 20000000, 1), START);
    assert_true(scoreboard_get(b, &k, START + 3 * SEC, &row));
    assert_int_equal(row.srtt, 42 * MSEC);
    assert_int_equal(row.min_rtt, 40 * MSEC);
    assert_int_equal(row.tx_bps, 20000000);
    assert_int_equal(row.age, 3 * SEC);
    assert_int_equal(row.rate_age, 3 * SEC);
    assert_int_equal(row.users, 0);
    assert_int_equal(row.reports, 1);
    assert_true(row.exact && row.told);
    assert_false(scoreboard_get(b, &other, START, &row));
    /* Each part of the key makes it another way. */
    k.network = 8;
    assert_false(scoreboard_get(b, &k, START, &row));
    k.network = 7;
    k.transport = 1;
    assert_false(scoreboard_get(b, &k, START, &row));
    k.transport = 0;
    k.link[0] = 'w';
    assert_false(scoreboard_get(b, &k, START, &row));
    scoreboard_free(b);
}

static void test_it_is_forgotten(void **state)
{
    struct scoreboard *b = scoreboard_new(2, 0);
    struct scoreboard_key k[3] = { key_of("a", "192.0.2.1"), key_of("b", "192.0.2.1"), key_of("c", "192.0.2.1") };
    struct scoreboard_row row;

    tell(b, &k[0], report(40 * MSEC, 0, 1), START);
    assert_true(scoreboard_get(b, &k[0], START + SCOREBOARD_LIFE - 1, &row));
    assert_false(scoreboard_get(b, &k[0], START + SCOREBOARD_LIFE, &row));
    /* A rate ages by itself: it is told of round trips all the time, but was used long ago. */
    tell(b, &k[0], report(40 * MSEC, 5000000, 1), START);
    tell(b, &k[0], report(40 * MSEC, 0, 1), START + SCOREBOARD_LIFE);
    assert_true(scoreboard_get(b, &k[0], START + SCOREBOARD_LIFE, &row));
    assert_int_equal(row.tx_bps, 0);
    /* The one that was told of longest ago makes room. */
    tell(b, &k[1], report(40 * MSEC, 0, 1), START + SCOREBOARD_LIFE + 1);
    tell(b, &k[0], report(40 * MSEC, 0, 1), START + SCOREBOARD_LIFE + 2);
    tell(b, &k[2], report(40 * MSEC, 0, 1), START + SCOREBOARD_LIFE + 3);
    assert_int_equal(scoreboard_count(b), 2);
    assert_true(scoreboard_get(b, &k[0], START + SCOREBOARD_LIFE + 4, &row));
    assert_false(scoreboard_get(b, &k[1], START + SCOREBOARD_LIFE + 4, &row));
    assert_true(scoreboard_get(b, &k[2], START + SCOREBOARD_LIFE + 4, &row));
    scoreboard_free(b);
}

static void test_round_trips(void **state)
{
    struct scoreboard *b = scoreboard_new(1, 0);
    struct scoreboard_key k = key_of("a", "192.0.2.1");
    struct scoreboard_row row;

    tell(b, &k, report(40 * MSEC, 0, 1), START);
    tell(b, &k, report(80 * MSEC, 0, 2), START + 1 * SEC);
    scoreboard_get(b, &k, START + 1 * SEC, &row);
    assert_int_equal(row.srtt, 52 * MSEC); /* 42 and a quarter of the 40 between them */
    assert_int_equal(row.min_rtt, 40 * MSEC);
    /* Longer for good: the minimum is of 20 s at most, and after 10 s of silence the last word is all. */
    tell(b, &k, report(80 * MSEC, 0, 2), START + 10 * SEC);
    scoreboard_get(b, &k, START + 10 * SEC, &row);
    assert_int_equal(row.min_rtt, 40 * MSEC);
    tell(b, &k, report(80 * MSEC, 0, 2), START + 20 * SEC);
    scoreboard_get(b, &k, START + 20 * SEC, &row);
    assert_int_equal(row.min_rtt, 80 * MSEC);
    assert_int_equal(row.srtt, 82 * MSEC);
    scoreboard_free(b);
}

static void test_it_is_shared(void **state)
{
    struct scoreboard *b = scoreboard_new(1, 0);
    struct scoreboard_key k = key_of("a", "192.0.2.1");
    struct scoreboard_report last = report(40 * MSEC, 12000000, 1);
    struct scoreboard_row row;

    /* Two on a line of 20 Mbit/s: the third may expect a third of it. */
    tell(b, &k, report(40 * MSEC, 12000000, 1), START);
    tell(b, &k, report(40 * MSEC, 8000000, 2), START + 500 * MSEC);
    scoreboard_get(b, &k, START + 600 * MSEC, &row);
    assert_int_equal(row.tx_bps, 20000000);
    assert_int_equal(row.users, 2);
    assert_int_equal(scoreboard_share_bps(&row), 20000000 / 3);
    /* The newest word of each counts, once; who has ended uses it no longer, but what it knew is known. */
    last.ended = true;
    tell(b, &k, last, START + 700 * MSEC);
    scoreboard_get(b, &k, START + 700 * MSEC, &row);
    assert_int_equal(row.tx_bps, 20000000);
    assert_int_equal(row.users, 1);
    assert_int_equal(scoreboard_share_bps(&row), 10000000);
    /* Two seconds later nobody is heard of. */
    scoreboard_get(b, &k, START + 2500 * MSEC, &row);
    assert_int_equal(row.users, 0);
    assert_int_equal(scoreboard_share_bps(&row), 20000000);
    /* The line became slower: the newest word is believed at once, but not one of who never filled it. */
    tell(b, &k, report(40 * MSEC, 5000000, 3), START + 10 * SEC);
    scoreboard_get(b, &k, START + 10 * SEC, &row);
    assert_int_equal(row.tx_bps, 5000000);
    last = report(40 * MSEC, 1000000, 4);
    last.tx_bps_is_lower_bound = true;
    tell(b, &k, last, START + 20 * SEC);
    scoreboard_get(b, &k, START + 20 * SEC, &row);
    assert_int_equal(row.tx_bps, 5000000);
    assert_false(row.tx_bps_is_lower_bound);
    last.tx_bps = 6000000;
    tell(b, &k, last, START + 21 * SEC);
    scoreboard_get(b, &k, START + 21 * SEC, &row);
    assert_int_equal(row.tx_bps, 6000000);
    assert_true(row.tx_bps_is_lower_bound);
    /* However many there are, nine at most are told apart. */
    for (uint64_t who = 100; who < 200; who++)
        tell(b, &k, report(40 * MSEC, 1000000, who), START + 30 * SEC);
    scoreboard_get(b, &k, START + 30 * SEC, &row);
    assert_int_equal(row.users, 8);
    assert_int_equal(row.tx_bps, 8000000);
    scoreboard_free(b);
}

static void test_trouble(void **state)
{
    struct scoreboard *b = scoreboard_new(2, 0);
    struct scoreboard_key k = key_of("a", "192.0.2.1"), other = key_of("b", "192.0.2.1");
    struct scoreboard_report r = { .trouble = TROUBLE_BLOCKED };
    struct scoreboard_row row;

    tell(b, &k, r, START);
    assert_true(scoreboard_get(b, &k, START + 1 * SEC, &row));
    assert_int_equal(row.trouble, TROUBLE_BLOCKED);
    assert_int_equal(row.trouble_age, 1 * SEC);
    assert_int_equal(row.srtt, 0);
    tell(b, &k, (struct scoreboard_report){ .trouble = TROUBLE_SILENT }, START + 1 * SEC);
    assert_true(scoreboard_get(b, &k, START + 1 * SEC, &row));
    assert_int_equal(row.trouble, TROUBLE_BLOCKED); /* which is that, and more */
    tell(b, &k, report(40 * MSEC, 0, 1), START + 2 * SEC);
    assert_true(scoreboard_get(b, &k, START + 2 * SEC, &row));
    assert_int_equal(row.trouble, TROUBLE_NONE);
    /* Of a path that was measured, what was measured stays. */
    tell(b, &other, report(40 * MSEC, 3000000, 1), START);
    tell(b, &other, r, START + 1 * SEC);
    assert_true(scoreboard_get(b, &other, START + 1 * SEC, &row));
    assert_int_equal(row.trouble, TROUBLE_BLOCKED);
    assert_int_equal(row.tx_bps, 3000000);
    for (unsigned t = 0; t <= TROUBLE_COUNT; t++)
        assert_int_equal(strlen(scoreboard_trouble_name((enum scoreboard_trouble)t)) > 0, t != TROUBLE_NONE);
    scoreboard_free(b);
}

static void test_neighbours(void **state)
{
    struct scoreboard *b = scoreboard_new(8, 0);
    struct scoreboard_key v4 = key_of("a", "192.0.2.1"), v6 = key_of("a", "2001:db8:1:2::1"), k;
    struct scoreboard_row row;

    tell(b, &v4, report(40 * MSEC, 20000000, 1), START);
    tell(b, &v6, report(50 * MSEC, 10000000, 1), START);
    k = key_of("a", "192.0.2.200");
    assert_true(scoreboard_get(b, &k, START + 5 * SEC, &row));
    assert_false(row.exact);
    assert_int_equal(row.min_rtt, 40 * MSEC);
    assert_int_equal(row.tx_bps, 10000000);
    k = key_of("a", "2001:db8:1:ff::9");
    assert_true(scoreboard_get(b, &k, START + 5 * SEC, &row));
    assert_int_equal(row.tx_bps, 5000000);
    k = key_of("a", "192.0.3.1");
    assert_false(scoreboard_get(b, &k, START + 5 * SEC, &row));
    k = key_of("a", "2001:db8:2::1");
    assert_false(scoreboard_get(b, &k, START + 5 * SEC, &row));
    k = key_of("b", "192.0.2.200");
    assert_false(scoreboard_get(b, &k, START + 5 * SEC, &row));
    scoreboard_free(b);
}

static void test_from_another_board(void **state)
{
    struct scoreboard *from = scoreboard_new(8, 0), *to = scoreboard_new(8, 0);
    struct scoreboard_key k = key_of("a", "192.0.2.1"), known;
    struct scoreboard_row row;
    size_t at = 0;

    tell(from, &k, report(40 * MSEC, 20000000, 1), START);
    tell(to, &k, report(90 * MSEC, 1000000, 1), START - 5 * SEC);
    assert_true(scoreboard_next(from, &at, START + 1 * SEC, &known, &row));
    assert_string_equal(known.link, "a");
    scoreboard_learn(to, &known, &row, START + 1 * SEC);
    assert_false(scoreboard_next(from, &at, START + 1 * SEC, &known, &row));
    assert_true(scoreboard_get(to, &k, START + 1 * SEC, &row));
    assert_int_equal(row.min_rtt, 40 * MSEC);
    assert_int_equal(row.tx_bps, 20000000);
    assert_int_equal(row.users, 1); /* the one at the other board */
    assert_int_equal(row.age, 1 * SEC);
    assert_true(row.told);
    /* Who never filled it knows less of its rate. */
    row.age = row.rate_age = 0;
    row.tx_bps = 3000000;
    row.tx_bps_is_lower_bound = true;
    scoreboard_learn(to, &k, &row, START + 1500 * MSEC);
    assert_true(scoreboard_get(to, &k, START + 1500 * MSEC, &row));
    assert_int_equal(row.tx_bps, 20000000);
    assert_false(row.tx_bps_is_lower_bound);
    /* What is newer stays, and what is too old is not taken. */
    tell(to, &k, report(60 * MSEC, 0, 1), START + 2 * SEC);
    row.age = 3 * SEC;
    row.min_rtt = 1 * MSEC;
    scoreboard_learn(to, &k, &row, START + 4 * SEC);
    scoreboard_get(to, &k, START + 4 * SEC, &row);
    assert_int_not_equal(row.min_rtt, 1 * MSEC);
    k = key_of("b", "192.0.2.1");
    row.age = SCOREBOARD_LIFE;
    scoreboard_learn(to, &k, &row, START + 4 * SEC);
    assert_false(scoreboard_get(to, &k, START + 4 * SEC, &row));
    row.age = 1 * SEC;
    scoreboard_learn(to, &k, &row, START + 4 * SEC);
    assert_true(scoreboard_get(to, &k, START + 4 * SEC, &row));
    assert_false(row.told);
    scoreboard_free(from);
    scoreboard_free(to);
}

static void test_text(void **state)
{
    static const char *const wrong[] = {
        "",
        "a",
        "a 7",
        "a 7 192.0.2.1",
        "a 7 192.0.2.1 0 1 2 3 4 5 6 7 1 2 3 4 5 6",     /* a number too few, */
        "a 7 192.0.2.1 0 1 2 3 4 5 6 7 1 2 3 4 5 6 7 8", /* too many, */
        "a 7 192.0.2.1 0 1 2 3 4 5 6 7 2 2 3 4 5 6 7",   /* beyond its range, */
        "a 7 192.0.2.1 0 1 2 3 4 5 6 7 1 2 3 4 5 6 7 ",  /* a space, */
        "a 7 192.0.2.1 0 -1 2 3 4 5 6 7 1 2 3 4 5 6 7",  /* a sign */
        "a 7 192.0.2.1 0 1 2 3 4 1000001 6 7 1 2 3 4 5 6 7",
        "a 7 192.0.2.1 0 1 2 3 4 5 99999999999999999999 7 1 2 3 4 5 6 7",
        "a 7 192.0.2 0 1 2 3 4 5 6 7 1 2 3 4 5 6 7",
        "a 4294967296 192.0.2.1 0 1 2 3 4 5 6 7 1 2 3 4 5 6 7",
        "sixteen-letters- 7 192.0.2.1 0 1 2 3 4 5 6 7 1 2 3 4 5 6 7",
    };
    static const char text[] = "wlan0 7 2001:db8::1 1 42000 1000 40000 300 2500 20000000 1000000 1 3 9 2 5 6 7";
    char buf[SCOREBOARD_TEXT_MAX];
    struct scoreboard_key k;
    struct scoreboard_row row;

    assert_int_equal(scoreboard_parse(text, &k, &row), 0);
    assert_string_equal(k.link, "wlan0");
    assert_int_equal(k.network, 7);
    assert_int_equal(k.transport, 1);
    assert_int_equal(row.srtt, 42 * MSEC);
    assert_int_equal(row.rttvar, MSEC);
    assert_int_equal(row.min_rtt, 40 * MSEC);
    assert_int_equal(row.rx_jitter, 300);
    assert_true(row.loss > .00249 && row.loss < .00251);
    assert_int_equal(row.tx_bps, 20000000);
    assert_int_equal(row.rx_bps, 1000000);
    assert_true(row.tx_bps_is_lower_bound);
    assert_int_equal(row.trouble, TROUBLE_FAR);
    assert_int_equal(row.reports, 9);
    assert_int_equal(row.users, 2);
    assert_int_equal(row.age, 5);
    assert_int_equal(row.rate_age, 6);
    assert_int_equal(row.trouble_age, 7);
    assert_string_equal(scoreboard_format(&k, &row, buf), text);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(scoreboard_parse(wrong[i], &k, &row), -EBADMSG);
    /* No name, and one that a peer made up to be two words. */
    k.link[0] = '\0';
    scoreboard_format(&k, &row, buf);
    assert_memory_equal(buf, "- 7 ", 4);
    assert_int_equal(scoreboard_parse(buf, &k, &row), 0);
    assert_string_equal(k.link, "");
    memcpy(k.link, "a b", 4);
    assert_memory_equal(scoreboard_format(&k, &row, buf), "a?b 7 ", 6);
}

/* Rows of one line, for who asks by address. */
static void test_lines(void **state)
{
    struct scoreboard *from = scoreboard_new(64, 0), *to = scoreboard_new(64, 0);
    struct scoreboard_key near = key_of("a", "192.0.2.1"), far = key_of("a", "198.51.100.1");
    char buf[4096];
    struct scoreboard_row row;
    struct text t;

    tell(from, &near, report(40 * MSEC, 20000000, 1), START);
    tell(from, &far, report(50 * MSEC, 10000000, 1), START);
    text_init(&t, buf, sizeof(buf));
    text_add(&t, "tell ");
    assert_int_equal(scoreboard_add_text(from, &t, &near.remote, 1, false, START), 1);
    assert_null(strchr(buf, ';'));
    text_init(&t, buf, sizeof(buf));
    assert_int_equal(scoreboard_add_text(from, &t, NULL, 0, true, START), 2);
    assert_non_null(strchr(buf, ';'));
    text_add(&t, ";;no row;a 7 192.0.2.1");
    scoreboard_learn_text(to, buf, START);
    assert_int_equal(scoreboard_count(to), 2);
    assert_true(scoreboard_get(to, &far, START, &row));
    assert_int_equal(row.min_rtt, 50 * MSEC);
    assert_false(row.told);
    text_init(&t, buf, sizeof(buf)); /* it was told of none of them itself, */
    assert_int_equal(scoreboard_add_text(to, &t, NULL, 0, true, START), 0);
    text_init(&t, buf, 120); /* and only whole ones are added */
    assert_int_equal(scoreboard_add_text(to, &t, NULL, 0, false, START), 1);
    scoreboard_free(from);
    scoreboard_free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_told),
        cmocka_unit_test(test_it_is_forgotten),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_it_is_shared),
        cmocka_unit_test(test_trouble),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_from_another_board),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
