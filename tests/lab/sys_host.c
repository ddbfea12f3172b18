/* Lab test of src/sys: routes, rules, packet filter, control socket, files, in a network namespace of its own.
 *
 *   +---------------------- this process's namespace ----------------------+
 *   | va 10.9.1.1/24 <== veth ==> pa   vb 10.9.2.1/24 <== veth ==> pb      |
 *   | uplinks 1 and 2, gateways .254; a tun device that a test opens       |
 *   +----------------------------------------------------------------------+
 *
 * Nothing is sent: the kernel is asked where it would send (ip route get). Needs root. Without it the program says so
 * and exits with 77. */
#include "base/text.h"
#include "sys/clock.h"
#include "sys/control.h"
#include "sys/netlink.h"
#include "sys/nft.h"
#include "sys/route.h"
#include "sys/store.h"
#include "sys/tun.h"
#include "sys/wifi.h"
#include "tests/lab/lab.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char test_dir[] = "/tmp/hawser-test-XXXXXX"; /* made by main, removed by main when empty */

static struct addr address(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static struct prefix prefix(const char *text)
{
    struct prefix p;

    assert_int_equal(prefix_parse(text, false, &p), 0);
    return p;
}

/* The world of the route tests: a tunnel and a set over two uplinks, both families. */
struct world {
    struct tun *tun;
    struct route_state *routes;
    struct route_uplink uplinks[3];
    struct route_tunnel tunnels[2];
    struct route_set set;
};

static void world_init(struct world *w)
{
    struct tun_addr addrs[] = { { address("10.77.0.2"), 24 }, { address("fd77::2"), 64 } };
    struct tun_options o = { .name = "hwsr0", .addrs = addrs, .addrs_count = 2 };

    memset(w, 0, sizeof(*w));
    assert_int_equal(tun_open(&o, &w->tun), 0);
    assert_int_equal(route_open(&w->routes), 0);
    w->uplinks[0] = (struct route_uplink){ 1, (int)if_nametoindex("va"), ADDR_V4, address("10.9.1.254") };
    w->uplinks[1] = (struct route_uplink){ 2, (int)if_nametoindex("vb"), ADDR_V4, address("10.9.2.254") };
    w->uplinks[2] = (struct route_uplink){ 2, (int)if_nametoindex("vb"), ADDR_V6, address("fe80::fe") };
    w->tunnels[0] = (struct route_tunnel){ .prefix = prefix("0.0.0.0/0"), .ifindex = tun_ifindex(w->tun) };
    w->tunnels[1] = (struct route_tunnel){ .prefix = prefix("::/0"), .ifindex = tun_ifindex(w->tun) };
    w->set = (struct route_set){ w->uplinks, 3, w->tunnels, 2 };
}

static void world_deinit(struct world *w)
{
    assert_int_equal(route_clean_all(w->routes), 0);
    route_free(w->routes);
    tun_free(w->tun);
}

static void assert_changes(struct world *w, size_t routes_added, size_t routes_deleted, size_t rules_added,
                           size_t rules_deleted)
{
    struct route_changes c;

    assert_int_equal(route_sync(w->routes, &w->set, &c), 0);
    assert_int_equal(c.routes_added, routes_added);
    assert_int_equal(c.routes_deleted, routes_deleted);
    assert_int_equal(c.rules_added, rules_added);
    assert_int_equal(c.rules_deleted, rules_deleted);
}

#define NONE_OF_OURS                                                                                                   \
    "test -z \"$(ip rule show | grep -w 187; ip -6 rule show | grep -w 187;"                                           \
    "ip route show table all proto 187; ip -6 route show table all proto 187)\""

static void test_route_sync(void **state)
{
    struct world w;

    world_init(&w);
    run("ip route add default via 10.9.1.254 dev va");
    /* 3 uplink routes, 2 tunnel routes; 3 uplink rules, and main and tunnel rules in two families. */
    assert_changes(&w, 5, 0, 7, 0);
    assert_changes(&w, 0, 0, 0, 0);
    /* What is not marked enters the tunnel, local networks excepted. */
    run("ip route get 198.51.100.1 | grep -q 'dev hwsr0'");
    run("ip route get 10.9.2.9 | grep -q 'dev vb'");
    run("ip -6 route get 2001:db8::1 | grep -q 'dev hwsr0'");
    /* Each uplink's mark leaves by that uplink, wherever main's default route points. */
    run("ip route get 198.51.100.1 mark 0x48570001 | grep -q 'via 10.9.1.254 dev va'");
    run("ip route get 198.51.100.1 mark 0x48570002 | grep -q 'via 10.9.2.254 dev vb'");
    run("ip -6 route get 2001:db8::1 mark 0x48570002 | grep -q 'via fe80::fe dev vb'");
    run("ip route replace default via 10.9.2.254 dev vb");
    run("ip route get 198.51.100.1 mark 0x48570001 | grep -q 'via 10.9.1.254 dev va'");
    /* A mark of ours without an uplink of its own takes main's default, never the tunnel. */
    run("ip route get 198.51.100.1 mark 0x48570009 | grep -q 'via 10.9.2.254 dev vb'");
    run("ip route del default");
    world_deinit(&w);
    run(NONE_OF_OURS);
}

/* What is guarded becomes unreachable with the device, and the rest is as if we were not there. */
static void test_route_guard(void **state)
{
    struct world w;

    world_init(&w);
    run("ip route add default via 10.9.1.254 dev va");
    w.tunnels[0].prefix = prefix("192.0.2.0/24");
    w.tunnels[0].guarded = true;
    w.tunnels[1] = (struct route_tunnel){ .prefix = prefix("198.51.100.0/24"), .ifindex = tun_ifindex(w.tun) };
    assert_changes(&w, 6, 0, 6, 0);
    assert_changes(&w, 0, 0, 0, 0);
    run("ip route get 192.0.2.7 | grep -q 'dev hwsr0'");
    tun_free(w.tun);
    w.tun = NULL;
    run("! ip route get 192.0.2.7");
    run("ip route get 198.51.100.7 | grep -q 'dev va'");
    run("ip route del default");
    world_deinit(&w);
    run(NONE_OF_OURS);
}

static void test_route_put_back(void **state)
{
    struct world w;

    world_init(&w);
    assert_changes(&w, 5, 0, 7, 0);
    run("ip route flush table 51888 && ip rule del priority 5290");
    assert_changes(&w, 1, 0, 1, 0);
    /* A link that goes down takes its IPv4 routes along; while it is down the others are still made. */
    run("ip link set va down");
    w.tunnels[0].prefix = prefix("192.0.2.0/24");
    assert_int_equal(route_sync(w.routes, &w.set, NULL), -ENETDOWN);
    run("ip route get 192.0.2.7 | grep -q 'dev hwsr0'");
    run("ip link set va up");
    assert_changes(&w, 1, 0, 0, 0);
    /* A new gateway replaces the old one. */
    w.uplinks[0].gateway = address("10.9.1.253");
    assert_changes(&w, 1, 1, 0, 0);
    run("test \"$(ip route show table 51901 | wc -l)\" = 1");
    run("ip route get 198.51.100.1 mark 0x48570001 | grep -q 'via 10.9.1.253 dev va'");
    /* What is no longer wanted goes: IPv6's two rules and its route. */
    w.set.tunnels_count = 1;
    w.set.uplinks_count = 2;
    assert_changes(&w, 0, 2, 0, 3);
    world_deinit(&w);
    run(NONE_OF_OURS);
}

static void test_route_strangers(void **state)
{
    struct world w;

    world_init(&w);
    /* Left by a killed process: other prefixes, tables, priorities, but our protocol. */
    run("ip route add 203.0.113.0/24 dev vb proto 187 table 51999 && ip rule add priority 5297 lookup 51999 proto 187");
    run("ip -6 route add unreachable 2001:db8:9::/48 proto 187 table 51888");
    /* A stranger's, in our place. */
    run("ip rule add priority 5201 to 203.0.113.9 lookup main proto 77");
    run("ip route add 203.0.113.0/25 dev vb proto 77 table 51888");
    assert_changes(&w, 5, 2, 7, 1);
    assert_int_equal(route_clean_all(w.routes), 0);
    run(NONE_OF_OURS);
    run("ip rule del priority 5201 && ip route del 203.0.113.0/25 table 51888");
    world_deinit(&w);
}

static void wait_event(struct nlmon *m, enum nlmon_event_type type)
{
    struct nlmon_event ev;

    for (;;) {
        while (nlmon_pop_event(m, &ev))
            if (ev.type == type)
                return;
        assert_true(wait_readable(nlmon_fd(m)));
        assert_int_equal(nlmon_process(m), 0);
    }
}

/* What others delete of ours is reported, so that it can be put back. */
static void test_route_loss_is_noticed(void **state)
{
    struct nlmon_event ev;
    struct nlmon *m;
    struct world w;

    world_init(&w);
    assert_changes(&w, 5, 0, 7, 0);
    assert_int_equal(nlmon_open(&m), 0);
    /* Our own default routes are not uplinks' default routes. */
    while (nlmon_pop_event(m, &ev))
        assert_int_not_equal(ev.type, NLMON_DEFAULT_ROUTE_NEW);
    run("ip rule del priority 5290");
    wait_event(m, NLMON_OWN_RULE_DEL);
    run("ip -6 route flush table 51888");
    wait_event(m, NLMON_OWN_ROUTE_DEL);
    assert_changes(&w, 1, 0, 1, 0);
    nlmon_free(m);
    world_deinit(&w);
}

static void test_route_unreachable(void **state)
{
    struct world w;

    world_init(&w);
    w.tunnels[1].ifindex = 0;
    w.tunnels[0].ifindex = 0;
    assert_changes(&w, 5, 0, 7, 0);
    assert_changes(&w, 0, 0, 0, 0);
    run("! ip -6 route get 2001:db8::1 2>/dev/null");
    run("! ip route get 198.51.100.1 2>/dev/null");
    world_deinit(&w);
    run(NONE_OF_OURS);
}

static void test_route_bad_set(void **state)
{
    struct world w;

    world_init(&w);
    w.uplinks[1].index = 1; /* twice in one family */
    assert_int_equal(route_sync(w.routes, &w.set, NULL), -EINVAL);
    w.uplinks[1].index = ROUTE_UPLINKS_MAX;
    assert_int_equal(route_sync(w.routes, &w.set, NULL), -EINVAL);
    w.uplinks[1].index = 2;
    w.uplinks[1].gateway = address("fe80::1");
    assert_int_equal(route_sync(w.routes, &w.set, NULL), -EINVAL);
    w.uplinks[1].gateway = address("10.9.2.254");
    w.tunnels[0].prefix.len = 33;
    assert_int_equal(route_sync(w.routes, &w.set, NULL), -EINVAL);
    w.tunnels[0].prefix = w.tunnels[1].prefix;
    assert_int_equal(route_sync(w.routes, &w.set, NULL), -EINVAL);
    run(NONE_OF_OURS);
    route_free(NULL);
    world_deinit(&w);
}

static void test_source_check(void **state)
{
    run("echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter");
    assert_int_equal(route_source_check_set("va", 1), 0);
    assert_int_equal(route_source_check_get("va"), 1);
    assert_int_equal(route_source_check_set("va", 2), 0);
    assert_int_equal(route_source_check_get("va"), 2);
    assert_int_equal(route_source_check_set("va", 0), 0);
    run("echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter");
    assert_int_equal(route_source_check_get("va"), 1);
    run("echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter");
    assert_int_equal(route_source_check_get("nosuch0"), -ENOENT);
    assert_int_equal(route_source_check_get("../../etc"), -EINVAL);
    assert_int_equal(route_source_check_set("va", 3), -EINVAL);
}

static void test_nft(void **state)
{
    struct prefix prefixes[] = { prefix("10.77.0.0/16"), prefix("fd77::/64") };
    struct nft_agent a = { .name = "test", .tunnel = "hwsr0", .prefixes = prefixes, .prefixes_count = 2 };
    char buf[4096], bad[4096], err[512];
    struct text t;

    if (access("/usr/sbin/nft", X_OK) != 0) {
        print_message("SKIP: no nft program\n");
        skip();
    }
    text_init(&t, buf, sizeof(buf));
    assert_int_equal(nft_agent_ruleset(&t, &a), 0);
    assert_int_equal(nft_apply(buf, err, sizeof(err)), 0);
    assert_int_equal(nft_apply(buf, err, sizeof(err)), 0);
    run("nft list table inet hawser_test | grep -q 'ip saddr 10.77.0.0/16 masquerade'");
    run("test $(nft list table inet hawser_test | grep -c masquerade) = 2");
    /* The last line fails: nothing of the text may take effect. */
    snprintf(bad, sizeof(bad), "delete table inet hawser_test\nadd rule inet no_such_table no_such_chain accept\n");
    assert_int_equal(nft_apply(bad, err, sizeof(err)), -EINVAL);
    assert_non_null(strstr(err, "no_such_table"));
    run("test $(nft list table inet hawser_test | grep -c masquerade) = 2");
    assert_int_equal(nft_apply("flurb\n", err, sizeof(err)), -EINVAL);
    assert_non_null(strstr(err, "flurb"));
    /* Other tables are not touched, and removing twice is no failure. */
    run("nft add table inet others");
    assert_int_equal(nft_remove("test", err, sizeof(err)), 0);
    assert_int_equal(nft_remove("test", err, sizeof(err)), 0);
    run("! nft list table inet hawser_test 2>/dev/null");
    run("nft list table inet others >/dev/null && nft delete table inet others");
    assert_int_equal(nft_remove("a; flush ruleset", err, sizeof(err)), -EINVAL);
}

static void control_path(char path[64])
{
    snprintf(path, 64, "%s/control", test_dir);
}

/* Processes until a request is there. */
static struct control_request wait_request(struct control *c)
{
    struct control_request r;

    while (!control_pop_request(c, &r)) {
        assert_true(wait_readable(control_fd(c)));
        assert_int_equal(control_process(c), 0);
    }
    return r;
}

static void test_control_call(void **state)
{
    char path[64], buf[64];
    struct control_request r;
    struct control *c;
    struct stat st;
    int status;
    pid_t pid;

    control_path(path);
    assert_int_equal(control_call(path, "status", buf, sizeof(buf), SEC), -ENOENT);
    assert_int_equal(control_open(path, &c), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    pid = fork();
    if (pid == 0)
        _exit(control_call(path, "status all", buf, sizeof(buf), 5 * SEC) == 4 && strcmp(buf, "fine") == 0 ? 0 : 1);
    r = wait_request(c);
    assert_string_equal(r.line, "status all");
    assert_int_equal(control_reply(c, r.client, "fine"), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    while (control_clients_count(c) > 0) {
        assert_true(wait_readable(control_fd(c)));
        assert_int_equal(control_process(c), 0);
    }
    assert_int_equal(control_reply(c, r.client, "too late"), -ENOTCONN);
    control_free(c);
    assert_int_equal(access(path, F_OK), -1);
    control_free(NULL);
}

/* A socket for all users says who asks; the other kind hears none but root and its own. */
static void test_control_for_all_users(void **state)
{
    char path[64], buf[64];
    struct control_request r;
    struct control *c;
    struct stat st;
    int status;
    pid_t pid;

    control_path(path);
    assert_int_equal(chmod(test_dir, 0755), 0);
    assert_int_equal(control_open_to_all(path, &c), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
    pid = fork();
    if (pid == 0)
        _exit(setuid(65534) == 0 && control_call(path, "known", buf, sizeof(buf), 5 * SEC) == 4 ? 0 : 1);
    r = wait_request(c);
    assert_string_equal(r.line, "known");
    assert_int_equal(r.uid, 65534);
    assert_int_equal(control_reply(c, r.client, "fine"), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    control_free(c);
}

/* A daemon that hangs, and whose queue is full, keeps nobody for longer than they will wait. */
static void test_control_hangs(void **state)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    char path[64], buf[64];
    struct control *c;
    int status, fd;
    pid_t pid;

    control_path(path);
    memcpy(at.sun_path, path, sizeof(path));
    assert_int_equal(control_open(path, &c), 0);
    pid = fork();
    if (pid == 0) {
        alarm(20); /* or it would wait for ever */
        do
            fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        while (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
        _exit(errno == EAGAIN && control_call(path, "status", buf, sizeof(buf), 20 * MSEC) == -ETIMEDOUT ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    control_free(c);
}

/* One user does not take all places of a socket for all. */
static void test_control_of_one_user(void **state)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    char path[64], c1;
    struct control *c;
    int status;
    pid_t pid;

    control_path(path);
    memcpy(at.sun_path, path, sizeof(path));
    assert_int_equal(chmod(test_dir, 0755), 0);
    assert_int_equal(control_open_to_all(path, &c), 0);
    pid = fork();
    if (pid == 0) {
        int fd = -1, r = setuid(65534);

        for (int i = 0; i <= CONTROL_CLIENTS_OF_USER && r == 0; i++) {
            fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            r = connect(fd, (struct sockaddr *)&at, sizeof(at));
        }
        _exit(r == 0 && read(fd, &c1, 1) == 0 ? 0 : 1); /* the last is closed, while the others are open */
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        (void)wait_readable(control_fd(c));
        assert_int_equal(control_process(c), 0);
        assert_true(control_clients_count(c) <= CONTROL_CLIENTS_OF_USER);
    }
    assert_int_equal(status, 0);
    control_free(c);
}

/* The status of an agent with 4,096 peers that are away has 1.7 MB; with sessions and paths it has ten times that. */
static void test_control_long_answer(void **state)
{
    size_t len = 20u << 20;
    char path[64], *answer = malloc(len + 1), *got = malloc(len + 2);
    struct control_request r;
    struct control *c;
    int status;
    pid_t pid;

    assert_non_null(answer);
    assert_non_null(got);
    memset(answer, 'z', len);
    answer[len] = '\0';
    control_path(path);
    assert_int_equal(control_open(path, &c), 0);
    pid = fork();
    if (pid == 0)
        _exit(control_call(path, "status", got, len + 2, 10 * SEC) == (int)len && memcmp(got, answer, len) == 0 ? 0
                                                                                                                : 1);
    r = wait_request(c);
    assert_int_equal(control_reply(c, r.client, answer), 0);
    while (control_clients_count(c) > 0) {
        assert_true(wait_readable(control_fd(c)));
        assert_int_equal(control_process(c), 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    control_free(c);
    free(answer);
    free(got);
}

static void test_control_lines(void **state)
{
    static char big[CONTROL_LINE_MAX + 100];
    char path[64], buf[256] = "";
    struct control_request r;
    struct control *c;
    ssize_t n;
    int a, b;

    control_path(path);
    assert_int_equal(control_open(path, &c), 0);
    a = control_connect(path);
    assert_true(a >= 0);
    /* Two requests and a half in one piece, and another client's in between. */
    assert_int_equal(send(a, "one\ntwo\nthr", 11, 0), 11);
    assert_string_equal(wait_request(c).line, "one");
    b = control_connect(path);
    assert_int_equal(send(b, "other\n", 6, 0), 6);
    assert_string_equal(wait_request(c).line, "two");
    r = wait_request(c);
    assert_string_equal(r.line, "other");
    assert_false(control_pop_request(c, &r));
    assert_int_equal(send(a, "ee\n", 3, 0), 3);
    r = wait_request(c);
    assert_string_equal(r.line, "three");
    assert_int_equal(control_reply(c, r.client, "1"), 0);
    assert_int_equal(control_reply(c, r.client, "2"), 0);
    assert_int_equal(control_reply(c, r.client, "3"), 0);
    assert_int_equal(recv(a, buf, 6, MSG_WAITALL), 6);
    assert_memory_equal(buf, "1\n2\n3\n", 6);
    /* Half-closed: both answers still arrive, then the end. */
    assert_int_equal(send(a, "last\nwish\n", 10, 0), 10);
    assert_int_equal(shutdown(a, SHUT_WR), 0);
    assert_string_equal(wait_request(c).line, "last");
    r = wait_request(c);
    assert_string_equal(r.line, "wish");
    assert_int_equal(control_process(c), 0);
    assert_int_equal(control_reply(c, r.client, "good"), 0);
    assert_int_equal(control_reply(c, r.client, "bye"), 0);
    assert_int_equal(recv(a, buf, 9, MSG_WAITALL), 9);
    assert_memory_equal(buf, "good\nbye\n", 9);
    assert_int_equal(recv(a, buf, 1, 0), 0);
    /* A line that never ends. */
    memset(big, 'x', sizeof(big));
    assert_int_equal(send(b, big, sizeof(big), 0), sizeof(big));
    while (control_clients_count(c) > 0) {
        assert_true(wait_readable(control_fd(c)));
        assert_int_equal(control_process(c), 0);
    }
    n = recv(b, buf, sizeof(buf) - 1, 0);
    assert_true(n > 0 && strncmp(buf, "error: ", 7) == 0);
    close(a);
    close(b);
    control_free(c);
}

static void test_control_limits(void **state)
{
    static char line[65536];
    int fds[CONTROL_CLIENTS_MAX + 1], r = 0;
    struct control_request request;
    struct control *c;
    char path[64], byte;
    size_t queued = 0;

    control_path(path);
    assert_int_equal(control_open(path, &c), 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = control_connect(path);
        assert_true(fds[i] >= 0);
        assert_int_equal(control_process(c), 0);
    }
    assert_int_equal(control_clients_count(c), CONTROL_CLIENTS_MAX);
    assert_int_equal(recv(fds[CONTROL_CLIENTS_MAX], &byte, 1, 0), 0);
    /* One that asks and never reads is closed, with no more kept than the limit and its socket buffer. */
    assert_int_equal(send(fds[0], "top\n", 4, 0), 4);
    request = wait_request(c);
    memset(line, 'y', sizeof(line) - 1);
    while (r == 0 && queued < 2 * (size_t)CONTROL_PENDING_MAX) {
        r = control_reply(c, request.client, line);
        queued += sizeof(line);
    }
    assert_int_equal(r, -ENOBUFS);
    assert_int_equal(control_clients_count(c), CONTROL_CLIENTS_MAX - 1);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    control_free(c);
}

/* Another user is not heard, even if somebody opened up the file. */
static void test_control_strangers(void **state)
{
    char path[64], byte;
    struct control *c;
    int status;
    pid_t pid;

    control_path(path);
    assert_int_equal(control_open(path, &c), 0);
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(chmod(test_dir, 0755), 0);
    pid = fork();
    if (pid == 0) {
        int fd;

        if (setgid(65534) < 0 || setuid(65534) < 0)
            _exit(2);
        fd = control_connect(path);
        _exit(fd >= 0 && recv(fd, &byte, 1, 0) == 0 ? 0 : 1);
    }
    assert_true(wait_readable(control_fd(c)));
    assert_int_equal(control_process(c), 0);
    assert_int_equal(control_clients_count(c), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    control_free(c);
}

static void test_control_stale(void **state)
{
    struct control *c = NULL, *second = NULL;
    int status;
    char path[64];
    pid_t pid;

    control_path(path);
    /* A process dies without cleaning up. */
    pid = fork();
    if (pid == 0)
        _exit(control_open(path, &c) == 0 ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(control_connect(path), -ECONNREFUSED);
    assert_int_equal(control_open(path, &c), 0);
    /* One that lives is not robbed. */
    assert_int_equal(control_open(path, &second), -EADDRINUSE);
    control_free(c);
    /* Nor is a file of another kind taken for a socket. */
    assert_int_equal(store_write(path, "data", 4, NULL, 0), 0);
    assert_int_equal(control_open(path, &c), -EADDRINUSE);
    assert_int_equal(unlink(path), 0);
}

static void test_wifi(void **state)
{
    struct wifi *w = NULL;
    char path[64];
    int dbm = 1, r;

    snprintf(path, sizeof(path), "%s/va", test_dir);
    assert_int_equal(wifi_file_open(test_dir, &w), 0);
    assert_int_equal(wifi_signal_dbm(w, "va", &dbm), -ENODEV);
    assert_int_equal(store_write(path, "-67\n", 4, NULL, 0), 0);
    assert_int_equal(wifi_signal_dbm(w, "va", &dbm), 0);
    assert_int_equal(dbm, -67);
    assert_int_equal(store_write(path, "loud\n", 5, NULL, 0), 0);
    assert_int_equal(wifi_signal_dbm(w, "va", &dbm), -EPROTO);
    assert_int_equal(wifi_signal_dbm(w, "../va", &dbm), -ENODEV);
    wifi_free(w);
    assert_int_equal(store_write(path, "-70", 3, NULL, 0), 0);
    assert_int_equal(wifi_file_open(path, &w), 0);
    assert_int_equal(wifi_signal_dbm(w, "whatever", &dbm), 0);
    assert_int_equal(dbm, -70);
    wifi_free(w);
    assert_int_equal(unlink(path), 0);
    /* A veth has no radio, whether or not the kernel knows of any. */
    r = wifi_open(&w);
    if (r == 0) {
        assert_int_equal(wifi_signal_dbm(w, "va", &dbm), -ENODEV);
        assert_int_equal(wifi_signal_dbm(w, "nosuch0", &dbm), -ENODEV);
        wifi_free(w);
    } else {
        assert_int_equal(r, -EOPNOTSUPP);
    }
    wifi_free(NULL);
}

static void test_store(void **state)
{
    char path[64], err[256];
    uint8_t *data;
    size_t len;
    struct stat st;

    snprintf(path, sizeof(path), "%s/state", test_dir);
    assert_int_equal(store_read(path, &data, &len, err, sizeof(err)), -ENOENT);
    assert_non_null(strstr(err, path));
    assert_int_equal(store_write(path, "one", 3, NULL, 0), 0);
    assert_int_equal(store_write(path, "second", 6, NULL, 0), 0);
    assert_int_equal(store_read(path, &data, &len, NULL, 0), 0);
    assert_int_equal(len, 6);
    assert_string_equal((char *)data, "second");
    free(data);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof(path), "%s/no/state", test_dir);
    assert_int_equal(store_write(path, "x", 1, err, sizeof(err)), -ENOENT);
    assert_non_null(strstr(err, path));
    assert_int_equal(store_read(test_dir, &data, &len, err, sizeof(err)), -EINVAL);
}

static void test_clock(void **state)
{
    struct rng r = sys_rng();
    instant a = clock_now();

    assert_true(a > 0);
    assert_true(clock_now() >= a);
    assert_true(rng_u64(&r) != rng_u64(&r));
}

static int make_namespace(void)
{
    return enter_namespace("ip link add va type veth peer name pa && ip link add vb type veth peer name pb && "
                           "for i in va pa vb pb; do ip link set $i up || exit 1; done && "
                           "ip addr add 10.9.1.1/24 dev va && ip addr add 10.9.2.1/24 dev vb && "
                           "ip addr add fd09:2::1/64 dev vb nodad");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_sync),
        cmocka_unit_test(test_route_guard),
        cmocka_unit_test(test_route_put_back),
        cmocka_unit_test(test_route_strangers),
        cmocka_unit_test(test_route_loss_is_noticed),
        cmocka_unit_test(test_route_unreachable),
        cmocka_unit_test(test_route_bad_set),
        cmocka_unit_test(test_source_check),
        cmocka_unit_test(test_nft),
        cmocka_unit_test(test_control_call),
        cmocka_unit_test(test_control_for_all_users),
        cmocka_unit_test(test_control_of_one_user),
        cmocka_unit_test(test_control_hangs),
        cmocka_unit_test(test_control_long_answer),
        cmocka_unit_test(test_control_lines),
        cmocka_unit_test(test_control_limits),
        cmocka_unit_test(test_control_strangers),
        cmocka_unit_test(test_control_stale),
        cmocka_unit_test(test_wifi),
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_clock),
    };
    int failed;

    if (make_namespace() != 0) {
        puts("SKIP: needs root, network namespaces and iproute2");
        return 77;
    }
    if (!mkdtemp(test_dir))
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (rmdir(test_dir) < 0) {
        puts("a test left a file behind");
        return 1;
    }
    return failed;
}
