/* api/session.c - the calls of hawser/session.h. */
#include "hawser/session.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

#include "api/choice.h"
#include "api/engine.h"
#include "api/known.h"
#include "api/plain.h"
#include "sys/clock.h"
#include "sys/sockaddr.h"

#define PUBLIC __attribute__((visibility("default")))
#define FLAGS_KNOWN (HWS_NONBLOCK | HWS_UNORDERED | HWS_PLAIN | HWS_HELLO | HWS_THREAD)
#define CONNECT_LIMIT (10 * SEC)
#define LINGER_DEFAULT 10000
#define CLOSED_KEPT 64                    /* chosen: handles of some 500 bytes */
#define TIMEOUT_MIN (3 * PATH_PROBE_IDLE) /* an idle path is heard of that often */

enum kind {
    KIND_NEW,
    KIND_ASKING, /* a client: a session or a plain connection, who knows (api/plain.h) */
    KIND_CLIENT,
    KIND_LISTENER,
    KIND_ACCEPTED,
    KIND_PLAIN, /* a plain connection, of either side */
    KIND_CLOSED,
};

struct hws_session {
    enum kind kind;
    pid_t owner; /* the process that made it */
    uint32_t flags, linger_ms;
    struct engine_options o;
    struct identity identity;
    struct engine *engine; /* NULL before connect or listen, and of a plain connection */
    struct plain *plain;   /* NULL: it was never in question what it is */
    int plain_listens[2];  /* a listener with HWS_PLAIN: sockets, or -1 */
    int error;             /* KIND_ASKING: nobody is there */
    unsigned peer;
    bool finished;
    struct addr local;
    uint16_t port;
    const char *refusal;
    uint8_t transports[TRANSPORT_COUNT]; /* enum preference */
    bool hasty;
};

/* Of the program's numbers ours, which may change. */
static const enum fairness fairnesses[] = {
    [HWS_FAIR_INDEPENDENT] = FAIRNESS_INDEPENDENT,
    [HWS_FAIR_COUPLED] = FAIRNESS_COUPLED,
    [HWS_FAIR_AUTO] = FAIRNESS_AUTO,
};
static const enum cc controls[] = {
    [HWS_CC_BBR] = CC_BBR,
    [HWS_CC_CUBIC] = CC_CUBIC,
    [HWS_CC_OLIA] = CC_OLIA,
    [HWS_CC_LIA] = CC_LIA,
};

/* --- misuse --- */

/* Handles that were closed last, so that a call with one of them is an error and no use of memory that is another's.
 * The one thing beside known.c that sessions of a process share; nothing depends on it. */
static struct hws_session *_Atomic closed[CLOSED_KEPT];
static atomic_uint closed_next;

static void bury(struct hws_session *s)
{
    identity_wipe(&s->identity);
    memset(s, 0, sizeof(*s));
    s->kind = KIND_CLOSED;
    s->owner = getpid();
    free(atomic_exchange(&closed[atomic_fetch_add(&closed_next, 1) % CLOSED_KEPT], s));
}

/* 0, -EBADF or -ECHILD. */
static int usable(const struct hws_session *s)
{
    if (!s)
        return 0; /* each call has its own word for that */
    if (s->kind == KIND_CLOSED)
        return -EBADF;
    return s->owner == getpid() ? 0 : -ECHILD;
}

static struct engine *hold(const struct hws_session *s)
{
    struct engine *e = s && s->flags & HWS_THREAD ? s->engine : NULL;

    engine_lock(e);
    return e;
}

static void let_go(struct engine **e)
{
    engine_unlock(*e);
}

/* Until the end of the call; of no effect without a helper thread. */
#define HOLD(s) struct engine *held __attribute__((cleanup(let_go), unused)) = hold(s)

/* --- life --- */

/* Of an earlier program, whose structure was shorter, or a later one, which may say what we do not know if it is
 * nothing. False: it is neither. */
static bool take_options(const struct hws_options *given, struct hws_options *ret)
{
    const uint8_t *bytes = (const uint8_t *)given;

    if (given->size < offsetof(struct hws_options, congestion) + sizeof(given->congestion))
        return false;
    for (size_t i = sizeof(*ret); i < given->size; i++)
        if (bytes[i] != 0)
            return false;
    memcpy(ret, given, MIN(given->size, sizeof(*ret)));
    return true;
}

static bool may_prohibit(uint8_t preference)
{
    return preference == HWS_NO_PREFERENCE || preference == HWS_PROHIBIT;
}

static bool known_options(const struct hws_options *o)
{
    if ((o->flags & ~(uint32_t)FLAGS_KNOWN) || o->fairness > HWS_FAIR_AUTO || o->congestion > HWS_CC_LIA)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(o->objectives); i++)
        if (o->objectives[i] > HWS_LOSS || o->semantics[i] > HWS_PROHIBIT || !may_prohibit(o->peer_objectives[i]))
            return false;
    for (size_t i = 0; i < ARRAY_LEN(o->transports); i++)
        if (o->transports[i] > HWS_PROHIBIT || (o->transports[i] && i >= TRANSPORT_COUNT))
            return false;
    for (size_t i = 0; i < ARRAY_LEN(o->peer_fairness); i++)
        if (!may_prohibit(o->peer_fairness[i]))
            return false;
    if (o->flags & HWS_THREAD && !may_prohibit(o->transports[HWS_SCTP])) /* usrsctp's state is the process's */
        return false;
    if ((o->flags & HWS_THREAD && o->flags & HWS_PLAIN) || o->encryption > HWS_AVOID || o->multipath > HWS_HANDOVER ||
        (o->multipath == HWS_HANDOVER && o->scheduler))
        return false;
    return o->loss_tolerance >= 0 && o->loss_tolerance <= 1 && (!o->scheduler || scheduler_find(o->scheduler));
}

