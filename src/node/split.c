/* node/split.c - TCP connections that are ended here and carried as bytes: the split lane (mode split).
 *
 * Theory of operation. A SYN from the node's inside whose rule says split is held (tunnel/tcp.h), and a channel of the
 * session (session/channel.h) asks the agent to open the connection. The agent does so with an end of its own that
 * stands on its inside under the address of the node's application; so its packets pass the same device, filters and
 * translation as any packet of that node, and whatever a node may not reach by packets it cannot reach by a channel.
 * When the server answers, the channel is accepted, and the node answers the SYN; a refusal goes the same way. Then
 * bytes move: end to channel to end. What one side does not take fills its channel's window, and the other end's: its
 * sender stops. An end (FIN) and a break (RST) pass each way.
 *
 *   application <- packets -> tcp_end <- bytes -> channel ======= channel <- bytes -> tcp_end <- packets -> server
 *                             `------- the node ------'            `------- the agent ------'
 *
 * Who gives up before there was an answer says nothing: he sends his SYN no more. So one that has not come again for
 * twice the time in which it came, and 4 s, is taken back; the agent stops asking the server then.
 *
 * A flow is never moved in mid-life: one that began as packets (its SYN met another rule, no session, or no room; or
 * mode auto chose them, lane.c) stays packets, and a split one that loses its session is broken off with RST on both
 * sides. Before there was an answer it has no life: if the agent has no room, or, in mode auto, does not open it or is
 * lost, its SYN goes on as a packet, and what becomes of that is what packets meet.
 *
 * The bytes of either direction leave in datagrams of the DSCP that its sender's newest packet had, as packets do.
 *
 * An end's packets for the inside come out with node_pop_inner; those for another node's inside (agent) are packets for
 * that node. Ends are looked at when something happened to them (`ready`) or when one of them is due (`due`): timers of
 * TCP bear SLACK, which bounds how often all are walked over.
 *
 * Limits, of a share of an agent: SPLITS_MAX connections; one begins with its part of 128 MiB by how many there are,
 * each way, from 64 KiB to 4 MiB: .8 GiB when all are full. Channels: channel.h, for each session. Sources: RFC 3135.
 */
#include <errno.h>

#include "node/split.h"

#define SPLITS_MAX 4096
#define SLACK (5 * MSEC)            /* chosen: small beside TCP's shortest timer, 40 ms */
#define BUSY_SPAN (10 * SEC)        /* chosen: so long an agent that has no room is not asked again */
#define INSIDE_RECEIVE (256u << 10) /* chosen: what an application may have given us beyond its channel */
#define SYN_AGAIN (4 * SEC)         /* chosen: above the first gap of RFC 6298 (1 s) and its former (3 s) */
#define SERVER_BUFFER (4u << 20)    /* 330 Mbit/s to a server that is 100 ms away */
#define SERVERS_SHARED (128u << 20) /* chosen: 32 connections at full size; the thousandth begins with 128 KiB */

/* --- life --- */

struct splits *splits_make(struct node *n)
{
    struct splits *t = n->splits;

    if (t)
        return t;
    t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    map64_init(&t->by_flow, SPLITS_MAX, 0);
    list_init(&t->all);
    list_init(&t->ready);
    t->due = INSTANT_NEVER;
    rng_fill(&n->o.rng, t->tcp_key, sizeof(t->tcp_key));
    n->splits = t;
    return t;
}

/* Of packets that come to `local`. */
static uint64_t key_of(const struct node *n, const struct endpoint *local, const struct endpoint *peer)
{
    uint8_t buf[37] = { local->addr.family };

    memcpy(buf + 1, local->addr.bytes, 16);
    memcpy(buf + 17, peer->addr.bytes, 16);
    put_be16(buf + 33, local->port);
    put_be16(buf + 35, peer->port);
    return siphash13(n->hash_key, buf, sizeof(buf));
}

static struct split *find(const struct node *n, const struct endpoint *local, const struct endpoint *peer)
{
    return map64_get(&n->splits->by_flow, key_of(n, local, peer));
}

