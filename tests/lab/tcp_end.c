/* Lab test of tunnel/tcp.h: the kernel's own TCP talks through a TUN device to ends that serve it.
 *
 *   +--------------------- this process's namespace ----------------------+
 *   | sockets: connect, write, read        server thread: struct tcp_end  |
 *   |     10.7.0.1, fd07::1  <====== TUN hst0, 10.7.0.0/16 ======>        |
 *   +---------------------------------------------------------------------+
 *
 * The server is whoever is asked for in 10.7.0.0/16 or fd07::/64; what it does is said by the port. Everything runs
 * with offloads (super-packets, checksums left to the device) and without. Rates are printed, and nothing is asserted
 * of them. Needs root; without it the program says so and exits with 77. */
#include "sys/clock.h"
#include "sys/tun.h"
#include "tests/lab/lab.h"
#include "tunnel/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum port {
    PORT_ECHO = 7,
    PORT_DISCARD = 9,
    PORT_SOURCE = 19,    /* writes as long as somebody reads */
    PORT_STUBBORN = 20,  /* never reads */
    PORT_GREETING = 21,  /* says a word, ends, and reads on to the end */
    PORT_BREAKING = 22,  /* resets when the first byte comes */
    PORT_REFUSED = 23,   /* RST */
    PORT_NO_HOST = 24,   /* ICMP */
    PORT_NO_NET = 25,    /* ICMP */
    PORT_FORBIDDEN = 26, /* ICMP */
    PORT_SLOW = 27,      /* accepted after HELD_MS */
};

#define ENDS_MAX 512
#define HELD_MS 300
#define PACKET_ROOM 65536

struct served {
    struct tcp_end *e;
    uint16_t port;
    instant accept_at; /* INSTANT_NEVER: it was decided */
    uint64_t source;   /* bytes written */
};

struct server {
    struct tun *tun;
    bool offload;
    pthread_t thread;
    atomic_bool stop;
    struct served ends[ENDS_MAX];
    size_t count;
    atomic_size_t open; /* ends that are not in TIME_WAIT */
    uint64_t lost, reads, writes, resent, probes;
};

static uint8_t chunk[262144];

/* --- the server --- */

static void take_out(struct server *s, struct served *v, instant now)
{
    struct merged m;

    while (tcp_end_output(v->e, &m, now)) {
        const struct offload *o = &m.offload;
        struct tun_meta meta = {
            .gso = o->gso_type == OFFLOAD_GSO_TCPV4   ? TUN_GSO_TCP4
                   : o->gso_type == OFFLOAD_GSO_TCPV6 ? TUN_GSO_TCP6
                                                      : TUN_GSO_NONE,
            .gso_bytes = o->gso_size,
            .hdr_bytes = o->hdr_len,
            .needs_csum = o->flags & OFFLOAD_NEEDS_CSUM,
            .csum_start = o->csum_start,
            .csum_offset = o->csum_offset,
        };
        struct iovec iov[3];

        for (size_t i = 0; i < m.count; i++)
            iov[i] = (struct iovec){ (void *)(uintptr_t)m.slices[i].data, m.slices[i].len };
        s->writes++;
        if (tun_write(s->tun, iov, m.count, &meta) < 0)
            s->lost++;
    }
}

static void serve(struct server *s, struct served *v, instant now)
{
    struct slice in;
    int64_t n;

    (void)s;
    if (v->accept_at <= now) {
        v->accept_at = INSTANT_NEVER;
        tcp_end_accept(v->e, now);
    }
    if (v->port == PORT_STUBBORN)
        return;
    if (v->port == PORT_GREETING && tcp_end_state(v->e) == TCP_END_ESTABLISHED && v->source == 0) {
        v->source = 1;
        if (tcp_end_write(v->e, (const uint8_t *)"hello", 5) == 5)
            tcp_end_finish(v->e);
    }
    while (v->port == PORT_SOURCE && tcp_end_state(v->e) >= TCP_END_ESTABLISHED &&
           (n = tcp_end_write(v->e, chunk + v->source % 251, 200000)) > 0)
        v->source += (uint64_t)n;
    while ((in = tcp_end_peek(v->e)).len > 0) {
        if (v->port == PORT_BREAKING) {
            tcp_end_abort(v->e);
            return;
        }
        if (v->port == PORT_ECHO) {
            n = tcp_end_write(v->e, in.data, in.len);
            if (n <= 0)
                return;
            in.len = (size_t)n;
        }
        tcp_end_consume(v->e, in.len);
    }
    if (tcp_end_at_end(v->e))
        tcp_end_finish(v->e);
}

