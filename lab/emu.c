/* hawser-emu: one emulated link between two network namespaces.
 *
 * Theory of operation. One process, one thread, holds the far sides of two TAP (or TUN) interfaces, each made inside a
 * namespace. A frame read from one end is pushed into that direction's link model (sim/link.h) at the clock's time;
 * when the model says that it is due it is written to the other end. Between deadlines the process sleeps in ppoll; it
 * wakes --spin microseconds early and looks at the descriptors and the clock in turn until the deadline, so that the
 * timer's own slack (50 to 150 us in a virtual machine) does not become the link's. Spinning may take 5 % of the time
 * at most: at 500 Mbit/s a packet is due every 24 us, a spin of 30 us would never end, and the kernel's real-time
 * throttling would stop the process for 35 to 50 ms in each second (measured: p99 34 ms, against 52 us without). It
 * runs under SCHED_FIFO with its memory locked if it may, and says so in its report if it may not. How late each packet
 * was written is kept in a histogram: a figure measured over this link is worth something only if that is small.
 *
 * Rates count IP bytes: a TAP frame less its 14 bytes of Ethernet. The neighbours' own talk (ARP, IPv6 neighbour and
 * router discovery, and whatever is not IP) passes at once, unshaped and uncounted, unless the carrier is down: it
 * stands for the local network in front of the link, so that a silent link does not look like a dead neighbour.
 *
 * Not seen by the model: the time between the kernel's queueing of a frame and our reading of it, which is our wake-up
 * time, and frames that the interface's own ring (4096) drops before we read them.
 *
 * Limits: 32768 packets held in each direction, 2 KiB each, taken as needed; frames up to 2032 bytes; 64 frames read
 * from an end before the deadlines are looked at again; control requests of 1023 bytes, 8 clients. Lateness is exact
 * below 64 us and to 3 % above.
 *
 * Sources: tun(4) of the kernel's documentation (networking/tuntap.rst), TUNSETCARRIER in linux/if_tun.h. */
#include "lab/emu.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 32768
#define FRAMES_PER_CHUNK 256
#define READ_BATCH 64
#define ETHER_LEN 14
#define POLL_EVERY 256  /* busy rounds between two looks at control and signals; chosen: well under 10 ms */
#define SPIN_DEFAULT 50 /* us */
#define SPIN_MAX 50
#define SPIN_SHARE 20    /* one part in so many of the time slept may be spent spinning */
#define SPIN_CREDIT 1000 /* us: the most that may be saved up */
#define RT_PRIORITY 10   /* chosen: above all ordinary work, below what an administrator raised by hand */

instant clock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (instant)t.tv_sec * SEC + t.tv_nsec / 1000;
}

/* Lateness. */

static size_t bucket_of(uint64_t us)
{
    unsigned shift = us < 64 ? 0 : 58 - (unsigned)__builtin_clzll(us);

    return MIN(shift * 32 + (us >> shift), (uint64_t)HISTOGRAM_LEN - 1);
}

static void histogram_add(struct histogram *h, span late)
{
    uint64_t us = late > 0 ? (uint64_t)late : 0;

    h->count++;
    h->max_us = MAX(h->max_us, us);
    h->buckets[bucket_of(us)]++;
}

/* Frames. */

static struct frame *frame_take(struct emu *e)
{
    struct frame *f = e->free;

    if (!f) {
        struct frame *chunk = calloc(FRAMES_PER_CHUNK, sizeof(*chunk));

        if (!chunk)
            return NULL;
        for (size_t i = 0; i < FRAMES_PER_CHUNK; i++) {
            chunk[i].next = e->free;
            e->free = &chunk[i];
        }
        f = e->free;
    }
    e->free = f->next;
    return f;
}

static void frame_give(struct emu *e, struct frame *f)
{
    f->next = e->free;
    e->free = f;
}

/* Names. */

