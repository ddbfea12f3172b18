/* send and recv: a steady stream of numbered datagrams.
 *
 * Theory of operation. The sender writes one datagram each 1/pps seconds by absolute deadlines, each with its number
 * and the time of sending; then END_COPIES markers, END_EVERY apart, that tell how many there were. The receiver notes
 * the first arrival of each number. It reports:
 *
 *   lost, duplicates, reordered   datagrams
 *   gap_ms       the longest time between two arrivals of new datagrams: what an application sees as silence
 *   gap_at       when that gap ended, seconds of CLOCK_REALTIME
 *   outage_ms    the longest run of lost datagrams, as the time in which they were sent
 *   delay_*_ms   one way, of what arrived
 *
 * The sender reports its own greatest lateness: a gap below that means nothing.
 *
 * Limits: STREAM_MAX datagrams (33 minutes of 500 a second), 16 to 1400 bytes each. */
#include "lab/probe.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define MAGIC 0x48575052u /* HWPR */
#define END_SEQ 0xffffffffu
#define HEADER_LEN 16 /* magic, number, ns of sending (in the end marker: how many) */
#define SIZE_MAX_BYTES 1400
#define STREAM_MAX 1000000
#define END_COPIES 20
#define END_EVERY 50000000 /* ns */
#define GRACE 300000000    /* ns that the receiver goes on after the end marker */

int probe_send(int argc, char **argv)
{
    static const struct option options[] = {
        { "pps", required_argument, NULL, 'p' },
        { "seconds", required_argument, NULL, 's' },
        { "size", required_argument, NULL, 'z' },
        { "source", required_argument, NULL, 'f' },
        { NULL, 0, NULL, 0 },
    };
    static uint8_t buf[SIZE_MAX_BYTES];
    double pps = 500, seconds = 5;
    long size = 172; /* chosen: 20 ms of G.711 in RTP */
    int64_t start, late_max = 0;
    uint32_t count, refused = 0;
    struct endpoint to, from = { .port = 0 };
    int o, fd;

    while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (o == 'p')
            pps = strtod(optarg, NULL);
        else if (o == 's')
            seconds = strtod(optarg, NULL);
        else if (o == 'z')
            size = strtol(optarg, NULL, 10);
        else if (o != 'f' || addr_parse(optarg, &from.addr) < 0)
            return 2;
    }
    if (argc - optind != 1 || endpoint_parse(argv[optind], 0, &to) < 0 || size < HEADER_LEN || size > SIZE_MAX_BYTES ||
        pps <= 0 || seconds <= 0 || pps * seconds > STREAM_MAX)
        return 2;
    from.addr.family = from.addr.family ? from.addr.family : to.addr.family;
    fd = probe_udp_connect(&to, &from);
    if (fd < 0)
        return 1;
    probe_realtime();
    count = (uint32_t)(pps * seconds);
    put_be32(buf, MAGIC);
    start = probe_now_ns();
    for (uint32_t i = 0; i < count && !probe_stop; i++) {
        int64_t due = start + (int64_t)((double)i * 1e9 / pps), now;

        probe_sleep_until(due);
        now = probe_now_ns();
        late_max = MAX(late_max, now - due);
        put_be32(buf + 4, i);
        put_be64(buf + 8, (uint64_t)now);
        if (send(fd, buf, (size_t)size, 0) < 0)
            refused++; /* no route, say: it counts as lost at the other end */
    }
    put_be32(buf + 4, END_SEQ);
    put_be64(buf + 8, count);
    for (int i = 0; i < END_COPIES && !probe_stop; i++) {
        /* The first refusal means that the receiver has gone. */
        if (send(fd, buf, HEADER_LEN, 0) < 0 && errno == ECONNREFUSED)
            break;
        probe_sleep_until(probe_now_ns() + END_EVERY);
    }
    close(fd);
    printf("{\"sent\":%u,\"refused\":%u,\"late_max_ms\":%.2f}\n", count, refused, (double)late_max / 1e6);
    return 0;
}

struct stream {
    int64_t *arrived, *sent; /* ns; arrived 0: not yet */
    uint32_t highest, total; /* numbers seen (one above the highest), and told by the end marker */
    uint64_t received, duplicates, reordered;
    int64_t last, gap, delay_min, delay_max;
    double gap_at;
    int64_t ended; /* when to stop; 0: not told */
};

