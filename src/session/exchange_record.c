/* session/exchange_record.c - see exchange_internal.h: what comes in sealed.
 *
 * Theory of operation. Length; connection id; replay window; the tag; only then is anything believed, and tentative
 * keys become the current ones. A request is looked at when it comes from the endpoint that is proven, or brings the
 * token of the one that it comes from; others get that token and nothing else. A token is a keyed hash of the keys'
 * connection id and the endpoint, so nothing is kept for it.
 *
 * Parts are joined in a buffer of the whole message's size, made when the first of them comes: JOINS_PER_PEER requests
 * a peer and joins_max messages in all. A full table gives up its oldest if nothing was added to it for JOIN_SPARE;
 * otherwise the part is dropped, and is sent again when its request is.
 *
 * Limits: 57 parts, 64 KiB; a message of which nothing came for JOIN_LIFE is forgotten. */
#include <errno.h>

#include "ident/hash.h"
#include "session/exchange_internal.h"

static void drop(struct exchange *x, enum exchange_drop d)
{
    x->stats.drops[d]++;
}

/* --- parts --- */

static size_t join_size(unsigned last)
{
    return sizeof(struct join) + (size_t)(last + 1) * EXCHANGE_PART_LEN;
}

/* Nobody points at it any more, but the list of all. */
static void join_detach(struct join *j)
{
    if (j->ask) {
        j->ask->join = NULL;
    } else if (j->assoc) {
        for (size_t i = 0; i < JOINS_PER_PEER; i++)
            if (j->assoc->join[i] == j)
                j->assoc->join[i] = NULL;
    }
    j->ask = NULL;
    j->assoc = NULL;
}

void join_free(struct exchange *x, struct join *j)
{
    if (!j)
        return;
    join_detach(j);
    list_remove(&j->item);
    x->joins_count--;
    ex_free(x, j, join_size(j->last));
}

void joins_expire(struct exchange *x, instant now)
{
    while (!list_empty(&x->joins)) {
        struct join *j = LIST_FIRST(&x->joins, struct join, item);

        if (now - j->touched < JOIN_LIFE)
            break;
        join_free(x, j);
    }
}

/* An empty one, or NULL. `at` is where it is kept; what is there is given up for it if it may be, and else the oldest
 * of all if there is no room. */
static struct join *join_new(struct exchange *x, struct join **at, const struct exchange_message *m, bool replace,
                             instant now)
{
    struct join *old = *at, *j;

    if (!old && x->joins_count >= x->o.joins_max) {
        if (list_empty(&x->joins))
            return NULL;
        old = LIST_FIRST(&x->joins, struct join, item);
        replace = false;
    }
    if (old && !replace && now - old->touched < JOIN_SPARE)
        return NULL;
    join_free(x, old);
    j = ex_alloc(x, join_size(m->last));
    if (!j)
        return NULL;
    j->id = m->id;
    j->digest = m->digest;
    j->last = m->last;
    j->touched = now;
    list_append(&x->joins, &j->item);
    x->joins_count++;
    *at = j;
    return j;
}

/* True: with this part the message is whole. */
static bool join_add(struct exchange *x, struct join *j, const struct exchange_message *m, instant now)
{
    uint64_t bit = UINT64_C(1) << m->part;

    if (m->last != j->last || (j->parts & bit))
        return false;
    memcpy(j->data + (size_t)m->part * EXCHANGE_PART_LEN, m->data, m->len);
    if (m->part == m->last)
        j->len = (size_t)m->part * EXCHANGE_PART_LEN + m->len;
    j->parts |= bit;
    j->touched = now;
    list_remove(&j->item);
    list_append(&x->joins, &j->item);
    return j->parts == (m->last == 63 ? UINT64_MAX : (UINT64_C(2) << m->last) - 1);
}

/* The request of which this is a part; NULL: not now. */
static struct join *request_join(struct assoc *a, const struct exchange_message *m, instant now)
{
    struct join **oldest = &a->join[0];
    struct join *j;

