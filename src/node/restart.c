/* node/restart.c - split connections, handed to the process that comes after this one (a planned restart).
 *
 * Theory of operation. A split connection is two things: an end of TCP (tunnel/tcp.h), of which the application or the
 * server knows places and windows, and a channel of the session (session/channel.h). The old process breaks off what
 * cannot go on (node_before_restart: connections that are not there yet, and those of peers that would not resume), its
 * owner gives the inside all that is still to be said to it, and then node_save writes the others down. The new one
 * makes its nodes from the configuration, and node_restore puts into each what belongs to it: peers are found by their
 * keys. What the new configuration forbids is broken off. The session goes on by a handshake
 * (session/channel_resume.c).
 *
 *   u32 magic | u16 version | u16 0 | u32 peers | each: X25519 32 | Ed25519 32 | session (channel_resume.c) |
 *       u32 connections | each: u8 flags | u8 DSCP | u32 length | end (tcp_save.c), channel if it has one
 *
 * The length lets shares that a peer does not belong to pass over it. There is no key in it and no secret of ours, but
 * bytes of applications: it belongs into memory, not on a disk.
 *
 * Another version is refused: the state is that of one build, for the seconds of a restart. Limits: split.c's. */
#include <errno.h>

#include "base/ranges.h"
#include "node/split.h"
#include "wire/cursor.h"

#define MAGIC 0x48777273u /* "Hwrs" */
#define VERSION 1u
#define FIXED_BYTES 512 /* of a connection beside bytes and ranges; chosen: more than all fields are */
#define PEER_BYTES 128
#define CONNECTION_FLAGS 7u

enum connection_flag { CONNECTION_HAS_CHANNEL = 1, CONNECTION_ACTIVE = 2, CONNECTION_AUTOMATIC = 4 };

static bool may_save(const struct split *x)
{
    if (!x->channel) /* it says its last words */
        return tcp_end_may_save(x->end) && tcp_end_state(x->end) < TCP_END_TIME_WAIT;
    return tcp_end_may_save(x->end) && session_may_resume(x->peer->session) && channel_may_save(x->channel);
}

void node_before_restart(struct node *n)
{
    n->closing = true;
    if (!n->splits)
        return;
    LIST_FOREACH (x, &n->splits->all, struct split, all) {
        enum tcp_end_state s = tcp_end_state(x->end);

        /* One that was not answered says nothing: its SYN comes again. */
        if (!may_save(x) && s >= TCP_END_SYN_RECEIVED && s < TCP_END_TIME_WAIT)
            split_break(x);
    }
}

/* --- out --- */

static size_t bound_of(const struct split *x)
{
    struct tcp_end_info end;

    tcp_end_info(x->end, &end);
    return FIXED_BYTES + end.buffered_tx + end.buffered_rx + end.holes * sizeof(struct range) +
           (x->channel ? channel_save_bound(x->channel) : 0);
}

size_t node_save_bound(const struct node *n)
{
    size_t bound = FIXED_BYTES + n->peers_count * PEER_BYTES;

    if (n->splits)
        LIST_FOREACH (x, &n->splits->all, struct split, all)
            bound += bound_of(x);
    return bound;
}

static void save_one(const struct split *x, struct writer *w)
{
    uint8_t *len;

    write_u8(w, (uint8_t)((x->channel ? CONNECTION_HAS_CHANNEL : 0) | (x->active ? CONNECTION_ACTIVE : 0) |
                          (x->automatic ? CONNECTION_AUTOMATIC : 0)));
    write_u8(w, x->dscp);
    len = write_room(w, 4);
    tcp_end_save(x->end, w);
    if (x->channel)
        channel_save(x->channel, w);
    if (len)
        put_be32(len, (uint32_t)(w->at - len - 4));
}

static uint32_t save_peer(const struct peer *p, struct writer *w)
{
    uint32_t count = 0;
    uint8_t *at;

    write_bytes(w, p->spec.key.x25519, 32);
    write_bytes(w, p->spec.key.ed25519, 32);
    session_save(p->session, w);
    at = write_room(w, 4);
    LIST_FOREACH (x, &p->node->splits->all, struct split, all) {
        if (x->peer != p || !may_save(x))
            continue;
        save_one(x, w);
        count++;
    }
    if (at)
        put_be32(at, count);
    return count;
}