struct tcp_end_options split_options(const struct node *n, bool active)
{
    size_t share = MIN((size_t)SERVER_BUFFER, SERVERS_SHARED / (n->splits->info.count + 1));
    struct tcp_end_options o = { .send_bytes = active ? MAX(share, (size_t)TCP_END_BUFFER_MIN) : 0,
                                 .receive_bytes = active ? MAX(share, (size_t)TCP_END_BUFFER_MIN) : INSIDE_RECEIVE,
                                 .mtu = n->o.mtu,
                                 .offload = (n->o.merge & MERGE_TCP) != 0 };

    memcpy(o.key, n->splits->tcp_key, sizeof(o.key));
    return o;
}

struct split *split_add(struct peer *p, struct tcp_end *end, struct channel *c, bool active)
{
    struct splits *t = p->node->splits;
    struct split *x = calloc(1, sizeof(*x));
    struct tcp_end_info info;

    if (!x)
        return NULL;
    tcp_end_info(end, &info);
    x->key = key_of(p->node, &info.local, &info.peer);
    if (map64_get(&t->by_flow, x->key) || map64_put(&t->by_flow, x->key, x) < 0) {
        free(x);
        return NULL;
    }
    x->peer = p;
    x->end = end;
    x->channel = c;
    x->active = active;
    if (c)
        channel_set_owner(c, x);
    list_append(&t->all, &x->all);
    list_init(&x->ready);
    t->info.count++;
    t->info.begun++;
    return x;
}

static void make_ready(struct split *x)
{
    if (list_empty(&x->ready))
        list_append(&x->peer->node->splits->ready, &x->ready);
}

static void drop_channel(struct split *x)
{
    if (!x->channel)
        return;
    channel_free(x->channel);
    x->channel = NULL;
    peer_touch(x->peer);
}

static void forget_syn(struct split *x)
{
    free(x->syn.pkt);
    x->syn.pkt = NULL;
}

static void destroy(struct split *x)
{
    struct splits *t = x->peer->node->splits;

    drop_channel(x);
    forget_syn(x);
    list_remove(&x->all);
    list_remove(&x->ready);
    map64_remove(&t->by_flow, x->key);
    tcp_end_free(x->end);
    t->info.count--;
    free(x);
}

void splits_forget(struct peer *p)
{
    struct splits *t = p->node->splits;

    if (!t)
        return;
    LIST_FOREACH_SAFE (x, &t->all, struct split, all) {
        if (x->peer == p)
            destroy(x);
    }
}

void split_break(struct split *x)
{
    drop_channel(x);
    tcp_end_abort(x->end);
    make_ready(x);
}

void splits_close(struct node *n)
{
    n->closing = true;
    if (!n->splits)
        return;
    LIST_FOREACH (x, &n->splits->all, struct split, all)
        split_break(x);
}

void splits_free(struct node *n)
{
    struct splits *t = n->splits;

    if (!t)
        return;
    LIST_FOREACH_SAFE (x, &t->all, struct split, all)
        destroy(x);
    map64_deinit(&t->by_flow);
    ident_wipe(t, sizeof(*t));
    free(t);
    n->splits = NULL;
}

void node_split_info(const struct node *n, struct node_split_info *ret)
{
    *ret = n->splits ? n->splits->info : (struct node_split_info){ 0 };
}

/* --- bytes --- */

static void to_channel(struct split *x)
{
    struct slice s;

    while ((s = tcp_end_peek(x->end)).len > 0) {
        int64_t n = channel_write(x->channel, s.data, s.len);

        if (n <= 0)
            return;
        tcp_end_consume(x->end, (size_t)n);
        x->peer->node->splits->info.bytes += (uint64_t)n;
    }
    if (tcp_end_at_end(x->end))
        channel_finish(x->channel);
}

