/* dmux/mesh.c - see mesh.h.
 *
 * Theory of operation. A peer is another gateway: a seed of the configuration, one that a peer has named, or one that
 * has made itself known by an INIT. Whoever knows of another and has no link to it asks its address for a cookie
 * (HELLO), and with that makes a handshake (mesh_link.c). When two begin at once, the INIT of the lower number counts.
 * A link is up once a record has come over it, and down after MESH_SILENCE without one. Over it go a PING a second, the
 * news of each one's own routers (mesh_log.c, mesh_routes.c), every MEMBERS_EVERY the other gateways that are up, and a
 * provider's certificate when somebody lacks it.
 *
 * A PING and its PONG say where their senders are (coord.h), and a PONG moves who asked. The way to a peer is as it was
 * measured; one that has not answered yet is the farthest, whatever it says of where it is.
 *
 * Nothing that a peer says makes this gateway send more than a HELLO of 64 bytes a few times to an address, or a
 * question of 48 bytes to a router whose provider signed that it is there.
 *
 * Limits: mesh.h. A full mesh of n gateways costs each n PINGs and n PONGs a second. */
#include "dmux/mesh_internal.h"

#include "ident/hash.h"

#define MEMBERS_EVERY (10 * SEC)
#define FORGET (300 * SEC)       /* chosen: one that was up and is no seed */
#define FORGET_UNSEEN (15 * SEC) /* and one that was only heard of */
#define MEMBERS_ROOM (MESH_TEXT_MAX - 1)

bool mesh_drop(struct mesh *m, enum mesh_drop cause)
{
    m->stats.drops[cause]++;
    return false;
}

uint64_t mesh_name_hash(const struct mesh *m, uint32_t origin, uint16_t protocol, uint32_t provider, uint32_t addr,
                        uint16_t port)
{
    uint8_t name[16];

    put_be32(name, origin);
    put_be16(name + 4, protocol);
    put_be32(name + 6, provider);
    put_be32(name + 10, addr);
    put_be16(name + 14, port);
    return siphash13(m->seed, name, sizeof(name));
}

/* --- peers --- */

uint32_t mesh_rtt(const struct peer *p)
{
    return p->rtt_us > 0 ? p->rtt_us : COORD_RTT_MAX_US;
}

/* Who wants a link says PING over it; one of which neither end does falls silent. Seeds are for who knows no others. */
static bool is_wanted(const struct mesh *m, const struct peer *p)
{
    return !m->o.directory || p->wanted || p->neighbour || (p->seed && m->neighbours_up < MESH_NEIGHBOURS);
}

static struct peer *peer_of(const struct mesh *m, uint32_t gateway)
{
    for (size_t i = 0; i < m->peers_count; i++) {
        if (m->peers[i]->gateway == gateway)
            return m->peers[i];
    }
    return NULL;
}

/* To the directory; by now == 0 of the mesh's end, of which nobody is told. */
static void tell_gone(struct mesh *m, struct peer *p, instant now)
{
    if (p->told && now != 0)
        directory_on_peer_gone(m->o.directory, p->gateway, now);
    p->told = false;
}

static void peer_free(struct mesh *m, size_t i)
{
    struct peer *p = m->peers[i];

    tell_gone(m, p, 0);
    routes_orphan(m, p);
    log_end(p);
    link_keys_free(&p->keys);
    link_keys_free(&p->fresh);
    noise_wipe(&p->shake.noise);
    free(p);
    m->peers[i] = m->peers[--m->peers_count];
}

/* Of the number, or a seed at that address whose number is not known yet. */
static struct peer *peer_find(const struct mesh *m, uint32_t gateway, const struct endpoint *at)
{
    struct peer *p = peer_of(m, gateway);

    for (size_t i = 0; i < m->peers_count && !p; i++) {
        if (m->peers[i]->gateway == 0 && endpoint_equal(&m->peers[i]->at, at))
            p = m->peers[i];
    }
    return p;
}

