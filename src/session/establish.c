/* session/establish.c - handshakes in progress.
 *
 * Theory of operation, initiator. One INIT is built and raced over every path; copies are sent again after 250 ms, 500
 * ms, 1 s, 2 s; after 5 s a new one is built. The first RESPONSE wins. A COOKIE answer makes us build an INIT with that
 * cookie and send it where the cookie came from.
 *
 * Responder. An INIT changes nothing but the one tentative slot: its response is stored, and every copy
 * gets the same one behind a mask of its own. The slot's epoch receives; only the first record opened under it makes it
 * current. While the slot is taken, a rival must bring a cookie, and one that was issued later than that of the slot
 * and of the current epoch: a recorded INIT carries an old cookie or none, and cannot be given another (the cookie is
 * in the Noise prologue). INITs whose epochs were confirmed are known by digest and never answered again.
 *
 * Both at once: a node that has just begun a handshake ignores its agent's for a second; the agent answers the node's,
 * and a node whose own is done forgets one of its agent's that it had answered before it began.
 */
#include <errno.h>

#include "session/internal.h"

#define SIMULTANEOUS (1 * SEC)

void establish_stop(struct session *s)
{
    if (!s->conn)
        return;
    ident_wipe(s->conn, sizeof(*s->conn));
    free(s->conn);
    s->conn = NULL;
}

void establish_drop_response(struct session *s)
{
    free(s->resp);
    s->resp = NULL;
    epoch_free(s, s->next);
    s->next = NULL;
}

static uint8_t flags_of(const struct session *s)
{
    return (uint8_t)((s->o.opener ? HELLO_FLAG_OPENER : 0) | (s->delivery ? HELLO_FLAG_STREAM : 0) |
                     (s->o.clear ? HELLO_FLAG_CLEAR : 0));
}

/* Builds a new INIT; copies keep their destinations. */
static int init_make(struct session *s, const uint8_t *cookie, instant now)
{
    struct connecting *c = s->conn;
    enum suite suite = suite_choose(s->o.suites, s->o.peer.suites);

    c->hello = (struct hello){
        .session_id = s->id,
        .flags = flags_of(s),
        .suites = s->o.suites,
        .features = s->o.features,
        .shard = s->o.shard,
        .instance = s->o.instance,
        .terms = s->o.terms,
    };
    /* What is not up may be up at the other end still, which would go on where it was. */
    if (!s->up || s->want_fresh)
        c->hello.session_id = rng_u64(s->o.rng);
    if (s->kept.is) {
        c->hello.session_id = s->kept.id;
        c->hello.flags |= HELLO_FLAG_KEPT;
    }
    memcpy(c->hello.ed25519, s->o.self->ed25519, 32);
    c->started = now;
    c->sends = 0;
    c->next_send = now;
    c->use_cookie = cookie != NULL;
    for (unsigned i = 0; i < c->copies_count; i++) {
        c->copies[i].pending = c->copies[i].sent = false;
        c->copies[i].times = 0;
    }
    s->info.handshakes++;
    return handshake_init_make(&c->init, s->o.self, &s->o.peer, s->o.psk, suite, &c->hello, cookie, s->o.rng);
}

/* The opener's destinations are its paths as they are now: one that appears during a handshake joins the race. */
static void copies_from_paths(struct session *s)
{
    struct connecting *c = s->conn;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        const struct spath *p = &s->paths[i];
        bool known = false;

        if (!p->used || p->link_down)
            continue;
        for (unsigned j = 0; j < c->copies_count; j++)
            known |= locator_pair_same(&c->copies[j].at, &p->spec.at);
        if (!known && c->copies_count < COPIES_MAX) {
            memset(&c->copies[c->copies_count], 0, sizeof(c->copies[0]));
            c->copies[c->copies_count++].at = p->spec.at;
        }
    }
}

