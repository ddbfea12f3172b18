/* Managers of one realm on three levels, in virtual time: hosts register at the top one, a second is pushed to, a third
 * pulls from the second, and caches ask the third. Messages take time and get lost, hosts move, and every manager is
 * started anew, with nothing but the realm's log, in any order.
 *
 * Always: no reader of a manager and no cache is given an older sequence than it has seen; what a manager that is
 * caught up answers is no older than its bound. In the end: all know the newest of all, and nothing else.
 * HAWSER_SIM_NAMES (1,000) hosts. */
#include "base/list.h"
#include "mapping/cache.h"
#include "mapping/holder.h"
#include "mapping/manager.h"
#include "tests/unit/realm_world.h"

#include <inttypes.h>

#define MANAGERS 3 /* top, pushed to, pulling */
#define CACHES 4
#define CACHED 64u /* names that each cache asks for */
#define PULL (10 * SEC)
#define STEP (5 * MSEC)
#define LOSS 20           /* one of so many requests, and as many answers */
#define SILENCE (4 * SEC) /* what an exchange takes to give up */
#define MOVERS 50u
#define ONE_WAY (25 * MSEC) /* at most */
#define LATENCIES 4096u

enum what { NOBODY, FROM_HOST, FROM_FOLLOWER, TO_SUBSCRIBER };

/* A request or its answer, on its way. */
struct message {
    struct message *next;
    instant at;
    enum what what;
    bool answer, lost;
    uint32_t from;  /* host, or manager that asks */
    uint32_t to;    /* manager, subscriber */
    uint64_t id;    /* of a notice */
    uint64_t start; /* of the manager that asks, or that tells */
    size_t len;
    uint8_t bytes[];
};

#define WHEEL 4096u       /* of STEP */
#define TURNS 4096u       /* of TURN: some minutes */
#define TURN (100 * MSEC) /* chosen: a host is late by so much at most */

struct host {
    struct list due; /* in turns */
    uint8_t seed[32], key[32];
    struct tag tag;
    struct holder holder;
    uint64_t seen[MANAGERS]; /* the highest sequence that a reader was given */
    uint64_t moved_seq;      /* of the last move that the top has taken, and when */
    instant moved_at;
};

struct end {
    struct manager *m;
    struct follower f;
    uint64_t start;
};

static struct {
    struct rw w;
    struct host *hosts;
    uint32_t count;
    struct rw_blob *registrations;
    struct rw_blob policy;
    struct end ends[MANAGERS];
    struct cache *caches[CACHES];
    uint64_t cache_seen[CACHES][CACHED];
    struct message *wheel[WHEEL];
    struct list turns[TURNS]; /* hosts by when they have something to say */
    uint64_t turn;            /* the next */
    instant now;
    uint64_t starts, lost, sent, reads, cache_reads;
    uint32_t movers; /* the first so many hosts */
    span latencies[LATENCIES];
    uint32_t latencies_count;
    span worst_pushed, worst_pulled;
    bool lossy;
    uint32_t deaf; /* manager whose questions, and notices to whom, are all lost; 0: none */
} s;

static uint8_t out[MAPPING_BYTES_MAX];

static uint64_t below(uint64_t n)
{
    return prng_below(&s.w.prng, n);
}

/* --- the network --- */

static void post(enum what what, bool answer, uint32_t from, uint32_t to, uint64_t id, uint64_t start,
                 const uint8_t *bytes, size_t len)
{
    struct message *m = malloc(sizeof(*m) + len);
    bool lost = (s.lossy && below(LOSS) == 0) ||
                (s.deaf && ((what == FROM_FOLLOWER && from == s.deaf) || (what == TO_SUBSCRIBER && to == s.deaf)));
    span takes = lost ? SILENCE : (span)(5 + below(20)) * MSEC;

    assert_non_null(m);
    *m = (struct message){ .at = s.now + takes,
                           .what = what,
                           .answer = answer || lost,
                           .lost = lost,
                           .from = from,
                           .to = to,
                           .id = id,
                           .start = start,
                           .len = len };
    memcpy(m->bytes, bytes, len);
    struct message **slot = &s.wheel[(uint64_t)(m->at / STEP) % WHEEL];
    m->next = *slot;
    *slot = m;
    s.sent++;
    s.lost += lost;
}

