/* session/exchange_ask.c - see exchange_internal.h: requests of ours, and answers that we give.
 *
 * Theory of operation. A request waits in a list until there is room to send it whole; then its timer runs, from 250 ms
 * or the round trip's timeout (RFC 6298) and doubled with each try. One that has no keys to go with waits for the
 * handshake, which either sends it or ends it. A try that brought a part of an answer does not count.
 *
 * An answer is sealed where it waits to be sent, and nothing is kept. Of one in parts those are left out that the asker
 * has, if its digest says that it is the same.
 *
 * Limits: 4 tries, at most SENDINGS_MAX sendings; 57 datagrams a message. */
#include <errno.h>

#include "session/exchange_internal.h"

#define SENDINGS_MAX (EXCHANGE_PARTS_MAX + EXCHANGE_TRIES) /* each but the tries has brought a part */

static unsigned parts_of(size_t len, size_t whole)
{
    return len <= whole ? 1 : (unsigned)((len + EXCHANGE_PART_LEN - 1) / EXCHANGE_PART_LEN);
}

/* Seals one datagram of a message: `part` of m.last + 1, or the whole. There is room for it. 0 or -ENOTCONN. */
static int send_one(struct assoc *a, const struct locator_pair *to, const struct exchange_message *m,
                    const uint8_t *data, size_t len, instant now)
{
    uint8_t *out = ex_slot(a->x);
    size_t header = exchange_message_put(out + SEALED_HEADER_LEN, m);
    int n;

    if (len > 0)
        memcpy(out + SEALED_HEADER_LEN + header, data, len);
    n = keys_seal(a->cur, out, header + len, now);
    if (n < 0)
        return n;
    ex_push(a->x, to, (size_t)n);
    return 0;
}

/* All parts but those in `but`. */
static int send_all(struct assoc *a, const struct locator_pair *to, struct exchange_message *m, const uint8_t *data,
                    size_t len, unsigned parts, uint64_t but, instant now)
{
    int r = 0;

    if (parts == 1)
        return send_one(a, to, m, data, len, now);
    m->in_parts = true;
    m->last = (uint8_t)(parts - 1);
    for (unsigned i = 0; i < parts && r == 0; i++) {
        size_t from = (size_t)i * EXCHANGE_PART_LEN;

        m->part = (uint8_t)i;
        if (!(but & UINT64_C(1) << i))
            r = send_one(a, to, m, data + from, MIN(len - from, (size_t)EXCHANGE_PART_LEN), now);
    }
    return r;
}

/* --- requests --- */

int ask_new(struct assoc *a, const void *data, size_t len, bool ping, struct ask **ret)
{
    struct exchange *x = a->x;
    struct ask *q;

    if (timer_reserve(x) < 0 || !(q = ex_alloc(x, sizeof(*q) + len)))
        return -ENOMEM;
    while (map64_get(&x->asks, x->next_id))
        x->next_id++;
    q->number = (uint64_t)++x->serial << 32 | x->next_id++;
    if (map64_put(&x->asks, (uint32_t)q->number, q) < 0) {
        ex_free(x, q, sizeof(*q) + len);
        return -ENOMEM;
    }
    x->asks_count++;
    q->x = x;
    q->assoc = a;
    q->peer = a->number;
    q->timer.kind = TIMER_ASK;
    q->ping = ping;
    q->len = len;
    if (len > 0)
        memcpy(q->data, data, len);
    q->digest = len > EXCHANGE_REQUEST_WHOLE ? exchange_digest(data, len) : 0;
    list_append(&a->asks, &q->item);
    list_init(&q->waiting);
    ask_again(q);
    *ret = q;
    return 0;
}

void ask_again(struct ask *q)
{
    if (list_empty(&q->waiting))
        list_append(&q->x->waiting, &q->waiting);
}

void exchange_on_network(struct exchange *x, instant now)
{
    LIST_FOREACH (d, &x->dials, struct dial, item)
        call_on_network(d->assoc, now);
    for (uint32_t i = 0; i < x->slots_count; i++)
        if (x->slots[i])
            LIST_FOREACH (q, &x->slots[i]->asks, struct ask, item) {
                q->tries = 0;
                ask_again(q);
            }
}

void ask_free(struct ask *q)
{
    struct exchange *x = q->x;

    x->requests_open -= !q->ping;
    join_free(x, q->join);
    ex_free(x, q, sizeof(*q) + q->len);
}

void ask_end(struct ask *q, enum exchange_fault f, const uint8_t *answer, size_t len)
{
    struct assoc *a = q->assoc;
    struct exchange *x = a->x;

    list_remove(&q->item);
    list_remove(&q->waiting);
    timer_set(x, &q->timer, INSTANT_NEVER);
    map64_remove(&x->asks, (uint32_t)q->number);
    x->asks_count--;
    if (q->ping && a->call)
        a->call->keeping = false;
    q->assoc = NULL;
    if (q->ping) {
        ask_free(q);
        return;
    }
    q->owner = a->owner;
    q->fault = (uint8_t)f;
    q->answer = answer;
    q->answer_len = len;
    list_append(&x->done, &q->item);
}

struct ask *ask_get(const struct exchange *x, const struct assoc *a, uint32_t id)
{
    struct ask *q = map64_get(&x->asks, id);

    return q && q->assoc == a ? q : NULL;
}

void assoc_asks_go(struct assoc *a)
{
    struct ask *ping;

    if (list_empty(&a->asks) && a->call) { /* so that the peer can confirm the keys */
        if (ask_new(a, NULL, 0, true, &ping) < 0)
            return;
        a->call->keeping = true;
    }
    LIST_FOREACH (q, &a->asks, struct ask, item)
        ask_again(q);
}

