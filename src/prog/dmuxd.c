/* prog/dmuxd.c - hawser-dmuxd: gateway, router or client of the protocol demultiplexer.
 *
 *   hawser-dmuxd FILE               runs, in the foreground
 *   hawser-dmuxd check FILE         reads the file and says whether it is right
 *   hawser-dmuxd bird-config FILE   prints the configuration of BIRD 2 for a gateway
 *
 * Theory of operation. A libuv loop waits for the UDP socket, the TUN device, the control socket and a timer. A wake-up
 * reads a bounded batch with one reading of the clock, gives it to the role's core (src/dmux), collects what is to be
 * sent into trains of one destination and length, which leave in one call, and arms the timer.
 *
 * The device goes with the process, however that ends, and with it its addresses and routes. What else is made is a
 * control socket's file, which the next start recognises, and a client's rules (dmuxd_capture.c). */
#include "prog/dmuxd.h"

#include "prog/bird_config.h"
#include "sys/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define BATCHES                                                                                                        \
    4 /* reads of the socket a wake-up, each UDP_BATCH_MAX trains: chosen: 64, then others get their turn              \
       */
#define PACKETS 256          /* of the device a wake-up; chosen likewise */
#define PACKETS_BYTES 262144 /* and of their bytes: super-packets are many in one; as prog/inside.c */
#define LEAVE_TIME (1 * SEC) /* chosen: a few round trips for goodbyes */
#define PRIORITY (-3)        /* as hawserd.c: woken soon, and yet a sender is let finish */
#define ERRORS_SIZE 16384

static const struct role *const roles[] = {
    [DMUX_ROLE_GATEWAY] = &role_gateway, [DMUX_ROLE_ROUTER] = &role_router, [DMUX_ROLE_CLIENT] = &role_client
};

static unsigned errors_said;

void dmuxd_say(int level, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    fprintf(stderr, "<%d>%s\n", level, line);
    errors_said += level <= LOG_ERR;
}

uint32_t dmuxd_wall_s(void)
{
    return (uint32_t)time(NULL);
}

/* --- trains --- */

static void train_send(struct train *t)
{
    struct udp_tx tx = { .data = t->buf,
                         .len = t->len,
                         .to = t->to,
                         .local = t->local,
                         .tos = t->tos,
                         .segment_bytes = t->count > 1 ? t->segment_bytes : 0 };
    struct udp_error e;
    int r;

    if (t->count == 0)
        return;
    r = udp_send(t->udp, &tx);
    if (r != 0) { /* a full buffer, no route: lost like anything that a queue drops */
        t->refused += t->count;
        t->last_error = r < 0 ? -r : EAGAIN;
    }
    while (udp_pop_error(t->udp, &e) == 1)
        t->last_error = e.error;
    t->len = 0;
    t->count = 0;
    t->closed = false;
}

uint8_t *train_room(struct train *t)
{
    if (t->closed || t->count >= UDP_SEGMENTS_MAX || t->len + TRAIN_ROOM > UDP_TRAIN_BYTES_MAX)
        train_send(t);
    return t->buf + t->len;
}

void train_add(struct train *t, size_t len, const struct endpoint *to, const struct addr *local, uint8_t tos)
{
    if (t->count > 0 &&
        (len > t->segment_bytes || tos != t->tos || !endpoint_equal(&t->to, to) || !addr_equal(&t->local, local))) {
        size_t at = t->len;

        train_send(t);
        memmove(t->buf, t->buf + at, len);
    }
    if (t->count == 0) {
        t->segment_bytes = (uint16_t)len;
        t->to = *to;
        t->local = *local;
        t->tos = tos;
    }
    t->closed = len < t->segment_bytes;
    t->len += len;
    t->count++;
}

/* --- the loop --- */

static void on_timer(uv_timer_t *t);

void dmuxd_finish(struct dmuxd *d, int code)
{
    d->exit_code = code;
    uv_stop(&d->loop);
}

