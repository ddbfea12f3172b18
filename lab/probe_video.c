/* video: takes an RTP stream of H.264 and counts frames.
 *
 * Theory of operation. Every packet's number, timestamp and marker are kept; the count is made at the end, so that
 * order and duplicates do not matter. Packets of one timestamp are one frame. A frame is whole when all numbers from
 * its first packet to the one with the marker are there, and its first packet is known to be its first: the number
 * before it carries the marker of another frame, or its own payload begins an access unit. All other frames are lost,
 * and so are frames of which nothing came: the timestamps, 90 kHz over the frame rate apart, tell how many there were.
 * The stream's first frame is taken as whole from its first packet on, and the last one does not count: the sender may
 * have been stopped in it.
 *
 * --frames writes a line for each frame: when it was due here (seconds of CLOCK_REALTIME, by its timestamp, counted
 * from the first frame's arrival), how late its last packet was (ms), and 1 whole or 0 lost.
 *
 * Limits: PACKETS_MAX packets, one source, constant frame rate.
 *
 * Sources: RFC 3550 5.1 (header), RFC 6184 5.4-5.8 (NAL units, FU-A, STAP-A), H.264 7.3.3 (first_mb_in_slice). */
#include "lab/probe.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define PACKETS_MAX 400000 /* 20 minutes of 2 Mbit/s */
#define RTP_HEADER 12
#define CLOCK_HZ 90000
#define FPS 30
#define FRAME_TICKS (CLOCK_HZ / FPS)
#define NEAR 30000 /* numbers: farther than this from the newest is not this stream (RFC 3550 A.1's order) */
#define IDLE_NS 3000000000

struct packet {
    uint32_t timestamp;
    int64_t arrived; /* ns; 0: not there */
    bool marker, starts;
};

struct video {
    struct packet *packets; /* by extended number from base */
    uint32_t base, highest;
    uint64_t received, duplicates, foreign;
    bool any;
    double first_time;
    int64_t first_ns, last_ns;
};

/* Does this payload begin a picture? */
static bool starts_picture(const uint8_t *p, size_t len)
{
    unsigned type;

    if (len < 3)
        return false;
    type = p[0] & 31;
    if (type == 24 && len >= 4) { /* STAP-A: the first unit in it */
        p += 3;
        len -= 3;
        type = p[0] & 31;
    } else if (type == 28) { /* FU-A */
        if (!(p[1] & 0x80))
            return false;
        type = p[1] & 31;
        p++;
        len--;
    }
    if (type == 9 || type == 7)
        return true; /* access unit delimiter, sequence parameters */
    /* Slice of a picture that has no parameters in front: first_mb_in_slice 0 is one set bit. */
    return type == 1 && len >= 2 && (p[1] & 0x80);
}

static void on_rtp(struct video *v, const uint8_t *buf, size_t len, int64_t now)
{
    struct packet *p;
    size_t header;
    uint32_t seq;
    int16_t step;

    if (len < RTP_HEADER || buf[0] >> 6 != 2)
        return;
    header = RTP_HEADER + (size_t)(buf[0] & 15) * 4;
    if (len <= header)
        return;
    seq = get_be16(buf + 2);
    if (!v->any) {
        v->any = true;
        v->base = v->highest = seq;
        v->first_time = probe_time();
        v->first_ns = now;
    }
    step = (int16_t)(uint16_t)(seq - (v->highest & 0xffff));
    seq = v->highest + (uint32_t)(int32_t)step;
    if (step > NEAR || step < -NEAR || seq - v->base >= PACKETS_MAX) {
        v->foreign++;
        return;
    }
    v->highest = step > 0 ? seq : v->highest;
    p = &v->packets[seq - v->base];
    if (p->arrived) {
        v->duplicates++;
        return;
    }
    *p = (struct packet){ .timestamp = get_be32(buf + 4),
                          .arrived = now,
                          .marker = buf[1] & 0x80,
                          .starts = starts_picture(buf + header, len - header) };
    v->received++;
    v->last_ns = now;
}

