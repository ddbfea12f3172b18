/* prog/realmd.c - hawser-realmd: the manager of one realm.
 *
 *   hawser-realmd FILE         runs, in the foreground
 *   hawser-realmd check FILE   reads the file and says whether it is right
 *
 * Theory of operation. A libuv loop waits for UDP sockets, the realm's folder, the store, the control socket and a
 * timer. A wake-up reads a bounded batch with one reading of the clock, gives each datagram to the exchange
 * (src/session/exchange.h), each request to the manager (src/mapping/manager.h) and its answer back; then what has
 * changed goes to the store and to subscribers, and datagrams leave. The daemon speaks with the realm's own key, so who
 * has verified the realm's chain knows whom to expect.
 *
 * A realm that has one above it says there where its managers are, and keeps that up, as any member does where it is.
 * A manager may follow another of its realm, and then serves what that one knows.
 *
 * Limits: realmd_config.h; BATCHES of datagrams a wake-up. */
#include "prog/realmd.h"

#include "ident/suite.h"
#include "sys/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#define BATCHES 4 /* reads of a socket a wake-up, of UDP_MANY_MAX datagrams each: chosen; then others are read */
#define HANDSHAKES_PERCENT 50 /* chosen: a manager that was started again meets all its peers at once */
#define REQUESTS_MAX 65536    /* chosen: notices under way */
#define JOINS_MAX 256         /* chosen: 16 MB at most */
#define LATER_MS 1000
#define ERRORS_SIZE 16384

void realmd_say(int level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    fprintf(stderr, "<%d>%s\n", level, line);
}

static void finish(struct realmd *d, int code)
{
    d->exit_code = code;
    uv_stop(&d->loop);
}

void realmd_answer(struct realmd *d, const struct exchange_asked *asked, const uint8_t *bytes, size_t len, instant now)
{
    if (exchange_io_answer(&d->io, asked, bytes, len, now) < 0)
        d->waited_in_vain++;
}

/* --- events --- */

static void on_request(struct realmd *d, const struct exchange_event *e, instant now)
{
    struct exchange_peer_info info;
    struct manager_reply reply;
    struct manager_who who = { .peer = e->peer };

    if (follow_on_request(d, e, now) || exchange_peer_info(d->exchange, e->peer, &info) < 0)
        return;
    who.ed25519 = info.key.ed25519;
    who.at = &info.at.remote;
    if (log_on_request(d, e, &who, now) || pass_on_request(d, e, &who, now) || cache_on_request(d, e, &who, now))
        return;
    manager_on_request(d->manager, &who, e->data, e->len, now, clock_wall_s(), d->answer, &reply);
    if (reply.subscribed)
        exchange_peer_set_owner(d->exchange, e->peer, d);
    if (reply.publish.len > 0) {
        struct exchange_asked asked = e->asked;
        uint8_t record[RECORD_BYTES_MAX];
        size_t len = reply.publish.len;

        memcpy(record, reply.publish.data, len);
        if (folder_publish(d, record, len, now) < 0)
            reply.len = manager_say_later(LATER_MS, d->answer, MAPPING_BYTES_MAX);
        realmd_answer(d, &asked, d->answer, reply.len, now);
    } else if (reply.stored && d->store) {
        store_wait(d, &e->asked, &reply, d->answer, now);
    } else {
        realmd_answer(d, &e->asked, d->answer, reply.len, now);
    }
}

_Static_assert(MANAGER_AHEAD_MAX >= EXCHANGE_WAITING_MAX, "a manager looks at all that wait");

static void on_waiting(void *ctx, const struct exchange_event *e, size_t count)
{
    struct realmd *d = ctx;
    struct exchange_peer_info info[EXCHANGE_WAITING_MAX];
    struct manager_ahead ahead[EXCHANGE_WAITING_MAX];
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        if (exchange_peer_info(d->exchange, e[i].peer, &info[n]) == 0) {
            ahead[n] =
                (struct manager_ahead){ { .peer = e[i].peer, .ed25519 = info[n].key.ed25519 }, e[i].data, e[i].len };
            n++;
        }
    manager_foresee(d->manager, ahead, n, d->now, clock_wall_s());
}

