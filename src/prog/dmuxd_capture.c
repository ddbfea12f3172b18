/* prog/dmuxd_capture.c - a client's packets by queues of the kernel (NFQUEUE), and not by routes into its device.
 *
 * Theory of operation. Routes stay as they are: a packet of this host that has our address as its source, and that a
 * rule in the table mangle picks by where it goes to (sys/xt.h), is given to us on its way out, and kept. So a protocol
 * whose packets are IPv4 can be chosen by what routes know nothing of, and connections keep the address that they have.
 * What comes back goes by the device, for which the kernel must not ask where it would send to that source: its
 * rp_filter is made loose.
 *
 * Nothing has told the sender our MTU, which is less than its link's. TCP comes in super-packets, which are cut to what
 * we carry, and so is a segment that is too long; the rest is fragmented, or refused to its sender as a router would.
 *
 * Rules fail open: when nobody has the queue, packets go the way that they would go without us. A process of its own
 * waits for our end, however that comes, and removes the rules; if both are killed, the next start does. Between one
 * address and the next, and while no gateway has told us one, nothing is captured.
 *
 * Limits: a packet of more than NFQUEUE_PACKET_MAX bytes is lost. What we keep has no confirmed entry in the kernel's
 * table of connections, so a stateful filter sees answers that it knows no question of. Behind a NAT nothing is
 * captured: our address inside is the one that the gateway sees (dmux/ipv4.c), which is no address of this host. */
#include "prog/dmuxd.h"
#include "sys/clock.h"
#include "sys/nfqueue.h"
#include "sys/route.h"
#include "sys/sockaddr.h"
#include "sys/xt.h"
#include "tunnel/ptb.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#define QUEUES 2
#define RETRY (5 * SEC) /* chosen: rules that were refused, and an address that is not ours yet */
#define CSUM_OFFSET_TCP 16

struct capture {
    struct nfqueue *queues[QUEUES]; /* TCP, in super-packets; everything else */
    uv_poll_t polls[QUEUES];
    int sweeper_fd; /* its end is what the sweeper waits for */
    pid_t sweeper;
    struct addr source; /* ADDR_NONE: no rules */
    struct addr denied; /* not this host's, as was told */
    struct addr tried;  /* the last that there were to be rules for; until retry_at it is not tried again */
    instant retry_at;
    uint64_t pkts, refused;
};

/* --- the rules --- */

static _Noreturn void sweep(int fd, const char *name)
{
    char err[512], byte;
    int r;

    dup2(fd, 3);
    close_range(4, ~0u, 0);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN); /* it ends with the other */
    while (read(3, &byte, 1) < 0 && errno == EINTR)
        continue;
    r = xt_capture_remove(name, err, sizeof(err));
    if (r < 0)
        fprintf(stderr, "<3>capture rules stay: %s\n", err);
    _exit(r < 0);
}

static int sweeper_start(struct capture *c, const char *name)
{
    int fds[2], r = 0;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    c->sweeper = fork();
    if (c->sweeper == 0) {
        close(fds[1]);
        sweep(fds[0], name);
    }
    if (c->sweeper < 0)
        r = -errno;
    close(fds[0]);
    if (r < 0)
        close(fds[1]);
    else
        c->sweeper_fd = fds[1];
    return r;
}

static bool is_ours(const struct addr *a)
{
    struct endpoint e = { .addr = *a };
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_from_endpoint(&e, 0, &sa);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ours = fd >= 0 && bind(fd, (struct sockaddr *)&sa, len) == 0;

    if (fd >= 0)
        close(fd);
    return ours;
}

static void say_denied(struct capture *c, const struct addr *source)
{
    char buf[ADDR_STRLEN];

    if (!addr_equal(&c->denied, source))
        dmuxd_say(LOG_ERR,
                  "capture address=%s: the gateway sees us there, and it is no address of this host: nothing is "
                  "captured behind a NAT",
                  addr_format(source, buf));
    c->denied = *source;
}

/* The rules are of that source, or there are none. */
static int change(struct dmuxd *d, const struct addr *source, char *err, size_t err_size)
{
    const struct dmux_config *config = d->config;
    struct capture *c = d->capture;
    struct xt_capture rules = { .name = tun_name(d->tun),
                                .queue = config->queue,
                                .source = *source,
                                .prefixes = config->routes,
                                .prefixes_count = config->routes_count,
                                .protocol = config->ip_protocol,
                                .spare = &config->gateways[0] };
    int r = 0;

    if (c->source.family != ADDR_NONE)
        r = xt_capture_remove(rules.name, err, err_size);
    if (r < 0)
        return r;
    c->source = (struct addr){ .family = ADDR_NONE };
    if (source->family != ADDR_NONE)
        r = xt_capture_apply(&rules, err, err_size);
    if (r == 0)
        c->source = *source;
    return r;
}

bool dmuxd_capture_follow(struct dmuxd *d, const struct addr *source, instant now)
{
    struct capture *c = d->capture;
    struct addr allowed = *source;
    char err[512] = "";
    bool denied;
    int r;

    if (addr_equal(&c->source, source))
        return true;
    if (now < c->retry_at && addr_equal(&c->tried, source))
        return false;
    c->tried = *source;
    denied = source->family != ADDR_NONE && !is_ours(source);
    if (denied)
        allowed.family = ADDR_NONE;
    r = change(d, &allowed, err, sizeof(err));
    if (r < 0) {
        dmuxd_say(LOG_ERR, "capture error=%s", err);
        c->retry_at = now + RETRY;
        return false;
    }
    c->retry_at = denied ? now + RETRY : 0;
    if (denied)
        say_denied(c, source);
    else
        c->denied = (struct addr){ .family = ADDR_NONE };
    return !denied;
}

