/* path/pmtu.c - see pmtu.h.
 *
 * Theory of operation. A search goes in rounds. The first round of a path is two probes: the largest size, and the
 * base. When the largest comes back, that is all. Otherwise a ladder follows: every size of a table of common links
 * above what is confirmed, back to back and the largest first, so that one round trip finds the right rung. Sizes that
 * are not acknowledged in three rounds have failed; then the gap is halved by single probes until it is PMTU_GRAIN. A
 * round is over when its largest size came back, a quarter of a round trip after its smallest did (what was sent before
 * and has not come by then is lost or much reordered), or when it is overdue. A round of which nothing at all comes
 * back, or no probe though data does, says that the path is dead or congested and not that it is narrow: it is sent
 * again, ever more rarely, and nothing is concluded.
 *
 * A new path is believed to carry the largest size, since most do, and a packet that waits for a proof is as late as
 * one that is lost; that belief ends when two ladders say otherwise. From then on only what was acknowledged is
 * believed.
 *
 * Black holes (RFC 8899 4.3): three records are lost and none of their size that was sent later is
 * acknowledged. That can be an outage, so it is not believed at once: a ladder from the believed size downwards is
 * sent, with the believed size twice. Any record of that size that comes back, data or probe, ends the doubt. Otherwise
 * the largest that came back is believed from then on, a round trip after the doubt began. The ladder goes down to
 * PMTU_MIN, so a path that carries less than the base is found in the same round. ICMP is only ever a reason to doubt,
 * and its claim one more rung (RFC 8899 4.6.2); below the base its claims are not even rungs.
 *
 * A search that did not reach the largest size is followed by another above what is believed: after PMTU_RAISE_MIN,
 * then twice as late each time, up to PMTU_RAISE_MAX.
 *
 * Limits: 14 rungs; a ladder is at most 12 KB. Sources: RFC 8899 (states of 5.2 by other names: BASE is NEW, ERROR is
 * ERROR, the search of 5.3 may use any order); RFC 1191 7.1 for the table's idea. */
#include "path/pmtu.h"

#define LOSSES_DOUBT 3            /* RFC 8899 4.3 leaves the count open; as MAX_PROBES */
#define NEW_LADDERS 2             /* chosen: two probes of the largest size were lost then besides the first */
#define LOSSES_LIFE (2 * SEC)     /* chosen: three retransmissions of an inner TCP, of 200 ms and twice as long each */
#define GOOD_RECORDS 64           /* chosen: above the records of one acknowledgement, below those of a round trip */
#define DOUBT_EVERY (500 * MSEC)  /* chosen: a path of which half is lost is not filled with ladders */
#define FIRST_AFTER (100 * MSEC)  /* chosen: a path that lives for less is not worth 3 KB, whoever opens it */
#define SETTLE_MIN (15 * MSEC)    /* chosen: the longest delay of an acknowledgement and half as much again */
#define ROUNDS_APART (200 * MSEC) /* chosen: a queue that was full for one round is not for the next */
#define VOIDS_MAX 5               /* chosen: a dead path is asked each 32 timeouts at the latest */

/* Outer packet sizes of common links, the largest first. */
static const uint16_t rungs[] = {
    1500, /* Ethernet */
    1492, /* PPPoE (RFC 2516) */
    1480, /* IPv4 in IPv4, 6in4 */
    1472, /* GRE over IPv4 with a key and PPPoE */
    1452, /* PPPoE with an IPv6 tunnel */
    1428, /* mobile networks: GTP-U over IPv6 */
    1420, /* WireGuard */
    1400, /* IPsec and OpenVPN as usually set */
    1360, /* mobile networks */
    1280, /* IPv6's least (RFC 8200 5) */
    1124, /* chosen: between the neighbours */
    1006, /* SLIP (RFC 1055) */
    768,  /* chosen: between the neighbours */
    576,  /* RFC 791 3.1 */
};

static void round_add(struct pmtu *m, uint16_t size)
{
    unsigned at = m->count;

    if (m->count == PMTU_ROUND_MAX)
        return;
    while (at > 0 && m->sizes[at - 1] < size) {
        m->sizes[at] = m->sizes[at - 1];
        at--;
    }
    m->sizes[at] = size;
    m->count++;
}

static void round_begin(struct pmtu *m)
{
    m->count = m->sent = 0;
    m->first = m->last = UINT64_MAX;
    m->heard_at = INSTANT_NEVER;
    m->probed = false;
}

static void round_none(struct pmtu *m)
{
    round_begin(m);
    m->ladder = false;
}