_Static_assert((int)HWS_TCP == (int)TRANSPORT_TCP && (int)HWS_MPTCP == (int)TRANSPORT_MPTCP &&
                   (int)HWS_SCTP == (int)TRANSPORT_SCTP && (int)HWS_REQUIRE == (int)PREFERENCE_REQUIRE &&
                   (int)HWS_PREFER == (int)PREFERENCE_PREFER && (int)HWS_AVOID == (int)PREFERENCE_AVOID &&
                   (int)HWS_PROHIBIT == (int)PREFERENCE_PROHIBIT,
               "transports and preferences have the same numbers inside");

static struct session_preferences preferences_of(const struct hws_options *o)
{
    struct session_preferences p = { .latency_tolerance = o->latency_tolerance_us,
                                     .jitter_tolerance = o->jitter_tolerance_us,
                                     .loss_tolerance = o->loss_tolerance,
                                     .scheduler = o->scheduler ? scheduler_find(o->scheduler) : NULL };

    _Static_assert((int)HWS_THROUGHPUT == (int)OBJECTIVE_THROUGHPUT && (int)HWS_LATENCY == (int)OBJECTIVE_LATENCY &&
                       (int)HWS_JITTER == (int)OBJECTIVE_JITTER && (int)HWS_LOSS == (int)OBJECTIVE_LOSS,
                   "objectives have the same numbers inside");
    _Static_assert(sizeof(o->objectives) == sizeof(p.objectives), "and there are as many");
    memcpy(p.objectives, o->objectives, sizeof(p.objectives));
    if (o->multipath == HWS_INTERACTIVE && p.objectives[0] == OBJECTIVE_NONE)
        p.objectives[0] = OBJECTIVE_LATENCY;
    if (o->multipath == HWS_HANDOVER)
        p.scheduler = scheduler_find("handover");
    return p;
}

static struct terms terms_of(const struct hws_options *o, const struct session_preferences *p)
{
    struct terms t = { .fairness = (uint8_t)fairnesses[o->fairness] };

    _Static_assert((int)HWS_UNORDERED_LOSSY == (int)SEMANTICS_UNORDERED_LOSSY &&
                       (int)HWS_UNORDERED_LOSSLESS == (int)SEMANTICS_UNORDERED &&
                       (int)HWS_ORDERED_LOSSY == (int)SEMANTICS_LOSSY &&
                       (int)HWS_ORDERED_LOSSLESS == (int)SEMANTICS_ORDERED && (int)HWS_UDP == (int)TERMS_UDP &&
                       (int)HWS_SCTP == (int)TERMS_SCTP,
                   "semantics and transports have the same numbers inside");
    for (unsigned i = 0; i < ARRAY_LEN(o->semantics); i++) {
        t.semantics_required |= (uint8_t)((o->semantics[i] == HWS_REQUIRE) << i);
        t.semantics_prohibited |= (uint8_t)((o->semantics[i] == HWS_PROHIBIT) << i);
        t.objectives[i] = p->objectives[i];
        t.objectives_prohibited |= (uint8_t)((o->peer_objectives[i] == HWS_PROHIBIT) << (i + 1));
    }
    for (unsigned i = 0; i < ARRAY_LEN(o->peer_fairness); i++)
        t.fairness_prohibited |= (uint8_t)((o->peer_fairness[i] == HWS_PROHIBIT) << fairnesses[i]);
    return t;
}

PUBLIC int hws_session_socket(const struct hws_options *options, struct hws_session **ret)
{
    struct hws_options o = { 0 };
    struct rng rng = sys_rng();
    struct hws_session *s;
    int r;

    if (!ret || (options && !take_options(options, &o)) || !known_options(&o))
        return -EINVAL;
    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    r = o.secret ? identity_secret_decode(o.secret, &s->identity) : identity_generate(&s->identity, &rng);
    if (r < 0) {
        free(s);
        return r == -EINVAL ? -EBADMSG : r;
    }
    s->flags = o.flags;
    s->owner = getpid();
    s->plain_listens[0] = s->plain_listens[1] = -1;
    s->linger_ms = o.linger_ms ? o.linger_ms : LINGER_DEFAULT;
    s->o = (struct engine_options){
        .delivery = { .send_bytes = o.send_bytes,
                      .receive_bytes = o.receive_bytes,
                      .unordered = o.flags & HWS_UNORDERED },
        .preferences = preferences_of(&o),
        .wait = o.timeout_ms ? MAX((span)o.timeout_ms * MSEC, TIMEOUT_MIN) : 0,
        .fairness = { .mode = fairnesses[o.fairness], .congestion = controls[o.congestion] },
        .instance = o.instance,
        .clear = o.encryption == HWS_AVOID,
    };
    s->o.terms = terms_of(&o, &s->o.preferences);
    memcpy(s->transports, o.transports, sizeof(s->transports));
    s->hasty = o.flags & HWS_UNORDERED || o.objectives[0] == HWS_LATENCY || o.objectives[0] == HWS_JITTER;
    *ret = s;
    return 0;
}

/* 0 or -EINVAL: no transport is left. The TCP of a listener with HWS_PLAIN is that of plain clients, and a client with
 * it sends nothing of ours to a TCP port that may be somebody else's, unless it was told to. */
static int choose(struct hws_session *s, bool listens)
{
    uint8_t p[TRANSPORT_COUNT];

    memcpy(p, s->transports, sizeof(p));
    for (unsigned t = TRANSPORT_TCP; t <= TRANSPORT_MPTCP && s->flags & HWS_PLAIN; t++) {
        if (listens && p[t] != PREFERENCE_NONE && p[t] != PREFERENCE_PROHIBIT)
            return -EINVAL;
        if (p[t] == PREFERENCE_NONE)
            p[t] = PREFERENCE_PROHIBIT;
    }
    return choose_transports(p, s->hasty, listens, &s->o.transports) ? 0 : -EINVAL;
}