static void to_end(struct split *x)
{
    size_t room;

    while ((room = tcp_end_room(x->end)) > 0) {
        struct slice s = channel_peek(x->channel);
        int64_t n = s.len > 0 ? tcp_end_write(x->end, s.data, MIN(s.len, room)) : 0;

        if (n < 0)
            tcp_end_abort(x->end);
        if (n <= 0)
            break;
        channel_consume(x->channel, (size_t)n);
        x->peer->node->splits->info.bytes += (uint64_t)n;
    }
    if (channel_at_end(x->channel))
        tcp_end_finish(x->end);
}

/* --- what became of either --- */

static enum channel_refusal refusal_of(int error)
{
    switch (error) {
    case -ENETUNREACH:
        return CHANNEL_REFUSED_NET;
    case -EHOSTUNREACH:
    case -ETIMEDOUT:
        return CHANNEL_REFUSED_HOST;
    case -EACCES:
        return CHANNEL_REFUSED_PROHIBITED;
    default:
        return CHANNEL_REFUSED;
    }
}

/* It is not split after all: before there was an answer its SYN goes on as the packet that it is. Others are not split
 * before that instant. */
static void go_as_packet(struct split *x, instant not_before, instant now)
{
    struct peer *p = x->peer;
    struct node *n = p->node;
    uint8_t *pkt = x->syn.pkt;
    size_t len = x->syn.len;
    struct offload offload = x->syn.offload;

    x->syn.pkt = NULL;
    destroy(x);
    p->split_not_before = INSTANT_NEVER;
    if (pkt)
        inner_on_packet(n, pkt, len, &offload, false, now);
    p->split_not_before = not_before;
    free(pkt);
}

/* The peer did not open what our application asks for. */
static void on_refused(struct split *x, enum channel_refusal why, instant now)
{
    static const enum tcp_refusal said[CHANNEL_REFUSAL_COUNT] = {
        [CHANNEL_ACCEPTED] = TCP_REFUSED,
        [CHANNEL_REFUSED] = TCP_REFUSED,
        [CHANNEL_REFUSED_NET] = TCP_REFUSED_NET,
        [CHANNEL_REFUSED_HOST] = TCP_REFUSED_HOST,
        [CHANNEL_REFUSED_PROHIBITED] = TCP_REFUSED_PROHIBITED,
        [CHANNEL_REFUSED_BUSY] = TCP_REFUSED,
    };

    x->peer->node->splits->info.refused++;
    if (why == CHANNEL_REFUSED_BUSY ||
        (x->automatic && (why == CHANNEL_REFUSED_PROHIBITED || why == CHANNEL_ACCEPTED))) {
        go_as_packet(x, why == CHANNEL_REFUSED_BUSY ? now + BUSY_SPAN : x->peer->split_not_before, now);
        return;
    }
    drop_channel(x);
    tcp_end_refuse(x->end, said[why], NULL);
}

static bool established(const struct split *x)
{
    enum tcp_end_state s = tcp_end_state(x->end);

    return s >= TCP_END_ESTABLISHED && s != TCP_END_CLOSED;
}

/* A connection that is not there yet, on either side of the channel. */
static void settle_opening(struct split *x, instant now)
{
    bool closed = tcp_end_state(x->end) == TCP_END_CLOSED;

    if (x->active && closed) {
        channel_refuse(x->channel, refusal_of(tcp_end_error(x->end)));
        x->peer->node->splits->info.refused++;
        drop_channel(x);
    } else if (x->active && established(x)) {
        channel_accept(x->channel);
    } else if (!x->active && closed) { /* who asked wants it no longer */
        drop_channel(x);
    }
}

static void settle(struct split *x, instant now)
{
    enum channel_state state = channel_state(x->channel);
    bool held = tcp_end_state(x->end) == TCP_END_HELD;

    if (state == CHANNEL_ASKED || state == CHANNEL_OFFERED) {
        settle_opening(x, now);
    } else if (state == CHANNEL_ENDED && held) {
        on_refused(x, channel_refused(x->channel), now);
    } else if (state == CHANNEL_ENDED) {
        x->peer->node->splits->info.broken++;
        split_break(x);
    } else if (held) {
        forget_syn(x);
        tcp_end_accept(x->end, now);
    } else if (tcp_end_error(x->end) ||
               (channel_flushed(x->channel) && channel_at_end(x->channel) && tcp_end_at_end(x->end))) {
        drop_channel(x); /* of an error, the peer hears by a reset */
    }
}