/* A namespace that was deleted tells nothing (end.h): watch the names. */
static int names_watch(struct emu *e)
{
    e->names_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (e->names_fd < 0)
        return -errno;
    if (inotify_add_watch(e->names_fd, END_NETNS_DIR, IN_DELETE | IN_ONLYDIR) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

static void names_check(struct emu *e)
{
    char events[1024];

    while (read(e->names_fd, events, sizeof(events)) > 0)
        ;
    for (size_t i = 0; i < 2; i++)
        if (end_is_gone(&e->ends[i]))
            e->stop = true;
}

void carrier_set(struct emu *e, bool on)
{
    int value = on;

    for (size_t i = 0; i < 2; i++)
        if (ioctl(e->ends[i].fd, TUNSETCARRIER, &value) < 0)
            fprintf(stderr, "hawser-emu: carrier of %s: %s\n", e->ends[i].ifname, strerror(errno));
    e->carrier = on;
}

/* The packet path. */

/* How many bytes of the frame stand before IP; -1 if the frame is not for the model. */
static int ip_offset(const struct emu *e, const struct frame *f)
{
    const uint8_t *ip = f->data + ETHER_LEN;
    uint16_t type;

    if (e->tun)
        return 0;
    if (f->len <= ETHER_LEN)
        return -1;
    type = get_be16(f->data + 12);
    if (type == 0x0800)
        return ETHER_LEN;
    if (type != 0x86dd)
        return -1;
    /* ICMPv6 router and neighbour discovery: types 133 to 137. */
    if (f->len > ETHER_LEN + 40 && ip[6] == IPPROTO_ICMPV6 && ip[40] >= 133 && ip[40] <= 137)
        return -1;
    return ETHER_LEN;
}

static void frame_write(struct emu *e, struct direction *d, const struct frame *f)
{
    struct end *to = &e->ends[d == &e->dirs[0]];

    if (write(to->fd, f->data, f->len) == (ssize_t)f->len)
        return;
    d->unwritten++;
    if (errno == EBADFD || errno == ENODEV)
        e->stop = true;
}

/* Writes what is due, at most a batch; true if there may be more. */
static bool deliver(struct emu *e, struct direction *d)
{
    struct link_out out;

    for (int i = 0; i < READ_BATCH; i++) {
        instant now = clock_now();
        struct frame *f;

        if (!link_pop(&d->link, now, &out))
            return false;
        f = out.pkt;
        if (out.flip_bit >= 0) {
            size_t at = f->len - out.len + (size_t)out.flip_bit / 8;

            f->data[at] ^= (uint8_t)(1 << out.flip_bit % 8);
        }
        if (out.copies > 0)
            histogram_add(&e->lateness, now - out.due);
        for (unsigned copy = 0; copy < out.copies; copy++)
            frame_write(e, d, f);
        frame_give(e, f);
    }
    return true;
}

/* Reads at most a batch; true if there was something. */
static bool take_in(struct emu *e, struct direction *d)
{
    struct end *from = &e->ends[d == &e->dirs[1]];

    for (int i = 0; i < READ_BATCH; i++) {
        struct frame *f = frame_take(e);
        ssize_t n = f ? read(from->fd, f->data, sizeof(f->data)) : -1;
        int offset;

        if (n <= 0) {
            if (f)
                frame_give(e, f);
            if (f && n < 0 && (errno == EBADFD || errno == ENODEV))
                e->stop = true;
            return i > 0;
        }
        f->len = (uint32_t)n;
        offset = ip_offset(e, f);
        if (offset < 0) {
            d->bypassed++;
            if (!d->link.params.down)
                frame_write(e, d, f);
            frame_give(e, f);
        } else if (link_push(&d->link, f, f->len - (uint32_t)offset, clock_now()) != LINK_QUEUED) {
            frame_give(e, f);
        }
    }
    return true;
}

/* The loop. */

/* Waits for a frame, a request or a signal, at most `wait`; only looks when wait is 0. */
static void look(struct emu *e, span wait, const sigset_t *open_mask)
{
    struct pollfd fds[4 + CLIENTS_MAX];
    struct timespec t = { .tv_sec = wait / SEC, .tv_nsec = wait % SEC * 1000 };

    for (size_t i = 0; i < 2; i++)
        fds[i] = (struct pollfd){ .fd = e->ends[i].fd, .events = POLLIN };
    fds[2] = (struct pollfd){ .fd = e->control_fd, .events = POLLIN };
    fds[3] = (struct pollfd){ .fd = e->names_fd, .events = POLLIN };
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        fds[4 + i] = (struct pollfd){ .fd = e->clients[i], .events = POLLIN };
    if (ppoll(fds, ARRAY_LEN(fds), wait == INSTANT_NEVER ? NULL : &t, open_mask) <= 0)
        return;
    if ((fds[0].revents | fds[1].revents) & (POLLERR | POLLNVAL))
        e->stop = true;
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (fds[4 + i].revents)
            client_serve(e, i);
    if (fds[2].revents)
        client_accept(e);
    if (fds[3].revents)
        names_check(e);
}

static void run(struct emu *e, const sigset_t *open_mask)
{
    instant charged = INSTANT_NEVER; /* the deadline that the present spin was paid for */
    span credit = 0;
    unsigned busy = 0;

    while (!e->stop && !ends_signalled()) {
        bool more = false;
        instant next, before;
        span wait;

        for (size_t i = 0; i < 2; i++)
            more |= deliver(e, &e->dirs[i]);
        for (size_t i = 0; i < 2; i++)
            more |= take_in(e, &e->dirs[i]);
        next = instant_min(link_next_expiry(&e->dirs[0].link), link_next_expiry(&e->dirs[1].link));
        before = clock_now();
        wait = next == INSTANT_NEVER ? INSTANT_NEVER : MAX(next - before, 0);
        if (wait <= e->spin && next != charged && credit >= e->spin) {
            credit -= wait;
            charged = next;
        }
        if (more || wait == 0 || (next == charged && next != INSTANT_NEVER)) {
            if (++busy % POLL_EVERY == 0)
                look(e, 0, open_mask);
            continue;
        }
        if (wait != INSTANT_NEVER && wait > e->spin && credit >= e->spin)
            wait -= e->spin;
        look(e, wait, open_mask);
        credit = MIN(credit + (clock_now() - before) / SPIN_SHARE, SPIN_CREDIT);
    }
}

static void realtime_start(struct emu *e)
{
    struct sched_param sp = { .sched_priority = RT_PRIORITY };

    if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
        fprintf(stderr, "hawser-emu: memory is not locked: %s\n", strerror(errno));
    if (!e->want_realtime)
        return;
    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &sp) < 0)
        fprintf(stderr, "hawser-emu: no real-time priority, lateness will be larger: %s\n", strerror(errno));
    else
        e->realtime = true;
    prctl(PR_SET_TIMERSLACK, 1);
}

