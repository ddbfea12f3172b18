/* session/size.c - packets and the sizes that paths carry.
 *
 * Theory of operation. Each path knows the largest record it carries (path/pmtu.h). A path is no candidate for a packet
 * that is larger. What session_inner_mtu says is the smallest over the paths that a target may use now: who sends by it
 * can be striped, and moved to any of these paths, without a change of size. Larger packets are not lost: those that
 * some path carries whole go by it, and those that none carries are cut into pieces, each a record of its own, which
 * the peer joins again before they leave the tunnel. (RFC 2473 7.2 b asks a tunnel for this when even 1,280 bytes of
 * IPv6 do not fit; we do it for every packet, so nothing that is on its way when a path shrinks, and no sender that
 * never hears of it, falls into a hole.) The owner tells senders the size that fits, so pieces are the exception;
 * senders of what was lost before the size was known are told too, since they wait for an acknowledgement.
 *
 * A piece is joined only where the one before ended: pieces of a packet follow each other in the sequence, and the
 * resequencer has put them in order. So a joined packet has no byte that was not received.
 *
 * A packet that already has its number and is to be sent again is not cut: when no path carries it, it is dropped and
 * counted.
 *
 * Limits: 8 pieces a packet, 8 packets being joined, each for 1 s. Sources: RFC 8899, RFC 2473 7. */
#include <errno.h>

#include "session/internal.h"

#define PIECES_MAX 8           /* chosen: 2 KiB in records for the smallest path need 5 */
#define RECORD_SPAN (2 * MSEC) /* chosen: 1,452 bytes at 6 Mbit/s, the largest from 65 Mbit/s on */
#define ECN_MET 3              /* RFC 3168 5: CE */
#define JOIN_LIFE (1 * SEC)    /* chosen: well above the longest wait of the resequencer */

/* What a path lost because of its size, now that this is known. */
static void take_lost(struct session *s, const struct spath *p)
{
    struct pbuf *b;

    while ((b = path_take_large_lost(p->path))) {
        if (s->too_big_count < TOO_BIG_MAX && b->len + SEALED_HEADER_LEN + SEALED_TAG_LEN > p->mtu)
            s->too_big[s->too_big_count++] = b;
        else
            pbuf_unref(b);
    }
}

/* A record of a path without a limit of its own: what it carries in a short while, so that none holds up what is behind
 * it, or waits for its own end, for longer. */
static uint16_t unlimited(const struct session *s, const struct spath *p)
{
    uint64_t most = p->rate_bps / 8 * (uint64_t)RECORD_SPAN / (uint64_t)SEC;

    if (!s->cur || !(s->cur->peer_features & s->o.features & FEATURE_LARGE_RECORDS))
        return RECORD_MAX;
    return (uint16_t)CLAMP(most, (uint64_t)RECORD_MAX, (uint64_t)RECORD_LARGE_MAX);
}

void size_refresh(struct session *s)
{
    s->narrow = false;
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        struct spath *p = &s->paths[i];

        if (p->rank == 4)
            continue;
        p->mtu = p->reliable ? unlimited(s, p) : RECORD_MAX;
        if (p->spec.at.transport == TRANSPORT_UDP) /* a stream of bytes has no size */
            p->mtu = (uint16_t)MIN(path_mtu(p->path) - tx_outer_overhead(p), (size_t)RECORD_MAX);
        s->narrow |= p->mtu < RECORD_MAX;
        take_lost(s, p);
    }
}

uint8_t size_fitting(const struct session *s, uint8_t slots, size_t len)
{
    uint8_t fit = 0;

    for (unsigned left = slots; left; left &= left - 1)
        if (len + SEALED_HEADER_LEN + SEALED_TAG_LEN <= s->paths[__builtin_ctz(left)].mtu)
            fit |= (uint8_t)(left & -left);
    return fit;
}

uint8_t size_candidates(const struct session *s, const struct flow *f, uint8_t candidates)
{
    const struct pbuf *head = CONTAINER_OF(f->packets.next, struct pbuf, link);
    uint8_t fit = size_fitting(s, candidates, head->len);

    return fit ? fit : candidates;
}

/* The largest record that each of these slots carries. */
static size_t smallest(const struct session *s, uint8_t slots)
{
    size_t least = RECORD_MAX;

    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (slots & 1u << i)
            least = MIN(least, (size_t)s->paths[i].mtu);
    return least;
}

size_t session_inner_mtu(const struct session *s, uint16_t target)
{
    if (!s->narrow)
        return RECORD_MAX - RECORD_OVERHEAD;
    return smallest(s, sched_candidates(s, session_target(s, target))) - RECORD_OVERHEAD;
}

struct pbuf *session_pop_too_big(struct session *s, size_t *ret_fits)
{
    struct pbuf *b;

    if (s->too_big_count == 0)
        return NULL;
    b = s->too_big[--s->too_big_count];
    *ret_fits = session_inner_mtu(s, note_steer(b));
    return b;
}

