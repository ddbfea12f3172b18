/* prog/dns_server.h in a network namespace of its own, asked by `dig`: over UDP, over TCP, cut and whole, and by who
 * says nothing. What is known is made up here; some of it is told at once, some later. */
#include "prog/dns_server.h"
#include "tests/lab/lab.h"
#include "tests/unit/no_memory.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#define DIG "/usr/bin/dig"

static uv_loop_t loop;
static struct dns_server *server;
static struct dns_pending *waits;
static uv_timer_t later;
static struct chain_end subject;
static struct record binding;

static void tell(struct dns_pending *p, enum dns_known_outcome outcome)
{
    dns_server_tell(p, &(struct dns_known){ outcome, &subject, &binding, CLASS_AGENT, 50, 40, false });
}

static void on_later(uv_timer_t *t)
{
    tell(waits, DNS_KNOWN_FOUND);
    waits = NULL;
}

static void ask(void *owner, const struct name *name, struct dns_pending *p)
{
    assert_ptr_equal(owner, &loop);
    if (strcmp(name->text, "later.h.acme.example") == 0 && !waits) {
        waits = p;
        uv_timer_start(&later, on_later, 50, 0);
    } else {
        tell(p, strncmp(name->text, "no.", 3) == 0 ? DNS_KNOWN_NONE : DNS_KNOWN_FOUND);
    }
}

static void on_end(uv_process_t *p, int64_t status, int signal)
{
    *(int64_t *)p->data = status;
    uv_close((uv_handle_t *)p, NULL);
    uv_stop(&loop);
}