static void report_write(const struct emu *e)
{
    char buf[REPLY_MAX];
    struct text t;
    FILE *f;

    if (!e->report_path)
        return;
    text_init(&t, buf, sizeof(buf));
    stats_json(e, &t);
    f = fopen(e->report_path, "we");
    if (!f || fputs(buf, f) < 0)
        fprintf(stderr, "hawser-emu: %s: %s\n", e->report_path, strerror(errno));
    if (f)
        fclose(f);
}

static const char usage[] =
    "usage: hawser-emu --a NETNS:IF --b NETNS:IF [options]     (an empty NETNS is the present one)\n"
    "       hawser-emu ctl SOCKET set ab|ba|both PARAMS | carrier up|down | stats | reset\n"
    "  --ab PARAMS, --ba PARAMS, --both PARAMS   as in sim/link.h, e.g. \"rate=20mbit delay=15ms loss=1%\"; IP bytes "
    "count\n"
    "  --seed N         of all random draws (default 1)\n"
    "  --control PATH   a socket for `hawser-emu ctl`\n"
    "  --report FILE    counters and lateness as JSON at the end\n"
    "  --tun            TUN ends instead of TAP\n"
    "  --mtu N          of the interfaces (default 1500, at most 2018)\n"
    "  --mac-a MAC, --mac-b MAC\n"
    "  --spin US        busy waiting before a deadline, 0 to 50 (default 50), in 5 % of the time at most\n"
    "  --no-rt          ordinary priority\n";

