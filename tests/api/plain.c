/* libhawser and plain TCP over this host's loopback: who has no session reaches who has, and the other way round. */
#include "tests/api/pair.h"

#include <stdbool.h>
#include <string.h>

/* Sockets of both kinds on one port that nobody else has; -1 for one that is not wanted. */
struct port {
    int tcp, udp;
    uint16_t port;
};

static struct port take_port(bool tcp, bool udp)
{
    static uint16_t next;
    struct port p = { 0 };

    if (next == 0)
        next = 20000 + (uint16_t)(getpid() % 20000);
    for (; next < 60000; next++) {
        struct sockaddr_in at = loopback(next);
        const int on = 1;

        p = (struct port){ .tcp = socket(AF_INET, SOCK_STREAM, 0),
                           .udp = socket(AF_INET, SOCK_DGRAM, 0),
                           .port = next };
        setsockopt(p.tcp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(p.tcp, (struct sockaddr *)&at, sizeof(at)) == 0 &&
            bind(p.udp, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(p.tcp, 8) == 0)
            break;
        close(p.tcp);
        close(p.udp);
    }
    assert_true(next < 60000);
    next++;
    if (!tcp) {
        close(p.tcp);
        p.tcp = -1;
    }
    if (!udp) {
        close(p.udp);
        p.udp = -1;
    }
    return p;
}

static void give_back(const struct port *p)
{
    if (p->tcp >= 0)
        close(p->tcp);
    if (p->udp >= 0)
        close(p->udp);
}

static int try_call(uint16_t port, const char *key, uint32_t flags, struct hws_session **ret)
{
    const struct hws_options o = { .size = sizeof(o), .flags = flags };
    struct sockaddr_in at = loopback(port);
    const struct sockaddr *addresses[] = { (struct sockaddr *)&at };
    int r;

    assert_int_equal(hws_session_socket(&o, ret), 0);
    r = hws_session_connect(*ret, key, addresses, 1);
    if (r < 0) {
        hws_session_close(*ret);
        *ret = NULL;
    }
    return r;
}

static struct hws_session *call_plainly(uint16_t port, uint32_t flags)
{
    struct hws_session *s;

    assert_int_equal(try_call(port, NULL, flags, &s), 0);
    return s;
}

static struct hws_session *listener_on(uint16_t port, uint32_t flags)
{
    const struct hws_options o = { .size = sizeof(o), .flags = flags | HWS_NONBLOCK };
    struct sockaddr_in at = loopback(0);
    struct hws_session *l;