static int make_engine(struct hws_session *s, bool listens)
{
    int r;

    s->o.self = &s->identity;
    s->o.listens = listens;
    s->o.answers_hello = listens && s->flags & (HWS_PLAIN | HWS_HELLO);
    r = choose(s, listens);
    if (r < 0)
        return r;
    s->o.terms.transports = engine_transports_allowed(&s->o.transports);
    if (s->o.terms.transports & 1u << TRANSPORT_MPTCP) /* to an end that does not know it, TCP */
        s->o.terms.transports |= 1u << TRANSPORT_TCP;
    return engine_new(&s->o, &s->engine);
}

PUBLIC int hws_session_bind(struct hws_session *s, const struct sockaddr *address, uint16_t port)
{
    struct endpoint e = { 0 };

    if (usable(s) < 0)
        return usable(s);
    if (!s || s->kind != KIND_NEW || port == 0)
        return -EINVAL;
    if (address && sockaddr_to_endpoint(address, &e) < 0)
        return -EAFNOSUPPORT;
    s->local = e.addr;
    s->port = port;
    return 0;
}

static void close_plain_listens(struct hws_session *s)
{
    for (unsigned i = 0; i < 2; i++)
        if (s->plain_listens[i] >= 0)
            close(s->plain_listens[i]);
    s->plain_listens[0] = s->plain_listens[1] = -1;
}

static int listen_plain(struct hws_session *s)
{
    int r = plain_listen(&s->local, s->port, s->plain_listens);

    for (unsigned i = 0; i < 2 && r == 0; i++)
        if (s->plain_listens[i] >= 0)
            r = engine_watch(s->engine, s->plain_listens[i]);
    return r;
}

PUBLIC int hws_session_listen(struct hws_session *s)
{
    int r;

    if (usable(s) < 0)
        return usable(s);
    if (!s || s->kind != KIND_NEW || s->port == 0)
        return -EINVAL;
    r = make_engine(s, true);
    if (r == 0)
        r = engine_listen(s->engine, &s->local, s->port);
    if (r == 0 && s->flags & HWS_PLAIN)
        r = listen_plain(s);
    if (r == 0 && s->flags & HWS_THREAD)
        r = engine_start_thread(s->engine);
    if (r < 0) {
        close_plain_listens(s);
        engine_unref(s->engine);
        s->engine = NULL;
        return r;
    }
    s->kind = KIND_LISTENER;
    return 0;
}

static int accept_plain(struct hws_session *s, struct hws_session **ret)
{
    struct hws_session *a;
    int fd = plain_accept(s->plain_listens), r;

    if (fd < 0)
        return fd;
    a = calloc(1, sizeof(*a));
    if (!a) {
        close(fd);
        return -ENOMEM;
    }
    *a = *s;
    a->kind = KIND_PLAIN;
    a->engine = NULL;
    a->plain_listens[0] = a->plain_listens[1] = -1;
    r = plain_of(fd, &a->plain);
    if (r < 0) {
        identity_wipe(&a->identity);
        free(a);
        return r;
    }
    *ret = a;
    return 0;
}

PUBLIC int hws_session_accept(struct hws_session *s, struct hws_session **ret)
{
    struct hws_session *a;
    int r;

    if (usable(s) < 0)
        return usable(s);
    HOLD(s);
    if (!s || !ret || s->kind != KIND_LISTENER)
        return -EINVAL;
    r = engine_process(s->engine);
    while (r == 0 && !engine_has_arrival(s->engine)) {
        r = accept_plain(s, ret);
        if (r != -EAGAIN || s->flags & HWS_NONBLOCK)
            return r;
        r = engine_wait(s->engine, INSTANT_NEVER);
    }
    if (r < 0)
        return r;
    a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM; /* it can be accepted later */
    *a = *s;
    a->kind = KIND_ACCEPTED;
    a->plain_listens[0] = a->plain_listens[1] = -1;
    a->engine = engine_ref(s->engine);
    a->peer = (unsigned)engine_pop_arrival(s->engine);
    *ret = a;
    return 0;
}

static struct delivery *delivery_of(const struct hws_session *s)
{
    return s->kind == KIND_CLIENT || s->kind == KIND_ACCEPTED ? node_peer_delivery(engine_node(s->engine), s->peer)
                                                              : NULL;
}

/* --- a client that finds out what is there --- */

/* What it is by now. 0, or -errno: nobody is there, for good. */
static int ask_turn(struct hws_session *s)
{
    int r = s->error ? s->error : plain_process(s->plain);

    if (s->kind != KIND_ASKING)
        return r;
    s->error = r;
    switch (plain_state(s->plain)) {
    case PLAIN_ASKING:
        break;
    case PLAIN_SESSION:
        s->kind = KIND_CLIENT;
        break;
    case PLAIN_TCP:
        s->kind = KIND_PLAIN;
        engine_unref(s->engine);
        s->engine = NULL;
        break;
    }
    return r;
}

static int ask(struct hws_session *s, const struct peer_key *pinned, const struct endpoint *at, size_t count)
{
    struct plain_options o = { .count = count, .key = pinned, .pinned = pinned };
    enum known known = KNOWN_NOTHING;
    struct peer_key key;
    int r;

    memcpy(o.at, at, count * sizeof(*at));
    for (size_t i = 0; i < count && known == KNOWN_NOTHING && !pinned; i++)
        known = known_get(&at[i], clock_now(), &key);
    if (known == KNOWN_SESSION)
        o.key = &key;
    if (known != KNOWN_PLAIN) {
        r = make_engine(s, false);
        if (r == 0)
            r = engine_open(s->engine, at, count);
        if (r < 0)
            return r;
        o.engine = s->engine;
    }
    r = plain_find(&o, clock_now(), &s->plain);
    if (r < 0)
        return r;
    s->kind = KIND_ASKING;
    return ask_turn(s);
}

static int call(struct hws_session *s, const struct peer_key *key, const struct endpoint *at, size_t count)
{
    int r = make_engine(s, false);

    if (r == 0)
        r = engine_open(s->engine, at, count);
    if (r == 0)
        r = engine_call(s->engine, key, at, count);
    if (r == 0)
        s->kind = KIND_CLIENT;
    return r;
}