/* The frame that begins at packet *i (there): moves *i behind it. True if it is whole; *ret_arrived is its last
 * packet's time. */
static bool take_frame(const struct video *v, uint32_t *i, uint32_t count, int64_t *ret_arrived)
{
    uint32_t ts = v->packets[*i].timestamp, at = *i;
    const struct packet *first = &v->packets[at];
    bool whole = at == 0 || first->starts || (v->packets[at - 1].arrived && v->packets[at - 1].marker), ends = false;

    *ret_arrived = 0;
    while (at < count && (!v->packets[at].arrived || v->packets[at].timestamp == ts)) {
        const struct packet *p = &v->packets[at];

        if (!p->arrived && !ends)
            whole = false;
        if (p->arrived) {
            whole = whole && !ends;
            ends = p->marker;
            *ret_arrived = MAX(*ret_arrived, p->arrived);
        }
        at++;
    }
    *i = at;
    return whole && ends;
}

static void report(const struct video *v, FILE *frames)
{
    uint32_t count = v->any ? v->highest - v->base + 1 : 0, i = 0, whole = 0, total = 0, first_ts = 0, next = 0;
    double late_max = 0;

    if (v->any)
        first_ts = v->packets[0].timestamp;
    while (i < count) {
        uint32_t ts = v->packets[i].arrived ? v->packets[i].timestamp : 0, number;
        int64_t arrived, due;
        bool good;

        if (!v->packets[i].arrived) {
            i++;
            continue;
        }
        good = take_frame(v, &i, count, &arrived);
        if (i >= count)
            break; /* the last */
        number = (ts - first_ts + FRAME_TICKS / 2) / FRAME_TICKS;
        for (; next < number; next++) {
            if (frames)
                fprintf(frames, "%.3f 0 0\n", v->first_time + (double)next / FPS);
        }
        next = number + 1;
        total = next;
        whole += good;
        due = v->first_ns + (int64_t)number * 1000000000 / FPS;
        if (good)
            late_max = MAX(late_max, (double)(arrived - due) / 1e6);
        if (frames)
            fprintf(frames, "%.3f %.1f %d\n", v->first_time + (double)number / FPS, (double)(arrived - due) / 1e6,
                    good);
    }
    printf("{\"frames\":%u,\"whole\":%u,\"lost\":%u,\"packets\":%" PRIu64 ",\"packets_lost\":%" PRIu64
           ",\"duplicates\":%" PRIu64 ",\"foreign\":%" PRIu64 ",\"late_max_ms\":%.1f,\"seconds\":%.3f}\n",
           total, whole, total - whole, v->received, count - v->received, v->duplicates, v->foreign, late_max,
           (double)(v->last_ns - v->first_ns) / 1e9);
}

int probe_video(int argc, char **argv)
{
    static const struct option options[] = { { "frames", required_argument, NULL, 'f' }, { NULL, 0, NULL, 0 } };
    static uint8_t buf[2048];
    struct video v = { .packets = NULL };
    const char *path = NULL;
    struct endpoint at;
    FILE *frames = NULL;
    int o, fd;

    while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (o != 'f')
            return 2;
        path = optarg;
    }
    if (argc - optind != 1 || endpoint_parse(argv[optind], 0, &at) < 0)
        return 2;
    v.packets = calloc(PACKETS_MAX, sizeof(*v.packets));
    fd = probe_udp_bind(&at);
    if (!v.packets || fd < 0)
        return 1;
    probe_realtime();
    while (!probe_stop) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int n = poll(&p, 1, 100);

        if (v.any && probe_now_ns() - v.last_ns > IDLE_NS)
            break;
        while (n > 0) {
            ssize_t len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

            if (len < 0)
                break;
            on_rtp(&v, buf, (size_t)len, probe_now_ns());
        }
    }
    if (path) {
        frames = fopen(path, "we");
        if (!frames)
            return probe_fail(path);
    }
    report(&v, frames);
    if (frames)
        fclose(frames);
    free(v.packets);
    close(fd);
    return 0;
}
