/* Paths over a small Internet and over a few round trips, by hand. */
#include <errno.h>
#include <math.h>

#include "bench/stretch.h"
#include "tests/unit/test.h"

/* X: a 10 b 10 c. Y: a 5 d 7 c. Z: d 3 e. X and Y meet in a and c, Y and Z in d. */
enum { XA, XB, XC, YA, YD, YC, ZD, ZE };
static const char *const texts[] = { "A,+Here1 B,+Here2 10\nB,+Here2 C,+There3 10\nA,+Here7 A,+Here1 1\n",
                                     "A,+Here1 D,+Here2 5\nC,+There4 D,+Here3 7\n", "D1 E2 3\n" };

static void small_init(struct topology *t)
{
    struct topology_isp isps[3];
    char err[TOPOLOGY_ERROR_MAX];

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(topology_read_rocketfuel(&isps[i], texts[i], strlen(texts[i]), "text", err), 0);
    assert_int_equal(topology_init(t, isps, 3), 0);
    for (size_t i = 0; i < 3; i++)
        topology_isp_deinit(&isps[i]);
}

static void test_routing(void **state)
{
    struct topology t;

    small_init(&t);
    assert_int_equal(t.pops, 8);
    assert_true(topology_ms(&t, XA, XC) == 20 && topology_ms(&t, YA, YC) == 12);
    /* 1 ms between ISPs of a city. */
    assert_true(topology_ms(&t, XB, YD) == 10 + 1 + 5);
    assert_true(topology_ms(&t, XC, YD) == 1 + 7);
    /* Each leaves at its own nearest exit, so there and back differ. */
    assert_true(topology_ms(&t, XC, YA) == 1 + 12);
    assert_true(topology_ms(&t, YA, XC) == 1 + 20);
    assert_true(topology_ms(&t, XB, ZE) == 10 + 1 + 5 + 1 + 3);
    assert_int_equal(t.hops[0][2], 2);
    topology_deinit(&t);
}

static void test_anycast(void **state)
{
    struct topology t;

    small_init(&t);
    assert_int_equal(topology_anycast(&t, XB, (const uint16_t[]){ ZE, YD }, 2), YD);
    /* In one's own ISP before any nearer one of another. */
    assert_int_equal(topology_anycast(&t, XC, (const uint16_t[]){ YD, XA }, 2), XA);
    /* In another ISP the one that is nearest to where it is entered. */
    assert_int_equal(topology_anycast(&t, XC, (const uint16_t[]){ YA, YD }, 2), YD);
    assert_int_equal(topology_anycast(&t, XA, (const uint16_t[]){ YD, YA }, 2), YA);
    assert_int_equal(topology_anycast(&t, XA, (const uint16_t[]){ ZD, ZE }, 2), ZD);
    assert_true(topology_anycast(&t, XA, NULL, 0) == SIZE_MAX);
    topology_deinit(&t);
}

static void test_islands_are_left_out(void **state)
{
    static const char text[] = "A B 1\nB C 1\nF G 1\n", *const broken[] = { "A B\n", "A B x\n", "1 B 3\n", "A B -1\n",
                                                                            "" };
    struct topology_isp isp;
    char err[TOPOLOGY_ERROR_MAX];

    assert_int_equal(topology_read_rocketfuel(&isp, text, strlen(text), "text", err), 0);
    assert_int_equal(isp.count, 3);
    assert_string_equal(isp.pops[2].city, "c");
    topology_isp_deinit(&isp);
    for (size_t i = 0; i < ARRAY_LEN(broken); i++)
        assert_int_equal(topology_read_rocketfuel(&isp, broken[i], strlen(broken[i]), "text", err), -EINVAL);
    assert_string_equal(err, "text: found no link, expected some");
}

/* Nine degrees of the equator are 1000.8 km: 5 ms. Firenze is Florence. */
static void test_graphml(void **state)
{
    static const char text[] =
        "<graphml><key attr.name=\"label\" for=\"graph\" id=\"d0\" />"
        "<key attr.name=\"Latitude\" attr.type=\"double\" for=\"node\" id=\"d1\" />"
        "<key attr.name=\"Longitude\" for=\"node\" id=\"d2\"/><key attr.name=\"label\" for=\"node\" id=\"d3\" />"
        "<graph><data key=\"d3\">not a node</data>"
        "<node id=\"0\">\n <data key=\"d1\">0.0</data><data key=\"d2\">0.0</data><data key=\"d3\">Firenze, "
        "IT</data></node>"
        "<node id=\"1\"><data key=\"d1\">0</data><data key=\"d2\">9</data><data key=\"d3\">New York (2)</data></node>"
        "<node id=\"2\"><data key=\"d3\">Nowhere</data></node>"
        "<edge source=\"0\" target=\"1\"><data key=\"d9\">x</data></edge><edge source=\"1\" target=\"2\" />"
        "</graph></graphml>";
    struct topology_isp isp;
    char err[TOPOLOGY_ERROR_MAX];

    assert_int_equal(topology_read_graphml(&isp, text, strlen(text), "text", err), 0);
    assert_int_equal(isp.count, 2);
    assert_string_equal(isp.pops[0].city, "florence");
    assert_string_equal(isp.pops[1].city, "newyork");
    assert_true(isp.ms[1] == 5 && isp.ms[2] == 5 && isp.ms[0] == 0);
    topology_isp_deinit(&isp);
    assert_int_equal(topology_read_graphml(&isp, text, 40, "text", err), -EINVAL);
}