/* Every rung above what is confirmed and not above `top`, and top itself. */
static void begin_ladder(struct pmtu *m, uint16_t top)
{
    round_begin(m);
    m->ladder = true;
    round_add(m, top);
    if (m->state == PMTU_DOUBTED)
        round_add(m, top);
    for (size_t i = 0; i < ARRAY_LEN(rungs); i++)
        if (rungs[i] < top && rungs[i] > m->confirmed)
            round_add(m, rungs[i]);
    if (m->confirmed > 0 && m->confirmed < top)
        round_add(m, m->confirmed); /* the witness that the path is there */
    if (m->hint > m->confirmed && m->hint < top)
        round_add(m, m->hint);
}

static void begin_first(struct pmtu *m, instant now)
{
    m->confirmed = 0;
    m->failed = UINT16_MAX;
    m->tries = m->voids = 0;
    m->raise_after = PMTU_RAISE_MIN;
    m->wait_until = now + FIRST_AFTER;
    round_begin(m);
    m->ladder = true;
    round_add(m, m->max);
    round_add(m, PMTU_BASE);
}

static void forget_losses(struct pmtu *m)
{
    m->lost_pkts = 0;
    m->lost_max = m->seen_max = 0;
}

void pmtu_init(struct pmtu *m, uint16_t max, instant now)
{
    *m = (struct pmtu){ .max = max,
                        .current = max,
                        .raise_at = INSTANT_NEVER,
                        .hint_at = now - PMTU_HINT_EVERY,
                        .doubt_at = now - DOUBT_EVERY };
    forget_losses(m);
    begin_first(m, now);
}

void pmtu_restart(struct pmtu *m, instant now)
{
    m->state = PMTU_NEW;
    m->raise_at = INSTANT_NEVER;
    forget_losses(m);
    begin_first(m, now);
}

uint16_t pmtu_get(const struct pmtu *m)
{
    return m->current;
}

uint16_t pmtu_next_probe(const struct pmtu *m, instant now)
{
    return now >= m->wait_until && m->sent < m->count ? m->sizes[m->sent] : 0;
}

void pmtu_on_probe(struct pmtu *m, uint64_t counter, instant now)
{
    if (m->sent == 0)
        m->first = counter;
    m->sent++;
    m->wait_until = 0;
    m->sent_at = now;
    if (m->sent == m->count)
        m->last = counter;
}

static void complete(struct pmtu *m, instant now)
{
    m->state = m->current < PMTU_BASE ? PMTU_ERROR : PMTU_COMPLETE;
    m->raise_at = INSTANT_NEVER;
    if (m->current < m->max) {
        m->raise_at = now + m->raise_after;
        m->raise_after = MIN(2 * m->raise_after, PMTU_RAISE_MAX);
    }
    m->hint = 0;
    round_none(m);
}

static void searching(struct pmtu *m)
{
    m->state = m->current < PMTU_BASE ? PMTU_ERROR : PMTU_SEARCHING;
}

/* The next round above what is confirmed, or the end. */
static void go_on(struct pmtu *m, instant now)
{
    if (m->confirmed >= m->max || m->failed - m->confirmed <= PMTU_GRAIN) {
        complete(m, now);
        return;
    }
    m->tries = 0;
    round_begin(m);
    m->ladder = false;
    round_add(m, (uint16_t)((m->confirmed + m->failed) / 2));
}

static void doubt(struct pmtu *m)
{
    m->state = PMTU_DOUBTED;
    m->confirmed = 0;
    m->failed = UINT16_MAX;
    m->tries = m->voids = 0;
    m->raise_at = INSTANT_NEVER;
    m->raise_after = PMTU_RAISE_MIN;
    m->wait_until = 0;
    begin_ladder(m, m->current);
}

/* The smallest size of a ladder that did not come back. */
static uint16_t smallest_missing(const struct pmtu *m)
{
    uint16_t size = UINT16_MAX;

    for (unsigned i = 0; i < m->count; i++)
        if (m->sizes[i] > m->confirmed)
            size = MIN(size, m->sizes[i]);
    return size;
}

static void ladder_over(struct pmtu *m, instant now)
{
    uint16_t top = m->sizes[0];

    m->tries++;
    if (m->state == PMTU_DOUBTED || (m->state == PMTU_NEW && m->tries > NEW_LADDERS)) {
        m->current = m->confirmed;
        m->good_bytes = 0;
        searching(m);
        forget_losses(m);
    }
    if (m->tries < PMTU_MAX_PROBES + (m->state == PMTU_NEW)) {
        begin_ladder(m, top);
        m->wait_until = m->state == PMTU_NEW ? 0 : now + ROUNDS_APART;
        return;
    }
    m->failed = smallest_missing(m);
    go_on(m, now);
}

