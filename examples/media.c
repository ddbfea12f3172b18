/* media: frames at a steady pace, ordered and lossy, each of use for 150 ms (semantics 3), by the paths whose delay
 * varies least.
 *
 *     media listen PORT FRAMES        receives, and tells how many came in time
 *     media call KEY HOST PORT FRAMES sends so many, 30 a second, 4 Mbit/s
 */
#include "ends.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#define RATE 30
#define BYTES (4000000 / 8 / RATE)
#define LIFETIME_MS 150

static long long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Lets the session work until that time. */
static void work_until(struct hws_session *s, long long until)
{
    for (long long left; (left = until - now_ms()) > 0;) {
        struct pollfd fd = { .fd = hws_session_fd(s), .events = POLLIN };

        poll(&fd, 1, (int)left); /* the descriptor wakes for timers, too */
        must("session", hws_session_process(s));
    }
}

static void send_frames(struct hws_session *s, unsigned count)
{
    const struct hws_message m = { .lifetime_ms = LIFETIME_MS };
    static const char frame[BYTES];
    long long begin = now_ms();

    for (unsigned i = 0; i < count; i++) {
        int r = hws_session_send(s, frame, sizeof(frame), &m, sizeof(m));

        if (r != -EAGAIN) /* no room: the camera does not wait */
            must("send", r);
        work_until(s, begin + (i + 1) * 1000LL / RATE);
    }
}

static void receive_frames(struct hws_session *s, unsigned count)
{
    static char frame[HWS_MESSAGE_MAX];
    struct hws_received m;
    unsigned in_time = 0, late = 0;
    ssize_t n;

    while ((n = hws_session_receive(s, frame, sizeof(frame), &m, sizeof(m))) >= 0)
        *(m.left_ms >= 0 ? &in_time : &late) += 1;
    if (n != -ENODATA)
        must("receive", n);
    printf("%u in time, %u late, %u lost\n", in_time, late, count - in_time - late);
}

int main(int argc, char **argv)
{
    const struct hws_options o = { .size = sizeof(o), .objectives = { HWS_JITTER } };
    bool listens;
    char **rest;
    struct hws_session *s = end_open(argc, argv, 1, "FRAMES", &o, &rest, &listens);

    (listens ? receive_frames : send_frames)(s, (unsigned)atoi(rest[0]));
    must("close", hws_session_close(s));
    return 0;
}