static void decide(struct served *v, instant now)
{
    v->accept_at = INSTANT_NEVER;
    switch (v->port) {
    case PORT_REFUSED:
        tcp_end_refuse(v->e, TCP_REFUSED, NULL);
        break;
    case PORT_NO_HOST:
        tcp_end_refuse(v->e, TCP_REFUSED_HOST, NULL);
        break;
    case PORT_NO_NET:
        tcp_end_refuse(v->e, TCP_REFUSED_NET, NULL);
        break;
    case PORT_FORBIDDEN:
        tcp_end_refuse(v->e, TCP_REFUSED_PROHIBITED, NULL);
        break;
    case PORT_SLOW:
        v->accept_at = now + HELD_MS * MSEC;
        break;
    default:
        v->accept_at = now;
        break;
    }
}

static struct served *find(struct server *s, const struct packet_info *info)
{
    for (size_t i = 0; i < s->count; i++)
        if (tcp_end_matches(s->ends[i].e, info))
            return &s->ends[i];
    return NULL;
}

static void drop(struct server *s, struct served *v)
{
    struct tcp_end_info info;

    tcp_end_info(v->e, &info);
    s->resent += info.resent_packets;
    s->probes += info.probes;
    tcp_end_free(v->e);
    *v = s->ends[--s->count];
}

static void on_packet(struct server *s, const uint8_t *pkt, size_t len, const struct tun_meta *meta, instant now)
{
    struct offload o = { .flags = (uint8_t)((meta->needs_csum ? OFFLOAD_NEEDS_CSUM : 0) |
                                            (meta->csum_valid ? OFFLOAD_DATA_VALID : 0)) };
    static const struct tcp_end_options defaults = { .key = "not secret here" };
    struct tcp_end_options options = defaults;
    struct packet_info info;
    struct served *v;
    uint8_t reset[TCP_RESET_MAX];
    int n;

    if (packet_parse(pkt, len, &info) < 0 || info.proto != PROTO_TCP || info.fragment)
        return;
    options.offload = s->offload;
    v = find(s, &info);
    if (v && tcp_end_input(v->e, pkt, &info, &o, now) == TCP_END_REOPENED) {
        drop(s, v);
        v = NULL;
    }
    if (v)
        return;
    if (s->count < ENDS_MAX && tcp_checksum_right(pkt, &info, &o) &&
        tcp_end_new(&options, pkt, &info, now, &s->ends[s->count].e) == 0) {
        v = &s->ends[s->count++];
        v->port = info.dport;
        v->source = 0;
        decide(v, now);
        return;
    }
    n = tcp_reset_make(reset, sizeof(reset), pkt, &info);
    if (n > 0)
        (void)!tun_write(s->tun, &(struct iovec){ reset, (size_t)n }, 1, NULL);
}

static void *run_server(void *arg)
{
    static uint8_t pkt[PACKET_ROOM];
    struct server *s = arg;
    struct tun_meta meta;

    while (!atomic_load(&s->stop)) {
        instant now = clock_now(), next = now + 20 * MSEC;
        struct pollfd p = { .fd = tun_fd(s->tun), .events = POLLIN };
        size_t open = 0;
        ssize_t len;

        for (int i = 0; i < 64 && (len = tun_read(s->tun, pkt, sizeof(pkt), &meta)) > 0; i++, s->reads++)
            on_packet(s, pkt, (size_t)len, &meta, now);
        for (size_t i = 0; i < s->count;) {
            struct served *v = &s->ends[i];

            if (tcp_end_next_expiry(v->e) <= now)
                tcp_end_on_expiry(v->e, now);
            serve(s, v, now);
            take_out(s, v, now);
            if (tcp_end_state(v->e) == TCP_END_CLOSED) {
                drop(s, v);
                continue;
            }
            open += tcp_end_state(v->e) != TCP_END_TIME_WAIT;
            next = instant_min(next, instant_min(v->accept_at, tcp_end_next_expiry(v->e)));
            i++;
        }
        atomic_store(&s->open, open);
        next = MAX(next, now);
        poll(&p, 1, (int)((next - now + MSEC - 1) / MSEC));
    }
    return NULL;
}

