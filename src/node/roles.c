/* node/roles.c - what makes a node a node and an agent an agent (and a host a host, with host.c).
 *
 * Theory of operation. A node opens one path for each uplink (for each lane of it) and the first endpoint of its agent
 * in each family that the uplink has; when no path is active, or no session comes up, it tries the agent's other
 * endpoints (configured, resolved or announced) too; of a link with a path that works, those that were dead for 30 s go
 * again. Where UDP does not pass, paths over TCP come beside (fallback.c). It sends its flow table when a session
 * begins or the table changes. An agent answers a new session with the node's addresses, and resolves each node's
 * table, mirrored, against the links that the node named. */
#include <errno.h>

#include "node/internal.h"

#define TABLE_PART 8192            /* chosen: half of the control stream's longest message */
#define SPARE_LIFE (30 * SEC)      /* chosen: longer than an outage of which one hears again */
#define ERROR_PEERS 64             /* chosen: so few are looked through for every error */
#define ERRORS_PER_SEC 100         /* chosen: of 10,000 peers some 10 % of a core */
#define TROUBLE_LIMIT (300 * MSEC) /* chosen: a little above the longest suspicion on a 100 ms path */

/* --- steering --- */

static enum session_mode mode_of(uint8_t steer_mode)
{
    switch (steer_mode) {
    case STEER_ACTIVE_STANDBY:
        return MODE_ACTIVE_STANDBY;
    case STEER_SMALLEST_DELAY:
        return MODE_SMALLEST_DELAY;
    case STEER_LOAD_BALANCE:
        return MODE_LOAD_BALANCE;
    case STEER_PRIORITY:
        return MODE_PRIORITY;
    case STEER_REDUNDANT:
        return MODE_REDUNDANT;
    default:
        return MODE_STRIPE;
    }
}

static void resolve(struct peer *p, const struct steer_action *a, struct session_target *ret)
{
    struct session_path_info info[SESSION_SLOTS];

    *ret = (struct session_target){ .mode = (uint8_t)mode_of(a->mode) };
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        session_path_info(p->session, i, 0, &info[i]);
    for (unsigned j = 0; j < a->links_count; j++)
        for (unsigned i = 0; i < SESSION_SLOTS; i++)
            if (info[i].used && strncmp(info[i].link, a->links[j], STEER_LINK_NAMELEN) == 0 &&
                ret->count < SESSION_SLOTS)
                ret->slots[ret->count++] = (uint8_t)i;
}

void roles_retarget(struct peer *p)
{
    const struct steer_table *t = p->node->o.role == ROLE_AGENT ? p->steer : p->node->steer;
    struct session_target target;

    if (!p->session || !t)
        return;
    for (int rule = STEER_DEFAULT; rule < (int)t->count; rule++) {
        resolve(p, steer_action_of(t, rule), &target);
        session_set_target(p->session, (uint16_t)(rule + 1), &target);
    }
}

/* The longest table is longer than a message of the control stream: it goes in parts. */
static void send_table(struct peer *p, instant now)
{
    uint8_t *table = malloc(STEER_WIRE_MAX), part[2 + TABLE_PART];
    struct writer w;
    bool ok = table != NULL;

    if (ok) {
        w = writer_init(table, STEER_WIRE_MAX);
        steer_table_encode(p->node->steer, &w);
        ok = !w.failed;
    }
    for (size_t at = 0, len = ok ? writer_len(&w) : 0; at < len && ok; at += TABLE_PART) {
        size_t n = MIN(len - at, (size_t)TABLE_PART);

        part[0] = MESSAGE_STEER_TABLE;
        part[1] = at + n < len;
        memcpy(part + 2, table + at, n);
        ok = session_send_message(p->session, part, 2 + n, now) == 0;
    }
    if (!ok)
        node_event(p->node, NODE_STEER_DONE, p, 0, false, 0); /* no memory: the agent keeps what it has */
    free(table);
}

void node_set_steer(struct node *n, const struct steer_table *t, instant now)
{
    *n->steer = *t;
    for (size_t i = 0; i < n->peers_count; i++) {
        roles_retarget(n->peers[i]);
        splits_retarget(n->peers[i]);
        peer_touch(n->peers[i]);
        if (n->peers[i]->session && session_is_up(n->peers[i]->session) && n->o.role == ROLE_NODE)
            send_table(n->peers[i], now);
    }
}

