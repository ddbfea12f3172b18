/* prog/hawserd.c - the daemon: a node or a home agent around the core.
 *
 * Theory of operation. A thread is a libuv loop: a node has one, an agent of many peers several (worker.c), of which
 * the first does all but the packets' way. Descriptors (sockets, TUN, netlink, control, a timerfd for the core's next
 * expiry: libuv's own timers count milliseconds, pacing needs microseconds) wake it; each wake-up reads a bounded
 * batch, gives it to the core with one reading of the clock, then daemon_turn drains what the core has to say: packets
 * for the TUN, datagrams for the sockets, events for the log.
 *
 * A fault at start is fatal and told in one line; a bad reload is told and the old configuration stays. At the end, and
 * at the start after a kill, every route and rule that carries our protocol number goes; the TUN device goes with its
 * descriptor. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <syslog.h>
#include <unistd.h>

#include "ident/hash.h"
#include "prog/daemon.h"
#include "prog/offload.h"

#define ERRORS_SIZE 16384
/* chosen: twice the weight of others is enough to be given the processor soon beside busy programs; from -5 on it is
 * taken from whoever writes into the tunnel, after each packet */
#define PRIORITY (-3)
#define OUTPUT_BURST 512 /* trains a turn: what is left waits for one loop, so that input is never starved */

void say(int level, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    fprintf(stderr, "<%d>%s\n", level, line);
}

/* --- watches --- */

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct watch *w = CONTAINER_OF(h, struct watch, poll);
    instant now = clock_now();

    if (status < 0 && status != UV_EBADF) /* that is the end of a TCP connection: reading says why */
        say(LOG_ERR, "poll error=%s", uv_strerror(status));
    w->on_readable(w->w, w->arg, now);
    daemon_turn(w->w, w->w->mail ? clock_now() : now); /* a worker may have been paused */
}

int watch_new(struct worker *worker, int fd, void (*fn)(struct worker *, void *, instant), void *arg,
              struct watch **ret)
{
    struct watch *w = calloc(1, sizeof(*w));
    int r;

    if (!w)
        return -ENOMEM;
    r = uv_poll_init(&worker->loop, &w->poll, fd);
    if (r < 0) {
        free(w);
        return r;
    }
    w->w = worker;
    w->on_readable = fn;
    w->arg = arg;
    *ret = w;
    /* Without UV_PRIORITIZED libuv takes an error on a socket's queue (an ICMP message) for the end of the socket. */
    return uv_poll_start(&w->poll, UV_READABLE | UV_PRIORITIZED, on_poll);
}

void watch_writable(struct watch *w, bool on)
{
    int r = uv_poll_start(&w->poll, UV_READABLE | UV_PRIORITIZED | (on ? UV_WRITABLE : 0), on_poll);

    if (r < 0)
        say(LOG_ERR, "poll error=%s", uv_strerror(r));
}

static void on_closed(uv_handle_t *h)
{
    free(CONTAINER_OF((uv_poll_t *)h, struct watch, poll));
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, on_closed); /* libuv needs it until its next round */
}

/* --- the turn --- */