/* NULL: it was not refused. */
static const char *refusal_of(const struct hws_session *s)
{
    struct session_info info;
    const struct session *session = node_peer_session(engine_node(s->engine), s->peer);

    _Static_assert(HWS_EREFUSED == SESSION_EREFUSED, "one number");
    if (!session)
        return NULL;
    session_info(session, clock_now(), &info);
    return info.refused ? terms_refusal_name(info.refused) : NULL;
}

/* Waits until it is up, or there is none. */
static int wait_until_up(struct hws_session *s)
{
    instant limit = clock_now() + CONNECT_LIMIT;
    int r = 0;

    while (r == 0 && s->kind == KIND_ASKING) {
        r = plain_wait(s->plain, 0, limit);
        r = r == -ETIMEDOUT ? r : ask_turn(s);
    }
    while (r == 0 && s->kind == KIND_CLIENT && !engine_has_been_up(s->engine)) {
        r = engine_wait(s->engine, limit);
        s->refusal = refusal_of(s);
        if (s->refusal)
            r = -HWS_EREFUSED;
    }
    return r;
}

PUBLIC int hws_session_connect(struct hws_session *s, const char *key, const struct sockaddr *const *addresses,
                               size_t count)
{
    struct endpoint at[NODE_ENDPOINTS_MAX];
    struct peer_key peer;
    int r;

    if (usable(s) < 0)
        return usable(s);
    if (!s || s->kind != KIND_NEW || count == 0 || count > NODE_ENDPOINTS_MAX)
        return -EINVAL;
    if (!key && s->flags & HWS_THREAD)
        return -EINVAL;
    if (key && peer_key_decode(key, &peer) < 0)
        return -EBADMSG;
    for (size_t i = 0; i < count; i++)
        if (!addresses[i] || sockaddr_to_endpoint(addresses[i], &at[i]) < 0 || at[i].port == 0)
            return -EINVAL;
    r = !key || s->flags & HWS_PLAIN ? ask(s, key ? &peer : NULL, at, count) : call(s, &peer, at, count);
    if (r == 0 && s->flags & HWS_THREAD)
        r = engine_start_thread(s->engine);
    engine_lock(s->engine);
    if (r == 0 && !(s->flags & HWS_NONBLOCK))
        r = wait_until_up(s);
    if (r == 0)
        engine_unlock(s->engine);
    if (r < 0) {
        plain_free(s->plain);
        engine_unref(s->engine);
        s->plain = NULL;
        s->engine = NULL;
        s->error = 0;
        s->kind = KIND_NEW;
    }
    return r;
}

/* True: *ret is what a call gives that needs a session of paths, since there is none, yet or ever. */
static bool not_a_session(struct hws_session *s, int *ret)
{
    int r = s->kind == KIND_ASKING ? ask_turn(s) : 0;

    *ret = r < 0 ? r : s->kind == KIND_PLAIN ? -EOPNOTSUPP : -EAGAIN;
    return s->kind == KIND_PLAIN || s->kind == KIND_ASKING;
}

/* The same for what plain connections can, too: true only while nobody knows. */
static bool not_yet(struct hws_session *s, int *ret)
{
    return s->kind != KIND_PLAIN && not_a_session(s, ret) && s->kind == KIND_ASKING;
}

/* --- bytes --- */

/* Something was written to the stream or read from it: what follows is sent. */
static void wake(struct hws_session *s)
{
    node_peer_wake(engine_node(s->engine), s->peer);
    engine_flush(s->engine);
}

static ssize_t write_plain(struct hws_session *s, const void *data, size_t len)
{
    ssize_t n = len == 0 ? 0 : plain_write(s->plain, data, len);
    int r = 0;

    while (n == -EAGAIN && r == 0 && !(s->flags & HWS_NONBLOCK)) {
        r = plain_wait(s->plain, POLLOUT, INSTANT_NEVER);
        n = plain_write(s->plain, data, len);
    }
    return r < 0 ? r : n;
}

static ssize_t read_plain(struct hws_session *s, void *data, size_t len, uint64_t *ret_place)
{
    ssize_t n = len == 0 ? 0 : plain_read(s->plain, data, len, ret_place);
    int r = 0;

    while (n == -EAGAIN && r == 0 && !(s->flags & HWS_NONBLOCK)) {
        r = plain_wait(s->plain, POLLIN, INSTANT_NEVER);
        n = plain_read(s->plain, data, len, ret_place);
    }
    return r < 0 ? r : n;
}

static bool peer_takes(const struct hws_session *s, enum semantics semantics)
{
    const struct terms *t = session_peer_terms(node_peer_session(engine_node(s->engine), s->peer));

    return !(t->semantics_prohibited & 1u << semantics);
}

PUBLIC ssize_t hws_session_write(struct hws_session *s, const void *data, size_t len)
{
    struct delivery *d;
    int64_t n = 0;
    int r;

    if (usable(s) < 0)
        return usable(s);
    HOLD(s);
    if (!s)
        return -EINVAL;
    if (not_yet(s, &r))
        return r;
    if (s->kind == KIND_PLAIN)
        return write_plain(s, data, len);
    d = delivery_of(s);
    if (!d)
        return -ENOTCONN;
    if (!peer_takes(s, SEMANTICS_ORDERED))
        return -EOPNOTSUPP;
    if (len == 0)
        return 0;
    r = engine_tick(s->engine);
    if (r == 0 && s->finished && !delivery_error(d))
        return -EPIPE;
    while (r == 0) {
        n = delivery_write(d, data, len);
        if (n != 0 || (s->flags & HWS_NONBLOCK))
            break;
        r = engine_wait(s->engine, INSTANT_NEVER);
    }
    if (r < 0)
        return r;
    wake(s);
    return n != 0 ? (ssize_t)n : -EAGAIN;
}