static struct server *start(bool offload)
{
    const struct tun_addr addrs[] = { { ep("10.7.0.1").addr, 16 }, { ep("fd07::1").addr, 64 } };
    struct tun_options o = {
        .name = "hst0", .addrs = addrs, .addrs_count = ARRAY_LEN(addrs), .refuse_vnet_hdr = !offload
    };
    struct server *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    assert_int_equal(tun_open(&o, &s->tun), 0);
    s->offload = offload;
    assert_int_equal(pthread_create(&s->thread, NULL, run_server, s), 0);
    return s;
}

static void stop(struct server *s)
{
    atomic_store(&s->stop, true);
    pthread_join(s->thread, NULL);
    while (s->count > 0)
        drop(s, &s->ends[0]);
    tun_free(s->tun);
    free(s);
}

/* --- the kernel's side --- */

static int dial_socket(bool v6, enum port port, int *ret_error)
{
    struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
    struct timeval patience = { .tv_sec = WAIT_MS / 1000 };
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

    assert_true(fd >= 0);
    inet_pton(AF_INET, "10.7.1.2", &a4.sin_addr);
    inet_pton(AF_INET6, "fd07::2", &a6.sin6_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    r = v6 ? connect(fd, (struct sockaddr *)&a6, sizeof(a6)) : connect(fd, (struct sockaddr *)&a4, sizeof(a4));
    *ret_error = r < 0 ? errno : 0;
    return fd;
}

static int dial(bool v6, enum port port)
{
    int error, fd = dial_socket(v6, port, &error);

    if (error)
        fail_msg("port %d: %s", (int)port, strerror(error));
    return fd;
}

static void read_exactly(int fd, uint8_t *buf, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = read(fd, buf + at, len - at);

        if (n <= 0)
            fail_msg("after %zu of %zu bytes: %s", at, len, n < 0 ? strerror(errno) : "the end");
        at += (size_t)n;
    }
}

static void wait_open(struct server *s, size_t want)
{
    instant until = clock_now() + WAIT_MS * MSEC;

    while (atomic_load(&s->open) != want && clock_now() < until)
        usleep(1000);
    assert_int_equal(atomic_load(&s->open), want);
}

/* So many bytes wait in our socket, and nobody reads them. */
static void wait_filled(int fd, int want)
{
    instant until = clock_now() + WAIT_MS * MSEC;
    int waiting = 0;

    while (ioctl(fd, FIONREAD, &waiting) == 0 && waiting < want && clock_now() < until)
        usleep(1000);
    assert_true(waiting >= want);
}

struct writer {
    int fd;
    size_t len;
};

static void *write_pattern(void *arg)
{
    struct writer *w = arg;

    for (size_t at = 0; at < w->len;) {
        ssize_t n = write(w->fd, chunk + at % 251, MIN(w->len - at, sizeof(chunk) - 251));

        if (n <= 0)
            break;
        at += (size_t)n;
    }
    shutdown(w->fd, SHUT_WR);
    return NULL;
}

static void echo(bool v6, size_t len)
{
    static uint8_t buf[65536];
    struct writer w = { .fd = dial(v6, PORT_ECHO), .len = len };
    pthread_t thread;
    ssize_t n;

    assert_int_equal(pthread_create(&thread, NULL, write_pattern, &w), 0);
    for (size_t at = 0; at < len; at += (size_t)n) {
        n = read(w.fd, buf, sizeof(buf));
        if (n <= 0)
            fail_msg("after %zu of %zu bytes: %s", at, len, n < 0 ? strerror(errno) : "the end");
        assert_memory_equal(buf, chunk + at % 251, (size_t)n);
    }
    assert_int_equal(read(w.fd, buf, 1), 0);
    pthread_join(thread, NULL);
    close(w.fd);
}