    for (size_t i = 0; i < JOINS_PER_PEER; i++) {
        j = a->join[i];
        if (j && j->id == m->id && j->digest == m->digest)
            return j;
        if (!j || (*oldest && j->touched < (*oldest)->touched))
            oldest = &a->join[i];
    }
    j = join_new(a->x, oldest, m, false, now);
    if (j)
        j->assoc = a;
    return j;
}

/* The answer of which this is a part: if it is another answer than that of which parts are there, those are worth
 * nothing. */
static struct join *answer_join(struct ask *q, const struct exchange_message *m, instant now)
{
    if (q->join && q->join->digest == m->digest)
        return q->join;
    if (!join_new(q->x, &q->join, m, true, now))
        return NULL;
    q->join->ask = q;
    return q->join;
}

/* --- requests --- */

static uint64_t token_for(const struct exchange *x, const struct keys *k, const struct locator_pair *at)
{
    uint8_t in[8 + 4 + 17 + 2];

    put_be64(in, k->rx_cid);
    put_be32(in + 8, at->link);
    memcpy(in + 12, &at->remote.addr, 17);
    put_be16(in + 29, at->remote.port);
    return siphash13(x->token_key, in, sizeof(in)) | 1; /* 0 is none */
}

/* Tells who asks from there how to show that he is there; no longer than any request. */
static void challenge(struct keys *k, const struct locator_pair *at, const struct exchange_message *m, instant now)
{
    struct exchange *x = k->assoc->x;
    const struct exchange_message c = {
        .kind = EXCHANGE_KIND_CHALLENGE, .try = m->try, .id = m->id, .token = token_for(x, k, at)
    };
    uint8_t *out = ex_slot(x);
    int n;

    _Static_assert(EXCHANGE_CHALLENGE_LEN <= EXCHANGE_REQUEST_HEADER, "no longer than any request");
    drop(x, EXCHANGE_DROP_UNPROVEN);
    if (!out || k != k->assoc->cur) {
        x->stats.drops[EXCHANGE_DROP_OUTPUT] += !out;
        return;
    }
    n = keys_seal(k, out, exchange_message_put(out + SEALED_HEADER_LEN, &c), now);
    if (n > 0)
        ex_push(x, at, (size_t)n);
}

static void on_request(struct keys *k, const struct locator_pair *at, const struct exchange_message *m, instant now)
{
    struct assoc *a = k->assoc;
    struct exchange *x = a->x;
    struct exchange_asked asked = {
        .peer = a->number, .parts = m->have_parts, .digest = m->have_digest, .id = m->id, .try = m->try
    };
    struct join *j = NULL;

    if (!a->proven || !locator_pair_same(at, &a->at)) {
        if (m->token == 0 || m->token != token_for(x, k, at)) {
            challenge(k, at, m, now);
            return;
        }
        a->proven = true;
        a->at = *at;
        if (!a->call)
            assoc_asks_go(a);
    }
    a->at = *at;
    if (m->in_parts) {
        j = request_join(a, m, now);
        if (!j)
            drop(x, EXCHANGE_DROP_JOIN);
        if (!j || !join_add(x, j, m, now))
            return;
        join_detach(j);
        list_remove(&j->item); /* no time ends it any more: it is the event's */
        if (exchange_digest(j->data, j->len) != j->digest) {
            drop(x, EXCHANGE_DROP_JOIN);
            join_free(x, j);
            return;
        }
    } else if (m->len == 0) {
        (void)!exchange_answer(x, &asked, NULL, 0, now); /* it only wants to know whether we are here */
        return;
    }
    x->stats.requests++;
    x->request_joins[x->requests_end] = j;
    x->requests[x->requests_end++] = (struct exchange_event){
        .type = EXCHANGE_REQUEST,
        .peer = a->number,
        .data = j ? j->data : m->data,
        .len = j ? j->len : m->len,
        .asked = asked,
    };
}

/* --- answers --- */