static void on_datagram(struct stream *s, const uint8_t *buf, size_t len, int64_t now)
{
    uint32_t seq;
    int64_t delay;

    if (len < HEADER_LEN || get_be32(buf) != MAGIC)
        return;
    seq = get_be32(buf + 4);
    if (seq == END_SEQ) {
        if (!s->ended)
            s->ended = now + GRACE;
        s->total = (uint32_t)MIN(get_be64(buf + 8), (uint64_t)STREAM_MAX);
        return;
    }
    if (seq >= STREAM_MAX)
        return;
    if (s->arrived[seq]) {
        s->duplicates++;
        return;
    }
    if (s->last && now - s->last > s->gap) {
        s->gap = now - s->last;
        s->gap_at = probe_time();
    }
    s->last = now;
    s->arrived[seq] = now;
    s->sent[seq] = (int64_t)get_be64(buf + 8);
    delay = now - s->sent[seq];
    s->delay_max = MAX(s->delay_max, delay);
    s->delay_min = s->received == 0 ? delay : MIN(s->delay_min, delay);
    s->received++;
    s->reordered += seq < s->highest;
    s->highest = MAX(s->highest, seq + 1);
}

/* The longest time of sending without a delivered datagram, less one regular interval. */
static int64_t outage(const struct stream *s, uint32_t total)
{
    int64_t longest = 0, interval;
    uint32_t last = 0, first = 0;

    while (first < total && !s->arrived[first])
        first++;
    if (s->highest < 2 || first + 1 >= s->highest)
        return 0;
    interval = (s->sent[s->highest - 1] - s->sent[first]) / (s->highest - 1 - first);
    last = first;
    for (uint32_t i = first + 1; i < s->highest; i++) {
        if (!s->arrived[i])
            continue;
        if (i - last > 1)
            longest = MAX(longest, (int64_t)(i - last - 1) * interval);
        last = i;
    }
    longest = MAX(longest, (int64_t)(total - s->highest) * interval);
    return MAX(longest, (int64_t)first * interval);
}

int probe_recv(int argc, char **argv)
{
    static const struct option options[] = { { "idle", required_argument, NULL, 'i' }, { NULL, 0, NULL, 0 } };
    static uint8_t buf[2048];
    struct stream s = { .arrived = NULL };
    double idle = 30;
    struct endpoint at;
    uint32_t total;
    int64_t began;
    int o, fd;

    while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (o != 'i')
            return 2;
        idle = strtod(optarg, NULL);
    }
    if (argc - optind != 1 || endpoint_parse(argv[optind], 0, &at) < 0 || idle <= 0)
        return 2;
    s.arrived = calloc(STREAM_MAX, sizeof(*s.arrived));
    s.sent = calloc(STREAM_MAX, sizeof(*s.sent));
    fd = probe_udp_bind(&at);
    if (!s.arrived || !s.sent || fd < 0)
        return 1;
    probe_realtime();
    began = probe_now_ns();
    while (!probe_stop) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int n = poll(&p, 1, 50);
        int64_t now = probe_now_ns();

        if (s.ended ? now >= s.ended : now - (s.last ? s.last : began) > (int64_t)(idle * 1e9))
            break;
        while (n > 0) {
            ssize_t len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

            if (len < 0)
                break;
            on_datagram(&s, buf, (size_t)len, probe_now_ns());
        }
    }
    total = MAX(s.total, s.highest);
    printf("{\"sent\":%u,\"received\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"duplicates\":%" PRIu64
           ",\"reordered\":%" PRIu64 ",\"gap_ms\":%.1f,\"gap_at\":%.3f,\"outage_ms\":%.1f,\"delay_min_ms\":%.1f,"
           "\"delay_max_ms\":%.1f,\"ended\":%s}\n",
           total, s.received, total - s.received, s.duplicates, s.reordered, (double)s.gap / 1e6, s.gap_at,
           (double)outage(&s, total) / 1e6, (double)s.delay_min / 1e6, (double)s.delay_max / 1e6,
           s.ended ? "true" : "false");
    free(s.arrived);
    free(s.sent);
    close(fd);
    return 0;
}
