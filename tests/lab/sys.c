/* Lab test of src/sys: UDP sockets and TUN devices in a network namespace of its own.
 *
 *   +------------- this process's namespace -------------+
 *   | lo 127.0.0.1, ::1                                  |
 *   | va 10.9.0.1/24 <==== veth ====> vb 10.9.0.2/24     |
 *   | tun devices that the tests open                    |
 *   +----------------------------------------------------+
 *
 * Needs root. Without it the program says so and exits with 77. */
#include "sys/sockaddr.h"
#include "sys/tun.h"
#include "sys/udp.h"
#include "tests/lab/lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

static struct udp *open_udp(const char *local, const char *interface, bool refuse_gso, bool refuse_gro)
{
    struct udp_options o = { .interface = interface, .refuse_gso = refuse_gso, .refuse_gro = refuse_gro };
    struct udp *u = NULL;

    assert_int_equal(addr_parse(local, &o.local), 0);
    o.family = o.local.family;
    if (strcmp(local, "0.0.0.0") == 0 || strcmp(local, "::") == 0)
        o.local = (struct addr){ 0 };
    assert_int_equal(udp_open(&o, &u), 0);
    assert_int_not_equal(udp_local_port(u), 0);
    return u;
}

/* Receives until `want` bytes came. Checks that they are pattern bytes cut every segment bytes; returns the number of
 * super-datagrams that brought them. */
static size_t receive_pattern(struct udp *rx, size_t want, size_t segment, const struct endpoint *from)
{
    struct udp_rx batch[UDP_BATCH_MAX];
    size_t got = 0, trains = 0;

    while (got < want) {
        int n;

        assert_true(wait_readable(udp_fd(rx)));
        n = udp_recv(rx, batch, UDP_BATCH_MAX);
        assert_true(n >= 0);
        for (int i = 0; i < n; i++, trains++) {
            size_t cut = batch[i].segment_bytes ? batch[i].segment_bytes : batch[i].len;

            assert_true(endpoint_equal(&batch[i].from, from));
            assert_true(cut == segment || got + cut == want);
            for (size_t k = 0; k < batch[i].len; k++)
                assert_int_equal(batch[i].data[k], (uint8_t)((got + k) * 7));
            got += batch[i].len;
        }
    }
    assert_int_equal(got, want);
    return trains;
}

static void exchange(const char *rx_addr, const char *tx_addr, bool refuse_gso, bool refuse_gro)
{
    enum { SEGMENT = 1200, LEN = 100 * SEGMENT + 17 }; /* two trains by the limit of 64 segments */
    static uint8_t data[LEN];
    struct udp *rx = open_udp(rx_addr, NULL, false, refuse_gro), *tx = open_udp(tx_addr, NULL, refuse_gso, false);
    struct endpoint from = { .port = udp_local_port(tx) };
    struct udp_tx t = { .data = data, .len = LEN, .segment_bytes = SEGMENT };
    size_t trains;

    for (size_t i = 0; i < LEN; i++)
        data[i] = (uint8_t)(i * 7);
    assert_int_equal(addr_parse(tx_addr, &from.addr), 0);
    assert_int_equal(addr_parse(rx_addr, &t.to.addr), 0);
    t.to.port = udp_local_port(rx);
    assert_int_equal(udp_send(tx, &t), 0);
    trains = receive_pattern(rx, LEN, SEGMENT, &from);
    if (refuse_gro)
        assert_int_equal(trains, 101);
    else if (udp_features_get(tx).gso && udp_features_get(rx).gro)
        assert_true(trains <= 4);
    assert_int_equal(udp_features_get(tx).gso && refuse_gso, false);
    assert_int_equal(udp_features_get(rx).gro && refuse_gro, false);
    udp_free(rx);
    udp_free(tx);
}

static void test_udp_offloads(void **state)
{
    for (int refuse = 0; refuse < 4; refuse++) {
        exchange("127.0.0.1", "127.0.0.1", refuse & 1, refuse & 2);
        exchange("::1", "::1", refuse & 1, refuse & 2);
        exchange("10.9.0.2", "10.9.0.1", refuse & 1, refuse & 2);
    }
}

