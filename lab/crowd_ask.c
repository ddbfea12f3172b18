/* lab/crowd_ask.c - those who ask managers after hosts, and judge each answer (crowd.h).
 *
 * Theory of operation. A bounded number of questions is under way at each manager, uniform over all hosts. Of each
 * answer is checked, against what the hosts themselves have said:
 *
 *   - it is what that host signed under that sequence: not wrong;
 *   - its sequence is none below one that this manager has given before: nobody is given an older one than he has seen;
 *   - a host that this manager has told of once is told of always;
 *   - the top manager tells all that it had acknowledged when it was asked.
 *
 * How stale an answer was is from when the first newer sequence was acknowledged to when it was asked; the worst is
 * kept, of hosts that move often and of others, and by how much one was staler than it said that it may be used for.
 *
 * Limits: one program, which is the hosts as well: so it knows the truth. */
#include "lab/crowd.h"
#include "mapping/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define UNDER_WAY 8u     /* chosen: a level's; more would make the machine's queues the object of the measurement */
#define REST (50 * MSEC) /* chosen: after LATER, or no answer */

struct question {
    struct asker *a;
    unsigned level;
    uint32_t host;
    uint64_t acked; /* when it was asked */
    instant asked;
    bool open;
};

struct level {
    uint64_t peer;
    struct question questions[UNDER_WAY];
    uint64_t *seen;    /* of each host: the highest sequence that was told; 0: not yet */
    uint8_t *verified; /* of each host: the one in `seen` was */
    uint32_t turn, known;
    instant rest;
    uint64_t found, none, later, failed;
    span stale[2]; /* the worst: of movers, of others */
    span beyond;   /* the worst, and what the answer said is taken off */
};

struct asker {
    struct crowd *c;
    struct exchange *x;
    bool checking, caches; /* caches: the one that caches is asked, too */
    struct level levels[CROWD_LEVELS];
};

struct asker *asker_new(struct crowd *c, bool checking, instant now)
{
    const struct exchange_options o = { .self = &c->hosts[0].id,
                                        .rng = prng_rng(&c->prng),
                                        .suites = c->realm.suites,
                                        .peers_max = CROWD_LEVELS,
                                        .requests_max = CROWD_LEVELS * UNDER_WAY,
                                        .joins_max = 4 };
    struct asker *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->c = c;
    a->checking = a->caches = checking;
    a->x = exchange_new(&o, now);
    for (unsigned n = 0; n < CROWD_LEVELS; n++) {
        struct level *l = &a->levels[n];
        const struct exchange_call call = {
            .key = c->realm,
            .ways_count = 1,
            .ways = { { .link = 1, .local = addr_v4(CROWD_NET + CROWD_ASKER), .remote = c->managers[n] } },
            .keep = 2 * SEC
        };

        l->seen = calloc(c->count, sizeof(*l->seen));
        l->verified = calloc(c->count, sizeof(*l->verified));
        if (!a->x || !l->seen || !l->verified || exchange_peer_call(a->x, &call, now, &l->peer) < 0) {
            asker_free(a);
            return NULL;
        }
    }
    return a;
}

void asker_free(struct asker *a)
{
    if (!a)
        return;
    exchange_free(a->x);
    for (unsigned n = 0; n < CROWD_LEVELS; n++) {
        free(a->levels[n].seen);
        free(a->levels[n].verified);
    }
    free(a);
}

struct exchange *asker_exchange(struct asker *a)
{
    return a->x;
}

static bool is_newest(const struct asker *a, unsigned level, uint32_t host)
{
    return a->levels[level].seen[host] >= crowd_acked(&a->c->hosts[host]);
}

/* Whom to ask after. False: nobody. */
static bool choose(struct asker *a, unsigned level, uint32_t *ret)
{
    struct level *l = &a->levels[level];

    if (!a->checking) {
        *ret = (uint32_t)prng_below(&a->c->prng, a->c->count);
        return true;
    }
    for (uint32_t i = 0; i < a->c->count; i++, l->turn = (l->turn + 1) % a->c->count)
        if (!is_newest(a, level, l->turn)) {
            *ret = l->turn;
            l->turn = (l->turn + 1) % a->c->count;
            return true;
        }
    return false;
}

static void ask(struct asker *a, struct question *q, instant now)
{
    struct mapping_request r = { .type = MAPPING_RESOLVE, .kind = KIND_HOST_LOCATOR };
    uint8_t bytes[256];
    struct writer w = writer_init(bytes, sizeof(bytes));
    uint64_t request;

    r.tag = a->c->hosts[q->host].tag;
    mapping_request_write(&w, &r);
    q->acked = crowd_acked(&a->c->hosts[q->host]);
    q->asked = now;
    q->open = exchange_request(a->x, a->levels[q->level].peer, bytes, writer_len(&w), q, now, &request) == 0;
}

void asker_ask_cache(struct asker *a)
{
    a->caches = true;
}