PUBLIC ssize_t hws_session_read_at(struct hws_session *s, void *data, size_t len, uint64_t *ret_place)
{
    struct delivery *d;
    int64_t n;
    int r;

    if (usable(s) < 0)
        return usable(s);
    HOLD(s);
    if (!s)
        return -EINVAL;
    if (not_yet(s, &r))
        return r;
    if (s->kind == KIND_PLAIN)
        return read_plain(s, data, len, ret_place);
    d = delivery_of(s);
    if (!d)
        return -ENOTCONN;
    if (len == 0)
        return 0;
    r = engine_tick(s->engine);
    while (r == 0 && !delivery_readable(d)) {
        if (s->flags & HWS_NONBLOCK)
            return -EAGAIN;
        r = engine_wait(s->engine, INSTANT_NEVER);
    }
    if (r < 0)
        return r;
    n = delivery_read(d, data, len, ret_place);
    wake(s);
    return (ssize_t)n;
}

PUBLIC ssize_t hws_session_read(struct hws_session *s, void *data, size_t len)
{
    if (usable(s) < 0)
        return usable(s);
    return hws_session_read_at(s, data, len, NULL);
}

/* --- messages --- */

/* NULL: none was sent or has come. */
static struct adus *adus_of(const struct hws_session *s)
{
    return session_adus(node_peer_session(engine_node(s->engine), s->peer));
}

static bool spec_of(const struct hws_message *m, size_t m_size, struct adu_spec *ret)
{
    struct hws_message known = { 0 };

    if (m && m_size < sizeof(known))
        return false;
    if (m)
        known = *m;
    for (size_t i = sizeof(known); m && i < m_size; i++) /* as in options */
        if (((const uint8_t *)m)[i] != 0)
            return false;
    *ret = (struct adu_spec){ .unordered = known.flags & HWS_MESSAGE_UNORDERED,
                              .unreliable = known.flags & HWS_MESSAGE_UNRELIABLE,
                              .priority = (int8_t)known.priority,
                              .lifetime = (span)known.lifetime_ms * MSEC };
    return !(known.flags & ~(uint32_t)(HWS_MESSAGE_UNORDERED | HWS_MESSAGE_UNRELIABLE)) &&
           known.priority == ret->priority;
}

static enum semantics semantics_of(const struct adu_spec *spec)
{
    bool lossy = spec->unreliable || spec->lifetime > 0;

    if (spec->unordered)
        return lossy ? SEMANTICS_UNORDERED_LOSSY : SEMANTICS_UNORDERED;
    return lossy ? SEMANTICS_LOSSY : SEMANTICS_ORDERED;
}

PUBLIC int hws_session_send(struct hws_session *s, const void *data, size_t len, const struct hws_message *m,
                            size_t m_size)
{
    struct delivery *d;
    struct adu_spec spec;
    struct adus *a;
    int r;

    if (usable(s) < 0)
        return usable(s);
    HOLD(s);
    if (!s)
        return -EINVAL;
    if (not_a_session(s, &r))
        return r;
    d = delivery_of(s);
    if (!d)
        return -ENOTCONN;
    if (!spec_of(m, m_size, &spec) || (!data && len > 0))
        return -EINVAL;
    if (!peer_takes(s, semantics_of(&spec)))
        return -EOPNOTSUPP;
    a = session_adus_for_sending(node_peer_session(engine_node(s->engine), s->peer));
    if (!a)
        return -ENOMEM;
    r = engine_tick(s->engine);
    if (r == 0 && s->finished && !adus_error(a))
        return -EPIPE;
    while (r == 0) {
        r = adus_send(a, data, len, &spec, clock_now());
        if (r != -EAGAIN || (s->flags & HWS_NONBLOCK))
            break;
        r = engine_wait(s->engine, INSTANT_NEVER);
    }
    wake(s);
    return r;
}

/* The end was read, which comes after all that was sent; that something is gone may still be on its way. */
static bool no_more_messages(const struct hws_session *s)
{
    const struct adus *a = adus_of(s);

    return delivery_at_end(delivery_of(s)) && !(a && adus_is_waiting(a));
}

static bool has_message(const struct hws_session *s)
{
    const struct adus *a = adus_of(s);

    return (a && adus_receivable(a)) || no_more_messages(s) || delivery_error(delivery_of(s));
}

PUBLIC ssize_t hws_session_receive(struct hws_session *s, void *data, size_t len, struct hws_received *ret,
                                   size_t ret_size)
{
    struct hws_received received;
    struct adu_received u;
    struct delivery *d;
    int64_t n = -EAGAIN;
    int r;

    if (usable(s) < 0)
        return usable(s);
    HOLD(s);
    if (!s)
        return -EINVAL;
    if (not_a_session(s, &r))
        return (ssize_t)r;
    d = delivery_of(s);
    if (!d)
        return -ENOTCONN;
    if (!data && len > 0)
        return -EINVAL;
    r = engine_tick(s->engine);
    while (r == 0 && !has_message(s)) {
        if (s->flags & HWS_NONBLOCK)
            return -EAGAIN;
        r = engine_wait(s->engine, INSTANT_NEVER);
    }
    if (r < 0)
        return r;
    if (adus_of(s))
        n = adus_receive(adus_of(s), data, len, &u, clock_now());
    if (n < 0 && n != -EMSGSIZE) /* the end came after all messages, whatever happened to the session since */
        return no_more_messages(s) ? -ENODATA : delivery_error(d) ? delivery_error(d) : n;
    if (ret && (n >= 0 || n == -EMSGSIZE)) {
        received = (struct hws_received){
            .number = u.number,
            .len = u.len,
            .flags = u.unordered ? HWS_MESSAGE_UNORDERED : 0,
            .left_ms = u.left == INSTANT_NEVER ? INT32_MAX : (int32_t)(u.left / MSEC),
        };
        memset(ret, 0, ret_size);
        memcpy(ret, &received, MIN(ret_size, sizeof(received)));
    }
    wake(s);
    return (ssize_t)n;
}