static bool peer_joins(const struct session *s)
{
    return s->cur && (s->cur->peer_features & FEATURE_PIECES) && (s->o.features & FEATURE_PIECES);
}

struct pbuf *size_split(struct session *s, struct flow *f, struct pbuf *b, uint8_t slots)
{
    size_t most = smallest(s, slots) - RECORD_OVERHEAD - PIECE_HEADER_LEN, len = b->len - DATA_HEADER_LEN;
    size_t count = (len + most - 1) / most, each = (len + count - 1) / count, at = 0;
    struct pbuf *out[PIECES_MAX] = { 0 };
    uint8_t whole[PBUF_CAPACITY];
    bool ok = peer_joins(s) && count <= PIECES_MAX && !(b->note & SESSION_PIECE);

    for (size_t i = 0; i < count && ok; i++) {
        out[i] = pbuf_take(s->o.pool);
        ok = out[i] != NULL;
    }
    if (ok)
        pbuf_gather(b, whole);
    for (size_t i = 0; i < count && ok; i++, at += each) {
        size_t n = MIN(each, len - at);
        uint8_t *to = out[i]->data + DATA_HEADER_LEN;

        put_be16(to, s->piece_id);
        put_be16(to + 2, (uint16_t)(at | (i + 1 == count ? PIECE_LAST : 0)));
        memcpy(to + PIECE_HEADER_LEN, whole + DATA_HEADER_LEN + at, n);
        out[i]->len = (uint16_t)(DATA_HEADER_LEN + PIECE_HEADER_LEN + n);
        out[i]->note = b->note | SESSION_PIECE | (i > 0 ? SESSION_PIECE_MORE : 0);
        out[i]->stamp = b->stamp;
    }
    pbuf_unref(b);
    if (!ok) {
        s->info.drops[DROP_TOO_BIG]++;
        for (size_t i = 0; i < PIECES_MAX; i++)
            pbuf_unref(out[i]);
        return NULL;
    }
    s->piece_id++;
    s->info.pieces += count;
    for (size_t i = count - 1; i > 0; i--)
        flowq_unpop(s->packets->flowq, f, out[i]);
    return out[0];
}

static void forget(struct joining *j)
{
    pbuf_unref(j->b);
    *j = (struct joining){ 0 };
}

bool size_join(struct session *s, struct session_packet *pkt, instant now)
{
    const uint8_t *at = pkt->data;
    size_t len = pkt->len - PIECE_HEADER_LEN;
    uint16_t id = get_be16(at), where = get_be16(at + 2), offset = where & PIECE_OFFSET_MASK;
    struct joining *j = &s->joining[id % JOINING_MAX];

    if (offset == 0) {
        if (j->b)
            s->info.drops[DROP_PIECE]++;
        forget(j);
        *j = (struct joining){
            .b = pbuf_take(s->o.pool), .id = id, .since = now, .tos = pkt->tos, .csum_owed = pkt->csum_owed
        };
        if (!j->b)
            s->info.drops[DROP_NO_BUFFER]++;
    }
    if (!j->b || j->id != id || j->have != offset || DATA_HEADER_LEN + j->have + len > PBUF_CAPACITY) {
        s->info.drops[DROP_PIECE]++;
        if (j->id == id)
            forget(j);
        pbuf_unref(pkt->owner);
        return false;
    }
    memcpy(j->b->data + DATA_HEADER_LEN + j->have, at + PIECE_HEADER_LEN, len);
    j->have = (uint16_t)(j->have + len);
    if ((pkt->tos & ECN_MET) == ECN_MET) /* RFC 3168 5.3: one marked fragment marks the packet */
        j->tos |= ECN_MET;
    pbuf_unref(pkt->owner);
    if (!(where & PIECE_LAST))
        return false;
    j->b->len = (uint16_t)(DATA_HEADER_LEN + j->have);
    *pkt = (struct session_packet){
        .data = j->b->data + DATA_HEADER_LEN, .len = j->have, .tos = j->tos, .csum_owed = j->csum_owed, .owner = j->b
    };
    *j = (struct joining){ 0 };
    return true;
}

static void size_forget(struct session *s, instant before)
{
    for (unsigned i = 0; i < JOINING_MAX; i++) {
        if (!s->joining[i].b || s->joining[i].since >= before)
            continue;
        s->info.drops[DROP_PIECE]++;
        forget(&s->joining[i]);
    }
}

void size_clear(struct session *s)
{
    size_forget(s, INSTANT_NEVER);
    while (s->too_big_count > 0)
        pbuf_unref(s->too_big[--s->too_big_count]);
}

void size_tick(struct session *s, instant now)
{
    size_forget(s, now - JOIN_LIFE);
}

void session_path_size_hint(struct session *s, unsigned slot, size_t outer_bytes, instant now)
{
    if (slot < SESSION_SLOTS && s->paths[slot].path)
        path_on_size_hint(s->paths[slot].path, outer_bytes, now);
}