void session_connect(struct session *s, const struct locator_pair *at, size_t count, instant now)
{
    struct connecting *c;

    if (s->conn || (s->delivery && delivery_error(s->delivery)))
        return;
    session_stir(s);
    s->conn = c = calloc(1, sizeof(*c));
    if (!c)
        return;
    for (size_t i = 0; i < count && i < COPIES_MAX; i++)
        c->copies[c->copies_count++].at = at[i];
    c->begun = now;
    if (init_make(s, NULL, now) < 0)
        establish_stop(s);
}

int establish_renew(struct session *s, instant now)
{
    return s->conn ? init_make(s, NULL, now) : 0;
}

bool session_is_connecting(const struct session *s)
{
    return s->conn != NULL;
}

static span resend_after(unsigned sends)
{
    return MIN((250 * MSEC) << MIN(sends, 4u), 2 * SEC);
}

static void race(struct session *s, instant now)
{
    struct connecting *c = s->conn;

    if (s->o.opener && !c->use_cookie)
        copies_from_paths(s);
    for (unsigned i = 0; i < c->copies_count; i++)
        c->copies[i].pending = !c->use_cookie || c->copies[i].sent;
    c->next_send = now + resend_after(c->sends++);
}

instant establish_next_expiry(const struct session *s)
{
    instant next = INSTANT_NEVER;

    if (s->conn)
        next = s->conn->next_send;
    if (s->resp)
        next = instant_min(next, s->resp->expires);
    if (s->confirm_left > 0)
        next = instant_min(next, s->confirm_again);
    if (!s->conn && s->o.opener)
        next = instant_min(next, s->rekey_at);
    return next;
}

void establish_on_expiry(struct session *s, instant now)
{
    struct connecting *c;

    if (s->resp && now >= s->resp->expires)
        establish_drop_response(s);
    if (!s->conn && s->o.opener && now >= s->rekey_at) {
        s->rekey_at = now + SESSION_RETRY_AFTER;
        session_connect(s, NULL, 0, now);
    }
    c = s->conn;
    if (!c || now < c->next_send)
        return;
    if (!s->o.opener && now - c->begun >= ACCEPTOR_CALLS) {
        establish_stop(s);
        return;
    }
    if (now - c->started >= SESSION_RETRY_AFTER && init_make(s, NULL, now) < 0) {
        establish_stop(s);
        return;
    }
    race(s, now);
}

/* --- initiator --- */

/* The first round trip of the path by which the answer came; of an INIT that was sent there once: else it might answer
 * either (RFC 6298 section 3). */
static void measure(struct session *s, const struct locator_pair *at, instant now)
{
    const struct connecting *c = s->conn;
    span rtt = 0;

    for (unsigned i = 0; i < c->copies_count; i++)
        if (c->copies[i].times == 1 && locator_pair_same(&c->copies[i].at, at))
            rtt = MAX(now - c->copies[i].sent_at, USEC);
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        s->paths[i].handshake_rtt = s->paths[i].used && locator_pair_same(&s->paths[i].spec.at, at) ? rtt : 0;
}

/* The peer itself has said so: it will not say otherwise to who asks again. */
static void on_refused(struct session *s, uint8_t why)
{
    s->info.refused = why;
    establish_stop(s);
    s->rekey_at = INSTANT_NEVER;
    s->up = false;
    carry_end(s, -SESSION_EREFUSED);
    session_event(s, SESSION_DOWN, 0, false, 0);
}

/* Who said nothing of his own sends as the other asked. */
static void adopt_objectives(struct session *s, const struct terms *t)
{
    uint8_t *own = s->o.preferences.objectives;
    unsigned count = 0;

    _Static_assert(TERMS_OBJECTIVES == OBJECTIVES_MAX, "there are as many");
    if (own[0] != OBJECTIVE_NONE)
        return;
    for (unsigned i = 0; i < TERMS_OBJECTIVES; i++)
        if (t->objectives[i] != OBJECTIVE_NONE && t->objectives[i] < OBJECTIVE_COUNT)
            own[count++] = t->objectives[i];
}

