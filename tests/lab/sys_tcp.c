/* Lab test of src/sys/tcp: connections over loopback in a network namespace of its own.
 *
 * Needs root. Without it the program says so and exits with 77. */
#include "sys/clock.h"
#include "sys/tcp.h"
#include "tests/lab/lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 443

static uint8_t buf[TCP_READ_BYTES];

static int listener(enum addr_family family)
{
    int fd = -1;

    assert_int_equal(tcp_listen(family, PORT, &fd), 0);
    return fd;
}

static struct tcp *accepted(int fd)
{
    struct tcp *t = NULL;

    assert_true(wait_readable(fd));
    assert_int_equal(tcp_accept(fd, &t), 1);
    return t;
}

/* Both ends of a connection. */
static void join(const char *text, struct tcp **ret_node, struct tcp **ret_agent)
{
    static const struct tcp_options o = { 0 };
    struct endpoint to = ep(text);
    int fd = listener(to.addr.family);

    assert_int_equal(tcp_connect(&o, &to, ret_node), 0);
    assert_true(tcp_wants_write(*ret_node));
    *ret_agent = accepted(fd);
    close(fd);
    while (!tcp_is_connected(*ret_node)) {
        struct pollfd p = { .fd = tcp_fd(*ret_node), .events = POLLOUT };

        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        assert_int_equal(tcp_flush(*ret_node), 0);
    }
    assert_false(tcp_wants_write(*ret_node));
    assert_true(endpoint_equal(tcp_remote(*ret_node), &to));
    assert_true(addr_equal(tcp_local(*ret_agent), &to.addr));
}

/* A datagram says which it is, and is filled with that. */
static void fill(uint8_t *at, size_t len, uint32_t number)
{
    memset(at, (uint8_t)number, len);
    put_be32(at, number);
}

/* Reads until `want` datagrams have come, in rising order and whole; returns the number of the last. */
static uint32_t receive(struct tcp *t, size_t want, size_t len)
{
    uint32_t last = 0;
    size_t got = 0;

    while (got < want) {
        uint8_t *pkt;
        size_t n;
        int r;

        assert_true(wait_readable(tcp_fd(t)));
        r = tcp_read(t, buf, sizeof(buf));
        assert_true(r >= 0);
        while (r == 1 && tcp_next(t, &pkt, &n) == 1) {
            uint32_t number = get_be32(pkt);

            assert_int_equal(n, len);
            assert_true(got == 0 || number > last);
            for (size_t i = 4; i < n; i++)
                assert_int_equal(pkt[i], (uint8_t)number);
            last = number;
            got++;
        }
    }
    assert_int_equal(got, want);
    return last;
}

static void test_exchange(void **state)
{
    static const char *const places[] = { "127.0.0.1:443", "[::1]:443" };
    enum { LEN = 1200, COUNT = 9 };
    uint8_t train[LEN * COUNT];

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct tcp *node, *agent;

        join(places[i], &node, &agent);
        for (uint32_t k = 0; k < COUNT; k++)
            fill(train + (size_t)k * LEN, LEN, k);
        assert_int_equal(tcp_send(node, train, sizeof(train), LEN, clock_now()), 0);
        assert_int_equal(receive(agent, COUNT, LEN), COUNT - 1);
        assert_int_equal(tcp_send(agent, train, LEN, 0, clock_now()), 0);
        receive(node, 1, LEN);
        tcp_free(node);
        tcp_free(agent);
    }
}

/* What is sent before the connection is there waits for it, up to 4 KiB: of five datagrams of 1,002 bytes, four. */
static void test_before_connected(void **state)
{
    enum { LEN = 1000, COUNT = 5 };
    static const struct tcp_options o = { 0 };
    struct endpoint to = ep("127.0.0.1:443");
    uint8_t train[LEN * COUNT];
    struct tcp *node, *agent;
    int fd;

    for (uint32_t k = 0; k < COUNT; k++)
        fill(train + (size_t)k * LEN, LEN, k);
    /* Over a route that answers nothing the connection never comes to be. */
    run("ip link add vt0 type veth peer name vt1 && "
        "ip addr add 10.8.0.1/24 dev vt0 && ip link set vt0 up && ip neigh add 10.8.0.2 lladdr 02:00:00:00:00:01 dev "
        "vt0");
    to = ep("10.8.0.2:443");
    assert_int_equal(tcp_connect(&o, &to, &node), 0);
    assert_int_equal(tcp_send(node, train, sizeof(train), LEN, clock_now()), 1);
    assert_false(tcp_is_connected(node));
    tcp_free(node);
    run("ip link del vt0");

    to = ep("127.0.0.1:443");
    fd = listener(ADDR_V4);
    assert_int_equal(tcp_connect(&o, &to, &node), 0);
    assert_int_equal(tcp_send(node, train, 2 * LEN, LEN, clock_now()), 0);
    agent = accepted(fd);
    assert_int_equal(tcp_flush(node), 0);
    assert_int_equal(tcp_flush(node), 0);
    assert_int_equal(receive(agent, 2, LEN), 1);
    tcp_free(node);
    tcp_free(agent);
    close(fd);
}

