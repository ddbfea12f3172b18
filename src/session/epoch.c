/* session/epoch.c - the keys of a session.
 *
 * Theory of operation. An epoch is what one handshake gave: a master key from which every path has a key and a
 * connection id for each direction (ident/schedule.h). Both are functions of the path id alone, so a new path needs no
 * negotiation: the acceptor registers the connection ids of the next 16 path ids in advance. Path counters run on over
 * epochs, so one replay window serves a path for life and a counter never comes twice under one key.
 *
 * A session holds at most three epochs: the current one sends; the previous one still receives for what is under way;
 * the next one is tentative: it receives, and becomes current when its first record has been opened. */
#include <errno.h>

#include "session/internal.h"

uint64_t epoch_rx_cid(const struct session *s, const struct epoch *e, uint32_t path_id)
{
    uint64_t cid = schedule_cid(e->master, path_id, e->initiator ? SCHEDULE_TO_INITIATOR : SCHEDULE_TO_RESPONDER);

    return e->peer_features & FEATURE_SHARDS ? shard_cid(s->o.shard, cid) : cid;
}

uint64_t epoch_tx_cid(const struct epoch *e, uint32_t path_id)
{
    return shard_cid(e->peer_shard,
                     schedule_cid(e->master, path_id, e->initiator ? SCHEDULE_TO_RESPONDER : SCHEDULE_TO_INITIATOR));
}

static void rx_remove(struct session *s, struct cid_entry *e)
{
    if (map64_get(s->o.cids, e->cid) == e)
        map64_remove(s->o.cids, e->cid);
    aead_free(e->aead);
    *e = (struct cid_entry){ 0 };
}

static void rx_add(struct session *s, struct epoch *ep, uint32_t path_id)
{
    uint64_t cid = epoch_rx_cid(s, ep, path_id);
    struct cid_entry *e = NULL;

    for (size_t i = 0; i < EPOCH_RX_MAX; i++) {
        if (ep->rx[i].used && ep->rx[i].path_id == path_id)
            return;
        if (!ep->rx[i].used && !e)
            e = &ep->rx[i];
    }
    /* Two of 2^56 ids alike: the later path stays mute, is never validated, and its opener takes the next id. */
    if (!e || map64_get(s->o.cids, cid))
        return;
    *e = (struct cid_entry){ .session = s, .epoch = ep, .cid = cid, .path_id = path_id, .used = true };
    if (map64_put(s->o.cids, cid, e) < 0)
        *e = (struct cid_entry){ 0 };
}

static bool rx_wanted(const struct session *s, uint32_t path_id)
{
    if (path_id == HANDSHAKE_PATH_ID || session_find_path(s, path_id) >= 0)
        return true;
    return !s->o.opener && session_may_open(s, path_id);
}

void epoch_sync_rx(struct session *s, struct epoch *e)
{
    bool restart = e->fresh && e == s->next; /* the ids of a session to come, not of the one that is */

    for (size_t i = 0; i < EPOCH_RX_MAX && !restart; i++)
        if (e->rx[i].used && !rx_wanted(s, e->rx[i].path_id))
            rx_remove(s, &e->rx[i]);
    rx_add(s, e, HANDSHAKE_PATH_ID);
    for (unsigned i = 0; i < SESSION_SLOTS && !restart; i++)
        if (s->paths[i].used && s->paths[i].id)
            rx_add(s, e, s->paths[i].id);
    for (uint32_t i = 1; i <= LOOKAHEAD && !s->o.opener; i++) {
        uint32_t highest = restart ? 0 : s->highest_path_id;

        rx_add(s, e, highest + i);
        if (highest > i && session_may_open(s, highest - i))
            rx_add(s, e, highest - i);
    }
}

void epochs_sync_rx(struct session *s)
{
    struct epoch *all[] = { s->cur, s->prev, s->next };

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i])
            epoch_sync_rx(s, all[i]);
}

struct epoch *epoch_new(struct session *s, const uint8_t master[32], enum suite suite, bool initiator, bool clear,
                        instant now)
{
    struct epoch *e = calloc(1, sizeof(*e));

    if (!e)
        return NULL;
    if (clear)
        blake2s_keyed(e->master, master, HASH_PARTS({ "hawser clear", 12 }));
    else
        memcpy(e->master, master, 32);
    e->clear = clear;
    e->suite = suite;
    e->initiator = initiator;
    e->born = now;
    e->cookie_time = -1;
    return e;
}

void epoch_free(struct session *s, struct epoch *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < EPOCH_RX_MAX; i++)
        if (e->rx[i].used)
            rx_remove(s, &e->rx[i]);
    for (size_t i = 0; i < SESSION_SLOTS; i++)
        aead_free(e->tx[i].aead);
    ident_wipe(e, sizeof(*e));
    free(e);
}

struct aead *epoch_rx_key(struct cid_entry *e)
{
    uint8_t key[32];

    if (!e->aead) {
        schedule_path_key(e->epoch->master, e->path_id,
                          e->epoch->initiator ? SCHEDULE_TO_INITIATOR : SCHEDULE_TO_RESPONDER, key);
        e->aead = aead_new(e->epoch->suite, key);
        ident_wipe(key, sizeof(key));
    }
    return e->aead;
}

struct aead *epoch_tx_key(struct epoch *e, unsigned slot, uint32_t path_id, uint64_t *ret_cid)
{
    uint8_t direction = e->initiator ? SCHEDULE_TO_RESPONDER : SCHEDULE_TO_INITIATOR, key[32];

    if (!e->tx[slot].aead || e->tx[slot].path_id != path_id) {
        aead_free(e->tx[slot].aead);
        schedule_path_key(e->master, path_id, direction, key);
        e->tx[slot].aead = aead_new(e->suite, key);
        e->tx[slot].path_id = path_id;
        e->tx[slot].cid = epoch_tx_cid(e, path_id);
        e->tx[slot].records = 0;
        ident_wipe(key, sizeof(key));
    }
    *ret_cid = e->tx[slot].cid;
    return e->tx[slot].aead;
}

void epoch_install(struct session *s, struct epoch *e)
{
    epoch_free(s, s->prev);
    s->prev = s->cur;
    for (unsigned i = 0; i < SESSION_SLOTS && s->prev; i++) { /* it sends no more */
        aead_free(s->prev->tx[i].aead);
        s->prev->tx[i].aead = NULL;
    }
    s->cur = e;
    s->ask_rekey = false;
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        s->paths[i].want_token = s->o.reset_secret ? TOKEN_TIMES : 0; /* connection ids are new */
    epochs_sync_rx(s);
}