const struct steer_table *node_steer(const struct node *n, unsigned peer)
{
    return n->o.role == ROLE_AGENT && peer < n->peers_count ? n->peers[peer]->steer : n->steer;
}

/* --- session begins --- */

static void send_config(struct peer *p, instant now)
{
    struct node *n = p->node;
    struct config_message m = {
        .mtu = n->o.mtu,
        .wait_s = (uint32_t)(n->o.wait / SEC),
        .addresses_count = (uint8_t)p->spec.addresses_count,
        .endpoints_count = (uint8_t)MIN(n->o.announce_count, (size_t)CONFIG_ENDPOINTS_MAX),
    };
    uint8_t buf[512];
    struct writer w = writer_init(buf, sizeof(buf));

    memcpy(m.addresses, p->spec.addresses, sizeof(m.addresses));
    memcpy(m.endpoints, n->o.announce, sizeof(m.endpoints));
    config_message_write(&w, &m);
    (void)!session_send_message(p->session, buf, writer_len(&w), now);
}

void roles_tell_addresses(struct peer *p, instant now)
{
    struct addresses_message m = { .count = (uint8_t)p->node->o.announce_count };
    uint8_t buf[256];
    struct writer w = writer_init(buf, sizeof(buf));

    memcpy(m.endpoints, p->node->o.announce, sizeof(m.endpoints));
    addresses_message_write(&w, &m);
    if (session_is_up(p->session))
        (void)!session_send_message(p->session, buf, writer_len(&w), now);
    peer_touch(p);
}

int node_announce(struct node *n, const struct endpoint *e, bool there, instant now)
{
    size_t i = 0;

    while (i < n->o.announce_count && !endpoint_equal(&n->o.announce[i], e))
        i++;
    if (there == (i < n->o.announce_count))
        return there ? 0 : -ENOENT;
    if (there && i == NODE_ENDPOINTS_MAX)
        return -ENOSPC;
    if (there)
        n->o.announce[n->o.announce_count++] = *e;
    else
        n->o.announce[i] = n->o.announce[--n->o.announce_count];
    for (size_t k = 0; k < n->peers_count; k++)
        if (n->peers[k]->session && !n->peers[k]->opener && (n->o.role != ROLE_HOST || n->peers[k]->admitted))
            roles_tell_addresses(n->peers[k], now);
    return 0;
}

void roles_on_up(struct peer *p, bool fresh, instant now)
{
    if (fresh && p->node->o.delivery && !p->opener && p->node->o.announce_count > 0)
        roles_tell_addresses(p, now);
    if (p->node->o.role == ROLE_HOST)
        host_on_up(p, fresh, now);
    if (!fresh || p->node->o.delivery ||
        p->node->o.role == ROLE_HOST) /* applications have no addresses of ours, and no flow table */
        return;
    free(p->table);
    p->table = NULL;
    p->table_len = 0;
    if (p->node->o.role == ROLE_AGENT)
        send_config(p, now);
    else
        send_table(p, now);
    roles_retarget(p);
}

static int apply_table(struct peer *p, instant now)
{
    struct reader r = reader_init(p->table, p->table_len);
    uint8_t answer[6] = { MESSAGE_STEER_DONE };
    struct steer_table *t = malloc(sizeof(*t));
    int result;

    if (!t)
        return -ENOMEM;
    result = steer_table_decode(&r, t);
    if (result == 0 && !reader_done(&r))
        result = -EBADMSG;
    if (result == 0) {
        put_be32(answer + 1, t->version);
        free(p->steer);
        p->steer = t;
        roles_retarget(p);
        splits_retarget(p);
        node_event(p->node, NODE_STEER_SET, p, 0, true, 0);
    } else {
        free(t);
        answer[5] = 1;
    }
    (void)!session_send_message(p->session, answer, sizeof(answer), now);
    return result;
}

static int on_steer_table(struct peer *p, struct reader *r, instant now)
{
    bool more = read_u8(r) != 0;
    size_t len = reader_left(r);
    int result = 0;

    if (!p->table && !(p->table = malloc(STEER_WIRE_MAX)))
        return -ENOMEM;
    if (r->failed || p->table_len + len > STEER_WIRE_MAX) {
        result = -EPROTO;
        more = false;
    } else {
        memcpy(p->table + p->table_len, read_bytes(r, len), len);
        p->table_len += len;
    }
    if (more)
        return 0;
    if (result == 0)
        result = apply_table(p, now);
    free(p->table);
    p->table = NULL;
    p->table_len = 0;
    return result;
}

