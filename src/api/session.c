/* api/session.c - the calls of hawser/session.h by which a session lives and carries; figures.c has those that tell. */
#include "api/handle.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include "api/known.h"
#include "sys/clock.h"
#include "sys/sockaddr.h"

#define CONNECT_LIMIT (10 * SEC)
#define LINGER_DEFAULT 10000

/* --- life --- */

PUBLIC int hws_session_socket(const struct hws_options *options, struct hws_session **ret)
{
    struct hws_options o;
    struct rng rng = sys_rng();
    struct hws_session *s;
    int r;

    if (!ret || !options_read(options, &o))
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
    s->o = options_of_engine(&o);
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

    if (handle_usable(s) < 0)
        return handle_usable(s);
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

    if (handle_usable(s) < 0)
        return handle_usable(s);
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

    if (handle_usable(s) < 0)
        return handle_usable(s);
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

struct delivery *handle_delivery(const struct hws_session *s)
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
const char *handle_refusal(const struct hws_session *s)
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
        s->refusal = handle_refusal(s);
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

    if (handle_usable(s) < 0)
        return handle_usable(s);
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
bool handle_is_no_session(struct hws_session *s, int *ret)
{
    int r = s->kind == KIND_ASKING ? ask_turn(s) : 0;

    *ret = r < 0 ? r : s->kind == KIND_PLAIN ? -EOPNOTSUPP : -EAGAIN;
    return s->kind == KIND_PLAIN || s->kind == KIND_ASKING;
}

/* The same for what plain connections can, too: true only while nobody knows. */
static bool not_yet(struct hws_session *s, int *ret)
{
    return s->kind != KIND_PLAIN && handle_is_no_session(s, ret) && s->kind == KIND_ASKING;
}

/* --- bytes --- */

/* Something was written to the stream or read from it: what follows is sent. */
void handle_wake(struct hws_session *s)
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

    if (handle_usable(s) < 0)
        return handle_usable(s);
    HOLD(s);
    if (!s)
        return -EINVAL;
    if (not_yet(s, &r))
        return r;
    if (s->kind == KIND_PLAIN)
        return write_plain(s, data, len);
    d = handle_delivery(s);
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
    handle_wake(s);
    return n != 0 ? (ssize_t)n : -EAGAIN;
}

PUBLIC ssize_t hws_session_read_at(struct hws_session *s, void *data, size_t len, uint64_t *ret_place)
{
    struct delivery *d;
    int64_t n;
    int r;

    if (handle_usable(s) < 0)
        return handle_usable(s);
    HOLD(s);
    if (!s)
        return -EINVAL;
    if (not_yet(s, &r))
        return r;
    if (s->kind == KIND_PLAIN)
        return read_plain(s, data, len, ret_place);
    d = handle_delivery(s);
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
    handle_wake(s);
    return (ssize_t)n;
}

PUBLIC ssize_t hws_session_read(struct hws_session *s, void *data, size_t len)
{
    if (handle_usable(s) < 0)
        return handle_usable(s);
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

    if (handle_usable(s) < 0)
        return handle_usable(s);
    HOLD(s);
    if (!s)
        return -EINVAL;
    if (handle_is_no_session(s, &r))
        return r;
    d = handle_delivery(s);
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
    handle_wake(s);
    return r;
}

/* The end was read, which comes after all that was sent; that something is gone may still be on its way. */
static bool no_more_messages(const struct hws_session *s)
{
    const struct adus *a = adus_of(s);

    return delivery_at_end(handle_delivery(s)) && !(a && adus_is_waiting(a));
}

static bool has_message(const struct hws_session *s)
{
    const struct adus *a = adus_of(s);

    return (a && adus_receivable(a)) || no_more_messages(s) || delivery_error(handle_delivery(s));
}

PUBLIC ssize_t hws_session_receive(struct hws_session *s, void *data, size_t len, struct hws_received *ret,
                                   size_t ret_size)
{
    struct hws_received received;
    struct adu_received u;
    struct delivery *d;
    int64_t n = -EAGAIN;
    int r;

    if (handle_usable(s) < 0)
        return handle_usable(s);
    HOLD(s);
    if (!s)
        return -EINVAL;
    if (handle_is_no_session(s, &r))
        return (ssize_t)r;
    d = handle_delivery(s);
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
    handle_wake(s);
    return (ssize_t)n;
}

static void finish(struct hws_session *s)
{
    s->finished = true;
    session_finish(node_peer_session(engine_node(s->engine), s->peer));
    handle_wake(s);
}

PUBLIC int hws_session_finish(struct hws_session *s)
{
    int r;

    if (handle_usable(s) < 0)
        return handle_usable(s);
    HOLD(s);
    if (!s)
        return -EINVAL;
    if (not_yet(s, &r))
        return r;
    if (s->kind == KIND_PLAIN)
        return plain_finish(s->plain);
    if (!handle_delivery(s))
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

    delivery_info(handle_delivery(s), &info);
    return info.acked == info.written && session_units_flushed(node_peer_session(engine_node(s->engine), s->peer));
}

/* Until all has arrived. */
static int linger(struct hws_session *s)
{
    struct delivery *d = handle_delivery(s);
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
    r = handle_usable(s);
    if (r == -ECHILD) { /* its peers are the parent's: nobody is told */
        close_plain_listens(s);
        plain_free(s->plain);
        engine_unref_forked(s->engine);
        handle_bury(s);
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
        node_peer_close(engine_node(s->engine), s->peer, clock_now());
        if (s->kind == KIND_ACCEPTED)
            engine_give_back(s->engine, s->peer);
        else
            engine_flush(s->engine);
    }
    plain_free(s->plain);
    engine_unref(s->engine);
    handle_bury(s);
    return r;
}

/* --- waiting --- */

PUBLIC unsigned hws_session_events(struct hws_session *s)
{
    struct delivery_info info;
    const struct adus *a;
    struct delivery *d;
    unsigned events = 0;

    if (handle_usable(s) < 0)
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
    d = handle_delivery(s);
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
    if (handle_usable(s) < 0)
        return handle_usable(s);
    HOLD(s);
    if (s && s->plain)
        return plain_fd(s->plain);
    return s && s->engine ? engine_fd(s->engine) : -ENOTCONN;
}

PUBLIC int hws_session_process(struct hws_session *s)
{
    int r;

    if (handle_usable(s) < 0)
        return handle_usable(s);
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

    if (handle_usable(s) < 0 || (s && s->flags & HWS_THREAD))
        return -1;
    if (s && s->engine)
        at = engine_next_expiry(s->engine);
    if (s && s->plain)
        at = instant_min(at, plain_next_expiry(s->plain));

    return at == INSTANT_NEVER ? -1 : (int)MIN((MAX(at - clock_now(), 0) + MSEC - 1) / MSEC, 3600000);
}
