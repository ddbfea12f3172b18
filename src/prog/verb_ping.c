/* prog/verb_ping.c - ping: the round trip of every path to another host.
 *
 * Theory of operation. The handshake is all that is asked of the other end: any listener that lets us in answers, since
 * paths are probed by records of the session, which its application does not see. A round probes all paths at once and
 * lasts until all have answered, the interval at least and 2 s (or the interval) at most: what has not come by then is
 * lost. Figures are of the probes, but for the rate, which is what the session knows. */
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <stdio.h>

#include "prog/json_client.h"
#include "prog/peer_args.h"
#include "prog/units.h"
#include "sys/clock.h"

#define PATHS_MAX 8
#define ANSWER_WAIT (2 * SEC)  /* chosen: three round trips by a geostationary satellite */
#define SETTLE_LEAST (SEC / 2) /* chosen: sizes are probed then, and answers wait for one another */
#define SETTLE_WAIT (1 * SEC)  /* chosen: for the other paths */
#define REMOTE_SIZE 64

struct target {
    char link[16], remote[REMOTE_SIZE];
    struct sockaddr_storage at;
    enum hws_path_state state;
    uint64_t rate_bps, seen; /* answers before this round */
    uint32_t transport;
    bool there, waits;
    unsigned sent, answered;
    double last, least, most, sum, squares, jitter; /* ms; jitter as RFC 3550 smooths it */
};

struct ping {
    const struct verb *v;
    struct hws_session *session;
    int signals;
    bool json;
    unsigned round;
    struct target targets[PATHS_MAX];
    size_t count;
};

static struct target *find(struct ping *p, const struct hws_path *path)
{
    struct target *t;
    char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";

    for (size_t i = 0; i < p->count; i++)
        if (p->targets[i].transport == path->transport &&
            strncmp(p->targets[i].link, path->link, sizeof(path->link)) == 0 &&
            memcmp(&p->targets[i].at, &path->remote, sizeof(path->remote)) == 0)
            return &p->targets[i];
    if (p->count == PATHS_MAX)
        return NULL;
    t = &p->targets[p->count++];
    *t = (struct target){ .at = path->remote, .transport = path->transport };
    memcpy(t->link, path->link, sizeof(t->link) - 1);
    getnameinfo((const struct sockaddr *)&path->remote, sizeof(path->remote), host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(t->remote, sizeof(t->remote), strchr(host, ':') ? "[%.45s]:%.5s" : "%.45s:%.5s", host, port);
    return t;
}

static void take(struct target *t, double ms)
{
    t->jitter += t->answered > 0 ? (fabs(ms - t->last) - t->jitter) / 16 : 0;
    t->least = t->answered > 0 ? MIN(t->least, ms) : ms;
    t->most = MAX(t->most, ms);
    t->sum += ms;
    t->squares += ms * ms;
    t->last = ms;
    t->answered++;
}

static double lost(const struct target *t)
{
    return t->sent > 0 ? 100. * (t->sent - t->answered) / t->sent : 0;
}

static void print_one(const struct ping *p, const struct target *t, bool answered)
{
    char rate[UNIT_STRLEN];

    if (p->json)
        return;
    printf("%u  %-15s %-5s %-21s %-9s  ", p->round, t->link, peer_transport_name(t->transport), t->remote,
           peer_path_state(t->state));
    if (answered)
        printf("%.2f ms  jitter %.2f ms", t->last, t->jitter);
    else
        printf("no answer");
    printf("  loss %.0f %%  rate %s\n", lost(t), t->rate_bps > 0 ? rate_format(t->rate_bps, rate) : "-");
    fflush(stdout);
}

/* Looks at all paths: tells of those that have answered. True if some have not. */
static bool look(struct ping *p, bool begins)
{
    struct hws_path paths[PATHS_MAX];
    size_t n = hws_session_paths(p->session, paths, sizeof(paths[0]), ARRAY_LEN(paths));
    bool waits = false;

    for (size_t i = 0; i < p->count; i++)
        p->targets[i].there = false;
    for (size_t i = 0; i < n; i++) {
        struct target *t = find(p, &paths[i]);

        if (!t)
            continue;
        t->there = true;
        t->state = paths[i].state;
        t->rate_bps = paths[i].rate_bps;
        if (begins) {
            t->waits = true;
            t->seen = paths[i].probes_answered;
            t->sent++;
        } else if (t->waits && paths[i].probes_answered > t->seen) {
            t->waits = false;
            take(t, paths[i].probe_rtt_us / 1000.);
            print_one(p, t, true);
        }
    }
    for (size_t i = 0; i < p->count; i++) {
        struct target *t = &p->targets[i];

        if (begins && !t->there) { /* it had one, and may have again */
            t->state = HWS_PATH_DOWN;
            t->waits = true;
            t->seen = UINT64_MAX;
            t->sent++;
        }
        waits |= t->waits;
    }
    return waits;
}

/* Until the session is up and its paths have settled. 0, 1 (a signal) or negative. */
static int settle(struct ping *p)
{
    instant up_at = INSTANT_NEVER;
    char byte;

    for (;;) {
        struct hws_path paths[PATHS_MAX];
        size_t n = hws_session_paths(p->session, paths, sizeof(paths[0]), ARRAY_LEN(paths)), probing = 0;
        unsigned events = hws_session_events(p->session);
        instant now;
        int r;

        if (events & HWS_ENDED)
            return (int)MIN(hws_session_read(p->session, &byte, 1), 0);
        for (size_t i = 0; i < n; i++)
            probing += paths[i].state == HWS_PATH_PROBING;
        if ((events & HWS_CONNECTED) && up_at == INSTANT_NEVER)
            up_at = clock_now();
        now = clock_now();
        if (up_at != INSTANT_NEVER && now - up_at >= (n > 0 && probing == 0 ? SETTLE_LEAST : SETTLE_WAIT))
            return 0;
        r = peer_wait(p->session, p->signals,
                      up_at == INSTANT_NEVER       ? INSTANT_NEVER
                      : now - up_at < SETTLE_LEAST ? up_at + SETTLE_LEAST
                                                   : up_at + SETTLE_WAIT);
        if (r != 0)
            return r;
    }
}

/* One round. 0, 1 (a signal) or negative. */
static int round_once(struct ping *p, span interval)
{
    instant began = clock_now(), end = began + interval, limit = MAX(end, began + ANSWER_WAIT);
    int r;

    p->round++;
    look(p, true);
    r = hws_session_probe(p->session);
    while (r == 0) {
        bool waits = look(p, false);
        instant now = clock_now();
        char byte;

        if (hws_session_events(p->session) & HWS_ENDED) {
            r = (int)hws_session_read(p->session, &byte, 1);
            return r < 0 ? r : -ECONNRESET;
        }
        if (now >= (waits ? limit : end))
            break;
        r = peer_wait(p->session, p->signals, waits ? limit : end);
    }
    for (size_t i = 0; i < p->count && r >= 0; i++) {
        struct target *t = &p->targets[i];

        if (!t->waits)
            continue;
        if (r > 0) { /* the user did not wait for it */
            t->sent--;
        } else {
            print_one(p, t, false);
        }
        t->waits = false;
    }
    return r;
}

static double deviation(const struct target *t)
{
    double mean = t->answered > 0 ? t->sum / t->answered : 0;

    return t->answered > 0 ? sqrt(MAX(t->squares / t->answered - mean * mean, 0.)) : 0;
}

/* True if any path has answered. */
static bool summary(const struct ping *p)
{
    CLEANUP(cleanup_json) json_t *paths = json_array();
    CLEANUP(cleanup_json) json_t *doc = NULL;
    bool any = false;

    for (size_t i = 0; i < p->count; i++) {
        const struct target *t = &p->targets[i];
        double mean = t->answered > 0 ? t->sum / t->answered : 0;

        any |= t->answered > 0;
        json_array_append_new(paths, json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:I}", "link",
                                               t->link, "transport", peer_transport_name(t->transport), "remote",
                                               t->remote, "state", peer_path_state(t->state), "sent", (int)t->sent,
                                               "answered", (int)t->answered, "rtt_min_ms", t->least, "rtt_avg_ms", mean,
                                               "rtt_max_ms", t->most, "rtt_mdev_ms", deviation(t), "jitter_ms",
                                               t->jitter, "rate_bps", (json_int_t)t->rate_bps));
        if (p->json)
            continue;
        printf("%s %s %s: %u sent, %u answered, %.0f %% lost", t->link, peer_transport_name(t->transport), t->remote,
               t->sent, t->answered, lost(t));
        if (t->answered > 0)
            printf(", rtt min/avg/max/mdev %.2f/%.2f/%.2f/%.2f ms", t->least, mean, t->most, deviation(t));
        putchar('\n');
    }
    if (p->json) {
        doc = json_pack("{s:b, s:O}", "ok", any, "paths", paths);
        json_print(doc);
    }
    return any;
}