int session_on_response(struct session *s, const uint8_t *pkt, size_t len, const struct locator_pair *at, instant now)
{
    struct connecting *c = s->conn;
    uint8_t master[32];
    struct hello hello;
    struct epoch *e;
    bool fresh, kept;
    int r;

    if (!c)
        return -ENOENT;
    if (len < RESPONSE_MIN_LEN || len > HANDSHAKE_MAX)
        return -EBADMSG;
    r = handshake_response_read(&c->init, s->o.self_mask, &s->o.peer, pkt, len, master, &hello);
    if (r < 0)
        return r;
    if (hello.terms.refused) {
        ident_wipe(master, sizeof(master));
        on_refused(s, hello.terms.refused);
        return 0;
    }
    e = epoch_new(s, master, c->init.suite, true, s->o.clear && (hello.flags & HELLO_FLAG_CLEAR), now);
    ident_wipe(master, sizeof(master));
    if (!e)
        return -ENOMEM;
    e->peer_features = hello.features;
    e->peer_terms = hello.terms;
    e->peer_shard = s->o.features & FEATURE_SHARDS ? hello.shard : (struct shard){ 0 };
    /* An acceptor that begins has just started: it has no session to go on with. */
    fresh = (hello.flags & HELLO_FLAG_FRESH) || !s->up || !s->o.opener;
    kept = (hello.flags & HELLO_FLAG_KEPT) && channels_outlive(s, c->hello.session_id, hello.features);
    if (fresh)
        session_restart(s, c->hello.session_id, kept, now);
    epoch_install(s, e);
    if (s->o.opener) /* of two at once ours counts, at both ends, or each would end with the other's keys */
        establish_drop_response(s);
    s->rekey_at = s->o.opener ? now + SESSION_REKEY_AFTER + (span)(rng_u64(s->o.rng) % (5 * SEC)) : INSTANT_NEVER;
    s->up = true;
    s->no_path_since = now;
    measure(s, at, now);
    establish_stop(s);
    adopt_objectives(s, &e->peer_terms);
    if (s->o.opener) {
        session_paths_start(s, now);
        for (unsigned i = 0; i < SESSION_SLOTS; i++)
            if (s->paths[i].path)
                s->paths[i].want_probe = MAX(s->paths[i].want_probe, 1u); /* confirms the keys on every path */
    } else {
        s->confirm_at = *at;
        s->confirm_left = 5;
        s->confirm_again = now;
    }
    session_event(s, fresh ? SESSION_UP : SESSION_REKEYED, 0, fresh, 0);
    return 0;
}

int session_on_cookie(struct session *s, const uint8_t *pkt, size_t len, const struct locator_pair *at, instant now)
{
    struct connecting *c = s->conn;
    uint8_t cookie[COOKIE_LEN];

    if (!c || c->use_cookie)
        return -ENOENT;
    for (unsigned i = 0; i < c->copies_count; i++) {
        if (!c->copies[i].sent || !locator_pair_same(&c->copies[i].at, at) ||
            handshake_cookie_read(&s->peer_mask, c->copies[i].mac1, pkt, len, cookie) < 0)
            continue;
        if (init_make(s, cookie, now) < 0)
            return -EIO;
        c->copies[i].pending = c->copies[i].sent = true;
        c->copies[i].times = 0;
        c->next_send = now + resend_after(c->sends++);
        return 0;
    }
    return -EBADMSG;
}

int session_on_reset(struct session *s, const uint8_t token[RESET_TOKEN_LEN], instant now)
{
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        if (!s->has_token[i] || !ident_equal(s->tokens[i], token, RESET_TOKEN_LEN))
            continue;
        /* A hint, no more: the keys in use stay until a handshake has succeeded. */
        if (now - s->last_reset < 1 * SEC)
            return 0;
        s->last_reset = now;
        if (carry_has_begun(s))
            session_break(s); /* what the peer had of it is gone with its keys */
        else
            session_connect(s, NULL, 0, now);
        return 0;
    }
    return -ENOENT;
}