static bool is_known(const struct peer *p, const struct endpoint *e)
{
    for (size_t i = 0; i < p->spec.endpoints_count; i++)
        if (endpoint_equal(&p->spec.endpoints[i], e))
            return true;
    for (unsigned i = 0; i < p->config.endpoints_count; i++)
        if (endpoint_equal(&p->config.endpoints[i], e))
            return true;
    return false;
}

/* Paths to where the peer is not, as far as anybody says. */
static void drop_unknown(struct peer *p, instant now)
{
    struct session_path_info info;

    for (unsigned i = 0; i < SESSION_SLOTS && p->session; i++) {
        session_path_info(p->session, i, now, &info);
        if (info.used && !is_known(p, &info.at.remote))
            session_path_remove(p->session, i, now);
    }
}

void roles_elsewhere(struct peer *p, instant now)
{
    drop_unknown(p, now);
    roles_paths(p, now);
    peer_touch(p);
}

static int on_addresses(struct peer *p, struct reader *r, instant now)
{
    struct addresses_message m;

    addresses_message_read(r, &m);
    if (r->failed)
        return -EPROTO;
    p->config.endpoints_count = m.count;
    memcpy(p->config.endpoints, m.endpoints, sizeof(m.endpoints));
    roles_elsewhere(p, now);
    return 0;
}

int node_peer_remove_endpoint(struct node *n, unsigned peer, const struct endpoint *e, instant now)
{
    struct peer *p = n->peers[peer];
    size_t i = 0;

    while (i < p->spec.endpoints_count && !endpoint_equal(&p->spec.endpoints[i], e))
        i++;
    if (i == p->spec.endpoints_count)
        return -ENOENT;
    if (p->spec.endpoints_count == 1)
        return -EBUSY;
    p->spec.endpoints_count--;
    memmove(&p->spec.endpoints[i], &p->spec.endpoints[i + 1], (p->spec.endpoints_count - i) * sizeof(*e));
    drop_unknown(p, now);
    peer_touch(p);
    return 0;
}

int roles_on_message(struct peer *p, const uint8_t *msg, size_t len, instant now)
{
    struct reader r = reader_init(msg + 1, len - 1);
    struct config_message config;
    bool ok;

    if ((p->node->o.delivery || p->node->o.role == ROLE_HOST) && msg[0] == MESSAGE_ADDRESSES && p->opener)
        return on_addresses(p, &r, now);
    if (p->node->o.role == ROLE_HOST && msg[0] == MESSAGE_INTRODUCE)
        return host_on_introduction(p, msg + 1, len - 1, now);
    if (p->node->o.delivery || p->node->o.role == ROLE_HOST) /* these are a tunnel's */
        return msg[0] >= MESSAGE_SKIPPABLE ? 0 : -EPROTO;
    switch (msg[0]) {
    case MESSAGE_CONFIG:
        config_message_read(&r, &config);
        if (r.failed || p->node->o.role == ROLE_AGENT)
            return -EPROTO;
        p->config = config;
        p->has_config = true;
        if (config.mtu < p->node->o.mtu)
            p->node->o.mtu = config.mtu;
        node_event(p->node, NODE_PEER_CONFIG, p, 0, true, 0);
        return 0;
    case MESSAGE_STEER_TABLE:
        return p->node->o.role == ROLE_AGENT ? on_steer_table(p, &r, now) : -EPROTO;
    case MESSAGE_STEER_DONE:
        read_u32(&r);
        ok = read_u8(&r) == 0;
        if (!reader_done(&r) || p->node->o.role == ROLE_AGENT)
            return -EPROTO;
        node_event(p->node, NODE_STEER_DONE, p, 0, ok, 0);
        return 0;
    default:
        return msg[0] >= MESSAGE_SKIPPABLE ? 0 : -EPROTO;
    }
}

/* --- uplinks and paths --- */

/* Any path of the link, or -1. */
static int slot_of_link(const struct peer *p, uint32_t link)
{
    struct session_path_info info;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        session_path_info(p->session, i, 0, &info);
        if (info.used && info.at.link == link)
            return (int)i;
    }
    return -1;
}