static struct peer *peer_new(struct mesh *m, uint32_t gateway, const struct endpoint *at,
                             const uint8_t x25519[IDENT_KEY_LEN], instant now)
{
    struct peer *p;

    for (size_t i = 0; i < m->peers_count && m->peers_count == MESH_PEERS_MAX; i++) {
        if (!m->peers[i]->seed && !m->peers[i]->wanted && !m->peers[i]->keys.tx)
            peer_free(m, i); /* one that was only heard of makes room */
    }
    p = m->peers_count < MESH_PEERS_MAX ? calloc(1, sizeof(*p)) : NULL;
    if (!p) {
        mesh_drop(m, MESH_DROP_FULL);
        return NULL;
    }
    p->gateway = gateway;
    p->at = *at;
    memcpy(p->x25519, x25519, IDENT_KEY_LEN);
    p->known_at = now;
    link_shake_begin(&p->shake, now);
    p->members_at = SIZE_MAX;
    list_init(&p->routes);
    list_init(&p->acked.in_log);
    list_init(&p->sent.in_log);
    m->peers[m->peers_count++] = p;
    return p;
}

static void peer_down(struct mesh *m, struct peer *p, instant now)
{
    tell_gone(m, p, now);
    p->up = false;
    p->known_at = now;
    p->rtt_us = 0;
    p->placed = false;
    p->pong_due = p->heard_due = p->want_due = p->certificate_due = false;
    p->members_at = SIZE_MAX;
    link_keys_free(&p->keys);
    log_end(p);
    routes_orphan(m, p);
    link_shake_begin(&p->shake, now);
}

/* These keys are the link's from now on; both ends begin to tell from the beginning. */
static void peer_up(struct mesh *m, struct peer *p, struct link_keys *keys, instant now)
{
    link_keys_free(&p->keys);
    p->keys = *keys;
    *keys = (struct link_keys){ 0 };
    p->up = true;
    p->liar = false;
    p->heard = p->known_at = now;
    p->ping_next = p->members_next = now;
    link_shake_rest(&p->shake, INSTANT_NEVER);
    p->have = 0;
    p->generation++;
    log_begin(m, p);
}

struct mesh *mesh_new(const struct mesh_options *o, const struct rng *rng, struct registry *registry,
                      struct credentials *credentials, instant now)
{
    static const char label[] = "hawser dmux mesh psk 1";
    const struct trust_options t = { .cached_max = TRUST_CACHED_DEFAULT, .facts_max = TRUST_FACTS_DEFAULT, .rng = rng };
    struct mesh *m = calloc(1, sizeof(*m));
    bool ok;

    if (!m)
        return NULL;
    m->o = *o;
    m->rng = *rng;
    m->registry = registry;
    m->credentials = credentials;
    coord_init(&m->coord);
    rng_fill(rng, m->seed, sizeof(m->seed));
    blake2s_keyed(m->psk, o->secret, HASH_PARTS({ label, sizeof(label) - 1 }));
    ident_wipe(m->o.secret, sizeof(m->o.secret));
    list_init(&m->log);
    list_init(&m->gone);
    map64_init(&m->locals, REGISTRY_MAX, get_le64(m->seed));
    routes_init(m);
    m->trust = trust_new(o->root, &t);
    ok = m->trust != NULL;
    for (size_t i = 0; i < o->seeds_count && ok; i++) {
        struct peer *p;

        if (endpoint_equal(&o->seeds[i].at, &o->unicast))
            continue; /* one list for all */
        p = peer_new(m, 0, &o->seeds[i].at, o->seeds[i].x25519, now);
        ok = p != NULL;
        if (p)
            p->seed = true;
    }
    if (!ok) {
        mesh_free(m);
        return NULL;
    }
    registry_watch(registry);
    return m;
}

void mesh_free(struct mesh *m)
{
    if (!m)
        return;
    while (m->peers_count > 0)
        peer_free(m, m->peers_count - 1);
    routes_free(m);
    log_free(m);
    trust_free(m->trust);
    ident_wipe(m->psk, sizeof(m->psk));
    free(m);
}

/* --- in --- */

void mesh_on_challenge(struct mesh *m, const struct dmux_message *c, const struct endpoint *from, instant now)
{
    for (size_t i = 0; i < m->peers_count; i++) {
        struct peer *p = m->peers[i];

        if (endpoint_equal(&p->at, from) && link_shake_on_challenge(&p->shake, c, now))
            return;
    }
}

