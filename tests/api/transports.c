/* libhawser over each transport, and over several at once: both ends in one process, over loopback. */
#include "tests/api/pair.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#define TOTAL 20000000

static struct pair connect_over(enum hws_transport t)
{
    struct hws_options o = { .size = sizeof(o) };

    o.transports[t] = HWS_REQUIRE;
    return connect_by(o, o);
}

static bool has_mptcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 262); /* IPPROTO_MPTCP */

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* All bytes both ways over one path of that transport, which both ends name, and whose control is the transport's. */
static void over(enum hws_transport t, enum hws_congestion control)
{
    struct pair p = connect_over(t);
    struct hws_session *s[] = { p.client, p.server };
    struct hws_path path[8];

    exchange(&p, TOTAL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hws_session_paths(s[i], path, sizeof(path[0]), 8), 1);
        assert_int_equal(path[0].state, HWS_PATH_ACTIVE);
        assert_int_equal(path[0].transport, t);
        assert_int_equal(path[0].congestion, control);
        assert_true(path[0].sent_bytes > TOTAL && path[0].received_bytes > TOTAL);
        assert_true(path[0].rtt_us > 0 && path[0].rate_bps > 0);
    }
    close_pair(&p);
}

static void test_udp(void **state)
{
    over(HWS_UDP, HWS_CC_BBR);
}

static void test_tcp(void **state)
{
    over(HWS_TCP, HWS_CC_TRANSPORT);
}

static void test_mptcp(void **state)
{
    if (!has_mptcp())
        skip();
    over(HWS_MPTCP, HWS_CC_TRANSPORT);
}

static void test_sctp(void **state)
{
    over(HWS_SCTP, HWS_CC_TRANSPORT);
}

/* A client that prefers MPTCP has TCP from a listener that does not know it. */
static void test_mptcp_falls_back(void **state)
{
    struct hws_options listener = { .transports = { [HWS_TCP] = HWS_REQUIRE } };
    struct hws_options client = { .transports = { [HWS_MPTCP] = HWS_REQUIRE } };
    struct hws_path path;
    struct pair p;

    if (!has_mptcp())
        skip();
    p = connect_by(listener, client);
    exchange(&p, 1000000);
    assert_int_equal(hws_session_paths(p.server, &path, sizeof(path), 1), 1);
    assert_int_equal(path.transport, HWS_TCP);
    close_pair(&p);
}

/* A listener that was told nothing takes both; each path carries something of a session over both. */
static void test_mix(void **state)
{
    struct hws_options client = { .transports = { HWS_PREFER, HWS_PREFER }, .scheduler = "drr" };
    struct pair p = connect_by((struct hws_options){ 0 }, client);
    struct hws_path path[8];

    while (hws_session_paths(p.server, path, sizeof(path[0]), 8) < 2 || path[0].state != HWS_PATH_ACTIVE ||
           path[1].state != HWS_PATH_ACTIVE)
        turn(&p);
    exchange(&p, 2 * TOTAL);
    assert_int_equal(hws_session_paths(p.client, path, sizeof(path[0]), 8), 2);
    assert_int_not_equal(path[0].transport, path[1].transport);
    assert_true(path[0].sent_bytes > 20000 && path[1].sent_bytes > 20000);
    close_pair(&p);
}