/* The parent's holder and the follower have contexts of their own; of notices it is the subscription's number, which is
 * never 0. */
static void on_result(struct realmd *d, const struct exchange_event *e, instant now)
{
    bool answered = e->type == EXCHANGE_ANSWER;

    if (!e->context) /* a call: nobody waits for what came of it */
        return;
    if (log_on_result(d, e, now))
        return;
    if (e->context == &d->follower) {
        follow_on_result(d, e, now);
        return;
    }
    if (d->followed && e->peer == d->followed) {
        if (((const struct upstream *)e->context)->passed)
            pass_on_result(d, e, now);
        else
            cache_on_result(d, e, now);
        return;
    }
    if (e->context != &d->announced) {
        manager_on_told(d->manager, (uint64_t)(uintptr_t)e->context, answered ? e->data : NULL, e->len, now);
        return;
    }
    if (answered)
        holder_on_answer(&d->announced, e->data, e->len, now);
    else
        holder_on_failed(&d->announced, now);
    if (d->announced.state == d->announced_told)
        return;
    d->announced_told = d->announced.state;
    if (d->announced.state == HOLDER_REFUSED)
        realmd_say(LOG_WARNING, "parent state=refused fault=%s",
                   record_fault_name((enum record_fault)d->announced.fault));
    else
        realmd_say(d->announced.state == HOLDER_REGISTERED ? LOG_NOTICE : LOG_WARNING, "parent state=%s",
                   holder_state_name(d->announced.state));
}

static void on_event(void *ctx, const struct exchange_event *e)
{
    struct realmd *d = ctx;
    instant now = d->now;

    switch (e->type) {
    case EXCHANGE_REQUEST:
        on_request(d, e, now);
        break;
    case EXCHANGE_ANSWER:
    case EXCHANGE_FAILED:
        on_result(d, e, now);
        break;
    case EXCHANGE_UP:
        if (e->peer == d->parent)
            holder_on_up(&d->announced, now);
        else if (e->peer == d->followed)
            follow_on_up(d, now);
        break;
    case EXCHANGE_DOWN:
        if (e->peer == d->parent)
            realmd_say(LOG_WARNING, "parent state=down fault=%s", exchange_fault_name(e->fault));
        else if (e->peer == d->followed) {
            realmd_say(LOG_WARNING, "follow state=down fault=%s", exchange_fault_name(e->fault));
            if (d->cache)
                cache_on_up(d, false);
        }
        break;
    case EXCHANGE_GONE:
        manager_on_gone(d->manager, e->peer);
        log_on_gone(d, e->peer);
        break;
    }
}

static void tell_refused(struct realmd *d, instant now)
{
    char line[REFUSALS_LINE];
    struct manager_stats s;

    if (!refusals_due(&d->refusals, now))
        return;
    manager_get_stats(d->manager, &s);
    if (refusals_tell(&d->refusals, s.refused, now, line))
        realmd_say(LOG_WARNING, "refused %s", line);
}

static void tell_subscribers(struct realmd *d, instant now)
{
    struct manager_notice n;
    uint64_t request;

    while (manager_pop_notice(d->manager, now, clock_wall_s(), d->answer, &n))
        if (exchange_request(d->exchange, n.peer, d->answer, n.len, (void *)(uintptr_t)n.id, now, &request) < 0)
            manager_on_told(d->manager, n.id, NULL, 0, now);
}

/* To a host, or to a manager on the way there. What comes of it is no news: the caller tries anyway. */
static void tell_called(struct realmd *d, instant now)
{
    uint8_t bytes[MANAGER_CALL_BYTES_MAX];
    uint64_t peer, request;
    size_t len;

    while ((len = manager_pop_call(d->manager, bytes, &peer)) > 0)
        (void)!exchange_request(d->exchange, peer == MANAGER_FOLLOWED ? d->followed : peer, bytes, len, NULL, now,
                                &request);
}