static void on_init(struct mesh *m, const uint8_t *data, size_t len, const struct endpoint *from, instant now)
{
    uint8_t digest[BLAKE2S_LEN];
    struct link_sender c;
    struct noise n;
    struct peer *p;

    blake2s(digest, HASH_PARTS({ data, len }));
    for (size_t i = 0; i < m->peers_count; i++) {
        if (memcmp(m->peers[i]->fresh_digest, digest, sizeof(digest)) == 0)
            return; /* repeated: it was answered */
    }
    if (mesh_init_read(m, data, len, from, &n, &c) < 0)
        return;
    p = peer_find(m, c.gateway, from);
    if (!p)
        p = peer_new(m, c.gateway, from, noise_remote_static(&n), now);
    if (!p || (p->shake.step == LINK_SENT && m->o.id < c.gateway)) { /* ours counts */
        noise_wipe(&n);
        return;
    }
    p->gateway = c.gateway;
    p->at = *from;
    memcpy(p->x25519, noise_remote_static(&n), IDENT_KEY_LEN);
    memcpy(p->fresh_digest, digest, sizeof(digest));
    link_keys_free(&p->fresh);
    p->answer_len = mesh_answer_write(m, &n, &c, (uint32_t)rng_nonzero(&m->rng), p->answer, &p->fresh);
    noise_wipe(&n);
    if (!p->up) /* it has the word for a while */
        link_shake_rest(&p->shake, now + LINK_RETRY_MAX);
}

static void on_answer(struct mesh *m, const uint8_t *data, size_t len, const struct endpoint *from, instant now)
{
    for (size_t i = 0; i < m->peers_count; i++) {
        struct peer *p = m->peers[i];
        struct link_keys keys;
        uint32_t gateway;

        if (!link_shake_awaits(&p->shake, data) || !endpoint_equal(&p->at, from))
            continue;
        if (mesh_answer_read(m, p, data, len, from, &keys, &gateway) < 0)
            return;
        if (p->gateway == 0 && peer_of(m, gateway)) { /* a seed that is known by another address already */
            link_keys_free(&keys);
            link_shake_rest(&p->shake, now + LINK_RETRY_MAX);
            return;
        }
        p->gateway = gateway;
        peer_up(m, p, &keys, now);
        return;
    }
}

static void on_members(struct mesh *m, const struct mesh_message *msg, instant now)
{
    struct reader r = reader_init(msg->rest, msg->rest_len);
    struct mesh_member e;
    size_t neighbours = 0;

    for (size_t i = 0; i < m->peers_count; i++) /* those that are up, or may come up */
        neighbours += m->peers[i]->neighbour && (m->peers[i]->up || m->peers[i]->generation == 0);
    while (mesh_next_member(&r, &e)) {
        struct peer *p = peer_find(m, e.gateway, &e.at);

        m->stats.members_in++;
        if (e.gateway == m->o.id || !addr_is_unicast(&e.at.addr) || endpoint_equal(&e.at, &m->o.unicast))
            continue;
        if (p) {
            if (!m->o.directory) /* there what it is wanted for counts, not who has heard of it */
                p->known_at = now;
        } else if (!m->o.directory || (neighbours < MESH_NEIGHBOURS && rng_u64(&m->rng) % 4 == 0)) {
            p = peer_new(m, e.gateway, &e.at, e.x25519, now);
            if (p)
                p->neighbour = true;
            neighbours++;
        }
    }
}

static void tell_place(struct mesh *m, struct peer *p, instant now)
{
    struct directory_entry e = { .gateway = p->gateway, .at = p->at, .place = p->coord };

    memcpy(e.x25519, p->x25519, sizeof(e.x25519));
    directory_on_peer(m->o.directory, &e, now);
    if (!p->told)
        routes_tell_directory(m, p, now);
    p->told = true;
}

/* Where a peer says to be; rtt_us: the way there as it was measured, which moves this gateway, or 0. */
static void on_place(struct mesh *m, struct peer *p, const struct mesh_coord *said, uint32_t rtt_us, instant now)
{
    p->placed = coord_heard(said, &p->coord) == 0;
    if (!p->placed || (rtt_us > 0 && coord_on_sample(&m->coord, &p->coord, rtt_us, &m->rng) < 0))
        m->stats.nowhere++;
    if (p->placed && m->o.directory)
        tell_place(m, p, now);
}

