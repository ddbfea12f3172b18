/* node/inner.c - packets of the inside.
 *
 * Theory of operation, out of the TUN: a super-packet is cut into packets in pool buffers, which have headers of their
 * own and borrow the payload from the block that it was read to (its steering is decided once), SYNs are clamped, what
 * no path takes is answered with packet-too-big, and each packet joins the queue of its flow in the session of the peer
 * that has its destination. Into the TUN: delivered packets are checked against what their sender may use, merged per
 * flow into super-packets, and handed to the program; those for another peer's inside go on to that peer.
 *
 * A packet that fits the interface but not every path by which it may leave is carried all the same (session/size.c);
 * its sender is told what fits.
 *
 * ICMP answers are limited to 50 a second. */
#include <errno.h>

#include "node/internal.h"
#include "tunnel/ecn.h"
#include "tunnel/mss.h"

#define ICMP_PER_SEC 50
#define V6_LEAST 1280 /* RFC 8200 5: no IPv6 sender needs to go below */
#define BORROW_MIN 8  /* pieces; chosen: of fewer a packet that waits would keep much more memory than it fills */

static struct peer *find_route(const struct node *n, const struct addr *dst)
{
    struct peer *best;
    int best_len = -1;

    best = map64_get(&n->by_addr, node_addr_hash(n, dst));
    if (best)
        return best;
    for (size_t i = 0; i < n->wide_count; i++) {
        struct peer *p = n->wide[i];

        for (size_t j = 0; j < p->spec.allowed_count + p->spec.addresses_count; j++) {
            const struct prefix *x =
                j < p->spec.allowed_count ? &p->spec.allowed[j] : &p->spec.addresses[j - p->spec.allowed_count];
            if (prefix_contains(x, dst) && x->len > best_len) {
                best = p;
                best_len = x->len;
            }
        }
    }
    return best;
}

struct peer *inner_route(struct node *n, const struct addr *dst)
{
    if (n->o.role == ROLE_NODE)
        return n->peers_count > 0 ? n->peers[0] : NULL;
    if (!n->routed.valid || !addr_equal(&n->routed.dst, dst)) {
        n->routed.dst = *dst;
        n->routed.peer = find_route(n, dst);
        n->routed.valid = true;
    }
    return n->routed.peer;
}

bool inner_source_allowed(const struct peer *p, const struct addr *src)
{
    if (p->node->o.role == ROLE_NODE)
        return true;
    for (size_t i = 0; i < p->spec.addresses_count; i++)
        if (prefix_contains(&p->spec.addresses[i], src))
            return true;
    for (size_t i = 0; i < p->spec.allowed_count; i++)
        if (prefix_contains(&p->spec.allowed[i], src))
            return true;
    return false;
}

bool inner_destination_allowed(const struct peer *p, const struct addr *dst)
{
    if (p->node->o.role == ROLE_HOST)
        return addr_equal(dst, &p->node->o.identifier);
    for (size_t i = 0; i < p->spec.reach_count; i++)
        if (prefix_contains(&p->spec.reach[i], dst))
            return true;
    /* Anything then, but what is this host's or its link's alone: a cloud's metadata service answers there, say. */
    return p->spec.reach_count == 0 &&
           !(p->node->o.role == ROLE_AGENT && (addr_is_link_local(dst) || addr_is_loopback(dst)));
}

static bool icmp_allowed(struct node *n, instant now)
{
    if (now - n->icmp_at >= 1 * SEC) {
        n->icmp_at = now;
        n->icmp_credit = ICMP_PER_SEC;
    }
    if (n->icmp_credit == 0 || n->icmp_len > 0)
        return false;
    n->icmp_credit--;
    return true;
}

/* ICMP comes as if from the packet's destination: a host takes nothing from a TUN device that says to come from an
 * address of its own, and to the destination it has a route by the tunnel. */
void inner_refuse(struct node *n, const uint8_t *pkt, const struct packet_info *info, enum unreachable_reason reason,
                  instant now)
{
    int len;

    if (!icmp_allowed(n, now))
        return;
    len = unreachable_make(n->icmp, sizeof(n->icmp), pkt, info, &info->dst, reason);
    n->icmp_len = len > 0 ? (size_t)len : 0;
}