static void announce(struct realmd *d, instant now)
{
    uint8_t bytes[HOLDER_REQUEST_MAX];
    uint64_t request;
    size_t len;

    if (!d->parent || (len = holder_output(&d->announced, now, bytes)) == 0)
        return;
    if (exchange_request(d->exchange, d->parent, bytes, len, &d->announced, now, &request) < 0)
        holder_on_failed(&d->announced, now);
}

/* --- the loop --- */

static void on_timer(uv_timer_t *t);

void realmd_turn(struct realmd *d, instant now)
{
    instant next;

    d->now = now;
    d->published = 0;
    if (exchange_next_expiry(d->exchange) <= now)
        exchange_on_expiry(d->exchange, now);
    exchange_io_turn(&d->io, now);
    manager_on_expiry(d->manager, now);
    if (now >= d->look_again)
        folder_read(d, now);
    announce(d, now);
    follow_turn(d, now);
    log_turn(d, now);
    tell_subscribers(d, now);
    tell_called(d, now);
    tell_refused(d, now);
    store_turn(d, now);
    exchange_io_turn(&d->io, now);
    next = instant_min(exchange_next_expiry(d->exchange), manager_next_expiry(d->manager));
    next = instant_min(next, instant_min(d->look_again, store_next_expiry(d)));
    next = instant_min(next, instant_min(follow_next_expiry(d), log_next_expiry(d)));
    if (d->parent)
        next = instant_min(next, holder_next_expiry(&d->announced));
    /* rounded up, or it would wake too early; at most a minute */
    uv_timer_start(&d->timer, on_timer,
                   (uint64_t)CLAMP((next == INSTANT_NEVER ? MSEC : next - now + 999) / 1000, 1, 60000), 0);
}

static void on_timer(uv_timer_t *t)
{
    realmd_turn(t->data, clock_now());
}

static void on_udp(uv_poll_t *h, int status, int events)
{
    struct listener *l = h->data;
    struct realmd *d = l->d;
    instant now = d->now = clock_now();

    for (int i = 0; i < BATCHES; i++) {
        int n = exchange_io_read(&d->io, l->link, now);

        if (n < 0) {
            realmd_say(LOG_ERR, "socket error=%s", strerror(-n));
            finish(d, 1);
            return;
        }
        if (n < UDP_MANY_MAX)
            break;
    }
    realmd_turn(d, now);
}

static void on_control(uv_poll_t *h, int status, int events)
{
    struct realmd *d = h->data;
    struct control_request q;
    bool stop = false;

    if (control_process(d->control) < 0) {
        realmd_say(LOG_ERR, "control socket=%s is of no more use", d->config.control);
        uv_poll_stop(h);
        return;
    }
    while (control_pop_request(d->control, &q)) {
        json_t *question = json_loads(q.line, 0, NULL);
        const char *verb = json_string_value(json_object_get(question, "verb"));
        json_t *doc = NULL;
        char *text;

        if (verb && strcmp(verb, "status") == 0)
            doc = realmd_status(d, clock_now());
        else if (verb && strcmp(verb, "stop") == 0 && (stop = true))
            doc = json_pack("{s:b}", "ok", true);
        else
            doc = json_pack("{s:b, s:s}", "ok", false, "error", "expected a JSON object with verb status or stop");
        text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
        control_reply(d->control, q.client, text ? text : "{\"ok\":false,\"error\":\"out of memory\"}");
        free(text);
        json_decref(doc);
        json_decref(question);
    }
    if (stop)
        finish(d, 0);
}

static void on_signal(uv_signal_t *h, int signum)
{
    finish(h->data, 0);
}

/* --- start and end --- */