static void on_text(struct mesh *m, struct peer *p, const struct mesh_message *msg, instant now)
{
    uint32_t us;

    switch (msg->kind) {
    case MESH_PING:
        p->pong_due = true;
        p->pong_nonce = msg->nonce;
        on_place(m, p, &msg->coord, 0, now);
        if (msg->version == p->have) /* all of it was heard */
            routes_settle(m, p, now);
        break;
    case MESH_PONG:
        us = (uint32_t)link_pong(&p->pings, msg->nonce, now);
        if (us > 0) {
            if (p->rtt_us == 0)
                routes_look(m, p, now);
            p->rtt_us = p->rtt_us == 0 ? us : (uint32_t)(((uint64_t)p->rtt_us * 9 + us) / 10);
            on_place(m, p, &msg->coord, p->rtt_us, now);
        }
        if (msg->version == p->have)
            routes_settle(m, p, now);
        break;
    case MESH_NEWS:
        p->heard_due = true;
        if (msg->from != p->have)
            break;
        routes_take_news(m, p, msg, now);
        p->have = msg->version;
        break;
    case MESH_HEARD:
        log_heard(m, p, msg->version);
        break;
    case MESH_MEMBERS:
        on_members(m, msg, now);
        break;
    case MESH_WANT:
        p->certificate_due = credentials_chain(m->credentials, msg->key).len > 0;
        memcpy(p->certificate_key, msg->key, sizeof(p->certificate_key));
        break;
    case MESH_CERTIFICATE:
        if (credentials_learn(m->credentials, msg->key, msg->rest, msg->rest_len, m->wall_s) == 0)
            routes_retry(m);
        break;
    }
}

static void on_record(struct mesh *m, const uint8_t *data, size_t len, const struct endpoint *from, instant now)
{
    uint8_t text[MESH_TEXT_MAX];
    struct mesh_message msg;

    for (size_t i = 0; i < m->peers_count; i++) {
        struct peer *p = m->peers[i];
        bool fresh = p->fresh.rx && p->fresh.local == link_to(data);
        int n;

        if (!endpoint_equal(&p->at, from) || (!fresh && !(p->keys.rx && p->keys.local == link_to(data))))
            continue;
        n = link_open(fresh ? &p->fresh : &p->keys, data, len, m->wall_s, text);
        if (n < 0) {
            mesh_drop(m, MESH_DROP_SEAL);
            return;
        }
        if (fresh)
            peer_up(m, p, &p->fresh, now);
        p->heard = p->known_at = now;
        if (mesh_read(text, (size_t)n, &msg) < 0)
            mesh_drop(m, MESH_DROP_MALFORMED);
        else
            on_text(m, p, &msg, now);
        return;
    }
    mesh_drop(m, MESH_DROP_SEAL);
}

void mesh_on_datagram(struct mesh *m, const uint8_t *data, size_t len, const struct endpoint *from, uint64_t wall_s,
                      instant now)
{
    m->wall_s = wall_s;
    if (len < DMUX_HEADER_LEN + 4 || data[SHIM_LEN + 1] != 0) {
        mesh_drop(m, MESH_DROP_MALFORMED);
        return;
    }
    switch (data[SHIM_LEN]) {
    case DMUX_MESH_INIT:
        on_init(m, data, len, from, now);
        break;
    case DMUX_MESH_ANSWER:
        on_answer(m, data, len, from, now);
        break;
    case DMUX_MESH_RECORD:
        on_record(m, data, len, from, now);
        break;
    default:
        mesh_drop(m, MESH_DROP_MALFORMED);
    }
}

/* --- out --- */