/* When whoever began it has given up; INSTANT_NEVER: it was answered. Each gap between two SYNs is at most as long as
 * all before, and the first. */
static instant given_up_at(const struct split *x)
{
    return x->channel && tcp_end_state(x->end) == TCP_END_HELD
               ? x->asked_again + 2 * (x->asked_again - x->asked) + SYN_AGAIN
               : INSTANT_NEVER;
}

/* After anything that happened to its end or its channel. x may be gone then. */
static void serve(struct split *x, instant now)
{
    make_ready(x);
    if (!x->channel)
        return;
    peer_touch(x->peer);
    to_channel(x);
    to_end(x);
    settle(x, now);
}

/* --- opening --- */

enum node_lane split_lane(const struct peer *p, const struct steer_action *a, const struct packet_info *info,
                          uint16_t target, instant now, struct node_lane_why *ret)
{
    const struct splits *t = p->node->splits;

    *ret = (struct node_lane_why){ 0 };
    if (!steer_mode_splits((enum steer_mode)a->mode))
        return NODE_LANE_PACKETS;
    if (p->node->o.role != ROLE_NODE)
        return NODE_LANE_AGENT;
    if (info->proto != PROTO_TCP)
        return NODE_LANE_NOT_TCP;
    if (!p->session || !session_has_channels(p->session))
        return NODE_LANE_NO_CHANNELS;
    if (now < p->split_not_before || (t && t->info.count >= SPLITS_MAX) ||
        session_channels_count(p->session) >= CHANNELS_MAX)
        return NODE_LANE_NO_ROOM;
    return a->mode == STEER_MODE_AUTO ? lane_choose(p, target, now, ret) : NODE_LANE_SPLIT;
}