/* Tells the sender what fits, as far as its protocol can be told. */
static void tell_size(struct node *n, const uint8_t *pkt, const struct packet_info *info, size_t fits, instant now)
{
    int len;

    if (info->family == ADDR_V6)
        fits = MAX(fits, (size_t)V6_LEAST);
    if (info->total_len <= fits || !icmp_allowed(n, now))
        return;
    len = ptb_make(n->icmp, sizeof(n->icmp), pkt, info, &info->dst, (uint16_t)fits);
    n->icmp_len = len > 0 ? (size_t)len : 0;
}

static void too_big(struct node *n, const uint8_t *pkt, const struct packet_info *info, instant now)
{
    n->drops[NODE_DROP_INNER_BAD]++;
    tell_size(n, pkt, info, n->o.mtu, now);
}

/* The largest inner packet that needs no pieces. */
static size_t fitting(const struct peer *p, int target)
{
    return MIN((size_t)p->node->o.mtu, session_inner_mtu(p->session, (uint16_t)target));
}

void node_set_marks(struct node *n, const struct node_mark *marks, size_t count)
{
    n->marks_count = MIN(count, (size_t)NODE_MARKS_MAX);
    memcpy(n->marks, marks, n->marks_count * sizeof(*marks));
}

/* The mark that a DSCP stands for, or 0. */
static uint32_t mark_of(const struct node *n, uint8_t dscp)
{
    for (size_t i = 0; i < n->marks_count; i++)
        if (n->marks[i].dscp == dscp)
            return n->marks[i].mark;
    return 0;
}

/* Takes the DSCP of a mark out of a packet again. */
static void unmark(const struct node *n, uint8_t *pkt)
{
    if (pkt[0] >> 4 == 4 && mark_of(n, pkt[1] >> 2) != 0) {
        pkt[1] &= 3;
        packet_fix_v4_header(pkt);
    } else if (pkt[0] >> 4 == 6 && mark_of(n, (uint8_t)((pkt[0] & 0xf) << 2 | pkt[1] >> 6)) != 0) {
        pkt[0] &= 0xf0;
        pkt[1] &= 0x3f;
    }
}

/* The steering outcome for a packet of this peer, as a target's index; negative: block it. */
static int steer(struct peer *p, const struct packet_info *info, enum flow_class *ret_class,
                 const struct steer_action **ret_action)
{
    const struct steer_table *t = p->node->o.role == ROLE_AGENT ? p->steer : p->node->steer;
    static const struct steer_action automatic = { .mode = STEER_STRIPE, .klass = STEER_AUTO };
    const struct steer_action *action = &automatic;
    int rule;

    *ret_action = action;
    if (!t) {
        *ret_class = steer_classify(&automatic, info) == STEER_INTERACTIVE ? FLOW_INTERACTIVE : FLOW_BULK;
        return 0;
    }
    rule = steer_lookup(t, info, mark_of(p->node, info->dscp), p->node->o.role == ROLE_AGENT);
    *ret_action = action = steer_action_of(t, rule);
    if (action->mode == STEER_BLOCK || action->mode == STEER_BYPASS)
        return -EACCES;
    *ret_class = steer_classify(action, info) == STEER_INTERACTIVE ? FLOW_INTERACTIVE : FLOW_BULK;
    return rule + 1;
}

int inner_steer(struct peer *p, const struct channel_open *q, uint8_t dscp, enum flow_class *ret_class)
{
    bool agent = p->node->o.role == ROLE_AGENT;
    const struct endpoint *src = agent ? &q->to : &q->from, *dst = agent ? &q->from : &q->to;
    const struct packet_info info = { .family = src->addr.family,
                                      .proto = PROTO_TCP,
                                      .dscp = dscp,
                                      .src = src->addr,
                                      .dst = dst->addr,
                                      .sport = src->port,
                                      .dport = dst->port };
    const struct steer_action *action;

    return steer(p, &info, ret_class, &action);
}

/* The outer ECN is the inner one (RFC 6040 section 4.1), and so is the DSCP (RFC 2983 section 3.1). */
static void set_outer_tos(const struct node *n, struct pbuf *b)
{
    uint8_t tos = ecn_tos(b->data + DATA_HEADER_LEN);

    b->note |= (uint32_t)(n->o.hide_dscp ? tos & TOS_ECN_MASK : tos) << SESSION_TOS_SHIFT;
}

uint8_t inner_outer_tos(const struct node *n, uint8_t dscp)
{
    return n->o.hide_dscp || mark_of(n, dscp) != 0 ? 0 : (uint8_t)(dscp << 2);
}