static size_t members_output(struct mesh *m, struct peer *p, uint8_t text[MEMBERS_ROOM])
{
    struct writer w = writer_init(text, MEMBERS_ROOM);

    for (; p->members_at < m->peers_count && writer_left(&w) >= MESH_MEMBER_LEN; p->members_at++) {
        const struct peer *q = m->peers[p->members_at];
        struct mesh_member e = { .gateway = q->gateway, .at = q->at };

        if (q == p || !q->up)
            continue;
        memcpy(e.x25519, q->x25519, sizeof(e.x25519));
        mesh_put_member(&w, &e);
    }
    if (p->members_at >= m->peers_count)
        p->members_at = SIZE_MAX;
    return writer_len(&w);
}

/* What a peer whose link is up is to be sent next: true with *msg; rest: its room. */
static bool choose(struct mesh *m, struct peer *p, struct mesh_message *msg, uint8_t rest[MESH_TEXT_MAX], instant now)
{
    *msg = (struct mesh_message){ .rest = rest };
    if (p->pong_due) {
        p->pong_due = false;
        msg->kind = MESH_PONG;
        msg->nonce = p->pong_nonce;
        msg->version = m->version;
        msg->coord = coord_told(&m->coord);
        return true;
    }
    if (p->heard_due) {
        p->heard_due = false;
        msg->kind = MESH_HEARD;
        msg->version = p->have;
        return true;
    }
    if (is_wanted(m, p) && now >= p->ping_next) {
        p->ping_next = now + MESH_PING_EVERY;
        msg->kind = MESH_PING;
        msg->nonce = link_ping(&p->pings, &m->rng, now);
        msg->version = m->version;
        msg->coord = coord_told(&m->coord);
        return true;
    }
    if (p->want_due || p->certificate_due) {
        struct slice chain = credentials_chain(m->credentials, p->certificate_key);

        msg->kind = p->want_due ? MESH_WANT : MESH_CERTIFICATE;
        memcpy(msg->key, p->want_due ? p->want_key : p->certificate_key, sizeof(msg->key));
        if (!p->want_due) {
            msg->rest = chain.data;
            msg->rest_len = chain.len;
            p->certificate_due = false;
        }
        p->want_due = false;
        return msg->kind == MESH_WANT || chain.len > 0;
    }
    if (now >= p->members_next) {
        p->members_next = now + MEMBERS_EVERY;
        p->members_at = 0;
    }
    if (p->members_at != SIZE_MAX) {
        msg->kind = MESH_MEMBERS;
        msg->rest_len = members_output(m, p, rest);
        return msg->rest_len > 0;
    }
    return false;
}

static size_t peer_output(struct mesh *m, struct peer *p, uint8_t *out, instant now)
{
    uint8_t rest[MESH_TEXT_MAX];
    struct mesh_message msg;
    size_t len;

    if (p->answer_len > 0) {
        len = p->answer_len;
        memcpy(out, p->answer, len);
        p->answer_len = 0;
        return len;
    }
    if (!p->up)
        return is_wanted(m, p) ? mesh_shake_output(m, p, out, now) : 0;
    if (choose(m, p, &msg, rest, now))
        return mesh_seal(m, &p->keys, &msg, out);
    len = log_output(m, p, rest, now);
    if (len == 0 || mesh_read(rest, len, &msg) < 0)
        return 0;
    return mesh_seal(m, &p->keys, &msg, out);
}

bool mesh_output(struct mesh *m, uint8_t *out, struct dmux_tx *tx, instant now)
{
    for (size_t i = 0; i < m->peers_count; i++) {
        struct peer *p = m->peers[m->turn++ % m->peers_count];

        tx->len = peer_output(m, p, out, now);
        tx->to = p->at;
        if (tx->len > 0)
            return true;
    }
    tx->len = routes_output(m, out, &tx->to, now);
    return tx->len > 0;
}

instant mesh_next_expiry(const struct mesh *m)
{
    instant next = routes_next_expiry(m);

    for (size_t i = 0; i < m->peers_count; i++) {
        const struct peer *p = m->peers[i];

        if (p->answer_len > 0 || p->pong_due || p->heard_due || p->want_due || p->certificate_due ||
            p->members_at != SIZE_MAX)
            return 0;
        if (!p->up) {
            next = instant_min(next, is_wanted(m, p) ? p->shake.next : INSTANT_NEVER);
            continue;
        }
        next = instant_min(next, instant_min(is_wanted(m, p) ? p->ping_next : INSTANT_NEVER, p->members_next));
        next = instant_min(next, instant_min(p->heard + MESH_SILENCE, log_next_expiry(m, p)));
    }
    return next;
}