static void test_udp_local_address(void **state)
{
    static const char *const pairs[][3] = { { "0.0.0.0", "127.0.0.5", "127.0.0.9" }, { "::", "fd09::1", "fd09::2" } };

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct udp *agent = open_udp(pairs[i][0], NULL, false, false);
        struct udp *node = open_udp(pairs[i][0], NULL, false, false);
        struct udp_tx t = { .data = (const uint8_t *)"ask", .len = 3, .tos = 0x2a /* AF11, ECT(0) */ };
        struct udp_rx rx;

        t.to = ep(pairs[i][1]);
        t.to.port = udp_local_port(agent);
        t.local = ep(pairs[i][2]).addr;
        assert_int_equal(udp_send(node, &t), 0);
        assert_true(wait_readable(udp_fd(agent)));
        assert_int_equal(udp_recv(agent, &rx, 1), 1);
        assert_true(addr_equal(&rx.local, &t.to.addr));
        assert_true(addr_equal(&rx.from.addr, &t.local));
        assert_int_equal(rx.tos, 0x2a);
        assert_int_equal(rx.segment_bytes, 0);

        /* The answer leaves from the address that was asked. */
        t = (struct udp_tx){ .data = (const uint8_t *)"answer", .len = 6, .to = rx.from, .local = rx.local };
        assert_int_equal(udp_send(agent, &t), 0);
        assert_true(wait_readable(udp_fd(node)));
        assert_int_equal(udp_recv(node, &rx, 1), 1);
        assert_true(addr_equal(&rx.from.addr, &t.local));
        assert_int_equal(rx.len, 6);
        udp_free(agent);
        udp_free(node);
    }
}

/* A link-local address says nothing without an interface; the socket's own is taken. */
static void test_udp_link_local(void **state)
{
    struct udp *a = open_udp("::", "va", false, false), *b = open_udp("::", "vb", false, false);
    struct udp_tx t = { .data = (const uint8_t *)"x", .len = 1, .to = ep("[fe80::b]:9") };
    struct udp_rx rx;

    run("ip addr add fe80::a/64 dev va nodad && ip addr add fe80::b/64 dev vb nodad");
    t.to.port = udp_local_port(b);
    t.local = ep("fe80::a").addr;
    assert_int_equal(udp_send(a, &t), 0);
    assert_true(wait_readable(udp_fd(b)));
    assert_int_equal(udp_recv(b, &rx, 1), 1);
    assert_true(addr_equal(&rx.from.addr, &t.local));
    assert_true(addr_equal(&rx.local, &t.to.addr));
    t = (struct udp_tx){ .data = (const uint8_t *)"y", .len = 1, .to = rx.from, .local = rx.local };
    assert_int_equal(udp_send(b, &t), 0);
    assert_true(wait_readable(udp_fd(a)));
    assert_int_equal(udp_recv(a, &rx, 1), 1);
    run("ip addr del fe80::a/64 dev va && ip addr del fe80::b/64 dev vb");
    udp_free(a);
    udp_free(b);
}

static void test_udp_icmp_error(void **state)
{
    static const char *const closed[] = { "127.0.0.1:9", "[::1]:9" };

    for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
        struct udp *u = open_udp(i == 0 ? "0.0.0.0" : "::", NULL, false, false);
        struct udp *alive = open_udp(i == 0 ? "127.0.0.1" : "::1", NULL, false, false);
        struct udp_tx t = { .data = (const uint8_t *)"x", .len = 1, .to = ep(closed[i]) };
        struct endpoint to = t.to;
        struct udp_error e;
        struct udp_rx rx;

        assert_int_equal(udp_pop_error(u, &e), 0);
        assert_int_equal(udp_send(u, &t), 0);
        assert_true(wait_readable(udp_fd(u)));
        /* The error waits on the socket, but a send to somebody else is not its victim, nor is a receive. */
        t.to.port = udp_local_port(alive);
        assert_int_equal(udp_send(u, &t), 0);
        assert_int_equal(udp_recv(u, &rx, 1), 0);
        assert_int_equal(udp_pop_error(u, &e), 1);
        assert_int_equal(e.error, ECONNREFUSED);
        assert_true(endpoint_equal(&e.to, &to));
        assert_false(e.local);
        assert_int_equal(udp_pop_error(u, &e), 0);
        assert_true(wait_readable(udp_fd(alive)));
        assert_int_equal(udp_recv(alive, &rx, 1), 1);
        udp_free(u);
        udp_free(alive);
    }
}