bool split_begin(struct peer *p, const struct steer_action *action, const uint8_t *pkt, const struct packet_info *info,
                 const struct offload *offload, int target, instant now)
{
    const struct endpoint from = { info->src, info->sport }, to = { info->dst, info->dport };
    struct node *n = p->node;
    struct tcp_end_options o;
    struct node_lane_why why;
    struct tcp_end *end;
    struct channel *c;
    struct split *x;

    if (info->proto != PROTO_TCP || (info->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN ||
        info->sport == 0 || info->dport == 0 ||
        split_lane(p, action, info, (uint16_t)target, now, &why) != NODE_LANE_SPLIT || !splits_make(n) ||
        !tcp_checksum_right(pkt, info, offload))
        return false;
    o = split_options(n, false);
    if (tcp_end_new(&o, pkt, info, now, &end) < 0)
        return false;
    if (session_channel_open(p->session, &from, &to, now, &c) < 0) {
        tcp_end_free(end);
        return false;
    }
    channel_steer(c, (uint16_t)target,
                  steer_classify(action, info) == STEER_INTERACTIVE ? FLOW_INTERACTIVE : FLOW_BULK);
    x = split_add(p, end, c, false);
    if (!x) {
        channel_free(c);
        tcp_end_free(end);
        return false;
    }
    x->dscp = info->dscp;
    x->asked = x->asked_again = now;
    x->automatic = action->mode == STEER_MODE_AUTO;
    x->syn.pkt = malloc(info->total_len); /* without memory it comes again in a second */
    if (x->syn.pkt) {
        memcpy(x->syn.pkt, pkt, info->total_len);
        x->syn.len = info->total_len;
        x->syn.offload = offload ? *offload : (struct offload){ 0 };
    }
    make_ready(x);
    peer_touch(p);
    return true;
}

/* A channel goes where the rule says that its packets would; one that is blocked by now has no use for paths. */
static void retarget(struct split *x)
{
    enum flow_class class;
    int target = inner_steer(x->peer, channel_request(x->channel), x->dscp, &class);

    if (target >= 0)
        channel_steer(x->channel, (uint16_t)target, class);
    else
        channel_reset(x->channel);
}

void splits_retarget(struct peer *p)
{
    struct splits *t = p->node->splits;

    if (!t)
        return;
    LIST_FOREACH (x, &t->all, struct split, all) {
        if (x->peer == p && x->channel)
            retarget(x);
    }
}

void split_admit(struct split *x)
{
    struct tcp_end_info info;

    tcp_end_info(x->end, &info);
    if (x->active &&
        (!inner_source_allowed(x->peer, &info.local.addr) || !inner_destination_allowed(x->peer, &info.peer.addr)))
        split_break(x);
    else if (x->channel)
        retarget(x);
    make_ready(x);
}

static bool is_over(const struct split *x)
{
    enum tcp_end_state s = tcp_end_state(x->end);

    return !x->channel && (s == TCP_END_TIME_WAIT || s == TCP_END_CLOSED);
}

/* CHANNEL_ACCEPTED: the connection may be tried. */
static enum channel_refusal may_open(struct peer *p, const struct channel_open *q)
{
    struct node *n = p->node;
    const struct endpoint *local = &q->from, *server = &q->to;
    struct split *old;

    if (!inner_source_allowed(p, &local->addr)) {
        n->drops[NODE_DROP_INNER_SOURCE]++;
        return CHANNEL_REFUSED_PROHIBITED;
    }
    if (!inner_destination_allowed(p, &server->addr) || inner_route(n, &server->addr) == p) {
        n->drops[NODE_DROP_INNER_DEST]++;
        return CHANNEL_REFUSED_PROHIBITED;
    }
    if (n->closing || !splits_make(n))
        return CHANNEL_REFUSED_BUSY;
    old = find(n, local, server);
    if (old && is_over(old))
        destroy(old); /* its application begins anew, so it is in TIME_WAIT no longer */
    else if (old)
        return CHANNEL_REFUSED; /* packets would meet the old one */
    return n->splits->info.count < SPLITS_MAX ? CHANNEL_ACCEPTED : CHANNEL_REFUSED_BUSY;
}

static enum channel_refusal open_end(struct peer *p, struct channel *c, instant now)
{
    const struct channel_open *q = channel_request(c);
    struct tcp_end_options o = split_options(p->node, true);
    struct tcp_end *end;
    struct split *x;
    int r = tcp_end_connect(&o, &q->from, &q->to, now, &end);

    if (r < 0)
        return r == -ENOMEM ? CHANNEL_REFUSED_BUSY : CHANNEL_REFUSED_PROHIBITED;
    x = split_add(p, end, c, true);
    if (!x) {
        tcp_end_free(end);
        return CHANNEL_REFUSED_BUSY;
    }
    retarget(x);
    make_ready(x);
    return CHANNEL_ACCEPTED;
}

static void on_offered(struct peer *p, struct channel *c, instant now)
{
    enum channel_refusal why = may_open(p, channel_request(c));

    if (why == CHANNEL_ACCEPTED)
        why = open_end(p, c, now);
    if (why == CHANNEL_ACCEPTED)
        return;
    if (p->node->splits)
        p->node->splits->info.refused++;
    channel_refuse(c, why);
    channel_free(c);
}

void splits_pump(struct peer *p, instant now)
{
    struct channel *c;

    while (p->session && (c = session_channel_pop(p->session))) {
        if (channel_owner(c))
            serve(channel_owner(c), now);
        else if (channel_state(c) == CHANNEL_OFFERED)
            on_offered(p, c, now);
        else
            channel_free(c); /* taken back before we saw it */
        peer_touch(p);
    }
}

/* --- packets and time --- */

static bool on_segment(struct split *x, const uint8_t *pkt, const struct packet_info *info,
                       const struct offload *offload, instant now)
{
    if (!tcp_end_matches(x->end, info))
        return false;
    if (x->active && is_over(x) && (info->tcp_flags & TCP_SYN)) { /* of a connection that began as packets since */
        destroy(x);
        return false;
    }
    x->asked_again = now;
    if (x->channel)
        channel_set_tos(x->channel, inner_outer_tos(x->peer->node, info->dscp));
    if (tcp_end_input(x->end, pkt, info, offload, now) == TCP_END_REOPENED) {
        destroy(x);
        return false;
    }
    serve(x, now);
    return true;
}

static void on_icmp(struct split *x, const struct tcp_icmp *said, instant now)
{
    if (said->too_big)
        tcp_end_on_too_big(x->end, said->seq, said->mtu);
    else
        tcp_end_on_unreachable(x->end, said->seq, said->why);
    serve(x, now);
}

bool split_on_packet(struct peer *p, const uint8_t *pkt, const struct packet_info *info, const struct offload *offload,
                     instant now)
{
    const struct endpoint local = { info->dst, info->dport }, peer = { info->src, info->sport };
    struct node *n = p->node;
    struct tcp_icmp said;
    struct split *x;

    if (!n->splits || n->splits->info.count == 0)
        return false;
    if (info->proto == PROTO_TCP) {
        x = find(n, &local, &peer);
        return x && x->peer == p && on_segment(x, pkt, info, offload, now);
    }
    if ((info->proto != PROTO_ICMP && info->proto != PROTO_ICMPV6) || !tcp_icmp_parse(pkt, info, &said))
        return false;
    x = find(n, &said.local, &said.peer);
    if (!x || x->peer != p)
        return false;
    on_icmp(x, &said, now);
    return true;
}

/* For another node's inside: a packet to that node. False: it is for our own. */
static bool passes_on(struct split *x, const struct merged *out, instant now)
{
    struct node *n = x->peer->node;
    struct tcp_end_info info;
    struct peer *other;

    if (!x->active)
        return false;
    tcp_end_info(x->end, &info);
    other = inner_route(n, &info.peer.addr);
    if (!other)
        return false;
    inner_on_packet(n, n->scratch, slices_gather(out->slices, out->count, n->scratch, BLOCK_CAPACITY), &out->offload,
                    false, now);
    return true;
}

static void note_expiry(struct split *x)
{
    struct splits *t = x->peer->node->splits;

    t->due = instant_min(t->due, instant_min(tcp_end_next_expiry(x->end), given_up_at(x)));
}

bool splits_pop(struct node *n, struct merged *ret, instant now)
{
    struct splits *t = n->splits;

    /* A packet that was passed on to another share stands in `scratch` until it is taken. */
    while (t && n->handovers_count == 0 && !list_empty(&t->ready)) {
        struct split *x = LIST_FIRST(&t->ready, struct split, ready);

        list_remove(&x->ready);
        if (tcp_end_output(x->end, ret, now)) {
            list_append(&t->ready, &x->ready);
            if (!passes_on(x, ret, now))
                return true;
        } else if (!x->channel && tcp_end_state(x->end) == TCP_END_CLOSED) {
            destroy(x);
        } else {
            note_expiry(x);
        }
    }
    return false;
}

static instant walk_at(const struct splits *t)
{
    return t->due == INSTANT_NEVER ? INSTANT_NEVER : MAX(t->due, t->walked + SLACK);
}

instant splits_next_expiry(const struct node *n)
{
    if (!n->splits)
        return INSTANT_NEVER;
    return list_empty(&n->splits->ready) ? walk_at(n->splits) : 0;
}

void splits_on_expiry(struct node *n, instant now)
{
    struct splits *t = n->splits;

    if (!t || walk_at(t) > now)
        return;
    t->due = INSTANT_NEVER;
    t->walked = now;
    LIST_FOREACH_SAFE (x, &t->all, struct split, all) {
        if (given_up_at(x) <= now) {
            destroy(x);
        } else if (tcp_end_next_expiry(x->end) <= now) {
            tcp_end_on_expiry(x->end, now);
            serve(x, now);
        } else {
            note_expiry(x);
        }
    }
}