/* The other side does not read: what does not fit is dropped, whole, and little waits. */
static void test_drops_rather_than_queues(void **state)
{
    enum { LEN = 1452, TRAIN = 40, ROUNDS = 400 };
    static uint8_t train[LEN * TRAIN];
    struct tcp *node, *agent;
    struct tcp_stats s;
    uint64_t dropped = 0;

    join("127.0.0.1:443", &node, &agent);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        int r;

        for (uint32_t k = 0; k < TRAIN; k++)
            fill(train + (size_t)k * LEN, LEN, round * TRAIN + k);
        r = tcp_send(node, train, sizeof(train), LEN, clock_now());
        assert_true(r >= 0 && r <= TRAIN);
        dropped += (uint64_t)r;
        s = tcp_stats_get(node);
        assert_true(s.queue_max >= TCP_QUEUE_MIN && s.queue_max <= TCP_QUEUE_MAX);
        assert_true(s.unsent <= TCP_QUEUE_MAX);
    }
    s = tcp_stats_get(node);
    assert_int_equal(s.dropped, dropped);
    assert_int_equal(s.sent + s.dropped, TRAIN * ROUNDS);
    assert_true(s.dropped > 0 && s.sent > 0);
    /* Everything that it said it sent comes, and nothing in part: the rest of a cut one goes when there is room. */
    receive(agent, (size_t)s.sent - (tcp_wants_write(node) ? 1 : 0), LEN);
    if (tcp_wants_write(node)) {
        assert_int_equal(tcp_flush(node), 0);
        receive(agent, 1, LEN);
    }
    fill(train, LEN, 7);
    assert_int_equal(tcp_send(node, train, LEN, 0, clock_now()), 0);
    assert_int_equal(receive(agent, 1, LEN), 7);
    tcp_free(node);
    tcp_free(agent);
}

static void test_refused(void **state)
{
    static const struct tcp_options o = { 0 };
    struct endpoint to = ep("127.0.0.1:444");
    struct tcp *t;
    struct pollfd p = { .events = POLLOUT };

    assert_int_equal(tcp_connect(&o, &to, &t), 0);
    p.fd = tcp_fd(t);
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    assert_int_equal(tcp_flush(t), -ECONNREFUSED);
    tcp_free(t);
    to.port = 0;
    assert_int_equal(tcp_connect(&o, &to, &t), -EINVAL);
}

static void test_port_in_use(void **state)
{
    int fd = listener(ADDR_V4), other = -1;

    assert_int_equal(tcp_listen(ADDR_V4, PORT, &other), -EADDRINUSE);
    assert_int_equal(other, -1);
    close(fd);
}

static void test_end_and_nonsense(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: agent\r\n\r\n";
    struct tcp *node, *agent;
    uint8_t *pkt;
    size_t len;

    join("127.0.0.1:443", &node, &agent);
    assert_int_equal(send(tcp_fd(node), request, sizeof(request) - 1, 0), sizeof(request) - 1);
    assert_true(wait_readable(tcp_fd(agent)));
    assert_int_equal(tcp_read(agent, buf, sizeof(buf)), 1);
    assert_int_equal(tcp_next(agent, &pkt, &len), -EPROTO);
    tcp_free(node);
    assert_true(wait_readable(tcp_fd(agent)));
    assert_int_equal(tcp_read(agent, buf, sizeof(buf)), -ECONNRESET);
    tcp_free(agent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_before_connected),
        cmocka_unit_test(test_drops_rather_than_queues),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_port_in_use),
        cmocka_unit_test(test_end_and_nonsense),
    };

    if (enter_namespace(NULL) != 0) {
        puts("SKIP: needs root, network namespaces and iproute2");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
