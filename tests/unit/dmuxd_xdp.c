/* Unit test of prog/dmuxd_xdp.c: what becomes of groups and routers that find no room in the kernel's tables, which are
 * stood in for here, and what is said of it. */
#include "prog/dmuxd.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdarg.h>
#include <syslog.h>

static unsigned groups, routers, groups_max, routers_max, removed; /* in the tables; their sizes */
static unsigned said[LOG_DEBUG + 1];
static char last[256];
static int clock_error;

void dmuxd_say(int level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(last, sizeof(last), fmt, args);
    va_end(args);
    said[level]++;
}

int xdp_open(const char *interface, struct xdp **ret)
{
    *ret = NULL;
    return 0;
}

int xdp_set_config(struct xdp *x, const struct xdp_config *c)
{
    return 0;
}

int xdp_set_clock(struct xdp *x, uint32_t wall_s)
{
    return clock_error;
}

int xdp_set_group(struct xdp *x, const struct xdp_group_key *key, const struct xdp_group *group)
{
    removed += group == NULL;
    if (!group || groups < groups_max) {
        groups += group != NULL;
        return 0;
    }
    return -E2BIG;
}

int xdp_set_router(struct xdp *x, const struct xdp_router_key *key, const struct xdp_router *router)
{
    if (!router || routers < routers_max) {
        routers += router != NULL;
        return 0;
    }
    return -E2BIG;
}

int xdp_counts(const struct xdp *x, uint64_t ret[XDP_COUNT_COUNT])
{
    return -EOPNOTSUPP;
}

static struct prng prng;
static struct dmux_config config;
static struct dmuxd d;

static void begin(unsigned groups_size, unsigned routers_size)
{
    struct gateway_options o = { .id = 1, .registrations_max = 100, .rng = prng_rng(&prng) };

    prng_init(&prng, 1);
    memset(&d, 0, sizeof(d));
    memset(said, 0, sizeof(said));
    groups = routers = removed = 0;
    groups_max = groups_size;
    routers_max = routers_size;
    clock_error = 0;
    o.prefix = (struct prefix){ .addr = addr_v4(0xc0000200), .len = 24 };
    o.service = (struct endpoint){ addr_v4(0xc0000201), DMUX_PORT };
    o.unicast = (struct endpoint){ addr_v4(0x0a000001), DMUX_PORT };
    d.config = &config;
    d.gateway = gateway_new(&o, 1000, SEC);
    assert_non_null(d.gateway);
    assert_int_equal(dmuxd_xdp_start(&d, 1000), 0);
}

/* Router number i of provider 100 + i. */
static void comes(uint32_t i, instant now)
{
    struct registry *r = gateway_export(d.gateway);
    const struct registration claim = {
        .protocol = DMUX_IPV6, .provider = 100 + i, .addr = 0xcb007100 + i, .port = 1, .weight = 1
    };
    struct registration *g;
    uint16_t wait_s;

    assert_int_equal(registry_claim(r, &claim, now, &g, &wait_s), 0);
    registry_prove(r, g, MSEC, now);
    registry_on_expiry(r, now);
}

static uint64_t left_out(void)
{
    json_t *doc = json_object();
    uint64_t n;

    dmuxd_xdp_status(&d, doc);
    n = (uint64_t)json_integer_value(json_object_get(json_object_get(doc, "xdp"), "left_out"));
    json_decref(doc);
    return n;
}

/* 30 routers, one a second, of whom one has room: the daemon goes on, counts, and says so once a minute. */
static void test_routers_full(void **state)
{
    uint32_t i;

    begin(1000, 1);
    for (i = 0; i < 30; i++) {
        comes(i, SEC + i * SEC);
        dmuxd_xdp_turn(&d, 1000 + i);
        dmuxd_xdp_turn(&d, 1000 + i);
    }
    assert_int_equal(said[LOG_ERR], 0);
    assert_int_equal(said[LOG_WARNING], 1);
    assert_string_equal(last, "xdp routers=16384 full, others pass in user space");
    assert_int_equal(left_out(), 29);
    comes(30, 31 * SEC);
    dmuxd_xdp_turn(&d, 1061);
    assert_int_equal(said[LOG_WARNING], 2);
    gateway_free(d.gateway);
}

/* A group that has no room is not left there as it was. */
static void test_groups_full(void **state)
{
    begin(2, 1000);
    for (uint32_t i = 0; i < 10; i++) { /* a group of each provider, and one of any */
        comes(i, SEC + i * 100 * MSEC);
        dmuxd_xdp_turn(&d, 1000 + i);
    }
    assert_int_equal(groups, 2);
    assert_int_equal(removed, left_out());
    assert_in_range(removed, 9, 20); /* each provider's but one, and that of any again */
    assert_int_equal(said[LOG_ERR], 0);
    assert_int_equal(said[LOG_WARNING], 1);
    assert_string_equal(last, "xdp groups=16384 full, others pass in user space");
    gateway_free(d.gateway);
}

/* What is wrong in truth is an error, and a line a minute however it comes and goes. */
static void test_error(void **state)
{
    begin(1000, 1000);
    for (uint32_t i = 0; i < 60; i++) {
        clock_error = i % 2 == 0 ? -EIO : 0;
        dmuxd_xdp_turn(&d, 1001 + i);
    }
    assert_int_equal(said[LOG_ERR], 1);
    assert_int_equal(said[LOG_WARNING], 0);
    clock_error = -EIO;
    dmuxd_xdp_turn(&d, 1061);
    assert_int_equal(said[LOG_ERR], 2);
    gateway_free(d.gateway);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routers_full),
        cmocka_unit_test(test_groups_full),
        cmocka_unit_test(test_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