static struct manager_who self_of(uint32_t manager)
{
    return (struct manager_who){ .peer = 1000000 + 100 * s.ends[manager].start + manager,
                                 .ed25519 = s.w.keys[RW_ROOT] };
}

/* How long after the top one this one knows, of a move that no other has overtaken. */
static void note_latency(uint32_t n, struct host *h, const struct follower_change *c)
{
    span took = s.now - h->moved_at;

    if (h->moved_seq != c->seq)
        return;
    if (n == 2) {
        s.worst_pulled = MAX(s.worst_pulled, took);
        h->moved_seq = 0;
        return;
    }
    s.worst_pushed = MAX(s.worst_pushed, took);
    if (c->pace == PACE_MOBILE && s.latencies_count < LATENCIES)
        s.latencies[s.latencies_count++] = took;
}

/* The host has something to say then; nothing: in no list. */
static void set_due(struct host *h)
{
    const instant at = holder_next_expiry(&h->holder);
    const uint64_t turn = at == INSTANT_NEVER ? 0 : MAX((uint64_t)((at + TURN - 1) / TURN), s.turn);

    list_remove(&h->due);
    if (at != INSTANT_NEVER)
        list_append(&s.turns[MIN(turn, s.turn + TURNS - 1) % TURNS], &h->due);
}

static void pump_follower(uint32_t n)
{
    struct end *e = &s.ends[n];
    struct follower_change c;

    while (follower_pop(&e->f, s.now, &c)) {
        manager_followed(e->m, &c, s.now);
        for (uint32_t i = 0; i < MIN(s.movers, s.count); i++)
            if (tag_equal(&s.hosts[i].tag, &c.subject))
                note_latency(n, &s.hosts[i], &c);
    }
    manager_set_behind(e->m, follower_behind(&e->f, s.now));
}

static void on_request(struct message *m)
{
    struct manager_reply reply;
    struct manager_who who = m->what == FROM_HOST
                                 ? (struct manager_who){ .peer = m->from + 1, .ed25519 = s.hosts[m->from].key }
                                 : self_of(m->from);
    struct mapping_request r;

    if (m->what == TO_SUBSCRIBER) {
        struct end *e = &s.ends[m->to];
        uint8_t answer[FOLLOWER_REQUEST_MAX];
        size_t len;

        assert_int_equal(mapping_request_read(m->bytes, m->len, &r), 0);
        len = follower_on_notice(&e->f, &r, s.now, answer);
        pump_follower(m->to);
        post(TO_SUBSCRIBER, true, m->from, m->to, m->id, m->start, answer, len);
        return;
    }
    manager_on_request(s.ends[m->to].m, &who, m->bytes, m->len, s.now, RW_NOW_S, out, &reply);
    if (m->what == FROM_HOST && m->from < s.movers && s.hosts[m->from].moved_seq < s.hosts[m->from].holder.seq &&
        mapping_request_read(m->bytes, m->len, &r) == 0 && r.type == MAPPING_REGISTER) {
        s.hosts[m->from].moved_seq = s.hosts[m->from].holder.seq;
        s.hosts[m->from].moved_at = s.now;
    }
    post(m->what, true, m->from, m->to, 0, m->start, out, reply.len);
}