/* RFC 6298 section 2, of an answer that says which sending it answers. */
static void measure(struct ask *q, uint8_t try, instant now)
{
    struct assoc *a = q->assoc;
    uint8_t age = (uint8_t)(q->try - try);
    span rtt, off;

    if (age == 0 || age > EXCHANGE_TRIES)
        return;
    rtt = MAX(now - q->sent_at[try % EXCHANGE_TRIES], USEC);
    if (a->srtt == 0) {
        a->srtt = rtt;
        a->rttvar = rtt / 2;
        return;
    }
    off = rtt > a->srtt ? rtt - a->srtt : a->srtt - rtt;
    a->rttvar += (off - a->rttvar) / 4;
    a->srtt += (rtt - a->srtt) / 8;
}

static void on_answer(struct assoc *a, const struct locator_pair *at, const struct exchange_message *m, instant now)
{
    struct exchange *x = a->x;
    struct ask *q = ask_get(x, a, m->id);
    struct join *j;

    if (!q || q->try == 0) {
        drop(x, EXCHANGE_DROP_LATE);
        return;
    }
    if (a->call)
        call_on_answer(a, at);
    measure(q, m->try, now);
    if (!m->in_parts) {
        join_free(x, q->join);
        ask_end(q, EXCHANGE_FAULT_NONE, m->data, m->len);
        return;
    }
    j = q->ping ? NULL : answer_join(q, m, now);
    if (!j)
        drop(x, EXCHANGE_DROP_JOIN);
    if (!j || !join_add(x, j, m, now))
        return;
    if (exchange_digest(j->data, j->len) != j->digest) {
        drop(x, EXCHANGE_DROP_JOIN);
        join_free(x, j);
        return;
    }
    list_remove(&j->item); /* no time ends it any more: it is the event's */
    ask_end(q, EXCHANGE_FAULT_NONE, j->data, j->len);
}

static void on_challenge(struct assoc *a, const struct exchange_message *m)
{
    struct ask *q = ask_get(a->x, a, m->id);

    if (!q || q->try == 0 || m->token == 0) {
        drop(a->x, EXCHANGE_DROP_LATE);
        return;
    }
    a->token = m->token;
    if (q->challenged == m->token || q->challenges == CHALLENGES_MAX)
        return;
    q->challenged = m->token;
    q->challenges++;
    ask_again(q);
}

void exchange_foresee(const struct exchange *x, const uint8_t *data, size_t len, unsigned step)
{
    const struct keys *k;

    if (len < SEALED_MIN_LEN || data[0] != PACKET_SEALED)
        return;
    k = map64_get(&x->cids, get_be64(data) & CID_MASK);
    if (!k)
        return;
    if (step > 0)
        keys_foresee(k);
    else
        fetch_ahead(k, offsetof(struct keys, suite));
}

void record_input(struct exchange *x, const struct locator_pair *at, uint8_t *pkt, size_t len, instant now)
{
    struct exchange_message m;
    struct assoc *a;
    struct keys *k;
    int n;

    if (len < SEALED_MIN_LEN) {
        drop(x, EXCHANGE_DROP_SHORT);
        return;
    }
    k = map64_get(&x->cids, get_be64(pkt) & CID_MASK);
    if (!k) {
        drop(x, EXCHANGE_DROP_UNKNOWN);
        accept_reset(x, at, pkt, now);
        return;
    }
    n = keys_open(k, pkt, len, now);
    if (n < 0) {
        drop(x, n == -EALREADY ? EXCHANGE_DROP_REPLAY : EXCHANGE_DROP_FORGED);
        return;
    }
    a = k->assoc;
    a->used = now;
    if (k == a->next)
        accept_confirmed(a, at, now);
    if (exchange_message_read(pkt + SEALED_HEADER_LEN, (size_t)n, &m) < 0) {
        drop(x, EXCHANGE_DROP_MALFORMED);
        return;
    }
    switch (m.kind) {
    case EXCHANGE_KIND_REQUEST:
        on_request(k, at, &m, now);
        break;
    case EXCHANGE_KIND_ANSWER:
        on_answer(a, at, &m, now);
        assoc_show_keys(a);
        break;
    case EXCHANGE_KIND_CHALLENGE:
        on_challenge(a, &m);
        break;
    default:
        if (a->call && k == a->cur)
            call_set_token(a, m.data);
    }
}
