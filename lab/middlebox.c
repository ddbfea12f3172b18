/* hawser-middlebox: a wire between two network namespaces that does to TCP what middleboxes of the Internet do.
 *
 * Theory of operation. One process, one thread, holds two TUN interfaces, each made inside a namespace. What is read
 * from one is given to lab/middlebox_tcp.c, and what that gives back is written to the other, at once. There is no
 * queue and no rate: the emulator (emu.c) has those. At its end (SIGTERM, SIGINT, SIGHUP, or an interface that has
 * gone) it prints one line of JSON:
 *
 *     packets, connections               that came, both ways; whose SYN was seen
 *     options_stripped, segments_recut   options; segments that came out as several
 *     edits, bytes_inserted              connections that were edited; by how much, negative if shortened
 *     untracked, no_place, unwritten     segments of no known connection; SYNs that found the table full; packets
 *                                        that an interface did not take
 *
 * Limits: those of middlebox_tcp.c; MTUs up to 9000 bytes; 64 packets read from an end before the other has its turn.
 *
 * Sources: tun(4) of the kernel's documentation (networking/tuntap.rst). */
#include "lab/end.h"
#include "lab/middlebox_tcp.h"
#include "sys/clock.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define READ_BATCH 64
#define MTU_MAX 9000 /* chosen: the largest that Ethernet has in use */

struct wire {
    struct end ends[2];
    struct middlebox box;
    uint64_t unwritten;
    bool stop;
};

static bool has_gone(int error)
{
    return error == EBADFD || error == ENODEV;
}

static void carry(struct wire *w, size_t from)
{
    static uint8_t packet[PACKET_MAX];
    const struct end *to = &w->ends[!from];

    for (int i = 0; i < READ_BATCH; i++) {
        ssize_t n = read(w->ends[from].fd, packet, sizeof(packet));
        size_t len;

        if (n <= 0) {
            w->stop |= n < 0 && has_gone(errno);
            return;
        }
        middlebox_push(&w->box, packet, (size_t)n, clock_now());
        while ((len = middlebox_pop(&w->box, packet)) > 0) {
            if (write(to->fd, packet, len) == (ssize_t)len)
                continue;
            w->unwritten++;
            w->stop |= has_gone(errno);
        }
    }
}

static void run(struct wire *w, const sigset_t *open_mask)
{
    while (!w->stop && !ends_signalled()) {
        struct pollfd fds[2] = { { .fd = w->ends[0].fd, .events = POLLIN }, { .fd = w->ends[1].fd, .events = POLLIN } };

        if (ppoll(fds, ARRAY_LEN(fds), NULL, open_mask) <= 0)
            continue;
        for (size_t i = 0; i < 2; i++)
            if (fds[i].revents)
                carry(w, i);
        w->stop |= ((fds[0].revents | fds[1].revents) & (POLLERR | POLLNVAL)) != 0;
    }
}

static void report(const struct wire *w)
{
    const struct middlebox_counts *c = &w->box.counts;

    printf("{\"packets\":%" PRIu64 ",\"connections\":%" PRIu64 ",\"options_stripped\":%" PRIu64
           ",\"numbers_moved\":%" PRIu64 ",\"segments_recut\":%" PRIu64 ",\"edits\":%" PRIu64
           ",\"bytes_inserted\":%" PRId64 ",\"untracked\":%" PRIu64 ",\"no_place\":%" PRIu64 ",\"unwritten\":%" PRIu64
           "}\n",
           c->packets, c->connections, c->options_stripped, c->numbers_moved, c->segments_recut, c->edits,
           c->bytes_inserted, c->untracked, c->no_place, w->unwritten);
}

/* Arguments. */

static const char usage[] =
    "usage: hawser-middlebox --a NETNS:IF --b NETNS:IF [options]     (an empty NETNS is the present one)\n"
    "  --strip-options      every TCP option but MSS is replaced by NOPs\n"
    "  --strip-mptcp        MPTCP's options (kind 30) are\n"
    "  --rewrite-seq        the sequence numbers of who connects are moved by a random distance\n"
    "  --recut N            segments of more than N bytes, 1 to 65535, are cut\n"
    "  --grow K:FROM:TO     behind the first K bytes of who connects, the first FROM is replaced by TO, once a\n"
    "                       connection; without FROM, TO is inserted there; up to 64 bytes each\n"
    "  --mtu N              of the interfaces (default 1500, 576 to 9000)\n";

static int fail(const char *option, const char *value, const char *expected)
{
    fprintf(stderr, "hawser-middlebox: %s %s: expected %s\n", option, value, expected);
    return -EINVAL;
}