static void on_answer(struct message *m)
{
    if (m->what == FROM_HOST) {
        struct holder *h = &s.hosts[m->from].holder;

        if (m->lost)
            holder_on_failed(h, s.now);
        else
            holder_on_answer(h, m->bytes, m->len, s.now);
        set_due(&s.hosts[m->from]);
    } else if (m->what == FROM_FOLLOWER && s.ends[m->from].start == m->start) {
        if (m->lost)
            follower_on_failed(&s.ends[m->from].f, s.now);
        else
            follower_on_answer(&s.ends[m->from].f, m->bytes, m->len, s.now);
        pump_follower(m->from);
    } else if (m->what == TO_SUBSCRIBER && s.ends[m->from].start == m->start) {
        manager_on_told(s.ends[m->from].m, m->id, m->lost ? NULL : m->bytes, m->len, s.now);
    }
}

/* --- the ends --- */

static void start(uint32_t n)
{
    struct manager_options o = { .rng = s.w.rng,
                                 .bindings_max = 2 * s.count,
                                 .names_max = 2 * s.count,
                                 .guests_max = 4,
                                 .subscriptions_max = 16,
                                 .log_max = 4096,
                                 .epoch = ++s.starts,
                                 .follows = n > 0 };
    struct tag root = rw_tag(&s.w, RW_ROOT, TAG_TIER_SERVICE, 0);
    struct tag_prefix all = tag_prefix_of(&root, 42);
    struct slice link = rw_slice(&s.w.root);
    struct record_error why;
    struct end *e = &s.ends[n];

    manager_free(e->m);
    e->m = manager_new(&o, s.now);
    e->start = s.starts;
    assert_non_null(e->m);
    assert_int_equal(manager_set_self(e->m, &link, 1, RW_NOW_S, &why), 0);
    for (uint32_t i = 0; i < s.count; i++)
        assert_int_equal(manager_take(e->m, s.registrations[i].bytes, s.registrations[i].len, s.now, &why), 0);
    assert_int_equal(manager_take(e->m, s.policy.bytes, s.policy.len, s.now, &why), 0);
    follower_init(&e->f, manager_bindings(e->m), &all, n == 1 ? FOLLOWER_PUSH : FOLLOWER_PULL, PULL, s.now);
    /* Associations stand anew: who asks it hears of that, and readers begin with what this one knows. */
    if (n == 0)
        for (uint32_t i = 0; i < s.count; i++) {
            holder_on_up(&s.hosts[i].holder, s.now + (span)below(30 * SEC));
            set_due(&s.hosts[i]);
        }
    if (n + 1 < MANAGERS && s.ends[n + 1].m)
        follower_on_up(&s.ends[n + 1].f, s.now);
    for (uint32_t i = 0; i < s.count; i++)
        s.hosts[i].seen[n] = 0;
}

static void move(uint32_t i)
{
    struct host *h = &s.hosts[i];
    struct record_target t = { .is_locator = true,
                               .locator = { addr_v4(0x0a000000u + (uint32_t)below(1 << 24) + 1), 1 } };

    assert_int_equal(holder_set_targets(&h->holder, &t, 1, s.now), 0);
    set_due(h);
}

static void new_host(uint32_t i)
{
    struct host *h = &s.hosts[i];
    struct rw_blob *b = &s.registrations[i];
    struct record r = { .type = RECORD_REGISTRATION,
                        .issuer = rw_tag(&s.w, RW_ROOT, TAG_TIER_SERVICE, 0),
                        .issued_s = RW_NOW_S - 1000,
                        .suites = 1,
                        .seq = i + 2 };

    list_init(&h->due);
    put_be32(h->seed, i + 1000);
    assert_int_equal(ed25519_public(h->seed, h->key), 0);
    assert_int_equal(tag_make(h->key, RW_RAA, TAG_HDA(TAG_TIER_HOST, 0), &h->tag), 0);
    r.subject = h->tag;
    memcpy(r.key, h->key, 32);
    snprintf(r.name, sizeof(r.name), "host%" PRIu32 ".h.rid.example", i);
    rw_sign(&s.w, &r, RW_ROOT, b);
    holder_init(&h->holder, h->seed, &h->tag, &h->tag, KIND_HOST_LOCATOR, CLASS_FULL, 300, 1, 0);
}