void dmuxd_turn(struct dmuxd *d, instant now)
{
    instant next;

    d->role->turn(d, now);
    train_send(&d->train);
    if (d->leaving && (d->role->leave(d) || now >= d->leave_by)) {
        dmuxd_finish(d, 0);
        return;
    }
    next = d->role->next_expiry(d);
    if (d->leaving)
        next = instant_min(next, d->leave_by);
    /* rounded up, or it would wake too early; at most a second, since the wall's clock is looked at here */
    uv_timer_start(&d->timer, on_timer, (uint64_t)CLAMP((next - now + 999) / 1000, 1, 1000), 0);
}

static void on_timer(uv_timer_t *t)
{
    dmuxd_turn(t->data, clock_now());
}

static void on_udp(uv_poll_t *h, int status, int events)
{
    struct dmuxd *d = h->data;
    struct udp_rx batch[UDP_BATCH_MAX];
    instant now = clock_now();

    for (int i = 0; i < BATCHES; i++) {
        int n = udp_recv(d->udp, batch, ARRAY_LEN(batch));

        if (n < 0) {
            dmuxd_say(LOG_ERR, "socket error=%s", strerror(-n));
            dmuxd_finish(d, 1);
            return;
        }
        for (int j = 0; j < n; j++) {
            size_t step = batch[j].segment_bytes ? batch[j].segment_bytes : batch[j].len;

            for (size_t at = 0; at < batch[j].len; at += step)
                d->role->on_datagram(d, batch[j].data + at, MIN(step, batch[j].len - at), &batch[j], now);
        }
        dmuxd_device_flush(d);
        if (n < UDP_BATCH_MAX)
            break;
    }
    dmuxd_turn(d, now);
}

static void on_tun(uv_poll_t *h, int status, int events)
{
    struct dmuxd *d = h->data;
    struct tun_meta meta;
    instant now = clock_now();

    for (size_t i = 0, bytes = 0; i < PACKETS && bytes < PACKETS_BYTES; i++) {
        ssize_t n = tun_read(d->tun, d->packet, TUN_PACKET_BYTES_MAX, &meta);

        if (n == 0)
            break;
        if (n < 0 && n != -EMSGSIZE) {
            dmuxd_say(LOG_ERR, "device=%s error=%s", tun_name(d->tun), strerror((int)-n));
            dmuxd_finish(d, 1);
            return;
        }
        bytes += n > 0 ? (size_t)n : 0;
        if (n > 0)
            dmuxd_from_device(d, d->packet, (size_t)n, &meta, now);
    }
    dmuxd_turn(d, now);
}

static json_t *status_json(struct dmuxd *d, instant now)
{
    json_t *doc = json_pack("{s:b, s:s, s:i, s:s, s:f, s:s, s:I, s:I, s:I}", "ok", true, "role", d->role->name, "pid",
                            (int)getpid(), "version", HAWSER_VERSION, "uptime_s", (double)(now - d->started) / 1e6,
                            "device", tun_name(d->tun), "refused", (json_int_t)d->train.refused, "device_refused",
                            (json_int_t)d->tun_refused, "congested", (json_int_t)d->congested);

    if (doc && d->role->status(d, doc, now) < 0) {
        json_decref(doc);
        return NULL;
    }
    return doc;
}

static void leave(struct dmuxd *d)
{
    instant now = clock_now();

    if (!d->role->leave) {
        dmuxd_finish(d, 0);
        return;
    }
    d->leaving = true;
    d->leave_by = now + LEAVE_TIME;
    d->role->leave(d);
    dmuxd_turn(d, now);
}

static json_t *answer(struct dmuxd *d, const char *line, bool *ret_stop)
{
    json_t *q = json_loads(line, 0, NULL), *doc = NULL;
    const char *verb = json_string_value(json_object_get(q, "verb")), *wrong = "expected a JSON object with a verb";

    if (verb && strcmp(verb, "status") == 0) {
        doc = status_json(d, clock_now());
        wrong = "out of memory";
    } else if (verb && strcmp(verb, "stop") == 0) {
        *ret_stop = true;
        doc = json_pack("{s:b}", "ok", true);
    } else if (verb) {
        wrong = d->role->ask ? d->role->ask(d, verb) : "expected status or stop: others are for gateways";
        doc = wrong ? NULL : json_pack("{s:b}", "ok", true);
    }
    if (!doc)
        doc = json_pack("{s:b, s:s}", "ok", false, "error", wrong ? wrong : "out of memory");
    json_decref(q);
    return doc;
}