/* --- responder --- */

static void respond_to(struct session *s, const struct locator_pair *at)
{
    struct responding *r = s->resp;

    for (unsigned i = 0; i < r->at_count; i++)
        if (locator_pair_same(&r->at[i], at))
            return;
    if (r->at_count < COPIES_MAX)
        r->at[r->at_count++] = *at;
}

bool session_on_known_init(struct session *s, const uint8_t digest[32], const struct locator_pair *at, instant now)
{
    if (s->resp && s->next && memcmp(s->next->digest, digest, 32) == 0) {
        respond_to(s, at);
        return true;
    }
    for (unsigned i = 0; i < DIGESTS_MAX; i++)
        if (memcmp(s->digests[i], digest, 32) == 0)
            return true;
    return false;
}

int session_on_init(struct session *s, struct handshake_seen *seen, int64_t cookie_time, const struct locator_pair *at,
                    instant now)
{
    uint8_t master[32], body[HANDSHAKE_MAX];
    struct responding *r;
    struct hello hello;
    struct epoch *e;
    bool fresh, kept, unproven;
    int n;

    if (session_on_known_init(s, seen->digest, at, now))
        return 0;
    if (!ident_equal(seen->hello.ed25519, s->o.peer.ed25519, 32) ||
        !!(seen->hello.flags & HELLO_FLAG_OPENER) == s->o.opener ||
        !!(seen->hello.flags & HELLO_FLAG_STREAM) != (s->delivery != NULL))
        return -EBADMSG;
    if (s->o.opener && s->conn && now - s->conn->started < SIMULTANEOUS)
        return -EALREADY;
    if (s->resp && (cookie_time < 0 || cookie_time <= s->next->cookie_time))
        return 1;
    if (cookie_time >= 0 && s->cur && cookie_time <= s->cur->cookie_time)
        return -EALREADY;
    /* Either end may be the one whose keys are gone; if that is the peer, it says that its channels are not. */
    /* What our own handshake has begun, and no key of which the opener has used: it may have forgotten that one for its
     * own, and knows nothing of a beginning. */
    unproven = !s->o.opener && s->cur && s->cur->initiator && !s->cur->proven;
    kept = channels_outlive(s, seen->hello.session_id, seen->hello.features) &&
           (s->kept.is || unproven || (seen->hello.flags & HELLO_FLAG_KEPT));
    fresh = !s->up || seen->hello.session_id != s->id || kept || unproven;
    hello = (struct hello){
        .session_id = seen->hello.session_id,
        .flags = (uint8_t)((fresh ? HELLO_FLAG_FRESH : 0) | (kept ? HELLO_FLAG_KEPT : 0) | flags_of(s)),
        .suites = s->o.suites,
        .features = s->o.features,
        .shard = s->o.shard,
        .terms = s->o.terms,
    };
    n = handshake_response_make(seen, s->o.self, s->o.psk, &hello, s->o.rng, body, master);
    if (n < 0)
        return n;
    e = epoch_new(s, master, seen->suite, false, s->o.clear && (seen->hello.flags & HELLO_FLAG_CLEAR), now);
    ident_wipe(master, sizeof(master));
    r = calloc(1, sizeof(*r));
    if (!e || !r) {
        free(r);
        epoch_free(s, e);
        return -ENOMEM;
    }
    e->fresh = fresh;
    e->kept = kept;
    e->session_id = seen->hello.session_id;
    e->peer_features = seen->hello.features;
    e->peer_terms = seen->hello.terms;
    e->peer_shard = s->o.features & FEATURE_SHARDS ? seen->hello.shard : (struct shard){ 0 };
    e->cookie_time = cookie_time;
    memcpy(e->digest, seen->digest, 32);
    establish_drop_response(s);
    s->next = e;
    s->resp = r;
    epoch_sync_rx(s, e);
    memcpy(r->body, body, (size_t)n);
    r->body_len = (size_t)n;
    r->expires = now + SESSION_TENTATIVE_LIFE;
    respond_to(s, at);
    s->info.handshakes++;
    return 0;
}