static void test_udp_refusals(void **state)
{
    static uint8_t data[3000];
    struct udp *u = open_udp("0.0.0.0", "va", false, false), *other = NULL;
    struct udp_tx t = { .data = data, .len = 1473, .to = ep("10.9.0.2:9") };
    struct udp_options o = { .family = ADDR_V4, .interface = "nosuch0" };
    struct udp_error e;

    /* 1500 less 20 (IPv4) and 8 (UDP) is what a veth takes with DF; one byte more is refused, never fragmented, and
     * does not cost the socket its offload. */
    assert_int_equal(udp_send(u, &t), -EMSGSIZE);
    t.len = 1472;
    assert_int_equal(udp_send(u, &t), 0);
    t.len = sizeof(data);
    t.segment_bytes = 1473;
    assert_int_equal(udp_send(u, &t), -EMSGSIZE);
    assert_true(udp_features_get(u).gso);
    /* A source address that is not ours. */
    t = (struct udp_tx){ .data = data, .len = 2400, .segment_bytes = 1200, .to = t.to };
    t.local = ep("192.0.2.1").addr;
    assert_true(udp_send(u, &t) < 0);
    assert_true(udp_features_get(u).gso);
    t.local = (struct addr){ 0 };
    t.to = ep("[::1]:9");
    assert_int_equal(udp_send(u, &t), -EINVAL);
    assert_int_equal(udp_open(&o, &other), -ENODEV);
    o = (struct udp_options){ .family = ADDR_V4, .port = udp_local_port(u), .interface = "va" };
    assert_int_equal(udp_open(&o, &other), -EADDRINUSE);
    while (udp_pop_error(u, &e))
        continue;
    udp_free(u);
    /* IPv6: 1500 less 40 and 8. */
    u = open_udp("::", "va", false, false);
    t = (struct udp_tx){ .data = data, .len = 1453, .to = ep("[fd09:1::2]:9") };
    assert_int_equal(udp_send(u, &t), -EMSGSIZE);
    t.len = 1452;
    assert_int_equal(udp_send(u, &t), 0);
    udp_free(u);
    udp_free(NULL);
}

/* Without a checksum to offload the kernel refuses UDP_SEGMENT (EINVAL), as it does (EIO) for devices that cannot. */
static void test_udp_gso_turned_off(void **state)
{
    enum { SEGMENT = 1000, LEN = 5 * SEGMENT };
    static uint8_t data[LEN];
    struct udp *rx = open_udp("127.0.0.1", NULL, false, false), *tx = open_udp("127.0.0.1", NULL, false, false);
    struct udp_tx t = { .data = data, .len = LEN, .segment_bytes = SEGMENT, .to = ep("127.0.0.1") };
    struct endpoint from = { .addr = t.to.addr, .port = udp_local_port(tx) };
    int one = 1;

    for (size_t i = 0; i < LEN; i++)
        data[i] = (uint8_t)(i * 7);
    t.to.port = udp_local_port(rx);
    assert_true(udp_features_get(tx).gso);
    assert_int_equal(setsockopt(udp_fd(tx), SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one)), 0);
    assert_int_equal(udp_send(tx, &t), 0);
    receive_pattern(rx, LEN, SEGMENT, &from);
    assert_false(udp_features_get(tx).gso);
    assert_int_equal(udp_send(tx, &t), 0);
    receive_pattern(rx, LEN, SEGMENT, &from);
    udp_free(rx);
    udp_free(tx);
}

static void test_udp_queue_drop(void **state)
{
    static uint8_t data[1400];
    struct udp *u = open_udp("0.0.0.0", "va", true, false);
    struct udp_tx t = { .data = data, .len = sizeof(data), .to = ep("10.9.0.66:9") };

    /* One packet of burst, two of queue, and 11 ms for each: of 50 sent at once most are dropped here. */
    run("ip neigh add 10.9.0.66 lladdr 02:00:00:00:00:66 dev va");
    run("tc qdisc add dev va root tbf rate 1mbit burst 1600 limit 3000");
    for (int i = 0; i < 50; i++)
        assert_int_equal(udp_send(u, &t), 0);
    run("tc qdisc del dev va root && ip neigh del 10.9.0.66 dev va");
    assert_true(udp_stats_get(u).tx_queue_drops > 0);
    assert_true(udp_stats_get(u).tx_queue_drops < 50);
    udp_free(u);
}

static void test_udp_receive_overflow(void **state)
{
    static uint8_t data[1000];
    struct udp_options o = { .family = ADDR_V4, .rcvbuf_bytes = 4096 };
    struct udp *tx = open_udp("127.0.0.1", NULL, true, false), *rx;
    struct udp_tx t = { .data = data, .len = sizeof(data), .to = ep("127.0.0.1") };
    struct udp_rx batch[UDP_BATCH_MAX];
    int got = 0, n;

    assert_int_equal(udp_open(&o, &rx), 0);
    t.to.port = udp_local_port(rx);
    for (int i = 0; i < 100; i++)
        assert_int_equal(udp_send(tx, &t), 0);
    while ((n = udp_recv(rx, batch, UDP_BATCH_MAX)) > 0)
        got += n;
    assert_true(got < 100);
    assert_int_equal(udp_stats_get(rx).rx_queue_drops, 100 - got);
    udp_free(tx);
    udp_free(rx);
}

struct uv_case {
    struct udp *u;
    struct udp_error error;
    int status;
};

static void on_udp_poll(uv_poll_t *handle, int status, int events)
{
    struct uv_case *c = handle->data;
    struct udp_rx rx;

    c->status = status;
    assert_true(udp_recv(c->u, &rx, 1) >= 0);
    if (status < 0 || udp_pop_error(c->u, &c->error) == 1)
        uv_poll_stop(handle);
}