void realmd_ways(const struct realmd *d, const struct endpoint *to, size_t count, struct exchange_call *ret)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < d->listeners_count && ret->ways_count < EXCHANGE_WAYS_MAX; j++)
            if (d->config.listen[j].addr.family == to[i].addr.family)
                ret->ways[ret->ways_count++] = (struct locator_pair){ .link = d->listeners[j].link, .remote = to[i] };
}

/* The realm above, whose key stands in the own chain. */
static int call_parent(struct realmd *d, instant now)
{
    const struct rng rng = sys_rng();
    struct exchange_call c = { .keep = 60 * SEC };
    struct record_target targets[REALMD_ADDRESSES_MAX] = { 0 };
    const struct chain_end *self = authority_self(manager_authority(d->manager));
    struct slice chain[CHAIN_LINKS_MAX];
    size_t count = authority_chain(manager_authority(d->manager), chain);
    struct record_error why;
    struct record_bytes b;
    struct record above;
    int r;

    if (d->config.parents_count == 0 || count == 0)
        return 0;
    if (count < 2) {
        realmd_say(LOG_ERR, "parent error=\"%s is a root, and has none above it\"", self->name);
        return -EINVAL;
    }
    if (record_decode(chain[count - 2].data, chain[count - 2].len, &above, &b, &why) < 0)
        return -EBADMSG;
    memcpy(c.key.ed25519, above.key, IDENT_KEY_LEN);
    c.key.suites = suite_supported();
    realmd_ways(d, d->config.parents, d->config.parents_count, &c);
    r = exchange_peer_call(d->exchange, &c, now, &d->parent);
    if (r < 0) {
        realmd_say(LOG_ERR, "parent error=\"no socket of that family\"");
        return r;
    }
    for (size_t i = 0; i < d->config.announce_count; i++)
        targets[i] = (struct record_target){ .is_locator = true, .locator = d->config.announce[i] };
    holder_deinit(&d->announced);
    holder_init(&d->announced, d->id.ed25519_seed, &self->tag, &self->tag, KIND_REALM_REALM, CLASS_AGENT,
                HOLDER_LEASE_S, (uint32_t)MAX(clock_wall_s(), 1), (uint32_t)rng_u64(&rng));
    return holder_set_targets(&d->announced, targets, d->config.announce_count, now);
}

static int call_others(struct realmd *d, instant now)
{
    int r = call_parent(d, now);

    return r < 0 ? r : follow_call(d, now);
}

struct exchange *realmd_make_exchange(struct realmd *d, instant now)
{
    const struct exchange_options o = { .self = &d->id,
                                        .rng = sys_rng(),
                                        .suites = suite_supported(),
                                        .handshakes_percent = HANDSHAKES_PERCENT,
                                        .answers = true,
                                        .answers_hello = true,
                                        .peers_max = d->config.peers,
                                        .requests_max = REQUESTS_MAX,
                                        .joins_max = JOINS_MAX };

    return exchange_new(&o, now);
}

void realmd_on_chain(struct realmd *d, struct exchange *x, instant now)
{
    if (x) {
        /* Its peers are others, with numbers of their own: nothing of the old ones may be sent to them. */
        manager_on_all_gone(d->manager);
        log_on_all_gone(d, now);
        store_forget_waiting(d);
        exchange_free(d->exchange);
        d->exchange = d->io.x = x;
    } else {
        exchange_peer_hang_up(d->exchange, d->parent, now);
        exchange_peer_hang_up(d->exchange, d->followed, now);
    }
    d->parent = d->followed = 0;
    if (d->listeners_count == 0)
        return;
    (void)call_others(d, now); /* which tells what is wrong */
    if (!d->dns && d->chain && dns_start(d) < 0)
        finish(d, 1);
}