static int fail(const char *option, const char *value, const char *expected)
{
    fprintf(stderr, "hawser-emu: %s %s: expected %s\n", option, value, expected);
    return -EINVAL;
}

static int mac_parse(const char *option, const char *s, struct end *ret)
{
    uint8_t *m = ret->mac;
    int used = 0;

    if (sscanf(s, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5], &used) != 6 ||
        s[used] != '\0' || m[0] & 1)
        return fail(option, s, "a unicast address such as 02:00:00:00:00:01");
    ret->has_mac = true;
    return 0;
}

static int count_parse(const char *option, const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
    char *end, expected[64];
    uint64_t v;

    errno = 0;
    v = strtoull(s, &end, 10);
    snprintf(expected, sizeof(expected), "a number from %" PRIu64 " to %" PRIu64, min, max);
    if (*s < '0' || *s > '9' || *end != '\0' || errno != 0 || v < min || v > max)
        return fail(option, s, expected);
    *ret = v;
    return 0;
}

enum {
    OPT_A = 256,
    OPT_B,
    OPT_AB,
    OPT_BA,
    OPT_BOTH,
    OPT_SEED,
    OPT_CONTROL,
    OPT_REPORT,
    OPT_TUN,
    OPT_MTU,
    OPT_MAC_A,
    OPT_MAC_B,
    OPT_SPIN,
    OPT_NO_RT,
    OPT_HELP
};

static const struct option options[] = {
    { "a", required_argument, NULL, OPT_A },
    { "b", required_argument, NULL, OPT_B },
    { "ab", required_argument, NULL, OPT_AB },
    { "ba", required_argument, NULL, OPT_BA },
    { "both", required_argument, NULL, OPT_BOTH },
    { "seed", required_argument, NULL, OPT_SEED },
    { "control", required_argument, NULL, OPT_CONTROL },
    { "report", required_argument, NULL, OPT_REPORT },
    { "tun", no_argument, NULL, OPT_TUN },
    { "mtu", required_argument, NULL, OPT_MTU },
    { "mac-a", required_argument, NULL, OPT_MAC_A },
    { "mac-b", required_argument, NULL, OPT_MAC_B },
    { "spin", required_argument, NULL, OPT_SPIN },
    { "no-rt", no_argument, NULL, OPT_NO_RT },
    { "help", no_argument, NULL, OPT_HELP },
    { NULL, 0, NULL, 0 },
};

struct arguments {
    const char *params[3]; /* ab, ba, both */
};