static void round_over(struct pmtu *m, instant now)
{
    if (m->confirmed < m->sizes[0] && m->ladder &&
        (m->confirmed == 0 || !m->probed)) { /* dead, or congested, or narrower than the first base */
        m->voids++;
        begin_ladder(m, m->state == PMTU_DOUBTED ? m->current : m->max);
        return;
    }
    m->voids = 0;
    if (m->confirmed >= m->sizes[0]) {
        m->tries = 0;
        if (m->ladder && m->state == PMTU_DOUBTED && m->confirmed < m->max) { /* the doubt was wrong */
            complete(m, now);
            return;
        }
        searching(m);
        go_on(m, now);
    } else if (m->ladder) {
        ladder_over(m, now);
    } else if (++m->tries < PMTU_MAX_PROBES) {
        uint16_t size = m->sizes[0];

        round_begin(m);
        round_add(m, size);
        m->wait_until = now + ROUNDS_APART;
    } else {
        m->failed = m->sizes[0];
        go_on(m, now);
    }
}

void pmtu_on_acked(struct pmtu *m, uint16_t bytes, uint64_t counter, uint64_t newest, bool probe, instant now)
{
    m->last_bytes = bytes;
    m->last_counter = counter;
    if (counter > m->good_counter && (bytes >= m->good_bytes || counter - m->good_counter > GOOD_RECORDS)) {
        m->good_bytes = bytes;
        m->good_counter = counter;
    }
    if (m->lost_pkts > 0 && counter > m->lost_first) {
        m->seen_max = MAX(m->seen_max, bytes);
        if (m->seen_max >= m->lost_max || now - m->lost_at > LOSSES_LIFE)
            forget_losses(m);
    }
    if (m->count == 0 || m->sent == 0)
        return;
    if (counter >= m->first && bytes >= PMTU_MIN) {
        m->confirmed = MAX(m->confirmed, MIN(bytes, m->max));
        m->current = MAX(m->current, m->confirmed);
        if (m->confirmed >= m->sizes[0]) {
            round_over(m, now);
            return;
        }
    }
    m->probed |= probe;
    if (newest >= m->last && m->heard_at == INSTANT_NEVER)
        m->heard_at = now;
}

uint16_t pmtu_doubtful(const struct pmtu *m)
{
    return MAX(m->seen_max, PMTU_MIN);
}

void pmtu_on_lost(struct pmtu *m, unsigned pkts, uint16_t max_bytes, uint64_t newest, instant now)
{
    if (pkts == 0 || (newest < m->good_counter && max_bytes <= m->good_bytes) ||
        (newest < m->last_counter && max_bytes <= m->last_bytes))
        return; /* or one of that size came through later: it is not the size */
    if (m->lost_pkts == 0) {
        m->lost_first = newest;
        m->lost_at = now;
    }
    m->lost_pkts += pkts;
    m->lost_max = MAX(m->lost_max, max_bytes);
    if (m->lost_pkts >= LOSSES_DOUBT && m->state != PMTU_NEW && m->state != PMTU_DOUBTED && m->current > PMTU_MIN &&
        now - m->doubt_at >= DOUBT_EVERY) {
        m->doubt_at = now;
        doubt(m);
    }
}

void pmtu_on_hint(struct pmtu *m, uint16_t bytes, instant now)
{
    if (m->state == PMTU_NEW || m->state == PMTU_DOUBTED || now - m->hint_at < PMTU_HINT_EVERY)
        return;
    if (bytes > 0 ? bytes < PMTU_BASE || bytes >= m->current : m->count > 0)
        return; /* of no use, or about a probe */
    m->hint_at = now;
    m->hint = bytes;
    doubt(m);
}

instant pmtu_expiry(const struct pmtu *m, span timeout, span srtt)
{
    instant at;

    if (m->count == 0)
        return m->raise_at;
    if (m->sent < m->count)
        return m->wait_until > 0 ? m->wait_until : INSTANT_NEVER; /* the owner is to send */
    at = m->sent_at + (timeout << MIN(m->voids, (unsigned)VOIDS_MAX));
    if (m->heard_at != INSTANT_NEVER)
        at = instant_min(at, m->heard_at + MAX(srtt / 4, SETTLE_MIN));
    return at;
}

void pmtu_on_expiry(struct pmtu *m, span timeout, span srtt, instant now)
{
    if (now < pmtu_expiry(m, timeout, srtt))
        return;
    if (m->sent < m->count) {
        m->wait_until = 0;
        return;
    }
    if (m->count > 0) {
        round_over(m, now);
        return;
    }
    m->raise_at = INSTANT_NEVER;
    m->confirmed = m->current;
    m->failed = UINT16_MAX;
    m->tries = 0;
    searching(m);
    begin_ladder(m, m->max);
}