/* Messages larger than any record, and the end, over TCP. */
static void test_messages_over_tcp(void **state)
{
    static uint8_t buf[HWS_MESSAGE_MAX];
    struct pair p = connect_over(HWS_TCP);
    struct hws_received m;
    ssize_t n;

    for (unsigned i = 0; i < 4; i++) {
        for (size_t k = 0; k < sizeof(buf); k++)
            buf[k] = byte_at(k + i);
        assert_int_equal(hws_session_send(p.client, buf, sizeof(buf), NULL, 0), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        while ((n = hws_session_receive(p.server, buf, sizeof(buf), &m, sizeof(m))) == -EAGAIN)
            turn(&p);
        assert_int_equal(n, sizeof(buf));
        for (size_t k = 0; k < sizeof(buf); k++)
            assert_int_equal(buf[k], byte_at(k + i));
    }
    hws_session_close(p.client);
    p.client = p.server;
    while ((n = hws_session_read(p.server, buf, sizeof(buf))) == -EAGAIN)
        turn(&p);
    assert_int_equal(n, -ECONNRESET); /* it was said over the connection that ends */
    p.client = NULL;
    close_pair(&p);
}

/* What is not to be used is not, and what cannot be is refused. */
static void test_preferences(void **state)
{
    struct hws_options o = { .size = sizeof(o), .flags = HWS_NONBLOCK };
    struct sockaddr_in at = loopback(9);
    const struct sockaddr *addresses[] = { (struct sockaddr *)&at };
    struct hws_session *s, *l;
    char key[HWS_KEY_SIZE];

    o.transports[0] = HWS_PROHIBIT + 1;
    assert_int_equal(hws_session_socket(&o, &s), -EINVAL);
    o.transports[0] = HWS_NO_PREFERENCE;
    o.transports[7] = HWS_PREFER; /* a transport that there is not */
    assert_int_equal(hws_session_socket(&o, &s), -EINVAL);
    memset(o.transports, 0, sizeof(o.transports));
    memset(o.transports, HWS_PROHIBIT, 4);
    assert_int_equal(hws_session_socket(&o, &s), 0);
    assert_int_equal(hws_session_socket(NULL, &l), 0);
    assert_int_equal(hws_session_key(l, key), 0);
    assert_int_equal(hws_session_connect(s, key, addresses, 1), -EINVAL);
    hws_session_close(l);
    hws_session_close(s);
    /* The port's TCP cannot be plain clients' and sessions'. */
    o = (struct hws_options){ .size = sizeof(o), .flags = HWS_NONBLOCK | HWS_PLAIN };
    o.transports[HWS_TCP] = HWS_PREFER;
    assert_int_equal(hws_session_socket(&o, &l), 0);
    assert_int_equal(hws_session_bind(l, (struct sockaddr *)&at, 9), 0);
    assert_int_equal(hws_session_listen(l), -EINVAL);
    hws_session_close(l);
}

/* A byte that does not belong ends a connection, and nothing else. */
static void test_garbage(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
    struct pair p = connect_pair();
    struct sockaddr_in at = loopback(p.port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char c;

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    for (ssize_t n = -1; n != 0;) { /* what comes is the greeting */
        turn(&p);
        n = recv(fd, &c, 1, MSG_DONTWAIT);
        assert_true(n >= 0 || (n < 0 && (errno == EAGAIN || errno == ECONNRESET)));
        if (n < 0 && errno == ECONNRESET)
            break;
    }
    close(fd);
    exchange(&p, 1000000);
    close_pair(&p);
}

/* Whatever listens there, who is not the one that is called gets no byte: one that says nothing, and one that speaks
 * first. */
static void test_foreign_service(void **state)
{
    struct hws_options o = { .size = sizeof(o), .flags = HWS_NONBLOCK };
    static const char banner[] = "220 mail.example.net ESMTP ready\r\n";
    struct sockaddr_in at = loopback(0);
    const struct sockaddr *addresses[] = { (struct sockaddr *)&at };
    socklen_t len = sizeof(at);
    struct hws_session *s, *other;
    struct pollfd f = { .fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN };
    char key[HWS_KEY_SIZE], c;
    ssize_t n = -1;
    int peer;

    o.transports[HWS_TCP] = HWS_REQUIRE;
    assert_int_equal(bind(f.fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(f.fd, 4), 0);
    assert_int_equal(getsockname(f.fd, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(hws_session_socket(NULL, &other), 0);
    assert_int_equal(hws_session_key(other, key), 0);
    assert_int_equal(hws_session_socket(&o, &s), 0);
    assert_int_equal(hws_session_connect(s, key, addresses, 1), 0);
    while (poll(&f, 1, 10) == 0)
        assert_int_equal(hws_session_process(s), 0);
    peer = accept(f.fd, NULL, NULL);
    assert_true(peer >= 0);
    for (int i = 0; i < 50; i++) { /* it has every occasion to say something */
        poll(NULL, 0, 10);
        assert_int_equal(hws_session_process(s), 0);
        assert_int_equal(recv(peer, &c, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
    }
    assert_int_equal(send(peer, banner, sizeof(banner) - 1, 0), sizeof(banner) - 1);
    while (n < 0 && errno == EAGAIN) {
        poll(NULL, 0, 10);
        assert_int_equal(hws_session_process(s), 0);
        n = recv(peer, &c, 1, MSG_DONTWAIT);
    }
    assert_int_equal(n, 0);
    close(peer);
    close(f.fd);
    hws_session_close(s);
    hws_session_close(other);
}

/* UDP does not pass: TCP is opened in its place, and the program is told, by the uplink's name. */
static void test_instead_of_udp(void **state)
{
    struct hws_options listener = { .transports = { [HWS_UDP] = HWS_PROHIBIT } };
    struct pair p = connect_by(listener, (struct hws_options){ 0 });
    struct hws_event ev = { 0 };

    while (ev.type != HWS_EVENT_FALLBACK)
        if (!hws_session_pop_event(p.client, &ev, sizeof(ev)))
            turn(&p);
    assert_string_equal(ev.why, "TCP");
    assert_string_equal(ev.link, "host");
    exchange(&p, 1000000);
    close_pair(&p);
}

/* Likewise to each address of the other end. */
static void test_instead_to_all(void **state)
{
    struct hws_options o = { .size = sizeof(o), .flags = HWS_NONBLOCK, .transports = { [HWS_UDP] = HWS_PROHIBIT } };
    const struct hws_options any = { .size = sizeof(any), .flags = HWS_NONBLOCK };
    struct sockaddr_in at[2];
    const struct sockaddr *addresses[2];
    struct pair p = { .port = 20000 + (uint16_t)(getpid() % 20000) };
    char key[HWS_KEY_SIZE];
    struct hws_path path[8];
    int r;

    assert_int_equal(hws_session_socket(&o, &p.listener), 0);
    do {
        assert_int_equal(hws_session_bind(p.listener, NULL, ++p.port), 0);
        r = hws_session_listen(p.listener);
    } while (r == -EADDRINUSE);
    assert_int_equal(r, 0);
    assert_int_equal(hws_session_key(p.listener, key), 0);
    for (uint32_t i = 0; i < 2; i++) {
        at[i] = loopback(p.port);
        at[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK + i);
        addresses[i] = (struct sockaddr *)&at[i];
    }
    assert_int_equal(hws_session_socket(&any, &p.client), 0);
    assert_int_equal(hws_session_connect(p.client, key, addresses, 2), 0);
    while (hws_session_accept(p.listener, &p.server) == -EAGAIN)
        turn(&p);
    while (hws_session_paths(p.server, path, sizeof(path[0]), 8) < 2 || path[0].state != HWS_PATH_ACTIVE ||
           path[1].state != HWS_PATH_ACTIVE)
        turn(&p);
    assert_int_equal(path[0].transport, HWS_TCP);
    assert_int_equal(path[1].transport, HWS_TCP);
    exchange(&p, 1000000);
    close_pair(&p);
}

/* Another program has the port's TCP: a listener that was told nothing does without. */
static void test_tcp_port_taken(void **state)
{
    struct hws_options o = { .size = sizeof(o), .flags = HWS_NONBLOCK };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = loopback(0);
    socklen_t len = sizeof(at);
    struct hws_session *l;

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(hws_session_socket(&o, &l), 0);
    assert_int_equal(hws_session_bind(l, (struct sockaddr *)&at, ntohs(at.sin_port)), 0);
    assert_int_equal(hws_session_listen(l), 0);
    hws_session_close(l);
    o.transports[HWS_TCP] = HWS_PREFER;
    assert_int_equal(hws_session_socket(&o, &l), 0);
    assert_int_equal(hws_session_bind(l, (struct sockaddr *)&at, ntohs(at.sin_port)), 0);
    assert_int_equal(hws_session_listen(l), -EADDRINUSE);
    hws_session_close(l);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_udp),
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_mptcp),
        cmocka_unit_test(test_sctp),
        cmocka_unit_test(test_mptcp_falls_back),
        cmocka_unit_test(test_mix),
        cmocka_unit_test(test_messages_over_tcp),
        cmocka_unit_test(test_preferences),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_foreign_service),
        cmocka_unit_test(test_instead_of_udp),
        cmocka_unit_test(test_instead_to_all),
        cmocka_unit_test(test_tcp_port_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
