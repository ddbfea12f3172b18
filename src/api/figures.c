/* api/figures.c - the calls of hawser/session.h that tell what is known of a session and its paths, or change it. */
#include "api/handle.h"

#include <errno.h>

#include "sys/clock.h"
#include "sys/sockaddr.h"

static struct session *session_of(struct hws_session *s)
{
    return s && (s->kind == KIND_CLIENT || s->kind == KIND_ACCEPTED)
               ? node_peer_session(engine_node(s->engine), s->peer)
               : NULL;
}

static enum hws_congestion congestion_of(enum cc control)
{
    static const enum hws_congestion names[] = {
        [CC_BBR] = HWS_CC_BBR, [CC_CUBIC] = HWS_CC_CUBIC,      [CC_OLIA] = HWS_CC_OLIA,
        [CC_LIA] = HWS_CC_LIA, [CC_KERNEL] = HWS_CC_TRANSPORT,
    };

    return names[control];
}

static const enum hws_path_state states[PATH_STATE_COUNT] = {
    [PATH_PROBING] = HWS_PATH_PROBING,
    [PATH_ACTIVE] = HWS_PATH_ACTIVE,
    [PATH_SUSPECTED] = HWS_PATH_SUSPECTED,
    [PATH_DOWN] = HWS_PATH_DOWN,
};

PUBLIC size_t hws_session_paths(struct hws_session *s, struct hws_path *ret, size_t size, size_t max)
{
    struct session_path_info i;
    struct session *session;
    size_t count = 0;

    if (handle_usable(s) < 0)
        return 0;
    HOLD(s);
    session = session_of(s);
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
        p.idle_rate_bps = i.metrics.idle_bps;
        p.idle_probe_bytes = i.metrics.train_bytes;
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
    if (handle_is_no_session(s, &r))
        return r;
    if (s->kind != KIND_CLIENT && s->kind != KIND_ACCEPTED && s->kind != KIND_LISTENER)
        return -ENOTCONN;
    if (sockaddr_to_endpoint(address, &at) < 0)
        return -EAFNOSUPPORT;
    return at.port == 0 ? -EINVAL : engine_address(s->engine, s->peer, &at, there);
}

PUBLIC int hws_session_add_address(struct hws_session *s, const struct sockaddr *address)
{
    if (handle_usable(s) < 0)
        return handle_usable(s);
    return change_address(s, address, true);
}

PUBLIC int hws_session_remove_address(struct hws_session *s, const struct sockaddr *address)
{
    if (handle_usable(s) < 0)
        return handle_usable(s);
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

    if (handle_usable(s) < 0)
        return handle_usable(s);
    HOLD(s);
    if (!s || !ret)
        return -EINVAL;
    if (handle_is_no_session(s, &r))
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
        .records_abandoned = i.abandoned,
        .records_insisted = i.insisted,
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

    if (handle_usable(s) < 0)
        return handle_usable(s);
    HOLD(s);
    if (s && handle_is_no_session(s, &r))
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
    if (handle_usable(s) < 0)
        return handle_usable(s);
    HOLD(s);
    if (handle_is_no_session(s, &r))
        return r;
    if (!session_of(s))
        return -ENOTCONN;
    session_feedback(session_of(s), verdicts[verdict], sent, clock_now());
    handle_wake(s);
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

    if (handle_usable(s) < 0)
        return 0;
    HOLD(s);
    if (!s || !ret || !session_of(s) || !engine_pop_event(s->engine, s->peer, &ev))
        return 0;
    known.type = types[ev.node.type];
    if (known.type == HWS_EVENT_ENDED)
        known.why = hws_strerror(delivery_error(handle_delivery(s)));
    if (known.type == HWS_EVENT_FALLBACK) {
        known.why = ev.node.fresh ? "TCP" : "UDP";
        memcpy(known.link, ev.path.link, sizeof(known.link));
    }
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

    if (handle_usable(s) < 0)
        return handle_usable(s);
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

    if (handle_usable(s) < 0)
        return handle_usable(s);
    if (!s)
        return -EINVAL;
    identity_peer_key(&s->identity, suite_supported(), &k);
    peer_key_encode(&k, ret);
    return 0;
}

PUBLIC int hws_session_peer_key(const struct hws_session *s, char ret[HWS_KEY_SIZE])
{
    if (handle_usable(s) < 0)
        return handle_usable(s);
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
    if (handle_usable(s) < 0)
        return NULL;
    HOLD(s);
    if (!s || s->refusal || !s->engine || s->kind != KIND_CLIENT)
        return s ? s->refusal : NULL;
    return handle_refusal(s);
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