/* libuv ends a poll handle at POLLERR beside POLLIN, unless POLLPRI is there too: an error and a datagram at once. */
static void test_udp_error_under_libuv(void **state)
{
    struct uv_case c = { .u = open_udp("0.0.0.0", NULL, false, false) };
    struct udp_tx t = { .data = (const uint8_t *)"x", .len = 1, .to = ep("127.0.0.1:9") }, self = t;
    uv_loop_t loop;
    uv_poll_t poll_handle;

    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_poll_init(&loop, &poll_handle, udp_fd(c.u)), 0);
    poll_handle.data = &c;
    assert_int_equal(uv_poll_start(&poll_handle, UV_READABLE | UV_PRIORITIZED, on_udp_poll), 0);
    self.to.port = udp_local_port(c.u);
    assert_int_equal(udp_send(c.u, &self), 0);
    assert_int_equal(udp_send(c.u, &t), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(c.status, 0);
    assert_int_equal(c.error.error, ECONNREFUSED);
    assert_true(endpoint_equal(&c.error.to, &t.to));
    uv_close((uv_handle_t *)&poll_handle, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    udp_free(c.u);
}

/* A process that holds a second namespace until the returned descriptor is closed. */
static pid_t hold_namespace(int *ret_fd)
{
    int ready[2], hold[2];
    char byte = 0;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(hold), 0);
    pid = fork();
    if (pid == 0) {
        close(hold[1]);
        if (unshare(CLONE_NEWNET) == 0 && write(ready[1], &byte, 1) == 1)
            byte = (char)read(hold[0], &byte, 1);
        _exit(0);
    }
    close(ready[1]);
    close(hold[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    *ret_fd = hold[1];
    return pid;
}

/*   here 10.9.9.1 -- vr, 1500 -- router 10.9.9.2 -- narrow, 1280 -- 10.99.0.0/16   */
static void test_udp_path_mtu(void **state)
{
    static uint8_t data[1472];
    struct udp *u = open_udp("0.0.0.0", NULL, false, false);
    struct udp_tx t = { .data = data, .len = sizeof(data), .to = ep("10.99.0.9:9") };
    struct udp_error e = { 0 };
    struct udp_rx rx;
    char command[512];
    int fd, status;
    pid_t pid = hold_namespace(&fd);

    snprintf(command, sizeof(command),
             "ip link add vr type veth peer name rr netns %d && ip addr add 10.9.9.1/24 dev vr && ip link set vr up &&"
             "nsenter -t %d -n sh -c 'ip addr add 10.9.9.2/24 dev rr && ip link set rr up &&"
             "ip link add narrow mtu 1280 type veth peer name far && ip link set far up && ip link set narrow up &&"
             "ip addr add 10.99.0.1/16 dev narrow && echo 1 > /proc/sys/net/ipv4/ip_forward' &&"
             "ip route add 10.99.0.0/16 via 10.9.9.2",
             (int)pid, (int)pid);
    run(command);
    assert_int_equal(udp_send(u, &t), 0);
    assert_true(wait_readable(udp_fd(u)));
    assert_int_equal(udp_recv(u, &rx, 1), 0);
    assert_int_equal(udp_pop_error(u, &e), 1);
    assert_int_equal(e.error, EMSGSIZE);
    assert_int_equal(e.mtu_bytes, 1280);
    assert_true(endpoint_equal(&e.to, &t.to));
    assert_false(e.local);
    /* The claim is unauthenticated, so the kernel must not act on it: a probe of full size still leaves. */
    assert_int_equal(udp_send(u, &t), 0);
    udp_free(u);
    run("ip link del vr");
    close(fd);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void test_udp_full_buffer(void **state)
{
    static uint8_t data[60000];
    struct udp_options o = { .family = ADDR_V4, .sndbuf_bytes = 4608 };
    struct udp_tx t = { .data = data, .len = sizeof(data), .segment_bytes = 1200 };
    struct udp *u;
    int r = 0;

    /* Nobody answers the neighbour request for this address, so that the queue of the first packets fills the buffer.
     * By hand, since one GSO packet may overshoot. */
    t.to = ep("10.9.0.77:9");
    o.refuse_gso = true;
    assert_int_equal(udp_open(&o, &u), 0);
    r = udp_send(u, &t);
    assert_true(r > 0 && r < (int)sizeof(data));
    assert_int_equal(r % 1200, 0);
    assert_int_equal(udp_send(u, &t), -EAGAIN);
    udp_free(u);
}

/* Three sockets on one port: the first byte and the last three bits of the eighth say which. Nobody else gets in. */
static void test_udp_steering(void **state)
{
    const struct udp_steering by = { .first = 4, .at = 7, .mask = 3 };
    struct udp *u[3], *tx = open_udp("127.0.0.1", NULL, false, false), *late = NULL;
    struct udp_options o = { .family = ADDR_V4 };
    struct udp_tx t = { .to = ep("127.0.0.1:9") };
    static const struct {
        uint8_t bytes[8];
        size_t len;
        unsigned to;
    } rows[] = {
        { { 4, 0, 0, 0, 0, 0, 0, 0xf0 }, 8, 0 },
        { { 4, 0, 0, 0, 0, 0, 0, 0xf1 }, 8, 1 },
        { { 4, 0, 0, 0, 0, 0, 0, 0xf2 }, 8, 2 },
        { { 1, 0, 0, 0, 0, 0, 0, 2 }, 8, 0 }, /* another type */
        { { 4, 2, 2, 2, 2, 2, 2 }, 7, 0 },    /* too short */
        { { 4 }, 1, 0 },
    };

    assert_int_equal(udp_open(&o, &u[0]), 0);
    o.port = t.to.port = udp_local_port(u[0]);
    assert_int_equal(udp_share(u[0]), 0);
    assert_int_equal(udp_open(&o, &late), -EADDRINUSE);
    o.joins = true;
    for (int i = 1; i < 3; i++)
        assert_int_equal(udp_open(&o, &u[i]), 0);
    assert_int_equal(udp_steer(u[0], &by), 0);
    o.joins = false;
    assert_int_equal(udp_open(&o, &late), -EADDRINUSE);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct udp_rx rx;

        t.data = rows[i].bytes;
        t.len = rows[i].len;
        assert_int_equal(udp_send(tx, &t), 0);
        assert_true(wait_readable(udp_fd(u[rows[i].to])));
        assert_int_equal(udp_recv(u[rows[i].to], &rx, 1), 1);
        assert_int_equal(rx.len, rows[i].len);
        assert_memory_equal(rx.data, rows[i].bytes, rx.len);
    }
    for (int i = 0; i < 3; i++)
        udp_free(u[i]);
    udp_free(tx);
}

static struct tun *open_tun(bool refuse_vnet_hdr, bool refuse_tso, bool refuse_uso)
{
    struct tun_addr addrs[2] = { { .prefix_len = 24 }, { .prefix_len = 64 } };
    struct tun_options o = { .name = "hwst%d",
                             .mtu_bytes = 1400,
                             .addrs = addrs,
                             .addrs_count = 2,
                             .refuse_vnet_hdr = refuse_vnet_hdr,
                             .refuse_tso = refuse_tso,
                             .refuse_uso = refuse_uso };
    struct tun *t = NULL;

    addrs[0].addr = ep("10.8.0.1").addr;
    addrs[1].addr = ep("fd08::1").addr;
    assert_int_equal(tun_open(&o, &t), 0);
    return t;
}

/* Sends 3000 bytes in segments of 1000 from 10.8.0.1:port to 10.8.0.2:9 and reads what the device gives. */
static void test_tun_read(void **state)
{
    static uint8_t data[3000], packet[TUN_PACKET_BYTES_MAX];

    for (int plain = 0; plain < 2; plain++) {
        struct tun *tun = open_tun(plain, false, false);
        struct udp *u = open_udp("10.8.0.1", NULL, false, false);
        struct udp_tx t = { .data = data, .len = sizeof(data), .segment_bytes = 1000, .to = ep("10.8.0.2:9") };
        struct tun_features f = tun_features_get(tun);
        struct tun_meta meta;
        size_t payload = 0;

        assert_int_equal(f.vnet_hdr, !plain);
        assert_int_equal(tun_read(tun, packet, sizeof(packet), &meta), 0);
        assert_int_equal(udp_send(u, &t), 0);
        while (payload < sizeof(data)) {
            ssize_t n;

            assert_true(wait_readable(tun_fd(tun)));
            n = tun_read(tun, packet, sizeof(packet), &meta);
            assert_true(n > 28);
            assert_int_equal(packet[0], 0x45);
            assert_int_equal(get_be16(packet + 2), n);
            assert_int_equal(packet[9], IPPROTO_UDP);
            payload += (size_t)n - 28;
            if (f.rx_uso) {
                assert_int_equal(meta.gso, TUN_GSO_UDP);
                assert_int_equal(meta.gso_bytes, 1000);
                assert_int_equal(n, 3028);
                assert_true(meta.needs_csum);
                assert_int_equal(meta.csum_start, 20);
                assert_int_equal(meta.csum_offset, 6);
            } else {
                assert_int_equal(meta.gso, TUN_GSO_NONE);
                assert_int_equal(n, 1028);
            }
        }
        assert_int_equal(payload, sizeof(data));
        /* A packet that does not fit is lost and said so. */
        assert_int_equal(udp_send(u, &t), 0);
        assert_true(wait_readable(tun_fd(tun)));
        assert_int_equal(tun_read(tun, packet, 1000, &meta), -EMSGSIZE);
        udp_free(u);
        tun_free(tun);
    }
    tun_free(NULL);
}

/* One's complement sum of RFC 1071, not folded into the complement. */
static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += get_be16(p + i);
    if (len & 1)
        sum += (uint32_t)p[len - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static void build_udp4(uint8_t h[28], uint16_t to_port, size_t payload)
{
    uint32_t pseudo;

    memset(h, 0, 28);
    h[0] = 0x45;
    put_be16(h + 2, (uint16_t)(28 + payload));
    h[8] = 64;
    h[9] = IPPROTO_UDP;
    put_be32(h + 12, 0x0a080002);
    put_be32(h + 16, 0x0a080001);
    put_be16(h + 10, (uint16_t)~sum16(0, h, 20));
    put_be16(h + 20, 9);
    put_be16(h + 22, to_port);
    put_be16(h + 24, (uint16_t)(8 + payload));
    pseudo = sum16(IPPROTO_UDP + 8 + (uint32_t)payload, h + 12, 8);
    put_be16(h + 26, (uint16_t)pseudo);
}

static void test_tun_write(void **state)
{
    uint8_t header[28], payload[3000];
    struct tun_meta meta = { .needs_csum = true, .csum_start = 20, .csum_offset = 6, .hdr_bytes = 28 };

    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)(i * 7);
    for (int uso = 0; uso < 2; uso++) {
        struct tun *tun = open_tun(false, false, !uso);
        struct udp *u = open_udp("10.8.0.1", NULL, false, false);
        struct endpoint from = ep("10.8.0.2:9");
        /* In two pieces, as a train comes from several buffers. */
        struct iovec iov[3] = { { header, 28 }, { payload, 1000 }, { payload + 1000, uso ? 2000 : 0 } };

        build_udp4(header, udp_local_port(u), uso ? 3000 : 1000);
        meta.gso = uso ? TUN_GSO_UDP : TUN_GSO_NONE;
        meta.gso_bytes = uso ? 1000 : 0;
        if (uso && !tun_features_get(tun).tx_uso) {
            assert_int_equal(tun_write(tun, iov, 3, &meta), -EOPNOTSUPP);
        } else {
            assert_int_equal(tun_write(tun, iov, 3, &meta), 0);
            receive_pattern(u, uso ? 3000 : 1000, 1000, &from);
        }
        udp_free(u);
        tun_free(tun);
    }
}

static void test_tun_plain_write(void **state)
{
    uint8_t header[28], payload[1000];
    struct iovec iov[2] = { { header, 28 }, { payload, sizeof(payload) } };
    struct tun_meta meta = { .needs_csum = true, .csum_start = 20, .csum_offset = 6 };
    struct tun *tun = open_tun(true, false, false);
    struct udp *u = open_udp("10.8.0.1", NULL, false, false);
    struct endpoint from = ep("10.8.0.2:9");
    struct iovec many[TUN_IOV_MAX + 1] = { 0 };

    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)(i * 7);
    build_udp4(header, udp_local_port(u), sizeof(payload));
    assert_int_equal(tun_write(tun, iov, 2, &meta), -EOPNOTSUPP);
    assert_int_equal(tun_write(tun, many, TUN_IOV_MAX + 1, NULL), -EINVAL);
    put_be16(header + 26, 0); /* UDP over IPv4 may go without a checksum */
    assert_int_equal(tun_write(tun, iov, 2, NULL), 0);
    receive_pattern(u, 1000, 1000, &from);
    udp_free(u);
    tun_free(tun);
}

/* Opens a device with this address in a new namespace, and a listener there. Sockets stay where they were made. */
static struct tun *open_far_end(const char *text, int *ret_listener)
{
    struct endpoint e = ep(text);
    struct tun_addr addr = { e.addr, e.addr.family == ADDR_V4 ? 24 : 64 };
    struct tun_options o = { .name = "hwst%d", .mtu_bytes = 1400, .addrs = &addr, .addrs_count = 1 };
    int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_from_endpoint(&e, 0, &sa);
    struct tun *t = NULL;

    assert_true(here >= 0);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    assert_int_equal(tun_open(&o, &t), 0);
    *ret_listener = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*ret_listener, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(*ret_listener, 1), 0);
    assert_int_equal(setns(here, CLONE_NEWNET), 0);
    close(here);
    return t;
}