static int run(struct ping *p, unsigned count, span interval)
{
    int r = settle(p);
    bool any;

    while (r == 0 && (count == 0 || p->round < count)) {
        bool last = count > 0 && p->round + 1 == count;

        r = round_once(p, last ? 0 : interval);
    }
    any = summary(p);
    if (r < 0)
        return verb_fail(p->v, "%s", r == -ETIMEDOUT && p->round == 0 ? "nobody answers there" : hws_strerror(r));
    return any ? EXIT_DONE : EXIT_FAILED;
}

int verb_ping(const struct verb *v, int argc, char **argv)
{
    static struct ping p;
    const char *key_file = NULL, *count = NULL, *interval = NULL, *transports = NULL;
    const struct verb_option options[] = { { "key", &key_file, NULL },         { "count", &count, NULL },
                                           { "interval", &interval, NULL },    { "json", NULL, &p.json },
                                           { "transport", &transports, NULL }, { NULL, NULL, NULL } };
    struct hws_options o = { .size = sizeof(o), .flags = HWS_NONBLOCK };
    double rounds = 0, seconds = 1;
    int n = verb_options(v, argc, argv, options), code;

    if (n < 0)
        return EXIT_USAGE;
    if (n < 2)
        return verb_misused(v, "expected a key and addresses");
    if (count && (!peer_seconds(count, 1, 1e9, &rounds) || rounds != floor(rounds)))
        return verb_misused(v, "found --count %s, expected a number", count);
    if (interval && !peer_seconds(interval, .01, 86400, &seconds))
        return verb_misused(v, "found --interval %s, expected .01 to 86400 seconds", interval);
    code = peer_transports(v, transports, &o);
    if (code != EXIT_DONE)
        return code;
    if (!peer_descriptors())
        return EXIT_FAILED;
    p.v = v;
    p.signals = peer_signals(v);
    code = p.signals < 0 ? EXIT_FAILED : peer_session(v, key_file, &o, &p.session);
    if (code != EXIT_DONE)
        return code;
    code = peer_call(v, p.session, argv[1], argv + 2, n - 1);
    if (code == EXIT_DONE)
        code = run(&p, (unsigned)rounds, (span)(seconds * SEC));
    hws_session_close(p.session);
    return code;
}
