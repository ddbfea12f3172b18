/* Access lines in virtual time: is what is measured what the line is? Expected values by hand. */
#include <math.h>
#include <stdio.h>

#include "sim/access.h"
#include "tests/unit/test.h"

/* 100 bytes take 1 ms up and .1 ms down. */
static const struct access_line idle = {
    .up_bps = 800000,
    .down_bps = 8000000,
    .up_buffer_bytes = 64000,
    .down_buffer_bytes = 64000,
    .delay = 30 * MSEC,
};

static struct access_report measured(const struct access_line *l, double hour, uint32_t probe_bytes, uint64_t seed)
{
    struct access_report r;

    assert_int_equal(access_measure(l, hour, probe_bytes, seed, &r), 0);
    return r;
}

static void test_idle(void **state)
{
    struct access_report r = measured(&idle, 21, 100, 1);

    assert_true(fabs(r.latency_ms - 61.1) < .002);
    assert_true(r.jitter_ms < .002);
    assert_int_equal(r.lost, 0);
}

/* Each way is longer or shorter by up to 3 ms. The difference of two round trips is of four such deviations: as far
 * from its middle as a sum of four on [0, 1] is from 2, which is 7/15 on average (Irwin-Hall), of the 6 ms that one is
 * wide. A round trip deviates by sqrt(2 * 6^2 / 12) ms. */
static void test_jitter(void **state)
{
    const unsigned n = 50;
    struct access_line l = idle;
    double jitter = 0, latency = 0;

    l.jitter = 3 * MSEC;
    for (unsigned i = 0; i < n; i++) {
        struct access_report r = measured(&l, 21, 100, i);

        jitter += r.jitter_ms / n;
        latency += r.latency_ms / n;
    }
    printf("# jitter %.3f ms, by formula %.3f\n", jitter, 6 * 7 / 15.);
    /* Four standard errors of 5,000 probes; differences deviate by less than round trips do. */
    assert_true(fabs(jitter - 6 * 7 / 15.) < 4 * sqrt(6 / (n * 100.)));
    assert_true(fabs(latency - 61.1) < 4 * sqrt(6 / (n * 100.)));
}

/* 5 % each way: 9.75 % do not come back. In bursts (the chain of sim/access.c forgets by 1 - .25 - .0132 a packet) the
 * variance of their number is (1 + .737) / (1 - .737) = 6.6 times as large. */
static void test_random_loss(void **state)
{
    for (int bursty = 0; bursty <= 1; bursty++) {
        struct access_line l = idle;
        const double n = 100. * ACCESS_PROBES, error = sqrt(.0975 * .9025 / n) * (bursty ? sqrt(6.6) : 1);
        double lost = 0, squares = 0, dispersion;

        l.loss = .05;
        l.bursty = bursty;
        for (unsigned i = 0; i < 100; i++) {
            unsigned of = measured(&l, 21, 100, i).lost;

            lost += of;
            squares += (double)of * of;
        }
        /* Variance by mean: .9025 of independent losses, with a standard error of sqrt(2 / 99) of it. */
        dispersion = (squares - lost * lost / 100) / 99 / (lost / 100);
        printf("# lost %.4f, by formula .0975, standard error %.4f; dispersion %.2f\n", lost / n, error, dispersion);
        assert_true(fabs(lost / n - .0975) < 4 * error);
        assert_true(bursty ? dispersion > 3 : dispersion < .9025 * (1 + 4 * sqrt(2 / 99.)));
    }
}

/* Probes of 1,400 bytes take 75.4 ms there and back. A buffer of a second that uploads keep full: a second at most from
 * coming in to the last bit's leaving. One of 50 ms loses more, and there is less to wait for. What comes down besides
 * are acknowledgements, 52 us each. */