static void finish(struct hws_session *s)
{
    s->finished = true;
    session_finish(node_peer_session(engine_node(s->engine), s->peer));
    wake(s);
}

PUBLIC int hws_session_finish(struct hws_session *s)
{
    int r;

    if (usable(s) < 0)
        return usable(s);
    HOLD(s);
    if (!s)
        return -EINVAL;
    if (not_yet(s, &r))
        return r;
    if (s->kind == KIND_PLAIN)
        return plain_finish(s->plain);
    if (!delivery_of(s))
        return -ENOTCONN;
    finish(s);
    return 0;
}

static bool flushed(const struct hws_session *s)
{
    const struct session *session = node_peer_session(engine_node(s->engine), s->peer);

    return session && session_flushed(session);
}

/* All but the end, which is of no interest to a peer that has closed. */
static bool has_arrived(const struct hws_session *s)
{
    struct delivery_info info;

    delivery_info(delivery_of(s), &info);
    return info.acked == info.written && session_units_flushed(node_peer_session(engine_node(s->engine), s->peer));
}

/* Until all has arrived. */
static int linger(struct hws_session *s)
{
    struct delivery *d = delivery_of(s);
    instant limit = clock_now() + (span)s->linger_ms * MSEC;
    int r = 0;

    if (!d || !engine_has_been_up(s->engine))
        return 0;
    if (!delivery_error(d))
        finish(s);
    while (r == 0 && !flushed(s) && !delivery_error(d))
        r = engine_wait(s->engine, limit);
    return r == 0 && !has_arrived(s) ? delivery_error(d) : r;
}

static int linger_plain(struct hws_session *s)
{
    instant limit = clock_now() + (span)s->linger_ms * MSEC;
    int r = plain_finish(s->plain);

    while (r == 0 && !plain_flushed(s->plain) && !plain_error(s->plain))
        r = plain_wait(s->plain, 0, limit);
    return r == 0 ? plain_error(s->plain) : r;
}

PUBLIC int hws_session_close(struct hws_session *s)
{
    int r = 0;

    if (!s)
        return 0;
    r = usable(s);
    if (r == -ECHILD) { /* its peers are the parent's: nobody is told */
        close_plain_listens(s);
        plain_free(s->plain);
        engine_unref_forked(s->engine);
        bury(s);
    }
    if (r < 0)
        return r;
    engine_lock(s->engine);
    if (s->kind == KIND_PLAIN && !(s->flags & HWS_NONBLOCK))
        r = linger_plain(s);
    close_plain_listens(s);
    if (s->engine && s->kind == KIND_LISTENER)
        engine_stop_listening(s->engine);
    if (s->engine && (s->kind == KIND_CLIENT || s->kind == KIND_ACCEPTED)) {
        if (!(s->flags & HWS_NONBLOCK))
            r = linger(s);
        node_peer_close(engine_node(s->engine), s->peer);
        if (s->kind == KIND_ACCEPTED)
            engine_give_back(s->engine, s->peer);
        else
            engine_flush(s->engine);
    }
    plain_free(s->plain);
    engine_unref(s->engine);
    bury(s);
    return r;
}

/* --- waiting --- */

PUBLIC unsigned hws_session_events(struct hws_session *s)
{
    struct delivery_info info;
    const struct adus *a;
    struct delivery *d;
    unsigned events = 0;

    if (usable(s) < 0)
        return 0;
    HOLD(s);
    if (!s)
        return 0;
    if (s->kind == KIND_ASKING) /* an error wakes whatever is waited for */
        return s->error ? HWS_READABLE | HWS_WRITABLE | HWS_ENDED | HWS_MESSAGE | HWS_SENDABLE : 0;
    if (s->kind == KIND_PLAIN)
        return plain_events(s->plain);
    if (s->kind == KIND_LISTENER)
        return engine_has_arrival(s->engine) || plain_has_arrival(s->plain_listens) ? HWS_READABLE : 0;
    d = delivery_of(s);
    if (!d)
        return 0;
    if (s->plain && plain_is_unauthenticated(s->plain))
        events |= HWS_UNAUTHENTICATED;
    delivery_info(d, &info);
    if (delivery_readable(d))
        events |= HWS_READABLE;
    if (delivery_error(d) || delivery_room(d) > 0)
        events |= delivery_error(d) || delivery_room(d) >= info.send_max / 4 ? HWS_WRITABLE : 0;
    if (s->kind == KIND_ACCEPTED || engine_has_been_up(s->engine))
        events |= HWS_CONNECTED;
    if (flushed(s))
        events |= HWS_FLUSHED;
    if (delivery_error(d) || (delivery_at_end(d) && info.finished && flushed(s)))
        events |= HWS_ENDED;
    a = adus_of(s);
    if (has_message(s))
        events |= HWS_MESSAGE;
    if (!a || adus_error(a) || adus_has_room(a, info.send_max / 4))
        events |= HWS_SENDABLE;
    return events;
}

PUBLIC int hws_session_fd(const struct hws_session *s)
{
    if (usable(s) < 0)
        return usable(s);
    HOLD(s);
    if (s && s->plain)
        return plain_fd(s->plain);
    return s && s->engine ? engine_fd(s->engine) : -ENOTCONN;
}

PUBLIC int hws_session_process(struct hws_session *s)
{
    int r;

    if (usable(s) < 0)
        return usable(s);
    HOLD(s);
    if (s && s->kind == KIND_ASKING) {
        (void)ask_turn(s); /* what came of it, reading tells */
        return 0;
    }
    if (s && s->plain)
        return plain_process(s->plain);
    if (!s || !s->engine)
        return -ENOTCONN;
    return engine_heed_thread(s->engine, &r) ? r : engine_process(s->engine);
}

PUBLIC int hws_session_timeout(const struct hws_session *s)
{
    instant at = INSTANT_NEVER;

    if (usable(s) < 0 || (s && s->flags & HWS_THREAD))
        return -1;
    if (s && s->engine)
        at = engine_next_expiry(s->engine);
    if (s && s->plain)
        at = instant_min(at, plain_next_expiry(s->plain));

    return at == INSTANT_NEVER ? -1 : (int)MIN((MAX(at - clock_now(), 0) + MSEC - 1) / MSEC, 3600000);
}

