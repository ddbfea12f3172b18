/* node/handover.c - what belongs to another share of the agent.
 *
 * Theory of operation. The peers of a divided agent belong to its shares by their number; so each share knows where a
 * packet of the inside must go, and where an INIT, once it has been read. A sealed record says by its connection id (a
 * hello told the peer what its last bits are to be) where it belongs, and is seldom met elsewhere. Whatever else a
 * share does not know (a record of a peer that does not heed shards, the answer to a handshake) goes round: to the next
 * share, until it has been at all; the last one answers what nobody knows. An INIT is charged for where it is read
 * first, if the program does so at the first share for all; a copy of one that was handed over is handed over too, and
 * pays at its share unless that knows it.
 *
 * Limits: 16 shares (hawserd makes 8 at most); 256 things wait to be taken by the program, what comes then is dropped.
 */
#include "node/internal.h"

unsigned handover_shares(const struct node *n)
{
    return 1u << n->o.shard.bits;
}

uint8_t handover_share(const struct peer *p)
{
    return (uint8_t)(p->index % handover_shares(p->node));
}

bool handover_is_ours(const struct peer *p)
{
    return handover_share(p) == p->node->o.shard.value;
}

bool handover_is_last(const struct node *n, unsigned hops)
{
    return hops + 1 >= handover_shares(n);
}

void handover_push(struct node *n, const struct node_handover *h, const uint8_t *data, size_t len, struct pbuf *owner)
{
    struct handover *o;

    if (n->handovers_count == HANDOVERS_MAX) {
        n->drops[NODE_DROP_NO_BUFFER]++;
        return;
    }
    o = &n->handovers[(n->handovers_head + n->handovers_count++) % HANDOVERS_MAX];
    *o = (struct handover){ .h = *h, .data = (uint8_t *)(uintptr_t)data, .len = len, .owner = owner };
    if (owner)
        pbuf_ref(owner);
}

void handover_datagram(struct node *n, const struct locator_pair *at, uint8_t *data, size_t len, size_t segment,
                       uint8_t tos, uint8_t hops)
{
    struct handover *last = &n->handovers[(n->handovers_head + n->handovers_count - 1) % HANDOVERS_MAX];
    const struct node_handover h = {
        .kind = NODE_HANDOVER_DATAGRAM,
        .to = (uint8_t)((n->o.shard.value + 1u) % handover_shares(n)),
        .hops = (uint8_t)(hops + 1),
        .tos = tos,
        .segment = (uint16_t)segment,
        .at = *at,
    };

    if (n->handovers_count > 0 && segment && last->h.kind == NODE_HANDOVER_DATAGRAM && last->data + last->len == data &&
        last->len % segment == 0)
        last->len += len;
    else
        handover_push(n, &h, data, len, NULL);
}

void handover_packet(struct peer *p, const uint8_t *pkt, size_t len, const struct offload *offload, struct pbuf *owner)
{
    const struct node_handover h = { .kind = NODE_HANDOVER_PACKET, .to = handover_share(p), .offload = *offload };

    handover_push(p->node, &h, pkt, len, owner);
}

bool node_pop_handover(struct node *n, struct node_handover *ret, uint8_t **ret_data, size_t *ret_len)
{
    const struct handover *o = &n->handovers[n->handovers_head];

    pbuf_unref(n->handed);
    n->handed = NULL;
    if (n->handovers_count == 0)
        return false;
    *ret = o->h;
    *ret_data = o->data;
    *ret_len = o->len;
    n->handed = o->owner;
    n->handovers_head = (n->handovers_head + 1) % HANDOVERS_MAX;
    n->handovers_count--;
    return true;
}

unsigned node_on_handover(struct node *n, const struct node_handover *h, uint8_t *data, size_t len, instant now)
{
    switch (h->kind) {
    case NODE_HANDOVER_INIT:
        defence_on_handed_init(n, &h->at, data, len, h->cookie_time, h->paid, now);
        break;
    case NODE_HANDOVER_DATAGRAM:
        return defence_on_train(n, &h->at, data, len, h->segment, h->tos, h->hops, now);
    case NODE_HANDOVER_PACKET:
        inner_on_packet(n, data, len, &h->offload, true, now);
        break;
    default:
        break;
    }
    return 0;
}