/* What a reader of a manager is given: never older than he was given before. */
static uint64_t read_at(uint32_t n, uint32_t i, struct mapping_answer *ret)
{
    struct mapping_request q = { .type = MAPPING_RESOLVE, .tag = s.hosts[i].tag, .kind = KIND_HOST_LOCATOR };
    struct manager_who who = { .peer = 5, .ed25519 = s.hosts[0].key };
    struct writer w = writer_init(out, sizeof(out));
    static uint8_t answer[MAPPING_BYTES_MAX];
    struct manager_reply reply;
    struct record_error why;
    struct record_bytes b;
    struct record r;

    mapping_request_write(&w, &q);
    manager_on_request(s.ends[n].m, &who, out, writer_len(&w), s.now, RW_NOW_S, answer, &reply);
    assert_int_equal(mapping_answer_read(answer, reply.len, ret), 0);
    if (ret->status != MAPPING_FOUND)
        return 0;
    assert_int_equal(record_decode(ret->record.data, ret->record.len, &r, &b, &why), 0);
    assert_true(r.seq >= s.hosts[i].seen[n]);
    s.hosts[i].seen[n] = r.seq;
    s.reads++;
    return r.seq;
}

static void ask_caches(void)
{
    for (uint32_t c = 0; c < CACHES; c++) {
        uint32_t n = (uint32_t)below(CACHED), i = (c * CACHED + n) % s.count;
        const uint8_t *bytes;
        struct mapping_answer a;
        struct record_error why;
        struct record_bytes b;
        struct record r;
        instant until;
        size_t len;
        int got = cache_find(s.caches[c], &s.hosts[i].tag, KIND_HOST_LOCATOR, CLASS_FULL, s.now, &bytes, &len, &until);

        if (got == CACHE_NONE)
            continue;
        if (got < 0) {
            if (read_at(2, i, &a) == 0)
                continue;
            assert_int_equal(record_decode(a.record.data, a.record.len, &r, &b, &why), 0);
            got = cache_put(s.caches[c], &r, a.record.data, a.record.len, CLASS_FULL, a.fresh_s, s.now);
            if (got == CACHE_OLDER)
                continue; /* the third was started anew behind the second: not taken */
            assert_int_equal(got, CACHE_STORED);
            bytes = a.record.data;
            len = a.record.len;
        }
        assert_int_equal(record_decode(bytes, len, &r, &b, &why), 0);
        assert_true(r.seq >= s.cache_seen[c][n]);
        s.cache_seen[c][n] = r.seq;
        s.cache_reads++;
    }
}

static void run_holder(uint32_t i)
{
    struct host *h = &s.hosts[i];
    uint8_t bytes[HOLDER_REQUEST_MAX];
    size_t len = holder_output(&h->holder, s.now, bytes);

    if (len > 0)
        post(FROM_HOST, false, i, 0, 0, 0, bytes, len);
    set_due(h);
}

/* Hosts whose turn has come. */
static void run_turns(void)
{
    while ((instant)(s.turn * TURN) <= s.now) {
        struct list *turn = &s.turns[s.turn++ % TURNS], due;

        list_init(&due);
        LIST_FOREACH_SAFE (h, turn, struct host, due) {
            list_remove(&h->due);
            list_append(&due, &h->due);
        }
        LIST_FOREACH_SAFE (h, &due, struct host, due)
            run_holder((uint32_t)(h - s.hosts));
    }
}