/* --- what is known --- */

static struct session *session_of(struct hws_session *s)
{
    return s && (s->kind == KIND_CLIENT || s->kind == KIND_ACCEPTED)
               ? node_peer_session(engine_node(s->engine), s->peer)
               : NULL;
}

static enum hws_congestion congestion_of(enum cc control)
{
    if (control == CC_KERNEL)
        return HWS_CC_TRANSPORT;
    for (size_t i = 0; i < ARRAY_LEN(controls); i++)
        if (controls[i] == control)
            return (enum hws_congestion)i;
    return HWS_CC_BBR;
}

static const enum hws_path_state states[PATH_STATE_COUNT] = {
    [PATH_PROBING] = HWS_PATH_PROBING,
    [PATH_ACTIVE] = HWS_PATH_ACTIVE,
    [PATH_SUSPECTED] = HWS_PATH_SUSPECTED,
    [PATH_DOWN] = HWS_PATH_DOWN,
};

PUBLIC size_t hws_session_paths(struct hws_session *s, struct hws_path *ret, size_t size, size_t max)
{
    struct session *session = session_of(s);
    struct session_path_info i;
    size_t count = 0;

    if (usable(s) < 0)
        return 0;
    HOLD(s);
    if (s && s->kind == KIND_PLAIN && max > 0) {
        struct hws_path p;

        plain_path(s->plain, &p);
        memcpy(ret, &p, MIN(size, sizeof(p)));
        return 1;
    }
    for (unsigned slot = 0; session && slot < SESSION_SLOTS && count < max; slot++) {
        struct hws_path p = { .rtt_us = 0 };

        session_path_info(session, slot, clock_now(), &i);
        if (!i.used)
            continue;
        memcpy(p.link, i.link, sizeof(p.link));
        sockaddr_from_endpoint(&i.at.remote, 0, &p.remote);
        p.state = i.link_down ? HWS_PATH_DOWN : states[i.metrics.state];
        p.rtt_us = (uint32_t)i.metrics.srtt;
        p.jitter_us = (uint32_t)i.metrics.rx_jitter;
        p.rate_bps = i.metrics.rate_bps;
        p.loss = i.metrics.loss;
        p.sent_bytes = i.metrics.tx_bytes;
        p.received_bytes = i.metrics.rx_bytes;
        p.congestion = congestion_of(i.congestion);
        p.group = i.group;
        p.probe_rtt_us = (uint32_t)i.metrics.probe_rtt;
        p.probes_sent = i.metrics.probes_sent;
        p.probes_answered = i.metrics.probes_answered;
        p.transport = i.at.transport;
        memcpy((uint8_t *)ret + size * count++, &p, MIN(size, sizeof(p)));
    }
    return count;
}

static int change_address(struct hws_session *s, const struct sockaddr *address, bool there)
{
    struct endpoint at;
    int r;

    if (!s || !address)
        return -EINVAL;
    HOLD(s);
    if (not_a_session(s, &r))
        return r;
    if (s->kind != KIND_CLIENT && s->kind != KIND_ACCEPTED && s->kind != KIND_LISTENER)
        return -ENOTCONN;
    if (sockaddr_to_endpoint(address, &at) < 0)
        return -EAFNOSUPPORT;
    return at.port == 0 ? -EINVAL : engine_address(s->engine, s->peer, &at, there);
}

PUBLIC int hws_session_add_address(struct hws_session *s, const struct sockaddr *address)
{
    if (usable(s) < 0)
        return usable(s);
    return change_address(s, address, true);
}

PUBLIC int hws_session_remove_address(struct hws_session *s, const struct sockaddr *address)
{
    if (usable(s) < 0)
        return usable(s);
    return change_address(s, address, false);
}

PUBLIC int hws_session_statistics(struct hws_session *s, struct hws_statistics *ret, size_t size)
{
    struct hws_statistics t = { 0 };
    struct session_path_info path;
    struct session *session;
    struct delivery_info d;
    struct session_info i;
    struct adu_info u = { 0 };
    int r;

    if (usable(s) < 0)
        return usable(s);
    HOLD(s);
    if (!s || !ret)
        return -EINVAL;
    if (not_a_session(s, &r))
        return r;
    session = session_of(s);
    if (!session)
        return -ENOTCONN;
    session_info(session, clock_now(), &i);
    delivery_info(session_delivery(session), &d);
    if (session_adus(session))
        adus_info(session_adus(session), &u);
    t = (struct hws_statistics){
        .written_bytes = d.written,
        .acknowledged_bytes = d.acked,
        .read_bytes = d.read,
        .resent_bytes = d.resent,
        .messages_sent = u.sent,
        .messages_arrived = u.arrived,
        .messages_expired = u.expired,
        .messages_lost = u.lost,
        .messages_received = u.received,
        .messages_missed = u.missed,
        .copied_bytes = u.copied_bytes,
        .records_sent = i.tx_pkts,
        .records_received = i.rx_pkts,
        .records_copied = i.duplicated,
        .records_refused = i.drops[DROP_REPLAY] + i.drops[DROP_AUTH] + i.drops[DROP_MALFORMED],
        .queued_bytes = d.written - d.acked + u.queued_bytes,
        .handshakes = i.handshakes,
        .is_clear = i.clear,
    };
    for (unsigned slot = 0; slot < SESSION_SLOTS; slot++) {
        session_path_info(session, slot, clock_now(), &path);
        t.records_lost += path.used ? path.metrics.lost_pkts : 0;
    }
    memset(ret, 0, size);
    memcpy(ret, &t, MIN(size, sizeof(t)));
    return 0;
}