static void on_control(uv_poll_t *h, int status, int events)
{
    struct dmuxd *d = h->data;
    struct control_request q;
    bool stop = false;

    if (control_process(d->control) < 0) {
        dmuxd_say(LOG_ERR, "control socket=%s is of no more use", d->config->control);
        uv_poll_stop(h);
        return;
    }
    while (control_pop_request(d->control, &q)) {
        json_t *doc = answer(d, q.line, &stop);
        char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;

        control_reply(d->control, q.client, text ? text : "{\"ok\":false,\"error\":\"out of memory\"}");
        free(text);
        json_decref(doc);
    }
    if (stop)
        leave(d);
    else
        dmuxd_turn(d, clock_now());
}

static void on_signal(uv_signal_t *h, int signum)
{
    leave(h->data);
}

/* --- start and end --- */

static int open_all(struct dmuxd *d)
{
    struct udp_options u = { .family = ADDR_V4, .port = d->config->port };
    char dir[DMUX_PATH_MAX];
    const char *slash = strrchr(d->config->control, '/');
    unsigned said;
    int r;

    if (d->role != &role_gateway)
        u.local = d->config->address;
    snprintf(dir, sizeof(dir), "%.*s", (int)(slash - d->config->control), d->config->control);
    mkdir(dir, 0755);
    if ((r = control_open(d->config->control, &d->control)) < 0) {
        dmuxd_say(LOG_ERR, "control socket=%s error=%s", d->config->control, strerror(-r));
        return r;
    }
    if ((r = udp_open(&u, &d->udp)) < 0) {
        dmuxd_say(LOG_ERR, "udp port=%u error=%s", d->config->port, strerror(-r));
        return r;
    }
    d->train.udp = d->udp;
    d->train.buf = malloc(UDP_TRAIN_BYTES_MAX + TRAIN_ROOM);
    d->packet = malloc(TUN_PACKET_BYTES_MAX);
    d->merge = malloc(sizeof(*d->merge));
    if (!d->train.buf || !d->packet || !d->merge)
        return -ENOMEM;
    merge_init(d->merge, 0); /* until the device is there */
    said = errors_said;
    r = d->role->start(d, clock_now());
    if (r < 0 && errors_said == said) /* else the cause was told */
        dmuxd_say(LOG_ERR, "start role=%s error=%s", d->role->name, strerror(-r));
    return r;
}