static void expect_error(bool v6, enum port port, int want)
{
    int error, fd = dial_socket(v6, port, &error);

    if (error != want)
        fail_msg("port %d: %s, expected %s", (int)port, strerror(error), strerror(want));
    close(fd);
}

static void check_refusals(bool v6)
{
    expect_error(v6, PORT_REFUSED, ECONNREFUSED);
    expect_error(v6, PORT_NO_HOST, EHOSTUNREACH);
    expect_error(v6, PORT_NO_NET, ENETUNREACH);
    expect_error(v6, PORT_FORBIDDEN, v6 ? EACCES : EHOSTUNREACH); /* as Linux translates them */
}

static void check_ends(struct server *s, bool v6)
{
    uint8_t buf[64];
    struct linger hard = { .l_onoff = 1 };
    int fd = dial(v6, PORT_GREETING);

    /* Half-closed: the server ended, and we still write. */
    read_exactly(fd, buf, 5);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(read(fd, buf, 1), 0);
    assert_int_equal(write(fd, chunk, 10000), 10000);
    close(fd);
    wait_open(s, 0);

    fd = dial(v6, PORT_BREAKING);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(read(fd, buf, 1), -1);
    assert_int_equal(errno, ECONNRESET);
    close(fd);
    wait_open(s, 0);

    fd = dial(v6, PORT_STUBBORN); /* ours resets */
    wait_open(s, 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fd);
    wait_open(s, 0);
}

/* A SYN that is answered late: connect waits, its repetitions change nothing. */
static void check_held(bool v6)
{
    instant before = clock_now();
    int fd = dial(v6, PORT_SLOW);

    assert_true(clock_now() - before >= HELD_MS * MSEC);
    close(fd);
}

/* Who does not read stops the writer: both of its ends are bounded. */
static void check_backpressure(struct server *s, bool v6)
{
    static uint8_t buf[65536];
    int fd = dial(v6, PORT_STUBBORN), size = 65536;
    size_t sent = 0, got = 0;
    ssize_t n;
    struct timeval moment = { .tv_usec = 300000 };

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &moment, sizeof(moment));
    for (int stalls = 0; stalls < 3 && sent < (64u << 20);) {
        n = write(fd, chunk, 65536);
        assert_true(n > 0 || errno == EAGAIN);
        sent += n > 0 ? (size_t)n : 0;
        stalls = n > 0 ? 0 : stalls + 1;
    }
    assert_in_range(sent, TCP_END_BUFFER_DEFAULT / 2, 4 * TCP_END_BUFFER_DEFAULT);
    close(fd);

    /* The other way: the source stops where our socket and its ring are full, and goes on when we read. */
    fd = dial(v6, PORT_SOURCE);
    wait_filled(fd, 1 << 15);
    while (got < (20u << 20)) {
        n = read(fd, buf, sizeof(buf));
        assert_true(n > 0);
        assert_memory_equal(buf, chunk + got % 251, (size_t)n);
        got += (size_t)n;
    }
    close(fd);
    wait_open(s, 1); /* the stubborn one's peer waits for its window for ever */
}

static void check_crowd(struct server *s)
{
    enum { CROWD = 200 };
    static uint8_t buf[30000];
    int fds[CROWD];

    for (int i = 0; i < CROWD; i++)
        fds[i] = dial(i & 1, PORT_ECHO);
    wait_open(s, CROWD + 1);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(write(fds[i], chunk + i, sizeof(buf)), sizeof(buf));
    for (int i = 0; i < CROWD; i++) {
        read_exactly(fds[i], buf, sizeof(buf));
        assert_memory_equal(buf, chunk + i, sizeof(buf));
    }
    for (int i = 0; i < CROWD; i++)
        close(fds[i]);
    wait_open(s, 1);
}