/* Client 0, gateway 1, router 2, server 3. */
static void test_measured(void **state)
{
    static const char text[] = "0 10 12 25\n10\t0 5 30\n12 5 0 20\n25 30 20 0\n";
    const uint16_t gateway = 1, router = 2, both[] = { 2, 3 };
    struct stretch_legs l;
    char err[RTT_ERROR_MAX];
    struct rtt m;

    assert_int_equal(rtt_parse(&m, text, strlen(text), "text", err), 0);
    assert_int_equal(m.count, 4);
    assert_true(stretch_measured(&m, &gateway, 1, &router, 1, 0, 3, &l));
    assert_true(stretch_metric(&l, STRETCH_DMUX) == 15 / 12.);
    assert_true(stretch_metric(&l, STRETCH_DMUX_FAR) == 15 / 12.);
    assert_true(stretch_metric(&l, STRETCH_IPVN) == 1);
    assert_true(stretch_metric(&l, STRETCH_DMUX_PLAIN) == 35 / 25.);
    assert_true(stretch_metric(&l, STRETCH_DIRECT_PLAIN) == 32 / 25.);
    assert_true(stretch_difference(&l, STRETCH_DMUX_PLAIN) == 10);
    assert_true(stretch_difference(&l, STRETCH_DIRECT_NATIVE) == 7);
    /* A router at the server: the routers' own network ends there, 20 from the first, and nothing follows. */
    assert_true(stretch_measured(&m, &gateway, 1, both, 2, 0, 3, &l));
    assert_true(stretch_metric(&l, STRETCH_DMUX_NATIVE) == 35 / 25. && l.last_server == 0);
    l.client_router = 4;
    assert_true(isnan(stretch_metric(&l, STRETCH_DMUX_FAR)));
    l.client_router = 0;
    assert_true(isnan(stretch_metric(&l, STRETCH_DMUX)));
    rtt_deinit(&m);
}

static void test_round_trips(void **state)
{
    static const char pairs[] = "# i,j,min\n0,1,2500,1,1,1\n1,0,0,1,1,1\n2,1,7000,8000,9000,5\n";
    static const char *const broken[] = { "0 1\n1\n", "0 1\n1 0 5\n",    "0 1\n1 0\n0 1\n", "0 1\n-1 0\n",
                                          "5\n",      "0,1,2\n",         "0,1,2,3,4,5,6\n", "0.5,1,2,3,4,5\n",
                                          "",         "9999,1,2,3,4,5\n" };
    char err[RTT_ERROR_MAX];
    struct rtt m;

    assert_int_equal(rtt_parse(&m, pairs, strlen(pairs), "text", err), 0);
    assert_int_equal(m.count, 3);
    assert_true(m.ms[1] == 2.5 && isinf(m.ms[3]) && m.ms[7] == 7 && isinf(m.ms[2]) && m.ms[4] == 0);
    rtt_deinit(&m);
    for (size_t i = 0; i < ARRAY_LEN(broken); i++)
        assert_int_equal(rtt_parse(&m, broken[i], strlen(broken[i]), "text", err), -EINVAL);
    assert_int_equal(rtt_parse(&m, "0 1\nx 0\n", 8, "text", err), -EINVAL);
    assert_string_equal(err, "text:2: found x, expected as many numbers as the first line has, in as many lines");
}

/* Draws over the small Internet: what comes is a path of it, and without gateways none by one. */
static void test_draws(void **state)
{
    uint16_t permutation[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    unsigned firsts[8] = { 0 };
    struct topology t;
    struct prng rng;

    small_init(&t);
    prng_init(&rng, 1);
    for (size_t i = 0; i < 8000; i++) {
        struct stretch_legs l;

        assert_true(stretch_draw(&t, permutation, i % 3, 2, &rng, &l));
        assert_true(isnan(l.client_gateway) == (i % 3 == 0));
        assert_true(l.client_nearest <= l.client_router && l.last_server <= l.router_server);
        assert_true(l.client_server > 0);
        stretch_choose(permutation, 8, 1, &rng);
        firsts[permutation[0]]++;
    }
    /* Of a binomial distribution of 8000 and 1/8 the standard deviation is 30. */
    for (size_t i = 0; i < 8; i++)
        assert_in_range(firsts[i], 1000 - 150, 1000 + 150);
    topology_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routing), cmocka_unit_test(test_anycast),  cmocka_unit_test(test_islands_are_left_out),
        cmocka_unit_test(test_graphml), cmocka_unit_test(test_measured), cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_draws),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