/* Carries every waiting packet from one device to the other, with its header; counts the super-packets. */
static void pump(struct tun *from, struct tun *to, enum tun_gso gso, size_t *supers)
{
    static uint8_t packet[TUN_PACKET_BYTES_MAX];
    struct tun_meta meta;
    ssize_t n;

    while ((n = tun_read(from, packet, sizeof(packet), &meta)) > 0) {
        struct iovec iov = { packet, (size_t)n };

        if (meta.gso != TUN_GSO_NONE) {
            assert_int_equal(meta.gso, gso);
            assert_true(n > meta.gso_bytes);
            ++*supers;
        }
        assert_int_equal(tun_write(to, &iov, 1, &meta), 0);
    }
    assert_int_equal(n, 0);
}

/*   client -- tun here -- pump -- tun there -- listener, 1 MiB one way   */
static void carry_tcp(const char *far, bool refuse_tso)
{
    enum { TOTAL = 1 << 20 };
    static uint8_t out[TOTAL], in[TOTAL];
    struct endpoint e = ep(far);
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_from_endpoint(&e, 0, &sa);
    struct tun *here = open_tun(false, refuse_tso, false), *there;
    int listener, server = -1, client = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    size_t sent = 0, got = 0, supers = 0;
    enum tun_gso gso = e.addr.family == ADDR_V4 ? TUN_GSO_TCP4 : TUN_GSO_TCP6;

    there = open_far_end(far, &listener);
    for (size_t i = 0; i < TOTAL; i++)
        out[i] = (uint8_t)(i * 7 + (i >> 8));
    assert_int_equal(connect(client, (struct sockaddr *)&sa, len), -1);
    assert_int_equal(errno, EINPROGRESS);
    while (got < TOTAL) {
        struct pollfd p[] = { { tun_fd(here), POLLIN, 0 },
                              { tun_fd(there), POLLIN, 0 },
                              { server < 0 ? listener : server, POLLIN, 0 },
                              { sent < TOTAL ? client : -1, POLLOUT, 0 } };
        ssize_t n;

        assert_true(poll(p, ARRAY_LEN(p), WAIT_MS) > 0);
        pump(here, there, gso, &supers);
        pump(there, here, gso, &supers);
        if ((p[3].revents & POLLOUT) && (n = send(client, out + sent, TOTAL - sent, MSG_NOSIGNAL)) > 0)
            sent += (size_t)n;
        if (server < 0 && (p[2].revents & POLLIN))
            server = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        else if ((p[2].revents & POLLIN) && (n = recv(server, in + got, TOTAL - got, 0)) > 0)
            got += (size_t)n;
    }
    assert_memory_equal(in, out, TOTAL);
    assert_int_equal(supers > 0, tun_features_get(here).rx_tso);
    assert_int_equal(tun_features_get(here).rx_tso && refuse_tso, false);
    close(client);
    close(server);
    close(listener);
    tun_free(here);
    tun_free(there);
}