/* --- packets --- */

/* Longer than we carry, and no TCP. */
static void fit(struct dmuxd *d, const struct nfqueue_packet *p, const struct packet_info *info, instant now)
{
    uint8_t piece[TRAIN_ROOM];
    struct ipv4_fragment f;
    int n;

    if (ipv4_fragment_init(&f, p->data, info, PROTOCOL_PACKET_MAX) == 0) {
        while ((n = ipv4_fragment_next(&f, piece, sizeof(piece))) > 0)
            d->role->on_packet(d, piece, (size_t)n, now);
        return;
    }
    n = ptb_make(piece, sizeof(piece), p->data, info, &d->config->gateways[0].addr, PROTOCOL_PACKET_MAX);
    if (n > 0)
        dmuxd_to_device(d, piece, (size_t)n, 0);
    dmuxd_device_flush(d); /* it goes with this function */
}

static void take(struct dmuxd *d, const struct nfqueue_packet *p, instant now)
{
    struct packet_info info;
    struct tun_meta meta = { .gso = TUN_GSO_NONE };

    d->capture->pkts++;
    if (packet_parse(p->data, p->len, &info) < 0) {
        d->capture->refused++;
        return;
    }
    if (info.proto == PROTO_TCP && !info.fragment) {
        meta.needs_csum = p->needs_csum;
        meta.csum_start = info.l4_off;
        meta.csum_offset = CSUM_OFFSET_TCP;
        meta.hdr_bytes = info.payload_off;
        if (info.total_len > PROTOCOL_PACKET_MAX) {
            meta.gso = TUN_GSO_TCP4;
            meta.gso_bytes = (uint16_t)(PROTOCOL_PACKET_MAX - info.payload_off);
        }
    } else if (info.total_len > PROTOCOL_PACKET_MAX) {
        fit(d, p, &info, now);
        return;
    }
    dmuxd_from_device(d, p->data, p->len, &meta, now);
}

static void on_queue(uv_poll_t *h, int status, int events)
{
    struct dmuxd *d = h->data;
    struct nfqueue *q = d->capture->queues[h - d->capture->polls];
    struct nfqueue_packet p;
    instant now = clock_now();
    int r = 1, verdict;

    for (int i = 0; i < NFQUEUE_BATCH && (r = nfqueue_next(q, &p)) == 1; i++)
        take(d, &p, now);
    verdict = nfqueue_keep(q);
    if (r < 0 || (verdict < 0 && verdict != -ENOMEM)) {
        dmuxd_say(LOG_ERR, "capture queue error=%s", strerror(r < 0 ? -r : -verdict));
        dmuxd_finish(d, 1);
        return;
    }
    dmuxd_turn(d, now);
}

/* --- start and end --- */

static const char *why(int r)
{
    return r == -EBUSY        ? "another program has it (Queue names another)"
           : r == -EOPNOTSUPP ? "the kernel has no NFQUEUE (CONFIG_NETFILTER_NETLINK_QUEUE)"
                              : strerror(-r);
}

static int open_queues(struct dmuxd *d)
{
    struct capture *c = d->capture;

    for (unsigned i = 0; i < QUEUES; i++) {
        int r = nfqueue_open((uint16_t)(d->config->queue + i), i == 0, &c->queues[i]);

        if (r < 0) {
            dmuxd_say(LOG_ERR, "capture queue=%u error=%s", d->config->queue + i, why(r));
            return r;
        }
        r = uv_poll_init(&d->loop, &c->polls[i], nfqueue_fd(c->queues[i]));
        c->polls[i].data = d;
        if (r == 0)
            r = uv_poll_start(&c->polls[i], UV_READABLE, on_queue);
        if (r < 0)
            return r;
    }
    return 0;
}

int dmuxd_capture_start(struct dmuxd *d)
{
    char err[512];
    int r;

    d->capture = calloc(1, sizeof(*d->capture));
    if (!d->capture)
        return -ENOMEM;
    d->capture->sweeper_fd = -1;
    r = xt_capture_remove(tun_name(d->tun), err, sizeof(err));
    if (r < 0) {
        dmuxd_say(LOG_ERR, "capture error=%s", err);
        return r;
    }
    r = route_source_check_set(tun_name(d->tun), 2); /* answers come in where nothing goes out */
    if (r < 0) {
        dmuxd_say(LOG_ERR, "capture rp_filter of %s error=%s", tun_name(d->tun), strerror(-r));
        return r;
    }
    r = open_queues(d);
    return r < 0 ? r : sweeper_start(d->capture, tun_name(d->tun));
}

void dmuxd_capture_status(struct dmuxd *d, json_t *doc)
{
    const struct capture *c = d->capture;
    const char *state = c->source.family != ADDR_NONE   ? "on"
                        : c->denied.family != ADDR_NONE ? "behind-nat"
                        : c->retry_at != 0              ? "refused"
                                                        : "off";

    const uint64_t lost = nfqueue_lost(c->queues[0]) + nfqueue_lost(c->queues[1]);

    json_object_set_new(doc, "capture",
                        json_pack("{s:s, s:I, s:I, s:I}", "state", state, "pkts", (json_int_t)c->pkts, "refused",
                                  (json_int_t)c->refused, "lost", (json_int_t)lost));
}

void dmuxd_capture_end(struct dmuxd *d)
{
    struct capture *c = d->capture;

    if (!c)
        return;
    if (c->sweeper_fd >= 0) {
        close(c->sweeper_fd);
        while (waitpid(c->sweeper, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    for (unsigned i = 0; i < QUEUES; i++)
        nfqueue_free(c->queues[i]);
    free(c);
}