void assoc_show_keys(struct assoc *a)
{
    if (a->call && a->cur && a->cur->tx_next == 0 && list_empty(&a->asks))
        assoc_asks_go(a);
}

void assoc_asks_fail(struct assoc *a, enum exchange_fault f)
{
    LIST_FOREACH_SAFE (q, &a->asks, struct ask, item)
        ask_end(q, f, NULL, 0);
}

static span timeout_of(const struct assoc *a)
{
    return MIN(MAX(EXCHANGE_FIRST_TRY, a->srtt + 4 * a->rttvar), EXCHANGE_FIRST_TRY_MAX);
}

static void ask_arm(struct ask *q, instant now)
{
    timer_set(q->assoc->x, &q->timer, now + (timeout_of(q->assoc) << q->tries));
}

/* False: there is no room. */
static bool ask_send(struct ask *q, instant now)
{
    struct assoc *a = q->assoc;
    struct exchange *x = a->x;
    unsigned parts = parts_of(q->len, EXCHANGE_REQUEST_WHOLE);
    const struct locator_pair *to = a->call ? &a->call->ways[(a->call->way + q->tries) % a->call->ways_count] : &a->at;
    struct exchange_message m = {
        .kind = EXCHANGE_KIND_REQUEST,
        .try = q->try,
        .id = (uint32_t)q->number,
        .token = a->token,
        .digest = q->digest,
        .has_have = q->join != NULL,
    };

    if (ex_room(x) < parts)
        return false;
    if (q->join) {
        m.have_digest = q->join->digest;
        m.have_parts = q->join->parts;
    }
    q->progress = q->join ? q->join->parts : 0;
    x->stats.again += q->try > 0;
    q->sent_at[q->try++ % EXCHANGE_TRIES] = now;
    (void)!send_all(a, to, &m, q->data, q->len, parts, 0, now); /* what could not be sealed is asked again */
    ask_arm(q, now);
    return true;
}

void asks_send(struct exchange *x, instant now)
{
    LIST_FOREACH_SAFE (q, &x->waiting, struct ask, waiting) {
        struct assoc *a = q->assoc;
        bool usable = a->cur && !keys_are_dead(a->cur, now) && (a->call || a->proven);

        if (a->call && (!usable || keys_are_worn(a->cur, now)) && !call_is_busy(a)) {
            bool started = call_start(a, now);

            call_arm(a);
            if (!started && !usable) {
                ask_end(q, EXCHANGE_FAULT_NOBODY, NULL, 0);
                continue;
            }
        }
        if (usable && !ask_send(q, now))
            return;
        list_remove(&q->waiting);
        if (!usable && !a->call) /* until it shows again where it is */
            ask_arm(q, now);
    }
}

void ask_on_timer(struct ask *q, instant now)
{
    struct assoc *a = q->assoc;

    if (!q->join || q->join->parts == q->progress)
        q->tries++;
    if (q->tries >= EXCHANGE_TRIES || q->try >= SENDINGS_MAX) {
        ask_end(q, EXCHANGE_FAULT_SILENT, NULL, 0);
        return;
    }
    if (q->tries == 2 && a->call) { /* it may have begun anew, and not know our keys */
        call_start(a, now);
        call_arm(a);
    }
    ask_again(q);
}

int exchange_request(struct exchange *x, uint64_t peer, const void *data, size_t len, void *context, instant now,
                     uint64_t *ret_request)
{
    struct assoc *a = assoc_get(x, peer);
    struct ask *q;
    int r;

    if (!a)
        return -ENOENT;
    if (len == 0 || len > EXCHANGE_MESSAGE_MAX)
        return -EMSGSIZE;
    if (!a->call && (!a->cur || keys_are_dead(a->cur, now)))
        return -ENOTCONN;
    if (x->requests_open >= x->o.requests_max)
        return -ENOSPC;
    r = ask_new(a, data, len, false, &q);
    if (r < 0)
        return r;
    x->requests_open++;
    q->context = context;
    *ret_request = q->number;
    return 0;
}

void exchange_cancel(struct exchange *x, uint64_t request)
{
    struct ask *q = map64_get(&x->asks, (uint32_t)request);

    if (q && q->number == request && !q->ping) {
        struct assoc *a = q->assoc;

        ask_end(q, EXCHANGE_FAULT_NONE, NULL, 0);
        list_remove(&q->item);
        ask_free(q);
        assoc_show_keys(a);
        return;
    }
    LIST_FOREACH_SAFE (d, &x->done, struct ask, item)
        if (d->number == request) {
            list_remove(&d->item);
            ask_free(d);
            return;
        }
}

/* --- answers --- */

int exchange_answer(struct exchange *x, const struct exchange_asked *asked, const void *data, size_t len, instant now)
{
    struct assoc *a = assoc_get(x, asked->peer);
    unsigned parts = parts_of(len, EXCHANGE_ANSWER_WHOLE);
    struct exchange_message m = { .kind = EXCHANGE_KIND_ANSWER, .try = asked->try, .id = asked->id };
    uint64_t had = 0;
    int r;

    if (len > EXCHANGE_MESSAGE_MAX)
        return -EMSGSIZE;
    if (!a || !a->cur || !a->proven)
        return -ENOTCONN;
    if (ex_room(x) < parts)
        return -EAGAIN;
    if (parts > 1) {
        m.digest = exchange_digest(data, len);
        had = asked->parts && asked->digest == m.digest ? asked->parts : 0;
    }
    r = send_all(a, &a->at, &m, data, len, parts, had, now);
    x->stats.answers += r == 0;
    return r;
}