static void test_tun_carries_tcp(void **state)
{
    carry_tcp("10.8.0.2:9", false);
    carry_tcp("[fd08::2]:9", false);
    carry_tcp("10.8.0.2:9", true);
}

static void test_tun_goes_with_its_descriptor(void **state)
{
    const struct prefix to = { .addr = ep("198.51.100.0").addr, .len = 24 };
    struct tun_addr later = { ep("10.8.7.1").addr, 32 };
    struct tun *tun = open_tun(false, true, true);
    char name[TUN_NAME_SIZE], path[128];
    struct prefix to6;
    int r;

    assert_false(tun_features_get(tun).rx_tso);
    assert_false(tun_features_get(tun).rx_uso);
    assert_true(tun_ifindex(tun) > 0);
    assert_int_equal(tun_set_mtu(tun, 1300), 0);
    assert_int_equal(tun_add_addr(tun, &later), 0);
    assert_int_equal(tun_add_addr(tun, &later), 0);
    run("ip addr show | grep -q '10.8.7.1/32'");
    later.prefix_len = 33;
    assert_int_equal(tun_add_addr(tun, &later), -EINVAL);
    assert_int_equal(tun_add_route(tun, &to, NULL), 0);
    run("ip route show 198.51.100.0/24 | grep -q 'metric 4096'");
    assert_int_equal(tun_del_route(tun, &to, NULL), 0);
    assert_int_equal(tun_del_route(tun, &to, NULL), -ESRCH);
    run("! ip route show 198.51.100.0/24 | grep -q .");
    /* Of one source, it comes before any route to the same prefix. */
    assert_int_equal(prefix_parse("2001:db8:5::/48", false, &to6), 0);
    later.addr = ep("[2001:db8:100::7]:9").addr;
    later.prefix_len = 128;
    assert_int_equal(tun_add_addr(tun, &later), 0);
    run("ip -6 route add unreachable 2001:db8:5::/48 metric 1");
    r = tun_add_route(tun, &to6, &later.addr);
    if (r == -EINVAL) {
        print_message("# no routes by source: the kernel lacks CONFIG_IPV6_SUBTREES\n");
    } else {
        assert_int_equal(r, 0);
        snprintf(path, sizeof(path), "ip -6 route get 2001:db8:5::5 from 2001:db8:100::7 | grep -q 'dev %s'",
                 tun_name(tun));
        run(path);
        run("! ip -6 route get 2001:db8:5::5 2>/dev/null");
        assert_int_equal(tun_del_route(tun, &to6, &later.addr), 0);
        run("! ip -6 route get 2001:db8:5::5 from 2001:db8:100::7 2>/dev/null");
    }
    run("ip -6 route del unreachable 2001:db8:5::/48");
    strcpy(name, tun_name(tun));
    snprintf(path, sizeof(path), "ip link show dev %s | grep -q 'mtu 1300'", name);
    run(path);
    tun_free(tun);
    snprintf(path, sizeof(path), "! ip link show dev %s 2>/dev/null", name);
    run(path);
}