static int option_read(struct emu *e, struct arguments *args, int option)
{
    uint64_t n;
    int r = 0;

    switch (option) {
    case OPT_A:
    case OPT_B:
        if (end_parse(optarg, &e->ends[option == OPT_B]) < 0)
            return fail(option == OPT_A ? "--a" : "--b", optarg, END_EXPECTED);
        return 0;
    case OPT_MAC_A:
    case OPT_MAC_B:
        return mac_parse("--mac", optarg, &e->ends[option == OPT_MAC_B]);
    case OPT_AB:
    case OPT_BA:
    case OPT_BOTH:
        args->params[option - OPT_AB] = optarg;
        return 0;
    case OPT_SEED:
        return count_parse("--seed", optarg, 0, UINT64_MAX, &e->seed);
    case OPT_CONTROL:
        e->control_path = optarg;
        return 0;
    case OPT_REPORT:
        e->report_path = optarg;
        return 0;
    case OPT_TUN:
        e->tun = true;
        return 0;
    case OPT_MTU:
        r = count_parse("--mtu", optarg, 68, FRAME_MAX - ETHER_LEN, &n);
        e->mtu = r == 0 ? (unsigned)n : e->mtu;
        return r;
    case OPT_SPIN:
        r = count_parse("--spin", optarg, 0, SPIN_MAX, &n);
        e->spin = r == 0 ? (span)n : e->spin;
        return r;
    case OPT_NO_RT:
        e->want_realtime = false;
        return 0;
    default:
        fputs(usage, stderr);
        return -EINVAL;
    }
}

static int links_open(struct emu *e, const struct arguments *args)
{
    static const unsigned which[3] = { 1, 2, 3 };
    static const char *const names[3] = { "--ab", "--ba", "--both" };
    static const size_t order[3] = { 2, 0, 1 };
    struct prng seeds;
    char err[LINK_ERROR_MAX] = "";
    int r = names_watch(e);

    if (r < 0)
        return r;
    prng_init(&seeds, e->seed);
    for (size_t i = 0; i < 2; i++) {
        r = link_init(&e->dirs[i].link, SLOTS, prng_u64(&seeds));
        if (r < 0)
            return r;
    }
    r = ends_open("hawser-emu", e->ends, e->tun, e->mtu);
    if (r < 0)
        return r;
    e->carrier = true;
    for (size_t i = 0; i < 3; i++) {
        const char *text = args->params[order[i]];

        if (text && params_set(e, which[order[i]], text, err) < 0) {
            fprintf(stderr, "hawser-emu: %s: %s\n", names[order[i]], err);
            return -EINVAL;
        }
    }
    if (e->control_path && (r = control_open(e)) < 0) {
        fprintf(stderr, "hawser-emu: %s: %s\n", e->control_path, strerror(-r));
        return r;
    }
    return 0;
}

static void emu_close(struct emu *e)
{
    for (size_t i = 0; i < 2; i++)
        link_deinit(&e->dirs[i].link); /* frames belong to their chunks, which go with the process */
    ends_close(e->ends);
    if (e->control_fd >= 0)
        close(e->control_fd);
    if (e->names_fd >= 0)
        close(e->names_fd);
    if (e->control_path)
        unlink(e->control_path);
    while (e->traces) {
        struct trace_entry *entry = e->traces;

        e->traces = entry->next;
        link_trace_deinit(&entry->trace);
        free(entry);
    }
}

int main(int argc, char **argv)
{
    static struct emu e = {
        .ends = { { .fd = -1 }, { .fd = -1 } },
        .dirs = { { .name = "ab" }, { .name = "ba" } },
        .control_fd = -1,
        .names_fd = -1,
        .seed = 1,
        .mtu = 1500,
        .spin = SPIN_DEFAULT,
        .want_realtime = true,
    };
    struct arguments args = { { NULL } };
    sigset_t open_mask;
    pid_t parent = getppid();
    int option;

    if (argc > 1 && strcmp(argv[1], "ctl") == 0)
        return control_main(argc, argv);
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
        if (option_read(&e, &args, option) < 0)
            return 2;
    if (optind < argc || !e.ends[0].ifname[0] || !e.ends[1].ifname[0]) {
        fputs(usage, stderr);
        return 2;
    }
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        e.clients[i] = -1;
    ends_catch(&open_mask);
    /* A parent that went before we asked leaves us with another one. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        return 1;
    e.started = clock_now();
    if (links_open(&e, &args) < 0) {
        emu_close(&e);
        return 1;
    }
    realtime_start(&e);
    run(&e, &open_mask);
    report_write(&e);
    emu_close(&e);
    return 0;
}
