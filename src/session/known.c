/* session/known.c - what is known of paths, asked for when one begins and told while it is used.
 *
 * Theory of operation. The owner has a scoreboard (path/scoreboard.h), which it shares among its sessions and may share
 * with others of its host. A path that begins takes from it a round trip and its part of the rate, and what trouble
 * there was lately: of one that was too far or too lossy that is believed as soon as the first measurement agrees. A
 * path tells once a second, since by that the others know of whom they share it with, and when it ends. It carries data
 * if it sent or received more than probes do.
 *
 * Sources: RFC 9040. */
#include "session/internal.h"

#define TELL_SPAN (1 * SEC)  /* path/scoreboard.c forgets users after two */
#define CARRYING_BYTES 10000 /* chosen: in that time; probes of life and size are less */

static void key_of(const struct session *s, unsigned slot, struct scoreboard_key *ret)
{
    const struct spath *p = &s->paths[slot];

    *ret = (struct scoreboard_key){ .network = p->spec.network,
                                    .remote = p->spec.at.remote.addr,
                                    .transport = p->spec.at.transport };
    memcpy(ret->link, p->spec.link, sizeof(ret->link));
}

void known_ask(struct session *s, unsigned slot, struct path_options *o, instant now)
{
    struct park *k = &s->paths[slot].park;
    struct scoreboard_key key;
    struct scoreboard_row row;

    key_of(s, slot, &key);
    if (!s->o.scoreboard || !scoreboard_get(s->o.scoreboard, &key, now, &row))
        return;
    o->known.srtt = row.srtt;
    o->known.min_rtt = row.min_rtt;
    o->known.rate_bps = scoreboard_share_bps(&row);
    if (row.trouble == TROUBLE_LOSSY) {
        k->loss = row.loss;
        k->lost = UINT32_MAX; /* enough of them to have parked it */
    }
    k->expected = row.trouble == TROUBLE_FAR ? PARK_FAR : row.trouble == TROUBLE_LOSSY ? PARK_LOSSY : PARK_NOT;
}

static enum scoreboard_trouble trouble_of(const struct spath *p, const struct path_metrics *m)
{
    if (m->rx_pkts == 0 && m->state == PATH_DOWN && !p->link_down)
        return TROUBLE_SILENT;
    return p->park.verdict == PARK_FAR ? TROUBLE_FAR : p->park.verdict == PARK_LOSSY ? TROUBLE_LOSSY : TROUBLE_NONE;
}

static void tell(struct session *s, unsigned slot, const struct path_metrics *m, bool ended, instant now)
{
    struct spath *p = &s->paths[slot];
    struct scoreboard_report r = {
        .srtt = m->srtt,
        .rttvar = m->rttvar,
        .min_rtt = m->min_rtt,
        .rx_jitter = m->rx_jitter,
        .loss = m->loss,
        .tx_bps = m->rate_bps,
        .rx_bps = m->rx_rate_bps,
        .tx_bps_is_lower_bound = m->rate_is_lower_bound || m->rate_is_sought,
        .carrying = m->tx_bytes - p->told.tx_bytes + (m->rx_bytes - p->told.rx_bytes) >= CARRYING_BYTES,
        .ended = ended,
        .who = hash_mix64(s->id ^ (uint64_t)p->id << 32),
        .trouble = (uint8_t)trouble_of(p, m),
    };
    struct scoreboard_key key;

    p->told.at = now;
    p->told.tx_bytes = m->tx_bytes;
    p->told.rx_bytes = m->rx_bytes;
    key_of(s, slot, &key);
    scoreboard_tell(s->o.scoreboard, &key, &r, now);
}

void known_tell(struct session *s, unsigned slot, const struct path_metrics *m, instant now)
{
    /* What is remembered of a path that fell is no news. */
    if (s->o.scoreboard && now - s->paths[slot].told.at >= TELL_SPAN && (m->state != PATH_DOWN || m->rx_pkts == 0))
        tell(s, slot, m, false, now);
}

void known_tell_last(struct session *s, unsigned slot, instant now)
{
    struct path_metrics m;

    if (!s->o.scoreboard || !s->paths[slot].path)
        return;
    path_get_metrics(s->paths[slot].path, now, &m);
    tell(s, slot, &m, true, now);
}

void session_tell_known(struct session *s, instant now)
{
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        known_tell_last(s, i, now);
}

void session_path_network(struct session *s, unsigned slot, uint32_t network, instant now)
{
    if (slot >= SESSION_SLOTS || !s->paths[slot].used || s->paths[slot].spec.network == network)
        return;
    known_tell_last(s, slot, now);
    s->paths[slot].spec.network = network;
    park_moved(&s->paths[slot].park, now);
}