size_t node_save(const struct node *const *nodes, size_t count, uint8_t *buf, size_t size, size_t *ret_connections)
{
    struct writer w = writer_init(buf, size);
    uint32_t peers = 0;
    uint8_t *at;

    *ret_connections = 0;
    write_u32(&w, MAGIC);
    write_u16(&w, VERSION);
    write_u16(&w, 0);
    at = write_room(&w, 4);
    for (size_t i = 0; i < count; i++) {
        const struct node *n = nodes[i];

        for (size_t k = 0; k < n->peers_count && n->splits && n->splits->info.count > 0; k++) {
            const struct peer *p = n->peers[k];

            if (p->forgotten || !p->session || !session_may_resume(p->session))
                continue;
            *ret_connections += save_peer(p, &w);
            peers++;
        }
    }
    if (at)
        put_be32(at, peers);
    return w.failed ? 0 : writer_len(&w);
}

/* --- in --- */

static int restore_one(struct peer *p, uint8_t flags, uint8_t dscp, struct reader *r, instant now)
{
    struct tcp_end_options o = split_options(p->node, flags & CONNECTION_ACTIVE);
    struct channel *c = NULL;
    struct tcp_end *end;
    struct split *x;
    int rc = tcp_end_restore(&o, r, now, &end);

    if (rc < 0)
        return rc;
    if (flags & CONNECTION_HAS_CHANNEL)
        rc = session_channel_restore(p->session, r, &c);
    if (rc == 0 && !reader_done(r))
        rc = -EPROTO;
    x = rc == 0 ? split_add(p, end, c, flags & CONNECTION_ACTIVE) : NULL;
    if (!x) { /* a channel goes with all of them (node_restore) */
        tcp_end_free(end);
        return rc < 0 ? rc : -EPROTO;
    }
    x->dscp = dscp & 0x3f;
    x->automatic = flags & CONNECTION_AUTOMATIC;
    p->node->splits->info.resumed++;
    split_admit(x);
    return 0;
}

/* p: NULL, of another share, or unknown by now. */
static int restore_connections(struct peer *p, struct reader *r, instant now)
{
    uint32_t count = read_u32(r);

    for (uint32_t i = 0; i < count && !r->failed; i++) {
        uint8_t flags = read_u8(r), dscp = read_u8(r);
        uint32_t len = read_u32(r);
        const uint8_t *body = read_bytes(r, len);
        struct reader one;
        int rc;

        if (!body || flags > CONNECTION_FLAGS)
            return -EPROTO;
        one = reader_init(body, len);
        rc = p ? restore_one(p, flags, dscp, &one, now) : 0;
        if (rc < 0)
            return rc;
    }
    return r->failed ? -EPROTO : 0;
}

static int restore_peer(struct node *n, struct reader *r, instant now)
{
    struct peer_key key = { 0 };
    struct peer *p;
    int rc;

    read_copy(r, key.x25519, 32);
    read_copy(r, key.ed25519, 32);
    p = r->failed ? NULL : node_peer_of(n, &key, 0);
    if (p && (!handover_is_ours(p) || peer_session_make(p, now) < 0 || !splits_make(n)))
        p = NULL;
    if (!p) {
        (void)read_bytes(r, SESSION_SAVED);
        return restore_connections(NULL, r, now);
    }
    rc = session_restore(p->session, r, now);
    if (rc == 0)
        rc = restore_connections(p, r, now);
    peer_touch(p);
    return rc;
}

static int restore_all(struct node *n, struct reader *r, instant now)
{
    uint32_t magic = read_u32(r), peers;
    uint16_t version = read_u16(r);
    int rc = 0;

    if (r->failed || magic != MAGIC)
        return -EPROTO;
    if (version != VERSION)
        return -EPROTONOSUPPORT;
    if (read_u16(r) != 0)
        return -EPROTO;
    peers = read_u32(r);
    for (uint32_t i = 0; i < peers && rc == 0; i++)
        rc = r->failed ? -EPROTO : restore_peer(n, r, now);
    return rc == 0 && !reader_done(r) ? -EPROTO : rc;
}

int node_restore(struct node *n, const uint8_t *data, size_t len, instant now)
{
    struct reader r = reader_init(data, len);
    int rc = restore_all(n, &r, now);

    if (rc < 0)
        node_restore_undo(n, now);
    return rc;
}

void node_restore_undo(struct node *n, instant now)
{
    for (size_t i = 0; i < n->peers_count; i++) {
        splits_forget(n->peers[i]);
        if (n->peers[i]->session)
            session_restore_undo(n->peers[i]->session, now);
    }
    if (n->splits)
        n->splits->info.resumed = 0;
}