/* A number in s that ends at `stop`. */
static int number_parse(const char *s, char stop, uint32_t min, uint32_t max, uint32_t *ret)
{
    char *end;
    unsigned long long v;

    errno = 0;
    v = strtoull(s, &end, 10);
    if (*s < '0' || *s > '9' || *end != stop || errno != 0 || v < min || v > max)
        return -EINVAL;
    *ret = (uint32_t)v;
    return 0;
}

static int grow_parse(const char *s, struct middlebox_options *ret)
{
    const char *from = strchr(s, ':'), *to = from ? strchr(from + 1, ':') : NULL;
    size_t from_len = to ? (size_t)(to - from - 1) : 0, to_len = to ? strlen(to + 1) : 0;

    if (!to || number_parse(s, ':', 0, MIDDLEBOX_AFTER_MAX, &ret->after) < 0 || from_len > MIDDLEBOX_TEXT_MAX ||
        to_len < 1 || to_len > MIDDLEBOX_TEXT_MAX)
        return fail("--grow", s, "K:FROM:TO, K of at most 1073741824, texts of at most 64 bytes, TO of at least one");
    memcpy(ret->from, from + 1, from_len);
    memcpy(ret->to, to + 1, to_len);
    ret->from_len = (uint8_t)from_len;
    ret->to_len = (uint8_t)to_len;
    ret->grow = true;
    return 0;
}

enum {
    OPT_A = 256,
    OPT_B,
    OPT_STRIP_OPTIONS,
    OPT_STRIP_MPTCP,
    OPT_REWRITE_SEQ,
    OPT_RECUT,
    OPT_GROW,
    OPT_MTU,
    OPT_HELP
};

static const struct option options[] = {
    { "a", required_argument, NULL, OPT_A },
    { "b", required_argument, NULL, OPT_B },
    { "strip-options", no_argument, NULL, OPT_STRIP_OPTIONS },
    { "strip-mptcp", no_argument, NULL, OPT_STRIP_MPTCP },
    { "rewrite-seq", no_argument, NULL, OPT_REWRITE_SEQ },
    { "recut", required_argument, NULL, OPT_RECUT },
    { "grow", required_argument, NULL, OPT_GROW },
    { "mtu", required_argument, NULL, OPT_MTU },
    { "help", no_argument, NULL, OPT_HELP },
    { NULL, 0, NULL, 0 },
};

static int option_read(struct wire *w, struct middlebox_options *o, int option)
{
    uint32_t n;

    switch (option) {
    case OPT_A:
    case OPT_B:
        if (end_parse(optarg, &w->ends[option == OPT_B]) < 0)
            return fail(option == OPT_A ? "--a" : "--b", optarg, END_EXPECTED);
        return 0;
    case OPT_STRIP_OPTIONS:
        o->strip_options = true;
        return 0;
    case OPT_STRIP_MPTCP:
        o->strip_mptcp = true;
        return 0;
    case OPT_REWRITE_SEQ:
        o->rewrite_seq = true;
        return 0;
    case OPT_RECUT:
        if (number_parse(optarg, '\0', 1, UINT16_MAX, &n) < 0)
            return fail("--recut", optarg, "a number from 1 to 65535");
        o->recut = (uint16_t)n;
        return 0;
    case OPT_GROW:
        return grow_parse(optarg, o);
    case OPT_MTU:
        if (number_parse(optarg, '\0', MIDDLEBOX_MTU_MIN, MTU_MAX, &n) < 0)
            return fail("--mtu", optarg, "a number from 576 to 9000");
        o->mtu = (uint16_t)n;
        return 0;
    default:
        fputs(usage, stderr);
        return -EINVAL;
    }
}

int main(int argc, char **argv)
{
    static struct wire w = { .ends = { { .fd = -1 }, { .fd = -1 } } };
    struct middlebox_options o = { .mtu = 1500 };
    struct rng rng = sys_rng();
    sigset_t open_mask;
    int option, r;

    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
        if (option_read(&w, &o, option) < 0)
            return 2;
    if (optind < argc || !w.ends[0].ifname[0] || !w.ends[1].ifname[0]) {
        fputs(usage, stderr);
        return 2;
    }
    ends_catch(&open_mask);
    middlebox_init(&w.box, &o, &rng);
    r = ends_open("hawser-middlebox", w.ends, true, o.mtu);
    if (r == 0) {
        run(&w, &open_mask);
        report(&w);
    }
    ends_close(w.ends);
    middlebox_deinit(&w.box);
    return r < 0;
}