/* What dig prints when asked with these words; the server runs meanwhile. */
static void dig(char *out, size_t size, const char *name, const char *type, const char *a, const char *b)
{
    char *args[] = { DIG,          "@127.0.0.1", "-p",      "5300",    "+tries=1", "+time=5",
                     (char *)name, (char *)type, (char *)a, (char *)b, NULL };
    int64_t status = -1;
    uv_process_t process = { .data = &status };
    uv_stdio_container_t io[2] = { { .flags = UV_IGNORE }, { .flags = UV_INHERIT_FD } };
    uv_process_options_t o = { .file = DIG, .args = args, .exit_cb = on_end, .stdio = io, .stdio_count = 2 };
    char path[] = "/tmp/hawser-dig-XXXXXX";
    int fd = mkstemp(path);
    ssize_t len;

    assert_true(fd >= 0);
    unlink(path);
    io[1].data.fd = fd;
    assert_int_equal(uv_spawn(&loop, &process, &o), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(status, 0);
    len = pread(fd, out, size - 1, 0);
    assert_true(len >= 0);
    out[len] = '\0';
    close(fd);
}

static void expect(const char *name, const char *type, const char *a, const char *b, const char *expected)
{
    char out[8192];

    dig(out, sizeof(out), name, type, a, b);
    if (!strstr(out, expected))
        print_error("found:\n%s\nexpected: %s\n", out, expected);
    assert_non_null(strstr(out, expected));
}

static void test_udp(void **state)
{
    expect("laptop.h.acme.example", "A", "+short", "+nocookie", "192.0.2.1\n");
    expect("laptop.h.acme.example", "A", "+noall", "+answer", "40\tIN\tA\t192.0.2.1\n");
    expect("laptop.h.acme.example", "AAAA", "+short", "+nocookie", "2001:db8::1\n");
    expect("laptop.h.acme.example", "SVCB", "+short", "+nocookie", "1 . port=4500 ipv4hint=192.0.2.1\n");
    expect("laptop.h.acme.example", "HIP", "+short", "+nocookie",
           "4 2001003F01C10005FD50F24CAB30546A BwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
    expect("later.h.acme.example", "A", "+short", "+nocookie", "192.0.2.1\n");
    expect("no.h.acme.example", "A", "+nocookie", "+noedns", "status: NXDOMAIN");
    expect("h.acme.example", "A", "+nocookie", "+noedns", "status: NOERROR");
    expect("www.example.com", "A", "+nocookie", "+noedns", "status: REFUSED");
    expect("laptop.h.acme.example", "A", "+edns=7", "+noednsneg", "status: BADVERS");
    expect("laptop.h.acme.example", "A", "+opcode=notify", "+noedns", "status: NOTIMP");
}

static void test_tcp(void **state)
{
    struct dns_server_stats stats;

    expect("laptop.h.acme.example", "A", "+short", "+tcp", "192.0.2.1\n");
    expect("later.h.acme.example", "A", "+short", "+tcp", "192.0.2.1\n");
    /* 16 SVCB of 25 bytes and more are above 512: first TC over UDP, then all over TCP. */
    binding.targets_count = 16;
    expect("laptop.h.acme.example", "SVCB", "+ignore", "+noedns", "flags: qr aa tc rd;");
    expect("laptop.h.acme.example", "SVCB", "+nocookie", "+noedns", "ANSWER: 16");
    binding.targets_count = 2;
    dns_server_stats_get(server, &stats);
    assert_true(stats.truncated >= 2 && stats.by_tcp >= 3);
    assert_int_equal(stats.pending, 0);
}

static int connect_to(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(5300),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    assert_true(connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 || errno == EINPROGRESS);
    return fd;
}

static unsigned conns(void)
{
    struct dns_server_stats stats;

    dns_server_stats_get(server, &stats);
    return stats.conns;
}

/* More connections than there may be, which keep nobody out who asks; one with nonsense, one that goes while its
 * question waits. */
static void test_strangers(void **state)
{
    int fds[DNS_SERVER_CONNS_MAX + 4], *some = fds + ARRAY_LEN(fds) / 2;
    struct dns_server_stats stats;
    uint8_t byte;

    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = connect_to();
    while (conns() < DNS_SERVER_CONNS_MAX)
        uv_run(&loop, UV_RUN_ONCE);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(conns(), DNS_SERVER_CONNS_MAX);
    expect("laptop.h.acme.example", "A", "+short", "+tcp", "192.0.2.1\n");
    assert_int_equal(send(*some, "\xff\xff\xff", 3, 0), 3);
    while (recv(*some, &byte, 1, 0) < 0 && errno == EAGAIN)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(send(some[1], "\0\x26\0\1\0\0\0\1\0\0\0\0\0\0\5later\1h\4acme\7example\0\0\1\0\1", 40, 0), 40);
    while (!waits)
        uv_run(&loop, UV_RUN_ONCE);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    while (conns() > 0 || waits)
        uv_run(&loop, UV_RUN_ONCE);
    dns_server_stats_get(server, &stats);
    assert_int_equal(stats.pending, 0);
}

/* Whom there is no memory for is closed, also if he does not come alone, and who comes afterwards is answered. */
static void test_no_memory(void **state)
{
    int fds[3];
    char c;

    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = connect_to();
    no_memory = ARRAY_LEN(fds);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        ssize_t n;

        while ((n = recv(fds[i], &c, 1, 0)) < 0 && (errno == EAGAIN || errno == ENOTCONN))
            uv_run(&loop, UV_RUN_NOWAIT);
        assert_int_equal(n, 0);
        close(fds[i]);
    }
    assert_int_equal(no_memory, 0);
    expect("laptop.h.acme.example", "A", "+short", "+tcp", "192.0.2.1\n");
}

static int set_up(void **state)
{
    static const struct dns_view view = { true, "acme.example", "ns.acme.example", { { 0 } }, 0, 1 };
    char err[DNS_SERVER_ERR];

    assert_int_equal(tag_parse("2001:3f:1c1:5:fd50:f24c:ab30:546a", &subject.tag), 0);
    subject.key[0] = 7;
    binding.kind = KIND_HOST_LOCATOR;
    binding.targets_count = 2;
    for (unsigned i = 0; i < 16; i++)
        binding.targets[i] =
            (struct record_target){ .is_locator = true,
                                    .priority = (uint16_t)i,
                                    .locator = { { ADDR_V4, { 192, 0, 2, (uint8_t)(i + 1) } }, 4500 } };
    binding.targets[1].locator.addr = (struct addr){ ADDR_V6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } };
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_timer_init(&loop, &later), 0);
    server = dns_server_new(&loop, &view, ask, &loop);
    assert_non_null(server);
    assert_int_equal(dns_server_listen(server, &(struct endpoint){ { ADDR_V4, { 127, 0, 0, 1 } }, 5300 }, err), 0);
    assert_int_equal(dns_server_listen(server, &(struct endpoint){ { ADDR_V4, { 192, 0, 2, 200 } }, 5300 }, err),
                     -EADDRNOTAVAIL);
    return 0;
}

static int tear_down(void **state)
{
    dns_server_close(server);
    uv_close((uv_handle_t *)&later, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_udp),
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_no_memory),
    };

    if (enter_namespace(NULL) != 0 || access(DIG, X_OK) < 0) {
        puts("SKIP: needs root, network namespaces, iproute2 and " DIG);
        return 77;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