static int open_sockets(struct realmd *d)
{
    for (size_t i = 0; i < d->config.listen_count; i++) {
        const struct endpoint *at = &d->config.listen[i];
        struct udp_options o = { .family = at->addr.family, .port = at->port };
        struct listener *l = &d->listeners[d->listeners_count];
        char text[ENDPOINT_STRLEN];
        int r;

        if (addr_is_unicast(&at->addr) || addr_is_loopback(&at->addr))
            o.local = at->addr;
        l->link = (uint32_t)i + 1;
        r = exchange_io_open(&d->io, l->link, &o);
        if (r == 0)
            r = uv_poll_init(&d->loop, &l->poll, udp_fd(d->io.sockets[i]));
        if (r < 0) {
            realmd_say(LOG_ERR, "udp listen=%s error=%s", endpoint_format(at, text), strerror(-r));
            return r;
        }
        l->d = d;
        l->poll.data = l;
        d->listeners_count++;
    }
    return 0;
}

static int open_control(struct realmd *d)
{
    char dir[REALMD_CONTROL_MAX];
    const char *slash = strrchr(d->config.control, '/');
    int r;

    snprintf(dir, sizeof(dir), "%.*s", (int)(slash - d->config.control), d->config.control);
    mkdir(dir, 0755);
    r = control_open(d->config.control, &d->control);
    if (r < 0)
        realmd_say(LOG_ERR, "control socket=%s error=%s", d->config.control, strerror(-r));
    return r;
}

/* After the realm's key was read. */
static int offer_relay(struct realmd *d)
{
    const struct rng rng = sys_rng();
    uint8_t key[IDENT_KEY_LEN];
    int r;

    if (d->config.relay.addr.family == ADDR_NONE)
        return 0;
    r = grant_key(&d->id, d->config.relay_key.x25519, key);
    if (r == 0)
        manager_set_relay(d->manager, &d->config.relay, key, &rng);
    else
        realmd_say(LOG_ERR, "relay error=\"the public key of the agent is of no use\"");
    explicit_bzero(key, sizeof(key));
    return r;
}

static int open_all(struct realmd *d, instant now)
{
    const struct rng rng = sys_rng();
    struct manager_options o = { .rng = rng,
                                 .bindings_max = d->config.bindings,
                                 .names_max = d->config.names,
                                 .guests_max = d->config.guests,
                                 .subscriptions_max = d->config.subscriptions,
                                 .log_max = d->config.log,
                                 .epoch = rng_nonzero(&rng),
                                 .stores = d->config.store[0] != '\0',
                                 .follows = d->config.followed_count > 0,
                                 .caches = d->config.followed_count > 0 && d->config.follow_mode == REALMD_CACHE,
                                 .capacity = d->config.capacity };
    int r;

    d->manager = manager_new(&o, now);
    d->answer = malloc(MAPPING_BYTES_MAX);
    if (!d->manager || !d->answer) {
        realmd_say(LOG_ERR, "out of memory");
        return -ENOMEM;
    }
    /* What is about to be read may change meanwhile, so it is watched before. */
    if ((r = open_control(d)) < 0 || (r = cache_start(d)) < 0 || (r = log_start(d, now)) < 0 ||
        (r = folder_watch(d)) < 0 || (r = folder_read(d, now)) < 0 || (r = offer_relay(d)) < 0 ||
        (r = store_start(d, now)) < 0 || (r = open_sockets(d)) < 0 || (d->chain && (r = dns_start(d)) < 0) ||
        (r = http_start(d)) < 0)
        return r;
    return call_others(d, now);
}

