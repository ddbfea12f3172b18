/* node/lane.c - mode auto: whether a connection that begins now is split, or goes as packets.
 *
 * Theory of operation. What is asked is whether packets of one TCP connection over all usable paths would reach what
 * the paths carry together. They do where the paths are alike: round trips that differ by little, little jitter, hardly
 * a loss. Elsewhere the inner TCP takes reordering for loss, or waits for what the slowest path brings, and bytes over
 * all paths (split.c) are ahead. Where one path is all that is of use, packets cost less: nothing is ended anywhere,
 * and the connection outlives the daemon. What is not measured yet counts as unlike, since a split connection is behind
 * packets nowhere (tests/sim/unequal.c); a rate is known from this session, or from those before it
 * (path/scoreboard.h).
 *
 * The choice is made once, at the SYN. Sources: RFC 3135; the sweep of tests/sim/unequal.c for the limits. */
#include "node/internal.h"

#define LEAST_PART 20               /* chosen: the twentieth part of a rate is not worth a second path */
#define ALIKE_SPREAD_MIN (2 * MSEC) /* chosen: a few packets of any line */
#define ALIKE_SPREAD_PART 8         /* of the least round trip */
#define ALIKE_JITTER_MIN (2 * MSEC)
#define ALIKE_JITTER_PART 16
#define ALIKE_LOSS .001 /* a tenth of what a TCP of 10 Mbit/s and 40 ms stands (RFC 3649's response function) */
#define ALIKE_RATES 8   /* the largest rate of the smallest */

/* Of the path, or what others found of it; 0: nobody knows. */
static uint64_t rate_of(const struct peer *p, const struct session_path_info *i, uint32_t network, instant now)
{
    struct scoreboard_key key = { .network = network, .remote = i->at.remote.addr, .transport = i->at.transport };
    struct scoreboard_row row;

    if (i->metrics.rate_bps > 0 && !i->metrics.rate_is_lower_bound)
        return i->metrics.rate_bps;
    memcpy(key.link, i->link, sizeof(key.link));
    return scoreboard_get(p->node->o.scoreboard, &key, now, &row) && !row.tx_bps_is_lower_bound ? row.tx_bps : 0;
}

static uint32_t network_of(const struct node *n, uint32_t link)
{
    for (size_t i = 0; i < n->uplinks_count; i++)
        if (n->uplinks[i].link == link)
            return n->uplinks[i].address_hash;
    return 0;
}

static void look(const struct peer *p, uint16_t target, instant now, struct node_lane_why *ret)
{
    uint8_t slots = session_usable(p->session, target);
    span least = INSTANT_NEVER, most = 0;
    uint64_t slow = UINT64_MAX, fast = 0;

    *ret = (struct node_lane_why){ 0 };
    for (unsigned left = slots; left; left &= left - 1) {
        struct session_path_info i;
        uint64_t bps;

        session_path_info(p->session, (unsigned)__builtin_ctz(left), now, &i);
        bps = rate_of(p, &i, network_of(p->node, i.at.link), now);
        ret->paths++;
        least = MIN(least, i.metrics.min_rtt);
        most = MAX(most, i.metrics.min_rtt);
        ret->jitter = MAX(ret->jitter, MAX(i.metrics.rttvar, i.metrics.rx_jitter));
        ret->loss = MAX(ret->loss, i.metrics.loss);
        slow = MIN(slow, bps);
        fast = MAX(fast, bps);
    }
    if (ret->paths == 0)
        return;
    ret->rtt = least;
    ret->spread = most - least;
    ret->slow_bps = slow;
    ret->fast_bps = fast;
}

enum node_lane lane_choose(const struct peer *p, uint16_t target, instant now, struct node_lane_why *ret)
{
    look(p, target, now, ret);
    if (ret->paths < 2 || (ret->slow_bps > 0 && ret->slow_bps < ret->fast_bps / LEAST_PART))
        return NODE_LANE_ONE_PATH;
    if (ret->slow_bps == 0 || ret->fast_bps > ALIKE_RATES * ret->slow_bps ||
        ret->spread > MAX(ALIKE_SPREAD_MIN, ret->rtt / ALIKE_SPREAD_PART) ||
        ret->jitter > MAX(ALIKE_JITTER_MIN, ret->rtt / ALIKE_JITTER_PART) || ret->loss > ALIKE_LOSS)
        return NODE_LANE_SPLIT;
    return NODE_LANE_ALIKE;
}
