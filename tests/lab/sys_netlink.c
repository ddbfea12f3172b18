/* Lab test of src/sys/netlink: the monitor in a network namespace of its own.
 *
 *   +------------- this process's namespace -------------+
 *   | va 10.9.0.1/24 <==== veth ====> vb 10.9.0.2/24     |
 *   +----------------------------------------------------+
 *
 * Needs root. Without it the program says so and exits with 77. */
#include "sys/netlink.h"
#include "tests/lab/lab.h"

#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Processes until an event of this type for this interface comes; others are skipped. */
static struct nlmon_event wait_event(struct nlmon *m, enum nlmon_event_type type, const char *name)
{
    struct nlmon_event ev;

    for (;;) {
        while (nlmon_pop_event(m, &ev))
            if (ev.type == type && (!name || strcmp(ev.name, name) == 0))
                return ev;
        if (!wait_readable(nlmon_fd(m)))
            fail_msg("no event %d for %s", type, name ? name : "(any)");
        assert_int_equal(nlmon_process(m), 0);
    }
}

static bool has_addr(const struct nlmon_link *l, const char *text)
{
    struct addr a = ep(text).addr;

    for (size_t i = 0; i < l->addrs_count; i++)
        if (addr_equal(&l->addrs[i].addr, &a))
            return true;
    return false;
}

static void test_netlink_follows(void **state)
{
    struct nlmon_event ev;
    struct nlmon *m;

    assert_int_equal(nlmon_open(&m), 0);
    wait_event(m, NLMON_LINK_UP, "va");
    assert_non_null(nlmon_link_find(m, "va"));
    assert_string_equal(nlmon_link_find(m, "va")->kind, "veth");
    assert_true(has_addr(nlmon_link_find(m, "va"), "10.9.0.1"));
    assert_true(nlmon_link_find(m, "lo")->loopback);
    while (nlmon_pop_event(m, &ev))
        continue;

    run("ip addr add 10.9.1.1/24 dev va");
    ev = wait_event(m, NLMON_ADDR_NEW, "va");
    assert_true(addr_equal(&ev.addr.addr, &(struct addr){ ADDR_V4, { 10, 9, 1, 1 } }));
    assert_int_equal(ev.addr.prefix_len, 24);
    run("ip route add default via 10.9.0.2 dev va metric 7");
    ev = wait_event(m, NLMON_DEFAULT_ROUTE_NEW, "va");
    assert_true(addr_equal(&ev.route.gateway, &(struct addr){ ADDR_V4, { 10, 9, 0, 2 } }));
    assert_int_equal(ev.route.metric, 7);
    assert_int_equal(ev.route.table, 254);
    run("ip route replace default via 10.9.0.3 dev va metric 7");
    ev = wait_event(m, NLMON_DEFAULT_ROUTE_DEL, "va");
    assert_int_equal(ev.route.gateway.bytes[3], 2);
    ev = wait_event(m, NLMON_DEFAULT_ROUTE_NEW, "va");
    assert_int_equal(ev.route.gateway.bytes[3], 3);
    run("ip addr del 10.9.1.1/24 dev va");
    wait_event(m, NLMON_ADDR_DEL, "va");
    assert_false(has_addr(nlmon_link_find(m, "va"), "10.9.1.1"));

    /* The peer goes down: no carrier, but va itself stays up. */
    run("ip link set vb down");
    wait_event(m, NLMON_LINK_DOWN, "va");
    assert_false(nlmon_link_find(m, "va")->usable);
    assert_true(nlmon_link_find(m, "va")->admin_up);
    run("ip link set vb up");
    wait_event(m, NLMON_LINK_UP, "va");
    assert_int_equal(nlmon_link_find(m, "va")->defaults_count, 1);

    /* va down: the kernel drops its IPv4 routes without a word. */
    run("ip link set va down");
    wait_event(m, NLMON_LINK_DOWN, "va");
    ev = wait_event(m, NLMON_DEFAULT_ROUTE_DEL, "va");
    assert_int_equal(ev.route.metric, 7);
    assert_int_equal(nlmon_link_find(m, "va")->defaults_count, 0);
    run("ip link set va up");
    wait_event(m, NLMON_LINK_UP, "va");

    run("ip link add vc type veth peer name vd && ip link del vc");
    wait_event(m, NLMON_LINK_GONE, "vc");
    assert_null(nlmon_link_find(m, "vc"));
    assert_int_equal(nlmon_ignored(m), 0);
    nlmon_free(m);
}

/* A link gets another address, and its default route goes without a word, just behind the news that the old address is
 * gone: whoever looks at once still finds the route. When the new address is known, that there is none is known too. */