static void step(void)
{
    struct message *m = s.wheel[(uint64_t)(s.now / STEP) % WHEEL], *later = NULL;

    s.wheel[(uint64_t)(s.now / STEP) % WHEEL] = NULL;
    while (m) {
        struct message *next = m->next;

        if (m->at >= s.now + STEP) { /* a round later */
            m->next = later;
            later = m;
        } else {
            if (m->answer)
                on_answer(m);
            else
                on_request(m);
            free(m);
        }
        m = next;
    }
    while (later) {
        struct message *next = later->next, **slot = &s.wheel[(uint64_t)(later->at / STEP) % WHEEL];

        later->next = *slot;
        *slot = later;
        later = next;
    }
    for (uint32_t n = 0; n < MANAGERS; n++) {
        struct end *e = &s.ends[n];
        uint8_t bytes[FOLLOWER_REQUEST_MAX];
        struct manager_notice notice;
        size_t len;

        manager_on_expiry(e->m, s.now);
        while (manager_pop_notice(e->m, s.now, RW_NOW_S, out, &notice))
            post(TO_SUBSCRIBER, false, n, n + 1, notice.id, e->start, out, notice.len);
        if (n > 0 && (len = follower_output(&e->f, s.now, bytes)) > 0)
            post(FROM_FOLLOWER, false, n, n - 1, 0, e->start, bytes, len);
    }
    s.now += STEP;
}

static void run(span time, uint32_t movers)
{
    const instant end = s.now + time;

    s.movers = movers;
    while (s.now < end) {
        step();
        run_turns();
        if (movers && below(4) == 0) {
            uint32_t i = (uint32_t)below(movers);

            move(i);
            run_holder(i);
        }
        ask_caches();
        for (uint32_t k = 0; k < 3; k++) {
            struct mapping_answer a;

            read_at(k, (uint32_t)below(s.count), &a);
        }
    }
}

static int compare_spans(const void *a, const void *b)
{
    span x = *(const span *)a, y = *(const span *)b;

    return (x > y) - (x < y);
}

/* All know the newest of all. */
static void assert_converged(void)
{
    for (uint32_t n = 0; n < MANAGERS; n++) {
        struct manager_stats stats;

        manager_get_stats(s.ends[n].m, &stats);
        assert_int_equal(stats.bindings_live, s.count);
        for (uint32_t i = 0; i < s.count; i++) {
            struct mapping_answer a;

            if (read_at(n, i, &a) != s.hosts[i].holder.seq)
                fail_msg("manager %u, host %u: found %" PRIu64 ", expected %" PRIu64, n, i, s.hosts[i].seen[n],
                         s.hosts[i].holder.seq);
        }
    }
}

static void set_up(void)
{
    const char *names = getenv("HAWSER_SIM_NAMES");
    struct tag root;

    rw_init(&s.w);
    s.count = names ? (uint32_t)strtoul(names, NULL, 10) : 1000;
    s.now = 1000 * SEC;
    s.turn = (uint64_t)(s.now / TURN);
    for (size_t i = 0; i < TURNS; i++)
        list_init(&s.turns[i]);
    s.hosts = calloc(s.count, sizeof(*s.hosts));
    s.registrations = calloc(s.count, sizeof(*s.registrations));
    assert_true(s.hosts && s.registrations);
    for (uint32_t i = 0; i < s.count; i++)
        new_host(i);
    root = rw_tag(&s.w, RW_ROOT, TAG_TIER_SERVICE, 0);
    rw_policy(&s.w, &root, RW_ROOT, &root, 1ull << 40, "2001:3f::/32", CLASS_FULL, &s.policy);
    for (uint32_t c = 0; c < CACHES; c++)
        assert_non_null(s.caches[c] = cache_new(CACHED, 4 * CACHED, &s.w.rng));
    for (uint32_t n = 0; n < MANAGERS; n++)
        start(n);
    for (uint32_t i = 0; i < s.count; i++)
        move(i);
}