bool inner_mark(struct pbuf *b)
{
    if (!ecn_mark(b->data + DATA_HEADER_LEN))
        return false;
    b->note |= (uint32_t)ECN_CE << SESSION_TOS_SHIFT;
    return true;
}

/* One packet that stands at b->data[DATA_HEADER_LEN..). Takes the buffer. */
static void enqueue(struct peer *p, struct pbuf *b, size_t len, const struct packet_info *info, uint64_t hash,
                    enum flow_class c, int target, instant now)
{
    if (info->proto == PROTO_TCP && (info->tcp_flags & TCP_SYN))
        (void)!mss_clamp(b->data + DATA_HEADER_LEN, info, (uint16_t)fitting(p, target), false);
    if (p->node->marks_count > 0)
        unmark(p->node, b->data + DATA_HEADER_LEN);
    set_outer_tos(p->node, b);
    b->len = (uint16_t)(DATA_HEADER_LEN + len);
    peer_touch(p);
    session_enqueue(p->session, b, hash, c, (uint16_t)target, now);
}

static void fragment(struct peer *p, const uint8_t *pkt, const struct packet_info *info, enum flow_class c, int target,
                     instant now)
{
    struct node *n = p->node;
    struct ipv4_fragment f;
    struct pbuf *b;
    int len;

    if (ipv4_fragment_init(&f, pkt, info, n->o.mtu) < 0) {
        too_big(n, pkt, info, now);
        return;
    }
    while ((b = pbuf_take(&n->pool))) {
        len = ipv4_fragment_next(&f, b->data + DATA_HEADER_LEN, PBUF_CAPACITY - DATA_HEADER_LEN);
        if (len <= 0) {
            pbuf_unref(b);
            return;
        }
        enqueue(p, b, (size_t)len, info, packet_flow_hash(info, n->hash_key), c, target, now);
    }
    n->drops[NODE_DROP_NO_BUFFER]++;
}

static void to_peer(struct peer *p, const uint8_t *pkt, size_t len, const struct offload *offload,
                    const struct packet_info *info, instant now)
{
    struct node *n = p->node;
    struct segment seg;
    enum flow_class c;
    const uint8_t *tail;
    uint64_t hash;
    size_t tail_len, fits;
    const struct steer_action *action;
    bool borrow;
    int target, one;

    if (!p->session) {
        n->drops[NODE_DROP_NO_SESSION]++;
        return;
    }
    p->used = now;
    if (split_on_packet(p, pkt, info, offload, now))
        return;
    target = steer(p, info, &c, &action);
    if (target < 0) {
        n->drops[NODE_DROP_BLOCKED]++;
        inner_refuse(n, pkt, info, UNREACHABLE_PROHIBITED, now);
        return;
    }
    if (steer_mode_splits((enum steer_mode)action->mode) && split_begin(p, action, pkt, info, offload, target, now))
        return;
    if (segment_init(&seg, pkt, len, offload) < 0) {
        n->drops[NODE_DROP_INNER_BAD]++;
        return;
    }
    if (segment_largest(&seg) > n->o.mtu) {
        uint8_t whole[PBUF_CAPACITY];

        if (seg.count == 1 && info->family == ADDR_V4 && !info->dont_fragment &&
            segment_largest(&seg) <= sizeof(whole) && segment_next(&seg, whole, sizeof(whole)) > 0)
            fragment(p, whole, info, c, target, now);
        else
            too_big(n, pkt, info, now);
        return;
    }
    fits = fitting(p, target);
    if (segment_largest(&seg) > fits && (info->family == ADDR_V4 || segment_largest(&seg) > V6_LEAST))
        tell_size(n, pkt, info, fits, now); /* the session brings it over all the same */
    hash = packet_flow_hash(info, n->hash_key);
    seg.owe = seg.may_owe; /* the seal protects the bytes from here on */
    borrow = seg.owe && seg.count >= BORROW_MIN && n->block && pkt == n->block->data &&
             info->payload_off <= PBUF_HEAD - DATA_HEADER_LEN;
    for (;;) {
        struct pbuf *b = pbuf_take(&n->pool);

        if (!b) {
            n->drops[NODE_DROP_NO_BUFFER]++;
            return;
        }
        if (borrow) {
            pbuf_use_head(b);
            one = segment_next_headers(&seg, b->data + DATA_HEADER_LEN, PBUF_HEAD - DATA_HEADER_LEN, &tail, &tail_len);
            if (one > 0) {
                pbuf_borrow(b, n->block, tail, tail_len);
                one += (int)tail_len;
            }
        } else {
            one = segment_next(&seg, b->data + DATA_HEADER_LEN, PBUF_CAPACITY - DATA_HEADER_LEN);
        }
        if (one <= 0) {
            pbuf_unref(b);
            return;
        }
        b->note = seg.owe ? SESSION_CSUM_OWED : 0;
        enqueue(p, b, (size_t)one, info, hash, c, target, now);
    }
}