static void test_netlink_moves(void **state)
{
    struct nlmon *m;

    assert_int_equal(nlmon_open(&m), 0);
    for (int i = 0; i < 100; i++) {
        run("ip route add default via 10.9.0.2 dev va");
        wait_event(m, NLMON_DEFAULT_ROUTE_NEW, "va");
        run("printf 'addr del 10.9.0.1/24 dev va\\naddr add 10.9.0.1/24 dev va\\n' | ip -batch - &");
        wait_event(m, NLMON_ADDR_NEW, "va");
        assert_int_equal(nlmon_link_find(m, "va")->defaults_count, 0);
    }
    nlmon_free(m);
}

static void test_netlink_multipath(void **state)
{
    struct nlmon_event ev;
    struct nlmon *m;

    assert_int_equal(nlmon_open(&m), 0);
    run("ip route add default metric 9 nexthop via 10.9.0.2 dev va nexthop via 10.9.0.1 dev vb");
    ev = wait_event(m, NLMON_DEFAULT_ROUTE_NEW, "va");
    assert_int_equal(ev.route.gateway.bytes[3], 2);
    ev = wait_event(m, NLMON_DEFAULT_ROUTE_NEW, "vb");
    assert_int_equal(ev.route.gateway.bytes[3], 1);
    run("ip route del default metric 9");
    wait_event(m, NLMON_DEFAULT_ROUTE_DEL, "vb");
    nlmon_free(m);
}

static void test_netlink_ipv6(void **state)
{
    struct endpoint added = ep("fd09:5::1"), gateway = ep("fe80::1");
    struct nlmon_event ev;
    struct nlmon *m;

    assert_int_equal(nlmon_open(&m), 0);
    while (nlmon_pop_event(m, &ev))
        continue;
    /* A new address is not usable until duplicate detection has ended. */
    run("ip addr add fd09:5::1/64 dev va");
    ev = wait_event(m, NLMON_ADDR_NEW, "va");
    assert_true(ev.addr.tentative);
    ev = wait_event(m, NLMON_ADDR_NEW, "va");
    assert_true(addr_equal(&ev.addr.addr, &added.addr));
    assert_false(ev.addr.tentative);
    run("ip addr change fd09:5::1/64 dev va preferred_lft 0");
    ev = wait_event(m, NLMON_ADDR_NEW, "va");
    assert_true(ev.addr.deprecated);
    run("ip -6 route add default via fe80::1 dev va metric 3 table 77");
    ev = wait_event(m, NLMON_DEFAULT_ROUTE_NEW, "va");
    assert_int_equal(ev.route.family, ADDR_V6);
    assert_true(addr_equal(&ev.route.gateway, &gateway.addr));
    assert_int_equal(ev.route.table, 77);
    run("ip -6 route del default table 77 && ip addr del fd09:5::1/64 dev va");
    wait_event(m, NLMON_DEFAULT_ROUTE_DEL, "va");
    wait_event(m, NLMON_ADDR_DEL, "va");
    nlmon_free(m);
}

static void test_netlink_overflow(void **state)
{
    int small = 1;
    struct nlmon_event ev;
    struct nlmon *m;
    bool added_later = false, overflow = false;

    assert_int_equal(nlmon_open(&m), 0);
    while (nlmon_pop_event(m, &ev))
        continue;
    /* The smallest buffer that the kernel grants holds a few messages, and nobody reads. */
    assert_int_equal(setsockopt(nlmon_fd(m), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    run("for i in 1 2 3 4 5 6 7 8 9; do ip addr add 10.9.2.$i/32 dev va; ip addr del 10.9.2.$i/32 dev va; done;"
        "ip addr add 10.9.3.1/32 dev va");
    {
        struct pollfd p = { .fd = nlmon_fd(m), .events = POLLIN | POLLPRI };

        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        assert_true(p.revents & POLLPRI); /* what libuv needs to see beside POLLERR */
    }
    assert_int_equal(nlmon_process(m), 0);
    while (nlmon_pop_event(m, &ev)) {
        overflow |= ev.type == NLMON_OVERFLOW;
        added_later |= ev.type == NLMON_ADDR_NEW && ev.addr.addr.bytes[2] == 3;
    }
    assert_true(overflow);
    assert_true(added_later);
    assert_true(has_addr(nlmon_link_find(m, "va"), "10.9.3.1"));
    assert_false(has_addr(nlmon_link_find(m, "va"), "10.9.2.1"));
    run("ip addr del 10.9.3.1/32 dev va");
    wait_event(m, NLMON_ADDR_DEL, "va");
    nlmon_free(m);
}

static int make_namespace(void)
{
    return enter_namespace("ip link add va type veth peer name vb && "
                           "ip link set va addrgenmode none && ip link set vb addrgenmode none && ip link set va up && "
                           "ip link set vb up && ip addr add 10.9.0.1/24 dev va && ip addr add 10.9.0.2/24 dev vb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_netlink_follows),   cmocka_unit_test(test_netlink_moves),
        cmocka_unit_test(test_netlink_multipath), cmocka_unit_test(test_netlink_ipv6),
        cmocka_unit_test(test_netlink_overflow),
    };

    if (make_namespace() != 0) {
        puts("SKIP: needs root, network namespaces and iproute2");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
