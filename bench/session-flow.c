/* bench/session-flow.c - one flow of bytes between two hosts: by a session of libhawser, or by the least that seals and
 * writes.
 *
 *   session-flow listen session|clear|loop|plain PORT        prints its key (session) and then what came
 *   session-flow call session|clear|loop|plain ADDRESS PORT SECONDS [KEY [TRANSPORT]]
 *
 * Theory of operation. The caller writes blocks of BLOCK bytes for SECONDS, and ends. The listener reads until the end,
 * and counts from WARM after its first byte to the last: one object of JSON with bytes, seconds, Gbit/s, and the
 * processor time that the process took for them. A session has the transport that is named (udp, tcp, mptcp, sctp), on
 * each uplink. The loop seals each block as one record under a fixed key, and writes it behind its length to one TCP
 * connection; the other end reads, and opens each record in place. It has no second path, acknowledgement, window,
 * order or error of its own: never use this. `clear` is a session of which both ends avoid encryption, `plain` one TCP
 * connection with the same blocks and nothing else.
 *
 * Limits: IPv4; a listener takes one caller. */
#include "bench/measure.h"
#include "hawser/session.h"
#include "ident/aead.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 65536
#define RECORD_DATA 65000 /* of the loop: one write of nearly a block, whose length fits 16 bits */
#define PREFIX 2
#define WARM .5

static uint8_t block[BLOCK];

struct count {
    double first, from, to, spent_from;
    uint64_t bytes;
};

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "session-flow: %s: %s\n", what, why);
    return 1;
}

static void count(struct count *c, size_t n)
{
    c->to = measure_now_s(CLOCK_MONOTONIC);
    if (c->first == 0)
        c->first = c->to;
    if (c->to - c->first < WARM)
        return;
    if (c->from == 0) {
        c->from = c->to;
        c->spent_from = measure_now_s(CLOCK_PROCESS_CPUTIME_ID);
        return;
    }
    c->bytes += n;
}

static int tell(const struct count *c)
{
    double seconds = c->to - c->from;

    if (c->from == 0 || seconds <= 0)
        return fail("listen", "too little came");
    printf("{\"bytes\":%llu,\"seconds\":%.3f,\"gbps\":%.3f,\"spent_share\":%.3f}\n", (unsigned long long)c->bytes,
           seconds, (double)c->bytes * 8e-9 / seconds,
           (measure_now_s(CLOCK_PROCESS_CPUTIME_ID) - c->spent_from) / seconds);
    return 0;
}

static struct sockaddr_in at(const char *address, const char *port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };

    if (address)
        inet_pton(AF_INET, address, &sa.sin_addr);
    return sa;
}

/* --- by a session --- */

static int session_listen(const char *port, bool clear)
{
    struct hws_options o = { .size = sizeof(o), .encryption = clear ? HWS_AVOID : 0 };
    struct hws_session *listener, *s;
    struct count c = { 0 };
    char key[HWS_KEY_SIZE];
    ssize_t n;
    int r;

    o.transports[HWS_MPTCP] = o.transports[HWS_SCTP] = HWS_AVOID; /* it takes these too */
    if ((r = hws_session_socket(&o, &listener)) < 0 ||
        (r = hws_session_bind(listener, NULL, (uint16_t)strtoul(port, NULL, 10))) < 0 ||
        (r = hws_session_listen(listener)) < 0)
        return fail("listen", hws_strerror(r));
    hws_session_key(listener, key);
    puts(key);
    fflush(stdout);
    r = hws_session_accept(listener, &s);
    if (r < 0)
        return fail("accept", hws_strerror(r));
    while ((n = hws_session_read(s, block, sizeof(block))) > 0)
        count(&c, (size_t)n);
    hws_session_close(s);
    hws_session_close(listener);
    return n < 0 ? fail("read", hws_strerror((int)n)) : tell(&c);
}