uint8_t *node_inside_buffer(struct node *n)
{
    if (n->block && n->block->refs > 1) { /* packets point into it */
        block_unref(n->block);
        n->block = NULL;
    }
    if (!n->block)
        n->block = block_take(&n->blocks);
    return n->block ? n->block->data : n->scratch;
}

void inner_on_packet(struct node *n, const uint8_t *pkt, size_t len, const struct offload *offload, bool handed,
                     instant now)
{
    struct packet_info info;
    struct peer *p;

    if (packet_parse(pkt, len, &info) < 0) {
        n->drops[NODE_DROP_INNER_BAD]++;
        return;
    }
    p = inner_route(n, &info.dst);
    if (!p && n->o.role == ROLE_HOST) {
        host_hold(n, pkt, len, offload, &info, now);
        return;
    }
    if (!p) {
        n->drops[NODE_DROP_NO_ROUTE]++;
        return;
    }
    if (handover_is_ours(p))
        to_peer(p, pkt, len, offload, &info, now);
    else if (!handed)
        handover_packet(p, pkt, len, offload, NULL);
    else
        n->drops[NODE_DROP_NO_SESSION]++;
}

void node_on_packet(struct node *n, const uint8_t *pkt, size_t len, const struct offload *offload, instant now)
{
    inner_on_packet(n, pkt, len, offload, false, now);
}

/* What the network said of congestion goes on to the inner receiver (RFC 6040 section 4.2). False: drop the packet. */
static bool hear_ecn(const struct session_packet *pkt, struct packet_info *info)
{
    int ecn = ecn_combine(info->ecn, pkt->tos & TOS_ECN_MASK);

    if (ecn < 0)
        return false;
    if (ecn != info->ecn)
        ecn_set(pkt->data, (enum ecn)ecn);
    info->ecn = (uint8_t)ecn;
    return true;
}

/* Packets of one peer and flow, one behind the other. */
struct arrivals {
    struct packet_run run;
    const struct peer *accepted; /* the newest was this peer's, and is for our own inside */
};

/* True when it is for our own inside. */
static bool accept_inner(struct peer *p, const struct session_packet *pkt, struct arrivals *a, struct packet_info *ret,
                         instant now)
{
    struct node *n = p->node;
    struct offload offload = { 0 };
    struct packet_info info;
    struct peer *other;
    bool same;

    if (packet_parse_next(&a->run, pkt->data, pkt->len, &same) < 0) {
        n->drops[NODE_DROP_INNER_BAD]++;
        return false;
    }
    if (same && a->accepted == p && ecn_combine(a->run.info.ecn, pkt->tos & TOS_ECN_MASK) == a->run.info.ecn &&
        !(a->run.info.tcp_flags & TCP_SYN)) {
        *ret = a->run.info;
        return true;
    }
    a->accepted = NULL;
    info = a->run.info;
    if (!inner_source_allowed(p, &info.src)) {
        n->drops[NODE_DROP_INNER_SOURCE]++;
        return false;
    }
    if (!inner_destination_allowed(p, &info.dst)) {
        n->drops[NODE_DROP_INNER_DEST]++;
        return false;
    }
    if (!hear_ecn(pkt, &info)) {
        n->drops[NODE_DROP_INNER_ECN]++;
        return false;
    }
    if (info.proto == PROTO_TCP && (info.tcp_flags & TCP_SYN)) /* what comes back is limited by what we can send */
        (void)!mss_clamp(pkt->data, &info, (uint16_t)fitting(p, 0), false);
    *ret = info;
    p->used = now;
    other = n->o.role == ROLE_AGENT ? inner_route(n, &info.dst) : NULL;
    if (!other) {
        a->accepted = p;
        return true;
    }
    if (other == p) {
        n->drops[NODE_DROP_NO_ROUTE]++; /* its own address: it would come back for ever */
        return false;
    }
    if (pkt->csum_owed && packet_csum_offset(&info) > 0)
        offload = (struct offload){ .flags = OFFLOAD_NEEDS_CSUM,
                                    .csum_start = info.l4_off,
                                    .csum_offset = (uint16_t)packet_csum_offset(&info) };
    if (handover_is_ours(other))
        to_peer(other, pkt->data, pkt->len, &offload, &info, now);
    else
        handover_packet(other, pkt->data, pkt->len, &offload, pkt->owner);
    return false;
}