PUBLIC int hws_session_probe(struct hws_session *s)
{
    int r;

    if (usable(s) < 0)
        return usable(s);
    HOLD(s);
    if (s && not_a_session(s, &r))
        return r;
    r = session_of(s) ? node_peer_probe(engine_node(s->engine), s->peer, clock_now()) : -ENOTCONN;
    if (r == 0)
        engine_flush(s->engine);
    return r;
}

PUBLIC int hws_session_feedback(struct hws_session *s, uint32_t verdict)
{
    static const enum feedback verdicts[] = {
        [HWS_GOOD_ENOUGH] = FEEDBACK_GOOD,
        [HWS_TOO_SLOW] = FEEDBACK_SLOW,
        [HWS_TOO_LATE] = FEEDBACK_LATE,
    };
    bool sent = verdict & HWS_OF_WHAT_IS_SENT;
    int r;

    verdict &= ~(uint32_t)HWS_OF_WHAT_IS_SENT;
    if (!s || verdict >= ARRAY_LEN(verdicts))
        return -EINVAL;
    if (usable(s) < 0)
        return usable(s);
    HOLD(s);
    if (not_a_session(s, &r))
        return r;
    if (!session_of(s))
        return -ENOTCONN;
    session_feedback(session_of(s), verdicts[verdict], sent, clock_now());
    wake(s);
    return 0;
}

PUBLIC int hws_session_pop_event(struct hws_session *s, struct hws_event *ret, size_t size)
{
    static const uint32_t types[] = {
        [NODE_PEER_REKEYED] = HWS_EVENT_REKEYED, [NODE_PATH_STATE] = HWS_EVENT_PATH,
        [NODE_PATH_MOVED] = HWS_EVENT_MOVED,     [NODE_FALLBACK] = HWS_EVENT_FALLBACK,
        [NODE_PEER_DOWN] = HWS_EVENT_ENDED,
    };
    struct hws_event known = { 0 };
    struct engine_event ev;

    if (usable(s) < 0)
        return 0;
    HOLD(s);
    if (!s || !ret || !session_of(s) || !engine_pop_event(s->engine, s->peer, &ev))
        return 0;
    known.type = types[ev.node.type];
    if (known.type == HWS_EVENT_ENDED)
        known.why = hws_strerror(delivery_error(delivery_of(s)));
    if (known.type == HWS_EVENT_FALLBACK)
        known.why = ev.node.fresh ? "TCP" : "UDP";
    if (known.type == HWS_EVENT_PATH || known.type == HWS_EVENT_MOVED) {
        known.old_state = states[ev.node.old_state];
        known.state = ev.path.link_down ? HWS_PATH_DOWN : states[ev.path.metrics.state];
        known.why = path_why_name(ev.path.metrics.why);
        memcpy(known.link, ev.path.link, sizeof(known.link));
        sockaddr_from_endpoint(&ev.path.at.remote, 0, &known.remote);
    }
    memset(ret, 0, size);
    memcpy(ret, &known, MIN(size, sizeof(known)));
    return 1;
}

PUBLIC int hws_session_use_link(struct hws_session *s, const char *link, enum hws_link_use use)
{
    static const enum link_tier tiers[] = {
        [HWS_LINK_PRIMARY] = TIER_PRIMARY,
        [HWS_LINK_SECONDARY] = TIER_SECONDARY,
        [HWS_LINK_BACKUP] = TIER_BACKUP,
        [HWS_LINK_NEVER] = TIER_NEVER,
    };

    if (usable(s) < 0)
        return usable(s);
    HOLD(s);
    if (!s || !link || *link == '\0' || strlen(link) > LINK_NAME_MAX || (unsigned)use >= ARRAY_LEN(tiers))
        return -EINVAL;
    if (s->kind == KIND_PLAIN || (s->kind == KIND_ASKING && !s->engine))
        return -EOPNOTSUPP;
    return s->kind == KIND_CLIENT || s->kind == KIND_ASKING ? engine_set_tier(s->engine, link, tiers[use]) : -ENOTCONN;
}

PUBLIC int hws_session_key(const struct hws_session *s, char ret[HWS_KEY_SIZE])
{
    struct peer_key k;

    if (usable(s) < 0)
        return usable(s);
    if (!s)
        return -EINVAL;
    identity_peer_key(&s->identity, suite_supported(), &k);
    peer_key_encode(&k, ret);
    return 0;
}

PUBLIC int hws_session_peer_key(const struct hws_session *s, char ret[HWS_KEY_SIZE])
{
    if (usable(s) < 0)
        return usable(s);
    HOLD(s);
    if (s && s->kind == KIND_PLAIN)
        return -EOPNOTSUPP;
    if (!s || (s->kind != KIND_CLIENT && s->kind != KIND_ACCEPTED))
        return -ENOTCONN;
    peer_key_encode(&node_peer_spec(engine_node(s->engine), s->peer)->key, ret);
    return 0;
}

PUBLIC const char *hws_session_refusal(const struct hws_session *s)
{
    if (usable(s) < 0)
        return NULL;
    HOLD(s);
    if (!s || s->refusal || !s->engine || s->kind != KIND_CLIENT)
        return s ? s->refusal : NULL;
    return refusal_of(s);
}

PUBLIC const char *hws_strerror(int error)
{
    switch (-error) {
    case EBADMSG:
        return "not a key";
    case EBADF:
        return "the session is closed";
    case ECHILD:
        return "the session is another process's";
    case ENOTCONN:
        return "the session is not connected";
    case ECONNRESET:
        return "the peer ended the session, or began anew";
    case ETIMEDOUT:
        return "no path worked for too long";
    case HWS_EREFUSED:
        return "the peer refuses what is asked";
    case EPROTO:
        return "the peer broke the protocol";
    case EPIPE:
        return "this end has finished";
    case EKEYREJECTED:
        return "the key that is pinned does not answer there, and nothing else is taken";
    case EOPNOTSUPP:
        return "a plain connection has no such thing";
    case ENODATA:
        return "the other end has finished";
    default:
        return strerror(error < 0 ? -error : error);
    }
}