static void on_event(struct worker *w, const struct node_event *ev, instant now)
{
    struct daemon *d = w->d;
    /* A host's may be gone by now. */
    static const struct node_peer_spec nobody = { .name = "?" };
    bool gone = node_peer_is_gone(w->node, ev->peer);
    const struct node_peer_spec *peer = gone ? &nobody : node_peer_spec(w->node, ev->peer);
    struct session *s = node_peer_session(w->node, ev->peer);
    struct session_path_info info;
    char remote[ENDPOINT_STRLEN];

    switch (ev->type) {
    case NODE_PEER_UP:
        say(LOG_NOTICE, "peer-up peer=%s session=%s", peer->name, ev->fresh ? "new" : "resumed");
        d->memory_dirty = true;
        break;
    case NODE_PEER_REKEYED:
        say(LOG_INFO, "peer-rekeyed peer=%s", peer->name);
        break;
    case NODE_PEER_DOWN:
        say(LOG_WARNING, "peer-down peer=%s", peer->name);
        break;
    case NODE_PEER_CONFIG:
        inside_config(d, ev->peer, now);
        break;
    case NODE_PATH_STATE:
        if (!s)
            break;
        session_path_info(s, ev->slot, now, &info);
        say(info.metrics.state == PATH_DOWN ? LOG_WARNING : LOG_INFO,
            "path peer=%s link=%s id=%u remote=%s%s state=%s was=%s why=%s", peer->name, info.link, info.id,
            endpoint_format(&info.at.remote, remote), info.at.transport == TRANSPORT_TCP ? " transport=tcp" : "",
            path_state_name(info.metrics.state), path_state_name(ev->old_state), path_why_name(info.metrics.why));
        d->memory_dirty = true;
        if (d->host && info.metrics.state != PATH_ACTIVE && ev->old_state == PATH_ACTIVE)
            host_on_trouble(d, now);
        break;
    case NODE_PATH_MOVED:
        d->memory_dirty = true;
        if (s) {
            session_path_info(s, ev->slot, now, &info);
            say(LOG_NOTICE, "path-moved peer=%s link=%s remote=%s", peer->name, info.link,
                endpoint_format(&info.at.remote, remote));
        }
        break;
    case NODE_FALLBACK:
        if (ev->fresh)
            say(LOG_WARNING, "fallback peer=%s link=%s transport=tcp why=%s", peer->name,
                d->uplinks[ev->link].node.name, node_fallback_name(node_fallback(w->node, ev->peer, ev->link)));
        else
            say(LOG_NOTICE, "fallback-over peer=%s link=%s transport=udp", peer->name, d->uplinks[ev->link].node.name);
        break;
    case NODE_STEER_SET:
        say(LOG_INFO, "steer-table peer=%s", peer->name);
        break;
    case NODE_STEER_DONE:
        if (!ev->fresh)
            say(LOG_ERR, "steer-table-refused peer=%s: the agent keeps its own", peer->name);
        break;
    case NODE_PEER_GONE:
        say(LOG_INFO, "peer-gone peer=%s", peer->name);
        break;
    case NODE_WANTED:
    case NODE_INTRODUCED:
    case NODE_PEER_LOST:
        host_on_event(w, ev, now);
        break;
    }
}

static void arm_timer(struct worker *w, instant now)
{
    instant next = node_next_expiry(w->node, now);
    struct itimerspec t = { 0 };
    span wait;

    if (w->index == 0)
        next = instant_min(next, w->d->next_slow);
    wait = MAX(next - now, 20 * USEC);
    if (w->timer_at > now && w->timer_at <= next && w->timer_at + 200 * USEC >= next)
        return; /* armed early enough: a system call saved */
    w->timer_at = now + wait;
    t.it_value.tv_sec = wait / SEC;
    t.it_value.tv_nsec = wait % SEC * 1000;
    timerfd_settime(w->timer_fd, 0, &t, NULL);
}

void daemon_turn(struct worker *w, instant now)
{
    struct session_tx tx;
    struct node_event ev;

    w->turn_again = true;
    if (w->turning)
        return;
    w->turning = true;
    while (w->turn_again) {
        w->turn_again = false;
        worker_drain(w, now);
        for (int i = 0; i < OUTPUT_BURST && node_output(w->node, w->out, &tx, now); i++)
            outside_send(w, &tx, w->out, now);
        while (node_pop_event(w->node, &ev))
            on_event(w, &ev, now);
    }
    w->turning = false;
    arm_timer(w, now);
}

static void check_agent_loss(struct daemon *d, instant now)
{
    struct node *n = daemon_node(d);
    struct session *s = node_peers_count(n) > 0 ? node_peer_session(n, 0) : NULL;
    struct session_path_info info;

    for (unsigned i = 0; s && i < SESSION_SLOTS; i++) {
        session_path_info(s, i, now, &info);
        if (info.used && info.metrics.state == PATH_ACTIVE)
            d->no_path_since = now;
    }
    inside_routes(d);
}

static void slow_work(struct daemon *d, instant now)
{
    outside_slow(d, now);
    attach_slow(d, now);
    relayed_slow(d, now);
    portmaps_slow(d, now);
    if (d->config->role == CONFIG_NODE && d->config->on_agent_loss == CONFIG_LOSS_DIRECT)
        check_agent_loss(d, now);
    if (d->config->role == CONFIG_NODE)
        agents_slow(d, now);
    if (d->config->role == CONFIG_NODE && !d->agents && now >= d->next_resolve)
        resolve_names(d);
    if (d->memory_dirty && now >= d->next_store && d->config->role != CONFIG_HOST) {
        d->memory_dirty = false; /* before: what changes meanwhile is for the next time */
        memory_save(d);
        d->next_store = now + 1 * SEC;
    }
    d->next_slow = now + 500 * MSEC;
}