/* Removes one path that has been down for so long, of a link that has another path. True if there was one. */
static bool drop_dead_spare(struct peer *p, span down_for, instant now)
{
    struct session_path_info info[SESSION_SLOTS];

    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        session_path_info(p->session, i, now, &info[i]);
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        if (!info[i].used || info[i].metrics.state != PATH_DOWN || info[i].link_down ||
            now - info[i].metrics.state_since < down_for)
            continue;
        for (unsigned j = 0; j < SESSION_SLOTS; j++) {
            if (j == i || !info[j].used || info[j].at.link != info[i].at.link ||
                info[j].at.transport != info[i].at.transport || info[j].metrics.state == PATH_DOWN)
                continue;
            session_path_remove(p->session, i, now);
            return true;
        }
    }
    return false;
}

/* Removes a path of a link that has more than one, so that a link without any may have it: one that does not work, or
 * of a lane after the first. */
static bool drop_double(struct peer *p, instant now)
{
    struct session_path_info info[SESSION_SLOTS];

    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        session_path_info(p->session, i, now, &info[i]);
    for (unsigned i = SESSION_SLOTS; i-- > 0;)
        for (unsigned j = 0; j < SESSION_SLOTS && info[i].used; j++)
            if (j != i && (info[i].at.lane > 0 || (j < i && info[i].metrics.state != PATH_ACTIVE)) && info[j].used &&
                info[j].at.link == info[i].at.link && info[j].at.transport == info[i].at.transport) {
                session_path_remove(p->session, i, now);
                return true;
            }
    return false;
}

static const uint8_t relay_prefix[8] = { 0x01 };

struct endpoint node_relay_place(uint64_t channel)
{
    struct endpoint e = { .addr.family = ADDR_V6, .port = 1 };

    memcpy(e.addr.bytes, relay_prefix, sizeof(relay_prefix));
    put_be64(e.addr.bytes + 8, channel);
    return e;
}

bool node_is_relayed(const struct endpoint *e)
{
    return e->addr.family == ADDR_V6 && memcmp(e->addr.bytes, relay_prefix, sizeof(relay_prefix)) == 0;
}

uint64_t node_relay_channel(const struct endpoint *e)
{
    return get_be64(e->addr.bytes + 8);
}

/* Of this uplink's paths, those over such a transport to there. */
static uint8_t tier_of(const struct node_uplink *u, enum transport t, const struct endpoint *to)
{
    return (u->spares & 1u << t || node_is_relayed(to)) && u->tier < TIER_BACKUP ? (uint8_t)TIER_BACKUP : u->tier;
}

/* There is a path to there over a link that is up. */
static bool has_way(const struct peer *p, const struct endpoint *to)
{
    struct session_path_info info;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        session_path_info(p->session, i, 0, &info);
        if (info.used && !info.link_down && endpoint_equal(&info.at.remote, to))
            return true;
    }
    return false;
}

bool roles_open_path(struct peer *p, const struct node_uplink *u, const struct endpoint *to, enum transport transport,
                     uint8_t lane, instant now)
{
    struct session_path_spec spec = {
        .at = { .link = u->link, .remote = *to, .transport = (uint8_t)transport, .lane = lane },
        .tier = tier_of(u, transport, to),
        .weight = u->weight,
        .rate_cap_bps = u->rate_cap_bps,
        .metered = u->metered,
        .trains = u->trains,
        .network = u->address_hash,
    };
    struct session_path_use use = roles_use(u, spec.tier);
    int slot;

    if (node_is_relayed(to) ? !u->up || has_way(p, to)
                            : (to->addr.family == ADDR_V4 && !u->has_v4) || (to->addr.family == ADDR_V6 && !u->has_v6))
        return false;
    if (session_slot_at(p->session, &spec.at) >= 0)
        return false;
    memcpy(spec.link, u->name, sizeof(spec.link));
    slot = session_path_add(p->session, &spec, now);
    if (slot == -ENOSPC && (drop_dead_spare(p, 0, now) ||
                            ((transport == TRANSPORT_TCP || slot_of_link(p, u->link) < 0) && drop_double(p, now))))
        slot = session_path_add(p->session, &spec, now);
    if (slot >= 0)
        session_path_set(p->session, (unsigned)slot, &use, now);
    if (slot >= 0 && !u->up)
        session_path_link(p->session, (unsigned)slot, false, now);
    return slot >= 0;
}