static void forget_pending(struct node *n)
{
    pbuf_unref(n->pending.owner);
    n->pending = (struct session_packet){ 0 };
}

/* Feeds merge until it is full or nothing is left. */
static void feed_merge(struct node *n, instant now)
{
    struct arrivals arrivals = { 0 };

    LIST_FOREACH (p, &n->ready, struct peer, ready) {
        if (n->o.role == ROLE_HOST && !p->admitted) {
            host_keep_early(p, now);
            continue;
        }
        while (p->session) {
            struct merge_packet in;

            if (n->handovers_count == HANDOVERS_MAX)
                return; /* what other shares must have is to be taken first */

            if (!n->pending.data) {
                if (!host_pop_early(p, &n->pending) && !session_pop_delivered(p->session, &n->pending, now))
                    break;
                if (!accept_inner(p, &n->pending, &arrivals, &n->pending_info, now)) {
                    forget_pending(n);
                    continue;
                }
            }
            in = (struct merge_packet){ .data = n->pending.data,
                                        .info = &n->pending_info,
                                        .csum_owed = n->pending.csum_owed,
                                        .owner = n->pending.owner };
            if (merge_push(n->merge, &in) == -EAGAIN)
                return; /* it has ready what must be taken first */
            forget_pending(n);
        }
    }
    merge_flush(n->merge);
}

/* Tells one sender whose packet was lost because of its size. */
static void tell_one_lost(struct node *n, instant now)
{
    LIST_FOREACH (p, &n->ready, struct peer, ready) {
        uint8_t pkt[PBUF_CAPACITY];
        struct packet_info info;
        size_t fits;
        struct pbuf *b = p->session ? session_pop_too_big(p->session, &fits) : NULL;

        if (!b)
            continue;
        pbuf_gather(b, pkt);
        if (packet_parse(pkt + DATA_HEADER_LEN, b->len - DATA_HEADER_LEN, &info) == 0)
            tell_size(n, pkt + DATA_HEADER_LEN, &info, MIN(fits, (size_t)n->o.mtu), now);
        pbuf_unref(b);
        return;
    }
}

bool node_pop_inner(struct node *n, struct merged *ret, instant now)
{
    if (merge_pop(n->merge, ret))
        return true;
    if (splits_pop(n, ret, now))
        return true;
    LIST_FOREACH_SAFE (p, &n->ready, struct peer, ready)
        splits_pump(p, now);
    if (splits_pop(n, ret, now))
        return true;
    if (n->icmp_len == 0)
        tell_one_lost(n, now);
    if (n->icmp_len > 0) {
        n->icmp_slice = (struct slice){ n->icmp, n->icmp_len };
        *ret = (struct merged){ .slices = &n->icmp_slice, .count = 1, .len = n->icmp_len };
        n->icmp_len = 0;
        return true;
    }
    if (n->peers_count == 0)
        return false;
    feed_merge(n, now);
    return merge_pop(n->merge, ret);
}

void node_explain(struct node *n, const struct packet_info *info, struct node_why *ret, instant now)
{
    const struct steer_table *t;
    struct peer *p = inner_route(n, &info->dst);

    *ret = (struct node_why){ .peer = -1, .rule = STEER_DEFAULT, .first = -1 };
    if (!p)
        return;
    ret->peer = (int)p->index;
    t = n->o.role == ROLE_AGENT ? p->steer : n->steer;
    if (!t)
        return; /* an agent before the node's table came: the built-in default */
    ret->rule = steer_lookup(t, info, 0, n->o.role == ROLE_AGENT);
    ret->action = *steer_action_of(t, ret->rule);
    ret->klass = steer_classify(&ret->action, info);
    ret->lane = (uint8_t)split_lane(p, &ret->action, info, (uint16_t)(ret->rule + 1), now, &ret->lane_why);
    if (p->session)
        ret->slots = session_explain(p->session, (uint16_t)(ret->rule + 1), &ret->first);
}