/* What went in by a queue is answered by that queue; the device stays until the last has gone. */
static void test_tun_queues(void **state)
{
    struct tun_addr addr = { .addr = ep("10.8.0.1").addr, .prefix_len = 24 };
    struct tun_options o = { .name = "hwst%d", .mtu_bytes = 1400, .addrs = &addr, .addrs_count = 1, .queues = true };
    uint8_t header[28], packet[2048];
    struct iovec iov = { header, sizeof(header) };
    struct udp *u = NULL;
    struct tun *tun[2];
    struct tun_meta meta;
    char path[64];

    assert_int_equal(tun_open(&o, &tun[0]), 0);
    assert_int_equal(tun_open_queue(tun[0], &tun[1]), 0);
    assert_string_equal(tun_name(tun[1]), tun_name(tun[0]));
    u = open_udp("10.8.0.1", NULL, false, false);
    build_udp4(header, udp_local_port(u), 0);
    put_be16(header + 26, 0); /* no checksum (RFC 768) */
    for (int i = 0; i < 4; i++) {
        struct udp_tx t = { .data = header, .len = 10, .to = ep("10.8.0.2:9") };
        struct udp_rx rx;

        assert_int_equal(tun_write(tun[i % 2], &iov, 1, NULL), 0);
        assert_true(wait_readable(udp_fd(u)));
        assert_int_equal(udp_recv(u, &rx, 1), 1);
        assert_int_equal(udp_send(u, &t), 0);
        assert_true(wait_readable(tun_fd(tun[i % 2])));
        assert_int_equal(tun_read(tun[i % 2], packet, sizeof(packet), &meta), 38);
        assert_int_equal(tun_read(tun[1 - i % 2], packet, sizeof(packet), &meta), 0);
    }
    udp_free(u);
    snprintf(path, sizeof(path), "ip link show dev %s >/dev/null", tun_name(tun[0]));
    tun_free(tun[0]);
    run(path);
    tun_free(tun[1]);
    snprintf(path + 1, sizeof(path) - 1, " ip link show dev hwst0 2>/dev/null");
    path[0] = '!';
    run(path);
}