static int session_call(const char *address, const char *port, double seconds, const char *key, const char *transport,
                        bool clear)
{
    static const char *const names[] = {
        [HWS_UDP] = "udp", [HWS_TCP] = "tcp", [HWS_MPTCP] = "mptcp", [HWS_SCTP] = "sctp"
    };
    struct sockaddr_in sa = at(address, port);
    const struct sockaddr *addresses[] = { (struct sockaddr *)&sa };
    struct hws_options o = { .size = sizeof(o), .encryption = clear ? HWS_AVOID : 0 };
    struct hws_session *s;
    double end;
    ssize_t n = 1;
    int r;

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (transport && strcmp(transport, names[i]) == 0)
            o.transports[i] = HWS_REQUIRE;
    if ((r = hws_session_socket(&o, &s)) < 0 || (r = hws_session_connect(s, key, addresses, 1)) < 0)
        return fail("connect", hws_strerror(r));
    for (end = measure_now_s(CLOCK_MONOTONIC) + seconds; n > 0 && measure_now_s(CLOCK_MONOTONIC) < end;)
        n = hws_session_write(s, block, sizeof(block));
    r = hws_session_close(s);
    return n < 0 || r < 0 ? fail("write", hws_strerror(n < 0 ? (int)n : r)) : 0;
}

/* --- by the loop --- */

static struct aead *loop_key(void)
{
    static const uint8_t key[AEAD_KEY_LEN] = { 1 };

    return aead_new(SUITE_AES256_GCM, key);
}

/* The records of buf, len bytes: how many bytes they are, or SIZE_MAX. */
static size_t loop_open(struct aead *a, uint64_t *counter, uint8_t *buf, size_t len, struct count *c)
{
    size_t done = 0;

    while (len - done >= PREFIX) {
        size_t n = get_be16(buf + done);
        uint8_t *record = buf + done + PREFIX;

        if (len - done < PREFIX + n)
            break;
        if (aead_open(a, (*counter)++, NULL, 0, record, n, record) < 0)
            return SIZE_MAX;
        memcpy(block, record, MIN(n - AEAD_TAG_LEN, sizeof(block))); /* where the application wants it */
        count(c, n - AEAD_TAG_LEN);
        done += PREFIX + n;
    }
    return done;
}

static int loop_listen(const char *port, bool plain)
{
    static uint8_t buf[4 * BLOCK];
    struct sockaddr_in sa = at(NULL, port);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, fd;
    struct aead *a = loop_key();
    struct count c = { 0 };
    uint64_t counter = 0;
    size_t have = 0, done;
    ssize_t n;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (!a || bind(listener, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(listener, 1) < 0)
        return fail("listen", strerror(errno));
    fd = accept(listener, NULL, NULL);
    while ((n = read(fd, buf + have, sizeof(buf) - have)) > 0) {
        if (plain) { /* where it was read is where the application wants it */
            count(&c, (size_t)n);
            continue;
        }
        have += (size_t)n;
        done = loop_open(a, &counter, buf, have, &c);
        if (done == SIZE_MAX)
            return fail("open", "not authentic");
        have -= done;
        memmove(buf, buf + done, have);
    }
    aead_free(a);
    close(fd);
    close(listener);
    return tell(&c);
}

static int loop_call(const char *address, const char *port, double seconds, bool plain)
{
    static uint8_t out[PREFIX + RECORD_DATA + AEAD_TAG_LEN];
    struct sockaddr_in sa = at(address, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct aead *a = loop_key();
    uint64_t counter = 0;
    double end;

    if (!a || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
        return fail("connect", strerror(errno));
    for (end = measure_now_s(CLOCK_MONOTONIC) + seconds; measure_now_s(CLOCK_MONOTONIC) < end;) {
        if (plain) {
            if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
                return fail("write", strerror(errno));
            continue;
        }
        put_be16(out, RECORD_DATA + AEAD_TAG_LEN);
        if (aead_seal(a, counter++, NULL, 0, block, RECORD_DATA, out + PREFIX) < 0)
            return fail("seal", "no cipher");
        if (write(fd, out, sizeof(out)) != (ssize_t)sizeof(out))
            return fail("write", strerror(errno));
    }
    aead_free(a);
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    const char *kind = argc > 2 ? argv[2] : "";
    bool listens = argc > 1 && strcmp(argv[1], "listen") == 0, plain = strcmp(kind, "plain") == 0,
         loop = plain || strcmp(kind, "loop") == 0, clear = strcmp(kind, "clear") == 0;

    if (listens && argc == 4)
        return loop ? loop_listen(argv[3], plain) : session_listen(argv[3], clear);
    if (!listens && argc >= 6 && loop)
        return loop_call(argv[3], argv[4], strtod(argv[5], NULL), plain);
    if (!listens && argc >= 7)
        return session_call(argv[3], argv[4], strtod(argv[5], NULL), argv[6], argc > 7 ? argv[7] : NULL, clear);
    return fail("usage", "listen session|clear|loop|plain PORT, or call session|clear|loop|plain ADDRESS PORT SECONDS "
                         "[KEY [TRANSPORT]]");
}