void establish_confirmed(struct session *s, instant now)
{
    struct epoch *e = s->next;
    bool fresh = e->fresh;

    memmove(s->digests[1], s->digests[0], sizeof(s->digests) - 32);
    memcpy(s->digests[0], e->digest, 32);
    s->next = NULL; /* it becomes the current one */
    establish_drop_response(s);
    s->confirm_left = 0; /* of our own handshake: its keys are the previous ones now */
    if (fresh)
        session_restart(s, e->session_id, e->kept && channels_outlive(s, e->session_id, e->peer_features), now);
    e->fresh = false;
    epoch_install(s, e);
    if (s->o.opener)
        s->rekey_at = now + SESSION_REKEY_AFTER;
    s->up = true;
    s->no_path_since = now;
    establish_stop(s);
    adopt_objectives(s, &e->peer_terms);
    if (s->o.opener)
        session_paths_start(s, now);
    session_event(s, fresh ? SESSION_UP : SESSION_REKEYED, 0, fresh, 0);
}

/* --- output --- */

static bool confirm_output(struct session *s, uint8_t *buf, struct session_tx *ret, instant now)
{
    struct epoch *e = s->cur;
    uint8_t plain[CONTROL_HEADER_LEN + FRAME_HEADER_LEN] = { CONTENT_CONTROL, 0 };
    uint8_t key[32];
    uint64_t cid;
    struct aead *aead;
    int r;

    if (s->confirm_left == 0 || now < s->confirm_again || !e || !e->initiator)
        return false;
    s->confirm_left--;
    s->confirm_again = now + 200 * MSEC;
    schedule_path_key(e->master, HANDSHAKE_PATH_ID, SCHEDULE_TO_RESPONDER, key);
    cid = epoch_tx_cid(e, HANDSHAKE_PATH_ID);
    aead = aead_new(e->suite, key);
    ident_wipe(key, sizeof(key));
    if (!aead)
        return false;
    put_be16(plain + 2, time64_from(now));
    plain[CONTROL_HEADER_LEN] = FRAME_CONFIRM;
    sealed_header_put(buf, cid, e->confirms);
    r = aead_seal(aead, e->confirms++, buf, SEALED_HEADER_LEN, plain, sizeof(plain), buf + SEALED_HEADER_LEN);
    aead_free(aead);
    *ret = (struct session_tx){ .at = s->confirm_at,
                                .len = SEALED_HEADER_LEN + sizeof(plain) + SEALED_TAG_LEN,
                                .slot = SESSION_SLOTS };
    return r == 0;
}

bool establish_output(struct session *s, uint8_t *buf, struct session_tx *ret, instant now)
{
    struct connecting *c = s->conn;

    if (s->resp && s->resp->at_count > 0) {
        *ret = (struct session_tx){ .at = s->resp->at[--s->resp->at_count], .slot = SESSION_SLOTS };
        ret->len =
            handshake_response_write(s->next->suite, s->resp->body, s->resp->body_len, &s->peer_mask, s->o.rng, buf);
        return true;
    }
    for (unsigned i = 0; c && i < c->copies_count; i++) {
        if (!c->copies[i].pending)
            continue;
        c->copies[i].pending = false;
        c->copies[i].sent = true;
        c->copies[i].times++;
        c->copies[i].sent_at = now;
        *ret = (struct session_tx){ .at = c->copies[i].at, .slot = SESSION_SLOTS };
        ret->len = handshake_init_write(&c->init, &s->peer_mask, s->o.rng, buf, c->copies[i].mac1);
        return true;
    }
    return confirm_output(s, buf, ret, now);
}