static int watch(struct dmuxd *d)
{
    int r = 0;
    struct {
        uv_poll_t *poll;
        int fd;
        uv_poll_cb fn;
    } rows[] = { { &d->udp_poll, udp_fd(d->udp), on_udp },
                 { &d->tun_poll, tun_fd(d->tun), on_tun },
                 { &d->control_poll, control_fd(d->control), on_control } };

    for (size_t i = 0; i < ARRAY_LEN(rows) && r == 0; i++) {
        r = uv_poll_init(&d->loop, rows[i].poll, rows[i].fd);
        rows[i].poll->data = d;
        /* sys/udp.h: without UV_PRIORITIZED an ICMP error ends the watching */
        if (r == 0)
            r = uv_poll_start(rows[i].poll, UV_READABLE | (i == 0 ? UV_PRIORITIZED : 0), rows[i].fn);
    }
    d->timer.data = d->sigterm.data = d->sigint.data = d;
    if (r == 0 && (r = uv_timer_init(&d->loop, &d->timer)) == 0 && (r = uv_signal_init(&d->loop, &d->sigterm)) == 0 &&
        (r = uv_signal_init(&d->loop, &d->sigint)) == 0 && (r = uv_signal_start(&d->sigterm, on_signal, SIGTERM)) == 0)
        r = uv_signal_start(&d->sigint, on_signal, SIGINT);
    return r;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static int run(struct dmux_config *c)
{
    struct dmuxd d = { .config = c, .role = roles[c->role], .started = clock_now(), .watchdog = { .fd = -1 } };
    int r = uv_loop_init(&d.loop);

    if (r < 0)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    setpriority(PRIO_PROCESS, 0, PRIORITY); /* where permitted: a delayed daemon is a delayed network */
    r = open_all(&d);
    if (r == 0)
        r = watch(&d);
    if (r == 0) {
        dmuxd_say(LOG_NOTICE, "started role=%s device=%s port=%u", d.role->name, tun_name(d.tun),
                  udp_local_port(d.udp));
        dmuxd_turn(&d, clock_now());
        uv_run(&d.loop, UV_RUN_DEFAULT);
        dmuxd_say(LOG_NOTICE, "ended role=%s", d.role->name);
    }
    dmuxd_managers_end(&d); /* which closes its own handles */
    uv_walk(&d.loop, close_handle, NULL);
    uv_run(&d.loop, UV_RUN_DEFAULT);
    uv_loop_close(&d.loop);
    dmuxd_capture_end(&d);
    nlmon_free(d.netlink);
    xdp_free(d.xdp);
    gateway_free(d.gateway);
    router_free(d.router);
    client_free(d.client);
    if (d.merge)
        merge_deinit(d.merge);
    free(d.merge);
    tun_free(d.tun);
    udp_free(d.udp);
    control_free(d.control);
    watchdog_end(&d.watchdog);
    free(d.train.buf);
    free(d.packet);
    return r < 0 ? 1 : d.exit_code;
}

static int usage(void)
{
    fputs("usage: hawser-dmuxd [check|bird-config] FILE\n", stderr);
    return 2;
}

static int help(void)
{
    puts("Gateway, router or client of a network protocol behind an anycast address: FILE says which.\n\n"
         "usage: hawser-dmuxd FILE              run, in the foreground\n"
         "       hawser-dmuxd check FILE        say whether the file is right\n"
         "       hawser-dmuxd bird-config FILE  print a configuration of BIRD 2 for a gateway\n"
         "       hawser-dmuxd --version\n\n"
         "`hawser dmux` starts it in the background and asks it; `hawser help dmux-config` lists what FILE may hold.");
    return 0;
}

static int print_bird(const struct dmux_config *c, const char *path)
{
    static char buf[65536];
    struct text t;

    text_init(&t, buf, sizeof(buf));
    if (bird_config_write(c, &t) < 0) {
        fprintf(stderr, "%s: found neither [Bgp] with [Neighbor NAME] nor [Ospf] of a [Gateway], expected one\n", path);
        return 1;
    }
    fputs(buf, stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}

static bool is_verb(const char *word)
{
    return strcmp(word, "check") == 0 || strcmp(word, "bird-config") == 0;
}

int main(int argc, char **argv)
{
    static char lines[ERRORS_SIZE];
    const char *verb = argc == 3 ? argv[1] : "run", *path = argc == 3 ? argv[2] : argc == 2 ? argv[1] : "-";
    struct dmux_config *c = NULL;
    struct text errors;
    int r;

    if (argc == 2 && (strcmp(path, "--help") == 0 || strcmp(path, "-h") == 0))
        return help();
    if (argc == 2 && (strcmp(path, "--version") == 0 || strcmp(path, "-V") == 0)) {
        puts("hawser-dmuxd " HAWSER_VERSION);
        return 0;
    }
    if (argc < 2 || argc > 3 || path[0] == '-' || (argc == 3 ? !is_verb(verb) : is_verb(path)))
        return usage();
    if (access(path, R_OK) < 0) {
        fprintf(stderr, "hawser-dmuxd: %s: %s\n", path, strerror(errno));
        return 1;
    }
    text_init(&errors, lines, sizeof(lines));
    if (dmux_config_load(path, &errors, &c) < 0) {
        fputs(lines[0] ? lines : "hawser-dmuxd: out of memory\n", stderr);
        return 1;
    }
    if (strcmp(verb, "check") == 0) {
        printf("%s: ok: %s\n", path, roles[c->role]->name);
        r = 0;
    } else if (strcmp(verb, "bird-config") == 0) {
        r = print_bird(c, path);
    } else {
        r = run(c);
    }
    dmux_config_free(c);
    return r;
}