static void on_timer(struct worker *w, void *arg, instant now)
{
    uint64_t count;

    if (read(w->timer_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        say(LOG_ERR, "timer error=%s", strerror(errno));
    w->timer_at = 0;
    node_on_expiry(w->node, now);
    if (w->index == 0 && now >= w->d->next_slow)
        slow_work(w->d, now);
}

/* --- start and stop --- */

void daemon_stop(struct daemon *d, int code)
{
    int left = RESTART_IN_PLACE;

    /* restart_begin says otherwise afterwards; the SIGTERM of a manager that is to start the next changes nothing */
    atomic_compare_exchange_strong(&d->restarting, &left, RESTART_NOT);
    atomic_store(&d->exit_code, code);
    atomic_store(&d->stopping, true);
    worker_wake_main(d);
}

static void on_stop_signal(uv_signal_t *h, int signum)
{
    daemon_stop(h->data, 0);
}

/* New peers come at once; for one that was taken out or changed the daemon must be started again, and says so. */
static void take_peers(struct daemon *d, struct config *fresh)
{
    struct config_peer *peers = d->config->peers;
    size_t count = d->config->peers_count;

    agents_keep(d, fresh);
    for (size_t i = 0; i < fresh->peers_count; i++) {
        bool known = false;

        for (size_t j = 0; j < count; j++)
            known |= peer_key_equal(&fresh->peers[i].key, &peers[j].key);
        if (!known && memory_add_peer(d, &fresh->peers[i]) >= 0)
            say(LOG_NOTICE, "peer-added peer=%s", fresh->peers[i].name);
    }
    for (size_t j = 0; j < count; j++) {
        bool kept = false;

        for (size_t i = 0; i < fresh->peers_count; i++)
            kept |= peer_key_equal(&fresh->peers[i].key, &peers[j].key);
        if (!kept)
            say(LOG_WARNING, "peer=%s is no longer in the file: it goes with a restart", peers[j].name);
    }
    d->config->peers = fresh->peers;
    d->config->peers_count = fresh->peers_count;
    fresh->peers = peers;
    fresh->peers_count = count;
}

int daemon_reload(struct daemon *d, struct text *errors)
{
    struct config *fresh;
    instant now = clock_now();
    int r = config_load(d->config_path, errors, &fresh);

    if (r < 0)
        return r;
    if (strcmp(fresh->name, d->config->name) != 0 || fresh->role != d->config->role ||
        memcmp(&fresh->identity, &d->config->identity, sizeof(fresh->identity)) != 0 ||
        fresh->listen_port != d->config->listen_port || fresh->listen_tcp != d->config->listen_tcp ||
        fresh->workers != d->config->workers) {
        text_add(errors, "%s: Name, Role, PrivateKey, ListenPort, ListenTcp and Workers change with a restart only\n",
                 d->config_path);
        config_free(fresh);
        return -EINVAL;
    }
    workers_pause(d);
    take_peers(d, fresh);
    /* The core's identity points into the old configuration: keep that memory, take over what may change. */
    fresh->steer.version = d->config->steer.version + 1;
    for (unsigned i = 0; i < d->workers_count; i++)
        node_set_steer(d->workers[i].node, &fresh->steer, now);
    struct config keep = *d->config;
    d->config->steer = fresh->steer;
    d->config->links = fresh->links;
    d->config->links_count = fresh->links_count;
    d->config->routes = fresh->routes;
    fresh->links = keep.links;
    fresh->links_count = keep.links_count;
    fresh->routes = keep.routes;
    config_free(fresh);
    if (d->config->role != CONFIG_AGENT) {
        outside_refresh(d, now);
        inside_routes(d);
        inside_marks(d);
    }
    workers_resume(d);
    say(LOG_NOTICE, "reloaded file=%s", d->config_path);
    return 0;
}

static void on_hangup(uv_signal_t *h, int signum)
{
    struct daemon *d = h->data;
    char *buf = malloc(ERRORS_SIZE);
    struct text errors;

    if (!buf)
        return;
    text_init(&errors, buf, ERRORS_SIZE);
    if (daemon_reload(d, &errors) < 0)
        say(LOG_ERR, "reload-refused, the old configuration stays: %s", buf);
    free(buf);
    daemon_turn(&d->workers[0], clock_now());
}

static int make_nodes(struct daemon *d)
{
    const struct config *c = d->config;
    struct node_options o = {
        .self = &c->identity,
        .rng = sys_rng(),
        .shard = { .bits = (uint8_t)__builtin_ctz(d->workers_count) },
        .role = c->role == CONFIG_AGENT ? ROLE_AGENT : ROLE_NODE,
        .mtu = (uint16_t)MIN(c->mtu, (int64_t)NODE_MTU_MAX),
        .wait = c->wait,
        .hide_dscp = !c->copy_dscp,
        .pool_pkts = c->role == CONFIG_AGENT ? 32768 : 16384,
        .merge = offload_merge_options(d->workers[0].tun),
    };

    if (c->role == CONFIG_HOST)
        host_options(d, &o);
    for (size_t i = 0; i < c->announce.count && i < NODE_ENDPOINTS_MAX; i++)
        if (c->announce.items[i].at.addr.family != ADDR_NONE)
            o.announce[o.announce_count++] = c->announce.items[i].at;
    if (c->mtu > (int64_t)NODE_MTU_MAX)
        say(LOG_WARNING, "mtu=%lld is more than fits a path of 1500 bytes: using %d", (long long)c->mtu, NODE_MTU_MAX);
    rng_fill(&o.rng, o.jar_secret, sizeof(o.jar_secret));
    for (unsigned i = 0; i < d->workers_count; i++) {
        o.shard.value = (uint8_t)i;
        d->workers[i].node = node_new(&o, clock_now());
        if (!d->workers[i].node)
            return -ENOMEM;
        node_set_steer(d->workers[i].node, &c->steer, clock_now());
    }
    ident_wipe(o.jar_secret, sizeof(o.jar_secret));
    if (c->role != CONFIG_AGENT)
        inside_marks(d);
    return 0;
}

static void mask_stop_signals(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(how, &set, NULL);
}

static int start_signals(struct daemon *d)
{
    static const struct {
        int signum;
        size_t at;
        uv_signal_cb fn;
    } rows[] = {
        { SIGINT, offsetof(struct daemon, sigint), on_stop_signal },
        { SIGTERM, offsetof(struct daemon, sigterm), on_stop_signal },
        { SIGHUP, offsetof(struct daemon, sighup), on_hangup },
    };
    int r = 0;

    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_LEN(rows) && r == 0; i++) {
        uv_signal_t *h = (uv_signal_t *)(void *)((char *)d + rows[i].at);

        r = uv_signal_init(&d->workers[0].loop, h);
        h->data = d;
        if (r == 0)
            r = uv_signal_start(h, rows[i].fn, rows[i].signum);
    }
    mask_stop_signals(SIG_UNBLOCK); /* as a process that is restarted begins */
    return r;
}

static void stop_signals(struct daemon *d)
{
    uv_signal_t *all[] = { &d->sigint, &d->sigterm, &d->sighup };

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (uv_handle_get_type((uv_handle_t *)all[i]) == UV_SIGNAL)
            uv_close((uv_handle_t *)all[i], NULL);
}

static int start_timers(struct daemon *d)
{
    int r = 0;

    for (unsigned i = 0; i < d->workers_count && r == 0; i++) {
        struct worker *w = &d->workers[i];

        w->out = malloc(SESSION_OUTPUT_MAX + RECORD_MAX);
        w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (!w->out || w->timer_fd < 0) {
            r = w->out ? -errno : -ENOMEM;
            say(LOG_ERR, "cannot make a timer: %s", strerror(-r));
            return r;
        }
        r = watch_new(w, w->timer_fd, on_timer, NULL, &w->timer_watch);
    }
    return r;
}

static int start(struct daemon *d, int state_fd)
{
    instant now = clock_now();
    int r;

    d->started = d->no_path_since = now;
    d->next_slow = d->next_store = now;
    if ((r = workers_make(d)) < 0 || (r = start_timers(d)) < 0 || (r = start_signals(d)) < 0 ||
        (r = answers_start(d)) < 0 || (r = host_start(d)) < 0 || (r = relayed_start(d)) < 0 ||
        (r = portmaps_start(d)) < 0 || (r = inside_start(d)) < 0 || (r = make_nodes(d)) < 0 ||
        (r = memory_load(d, now)) < 0)
        return r;
    restart_restore(d, state_fd, now);
    if ((r = outside_start(d, now)) < 0)
        return r;
    known_start(d);
    names_start(d);
    if ((r = host_attach(d)) < 0)
        return r;
    say(LOG_NOTICE, "started name=%s role=%s peers=%zu workers=%u", d->config->name,
        config_role_name((enum config_role)d->config->role), node_peers_count(daemon_node(d)), d->workers_count);
    for (unsigned i = 0; i < d->workers_count; i++)
        daemon_turn(&d->workers[i], now);
    r = workers_start(d);
    if (r == 0)
        restart_ready();
    return r;
}

/* What the cores have to say at the end, and no more. */
/* What the insides are still to have; what is for another share's, too, as no thread runs any more. */
static void empty_inside(struct daemon *d, struct worker *w)
{
    struct node_handover h;
    struct merged pkt;
    uint8_t *data;
    size_t len;
    bool any;

    do {
        while (w->tun && node_pop_inner(w->node, &pkt, clock_now()))
            inside_write(w, &pkt);
        for (any = false; node_pop_handover(w->node, &h, &data, &len); any = true)
            if (h.kind == NODE_HANDOVER_PACKET && d->workers[h.to].node)
                (void)node_on_handover(d->workers[h.to].node, &h, data, len, clock_now());
    } while (any);
}

static void say_goodbye(struct daemon *d)
{
    struct session_tx tx;

    for (unsigned i = 0; i < d->workers_count; i++)
        if (d->workers[i].node)
            node_close(d->workers[i].node);
    for (unsigned i = 0; i < d->workers_count; i++)
        if (d->workers[i].node)
            empty_inside(d, &d->workers[i]);
    for (unsigned i = 0; i < d->workers_count; i++) {
        struct worker *w = &d->workers[i];

        while (w->node && node_output(w->node, w->out, &tx, clock_now())) {
            if (tx.at.transport == TRANSPORT_TCP) /* nobody reads letters now */
                outside_tcp_send(d, &tx, w->out, clock_now());
            else
                outside_send(w, &tx, w->out, clock_now());
        }
    }
}

/* A planned restart says nothing to anybody but those whose connections cannot go on. What the successor is given, or
 * -1. */
static int hand_over(struct daemon *d)
{
    for (unsigned i = 0; i < d->workers_count; i++)
        node_before_restart(d->workers[i].node);
    for (unsigned i = 0; i < d->workers_count; i++)
        empty_inside(d, &d->workers[i]);
    return restart_save(d);
}

/* What a successor is given, or -1. */
static int stop(struct daemon *d)
{
    int state_fd = -1;

    d->stopping = true;
    workers_stop(d);
    if (d->config->role == CONFIG_AGENT && d->workers_count > 0 && d->workers[d->workers_count - 1].node)
        memory_save(d);
    if (d->restarting && d->config->role != CONFIG_HOST) /* a host has no split connections */
        state_fd = hand_over(d);
    if (state_fd < 0)
        say_goodbye(d);
    attach_stop(d);
    portmaps_stop(d);
    names_stop(d);
    anycast_stop(d);
    agents_stop(d);
    known_stop(d);
    answers_stop(d);
    outside_stop(d);
    inside_stop(d);
    if (d->workers_count > 0)
        stop_signals(d);
    workers_free(d);
    relayed_stop(d);
    host_stop(d);
    config_free(d->config);
    say(LOG_NOTICE, "stopped");
    return state_fd;
}

int main(int argc, char **argv)
{
    static char errors_buf[ERRORS_SIZE];
    struct daemon *d = calloc(1, sizeof(*d));
    int r, state_fd = restart_find();
    struct text errors;
    ssize_t n;

    text_init(&errors, errors_buf, sizeof(errors_buf));
    if (argc != 2 || argv[1][0] == '-' || !d) {
        fprintf(stderr, "usage: hawserd FILE\n");
        free(d);
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    d->config_path = argv[1];
    d->route_lock = -1;
    n = readlink("/proc/self/exe", d->program, sizeof(d->program) - 1);
    d->program[MAX(n, (ssize_t)0)] = '\0';
    r = config_load(argv[1], &errors, &d->config);
    fputs(errors_buf, stderr);
    if (r < 0) {
        free(d);
        return 1;
    }
    setpriority(PRIO_PROCESS, 0, PRIORITY); /* where permitted: a delayed daemon is a delayed network */
    r = start(d, state_fd);
    if (r == 0)
        uv_run(&d->workers[0].loop, UV_RUN_DEFAULT);
    else
        d->exit_code = 1; /* whoever failed has said why */
    r = d->exit_code;
    if (d->restarting) /* who wants it stopped from now on is heard by the successor, or gets his wish */
        mask_stop_signals(SIG_BLOCK);
    state_fd = stop(d);
    if (d->restarting == RESTART_IN_PLACE) {
        restart_exec(d->program, argv, state_fd);
        r = 1;
    }
    free(d);
    return r;
}