/* --- rates --- */

#define RATE_SPAN (700 * MSEC)

static double rate_out(int fd)
{
    instant from = clock_now(), now;
    uint64_t bytes = 0;

    do {
        ssize_t n = write(fd, chunk, sizeof(chunk));

        assert_true(n > 0);
        bytes += (uint64_t)n;
        now = clock_now();
    } while (now - from < RATE_SPAN);
    return (double)bytes * 8 / 1e3 / (double)(now - from);
}

static double rate_in(int fd)
{
    static uint8_t buf[262144];
    instant from = clock_now(), now;
    uint64_t bytes = 0;

    do {
        ssize_t n = read(fd, buf, sizeof(buf));

        assert_true(n > 0);
        bytes += (uint64_t)n;
        now = clock_now();
    } while (now - from < RATE_SPAN);
    return (double)bytes * 8 / 1e3 / (double)(now - from);
}

static void *loop_peer(void *arg)
{
    static uint8_t buf[262144];
    int fd = accept(*(int *)arg, NULL, NULL);
    char what = 0;

    if (read(fd, &what, 1) == 1 && what == 'r')
        while (read(fd, buf, sizeof(buf)) > 0)
            continue;
    else
        while (write(fd, buf, sizeof(buf)) > 0)
            continue;
    close(fd);
    return NULL;
}

/* The kernel with itself, over lo with the MTU of a TUN device. */
static void print_loopback(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(5000), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    double rate[2];

    run("ip link set lo mtu 1500");
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(listener, 1), 0);
    for (int in = 0; in < 2; in++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, loop_peer, &listener), 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(write(fd, in ? "w" : "r", 1), 1);
        rate[in] = in ? rate_in(fd) : rate_out(fd);
        close(fd);
        pthread_join(thread, NULL);
    }
    close(listener);
    print_message("# loopback: out %.2f, in %.2f Gbit/s\n", rate[0], rate[1]);
}

static void print_rates(struct server *s, bool v6)
{
    int out = dial(v6, PORT_DISCARD), in;
    uint64_t reads = s->reads, writes;
    double rate[2];

    rate[0] = rate_out(out);
    reads = s->reads - reads;
    close(out);
    writes = s->writes;
    in = dial(v6, PORT_SOURCE);
    rate[1] = rate_in(in);
    writes = s->writes - writes;
    close(in);
    print_message("# %s, %s: out %.2f, in %.2f Gbit/s; %llu packets read, %llu written\n", v6 ? "IPv6" : "IPv4",
                  s->offload ? "offloads" : "none", rate[0], rate[1], (unsigned long long)reads,
                  (unsigned long long)writes);
}

/* --- tests --- */

static void serve_all(bool offload)
{
    struct server *s = start(offload);

    for (int v6 = 0; v6 < 2; v6++) {
        check_refusals(v6);
        check_held(v6);
        wait_open(s, 0);
        echo(v6, 1);
        echo(v6, 1000000);
        echo(v6, 20000000);
        wait_open(s, 0);
        check_ends(s, v6);
        print_rates(s, v6);
        wait_open(s, 0);
    }
    check_backpressure(s, false);
    check_crowd(s);
    print_message("# %llu packets written, %llu of them again; %llu probes\n", (unsigned long long)s->writes,
                  (unsigned long long)s->resent, (unsigned long long)s->probes);
    assert_int_equal(s->lost, 0);
    stop(s);
}

static void test_with_offloads(void **state)
{
    serve_all(true);
}

static void test_without_offloads(void **state)
{
    serve_all(false);
}

static void test_loopback(void **state)
{
    print_loopback();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_offloads),
        cmocka_unit_test(test_without_offloads),
        cmocka_unit_test(test_loopback),
    };

    if (enter_namespace(NULL) != 0 || access("/dev/net/tun", R_OK | W_OK) < 0) {
        puts("SKIP: needs root, network namespaces, iproute2 and /dev/net/tun");
        return 77;
    }
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof(chunk); i++)
        chunk[i] = (uint8_t)(i % 251);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