static void test_buffers(void **state)
{
    struct access_line deep = idle, shallow = idle;
    unsigned lost[2] = { 0 };

    deep.uploads = shallow.uploads = 5;
    deep.up_buffer_bytes = 100000;
    shallow.up_buffer_bytes = 5000;
    for (unsigned i = 0; i < 10; i++) {
        struct access_report d = measured(&deep, 21, 1400, i), s = measured(&shallow, 21, 1400, i);

        assert_true(d.latency_ms > 400 && d.latency_ms < 60 + 1000 + 1.4 + 1);
        assert_true(s.latency_ms > 75.4 && s.latency_ms < 60 + 50 + 1.4 + 1);
        lost[0] += d.lost;
        lost[1] += s.lost;
    }
    printf("# lost of 1000: %u by a buffer of a second, %u by one of 50 ms\n", lost[0], lost[1]);
    assert_true(lost[0] > 0 && lost[1] > 2 * lost[0]);
}

/* Downloads fill the other buffer, of 8 ms. The way up is fast, .14 ms for a probe: on a slow one the probe itself
 * holds up the acknowledgements before it and finds the queue that they clock run dry. */
static void test_downloads(void **state)
{
    struct access_line l = idle;
    struct access_report r;

    l.downloads = 5;
    l.up_bps = 80000000;
    l.down_buffer_bytes = 8000;
    r = measured(&l, 21, 1400, 1);
    printf("# beside downloads: %.1f ms, %u lost\n", r.latency_ms, r.lost);
    assert_true(r.latency_ms > 61.54 + 1 && r.latency_ms < 60 + 8 + .14 + 1 && r.lost > 0);
}

/* The night has a tenth of the evening's flows. */
static void test_hours(void **state)
{
    struct access_line l = idle;
    double evening = 0, night = 0;

    l.uploads = .5;
    for (unsigned i = 0; i < 40; i++) {
        evening += measured(&l, 21, 100, i).latency_ms / 40;
        night += measured(&l, 9, 100, i).latency_ms / 40;
    }
    printf("# mean latency %.1f ms in the evening, %.1f twelve hours from it\n", evening, night);
    assert_true(evening - 61.1 > 3 * (night - 61.1));
}

static void test_repeats(void **state)
{
    struct prng a, b;
    unsigned differ = 0;

    prng_init(&a, 7);
    prng_init(&b, 7);
    for (unsigned i = 0; i < 8; i++) {
        struct access_line l, same;
        struct access_report r, again, other;

        access_line_draw(&l, &a, 50 * MSEC);
        access_line_draw(&same, &b, 50 * MSEC);
        assert_true(l.up_bps == same.up_bps && l.delay == same.delay && l.loss == same.loss);
        l.uploads = 1;
        r = measured(&l, 20, 1400, i);
        again = measured(&l, 20, 1400, i);
        other = measured(&l, 20, 1400, i + 100);
        assert_true(r.latency_ms == again.latency_ms && r.jitter_ms == again.jitter_ms && r.lost == again.lost);
        differ += r.latency_ms != other.latency_ms;
    }
    assert_true(differ > 0);
}

/* What the sources say of lines: rates, a last mile of 5 to 40 ms, and losses below 1 % for 95 % of them. */
static void test_draws(void **state)
{
    const unsigned n = 10000;
    unsigned lossy = 0, cable = 0;
    struct prng p;

    prng_init(&p, 1);
    for (unsigned i = 0; i < n; i++) {
        struct access_line l;

        access_line_draw(&l, &p, 50 * MSEC);
        assert_true(l.up_bps >= 128000 && l.up_bps <= 1000000 && l.down_bps >= 768000 && l.down_bps <= 8000000);
        assert_true(l.up_buffer_bytes >= 8192 && l.up_buffer_bytes <= 262144);
        assert_true(2 * l.delay >= 55 * MSEC - 1 && 2 * l.delay <= 90 * MSEC);
        lossy += l.loss > .01;
        cable += l.cable;
    }
    /* Four standard errors. */
    assert_true(fabs(lossy / (double)n - .05) < 4 * sqrt(.05 * .95 / n));
    assert_true(fabs(cable / (double)n - .5) < 4 * sqrt(.25 / n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle),    cmocka_unit_test(test_jitter),    cmocka_unit_test(test_random_loss),
        cmocka_unit_test(test_buffers), cmocka_unit_test(test_downloads), cmocka_unit_test(test_hours),
        cmocka_unit_test(test_repeats), cmocka_unit_test(test_draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