static void test_levels(void **state)
{
    /* chosen: every order in which three can be started anew */
    static const uint8_t orders[6][MANAGERS] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
                                                 { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

    set_up();
    s.lossy = true;
    run(60 * SEC, 0);
    /* Some that move often: their moves are told at once, from the second on. */
    run(60 * SEC, MOVERS);
    for (size_t o = 0; o < 6; o++) {
        for (size_t k = 0; k < MANAGERS; k++) {
            start(orders[o][k]);
            run((span)below(20 * SEC), MOVERS);
        }
    }
    s.lossy = false;
    run(300 * SEC, 0); /* two refreshes, the longest wait of who was put off, a check and a pull */
    assert_converged();
    print_message("# %" PRIu64 " messages, %" PRIu64 " lost, %" PRIu64 " reads, %" PRIu64 " of caches\n", s.sent,
                  s.lost, s.reads, s.cache_reads);
}

/* Nothing is lost and nobody dies: who moves often is known at once where changes are pushed to, and everybody within
 * what is stated. Follows test_levels. */
static void test_bounds(void **state)
{
    run(600 * SEC, MOVERS); /* what was before was of managers that were started anew */
    s.latencies_count = 0;
    s.worst_pushed = s.worst_pulled = 0;
    run(300 * SEC, MOVERS);
    assert_true(s.latencies_count >= 1000);
    qsort(s.latencies, s.latencies_count, sizeof(s.latencies[0]), compare_spans);
    print_message("# pushed, who moves often: p50 %" PRId64 " ms, p99 %" PRId64 " ms, worst %" PRId64
                  " ms; all: %" PRId64 " ms; pulled: %" PRId64 " ms\n",
                  s.latencies[s.latencies_count / 2] / MSEC, s.latencies[s.latencies_count * 99 / 100] / MSEC,
                  s.latencies[s.latencies_count - 1] / MSEC, s.worst_pushed / MSEC, s.worst_pulled / MSEC);
    /* A way, after that of the notice before it and its answer; and where a check is under way, whose page the notice
     * overtakes, that page and another. */
    assert_true(s.latencies[s.latencies_count * 99 / 100] <= 3 * ONE_WAY + 4 * STEP);
    assert_true(s.latencies[s.latencies_count - 1] <= 7 * ONE_WAY + 4 * STEP);
    assert_true(s.worst_pushed <= MANAGER_TELL_SETTLED + 7 * ONE_WAY + 4 * STEP);
    assert_true(s.worst_pulled <= s.worst_pushed + PULL + 2 * ONE_WAY + 4 * STEP);
}

/* The one in the middle is started anew, and knows nothing; then it hears nothing. What follows it keeps what it has
 * and serves it, and says so when that is too old. Follows test_bounds. */
static void test_middle(void **state)
{
    struct mapping_answer a;

    run(30 * SEC, 0);
    start(1);
    for (unsigned i = 0; i < 400; i++) {
        run(STEP, 0);
        read_at(2, (uint32_t)below(s.count), &a);
        assert_int_equal(a.status, MAPPING_FOUND);
    }
    run(60 * SEC, 0);
    assert_converged();
    s.deaf = 1;
    run(MANAGER_BEHIND_MAX, 0);
    read_at(2, 0, &a);
    assert_int_equal(a.status, MAPPING_FOUND);
    run(MANAGER_BEHIND_MAX + FOLLOWER_CHECK + SILENCE + PULL, 0);
    read_at(2, 0, &a);
    assert_int_equal(a.status, MAPPING_LATER);
    s.deaf = 0;
    run(60 * SEC, 0);
    assert_converged();
}

/* Whoever follows anew has seen nobody move, and says for how long an answer may be used as the top one does: for those
 * who move often not as for those who are settled. Follows test_middle. */
static void test_pace(void **state)
{
    struct mapping_answer a;

    run(60 * SEC, MOVERS);
    start(2);
    start(1);
    run(30 * SEC, 0);
    for (uint32_t i = 0; i < MOVERS; i++) {
        for (uint32_t n = 0; n < MANAGERS; n++) {
            read_at(n, i, &a);
            assert_int_equal(a.status, MAPPING_FOUND);
            assert_int_equal(a.fresh_s, MANAGER_FRESH_MOBILE_S);
        }
    }
    read_at(2, s.count - 1, &a); /* who does not move */
    assert_true(a.fresh_s > MANAGER_FRESH_MOBILE_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_levels), cmocka_unit_test(test_bounds),
                                        cmocka_unit_test(test_middle), cmocka_unit_test(test_pace) };

    return cmocka_run_group_tests_name("realms", tests, NULL, NULL);
}