void asker_turn(struct asker *a, instant now)
{
    for (unsigned n = 0; n < (a->caches ? CROWD_LEVELS : CROWD_LEVELS - 1); n++) {
        struct level *l = &a->levels[n];

        for (unsigned k = 0; k < UNDER_WAY && now >= l->rest; k++) {
            struct question *q = &l->questions[k];

            if (q->open || !choose(a, n, &q->host))
                continue;
            q->a = a;
            q->level = n;
            ask(a, q, now);
        }
    }
}

/* The truth of a record that a manager gave. */
static void judge_record(struct asker *a, const struct question *q, struct slice bytes, uint64_t *ret_seq)
{
    const struct host *h = &a->c->hosts[q->host];
    struct level *l = &a->levels[q->level];
    const struct said *s;
    struct record_error why;
    struct record_bytes rb;
    struct endpoint at;
    struct record r;

    if (record_decode(bytes.data, bytes.len, &r, &rb, &why) < 0 || !tag_equal(&r.subject, &h->tag) ||
        r.targets_count != 1 || !r.targets[0].is_locator)
        crowd_wrong(a->c, "no binding of that host", q->host, q->level, 0, 0);
    s = crowd_said(h, r.seq);
    at = crowd_place(q->host, s ? s->move : 0);
    if (!s || !endpoint_equal(&r.targets[0].locator, &at))
        crowd_wrong(a->c, "nothing that it ever said", q->host, q->level, r.seq, 0);
    if (r.seq < l->seen[q->host])
        crowd_wrong(a->c, "older than what was told before", q->host, q->level, r.seq, l->seen[q->host]);
    if ((r.seq > l->seen[q->host] || !l->verified[q->host]) && record_verify(&rb, h->id.ed25519) < 0)
        crowd_wrong(a->c, "not signed by it", q->host, q->level, r.seq, 0);
    l->verified[q->host] = 1;
    *ret_seq = r.seq;
}

static void note_age(struct asker *a, const struct question *q, uint64_t seq, uint32_t fresh_s)
{
    const struct host *h = &a->c->hosts[q->host];
    span *worst = &a->levels[q->level].stale[h->mover ? 0 : 1];

    for (uint32_t i = 0; i < h->said_count; i++) {
        const struct said *s = &h->said[i];

        if (s->seq <= seq || s->acked == 0)
            continue;
        if (s->acked < q->asked) {
            *worst = MAX(*worst, q->asked - s->acked);
            a->levels[q->level].beyond = MAX(a->levels[q->level].beyond, q->asked - s->acked - (span)fresh_s * SEC);
        }
        return;
    }
}

static void on_answer(struct asker *a, const struct question *q, const uint8_t *data, size_t len, instant now)
{
    struct level *l = &a->levels[q->level];
    struct mapping_answer answer;
    uint64_t seq = 0;

    if (mapping_answer_read(data, len, &answer) < 0)
        crowd_wrong(a->c, "no answer that can be read", q->host, q->level, 0, 0);
    switch (answer.status) {
    case MAPPING_FOUND:
        l->found++;
        judge_record(a, q, answer.record, &seq);
        break;
    case MAPPING_NONE:
        l->none++;
        if (l->seen[q->host])
            crowd_wrong(a->c, "nobody, who was there before", q->host, q->level, 0, l->seen[q->host]);
        break;
    case MAPPING_LATER:
        l->later++;
        l->rest = now + REST;
        return;
    default:
        crowd_wrong(a->c, mapping_status_name(answer.status), q->host, q->level, 0, 0);
    }
    if (q->level == 0 && seq < q->acked)
        crowd_wrong(a->c, "less than what was acknowledged", q->host, q->level, seq, q->acked);
    note_age(a, q, seq, answer.fresh_s);
    l->seen[q->host] = MAX(l->seen[q->host], seq);
    if (a->checking && seq == 0)
        l->rest = now + REST;
}

void asker_on_event(struct asker *a, const struct exchange_event *ev, instant now)
{
    struct question *q = ev->context;

    if (ev->type != EXCHANGE_ANSWER && ev->type != EXCHANGE_FAILED)
        return;
    q->open = false;
    if (ev->type == EXCHANGE_ANSWER) {
        on_answer(a, q, ev->data, ev->len, now);
    } else {
        a->levels[q->level].failed++;
        a->levels[q->level].rest = now + REST;
    }
}

bool asker_knows_all(const struct asker *a, unsigned level)
{
    for (uint32_t i = 0; i < a->c->count; i++)
        if (!is_newest(a, level, i))
            return false;
    return true;
}

void asker_print(const struct asker *a)
{
    printf("{\"levels\":[");
    for (unsigned n = 0; n < CROWD_LEVELS; n++) {
        const struct level *l = &a->levels[n];

        printf("%s{\"found\":%" PRIu64 ",\"none\":%" PRIu64 ",\"later\":%" PRIu64 ",\"failed\":%" PRIu64
               ",\"stale_movers_ms\":%" PRId64 ",\"stale_others_ms\":%" PRId64 ",\"beyond_ms\":%" PRId64 "}",
               n ? "," : "", l->found, l->none, l->later, l->failed, l->stale[0] / MSEC, l->stale[1] / MSEC,
               l->beyond / MSEC);
    }
    printf("]}\n");
}