/* By managers: a neighbour that is silent for long is none any more. If all are, the silence is this gateway's. */
static void count_neighbours(struct mesh *m, instant now)
{
    bool any = false;

    m->neighbours_up = 0;
    for (size_t i = 0; i < m->peers_count; i++) {
        any |= m->peers[i]->up;
        m->neighbours_up += m->peers[i]->neighbour && m->peers[i]->up;
    }
    for (size_t i = 0; i < m->peers_count && any; i++) {
        struct peer *p = m->peers[i];

        if (p->neighbour && !p->up && p->known_at + (p->generation > 0 ? FORGET : FORGET_UNSEEN) <= now)
            p->neighbour = false;
    }
}

void mesh_on_expiry(struct mesh *m, uint64_t wall_s, instant now)
{
    m->wall_s = wall_s;
    count_neighbours(m, now);
    for (size_t i = 0; i < m->peers_count; i++) {
        struct peer *p = m->peers[i];

        if (p->up && p->heard + MESH_SILENCE <= now)
            peer_down(m, p, now);
        if (!p->up && !p->seed &&
            (m->o.directory && p->generation > 0
                 ? !is_wanted(m, p)
                 : !p->wanted && p->known_at + (p->generation > 0 ? FORGET : FORGET_UNSEEN) <= now))
            peer_free(m, i--);
    }
    log_take_news(m, now);
    log_forget(m);
    routes_on_expiry(m, now);
}

bool mesh_is_member(const struct mesh *m, uint32_t addr)
{
    for (size_t i = 0; i < m->peers_count; i++) {
        if (m->peers[i]->up && get_be32(m->peers[i]->at.addr.bytes) == addr)
            return true;
    }
    return false;
}

bool mesh_link(struct mesh *m, const struct directory_entry *e, instant now)
{
    struct peer *p = peer_find(m, e->gateway, &e->at);

    if (e->gateway == m->o.id || !addr_is_unicast(&e->at.addr) || endpoint_equal(&e->at, &m->o.unicast))
        return true; /* nobody answers there */
    if (!p)
        p = peer_new(m, e->gateway, &e->at, e->x25519, now);
    if (!p)
        return false;
    if (!p->up && !p->seed &&
        (!endpoint_equal(&p->at, &e->at) || memcmp(p->x25519, e->x25519, sizeof(p->x25519)) != 0)) { /* it has moved */
        p->at = e->at;
        memcpy(p->x25519, e->x25519, sizeof(p->x25519));
        link_shake_begin(&p->shake, now);
    }
    if (!p->wanted)
        p->ping_next = now;
    p->wanted = true;
    return true;
}

void mesh_unlink(struct mesh *m, uint32_t gateway)
{
    struct peer *p = peer_of(m, gateway);

    if (p)
        p->wanted = false;
}

const struct coord *mesh_coord_get(const struct mesh *m)
{
    return &m->coord;
}

const struct mesh_stats *mesh_stats_get(const struct mesh *m)
{
    return &m->stats;
}

size_t mesh_routes(const struct mesh *m)
{
    return m->routes.count;
}

bool mesh_peer_info(const struct mesh *m, size_t i, struct mesh_peer_info *ret)
{
    const struct peer *p;

    if (i >= m->peers_count)
        return false;
    p = m->peers[i];
    *ret = (struct mesh_peer_info){ .gateway = p->gateway,
                                    .at = p->at,
                                    .up = p->up,
                                    .rtt_us = p->rtt_us,
                                    .estimate_us = p->placed ? coord_estimate_us(&m->coord, &p->coord) : 0,
                                    .routers = p->routes_count };
    memcpy(ret->x25519, p->x25519, sizeof(ret->x25519));
    return true;
}

const char *mesh_drop_name(unsigned drop)
{
    static const char *const names[MESH_DROP_COUNT] = { "malformed", "stranger", "seal", "full", "unsigned" };

    return drop < MESH_DROP_COUNT ? names[drop] : "?";
}