static int watch(struct realmd *d)
{
    int r = uv_poll_init(&d->loop, &d->control_poll, control_fd(d->control));

    d->control_poll.data = d->sigterm.data = d->sigint.data = d;
    /* sys/udp.h: without UV_PRIORITIZED an ICMP error ends the watching */
    for (size_t i = 0; i < d->listeners_count && r == 0; i++)
        r = uv_poll_start(&d->listeners[i].poll, UV_READABLE | UV_PRIORITIZED, on_udp);
    if (r == 0)
        r = uv_poll_start(&d->control_poll, UV_READABLE, on_control);
    if (r == 0 && (r = uv_signal_init(&d->loop, &d->sigterm)) == 0 && (r = uv_signal_init(&d->loop, &d->sigint)) == 0 &&
        (r = uv_signal_start(&d->sigterm, on_signal, SIGTERM)) == 0)
        r = uv_signal_start(&d->sigint, on_signal, SIGINT);
    d->sigterm.data = d->sigint.data = d;
    return r;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static void close_all(struct realmd *d)
{
    dns_server_close(d->dns);
    http_server_close(d->http);
    uv_walk(&d->loop, close_handle, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    uv_loop_close(&d->loop);
    store_end(d);
    pass_lost(d);
    cache_end(d);
    log_end(d);
    exchange_free(d->exchange);
    manager_free(d->manager);
    folder_end(d);
    exchange_io_deinit(&d->io);
    control_free(d->control);
    if (d->inotify >= 0)
        close(d->inotify);
    holder_deinit(&d->announced);
    identity_wipe(&d->id);
    free(d->chain);
    free(d->answer);
}

static int run(const struct realmd_config *c)
{
    static struct realmd d;
    int r;

    d.config = *c;
    d.started = clock_now();
    d.inotify = -1;
    d.look_again = d.store_next = d.alive_next = d.forward.next = INSTANT_NEVER;
    pass_init(&d);
    exchange_io_init(&d.io, NULL, on_event, &d);
    d.io.on_waiting = on_waiting;
    if (uv_loop_init(&d.loop) < 0)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    uv_timer_init(&d.loop, &d.timer);
    d.timer.data = &d;
    r = open_all(&d, clock_now());
    if (r == 0)
        r = watch(&d);
    if (r == 0) {
        const struct chain_end *self = authority_self(manager_authority(d.manager));

        realmd_say(LOG_NOTICE, "started realm=%s port=%u names=%u", self->name, udp_local_port(d.io.sockets[0]),
                   authority_count(manager_authority(d.manager)));
        realmd_turn(&d, clock_now());
        uv_run(&d.loop, UV_RUN_DEFAULT);
        realmd_say(LOG_NOTICE, "ended realm=%s", self->name);
    }
    close_all(&d);
    return r < 0 ? 1 : d.exit_code;
}

static int help(void)
{
    puts("Manager of a realm, whose folder FILE names: who is attached where, and who may know.\n\n"
         "usage: hawser-realmd FILE        run, in the foreground\n"
         "       hawser-realmd check FILE  say whether the file is right\n"
         "       hawser-realmd --version\n\n"
         "`hawser realm` makes the folder, and asks how it is; `hawser help realmd-config` lists what FILE may hold.");
    return 0;
}

int main(int argc, char **argv)
{
    static char lines[ERRORS_SIZE];
    static struct realmd_config c;
    const char *path = argc == 3 ? argv[2] : argc == 2 ? argv[1] : "-";
    struct text errors;

    if (argc == 2 && (strcmp(path, "--help") == 0 || strcmp(path, "-h") == 0))
        return help();
    if (argc == 2 && (strcmp(path, "--version") == 0 || strcmp(path, "-V") == 0)) {
        puts("hawser-realmd " HAWSER_VERSION);
        return 0;
    }
    if (argc < 2 || argc > 3 || path[0] == '-' || (strcmp(argv[1], "check") == 0) != (argc == 3)) {
        fputs("usage: hawser-realmd [check] FILE\n", stderr);
        return 2;
    }
    text_init(&errors, lines, sizeof(lines));
    if (realmd_config_load(path, &errors, &c) < 0) {
        fputs(lines[0] ? lines : "hawser-realmd: out of memory\n", stderr);
        return 1;
    }
    if (argc == 3) {
        printf("%s: ok\n", path);
        return 0;
    }
    return run(&c);
}