static int make_namespace(void)
{
    return enter_namespace("ip link add va type veth peer name vb && ip link set va addrgenmode none && "
                           "ip link set vb addrgenmode none && ip link set va up && "
                           "ip link set vb up && ip addr add 10.9.0.1/24 dev va && ip addr add 10.9.0.2/24 dev vb && "
                           "ip addr add fd09:1::1/64 dev va nodad && ip addr add fd09:1::2/64 dev vb nodad && "
                           "ip addr add fd09::1/128 dev lo && ip addr add fd09::2/128 dev lo");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_udp_offloads),
        cmocka_unit_test(test_udp_local_address),
        cmocka_unit_test(test_udp_link_local),
        cmocka_unit_test(test_udp_icmp_error),
        cmocka_unit_test(test_udp_refusals),
        cmocka_unit_test(test_udp_full_buffer),
        cmocka_unit_test(test_udp_gso_turned_off),
        cmocka_unit_test(test_udp_queue_drop),
        cmocka_unit_test(test_udp_receive_overflow),
        cmocka_unit_test(test_udp_error_under_libuv),
        cmocka_unit_test(test_udp_path_mtu),
        cmocka_unit_test(test_udp_steering),
        cmocka_unit_test(test_tun_queues),
        cmocka_unit_test(test_tun_read),
        cmocka_unit_test(test_tun_write),
        cmocka_unit_test(test_tun_plain_write),
        cmocka_unit_test(test_tun_carries_tcp),
        cmocka_unit_test(test_tun_goes_with_its_descriptor),
    };

    if (make_namespace() != 0) {
        puts("SKIP: needs root, network namespaces and iproute2");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