    assert_int_equal(hws_session_socket(&o, &l), 0);
    assert_int_equal(hws_session_bind(l, (struct sockaddr *)&at, port), 0);
    assert_int_equal(hws_session_listen(l), 0);
    return l;
}

/* Lets these work until one of them has something to do. */
static void work(struct hws_session *const *s, size_t count)
{
    struct pollfd fds[4];
    int ms = 1000;

    for (size_t i = 0; i < count; i++) {
        int t = hws_session_timeout(s[i]);

        fds[i] = (struct pollfd){ .fd = hws_session_fd(s[i]), .events = POLLIN };
        if (t >= 0 && t < ms)
            ms = t;
    }
    poll(fds, count, ms);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(hws_session_process(s[i]), 0);
}

static void until(struct hws_session *s, unsigned events)
{
    while (!(hws_session_events(s) & events))
        work(&s, 1);
}

static unsigned count_datagrams(int fd)
{
    uint8_t buf[2000];
    unsigned n = 0;

    for (ssize_t len; (len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0; n++) {
        assert_int_equal(len, 128); /* HELLO and nothing else */
        assert_int_equal(buf[0], 6);
    }
    return n;
}

static void expect_text(struct hws_session *s, const char *text)
{
    char buf[100];
    size_t have = 0, len = strlen(text);

    while (have < len) {
        ssize_t n = hws_session_read(s, buf + have, len - have);

        assert_true(n > 0 || n == -EAGAIN);
        have += n > 0 ? (size_t)n : 0;
        if (n < 0)
            work(&s, 1);
    }
    assert_memory_equal(buf, text, len);
}

/* A server that knows nothing of Hawser; nobody says so, then it is known. */
static void test_plain_server(void **state)
{
    struct port p = take_port(true, true);
    struct hws_received m;
    char buf[10];

    for (int i = 0; i < 2; i++) {
        struct hws_session *s = call_plainly(p.port, 0);
        struct hws_path path;
        uint64_t place;
        int peer;

        assert_true(hws_session_events(s) & HWS_IS_PLAIN);
        assert_true(i ? count_datagrams(p.udp) == 0 : count_datagrams(p.udp) >= 1);
        peer = accept(p.tcp, NULL, NULL);
        assert_true(peer >= 0);
        assert_int_equal(recv(peer, buf, 1, MSG_DONTWAIT), -1); /* not a byte that nobody wrote */
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(hws_session_write(s, "question", 8), 8);
        assert_int_equal(recv(peer, buf, 8, MSG_WAITALL), 8);
        assert_memory_equal(buf, "question", 8);
        assert_int_equal(send(peer, "answer", 6, 0), 6);
        assert_int_equal(hws_session_read_at(s, buf, 1, &place), 1);
        assert_int_equal(place, 0);
        assert_true(hws_session_read_at(s, buf, 9, &place) > 0);
        assert_int_equal(place, 1);

        assert_int_equal(hws_session_paths(s, &path, sizeof(path), 1), 1);
        assert_int_equal(path.plain, 1);
        assert_int_equal(path.state, HWS_PATH_ACTIVE);
        assert_int_equal(ntohs(((struct sockaddr_in *)&path.remote)->sin_port), p.port);
        assert_int_equal(hws_session_send(s, "x", 1, NULL, 0), -EOPNOTSUPP);
        assert_int_equal(hws_session_receive(s, buf, 1, &m, sizeof(m)), -EOPNOTSUPP);
        assert_int_equal(hws_session_probe(s), -EOPNOTSUPP);
        assert_int_equal(hws_session_use_link(s, "wlan0", HWS_LINK_BACKUP), -EOPNOTSUPP);

        assert_int_equal(hws_session_finish(s), 0);
        assert_int_equal(hws_session_write(s, "x", 1), -EPIPE);
        assert_int_equal(recv(peer, buf, 1, 0), 0);
        close(peer);
        assert_int_equal(hws_session_read(s, buf, 1), 0);
        until(s, HWS_ENDED);
        assert_int_equal(hws_session_close(s), 0);
    }
    give_back(&p);
}

/* What is closed unfinished is reset, either way. */
static void test_resets(void **state)
{
    struct port p = take_port(true, false);
    struct hws_session *s = call_plainly(p.port, HWS_NONBLOCK);
    const struct linger reset = { .l_onoff = 1 };
    char buf[10];
    int peer;

    until(s, HWS_CONNECTED);
    peer = accept(p.tcp, NULL, NULL);
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    assert_int_equal(hws_session_read(s, buf, 1), -EAGAIN);
    close(peer);
    until(s, HWS_READABLE);
    assert_int_equal(hws_session_read(s, buf, 1), -ECONNRESET);
    assert_int_equal(hws_session_read(s, buf, 1), -ECONNRESET);
    assert_int_equal(hws_session_write(s, buf, 1), -ECONNRESET);
    assert_true(hws_session_events(s) & HWS_ENDED);
    hws_session_close(s);

    s = call_plainly(p.port, HWS_NONBLOCK);
    until(s, HWS_CONNECTED);
    peer = accept(p.tcp, NULL, NULL);
    assert_int_equal(hws_session_write(s, "part", 4), 4);
    hws_session_close(s);
    while (recv(peer, buf, 4, 0) > 0)
        ;
    assert_int_equal(errno, ECONNRESET);
    close(peer);
    give_back(&p);
}

/* A listener of both kinds; the server speaks first. */
static void test_plain_client(void **state)
{
    struct port p = take_port(false, false);
    struct hws_session *l = listener_on(p.port, HWS_PLAIN), *s, *both[2];
    struct sockaddr_in at = loopback(p.port);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    char buf[20];

    assert_int_equal(hws_session_accept(l, &s), -EAGAIN);
    assert_int_equal(connect(client, (struct sockaddr *)&at, sizeof(at)), 0);
    until(l, HWS_READABLE);
    assert_int_equal(hws_session_accept(l, &s), 0);
    assert_int_equal(hws_session_events(s), HWS_CONNECTED | HWS_IS_PLAIN | HWS_WRITABLE | HWS_FLUSHED);
    assert_int_equal(hws_session_write(s, "220 welcome\r\n", 13), 13);
    assert_int_equal(recv(client, buf, 13, MSG_WAITALL), 13);
    assert_memory_equal(buf, "220 welcome\r\n", 13);
    assert_int_equal(send(client, "QUIT", 4, 0), 4);
    expect_text(s, "QUIT");
    shutdown(client, SHUT_WR);
    until(s, HWS_READABLE);
    assert_int_equal(hws_session_read(s, buf, 1), 0);
    hws_session_finish(s);
    until(s, HWS_ENDED);
    hws_session_close(s);
    assert_int_equal(recv(client, buf, 1, 0), 0);
    close(client);

    /* And with the same listener a session, of who asked. */
    both[0] = l;
    both[1] = call_plainly(p.port, HWS_NONBLOCK);
    while (hws_session_accept(l, &s) == -EAGAIN)
        work(both, 2);
    while (!(hws_session_events(both[1]) & HWS_CONNECTED))
        work(both, 2);
    assert_true(hws_session_events(both[1]) & HWS_UNAUTHENTICATED);
    assert_false(hws_session_events(both[1]) & HWS_IS_PLAIN);
    assert_false(hws_session_events(s) & HWS_UNAUTHENTICATED);
    assert_int_equal(hws_session_write(s, "220 sealed\r\n", 12), 12);
    while (!(hws_session_events(both[1]) & HWS_READABLE))
        work(both, 2);
    expect_text(both[1], "220 sealed\r\n");
    hws_session_close(both[1]);
    hws_session_close(s);
    hws_session_close(l);
}

static int plain_server_on(uint16_t port)
{
    struct sockaddr_in at = loopback(port);
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

/* Whoever asks a listener without plain clients gets its key, goes straight there the next time, and no more after it
 * has another. */
static void test_hello(void **state)
{
    struct port p = take_port(false, false);
    char keys[2][HWS_KEY_SIZE], got[HWS_KEY_SIZE];
    struct hws_session *s;
    int fd;

    for (int i = 0; i < 2; i++) {
        struct hws_session *both[2] = { listener_on(p.port, HWS_HELLO) };

        assert_int_equal(hws_session_key(both[0], keys[i]), 0);
        for (int again = 0; again < 2; again++) {
            both[1] = call_plainly(p.port, HWS_NONBLOCK);
            while (hws_session_accept(both[0], &s) == -EAGAIN)
                work(both, 2);
            while (!(hws_session_events(both[1]) & HWS_CONNECTED))
                work(both, 2);
            assert_true(hws_session_events(both[1]) & HWS_UNAUTHENTICATED);
            assert_int_equal(hws_session_peer_key(both[1], got), 0);
            assert_string_equal(got, keys[i]);
            hws_session_close(both[1]);
            hws_session_close(s);
        }
        hws_session_close(both[0]);
    }
    assert_string_not_equal(keys[0], keys[1]);

    /* Then it is plain, which is said once. */
    fd = plain_server_on(p.port);
    s = call_plainly(p.port, 0);
    assert_int_equal(hws_session_events(s) & (HWS_IS_PLAIN | HWS_FELL_BACK | HWS_UNAUTHENTICATED),
                     HWS_IS_PLAIN | HWS_FELL_BACK);
    hws_session_close(s);
    s = call_plainly(p.port, 0);
    assert_int_equal(hws_session_events(s) & (HWS_IS_PLAIN | HWS_FELL_BACK), HWS_IS_PLAIN);
    hws_session_close(s);
    close(fd);
}

/* The first questions are lost: nobody is there for them. */
static void test_hello_lost(void **state)
{
    struct port p = take_port(false, true);
    struct hws_session *both[2], *s;
    struct pollfd f = { .fd = p.udp, .events = POLLIN };

    both[1] = call_plainly(p.port, HWS_NONBLOCK);
    assert_int_equal(poll(&f, 1, 1000), 1);
    close(p.udp); /* unread */
    both[0] = listener_on(p.port, HWS_PLAIN);
    while (hws_session_accept(both[0], &s) == -EAGAIN)
        work(both, 2);
    assert_false(hws_session_events(s) & HWS_IS_PLAIN);
    hws_session_close(both[1]);
    hws_session_close(s);
    hws_session_close(both[0]);
}

static void test_refused(void **state)
{
    struct port p = take_port(false, false);
    struct hws_session *s;
    char c;
    ssize_t n;

    assert_int_equal(try_call(p.port, NULL, 0, &s), -ECONNREFUSED);
    if (try_call(p.port, NULL, HWS_NONBLOCK, &s) == 0) { /* or it was that fast */
        until(s, HWS_ENDED);
        n = hws_session_read(s, &c, 1);
        assert_int_equal(n, -ECONNREFUSED);
        assert_int_equal(hws_session_write(s, "x", 1), -ECONNREFUSED);
        assert_int_equal(hws_session_send(s, "x", 1, NULL, 0), -ECONNREFUSED);
        assert_int_equal(hws_session_finish(s), -ECONNREFUSED);
        hws_session_close(s);
    }
}

/* A key that is pinned: itself, and nothing else, least of all what is plain. */
static void test_pinned(void **state)
{
    struct port p = take_port(true, false);
    struct hws_session *both[2], *other, *s;
    char key[HWS_KEY_SIZE], wrong[HWS_KEY_SIZE];

    assert_int_equal(hws_session_socket(NULL, &other), 0);
    assert_int_equal(hws_session_key(other, wrong), 0);
    assert_int_equal(try_call(p.port, wrong, HWS_PLAIN, &s), -EKEYREJECTED);            /* a plain server */
    assert_int_equal(poll(&(struct pollfd){ .fd = p.tcp, .events = POLLIN }, 1, 0), 0); /* which nobody called */
    give_back(&p);
    both[0] = listener_on(p.port, HWS_PLAIN);
    assert_int_equal(hws_session_key(both[0], key), 0);
    assert_int_equal(try_call(p.port, wrong, HWS_PLAIN | HWS_NONBLOCK, &both[1]), 0);
    while (!(hws_session_events(both[1]) & HWS_ENDED))
        work(both, 2);
    assert_int_equal(hws_session_read(both[1], key, 1), -EKEYREJECTED);
    assert_non_null(strstr(hws_strerror(-EKEYREJECTED), "pinned"));
    hws_session_close(both[1]);
    assert_int_equal(hws_session_accept(both[0], &s), -EAGAIN);

    assert_int_equal(hws_session_key(both[0], key), 0);
    assert_int_equal(try_call(p.port, key, HWS_PLAIN | HWS_NONBLOCK, &both[1]), 0);
    while (!(hws_session_events(both[1]) & HWS_CONNECTED))
        work(both, 2);
    assert_false(hws_session_events(both[1]) & HWS_UNAUTHENTICATED);
    hws_session_close(both[1]);
    hws_session_close(both[0]);
    hws_session_close(other);
}

/* Of several addresses the one that a session was reached at is known for it, and no other. */
static void test_which_is_known(void **state)
{
    struct port plain = take_port(true, true), none = take_port(false, false);
    const struct hws_options o = { .size = sizeof(o), .flags = HWS_PLAIN | HWS_NONBLOCK };
    struct hws_session *both[2] = { listener_on(none.port, 0) }, *s;
    struct sockaddr_in at[2] = { loopback(plain.port), loopback(none.port) };
    const struct sockaddr *addresses[] = { (struct sockaddr *)&at[0], (struct sockaddr *)&at[1] };
    char key[HWS_KEY_SIZE];

    at[0].sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1); /* another host's, as far as anybody can tell */
    assert_int_equal(hws_session_key(both[0], key), 0);
    assert_int_equal(hws_session_socket(&o, &both[1]), 0);
    assert_int_equal(hws_session_connect(both[1], key, addresses, 2), 0);
    while (!(hws_session_events(both[1]) & HWS_CONNECTED))
        work(both, 2);
    hws_session_close(both[1]);
    hws_session_close(both[0]);
    give_back(&plain);
    plain.tcp = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(plain.tcp, (struct sockaddr *)&at[0], sizeof(at[0])), 0);
    assert_int_equal(listen(plain.tcp, 8), 0);
    assert_int_equal(hws_session_socket(NULL, &s), 0);
    assert_int_equal(hws_session_connect(s, NULL, addresses, 1), 0);
    assert_int_equal(hws_session_events(s) & (HWS_IS_PLAIN | HWS_FELL_BACK), HWS_IS_PLAIN);
    hws_session_close(s);
    close(plain.tcp);
}

static void test_port_in_use(void **state)
{
    const struct hws_options o = { .size = sizeof(o), .flags = HWS_PLAIN };
    struct port p = take_port(true, false);
    struct sockaddr_in at = loopback(0);
    struct hws_session *l;

    assert_int_equal(hws_session_socket(&o, &l), 0);
    assert_int_equal(hws_session_bind(l, (struct sockaddr *)&at, p.port), 0);
    assert_int_equal(hws_session_listen(l), -EADDRINUSE);
    give_back(&p);
    assert_int_equal(hws_session_listen(l), 0);
    hws_session_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_server), cmocka_unit_test(test_resets),      cmocka_unit_test(test_plain_client),
        cmocka_unit_test(test_hello),        cmocka_unit_test(test_hello_lost),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_pinned),       cmocka_unit_test(test_port_in_use), cmocka_unit_test(test_which_is_known),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