static void open_path(struct peer *p, const struct node_uplink *u, const struct endpoint *to, instant now)
{
    unsigned transports = u->transports | u->spares ? u->transports | u->spares : 1u << TRANSPORT_UDP;

    if (node_is_relayed(to)) {
        if (now - p->trouble_since >= NODE_RELAY_AFTER)
            roles_open_path(p, u, to, TRANSPORT_UDP, 0, now);
        return;
    }
    for (uint8_t lane = 0; lane < MAX(u->lanes, 1) && u->tcp != NODE_TCP_ONLY && (transports & 1u); lane++)
        roles_open_path(p, u, to, TRANSPORT_UDP, lane, now);
    for (unsigned t = TRANSPORT_UDP + 1; t < TRANSPORT_COUNT; t++)
        if (transports & 1u << t)
            roles_open_path(p, u, to, (enum transport)t, 0, now);
}

/* The first endpoint of each family; with `spares`, all that are known. */
static void open_paths(struct peer *p, const struct node_uplink *u, bool spares, instant now)
{
    bool all = p->node->o.delivery || p->node->o.role == ROLE_HOST, done[2] = { false, false };

    for (size_t i = 0; i < p->spec.endpoints_count; i++) {
        bool v6 = p->spec.endpoints[i].addr.family == ADDR_V6;

        if (done[v6] && !spares && !all) /* applications and hosts have every way there is */
            continue;
        open_path(p, u, &p->spec.endpoints[i], now);
        done[v6] = true;
    }
    for (unsigned i = 0; i < p->config.endpoints_count && (spares || all); i++)
        open_path(p, u, &p->config.endpoints[i], now);
}

int node_peer_add_endpoint(struct node *n, unsigned peer, const struct endpoint *e, instant now)
{
    struct peer *p = n->peers[peer];

    for (size_t i = 0; i < p->spec.endpoints_count; i++)
        if (endpoint_equal(&p->spec.endpoints[i], e))
            return 0;
    if (p->spec.endpoints_count == NODE_ENDPOINTS_MAX)
        return -ENOSPC;
    p->spec.endpoints[p->spec.endpoints_count++] = *e;
    for (size_t i = 0; i < n->uplinks_count && p->session; i++)
        open_path(p, &n->uplinks[i], e, now);
    roles_retarget(p);
    peer_touch(p);
    return 0;
}

void roles_paths(struct peer *p, instant now)
{
    for (size_t i = 0; i < p->node->uplinks_count && p->opener; i++)
        if (slot_of_link(p, p->node->uplinks[i].link) < 0 || p->node->uplinks[i].up)
            open_paths(p, &p->node->uplinks[i], false, now);
    roles_retarget(p);
}

/* An uplink for which there was no slot when it came. */
static void open_missing(struct peer *p, instant now)
{
    for (size_t i = 0; i < p->node->uplinks_count; i++) {
        const struct node_uplink *u = &p->node->uplinks[i];

        if (!u->up || slot_of_link(p, u->link) >= 0)
            continue;
        open_paths(p, u, false, now);
        roles_retarget(p);
        peer_touch(p);
    }
}

static void uplink_paths(struct peer *p, const struct node_uplink *u, bool moved, instant now)
{
    struct session_path_info info;
    struct session_path_use use;

    if (!p->session)
        return;
    peer_touch(p);
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        session_path_info(p->session, i, now, &info);
        if (!info.used || info.at.link != u->link)
            continue;
        if (!p->opener) { /* which are its opener's to change: that finds out, and is told the new address */
            if (!u->up || moved)
                session_path_error(p->session, i, now);
            continue;
        }
        if (info.at.lane >= MAX(u->lanes, 1)) {
            session_path_remove(p->session, i, now);
            continue;
        }
        use = roles_use(u, tier_of(u, info.at.transport, &info.at.remote));
        session_path_set(p->session, i, &use, now);
        session_path_link(p->session, i, u->up, now);
        session_path_network(p->session, i, u->address_hash, now);
        if (moved && u->up)
            session_path_error(p->session, i, now); /* its source is another: ask at once whether it works */
    }
    roles_paths(p, now);
}

bool node_uplink_equal(const struct node_uplink *a, const struct node_uplink *b)
{
    return a->link == b->link && strcmp(a->name, b->name) == 0 && a->tier == b->tier && a->tcp == b->tcp &&
           a->transports == b->transports && a->spares == b->spares && a->lanes == b->lanes && a->weight == b->weight &&
           a->rate_cap_bps == b->rate_cap_bps && a->metered == b->metered && a->trains == b->trains && a->up == b->up &&
           a->has_v4 == b->has_v4 && a->has_v6 == b->has_v6 && a->leaving == b->leaving &&
           a->address_hash == b->address_hash;
}

void node_uplink_set(struct node *n, const struct node_uplink *u, instant now)
{
    struct node_uplink *known = NULL;
    bool moved = false;

    for (size_t i = 0; i < n->uplinks_count; i++)
        if (n->uplinks[i].link == u->link)
            known = &n->uplinks[i];
    if (!known) {
        if (n->uplinks_count == NODE_UPLINKS_MAX)
            return;
        known = &n->uplinks[n->uplinks_count++];
    } else {
        moved = known->address_hash != u->address_hash;
    }
    *known = *u;
    for (size_t i = 0; i < n->peers_count; i++)
        uplink_paths(n->peers[i], known, moved, now);
}

void node_uplink_remove(struct node *n, uint32_t link, instant now)
{
    for (size_t i = 0; i < n->uplinks_count; i++) {
        if (n->uplinks[i].link != link)
            continue;
        n->uplinks[i] = n->uplinks[--n->uplinks_count];
        break;
    }
    for (size_t i = 0; i < n->peers_count; i++) {
        struct peer *p = n->peers[i];
        int slot;

        while (p->session && (slot = slot_of_link(p, link)) >= 0)
            session_path_remove(p->session, (unsigned)slot, now);
        fallback_forget(p, link);
        roles_retarget(p);
        peer_touch(p);
    }
}

/* An error of the network is looked up among all paths of all peers: of many peers not too often. Who is not told finds
 * out by what does not come back. */
static bool may_look_up(struct node *n, instant now)
{
    if (n->peers_count <= ERROR_PEERS)
        return true;
    if (now - n->errors_at >= 1 * SEC) {
        n->errors_at = now;
        n->errors_credit = ERRORS_PER_SEC;
    }
    if (n->errors_credit == 0)
        return false;
    n->errors_credit--;
    return true;
}

void node_on_unreachable(struct node *n, const struct locator_pair *at, instant now)
{
    if (!may_look_up(n, now))
        return;
    for (size_t i = 0; i < n->peers_count; i++) {
        int slot = n->peers[i]->session ? session_slot_at(n->peers[i]->session, at) : -1;

        if (slot >= 0) {
            session_path_error(n->peers[i]->session, (unsigned)slot, now);
            if (n->o.role == ROLE_HOST && !session_is_up(n->peers[i]->session))
                host_on_lost(n->peers[i], now); /* whom it calls is not there: no more than a hint, he is asked for */
            peer_touch(n->peers[i]);
        }
    }
}

void node_on_too_big(struct node *n, const struct locator_pair *at, size_t mtu_bytes, instant now)
{
    if (!may_look_up(n, now))
        return;
    for (size_t i = 0; i < n->peers_count; i++) {
        int slot = n->peers[i]->session ? session_slot_at(n->peers[i]->session, at) : -1;

        if (slot >= 0) {
            session_path_size_hint(n->peers[i]->session, (unsigned)slot, mtu_bytes, now);
            peer_touch(n->peers[i]);
        }
    }
}

void roles_tick(struct peer *p, instant now)
{
    struct session_path_info info;
    bool active = false, up = false, direct = false;

    if (!p->opener || !p->session)
        return;
    fallback_tick(p, now);
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        session_path_info(p->session, i, now, &info);
        if (session_is_up(p->session) && info.used && !info.link_down && info.metrics.state == PATH_ACTIVE) {
            active = true;
            direct |= !node_is_relayed(&info.at.remote);
        }
        up |= info.used && !info.link_down;
    }
    if (active && drop_dead_spare(p, SPARE_LIFE, now))
        peer_touch(p);
    open_missing(p, now);
    if (active && !direct && p->node->o.role == ROLE_HOST)
        host_on_relayed(p, now);
    if (active || !up) {
        p->trouble_since = now;
        return;
    }
    if (now - p->trouble_since < TROUBLE_LIMIT)
        return;
    if (p->node->o.role == ROLE_HOST)
        host_on_lost(p, now);
    for (size_t i = 0; i < p->node->uplinks_count; i++)
        if (p->node->uplinks[i].up)
            open_paths(p, &p->node->uplinks[i], true, now);
    roles_retarget(p);
    peer_touch(p);
}
